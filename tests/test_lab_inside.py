"""Lab 10's solution beside what it is like elsewhere: the package's 8 bits, SciPy's interval.

The lab's own tests compute what they expect. Here it is seen that the same words mean the same.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tinygpt import planted
from tinygpt.model.quantise import _rounded
from tools.lab_runs import SOLUTIONS, graded, read


@pytest.fixture(scope="module")
def lab():
    """The functions of the solution, by name."""
    names = {}
    for cell in graded(read(SOLUTIONS["lab10-inside"])):
        if cell.cell_type == "code" and not cell.metadata.nbgrader.grade:
            exec(cell.source, names)
    return names


def test_the_labs_model_is_the_packages(lab):
    weights, _ = planted.plant(6, heads=5)
    ids = planted.texts(4, 1)
    ours, theirs = lab["run"](weights, ids), planted.run(weights, ids)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name])


def test_eight_bits_a_row_are_the_packages(lab):
    torch.manual_seed(0)
    matrix = nn.Linear(48, 20).weight.detach()
    codes, scales = _rounded([matrix])[0]
    got = lab["quantise"](matrix, 8, 48)
    assert got["codes"].equal(codes) and got["scales"][:, 0].equal(scales)


def test_an_interval_is_scipys(lab):
    rng = np.random.default_rng(0)
    base, change = rng.normal(3, 2, 400), rng.normal(0.1, 0.3, 400)
    base, target = torch.tensor(base), torch.tensor(base + change)
    got = lab["compared"](base, target, base.repeat(9, 1))
    pairs = (target - base).numpy()
    low, high = stats.bootstrap((pairs,), np.mean, rng=rng, method="BCa").confidence_interval
    assert [got["low"], got["high"]] == pytest.approx([low, high], abs=0.003)


@pytest.mark.parametrize("bits", range(2, 9))
def test_no_product_is_farther_off_than_its_bound(lab, bits):
    """Also where x is aimed at the errors of a row, and where one column is far larger."""
    torch.manual_seed(bits)
    matrix = torch.randn(30, 50) * torch.tensor([20.0] + [1.0] * 49)
    got = lab["quantise"](matrix, bits, 12)
    error = lab["whole"](**got, group=12).double() - matrix.double()
    for x in [*torch.randn(10, 50), *error.sign().float()]:
        most = lab["bound"](got["scales"], x, 12)
        assert ((error @ x.double()).abs() <= most * 1.0001).all()
