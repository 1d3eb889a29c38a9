"""Storyland: a small generated language whose true probabilities are known.

    >>> import storyland
    >>> story = next(storyland.stories(seed=1))
    >>> oracle = storyland.Oracle()
    >>> oracle.next_word("Once upon a")
    {'time': 1.0}

The grammar is a page to read: `stories.txt`. `page.py` reads it, `grammar.py` says what it means,
`sampler.py` writes stories, `oracle.py` is the ideal reader, `measure.py` gives the entropy, and
`mentions.py` finds what a story says again.
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from storyland import oracle as _oracle
from storyland import sampler as _sampler
from storyland.grammar import Grammar
from storyland.measure import Entropy, Estimate, entropy, mutual_information
from storyland.mentions import DISTANCES, Mention, bits_by_distance, mentions
from storyland.page import read
from storyland.sampler import Story
from storyland.words import join, pieces, split

__all__ = [
    "DISTANCES", "FLOOR", "HIDDEN", "Entropy", "Estimate", "Grammar", "Mention", "Oracle", "Story",
    "bits_by_distance", "entropy", "grammar", "held_out", "held_out_stories", "join", "mentions",
    "mutual_information", "pieces", "read", "split", "stories", "text",
]

# The facts that no story says outright: a reader can only infer them.
HIDDEN = ("mood", "temper")
HELD_OUT_SEED, HELD_OUT_STORIES = 3, 400
# Bits a character that the oracle pays for the held-out stories: chapter 1.1 measures it.
FLOOR = 0.1312


@cache
def grammar() -> Grammar:
    """The grammar of Storyland, read once."""
    return read(Path(__file__).with_name("stories.txt").read_text(encoding="utf-8"))


class Oracle(_oracle.Oracle):
    """The ideal reader of Storyland, or of another grammar."""

    def __init__(self, of: Grammar | None = None):
        super().__init__(of or grammar())


def stories(seed: int) -> Iterator[Story]:
    """Endless stories; the same seed gives the same ones on every platform and Python version."""
    return _sampler.stories(seed, grammar())


def text(seed: int, size: int) -> str:
    """Whole stories, one a line, of `size` characters or a little more."""
    lines, length = [], 0
    source = stories(seed)
    while length < size:
        lines.append(next(source).text)
        length += len(lines[-1])
    return "".join(lines)


def held_out_stories() -> list[Story]:
    """The held-out stories with the roles of their words and their facts, made again."""
    return list(islice(stories(HELD_OUT_SEED), HELD_OUT_STORIES))


def held_out() -> list[str]:
    """The stories on which every model of the course is measured: stored, and never trained on."""
    page = Path(__file__).with_name("heldout.txt").read_text(encoding="utf-8")
    return page.splitlines(keepends=True)
