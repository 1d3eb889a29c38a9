"""The notebook that formgrader shows: a lab rebuilt with a student's answers and their outcomes."""

import re
from pathlib import Path

import nbformat

from gradedesk.desk import Desk
from gradedesk.lab import Cell, Lab
from gradedesk.plain import plain
from gradedesk.results.pages import STATUS_WORDS, points, write
from gradedesk.results.result import Result

FULL_TEXT = 200_000  # characters of one answer


def metadata(cell: Cell) -> dict:
    """A cell's metadata as nbgrader writes it."""
    graded, solution = cell.kind in ("test", "manual"), cell.kind in ("answer", "manual")
    mark = {
        "schema_version": 3,
        "grade": graded,
        "solution": solution,
        "locked": not solution,
        "task": False,
        "grade_id": cell.grade_id,
    }
    return mark | ({"points": cell.points} if graded else {})


def fenced(written: str) -> str:
    """Markdown that shows `written` as it is: a code block with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", written)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{written}\n{fence}"


def notebook(lab: Lab, result: Result) -> nbformat.NotebookNode:
    """The lab as released, with the student's answers and the outcomes of the tests.

    formgrader and JupyterLab show it on the instructor's own origin, and formgrader cleans
    nothing. So of the student there is only plain text: code in code cells, which are shown
    highlighted and never run; written answers as code blocks; outputs as text streams.
    """
    tests = {test.grade_id: test for test in result.tests}
    written = {answer.grade_id: answer for answer in result.manual}
    facts = [
        f"{result.student}, {result.lab}: {STATUS_WORDS[result.status]}",
        f"{points(result.points)} points by tests so far",
        *([result.note] if result.note else []),
        *result.problems,
    ]
    cells = [
        _markdown(
            "Rebuilt by the desk, for reading and grading. **Do not run it:** the answers are a "
            "student's code, and here is no sandbox.\n\n" + fenced(plain("\n".join(facts)))
        )
    ]
    for cell in lab:
        marks = {"nbgrader": metadata(cell)} if cell.grade_id else {}
        if cell.kind == "manual":
            answer = written.get(cell.grade_id)
            shown = plain(answer.text, FULL_TEXT) if answer and answer.answered else "(no answer)"
            cells.append(_markdown(fenced(shown), marks))
        elif cell.cell_type != "code":
            cells.append(_markdown(cell.release, marks))
        elif cell.kind == "answer":
            source = plain(result.answers.get(cell.grade_id, cell.release), FULL_TEXT)
            output = result.output.get(cell.grade_id, "")
            cells.append(_code(source, output, marks))
        elif cell.kind == "test" and cell.grade_id in tests:
            test = tests[cell.grade_id]
            said = f"{test.outcome}: {points(test.points)} of {points(test.max_points)} points"
            output = f"{said}\n{test.message}" if test.message else said
            cells.append(_code(cell.release, output, marks))
        else:
            cells.append(_code(cell.release, "", marks))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    # Without a kernel's name JupyterLab asks before it could start one.
    about = {"language_info": {"name": "python"}}
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}
    return nbformat.from_dict(whole)


# Plain dictionaries: nbformat's own constructors validate every cell, and writing the whole again.
def _markdown(source: str, metadata: dict | None = None) -> dict:
    return {"cell_type": "markdown", "metadata": metadata or {}, "source": source}


def _code(source: str, output: str, metadata: dict) -> dict:
    stream = {"output_type": "stream", "name": "stdout", "text": plain(output)}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [stream] if output else [],
        "source": source,
    }


def write_notebook(desk: Desk, lab: Lab, result: Result) -> Path | None:
    """Write the notebook of a result; None if nothing was submitted."""
    if result.status == "missing":
        return None
    return write(
        desk.for_formgrader(result.student, lab.name), nbformat.writes(notebook(lab, result)) + "\n"
    )
