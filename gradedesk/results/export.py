"""Grades as CSV: for Canvas, for Moodle, or plain, for a spreadsheet.

A grade that is not known is an empty cell, never 0, and a status says why. What a student chose
(an id, a name) cannot become a formula in a spreadsheet.
"""

import csv
import hashlib
import io
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gradedesk.desk import Desk
from gradedesk.names import DeskError, Student, shown, write_whole
from gradedesk.results.journal import Journal
from gradedesk.results.result import UNSCORED, Result

Manual = Mapping[tuple[str, str, str], float]
SIGNS = "=+-@\N{MINUS SIGN}"  # what a formula begins with; where text is Asian, wide ones as well


@dataclass(frozen=True)
class Grade:
    """One student's grade in one lab; `points` is None where there is none yet."""

    points: float | None
    status: str


def export(
    desk: Desk,
    fmt: Literal["canvas", "moodle", "csv"],
    out: Path | None = None,
    manual: Manual | None = None,
    force: bool = False,
) -> Path:
    """Write the grades of the journal as CSV to `out` (the desk's grades.csv) and return its path.

    `manual` holds the points given by hand, by (student, lab, grade_id). The class list, if there
    is one, adds names and those who handed in nothing. Plain CSV is UTF-8 with a byte order mark,
    without which Excel takes it for another encoding; Canvas and Moodle get none, as their first
    column would be misread. Raises DeskError where there is nothing to export, or `out` exists
    already and `force` is not given.
    """
    results = Journal(desk.journal).latest()
    roster = desk.roster()
    labs = sorted({lab for _, lab in results})
    if not labs:
        raise DeskError(f"{desk} has no grades yet: run gradedesk grade first.")
    people = {
        student: roster.get(student) or _person(student, desk)
        for student in sorted({*desk.students(), *(student for student, _ in results)})
    }
    grades = {
        (student, lab): grade(results.get((student, lab)), student, lab, desk, manual or {})
        for student in people
        for lab in labs
    }
    possible = {
        lab: _number(max(r.max_points for (_, name), r in results.items() if name == lab))
        for lab in labs
    }
    table = {"canvas": _canvas, "moodle": _moodle, "csv": _csv}[fmt]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(table(people, labs, grades, possible))
    path = out or desk.grades
    write_whole(path, text.getvalue().encode("utf-8-sig" if fmt == "csv" else "utf-8"), force)
    return path


def grade(result: Result | None, student: str, lab: str, desk: Desk, manual: Manual) -> Grade:
    """Points so far and status, from the newest result and the points given by hand."""
    path = desk.of(student, lab) / f"{lab}.ipynb"
    now = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    late = bool(desk.received(student, lab).get("late"))
    if result is None or (now and result.status == "missing"):
        return Grade(None, ("not graded" if now else "missing") + (", late" if late else ""))
    by_hand = {key[2]: points for key, points in manual.items() if key[:2] == (student, lab)}
    if not all(math.isfinite(points) for points in by_hand.values()):
        raise DeskError(f"{student}, {lab}: a grade given by hand is not a number; mend it first.")
    status = [result.status]
    if any(a.answered and a.grade_id not in by_hand for a in result.manual):
        status.append("needs hand grading")
    if now and now != result.submission:
        status.append("newer submission not graded")
    if late or result.late:
        status.append("late")
    known = by_hand or result.status not in UNSCORED
    # A score given by hand for a test stands in the place of the test's own.
    points = {test.grade_id: test.points for test in result.tests} | by_hand
    return Grade(math.fsum(points.values()) if known else None, ", ".join(status))


def _person(student: str, desk: Desk) -> Student:
    """What the learning platform told of a student who is not on the class list."""
    for path in sorted((desk.submitted / student).glob("*/received.json")):
        meta = desk.received(student, path.parent.name)
        number = meta.get("user", "") if meta.get("format") == "canvas" else ""
        return Student(student, str(meta.get("name") or student), id=str(number))
    return Student(student, student)


# --- The three tables ----------------------------------------------------------------------------

People = dict[str, Student]
Grades = dict[tuple[str, str], Grade]
Rows = list[list[str]]


def _csv(people: People, labs: list[str], grades: Grades, possible: dict[str, str]) -> Rows:
    head = ["student", "name"]
    for lab in labs:
        head += [lab, f"{lab} of", f"{lab} status"]
    rows = [head]
    for student, person in people.items():
        row = [_safe(student), _safe(person.name)]
        for lab in labs:
            found = grades[student, lab]
            row += [_number(found.points), possible[lab], found.status]
        rows.append(row)
    return rows


def _canvas(people: People, labs: list[str], grades: Grades, possible: dict[str, str]) -> Rows:
    """As Canvas exports its own gradebook: four columns, one a lab, and what it only reads.

    Canvas takes every further column for an assignment, but for those called Current Grade, and
    imports none that the second line calls read only.
    """
    head = ["Student", "ID", "SIS Login ID", "Section", *labs]
    rows = [
        head + [f"{lab} status (Current Grade)" for lab in labs],
        ["Points Possible", "", "", "", *possible.values()] + ["(read only)"] * len(labs),
    ]
    for student, who in people.items():
        row = [_safe(field) for field in (who.name, who.id, who.login, who.section)]
        row += [_number(grades[student, lab].points) for lab in labs]
        rows.append(row + [grades[student, lab].status for lab in labs])
    return rows


def _moodle(people: People, labs: list[str], grades: Grades, possible: dict[str, str]) -> Rows:
    """For Moodle's gradebook import, where one says which column finds the student."""
    head = ["Full name", "Email address", "ID number"]
    rows = [head + [title for lab in labs for title in (lab, f"{lab} status")]]
    for student, who in people.items():
        row = [_safe(field) for field in (who.name, who.email, who.id)]
        for lab in labs:
            row += [_number(grades[student, lab].points), grades[student, lab].status]
        rows.append(row)
    return rows


def _safe(text: str) -> str:
    """A cell without the beginning of a formula, wherever a spreadsheet may cut it.

    One may split at semicolons, tabs or any other character, leave out quotes and blanks, and
    take an apostrophe for a quote, so an underscore goes before each sign that does not follow a
    letter or a digit. `ada+nlp@example.org` and `O'Neil; Ada` stay as they are, as does what a
    learning platform finds a student by.
    """
    safe, before = "", " "
    for char in shown(" ".join(text.split()), 200):
        held = before in "._" or _sign(before) or unicodedata.category(before)[0] in "LMN"
        safe += f"_{char}" if _sign(char) and not held else char
        before = char
    return safe


def _sign(char: str) -> bool:
    return unicodedata.normalize("NFKC", char)[0] in SIGNS


def _number(points: float | None) -> str:
    """Points with at most two decimals and a point; an empty cell for None."""
    return "" if points is None else f"{points:.2f}".rstrip("0").rstrip(".")
