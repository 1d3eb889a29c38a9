"""Writes stories: one walk through the grammar, each choice by its weight."""

import random
from bisect import bisect
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from storyland.grammar import Call, Env, Grammar
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


@dataclass(frozen=True)
class Written:
    """What one walk through the grammar wrote, and what holds after it."""

    words: list[str]
    roles: list[str]  # one for each word
    env: Env
    ends: dict[str, tuple[int, Env]]  # watched rule: the words and the facts when it was done


def write(
    parts: Sequence, env: Env, rng: random.Random, watch: Container[str] = frozenset()
) -> Written:
    """Writes parts of an option, each choice by its weight, from the facts of `env` on.

    Only `rng.random()` is used, whose values Python promises never to change, and only where
    there is more than one choice. `ends` says where each rule of `watch` that was called ended;
    of one that was called twice, where it ended last.
    """
    words: list[str] = []
    roles: list[str] = []
    ends: dict[str, tuple[int, Env]] = {}
    pending: list = [*reversed(parts)]  # a stack: the next part is the last
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            words.append(part)
            roles.append("")
            continue
        if watch:
            if isinstance(part, _End):
                ends[part.rule] = (len(words), env)
                continue
            if isinstance(part, Call) and part.rule in watch:
                pending.append(_End(part.rule))
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
    return Written(words, roles, env, ends)


@dataclass(frozen=True)
class _End:
    """Stands behind a call on the stack, to say when all of it is written."""

    rule: str


def sample(grammar: Grammar, rng: random.Random) -> Story:
    """One story."""
    written = write([grammar.rules[grammar.start]], grammar.empty_env, rng)
    return Story([*written.words, END], [*written.roles, ""], grammar.known(written.env))


def stories(seed: int, grammar: Grammar) -> Iterator[Story]:
    """Endless stories; the same seed gives the same ones on every platform and Python version."""
    rng = random.Random(seed)
    while True:
        yield sample(grammar, rng)
