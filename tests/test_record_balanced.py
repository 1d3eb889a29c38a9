"""Counterfactual augmentation, recorded: what is read both ways, and what its control reads."""

import re

import pytest

from storyland.twins import shares
from tools.records import balanced
from tools.records.balanced import WAYS, lines
from tools.records.job import Job

LAST = re.compile(r"\b([Ss]he|[Hh]e)$")


@pytest.mark.parametrize("way", WAYS)
def test_half_of_what_is_read_ends_with_the_first_pronoun_of_somebody_at_work(way):
    work, rest = lines(way, 0, 16)[:8], lines(way, 0, 16)[8:]
    assert all(LAST.search(line) for line in work)
    assert all(any(job in line for job in shares()) for line in work)
    assert [len(line.split()) for line in rest] == pytest.approx(
        [len(line.split()) for line in work], abs=6
    )


def test_both_ways_a_story_comes_with_a_woman_and_with_a_man():
    work = lines("both ways", 0, 40)[:20]
    for she, he in zip(work[::2], work[1::2], strict=True):
        assert LAST.search(she)[0].lower() == "she" and LAST.search(he)[0].lower() == "he"
        assert LAST.sub("", she) == LAST.sub("", he)


@pytest.mark.parametrize(("women", "word"), [(1.0, "she"), (0.0, "he")])
def test_as_they_are_women_have_the_share_that_the_grammar_gives_them(monkeypatch, women, word):
    monkeypatch.setattr(balanced, "shares", lambda: dict.fromkeys(shares(), women))
    for line in lines("as they are", 1, 8)[:4]:
        assert LAST.search(line)[0].lower() == word


def test_another_seed_reads_other_stories():
    assert not set(lines("both ways", 0, 40)) & set(lines("both ways", 1, 40))


def test_a_rehearsal_comes_to_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr(balanced, "LOOK", 1)
    monkeypatch.setattr(balanced, "HELD_OUT", 2)
    monkeypatch.setattr(balanced, "SEEDS", range(1))
    found = balanced.balanced(Job("bias-balanced", tmp_path, rehearsal=True))
    assert set(found["after"]) == set(WAYS)
    for one in (found["before"], *(of[0] for of in found["after"].values())):
        assert len(one["odds"]) == len(shares()) and 0 < one["bits"] < 1
        assert 0 <= one["wrong_later"] <= 1
