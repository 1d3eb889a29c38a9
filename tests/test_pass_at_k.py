"""pass@k is the share of subsets that hold a right answer, and its mean is the true chance."""

from itertools import combinations
from math import comb

import pytest

from tinygpt.pass_at_k import pass_at_k


def test_it_is_the_share_of_subsets_that_hold_a_right_answer():
    for drawn in range(1, 9):
        for right in range(drawn + 1):
            answers = [True] * right + [False] * (drawn - right)
            for k in range(1, drawn + 1):
                subsets = list(combinations(answers, k))
                share = sum(map(any, subsets)) / len(subsets)
                assert pass_at_k(drawn, right, k) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(("chance", "drawn", "k"), [(0.1, 12, 10), (0.3, 20, 5), (0.9, 4, 2)])
def test_its_mean_over_draws_is_the_true_chance(chance, drawn, k):
    weights = [
        comb(drawn, right) * chance**right * (1 - chance) ** (drawn - right)
        for right in range(drawn + 1)
    ]
    mean = sum(w * pass_at_k(drawn, right, k) for right, w in enumerate(weights))
    assert mean == pytest.approx(1 - (1 - chance) ** k)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((10, 11, 1), "11 right of 10"),
        ((10, -1, 1), "-1 right of 10"),
        ((10, 3, 0), "pass@0 of 10"),
        ((10, 3, 11), "pass@11 of 10"),
    ],
)
def test_what_has_no_answer_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        pass_at_k(*given)
