"""A lab that a person grades whole: released, collected, shown, and its points exported."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = "lab11-capstone"
GIVEN = {"q1": 8, "q2": 15.5, "q3": 10, "q4": 20, "q5": 9, "q6": 12}


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Ada has answered, with her page beside it; Alan has handed in the lab as it was."""
    folder = tmp_path_factory.mktemp("by-hand")
    released = ROOT / "labs" / LAB / f"{LAB}.ipynb"
    for student in ("ada", "alan"):
        (folder / "inbox" / student).mkdir(parents=True)
        shutil.copy(released, folder / "inbox" / student)
    answer = released.read_text("utf-8").replace("YOUR ANSWER HERE", "Mine: <script>x</script>")
    (folder / "inbox" / "ada" / f"{LAB}.ipynb").write_text(answer, encoding="utf-8")
    (folder / "inbox" / "ada" / "page.html").write_text("<p>My page.", encoding="utf-8")
    return folder


def gradedesk(desk, *words):
    command = [sys.executable, "-m", "gradedesk", *words, "--desk", str(desk / "grading")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_goes_from_the_inbox_to_the_grades(desk):
    said = gradedesk(desk, "collect", LAB, str(desk / "inbox"), "--format", "plain")
    assert "2 collected" in said and "ignored: ada/page.html" in said
    said = gradedesk(desk, "grade", LAB)
    assert "needs hand grading       1  ada" in said
    shown = desk / "grading" / "autograded" / "ada" / LAB / f"{LAB}.ipynb"
    cells = json.loads(shown.read_text("utf-8"))["cells"]
    answers = [c for c in cells if c["metadata"].get("nbgrader", {}).get("grade")]
    assert len(answers) == len(GIVEN)
    assert all("".join(c["source"]).startswith("```text\nMine: <script>") for c in answers)

    with Gradebook(f"sqlite:///{desk / 'grading' / 'gradebook.db'}") as gradebook:
        for question, points in GIVEN.items():
            grade = gradebook.find_grade(question, LAB, LAB, "ada")  # as formgrader does
            assert grade.needs_manual_grade
            grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.db.commit()

    gradedesk(desk, "grade", LAB, "--regrade")  # what was given stays
    gradedesk(desk, "export", "--format", "csv", "--out", str(desk / "grades.csv"))
    with open(desk / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert float(rows["ada"][LAB]) == sum(GIVEN.values())
    assert float(rows["ada"][f"{LAB} of"]) == 100
    assert float(rows["alan"][LAB]) == 0
