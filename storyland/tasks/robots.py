"""A robot is to go somewhere, and perhaps to bring something: the program that makes it do so.

    >>> example = next(examples(seed=1))
    >>> example.input.partition(". ")[0]
    'Oscar’s robot waits in the north-west corner of the yard and looks east'
    >>> example.output
    'repeat 4 ( forward ) right repeat 3 ( forward )'
    >>> error(example, "repeat 4 ( forward )")
    'ends three squares north of the shed'
    >>> score(example, "right repeat 3 ( forward ) left repeat 4 ( forward )")
    1.0

The texts stand on a page to read, `robots.txt`; the language is that of `storyland.robot`. A
program is right if the robot ends on the square that the text says, with what it is to bring in its
hands and nothing else; how it gets there, and where it looks, does not count. `output` is one of
those of the fewest steps, drawn among all of them (`outputs`); what it brings is taken on arrival,
and three times forward or more are a `repeat`. These texts are no stories of `storyland.stories`:
they have a grammar of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from random import Random

from storyland.grammar import NUMBERS
from storyland.robot import HEADINGS, SIDE, Command, ProgramError, Robot, Square, Yard, run, step
from storyland.sampler import write
from storyland.tasks import frame
from storyland.tasks.frame import World

MIDDLE, LAST = SIDE // 2, SIDE - 1
CORNERS = {
    "south-west corner": (0, 0),
    "south-east corner": (LAST, 0),
    "north-west corner": (0, LAST),
    "north-east corner": (LAST, LAST),
    "middle": (MIDDLE, MIDDLE),
}
SHORT = 3  # so many times forward are written as a repeat


@dataclass(frozen=True)
class Example(frame.Example):
    """What a robot is to do, in words (`input`), and a program that does it (`output`)."""

    yard: Yard
    goal: Square
    goal_name: str  # as the text calls it
    wanted: str | None  # what the robot is to hold in the end

    @property
    def outputs(self) -> dict[str, float]:
        """The programs of the fewest steps, all equally likely; others may be right as well."""
        thing = next(iter(self.yard.things), None)
        programs = shortest(self.yard.start, self.yard.heading, thing, self.goal)
        return dict.fromkeys(programs, 1 / len(programs))


@cache
def of_storyland() -> World:
    """The grammar of the texts, read once."""
    page = Path(__file__).with_name("robots.txt").read_text(encoding="utf-8")
    return World(frame.STORIES.read_text(encoding="utf-8"), page)


def examples(seed: int) -> Iterator[Example]:
    """An endless stream of errands. ValueError if the seed is no whole number from 0 on."""
    return _examples(Random(f"robots {frame.checked(seed)}"))


def _examples(rng: Random) -> Iterator[Example]:
    world = of_storyland()
    while True:
        written = write([world.grammar.rules["robot"]], world.grammar.empty_env, rng)
        story = world.story(written)
        facts = story.facts
        start = CORNERS[facts["corner"]]
        near = _beside(start, facts["near_way"], facts["near_steps"])
        far = _beside(
            near if facts["from"] == "near" else start, facts["far_way"], facts["far_steps"]
        )
        if not (_inside(near) and _inside(far)) or len({start, near, far}) < 3:
            continue  # a text that no yard fits
        goal, name = {
            "far": (far, facts["far"]),
            "near": (near, facts["near"]),
            "bring": (far, facts["far"]),
            "back": (start, facts["corner"]),
        }[facts["errand"]]
        thing = facts.get("thing")
        yard = Yard(start, facts["heading"], {near: thing} if thing else {})
        programs = shortest(start, yard.heading, near if thing else None, goal)
        output = programs[int(rng.random() * len(programs))]
        yield Example(story, story.text.rstrip("\n"), output, yard, goal, name, thing)


def _beside(square: Square, way: str, count: str) -> Square:
    """The square so many squares away."""
    far = NUMBERS.index(count)
    return square[0] + far * HEADINGS[way][0], square[1] + far * HEADINGS[way][1]


def _inside(square: Square) -> bool:
    return all(0 <= place < SIDE for place in square)


@cache
def shortest(start: Square, heading: str, thing: Square | None, goal: Square) -> tuple[str, ...]:
    """Every program of the fewest steps that ends at the goal, by way of a thing that it takes.

    It is taken on arrival: to turn first would be as short. The stops are on different squares.
    """
    ways = {heading: [()]}  # how the robot may look where it begins, and how it came to that
    square, stops = start, [goal] if thing is None else [thing, goal]
    for stop in stops:
        longer: dict[str, list[tuple[str, ...]]] = {}
        for looks, some in ways.items():
            for (end, after), legs in legs_from(square, looks).items():
                # A turn on arrival belongs to what comes after the take.
                legs = [leg for leg in legs if end == stop and leg[-1] == "forward"]
                take = ("take",) if stop == thing else ()
                longer.setdefault(after, []).extend(
                    (*way, *leg, *take) for way in some for leg in legs
                )
        square, ways = stop, longer
    found = [way for some in ways.values() for way in some]
    fewest = min(map(len, found))
    return tuple(sorted(written(way) for way in found if len(way) == fewest))


@cache
def legs_from(square: Square, heading: str) -> dict[tuple[Square, str], list[tuple[str, ...]]]:
    """For each square and heading, every shortest way there: breadth first, a step at a time."""
    yard, first = Yard(square, heading), (square, heading)
    found, latest = {first: [()]}, [first]
    while latest:
        longer: dict[tuple[Square, str], list[tuple[str, ...]]] = {}
        for state in latest:
            for action in ("forward", "left", "right"):
                try:
                    robot = step(Command(action, 1), Robot(*state), yard)
                except ProgramError:  # the fence
                    continue
                after = robot.square, robot.heading
                if after not in found:
                    longer.setdefault(after, []).extend((*way, action) for way in found[state])
        found |= longer
        latest = list(longer)
    return found


def written(actions: tuple[str, ...]) -> str:
    """Actions as a program, with a `repeat` for SHORT or more times forward in a row."""
    words = []
    for action, group in groupby(actions):
        count = len(list(group))
        if action == "forward" and count >= SHORT:
            words.append(f"repeat {count} ( forward )")
        else:
            words += [action] * count
    return " ".join(words)


def error(example: Example, output: str) -> str | None:
    """What is wrong with a program, in one line; None if it is right.

    Either what the interpreter says, or where the robot ends and what it should hold: "ends two
    squares north of the barn". TypeError if the output is no text.
    """
    try:
        robot = run(frame.as_text(output), example.yard)
    except ProgramError as wrong:
        return str(wrong)
    away = []
    for place, (more, less) in (1, ("north", "south")), (0, ("east", "west")):
        count = robot.square[place] - example.goal[place]
        if count:
            squares = "square" if abs(count) == 1 else "squares"
            away.append(f"{NUMBERS[abs(count)]} {squares} {more if count > 0 else less}")
    said = []
    if away:
        said.append(f"ends {' and '.join(away)} of the {example.goal_name}")
    if robot.holds != example.wanted:
        said.append(
            f"does not take the {example.wanted}" if example.wanted else f"takes the {robot.holds}"
        )
    return ", ".join(said) or None


def score(example: Example, output: str) -> float:
    """1 if the program does what the text says, else 0. TypeError if the output is no text."""
    return float(error(example, output) is None)
