"""Pictures of 16 by 16 pixels and what can be said of them: an animal somewhere, and some balls.

    >>> example = next(examples(seed=1))
    >>> example.picture.shape
    (16, 16, 3)
    >>> score(example, example.output)
    1.0

The animal is in a box, on a table or under a tree. Each kind has a colour that is usual for it, and
has it in USUAL of a hundred scenes; so a reader who sees an owl knows something of its colour
before looking. Everything else is drawn evenly. A scene has three right captions, each with its
probability: `example.outputs` is the whole distribution, and `example.output` is drawn from it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from random import Random

import numpy as np

from storyland.grammar import NUMBERS
from storyland.tasks import frame

SIZE = 16  # pixels, each way
GLYPH, BALL, FIXTURE = 4, 2, 8  # pixels, each way: an animal, a ball, a fixture with its animal
COUNTS = range(1, 6)  # balls
USUAL = 60  # of a hundred
ANIMALS = {
    "fox": "X..X XXXX .XX. .XX.",
    "owl": "X..X XXXX XXXX .XX.",
    "cat": "X..X XXXX .XX. X..X",
    "duck": "XX.. XX.. XXXX .XX.",
    "frog": "X..X XXXX XXXX X..X",
    "mouse": "X... XX.. XXX. XXXX",
}
COLOURS = {  # red, green and blue, from 0 to 1
    "orange": (0.95, 0.55, 0.10),
    "brown": (0.50, 0.30, 0.15),
    "red": (0.85, 0.15, 0.15),
    "yellow": (0.95, 0.85, 0.20),
    "green": (0.20, 0.60, 0.25),
    "blue": (0.20, 0.35, 0.80),
}
USUALLY = dict(zip(ANIMALS, COLOURS, strict=True))
PAPER, WOOD, LEAVES = (0.93, 0.93, 0.90), (0.35, 0.35, 0.40), (0.60, 0.75, 0.60)
# Fixtures, w for wood and l for leaves; the rows and the columns where the animal may begin.
PLACES = {
    "in the box": (
        "........ ........ ........ w......w w......w w......w w......w wwwwwwww",
        3, range(1, 4),
    ),
    "on the table": (
        "........ ........ ........ ........ wwwwwwww w......w w......w w......w",
        0, range(5),
    ),
    "under the tree": (
        ".llllll. llllllll llllllll w....... w....... w....... w....... w.......",
        4, range(2, 5),
    ),
}  # fmt: skip
# What can be said, with its weight of ten.
FORMS = {
    "A {colour} {animal} is {place}, and there are {count} {balls} balls.": 5,
    "There are {count} {balls} balls, and {place} is a {colour} {animal}.": 3,
    "{Place} sits a {colour} {animal}. Near it lie {count} {balls} balls.": 2,
}
FACTS = ("animal", "colour", "place", "count", "balls")


@dataclass(frozen=True)
class Scene:
    """What there is, and where in the picture: places are (row, column) of top left corners."""

    animal: str
    colour: str
    place: str
    fixture: tuple[int, int]
    column: int  # of the animal, in the fixture
    balls: str  # their colour
    where: tuple[tuple[int, int], ...]  # each ball

    @property
    def facts(self) -> dict[str, str]:
        """What a caption says, in words."""
        said = (self.animal, self.colour, self.place, NUMBERS[len(self.where)], self.balls)
        return dict(zip(FACTS, said, strict=True))

    @property
    def at(self) -> tuple[int, int]:
        """The animal's corner in the picture."""
        return self.fixture[0] + PLACES[self.place][1], self.fixture[1] + self.column

    @property
    def pixels(self) -> np.ndarray:
        """The picture without noise: (16, 16, 3), from 0 to 1."""
        picture = np.full((SIZE, SIZE, 3), PAPER)
        for key, colour in (("w", WOOD), ("l", LEAVES)):
            _paint(picture, self.fixture, _mask(PLACES[self.place][0], key), colour)
        _paint(picture, self.at, _mask(ANIMALS[self.animal], "X"), COLOURS[self.colour])
        for at in self.where:
            _paint(picture, at, np.ones((BALL, BALL), dtype=bool), COLOURS[self.balls])
        return picture

    def moved(self, rows: int, columns: int) -> "Scene | None":
        """The same with the fixture and its animal elsewhere; None where they do not fit there."""
        fixture = self.fixture[0] + rows, self.fixture[1] + columns
        room = all(0 <= corner <= SIZE - FIXTURE for corner in fixture)
        if not room or not all(_free(at, fixture) for at in self.where):
            return None
        return replace(self, fixture=fixture)


    def rearranged(
        self, rng: Random, may: Callable[[list, tuple[int, int]], bool] | None = None
    ) -> "Scene":
        """The same with its balls elsewhere: outside the fixture, no two at the same place. They
        may touch and cover one another, unless `may(balls, at)` says which lies at a place beside
        those there are."""
        where: list[tuple[int, int]] = []
        tries = 0
        while len(where) < len(self.where):
            at = _one_of(rng, range(SIZE - BALL + 1)), _one_of(rng, range(SIZE - BALL + 1))
            if at not in where and _free(at, self.fixture) and (may is None or may(where, at)):
                where.append(at)
            tries += 1
            if tries > 2000:  # the first lie so that there is no room for another
                where, tries = [], 0
        return replace(self, where=tuple(where))


@dataclass(frozen=True, eq=False)
class Example:
    """A scene, its picture, and a right caption of it."""

    scene: Scene
    picture: np.ndarray  # (16, 16, 3); noise may take it below 0 and above 1
    output: str

    @property
    def outputs(self) -> dict[str, float]:
        """The exact distribution of right captions; sums to 1."""
        return captions(self.scene.facts)


def captions(facts: dict[str, str]) -> dict[str, float]:
    """Every right caption where these facts hold, with its probability."""
    total = sum(FORMS.values())
    return {_spoken(form, facts): weight / total for form, weight in FORMS.items()}


def _spoken(form: str, facts: dict[str, str]) -> str:
    text = form.format(**facts, Place=facts["place"].capitalize())
    text = re.sub(r"\b([Aa]) (?=o)", r"\1n ", text)
    if " one " in text:
        text = re.sub(r"\bare one (\w+) balls", r"is one \1 ball", text)
        text = re.sub(r"\blie one (\w+) balls", r"lies one \1 ball", text)
    return text


@cache
def _read() -> dict[str, dict[str, str]]:
    numbers = [NUMBERS[count] for count in COUNTS]
    found = {}
    for values in product(ANIMALS, COLOURS, PLACES, numbers, COLOURS):
        facts = dict(zip(FACTS, values, strict=True))
        found |= dict.fromkeys(captions(facts), facts)
    return found


def facts(caption: str) -> dict[str, str] | None:
    """What a caption claims; None where it is none."""
    return _read().get(caption)


def score(example: Example, output: str) -> float:
    """The share of the five facts that a caption has right, in whichever form; 0 for what is no
    caption. TypeError if the output is no text."""
    said = facts(frame.as_text(output))
    if said is None:
        return 0.0
    return sum(said[fact] == value for fact, value in example.scene.facts.items()) / len(FACTS)


def examples(seed: int, noise: float = 0.0) -> Iterator[Example]:
    """An endless stream; to each number of a picture `noise` times a normal number is added.

    ValueError if the seed is no whole number from 0 on.
    """
    rng = Random(f"scenes {frame.checked(seed)}")
    return _examples(rng, np.random.default_rng(seed), noise)


def _examples(rng: Random, numbers: np.random.Generator, noise: float) -> Iterator[Example]:
    while True:
        scene = draw(rng)
        form = _one_of(rng, [form for form, weight in FORMS.items() for _ in range(weight)])
        output = _spoken(form, scene.facts)
        seen = scene.pixels + noise * numbers.standard_normal((SIZE, SIZE, 3))
        yield Example(scene, seen, output)


def draw(rng: Random) -> Scene:
    """A scene. The animal is of any kind, in its usual colour or in another."""
    animal = _one_of(rng, list(ANIMALS))
    usual = USUALLY[animal]
    colour = usual
    if rng.random() * 100 >= USUAL:
        colour = _one_of(rng, [one for one in COLOURS if one != usual])
    place = _one_of(rng, list(PLACES))
    fixture = _one_of(rng, range(SIZE - FIXTURE + 1)), _one_of(rng, range(SIZE - FIXTURE + 1))
    column, balls = _one_of(rng, PLACES[place][2]), _one_of(rng, list(COLOURS))
    scene = Scene(animal, colour, place, fixture, column, balls, ((0, 0),) * _one_of(rng, COUNTS))
    return scene.rearranged(rng)


def _one_of(rng: Random, among: Sequence):
    """One of them; by `random` alone, whose values Python promises never to change."""
    return among[int(rng.random() * len(among))]


def apart(where: list[tuple[int, int]], at: tuple[int, int]) -> bool:
    """Whether a ball at this place touches none of the others, not even at a corner."""
    return all(_gap(at, other) > BALL for other in where)


def covering(where: list[tuple[int, int]], at: tuple[int, int]) -> bool:
    """Whether it covers a pixel of another, where there is another."""
    return not where or any(_gap(at, other) < BALL for other in where)


def touching(where: list[tuple[int, int]], at: tuple[int, int]) -> bool:
    """Whether it lies side by side with another, where there is another, and covers none."""
    beside = any(
        sorted((abs(at[0] - row), abs(at[1] - column))) in ([0, BALL], [1, BALL])
        for row, column in where
    )
    return not where or (beside and all(_gap(at, other) >= BALL for other in where))


def counts(scene: Scene) -> set[int]:
    """How many balls there may be by the pixels that they fill: what the picture itself says."""
    filled = {(row + i, column + j) for row, column in scene.where for i, j in _SQUARE}
    fits = [at for at in filled if all((at[0] + i, at[1] + j) in filled for i, j in _SQUARE)]
    return {count for count in COUNTS if _fill(filled, fits, count)}


_SQUARE = tuple(product(range(BALL), repeat=2))


def _fill(filled: set, fits: list, count: int) -> bool:
    """Whether so many of the places that fit can fill all of it."""
    if not filled:
        return count <= len(fits)
    if count == 0:
        return False
    pixel = min(filled)
    return any(
        _fill(filled - {(at[0] + i, at[1] + j) for i, j in _SQUARE},
              [other for other in fits if other != at], count - 1)
        for at in fits
        if 0 <= pixel[0] - at[0] < BALL and 0 <= pixel[1] - at[1] < BALL
    )  # fmt: skip


def _gap(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _free(ball: tuple[int, int], fixture: tuple[int, int]) -> bool:
    return any(
        at + BALL <= corner or at >= corner + FIXTURE
        for at, corner in zip(ball, fixture, strict=True)
    )


@cache
def _mask(rows: str, key: str) -> np.ndarray:
    return np.array([[pixel == key for pixel in row] for row in rows.split()])


def _paint(picture: np.ndarray, at: tuple[int, int], mask: np.ndarray, colour: tuple) -> None:
    row, column = at
    picture[row : row + len(mask), column : column + mask.shape[1]][mask] = colour
