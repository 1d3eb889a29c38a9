"""Functions whose calls get a process each, what a test measures, and the size of code.

Each submission here tries to let `predict` know more than the model that `learn` returned.
"""

import json

import pytest
from classroom import busy

from gradedesk import sandbox
from gradedesk.grading import run
from gradedesk.lab import Lab, LabError

pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))

HONEST = """
def learn(numbers):
    return {"sum": sum(numbers)}

def predict(model, number):
    return model["sum"] + number
"""
TEST = """
from gradedesk.board import clock, figure
_start = clock()
_model = learn([1, 2, 3])
figure("seconds", clock() - _start, digits=1)
assert _model == {"sum": 6}, f"the model is {_model}"
_got = predict({"sum": 100}, 5)
figure("got", _got, best="high", marks={"right": 105})
assert _got == 105, f"predict says {_got}"
"""


def notebook(tests, alone, limits):
    def cell(name, source, mark):
        mark = {"grade_id": name, "grade": False, "solution": False} | mark
        metadata = {"nbgrader": mark}
        return {"cell_type": "code", "id": name, "source": source, "metadata": metadata}

    cells = [cell("q1", HONEST, {"solution": True})]
    for number, source in enumerate(tests):
        cells.append(cell(f"q1-{number}", source, {"grade": True, "points": 1}))
    asked = {"alone": alone, "limits": {"cell_seconds": 120, "total_seconds": 600} | limits}
    return {"nbformat": 4, "metadata": {"gradedesk": asked}, "cells": cells}


@pytest.fixture
def grade(tmp_path):
    def grade(
        answer=HONEST,
        tests=(TEST,),
        alone=("learn", "predict"),
        warm=True,
        isolated=True,
        **limits,
    ):
        made = notebook(tests, list(alone), limits)
        path = tmp_path / "small.ipynb"
        path.write_text(json.dumps(made), encoding="utf-8")
        lab = Lab.load(path)
        made["cells"][0]["source"] = answer
        return run.grade_one(lab, json.dumps(made).encode(), "ada", isolated=isolated, warm=warm)

    yield grade
    assert run.close() == ""


def said(result):
    return " ".join(test.message for test in result.tests)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_an_honest_answer_and_its_figures(grade, warm):
    result = grade(warm=warm)
    assert (result.status, result.points, said(result)) == ("graded", 1, "")
    seconds, got = result.figures
    assert seconds.name == "seconds" and 0 <= seconds.value < 5
    assert (got.name, got.value, got.best, got.marks) == ("got", 105, "high", {"right": 105})
    assert run.Result.from_json(result.to_json()) == result


LEAKS = {
    "a global": """
kept = []
def learn(numbers):
    kept.append(numbers)
    return {"sum": 6}
def predict(model, number):
    return 1000 + len(kept)
""",
    "a file": """
import os
def learn(numbers):
    for folder in ".", "/tmp", "/dev/shm":
        open(folder + "/kept", "w").write("x")
    return {"sum": 6}
def predict(model, number):
    return 1000 + sum(os.path.exists(f + "/kept") for f in (".", "/tmp", "/dev/shm"))
""",
    "a function's attribute": """
def learn(numbers):
    learn.kept = predict.kept = 1
    return {"sum": 6}
def predict(model, number):
    return 1000 + hasattr(learn, "kept") + hasattr(predict, "kept")
""",
    "the environment and modules": """
import os, sys, builtins
def learn(numbers):
    os.environ["KEPT"] = "1"
    builtins.kept = sys.kept = 1
    return {"sum": 6}
def predict(model, number):
    return 1000 + ("KEPT" in os.environ) + hasattr(builtins, "kept") + hasattr(sys, "kept")
""",
}


@pytest.mark.parametrize("way", LEAKS)
def test_what_one_call_left_behind_is_gone_in_the_next(grade, way):
    """Were it there, predict would say more than 1000."""
    result = grade(LEAKS[way])
    assert result.points == 0 and "predict says 1000" in said(result)


def test_without_alone_it_is_there(grade):
    """So that the test above could fail."""
    assert "predict says 1001" in said(grade(LEAKS["a global"], alone=()))


def test_what_is_no_plain_data_stays_behind(grade):
    answer = "def learn(n):\n    return {'sum': lambda: 6}\ndef predict(m, n):\n    return 105"
    test = "_m = learn([1])\nassert _m['sum']() == 6, 'x'"
    assert "has ended" in said(grade(answer, [test]))
    test = "assert predict(learn([1]), 5) == 105, 'x'"
    assert "has ended" in said(grade(answer, [test]))


def test_the_same_call_is_made_once(grade):
    """Its answer and its time are kept, for the tests after it; another call has its own."""
    answer = (
        "import os, time\n"
        "def learn(numbers):\n"
        "    start = time.process_time()\n"
        "    while time.process_time() < start + 0.5: pass\n"
        "    return {'me': time.time(), 'list': [1]}\n"
        "def predict(model, number):\n    return model"
    )
    tests = [
        "from gradedesk.board import clock, figure\n"
        f"_start = clock()\n_model = learn([{n}])\n_model['list'].append(2)\n"
        "figure('seconds', clock() - _start)\nfigure('me', _model['me'])\n"
        "assert _model['list'] == [1, 2], 'changed'"
        for n in (1, 1, 2)
    ]
    result = grade(answer, tests)
    assert result.points == 3, said(result)
    seconds = [figure.value for figure in result.figures if figure.name == "seconds"]
    me = [figure.value for figure in result.figures if figure.name == "me"]
    assert me[0] == me[1] != me[2]
    assert all(0.4 < value < 5 for value in seconds) and abs(seconds[0] - seconds[1]) < 0.2


def test_a_child_s_time_counts(grade):
    answer = (
        "import os, time\n"
        "def learn(numbers):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        while time.process_time() < 0.5: pass\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    return {'sum': 6}\n"
        "def predict(model, number):\n    return 105"
    )
    result = grade(answer)
    assert result.points == 1 and result.figures[0].value > 0.3


@pytest.mark.parametrize("isolated", [True, False], ids=["grader", "check"])
def test_waiting_for_a_busy_machine_is_no_time_of_the_student_s(grade, isolated):
    """Here it sleeps; the clock that a test reads goes by the processor."""
    waits = HONEST.replace("return {", "import time; time.sleep(3); return {")
    result = grade(waits, isolated=isolated, cell_seconds=120 if isolated else 2)
    assert result.points == 1 and result.figures[0].value < 1, said(result)


def test_an_endless_call_is_not_tried_twice(grade):
    answer = "def learn(n):\n    while True: pass\ndef predict(m, n):\n    return 105"
    result = grade(answer, [TEST, TEST, TEST], cell_seconds=2 * busy())
    assert [test.outcome for test in result.tests] == ["timeout", "timeout", "not-run"]
    assert result.figures == []


def test_a_student_can_say_no_figure(grade):
    """What stands on the board is what the trusted test said."""
    try_it = "from gradedesk.board import figure\n    figure('got', 1e9)"
    result = grade(f"try:\n    {try_it}\nexcept ImportError:\n    pass\n{HONEST}")
    assert [figure.value for figure in result.figures if figure.name == "got"] == [105]


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "True", "'105'", "[1]"])
def test_a_figure_is_a_finite_number(grade, value):
    answer = HONEST.replace('model["sum"] + number', value)
    result = grade(answer)
    assert result.status == "graded" and result.points == 0
    assert [figure.name for figure in result.figures] == ["seconds"]
    assert "finite number" in said(result)


def test_a_lab_bounds_its_code(grade):
    """A model that was trained at home and pasted into the answer is code, too."""
    pasted = f"weights = '{'0123456789' * 100}'\n{HONEST}"
    assert grade(pasted).points == 1
    result = grade(pasted, answer_bytes=1000)
    assert result.points == 0 and "may have 1,000" in said(result)
    assert grade(HONEST, answer_bytes=1000).points == 1


@pytest.mark.parametrize("alone", ["learn", ["nobody"], [["learn"]], {"learn": 1}])
def test_alone_names_functions_of_the_lab(tmp_path, alone):
    made = notebook([TEST], [], {})
    made["metadata"]["gradedesk"]["alone"] = alone
    path = tmp_path / "small.ipynb"
    path.write_text(json.dumps(made), encoding="utf-8")
    with pytest.raises(LabError, match="alone is a list of names"):
        Lab.load(path)
