"""How much there is to know: the entropy of the language, and what its hidden choices tell."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, log, sqrt

from storyland.oracle import Oracle
from storyland.sampler import Story


@dataclass(frozen=True)
class Estimate:
    """A mean over sampled stories, with its standard error."""

    value: float
    se: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ± {self.se:.4f}"


@dataclass(frozen=True)
class Entropy:
    """The entropy of a language: no model, of whatever size, can do better on fresh stories.

    All in nats (natural logarithm) but `bits_per_char`; characters include the newline.
    """

    num_stories: int
    per_story: Estimate
    per_word: Estimate
    per_char: Estimate
    bits_per_char: Estimate


def entropy(oracle: Oracle, stories: Iterable[Story]) -> Entropy:
    """Scores fresh stories with the oracle: -ln P(story) has the entropy as its mean."""
    nats, words, chars = [], [], []
    for story in stories:
        nats.append(-oracle.log_prob(story.words))
        words.append(len(story.words))
        chars.append(len(story.text))
    per_char = _ratio(nats, chars)
    bits = Estimate(per_char.value / log(2), per_char.se / log(2))
    return Entropy(len(nats), _ratio(nats, [1] * len(nats)), _ratio(nats, words), per_char, bits)


def _ratio(above: list[float], below: list[int]) -> Estimate:
    """sum(above) / sum(below), with the standard error of a ratio of means (delta method)."""
    count, ratio = len(above), fsum(above) / fsum(below)
    squares = fsum((a - ratio * b) ** 2 for a, b in zip(above, below, strict=True))
    return Estimate(ratio, sqrt(squares / (count - 1) / count) / (fsum(below) / count))


def mutual_information(oracle: Oracle, stories: Iterable[Story], fact: str) -> Estimate:
    """What a whole text tells of a hidden choice, in bits: H(fact) - H(fact | text).

    Taken over the stories in which the choice is made at all. H(fact | text) is the mean of
    -log2 P(true value | text), by the oracle's exact posterior; H(fact) is that of the shares.
    """
    values, left = Counter(), []
    for story in stories:
        if fact in story.facts:
            values[story.facts[fact]] += 1
            left.append(-log(oracle.posterior(story.words, fact)[story.facts[fact]], 2))
    count = values.total()
    before = fsum(-n / count * log(n / count, 2) for n in values.values())
    after = fsum(left) / count
    spread = fsum((bits - after) ** 2 for bits in left) / (count - 1)
    return Estimate(before - after, sqrt(spread / count))
