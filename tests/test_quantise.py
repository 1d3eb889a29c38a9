"""tinygpt.model.quantise: how far a weight moves, how many bytes there are, what it costs."""

import copy

import pytest
import torch
from torch import nn

from tinygpt import corpora, data, hf, records
from tinygpt.generate import generate
from tinygpt.model import GPT, KVCache, ModelError, preset, quantise
from tinygpt.model.quantise import Int8, Int8Embedding, Int8Linear
from tinygpt.speculate import speculative
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train import bits_per_char

SIZES = {"vocab_size": 90, "context": 60, "num_layers": 2, "num_heads": 2, "d_model": 64}
KINDS = pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("modern", {}),
        ("modern", {"tied": False, "qk_norm": False}),
        ("gpt2", {}),
        ("modern", {"d_model": 24, "mlp_hidden": 40}),  # too narrow for the fast kernel
        ("modern", {"copy_head": True, "ngram_rows": 50}),
        ("bert", {}),
        ("gpt2", {"cross_attention": True}),
    ],
    ids=str,
)


def model(name="modern", **changes):
    torch.manual_seed(0)
    made = GPT(preset(name, **SIZES | changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.2)
    return made


def ids(batch=2, length=9):
    return torch.randint(90, (batch, length), generator=torch.Generator().manual_seed(1))


def others(gpt):
    """What a model of this kind takes beside ids."""
    width = gpt.config.d_model
    return {"memory": torch.ones(2, 5, width)} if gpt.config.cross_attention else {}


def matrices(gpt):
    """Name and weight of each matrix that is to be 8 bits, in float32."""
    return {
        name: module.weight.detach()
        for name, module in gpt.named_modules()
        if isinstance(module, nn.Linear) or name == "embedding"
    }


def unrounded(fast):
    """The same numbers, in float32: a model whose weights are what `fast` stands for."""
    made = copy.deepcopy(fast)
    for name, module in list(made.named_modules()):
        if isinstance(module, Int8Linear):
            new = nn.Linear(*module.int8.shape[::-1], bias=module.bias is not None)
            new.bias = module.bias
        elif isinstance(module, Int8Embedding):
            new = nn.Embedding(*module.int8.shape)
        else:
            continue
        new.weight = nn.Parameter(module.weight)
        made.set_submodule(name, new)
    return made.eval()


@KINDS
def test_no_weight_moves_by_more_than_half_a_step_of_its_row(name, changes):
    gpt = model(name, **changes)
    fast = quantise(gpt)
    found = {name: part for name, part in fast.named_modules() if isinstance(part, Int8)}
    assert found.keys() == matrices(gpt).keys() and len(found) > 8
    for name, weight in matrices(gpt).items():
        int8, scale = found[name].int8, found[name].scale.float()
        assert int8.dtype == torch.int8 and found[name].scale.dtype == torch.bfloat16
        assert (weight - found[name].weight).abs().le(scale[:, None] / 2 * (1 + 1e-5)).all()
        assert int8.abs().amax(dim=1).eq(127).all()
        assert torch.allclose(scale, weight.abs().amax(dim=1) / 127, rtol=2**-8, atol=0)


def test_a_row_of_zeros_stays_so():
    gpt = model()
    with torch.no_grad():
        gpt.blocks[0].mlp.up.weight[3] = 0.0
    assert not quantise(gpt).blocks[0].mlp.up.weight[3].any()


def bytes_of(gpt):
    """What the tensors of a model take, one that is shared counted once."""
    every = [*gpt.parameters(), *gpt.buffers()]
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in every}.values())


def test_the_bytes_are_a_quarter_and_a_tied_matrix_is_there_once():
    gpt = model(vocab_size=2000, d_model=256, num_heads=4, positions="none")
    fast = quantise(gpt)
    assert fast.embedding.int8 is fast.head.int8
    assert 0.25 < bytes_of(fast) / bytes_of(gpt) < 0.257
    again = copy.deepcopy(fast)
    assert again.embedding.int8 is again.head.int8 is not fast.head.int8


@KINDS
@torch.no_grad()
def test_it_computes_with_the_rounded_weights(name, changes):
    gpt = model(name, **changes)
    fast, more = quantise(gpt), others(gpt)
    many = ids(2, 40)  # too many positions for the kernel: float32
    more |= {"memory": torch.ones(2, 40, gpt.config.d_model)} if more else {}
    expected = unrounded(fast)(many, **more)
    assert not torch.equal(expected, gpt(many, **more))
    made = fast(many, **more)
    assert torch.allclose(made, expected, atol=1e-4 * expected.abs().max().item())
    made = fast(ids(2, 4), **more)
    expected = unrounded(fast)(ids(2, 4), **more)
    # bfloat16 keeps 8 bits of an input, and of an output.
    assert (made - expected).abs().max() < 0.03 * expected.abs().max()


def test_the_fast_kernel_is_taken_where_it_can_be(monkeypatch):
    calls, kernel = [], torch._weight_int8pack_mm
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda *a: calls.append(1) or kernel(*a))
    with torch.no_grad():
        quantise(model(mlp_hidden=80))(ids(2, 4))
        assert len(calls) == 2 * 4 + 1
        quantise(model(mlp_hidden=80))(ids(2, 40))
        assert len(calls) == 2 * 4 + 1
        quantise(model(d_model=24, mlp_hidden=40))(ids(2, 4))
        assert len(calls) == 2 * 4 + 1


@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize("width", [8, 16, 24, 48, 64, 72])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_of_any_size_is_a_linear_layer(rows, width, bias):
    generator = torch.Generator().manual_seed(0)
    int8 = torch.randint(-127, 128, (rows, width), dtype=torch.int8, generator=generator)
    scale = (torch.rand(rows, generator=generator) / 127 + 1e-3).bfloat16()
    added = torch.randn(rows, generator=generator) if bias else None
    layer = Int8Linear(int8, scale, added)
    for shape in ((width,), (1, width), (2, 3, width), (70, width)):
        x = torch.randn(shape, generator=generator)
        with torch.no_grad():
            made, expected = layer(x), nn.functional.linear(x, layer.weight, added)
        assert made.shape == expected.shape
        sizes = nn.functional.linear(x.abs(), layer.weight.abs()) + expected.abs()
        assert ((made - expected).abs() <= 2**-7 * sizes).all()


def test_the_model_given_stays_as_it_is_and_so_does_its_mode():
    gpt = model().train()
    before = {name: tensor.clone() for name, tensor in gpt.state_dict().items()}
    fast = quantise(gpt)
    assert all(module.training for module in fast.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in gpt.state_dict().items())
    with torch.no_grad():
        fast.norm.weight.zero_()
    assert gpt.norm.weight.any()


def test_what_is_trained_beside_it_gets_a_gradient_through_it():
    fast = quantise(model())
    fast(ids(1, 3)).square().sum().backward()
    assert fast.blocks[0].norm_1.weight.grad.any()
    expected = unrounded(fast)
    expected(ids(1, 3)).square().sum().backward()
    grad = expected.blocks[0].norm_1.weight.grad
    assert torch.allclose(fast.blocks[0].norm_1.weight.grad, grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_it_is_stored_and_exported_as_the_weights_that_it_stands_for(tied):
    fast = quantise(model(tied=tied))
    stored = fast.stored(fast.state_dict())
    assert stored.keys() == model(tied=tied).stored(model(tied=tied).state_dict()).keys()
    expected = unrounded(fast)(ids())
    assert torch.allclose(GPT.from_stored(fast.config, stored)(ids()), expected, atol=1e-5)
    assert torch.allclose(hf.to_hf(fast)(input_ids=ids()).logits, expected, atol=1e-3)
    again = quantise(GPT.from_stored(fast.config, stored))
    assert all(map(torch.equal, again.buffers(), fast.buffers()))


def test_it_writes_and_drafts_as_any_model():
    fast = quantise(model())
    greedy = generate(fast, ids(1), 30, temperature=0)
    with torch.no_grad():
        text, cache = ids(1), KVCache()
        for t in range(30):
            best = fast(text[:, cache.length :], cache=cache)[:, -1].argmax(-1)
            assert greedy[:, t].tolist() == best.tolist()
            text = torch.cat([text, best[:, None]], dim=1)
    drafted = speculative(fast, model(), ids(1), 30, temperature=0)
    assert torch.equal(drafted.ids, generate(model(), ids(1), 30, temperature=0))
    assert drafted.accepted > drafted.drafted / 2


def test_story_base_loses_less_than_a_thousandth_of_its_bits():
    text = corpora.corpus("storyland", size="1MB")
    tokenizer = BPETokenizer.train(text.train, 1536)
    stories = data.texts(text.test.splitlines(keepends=True)[:100], tokenizer)
    gpt, _ = records.load("story-base")
    fast = quantise(gpt)
    bits = bits_per_char(gpt, stories)
    # A story's loss spreads by 0.2 % of its bits: over 100 stories five standard errors.
    assert bits_per_char(fast, stories) == pytest.approx(bits, rel=1e-3)
    # The same where it writes: a token at a time, in bfloat16. Over 8 stories:
    rows = stories.rows(torch.arange(8), int(stories.lengths(torch.arange(8)).max()) + 1)
    nats, caches = [0.0, 0.0], (KVCache(), KVCache())
    with torch.inference_mode():
        for t in range(rows.shape[1] - 1):
            there = rows[:, t + 1] >= 0
            targets = rows[there, t + 1, None]
            for i, one in enumerate((gpt, fast)):
                logits = one(rows[:, t : t + 1].clamp(min=0), cache=caches[i])[:, 0]
                nats[i] -= logits.log_softmax(-1)[there].gather(1, targets).sum().item()
    assert nats[1] == pytest.approx(nats[0], rel=4e-3)


def test_weights_that_are_not_numbers_are_refused():
    gpt = model()
    with torch.no_grad():
        gpt.head.weight[3, 4] = float("inf")
    with pytest.raises(ModelError, match="not numbers: such a model cannot be quantised"):
        quantise(gpt)
