"""One submission through the real sandbox: every lab, and small labs made for one question each."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from classroom import SECRET, F, busy, cell, outcomes, wait_until

from gradedesk import sandbox
from gradedesk.grading import run
from gradedesk.grading.runner import STORED, TOO_LARGE
from gradedesk.trial.maker import Maker
from tools.lab_runs import TESTED

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(TESTED)  # a lab that a person marks has its own tests, in test_by_hand
pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))


@pytest.fixture(scope="module", params=LABS)
def maker(request):
    yield Maker(request.param)
    assert run.close() == ""


# --- The labs of the course ----------------------------------------------------------------------


def grade_patiently(lab, data, student, warm=False):
    """Nothing here is endless, and a busy machine takes its time."""
    limits = dataclasses.replace(run.limits_of(lab), cell_seconds=1000.0, total_seconds=1100.0)
    return run.grade_one(lab, data, student, limits, warm=warm)


def timeless(result):
    """The result without what the clock says."""
    figures = [figure for figure in result.figures if not figure.name.startswith("seconds")]
    return dataclasses.replace(result, seconds=0.0, graded_at="", figures=figures)


def test_the_solution_earns_everything_cold_and_warm(maker):
    data = maker.data(maker.solutions)
    first = grade_patiently(maker.lab, data, "ada", warm=True)
    assert first.status == "graded" and first.note == "" and first.problems == []
    assert [test.message for test in first.tests if test.outcome != "passed"] == []
    assert first.points == sum(cell.points for cell in maker.lab.tests)
    assert first.max_points == 100 and first.needs_hand_grading
    assert first.submission == run.digest(data) and first.answers == maker.solutions
    if not maker.lab.alone:  # what is alone may train for minutes: test_alone.py has it cold
        assert timeless(first) == timeless(grade_patiently(maker.lab, data, "ada"))


def test_the_blank_lab_earns_nothing(maker):
    blank = json.dumps(maker.release).encode()
    result = grade_patiently(maker.lab, blank, "ada", warm=True)
    assert result.status == "graded" and result.points == 0
    assert {test.outcome for test in result.tests} == {"failed"}
    assert all("NotImplementedError" in test.message for test in result.tests)
    assert not result.needs_hand_grading


def test_a_sample_of_the_mistakes(maker):
    """All of them are checked in tests/test_labs.py; here some go through the sandbox."""
    cases = maker.mistaken()
    if maker.lab.alone:  # where our own answer trains for long, another stands in its place
        long = maker.lab.defined_in(maker.lab.alone[0]).question
        cases = [case for case in cases if long in case.lost]
    for case in cases[::9]:
        result = grade_patiently(maker.lab, case.data, case.student, warm=True)
        failed = [test for test in result.tests if test.outcome != "passed"]
        assert result.status == "graded", (case.name, result.note)
        assert {test.question for test in failed} == case.lost, case.name
        assert case.says.lower() in " ".join(test.message for test in failed).lower(), case.name


# --- Small labs ----------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["cold", "warm"])
def warm(request):
    return request.param


def test_a_killed_sandbox_costs_only_its_own_question(small, warm):
    cells = [
        cell("import math", "setup", "setup"),
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'one'", "q1-a", "test", 2),
        cell("def g(x):\n    return x", "q2", "answer"),
        cell("assert g(0) == 0, 'zero'", "q2-a", "test", 2),
        cell("assert g(1) == 1, 'one'", "q2-b", "test", 2),
        cell("assert g(2) == 2, 'two'", "q2-c", "test", 2),
        cell("def h(x):\n    return f(x) + math.floor(0.5)", "q3", "answer"),
        cell("assert h(1) == 2, 'one'", "q3-a", "test", 2),
    ]
    exits = "import os\nos._exit(3)"
    answers = {
        "def g(x):\n    while x == 1: pass\n    return x": "passed timeout passed",
        "def g(x):\n    if x != 1:\n        import os\n        os._exit(0)": "died failed died",
        f"def g(x):\n    return x\n{exits}": "died died died",
        f"{exits}": "died died died",
        "while True: pass": "timeout timeout timeout",
    }
    for answer, want in list(answers.items())[: 5 if warm else 2]:  # cold is slow
        result = small(cells, {"q1": F, "q2": answer, "q3": cells[7]["source"]}, warm=warm)
        assert result.status == "partly" and result.note.startswith("q2-"), answer
        want = dict(zip(("q2-a", "q2-b", "q2-c"), want.split(), strict=True))
        assert outcomes(result) == {"q1-a": "passed", **want, "q3-a": "passed"}, answer
        assert result.points == 4 + 2 * list(want.values()).count("passed")


def test_after_two_strikes_a_question_is_not_tried_again(small):
    tests = [cell(f"assert f({i}) == 2, 'x'", f"q1-{i}", "test", 1) for i in range(5)]
    result = small([cell(F, "q1", "answer"), *tests], {"q1": "def f(x):\n    while True: pass"})
    assert list(outcomes(result).values()) == ["timeout"] * 2 + ["not-run"] * 3
    assert result.status == "partly" and "(and 4 more tests)" in result.note


def test_the_submission_s_own_time_ends_it(small):
    cells = []
    for i in range(9):
        cells += [
            cell(f"def f{i}():\n    return 1", f"q{i}", "answer"),
            cell(f"assert f{i}() == 1, 'x'", f"q{i}-a", "test", 1),
        ]
    loops = {f"q{i}": f"def f{i}():\n    while True: pass" for i in range(9)}
    result = small(cells, loops, {"total_seconds": 6.0})
    assert result.status == "partly" and "not-run" in outcomes(result).values()
    assert "6 s" in result.tests[-1].message


def test_a_broken_answer_is_explained_in_the_tests_that_need_it(small):
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'one'", "q1-a", "test", 2),
        cell("def g():\n    return 3", "q2", "answer"),
        cell("assert g() == 3, 'three'", "q2-a", "test", 2),
    ]
    for answer, says in {
        "def f(x:\n  pass": "The cell q1 failed: SyntaxError",
        "x = 1\n%matplotlib inline": "'%matplotlib inline': IPython's magic commands",
        "1 / 0": "The cell q1 failed: ZeroDivisionError: division by zero",
        "def f(x):\n    raise NotImplementedError()": "not answered yet?",
        "def f(x):\n    return {}[x]": "KeyError: 1",
        "f = 3": "'int' object is not callable",
        "": "name 'f' is not defined",
        "def f(x):\n    return 'a'": "one",
        "def f(x):\n    return 1": "one",
    }.items():
        result = small(cells, {"q1": answer, "q2": cells[2]["source"]}, warm=True)
        assert outcomes(result) == {"q1-a": "failed", "q2-a": "passed"}, answer
        assert result.status == "graded" and says in result.tests[0].message, result.tests[0]


def test_a_test_meets_only_what_the_lab_defines(small):
    """Not a name that the student made up, and not a checker that the student replaced."""
    cells = [
        cell("import math\nlimit = 5", "setup", "setup"),
        cell(F, "q1", "answer"),
        cell("assert leaked == 1, 'leaked'", "q1-leak", "test", 1),
        cell("assert limit == 5 and math.pi > 3, 'setup'", "q1-setup", "test", 1),
        cell("assert len([f(1)]) == 1 and abs(-1) == 1, 'builtins'", "q1-builtin", "test", 1),
        cell("mine = 1\nassert f(1) == 2, 'f'", "q1-own", "test", 1),
        cell("assert mine == 1, 'another test'", "q1-other", "test", 1),
    ]
    evil = f"{F}\nleaked = 1\nlimit = 0\nmath.pi = 0\nlen = abs = None\nimport builtins\n"
    result = small(cells, {"q1": evil + "builtins.len = builtins.abs = lambda *a: 7"})
    failed = {name for name, outcome in outcomes(result).items() if outcome == "failed"}
    assert failed == {"q1-leak", "q1-other"}
    assert "NameError: name 'leaked'" in result.tests[0].message


def test_feedback_says_nothing_of_a_hidden_test_but_what_its_author_wrote(small):
    """The instructor's message says more, and never reaches students."""
    close = "import numpy as np\nnp.testing.assert_allclose([f(41)], [4242]"
    tests = {
        "assert f(41) == 4242, 'Off by one?'": "Off by one?",
        "assert f(41) == 4242": "A hidden test failed.",
        f"{close}, err_msg='Close?')": "Close?",
        f"{close})": "A hidden test failed.",
        "def check(x):\n    assert x == 4242, 'Checked?'\ncheck(f(41))": "Checked?",
        "assert f('4242') == 'x', 'no'": "Your code raised an error, or gave something that the "
        "test cannot use.",
        "from gradedesk.checks import same\nsame(f(41), 4242, 'Same?')": "A value is another one. "
        "Same?",
        "assert f(41).spam(4242), 'no'": "The answer has a type or a shape that the test "
        "cannot use.",
    }
    cells = [cell(F, "q1", "answer")]
    for i, body in enumerate(tests):
        cells.append(cell(SECRET.format(body), f"q1-hidden-{i}", "test", 1))
    result = small(cells, {"q1": F})
    assert [test.student_message for test in result.tests] == list(tests.values())
    assert all(test.hidden and test.title == "secrets" for test in result.tests)
    assert not any("4242" in test.student_message for test in result.tests)
    assert "4242" in result.tests[2].message
    for error in (
        "ValueError(f'it was {x}')",
        "type(f'It was {x}', (Exception,), {})",
        "NotImplementedError(f'it was {x}')",
        "NameError(f\"name 'was{x}' is not defined\")",
        "SystemExit(f'it was {x}')",
    ):
        result = small(cells, {"q1": f"def f(x):\n    raise {error}"}, warm=True)
        said = {test.student_message for test in result.tests}
        assert said == {"Your code raised an error, or gave something that the test cannot use."}
        assert "was" in result.tests[0].message, error


def test_messages_are_short_and_printable(small):
    cells = [cell(F, "q1", "answer"), cell("assert 0, f(1) * 9999", "q1-a", "test", 1)]
    result = small(cells, {"q1": "def f(x):\n    return 'long \\x1b[31m \\u202e \\0\\n'"})
    message = result.tests[0].message
    assert len(message) < 1000 and len(message.splitlines()) <= 9
    assert all(c.isprintable() or c == "\n" for c in message)


def test_random_numbers_are_the_same_in_every_run(small, warm):
    draws = "import random\nimport numpy as np\nassert 0, f'{random.random()} {np.random.rand()}'"
    cells = [
        cell(F, "q1", "answer"),
        cell(draws, "q1-a", "test", 1),
        cell("assert 0, str(f(1))", "q1-b", "test", 1),
    ]
    answer = {"q1": "import random\ndef f(x):\n    return [random.random(), hash('a')]"}
    first, second = (small(cells, answer, warm=again and warm).tests for again in (False, True))
    assert [t.message for t in first] == [t.message for t in second]


def test_what_a_test_prints_is_no_protocol(small, warm):
    forged = json.dumps({"test": {"grade_id": "q1-a", "points": 99}})
    print_it = f"import os\nprint({forged!r})\nos.write(1, {forged.encode() + bytes([10])!r})\n"
    cells = [cell(F, "q1", "answer"), cell(f"{print_it}assert f(1) == 2, 'x'", "q1-a", "test", 1)]
    result = small(cells, {"q1": "def f(x):\n    return 0"}, warm=warm)
    assert (result.status, result.points) == ("graded", 0)


def test_what_an_answer_prints_is_kept(small):
    cells = [cell(F, "q1", "answer"), cell("assert f(1) == 2, 'x'", "q1-a", "test", 1)]
    result = small(cells, {"q1": f"{F}\nprint('Où? 🦊')\nfor i in range(10**5): print(i)"})
    assert result.output["q1"].startswith("Où? 🦊\n0\n1\n")
    assert len(result.output["q1"]) < STORED + 100 and result.points == 1


def test_a_test_that_takes_too_long_by_itself(small):
    """The clock of a test cell runs outside of the student's code, too."""
    cells = [
        cell(F, "q1", "answer"),
        cell("f(1)\nwhile True: pass", "q1-a", "test", 1),
        cell("assert f(1) == 2, 'x'", "q1-b", "test", 1),
    ]
    result = small(cells, {"q1": F})
    assert outcomes(result) == {"q1-a": "timeout", "q1-b": "passed"}


def test_a_trusted_process_that_hangs_is_killed_from_outside(small, monkeypatch):
    """And what it told before is kept."""
    monkeypatch.setattr(run, "GRACE", 1.0)
    ignore = "for number in signal.SIGALRM, signal.SIGPROF: signal.signal(number, signal.SIG_IGN)"
    stuck = f"import signal\n{ignore}\nwhile True: pass"
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'x'", "q1-a", "test", 1),
        cell(stuck, "q1-b", "test", 1),
    ]
    result = small(cells, {"q1": F}, {"total_seconds": 5.0 * busy()})
    assert outcomes(result) == {"q1-a": "passed", "q1-b": "not-run"}
    assert result.status == "partly" and result.points == 1 and "ran out of time" in result.note


# 4 MB from the student; each with each, 2 TB for the test.
ROOMY = {"cell_seconds": 200.0, "memory_bytes": 256 << 20}  # of time
LARGE = "import numpy as np\ndef f(x):\n    return np.zeros(500_000) + x"


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("module", ["numpy", "torch"])
def test_an_answer_too_large_to_compare_costs_its_own_test_only(small, module, warm):
    given = "f(1)" if module == "numpy" else "torch.as_tensor(f(1))"
    compare = f"import {module}\na = {given}\nassert (a[:, None] == a[None, :]).all()"
    fill = "kept = []\nwhile True: kept.append(bytearray(64 << 20))"
    cells = [
        cell("import numpy as np", "s1", "setup"),
        cell(F, "q1", "answer"),
        cell(compare, "q1-a", "test", 1),
        cell(fill, "q1-b", "test", 1),
        cell("assert f(1)[0] == 1, 'x'", "q1-c", "test", 1),
    ]
    result = small(cells, {"q1": LARGE}, ROOMY, warm=warm)
    assert outcomes(result) == {"q1-a": "failed", "q1-b": "failed", "q1-c": "passed"}
    assert [test.message for test in result.tests] == [TOO_LARGE, TOO_LARGE, ""]
    assert result.status == "graded" and result.points == 1


def test_a_notebook_too_large_to_be_read_is_unreadable(small, warm):
    """24 MB of brackets make more than a GB of lists."""
    cells = [cell(F, "q1", "answer"), cell("assert f(1) == 2, 'x'", "q1-a", "test", 1)]
    lists = ("[" * 400 + "]" * 400 + ",") * (30_000) + "[]"
    data = f'{{"nbformat": 4, "metadata": {{}}, "cells": [{lists}]}}'.encode()
    result = small(cells, {"q1": F}, ROOMY, data=data, warm=warm)
    assert result.status == "unreadable" and "takes more memory than there is" in result.note
    assert small(cells, {"q1": F}, warm=warm).points == 1


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_tests_that_the_system_ends_keep_what_they_told(small, warm):
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'x'", "q1-a", "test", 1),
        cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "q1-b", "test", 1),
    ]
    for _ in range(2):
        result = small(cells, {"q1": F}, warm=warm)
        assert outcomes(result) == {"q1-a": "passed", "q1-b": "not-run"}
        assert result.status == "partly" and result.points == 1
        assert "ran out of memory (it seems)" in result.note


@pytest.mark.groups
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_memory_of_the_tests_that_only_their_group_counts(small, warm):
    """Shared memory: no limit of a process's own counts it."""
    fill = """
import mmap
kept = []
while True:
    kept.append(mmap.mmap(-1, 16 << 20))
    kept[-1].write(bytes(16 << 20))
"""
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'x'", "q1-a", "test", 1),
        cell(fill, "q1-b", "test", 1),
    ]
    result = small(cells, {"q1": F}, ROOMY, warm=warm)
    assert outcomes(result) == {"q1-a": "passed", "q1-b": "not-run"}
    assert result.status == "partly" and result.points == 1
    assert "ran out of memory on" in result.note
    assert small(cells[:2], {"q1": F}, warm=warm).points == 1


def test_it_takes_its_own_folder_with_it_and_no_other(tmp_path):
    """When the desk has gone, here before the first job; a folder that was there is not its own."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    for name, status in (("own", 0), ("other", 1)):
        command = [sys.executable, "-m", "gradedesk.grading.trusted", str(tmp_path / name)]
        ended = subprocess.run(
            command, cwd=tmp_path / "other", env=env, stdin=subprocess.DEVNULL, capture_output=True
        )
        assert ended.returncode == status, ended.stderr
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "other",
        "other/file",
    ]


@pytest.mark.parametrize(
    "setup, says",
    [
        ("1 / 0", "cell setup failed: ZeroDivisionError"),
        ("import os\nos._exit(1)", "The lab's cell setup"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_fault_of_the_lab_is_the_grader_s_error(small, setup, says):
    cells = [
        cell(setup, "setup", "setup"),
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'x'", "q1-a", "test", 1),
    ]
    result = small(cells, {"q1": F})
    assert result.status == "grader-error" and says in result.note, result.note
    assert outcomes(result) == {"q1-a": "not-run"} and "\n" not in result.note


def test_without_the_sandbox_and_hidden_tests(small):
    """What `gradedesk check` does with a student's own notebook."""
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'x'", "q1-a", "test", 1),
        cell(SECRET.format("assert f(1) == 2, 'x'"), "q1-hidden-b", "test", 1),
    ]
    result = small(cells, {"q1": F}, isolated=False, hidden=False)
    assert outcomes(result) == {"q1-a": "passed"} and result.status == "graded"


# --- Ends ----------------------------------------------------------------------------------------

LOOP = {"q1": "while True: pass"}


def own_processes():
    """The descendants of this test process that belong to a submission."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if "gradedesk" in " ".join(process.cmdline()) or process.name() == "bwrap":
                found.add(process)
        except psutil.Error:
            pass
    return found


def test_no_process_outlives_its_submission(small, warm):
    cells = [cell(F, "q1", "answer"), cell("assert f(1) == 2, 'x'", "q1-a", "test", 1)]
    before = own_processes()
    daemon = f"import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n{F}"
    assert small(cells, {"q1": daemon}, warm=warm).points == 1
    assert small(cells, LOOP, warm=warm).status == "partly"
    run.close()
    psutil.wait_procs(own_processes() - before, timeout=300)
    assert own_processes() <= before


def test_stop_all_ends_what_is_at_work(small, warm):
    cells = [cell(F, "q1", "answer"), cell("assert f(1) == 2, 'x'", "q1-a", "test", 1)]
    timer = threading.Timer(1.0, run.stop_all)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            small(cells, LOOP, {"cell_seconds": 60.0, "total_seconds": 60.0}, warm=warm)
    finally:
        timer.join()
        run.allow()
    assert small(cells, {"q1": F}, warm=warm).points == 1


@pytest.mark.parametrize(("warm", "most"), [(False, 5), (True, 7)], ids=["cold", "warm"])
def test_a_killed_desk_takes_its_submissions_with_it(tmp_path, warm, most):
    """SIGKILL of the process that called grade_one: its children notice and end."""
    maker = Maker(LABS[0])
    # From the first cell on nothing is told: the end of the desk is all there is to see.
    loop = {**maker.solutions, "q1": "while True: pass"}
    (tmp_path / "loop.ipynb").write_bytes(maker.data(loop))
    code = f"""if True:
        import sys
        from pathlib import Path
        from gradedesk.grading import run
        from gradedesk.lab import Lab
        from gradedesk.sandbox import Limits
        print("ready", flush=True)
        data, limits = Path(sys.argv[2]).read_bytes(), Limits(cell_seconds=900, total_seconds=900)
        run.grade_one(Lab.load(sys.argv[1]), data, "ada", limits, warm={warm})
    """
    lab = str(ROOT / "solutions" / LABS[0])
    command = [sys.executable, "-c", code, lab, str(tmp_path / "loop.ipynb")]
    desk = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert desk.stdout.readline() == b"ready\n"
        # The trusted side and its fork, bubblewrap, the first process and the student's code; warm,
        # a second first process and the one that forks.
        family = psutil.Process(desk.pid)
        assert wait_until(lambda: len(family.children(recursive=True)) >= most)
        children = family.children(recursive=True)
    finally:
        os.kill(desk.pid, signal.SIGKILL)
        desk.wait()
        desk.stdout.close()
    gone, alive = psutil.wait_procs(children, timeout=300)
    assert alive == []


def test_a_killed_desk_takes_a_test_with_it_that_nothing_can_interrupt(tmp_path, warm):
    """One call of C code holds the whole process, so that it cannot notice the end of the desk."""
    begun = tmp_path / "begun"
    test = f"open({str(begun)!r}, 'w').close()\nassert f(sum(range(10 ** 11))), 'x'"
    cells = [cell(F, "q1", "answer"), cell(test, "q1-a", "test", 1)]
    notebook = {"nbformat": 4, "metadata": {}, "cells": cells}
    (tmp_path / "long.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    code = f"""if True:
        import sys
        from pathlib import Path
        from gradedesk.grading import run
        from gradedesk.lab import Lab
        from gradedesk.sandbox import Limits
        path, limits = Path(sys.argv[1]), Limits(cell_seconds=900, total_seconds=900)
        run.grade_one(Lab.load(path), path.read_bytes(), "ada", limits, warm={warm})
    """
    desk = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "long.ipynb")], cwd=ROOT)
    try:
        assert wait_until(begun.exists)
        children = psutil.Process(desk.pid).children(recursive=True)
    finally:
        os.kill(desk.pid, signal.SIGKILL)
        desk.wait()
    gone, alive = psutil.wait_procs(children, timeout=300)
    assert len(gone) >= 4 and alive == []
