"""Two stories that differ in one fact."""

from itertools import islice

import pytest

import storyland
from storyland.twins import each_job, shares, twins


@pytest.fixture(scope="module")
def some():
    return list(islice(twins(5), 60))


def test_both_are_stories_of_the_language(some):
    oracle = storyland.Oracle()
    for one in some[:8]:
        for story in (one.she, one.he):
            assert oracle.leaves_at(story.text) is None


def test_twins_differ_in_the_pronouns_of_the_person_at_work_and_in_nothing_else(some):
    for one in some:
        assert (one.she.facts["worker"], one.he.facts["worker"]) == ("she", "he")
        assert one.places
        for place in one.places:
            assert one.she.words[place].lower() in ("she", "her")
            assert one.he.words[place].lower() in ("he", "his", "him")


def test_the_oracle_expects_a_woman_as_often_as_the_list_says(some):
    oracle = storyland.Oracle()
    for one in some[:8]:
        chances = oracle.next_word(one.before(one.places[0]))
        she, he = (chances[story.words[one.places[0]]] for story in (one.she, one.he))
        assert she / (she + he) == pytest.approx(shares()[one.job])


def test_up_to_the_first_pronoun_the_text_is_the_same_and_begins_both(some):
    for one in some:
        for story in (one.she, one.he):
            assert one.before(one.places[0], story) == one.before(one.places[0])
            assert story.text.startswith(one.before(one.places[0] + 1, story))


def test_each_job_has_as_many_as_were_asked_for():
    found = [one.job for one in each_job(5, 2)]
    assert found == [job for job in shares() for _ in range(2)]


def test_the_same_seed_gives_the_same_twins(some):
    assert [one.she.text for one in islice(twins(5), 9)] == [one.she.text for one in some[:9]]
