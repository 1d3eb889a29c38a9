"""tinygpt.model.lora: what it adds, what it leaves alone, and that peft's is the same."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tinygpt import checkpoint, hf
from tinygpt.generate import generate
from tinygpt.model import GPT, ModelError, preset, quantise
from tinygpt.model.lora import TARGETS, LoRALinear, load, lora, merge, save

SIZES = {"vocab_size": 90, "context": 60, "num_layers": 2, "num_heads": 4, "d_model": 32}
MODERN = {"num_kv_heads": 2, "mlp_hidden": 40}
UNGATED = ("q", "k", "v", "out", "up", "down")
KINDS = pytest.mark.parametrize(
    ("name", "changes", "targets"),
    [
        ("modern", MODERN, tuple(TARGETS)),
        ("modern", MODERN | {"tied": False, "qk_norm": False}, ("q", "v")),
        ("modern", MODERN | {"copy_head": True, "ngram_rows": 50}, ("up", "k")),
        ("gpt2", {}, UNGATED),
        ("bert", {}, UNGATED),
        ("gpt2", {"cross_attention": True}, UNGATED),
    ],
    ids=str,
)
# What a target is called in transformers' Llama and Qwen3.
THEIRS = {name: f"{name}_proj" for name in TARGETS} | {"out": "o_proj"}


def model(name="modern", **changes):
    torch.manual_seed(0)
    made = GPT(preset(name, **SIZES | changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.2)
    return made


def learned(gpt):
    """As after a training: no B is zero any more."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in gpt.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3, generator=generator)
    return gpt


def ids(batch=2, length=9):
    return torch.randint(90, (batch, length), generator=torch.Generator().manual_seed(1))


def others(gpt):
    """What a model of this kind takes beside ids."""
    return {"memory": torch.ones(2, 5, 32)} if gpt.config.cross_attention else {}


@torch.no_grad()
def logits(gpt):
    return gpt(ids(), **others(gpt))


@KINDS
def test_it_begins_as_the_model_was(name, changes, targets):
    gpt = model(name, **changes)
    before = logits(gpt)
    assert torch.equal(logits(lora(gpt, 3, 6.0, targets)), before)


@KINDS
def test_merged_it_says_the_same_and_is_an_ordinary_model(name, changes, targets):
    gpt = model(name, **changes)
    plain = logits(gpt)
    names, kinds = list(gpt.state_dict()), [type(x) for x in gpt.modules()]
    learned(lora(gpt, 3, 6.0, targets))
    before = logits(gpt)
    assert (before - plain).abs().max() > 0.05
    assert merge(gpt) is gpt
    torch.testing.assert_close(logits(gpt), before, rtol=1e-4, atol=1e-4)
    assert [type(x) for x in gpt.modules()] == kinds
    assert list(gpt.state_dict()) == names
    assert all(p.requires_grad for p in gpt.parameters())
    assert not any(x.training for x in gpt.modules())


def test_each_target_changes_its_own_rows_and_no_others():
    for target in TARGETS:
        gpt = model(**MODERN)
        before = copy.deepcopy(gpt.state_dict())
        merge(learned(lora(gpt, 2, 4.0, [target])))
        q, kv, hidden = 32, 16, 40
        rows = {
            "q": (0, q), "k": (q, q + kv), "v": (q + kv, q + 2 * kv), "out": (0, 32),
            "gate": (0, hidden), "up": (hidden, 2 * hidden), "down": (0, 32),
        }[target]  # fmt: skip
        for name, weight in gpt.state_dict().items():
            moved = (weight != before[name]).flatten(1).any(dim=1) if weight.ndim > 1 else None
            if name.endswith(f"{TARGETS[target]}.weight"):
                assert moved.nonzero().flatten().tolist() == list(range(*rows)), (target, name)
            else:
                assert torch.equal(weight, before[name]), (target, name)


def test_only_a_and_b_learn_and_they_do():
    gpt = lora(model(**MODERN), 3, 6.0, ("q", "down"))
    before = {name: p.detach().clone() for name, p in gpt.named_parameters()}
    optimiser = torch.optim.AdamW(gpt.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(2):  # in the first step A does not move: B is zero
        F.cross_entropy(gpt(ids())[:, :-1].flatten(0, 1), ids()[:, 1:].flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()
    moved = {name for name, p in gpt.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {
        f"blocks.{block}.{path}.pairs.{name}.{letter}"
        for block in range(2)
        for path, name in (("attention.qkv", "q"), ("mlp.down", "down"))
        for letter in "AB"
    }


def test_there_are_rank_times_the_two_sides_of_each_matrix_to_learn():
    gpt = lora(model(**MODERN), 3, 6.0, TARGETS)
    sides = [32 + 32, 32 + 16, 32 + 16, 32 + 32, 32 + 40, 32 + 40, 40 + 32]
    assert sum(p.numel() for p in gpt.parameters() if p.requires_grad) == 2 * 3 * sum(sides)


def test_a_starts_as_large_as_keeps_the_length_of_x_and_b_at_zero():
    gpt = lora(model(num_layers=6), rank=30, targets=["q", "down"])
    for layer in gpt.modules():
        if isinstance(layer, LoRALinear):
            (pair,) = layer.pairs.values()
            assert pair.A.std().item() == pytest.approx(layer.in_features**-0.5, rel=0.15)
            assert not pair.B.any()
    torch.manual_seed(5)
    one = lora(model(), targets="q")
    torch.manual_seed(5)
    assert len({p.sum().item() for p in one.parameters() if p.requires_grad}) > 2


def test_alpha_over_the_rank_is_what_the_product_is_multiplied_by():
    gpt = learned(lora(model(**MODERN), 4, 10.0, ["out"]))
    before = gpt.blocks[1].attention.out.weight.clone()
    pair = gpt.blocks[1].attention.out.pairs["out"]
    expected = before + 2.5 * pair.B @ pair.A
    torch.testing.assert_close(merge(gpt).blocks[1].attention.out.weight, expected)


@pytest.mark.parametrize("changes", [{}, {"qk_norm": False}, {"tied": False}], ids=str)
@pytest.mark.parametrize("targets", [("q", "v"), tuple(TARGETS)], ids=str)
def test_with_the_same_a_and_b_pefts_is_the_same_and_so_are_its_merged_weights(changes, targets):
    from peft import LoraConfig, get_peft_model

    gpt = model(**MODERN | changes)
    config = LoraConfig(r=4, lora_alpha=6, target_modules=[THEIRS[name] for name in targets])
    theirs = get_peft_model(hf.to_hf(gpt), config).eval()
    learned(lora(gpt, 4, 6.0, targets))
    parameters, copied = dict(theirs.named_parameters()), 0
    for path, layer in gpt.named_modules():
        if isinstance(layer, LoRALinear):
            _, block, part, _ = path.split(".")
            part = {"attention": "self_attn"}.get(part, part)
            for name, pair in layer.pairs.items():
                whole = f"base_model.model.model.layers.{block}.{part}.{THEIRS[name]}"
                for letter in "AB":
                    with torch.no_grad():
                        target = parameters[f"{whole}.lora_{letter}.default.weight"]
                        target.copy_(getattr(pair, letter))
                    copied += 1
    assert copied == 2 * len(targets) * 2
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids()).logits, logits(gpt), rtol=1e-4, atol=1e-4)
    merged = hf.from_hf(theirs.merge_and_unload()).state_dict()
    for name, weight in merge(gpt).state_dict().items():
        torch.testing.assert_close(merged[name], weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("tied", [True, False])
def test_a_text_goes_on_as_it_does_when_merged(tied):
    gpt = learned(lora(model(**MODERN, tied=tied), 3, 6.0, TARGETS))
    whole = ids(1, 5)
    for _ in range(20):  # without a cache
        whole = torch.cat([whole, gpt(whole)[:, -1:].argmax(dim=2)], dim=1)
    assert torch.equal(generate(gpt, ids(1, 5), 20, temperature=0), whole[:, 5:])
    assert torch.equal(generate(merge(gpt), ids(1, 5), 20, temperature=0), whole[:, 5:])


def test_a_tied_head_stays_tied():
    gpt = merge(learned(lora(model(**MODERN, tied=True))))
    assert gpt.head.weight is gpt.embedding.weight


def test_whatever_stores_or_exports_a_model_gets_what_it_has_learned():
    gpt = learned(lora(model(**MODERN), 3, 6.0, TARGETS))
    expected = logits(gpt)
    again = GPT.from_stored(gpt.config, gpt.stored(gpt.state_dict()))
    torch.testing.assert_close(logits(again), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(gpt.with_context(70)), expected, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        theirs = hf.to_hf(gpt)(ids()).logits
    torch.testing.assert_close(theirs, expected, rtol=1e-4, atol=1e-4)


def test_the_small_part_comes_back_from_its_file_onto_the_same_model(tmp_path):
    gpt = learned(lora(model(**MODERN), 3, 6.0, ("v", "down")))
    save(gpt, tmp_path / "small")
    again = load(model(**MODERN), tmp_path / "small")
    assert torch.equal(logits(again), logits(gpt))
    assert {n for n, p in again.named_parameters() if p.requires_grad} == {
        n for n, p in gpt.named_parameters() if p.requires_grad
    }
    tensors, _ = checkpoint.load(tmp_path / "small")
    assert sum(t.numel() for t in tensors.values()) == 2 * 3 * (32 + 16 + 40 + 32)


def test_a_copy_is_a_model_of_its_own():
    gpt = learned(lora(model(**MODERN)))
    expected, other = logits(gpt), merge(copy.deepcopy(gpt))
    torch.testing.assert_close(logits(other), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits(gpt), expected)


def refused(match, work, *arguments):
    with pytest.raises(ModelError, match=match) as error:
        work(*arguments)
    assert "\n" not in str(error.value)


def test_merged_twice_is_refused_and_so_is_a_second_lora():
    gpt = lora(model())
    refused("LoRA already", lora, gpt)
    merge(gpt)
    refused("nothing to merge", merge, gpt)
    lora(gpt)  # after a merge one may go on


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0,), "rank is 0"),
        ((2.5,), "rank is 2.5"),
        ((True,), "rank is True"),
        ((4, 0.0), "alpha is 0.0"),
        ((4, float("nan")), "alpha is nan"),
        ((4, 8.0, ["q", "query"]), "no target 'query'"),
        ((4, 8.0, []), "no targets"),
        ((4, 8.0, ["gate"]), "SwiGLU"),
    ],
)
def test_what_cannot_be_is_refused_and_the_model_stays_as_it_was(arguments, match):
    gpt = model("gpt2")
    before = logits(gpt)
    refused(match, lora, gpt, *arguments)
    assert torch.equal(logits(gpt), before)
    assert all(p.requires_grad for p in gpt.parameters())


def test_a_quantised_model_is_refused():
    refused("quantise after", lora, quantise(model()))


def test_weights_cannot_be_loaded_underneath():
    gpt = lora(model())
    refused("LoRA: load weights before", gpt.load_state_dict, gpt.state_dict())


def test_the_file_of_another_model_is_refused(tmp_path):
    save(lora(model(**MODERN)), tmp_path / "small")
    for other in (model(), model(**MODERN, num_layers=3), model("gpt2", d_model=40)):
        before = logits(other)
        refused("is of another model: blocks", load, other, tmp_path / "small")
        assert torch.equal(logits(other), before)
    checkpoint.save(tmp_path / "other", {"x": torch.ones(2)}, {"step": 3})
    refused("holds no LoRA", load, model(), tmp_path / "other")
    refused("nothing to save", save, model(), tmp_path / "small")


def test_what_is_beside_the_targets_stays_the_very_same_module():
    gpt = model(**MODERN)
    norm, down = gpt.blocks[0].norm_1, gpt.blocks[0].mlp.down
    lora(gpt, targets=["q"])
    assert gpt.blocks[0].norm_1 is norm and gpt.blocks[0].mlp.down is down
    assert type(down) is nn.Linear
