"""The recorded run of programs: what it trains on, and how its second tries are compared."""

from itertools import islice

import pytest

from storyland.tasks import robots
from tools.records import code


@pytest.fixture
def bad_writer(monkeypatch):
    """A model that answers every text with the same program, and what it was given to read."""
    read = []

    def write(model, inputs, temperature, seed):
        read.append(list(inputs))
        return ["forward forward take"] * len(inputs)

    monkeypatch.setattr(code, "write", write)
    monkeypatch.setattr(code, "learned", lambda: list(islice(robots.examples(1), 16 + 60)))
    monkeypatch.setattr(code, "STEPS", 1)
    monkeypatch.setattr(code, "MENDED", 30)
    return read


def test_what_is_to_be_mended_is_wrong_and_its_message_is_true_or_tells_nothing(bad_writer):
    pairs = code.later_pairs(model=None)
    mending, plain = pairs[::2], pairs[1::2]
    blind = 0
    for (read, output), (text, same) in zip(mending, plain, strict=True):
        assert read.startswith(f"{text}\nforward forward take\n") and output == same
        blind += read.endswith(code.NOTHING)
        assert "\n" not in output
    assert 0.15 < blind / len(mending) < 0.55
    examples = {one.input: one for one in code.learned()}
    for read, _ in mending:
        text, program, message = read.split("\n")
        assert robots.error(examples[text], program) is not None
        assert message in (robots.error(examples[text], program), code.NOTHING)


def test_each_way_of_trying_again_gets_the_same_texts_and_as_many_tries(bad_writer):
    found = code.mended(model=None, temperature=0.8)
    first, *ways = bad_writer
    assert len(first) == 30 and len(ways) == len(code.WAYS)
    assert {len(inputs) for inputs in ways} == {found["wrong"] * code.TRIES}
    alone, blind, told, other = ([i.split("\n") for i in inputs] for inputs in ways)
    assert all(len(one) == 1 for one in alone)
    for which, ending in ((blind, 2), (told, 2), (other, 2)):
        assert [one[0] for one in which] == [one[0] for one in alone]
        assert all(len(one) == ending + 1 for one in which)
    assert all(one[2] == code.NOTHING for one in blind)
    assert sorted(one[2] for one in other) == sorted(one[2] for one in told)
    assert all(len(right) == found["wrong"] for right in found["right"].values())


def test_the_texts_to_mend_are_none_of_those_that_are_measured_before(bad_writer):
    code.mended(model=None, temperature=0.8)
    measured = {one.input for one in islice(robots.examples(code.SEED), code.TEXTS)}
    assert not measured & set(bad_writer[0])


def test_an_answer_is_its_first_line_that_is_not_empty():
    assert code.first_program("\n\n  left forward \nand so on") == "left forward"
    assert code.first_program("") == ""


def test_examples_are_shown_as_turns_and_the_text_comes_last():
    one, two = islice(robots.examples(1), 2)
    turns = code.conversation(two, [one])
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[2]["content"] == one.output and turns[3]["content"] == two.input
