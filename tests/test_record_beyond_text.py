"""The recorded captioner, and the noisy channel with its search."""

import math
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

import storyland
from storyland.tasks import scenes
from storyland.words import END, join
from tinygpt import train
from tinygpt.corpora import corpus
from tinygpt.data import texts
from tinygpt.tokenizer import BPETokenizer
from tools.records import heard, pictures

# Pictures


@pytest.fixture(scope="module")
def some():
    return pictures.fresh(8, 24)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_patches_are_what_a_convolution_of_that_stride_reads(some, size):
    model, seen = pictures.Captioner(size), pictures.pictures(some, 0.1, 1)
    weight = model.project.weight.unflatten(1, (size, size, 3)).permute(0, 3, 1, 2)
    conv = torch.nn.functional.conv2d(seen.permute(0, 3, 1, 2), weight, model.project.bias, size)
    cut = pictures.patches(seen, size)
    torch.testing.assert_close(conv.flatten(2).mT, model.project(cut))
    assert torch.equal(pictures.together(cut, size), seen)


def test_a_caption_costs_the_same_alone_and_among_longer_ones(some):
    torch.manual_seed(0)
    model, seen = pictures.Captioner(4).eval(), pictures.pictures(some, 0.0, 1)
    rows = pictures.encoded([next(iter(scenes.captions(one.facts))) for one in some])
    both = model.nats(seen, rows).sum()
    alone = sum(
        model.nats(seen[i : i + 1], row[row >= 0][None]).sum() for i, row in enumerate(rows)
    )
    torch.testing.assert_close(both, alone)


def test_the_encoder_tells_an_order_of_patches_and_the_decoder_looks_at_it(some):
    torch.manual_seed(0)
    model, seen = pictures.Captioner(4).eval(), pictures.pictures(some[:2], 0.0, 1)
    memory = model.look(seen)
    assert memory.shape == (2, 16, pictures.WIDTH)
    turned = model.look(seen.flip(1))
    assert (memory.flip(1) - turned).abs().max() > 1e-3
    row = pictures.encoded(["A red fox is in the box, and there is one red ball."])
    first, second = (model.nats(seen[i : i + 1], row) for i in (0, 1))
    assert (first - second).abs().max() > 1e-6


def test_training_lowers_the_loss():
    one = pictures.train(4, 0, steps=1, count=64)
    more = pictures.train(4, 0, steps=25, count=64)
    seen = pictures.pictures(pictures.fresh(1, 64), 0.0, 1)
    rows = pictures.encoded([next(iter(scenes.captions(e.facts))) for e in pictures.fresh(1, 64)])
    assert more.nats(seen, rows).sum() < 0.7 * one.nats(seen, rows).sum()


def test_claims_are_written_as_digits_and_read_again(some):
    codes = " ".join(pictures.code(one.facts) for one in some)
    assert pictures.right(codes, some).all()
    assert not pictures.right("----- " * 24, some).any()
    other = pictures.right(codes, [*some[1:], some[0]])
    assert 0 < other.mean() < 0.6


def test_an_animal_lies_in_one_patch_in_two_or_in_four(some):
    for one in some:
        row, column = one.at
        touched = {((row + i) // 4, (column + j) // 4) for i in range(4) for j in range(4)}
        assert pictures.cuts(one, 4) == len(touched)


def test_a_reader_who_is_told_all_else_finds_the_colour_of_a_clean_animal(some):
    seen = pictures.pictures(some, 0.05, 1)
    for knows in (True, False):
        said = pictures.best_colour(some, seen, 0.05, knows)
        assert said == [one.colour for one in some]


def test_the_recorded_captioner_says_what_the_record_says():
    some = pictures.fresh(pictures.TEST_SEED, 40)
    clean = pictures.said(pictures.load(), pictures.pictures(some, 0.0, 0)).split()
    stored = pictures.records.read("beyond-text")["runs"][0]["by noise"]["0.0"].split()
    assert sum(a == b for a, b in zip(clean, stored, strict=False)) >= 39  # rounding may differ


# The channel


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_what_is_heard_of_a_letter_sums_to_one(rate):
    assert np.allclose(np.exp(heard.table(rate)).sum(1), 1)


def test_the_channel_hears_as_often_as_it_says():
    rng, chances = np.random.default_rng(0), np.exp(heard.table(0.4))
    got = "".join(heard.hear(["b"], 0.4, rng) for _ in range(4000))
    for letter in "bcz":
        p = chances[heard.PLACE["b"], heard.PLACE[letter]]
        assert abs(got.count(letter) / 4000 - p) < 4 * math.sqrt(p / 4000)


def test_marks_and_capitals_come_through_and_only_gaps_between_words_are_lost():
    words = storyland.split("“Oh dear,” said Tom. It rained.")
    for seed in range(20):
        got = heard.hear(words, 1.0, np.random.default_rng(seed))
        kept = [c for c in got if not c.isalpha() and c != " "]
        assert kept == list("“,”..") and got[:2] == "“" + got[1].upper() and "” " in got
    assert heard.hear(words, 0.0, Never()) == join(words)


class Never:
    def random(self):
        return 0.99


def test_a_search_finds_the_best_of_all_texts():
    """By trying every text of a small vocabulary."""
    vocabulary = heard.Vocabulary(["a", "cat", "at", "bat", "ten", "c", "."])
    model = heard.NGram(2, ["a", "cat", ".", "a", "bat", ".", "at", "ten", ".", END],
                        vocabulary.words)  # fmt: skip
    for rate, text in product((0.3, 0.9), ("a dat.", "acat.", "at bet.", "ut.")):
        best = {}
        for n in range(1, 5):
            for words in product(vocabulary.words, repeat=n):
                p = channel(words, text, rate)
                if p > 0:
                    states = model.start([])
                    nats = math.log(p)
                    for word in words:
                        nats += model.chances(states, [word])[word]
                        states = model.step(states, word)
                    best[words] = nats
        found = heard.search(text, vocabulary, rate, model)
        assert tuple(found[0][2]) == max(best, key=best.get)
        assert found[0][0] == pytest.approx(max(best.values()))


def channel(words, text, rate):
    """P(text | words), by every way in which gaps are kept or lost."""
    total = 0.0
    gaps = [i for i in range(1, len(words)) if heard.can_be_lost(words[i - 1], words[i])
            and heard.gap(words[i - 1], words[i])]  # fmt: skip
    for lost in product((True, False), repeat=len(gaps)):
        which = {i for i, gone in zip(gaps, lost, strict=True) if gone}
        said = "".join(
            (" " if i and heard.gap(words[i - 1], word) and i not in which else "") + word
            for i, word in enumerate(words)
        )
        if len(said) == len(text):
            p = math.prod(heard.LOST if gone else 1 - heard.LOST for gone in lost)
            letters = zip(said, text, strict=True)
            total += p * math.prod(
                float(np.exp(heard.table(rate)[heard.PLACE[a], heard.PLACE[b]])) for a, b in letters
            )
    return total


def test_the_oracle_hears_nothing_that_cannot_be_said():
    (one,) = heard.sentences(3, 1)
    vocabulary = heard.Vocabulary([*one.words, "fox", "Tom"])
    got = heard.hear(one.words, 0.7, np.random.default_rng(0))
    found = heard.search(got, vocabulary, 0.7, heard.Truth(), one.before)
    assert any(words == one.words for _, _, words in found)
    oracle = storyland.Oracle()
    for total, nats, words in found:
        said = oracle.log_prob(one.before + words) - oracle.log_prob(one.before)
        assert total - nats == pytest.approx(said)


def test_the_model_of_tokens_gives_a_text_what_it_gives_it_in_a_story():
    model, encode = heard.reader()
    one = next(storyland.stories(5))
    middle = len(join(one.words[:25]))
    before, text = "\n" + one.text[:middle], one.text[middle:]
    ours = heard.log_probs(model, encode, before, [text, " Once upon a time."])
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, 1536)
    (nats,) = train.log_probs(model, texts([one.text], tokenizer))
    count = len(encode(before)) - 1
    assert ours[0] == pytest.approx(nats[count:].sum().item(), abs=1e-3)
    assert ours[1] < -10


# How wrong


@cache
def by_definition(a, b):
    if not a or not b:
        return len(a) + len(b)
    exchanged = by_definition(a[1:], b[1:]) + (a[0] != b[0])
    return min(by_definition(a[1:], b) + 1, by_definition(a, b[1:]) + 1, exchanged)


def test_edits_are_those_of_the_definition_and_every_wrong_word_is_named():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = (tuple(rng.choice(list("xyz"), rng.integers(7)).tolist()) for _ in range(2))
        assert heard.edits(a, b) == by_definition(a, b) == len(heard.wrong(a, b))
    assert heard.wrong(["a", "fox", "ran"], ["a", "box", "ran", "off"]) == [1, 2]


def test_the_least_risk_is_not_always_the_likeliest():
    texts = [["a", "b"], ["x", "c"], ["x", "d"]]
    chances = [0.4, 0.3, 0.3]
    assert heard.least(texts, chances) == 1  # x is right in six of ten
    assert heard.risk(texts[0], texts, chances) == pytest.approx(1.2)


def test_a_sentence_ends_with_what_closes_it():
    words = storyland.split("“Run!” he said. “No.” They ran.\n")
    assert [join(words[a:b]) for a, b in heard.cut(words)] == [
        "“Run!”", "he said.", "“No.”", "They ran."
    ]  # fmt: skip


def test_sentences_do_not_begin_a_story_and_are_the_same_for_a_seed():
    some = heard.sentences(4, 12)
    assert [one.words for one in some] == [one.words for one in heard.sentences(4, 12)]
    for one in some:
        assert one.before and len(one.words) == len(one.kinds)
        assert 6 <= len(heard.spoken(one.words)) <= 30
        oracle = storyland.Oracle()
        assert oracle.leaves_at(one.before + one.words) is None


def test_an_exchanged_word_is_new_to_the_story_and_has_the_same_pattern():
    for one in heard.exchanges(9, 8):
        old = one.sentence.words[one.place]
        assert heard.pattern(old) == heard.pattern(one.word) and old != one.word
        assert one.word not in one.sentence.before + one.sentence.words
        assert old in one.sentence.before
