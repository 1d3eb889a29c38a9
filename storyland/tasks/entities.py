"""The role of each word: a person, a place, an animal or a thing, or none.

    >>> example = next(examples(seed=1))
    >>> [(" ".join(example.words[a:b]), role) for a, b, role in sorted(example.spans)[:3]]
    [('Crowhill', 'place'), ('Ben', 'person'), ('small house', 'place')]
    >>> score(example, example.output)
    1.0

An entity is a person, place, animal or thing that the writer of the story chose from a list of the
grammar: Mia, her grandmother, an old mill, a drum. What every telling of a sentence has (the dog
that barks once, the wall on which a friend sits) is scenery and has no role, so a word can be an
entity in one sentence and scenery in another. Articles, sizes and colours belong to no entity.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import groupby
from random import Random

import storyland
from storyland.grammar import TALK, Draw
from storyland.sampler import sample
from storyland.tasks import frame

NONE = "-"  # how an output writes that a word has no role

# The forms of a list's items that name something else: a baker's bakery is a place.
COLUMNS = {"name.child": "person", "job.place": "place", "job.tool": "thing"}


@dataclass(frozen=True)
class Example(frame.Example):
    """A story (`input`) and the role of each of its words (`output`), spaces between."""

    @property
    def words(self) -> list[str]:
        """What `storyland.split(input)` gives, the newline at the end included."""
        return self.story.words

    @property
    def roles(self) -> list[str]:
        """One for each word, "" for none."""
        return self.story.roles

    @property
    def spans(self) -> set[tuple[int, int, str]]:
        """The entities: (first word, one past the last, role)."""
        return spans(self.roles)


@dataclass(eq=False)
class _Naming(Draw):
    """A draw that prints a form which names something of another role."""

    naming: str = ""

    @property
    def role(self) -> str:
        return self.naming


class Entities:
    """The entities in the stories of a grammar."""

    def __init__(self, stories: str, columns: Mapping[str, str]):
        """From the grammar's page, and the roles of forms, `list.column`. ValueError if a form
        does not exist."""
        self.grammar = storyland.read(stories)  # anew: its parts are exchanged below
        for column in columns:
            name, _, form = column.partition(".")
            if name not in self.grammar.lists or form not in self.grammar.lists[name].columns:
                raise ValueError(f"no list of the stories has the form {column!r}")
        for call in self.grammar.rules.values():
            for option in call.options:
                option.parts = tuple(self._part(part, columns) for part in option.parts)
        roles = {source.role for source in self.grammar.lists.values()} | {*columns.values()}
        self.roles = tuple(sorted(roles - {"", TALK}))

    def _part(self, part, columns: Mapping[str, str]):
        if isinstance(part, Draw) and part.shown:
            role = columns.get(f"{part.source.name}.{part.shown[0]}")
            if role:
                same = {f.name: getattr(part, f.name) for f in fields(Draw)}
                return _Naming(**same, naming=role)
        return part

    def examples(self, seed: int) -> Iterator[Example]:
        """An endless stream, one story an example. ValueError if the seed is no whole number."""
        return self._examples(Random(frame.checked(seed)))

    def _examples(self, rng: Random) -> Iterator[Example]:
        while True:
            story = sample(self.grammar, rng)
            yield Example(story, story.text, " ".join(role or NONE for role in story.roles))


@cache
def of_storyland() -> Entities:
    """The entities of Storyland."""
    return Entities(frame.STORIES.read_text(encoding="utf-8"), COLUMNS)


def roles() -> tuple[str, ...]:
    """The roles that there are, in the order of the alphabet; no role is "" in lists of roles."""
    return of_storyland().roles


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of the stories of this seed, with the roles of their words.

    ValueError if the seed is no whole number from 0 on.
    """
    return of_storyland().examples(seed)


def spans(roles: Sequence[str]) -> set[tuple[int, int, str]]:
    """Words side by side that have one role, as (first word, one past the last, role)."""
    found, start = set(), 0
    for role, group in groupby(roles):
        end = start + len(list(group))
        if role not in {"", NONE}:
            found.add((start, end, role))
        start = end
    return found


def score(example: Example, output: str | Sequence[str]) -> float:
    """F1 over the entities of one story: an entity is right if its words and its role are.

    `output` is a role for each word (`-` or "" for none), as a list or as text with spaces between.
    1 where there are none to find and none were found. ValueError if there is not one for each
    word. A mean of these is not `f1` of all.
    """
    return f1([example], [output])


def f1(examples: Iterable[Example], outputs: Iterable[str | Sequence[str]]) -> float:
    """F1 over the entities of all these stories: twice the right ones over those true and said.

    ValueError if there is not one output for each story, and one role for each word.
    """
    examples, outputs = list(examples), list(outputs)
    if len(examples) != len(outputs):
        raise ValueError(f"there are {len(examples)} stories and {len(outputs)} outputs")
    right = either = 0
    for example, output in zip(examples, outputs, strict=True):
        said = output.split() if isinstance(output, str) else list(output)
        if len(said) != len(example.words):
            raise ValueError(f"the story has {len(example.words)} words, the output "
                             f"{len(said)} roles")
        said_spans, true_spans = spans(said), example.spans
        right += len(said_spans & true_spans)
        either += len(said_spans) + len(true_spans)
    return 2 * right / either if either else 1.0
