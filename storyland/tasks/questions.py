"""Who, where, what, how many? The answer follows from the story, or nobody knows.

    >>> example = next(examples(seed=1))
    >>> example.question, example.output
    ('Who led at first?', 'the sheep')

The questions stand on a page to read: `questions.txt`. A question is asked only of a story that
has what it speaks of. It has an answer where the text entails one: every way in which the grammar
can have written this text gives the same. Otherwise the answer is `nobody knows`, and then no way
of writing the text gives any: it was not told, or it is asked about somebody who is not in the
story, or the story stops before it tells.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from storyland.grammar import Call, Choices, Env, Option, in_words
from storyland.sampler import Story
from storyland.tasks import frame
from storyland.tasks.frame import PageError, World, in_letters
from storyland.words import split

NOBODY = "nobody knows"
KINDS = ("who", "where", "what", "how many")
WEIGHT = 10  # of a question that the page gives none
PATIENCE = 1000  # stories in a row that no question fits

# What may stand before an answer, or not: "in the box", "the box" and "box" are one answer.
LEADING = frozenset("a an the in on at by to from round".split())


@dataclass(frozen=True)
class Example(frame.Example):
    """A story, or the beginning of one, and a question about it: `input` is both, a line each."""

    question: str
    kind: str  # who, where, what, how many
    name: str  # of the question on the page: two wordings of one question share it

    @property
    def answerable(self) -> bool:
        """Whether the story entails an answer."""
        return self.output != NOBODY


@dataclass(frozen=True)
class _Condition:
    fact: int
    value: str | None  # None: nothing is known
    wanted: bool

    def __call__(self, env: Env) -> bool:
        known = None if env[self.fact] is None else in_words(env[self.fact])
        return (known == self.value) is self.wanted


@dataclass(frozen=True)
class Question:
    """A question of the page: what the story must have, how it is put, and its answer."""

    name: str
    kind: str
    points: tuple[str, ...]  # where in a story it may be asked: after these rules, or at its `end`
    wordings: Call
    answers: Call
    needs: tuple[int, ...]  # the facts that every wording speaks of
    unanswerable: tuple[tuple[int, tuple[_Condition, ...]], ...]  # weight; nobody knows if all hold


@dataclass(frozen=True)
class Asked:
    """A question that fits a story, how often it is asked of such stories, and its answer."""

    question: Question
    weight: int
    wordings: Choices
    answer: Option | None  # None: nobody knows


class Questions:
    """Questions about the stories of a grammar."""

    def __init__(self, stories: str, page: str):
        """From the pages of the grammar and of the questions. PageError where one has no meaning"""
        blocks, rest = _blocks(page)
        rules = []
        for number, block in enumerate(blocks):
            rules += [f"rule ask_{number}", *(f"  {line}" for line in block.wordings)]
            if block.answers:
                rules += [f"rule answer_{number}", *(f"  {line}" for line in block.answers)]
        self.world = World(stories, "\n".join([*rest, *rules]))
        grammar = self.world.grammar
        for block in blocks:
            for point in set(block.points) - {"end"} - set(grammar.rules):
                raise PageError(f"question {block.name}: no rule is called {point}")
        self.questions = []
        for number, block in enumerate(blocks):
            wordings = grammar.rules[f"ask_{number}"]
            answers = grammar.rules[f"answer_{number}"] if block.answers else Call("", [])
            needs = set.intersection(*(set(self.world.needs(o)) for o in wordings.options))
            unanswerable = [(weight, self._conditions(line)) for weight, line in block.nobody]
            self.questions.append(Question(block.name, block.kind, block.points, wordings, answers,
                                           tuple(needs), tuple(unanswerable)))
        self.points = frozenset(p for q in self.questions for p in q.points) - {"end"}

    def _conditions(self, line: str) -> tuple[_Condition, ...]:
        found = []
        for part in filter(None, (part.strip() for part in line.split(","))):
            match = re.fullmatch(r"(no )?(\w+)|(\w+)(!?)=(.+)", part)
            if not match:
                raise PageError(f"nobody knows if {line}: cannot read {part!r}")
            no, fact, other, unequal, value = match.groups()
            found.append(_Condition(self.world.fact(fact or other), value,
                                    bool(no) if fact else not unequal))
        return tuple(found)

    def answer(self, question: Question, env: Env) -> tuple[int, Option | None]:
        """What a question is answered with where these facts hold, and the weight of asking it.

        None if nobody knows. The weight is 0 where the question does not fit, and PageError is
        raised if the page gives two answers.
        """
        possible = self.world.possible(question.answers, env).pairs
        if len(possible) > 1:
            raise PageError(f"question {question.name}: two answers are possible, "
                            + " and ".join(repr(option.text) for _, option in possible))
        if possible:
            return possible[0]
        for weight, case in question.unanswerable:
            if all(holds(env) for holds in case):
                return weight, None
        return 0, None

    def fitting(self, env: Env, point: str) -> Iterator[Asked]:
        """The questions that fit a story that was read up to a point."""
        for question in self.questions:
            if point in question.points and all(env[fact] is not None for fact in question.needs):
                wordings = self.world.possible(question.wordings, env)
                if wordings.pairs:
                    weight, answer = self.answer(question, env)
                    if weight:
                        yield Asked(question, weight, wordings, answer)

    def examples(self, seed: int) -> Iterator[Example]:
        """An endless stream, one question a story. ValueError if the seed is no whole number."""
        # The task's own choices have their own numbers, and leave those of the stories alone.
        choice = Random(f"questions {frame.checked(seed)}")
        return self._examples(Random(seed), choice)

    def _examples(self, rng: Random, choice: Random) -> Iterator[Example]:
        in_vain = 0
        while in_vain < PATIENCE:
            written = self.world.written(rng, self.points)
            ends = {**written.ends, "end": (len(written.words), written.env)}
            fitting = [
                (asked.weight, (point, asked))
                for point, (_, env) in ends.items()
                for asked in self.fitting(env, point)
            ]
            in_vain = 0 if fitting else in_vain + 1
            if fitting:
                point, asked = _draw(Choices(fitting), choice)
                story = self.world.story(written, None if point == "end" else ends[point])
                yield self._example(asked, story, ends[point][1], choice)
        raise PageError(f"no question of the page fits any of {PATIENCE} stories in a row")

    def _example(self, asked: Asked, story: Story, env: Env, choice: Random) -> Example:
        question = frame.text(_draw(asked.wordings, choice), env, choice)
        output = NOBODY if asked.answer is None else frame.text(asked.answer, env, choice)
        return Example(story, f"{story.text.rstrip()}\n{question}", output,
                       question, asked.question.kind, asked.question.name)


def _draw(choices: Choices, choice: Random):
    """One of weighted outcomes."""
    return choices.pairs[bisect(choices.totals, int(choice.random() * choices.totals[-1]))][1]


@dataclass
class _Block:
    """A question as the page writes it."""

    kind: str
    name: str
    points: tuple[str, ...]
    wordings: list[str]
    answers: list[str]
    nobody: list[tuple[int, str]]


def _blocks(page: str) -> tuple[list[_Block], list[str]]:
    """The questions of a page, and its other lines."""
    blocks: list[_Block] = []
    rest: list[str] = []
    lines: list[str] = []
    for raw in re.sub(r"#.*", "", page).splitlines():
        if raw.startswith("   ") and lines:  # goes on with the line above
            lines[-1] += f" {raw.strip()}"
        elif raw.strip():
            lines.append(raw.rstrip())
    open_block = False
    for line in lines:
        text = line.strip()
        if line.startswith("question "):
            match = re.fullmatch(rf"question ({'|'.join(KINDS)}): (\w+)", text)
            if not match:
                raise PageError(f"{text}: say `question kind: name`, the kind one of "
                                + ", ".join(KINDS))
            blocks.append(_Block(match[1], match[2], ("end",), [], [], []))
            open_block = True
        elif not line.startswith(" "):
            open_block = False
            rest.append(line)
        elif not open_block:
            rest.append(line)
        elif text.startswith("at "):
            blocks[-1].points = tuple(point.strip() for point in text[3:].split(","))
        elif match := re.fullmatch(rf"(\d+ +)?(= |{NOBODY})(.*)", text):
            weight, what, said = match.groups(default=str(WEIGHT))
            if what == NOBODY:
                blocks[-1].nobody.append((int(weight), said.strip().removeprefix("if ")))
            else:
                blocks[-1].answers.append(f"{int(weight)} {said}")
        else:
            blocks[-1].wordings.append(text)
    for block in blocks:
        if not block.wordings:
            raise PageError(f"question {block.name} has no wording")
        if not (block.answers or block.nobody):
            raise PageError(f"question {block.name} has no answer, nor `{NOBODY}`")
    names = [block.name for block in blocks]
    for name in names:
        if names.count(name) > 1:
            raise PageError(f"question {name} is written twice")
    return blocks, rest


@cache
def of_storyland() -> Questions:
    """The questions about Storyland, read once."""
    page = Path(__file__).with_name("questions.txt")
    return Questions(frame.STORIES.read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of questions about the stories of this seed, one question a story.

    A quarter have the answer `nobody knows`. ValueError if the seed is no whole number from 0 on.
    """
    return of_storyland().examples(seed)


def score(example: frame.Example, output: str) -> float:
    """1 for the right answer, 0 for any other.

    Case, a final full stop, articles and the preposition before a place do not count, and a number
    may be in digits: "In the box." is "the box". TypeError if the output is no text.
    """
    return float(normal(frame.as_text(output)) == normal(example.output))


def normal(answer: str) -> tuple[str, ...]:
    """What counts of an answer: its words, in small letters, numbers spelled out."""
    words = split(re.sub(r"\d+", in_letters, answer.lower()))
    while words and words[-1] in {".", "!"}:
        words.pop()
    while len(words) > 1 and words[0] in LEADING:
        words.pop(0)
    return tuple(words)
