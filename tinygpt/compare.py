"""Is one model better than another? The difference with its interval, and how many runs that takes.

Two questions, each with its own unit that chance draws:

    paired_difference   does a change to the *recipe* help?   over training runs, one pair a seed
    bits_per_char       are *these weights* better?           over held-out stories, drawn anew

An interval of the second kind says nothing of another run with another seed.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MOST_SEEDS = 1_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, all in the unit of what was measured."""

    value: float
    low: float
    high: float

    def excludes(self, number: float = 0.0) -> bool:
        """Whether the number lies outside; for a difference and 0: whether the sign is told."""
        return not self.low <= number <= self.high

    def __format__(self, spec: str) -> str:
        spec = spec or "+.3f"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def paired_difference(
    ours: Sequence[float], baseline: Sequence[float], confidence: float = 0.95
) -> Interval:
    """The mean of ours - baseline over pairs of runs, with Student's t interval.

    (n,) figures each; entry i of both comes from seed i. Student, "The Probable Error of a Mean",
    Biometrika 6, 1908. Raises ValueError where they are no pairs, or fewer than two.
    """
    ours, baseline = np.asarray(ours, dtype=float), np.asarray(baseline, dtype=float)
    if ours.ndim != 1 or ours.shape != baseline.shape or len(ours) < 2:
        raise ValueError(
            f"figures of shapes {ours.shape} and {baseline.shape}: give one of each side a seed, "
            "for two seeds or more"
        )
    differences = ours - baseline
    spread = differences.std(ddof=1) / math.sqrt(len(ours))
    half = stats.t.ppf((1 + confidence) / 2, len(ours) - 1) * spread
    mean = differences.mean()
    return Interval(float(mean), float(mean - half), float(mean + half))


def bits_per_char(
    bits: Sequence[float],
    num_chars: Sequence[int],
    confidence: float = 0.95,
    num_resamples: int = 1999,
    seed: int = 0,
) -> Interval:
    """Total bits / total characters, with a bootstrap interval over stories.

    bits (n,) that a model pays for each story, num_chars (n,) the stories' lengths: stories are
    drawn with their lengths. For two models give the differences of their bits, story by story:
    the comparison is then paired. Efron, "Bootstrap Methods: Another Look at the Jackknife",
    Annals of Statistics 7, 1979; the percentiles of the resamples, by scipy.stats.bootstrap.
    Raises ValueError where the two differ in length, or there are fewer than two stories.
    """
    bits, num_chars = np.asarray(bits, dtype=float), np.asarray(num_chars)
    if bits.ndim != 1 or bits.shape != num_chars.shape or len(bits) < 2:
        raise ValueError(
            f"bits of shape {bits.shape} and num_chars of shape {num_chars.shape}: give one of "
            "each a story, for two stories or more"
        )
    found = stats.bootstrap(
        (bits, num_chars),
        _ratio,
        paired=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=num_resamples,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(_ratio(bits, num_chars)), float(found.low), float(found.high))


def power(num_seeds: int, difference: float, spread: float, confidence: float = 0.95) -> float:
    """The probability that `num_seeds` pairs tell a true difference from 0, on its right side.

    `spread` is the standard deviation of a pair's difference, in the same unit; normal differences
    are assumed. By the noncentral t distribution: Cohen, "Statistical Power Analysis for the
    Behavioral Sciences", 1988.
    """
    edge = stats.t.ppf((1 + confidence) / 2, num_seeds - 1)
    return float(
        stats.nct.sf(edge, num_seeds - 1, abs(difference) / spread * math.sqrt(num_seeds))
    )


def seeds_needed(
    difference: float, spread: float, wanted: float = 0.8, confidence: float = 0.95
) -> int:
    """The fewest pairs of runs whose interval excludes 0 with the probability `wanted`.

    Raises ValueError where a million would not do.
    """
    enough = 2  # one pair has no spread
    while power(enough, difference, spread, confidence) < wanted:
        if enough > MOST_SEEDS:
            raise ValueError(f"to tell {difference} at a spread of {spread} needs over a million")
        enough *= 2
    smaller = range(max(2, enough // 2), enough)
    return smaller.start + bisect_left(
        smaller, wanted, key=lambda n: power(n, difference, spread, confidence)
    )


def _ratio(above, below, axis=-1):
    return above.sum(axis) / below.sum(axis)
