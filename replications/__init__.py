"""The book's headlines, each to be run again on seeds and stories that its page never saw.

    @headline(page="2-attention/gpt", claim="...", effect="bits a character, ...", above=0.0)
    def gpt_remembers_further(seed: int) -> float: ...

The claim, its direction and its threshold are written down, and committed, before anything is run.
`make replicate` (`python -m replications`) runs every function with each of its seeds and stores
what came out in records/replications.json. A claim that fails is rewritten, never re-seeded.
"""

import hashlib
import inspect
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

FILE = Path(__file__).parent.parent / "records" / "replications.json"
SEEDS = range(9001, 9006)  # pages use small seeds
FEWEST = 5  # seeds a headline must have
HEADLINES: list["Headline"] = []


@dataclass(frozen=True)
class Headline:
    """A claim of a page: the effect lies above (or below) a threshold, whatever the seed.

    `page` is named as in _toc.yml without "chapters/". `effect` says what number `measure(seed)`
    returns, with its unit.
    """

    page: str
    claim: str
    effect: str
    side: str  # "above" or "below"
    threshold: float
    seeds: Sequence[int]
    measure: Callable[[int], float]

    @property
    def name(self) -> str:
        return self.measure.__name__

    def digest(self) -> str:
        """SHA-256 of what was written down: another claim or measurement is run anew."""
        said = [self.page, self.claim, self.effect, self.side, self.threshold, list(self.seeds)]
        text = json.dumps(said) + inspect.getsource(self.measure)
        return hashlib.sha256(text.encode()).hexdigest()


def headline(
    *,
    page: str,
    claim: str,
    effect: str,
    above: float | None = None,
    below: float | None = None,
    seeds: Sequence[int] = SEEDS,
) -> Callable[[Callable[[int], float]], Callable[[int], float]]:
    """Registers a function of a seed as the measurement of a claim; the function stays as it is.

    Raises ValueError where not exactly one of `above` and `below` is given, or the seeds are
    fewer than five.
    """
    if (above is None) == (below is None):
        raise ValueError(f"{page}: give one of above and below: {claim}")
    if len(set(seeds)) < FEWEST:
        raise ValueError(f"{page}: a headline is run on at least {FEWEST} seeds: {claim}")
    side, threshold = ("above", above) if below is None else ("below", below)

    def register(measure: Callable[[int], float]) -> Callable[[int], float]:
        HEADLINES.append(Headline(page, claim, effect, side, threshold, seeds, measure))
        return measure

    return register


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of the mean (Student's t), in the values' unit."""
    mean = statistics.fmean(values)
    spread = statistics.stdev(values) / math.sqrt(len(values))
    half = float(student.ppf(0.975, len(values) - 1)) * spread
    return mean, mean - half, mean + half


def verdict(low: float, high: float, side: str, threshold: float) -> str:
    """holds, fails, or cannot be told: where the interval lies."""
    if side == "below":
        low, high, threshold = -high, -low, -threshold
    return "holds" if low > threshold else "fails" if high < threshold else "cannot be told"
