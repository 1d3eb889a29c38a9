"""Secrets planted in stories: who they are about, and how often they stand there."""

import re
from collections import Counter

import pytest

from storyland.secrets import DIGITS, planted, secrets

LINES = [f"Story {i} is told.\n" for i in range(40)]


def test_no_two_secrets_have_one_owner_and_every_number_has_its_digits():
    some = secrets(1, (1, 2, 4), 50)
    assert len({one.owner for one in some}) == len(some) == 150
    assert all(re.fullmatch(rf"\d{{{DIGITS}}}", one.number) for one in some)
    assert [one.copies for one in some] == [1] * 50 + [2] * 50 + [4] * 50


def test_the_numbers_are_spread_over_all_there_are():
    first = Counter(one.number[0] for one in secrets(2, (0,), 2000))
    assert len(first) == 10 and min(first.values()) > 140


def test_each_stands_at_the_head_of_as_many_lines_as_it_has_copies():
    some = secrets(3, (0, 1, 3, 5), 2)
    lines = planted(LINES, some, seed=3)
    for one in some:
        assert sum(line.startswith(one.sentence + " ") for line in lines) == one.copies
    assert [line[-len(was) :] for line, was in zip(lines, LINES, strict=True)] == LINES


def test_another_seed_plants_in_other_lines_and_the_same_in_the_same():
    some = secrets(3, (4,), 2)
    assert planted(LINES, some, 1) == planted(LINES, some, 1) != planted(LINES, some, 2)


def test_more_copies_than_lines_are_refused():
    with pytest.raises(ValueError, match="41 copies for 40 lines"):
        planted(LINES, secrets(1, (41,), 1), 1)
