"""A conversation about the beginning of a story: questions, follow-ups, and how to say it.

    >>> example = next(examples(seed=1))
    >>> example.input.splitlines()[-1], example.output
    ('What was the village of Ben called?', 'Crowhill')

What is asked is written on a page to read, `dialogue.txt`, with the rules of `questions`: an answer
is one that the text entails, and where it entails none, nobody knows. Later turns speak of the hero
by a pronoun, or ask for no fact at all ("Say it twice."): what is meant was said just before.

How to say it is one of four forms. Whether an answer has its form is decided by counting words, so
`score` needs no judge.
"""

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from storyland.grammar import Choices, Env
from storyland.sampler import Written
from storyland.tasks import frame
from storyland.tasks.frame import in_letters, text
from storyland.tasks.questions import NOBODY, Asked, Questions
from storyland.words import split

POINT = "opening"  # the rule of the stories after which the conversation begins
# These words tell nothing that was asked for: "his mother", "the mother" and "mother" are equal.
FREE = frozenset("a an the his her in".split())
MOST = 3  # words of an answer that is to be short
TURNS = Choices([(5, 1), (3, 2), (1, 3)])  # weight, number of turns
REPHRASED = 0.4  # of later turns: no new question, but the last answer in another form


@dataclass(frozen=True)
class Form:
    """A way to say an answer: how it is asked for, an output that has it, and the check."""

    asked: str
    make: Callable[[str, str], str]  # (answer, name) -> output
    holds: Callable[[list[str], list[str], str], bool]  # (words said, words of the answer, name)


def _content(words: list[str]) -> list[str]:
    return [word for word in words if word not in FREE]


def _short(answer: str) -> str:
    words = answer.split()
    return answer if len(words) <= MOST else " ".join(_content(words))


FORMS = {
    "plain": Form("", lambda answer, name: answer,
                  lambda said, right, name: _content(said) == right),
    "twice": Form("Say it twice.", lambda answer, name: f"{answer}, {answer}",
                  lambda said, right, name: _content(said) == right * 2),
    "name": Form("Begin with the name.", lambda answer, name: f"{name}: {answer}",
                 lambda said, right, name: said[:1] == [name] and _content(said[1:]) == right),
    "short": Form(f"At most {frame.NUMBERS[MOST]} words.", lambda answer, name: _short(answer),
                  lambda said, right, name: _content(said) == right and len(said) <= MOST),
}  # fmt: skip
# Which form is asked for with a question, and which in a turn of its own; weights.
WITH = Choices([(4, "plain"), (2, "twice"), (2, "name"), (2, "short")])
ALONE = Choices([(1, "twice"), (1, "name"), (1, "short")])


@dataclass(frozen=True)
class Turn:
    """One side asks, the other says; both are one line."""

    asked: str
    said: str  # right
    question: str  # of the page; of a turn without one, the question that its form is about
    form: str
    answer: str  # before it is given its form
    name: str  # the person who was asked about


@dataclass(frozen=True)
class Example(frame.Example):
    """A beginning of a story and a conversation, a line each; the last answer is to be given."""

    turns: tuple[Turn, ...]  # the last one is asked; what was said before is right

    @property
    def answerable(self) -> bool:
        """Whether the story entails an answer."""
        return self.turns[-1].answer != NOBODY


class Dialogues:
    """Conversations about the stories of a grammar."""

    def __init__(self, stories: str, page: str):
        """From the pages of the grammar and of the questions. PageError where one has no meaning"""
        self.asking = Questions(stories, page)
        self.world = self.asking.world
        self._hero = self.world.fact("hero")

    def examples(self, seed: int) -> Iterator[Example]:
        """An endless stream, one conversation a story. ValueError if the seed is none."""
        choice = Random(f"dialogue {frame.checked(seed)}")
        return self._examples(Random(seed), choice)

    def _examples(self, rng: Random, choice: Random) -> Iterator[Example]:
        while True:
            written = self.world.written(rng, self.asking.points)
            yield self._example(written, choice)

    def _example(self, written: Written, choice: Random) -> Example:
        length, env = end = written.ends[POINT]
        story = self.world.story(written, end)
        turns: list[Turn] = []
        for _ in range(_draw(TURNS, choice)):
            turns.append(self._turn(turns, env, choice))
        lines = [story.text]
        for turn in turns[:-1]:
            lines += [turn.asked, turn.said]
        return Example(story, "\n".join([*lines, turns[-1].asked]), turns[-1].said, tuple(turns))

    def _turn(self, before: list[Turn], env: Env, choice: Random) -> Turn:
        """What comes after the turns before."""
        last = before[-1] if before else None
        if last and last.form == "plain" and choice.random() < REPHRASED:
            form = _draw(ALONE, choice)
            said = FORMS[form].make(last.answer, last.name)
            return Turn(FORMS[form].asked, said, last.question, form, last.answer, last.name)
        hero = str(env[self._hero])
        asked = self._asked({turn.question for turn in before}, env, choice)
        answer = NOBODY if asked.answer is None else text(asked.answer, env, choice)
        wordings = asked.wordings
        # Only of one who was spoken of just now can be spoken by a pronoun.
        again = self.world.grammar.rules.get(f"and_{asked.question.name}")
        if last and last.name == hero and again:
            wordings = self.world.possible(again, env)
        words = text(_draw(wordings, choice), env, choice)
        name = hero if hero in split(words) or again else _person(words)
        form = _draw(WITH, choice)
        said = FORMS[form].make(answer, name)
        return Turn(
            f"{words} {FORMS[form].asked}".rstrip(), said, asked.question.name, form, answer, name
        )

    def _asked(self, done: set[str], env: Env, choice: Random) -> Asked:
        fitting = [
            (asked.weight, asked)
            for asked in self.asking.fitting(env, POINT)
            if asked.question.name not in done
        ]
        return _draw(Choices(fitting), choice)


def _person(question: str) -> str:
    """The name in a question that is about somebody who is not in the story."""
    return next(word for word in split(question)[1:] if word[0].isupper())


def _draw(choices: Choices, choice: Random):
    """One of weighted outcomes."""
    return choices.pairs[bisect(choices.totals, int(choice.random() * choices.totals[-1]))][1]


@cache
def of_storyland() -> Dialogues:
    """The conversations about Storyland, read once."""
    page = Path(__file__).with_name("dialogue.txt")
    return Dialogues(frame.STORIES.read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of conversations about the beginnings of the stories of this seed.

    ValueError if the seed is no whole number from 0 on.
    """
    return of_storyland().examples(seed)


def score(example: Example, output: str) -> float:
    """1 for the right answer in the form that was asked for, 0 for any other.

    Case, punctuation, articles and `his` and `her` do not count, and a number may be in digits.
    TypeError if the output is no text.
    """
    turn = example.turns[-1]
    right = _content(words(turn.answer))
    return float(FORMS[turn.form].holds(words(frame.as_text(output)), right, turn.name.lower()))


def words(output: str) -> list[str]:
    """The words of an answer in small letters, numbers spelled out, without punctuation."""
    spelled = re.sub(r"\d+", in_letters, output.lower())
    return [word for word in split(spelled) if word[0].isalpha()]
