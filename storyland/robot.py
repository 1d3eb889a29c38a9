"""A robot in a yard, and the language of five commands that it obeys.

    forward   one square on            take              what lies on this square
    left      a quarter turn           repeat 3 ( ... )  what is between, three times
    right     a quarter turn

    >>> yard = Yard(start=(0, 0), heading="north", things={(0, 3): "drum"})
    >>> run("repeat 3 ( forward ) take right", yard)
    Robot(square=(0, 3), heading='east', holds='drum', steps=5)

A program is a stranger's text: nothing of it is ever run by Python. It is read into a tree, and the
tree is walked. Its length, the depth of its brackets and its steps are bounded. What is wrong with
it is a ProgramError of one line, which names the word: `word 2, forward: the fence is in the way`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

SIDE = 7  # squares that a yard is wide, and long
HEADINGS = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}  # clockwise
ACTIONS = ("forward", "left", "right", "take")
COMMANDS = (*ACTIONS, "repeat")
MOST_WORDS, MOST_STEPS, DEEPEST = 100, 100, 5
TIMES = range(2, 10)  # how often something may be repeated

Square = tuple[int, int]  # from the west and from the south, each 0 to SIDE - 1


class ProgramError(ValueError):
    """What is wrong with a program, in one line."""


@dataclass(frozen=True)
class Yard:
    """A fence around SIDE times SIDE squares: where the robot begins, and what lies where."""

    start: Square
    heading: str
    things: Mapping[Square, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Robot:
    """Where the robot is, where it looks, what it holds, and how many steps it has made."""

    square: Square
    heading: str
    holds: str | None = None
    steps: int = 0


@dataclass(frozen=True)
class Command:
    """One command of a program; `body` is what a `repeat` repeats."""

    name: str
    place: int  # its number among the words of the program, from 1
    times: int = 1
    body: tuple["Command", ...] = ()


def run(program: str, yard: Yard) -> Robot:
    """The robot after a program. ProgramError where it cannot be read, or cannot be carried out."""
    robot = Robot(yard.start, yard.heading)
    for command in steps(parse(program)):
        if robot.steps == MOST_STEPS:
            raise _error(command.place, command.name, f"more than {MOST_STEPS} steps")
        robot = step(command, robot, yard)
    return robot


def step(command: Command, robot: Robot, yard: Yard) -> Robot:
    """The robot after one action. ProgramError where it cannot be done."""
    headings = list(HEADINGS)
    if command.name in ("left", "right"):
        turned = headings.index(robot.heading) + (1 if command.name == "right" else -1)
        return replace(robot, heading=headings[turned % 4], steps=robot.steps + 1)
    if command.name == "take":
        if robot.holds:
            raise _error(command.place, "take", f"the robot holds the {robot.holds} already")
        if robot.square not in yard.things:
            raise _error(command.place, "take", "nothing lies here")
        return replace(robot, holds=yard.things[robot.square], steps=robot.steps + 1)
    (x, y), (dx, dy) = robot.square, HEADINGS[robot.heading]
    square = x + dx, y + dy
    if not all(0 <= place < SIDE for place in square):
        raise _error(command.place, "forward", "the fence is in the way")
    return replace(robot, square=square, steps=robot.steps + 1)


def steps(commands: tuple[Command, ...]) -> Iterator[Command]:
    """The actions of a program, one after the other, as the robot comes to them."""
    for command in commands:
        if command.name == "repeat":
            for _ in range(command.times):
                yield from steps(command.body)
        else:
            yield command


def parse(program: str) -> tuple[Command, ...]:
    """The commands of a program. ProgramError where it is none."""
    words = re.findall(r"\w+|[^\w\s]", program)
    if len(words) > MOST_WORDS:
        raise ProgramError(f"the program has {len(words)} words, and {MOST_WORDS} are the most")
    commands, after = _block(words, 0, 0)
    if after < len(words):
        raise _error(after + 1, ")", "it closes nothing")
    return commands


def _block(words: list[str], at: int, depth: int) -> tuple[tuple[Command, ...], int]:
    """The commands from a word on, up to a bracket that closes or the end; and where that is."""
    commands = []
    while at < len(words) and words[at] != ")":
        name, place = words[at], at + 1
        at += 1
        if name not in COMMANDS:
            raise _error(place, name, "no such command")
        if name != "repeat":
            commands.append(Command(name, place))
            continue
        times = words[at] if at < len(words) else ""
        if times not in map(str, TIMES):
            raise _error(place, name, f"say how often, {TIMES[0]} to {TIMES[-1]}")
        if words[at + 1 : at + 2] != ["("]:
            raise _error(place, name, "a bracket ( is missing")
        if depth == DEEPEST:
            raise _error(place, name, f"more than {DEEPEST} within one another")
        body, end = _block(words, at + 2, depth + 1)
        if end == len(words):
            raise _error(at + 2, "(", "it is never closed")
        if not body:
            raise _error(place, name, "there is nothing to repeat")
        commands.append(Command(name, place, int(times), body))
        at = end + 1
    return tuple(commands), at


def _error(place: int, name: str, why: str) -> ProgramError:
    return ProgramError(f"word {place}, {name[:20]}: {why}")
