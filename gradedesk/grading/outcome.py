"""What is told of a test: to instructors, and to students, who must not learn what it asks."""

import ast
import math
import re
import traceback
from typing import Any

from gradedesk.checks import Differs
from gradedesk.lab import Cell
from gradedesk.plain import plain
from gradedesk.results.result import TestOutcome

Event = dict[str, Any]  # one line of what the trusted process is asked, or tells


def first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _bounded(text: str) -> str:
    """A message of a few lines."""
    lines = plain(text, 800).strip().splitlines()
    return "\n".join(lines[:8] + (["..."] if len(lines) > 8 else []))


def outcome_of(cell: Cell, outcome: str, message: str, student: str | None = None) -> TestOutcome:
    points = cell.points if outcome == "passed" else 0.0
    student = message if student is None else student
    return TestOutcome(
        cell.grade_id,
        cell.question,
        plain(cell.title, 300),
        cell.hidden,
        cell.points,
        points,
        outcome,
        _bounded(message),
        _bounded(student),
    )


def shadows(names: list[str]) -> str:
    """What is said of an answer cell that has taken names from the lab or from Python."""
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:5])
    shown += f" and {len(names) - 5} more" if len(names) > 5 else ""
    own = "their own meanings" if len(names) > 1 else "its own meaning"
    return (
        f"gives {shown} another meaning. For the cells after it, {shown} had {own} again, so that "
        "this costs no other question."
    )


def explain(said: str, source: str) -> str:
    """A syntax error at IPython's own syntax says that Python does not know it."""
    if said.startswith("SyntaxError"):
        # Line by line: a pattern that may begin at any blank line tries all of them from each.
        for number, line in enumerate(map(str.lstrip, source.split("\n")), start=1):
            if re.match(r"[%!][%\w]", line):
                shown = plain(line, 40)
                return f"{said} (line {number}, {shown!r}: IPython's magic commands are not Python)"
    return said


def authored(cell: Cell, error: AssertionError, file: str) -> str:
    """What the test's author wrote for students about this failure.

    Of a hidden test nothing else is shown: numpy's and torch's own texts give the expected value,
    and what a message has from the student's code could carry what the test asked. So only its
    literal text is, with "..." for each value in it.
    """
    if not cell.hidden:
        return str(error) or "The assertion failed."
    tree = ast.parse(cell.source)
    literal = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    if isinstance(error, Differs):
        said = error.msg if error.msg in literal else _literal_part(tree, error, file)
        return f"{error.told} {said}".strip()
    if str(error) in literal:
        return str(error)
    return _literal_part(tree, error, file) or "A hidden test failed."


def _literal_part(tree: ast.Module, error: AssertionError, file: str) -> str:
    """The text that stands in the source of the message with which a line of the test failed."""
    frames = traceback.walk_tb(error.__traceback__)
    line = [line for frame, line in frames if frame.f_code.co_filename == file][-1]
    for node in ast.walk(tree):
        if not getattr(node, "lineno", math.inf) <= line <= node.end_lineno:
            continue
        if isinstance(node, ast.Assert):
            messages = [node.msg]
        elif isinstance(node, ast.Call):
            named = [word.value for word in node.keywords if word.arg in ("msg", "err_msg")]
            messages = named or node.args[2:3]
        else:
            continue
        for message in messages:
            if isinstance(message, ast.Constant) and isinstance(message.value, str):
                return message.value
            if isinstance(message, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in message.values]
                return "".join(part if isinstance(part, str) else "..." for part in parts)
    return ""
