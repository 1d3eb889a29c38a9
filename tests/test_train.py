"""Texts as rows of ids, training on them, and what a trained model scores."""

import math

import pytest
import torch
import torch.nn.functional as F

import storyland
from tinygpt import data, train
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

LINES = ["a cat sat\n", "a dog\n", "a cat sat on a dog\n"]
READER = CharTokenizer.train("".join(LINES))
TEXTS = data.texts(LINES, READER)


def model(**changes):
    torch.manual_seed(0)
    sizes = {"vocab_size": READER.vocab_size, "context": 32, "num_layers": 1, "d_model": 16}
    return GPT(preset("gpt2", **sizes | changes))


def text(ids):
    return READER.decode(ids.tolist())


def test_the_ids_are_the_texts_behind_one_newline():
    assert text(TEXTS.ids) == "\n" + "".join(LINES)
    assert len(TEXTS) == 3
    assert TEXTS.num_chars == sum(map(len, LINES))


def test_a_row_begins_with_the_newline_before_its_text_and_runs_on():
    rows = TEXTS.rows(torch.tensor([1, 0]), 12)
    assert [text(row) for row in rows] == ["\na dog\na cat", "\na cat sat\na"]


def test_the_last_text_runs_on_into_the_first():
    (row,) = TEXTS.rows(torch.tensor([2]), 26)
    assert text(row) == "\n" + LINES[2] + "\n" + LINES[0][:5]


def test_a_text_without_its_newline_is_refused_by_number():
    with pytest.raises(ValueError, match="text 1 ends in 'g': a text must end in a newline"):
        data.texts(["a cat\n", "a dog"], READER)


def test_log_probs_are_those_of_each_text_read_alone():
    untrained = model()
    found = train.log_probs(untrained, TEXTS)
    for line, nats in zip(LINES, found, strict=True):
        ids = torch.tensor([READER.encode("\n" + line)])
        alone = -F.cross_entropy(untrained(ids[:, :-1])[0], ids[0, 1:], reduction="none")
        torch.testing.assert_close(nats, alone, rtol=0, atol=1e-5)


def test_bits_per_char_divides_by_characters_and_not_by_tokens():
    reader = BPETokenizer.train("".join(LINES), 262)
    texts = data.texts(LINES, reader)
    assert len(texts.ids) - 1 < texts.num_chars
    untrained = model(vocab_size=reader.vocab_size)
    nats = -sum(one.sum().item() for one in train.log_probs(untrained, texts))
    expected = nats / math.log(2) / texts.num_chars
    assert train.bits_per_char(untrained, texts) == pytest.approx(expected)


def test_training_learns_the_texts_by_heart():
    trained = model()
    before = train.bits_per_char(trained, TEXTS)
    settings = {"context": 20, "steps": 150, "batch_size": 4, "learning_rate": 0.01}
    seen = []
    losses = train.fit(trained, TEXTS, **settings, watch=lambda *a: seen.append(a))
    assert seen == list(enumerate(losses))
    assert before > 3 and train.bits_per_char(trained, TEXTS) < 0.5
    assert not trained.training


def test_the_same_seed_trains_the_same_model():
    settings = {"context": 20, "steps": 5, "batch_size": 4, "learning_rate": 0.01}
    first, second, other = (
        train.fit(model(dropout=0.1), TEXTS, **settings, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_the_pieces_of_a_story_end_where_it_ends():
    story = storyland.held_out_stories()[0]
    reader = BPETokenizer.train(storyland.text(1, 50_000), 400)
    for tokenizer in (reader, CharTokenizer.train(storyland.text(1, 50_000) + story.text)):
        ends = tokenizer.ends(story.text)
        assert len(ends) == len(tokenizer.encode(story.text))
        assert ends == sorted(ends) and ends[-1] == len(story.text)
