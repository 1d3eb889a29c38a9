"""Counting: another reader of the text, who knows no facts, gets the same counts."""

import itertools
import re
from collections import Counter

import pytest

from storyland.tasks import counting
from storyland.tasks.counting import examples, score, scratchpad

VALUE = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()
    )
}
WOMEN = {"Mia", "Anna", "Ruby", "Rosa"}


def some(count, seed=3, **how):
    return list(itertools.islice(examples(seed, **how), count))


def read(text):
    """Who has how many of what, sentence by sentence, and who is asked about: by the words alone.

    -> (the counts of what is asked for, each time that it changes; how many sentences were aside)
    """
    story, question = text.split("\n")
    thing = re.search(r"How many (\w+)", question)[1]
    has, counts, aside = Counter(), [], 0
    last = {}  # the person that "he" and "she" mean: the first of the text
    for sentence in re.findall(r"[^.]+\.", story):
        words = re.findall(r"\w+", sentence)
        (number,) = [VALUE[word] for word in words if word in VALUE]
        subject = words[0]
        if subject in ("He", "She"):
            subject = last[subject]
        else:
            last.setdefault("She" if subject in WOMEN else "He", subject)
        if "gave" in words:
            other = words[2] if "more" in words else words[-1]
            other = (
                last[other.replace("him", "He").replace("her", "She")]
                if other in ("him", "her")
                else other
            )
            change = {subject: -number, other: number}
        elif "ate" in words or "lost" in words:
            change = {subject: -number}
        else:
            assert {"had", "found", "bought"} & set(words), sentence
            change = {subject: number}
        named = words[-1] if words[-1].endswith("s") else thing
        asked_about = next(iter(last.values()))
        for person, amount in change.items():
            has[person, named] += amount
        if named == thing and asked_about in change:
            counts.append(has[asked_about, thing])
        else:
            aside += 1
    assert asked_about in question or ("she" if asked_about in WOMEN else "he") in question.split()
    return counts, aside


def test_another_reader_of_the_text_counts_the_same():
    for example in some(600):
        counts, _ = read(example.input)
        assert [counting.NUMBERS[n] for n in counts] == scratchpad(example).split(", ")
        assert example.output == counting.NUMBERS[counts[-1]]


def test_there_are_one_to_eight_steps_and_some_sentences_aside():
    found = some(600)
    assert {len(example.changes) for example in found} == set(range(1, 9))
    assert {read(example.input)[1] for example in found} == {0, 1, 2}


def test_the_number_of_steps_can_be_chosen():
    assert {len(e.changes) for e in some(60, steps=[2, 7])} == {2, 7}
    for wrong in ([], [0], [9], range(5, 10)):
        with pytest.raises(ValueError, match="1 to 8 steps"):
            examples(3, wrong)


def test_there_is_always_one_left_and_never_more_than_twelve():
    counts = Counter(count for example in some(2000) for count in example.counts)
    assert set(counts) == set(range(1, 13))
    changes = Counter(change for example in some(2000) for change in example.changes)
    assert set(changes) == {-4, -3, -2, -1, 1, 2, 3, 4}


def test_no_answer_is_so_common_that_guessing_it_helps():
    answers = Counter(example.output for example in some(2000))
    assert max(answers.values()) < 0.2 * answers.total()


def test_he_and_she_are_the_one_who_is_asked_about():
    for example in some(300):
        people = {word for word in example.story.words if word in counting.PEOPLE}
        hero = example.story.facts["hero"]
        alike = {name for name in people if (name in WOMEN) == (hero in WOMEN)}
        assert alike == {hero}


def test_what_others_have_is_another_thing():
    for example in some(300):
        sentences = example.input.split("\n")[0].split(". ")
        others = [
            s
            for s in sentences[1:]
            if s.split()[1] in ("had", "found", "bought") and s.split()[0] in counting.PEOPLE
        ]
        assert len(others) == read(example.input)[1]
        assert not [s for s in others if example.story.facts["things"] in s]


def test_every_wording_is_written():
    texts = " ".join(example.input for example in some(600))
    for verb in "had found bought gave ate lost left".split():
        assert f" {verb} " in texts.replace("?", " ")
    assert "a bag with" in texts and "does" in texts and " has " in texts


def test_a_seed_gives_the_same_examples_and_another_gives_others():
    assert some(50, seed=4) == some(50, seed=4)
    assert not {e.input for e in some(50, seed=4)} & {e.input for e in some(50, seed=5)}
    with pytest.raises(ValueError, match="whole number"):
        examples(-1)


def test_an_answer_a_scratchpad_and_a_sentence_are_marked_by_their_last_number():
    (example,) = some(1, steps=[3])
    right, wrong = example.output, "one" if example.output != "one" else "two"
    digits = str(VALUE[right])
    for said in (
        right,
        scratchpad(example),
        f"{wrong}, {right}",
        f"Now there are {digits}.",
        right.upper(),
        f"{right} {example.story.facts['things']}",
    ):
        assert score(example, said) == 1, said
    for said in (wrong, f"{right}, {wrong}", "", "many", f"1{digits}"):
        assert score(example, said) == 0, said
    with pytest.raises(TypeError, match="text"):
        score(example, None)
