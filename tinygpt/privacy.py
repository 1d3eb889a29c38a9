"""What a model keeps of single texts, and training that bounds it.

nats = numbers(model, tokenizer, "The number of Mia's house is ", 4)  # ln P of all 10,000
exposure(nats, 4719)                                                 # bits

gradients = per_sample_gradients(model, rows)
step = private_gradient(gradients, clip=1.0, noise=0.8, expected=64)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from tinygpt import optim
from tinygpt.model import GPT, KVCache
from tinygpt.train.loop import NextToken

Gradients = dict[str, Tensor]


@torch.inference_mode()
def numbers(model: GPT, tokenizer, before: str, digits: int, start: str = "\n") -> Tensor:
    """ln P of every number of so many digits after `start` and `before`: (10**digits,), nats.

    Entry 4719 is that of the digits 4, 7, 1, 9. Each digit must be a token of its own; ValueError
    where the tokenizer has others.
    """
    ids = torch.tensor([tokenizer.encode(start + before)])
    each = [tokenizer.encode(str(i)) for i in range(10)]
    whole = tokenizer.encode(f"{start}{before}{'0123456789'[:digits]}")
    if whole != ids[0].tolist() + sum(each[:digits], []):
        raise ValueError(f"the digits after {before!r} are no tokens of their own")
    tokens, cache, found = torch.tensor(each), KVCache(), torch.zeros(1)
    for place in range(digits):
        logits = model(ids, cache=cache, last_only=True)[:, 0]  # (10**place, V)
        found = (found[:, None] + logits.log_softmax(-1)[:, tokens[:, 0]]).flatten()
        if place < digits - 1:
            cache.reorder(torch.arange(10**place).repeat_interleave(10))
            ids = tokens.repeat(10**place, 1)
    return found


def exposure(nats: Tensor, secret: int) -> float:
    """log2(candidates) - log2(rank of the secret among them), in bits.

    nats (n,), ln P of each candidate; those that are as probable rank before the secret. Carlini
    and others, "The Secret Sharer: Evaluating and Testing Unintended Memorization in Neural
    Networks", USENIX Security 2019.
    """
    rank = int((nats >= nats[secret]).sum())
    return math.log2(len(nats)) - math.log2(rank)


# DP-SGD: Abadi and others, "Deep Learning with Differential Privacy", CCS 2016


def per_sample_gradients(model: GPT, rows: Tensor) -> Gradients:
    """rows (B, T + 1) of ids, padded with -1 -> for each parameter the gradient of each row's mean
    loss, (B, *shape)."""
    loss_of = NextToken(model)
    parameters = {name: p.detach() for name, p in loss_of.named_parameters() if p.requires_grad}

    def loss(parameters: Gradients, row: Tensor) -> Tensor:
        return functional_call(loss_of, parameters, (row[None],))

    with sdpa_kernel(SDPBackend.MATH):  # the others have no rule for a batch of gradients
        found = vmap(grad(loss), in_dims=(None, 0))(parameters, rows)
    return {name.removeprefix("model."): of for name, of in found.items()}


def clipped_sum(gradients: Gradients, clip: float) -> Gradients:
    """Each row's gradient shortened to the length `clip` where it is longer; their sum."""
    squares = sum(of.flatten(1).square().sum(1) for of in gradients.values())  # (B,)
    factor = (clip / (squares.sqrt() + 1e-6)).clamp(max=1)
    return {name: torch.einsum("b,b...->...", factor, of) for name, of in gradients.items()}


def private_gradient(
    gradients: Gradients,
    clip: float,
    noise: float,
    expected: float,
    generator: torch.Generator | None = None,
) -> Gradients:
    """The gradient of a step: the clipped sum, with normal noise of standard deviation
    noise * clip on each number, divided by the number of rows that a step draws on average."""
    return _noised(clipped_sum(gradients, clip), clip, noise, expected, generator)


def _noised(total: Gradients, clip, noise, expected, generator) -> Gradients:
    return {
        name: (of + noise * clip * torch.randn(of.shape, generator=generator)) / expected
        for name, of in total.items()
    }


def tune_privately(
    model: GPT,
    rows: Sequence[Tensor],
    *,
    share: float,
    steps: int,
    clip: float,
    noise: float,
    learning_rate: float,
    warm_up: int = 10,
    seed: int = 0,
    at_once: int = 32,
    progress: bool = False,
) -> None:
    """Train on rows (T + 1,) of ids by DP-SGD, with AdamW's steps.

    Each step draws every row with the chance `share`, on its own: that is what accountants assume.
    """
    draw = torch.Generator().manual_seed(seed)
    optimisers = optim.make(model, "adamw", learning_rate=learning_rate, weight_decay=0.0)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    model.eval()
    for step in tqdm(range(steps), disable=not progress, desc="DP-SGD"):
        which = (torch.rand(len(rows), generator=draw) < share).nonzero()[:, 0]
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for some in which.split(at_once):
            batch = pad_sequence([rows[i] for i in some], batch_first=True, padding_value=-1)
            for name, of in clipped_sum(per_sample_gradients(model, batch), clip).items():
                total[name] += of
        for name, of in _noised(total, clip, noise, share * len(rows), draw).items():
            parameters[name].grad = of
        optim.scale(optimisers, optim.schedule(step, steps, warm_up))
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
