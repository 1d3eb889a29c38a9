"""Training by maximum likelihood, and the measure of what came of it."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tinygpt.data import Texts

CHUNK = 32  # texts evaluated at a time


def fit(
    model: nn.Module,
    texts: Texts,
    *,
    context: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warm_up: int = 50,
    seed: int = 0,
    progress: bool = False,
    watch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train on rows of `context` tokens that begin where texts begin; the loss of each step, in
    nats a token.

    AdamW with weight decay on matrices only. The learning rate rises over `warm_up` steps and then
    falls on a line to 0. `model` takes ids (B, T) and gives logits (B, T, vocab_size).
    `watch(step, loss)` is called after each step.
    """
    device = next(model.parameters()).device
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # for dropout
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    losses = []
    model.train()
    for step in tqdm(range(steps), disable=not progress, unit="step"):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min((step + 1) / warm_up, 1 - step / steps)
        which = torch.randint(len(texts), (batch_size,), generator=draw)
        rows = texts.rows(which, context + 1).to(device)  # (B, T + 1)
        logits = model(rows[:, :-1])  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        if watch:
            watch(step, losses[-1])
    model.eval()
    return losses


@torch.no_grad()
def log_probs(model: nn.Module, texts: Texts) -> list[Tensor]:
    """For each text ln P of each of its tokens given those before it in the text: nats, (T,)."""
    model.eval()
    device = next(model.parameters()).device
    ends = torch.cat([texts.starts[1:], texts.starts.new_tensor([len(texts.ids) - 1])])
    lengths = (ends - texts.starts).tolist()
    found = []
    for which in torch.arange(len(texts)).split(CHUNK):
        longest = max(lengths[i] for i in which)
        rows = texts.rows(which, longest + 1).to(device)
        logits = model(rows[:, :-1]).float()  # (B, T, V); a text does not see what follows it
        nats = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").cpu()
        found += [-row[: lengths[i]] for row, i in zip(nats, which, strict=True)]
    return found


def bits_per_char(model: nn.Module, texts: Texts) -> float:
    """Bits a character over all the texts, their newlines included."""
    nats = -sum(one.sum(dtype=torch.float64).item() for one in log_probs(model, texts))
    return nats / texts.num_chars / math.log(2)
