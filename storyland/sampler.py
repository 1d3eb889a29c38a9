"""Writes stories: one walk through the grammar, each choice by its weight."""

import random
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass

from storyland.grammar import Grammar
from storyland.words import END, join


@dataclass(frozen=True)
class Story:
    """A story: its words, the role of each word, and the facts that the grammar established."""

    words: list[str]
    roles: list[str]  # person, place, animal, thing, or "" - one for each word
    facts: dict[str, str]  # hidden ones included

    @property
    def text(self) -> str:
        """The story as one line, its newline included."""
        return join(self.words)


def sample(grammar: Grammar, rng: random.Random) -> Story:
    """One story. Only `rng.random()` is used, whose values Python promises never to change."""
    words: list[str] = []
    roles: list[str] = []
    env = grammar.empty_env
    pending: list = [grammar.rules[grammar.start]]  # a stack: the next part is the last
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            words.append(part)
            roles.append("")
            continue
        choices = part.choices(env)
        outcome = choices.pairs[0][1]
        if len(choices.pairs) > 1:
            # Weights are whole numbers, so no rounding can differ between machines.
            place = bisect(choices.totals, int(rng.random() * choices.totals[-1]))
            outcome = choices.pairs[place][1]
        body, env = part.take(outcome, env)
        if part.role:
            words.extend(body)
            article = [""] if part.article else []
            roles.extend(article + [part.role] * (len(body) - len(article)))
        else:
            pending.extend(reversed(body))
    return Story([*words, END], [*roles, ""], grammar.known(env))


def stories(seed: int, grammar: Grammar) -> Iterator[Story]:
    """Endless stories; the same seed gives the same ones on every platform and Python version."""
    rng = random.Random(seed)
    while True:
        yield sample(grammar, rng)
