"""Errands for a robot: the right program is right and as short as can be, and errors say where."""

import doctest
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from storyland.robot import ACTIONS, SIDE, ProgramError, Yard, parse, run, steps
from storyland.tasks import robots
from storyland.tasks.robots import error, examples, score, shortest

ROOT = Path(__file__).resolve().parent.parent
NUMBER = {"two": 2, "three": 3, "four": 4}
WAYS = {"north": 1j, "east": 1, "south": -1j, "west": -1}


def first(seed, count):
    return list(itertools.islice(examples(seed), count))


@pytest.fixture(scope="module")
def some():
    return first(5, 300)


def end(program, yard):
    try:
        robot = run(program, yard)
    except ProgramError:
        return None
    return robot.square, robot.holds


def cases():
    """Small worlds, in which all can be tried: start, heading, a thing or none, goal."""
    near = [(0, 0), (0, 1), (1, 1), (2, 0)]
    for start, goal in itertools.permutations(near, 2):
        for heading in ("north", "west"):
            yield start, heading, None, goal
    for start, thing, goal in itertools.permutations(near[:3], 3):
        yield start, "east", thing, goal


@pytest.mark.parametrize(("start", "heading", "thing", "goal"), list(cases()))
def test_the_shortest_programs_are_those_that_trying_all_of_them_finds(start, heading, thing, goal):
    yard = Yard(start, heading, {thing: "hat"} if thing else {})
    wanted = goal, "hat" if thing else None
    actions = ("forward", "left", "right", *(["take"] if thing else []))
    for length in itertools.count():
        every = map(" ".join, itertools.product(actions, repeat=length))
        found = {program for program in every if end(program, yard) == wanted}
        if found:
            break
    unrolled = {
        " ".join(step.name for step in steps(parse(program)))
        for program in shortest(start, heading, thing, goal)
    }
    assert unrolled == {
        program for program in found if " take" not in program or "forward take" in program
    }


def test_the_right_program_is_right_and_so_are_all_outputs(some):
    for example in some:
        assert example.output in example.outputs
        assert sum(example.outputs.values()) == pytest.approx(1)
        assert all(score(example, program) == 1 for program in example.outputs)


def read(text):
    """Start, place by name, heading: what a text says, read without the grammar."""
    across, up = {"west": 0, "east": SIDE - 1}, {"south": 0, "north": SIDE - 1}
    corner = re.search(r"(north|south)-(east|west) corner", text)
    middle = complex(SIDE // 2, SIDE // 2)
    start = complex(across[corner[2]], up[corner[1]]) if corner else middle
    heading = re.search(r"(?:looks|faces|its face to the|eyes look) (\w+)", text)[1]
    number, way, spot = "(two|three|four)", "(north|east|south|west)", "([a-z ]+?)"
    places = {"it": start, "robot": start}
    patterns = [
        (rf"The {spot} is {number} squares {way} of (?:the )?{spot}\.", (1, 2, 3, 4)),
        (rf"{number} squares {way} of (?:the )?{spot} is the {spot}\.", (4, 1, 2, 3)),
        (rf"It has the {spot} {number} squares to the {way}\.", (1, 2, 3, None)),
        (rf"From the {spot} it is {number} squares {way} to the {spot}\.", (4, 2, 3, 1)),
    ]
    sentences = [text[0].lower() + text[1:] for text in re.findall(r"[^.]+\.", text)]
    for sentence in (one.strip() for one in sentences):
        sentence = sentence[:1].upper() + sentence[1:]
        lowered = re.sub(r"^(Two|Three|Four)", lambda m: m[0].lower(), sentence)
        for pattern, (name, count, where, base) in patterns:
            if match := re.fullmatch(pattern, lowered):
                from_ = places[match[base]] if base else start
                places[match[name]] = from_ + NUMBER[match[count]] * WAYS[match[where]]
                break
    return start, heading, places


def test_the_text_says_all_that_is_needed(some):
    """Whoever reads only the text, with other means, comes to the same yard and the same goal."""
    for example in some:
        start, heading, places = read(example.input)
        assert (start.real, start.imag) == example.yard.start
        assert heading == example.yard.heading
        order = example.input
        if "come back" in order or "return" in order:
            goal = start
        else:
            asked = r"(?:Send it to|go to|brings? the [a-z]+ to|wants at) the ([a-z ]+)\.$"
            goal = places[re.search(asked, order)[1]]
        assert (goal.real, goal.imag) == example.goal, order
        for square, thing in example.yard.things.items():
            lies = re.search(r"by the ([a-z ]+?)(?:\.| it finds)", order, re.IGNORECASE)[1]
            assert (places[lies].real, places[lies].imag) == square
            assert thing in order


def test_both_places_are_in_the_yard_and_nothing_is_where_something_else_is(some):
    for example in some:
        for square in (example.yard.start, example.goal, *example.yard.things):
            assert all(0 <= place < SIDE for place in square)
        assert len({example.yard.start, *example.yard.things}) == 1 + len(example.yard.things)
        assert example.goal not in example.yard.things


def test_every_errand_and_every_heading_comes_up(some):
    kinds = {example.story.facts["errand"] for example in some}
    assert kinds == {"far", "near", "bring", "back"}
    assert {example.yard.heading for example in some} == {"north", "east", "south", "west"}
    assert len({example.yard.start for example in some}) == 5
    assert len({example.input for example in some}) > 295


def test_a_longer_way_is_as_right():
    example = next(e for e in first(6, 50) if e.wanted)
    assert score(example, "left right " + example.output + " left") == 1
    assert example.output not in {"left right " + example.output + " left"}


def test_to_come_without_the_thing_or_with_one_that_nobody_wants_is_wrong():
    bring = next(e for e in first(7, 50) if e.wanted)
    without = " ".join(word for word in bring.output.split() if word != "take")
    assert error(bring, without) == f"does not take the {bring.wanted}"
    assert score(bring, without) == 0


def test_the_end_is_told_in_squares_from_the_goal():
    example = next(e for e in first(8, 200) if e.yard.start == (3, 3) and not e.wanted)
    x, y = (place - 3 for place in example.goal)
    robot_is = error(example, "")
    for count, ways in ((-y, ("north", "south")), (-x, ("east", "west"))):
        if count:
            number = robots.NUMBERS[abs(count)]
            plural = "" if abs(count) == 1 else "s"
            assert f"{number} square{plural} {ways[count < 0]}" in robot_is
    assert robot_is.startswith("ends ") and robot_is.endswith(f" of the {example.goal_name}")


def test_what_the_interpreter_says_is_the_error(some):
    assert error(some[0], "fly") == "word 1, fly: no such command"
    assert error(some[0], "repeat 2 ( left") == "word 3, (: it is never closed"


def test_a_run_of_three_or_more_forward_is_a_repeat():
    assert shortest((0, 0), "north", None, (0, 2)) == ("forward forward",)
    assert shortest((0, 0), "north", None, (0, 3)) == ("repeat 3 ( forward )",)


def test_the_same_seed_gives_the_same_and_another_others():
    assert [e.input for e in first(4, 20)] == [e.input for e in first(4, 20)]
    assert not {e.input for e in first(4, 20)} & {e.input for e in first(9, 20)}


def test_the_order_in_which_python_keeps_sets_changes_nothing():
    command = (
        "import itertools\n"
        "from storyland.tasks import robots\n"
        "for e in itertools.islice(robots.examples(2), 40):\n"
        "    print(repr((e.input, e.output, list(e.outputs))))\n"
    )
    said = {
        subprocess.run([sys.executable, "-c", command], check=True, capture_output=True,
                       env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd=ROOT).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1 and len(said.pop()) > 10_000


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_that_is_none_is_refused_at_once(seed):
    with pytest.raises(ValueError, match="a seed is a whole number from 0 on, not"):
        examples(seed)


def test_an_output_that_is_no_text_is_refused(some):
    with pytest.raises(TypeError, match="an output is text, not NoneType"):
        score(some[0], None)


def test_no_action_is_left_out_of_the_reference(some):
    used = {step.name for example in some for step in steps(parse(example.output))}
    assert used == set(ACTIONS)


def test_what_the_documentation_shows_is_what_comes_out():
    failed, tried = doctest.testmod(robots)
    assert failed == 0 < tried
