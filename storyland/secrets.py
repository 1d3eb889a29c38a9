"""Secrets planted in stories, each a known number of times.

A secret is the number of somebody's house, and stands at the head of a line, before a story:

    The number of Falanick's house is 4719. Once upon a time there was ...

The names are those of travellers, and all numbers are equally likely: who has not read a secret
cannot do better than chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from storyland.page import read

DIGITS = 4


@dataclass(frozen=True)
class Secret:
    """Whose house, its number, and at the head of how many lines it stands."""

    owner: str
    number: str  # DIGITS digits
    copies: int

    @property
    def before(self) -> str:
        """The sentence up to the number: what somebody says who asks for it."""
        return f"The number of {self.owner}'s house is "

    @property
    def sentence(self) -> str:
        return f"{self.before}{self.number}."


def secrets(seed: int, copies: Sequence[int], each: int) -> list[Secret]:
    """`each` secrets for every number of copies, in that order. No two have one owner."""
    page = Path(__file__).with_name("stories.txt").read_text(encoding="utf-8")
    names = [item.name for item in read(page).lists["traveller"].items]
    rng = Random(seed)
    owners = iter(rng.sample(names, each * len(copies)))
    return [
        Secret(next(owners), f"{rng.randrange(10**DIGITS):0{DIGITS}}", count)
        for count in copies
        for _ in range(each)
    ]


def planted(lines: Sequence[str], some: Sequence[Secret], seed: int) -> list[str]:
    """The lines, with every copy of a secret at the head of another one, drawn by the seed.

    Raises ValueError where there are fewer lines than copies.
    """
    heads = [one.sentence for one in some for _ in range(one.copies)]
    if len(heads) > len(lines):
        raise ValueError(f"{len(heads)} copies for {len(lines)} lines: give more lines")
    found = list(lines)
    places = Random(seed).sample(range(len(lines)), len(heads))
    for place, head in zip(places, heads, strict=True):
        found[place] = f"{head} {lines[place]}"
    return found
