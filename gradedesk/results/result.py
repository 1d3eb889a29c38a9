"""What grading one submission gave: one line of the journal."""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from gradedesk.board import Figure

VERSION = 1
STATUSES = ("graded", "partly", "unreadable", "missing", "tampered", "grader-error")
UNSCORED = ("missing", "unreadable", "grader-error")  # statuses without points, never a 0
OUTCOMES = ("passed", "failed", "timeout", "died", "not-run")


class ResultError(Exception):
    """A result that breaks its own rules; the message says where."""


@dataclass
class TestOutcome:
    """What one test cell gave.

    `message` is for the instructor; `student_message` is what feedback may show, and says of a
    hidden test no more than its author wrote for students.
    """

    __test__ = False  # no test of pytest's

    grade_id: str
    question: str
    title: str
    hidden: bool
    max_points: float
    points: float
    outcome: str
    message: str = ""
    student_message: str = ""


@dataclass
class ManualAnswer:
    """An answer that a person grades."""

    grade_id: str
    question: str
    max_points: float
    text: str
    answered: bool = True


@dataclass
class Result:
    """The outcome of one submission. `submission` is the SHA-256 of its bytes, "" if missing."""

    student: str
    lab: str
    submission: str
    status: str
    graded_at: str
    seconds: float = 0.0
    received: str | None = None
    late: bool = False
    note: str = ""
    lab_version: str = ""
    tests: list[TestOutcome] = field(default_factory=list)
    manual: list[ManualAnswer] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    output: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    version: int = VERSION

    @property
    def key(self) -> tuple[str, str, str]:
        return self.student, self.lab, self.submission

    @property
    def points(self) -> float:
        """Points of the tests so far; what is graded by hand comes on top."""
        return math.fsum(test.points for test in self.tests)

    @property
    def max_points(self) -> float:
        """What tests and hand-graded answers together can give."""
        return math.fsum(item.max_points for item in [*self.tests, *self.manual])

    @property
    def needs_hand_grading(self) -> bool:
        return any(answer.answered for answer in self.manual)

    def check(self) -> "Result":
        """The result itself; ResultError if a status is unknown or points are not possible."""
        where = f"{self.student}, {self.lab}"
        if self.status not in STATUSES:
            raise ResultError(f"{where}: unknown status {self.status!r}.")
        for test in self.tests:
            if test.outcome not in OUTCOMES:
                raise ResultError(f"{where}, {test.grade_id}: unknown outcome {test.outcome!r}.")
            if not 0 <= test.points <= test.max_points < math.inf:
                raise ResultError(
                    f"{where}, {test.grade_id}: {test.points} of {test.max_points} points."
                )
            if test.points and test.outcome != "passed":
                raise ResultError(f"{where}, {test.grade_id}: points, but it {test.outcome}.")
        for figure in self.figures:
            try:
                figure.check()
            except ValueError as error:
                raise ResultError(f"{where}: {error}") from None
        return self

    def to_json(self) -> str:
        """One line of ASCII JSON."""
        return json.dumps(asdict(self.check()), allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Result":
        """The inverse of to_json; ResultError for anything else."""
        try:
            data = json.loads(line)
            if not isinstance(data, dict) or data.get("version") != VERSION:
                raise ResultError("It is not a result of this version of gradedesk.")
            data["tests"] = [_make(TestOutcome, test) for test in data["tests"]]
            data["figures"] = [_make(Figure, figure) for figure in data.get("figures", [])]
            data["manual"] = [_make(ManualAnswer, answer) for answer in data["manual"]]
            return _make(cls, data).check()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ResultError(f"It is no result: {type(error).__name__}.") from None


def _make(cls: type, data: dict[str, Any]) -> Any:
    """A dataclass from a dictionary; names that it does not know are left out."""
    return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})
