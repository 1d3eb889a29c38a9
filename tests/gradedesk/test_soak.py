"""The soak, on a small class; and that each thing it looks for would be found."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gradedesk import sandbox
from gradedesk.desk import Desk
from gradedesk.grading import grade
from gradedesk.results import gradebook
from gradedesk.results.journal import Journal
from gradedesk.trial import soak
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_a_killed_grader_loses_nothing_and_grades_nothing_twice(tmp_path):
    options = ["--count", 60, "--pause", 2, "--seed", 4, "--out", tmp_path / "soak"]
    done = run("-m", "gradedesk.trial.soak", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(re.findall(r"^ *(.*?) {2,}([\d,.]+)$", done.stdout, re.MULTILINE))
    assert figures["lines in the journal"] == figures["submissions"] == "60"
    assert figures["of them hostile"] == "3" and int(figures["kills of the grader"]) >= 2
    assert done.stdout.endswith("No violation.\n") and not (tmp_path / "soak").exists()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A desk after a run that nobody killed: (desk, lab, cases by student)."""
    maker, desk = Maker(soak.LAB), tmp_path_factory.mktemp("desk")
    some = [*maker.honest()[:2], *(case for case in maker.hostile() if case.name == "nan")]
    cases = {case.student: case for case in some}
    for student, case in cases.items():
        folder = desk / "submitted" / student / soak.LAB
        folder.mkdir(parents=True)
        (folder / f"{soak.LAB}.ipynb").write_bytes(case.data)
    batch = grade.grade(Desk(desk), maker.lab, jobs=2)
    gradebook.update(Desk(desk).database, maker.lab, batch.results.values(), Desk(desk))
    return desk, maker.lab, cases


@pytest.fixture
def journal(desk):
    """The journal's file, put right again after a test."""
    path = desk[0] / "journal.jsonl"
    data = path.read_bytes()
    yield path
    path.write_bytes(data)


def found(desk):
    counts, said = soak.look(*desk)
    return {name: n for name, n in dataclasses.asdict(counts).items() if n}, said


def test_a_desk_that_is_as_it_should_be_has_no_violation(desk):
    assert found(desk) == ({"lines": 3}, [])


def test_a_second_line_for_a_submission_is_found(desk, journal):
    first = journal.read_bytes().splitlines(keepends=True)[0]
    journal.write_bytes(journal.read_bytes() + first)
    counts, said = found(desk)
    assert counts == {"lines": 4, "twice": 1} and "was graded 2 times" in said[0]


def test_a_submission_without_a_line_and_a_spoilt_line_are_found(desk, journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[1:], lines[0][:50] + b"\n"]))
    counts, said = found(desk)
    assert counts == {"lines": 2, "lost": 1, "damaged": 1} and len(said) == 2


def test_a_point_for_an_attack_and_another_grade_in_the_gradebook_are_found(desk, journal):
    results = list(Journal(journal))
    nan = next(result for result in results if result.student == "nan")
    test = next(test for test in nan.tests if test.outcome == "failed")
    test.points, test.outcome = test.max_points, "passed"
    journal.unlink()
    for result in results:
        Journal(journal).append(result)
    counts, said = found(desk)
    assert counts == {"lines": 3, "wrong": 1, "wrongly_given": test.max_points, "differing": 1}
    assert f"nan: {test.max_points:g} points too many" in said


def test_a_process_that_outlives_its_parent_is_found():
    code = """if True:
        import psutil, subprocess
        from gradedesk.trial import soak
        soak.adopt()
        assert soak.left_behind() == []
        subprocess.run(["sh", "-c", "sleep 77 & :"])
        soak.GONE = 0.2
        print(*soak.left_behind(), sep=";")
        [process.kill() for process in psutil.Process().children()]
        assert soak.left_behind() == []
    """
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sleep 77\n"
