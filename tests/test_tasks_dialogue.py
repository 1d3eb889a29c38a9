"""Dialogue: an answer is entailed by the beginning of the story, and its form can be counted."""

import itertools
import re
from collections import Counter, defaultdict
from dataclasses import replace

import derivations
import pytest

import storyland
from storyland.tasks import dialogue
from storyland.tasks.dialogue import FORMS, POINT, TURNS, Dialogues, score
from storyland.tasks.frame import text
from storyland.tasks.questions import NOBODY

# A pet may be in the house or only be spoken of; a second child is in no story's beginning.
STORIES = """
list name: he
  Tom  he
  Mia  she
list home
  hut
  tall tower
list animal
  owl
  cat
rule story
  <opening> <after>
rule opening
  There was {hero: name}. <where> <pet>
rule where
  {Hero.he} had {a home}.
  Good day!
rule pet
  {A animal} lived there. -> shared=yes
  {A animal} flew by.
  Oh.
rule after
  {friend: name} came.
"""
PAGE = """
question what: home
  at opening
  What did {hero} have?
  = {a home}
  nobody knows if no home
rule and_home
  And what did {hero.he} have?
question what: pet
  at opening
  Who was with {hero}?
  = if shared=yes: {a animal}
  nobody knows if no shared
rule and_pet
  And who was with {hero.he}?
question who: another
  at opening
  What did {absent: name} have?
  nobody knows
"""


def same_text(asking):
    """The facts of every way to write each beginning."""
    found = defaultdict(list)
    for derivation in derivations.written(asking.world.grammar, POINT):
        found[derivation.words].append(derivation.env)
    return found


def answers(asking, name, envs):
    """What all ways to write a text say to a question; None for nobody knows."""
    (question,) = [question for question in asking.questions if question.name == name]
    found = [asking.answer(question, env) for env in envs]
    assert all(weight for weight, _ in found), "asked where it does not fit"
    options = [option for _, option in found]
    return {option and text(option, env, None) for option, env in zip(options, envs, strict=True)}


def check(example, envs, asking):
    """Every turn of an example is right, by every way to write its text."""
    hero = asking.world.fact("hero")
    for turn in example.turns:
        (right,) = answers(asking, turn.question, envs)
        assert turn.answer == (right or NOBODY)
        about = {str(env[hero]) for env in envs}
        assert (turn.name in about) == ("another" not in turn.question), example
        expected = {
            "plain": turn.answer,
            "twice": f"{turn.answer}, {turn.answer}",
            "name": f"{turn.name}: {turn.answer}",
        }
        if turn.form == "short":
            assert len(turn.said.split()) <= 3
            kept = [word for word in turn.answer.split() if word in turn.said.split()]
            assert turn.said == " ".join(kept)
        else:
            assert turn.said == expected[turn.form]


def test_on_a_small_grammar_every_turn_follows_from_the_text():
    dialogues = Dialogues(STORIES, PAGE)
    by_text, seen = same_text(dialogues.asking), set()
    for example in itertools.islice(dialogues.examples(1), 1500):
        check(example, by_text[tuple(example.story.words)], dialogues.asking)
        seen.add((example.turns[-1].question, example.answerable, example.turns[-1].form))
    both = [("home", True), ("home", False), ("pet", True), ("pet", False), ("another", False)]
    assert seen == {(*one, form) for one in both for form in FORMS}


def test_the_check_finds_an_answer_that_the_text_does_not_tell():
    """The animal is chosen, and only sometimes told."""
    stories = STORIES.replace("  Oh.", "  Oh. {~animal}")
    dialogues = Dialogues(stories, PAGE.replace("if shared=yes: ", ""))
    by_text = same_text(dialogues.asking)
    with pytest.raises(ValueError, match="too many values to unpack"):
        for example in itertools.islice(dialogues.examples(1), 500):
            check(example, by_text[tuple(example.story.words)], dialogues.asking)


def test_every_way_to_write_a_real_beginning_gives_the_same_answers():
    asking = dialogue.of_storyland().asking
    asked = set()
    for example in itertools.islice(dialogue.examples(31), 150):
        words = example.story.words
        envs = [env for env, _ in derivations.read(asking.world.grammar, words, POINT)]
        assert len(envs) >= 3  # one for each mood at least
        check(example, envs, asking)
        asked |= {(turn.question, turn.answer == NOBODY) for turn in example.turns}
    assert len(asked) >= 12


@pytest.fixture(scope="module")
def many():
    return list(itertools.islice(dialogue.examples(41), 3000))


def test_four_in_ten_have_no_answer_and_every_form_and_length_is_asked(many):
    assert 0.37 < sum(not example.answerable for example in many) / len(many) < 0.43
    forms = Counter(example.turns[-1].form for example in many)
    assert set(forms) == set(FORMS) and min(forms.values()) > len(many) / 6
    assert {len(e.turns) for e in many} == {number for _, number in TURNS.pairs}


def test_an_example_is_the_beginning_and_the_turns_a_line_each(many):
    for example in many[:300]:
        story, *lines = example.input.split("\n")
        assert story == example.story.text
        turns = [line for turn in example.turns for line in (turn.asked, turn.said)]
        assert [*lines, example.output] == turns


def test_a_pronoun_speaks_of_one_who_was_spoken_of_just_before(many):
    seen = Counter()
    for example in many:
        hero = example.story.facts["hero"]
        for before, turn in itertools.pairwise((None, *example.turns)):
            words = storyland.split(turn.asked.split("?")[0])
            if {"he", "she", "his", "her"} & {*words}:
                assert before is not None and before.name == turn.name == hero
                seen["pronoun"] += 1
            elif "?" in turn.asked:
                assert turn.name in words
                assert (turn.name == hero) == ("another" not in turn.question)
                seen["name"] += 1
            else:
                assert turn.asked in {form.asked for form in FORMS.values()} - {""}
                assert (turn.question, turn.answer, turn.name) == (
                    before.question, before.answer, before.name)  # fmt: skip
                seen["rephrased"] += 1
    assert min(seen.values()) > 200


def test_one_who_is_not_in_the_story_is_not_in_it(many):
    for example in many:
        for turn in example.turns:
            if "another" in turn.question:
                assert turn.name not in example.story.words and turn.answer == NOBODY


def test_the_question_alone_tells_little_of_whether_there_is_an_answer(many):
    """Who guesses by the last question with its name taken out, and never reads the story."""

    def wording(example):
        return example.turns[-1].asked.replace(example.turns[-1].name, "_")

    seen = defaultdict(Counter)
    for example in many[:2000]:
        seen[wording(example)][example.answerable] += 1
    guessed = sum(
        (seen[wording(e)].most_common(1)[0][0] if wording(e) in seen else True) == e.answerable
        for e in many[2000:]) / 1000  # fmt: skip
    always = sum(e.answerable for e in many[2000:]) / 1000
    assert guessed < always + 0.2


def test_questions_read_as_english(many):
    for example in many:
        for turn in example.turns:
            assert re.fullmatch(r"[A-Z][^{}<>]*[?.]", turn.asked) and "  " not in turn.asked
            for word, after in itertools.pairwise(turn.said.split()):
                if word in {"a", "an"}:
                    assert (word == "an") == (after[0] in "aeiou"), example


def example_of(answer, form, name="Ben"):
    example = next(dialogue.examples(1))
    turn = replace(example.turns[-1], answer=answer, form=form, name=name)
    return replace(example, turns=(turn,), output=FORMS[form].make(answer, name))


@pytest.mark.parametrize(
    ("answer", "form", "output", "right"),
    [
        ("a small house", "plain", "A small house.", 1),
        ("a small house", "plain", "small house", 1),
        ("a small house", "plain", "in a small house", 1),
        ("a small house", "plain", "house", 0),
        ("a small house", "plain", "a small house, a small house", 0),
        ("a small house", "plain", "a small house, nobody knows", 0),
        ("a small house", "plain", "", 0),
        ("his aunt", "plain", "her aunt", 1),
        ("twelve", "plain", "12", 1),
        ("twelve", "plain", "112", 0),
        ("a cottage", "twice", "a cottage, a cottage", 1),
        ("a cottage", "twice", "a cottage and a cottage", 0),
        ("a cottage", "twice", "a cottage", 0),
        ("a cottage", "twice", "a cottage, a cottage, a cottage", 0),
        ("a cottage", "name", "Ben: a cottage", 1),
        ("a cottage", "name", "Ben, a cottage", 1),
        ("a cottage", "name", "a cottage", 0),
        ("a cottage", "name", "Tom: a cottage", 0),
        ("a cottage", "name", "Ben: Ben: a cottage", 0),
        ("his aunt and an owl", "short", "aunt and owl", 1),
        ("his aunt and an owl", "short", "his aunt and an owl", 0),
        ("his aunt and an owl", "short", "aunt owl", 0),
        ("a cottage", "short", "a cottage", 1),
        (NOBODY, "twice", "nobody knows, nobody knows", 1),
        (NOBODY, "plain", "nobody", 0),
    ],
)
def test_what_counts_of_an_answer(answer, form, output, right):
    assert score(example_of(answer, form), output) == right
    assert score(example_of(answer, form), FORMS[form].make(answer, "Ben")) == 1


def test_a_short_answer_is_short_for_every_answer_there_is(many):
    for answer in {turn.answer for example in many for turn in example.turns}:
        short = FORMS["short"].make(answer, "Ben")
        assert score(example_of(answer, "short"), short) == 1, answer
