"""How many has he now? Short texts in which somebody gets and gives away, one step a sentence.

    >>> example = next(examples(seed=1))
    >>> scratchpad(example).split(", ")[-1] == example.output
    True

These texts are no stories of the grammar: here each step changes the same number, and how many
there are is chosen. A text may hold sentences that distract, of what another person has; they have
numbers, too, and change nothing. A count is never below one nor above twelve.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from storyland.grammar import NUMBERS
from storyland.sampler import Story
from storyland.tasks import frame
from storyland.tasks.frame import in_letters
from storyland.words import split

STEPS = range(1, 9)
FEWEST, MOST = 1, 12  # of a count
LARGEST = 4  # change in one step
OWNED = range(2, 10)  # at first, and by others
DISTRACTING = range(3)  # so many sentences
PRONOUNS = {"he": ("he", "him"), "she": ("she", "her")}
PEOPLE = {
    "Ben": "he", "Tom": "he", "Jack": "he", "Paul": "he",
    "Mia": "she", "Anna": "she", "Ruby": "she", "Rosa": "she",
}  # fmt: skip
THINGS = ("apples", "pears", "plums", "nuts", "figs", "buns")
STARTS = ("{Hero} had {n} {things}.", "{Hero} had a bag with {n} {things}.")
MORE = (
    "{He} found {n} more.",
    "{He} bought {n} more.",
    "{Other} gave {him} {n} more.",
)
FEWER = ("{He} ate {n}.", "{He} lost {n}.", "{He} gave {n} to {Other}.")
ASIDE = ("{Other} had {n} {others}.", "{Other} found {n} {others}.", "{Other} bought {n} {others}.")
ASKED = (
    "How many {things} has {he} now?",
    "How many {things} has {Hero} now?",
    "How many {things} does {he} have left?",
)


@dataclass(frozen=True)
class Example(frame.Example):
    """A text and a question, a line each; what was there at first and what each step changed."""

    start: int
    changes: tuple[int, ...]  # what a step adds; below 0 where it takes away

    @property
    def counts(self) -> tuple[int, ...]:
        """How many there were at first and after each step."""
        found = [self.start]
        for change in self.changes:
            found.append(found[-1] + change)
        return tuple(found)


def examples(seed: int, steps: Sequence[int] = STEPS) -> Iterator[Example]:
    """An endless stream, the number of steps drawn evenly from `steps`.

    ValueError if the seed is no whole number from 0 on, or a number of steps is not among 1 to 8.
    """
    rng, steps = Random(f"counting {frame.checked(seed)}"), list(steps)
    if not steps or not set(steps) <= set(STEPS):
        raise ValueError(f"an example has {STEPS[0]} to {STEPS[-1]} steps, and not {steps}")
    return _examples(rng, steps)


def _examples(rng: Random, steps: list[int]) -> Iterator[Example]:
    while True:
        yield _example(rng, _one_of(rng, steps))


def _one_of(rng: Random, among: Sequence):
    """One of them; by `random` alone, whose values Python promises never to change."""
    return among[int(rng.random() * len(among))]


def _example(rng: Random, steps: int) -> Example:
    hero = _one_of(rng, list(PEOPLE))
    # So that "he" and "she" can only be the one who is asked about.
    others = [name for name in PEOPLE if PEOPLE[name] != PEOPLE[hero]]
    things = _one_of(rng, THINGS)
    other_things = _one_of(rng, [thing for thing in THINGS if thing != things])
    he, him = PRONOUNS[PEOPLE[hero]]
    said = {"Hero": hero, "he": he, "He": he.capitalize(), "him": him, "things": things}
    said["others"] = other_things

    def sentence(wordings: Sequence[str], number: int = 0) -> str:
        return _one_of(rng, wordings).format(**said, Other=_one_of(rng, others), n=NUMBERS[number])

    start = count = _one_of(rng, OWNED)
    sentences, changes = [sentence(STARTS, start)], []
    for _ in range(steps):
        change = _change(rng, count)
        sentences.append(sentence(MORE if change > 0 else FEWER, abs(change)))
        changes.append(change)
        count += change
    for _ in range(_one_of(rng, DISTRACTING)):
        place = _one_of(rng, range(1, len(sentences) + 1))
        sentences.insert(place, sentence(ASIDE, _one_of(rng, OWNED)))
    text = " ".join(sentences)
    roles = ["person" if w in PEOPLE else "thing" if w in THINGS else "" for w in split(text)]
    facts = {"hero": hero, "things": things, "start": start, "changes": tuple(changes)}
    return Example(
        Story(split(text), roles, facts),
        f"{text}\n{sentence(ASKED)}",
        NUMBERS[count],
        start,
        tuple(changes),
    )


def _change(rng: Random, count: int) -> int:
    """What a step adds: more or fewer with the same chance, where both can be."""
    ways = []
    if count > FEWEST:
        ways.append([-n for n in range(1, min(LARGEST, count - FEWEST) + 1)])
    if count < MOST:
        ways.append(range(1, min(LARGEST, MOST - count) + 1))
    return _one_of(rng, _one_of(rng, ways))


def scratchpad(example: Example) -> str:
    """The counts in words, first to last: `four, two, five`. The last is the answer."""
    return ", ".join(NUMBERS[count] for count in example.counts)


def score(example: frame.Example, output: str) -> float:
    """1 where the last number that is said is the right one, else 0; in letters or in digits.

    So a bare answer, a scratchpad and a sentence are marked alike. TypeError if it is no text.
    """
    said = re.sub(r"\d+", in_letters, frame.as_text(output).lower())
    numbers = [word for word in split(said) if word in NUMBERS]
    return float(bool(numbers) and numbers[-1] == example.output)
