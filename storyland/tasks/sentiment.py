"""The mood of a story: merry, gloomy or spooky. No story says it; the choice of words tells it.

    >>> example = next(examples(seed=1))
    >>> example.output
    'merry'
    >>> {mood: round(chance, 2) for mood, chance in example.outputs.items()}
    {'merry': 0.53, 'spooky': 0.41, 'gloomy': 0.06}

`outputs` is the exact P(mood given text), by Bayes' rule over every way in which the grammar can
have written the text: no classifier, of whatever size, is right more often on fresh stories than
one that says its likeliest mood, and none has a lower cross-entropy than the distribution itself.
It is worked out when it is first asked for, at some hundred stories a second; `output` costs
nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import inf, isclose, log2
from random import Random

import storyland
from storyland.grammar import Grammar, in_words
from storyland.sampler import sample
from storyland.tasks import frame


@dataclass(frozen=True)
class Example(frame.Example):
    """A story (`input`) and the mood in which it was written (`output`)."""

    _posterior: Callable[[list[str]], dict[str, float]] = field(repr=False, compare=False)

    @cached_property
    def outputs(self) -> dict[str, float]:
        """The exact P(mood given text), likeliest first; sums to 1."""
        return self._posterior(self.story.words)


class Sentiment:
    """The hidden fact of a grammar that is guessed from the text: in Storyland, the mood."""

    def __init__(self, grammar: Grammar, fact: str = "mood"):
        """ValueError if no list of the grammar has the name of the fact."""
        if fact not in grammar.facts or fact not in grammar.lists:
            raise ValueError(f"{fact!r} is no fact that is drawn from a list of its name")
        self.fact = fact
        self.values = tuple(in_words(item) for item in grammar.lists[fact].items)
        self._oracle = storyland.Oracle(grammar)

    def posterior(self, text: str | list[str]) -> dict[str, float]:
        """P(value given text) of a story, or of the beginning of one; likeliest first, sums to 1.

        ValueError, naming the word, if no story begins like this.
        """
        return self._oracle.posterior(text, self.fact)

    def examples(self, seed: int) -> Iterator[Example]:
        """An endless stream, one story an example. ValueError if the seed is no whole number."""
        return self._examples(Random(frame.checked(seed)))

    def _examples(self, rng: Random) -> Iterator[Example]:
        while True:
            story = sample(self._oracle.grammar, rng)
            yield Example(story, story.text, story.facts[self.fact], self.posterior)


@cache
def of_storyland() -> Sentiment:
    """The mood of Storyland's stories."""
    return Sentiment(storyland.grammar())


def moods() -> tuple[str, ...]:
    """What there is to choose from, in the order of the grammar."""
    return of_storyland().values


def posterior(text: str | list[str]) -> dict[str, float]:
    """The exact P(mood given text) of a story, or of the beginning of one; sums to 1.

    ValueError, naming the word, if no story begins like this.
    """
    return of_storyland().posterior(text)


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of the stories of this seed, each with its mood.

    ValueError if the seed is no whole number from 0 on.
    """
    return of_storyland().examples(seed)


def score(example: frame.Example, output: str) -> float:
    """1 if this is the mood in which the story was written, else 0; case does not count.

    The best possible reader gets the probability of its guess, on average:
    `max(example.outputs.values())`. TypeError if the output is no text.
    """
    return float(frame.as_text(output).strip().lower() == example.output)


def bits(example: frame.Example, distribution: Mapping[str, float]) -> float:
    """What a distribution over moods pays for the true one: -log2 P(mood), in bits.

    `inf` if it gives it no chance. ValueError if the probabilities are below 0 or do not sum to 1
    (to within 1e-6). The mean is lowest for `example.outputs`.
    """
    total = sum(distribution.values())
    if min(distribution.values(), default=0) < 0 or not isclose(total, 1, abs_tol=1e-6):
        raise ValueError(f"no distribution: from {min(distribution.values(), default=0):g} on, "
                         f"with the sum {total:g}")
    chance = distribution.get(example.output, 0.0)
    return -log2(chance) if chance > 0 else inf
