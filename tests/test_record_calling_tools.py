"""The recorded run of the page "Calling tools": what is told instead of a result, and how what is
said is told apart."""

from itertools import islice
from random import Random

import pytest

from storyland.grammar import NUMBERS
from storyland.tasks import calls
from tools.records import calling_tools


def some(count, **how):
    return list(islice(calls.examples(8, **how), count))


@pytest.mark.parametrize("way", calls.WAYS)
def test_every_conversation_fits_the_context(way):
    for one in some(200, steps=[8]):
        row = calling_tools.transcript_row(
            one.input, calls.transcript(one, way), calling_tools.tokenizer()
        )
        assert len(row) <= calling_tools.SIZE["context"]
        assert len(calls.transcript(one, way)) // 2 <= calling_tools.MOST


def test_every_line_that_is_said_has_at_most_forty_tokens():
    for one in some(200, steps=[8]):
        for way in calls.WAYS:
            for line in calls.transcript(one, way)[::2]:
                assert len(calling_tools.tokenizer().encode(line + "\n")) <= 40


def test_a_lie_is_another_count_that_could_be_and_as_far_off_as_it_says():
    rng = Random(0)
    for one in some(200, kinds=["given"]):
        truth = NUMBERS.index(one.output)
        told = {
            what: NUMBERS.index(calling_tools.told_instead(one, what, rng))
            for what in calling_tools.TOLD_BY_COUNTER[:3]
        }
        assert told["the truth"] == truth and abs(told["off by one"] - truth) == 1
        assert abs(told["far off"] - truth) >= 4
        assert all(1 <= number <= 12 for number in told.values())


def test_what_is_said_is_counted_once():
    examples = some(5, kinds=["given"])
    right = examples[1].output
    said = ["two", right, "nobody knows", "> count two", "hm"]
    told = ["two", "zero", "zero", "zero", "zero"]
    assert set(calling_tools.tally(said, told, examples).values()) == {1}


@pytest.mark.parametrize("way", calling_tools.CALLING)
def test_a_mistake_in_a_call_is_told_from_one_in_reading_the_result(way):
    for one in some(50, kinds=["given", "absent"]):
        lines = calls.transcript(one, way)
        assert calling_tools.kind_of_mistake(one, way, [*lines[:-1], "zero"]) == "reading"
        other = [lines[0] + " more", *lines[1:]]
        assert calling_tools.kind_of_mistake(one, way, other) == "call"


@pytest.mark.parametrize("way", calling_tools.CALLING)
def test_the_line_that_ends_a_right_conversation_is_the_one_that_is_changed(way):
    for one in some(50, kinds=["given"]):
        assert calling_tools.result_line(way, one.output) == calls.transcript(one, way)[-2]


@pytest.mark.parametrize("way", calling_tools.CALLING)
def test_a_published_model_is_shown_an_example_of_each_length_and_none_that_it_is_asked(way):
    asked = {one.input for one in calling_tools.real_examples()}
    turns = calling_tools.shown(way)
    assert not asked & {turn["content"] for turn in turns}
    roles = [turn["role"] for turn in turns[1:]]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    assert len(asked) == len(calling_tools.REAL_STEPS) * calling_tools.REAL_ASKED
