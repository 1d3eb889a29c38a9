"""Is a probability to be believed? Confidence against what came, and against the truth.

A forecast is p, what came or is true is y:

    bins(p, y, 10)                 a reliability diagram: count, mean p and mean y of each bin
    calibration_error(p, y, 10)    its mean distance from the diagonal: ECE
    auroc(score, right)            how well a score tells right from wrong
    coverage(score, right)         what is right among the n answers with the highest scores
    temperature(logits, targets)   the T for which softmax(logits / T) expects the targets best
"""

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def bins(p, y, num_bins: int) -> np.ndarray:
    """Probabilities p (N,) and what came or is true, y (N,), in bins of equal width: (B, 3), a row
    (count, mean p, mean y) for each bin that is not empty, from low to high."""
    p, y = np.asarray(p, dtype=float), np.asarray(y, dtype=float)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(f"p of shape {p.shape} and y of shape {y.shape}: give one of each a case")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p holds numbers that are no probabilities")
    place = np.minimum((p * num_bins).astype(int), num_bins - 1)
    counts = np.bincount(place, minlength=num_bins)
    sums = [np.bincount(place, weights=of, minlength=num_bins) for of in (p, y)]
    held = counts > 0
    return np.stack([counts[held], *(of[held] / counts[held] for of in sums)], axis=1)


def calibration_error(p, y, num_bins: int = 10) -> float:
    """ECE: the mean of |mean p - mean y| over cases, by bins. Naeini, Cooper and Hauskrecht, AAAI
    2015. It is above 0 for a perfect p as well, the more the fewer cases there are."""
    count, mean_p, mean_y = bins(p, y, num_bins).T
    return float((count * abs(mean_p - mean_y)).sum() / count.sum())


def auroc(score, right) -> float:
    """The chance that a right case has a higher score than a wrong one; equal scores count half.
    Raises ValueError where there are no right cases, or no wrong ones."""
    score, right = np.asarray(score, dtype=float), np.asarray(right, dtype=bool)
    num_right, num_wrong = int(right.sum()), int((~right).sum())
    if not num_right or not num_wrong:
        raise ValueError(f"{num_right} right and {num_wrong} wrong cases: it takes both")
    # Not above: a machine that only trains has no scipy, and still lists what can be recorded.
    from scipy.stats import rankdata

    above = rankdata(score)[right].sum() - num_right * (num_right + 1) / 2
    return float(above / (num_right * num_wrong))


def coverage(score, right) -> np.ndarray:
    """(N,): the share of right answers among the n with the highest scores, for n = 1 to N. Among
    equal scores the order is as if drawn: each has the mean of its group."""
    score, right = np.asarray(score, dtype=float), np.asarray(right, dtype=float)
    values, group = np.unique(-score, return_inverse=True)  # the highest first
    means = np.bincount(group, weights=right) / np.bincount(group)
    order = np.sort(group)
    return np.cumsum(means[order]) / np.arange(1, len(score) + 1)


def temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature with the least cross-entropy of logits (N, V) / T on targets (N,), from 0.1
    to 10: Guo, Pleiss, Sun and Weinberger, ICML 2017. The loss is convex in 1 / T, so there is one.
    """
    logits = logits.detach().double()

    from scipy.optimize import minimize_scalar  # as above

    def loss(beta: float) -> float:
        return F.cross_entropy(beta * logits, targets).item()

    return 1 / minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x
