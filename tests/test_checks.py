"""What lab tests compare with: nothing passes for something, and the message says what differs."""

import contextlib
import copy
import io
import math

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from gradedesk.checks import Differs, after, number, same, shaped

PERHAPS = "Perhaps the mask is missing."
T = torch.tensor


@pytest.mark.parametrize(
    "got, want",
    [
        (T([1.0, 2.0]), T([1.0, 2.0])),
        (T([1.0, 2.0]), T([1.0 + 1e-6, 2.0])),
        (T([math.inf, 1.0]), T([math.inf, 1.0])),
        (T([1, 2], dtype=torch.int32), T([1, 2])),
        (T([1.0], dtype=torch.float64), T([1.0])),
        (T([True, False]), T([True, False])),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (T(3.0), 3.0),
        (T(3.0), T(3.0)),
        (np.float64(3.0), 3.0),
        (np.ones(2), np.ones(2)),
        (3.0, 3),
        (0.1 + 0.2, 0.3),
        (1e15 + 1, 1e15),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        ("ab", "ab"),
        (None, None),
        ([1, (2, "x")], (1, [2, "x"])),
        ({"a": [1.0]}, {"a": [1.0 + 1e-9]}),
    ],
)
def test_what_is_the_same(got, want):
    same(got, want, PERHAPS)


@pytest.mark.parametrize(
    "got, want, seen",
    [
        (torch.zeros(0, 2), torch.ones(2, 2), "The shape is (0, 2), and not (2, 2)."),
        (torch.zeros(0), T(1.0), "The shape is (0,), and not ()."),
        (torch.ones(1), torch.ones(3), "The shape is (1,), and not (3,)."),
        (torch.ones(1, 1), 1.0, "You gave a tensor, and not a number."),
        (T([1.0, math.nan]), T([1.0, 2.0]), "It holds nan."),
        (T([math.nan]), T([math.nan]), "It holds nan."),
        (math.nan, 1.0, "It is nan, and not 1."),
        (math.nan, math.nan, "It is nan, and not nan."),
        (T([1, 2]), T([1.0, 2.0]), "The numbers are torch.int64, and not torch.float32."),
        (T([-math.inf, 1.0]), T([math.inf, 1.0]), "It is -inf at [0], and not inf; 1 of 2"),
        (T([5.0]), T([math.inf]), "It is 5 at [0], and not inf; 1 of 1"),
        (T(1.0), T(2.0), "It is 1, and not 2; 1 of 1 entries differ."),
        (5.0, math.inf, "It is 5, and not inf."),
        (T([[1, 2], [3, 5]]), T([[1, 2], [3, 4]]), "It is 5 at [1, 1], and not 4; 1 of 4"),
        (np.ones(2), torch.ones(2), "You gave an array, and not a tensor."),
        ([1.0, 1.0], torch.ones(2), "You gave a list, and not a tensor."),
        (None, torch.ones(2), "You gave None (perhaps a return is missing), and not a tensor."),
        (True, 1, "You gave True or False, and not a number."),
        (1, True, "You gave a number, and not True or False."),
        (2**60 + 1, 2**60, f"It is {2**60 + 1}, and not {2**60}."),
        (4, 3, "It is 4, and not 3."),
        (T([1_000_001]), T([1_000_002]), "It is 1000001 at [0], and not 1000002; 1 of 1"),
        ("ab", "abc", "It is 'ab', and not 'abc'."),
        ([1], [1, 2], "The list has 1 entries, and not 2: [1]."),
        ([], [1], "The list has 0 entries, and not 1: []."),
        ([1, [2, 3]], [1, [2, 4]], "It is 3 at [1][1], and not 4."),
        ({"a": 1, "c": 2}, {"a": 1, "b": 2}, "The keys are others: 'c' too many, no 'b'."),
        ({}, {"a": 1}, "The keys are others: no 'a'."),
        ({"a": [1, T([2])]}, {"a": [1, T([3])]}, "It is 2 at ['a'][1][0], and not 3"),
        (object, 1, "You gave type, and not a number."),
    ],
)
def test_what_differs_is_named(got, want, seen):
    with pytest.raises(Differs) as caught:
        same(got, want, PERHAPS)
    assert str(caught.value).startswith(seen)
    assert str(caught.value).endswith(f" {PERHAPS}")


@pytest.mark.parametrize("pack", [float, lambda number: T([number], dtype=torch.float64)])
def test_numbers_that_differ_late_are_shown_with_as_many_digits(pack):
    with pytest.raises(Differs, match=r"It is 0\.600000000001.*, and not 0\.6[.;]"):
        same(pack(0.600000000001), pack(0.6), PERHAPS, rtol=0, atol=1e-15)


def test_a_type_is_compared_where_it_is_named():
    same(T([1, 2]), T([1, 2]), PERHAPS, dtype=torch.int64)
    with pytest.raises(Differs, match="The numbers are torch.uint8, and not torch.int64"):
        same(T([1, 2], dtype=torch.uint8), T([1, 2]), PERHAPS, dtype=torch.int64)
    with pytest.raises(Differs, match="The numbers are float64, and not float16[.]"):
        same(np.ones(2), np.ones(2), PERHAPS, dtype=np.float16)


@pytest.mark.parametrize(
    "got, want",
    [
        (T([7.125]), T([3.5])),
        (7.125, 3.5),
        ("mine", "secret"),
        ([7], [3, 5]),
        ({"mine": 1}, {"secret": 1}),
        (torch.ones(7), torch.ones(35)),
        (T([7]), T([3.5])),
        (None, 3.5),
    ],
)
def test_what_may_be_told_of_a_hidden_test_gives_no_wanted_value_away(got, want):
    with pytest.raises(Differs) as caught:
        same(got, want, PERHAPS)
    told = caught.value.told
    assert told and caught.value.msg == PERHAPS
    assert not any(part in told for part in ("3", "5", "7.125", "secret", "mine", "float32"))


def test_a_shaped_result_has_its_shape_and_no_nan():
    got = torch.ones(2, 3)
    assert torch.equal(shaped(got, (2, 3), PERHAPS), got)
    for bad in torch.ones(3), torch.zeros(0, 3), T([[math.nan] * 3] * 2), [[1, 1, 1]] * 2, None:
        with pytest.raises(Differs, match=PERHAPS):
            shaped(bad, (2, 3), PERHAPS)


def test_a_number_is_one_and_is_not_nan():
    assert number(3, PERHAPS) == number(T(3.0), PERHAPS) == number(np.float32(3), PERHAPS) == 3.0
    assert number(math.inf, PERHAPS) == math.inf
    for bad in math.nan, T(math.nan), T([3.0]), torch.zeros(0), "3", None, True, [3]:
        with pytest.raises(Differs, match=PERHAPS):
            number(bad, PERHAPS)


def test_after_shows_what_a_function_changed_and_keeps_the_tests_own():
    given = [[3, 1], {"a": T([1.0])}]

    def function(numbers, state):
        numbers.sort()
        state["a"] += 1
        return len(numbers)

    kept = copy.deepcopy(given)
    result, left = after(function, *given)
    assert result == 2
    same(given, kept, "The test's own stay as they are.")
    same(left, [[1, 3], {"a": T([2.0])}], "The copies are as they were left.")


def test_jupyter_shows_the_line_of_the_test_and_the_message_and_nothing_of_ours():
    shell = InteractiveShell()
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        cell = "from gradedesk.checks import same\nsame([[1, 2]], [[1, 3]], 'Perhaps it is cut.')"
        shell.run_cell(cell)
    seen = "It is 2 at [0][1], and not 3."
    assert shown.getvalue() == f"Line 2 of this test. {seen} Perhaps it is cut.\n"
