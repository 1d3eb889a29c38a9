"""What flows through a model is read and replaced, as nnsight does it."""

import nnsight
import pytest
import torch
import torch.nn.functional as F

from tinygpt.model import GPT, GPTConfig, ModelError, preset
from tinygpt.model.hooks import places, watch

SMALL = {"vocab_size": 31, "context": 24, "num_layers": 3, "num_heads": 4, "d_model": 32}
KINDS = {
    "gpt2": preset("gpt2", **SMALL),
    "modern": preset("modern", **SMALL),
    "shared keys": preset("modern", **SMALL, num_kv_heads=2),
    "bert": preset("bert", **SMALL),
}


@pytest.fixture(params=KINDS)
def model(request):
    return make(KINDS[request.param])


def make(config):
    torch.manual_seed(1)
    model = GPT(config).eval()
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.fixture
def ids():
    return torch.randint(31, (2, 9), generator=torch.Generator().manual_seed(2))


def rolled(x):
    """Another tensor of that shape: what is read at a place cannot be mistaken for it."""
    return x.roll(1, dims=1) * 1.5


@torch.no_grad()
def test_nothing_is_changed_by_reading(model, ids):
    alone = model(ids)
    with watch(model, read=places(model)) as seen:
        assert torch.equal(model(ids), alone)
    assert list(seen) and set(seen) == set(places(model))


@torch.no_grad()
def test_every_place_has_the_shape_that_is_said(model, ids):
    with watch(model, read=places(model)) as seen:
        model(ids)
    shapes = {
        "residual": (2, 9, 32),
        "mlp": (2, 9, 32),
        "heads": (2, 9, 4, 8),
        "weights": (2, 4, 9, 9),
    }
    for place, x in seen.items():
        assert tuple(x.shape) == shapes[place.split(".")[0]]


@torch.no_grad()
def test_the_hooks_are_gone_when_the_context_is_left(model, ids):
    alone = model(ids)
    with watch(model, read=["heads.0"], replace={"mlp.1": rolled}) as seen:
        assert not torch.equal(model(ids), alone)
    seen.clear()
    assert torch.equal(model(ids), alone) and not seen


@torch.no_grad()
def test_the_hooks_are_gone_after_an_error(model, ids):
    alone = model(ids)
    with pytest.raises(RuntimeError, match="stop"), watch(model, replace={"mlp.1": rolled}):
        raise RuntimeError("stop")
    assert torch.equal(model(ids), alone)


@torch.no_grad()
def test_what_is_replaced_by_itself_changes_nothing(model, ids):
    alone = model(ids)
    same = {place: lambda x: x for place in places(model) if not place.startswith("weights")}
    with watch(model, replace=same):
        assert torch.equal(model(ids), alone)


@torch.no_grad()
def test_what_is_read_is_what_came_of_the_replacement(model, ids):
    with watch(model, read=["mlp.0"]) as before:
        model(ids)
    with watch(model, read=["mlp.0"], replace={"mlp.0": rolled}) as seen:
        model(ids)
    assert torch.equal(seen["mlp.0"], rolled(before["mlp.0"]))


@torch.no_grad()
def test_a_function_that_changes_its_copy_does_not_reach_what_was_read_elsewhere(model, ids):
    def silence(x):
        x[:] = 0
        return x

    with watch(model, read=["residual.0"]) as seen:
        model(ids)
    kept = seen["residual.0"].clone()
    with watch(model, read=["residual.0"], replace={"residual.1": silence}) as seen:
        model(ids)
    assert torch.equal(seen["residual.0"], kept)


@torch.no_grad()
def test_the_last_residual_stream_gives_the_logits(model, ids):
    last = f"residual.{model.config.num_layers}"
    with watch(model, read=[last]) as seen:
        logits = model(ids)
    assert torch.equal(model.head(model.norm(seen[last])), logits)


@torch.no_grad()
def test_a_whole_pass_can_be_brought_into_another(model, ids):
    other = ids.flip(1)
    with watch(model, read=["residual.2"]) as seen:
        wanted = model(ids)
    with watch(model, replace={"residual.2": lambda x: seen["residual.2"]}):
        assert torch.equal(model(other), wanted)


@torch.no_grad()
def test_the_weights_and_the_values_give_what_the_heads_found(model, ids):
    for layer, block in enumerate(model.blocks):
        caught = []
        hook = block.attention.qkv.register_forward_hook(lambda *x, to=caught: to.append(x[2]))
        with watch(model, read=[f"weights.{layer}", f"heads.{layer}"]) as seen:
            model(ids)
        hook.remove()
        kv = model.config.kv_heads
        v = caught[0][..., -kv * 8 :].unflatten(2, (kv, 8))
        v = v.repeat_interleave(4 // kv, dim=2)  # (B, S, H, d_head)
        by_hand = torch.einsum("bhts,bshd->bthd", seen[f"weights.{layer}"], v)
        torch.testing.assert_close(by_hand, seen[f"heads.{layer}"])


@torch.no_grad()
def test_padding_gets_no_weight(ids):
    model = make(KINDS["bert"])
    keep = torch.arange(9) < torch.tensor([[9], [5]])
    with watch(model, read=["weights.1"]) as seen:
        model(ids, keep=keep)
    assert seen["weights.1"][1, :, :5, 5:].abs().max() == 0


def test_gradients_flow_through_what_is_replaced(ids):
    model = make(KINDS["modern"])
    added = torch.zeros(32, requires_grad=True)
    with watch(model, read=["mlp.0"], replace={"mlp.0": lambda x: x + added}) as seen:
        F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert added.grad.abs().max() > 0 and not seen["mlp.0"].requires_grad


# The same with nnsight

NAMED = pytest.mark.filterwarnings("ignore:Module 'model.head'")  # BERT's head has an `output`


@NAMED
@torch.no_grad()
def test_nnsight_reads_the_same(model, ids):
    with watch(model, read=places(model)) as seen:
        model(ids)
    theirs = nnsight.NNsight(model)
    with theirs.trace(ids):
        into = theirs.blocks[1].input.save()
        heads = theirs.blocks[1].attention.out.input.save()
        mlp = theirs.blocks[1].mlp.output.save()
        out = theirs.blocks[2].output.save()
    assert torch.equal(into, seen["residual.1"])
    assert torch.equal(heads, seen["heads.1"].flatten(2))
    assert torch.equal(mlp, seen["mlp.1"])
    assert torch.equal(out, seen["residual.3"])


@NAMED
@torch.no_grad()
def test_nnsight_replaces_the_same(model, ids):
    def one_head(x):
        x[:, 4:, 2] = 0.5
        return x

    theirs = nnsight.NNsight(model)
    with watch(model, replace={"heads.1": one_head}):
        ours = model(ids)
    with theirs.trace(ids):
        theirs.blocks[1].attention.out.input[:, 4:, 16:24] = 0.5
        changed = theirs.output.save()
    assert torch.equal(ours, changed) and not torch.equal(ours, model(ids))
    with watch(model, replace={"mlp.2": rolled}):
        ours = model(ids)
    with theirs.trace(ids):
        theirs.blocks[2].mlp.output = rolled(theirs.blocks[2].mlp.output)
        changed = theirs.output.save()
    assert torch.equal(ours, changed)
    with watch(model, replace={"residual.2": rolled}):
        ours = model(ids)
    with theirs.trace(ids):
        theirs.blocks[1].output = rolled(theirs.blocks[1].output)
        changed = theirs.output.save()
    assert torch.equal(ours, changed)


# What is refused


@pytest.mark.parametrize("place", ["heads.3", "heads", "residual.4", "mlp.-1", "keys.0", ""])
def test_a_place_that_is_not_there_is_refused(place):
    with (
        pytest.raises(ModelError, match="There is no place"),
        watch(GPT(GPTConfig(**SMALL)), [place]),
    ):
        pass


def test_weights_are_not_replaced():
    with (
        pytest.raises(ModelError, match="read only"),
        watch(GPT(GPTConfig(**SMALL)), replace={"weights.0": rolled}),
    ):
        pass


@pytest.mark.parametrize("wrong", [lambda x: None, lambda x: x[:1]])
def test_a_replacement_of_another_shape_is_refused(wrong, ids):
    model = GPT(GPTConfig(**SMALL))
    with pytest.raises(ModelError, match="same shape"), watch(model, replace={"heads.0": wrong}):
        model(ids)
