"""Lab 09's solution beside SciPy: its interval is Wilson's, its sample size that of the binomial.

The lab's own tests compute what they expect. Here it is seen that the same words mean the same.
"""

import random

import numpy as np
import pytest
from scipy import stats

from tools.lab_runs import SOLUTIONS, graded, read


@pytest.fixture(scope="module")
def lab():
    """The functions of the solution, by name."""
    names = {}
    for cell in read(SOLUTIONS["lab09-audit"]).cells:
        if cell.id == "setup":
            exec(cell.source, names)
    for cell in graded(read(SOLUTIONS["lab09-audit"])):
        if cell.cell_type == "code" and not cell.metadata.nbgrader.grade:
            exec(cell.source, names)
    return names


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99])
def test_an_interval_is_scipys(lab, confidence):
    rng = random.Random(0)
    for n in (1, 2, 7, 40, 1000):
        for k in {0, n, rng.randint(0, n), rng.randint(0, n)}:
            theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
            ours = lab["interval"](k, n, confidence)
            assert ours == pytest.approx([theirs.low, theirs.high], abs=1e-9)


@pytest.mark.parametrize(("share", "truth"), [(0.62, 0.5), (0.05, 0.2), (0.97, 0.9), (0.0, 0.3)])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_a_sample_is_large_enough_when_scipys_binomial_says_so(lab, share, truth, alpha):
    """With the least n, the chance of the right verdict is enough; with each fewer it is not."""

    def power(n):
        k = np.arange(n + 1)
        z = (k / n - truth) / np.sqrt(truth * (1 - truth) / n)
        told = (2 * stats.norm.sf(np.abs(z)) <= alpha) & (np.sign(z) == np.sign(share - truth))
        return stats.binom.pmf(k, n, share)[told].sum()

    n = lab["needed"](share, truth, alpha, 0.8, 400)
    assert power(n) >= 0.8 > max((power(fewer) for fewer in range(1, n)), default=0)
