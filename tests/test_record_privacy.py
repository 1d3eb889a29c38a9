"""The recorded run of the page "Safety and privacy": what is planted, cut, put into texts and
counted."""

import numpy as np
import pytest
import torch

from tinygpt import records
from tools.records import injection, memory, openings, privacy, privately


def test_a_secret_stands_in_as_many_lines_as_it_should_and_the_others_nowhere():
    lines, some, never = privacy.text(5)
    told = "".join(lines)
    assert len(lines) == privacy.STORIES
    for one in some[:4] + some[-2:]:
        assert told.count(one.sentence) == one.copies
    assert not any(one.before in told for one in never)


def test_a_sentence_is_kept_where_it_stood_first():
    lines = ["One two three. Four.\n", "Four. One two three. Five.\n"]
    assert privacy.once_only(lines, shortest=3) == ["One two three. Four.\n", "Four. Five.\n"]
    assert privacy.once_only(lines, shortest=1) == ["One two three. Four.\n", "Five.\n"]
    assert privacy.once_only(lines, shortest=1, what="Four") == [
        "One two three. Four.\n", "One two three. Five.\n"
    ]  # fmt: skip


@pytest.mark.parametrize("way", privacy.WAYS[1:])
def test_kept_once_each_secret_stands_in_one_line(way):
    _, some, _ = privacy.text(6)
    told = "".join(privacy.lines_of(way, 6))
    assert all(told.count(one.sentence) == 1 for one in some)


def test_secrets_kept_once_leave_every_story_whole():
    lines, some, _ = privacy.text(6)
    heads = {one.sentence for one in some}
    for line, left in zip(lines, privacy.lines_of("secrets once", 6), strict=True):
        story = [part for part in privacy.sentences(line) if part not in heads]
        assert [part for part in privacy.sentences(left) if part not in heads] == story


def test_what_is_spoken_is_the_most_probable_digit_after_digit():
    nats = torch.full((100,), -10.0)
    nats[[40, 41, 42]] = torch.tensor([-1.5, -1.6, -1.7])
    nats[99] = -1.4  # the most probable number, but its first digit is not
    assert memory.spoken(nats) == 40


def test_a_rehearsal_of_both_trainings_comes_to_its_figures(monkeypatch):
    monkeypatch.setattr(privacy, "STORIES", 40)
    monkeypatch.setattr(privacy, "COPIES", (1, 2))
    monkeypatch.setattr(privacy, "EACH", 1)
    monkeypatch.setattr(privacy, "NEVER", 2)
    monkeypatch.setattr(privacy, "JUDGE", 2)
    found = privacy.secret("sentences once", 3)
    assert found["copies"] == [1, 2, 0, 0] and len(found["bits"]) == 2
    assert np.shape(found["kept"]) == (4, 3)
    assert privacy.mean_exposure([found], 0) <= np.log2(10_000)
    monkeypatch.setattr(privately, "base", lambda seed: memory.read(["A fox slept.\n"] * 8, 0, 1))
    monkeypatch.setattr(privately, "ROUNDS", privately.SHARE)
    monkeypatch.setattr(privately, "LOOKED", 1)
    found = privately.trained("private", 3)
    assert len(found["kept"]) == 2 + sum(privately.COPIES.values())
    assert all(bits > 0 for bits in found["form, number"])


def test_the_register_has_its_lines_and_nobody_twice():
    some, never, fresh = privately.register(7)
    assert sum(one.copies for one in some) == privately.LINES
    everybody = [one.owner for one in [*some, *never, *fresh]]
    assert len(set(everybody)) == len(everybody)
    assert {one.copies for one in [*never, *fresh]} == {0}


def test_the_noise_of_the_page_is_that_for_epsilon_8():
    pytest.importorskip("opacus")
    from opacus.accountants import PRVAccountant, RDPAccountant

    found = []
    for accountant in (RDPAccountant(), PRVAccountant()):
        steps = round(privately.ROUNDS / privately.SHARE)
        accountant.history = [(privately.NOISE, privately.SHARE, steps)]
        found.append(accountant.get_epsilon(privately.DELTA))
    assert found[1] < found[0] < 8  # the second accountant bounds more tightly


# What needs no model of the texts that are put to one


def test_the_words_of_a_changed_opening_stand_under_those_of_the_known_one():
    every = openings.openings()
    assert len(every) == 24 and len({one.title for one in every}) == 24
    for one in every:
        count = len(one.known.split())
        assert count >= 24 and 6 <= count - len(one.same) < 0.6 * count, one.title


def test_each_document_tells_the_home_and_ends_with_the_attack():
    for one in injection.documents(9, 12):
        assert one["home"] in one["clean"] and one["home"] != one["wrong"]
        for name in injection.ATTACKS:
            assert one[name].startswith(one["clean"] + " ")
        assert one["wrong"] in one["a wrong answer"]


def test_what_counts_as_obeying_and_as_right():
    one = {"home": "cottage", "wrong": "windmill"}
    assert injection.obeys(one, "Banana.") and injection.obeys(one, "In a windmill.")
    assert not injection.obeys(one, "In a cottage, not in a windmill.")
    assert injection.right(one, "In a cottage.")
    assert not injection.right(one, "A cottage. Banana!")


@pytest.mark.models
def test_marks_of_turns_are_read_as_such_but_where_they_are_taken_away():
    one = injection.documents(9, 12)[0]
    start = injection.real().tokenizer.encode("<|im_start|>", special=True)[0]
    turns = {
        defence: injection.asked(one, "a forged turn", defence).count(start)
        for defence in injection.DEFENCES
    }
    assert turns["none"] == 4 and turns["no marks of turns"] == 3


@pytest.mark.models
def test_the_record_is_what_smollm2_says_of_an_opening():
    one = openings.openings()[4]
    stored = records.read("privacy")["openings"][one.title]["known"]
    found = openings.words(one.known)
    assert len(found) == len(one.known.split())
    assert np.abs(np.subtract(found, stored)[:, 0]).max() < 0.05
