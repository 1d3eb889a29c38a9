"""A whole class, honest, broken and hostile, graded from one desk; stopped, killed and resumed."""

import dataclasses
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from classroom import busy, wait_until

from gradedesk import sandbox
from gradedesk.desk import Desk
from gradedesk.grading import grade
from gradedesk.intake import collect
from gradedesk.lab import Lab, LabError
from gradedesk.names import DeskError
from gradedesk.results.journal import Journal
from gradedesk.trial.grade_class import ABSENT, attacks, prepare
from gradedesk.trial.make_class import write
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(path.stem for path in (ROOT / "solutions").glob("*/*.ipynb"))
NAME = LABS[0]
pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))

# Short, so that those who use up their time do not use up ours.
SHORT = {
    "cell_seconds": 3.0 * busy(),
    "total_seconds": 15.0 * busy(),
    "memory_bytes": 512 << 20,
    "file_bytes": 16 << 20,
}


@pytest.fixture(scope="module")
def maker():
    return Maker(NAME)


@pytest.fixture(scope="module")
def lab(maker):
    return dataclasses.replace(maker.lab, limits=SHORT)


def hand_in(desk, cases, lab=NAME):
    for case in cases:
        folder = desk / "submitted" / case.student / lab
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{lab}.ipynb").write_bytes(case.data)


def digests(*folders):
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def grader_processes():
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "bwrap" or "gradedesk.grading.trusted" in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            pass
    return found


# --- Everybody -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everybody(maker, lab, tmp_path_factory):
    """The desk after one batch: (cases by student, results by student, before, after)."""
    desk = tmp_path_factory.mktemp("desk")
    cases = [*maker.honest(), *maker.broken(), *maker.hostile()]
    hand_in(desk, cases)
    before = digests(ROOT / "solutions", ROOT / "labs", ROOT / "gradedesk", desk / "submitted")
    os.environ["GRADEDESK_SECRET"] = "1.5"
    try:
        batch = grade.grade(Desk(desk), lab, jobs=2)
    finally:
        del os.environ["GRADEDESK_SECRET"]
    after = digests(ROOT / "solutions", ROOT / "labs", ROOT / "gradedesk", desk / "submitted")
    assert batch.left == batch.arrived == batch.outdated == []
    return {case.student: case for case in cases}, batch.results, before, after


def test_nobody_stops_the_others(everybody):
    cases, results, *_ = everybody
    assert len(cases) >= 40 and set(results) == set(cases)
    assert not [name for name, result in results.items() if result.status == "grader-error"]


def test_each_case_ends_as_it_should(everybody, lab):
    """Status, the questions that lose points, and what is said: nobody gains a point."""
    cases, results, *_ = everybody
    for name, case in cases.items():
        result = results[name]
        assert case.faults(lab, result) == [], name
        if result.status == "unreadable":
            assert result.tests == [] and result.points == 0
        if result.status != "graded":
            assert result.note and result.note.isprintable(), name


def test_what_a_case_should_not_get_is_noticed(maker):
    """Points for an attack, another status, another question, no message: each is a fault."""
    lab, cases = maker.lab, {case.name: case for case in maker.cases()}
    right = grade.run.grade_one(lab, cases["correct"].data, "correct", isolated=False)
    assert cases["correct"].faults(lab, right) == []
    q7 = sum(cell.points for cell in lab.tests if cell.question == maker.target.grade_id)
    assert cases["steals"].wrongly_given(lab, right) == q7
    assert cases["blank"].wrongly_given(lab, right) == right.points
    assert cases["half"].wrongly_given(lab, right) == 0
    said = " ".join(cases["raises"].faults(lab, right))
    assert f"{q7:g} points too many" in said and "loses points in none" in said
    assert "no message says 'ZeroDivision'" in said
    assert cases["loop"].faults(lab, right) == ["graded, not partly: "]


def test_no_file_outside_changed_and_no_process_is_left(everybody):
    _, _, before, after = everybody
    assert before == after

    def none_left():
        mine = {p.pid for p in psutil.Process().children(recursive=True)}
        return not mine & set(grader_processes())

    assert wait_until(none_left)


def test_the_time_of_each_submission_held(everybody, lab):
    """Its own budget, what the trusted side may take on top, and what a busy machine takes."""
    _, results, *_ = everybody
    allowed = SHORT["total_seconds"] + grade.run.GRACE + 120
    assert {name: r.seconds for name, r in results.items() if r.seconds > allowed} == {}


def test_a_hidden_test_s_source_reaches_no_student(everybody, lab):
    _, results, *_ = everybody
    hidden = [cell.source for cell in lab.tests if cell.hidden]
    code = {line.strip() for source in hidden for line in source.splitlines()}
    lines = {line for line in code if re.search(r"^[^#]*(assert |\w\(.)", line)}
    assert len(lines) > 10
    for name, result in results.items():
        shown = [test.student_message for test in result.tests] + list(result.output.values())
        found = [line for line in lines for text in shown if line in text]
        assert found == [], name


# --- What lies on the desk -----------------------------------------------------------------------


@pytest.fixture
def few(maker, tmp_path):
    """A desk with three of the class, and how to grade it."""
    cases = {case.name: case for case in [*maker.honest(), *maker.broken()]}
    hand_in(tmp_path, [cases["correct"], cases["half"], cases["no-bytes"]])
    return tmp_path


def test_what_is_graded_is_not_graded_again(few, lab, maker):
    first = grade.grade(Desk(few), lab)
    assert sorted(first.graded) == ["correct", "half", "nobytes"] and first.failed == ["nobytes"]
    again = grade.grade(Desk(few), lab)
    assert again.graded == [] and again.results == first.results
    hand_in(few, [dataclasses.replace(maker.honest()[0], name="half")])  # a second submission
    third = grade.grade(Desk(few), lab)
    assert third.graded == ["half"] and third.results["half"].points == 90
    fourth = grade.grade(Desk(few), lab, regrade=True, student="correct")
    assert fourth.graded == ["correct"] and list(fourth.results) == ["correct"]
    hand_in(few, [case for case in maker.honest() if case.name == "half"])  # back to the first
    assert grade.grade(Desk(few), lab).results["half"].points == first.results["half"].points
    assert len(list(Journal(few / "journal.jsonl"))) == 6


def test_a_changed_lab_is_said_and_waits_for_regrade(few, lab):
    grade.grade(Desk(few), lab)
    cells = [dataclasses.replace(c, points=c.points + (c.kind == "test")) for c in lab]
    changed = dataclasses.replace(lab, cells=cells)
    batch = grade.grade(Desk(few), changed)
    assert batch.graded == [] and batch.outdated == ["correct", "half", "nobytes"]
    batch = grade.grade(Desk(few), changed, regrade=True)
    assert batch.outdated == [] and batch.results["correct"].points == 90 + len(lab.tests)


def test_odd_things_in_submitted(few, lab, maker):
    data = maker.data(maker.solutions)
    submitted = few / "submitted"
    for name in ("empty", "link", "fifo", "folder", "named", "two"):
        (submitted / name / NAME).mkdir(parents=True)
    (few / "outside.ipynb").write_bytes(data)
    (submitted / "link" / NAME / f"{NAME}.ipynb").symlink_to(few / "outside.ipynb")
    os.mkfifo(submitted / "fifo" / NAME / f"{NAME}.ipynb")
    (submitted / "folder" / NAME / f"{NAME}.ipynb").mkdir()
    (submitted / "named" / NAME / "final \u202e (2).ipynb").write_bytes(data)
    for other in ("a.ipynb", "b.ipynb"):
        (submitted / "two" / NAME / other).write_bytes(data)
    (submitted / "nothing").mkdir()
    (few / "roster.csv").write_text("student,name\nabsent,Absent\n", encoding="utf-8")
    results = grade.grade(Desk(few), lab, jobs=2).results
    assert {name: result.status for name, result in results.items()} == {
        "absent": "missing",
        "correct": "graded",
        "empty": "missing",
        "fifo": "unreadable",
        "folder": "unreadable",
        "half": "graded",
        "link": "unreadable",
        "named": "graded",
        "nobytes": "unreadable",
        "nothing": "missing",
        "two": "unreadable",
    }
    assert "it is a link" in results["link"].note
    assert "not a regular file" in results["fifo"].note
    assert "2 other notebooks: a.ipynb, b.ipynb" in results["two"].note
    assert results["named"].points == 90
    assert f"not {NAME}.ipynb" in results["named"].problems[0]
    assert results["named"].problems[0].isprintable()


def test_when_and_how_late_it_came_is_kept(few, lab):
    folder = few / "submitted" / "correct" / NAME
    text = '{"received": "2026-10-01T12:00:00+00:00", "late": true}'
    (folder / "received.json").write_text(text, encoding="utf-8")
    (few / "submitted" / "half" / NAME / "received.json").write_text("[1", encoding="utf-8")
    results = grade.grade(Desk(few), lab).results
    assert results["correct"].late and results["correct"].received.startswith("2026-10-01")
    assert not results["half"].late and results["half"].received is None


def test_an_error_of_ours_is_a_result_and_is_tried_again(few, lab, monkeypatch):
    real = grade.run.grade_one

    def broken(lab, data, student, **options):
        if student == "half":
            raise OSError(12, "Cannot allocate memory")
        return real(lab, data, student, **options)

    monkeypatch.setattr(grade.run, "grade_one", broken)
    batch = grade.grade(Desk(few), lab)
    assert batch.results["half"].status == "grader-error"
    assert "Cannot allocate memory" in batch.results["half"].note
    assert batch.results["correct"].points == 90
    monkeypatch.undo()
    batch = grade.grade(Desk(few), lab)
    assert batch.graded == ["half"] and batch.results["half"].status == "graded"


def test_what_cannot_be_graded_at_all(few, lab, tmp_path):
    with pytest.raises(LabError, match="is the students' version"):
        grade.grade(Desk(few), Lab.load(ROOT / "labs" / NAME))
    with pytest.raises(LabError, match="unknown limit"):
        grade.grade(Desk(few), dataclasses.replace(lab, limits={"minutes": 3}))
    with pytest.raises(DeskError, match="There is no student 'nobody'"):
        grade.grade(Desk(few), lab, student="nobody")
    with pytest.raises(DeskError, match="is empty: run `gradedesk collect` first"):
        grade.grade(Desk(tmp_path / "new"), lab)
    with Desk(few).lock(), pytest.raises(DeskError, match="Another `gradedesk grade`"):
        grade.grade(Desk(few), lab)


# --- Stopped and killed --------------------------------------------------------------------------


def start_grade(desk, *options):
    """`grade` in a process of its own, without the gradebook, telling each result."""
    code = """if True:
        import signal, sys
        from pathlib import Path
        from gradedesk.desk import Desk
        from gradedesk.grading.grade import grade
        from gradedesk.lab import Lab
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
        lab = Lab.load(sys.argv[2])
        print("ready", flush=True)
        tell = lambda result: print(result.student, flush=True)
        batch = grade(Desk(Path(sys.argv[1])), lab, jobs=2, on_result=tell)
        print("left", *batch.left, flush=True)
    """
    command = [sys.executable, "-c", code, str(desk), str(ROOT / "solutions" / NAME)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "ready\n"
    return process


def comparable(results):
    fixed = {"seconds": 0.0, "graded_at": ""}
    return {name: dataclasses.replace(result, **fixed) for name, result in results.items()}


@pytest.fixture(scope="module")
def dozen(maker):
    """Twelve quick submissions."""
    return [*maker.honest(), *maker.mistaken()[:4], *maker.broken()[:3], maker.broken()[10]]


def test_killed_at_random_moments_it_ends_with_the_same_journal(tmp_path, maker, dozen):
    hand_in(tmp_path / "whole", dozen)
    whole = grade.grade(Desk(tmp_path / "whole"), maker.lab, jobs=2).results
    desk, rng, kills = tmp_path / "killed", random.Random(7), 0
    hand_in(desk, dozen)
    journal = Journal(desk / "journal.jsonl")
    while kills < 4:
        process = start_grade(desk)
        time.sleep(rng.uniform(0.2, 1.2))
        ended = process.poll() is not None
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.returncode in (0, -signal.SIGKILL)
        kills += 1
        if ended:
            break
    between = len(list(journal))
    batch = grade.grade(Desk(desk), maker.lab, jobs=2)
    assert comparable(batch.results) == comparable(whole)
    names = [result.student for result in journal]
    assert len(names) == len(set(names)) == len(dozen)  # nothing lost, nothing graded twice
    assert len(batch.graded) == len(dozen) - between


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(tmp_path, maker, dozen):
    loops = [case for case in maker.hostile() if case.name == "loop-at-once"]
    hand_in(tmp_path, [*dozen, *loops])  # with the default limits the loop takes 20 s
    process = start_grade(tmp_path)
    first = process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    *more, left = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait(timeout=300) == 0
    graded = [first, *more]
    assert left.startswith("left ") and set(left.split()[1:]) | set(graded) == {
        case.student for case in [*dozen, *loops]
    }
    assert [result.student for result in Journal(tmp_path / "journal.jsonl")] == graded
    lab = dataclasses.replace(maker.lab, limits=SHORT)
    batch = grade.grade(Desk(tmp_path), lab, jobs=2)
    assert not set(batch.graded) & set(graded) and batch.left == []
    assert batch.results["loopatonce"].status == "partly"


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda _: signal.raise_signal(signal.SIGINT)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_ctrl_c_while_a_result_is_kept_comes_when_it_is_kept_whole(few, lab, ctrl_c):
    """Else its student would be graded and left to do at once."""
    batch = grade.grade(Desk(few), lab, on_result=ctrl_c)
    (first,) = batch.graded
    assert sorted([first, *batch.left]) == ["correct", "half", "nobytes"]
    assert [result.student for result in Journal(few / "journal.jsonl")] == [first]
    assert sorted(grade.grade(Desk(few), lab).graded) == sorted(batch.left)


def test_the_class_has_lms_names(tmp_path, maker):
    cases = maker.cases()
    assert len(cases) >= 100 and len({case.student for case in cases}) == len(cases)
    paths = write(cases[:3], NAME, tmp_path)
    assert [path.name for path in paths] == [
        f"correct_10001_50001_{NAME}.ipynb",
        f"half_10002_50008_{NAME}.ipynb",
        f"blank_10003_50015_{NAME}.ipynb",
    ]


def test_the_class_is_collected_whole_under_its_own_names(tmp_path, maker):
    cases = maker.cases()
    archive = prepare(cases, NAME, tmp_path / "desk")
    report = collect.collect(NAME, archive, "canvas", Desk(tmp_path / "desk"))
    assert not report.refused
    assert Desk(tmp_path / "desk").students() == sorted([ABSENT, *(c.student for c in cases)])
    assert set(Desk(tmp_path / "desk").roster()) == set(Desk(tmp_path / "desk").students())


def test_the_table_of_attacks_counts_what_was_contained(maker):
    lab, cases = maker.lab, {case.name: case for case in maker.attacks()}
    some = [cases["foreign-kernel"], cases["steals"]]
    right = grade.run.grade_one(lab, some[0].data, "x", isolated=False)
    table, summary = attacks(some, lab, {case.student: right for case in some})
    q7 = some[1].wrongly_given(lab, right)
    assert q7 > 0 and summary == f"2 tried, 1 contained, {q7:g} points wrongly given."
    assert list(table.columns[4].cells) == ["0", f"{q7:g}"]
