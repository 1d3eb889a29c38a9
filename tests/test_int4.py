"""tinygpt.model.int4: which places weights get, what is made good, and what a model of it gives."""

import copy

import pytest
import torch
from torch import nn

from tinygpt.model import GPT, KVCache, ModelError, preset, quantise
from tinygpt.model.int4 import (
    GroupedLinear,
    calibrated,
    grouped,
    nearest,
    pack,
    stands_for,
    unpack,
)

SIZES = {"vocab_size": 90, "context": 60, "num_layers": 2, "num_heads": 2, "d_model": 64}


def model(name="modern", **changes):
    torch.manual_seed(0)
    made = GPT(preset(name, **SIZES | changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.2)
    return made


def ids(batch=4, length=50):
    return torch.randint(90, (batch, length), generator=torch.Generator().manual_seed(1))


def together(rows=400, columns=40):
    """Inputs that go together."""
    generator = torch.Generator().manual_seed(2)
    few = torch.randn(rows, 8, generator=generator)
    mixed = few @ torch.randn(8, columns, generator=generator)
    return mixed + 0.3 * torch.randn(rows, columns, generator=generator)


def weight(rows=24, columns=40):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("columns", [1, 6, 7])
def test_two_places_are_a_byte_and_come_out_as_they_went_in(columns):
    places = torch.randint(16, (5, columns), generator=torch.Generator().manual_seed(0))
    packed = pack(places)
    assert packed.dtype == torch.uint8 and packed.shape == (5, (columns + 1) // 2)
    assert torch.equal(unpack(packed)[:, :columns], places.to(torch.uint8))


@pytest.mark.parametrize("group", [8, 32, 64])  # 40 columns: a last group that is shorter
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_no_number_moves_by_more_than_half_a_step(group, bits):
    places, step, low = nearest(weight(), group, bits)
    assert places.min() >= 0 and places.max() == 2**bits - 1
    moved = (stands_for(places, step, low, group) - weight()).abs()
    widest = step[:, torch.arange(40) // group]
    # and by what step and lowest place lose in 16 bits
    assert (moved <= widest / 2 + 0.02 * weight().abs().max()).all()


def test_a_group_of_equal_numbers_is_kept():
    same = torch.full((3, 32), 0.5)
    assert torch.equal(stands_for(*nearest(same, 32), 32), same)


@pytest.mark.parametrize("group", [8, 32])
def test_inputs_that_do_not_go_together_change_nothing(group):
    square = 5.0 * torch.eye(40)
    for one, other in zip(
        nearest(weight(), group), calibrated(weight(), square, group), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_what_is_made_good_makes_products_nearer(bits):
    x, w = together(), weight()
    errors = []
    for found in (nearest(w, 8, bits), calibrated(w, x.T @ x, 8, bits)):
        errors.append((x @ (stands_for(*found, 8) - w).T).square().mean().item())
    assert errors[1] < 0.7 * errors[0]


def test_calibration_by_groups_is_that_column_by_column():
    x, w = together(), weight()
    square = x.T @ x
    damped = square + 0.01 * square.diagonal().mean() * torch.eye(40)
    upper = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    places, step, low = calibrated(w, square, 8)
    ours, rest = torch.empty_like(w), w.clone()
    for j in range(40):
        one = ((rest[:, j] - low[:, j // 8]) / step[:, j // 8]).round().clamp(0, 15)
        ours[:, j] = one
        error = rest[:, j] - one * step[:, j // 8] - low[:, j // 8]
        rest -= error[:, None] * upper[j] / upper[j, j] * (torch.arange(40) >= j)
    assert (ours == places).float().mean() > 0.99  # a sum in another order may round otherwise


def test_the_weight_given_is_left_alone():
    w = weight()
    calibrated(w, torch.eye(40), 8)
    assert torch.equal(w, weight())


@pytest.mark.parametrize(
    "changes", [{}, {"tied": False}, {"mlp_hidden": 44}, {"num_kv_heads": 1}], ids=str
)
@pytest.mark.parametrize("rows", [None, ids()], ids=["nearest", "calibrated"])
def test_a_model_of_four_bits_predicts_nearly_the_same(changes, rows):
    float32 = model(**changes)
    before = copy.deepcopy(float32.state_dict())
    four = grouped(float32, rows, group=16)
    with torch.no_grad():
        one, other = float32(ids(2, 30)).softmax(-1), four(ids(2, 30)).softmax(-1)
    assert 0 < (one - other).abs().mean() < 0.01
    assert all(torch.equal(before[name], value) for name, value in float32.state_dict().items())


def test_only_the_matrices_of_the_blocks_are_rounded():
    four = grouped(model())
    kinds = {name: type(part) for name, part in four.named_modules()}
    assert kinds["head"] is nn.Linear and kinds["blocks.0.mlp.up"] is GroupedLinear
    assert four.head.weight is four.embedding.weight


@pytest.mark.parametrize("name", ["gpt2", "bert", "modern"])
def test_a_state_dict_holds_what_the_places_stand_for(name):
    four, plain = grouped(model(name)), model(name)
    plain.load_state_dict(four.state_dict())
    with torch.no_grad():
        assert torch.allclose(plain(ids()), four(ids()), atol=1e-5)


def test_it_works_with_a_cache_and_with_eight_bits_elsewhere():
    both = quantise(grouped(model()))
    with torch.no_grad():
        whole, cache = both(ids(1, 8))[:, -1], KVCache()
        both(ids(1, 8)[:, :7], cache=cache)
        assert torch.allclose(both(ids(1, 8)[:, 7:], cache=cache)[:, -1], whole, atol=0.05)


def test_calibrated_on_its_text_a_model_is_nearer_to_what_it_was():
    plain, errors = model(), []
    for rows in (None, ids()):
        few = grouped(plain, rows, group=64, bits=3)
        with torch.no_grad():
            errors.append((few(ids()) - plain(ids())).square().mean().item())
    assert errors[1] < errors[0]


@pytest.mark.parametrize("bits", [1, 8, "4"])
def test_bits_that_have_no_place_are_refused(bits):
    with pytest.raises(ModelError, match="bits is"):
        grouped(model(), bits=bits)


def test_an_encoder_is_not_calibrated():
    with pytest.raises(ModelError, match="Only a causal model"):
        grouped(model("bert"), ids())
