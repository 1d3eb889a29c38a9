"""The robot's language: what each command does, what is refused, and that every program ends."""

import doctest
import itertools
import string

import pytest

from storyland import robot
from storyland.robot import (
    DEEPEST,
    MOST_STEPS,
    MOST_WORDS,
    SIDE,
    ProgramError,
    Robot,
    Yard,
    parse,
    run,
)

YARD = Yard(start=(3, 3), heading="north", things={(3, 4): "drum", (4, 4): "bell"})


def by_hand(words, yard):
    """What a program without brackets comes to, worked out in another way: complex numbers."""
    at, looks, holds = complex(*yard.start), {"north": 1j, "east": 1}[yard.heading], None
    things = {complex(*square): thing for square, thing in yard.things.items()}
    for word in words:
        if word == "take":
            if holds or at not in things:
                return None
            holds = things[at]
        elif word == "forward":
            at += looks
            if not (0 <= at.real < SIDE and 0 <= at.imag < SIDE):
                return None
        else:
            looks *= 1j if word == "left" else -1j
    return (at.real, at.imag), looks, holds


def outcome(program, yard):
    try:
        done = run(program, yard)
    except ProgramError:
        return None
    looks = complex(*robot.HEADINGS[done.heading])
    return done.square, looks, done.holds


@pytest.mark.parametrize("yard", [YARD, Yard((0, 6), "east", {(1, 6): "hat"})])
def test_every_program_of_up_to_six_actions_does_what_complex_numbers_say(yard):
    ended = 0
    for length in range(7):
        for words in itertools.product(robot.ACTIONS, repeat=length):
            expected = by_hand(words, yard)
            assert outcome(" ".join(words), yard) == expected, words
            ended += expected is not None
    assert ended > 500


def test_a_repeat_is_its_body_written_out():
    bodies = ["forward", "left", "left forward", "right forward left", "repeat 2 ( forward right )"]
    flat = {body: body for body in bodies} | {bodies[-1]: "forward right forward right"}
    for body, times in itertools.product(bodies, robot.TIMES):
        looped = f"left repeat {times} ( {body} ) right"
        unrolled = " ".join(["left", *[flat[body]] * times, "right"])
        assert outcome(looped, YARD) == outcome(unrolled, YARD)


def test_spaces_around_brackets_do_not_count():
    assert run("repeat 3(forward)left", YARD) == run(" repeat  3 ( forward ) \n left ", YARD)


def test_no_program_at_all_leaves_the_robot_where_it_is():
    assert run("", YARD) == Robot((3, 3), "north")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("left fly", "word 2, fly: no such command"),
        ("Forward", "word 1, Forward: no such command"),
        ("forward ; left", "word 2, ;: no such command"),
        ("( forward )", "word 1, (: no such command"),
        ("forward 3", "word 2, 3: no such command"),
        ("left )", "word 2, ): it closes nothing"),
        ("repeat 2 ( left ) )", "word 6, ): it closes nothing"),
        ("repeat", "word 1, repeat: say how often, 2 to 9"),
        ("repeat 1 ( left )", "word 1, repeat: say how often, 2 to 9"),
        ("repeat 10 ( left )", "word 1, repeat: say how often, 2 to 9"),
        ("repeat ٣ ( left )", "word 1, repeat: say how often, 2 to 9"),
        ("repeat 3 left", "word 1, repeat: a bracket ( is missing"),
        ("repeat 3 (", "word 3, (: it is never closed"),
        ("left repeat 3 ( left", "word 4, (: it is never closed"),
        ("repeat 3 ( )", "word 1, repeat: there is nothing to repeat"),
        ("take", "word 1, take: nothing lies here"),
        ("forward take right forward take", "word 5, take: the robot holds the drum already"),
        ("left repeat 4 ( forward )", "word 5, forward: the fence is in the way"),
        ("x" * 200, f"word 1, {'x' * 20}: no such command"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_the_word(program, said):
    with pytest.raises(ProgramError) as error:
        run(program, YARD)
    assert str(error.value) == said


def test_a_program_has_as_many_steps_as_it_may_and_no_more():
    fits = "repeat 5 ( repeat 5 ( left right left right ) )"
    assert run(fits, YARD).steps == MOST_STEPS == 100
    with pytest.raises(ProgramError, match="word 13, left: more than 100 steps"):
        run(fits + " left", YARD)


def test_the_largest_program_that_can_be_written_ends_at_once():
    """It would make sixty thousand steps."""
    deep = "repeat 9 ( " * DEEPEST + "left" + " )" * DEEPEST
    with pytest.raises(ProgramError, match="left: more than 100 steps"):
        run(deep, YARD)
    with pytest.raises(ProgramError, match=f"repeat: more than {DEEPEST} within one another"):
        run(f"repeat 2 ( {deep} )", YARD)


def test_length_is_bounded_before_anything_is_read():
    run("left right " * (MOST_WORDS // 2), YARD)
    with pytest.raises(ProgramError, match=r"^the program has 101 words, and 100 are the most$"):
        run("fly " * (MOST_WORDS + 1), YARD)


@pytest.mark.parametrize("program", ["__import__('os')", "lambda: 0", "exec", "f'{1}'", "\0", "é"])
def test_python_is_no_program(program):
    with pytest.raises(ProgramError, match="no such command"):
        run(program, YARD)


def test_a_step_is_counted_for_each_action():
    assert run("left repeat 3 ( right left ) forward", YARD).steps == 8


def test_any_text_is_run_or_refused_and_nothing_else_happens():
    letters = ["repeat", "(", ")", "3", "2", "left", "forward", "take", *string.punctuation[:6]]
    for words in itertools.product(letters, repeat=4):
        try:
            run(" ".join(words), YARD)
        except ProgramError as error:
            assert "\n" not in str(error)


def test_a_program_is_read_into_a_tree():
    (loop,) = parse("repeat 4 ( left forward )")
    assert (loop.name, loop.times, loop.place) == ("repeat", 4, 1)
    assert [(one.name, one.place) for one in loop.body] == [("left", 4), ("forward", 5)]


def test_what_the_documentation_shows_is_what_comes_out():
    failed, tried = doctest.testmod(robot)
    assert failed == 0 < tried
