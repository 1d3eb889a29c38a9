"""The recorded run of the page "Hallucination": the truth about tokens, who is asked about, and
what a published model is asked."""

from itertools import islice
from math import isclose, log

import numpy as np
import pytest
import torch

import storyland
from storyland.tasks import dialogue
from tinygpt import records
from tools.records import hallucination


@pytest.fixture(scope="module")
def told():
    """Three stories, and the truth about each of their tokens."""
    oracle = storyland.Oracle()
    texts = [story.text for story in islice(storyland.stories(11), 3)]
    return [(text, list(hallucination.truth(oracle, text))) for text in texts]


def test_the_truth_is_told_of_the_tokens_that_a_model_reads(told):
    for text, exact in told:
        assert [token for token, _ in exact] == hallucination.tokenizer_().encode(text)


def test_the_truth_of_each_place_sums_to_1_and_that_of_a_text_is_the_oracles(told):
    for text, exact in told:
        assert all(isclose(sum(here.values()), 1) for _, here in exact)
        nats = sum(log(here[token]) for token, here in exact)
        assert isclose(nats, storyland.Oracle().log_prob(text), abs_tol=1e-6)


def test_who_says_the_truth_has_nothing_misplaced(told):
    _, exact = told[0]
    p = np.zeros((len(exact), hallucination.tokenizer_().vocab_size))
    for row, (_, here) in zip(p, exact, strict=True):
        row[list(here)] = list(here.values())
    rows = hallucination.places(p, exact)
    assert (rows[:, 0] == rows[:, 1]).all() and not rows[:, 3].any()
    uniform = np.full_like(p, 1 / p.shape[1])
    assert (hallucination.places(uniform, exact)[:, 3] > 0.9).all()


def test_a_diagram_sees_a_shift_and_not_what_cancels():
    rng = np.random.default_rng(0)
    q = rng.choice([0.2, 0.6], 4000)
    total, seen = hallucination.parts(np.full_like(q, q.mean()), q)
    assert isclose(total, q.var()) and seen < 1e-6
    total, seen = hallucination.parts(q + 0.1, q)
    assert isclose(total, 0.01) and isclose(seen, 0.01)


def test_nobody_who_is_asked_about_as_absent_is_in_the_story():
    for case in hallucination.cases(5, 40):
        words = storyland.split(case["text"])
        assert case["hero"] in words and case["home"] in case["text"]
        assert case["absent"] != case["also absent"]
        assert not {case["absent"], case["also absent"]} & set(words)


def test_a_change_puts_another_home_or_village_and_nothing_else():
    for case in hallucination.cases(5, 40):
        text = hallucination.changed(case, "home")
        assert case["new home"] in text and case["home"] != case["new home"]
        assert case["village"] in text and case["hero"] in text
        text = hallucination.changed(case, "village")
        assert case["new village"] in text and case["village"] not in text
        assert case["home"] in text


def test_the_names_are_those_that_storyland_gives():
    heroes = {one.story.facts["hero"] for one in islice(dialogue.examples(2), 2000)}
    assert heroes == set(hallucination.NAMES)


def test_a_home_is_the_same_with_and_without_an_article():
    assert hallucination.same("a cottage", "cottage") and hallucination.same("cottage", "cottage")
    assert not hallucination.same("a cottage, a cottage", "cottage")


def test_a_temperature_divides_the_logits():
    model = hallucination.tuned(0)
    ids = torch.tensor([[1, 2, 3]])
    cooler = hallucination.cooled(model, 0.5)
    with torch.no_grad():
        torch.testing.assert_close(cooler(ids), 2 * model(ids))


def test_the_recorded_questions_are_those_that_are_answered_again():
    stored = records.read("hallucination")["questions"]["fresh"]
    found = hallucination.confident(hallucination.tuned(0), hallucination.ASKED_SEED, 20, draws=0)
    assert stored["known"].startswith(found["known"])
    assert sum(a == b for a, b in zip(stored["right"], found["right"], strict=False)) >= 19
    assert np.abs(np.array(stored["sure"][0][:20]) - found["sure"][0]).mean() < 0.02


def test_no_sum_is_asked_twice_and_all_have_their_digits():
    for digits in hallucination.SUMS:
        pairs = hallucination.sums(digits)
        assert len(set(pairs)) == len(pairs) == hallucination.EACH
        assert all(len(str(n)) == digits for pair in pairs for n in pair)


def test_names_put_together_are_nobodys_own():
    people = hallucination.people()
    assert not set(people["put together"]) & set(people["real"])
    assert sorted(name.split()[1] for name in people["put together"]) == sorted(
        name.split()[1] for name in people["real"]
    )
    assert len(set(people["made up"])) == len(hallucination.BORN)


def test_a_year_is_found_in_a_sentence():
    assert hallucination.names_a_year("She was born in 1809.")
    assert not hallucination.names_a_year("I do not know.")
