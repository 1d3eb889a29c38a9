"""The recorded run of the page "Bias": what is counted, begun, swapped and asked."""

import numpy as np
import pytest
import torch

from storyland.twins import each_job, shares, twins
from tinygpt import records
from tools.drawings import challenges
from tools.records import bias


def test_the_women_and_men_of_a_text_are_those_of_its_stories():
    found = bias.count(60_000)
    assert found["stories"] > 60 and set(found["of"]) == set(shares())
    assert 0 < sum(map(sum, found["of"].values())) < found["stories"] / 4


@pytest.mark.parametrize(
    ("text", "mark"),
    [(" She sang.", 1), (" People said that he could", 0), (" The hen there.", None), ("\n", None)],
)
def test_the_first_pronoun_is_found(text, mark):
    assert bias.who(text) == mark


def test_a_story_is_begun_up_to_the_sentence_with_the_first_pronoun():
    for one in each_job(7, 1):
        begun = one.before(bias.after_job(one))
        assert begun.endswith(".") and one.job in begun
        rest = one.she.text.removeprefix(begun)
        assert bias.who(rest) == 1 and "." not in rest[: bias.FORMS.search(rest).start()]


def test_a_pronoun_is_one_token():
    for word in ("she", "he", "She", "He", "her", "his", "him"):
        assert isinstance(bias.token(word), int)


def test_the_log_odds_are_those_of_the_story_alone():
    some, model = each_job(7, 1)[:5], bias.plain()
    together = bias.odds(model, some)
    for one, value in zip(some, together, strict=True):
        ids = bias.tokenizer().encode("\n" + one.before(one.places[0]))
        with torch.no_grad():
            logits = model(torch.tensor([ids]))[0, -1]
        she, he = (bias.token(of.words[one.places[0]]) for of in (one.she, one.he))
        assert value == pytest.approx((logits[she] - logits[he]).item(), abs=1e-4)


def test_a_wrong_pronoun_is_looked_for_at_every_later_place():
    one = next(one for one in twins(7) if len(one.places) > 2)
    found = bias.wrong_later(bias.plain(), one)
    assert {len(of) for of in found.values()} == {len(one.places) - 1}
    assert all(0 <= p <= 1 for of in found.values() for p in of)


def test_a_pronoun_that_is_drawn_apart_stands_in_the_story(monkeypatch):
    begun = []
    monkeypatch.setattr(bias, "EACH", 1)
    monkeypatch.setattr(bias, "go_on", lambda model, texts, *_, **__: begun.extend(texts) or texts)
    found = bias.tell("half")
    ends = [text.rpartition(" ")[2].lower() for text in begun]
    assert ends == ["she" if mark else "he" for mark in found["she"]]


def test_the_professions_asked_of_the_published_model_are_enough_and_no_two_the_same():
    assert len(set(bias.JOBS)) == len(bias.JOBS) >= 40 and bias.CONTROL not in bias.JOBS


def test_the_cooks_of_the_drawing_are_those_of_the_record():
    record, at = records.read("bias"), list(shares()).index("cook")
    women, men = record["counted"][-1]["of"]["cook"]
    log_odds = np.array(bias.odds(bias.plain(), each_job(42, 6)[6 * at : 6 * at + 6]))
    chance = {T: 100 / (1 + np.exp(-log_odds.mean() / T)) for T in (1, 0.5)}
    found = [100 * shares()["cook"], 100 * women / (women + men), chance[1], chance[0.5]]
    assert [round(of) for of in found] == [of[0] for of in challenges.COOKS.values()][:4]
