"""tinygpt.optim: which optimiser sets which parameter, Muon on a CPU, and the schedules."""

import copy

import pytest
import torch

from tinygpt import optim
from tinygpt.model import GPT, preset


def model(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "context": 8, "num_layers": 2, "num_heads": 2, "d_model": 8}
    return GPT(preset("modern", **sizes | changes))


def names(a_model, optimiser):
    known = {id(p): name for name, p in a_model.named_parameters()}
    return {known[id(p)] for group in optimiser.param_groups for p in group["params"]}


def test_muon_sets_the_matrices_in_blocks_and_adamw_all_others():
    untied = model(tied=False)
    adamw, muon = optim.make(untied, "muon")
    everything = {name for name, _ in untied.named_parameters()}
    matrices = {name for name, p in untied.named_parameters() if "blocks" in name and p.ndim == 2}
    assert names(untied, muon) == matrices and len(matrices) == 8
    assert names(untied, adamw) == everything - matrices


@pytest.mark.parametrize("name", optim.NAMES)
def test_vectors_are_not_decayed(name):
    groups = [group for one in optim.make(model(), name) for group in one.param_groups]
    for group in groups:
        decayed = group["weight_decay"] > 0
        assert all((p.ndim >= 2) == decayed for p in group["params"])


def test_a_tied_matrix_learns_at_the_rate_of_embeddings():
    tied = model()
    (adamw,) = optim.make(tied, "adamw", learning_rate=1.0, embedding_learning_rate=2.0)
    (rate,) = [g["lr"] for g in adamw.param_groups if g["params"][0] is tied.embedding.weight]
    assert rate == 2.0


def test_muon_on_a_cpu_takes_the_steps_of_torchs_to_the_precision_of_bfloat16():
    torch.manual_seed(0)
    shapes = [(24, 8), (8, 8), (8, 24)]
    ours = [torch.randn(shape, requires_grad=True) for shape in shapes]
    theirs = copy.deepcopy(ours)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    pair = optim.Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimiser in pair:
            optimiser.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)  # of steps of length about 0.3


def test_newton_schulz_moves_singular_values_near_one():
    torch.manual_seed(0)
    x = optim.orthogonal(torch.randn(24, 8), (3.4445, -4.7750, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(x)
    assert values.min() > 0.6 and values.max() < 1.3


def test_a_model_without_blocks_has_nothing_for_muon():
    with pytest.raises(ValueError, match="matrices inside `blocks`, and this model has none"):
        optim.make(torch.nn.Linear(2, 2), "muon")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no optimiser 'sgd': choose muon or adamw"):
        optim.make(model(), "sgd")
    with pytest.raises(ValueError, match="no schedule 'flat': choose linear or cosine or stable"):
        optim.schedule(0, 10, shape="flat")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [0.5, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0.5, 0.962, 0.854, 0.691, 0.5, 0.309, 0.146, 0.038]),
        ("stable-linear", [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]),
    ],
)
def test_a_schedule_rises_and_falls(shape, expected):
    factors = [optim.schedule(step, 8, warm_up=2, shape=shape) for step in range(8)]
    assert factors == pytest.approx(expected, abs=5e-4)


def test_scaling_sets_each_rate_to_its_share():
    optimisers = optim.make(model(), "muon", learning_rate=0.5, matrix_learning_rate=0.25)
    for factor in (0.5, 0.1):
        optim.scale(optimisers, factor)
        rates = {group["lr"] for one in optimisers for group in one.param_groups}
        assert rates == {0.5 * factor, 0.25 * factor}
