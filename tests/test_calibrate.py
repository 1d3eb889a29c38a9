"""tinygpt.calibrate: bins, ECE, AUROC and coverage against brute force."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from tinygpt.calibrate import auroc, bins, calibration_error, coverage, temperature


def cases(seed, size=400):
    rng = np.random.default_rng(seed)
    p = rng.random(size).round(2)
    return p, rng.random(size) < p


def test_bins_hold_every_case_once_and_the_last_holds_1():
    p, y = cases(0)
    p[:3] = 0.0, 1.0, 0.1
    found = bins(p, y, 10)
    assert found[:, 0].sum() == len(p)
    by_hand = [k for k in range(10) if any(min(int(x * 10), 9) == k for x in p)]
    for row, k in zip(found, by_hand, strict=True):
        which = np.array([min(int(x * 10), 9) == k for x in p])
        np.testing.assert_allclose(row, [which.sum(), p[which].mean(), y[which].mean()])


def test_empty_bins_are_left_out():
    assert bins([0.05, 0.95], [0, 1], 10).shape == (2, 3)


def test_the_error_is_the_distance_where_there_is_one_bin():
    assert calibration_error([0.2, 0.4], [1, 1], 1) == pytest.approx(0.7)
    assert calibration_error([0.1, 0.9], [0.1, 0.9]) == 0


def test_a_perfect_forecast_of_few_cases_has_an_error():
    found = [calibration_error(*cases(seed, 50)) for seed in range(50)]
    assert np.mean(found) > 2 * np.mean([calibration_error(*cases(s, 5000)) for s in range(50)])


def test_auroc_is_that_of_the_pairs_and_of_scipy():
    p, y = cases(1, 120)
    pairs = [(a > b) + (a == b) / 2 for a in p[y] for b in p[~y]]
    assert auroc(p, y) == pytest.approx(np.mean(pairs))
    theirs = mannwhitneyu(p[y], p[~y]).statistic / (y.sum() * (~y).sum())
    assert auroc(p, y) == pytest.approx(theirs)


def test_coverage_is_the_mean_over_orders_of_equal_scores():
    score, right = np.array([0.5, 0.9, 0.5, 0.1]), np.array([1, 1, 0, 0])
    np.testing.assert_allclose(coverage(score, right), [1, 0.75, 2 / 3, 0.5])


@pytest.mark.parametrize("p, y", [([0.5], [1, 0]), ([], []), ([1.5], [1]), ([float("nan")], [1])])
def test_what_is_no_forecast_is_refused(p, y):
    with pytest.raises(ValueError):
        bins(p, y, 10)


def test_auroc_takes_both_kinds():
    with pytest.raises(ValueError, match="it takes both"):
        auroc([0.1, 0.2], [1, 1])


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_temperature_is_found_with_which_the_targets_were_drawn(true):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 5, generator=generator)
    targets = torch.multinomial((logits / true).softmax(-1), 1, generator=generator)[:, 0]
    assert temperature(logits, targets) == pytest.approx(true, rel=0.03)
