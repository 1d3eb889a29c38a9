"""Entities: each word's role, as the grammar chose it and as the text entails."""

import itertools
from collections import Counter, defaultdict

import derivations
import pytest

import storyland
from storyland.tasks import entities
from storyland.tasks.entities import COLUMNS, Entities, Example, f1, score, spans

STORIES = """
list name is person: child
  Tom  boy
  Mia  girl
list job is person: place tool
  baker  bakery  old oven
  pilot  airfield  compass
list thing is thing
  kite
  compass
list place is place
  old mill
  bakery
list aside is talk
  A kite flew by.
rule story
  {hero: name}, a {hero.child}, saw <a thing> in the {place}. <aside> <more>
rule more
  The {job} lost a {job.tool} in the {job.place}.
  A kite and a mill were there.
"""


def test_the_roles_of_a_small_story_by_hand():
    task = Entities(STORIES, {"job.place": "place", "job.tool": "thing"})
    assert task.roles == ("person", "place", "thing")
    for example in itertools.islice(task.examples(1), 200):
        words, roles = example.words, example.roles
        assert words == storyland.split(example.input)
        named = {(" ".join(words[start:end]), role) for start, end, role in example.spans}
        facts = example.story.facts
        assert (facts["hero"], "person") in named and (facts["place"], "place") in named
        assert "boy" not in {name for name, _ in named}  # no form of these is said to name him
        kites = [role for word, role in zip(words, roles, strict=True) if word == "kite"]
        assert kites.count("") == 2 - ("job" in facts)  # in the aside, and as scenery
        if facts.get("job") == "baker":
            assert {("baker", "person"), ("old oven", "thing"), ("bakery", "place")} <= named


def test_a_form_has_no_role_unless_it_is_given_one():
    for example in itertools.islice(Entities(STORIES, {}).examples(1), 50):
        if example.story.facts.get("job") == "pilot":
            roles = dict(zip(example.words, example.roles, strict=True))
            assert roles["pilot"] == "person" and roles["airfield"] == ""


def test_every_derivation_of_a_text_has_the_same_roles():
    grammar = Entities(STORIES, {"job.place": "place", "job.tool": "thing"}).grammar
    roles = defaultdict(set)
    for derivation in derivations.written(grammar):
        roles[derivation.words].add(derivation.roles)
    assert len(roles) == 24 and all(len(found) == 1 for found in roles.values())


def test_every_derivation_of_a_real_story_has_the_same_roles():
    task = entities.of_storyland()
    for example in itertools.islice(task.examples(71), 80):
        found = {roles for _, roles in derivations.read(task.grammar, example.words)}
        assert found == {tuple(example.roles)}


@pytest.fixture(scope="module")
def many():
    return list(itertools.islice(entities.examples(72), 2000))


def test_words_and_roles_go_together_and_back(many):
    for example in many:
        assert example.words == storyland.split(example.input)
        assert len(example.output.split()) == len(example.roles) == len(example.words)
        assert [role.replace("-", "") for role in example.output.split()] == example.roles
        again = [""] * len(example.words)
        for start, end, role in example.spans:
            again[start:end] = [role] * (end - start)
        assert again == example.roles
    assert {role for example in many for role in example.roles} == {"", *entities.roles()}


def test_two_entities_never_stand_side_by_side(many):
    """So a run of words with one role is one entity: each run is one form of one item."""
    forms = defaultdict(set)
    for source in storyland.grammar().lists.values():
        for item in source.items:
            forms[source.role].add(item.name.lower())
            for column in source.columns:
                role = COLUMNS.get(f"{source.name}.{column}", source.role)
                forms[role].add(item.forms[column].lower())
    for example in many:
        for start, end, role in example.spans:
            assert storyland.join(example.words[start:end]).lower() in forms[role], example


def test_the_roles_are_the_stories_own_and_those_of_the_forms(many):
    """Nothing that the grammar gives a role loses it; what is added is in the three forms."""
    added = Counter()
    for example, story in zip(many, storyland.stories(72), strict=False):
        assert example.words == story.words
        for word, role, own in zip(example.words, example.roles, story.roles, strict=True):
            if role != own:
                assert own == ""
                added[role, word] += 1
    assert {role for role, _ in added} == set(COLUMNS.values())
    assert ("person", "girl") in added and ("place", "bakery") in added


def made(roles):
    words = [*"abcdefgh"[: len(roles) - 1], "\n"]
    return Example(storyland.Story(words, roles, {}), "", " ".join(role or "-" for role in roles))


def test_spans_are_runs_of_one_role():
    assert spans([]) == spans(["", "-", ""]) == set()
    assert spans(["a", "a", "", "a", "b"]) == {(0, 2, "a"), (3, 4, "a"), (4, 5, "b")}


def test_f1_by_hand():
    example = made(["person", "", "place", "place", "", "thing", ""])
    assert score(example, example.output) == score(example, example.roles) == 1
    assert score(example, "- - - - - - -") == 0  # nothing found
    assert score(example, "person - - - - - -") == 2 * 1 / (1 + 3)
    assert score(example, "person - - place - thing -") == 2 * 2 / (3 + 3)  # half a place is none
    assert score(example, "place - place place - thing -") == 2 * 2 / (3 + 3)  # another role
    assert score(example, "person - place place - thing thing") == 2 * 2 / (3 + 3)
    nothing = made(["", "", ""])
    assert score(nothing, "- - -") == 1
    assert score(nothing, "- person -") == 0


def test_f1_over_stories_counts_entities_and_not_stories():
    one, three = made(["person", ""]), made(["person", "", "place", "", "thing"])
    outputs = ["person -", "- - - - -"]
    assert f1([one, three], outputs) == 2 * 1 / (1 + 4)
    assert f1([one, three], iter(outputs)) == f1(iter([one, three]), outputs)
    assert f1([], []) == 1


def test_outputs_that_do_not_fit_are_refused():
    example = made(["person", "", ""])
    with pytest.raises(ValueError, match="the story has 3 words, the output 2 roles"):
        score(example, "person -")
    with pytest.raises(ValueError, match="there are 1 stories and 2 outputs"):
        f1([example], ["person - -", "person - -"])


def test_a_form_that_no_list_has_is_refused():
    with pytest.raises(ValueError, match="no list of the stories has the form 'job.hat'"):
        Entities(STORIES, {"job.hat": "thing"})


def test_the_word_alone_does_not_tell_its_role(many):
    """A guess by the word's commonest role, made from other stories, misses some entities."""
    seen = defaultdict(Counter)
    for example in many[:1500]:
        for word, role in zip(example.words, example.roles, strict=True):
            seen[word][role] += 1
    guess = [[seen[word].most_common(1)[0][0] if word in seen else "" for word in example.words]
             for example in many[1500:]]
    assert 0.85 < f1(many[1500:], guess) < 0.96
