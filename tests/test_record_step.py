"""The recorded runs of the chapter on what a step costs: that each way does what it says."""

import pytest
import torch

from tools.records import step


def rates(model, way, width):
    """The rate of each parameter, by its name, where the rate asked for is 1."""
    names = {id(p): name for name, p in model.named_parameters()}
    made = step.optimisers(model, width, way, 1.0)
    groups = [group for one in made for group in one.param_groups]
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def begun(way, width, louder=1.0):
    torch.manual_seed(0)
    return step.begin(60, width, way, louder)


@pytest.mark.parametrize("way", ["both", "rates", "weights"])
def test_at_the_base_width_all_ways_of_adamw_are_the_usual_one(way):
    usual, other = begun("usual", step.BASE), begun(way, step.BASE)
    for one, two in zip(usual.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    assert set(rates(other, way, step.BASE).values()) == {1.0}


def test_by_width_what_sums_over_the_width_starts_smaller_and_moves_slower():
    model, usual = begun("both", 128), begun("usual", 128)
    assert torch.allclose(model.head.weight, usual.head.weight / 2)
    up, usual_up = (m.blocks[0].mlp.up.weight for m in (model, usual))
    assert torch.allclose(up, usual_up / 2**0.5)
    assert torch.equal(model.embedding.weight, usual.embedding.weight)
    found = rates(model, "both", 128)
    assert found["head.weight"] == found["blocks.1.attention.qkv.weight"] == 0.5
    assert found["embedding.weight"] == found["blocks.0.mlp.up.bias"] == 1.0


def test_louder_first_weights_are_those_of_the_same_matrices_at_any_width():
    for way in ("usual", "both"):
        model, quiet = begun(way, 128, 5.0), begun(way, 128)
        assert torch.allclose(model.head.weight, 5 * quiet.head.weight)
        up, quiet_up = (m.blocks[0].mlp.up.weight for m in (model, quiet))
        assert torch.allclose(up, 5 * quiet_up)
        assert torch.equal(model.embedding.weight, quiet.embedding.weight)


def test_muons_rate_is_that_of_the_blocks_matrices_alone():
    found = rates(begun("Muon", 32), "Muon", 32)
    assert found["blocks.0.mlp.down.weight"] == 1.0
    assert found["head.weight"] == found["norm.weight"] == step.REST


def test_a_search_ends_with_two_rates_on_either_side_of_the_best(monkeypatch):
    def kept(folder, width, way, power, seed, louder):
        return {"nats": abs(power + 9.4 + 0.3 * seed), "cpu_seconds": 0.0}

    monkeypatch.setattr(step, "kept", kept)
    found = step.searched("x", 32, "usual")
    assert sorted(found) == list(range(-12, -4))  # from -7 up to -5, and down to -12


def test_a_step_has_its_parts_and_they_run():
    parts = step.step(32)
    assert list(parts) == ["forward", "both", "AdamW", "products"]
    for part in parts.values():
        part()
