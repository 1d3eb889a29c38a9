"""The tokenizers: every text comes back, ids mean what they say, mistakes get one clear line."""

import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tinygpt.tokenizer import END, BPETokenizer, CharTokenizer, HFTokenizer, TokenizerError

TEXT = "“No,” said the mole. “No, no,” said the old frog. The mole was 30 days old.\n" * 3
CHARS = CharTokenizer.train(TEXT)
BPE = BPETokenizer.train(TEXT, 300)
BOTH = pytest.mark.parametrize("tokenizer", [CHARS, BPE], ids=["characters", "bpe"])
any_text = st.text()  # hypothesis leaves out surrogates: they cannot be written as UTF-8
near_text = st.lists(st.sampled_from(["“", "”", "No", " said", "\n", "\r\n", "  ", "30", END, "é"]))


def refused(function, *arguments):
    """The message of the TokenizerError that a call ends in: one line."""
    with pytest.raises(TokenizerError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    assert error.value._render_traceback_() == [message]
    return message


# Round trips


@given(any_text)
def test_any_text_comes_back_from_bpe(text):
    assert BPE.decode(BPE.encode(text)) == text


@given(near_text.map("".join))
def test_text_near_the_training_text_comes_back_from_bpe(text):
    assert BPE.decode(BPE.encode(text)) == text


@given(st.text(alphabet=CHARS.characters))
def test_text_of_known_characters_comes_back_one_id_a_character(text):
    ids = CHARS.encode(text)
    assert CHARS.decode(ids) == text
    assert len(ids) == len(text)


@given(st.text(min_size=1), st.integers(257, 400))
def test_bpe_trained_on_any_text_takes_any_other(text, vocab_size):
    tokenizer = BPETokenizer.train(text, vocab_size)
    assert 257 <= tokenizer.vocab_size <= vocab_size
    assert tokenizer.decode(tokenizer.encode(text + TEXT)) == text + TEXT


@given(st.lists(any_text))
def test_a_batch_is_its_texts_one_by_one(texts):
    assert BPE.encode_batch(texts) == [BPE.encode(text) for text in texts]


@BOTH
def test_no_text_is_no_ids(tokenizer):
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


# Ids


@BOTH
def test_ids_are_plain_ints_in_range_of_the_vocabulary(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert all(type(i) is int and 0 <= i < tokenizer.vocab_size for i in ids)


@BOTH
def test_decode_takes_the_integers_of_numpy(tokenizer):
    assert tokenizer.decode(np.array(tokenizer.encode(TEXT))) == TEXT


def test_characters_are_numbered_by_code_point():
    assert CharTokenizer.train("the quick brown fox").characters == " bcefhiknoqrtuwx"
    assert CharTokenizer.train("cab\na").encode("abc") == [1, 2, 3]


def test_the_first_256_ids_are_the_bytes_in_the_order_of_gpt2():
    tokenizer = BPETokenizer.train("", 257)
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = visible + [byte for byte in range(256) if byte not in visible]
    for character in map(chr, range(0, 0x250)):
        assert tokenizer.encode(character) == [order.index(b) for b in character.encode()]


def test_merges_come_by_count_then_by_left_id_then_by_right_id():
    # " b" + "a" twice and "c" + "d" twice: c and d have the smaller ids than the space
    tokenizer = BPETokenizer.train("cd ba cd ba", 260)
    assert [tokenizer.decode([i]) for i in (256, 257, 258)] == ["ba", "cd", " ba"]


def test_equal_pairs_do_not_overlap():
    tokenizer = BPETokenizer.train("aaaa", 258)
    assert tokenizer.decode([256]) == "aa"
    assert tokenizer.encode("aaaaa") == [256, 256, *tokenizer.encode("a")]


def test_no_token_reaches_across_a_space_or_from_letters_to_marks():
    tokenizer = BPETokenizer.train("a dog, a dog, a dog, " * 50, 400)
    learned = [tokenizer.decode([i]) for i in range(256, tokenizer.vocab_size - 1)]
    assert learned
    assert all(re.fullmatch(r" ?([a-z]+|,)", token) for token in learned)


def test_training_stops_where_no_pair_is_left():
    assert BPETokenizer.train("ab", 1000).vocab_size == 258
    assert BPETokenizer.train("", 1000).vocab_size == 257


# The end token


def test_the_end_is_the_last_id_and_decodes_to_nothing():
    assert BPE.end_id == BPE.vocab_size - 1
    assert BPE.decode([*BPE.encode("No"), BPE.end_id]) == "No"


@given(near_text.map("".join), near_text.map("".join))
def test_no_text_encodes_to_the_end(before, after):
    text = before + END + after
    assert BPE.end_id not in BPE.encode(text)
    assert BPE.decode(BPE.encode(text)) == text


def test_training_on_the_end_mark_as_text_does_not_make_it_a_token():
    tokenizer = BPETokenizer.train(f"a{END} {END}{END}\n" * 100, 400)
    assert tokenizer.end_id not in tokenizer.encode(f"{END}a{END}")
    assert tokenizer.end_id == tokenizer.vocab_size - 1


# Files


@BOTH
def test_a_saved_tokenizer_loads_as_it_was(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    json.loads(path.read_text(encoding="utf-8"))
    loaded = type(tokenizer).load(path)
    assert loaded.vocab_size == tokenizer.vocab_size
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_loaded_or_pickled_bpe_takes_the_end_mark_as_text(tmp_path):
    BPE.save(tmp_path / "bpe.json")
    copies = BPETokenizer.load(tmp_path / "bpe.json"), pickle.loads(pickle.dumps(BPE))
    for copy in copies:
        assert copy.encode(END) == BPE.encode(END)
        assert copy.end_id not in copy.encode(END)


@BOTH
def test_a_missing_file_is_named(tokenizer, tmp_path):
    message = refused(type(tokenizer).load, tmp_path / "none.json")
    assert "none.json cannot be read" in message
    message = refused(tokenizer.save, tmp_path / "no folder" / "a.json")
    assert "a.json cannot be written" in message


@BOTH
@pytest.mark.parametrize("content", [b"\xff\xfe", b"no json", b"[1, 2]", b"{", b""])
def test_a_file_that_is_no_tokenizer_is_refused(tokenizer, content, tmp_path):
    (tmp_path / "bad.json").write_bytes(content)
    assert "is not the JSON file of a tokenizer" in refused(
        type(tokenizer).load, tmp_path / "bad.json"
    )


def test_the_file_of_the_other_class_is_refused(tmp_path):
    CHARS.save(tmp_path / "chars.json")
    BPE.save(tmp_path / "bpe.json")
    assert "no BPETokenizer" in refused(BPETokenizer.load, tmp_path / "chars.json")
    assert "no CharTokenizer" in refused(CharTokenizer.load, tmp_path / "bpe.json")


def test_a_damaged_file_of_the_right_kind_is_refused(tmp_path):
    BPE.save(tmp_path / "bpe.json")
    content = json.loads((tmp_path / "bpe.json").read_text(encoding="utf-8"))
    for damage in ({"model": {}}, {"added_tokens": "x"}, {"added_tokens": [1]}, {"version": 7}):
        damaged = json.dumps(content | damage)
        (tmp_path / "bad.json").write_text(damaged, encoding="utf-8")
        assert "no BPETokenizer" in refused(BPETokenizer.load, tmp_path / "bad.json")


# Mistakes


def test_an_unknown_character_is_named_with_its_place():
    message = refused(CHARS.encode, "The molé")
    assert "'é' at position 7" in message


@BOTH
def test_half_a_surrogate_pair_is_named_with_its_place(tokenizer):
    message = refused(tokenizer.encode, "No\ud83d")
    assert r"'\ud83d' at position 2" in message


def test_a_surrogate_in_training_text_or_in_a_batch_is_refused():
    assert "surrogate" in refused(BPETokenizer.train, "a\udc00", 300)
    assert "surrogate" in refused(CharTokenizer.train, "a\udc00")
    assert "surrogate" in refused(BPE.encode_batch, ["a", "\udc00"])


@BOTH
@pytest.mark.parametrize("text", [b"bytes", None, ["a"], 3])
def test_what_is_no_text_is_refused(tokenizer, text):
    assert type(text).__name__ in refused(tokenizer.encode, text)


def test_one_text_is_no_batch():
    assert "a list of texts" in refused(BPE.encode_batch, "No, no")


@BOTH
def test_an_id_that_does_not_exist_is_named_with_its_place(tokenizer):
    for bad in (-1, tokenizer.vocab_size):
        assert f"Token 1 is {bad}" in refused(tokenizer.decode, [0, bad])
    assert "Token 0 is 'a'" in refused(tokenizer.decode, "abc")
    assert "Token 0 is 1.0" in refused(tokenizer.decode, [1.0])


@pytest.mark.parametrize("vocab_size", [-1, 0, 256, 300.5, "300"])
def test_a_vocabulary_too_small_or_no_number_is_refused(vocab_size):
    assert "257 or more" in refused(BPETokenizer.train, TEXT, vocab_size)


def test_characters_of_no_text_are_refused():
    assert "empty" in refused(CharTokenizer.train, "")


# The tokenizer of a Hugging Face folder

MARKS = ["<|im_start|>", "<|im_end|>"]


def byte_level():
    """Byte-pair encoding in SmolLM2's way: its marks come first, and each digit is a piece."""
    learned = json.loads(BPE._tokenizer.to_str())["model"]
    vocab = {token: i for i, token in enumerate([*MARKS, *learned["vocab"]])}
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(merge) for merge in learned["merges"]]))
    digits, rest = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(MARKS)
    tokenizer.add_tokens(["<think>"])
    return tokenizer


def word_pieces():
    """WordPiece as BERT's, with the truncation and padding that such files bring from training."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = [*names, *"abcdefghijklmnopqrstuvwxyz0123.,中", *(f"##{c}" for c in "abcdeno3é")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, ends)
    tokenizer.add_special_tokens(names)
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    return tokenizer


CHAT = HFTokenizer(byte_level(), {"eos_token": "<|im_end|>"})
WORDS = HFTokenizer(word_pieces())
THEIRS = [  # as transformers has them; without what their files say of length
    PreTrainedTokenizerFast(tokenizer_object=CHAT._reads_special, eos_token="<|im_end|>"),
    PreTrainedTokenizerFast(tokenizer_object=WORDS._reads_special),
]
HF = pytest.mark.parametrize(
    ("tokenizer", "theirs"), list(zip([CHAT, WORDS], THEIRS, strict=True)), ids=["bpe", "pieces"]
)
parts = ["No", " said", "1984", "½ ²", "漢字，", "🙂", "👩‍🚀", "é", "é", "\n\n", "[SEP]", "##a"]
odd_text = st.lists(st.sampled_from([*parts, *MARKS, "<think>"]) | st.text(max_size=5)).map("".join)


@HF
@given(text=odd_text)
def test_any_text_has_the_ids_that_transformers_gives_it(tokenizer, theirs, text):
    for around in (False, True):
        plain = theirs(text, split_special_tokens=True, add_special_tokens=around)["input_ids"]
        read = theirs(text, split_special_tokens=False, add_special_tokens=around)["input_ids"]
        assert tokenizer.encode(text, around=around) == plain
        assert tokenizer.encode(text, special=True, around=around) == read
    for special in (False, True):
        expected = theirs.decode(
            read, skip_special_tokens=not special, clean_up_tokenization_spaces=False
        )
        assert tokenizer.decode(read, special=special) == expected


@given(odd_text, st.randoms())
def test_the_bytes_of_the_tokens_are_the_text_and_where_they_end(text, random):
    ids = CHAT.encode(text)
    assert b"".join(map(CHAT.token_bytes, ids)) == text.encode()
    assert CHAT.decode(ids) == text
    read = CHAT.encode(text, special=True)
    assert b"".join(map(CHAT.token_bytes, read)).decode() == CHAT.decode(read)
    read, end = b"", CHAT.ends(text)
    assert len(end) == len(ids)
    for i, stop in zip(ids, end, strict=True):
        read += CHAT.token_bytes(i)
        assert len(text[: stop - 1].encode()) < len(read) <= len(text[:stop].encode())


@given(any_text)
def test_the_bytes_of_our_own_tokens_are_the_text(text):
    assert b"".join(map(BPE.token_bytes, BPE.encode(text))) == text.encode()
    assert BPE.token_bytes(BPE.end_id) == b""


def test_marks_are_text_unless_they_are_asked_for():
    assert CHAT.encode("<|im_end|>", special=True) == [CHAT.end_id] == [1]
    assert CHAT.end_id not in CHAT.encode("<|im_start|>No<|im_end|>")
    assert CHAT.encode_batch(["<|im_end|>", "No"], special=True) == [[1], CHAT.encode("No")]
    assert (
        CHAT.decode([0, 1], special=True) == "<|im_start|><|im_end|>" and CHAT.decode([0, 1]) == ""
    )


def test_texts_of_any_length_stay_whole_and_bare():
    long = "a " * 50
    assert len(WORDS.encode(long)) == 50 and len(WORDS.encode("a")) == 1
    assert WORDS.encode("a", around=True) == [2, *WORDS.encode("a"), 3]


def test_a_tokenizer_without_an_end_says_so_and_counts_its_tokens():
    assert WORDS.end_id is None
    assert CHAT.vocab_size == BPE.vocab_size - 1 + 3 == max(CHAT.encode("<think>")) + 1


def test_word_pieces_are_no_bytes():
    assert "are no bytes" in refused(WORDS.token_bytes, 7)
    assert "Token 0 is 999" in refused(CHAT.token_bytes, 999)


@pytest.mark.parametrize("tokenizer", [CHAT, WORDS], ids=["bpe", "pieces"])
def test_one_of_theirs_is_saved_loaded_and_pickled_whole(tokenizer, tmp_path):
    path = tmp_path / "own.json"
    tokenizer.save(path)
    json.loads(path.read_text(encoding="utf-8"))
    for copy in (HFTokenizer.load(path), pickle.loads(pickle.dumps(tokenizer))):
        text = "No, 30 é <|im_end|> [SEP]"
        for special in (False, True):
            assert copy.encode(text, special=special) == tokenizer.encode(text, special=special)
        assert (copy.names, copy.end_id) == (tokenizer.names, tokenizer.end_id)


def test_a_folder_says_what_ends_a_text(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    assert HFTokenizer.load(tmp_path / "tokenizer.json").end_id is None
    assert HFTokenizer.load(tmp_path).end_id is None
    map_file, config = tmp_path / "special_tokens_map.json", tmp_path / "tokenizer_config.json"
    map_file.write_text(
        '{"eos_token": {"content": "<|im_end|>", "lstrip": false}}', encoding="utf-8"
    )
    assert HFTokenizer.load(tmp_path).end_id == 1
    config.write_text('{"eos_token": "<|im_start|>", "pad_token": null}', encoding="utf-8")
    assert HFTokenizer.load(tmp_path).names == {"eos_token": "<|im_start|>"}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no json", b"{}", b'{"type": "huggingface", }'])
def test_a_folder_or_file_without_one_is_refused(content, tmp_path):
    assert "holds no tokenizer.json" in refused(HFTokenizer.load, tmp_path)
    assert "cannot be read" in refused(HFTokenizer.load, tmp_path / "none.json")
    (tmp_path / "tokenizer.json").write_bytes(content)
    message = refused(HFTokenizer.load, tmp_path)
    assert "no tokenizer.json that" in message or "not the JSON file" in message
