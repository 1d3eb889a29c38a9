"""How many has she now? Texts of `counting`, with tools: a counter, and a look-up for a text that
is not given.

    How many figs has Mia now?
    > look up Mia figs
    = Mia had five figs. She ate two. Tom gave her four more.
    > count five - two + four
    = seven
    seven

A line that begins with `>` is a call, one with `=` is what a program answers to it, and the last
line is the answer. Some questions are about a text that is in no library: nobody knows.

    >>> example = next(examples(seed=1, kinds=["given"]))
    >>> count(summed(example)) == example.output
    True
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from storyland.grammar import NUMBERS
from storyland.tasks import counting, frame
from storyland.tasks.counting import PEOPLE, STEPS, THINGS
from storyland.words import split

KINDS = {"given": 5, "absent": 4, "unknown": 1}  # of ten questions
NOBODY = "nobody knows"
NOTHING = "nothing found"
WAYS = ("at once", "one call", "a call a sentence")  # to answer once the text is there
SKIP = "skip"
SUM = re.compile(r"\w+( [+-] \w+)*")


@dataclass(frozen=True)
class Example(frame.Example):
    """A question, with its text or without; `counted` holds the text in every case."""

    kind: str  # of KINDS
    counted: counting.Example

    @property
    def key(self) -> tuple[str, str]:
        """Whose text it is, and of which things."""
        return self.story.facts["hero"], self.story.facts["things"]

    @property
    def text(self) -> str:
        return self.counted.input.partition("\n")[0]


def examples(
    seed: int, steps: Sequence[int] = STEPS, kinds: Sequence[str] = tuple(KINDS)
) -> Iterator[Example]:
    """An endless stream of the texts of `counting.examples(seed, steps)`, each as one of `kinds`,
    drawn with the weights of KINDS. Without its text a question names the person.

    ValueError for a seed or steps that `counting` refuses, and for a kind that is not in KINDS.
    """
    kinds = list(kinds)
    if not kinds or not set(kinds) <= set(KINDS):
        raise ValueError(f"a kind is one of {', '.join(KINDS)}, and not {kinds}")
    return _examples(counting.examples(seed, steps), Random(f"calls {seed}"), kinds)


def _examples(counted: Iterator[counting.Example], rng: Random, kinds: list[str]):
    bag = [kind for kind in kinds for _ in range(KINDS[kind])]
    for one in counted:
        kind = bag[int(rng.random() * len(bag))]
        facts = one.story.facts
        alone = f"How many {facts['things']} has {facts['hero']} now?"
        yield Example(
            one.story,
            one.input if kind == "given" else alone,
            NOBODY if kind == "unknown" else one.output,
            kind,
            one,
        )


def summed(example: Example) -> str:
    """What there was at first and each step: `five - two + four`."""
    changes = (f" {'+' if n > 0 else '-'} {NUMBERS[abs(n)]}" for n in example.counted.changes)
    return NUMBERS[example.counted.start] + "".join(changes)


def changes(example: Example) -> list[str]:
    """What to call after each sentence of the text: `+ five`, `- two`, or `skip`."""
    terms = [f"+ {NUMBERS[example.counted.start]}"]
    terms += [f"{'+' if n > 0 else '-'} {NUMBERS[abs(n)]}" for n in example.counted.changes]
    left, things = iter(terms), example.key[1]
    about = [
        not any(word in THINGS and word != things for word in split(sentence))
        for sentence in sentences(example.text)
    ]
    return [next(left) if mine else SKIP for mine in about]


def transcript(example: Example, way: str) -> list[str]:
    """What is right to say, and what is answered, in turn; what is said comes first and last.

    `way` is one of WAYS.
    """
    lines = []
    if example.kind != "given":
        hero, things = example.key
        found = NOTHING if example.kind == "unknown" else example.text
        lines = [f"> look up {hero} {things}", f"= {found}"]
    if example.kind == "unknown":
        return [*lines, NOBODY]
    if way == "one call":
        lines += [f"> count {summed(example)}", f"= {example.output}"]
    if way == "a call a sentence":
        reader = Reader(example.text)
        lines += ["> read", f"= {reader.read('')}"]
        for change in changes(example):
            sign, _, number = change.partition(" ")
            lines += [f"> {change}", f"= {reader.tools()[sign](number)}"]
    return [*lines, example.output]


def score(example: Example, output: str) -> float:
    """1 where the last number that is said is the right one, or where nobody knows and that is
    said; else 0. TypeError if it is no text."""
    unknown = frame.as_text(output).strip().lower().removesuffix(".") == NOBODY
    if example.kind == "unknown":
        return float(unknown)
    return counting.score(example, output)


# The tools. What is wrong with a call is a ValueError of one line, for the one who called.


def count(text: str) -> str:
    """`five - two + four` -> `seven`."""
    if not SUM.fullmatch(text) or not set(re.findall(r"\w+", text)) <= set(NUMBERS):
        raise ValueError("a sum is numbers in letters with + or - between: five - two + four")
    terms = re.findall(r"([+-]?) ?(\w+)", text)
    return in_words(sum((-1 if sign == "-" else 1) * NUMBERS.index(word) for sign, word in terms))


def in_words(total: int) -> str:
    if not 0 <= total < len(NUMBERS):
        raise ValueError(f"the result is not among {NUMBERS[0]} to {NUMBERS[-1]}")
    return NUMBERS[total]


def look_up(text: str, library: Mapping[tuple[str, str], str]) -> str:
    """`Mia figs` -> the text about Mia's figs, or that nothing was found."""
    words = tuple(text.split(" "))
    if len(words) != 2 or words[0] not in PEOPLE or words[1] not in THINGS:
        raise ValueError("give a person and a thing: Mia figs")
    return library.get(words, NOTHING)


class Reader:
    """A counter that keeps the place: it reads a text out sentence by sentence, takes what each
    one changes, and ends with the sum."""

    def __init__(self, text: str):
        self.sentences = sentences(text)
        self.place = self.total = 0

    def tools(self) -> dict[str, Callable[[str], str]]:
        return {
            "read": self.read,
            "+": lambda word: self.go_on(word, 1),
            "-": lambda word: self.go_on(word, -1),
            SKIP: lambda word: self.go_on(NUMBERS[0], 1),
        }

    def read(self, _: str) -> str:
        """From the beginning: the first sentence."""
        self.place, self.total = 1, 0
        return self.sentences[0]

    def go_on(self, word: str, sign: int) -> str:
        """Add a number, or take it away: the next sentence, or `the end, seven`."""
        if not 0 < self.place <= len(self.sentences):
            raise ValueError("read first")
        if word not in NUMBERS:
            raise ValueError("give a number in letters: + two")
        self.total += sign * NUMBERS.index(word)
        self.place += 1
        if self.place <= len(self.sentences):
            return self.sentences[self.place - 1]
        return f"the end, {in_words(self.total)}"


def sentences(text: str) -> list[str]:
    return [f"{one}." for one in text.removesuffix(".").split(". ")]
