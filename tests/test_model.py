"""tinygpt.model: each piece, the cache, and the one line that a mistake gets."""

import copy
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from tinygpt.model import GPT, GPTConfig, KVCache, ModelError, Rotary, Sinusoidal, preset

V, D, T, CONTEXT = 23, 16, 9, 12
SIZES = {"vocab_size": V, "context": CONTEXT, "num_layers": 2, "num_heads": 4, "d_model": D}
PRESETS = pytest.mark.parametrize("name", ["gpt2", "modern", "bert"])
# Each piece by itself, the rest being GPT-2's.
PIECES = [
    {},
    {"norm": "rmsnorm"},
    {"positions": "sinusoidal"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"activation": "gelu"},
    {"activation": "relu2"},
    {"activation": "swiglu"},
    {"qk_norm": True},
    {"num_kv_heads": 2},
    {"num_kv_heads": 1},
    {"bias": False},
    {"tied": False},
    {"causal": False},
    {"cross_attention": True},
    {"norm_first": False},
    {"embedding_norm": True},
    {"mlm_head": True},
    {"ngram_rows": 13},
]
UNSURE = pytest.mark.parametrize("piece", PIECES, ids=str)  # a new copy head trusts what was said
EACH_PIECE = pytest.mark.parametrize("piece", [*PIECES, {"copy_head": True}], ids=str)
CACHED = pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "none"])


def small(name="gpt2", **changes):
    torch.manual_seed(0)
    return GPT(preset(name, **SIZES | changes))


def opinionated(name="gpt2", **changes):
    """A model in float64 with every weight drawn at random, biases and norms too."""
    model = small(name, **changes).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model


def some_ids(batch=2, length=T):
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(2))


def what_it_needs(config, batch=2, dtype=torch.float32):
    if not config.cross_attention:
        return {}
    generator = torch.Generator().manual_seed(5)
    return {"memory": torch.randn(batch, 5, config.d_model, dtype=dtype, generator=generator)}


def close(a, b):
    return torch.allclose(a, b, rtol=0, atol=1e-12)


# Sizes


@PRESETS
def test_logits_have_one_row_a_position_and_one_column_a_token(name):
    model = small(name)
    assert model(some_ids()).shape == (2, T, V)
    assert model.hidden(some_ids()).shape == (2, T, D)


def test_gpt2_small_has_its_124_million_parameters():
    with torch.device("meta"):
        sizes = {"context": 1024, "num_layers": 12, "num_heads": 12, "d_model": 768}
        model = GPT(preset("gpt2", vocab_size=50257, **sizes))
    assert model.num_parameters() == 124_439_808


@pytest.mark.parametrize("tied", [True, False])
def test_the_number_of_parameters_is_that_of_the_formula(tied):
    block = 2 * 2 * D + (3 * D * D + 3 * D) + (D * D + D) + (8 * D * D + 5 * D)
    expected = V * D + CONTEXT * D + 2 * block + 2 * D + (0 if tied else V * D)
    assert small(tied=tied).num_parameters() == expected


def test_shared_key_heads_save_their_parameters():
    saved = small().num_parameters() - small(num_kv_heads=1).num_parameters()
    assert saved == 2 * 2 * 3 * (D // 4) * (D + 1)  # layers, keys and values, heads, rows


def test_the_first_embeddings_are_as_large_as_asked():
    torch.manual_seed(0)
    usual = GPT(preset("gpt2", **SIZES))
    torch.manual_seed(0)
    larger = GPT(preset("gpt2", **SIZES, embedding_std=0.2))
    torch.testing.assert_close(larger.embedding.weight, 10 * usual.embedding.weight)
    assert torch.equal(larger.position.weight, usual.position.weight)


def test_swiglu_costs_what_it_replaces_to_two_percent():
    sizes = {"vocab_size": V, "d_model": 128}
    plain = GPT(preset("gpt2", bias=False, **sizes)).num_parameters()
    gated = GPT(preset("gpt2", bias=False, activation="swiglu", **sizes)).num_parameters()
    assert gated == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"mlm_head": True, "causal": False}])
@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal"])
def test_a_model_of_stored_weights_is_the_one_they_came_from(changes, positions):
    model = opinionated(positions=positions, **changes)
    state, drawn = model.stored(model.state_dict()), torch.get_rng_state()
    again = GPT.from_stored(model.config, state)
    assert torch.equal(torch.get_rng_state(), drawn)  # nothing was drawn
    assert again.num_parameters() == model.num_parameters()
    assert again.embedding.weight.data_ptr() == state["embedding.weight"].data_ptr()
    assert all(parameter.requires_grad for parameter in again.parameters())
    with torch.no_grad():
        assert torch.equal(again.eval()(some_ids() % 5), model.eval()(some_ids() % 5))
    head = again.head.output if model.config.mlm_head else again.head
    assert (head.weight is again.embedding.weight) == model.config.tied


def test_a_tied_head_is_the_embedding_and_stays_it_in_a_copy():
    model = copy.deepcopy(small())
    assert model.head.weight is model.embedding.weight


# A new model


@UNSURE
def test_before_training_the_loss_is_that_of_a_uniform_guess(piece):
    model = GPT(GPTConfig(vocab_size=V, context=64, d_model=32, **piece))
    ids = torch.randint(V, (16, 64), generator=torch.Generator().manual_seed(3))
    targets = torch.randint(V, (16, 64), generator=torch.Generator().manual_seed(4))
    logits = model(ids, **what_it_needs(model.config, batch=16))
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(math.log(V), abs=0.05)


def test_weights_start_as_gpt2_s_do():
    model = GPT(preset("gpt2", vocab_size=500, num_layers=8))
    block = model.blocks[3]
    stds = {
        0.02: [model.embedding, model.position, block.attention.qkv, block.mlp.up],
        0.02 / math.sqrt(16): [block.attention.out, block.mlp.down],
    }
    for std, layers in stds.items():
        for layer in layers:
            assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
    assert not block.attention.qkv.bias.any()


# Each piece


@EACH_PIECE
def test_the_gradient_reaches_every_parameter(piece):
    model = small(**piece)
    model(some_ids(), **what_it_needs(model.config)).square().mean().backward()
    for name, parameter in model.named_parameters():
        if name == "position.weight":  # of the positions that were there
            assert not parameter.grad[T:].any()
        assert parameter.grad is not None and parameter.grad.any(), name


@EACH_PIECE
def test_each_piece_learns_a_small_text_by_heart(piece):
    model = small(**piece)
    ids = some_ids(1, T + 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        logits = model(ids[:, :-1], **what_it_needs(model.config, batch=1))
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2


@EACH_PIECE
def test_a_causal_model_sees_no_later_token_and_any_other_sees_all(piece):
    model, ids = opinionated(**piece), some_ids()
    needs = what_it_needs(model.config, dtype=torch.float64)
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % V
    moved = (model(ids, **needs) - model(changed, **needs)).abs().amax(dim=(0, 2)) > 1e-12
    first = 5 if model.config.causal else 0
    assert moved.tolist() == [t >= first for t in range(T)]


@EACH_PIECE
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_computes_in_the_type_of_its_weights(piece, dtype):
    model = small(**piece).to(dtype)
    logits = model(some_ids(), **what_it_needs(model.config, dtype=dtype))
    assert logits.dtype == dtype
    assert logits.isfinite().all()


def test_shared_key_heads_are_each_repeated_for_neighbouring_queries():
    shared, full = opinionated(num_kv_heads=2), opinionated()
    state = shared.state_dict()
    for layer in range(2):
        for kind in ("weight", "bias"):
            name = f"blocks.{layer}.attention.qkv.{kind}"
            q, k, v = (x.unflatten(0, (-1, D // 4)) for x in state[name].split([D, D // 2, D // 2]))
            state[name] = torch.cat([q, k.repeat_interleave(2, 0), v.repeat_interleave(2, 0)])
            state[name] = state[name].flatten(0, 1)
    full.load_state_dict(state)
    assert close(full(some_ids()), shared(some_ids()))


def test_attention_is_torch_s_multi_head_attention():
    attention = opinionated(causal=False).blocks[0].attention
    theirs = torch.nn.MultiheadAttention(D, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(attention.qkv.weight)
        theirs.in_proj_bias.copy_(attention.qkv.bias)
        theirs.out_proj.load_state_dict(attention.out.state_dict())
    x, memory = torch.randn(2, T, D).double(), torch.randn(2, 5, D).double()
    assert close(attention(x, {}), theirs(x, x, x)[0])
    assert close(attention.cross(x, memory, {}), theirs(x, memory, memory)[0])


# Positions


def test_rotary_scores_depend_on_the_distance_alone():
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # the tables too
    try:
        rotary = Rotary(preset("modern", **SIZES | {"context": 100, "d_model": 64}))
        q, k = torch.randn(2, 1, 1, 1, 16)
    finally:
        torch.set_default_dtype(default)
    scores = [(rotary(q, 7 + t) * rotary(k, t)).sum() for t in range(90)]
    assert close(torch.stack(scores), scores[0].expand(90))
    assert not close((rotary(q, 8) * rotary(k, 0)).sum(), scores[0])


def test_rotary_positions_change_no_length():
    rotary = Rotary(preset("modern", **SIZES))
    x = torch.randn(2, 4, T, D // 4)
    assert torch.allclose(rotary(x).norm(dim=-1), x.norm(dim=-1))


def test_sinusoidal_positions_are_those_of_the_paper():
    table = Sinusoidal(preset("gpt2", **SIZES)).weight
    angle = 7 / 10_000 ** (4 / D)
    assert table[7, 4].item() == pytest.approx(math.sin(angle))
    assert table[7, 5].item() == pytest.approx(math.cos(angle))


def test_words_are_multiplied_by_the_root_of_the_width_before_sinusoidal_positions_are_added():
    model, ids = small(positions="sinusoidal"), some_ids()
    words = math.sqrt(D) * model.embedding(ids)
    assert close(model._embed(ids, 0, None), words + model.position.weight[:T])


def test_words_that_start_at_one_over_the_root_of_the_width_are_as_large_as_sinusoidal_positions():
    model = small(positions="sinusoidal", embedding_std=D**-0.5)
    words, places = math.sqrt(D) * model.embedding.weight, model.position.weight
    assert 0.5 < words.square().mean() / places.square().mean() / 2 < 2  # of sine, cosine: 1/2


def test_without_positions_an_encoder_cannot_tell_the_order():
    ids, order = some_ids(), torch.randperm(T)
    model = opinionated("bert", positions="none")
    assert close(model(ids[:, order]), model(ids)[:, order])
    model = opinionated("bert")
    assert not close(model(ids[:, order]), model(ids)[:, order])


# The cache


CUTS = pytest.mark.parametrize("cuts", [[1] * T, [5, 1, 2, 1], [T]], ids=str)


@CACHED
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
@CUTS
def test_cached_equals_uncached(positions, num_kv_heads, cuts):
    model = opinionated("modern", positions=positions, num_kv_heads=num_kv_heads)
    cache, ids = KVCache(), some_ids()
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in ids.split(cuts, dim=1)]
        assert close(torch.cat(parts, dim=1), model(ids))
    assert cache.length == T


def test_cached_equals_uncached_where_there_is_padding_and_an_encoder():
    model = opinionated(cross_attention=True)
    ids, memory = some_ids(), torch.randn(2, 5, D).double()
    keep = torch.ones(2, T, dtype=torch.bool)
    keep[1, 2:4] = False
    others = {"memory": memory, "memory_keep": torch.arange(5) < torch.tensor([[5], [3]])}
    with torch.no_grad():
        cache, parts = KVCache(), []
        for part, kept in zip(ids.split([4, 1, 4], 1), keep.split([4, 1, 4], 1), strict=True):
            known = None if kept.all() else kept  # None: no padding in this part
            parts.append(model(part, keep=known, cache=cache, **others))
        assert close(torch.cat(parts, dim=1), model(ids, keep=keep, **others))


@pytest.mark.parametrize("copy_head", [False, True], ids=["plain", "copy_head"])
@pytest.mark.parametrize("cut", [1, 5, T - 1])
def test_the_last_position_alone_has_the_logits_that_it_has_among_others(copy_head, cut):
    model, ids = opinionated("modern", copy_head=copy_head), some_ids()
    with torch.no_grad():
        cache, whole = KVCache(), model(ids)
        first = model(ids[:, :cut], cache=cache, last_only=True)
        then = model(ids[:, cut:], cache=cache, last_only=True)
    assert close(first, whole[:, cut - 1 : cut]) and close(then, whole[:, -1:])


KINDS = pytest.mark.parametrize(
    "changes", [{}, {"copy_head": True}, {"ngram_rows": 50}, {"positions": "learned"}], ids=str
)


@KINDS
@CUTS
def test_a_cache_cut_to_a_length_is_as_if_no_more_had_been_read(changes, cuts):
    model, ids, other = opinionated("modern", **changes), some_ids(), some_ids().flip(1)
    with torch.no_grad():
        for length in range(T):
            cache = KVCache()
            for part in ids.split(cuts, dim=1):
                model(part, cache=cache)
            cache.truncate(length)
            assert cache.length == length
            text = torch.cat([ids[:, :length], other[:, length:]], dim=1)
            assert close(model(text[:, length:], cache=cache), model(text)[:, length:])


@KINDS
def test_the_rows_of_a_cache_change_places_and_number(changes):
    model, ids, rows = opinionated("modern", **changes), some_ids(), torch.tensor([1, 0, 1])
    with torch.no_grad():
        cache = KVCache()
        for part in ids[:, :6].split([3, 2, 1], dim=1):
            model(part, cache=cache)
        cache.reorder(rows)
        assert close(model(ids[rows, 6:], cache=cache), model(ids[rows])[:, 6:])


def test_padding_goes_with_the_rows_of_a_cache_and_is_cut_with_it():
    model, ids, rows = opinionated("modern"), some_ids(), torch.tensor([1, 0])
    keep = torch.ones(2, T, dtype=torch.bool)
    keep[0, 2:4] = False
    with torch.no_grad():
        cache = KVCache()
        model(ids, keep=keep, cache=cache)
        cache.truncate(5)
        cache.reorder(rows)
        assert close(model(ids[rows, 5:], cache=cache), model(ids[rows], keep=keep[rows])[:, 5:])


def test_what_a_cache_remembers_does_not_change_with_the_callers_ids():
    model, ids = opinionated("modern", ngram_rows=50), some_ids()
    with torch.no_grad():
        cache, mine = KVCache(), ids[:, :5].clone()
        model(mine, cache=cache)
        mine.zero_()
        assert close(model(ids[:, 5:], cache=cache), model(ids)[:, 5:])


@pytest.mark.parametrize("length", [-1, 4, 2.0])
def test_a_cache_is_cut_to_no_more_than_it_holds(length):
    model, cache = small(), KVCache()
    model(some_ids(2, 3), cache=cache)
    with pytest.raises(ModelError, match="give a whole number from 0 to 3"):
        cache.truncate(length)


def test_a_cache_takes_up_the_states_of_another_encoder():
    model = opinionated(cross_attention=True)
    ids, (first, second) = some_ids(), torch.randn(2, 2, 5, D).double()
    with torch.no_grad():
        cache = KVCache()
        model(ids[:, :4], memory=first, cache=cache)
        after = model(ids[:, 4:], memory=second, cache=cache)
        assert not close(after, model(ids, memory=first)[:, 4:])


def test_a_call_that_fails_leaves_the_cache_as_it_was():
    model, ids, cache = opinionated(), some_ids(), KVCache()
    with torch.no_grad():
        model(ids[:, :5], cache=cache)
        with pytest.raises(ModelError):
            model(torch.full((2, 2), V), cache=cache)
        assert close(model(ids[:, 5:], cache=cache), model(ids)[:, 5:])


@EACH_PIECE
def test_the_nats_of_targets_are_those_of_the_logits(piece):
    model, ids = opinionated(**{"tied": False} | piece), some_ids() % 5
    targets = ids.roll(-1, 1)
    targets[:, -1] = -1
    memory = {"memory": torch.randn(2, 5, D).double()} if "cross_attention" in piece else {}
    whole = model(ids, **memory)
    expected = F.cross_entropy(
        whole.transpose(1, 2), targets, reduction="none", ignore_index=-1
    )  # 0 at -1
    found = model(ids, targets=targets, **memory)
    assert close(found, expected)
    ours, theirs = (
        torch.autograd.grad(nats.sum(), list(model.parameters()), allow_unused=True)
        for nats in (found, expected)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None) and (a is None or close(a, b))


@pytest.mark.parametrize("targets", [some_ids()[:, 1:], some_ids().int(), [[1]]], ids=str)
def test_targets_that_do_not_fit_are_refused(targets):
    with pytest.raises(ModelError, match="targets .*give torch.long of shape"):
        small()(some_ids(), targets=targets)
    with pytest.raises(ModelError, match="no cache"):
        small()(some_ids(), targets=some_ids(), cache=KVCache())


# The copy head


def copying(ids=None):
    """A model with a copy head, and ids with tokens said several times."""
    ids = some_ids() % 4 if ids is None else ids
    return opinionated("modern", copy_head=True), ids


def test_a_copy_head_adds_what_was_said_by_how_alike_the_states_were():
    model, ids = copying()
    head, width = model.copy_head, model.config.d_model
    h = model.hidden(ids)
    alone, found = model.head(h).exp(), model(ids).exp()

    def unit(x):  # of root mean square 1
        return x / x.square().mean().add(torch.finfo(x.dtype).eps).sqrt()

    for row, tokens in enumerate(ids.tolist()):
        for t in range(T):
            q, doubt = unit(head.query(h[row, t])), head.doubt(h[row, t])[0]
            weights = torch.zeros(V, dtype=torch.float64)
            for s in range(t):  # the state at s, and the token that came next
                k = unit(head.key(h[row, s]))
                weights[tokens[s + 1]] += (2 * q @ k / math.sqrt(width) - doubt).exp()
            torch.testing.assert_close(found[row, t], alone[row, t] + weights)


@CUTS
def test_a_copy_head_remembers_through_a_cache(cuts):
    model, ids = copying()
    with torch.no_grad():
        cache = KVCache()
        parts = [model(part, cache=cache) for part in ids.split(cuts, dim=1)]
        assert close(torch.cat(parts, dim=1), model(ids))


def test_a_copy_head_copies_no_padding():
    model, ids = copying()
    keep = torch.arange(T) < torch.tensor([[T], [4]])
    logits = model(ids, keep=keep)
    assert close(logits[keep], model(torch.where(keep, ids, V - 1), keep=keep)[keep])
    assert close(logits[1, :4], model(ids[1:, :4])[0])


def test_a_copy_head_learns_names_that_a_model_without_one_cannot_yet_recall():
    """Random tokens, twice: the second half is known from the first, by copying alone."""

    def loss(**changes):
        model = small("modern", vocab_size=200, context=40, tied=False, **changes)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        draw = torch.Generator().manual_seed(0)
        for _ in range(150):
            half = torch.randint(200, (32, 20), generator=draw)
            ids = torch.cat([half, half], dim=1)
            nats = F.cross_entropy(model(ids[:, :-1])[:, 20:].flatten(0, 1), ids[:, 21:].flatten())
            optimiser.zero_grad()
            nats.backward()
            optimiser.step()
        return nats.item()

    assert loss(copy_head=True) < 0.5 * loss()


# N-grams


def hashed(before, token, rows):
    """Where a pair or, with two tokens before, a triple stands in the table."""
    return (
        sum(a * b for a, b in zip((7919, 104_729, 1_299_709), (token, *before), strict=False))
        % rows
    )


def test_a_token_has_the_vectors_of_its_pair_and_triple_added():
    model, ids = opinionated(ngram_rows=5, positions="none"), some_ids()
    found, table = model._embed(ids, 0, None), model.ngrams.table.weight
    for row, tokens in enumerate(ids.tolist()):
        tokens = [0, 0, *tokens]
        for t in range(2, len(tokens)):
            pair = hashed(tokens[t - 1 : t], tokens[t], 5)
            triple = hashed([tokens[t - 1], tokens[t - 2]], tokens[t], 5)
            vector = model.embedding.weight[tokens[t]] + table[pair] + table[triple]
            assert close(found[row, t - 2], vector)


def test_the_hash_spreads_n_grams_over_the_rows():
    some = range(0, 1536, 37)
    for n in (1, 2):
        rows = [hashed(before, token, 1536) for token in some for before in product(some, repeat=n)]
        counts = torch.bincount(torch.tensor(rows), minlength=1536)
        assert counts.max() < 2 * max(3, counts.float().mean().item())


@CUTS
def test_a_cache_knows_the_tokens_before(cuts):
    model, ids = opinionated("modern", ngram_rows=7), some_ids()
    with torch.no_grad():
        cache = KVCache()
        parts = [model(part, cache=cache) for part in ids.split(cuts, dim=1)]
        assert close(torch.cat(parts, dim=1), model(ids))


# Padding and dropout


@PRESETS
def test_what_stands_in_the_padding_changes_nothing_else(name):
    model, ids = opinionated(name), some_ids()
    keep = torch.arange(T) < torch.tensor([[T], [4]])
    other = torch.where(keep, ids, (ids + 1) % V)
    logits = model(ids, keep=keep)
    assert close(logits[keep], model(other, keep=keep)[keep])
    assert close(logits[1, :4], model(ids[1:, :4])[0])


@PRESETS
def test_a_text_of_padding_alone_gives_finite_logits_and_gradients(name):
    model = small(name)
    logits = model(some_ids(), keep=torch.zeros(2, T, dtype=torch.bool))
    logits.square().mean().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_an_encoder_s_padding_changes_nothing():
    model, memory = opinionated(cross_attention=True), torch.randn(2, 5, D).double()
    keep = torch.arange(5) < torch.tensor([[3], [3]])
    padded = model(some_ids(), memory=memory, memory_keep=keep)
    assert close(padded, model(some_ids(), memory=memory[:, :3]))


@PRESETS
def test_dropout_acts_in_training_and_never_in_evaluation(name):
    model, plain = small(name, dropout=0.5), small(name)
    assert not torch.equal(model(some_ids()), model(some_ids()))
    assert torch.equal(model.eval()(some_ids()), plain.eval()(some_ids()))


@PRESETS
def test_a_training_step_compiles_into_one_graph(name):
    torch.compiler.reset()
    model = small(name)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(some_ids()), model(some_ids()))


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"mlm_head": True, "tied": False}])
def test_zero_init_makes_blocks_that_add_nothing_and_an_untied_head_that_knows_nothing(changes):
    model = small(zero_init=True, **changes).eval()
    for block in model.blocks:
        assert not block.attention.out.weight.any() and not block.mlp.down.weight.any()
    x = torch.randn(2, T, D)
    assert torch.equal(model.blocks[0](x, {"is_causal": True}), x)
    assert model(some_ids()).any() == model.config.tied


# Mistakes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3 and d_model 16: .* num_heads must divide d_model"),
        ({"num_kv_heads": 3}, "num_kv_heads is 3 and num_heads 4: .* must divide num_heads"),
        ({"positions": "rotary", "d_model": 12}, "d_model / num_heads is 3: .* must be even"),
        ({"positions": "sinusoidal", "d_model": 3, "num_heads": 3}, "d_model is 3: .* be even"),
        ({"norm": "batchnorm"}, "norm is 'batchnorm': choose layernorm or rmsnorm"),
        ({"positions": None}, "positions is None: choose learned or sinusoidal or rotary or none"),
        ({"activation": "relu"}, "activation is 'relu': choose gelu or gelu_tanh or relu2"),
        ({"vocab_size": 0}, "vocab_size is 0: give a whole number, 1 or more"),
        ({"context": 2.5}, "context is 2.5: give a whole number, 1 or more"),
        ({"num_kv_heads": 0}, "num_kv_heads is 0: give a whole number, 1 or more"),
        ({"d_model": None}, "d_model is None: give a whole number, 1 or more"),
        ({"tied": "yes"}, "tied is 'yes': give True or False"),
        ({"dropout": -0.1}, "dropout is -0.1: give a number, 0 or more"),
        ({"dropout": 1.0}, "dropout is 1.0: give a probability below 1"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0: give a number, more than 0"),
        ({"rotary_base": math.nan}, "rotary_base is nan: give a number, more than 0"),
        ({"copy_head": True, "causal": False}, "copy_head copies what was said before"),
        ({"layers": 3}, "A model has no 'layers': it has vocab_size, context, num_layers,"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_named_in_one_line(change, message):
    refused(lambda: small(**change), message)


def test_a_configuration_is_checked_again_when_it_is_changed():
    config = preset("gpt2", **SIZES)
    refused(lambda: replace(config, num_heads=5), "num_heads is 5")


def test_an_unknown_preset_and_a_missing_size_are_named():
    refused(lambda: preset("gpt5", vocab_size=V), "no preset 'gpt5': choose gpt2 or modern or bert")
    refused(lambda: preset("gpt2"), r"preset\('gpt2'\) lacks vocab_size")


IDS, MEMORY = some_ids(), torch.zeros(2, 5, D)


@pytest.mark.parametrize(
    ("changes", "ids", "more", "message"),
    [
        ({}, [1, 2], {}, "ids is a list: give token ids of shape"),
        ({}, IDS[0], {}, r"ids has shape \(9,\) and dtype torch.int64: give token ids"),
        ({}, IDS[:, :0], {}, r"ids has shape \(2, 0\)"),
        ({}, IDS.float(), {}, "ids has dtype torch.float32: token ids are integers"),
        ({}, some_ids(1, 13), {}, "ids has 13 positions, and the context is 12"),
        ({}, IDS + V, {}, "but vocab_size is 23: were they made by another tokenizer"),
        ({}, IDS - V, {}, "ids holds -2[0-9] to"),
        ({}, IDS, {"memory": MEMORY}, "this model has no cross-attention"),
        ({"cross_attention": True}, IDS, {}, "looks at an encoder's states: give memory"),
        ({"cross_attention": True}, IDS, {"memory": MEMORY[:1]}, r"give \(2, positions, 16\)"),
        ({"cross_attention": True}, IDS, {"memory": MEMORY[..., :3]}, r"shape \(2, 5, 3\)"),
        ({}, IDS, {"memory_keep": IDS > 0}, "memory_keep is given without memory"),
        ({}, IDS, {"keep": IDS}, r"keep has shape \(2, 9\) and dtype torch.int64: give bool"),
        ({}, IDS, {"keep": IDS[:, 1:] > 0}, r"keep has shape \(2, 8\) .* \(2, 9\)"),
        ({"causal": False}, IDS, {"cache": KVCache()}, "A cache needs causal=True"),
    ],
)
def test_a_wrong_call_is_named_in_one_line(changes, ids, more, message):
    model = small(**changes)
    refused(lambda: model(ids, **more), message)


def test_positions_past_the_context_are_refused_after_a_cache_too():
    model, cache = small(), KVCache()
    model(some_ids(2, 10), cache=cache)
    refused(lambda: model(some_ids(2, 3), cache=cache), "3 positions after 10 in the cache")


def test_a_cache_of_another_batch_is_refused():
    model, cache = small(), KVCache()
    model(some_ids(2, 3), cache=cache)
    refused(lambda: model(some_ids(3, 3), cache=cache), "batch of 2 .* this call a batch of 3")


def refused(call, message):
    with pytest.raises(ModelError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
    assert error.value._render_traceback_() == [str(error.value)]


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "none"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_with_a_longer_context_has_the_same_logits_and_weights_of_its_own(positions, tied):
    sizes = {"context": 8, "num_layers": 2, "num_heads": 2, "d_model": 16, "zero_init": False}
    torch.manual_seed(0)
    short = GPT(preset("modern", vocab_size=20, positions=positions, tied=tied, **sizes)).eval()
    long = short.with_context(12).eval()
    ids = torch.randint(20, (2, 8))
    torch.testing.assert_close(long(ids), short(ids))
    assert long(torch.randint(20, (2, 12))).shape == (2, 12, 20)
    with torch.no_grad():
        long.embedding.weight.zero_()
    assert short.embedding.weight.any() and (long.config.tied is tied)


def test_learned_positions_cannot_be_made_more():
    model = GPT(preset("gpt2", vocab_size=20, context=8, num_layers=1, num_heads=2, d_model=16))
    with pytest.raises(ModelError, match="each of this one's 8 learned positions has weights"):
        model.with_context(12)
