"""Part of the record "privacy": openings that everybody knows, and what a published model
remembers of them.

Beside each stands the same opening with other words in it, which it cannot have read: what it
finds there is language, and what it finds only in the known one is memory.
"""

from dataclasses import dataclass
from functools import cache
from math import log
from pathlib import Path

import torch

from tinygpt.pretrained import pretrained
from tools.records.in_context import START

REAL = "smollm2-135m-instruct"


@dataclass(frozen=True)
class Opening:
    """A known opening, and the same with other words in it: word stands under word."""

    title: str
    known: str
    changed: str

    @property
    def same(self) -> list[int]:
        """The words that both have, by their places."""
        both = zip(self.known.split(), self.changed.split(), strict=True)
        return [i for i, (one, other) in enumerate(both) if one == other]


@cache
def openings() -> tuple[Opening, ...]:
    page = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    return tuple(Opening(*part.splitlines()) for part in "\n".join(lines).split("\n\n"))


@torch.inference_mode()
def words(text: str) -> list[list[float]]:
    """For each word of a text (what stands between spaces) its bits, after the words before it,
    and 1 where it is what SmolLM2 would write there, token for token the most probable."""
    real = pretrained(REAL)
    ids, ends = real.tokenizer.encode(text), real.tokenizer.ends(text)
    (start,) = real.tokenizer.encode(START, special=True)
    nats = real.model(torch.tensor([[start, *ids[:-1]]]))[0].log_softmax(-1)  # (T, V)
    found = [[0.0, 1] for _ in text.split()]
    for end, token, row in zip(ends, ids, nats, strict=True):
        word = found[len(text[:end].split()) - 1]
        word[0] -= row[token].item() / log(2)
        word[1] &= int(row.argmax() == token)
    return [[round(bits, 3), hit] for bits, hit in found]


def remembered() -> dict:
    """`words` of every opening, known and changed."""
    return {
        one.title: {"known": words(one.known), "changed": words(one.changed)} for one in openings()
    }
