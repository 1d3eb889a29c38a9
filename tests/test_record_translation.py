"""The recorded translators: of equal size, blind to padding, and trained on what is said alone."""

import pytest
import torch

from tinygpt.train.tune import Pairs, Said
from tools.records import translation
from tools.records.translation import Tokens, Translator, sentences, translator


@pytest.fixture(scope="module")
def examples():
    return sentences(1, 24)


@pytest.fixture(scope="module")
def tokens(examples):
    return Tokens(text for one in examples for text in (one.input, one.output))


@pytest.fixture(scope="module")
def rows(examples, tokens):
    pairs = [(one.input, one.output) for one in examples]
    return Pairs.of(pairs, tokens, len(pairs)).rows


def padded(rows):
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


@pytest.fixture(scope="module")
def both(tokens):
    return translator("encoder-decoder", tokens.vocab_size, 0).eval()


def test_only_sentences_of_the_chosen_plots_in_the_order_of_the_stories(examples):
    assert {one.facts["plot"] for one in examples} == set(translation.PLOTS)
    assert sentences(1, 3) == examples[:3]


def test_tokens_are_english_words_and_chinese_characters_and_give_the_text_back(examples, tokens):
    assert Tokens.cut("Mia went.\n米娅") == ["Mia", " went", ".", "\n", "米", "娅"]
    for one in examples:
        for text in (one.input, one.output):
            assert tokens.decode(tokens.encode(text)) == text


def test_the_blocks_of_both_kinds_hold_equally_many_numbers():
    def matrices(model):
        return sum(p.numel() for name, p in model.named_parameters()
                   if "blocks" in name and p.ndim == 2)

    def all_of(model):
        return sum(p.numel() for p in model.parameters())

    alone, two = (translator(kind, 400, 0) for kind in translation.KINDS)
    assert matrices(alone) == matrices(two)
    assert abs(all_of(alone) - all_of(two)) < 0.003 * all_of(two)


def test_the_same_seed_makes_the_same_translator_and_another_another():
    one, same, other = (translator("encoder-decoder", 50, seed) for seed in (1, 1, 2))
    assert torch.equal(one.encoder.embedding.weight, same.encoder.embedding.weight)
    assert not torch.equal(one.encoder.embedding.weight, other.encoder.embedding.weight)


def test_a_row_costs_the_same_alone_and_among_longer_ones(both, rows):
    together = both.nats(padded(rows)).sum()
    alone = sum(both.nats(row[None]).sum() for row in rows)
    torch.testing.assert_close(together, alone)


def test_a_token_is_predicted_from_what_is_given_and_said_before_and_from_nothing_later(both, rows):
    row = rows[0]
    said = int((row >= 0).sum())
    before = both.nats(row[None])
    changed = row.clone()
    changed[-1 - said // 2] = (changed[-1 - said // 2] + 1) % 40
    after = both.nats(changed[None])
    moved = (before - after).abs() > 1e-6
    assert not moved[: said - 1 - said // 2].any() and moved[said - 1 - said // 2 :].any()
    other = row.clone()
    other[1] = -2 - (-2 - other[1] + 1) % 40  # another English word
    assert (both.nats(other[None]) - before).abs().max() > 1e-6


def test_what_is_said_does_not_depend_on_the_other_sentences(both, tokens, examples):
    inputs = [one.input for one in examples[:6]]
    together = both.say(tokens, inputs)
    alone = [both.say(tokens, [text])[0] for text in inputs]
    assert together == alone


def test_both_kinds_learn_by_the_same_loss(tokens, rows):
    alone = translator("decoder-only", tokens.vocab_size, 0)
    ours = translation._Loss(alone)(padded(rows))
    torch.testing.assert_close(ours, Said(alone)(padded(rows)))
    said = sum(int((row >= 0).sum()) for row in rows)
    both = Translator(tokens.vocab_size)
    torch.testing.assert_close(translation._Loss(both)(padded(rows)),
                               both.nats(padded(rows)).sum() / said)


def test_training_lowers_the_loss_of_both(examples, tokens, rows):
    for kind in translation.KINDS:
        model = translator(kind, tokens.vocab_size, 0)
        loss = translation._Loss(model)
        before = loss(padded(rows)).item()
        translation.train(model, Pairs(rows, 8), 0.03, 12)
        assert loss(padded(rows)).item() < before - 1
