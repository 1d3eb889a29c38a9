"""What tinygpt's model is timed against: nanoGPT's design, Transformers' GPT-2.

All have the same sizes and predict the same kind of text; only the code differs.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from tinygpt.generate import generate
from tinygpt.model import GPT, preset

# nanoGPT's setting for a processor, at four times its context.
VOCAB_SIZE, CONTEXT, LAYERS, HEADS, D_MODEL, BATCH = 65, 256, 4, 4, 128, 8
NEW_TOKENS = 200


class PlainBlock(nn.Module):
    """A block as nanoGPT builds it: one matrix for queries, keys and values, exact GELU."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(D_MODEL), nn.LayerNorm(D_MODEL)
        self.qkv, self.out = nn.Linear(D_MODEL, 3 * D_MODEL), nn.Linear(D_MODEL, D_MODEL)
        self.mlp = nn.Sequential(
            nn.Linear(D_MODEL, 4 * D_MODEL), nn.GELU(), nn.Linear(4 * D_MODEL, D_MODEL)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in self.qkv(self.norm_1(x)).split(D_MODEL, dim=2)
        )  # (B, H, T, d_head) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_2(x))


class PlainGPT(nn.Module):
    """nanoGPT's design, written as plainly as it can be."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, D_MODEL)
        self.position = nn.Embedding(CONTEXT, D_MODEL)
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(LAYERS)), nn.LayerNorm(D_MODEL))
        self.head = nn.Linear(D_MODEL, VOCAB_SIZE, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.blocks(self.embedding(ids) + self.position.weight[: ids.shape[1]]))


def ours(activation: str) -> GPT:
    sizes = {"context": CONTEXT, "num_layers": LAYERS, "num_heads": HEADS, "d_model": D_MODEL}
    return GPT(preset("gpt2", vocab_size=VOCAB_SIZE, activation=activation, **sizes))


def transformers_gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCAB_SIZE,
            n_positions=CONTEXT,
            n_layer=LAYERS,
            n_head=HEADS,
            n_embd=D_MODEL,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def passes(peer: str, backward: bool) -> tuple[Callable, Callable, int]:
    """Our model's pass, that of "nanoGPT" or "Transformers", and the tokens in it."""
    if peer == "nanoGPT":
        model, theirs = ours("gelu"), PlainGPT()
        other = theirs
    else:
        model, theirs = ours("gelu_tanh"), transformers_gpt2()

        def other(ids: Tensor) -> Tensor:
            return theirs(input_ids=ids, use_cache=False).logits

    ids, targets = torch.randint(VOCAB_SIZE, (2, BATCH, CONTEXT))

    def run(logits_of: Callable[[Tensor], Tensor]) -> None:
        with torch.set_grad_enabled(backward):
            loss = F.cross_entropy(logits_of(ids).flatten(0, 1), targets.flatten())
        if backward:
            loss.backward()

    for logits_of in (model, other):
        run(logits_of)  # the first pass makes room
    return lambda: run(model), lambda: run(other), ids.numel()


def continuations() -> tuple[Callable, Callable, int]:
    """One text continued by us and by Transformers, each with its cache, and the new tokens."""
    model, theirs = ours("gelu_tanh"), transformers_gpt2().eval()
    prompt = torch.randint(VOCAB_SIZE, (1, 8))
    options = {"do_sample": True, "top_k": 0, "use_cache": True, "pad_token_id": 0}
    return (
        lambda: generate(model, prompt, NEW_TOKENS),
        lambda: theirs.generate(prompt, max_new_tokens=NEW_TOKENS, **options),
        NEW_TOKENS,
    )
