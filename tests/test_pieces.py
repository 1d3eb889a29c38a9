"""tinygpt.pieces: the pieces are the text, whole characters each, up to the first stop string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygpt.pieces import UNKNOWN, Pieces
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

TEXT = "“Naïve 漢字 🙂\u200d,” said the mole. The end.\n"
BYTES = BPETokenizer.train("ab", 257)  # a token is a byte
BPE = BPETokenizer.train(TEXT * 3, 300)


def pieces_of(tokenizer, ids, stops=()):
    """Each piece, the rest last; and whether a stop string came."""
    pieces = Pieces(tokenizer, stops)
    made = [pieces.push(token) for token in ids]
    return [*made, pieces.rest()], pieces.ended


def cut(text, stops):
    """The text before the stop string that is complete first: letter by letter."""
    for end in range(len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end - len(stop)]
    return text


@pytest.mark.parametrize("tokenizer", [BYTES, BPE], ids=["bytes", "bpe"])
@given(text=st.text())
def test_together_they_are_the_text_and_none_ends_inside_a_character(tokenizer, text):
    made, ended = pieces_of(tokenizer, tokenizer.encode(text))
    assert "".join(made) == text and not ended
    if UNKNOWN not in text:
        assert not any(UNKNOWN in piece for piece in made)


@given(ids=st.lists(st.integers(0, BPE.vocab_size - 1)))
def test_any_ids_come_to_what_decode_says(ids):
    assert "".join(pieces_of(BPE, ids)[0]) == BPE.decode(ids)


@given(ids=st.lists(st.integers(0, 255)))
def test_any_bytes_come_to_what_decode_says(ids):
    assert "".join(pieces_of(BYTES, ids)[0]) == BYTES.decode(ids)


def test_a_character_comes_with_its_last_byte_and_not_before():
    assert pieces_of(BYTES, BYTES.encode("a漢b"))[0] == ["a", "", "", "漢", "b", ""]


def test_bytes_that_are_no_character_are_held_back_no_longer_than_needed():
    alone = BYTES.encode("漢")[1]  # goes on with a character that was never begun
    made, _ = pieces_of(BYTES, [alone] * 5)
    assert made == ["", *[UNKNOWN] * 5]


def test_a_character_that_was_begun_and_not_ended_comes_at_the_end_as_decode_gives_it():
    ids = BYTES.encode("a漢")[:-1]
    assert pieces_of(BYTES, ids)[0] == ["a", "", "", UNKNOWN]


STOPS = st.lists(st.text("abc", min_size=1, max_size=4), max_size=3)


@given(text=st.text("abc", max_size=30), stops=STOPS, lengths=st.lists(st.integers(1, 5)))
def test_the_text_ends_before_the_stop_string_that_is_complete_first(text, stops, lengths):
    """However it is cut into tokens."""

    class Cut:
        def decode(self, ids):
            return "".join(tokens[i] for i in ids)

    tokens, rest = [], text
    for length in lengths:
        tokens, rest = [*tokens, rest[:length]], rest[length:]
    tokens.append(rest)
    made, ended = pieces_of(Cut(), range(len(tokens)), stops)
    assert "".join(made) == cut(text, stops)
    assert ended is any(stop in text for stop in stops)


@given(text=st.text("abc", max_size=30), stops=STOPS)
def test_no_more_is_held_back_than_may_begin_a_stop_string(text, stops):
    pieces, said = Pieces(CharTokenizer("abc"), stops), ""
    for end, token in enumerate(CharTokenizer("abc").encode(text), 1):
        said += pieces.push(token)
        if pieces.ended:
            break
        held = text[len(said) : end]
        assert text.startswith(said)
        assert not held or any(stop.startswith(held) for stop in stops)


def test_a_stop_string_may_lie_across_tokens_and_after_other_text():
    made, ended = pieces_of(BPE, BPE.encode("said the mole. The end. No"), ["The end"])
    assert "".join(made) == "said the mole. " and ended
    assert made[-1] == "" == made[-2]  # what comes after it is not said


def test_a_stop_string_with_characters_of_several_bytes():
    made, ended = pieces_of(BYTES, BYTES.encode("a漢漢字b"), ["漢字"])
    assert "".join(made) == "a漢" and ended
