"""The recorded run of the page "Thinking": what is said in each way, what is changed, what is
kept."""

from itertools import islice

import pytest
import torch

from storyland.grammar import NUMBERS
from storyland.tasks import counting
from tinygpt.train.tune import Pairs, Said
from tools.records import thinking


def some(count, **how):
    return list(islice(counting.examples(8, **how), count))


@pytest.fixture
def silent(monkeypatch):
    """A model that nothing is asked of; outputs are right for every other text."""

    asked = some(thinking.ASKED)
    known = {one.input: one for one in asked}

    def say(model, tokenizer, inputs, new, **how):
        return [
            counting.scratchpad(known[text]) if i % 2 else "two, three"
            for i, text in enumerate(inputs)
        ]

    learned = []
    monkeypatch.setattr(thinking, "say", say)
    monkeypatch.setattr(counting, "examples", lambda seed: iter(asked))
    monkeypatch.setattr(thinking, "train", lambda model, pairs, *how: learned.append(pairs.rows))
    return learned


@pytest.mark.parametrize("way", thinking.WAYS)
def test_what_is_right_to_say_is_marked_right(way):
    for one in some(50):
        assert thinking.right(one, thinking.said(one, way))


@pytest.mark.parametrize("way", thinking.WAYS)
def test_a_wrong_answer_is_marked_wrong(way):
    for one in some(50):
        *before, _ = thinking.said(one, way).split(", ")
        other = NUMBERS[one.counts[-1] % 12 + 1]
        assert not thinking.right(one, ", ".join([*before, other]))


def test_filler_is_as_many_words_as_a_scratchpad():
    for one in some(50):
        lengths = {len(thinking.said(one, way).split()) for way in ("filler", "scratchpad")}
        assert len(lengths) == 1


def test_counts_are_right_as_far_as_they_go():
    for one in some(50):
        assert thinking.as_far(one, one.counts[:2]) and thinking.as_far(one, [*one.counts, 7])
        assert not thinking.as_far(one, []) and not thinking.as_far(one, [one.counts[0] + 1])


def test_filler_tells_nothing_but_the_answer():
    for one in some(50):
        assert thinking.numbers(thinking.said(one, "filler")) == [one.counts[-1]]


def test_every_way_fits_the_longest_text():
    for one in some(200, steps=[8]):
        for way in thinking.WAYS:
            said = thinking.tokenizer().encode(thinking.said(one, way) + "\n")
            assert len(said) <= thinking.NEW
            given = thinking.tokenizer().encode(thinking.prompt(one.input))
            assert len(given) + len(said) <= thinking.SIZE["context"]


def test_the_sentences_of_a_text_that_tell_a_step_are_found():
    for one in some(300):
        sentences, places = thinking.sentences(one.input)
        found = [thinking.numbers(sentences[i].replace(".", "")) for i in places]
        assert found == [[abs(change)] for change in one.changes]


def test_a_changed_step_is_another_number_in_one_sentence():
    for one in some(100):
        for step in range(len(one.changes) + 1):
            for by in thinking.text_shifts(one, step):
                text = thinking.changed_text(one, step, by)
                both = zip(text.split(), one.input.split(), strict=True)
                ((new, old),) = [pair for pair in both if pair[0] != pair[1]]
                apart = NUMBERS.index(new.strip(".")) - NUMBERS.index(old.strip("."))
                assert apart == (by if step == 0 or one.changes[step - 1] > 0 else -by)


def test_a_shift_leaves_all_later_counts_possible():
    for one in some(100):
        for place in range(len(one.counts)):
            for by in thinking.shifts(one, place):
                assert by and all(1 <= count + by <= 12 for count in one.counts[place:])


def test_what_is_touched_is_one_thing_at_a_time():
    for case in islice(thinking.touches(8), 60):
        read, said = case["read"], case["said"]
        for name in thinking.TOUCHES:
            in_text = name in thinking.TOUCHES[3:]
            assert (read[name] != read["nothing"]) == in_text
            changed = name in ("the last count", "an earlier count")
            assert (said[name] != said["nothing"]) == changed


def test_the_count_that_comes_next_is_the_one_after_what_was_said():
    for case in islice(thinking.touches(8), 60):
        said = thinking.numbers(case["said"]["nothing"])
        assert 3 <= len(said) <= thinking.LONG
        apart = case["next"] - said[-1]
        assert 1 <= abs(apart) <= 4
        touched = thinking.numbers(case["said"]["the last count"])
        assert touched[-1] - said[-1] == case["by"]["the last count"]


def test_what_a_model_goes_on_with_begins_after_what_was_said():
    torch.manual_seed(0)
    model = thinking.new_model(0).eval()
    cases = list(islice(thinking.touches(8), 3))
    inputs = [case["read"]["nothing"] for case in cases]
    said = thinking.go_on(model, inputs, [case["said"]["nothing"] for case in cases])
    alone = thinking.go_on(model, inputs[1:2], [cases[1]["said"]["nothing"]])
    assert len(said) == 3 and said[1] == alone[0]


def read_back(row):
    """(input, output) of a row of pairs."""
    decode = thinking.tokenizer().decode
    given, said = row[row < 0], row[row >= 0]
    return decode((-2 - given).tolist())[1:-1], decode(said.tolist())[:-1]


def test_the_next_count_is_asked_after_each_number_of_right_ones(monkeypatch):
    asked = []

    def go_on(model, inputs, begun, count):
        asked.append(begun)
        known = {one.input: one for one in thinking.of_steps(thinking.SEED, 8, 100)}
        said = len(thinking.numbers(begun[0]))
        return [" " + NUMBERS[known[text].counts[said]] + "," for text in inputs]

    monkeypatch.setattr(thinking, "go_on", go_on)
    assert thinking.next_counts(None) == {"right": [thinking.MEASURED] * 8}
    assert [len(thinking.numbers(begun[0])) for begun in asked] == list(range(1, 9))


def test_what_came_out_right_is_kept_and_nothing_else(silent):
    found = thinking.own_round(None, "right", 0, seed=8)
    (rows,) = silent
    known = {one.input: one for one in thinking.counting.examples(8)}
    assert all(counting.score(known[text], said) for text, said in map(read_back, rows))
    assert found["kept"] == found["kept right"] == len(rows) >= thinking.ASKED // 2


def test_the_control_keeps_as_many_at_random(silent):
    for which in thinking.KEPT:
        thinking.own_round(None, which, 0, seed=8)
    right, control = silent
    assert len(right) == len(control)
    shared = len({read_back(row)[0] for row in right} & {read_back(row)[0] for row in control})
    assert 0.3 * len(right) < shared < 0.8 * len(right)


def test_the_published_model_is_shown_one_example_of_each_length_and_none_that_it_is_asked():
    asked = {one.input for one in thinking.real_examples()}
    for way in thinking.WAYS[:2]:
        turns = thinking.conversation(thinking.real_examples()[0], way)
        shown = [turn["content"] for turn in turns if turn["role"] == "user"][:-1]
        assert len(shown) == len(thinking.REAL_STEPS) and not asked & set(shown)
    assert len(asked) == len(thinking.REAL_STEPS) * thinking.REAL_ASKED


def test_the_loss_is_the_mean_of_what_is_said_with_and_without_the_other_logits():
    texts = [(one.input, thinking.said(one, "scratchpad")) for one in some(8)]
    rows = Pairs.of(texts, thinking.tokenizer(), 8)(0)
    model = thinking.new_model(0)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    assert torch.allclose(thinking.Paid(model)(rows), Said(model)(rows), atol=1e-5)
