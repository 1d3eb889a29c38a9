"""A story in one sentence: its plot, with the facts that the plot turns on.

    >>> example = next(examples(seed=1))
    >>> example.output
    'The owl won a race to the barn, before the sheep and the fox.'
    >>> score(example, 'The sheep won a race to the barn, before the owl and the fox.')
    0.6

The sentences stand on a page to read: `summaries.txt`. A story has several right summaries, each
with its probability: `example.outputs` is the whole distribution, and `example.output` is drawn
from it. The page that writes summaries also reads them, so that a summary is marked by what it
claims, in whatever words of the page.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random

from storyland.grammar import Call, Draw, Env, Number, Option
from storyland.oracle import Oracle, States
from storyland.tasks import frame
from storyland.tasks.frame import PageError, World, in_letters
from storyland.words import END, join, split


@dataclass(frozen=True)
class Example(frame.Example):
    """A story (`input`) and a summary of it (`output`)."""

    right: dict[str, float]  # every right summary, with its probability
    facts: dict[str, str]  # what any of them claims: the plot, who, what, where, how many
    key: frozenset[str]  # the names of the facts that every one of them claims
    names: dict[str, frozenset[str]]  # fact that each of them names: its names, in small letters
    claimed: dict[str, frozenset[str]]  # right summary: the names of the facts that it claims

    @property
    def outputs(self) -> dict[str, float]:
        """The exact distribution of right summaries; sums to 1."""
        return self.right


@dataclass(frozen=True)
class _Way:
    """One way to write a summary, or a part of one."""

    probability: float
    words: tuple[str, ...]
    env: Env
    claims: frozenset[int]  # the facts that it prints, or on whose value its wording depends
    names: frozenset[tuple[int, str]] = field(default=frozenset())  # (fact, as it was named)


class Summaries:
    """Summaries of the stories of a grammar: the rule `summary` of a page."""

    def __init__(self, stories: str, page: str):
        """From the pages of the grammar and of the summaries. PageError where one has no meaning"""
        self.world = World(stories, page)
        if "summary" not in self.world.grammar.rules:
            raise PageError("the page has no rule called summary")
        self._summary = self.world.grammar.rules["summary"]
        for call in self._called(self._summary):
            if call.depends:
                raise PageError(f"rule {call.rule}: conditions belong to the options of summary")
        self._oracle = Oracle(self.world.grammar)

    def _called(self, call: Call) -> Iterator[Call]:
        for option in call.options:
            for part in option.parts:
                if isinstance(part, Call):
                    yield part
                    yield from self._called(part)

    def examples(self, seed: int) -> Iterator[Example]:
        """An endless stream, one summary a story. ValueError if the seed is no whole number."""
        # The task's own choices have their own numbers, and leave those of the stories alone.
        choice = Random(f"summaries {frame.checked(seed)}")
        return self._examples(Random(seed), choice)

    def _examples(self, rng: Random, choice: Random) -> Iterator[Example]:
        while True:
            written = self.world.written(rng)
            ways = self._ways(written.env)
            if not ways:
                raise PageError(f"no summary fits {self.world.grammar.known(written.env)}")
            right: dict[str, float] = {}
            for way in ways:
                text = join(way.words)
                right[text] = right.get(text, 0.0) + way.probability
            texts, totals = list(right), list(accumulate(right.values()))
            output = texts[bisect(totals, choice.random() * totals[-1], hi=len(texts) - 1)]
            story = self.world.story(written)
            yield Example(story, story.text, output, right, *self._claimed(ways))

    def _claimed(self, ways: list[_Way]) -> tuple[dict, frozenset[str], dict, dict]:
        """The last four fields of an example."""
        every = frozenset.intersection(*(way.claims for way in ways))
        named = frozenset.intersection(*(frozenset(fact for fact, _ in way.names) for way in ways))
        facts, names = {}, {}
        for way in ways:
            known = self.world.grammar.known(way.env)
            facts |= {name: known[name] for name in map(self._name, way.claims)}
            for fact, name in way.names:
                if fact in named:
                    names.setdefault(self._name(fact), set()).add(name)
        return (dict(sorted(facts.items())), frozenset(map(self._name, every)),
                {fact: frozenset(said) for fact, said in sorted(names.items())},
                {join(way.words): frozenset(map(self._name, way.claims)) for way in ways})

    def _name(self, fact: int) -> str:
        return self.world.grammar.facts[fact]

    def _ways(self, env: Env) -> list[_Way]:
        """Every way to write a summary where these facts hold."""
        choices = self.world.possible(self._summary, env)
        done: list[_Way] = []
        todo = [(_Way(weight / choices.totals[-1], (), *self._taken(option, env)), option.parts)
                for weight, option in choices.pairs]
        while todo:
            way, parts = todo.pop()
            if not parts:
                done.append(way)
                continue
            part, rest = parts[0], parts[1:]
            if isinstance(part, str):
                todo.append((_add(way, 1.0, (part,), way.env), rest))
                continue
            choices = part.choices(way.env)
            for weight, outcome in choices.pairs:
                body, after = part.take(outcome, way.env)
                share = weight / choices.totals[-1]
                if isinstance(part, Call):
                    claims = way.claims | {fact for fact, _, _ in outcome.effects}
                    called = replace(way, claims=claims)
                    todo.append((_add(called, share, (), after), (*body, *rest)))
                else:
                    todo.append((_add(way, share, body, after, part), rest))
        return sorted(done, key=lambda way: (-way.probability, way.words))

    def _taken(self, option: Option, env: Env) -> tuple[Env, frozenset[int]]:
        """The facts after the choice of an option of `summary`, and those that chose it."""
        _, after = self._summary.take(option, env)
        chosen = {c.fact for c in option.conditions if c.wanted and c.other is None}
        return after, frozenset(chosen | {fact for fact, _, _ in option.effects})

    def _start(self) -> States:
        """Before the first word of a summary of which nothing is known."""
        states: States = {}
        for option in self._summary.options:
            env = list(self.world.grammar.empty_env)
            for condition in option.conditions:
                if condition.wanted and condition.other is None:
                    env[condition.fact] = condition.value
            pending = (END, None)
            for part in reversed(option.parts):
                pending = (part, pending)
            states[pending, self._taken(option, tuple(env))[0]] = 1.0
        return states

    def claims(self, output: str) -> list[dict[str, str]]:
        """What a text claims, read as a summary: facts and their values, for each way to read it.

        Empty if it is no sentence of the page.
        """
        states = self._start()
        for word in [*split(output.strip()), END]:
            _, states = self._oracle.step(states, word)
            if not states:
                return []
        return [self.world.grammar.known(env) for _, env in states]

    def score(self, example: Example, output: str) -> float:
        """As the module's `score`."""
        truth = {**example.story.facts, **example.facts}
        best = 0.0
        for claims in self.claims(frame.as_text(output)):
            right = sum(truth.get(fact) == value for fact, value in claims.items())
            best = max(best, right / len(claims.keys() | example.key))
        return best


def _add(way: _Way, share: float, words: tuple[str, ...], env: Env, part=None) -> _Way:
    claims, names = way.claims, way.names
    if part is not None and part.fact is not None:
        claims |= {part.fact}
        named = isinstance(part, Number) or part.role or not part.shown[0]
        if named and words:
            article = isinstance(part, Draw) and bool(part.article)
            names |= {(part.fact, " ".join(words[article:]).lower())}
    return _Way(way.probability * share, way.words + words, env, claims, names)


@cache
def of_storyland() -> Summaries:
    """The summaries of Storyland, read once."""
    page = Path(__file__).with_name("summaries.txt")
    return Summaries(frame.STORIES.read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of the stories of this seed, each with a summary of one sentence.

    ValueError if the seed is no whole number from 0 on.
    """
    return of_storyland().examples(seed)


def score(example: Example, output: str) -> float:
    """The share of the facts that a summary has right: 1 for a right summary, in any wording.

    Of the facts that it claims and those that it should claim (`example.key`, the plot among
    them), as many are right as agree with the story; 0 for a text that the page cannot have
    written. TypeError if the output is no text.
    """
    return of_storyland().score(example, output)


def naming(example: Example, output: str) -> float:
    """The share of the key facts that a text names, in whatever sentence: a mark for free text.

    It cannot tell who did what to whom: a text that exchanges two people gets full marks, and so
    does one that names everything. TypeError if the output is no text.
    """
    words = re.findall(r"[\w’-]+", re.sub(r"\d+", in_letters, frame.as_text(output).lower()))
    said = f" {' '.join(words)} "
    found = sum(any(f" {name} " in said for name in names) for names in example.names.values())
    return found / len(example.names)
