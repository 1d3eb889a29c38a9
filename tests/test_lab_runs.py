"""How labs are run by our own tests: as the grader does, and guarded against loose comparisons."""

import numpy as np
import pytest
import torch

from gradedesk.checks import after, number, same, shaped
from tools.lab_runs import StandIn, guard, plain

ARRAYS = [torch.ones(2, 3), np.ones((2, 3))]
KINDS = ["tensor", "array"]


@pytest.mark.parametrize("array", ARRAYS, ids=KINDS)
def test_checks_compare_a_guarded_result_and_what_is_made_of_it(array):
    got = guard({"list": [array]})["list"][0]
    rows = got.sum(-1)
    same(got, array, "It is the same.")
    same(rows, array.sum(-1), "So are its sums.")
    assert number(rows[0], "It is one number.") == 3
    assert (shaped(got, (2, 3), "It has the shape.") == 1).all()
    assert type(plain([got])[0]) is type(array)


LOOSE = {
    "==": lambda got: got == 1,
    "<": lambda got: got < 2,
    "largest difference": lambda got: (got - 1).max() < 1e-6,
    "float": lambda got: float(got.sum()),
    "if": lambda got: bool(got.sum()),
    "list": lambda got: got.tolist(),
    "any": lambda got: got.any(),
    "torch.allclose": lambda got: torch.allclose(got, torch.ones(2, 3)),
    "torch.equal": lambda got: torch.equal(got, torch.ones(2, 3)),
    "torch.testing": lambda got: torch.testing.assert_close(got, torch.ones(2, 3)),
    "numpy.allclose": lambda got: np.allclose(got, np.ones((2, 3))),
    "numpy.isclose": lambda got: np.isclose(got, 1),
    "numpy.testing": lambda got: np.testing.assert_allclose(got, np.ones((2, 3))),
}


@pytest.mark.parametrize("loose", LOOSE.values(), ids=LOOSE)
@pytest.mark.parametrize("array", ARRAYS, ids=KINDS)
def test_any_other_comparison_of_a_guarded_result_is_refused(array, loose):
    with pytest.raises((RuntimeError, TypeError)):
        loose(guard(array))


def test_a_call_touches_nothing_that_the_test_holds():
    given = [3, 1]
    assert StandIn(lambda xs: xs.sort() or xs)(given) == [1, 3] and given == [3, 1]
    result, (left,) = after(StandIn(lambda xs: xs.sort()), given)
    assert (result, left, given) == (None, [1, 3], [3, 1])
