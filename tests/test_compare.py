"""tinygpt.compare: differences with their intervals, and how many runs it takes to tell them."""

import numpy as np
import pytest
from scipy import stats

from tinygpt import compare
from tinygpt.compare import Interval


def test_a_paired_difference_is_scipys_t_interval_of_the_differences():
    ours, baseline = [0.51, 0.47, 0.50, 0.49], [0.55, 0.50, 0.58, 0.50]
    found = compare.paired_difference(ours, baseline)
    theirs = stats.ttest_rel(ours, baseline).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.value == pytest.approx(-0.04)


def test_a_wider_confidence_makes_a_wider_interval():
    wide = compare.paired_difference([1, 2, 4], [0, 0, 0], confidence=0.99)
    assert wide.low < compare.paired_difference([1, 2, 4], [0, 0, 0]).low


@pytest.mark.parametrize("pair", [([1.0], [2.0]), ([1, 2], [1, 2, 3]), ([[1, 2]], [[1, 2]])])
def test_what_are_no_pairs_is_refused(pair):
    with pytest.raises(ValueError, match="two seeds or more"):
        compare.paired_difference(*pair)
    with pytest.raises(ValueError, match="two stories or more"):
        compare.bits_per_char(*pair)


def test_bits_per_char_weighs_stories_by_their_length():
    found = compare.bits_per_char([10, 10, 100], [100, 100, 200])
    assert found.value == pytest.approx(120 / 400)
    assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_interval():
    bits, chars = np.arange(20.0), np.full(20, 7)
    assert compare.bits_per_char(bits, chars) == compare.bits_per_char(bits, chars)
    assert compare.bits_per_char(bits, chars) != compare.bits_per_char(bits, chars, seed=1)


def test_pairing_by_story_takes_out_what_the_stories_have_in_common():
    rng = np.random.default_rng(0)
    chars = rng.integers(300, 700, 100)
    one = chars * rng.uniform(0.1, 0.3, 100)
    other = one + 0.01 * chars
    paired = compare.bits_per_char(other - one, chars)
    assert paired.value == pytest.approx(0.01) and paired.excludes()
    assert compare.bits_per_char(other, chars).low < compare.bits_per_char(one, chars).high


def test_the_bootstrap_of_many_stories_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        chars = rng.integers(300, 700, 60)
        bits = chars * rng.gamma(4, 0.05, 60)  # 0.2 bits a character
        found = compare.bits_per_char(bits, chars, num_resamples=299, seed=trial)
        covered += not found.excludes(0.2)
    assert 175 <= covered <= 199


@pytest.mark.parametrize("n", [2, 5, 30])
def test_power_is_the_share_of_intervals_that_exclude_0_on_the_right_side(n):
    draws = np.random.default_rng(0).normal(0.5, 1, (20_000, n))
    half = stats.t.ppf(0.975, n - 1) * draws.std(axis=1, ddof=1) / n**0.5
    assert compare.power(n, 0.5, 1.0) == pytest.approx((draws.mean(1) > half).mean(), abs=0.015)


def test_seeds_needed_are_the_fewest_that_do():
    for difference in (0.3, -1.0, 4.0):
        n = compare.seeds_needed(difference, 1.0)
        assert compare.power(n, difference, 1.0) >= 0.8
        assert n == 2 or compare.power(n - 1, difference, 1.0) < 0.8
    assert compare.seeds_needed(0.5, 1.0) == 34  # as in Cohen's tables


def test_no_number_of_seeds_tells_nothing_from_nothing():
    with pytest.raises(ValueError, match="over a million"):
        compare.seeds_needed(0.0, 1.0)


def test_an_interval_is_printed_with_its_ends_and_tells_what_it_excludes():
    found = Interval(-0.25, -0.5, 0.0)
    assert f"{found:+.2f}" == "-0.25 (-0.50 to +0.00)" and not found.excludes()
    assert Interval(-0.25, -0.5, -0.1).excludes() and f"{found}".startswith("-0.250")
