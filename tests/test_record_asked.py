"""The real model asked for what the pages train for: what is asked, and how it is marked."""

from itertools import islice

import pytest

from storyland.tasks import sentiment
from tools.records import asked


@pytest.mark.parametrize("name", asked.TASKS)
def test_what_is_shown_as_right_earns_the_full_mark(name):
    task = asked.TASKS[name]
    said = [task.right(one) for one in asked.asked(task)]
    assert asked.marks(task, said) == [1.0] * asked.COUNT


@pytest.mark.parametrize("name", asked.TASKS)
def test_something_else_earns_less_and_only_the_first_line_counts(name):
    task = asked.TASKS[name]
    said = ["something else"] * asked.COUNT
    assert sum(asked.marks(task, said)) == 0
    late = [f"something else\n{task.right(one)}" for one in asked.asked(task)]
    assert sum(asked.marks(task, late)) == 0


def test_no_story_that_is_shown_is_asked_about():
    for task in asked.TASKS.values():
        given = {one.input.strip() for one in asked.asked(task)}
        assert not given & {text for text, _ in asked.shown(task, 3)}


def test_names_are_counted_once_each_and_wrong_ones_cost():
    (one,) = islice(sentiment.examples(asked.SEED), 1)
    right = sorted(asked.people(one))
    assert asked.f1(one, ", ".join(right + right)) == 1
    assert asked.f1(one, ", ".join([*right, "Nobody"])) == 2 * len(right) / (2 * len(right) + 1)
    assert asked.f1(one, "") == 0


def test_the_rule_names_words_with_a_capital_within_a_sentence():
    (one,) = islice(sentiment.examples(asked.SEED), 1)
    named = asked.capitals(one).split(", ")
    assert all(word.istitle() and word in one.story.words for word in named)
    assert "The" not in named


def test_a_mood_counts_in_any_sentence_that_names_no_other():
    assert asked.moods_in("The story is indeed Spooky.") == {"spooky"}
    task = asked.TASKS["mood"]
    both = " or ".join(sentiment.moods())
    assert asked.marks(task, [both]) == [0.0]
    (one,) = islice(sentiment.examples(asked.SEED), 1)
    assert asked.marks(task, [f"It is {one.output}."]) == [1.0]
