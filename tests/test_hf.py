"""tinygpt.hf: the same logits there and back, and the tokenizers' ids."""

import json
import sys

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import storyland
from tinygpt import hf, records
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.model import GPT, ModelError, preset
from tinygpt.tokenizer import END, BPETokenizer, CharTokenizer, HFTokenizer

TEXT = "“No,” said the mole. <|end|> “No, no,” said the old frog, 30 days old.\n" * 3
HELD_OUT = "“Yes,” said the young mole.\r\n\n  Naïve 漢字 🙂\u200d <|end|><|end|>\t1234 it's\x00\n"
BPE, CHARS = BPETokenizer.train(TEXT, 300), CharTokenizer.train(TEXT)
SIZES = {"vocab_size": 300, "context": 20, "num_layers": 3, "num_heads": 4, "d_model": 32}

HELD = [
    ("gpt2", {}, "GPT2LMHeadModel"),
    ("gpt2", {"bias": False, "activation": "gelu", "mlp_hidden": 40}, "GPT2LMHeadModel"),
    ("gpt2", {"activation": "relu2"}, "GPT2LMHeadModel"),
    ("modern", {}, "Qwen3ForCausalLM"),
    ("modern", {"num_kv_heads": 2, "rotary_base": 100.0}, "Qwen3ForCausalLM"),
    ("modern", {"qk_norm": False}, "LlamaForCausalLM"),
    ("modern", {"qk_norm": False, "bias": True, "num_kv_heads": 1}, "LlamaForCausalLM"),
    ("bert", {}, "BertForMaskedLM"),
    ("bert", {"activation": "gelu_tanh", "norm_eps": 1e-3}, "BertForMaskedLM"),
]
EACH = pytest.mark.parametrize(("name", "changes", "theirs"), HELD, ids=str)
TIED = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


def at_random(model):
    """Every weight drawn anew, biases and norms too, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=generator)
    return model.eval()


def ours(name, **changes):
    torch.manual_seed(0)
    return at_random(GPT(preset(name, **SIZES | changes)))


def some_ids():
    return torch.randint(300, (3, 17), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def assert_same_logits(model, theirs):
    logits, expected = model(some_ids()), theirs(input_ids=some_ids()).logits
    assert expected.std() > 0.3
    # float32 rounds at 6e-8 of a number; a sum of such, three layers deep, stays near 1e-6.
    assert (logits - expected).abs().max() < 5e-6 * expected.abs().max()


@EACH
@TIED
def test_our_model_and_theirs_made_from_it_give_the_same_logits(name, changes, theirs, tied):
    model = ours(name, tied=tied, **changes)
    exported = hf.to_hf(model)
    assert type(exported).__name__ == theirs
    assert_same_logits(model, exported)


@EACH
@TIED
def test_their_model_and_ours_made_from_it_give_the_same_logits(name, changes, theirs, tied):
    theirs = at_random(hf.to_hf(ours(name, tied=tied, **changes)))
    model = hf.from_hf(theirs)
    assert_same_logits(model, theirs)
    assert model.config.tied is tied


@EACH
def test_there_and_back_is_the_same_model(name, changes, theirs):
    model = ours(name, dropout=0.25, **changes)
    back = hf.from_hf(hf.to_hf(model))
    expected = model.config.__dict__ | {
        "num_kv_heads": back.config.num_kv_heads,  # None is written out
        "mlp_hidden": model.config.hidden,
        "bias": back.config.bias,  # theirs may have them where ours has none
    }
    assert back.config.__dict__ == expected
    for parameter_name, parameter in model.named_parameters():
        assert torch.equal(back.get_parameter(parameter_name), parameter), parameter_name


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_in_float64_nothing_but_rounding_is_left(name):
    model = ours(name).double()
    with torch.no_grad():
        off = model(some_ids()) - hf.to_hf(model)(input_ids=some_ids()).logits
    assert off.abs().max() < 1e-12


def test_padding_is_theirs_too():
    model = ours("bert")
    keep = torch.arange(17) < torch.tensor([[17], [9], [1]])
    with torch.no_grad():
        theirs = hf.to_hf(model)(input_ids=some_ids(), attention_mask=keep.long()).logits
        assert torch.allclose(model(some_ids(), keep=keep)[keep], theirs[keep], atol=1e-4)


def test_the_states_are_those_of_their_model_without_its_head():
    for name, body in (("gpt2", "transformer"), ("modern", "model"), ("bert", "bert")):
        model = ours(name)
        with torch.no_grad():
            states = getattr(hf.to_hf(model), body)(input_ids=some_ids()).last_hidden_state
            assert torch.allclose(model.hidden(some_ids()), states, atol=1e-4)


@torch.no_grad()
def test_an_encoder_without_a_head_is_their_body_there_and_back():
    model = ours("bert", mlm_head=False)
    body = hf.to_hf(model)
    assert type(body).__name__ == "BertModel"
    keep = torch.arange(17) < torch.tensor([[17], [9], [1]])
    theirs = body(input_ids=some_ids(), attention_mask=keep.long()).last_hidden_state
    assert torch.allclose(model.hidden(some_ids(), keep=keep)[keep], theirs[keep], atol=1e-4)

    other = at_random(transformers.BertModel(body.config))  # with a pooler, and types that count
    back = hf.from_hf(other)
    states = other(input_ids=some_ids()).last_hidden_state
    assert states.std() > 0.3 and torch.allclose(back.hidden(some_ids()), states, atol=1e-4)
    assert back.config.tied and not back.config.mlm_head


def test_a_copy_shares_no_memory_with_what_it_was_made_from():
    theirs = hf.to_hf(ours("modern"))
    model = hf.from_hf(theirs)
    before = theirs.lm_head.weight.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(theirs.lm_head.weight, before) and before.any()


def test_greedy_text_is_that_of_their_generate():
    model = ours("modern")
    theirs = hf.to_hf(model).generate(
        some_ids()[:, :5], max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    assert torch.equal(generate(model, some_ids()[:, :5], 12, temperature=0), theirs[:, 5:])


def test_a_model_in_training_stays_in_training():
    assert hf.to_hf(ours("gpt2").train()).training
    assert hf.from_hf(hf.to_hf(ours("gpt2")).train()).training


# Folders


@pytest.mark.parametrize("name", ["gpt2", "modern", "bert"])
@pytest.mark.parametrize("tokenizer", [BPE, CHARS], ids=["bpe", "characters"])
@TIED
def test_a_folder_is_read_by_load_and_by_from_pretrained(name, tokenizer, tied, tmp_path, capfd):
    model = ours(name, tied=tied)
    hf.save(model, tokenizer, tmp_path)
    again, its_tokenizer = hf.load(tmp_path)
    assert capfd.readouterr() == ("", "")  # no bars on a page
    assert type(its_tokenizer) is type(tokenizer)
    assert its_tokenizer.encode(TEXT) == tokenizer.encode(TEXT)
    with torch.no_grad():
        assert torch.equal(again(some_ids()), model(some_ids()))
    auto = {"bert": transformers.AutoModelForMaskedLM}.get(name, transformers.AutoModelForCausalLM)
    assert_same_logits(model, auto.from_pretrained(tmp_path))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    plain = {"split_special_tokens": True} if name == "bert" else {}  # its end stands for a gap
    assert theirs(TEXT, **plain)["input_ids"] == tokenizer.encode(TEXT)
    assert theirs.decode(theirs(TEXT)["input_ids"]) == TEXT


def test_their_pipeline_fills_the_gaps_that_ours_does(tmp_path):
    bert = ours("bert")
    hf.save(bert, BPE, tmp_path)
    fill = transformers.pipeline("fill-mask", model=str(tmp_path))
    (first, *_) = fill("said the<|end|> No", top_k=1)
    before, after = BPE.encode("said the"), BPE.encode(" No")
    with torch.no_grad():
        logits = bert(torch.tensor([[*before, BPE.end_id, *after]]))[0, len(before)]
    assert first["token"] == logits.argmax().item()
    assert first["score"] == pytest.approx(logits.softmax(0).max().item(), rel=1e-4)


def test_their_generate_stops_at_our_end(tmp_path):
    hf.save(ours("gpt2"), BPE, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert theirs.generation_config.eos_token_id == BPE.end_id
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).eos_token_id == BPE.end_id


def test_the_base_model_of_later_parts_is_one_of_theirs_exactly(tmp_path):
    model, record = records.load("story-base")
    assert model.num_parameters() <= 1_500_000 and record["figures"]["above_floor"] < 0.08
    reader = BPETokenizer.train(corpus("storyland", size="1MB").train, model.config.vocab_size)
    hf.save(model, reader, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([reader.encode("\n" + storyland.held_out()[0])])
    with torch.no_grad():
        logits, expected = model(ids), theirs(input_ids=ids).logits
    assert (logits - expected).abs().max() < 5e-6 * expected.abs().max()


def test_the_encoder_of_later_parts_is_one_of_theirs_and_comes_back(tmp_path):
    model, record = records.load("story-bert")
    assert model.num_parameters() <= 1_500_000
    assert record["figures"]["bits_per_hidden_token"] < 2
    reader = BPETokenizer.train(corpus("storyland", size="1MB").train, model.config.vocab_size)
    hf.save(model, reader, tmp_path)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path)
    ids = torch.tensor([reader.encode(storyland.held_out()[0])])
    ids[:, 5::7] = reader.end_id
    with torch.no_grad():
        logits, expected = model(ids), theirs(input_ids=ids).logits
    assert (logits - expected).abs().max() < 5e-6 * expected.abs().max()
    again, _ = hf.load(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_model_of_ours_with_a_tokenizer_of_theirs_is_saved_and_comes_back(tmp_path):
    fast = BPETokenizer.train(TEXT, 290)._tokenizer
    fast.add_special_tokens(["<pad>"])
    tokenizer = HFTokenizer(fast, {"eos_token": END, "pad_token": "<pad>"})
    hf.save(ours("modern"), tokenizer, tmp_path)
    _, again = hf.load(tmp_path)
    assert type(again) is HFTokenizer and again.names == tokenizer.names
    assert again.encode(HELD_OUT, special=True) == tokenizer.encode(HELD_OUT, special=True)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(HELD_OUT)["input_ids"] == tokenizer.encode(HELD_OUT, special=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.generation_config.eos_token_id == tokenizer.end_id == 289


def test_a_folder_is_read_in_the_type_that_is_asked_for(tmp_path):
    hf.save(ours("gpt2").bfloat16(), BPE, tmp_path)
    assert hf.load(tmp_path)[0].embedding.weight.dtype == torch.bfloat16
    whole, _ = hf.load(tmp_path, torch.float32)
    assert whole.embedding.weight.dtype == torch.float32


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=f"has {BPE.vocab_size} tokens and the model 200"):
        hf.save(ours("gpt2", vocab_size=200), BPE, tmp_path)


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="config.json is missing"):
        hf.load(tmp_path)
    hf.save(ours("gpt2"), BPE, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["T5ForConditionalGeneration"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="holds a T5ForConditionalGeneration: load reads GPT2"):
        hf.load(tmp_path)


# Tokenizers

THEIR_BPE, THEIR_CHARS = hf.tokenizer_to_hf(BPE), hf.tokenizer_to_hf(CHARS)


def test_a_held_out_text_has_the_same_ids():
    assert THEIR_BPE(HELD_OUT)["input_ids"] == BPE.encode(HELD_OUT)
    assert THEIR_BPE.decode(BPE.encode(HELD_OUT)) == HELD_OUT


@given(st.text())
def test_any_text_has_the_same_ids(text):
    assert THEIR_BPE(text)["input_ids"] == BPE.encode(text)
    assert THEIR_BPE.decode(BPE.encode(text)) == text


@given(st.text(alphabet=CHARS.characters))
def test_any_text_of_known_characters_has_the_same_ids(text):
    assert THEIR_CHARS(text)["input_ids"] == CHARS.encode(text)
    assert THEIR_CHARS.decode(CHARS.encode(text)) == text


def test_an_unknown_character_is_refused_there_too():
    with pytest.raises(Exception, match="vocabulary"):  # the library has no narrower class
        THEIR_CHARS("é")


def test_exporting_leaves_our_tokenizer_as_it_was():
    hf.tokenizer_to_hf(BPE)
    assert BPE.end_id not in BPE.encode("<|end|>")


# What cannot be held


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "gpt2",
            {"positions": "sinusoidal"},
            "positions is 'sinusoidal'.* GPT2LMHeadModel",
        ),
        ("modern", {"ngram_rows": 9}, "ngram_rows is 9, which no class of transformers has"),
        ("modern", {"copy_head": True}, "copy_head is True, which no class of transformers has"),
        ("gpt2", {"norm": "rmsnorm"}, "norm is 'rmsnorm'.* GPT2LMHeadModel comes nearest"),
        ("gpt2", {"activation": "swiglu"}, "activation is 'swiglu'"),
        ("gpt2", {"qk_norm": True}, "qk_norm is True"),
        ("gpt2", {"num_kv_heads": 2}, "num_kv_heads is 2: GPT2LMHeadModel.* num_heads, 4"),
        ("gpt2", {"cross_attention": True}, "cross_attention is True"),
        ("gpt2", {"norm_first": False}, "norm_first is False"),
        ("modern", {"activation": "relu2"}, "activation is 'relu2'.* Qwen3ForCausalLM .* 'swiglu'"),
        ("modern", {"bias": True}, "bias is True"),
        ("modern", {"causal": False}, "causal is False"),
        ("bert", {"mlm_head": False, "tied": False}, "tied is False.* BertModel comes nearest"),
        ("bert", {"mlm_head": False, "num_kv_heads": 2}, "num_kv_heads is 2: BertModel"),
        ("bert", {"norm_first": True}, "norm_first is True"),
    ],
    ids=str,
)
def test_a_model_that_none_of_theirs_holds_is_refused_with_the_field(name, changes, message):
    refused(lambda: hf.to_hf(ours(name, **changes)), message)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
        ("gpt2", "activation_function", "tanh"),
        ("modern", "head_dim", 16),
        ("modern", "attention_bias", True),
        ("modern", "rope_parameters", {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}),
        ("bert", "is_decoder", True),
    ],
)
def test_a_model_of_theirs_that_ours_cannot_hold_is_refused(name, field, value):
    theirs = hf.to_hf(ours(name))
    setattr(theirs.config, field, value)
    refused(lambda: hf.from_hf(theirs), type(theirs).__name__)


def test_another_class_is_refused():
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9)
    config.bos_token_id = config.eos_token_id = None
    refused(lambda: hf.from_hf(transformers.GPT2Model(config)), "takes a GPT2LMHeadModel or ")
    refused(lambda: hf.tokenizer_to_hf("text"), "A str is no tokenizer of ours")


def test_without_transformers_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(lambda: hf.to_hf(ours("gpt2")), "pip install transformers")


def refused(call, message):
    with pytest.raises(ModelError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
