"""Questions: an answer is entailed by the text, and what nobody knows is not."""

import itertools
import re
from collections import Counter, defaultdict
from random import Random

import derivations
import pytest

import storyland
from storyland.grammar import NUMBERS
from storyland.tasks import questions
from storyland.tasks.frame import PageError, text
from storyland.tasks.questions import KINDS, NOBODY, Questions, normal, score

# Somebody took the ball, which is told or not; a second child may be named or not.
STORIES = """
list name
  Tom
  Mia
  Lin
list animal
  owl
  cat
rule story
  {first: name} and {second: name} had a ball. <Held> <choose> <gone> <told> <after>
rule Held
  {First} held it. -> holder=@first
rule choose
  -> thief=@first
  -> thief=@second
rule gone
  2 It was gone!
  {Thief: name} hid it. -> shown=yes
rule told
  It was {thief: name}.
  Oh dear.
rule after
  {A animal} came with {n: 2..3} nuts.
  {N: 2..3} of them cried.
  {Second} found it. -> holder=@second
"""
PAGE = """
when It was {thief: name}. -> said=yes
when with {n: 2..3} nuts -> counted=nuts
question who: thief
  at gone, told, end
  2 Who took the ball?
  Who was the thief, {first} or {second}?
  = if said=yes: {thief}
  = if said!=yes, shown=yes: {thief}
  nobody knows if no said, no shown
question how many: nuts
  How many nuts did the animal have?
  = if counted=nuts: {n}
  nobody knows if no counted
question what: animal
  What came?
  = {a animal}
  nobody knows if no animal
question who: holder
  at Held, end
  Who holds the ball?
  = {holder: name}
question who: absent
  Was {absent: name} the thief?
  nobody knows
"""


def put(asking, env, point):
    """All that decides what is asked, and what is right, where these facts hold.

    {question: (how often, the answer or None, the wordings and the facts that they speak of)}
    """
    return {
        asked.question.name: (
            asked.weight,
            asked.answer and text(asked.answer, env, None),  # an answer leaves nothing to chance
            frozenset((option.text, tuple(env[fact] for fact in asking.world.needs(option)))
                      for _, option in asked.wordings.pairs),
        )
        for asked in asking.fitting(env, point)
    }


def faults(asking):
    """The texts that do not decide which questions are asked, and what is right: by brute force.

    All derivations of a text must agree: then an answer is entailed, what nobody knows has an
    answer in none, and the question gives nothing away.
    """
    wrong = []
    for point in (*asking.points, "end"):
        same_text = defaultdict(list)
        for derivation in derivations.written(asking.world.grammar, point):
            same_text[derivation.words].append(put(asking, derivation.env, point))
        wrong += [words for words, puts in same_text.items() if any(p != puts[0] for p in puts)]
    return wrong


def test_on_a_small_grammar_every_answer_is_entailed_and_no_other_is():
    asking = Questions(STORIES, PAGE)
    assert faults(asking) == []


def test_on_a_small_grammar_an_example_is_one_that_its_text_has():
    asking = Questions(STORIES, PAGE)
    by_text = {(derivation.words, point): put(asking, derivation.env, point)
               for point in (*asking.points, "end")
               for derivation in derivations.written(asking.world.grammar, point)}
    asked = set()
    for example in itertools.islice(asking.examples(1), 3000):
        here = [by_text[key][example.name] for point in (*asking.points, "end")
                if (key := (tuple(example.story.words), point)) in by_text]
        assert {answer for _, answer, _ in here} == {example.output if example.answerable else None}
        asked.add((example.name, example.answerable))
    both = {(name, answer) for name in ("thief", "nuts", "animal") for answer in (True, False)}
    assert asked == both | {("holder", True), ("absent", False)}


def test_what_nobody_knows_is_open_in_the_facts():
    """The thief is chosen before he is told: the text leaves both."""
    asking = Questions(STORIES, PAGE)
    thief = asking.world.fact("thief")
    said, shown = asking.world.fact("said"), asking.world.fact("shown")
    for point in ("gone", "end"):
        same_text = defaultdict(set)
        for derivation in derivations.written(asking.world.grammar, point):
            if not (derivation.env[said] or derivation.env[shown]):
                same_text[derivation.words].add(derivation.env[thief])
        assert same_text and all(len(thieves) == 2 for thieves in same_text.values())


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("= if said=yes: {thief}\n  = if said!=yes, shown=yes: {thief}", "= {thief}"),
        ("= if said!=yes, shown=yes: {thief}", "= if said!=yes, thief=@first: {first}"),
        ("nobody knows if no said, no shown", "nobody knows if no said, no shown, thief=Tom"),
        ("Was {absent: name} the thief?", "Was it {thief}?"),
    ],
    ids=["untold", "answered in half of the cases", "asked in half", "given away by the question"],
)
def test_the_brute_force_finds_a_page_that_gives_away_what_is_hidden(was, becomes):
    assert was in PAGE
    assert faults(Questions(STORIES, PAGE.replace(was, becomes)))


def test_every_derivation_of_a_real_story_agrees_on_all_that_can_be_asked_of_it():
    asking = questions.of_storyland()
    points = {question.name: question.points for question in asking.questions}
    asked, unanswerable = set(), set()
    for example in itertools.islice(asking.examples(31), 100):
        whole = example.story.words[-1] == "\n"
        puts = [put(asking, env, point)
                for point in (["end"] if whole else {*points[example.name]} - {"end"})
                for env, _ in derivations.read(asking.world.grammar, example.story.words, point)]
        assert len(puts) >= 3  # one for each mood at least
        assert all(one == puts[0] for one in puts), example
        _, answer, _ = puts[0][example.name]
        assert answer == (example.output if example.answerable else None)
        asked |= puts[0].keys()
        unanswerable |= {name for name, (_, answer, _) in puts[0].items() if answer is None}
    assert len(asked) > 90 and len(unanswerable) > 30


@pytest.mark.parametrize("point", sorted(questions.of_storyland().points))
def test_every_derivation_of_the_beginning_of_a_story_agrees(point):
    asking = questions.of_storyland()
    rng = Random(33)
    ends = (written.words[: written.ends[point][0]] for written in iter(
        lambda: asking.world.written(rng, asking.points), None) if point in written.ends)
    asked = set()
    for words in itertools.islice(ends, 40):
        puts = [put(asking, env, point)
                for env, _ in derivations.read(asking.world.grammar, words, point)]
        assert len(puts) >= 3 and all(one == puts[0] for one in puts), words
        asked |= puts[0].keys()
    assert asked


@pytest.mark.parametrize(("name", "fact"), [("eater", "thief"), ("noise", "animal")])
def test_where_a_story_stops_before_it_tells_the_text_leaves_more_than_one(name, fact):
    asking = questions.of_storyland()
    place = asking.world.fact(fact)
    stopped = (e for e in asking.examples(32) if e.name == name and not e.answerable)
    (question,) = [question for question in asking.questions if question.name == name]
    for example in itertools.islice(stopped, 8):
        values = {env[place] for point in {*question.points} - {"end"} for env, _ in
                  derivations.read(asking.world.grammar, example.story.words, point)}
        assert len(values) > 1


@pytest.fixture(scope="module")
def many():
    return list(itertools.islice(questions.examples(41), 6000))


def test_a_quarter_is_unanswerable_and_every_kind_is_asked(many):
    assert 0.22 < sum(not example.answerable for example in many) / len(many) < 0.28
    kinds = Counter(example.kind for example in many)
    assert set(kinds) == set(KINDS) and min(kinds.values()) > len(many) / 10


def test_every_question_of_the_page_is_asked(many):
    names = {question.name for question in questions.of_storyland().questions}
    assert names == {example.name for example in many} and len(names) > 90


def test_the_question_alone_tells_little_of_whether_there_is_an_answer(many):
    """Who guesses by the question, and never reads the story, gains little over always answering:
    the wording with its names taken out, on examples that the guess was not made from."""
    named = {"in", "at", "on", "by", "’", "s"}
    for source in storyland.grammar().lists.values():
        for item in source.items if source.role else []:
            for form in (item.name, *(item.forms[column] for column in source.named_columns)):
                named |= {*form.lower().split()}

    def wording(example):
        words = ["_" if word.lower() in named else word
                 for word in storyland.split(example.question)]
        return " ".join(word for word, _ in itertools.groupby(words))

    seen = defaultdict(Counter)
    for example in many[:4000]:
        seen[wording(example)][example.answerable] += 1
    guessed = sum(
        (seen[wording(e)].most_common(1)[0][0] if wording(e) in seen else True) == e.answerable
        for e in many[4000:]) / 2000
    always = sum(e.answerable for e in many[4000:]) / 2000
    assert guessed < always + 0.05


def test_questions_read_as_english(many):
    for example in many:
        question = example.question
        assert question[0].isupper() and question.endswith("?"), question
        assert question.count("?") == 1
        for word, after in itertools.pairwise(f"{question} {example.output}".split()):
            if word.lower() in {"a", "an"}:
                assert (word.lower() == "an") == (after[0].lower() in "aeiou"), example
        assert not re.search(r"[{}<>]|  ", question + example.output)


def test_two_answers_to_one_question_never_count_as_one(many):
    """But for the preposition of a place."""
    said = defaultdict(set)
    for example in many:
        if example.kind != "where":
            said[example.name, normal(example.output)].add(example.output)
    assert [outputs for outputs in said.values() if len(outputs) > 1] == []


def test_the_words_of_an_answer_are_in_the_story_or_are_numbers_or_its_own(many):
    own = {"nobody", "knows", "man", "woman", "nothing", "and",
           "a", "an", "the", "in", "at", "on", "by", "to", "from"}
    for example in many:
        if example.name not in {"noise", "first_way_back"}:  # an owl hoots: these are worked out
            told = {word.lower() for word in example.story.words}
            told |= {word.removesuffix("s") for word in told}
            said = {word.lower() for word in storyland.split(example.output)}
            assert said <= told | own | {*NUMBERS}, (said - told, example)


@pytest.mark.parametrize(
    ("output", "right"),
    [
        ("in the old mill", 1), ("In the old mill.", 1), ("the old mill", 1), ("old mill", 1),
        ("  at the  old mill ", 1), ("mill", 0), ("in the mill", 0), ("", 0), ("the", 0),
        ("in the old mill in the old mill", 0), ("nobody knows", 0),
    ],
)
def test_what_counts_of_an_answer(output, right):
    example = next(iter(questions.examples(1)))
    example = type(example)(example.story, example.input, "in the old mill", "Where?", "where", "x")
    assert score(example, output) == right


def test_a_number_may_be_in_digits_and_nobody_may_know_in_capitals():
    example = next(iter(questions.examples(1)))

    def marked(right, output):
        return score(type(example)(example.story, "", right, "", "what", ""), output)

    assert marked("twelve", "12") == marked("twelve", "12.") == marked("twelve", "Twelve.") == 1
    assert marked("twelve", "13") == marked("twelve", "120") == marked("one", "21") == 0
    assert marked(NOBODY, "Nobody knows.") == 1
    assert marked("nobody", "nobody knows") == marked(NOBODY, "nobody") == 0
    assert marked("tea and milk", "milk and tea") == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("question why: x\n  Why?\n  = no", "say `question kind: name`, the kind"),
        ("question who: x\n  = {first}", "question x has no wording"),
        ("question who: x\n  Who?", "question x has no answer, nor `nobody knows`"),
        ("question who: x\n  at dawn\n  Who?\n  = {first}", "question x: no rule is called dawn"),
        ("question who: x\n  Who?\n  nobody knows if no dragon", "no fact is called 'dragon'"),
        ("question who: x\n  Who?\n  nobody knows if !", "nobody knows if !: cannot read '!'"),
        ("question who: x\n  A?\n  = no\nquestion what: x\n  B?\n  = no", "x is written twice"),
    ],
)
def test_a_page_with_a_mistake_says_which(page, message):
    with pytest.raises(PageError, match=re.escape(message)):
        Questions(STORIES, page)


def test_a_page_whose_questions_fit_no_story_says_so():
    asking = Questions(STORIES, "question who: x\n  Who?\n  nobody knows if no first")
    with pytest.raises(PageError, match="no question of the page fits any of 1000 stories"):
        next(asking.examples(1))


def test_a_page_that_gives_two_answers_says_so():
    asking = Questions(STORIES, "question who: x\n  Who?\n  = {first}\n  = {second}")
    with pytest.raises(PageError, match=r"question x: two answers are possible, '{first}' and"):
        next(asking.examples(1))
