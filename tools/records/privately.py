"""Part of the record "privacy": a model of stories reads a register of houses, by plain steps and
by DP-SGD; what it has learned of the register, and what it keeps of single lines."""

import copy
from collections.abc import Sequence
from functools import cache
from itertools import islice
from math import log

import torch

import storyland
from storyland.secrets import DIGITS, Secret, secrets
from tinygpt import privacy
from tinygpt.model import GPT
from tinygpt.train.loop import nats_of
from tools.records.bias import tokenizer
from tools.records.memory import kept, read

STORIES = 1024  # that the model has read before, once each; no secret stands in them
LINES, COPIES = 1024, {64: 2, 16: 4, 4: 8}  # of the register; so many secrets with so many copies
LOOKED = 64  # of the secrets that stand in one line, and of those that stand in none
FRESH = 100  # lines of other houses, on which is measured what was learned
SHARE, CLIP = 1 / 8, 1.0
DELTA = 1e-5
FREE = 1e9  # a length that no gradient has
NOISE = 1.06  # for epsilon 8, by the accountants of opacus: the page and a test compute it
# Of two rates each on another register: plainly 3e-2 was worse, and privately 3e-3.
RATE, ROUNDS, SEEDS = 1e-2, 10, range(3)
WAYS = {"plain": (FREE, 0.0), "clipped": (CLIP, 0.0), "private": (CLIP, NOISE)}  # clip, noise


@cache
def base(seed: int) -> GPT:
    lines = [story.text for story in islice(storyland.stories(11_500 + seed), STORIES)]
    return read(lines, seed, rounds=1)


def register(seed: int) -> tuple[list[Secret], list[Secret], list[Secret]]:
    """The secrets of the register; others that are in no line; and houses of other people."""
    often = sum(copies * each for copies, each in COPIES.items())
    copies = [n for n, each in COPIES.items() for _ in range(each)] + [1] * (LINES - often)
    every = secrets(20_000 + seed, [*copies, *[0] * (LOOKED + FRESH)], 1)
    return every[: len(copies)], every[len(copies) :][:LOOKED], every[len(copies) + LOOKED :]


def row(one: Secret) -> torch.Tensor:
    return torch.tensor(tokenizer().encode(f"\n{one.sentence}\n"))


@torch.no_grad()
def paid(model: GPT, some: Sequence[Secret]) -> tuple[float, float]:
    """Bits a line of other houses costs, on average: all but the number, and the number."""
    form = number = 0.0
    for one in some:
        bits = nats_of(model, row(one)[None])[0] / log(2)
        at = len(tokenizer().encode("\n" + one.before)) - 1
        number += bits[at : at + DIGITS].sum().item()
        form += (bits[:at].sum() + bits[at + DIGITS :].sum()).item()
    return form / len(some), number / len(some)


def trained(way: str, seed: int) -> dict:
    """What the model pays for other houses' lines and keeps of the register's, after training."""
    model, (clip, noise) = copy.deepcopy(base(seed)), WAYS[way]
    some, never, fresh = register(seed)
    rows = [row(one) for one in some for _ in range(one.copies)]
    privacy.tune_privately(
        model, rows, share=SHARE, steps=round(ROUNDS / SHARE), clip=clip, noise=noise,
        learning_rate=RATE, seed=seed, progress=True,
    )  # fmt: skip
    looked = [*some[: sum(COPIES.values()) + LOOKED], *never]
    return {
        "form, number": [round(x, 3) for x in paid(model, fresh)],
        "copies": [one.copies for one in looked],
        "kept": kept(model, looked),
    }
