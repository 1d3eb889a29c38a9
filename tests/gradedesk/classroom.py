"""A small lab, and a small class with every status and a hostile member, for the desk's books."""

import json
import os
import time
from pathlib import Path

from gradedesk.lab import Cell, Lab
from gradedesk.results.result import ManualAnswer, Result, TestOutcome

# What a page of ours must show as text and never as anything else.
SCRIPTS = [
    "<script>alert(1)</script>",
    "</pre></code><script>alert(2)</script>",
    '<img src="http://evil.example/x.png" onerror="alert(3)">',
    '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(4)"><script>alert(5)</script></svg>',
    "[click](javascript:alert(6)) ![x](http://evil.example/y.png)",
    "```\n<script>alert(7)</script>\n````````\n<iframe src=http://evil.example></iframe>",
    "~~~\n</textarea><style>*{display:none}</style><base href=http://evil.example>",
    "$$\\href{javascript:alert(8)}{x}$$ \\begin{x}<script>alert(9)</script>\\end{x}",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<meta http-equiv=refresh content=0;url=http://evil.example>",
]
HOSTILE = "\n\n".join(SCRIPTS)
UNSEEN = "a\x00b \u202egnp.exe\u202c \ud800 \x1b[31mred\x1b[0m \x9b"


def wait_until(condition, seconds=300):
    """What `condition()` gives as soon as that is true; what it gave last when the time is over."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def busy():
    """How many times longer things take than on a quiet machine, about: at least 1."""
    if not Path("/proc/loadavg").exists():
        return 1.0
    lately, _, _, processes, _ = Path("/proc/loadavg").read_text().split()
    running, _ = processes.split("/")  # now, where the other is the mean of the last minute
    return max(1.0, max(float(lately), float(running)) / os.cpu_count())


SOLVED = '''def add(a, b):
    """The sum."""
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION'''
HIDDEN = """# Hidden tests: big numbers.
### BEGIN HIDDEN TESTS
assert add(SECRET_INPUT, 1) == 4242, "Is it a sum?"
### END HIDDEN TESTS"""


def small_lab() -> Lab:
    """Two questions by tests (10 + 6 points) and one by hand (4 points)."""

    def cell(kind, grade_id, points, source, cell_type="code"):
        return Cell(kind, cell_type, grade_id or "free", grade_id, points, source)

    return Lab(
        "lab01-small",
        [
            cell("text", "", 0, "# Lab 01: Small\n\nWords.", "markdown"),
            cell("setup", "setup", 0, "import math"),
            cell("text", "q1-text", 0, "## Q1. Add\n\nAdd two numbers.", "markdown"),
            cell("answer", "q1", 0, SOLVED),
            cell("test", "q1-example", 6, 'assert add(1, 2) == 3, "Is it a sum?"'),
            cell("test", "q1-hidden-big", 4, HIDDEN),
            cell("text", "q2-text", 0, "## Q2. Multiply", "markdown"),
            cell("answer", "q2", 0, SOLVED.replace("add", "mul").replace("+", "*")),
            cell("test", "q2-example", 6, 'assert mul(2, 3) == 6, "Is it a product?"'),
            cell("text", "q3-text", 0, "## Q3. Say why", "markdown"),
            cell("manual", "q3", 4, "A model answer.", "markdown"),
        ],
    )


def result(student, *, passed=(), status="graded", text="Because.", message="Is it a sum?", **more):
    """A result of the small lab in which the tests `passed` gave their points."""
    lab = small_lab()
    tests = []
    for cell in lab.tests:
        good = cell.grade_id in passed
        tests.append(
            TestOutcome(
                grade_id=cell.grade_id,
                question=cell.question,
                title=cell.title,
                hidden=cell.hidden,
                max_points=cell.points,
                points=cell.points if good else 0.0,
                outcome="passed" if good else "failed",
                message="" if good else message,
                student_message="" if good or cell.hidden else message,
            )
        )
    values = {
        "student": student,
        "lab": lab.name,
        "submission": "ab" * 32,
        "status": status,
        "graded_at": "2026-03-01T12:00:00+00:00",
        "received": "2026-02-28T09:30:00+00:00",
        "seconds": 2.5,
        "tests": tests,
        "manual": [ManualAnswer("q3", "q3", 4.0, text, bool(text))],
        "answers": {"q1": "def add(a, b):\n    return a + b", "q2": "def mul(a, b):\n    return a"},
    }
    return Result(**(values | more)).check()


ALL = ("q1-example", "q1-hidden-big", "q2-example")


def small_class() -> list[Result]:
    """One result for each status, blank and hostile work among them."""
    timeout = result("tim", passed=["q1-example"], status="partly", note="q2-example timed out")
    timeout.tests[1].outcome = "not-run"
    timeout.tests[2].outcome = "timeout"
    return [
        result("ada", passed=ALL),
        result("bob", passed=["q1-example"], text=""),
        timeout,
        result(
            "mallory",
            status="tampered",
            text=HOSTILE + UNSEEN,
            message=HOSTILE + UNSEEN,
            note=HOSTILE,
            problems=[HOSTILE, UNSEEN],
            answers={"q1": HOSTILE, "q2": UNSEEN},
            output={"q1": HOSTILE + UNSEEN},
        ),
        result("nil", status="missing", submission="", tests=[], manual=[], answers={}),
        result("una", status="unreadable", tests=[], manual=[], answers={}, note="nbformat 99"),
    ]


def write_journal(desk, results) -> None:
    lines = [json.dumps(json.loads(result.to_json())) + "\n" for result in results]
    desk.mkdir(parents=True, exist_ok=True)
    (desk / "journal.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


# --- Labs that a test makes for one thing; the fixture `small` grades them ----------------------


def cell(source, grade_id="", kind="text", points=0):
    marks = {
        "setup": {"grade": False, "solution": False},
        "answer": {"grade": False, "solution": True},
        "test": {"grade": True, "solution": False, "points": points},
    }
    mark = {"nbgrader": {"grade_id": grade_id, **marks[kind]}} if kind != "text" else {}
    return {"cell_type": "code", "id": grade_id, "source": source, "metadata": mark}


F = "def f(x):\n    return x + 1"


def outcomes(result):
    return {test.grade_id: test.outcome for test in result.tests}


SECRET = "# Hidden tests: secrets.\n### BEGIN HIDDEN TESTS\n{}\n### END HIDDEN TESTS"
