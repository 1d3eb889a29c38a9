"""Figures for the leaderboard: what a test cell measured, beside the points it is worth.

    from gradedesk.board import clock, figure
    start = clock()
    error = train_and_measure(student_function)
    figure("error", error, marks={"a guess": 3.2})
    figure("seconds", clock() - start)

A test cell says them: at grading it runs in the trusted process, so that no student's code can.
In a student's own notebook nobody listens.
"""

import math
import time
from dataclasses import dataclass, field
from enum import StrEnum


class Who(StrEnum):
    """What stands for a student on the leaderboard."""

    anonymous = "anonymous"
    ids = "ids"
    names = "names"


@dataclass(frozen=True)
class Figure:
    """One number about a submission.

    best: "low" or "high"
    digits: how many decimals are shown
    marks: known values to compare it with, by what reached them
    """

    name: str
    value: float
    best: str = "low"
    digits: int = 2
    marks: dict[str, float] = field(default_factory=dict)

    def check(self) -> "Figure":
        """The figure itself; ValueError if it is none."""
        numbers = [self.value, *self.marks.values()]
        if not all(
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and math.isfinite(number)
            for number in numbers
        ):
            raise ValueError(f"{self.name}: a figure is a finite number.")
        texts = [self.name, *self.marks]
        if not all(isinstance(text, str) and 0 < len(text) <= 100 for text in texts):
            raise ValueError("The name of a figure is a text of at most 100 characters.")
        if self.best not in ("low", "high") or self.digits not in range(10):
            raise ValueError(f"{self.name}: best is low or high, digits are 0 to 9.")
        return self


said: list[Figure] = []  # since whoever listens took them last
elsewhere = 0.0  # seconds that sandboxes used for calls of functions that are `alone`


def clock() -> float:
    """Seconds of processor time so far, the student's code included: only differences count.

    At grading, of the student's code only calls of the functions that the lab has named `alone`,
    and the answer cells that ran for each of them.
    """
    return time.process_time() + elsewhere


def figure(
    name: str,
    value: float,
    *,
    best: str = "low",
    digits: int = 2,
    marks: dict[str, float] | None = None,
) -> None:
    """Say a figure. The first of a lab is the one by which the leaderboard is sorted."""
    said.append(Figure(name, value, best, digits, dict(marks or {})).check())
