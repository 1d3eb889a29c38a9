"""Grades as CSV: what is known, what is not and why, and no cell that is a formula."""

import csv
import hashlib
import io
import json

import pytest

from gradedesk.desk import Desk
from gradedesk.names import DeskError
from gradedesk.results.export import export
from gradedesk.results.journal import Journal
from gradedesk.results.result import ManualAnswer, Result, TestOutcome

LAB = "lab01-ngram"
NOTEBOOK = b'{"cells": []}'


@pytest.fixture
def desk(tmp_path):
    """A class of three, of whom ada has been graded."""
    (tmp_path / "roster.csv").write_text(
        "student,name,id,login,section,email\n"
        "ada,Ada Lovelace,12345,al,A,ada@x.org\n"
        "alan,Alan Turing,12346,,,\n"
        "grace,Grace Hopper,,,,\n",
        encoding="utf-8",
    )
    submit(tmp_path, "ada")
    write(tmp_path, result("ada"))
    return tmp_path


def result(student, points=7.5, status="graded", lab=LAB, answered=None, late=False):
    test = TestOutcome(
        "q1-a", "q1", "counts", False, 90.0, points, "passed" if points else "failed"
    )
    manual = [] if answered is None else [ManualAnswer("q7", "q7", 10.0, "because", answered)]
    return Result(
        student=student,
        lab=lab,
        submission=hashlib.sha256(NOTEBOOK).hexdigest(),
        status=status,
        graded_at="2026-10-12T12:00:00+00:00",
        late=late,
        tests=[test] if status in ("graded", "partly", "tampered") else [],
        manual=manual,
    )


def write(desk, *results):
    for each in results:
        Journal(desk / "journal.jsonl").append(each)


def submit(desk, student, data=NOTEBOOK, lab=LAB, **received):
    folder = desk / "submitted" / student / lab
    folder.mkdir(parents=True)
    (folder / f"{lab}.ipynb").write_bytes(data)
    (folder / "received.json").write_text(json.dumps(received), encoding="utf-8")


def read_rows(path):
    return list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))


def table(desk, **more):
    """Plain CSV: (points, status) by student."""
    path = export(Desk(desk), "csv", desk / "out.csv", force=True, **more)
    return {row[0]: (row[2], row[4]) for row in read_rows(path)[1:]}


def test_plain_csv_has_points_maximum_and_status_of_each_student(desk):
    path = export(Desk(desk), "csv")
    assert path == desk / "grades.csv"
    assert read_rows(path) == [
        ["student", "name", LAB, f"{LAB} of", f"{LAB} status"],
        ["ada", "Ada Lovelace", "7.5", "90", "graded"],
        ["alan", "Alan Turing", "", "90", "missing"],
        ["grace", "Grace Hopper", "", "90", "missing"],
    ]


def test_only_plain_csv_has_a_byte_order_mark(desk):
    starts = {
        fmt: export(Desk(desk), fmt, desk / f"{fmt}.csv").read_bytes()[:3] == b"\xef\xbb\xbf"
        for fmt in ("csv", "canvas", "moodle")
    }
    assert starts == {"csv": True, "canvas": False, "moodle": False}


def test_canvas_gets_its_columns_and_its_second_line(desk):
    assert read_rows(export(Desk(desk), "canvas")) == [
        ["Student", "ID", "SIS Login ID", "Section", LAB, f"{LAB} status (Current Grade)"],
        ["Points Possible", "", "", "", "90", "(read only)"],
        ["Ada Lovelace", "12345", "al", "A", "7.5", "graded"],
        ["Alan Turing", "12346", "", "", "", "missing"],
        ["Grace Hopper", "", "", "", "", "missing"],
    ]


def test_moodle_gets_what_finds_a_student(desk):
    assert read_rows(export(Desk(desk), "moodle"))[:2] == [
        ["Full name", "Email address", "ID number", LAB, f"{LAB} status"],
        ["Ada Lovelace", "ada@x.org", "12345", "7.5", "graded"],
    ]


def test_without_a_class_list_names_and_numbers_are_what_canvas_told(desk):
    (desk / "roster.csv").unlink()
    submit(desk, "turingalan-7", format="canvas", name="turingalan", user="7")
    assert read_rows(export(Desk(desk), "canvas"))[2:] == [
        ["ada", "", "", "", "7.5", "graded"],
        ["turingalan", "7", "", "", "", "not graded"],
    ]


@pytest.mark.parametrize("status", ["unreadable", "missing", "grader-error"])
def test_what_could_not_be_graded_is_empty_and_never_0(desk, status):
    write(desk, result("alan", status=status))
    assert table(desk)["alan"] == ("", status)


def test_an_honest_0_is_0(desk):
    write(desk, result("alan", points=0))
    assert table(desk)["alan"] == ("0", "graded")


@pytest.mark.parametrize("status", ["partly", "tampered"])
def test_points_so_far_are_kept_with_their_status(desk, status):
    write(desk, result("alan", points=3, status=status))
    assert table(desk)["alan"] == ("3", status)


def test_the_newest_result_counts(desk):
    write(desk, result("ada", points=11))
    assert table(desk)["ada"] == ("11", "graded")


def test_an_answer_that_waits_for_a_person_is_said(desk):
    write(desk, result("ada", answered=True), result("alan", answered=False))
    assert table(desk)["ada"] == ("7.5", "graded, needs hand grading")
    assert table(desk)["alan"] == ("7.5", "graded")


def test_points_given_by_hand_are_added(desk):
    write(desk, result("ada", answered=True))
    manual = {("ada", LAB, "q7"): 8.25, ("alan", LAB, "q7"): 1.0, ("ada", "lab02", "q7"): 5.0}
    assert table(desk, manual=manual)["ada"] == ("15.75", "graded")


def test_a_test_overruled_by_hand_counts_as_the_person_said(desk):
    assert table(desk, manual={("ada", LAB, "q1-a"): 60.0})["ada"] == ("60", "graded")


def test_a_person_can_grade_what_the_grader_could_not_read(desk):
    write(desk, result("alan", status="unreadable"))
    assert table(desk, manual={("alan", LAB, "q1"): 40.0})["alan"] == ("40", "unreadable")


def test_a_grade_by_hand_that_is_no_number_is_one_line(desk):
    with pytest.raises(DeskError, match="ada, lab01-ngram: a grade given by hand"):
        export(Desk(desk), "csv", manual={("ada", LAB, "q7"): float("nan")})


def test_a_submission_that_came_after_grading_is_said(desk):
    (desk / "submitted/ada" / LAB / f"{LAB}.ipynb").write_bytes(b"newer")
    submit(desk, "alan", late=True)
    assert table(desk)["ada"] == ("7.5", "graded, newer submission not graded")
    assert table(desk)["alan"] == ("", "not graded, late")


def test_late_work_is_marked(desk):
    write(desk, result("alan", late=True))
    assert table(desk)["alan"] == ("7.5", "graded, late")


def test_each_lab_has_its_columns(desk):
    write(desk, result("alan", lab="lab02-bpe"))
    assert read_rows(export(Desk(desk), "canvas"))[:3] == [
        ["Student", "ID", "SIS Login ID", "Section", LAB, "lab02-bpe"]
        + [f"{lab} status (Current Grade)" for lab in (LAB, "lab02-bpe")],
        ["Points Possible", "", "", "", "90", "90", "(read only)", "(read only)"],
        ["Ada Lovelace", "12345", "al", "A", "7.5", "", "graded", "missing"],
    ]


SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "−", "﹦")
CUTS = [
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "\xa0",
    "\u3000",
    ",",
    ";",
    "|",
    ":",
    "/",
    '"',
    "'",
    "`",
    "(",
    "a;",
]
CUTS += ['";"', "';'", '"";', "a ", 'a;"', "a;'", "a;' ", "a\t", "a\n", "a|\u200b", "\ufeff", "é, "]
ATTACKS = [cut + sign + "1+cmd|' /C calc'!A0" for cut in CUTS for sign in SIGNS]


def as_spreadsheets_read(path):
    """The cells of a CSV file, cut in each way that a spreadsheet offers."""
    text = path.read_text(encoding="utf-8-sig")
    for separator in ",;\t|: ":
        for quote in ('"', "'", None):
            how = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
            for lines in io.StringIO(text, newline=""), text.splitlines():
                for row in csv.reader(lines, delimiter=separator, quotechar=quote, quoting=how):
                    yield from row


@pytest.mark.parametrize("fmt", ["csv", "canvas", "moodle"])
def test_no_cell_is_a_formula_wherever_it_is_cut(desk, fmt):
    """What students chose stands in each column; quotes and blanks may be taken away."""
    with open(desk / "roster.csv", "w", encoding="utf-8", newline="") as file:
        rows = [[f"s{n}", *[attack] * 5] for n, attack in enumerate(ATTACKS)]
        table = [["student", "name", "id", "login", "section", "email"], *rows]
        csv.writer(file).writerows(table)
    for number, name in enumerate(ATTACKS):  # and as a learning platform tells it
        submit(desk, f"t{number}", format="canvas", name=name, user=name)
    path = export(Desk(desk), fmt)
    cells = {cell.strip(" \t\r\n\xa0\u3000\"'`(") for cell in as_spreadsheets_read(path)}
    assert not [cell for cell in cells if cell.startswith(SIGNS)]
    names = [row[fmt == "csv"] for row in read_rows(path)]
    assert sum("cmd" in name for name in names) == 2 * len(ATTACKS)


@pytest.mark.parametrize("fmt", ["csv", "canvas", "moodle"])
def test_a_name_stays_as_one_reads_it_and_what_finds_a_student_as_it_was(desk, fmt):
    people = {
        "O'Neil; Ada": ("12345", "ada.king-2", "ada+nlp@example.org"),
        "Anna-Maria d’Arcy, PhD": ("S-12/3", "anna@example.org", "a_-b@example.org"),
        "山田 太郎 (J.-P.)": ("0042", "山田", "yamada@例え.jp"),
        "علی\u200cرضا": ("7", "ali", "ali@example.org"),
    }
    rows = [[f"s{n}", name, *more] for n, (name, more) in enumerate(people.items())]
    with open(desk / "roster.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["student", "name", "id", "login", "email"], *rows])
    found = [row for row in read_rows(export(Desk(desk), fmt)) if {*people} & {*row}]
    columns = {
        "csv": [[name] for name in people],
        "canvas": [[name, number, login] for name, (number, login, _) in people.items()],
        "moodle": [[name, email, number] for name, (number, _, email) in people.items()],
    }[fmt]
    assert [row[fmt == "csv" :][: len(columns[0])] for row in found] == columns


def test_numbers_are_plain(desk):
    write(
        desk, result("ada", points=1 / 3), result("alan", points=90), result("grace", points=1e-9)
    )
    found = table(desk)
    assert [found[s][0] for s in ("ada", "alan", "grace")] == ["0.33", "90", "0"]


def test_a_file_that_exists_is_overwritten_with_force_only(desk):
    path = export(Desk(desk), "csv")
    path.write_bytes(b"mine")
    with pytest.raises(DeskError, match="exists already.*--force"):
        export(Desk(desk), "csv")
    assert path.read_bytes() == b"mine"
    export(Desk(desk), "csv", force=True)
    assert path.read_bytes() != b"mine"
    assert not list(desk.glob(".*.tmp"))


def test_a_desk_without_grades_is_one_line(tmp_path):
    with pytest.raises(DeskError, match="has no grades yet"):
        export(Desk(tmp_path), "csv")
