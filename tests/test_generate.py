"""tinygpt.generate: what is drawn, how often, and when it ends."""

import inspect
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from tinygpt import hf, records
from tinygpt.decode import Decoder
from tinygpt.generate import beam, generate, stream
from tinygpt.model import GPT, ModelError, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

V, CONTEXT = 7, 12


def model(seed=0, **changes):
    """Random weights large enough to have opinions."""
    torch.manual_seed(seed)
    sizes = {"vocab_size": V, "context": CONTEXT, "num_layers": 2, "num_heads": 2, "d_model": 16}
    made = GPT(preset("modern", **sizes | changes))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def prompts(batch=3, length=4):
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_returns_the_new_ids_alone():
    new = generate(model(), prompts(), 5, generator=seeded())
    assert new.shape == (3, 5)
    assert new.dtype == torch.int64
    assert generate(model(), prompts(), 0).shape == (3, 0)


@pytest.mark.parametrize("new", [8, 20], ids=["within the context", "past it"])
@pytest.mark.parametrize("length", [1, 4, CONTEXT, CONTEXT + 3])
def test_at_temperature_0_each_token_is_the_most_probable_after_those_before_it(new, length):
    gpt, text = model(), prompts(length=length)
    made = generate(gpt, text, new, temperature=0)
    for t in range(new):
        with torch.no_grad():
            best = gpt(text[:, -CONTEXT:])[:, -1].argmax(-1)  # no cache
        assert made[:, t].tolist() == best.tolist()
        text = torch.cat([text, best[:, None]], dim=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature):
    gpt, text, draws = model(), prompts(1), 20_000
    drawn = generate(gpt, text.expand(draws, -1), 1, temperature=temperature, generator=seeded())
    with torch.no_grad():
        expected = (gpt(text)[0, -1] / temperature).softmax(-1)
    counts = drawn.flatten().bincount(minlength=V)
    off = (counts / draws - expected).abs() / (expected * (1 - expected) / draws).sqrt()
    assert off.max() < 4  # standard errors


def test_the_lowest_temperatures_take_the_most_probable_token():
    greedy = generate(model(), prompts(), 6, temperature=0)
    assert torch.equal(generate(model(), prompts(), 6, temperature=1e-300), greedy)


def test_the_same_generator_gives_the_same_text_and_another_another():
    first, same, other = (
        generate(model(), prompts(), 20, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_each_text_of_a_batch_goes_on_as_it_would_alone():
    batch = generate(model(), prompts(), 6, temperature=0)
    alone = [generate(model(), prompt[None], 6, temperature=0) for prompt in prompts()]
    assert torch.equal(batch, torch.cat(alone))


def test_a_text_ends_at_the_stop_and_is_filled_with_it_while_others_go_on():
    free = generate(model(), prompts(8), 9, generator=seeded())
    stop = int(free[0, 2])
    made = generate(model(), prompts(8), 9, generator=seeded(), stop=stop)
    for row, unstopped in zip(made.tolist(), free.tolist(), strict=True):
        end = row.index(stop) if stop in row else len(row)
        assert row[:end] == unstopped[:end]
        assert set(row[end:]) <= {stop}


def test_it_ends_when_every_text_has_ended():
    greedy = generate(model(), prompts(1), 9, temperature=0)
    stop = int(greedy[0, 2])
    end = greedy[0].tolist().index(stop)
    made = generate(model(), prompts(1), 9, temperature=0, stop=stop)
    assert made.tolist() == greedy[:, : end + 1].tolist()


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_as_before_afterwards(training):
    gpt = model(dropout=0.5).train(training)
    texts = [generate(gpt, prompts(), 6, temperature=0) for _ in range(2)]
    assert torch.equal(*texts)
    assert gpt.training is training


def test_tokens_are_those_that_torch_multinomial_draws():
    gpt, text, mine, torchs = model(), prompts(), seeded(), seeded()
    made = generate(gpt, text, 8, generator=mine)
    for t in range(8):
        with torch.no_grad():
            chances = gpt(text)[:, -1].softmax(-1)
        drawn = torch.multinomial(chances, 1, generator=torchs)
        assert made[:, t].tolist() == drawn[:, 0].tolist()
        text = torch.cat([text, drawn], dim=1)


def test_hooks_see_every_step():
    gpt, seen = model(), []
    gpt.blocks[1].mlp.up.register_forward_hook(lambda _, inputs, output: seen.append(output.shape))
    with_hook = generate(gpt, prompts(), 5, temperature=0)
    assert [shape[1] for shape in seen] == [4, 1, 1, 1, 1]
    assert torch.equal(with_hook, generate(model(), prompts(), 5, temperature=0))


def test_weights_that_are_not_numbers_are_reported():
    gpt = model()
    with torch.no_grad():
        gpt.blocks[0].mlp.up.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="logits are not numbers: are its weights"):
        generate(gpt, prompts(), 3)


@pytest.mark.parametrize("kind", ["of a module", "before it", "of all modules"])
def test_hooks_of_every_kind_see_every_step(kind):
    gpt, seen = model(), []
    up = gpt.blocks[1].mlp.up
    if kind == "of a module":
        hook = up.register_forward_hook(lambda m, x, kw, y: seen.append(m), with_kwargs=True)
    elif kind == "before it":
        hook = up.register_forward_pre_hook(lambda m, x, kw: seen.append(m), with_kwargs=True)
    else:
        hook = nn.modules.module.register_module_forward_hook(lambda m, x, y: seen.append(m))
    try:
        generate(gpt, prompts(), 5, temperature=0)
    finally:
        hook.remove()
    assert seen.count(up) == 5


def test_a_wrapped_layer_and_a_parametrized_weight_are_taken_as_they_are():
    class Wrapped(nn.Module):
        """As LoRA does it: a layer, and something more."""

        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x) + 0.5 * x.sin().sum(-1, keepdim=True)

    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    for change in (
        lambda gpt: setattr(gpt.blocks[0].mlp, "up", Wrapped(gpt.blocks[0].mlp.up)),
        lambda gpt: parametrize.register_parametrization(gpt.blocks[0].mlp.up, "weight", Doubled()),
    ):
        gpt, text = model(), prompts()
        plain = generate(gpt, text, 6, temperature=0)
        change(gpt)
        made = generate(gpt, text, 6, temperature=0)
        assert not torch.equal(made, plain)
        for t in range(6):
            with torch.no_grad():
                assert made[:, t].tolist() == gpt(text)[:, -1].argmax(-1).tolist()
            text = torch.cat([text, made[:, t : t + 1]], dim=1)


def test_each_part_of_a_model_is_in_the_mode_it_was_in():
    gpt = model().train()
    gpt.blocks[0].eval()
    modes = [module.training for module in gpt.modules()]
    generate(gpt, prompts(), 3)
    assert [module.training for module in gpt.modules()] == modes


# Stops


def test_a_text_ends_at_any_of_several_stops():
    free = generate(model(), prompts(8), 9, generator=seeded())
    stops = [int(free[0, 2]), int(free[1, 3])]
    made = generate(model(), prompts(8), 9, generator=seeded(), stop=stops)
    for row, unstopped in zip(made.tolist(), free.tolist(), strict=True):
        end = next((i for i, token in enumerate(unstopped) if token in stops), None)
        if end is None:
            assert row == unstopped
        else:
            assert row == (unstopped[: end + 1] + [unstopped[end]] * 9)[: len(row)]


LETTERS = CharTokenizer("abcdefg")


def test_a_text_ends_where_a_stop_string_is_complete_and_its_row_is_filled():
    free = generate(model(), prompts(20), 30, generator=seeded())
    texts = [LETTERS.decode(row) for row in free.tolist()]
    stops = [texts[0][3:6], texts[1][2:4]]
    made = generate(
        model(), prompts(20), 30, generator=seeded(), stop_strings=stops, tokenizer=LETTERS
    )
    for row, text in zip(made.tolist(), texts, strict=True):
        ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
        end = min(ends, default=30)
        assert LETTERS.decode(row) == (text[:end] + text[end - 1] * 30)[: made.shape[1]]


def test_a_stop_string_is_looked_for_in_the_new_part_alone():
    text = torch.tensor([LETTERS.encode("abab")])
    new = generate(model(), text, 1, temperature=0)
    stop = "b" + LETTERS.decode(new[0].tolist())  # half of it is the prompt's
    assert generate(
        model(), text, 8, temperature=0, stop_strings=stop, tokenizer=LETTERS
    ).tolist() == [
        row[: len(row) if stop not in (said := LETTERS.decode(row)) else said.find(stop) + 2]
        for row in generate(model(), text, 8, temperature=0).tolist()
    ]


# Prompts of different lengths


MANY = [[1], [2, 3, 4, 5, 6], [6, 0, 1], [3, 3, 3, 3, 3, 3, 3, 3], [5, 2, 0]]


def padded(side, prompts=MANY):
    """ids and keep; the padding is a token like others."""
    wide = max(map(len, prompts))
    ids, keep = torch.full((len(prompts), wide), 4), torch.zeros(len(prompts), wide).bool()
    for row, prompt in enumerate(prompts):
        place = slice(wide - len(prompt), None) if side == "left" else slice(len(prompt))
        ids[row, place], keep[row, place] = torch.tensor(prompt), True
    return ids, keep


KINDS = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned"},
        {"positions": "sinusoidal", "num_kv_heads": 1},
        {"copy_head": True},
        {"ngram_rows": 30, "positions": "none"},
    ],
    ids=str,
)


@KINDS
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
def test_padded_prompts_go_on_as_each_would_alone(changes, side, penalty):
    gpt, (ids, keep) = model(**changes), padded(side)
    options = {"temperature": 0, "repetition_penalty": penalty}
    for new in (3, 9):  # within the context, and past it
        made = generate(gpt, ids, new, keep=keep, **options)
        alone = [generate(gpt, torch.tensor([prompt]), new, **options) for prompt in MANY]
        assert made.tolist() == torch.cat(alone).tolist()


def test_padded_prompts_end_each_at_its_own_stop():
    gpt, (ids, keep) = model(), padded("left")
    free = generate(gpt, ids, 6, keep=keep, temperature=0)
    stop = int(free[0, 1])
    made = generate(gpt, ids, 6, keep=keep, temperature=0, stop=stop)
    for row, unstopped in zip(made.tolist(), free.tolist(), strict=True):
        end = unstopped.index(stop) + 1 if stop in unstopped else 6
        assert row == (unstopped[:end] + [stop] * 6)[: made.shape[1]]


def test_a_stop_within_a_prompt_ends_nothing():
    gpt, (ids, keep) = model(), padded("right", [[1], [2, 3, 4, 5, 6]])
    free = generate(gpt, ids, 6, keep=keep, temperature=0)
    stop = next(token for token in (3, 4, 5) if token not in free[1].tolist())
    made = generate(gpt, ids, 6, keep=keep, temperature=0, stop=stop)
    assert made[1].tolist() == free[1].tolist()


def test_padded_prompts_are_drawn_from_as_often_as_alone():
    gpt, number = model(), 10_000
    ids, keep = padded("left", [[1], [2, 3, 4]])
    ids, keep = ids.repeat(number, 1), keep.repeat(number, 1)
    drawn = generate(gpt, ids, 1, keep=keep, generator=seeded()).view(number, 2)
    for column, prompt in enumerate([[1], [2, 3, 4]]):
        with torch.no_grad():
            expected = gpt(torch.tensor([prompt]))[0, -1].softmax(-1)
        share = drawn[:, column].bincount(minlength=V) / number
        off = (share - expected).abs() / (expected * (1 - expected) / number).sqrt()
        assert off.max() < 4  # standard errors


# The same as `transformers`


BIG = {"vocab_size": 60, "context": 64, "num_layers": 2, "num_heads": 4, "d_model": 32}
PRESETS = {
    "GPT2LMHeadModel": ("gpt2", {}),
    "Qwen3ForCausalLM": ("modern", {}),
    "LlamaForCausalLM": ("modern", {"qk_norm": False, "num_kv_heads": 2}),
}
EACH = pytest.mark.parametrize("kind", PRESETS)


def pair(kind, seed=0):
    """A model of ours and the same as theirs, with opinions."""
    torch.manual_seed(seed)
    name, changes = PRESETS[kind]
    gpt = GPT(preset(name, **BIG | changes)).eval()
    with torch.no_grad():
        for parameter in gpt.parameters():
            parameter.normal_(std=0.4)
    theirs = hf.to_hf(gpt)
    assert type(theirs).__name__ == kind
    return gpt, theirs


def words(batch=4, length=5, vocab_size=60, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (batch, length), generator=generator)


def their_new(theirs, ids, new, **options):
    """What `transformers.generate` adds."""
    mask = options.pop("attention_mask", torch.ones_like(ids))
    options = {"pad_token_id": 0, "do_sample": False} | options
    made = theirs.generate(ids, attention_mask=mask, max_new_tokens=new, **options)
    return made[:, ids.shape[1] :]


def same(ours, theirs, stops=()):
    """Equal up to each row's stop: after it stands our filling, or theirs."""

    def ended(rows):
        ends = [next((i for i, t in enumerate(row) if t in stops), len(row)) for row in rows]
        return [row[: end + 1] for row, end in zip(rows, ends, strict=True)]

    return ended(ours.tolist()) == ended(theirs.tolist())


@EACH
@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_greedy_tokens_are_those_of_transformers(kind, penalty):
    gpt, theirs = pair(kind)
    expected = their_new(theirs, words(), 40, repetition_penalty=penalty)
    made = generate(gpt, words(), 40, temperature=0, repetition_penalty=penalty)
    assert torch.equal(made, expected)


@EACH
def test_greedy_texts_end_where_those_of_transformers_do(kind):
    gpt, theirs = pair(kind)
    free = generate(gpt, words(), 20, temperature=0)
    stops = [int(free[0, 4]), int(free[1, 7])]
    made = generate(gpt, words(), 20, temperature=0, stop=stops)
    assert same(made, their_new(theirs, words(), 20, eos_token_id=stops), stops)
    assert made.shape == free.shape or made.shape[1] < 20


@EACH
def test_padded_batches_are_those_of_transformers(kind):
    gpt, theirs = pair(kind)
    rows = [words(1, n, seed=n)[0].tolist() for n in (1, 7, 3, 12)]
    ids, keep = padded("left", rows)
    expected = their_new(theirs, ids, 15, attention_mask=keep.long())
    assert torch.equal(generate(gpt, ids, 15, temperature=0, keep=keep), expected)


@EACH
@pytest.mark.parametrize(
    "decoding",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 5},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_with_torchs_own_generator_the_tokens_drawn_are_those_of_transformers(kind, decoding):
    gpt, theirs = pair(kind)
    torch.manual_seed(5)
    expected = their_new(theirs, words(), 30, do_sample=True, **{"top_k": 0} | decoding)
    torch.manual_seed(5)
    assert torch.equal(generate(gpt, words(), 30, **decoding), expected)


BEAMS = [(1, 1.0), (2, 1.0), (3, 0.0), (4, 1.0), (4, 2.0), (4, -1.0), (5, 0.7)]


@EACH
@pytest.mark.parametrize(("num_beams", "length_penalty"), BEAMS)
def test_a_beam_search_finds_what_that_of_transformers_finds(kind, num_beams, length_penalty):
    for seed in range(4):
        gpt, theirs = pair(kind, seed)
        greedy = generate(gpt, words(), 12, temperature=0)
        for stops in ([], [int(greedy[0, 3])], greedy[:, 5].unique().tolist()):
            options = {"num_beams": num_beams, "length_penalty": length_penalty}
            expected = their_new(theirs, words(), 12, eos_token_id=stops or None, **options)
            made = beam(gpt, words(), 12, **options, stop=stops)
            assert same(made, expected, stops)


def test_a_beam_search_ends_by_the_rule_that_is_their_default():
    """And some search ends elsewhere by each of their other rules."""
    others = {"never": 0, True: 0}
    for seed in range(12):
        gpt, theirs = pair("GPT2LMHeadModel", seed)
        stops = generate(gpt, words(), 12, temperature=0)[:, 3:].unique().tolist()[:6]
        for length_penalty in (0.0, 1.5):
            options = {"num_beams": 3, "length_penalty": length_penalty, "eos_token_id": stops}
            made = beam(gpt, words(), 12, 3, length_penalty=length_penalty, stop=stops)
            assert same(made, their_new(theirs, words(), 12, **options), stops)
            for rule in others:
                found = their_new(theirs, words(), 12, **options, early_stopping=rule)
                others[rule] += not same(made, found, stops)
    assert all(others.values()), others


def test_a_wide_enough_beam_finds_the_most_probable_text():
    gpt, text, new = model(), prompts(2), 3
    made = beam(gpt, text, new, V ** (new - 1), length_penalty=0.0)
    every = torch.cartesian_prod(*[torch.arange(V)] * new)  # (V ** new, new)
    for row, found in zip(text, made, strict=True):
        with torch.no_grad():
            logits = gpt(torch.cat([row.expand(len(every), -1), every], dim=1))
        nats = logits.log_softmax(-1)[:, len(row) - 1 : -1].gather(2, every[..., None]).sum((1, 2))
        assert found.tolist() == every[nats.argmax()].tolist()


def test_one_beam_is_greedy_past_the_context_too():
    greedy = generate(model(), prompts(), 20, temperature=0)
    assert torch.equal(beam(model(), prompts(), 20, 1), greedy)


@pytest.mark.parametrize("changes", [{"copy_head": True}, {"ngram_rows": 30}], ids=str)
def test_beams_keep_what_the_cache_holds_apart(changes):
    """Against a search that reads every text anew."""
    gpt, text, beams, new = model(3, **changes), prompts(1), 3, 7
    texts, scores = [text[0].tolist()], [0.0]
    for _ in range(new):
        with torch.no_grad():
            nats = gpt(torch.tensor(texts))[:, -1].log_softmax(-1)
        sums = (torch.tensor(scores)[:, None] + nats).flatten()
        best = sums.topk(beams)
        texts = [texts[i // V] + [i % V] for i in best.indices.tolist()]
        scores = best.values.tolist()
    assert beam(gpt, text, new, beams).tolist() == [texts[0][text.shape[1] :]]


@pytest.mark.parametrize("name", ["gpt", "story-base"])
def test_on_recorded_models_every_way_of_decoding_agrees_with_transformers(name):
    gpt, _ = records.load(name)
    theirs = hf.to_hf(gpt)
    vocab_size = gpt.config.vocab_size
    ids = words(3, 6, vocab_size)
    assert torch.equal(generate(gpt, ids, 60, temperature=0), their_new(theirs, ids, 60))
    options = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1}
    torch.manual_seed(0)
    expected = their_new(theirs, ids, 60, do_sample=True, top_k=0, **options)
    torch.manual_seed(0)
    assert torch.equal(generate(gpt, ids, 60, **options), expected)
    stop = int(expected[0, 30])
    options = {"num_beams": 4, "length_penalty": 0.6}
    found = beam(gpt, ids, 60, **options, stop=stop)
    assert same(found, their_new(theirs, ids, 60, **options, eos_token_id=stop), [stop])


# Streaming


def test_the_pieces_of_a_stream_are_the_text_of_the_tokens_that_generate_gives():
    text = "“Naïve 漢字 🙂,” said the mole. The end.\n" * 3
    tokenizer = BPETokenizer.train(text, 290)
    gpt = model(vocab_size=290)
    for settings in ({"temperature": 0}, {"top_p": 0.8}, {"temperature": 2.0, "min_p": 0.001}):
        ids = torch.tensor([tokenizer.encode(text[:9])])
        new = generate(gpt, ids, 40, generator=seeded(), **settings)
        pieces = list(stream(gpt, tokenizer, text[:9], 40, generator=seeded(), **settings))
        assert "".join(pieces) == tokenizer.decode(new[0].tolist())
        assert all(pieces) and len(pieces) > 5
        again = stream(gpt, tokenizer, ids[0].tolist(), 40, generator=seeded(), **settings)
        assert list(again) == pieces


def test_a_stream_ends_before_a_stop_and_before_a_stop_string():
    whole = "".join(stream(model(), LETTERS, "abc", 30, generator=seeded()))
    assert len(whole) == 30
    stop = whole[7:10]
    made = "".join(stream(model(), LETTERS, "abc", 30, generator=seeded(), stop_strings=[stop]))
    assert made == whole[: whole.index(stop)]
    ids = LETTERS.encode(whole[5:7])
    made = "".join(stream(model(), LETTERS, "abc", 30, generator=seeded(), stop=ids))
    assert made == whole[: min(whole.index(letter) for letter in whole[5:7])]


def test_a_stream_comes_as_it_is_made_and_may_be_left():
    gpt, calls = model().train(), []
    gpt.register_forward_hook(lambda *_: calls.append(1))
    pieces = stream(gpt, LETTERS, "abc", 30)
    assert not calls and gpt.training
    next(pieces)
    assert len(calls) == 1 and not gpt.training and not torch.is_inference_mode_enabled()
    pieces.close()
    assert gpt.training and len(calls) == 1


def test_a_stream_says_what_is_wrong_before_its_first_piece():
    with pytest.raises(ModelError, match="top_p is 2"):
        stream(model(), LETTERS, "abc", 5, top_p=2)
    with pytest.raises(ModelError, match="a token or more in each row"):
        stream(model(), LETTERS, "", 5)


def test_the_settings_are_those_of_a_decoder():
    fields = [name for name in inspect.signature(Decoder).parameters]
    assert [name for name in inspect.signature(generate).parameters if name in fields] == fields


def test_what_it_made_can_be_trained_on():
    gpt = model()
    gpt(generate(gpt, prompts(), 5)).sum().backward()
    assert gpt.embedding.weight.grad.any()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"causal": False}, {}, "this one is not causal"),
        ({"cross_attention": True}, {}, "this one looks at an encoder's states"),
        ({}, {"ids": [1, 2]}, r"torch.tensor\(\[tokenizer.encode\(text\)\]\)"),
        ({}, {"ids": prompts()[0]}, r"of shape \(batch, positions\)"),
        ({}, {"ids": prompts()[:, :0]}, "a token or more in each row"),
        ({}, {"ids": prompts() + V}, "vocab_size is 7: were they made by another tokenizer"),
        ({}, {"ids": prompts().float()}, "ids has dtype torch.float32"),
        ({}, {"max_new_tokens": -1}, "max_new_tokens is -1: give a whole number, 0 or more"),
        ({}, {"temperature": -1.0}, "temperature is -1.0: give a number, 0 or more"),
        ({}, {"temperature": float("nan")}, "temperature is nan"),
        ({}, {"top_p": 1.5}, "top_p is 1.5: give a number, more than 0 and at most 1"),
        ({}, {"stop": V}, "stop is 7, but vocab_size is 7"),
        ({}, {"stop": [0, -1]}, "stop is -1, but vocab_size is 7"),
        ({}, {"stop_strings": "a"}, "give the tokenizer as well"),
        ({}, {"stop_strings": ["a", ""], "tokenizer": LETTERS}, "give texts that are not empty"),
        ({}, {"keep": torch.ones(3, 4)}, r"keep must be bool of shape \(3, 4\)"),
        ({}, {"keep": torch.zeros(3, 4).bool()}, "each prompt needs a token or more"),
    ],
)
def test_a_mistake_is_named_in_one_line(changes, arguments, message):
    with pytest.raises(ModelError, match=message) as error:
        generate(model(**changes), **{"ids": prompts(), "max_new_tokens": 3} | arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0: give a whole number, 1 or more"),
        ({"length_penalty": math.nan}, "length_penalty is nan: give a number"),
        ({"ids": prompts()[0]}, r"of shape \(batch, positions\)"),
        ({"stop": 9}, "stop is 9, but vocab_size is 7"),
    ],
)
def test_a_mistake_in_a_beam_search_is_named_in_one_line(arguments, message):
    given = {"ids": prompts(), "max_new_tokens": 3, "num_beams": 2} | arguments
    with pytest.raises(ModelError, match=message):
        beam(model(), **given)
