"""The gradebook: nbgrader's own numbers, and nothing that a person gave is ever lost."""

import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nbformat
import psycopg
import pytest
from bs4 import BeautifulSoup
from classroom import ALL, HOSTILE, SCRIPTS, UNSEEN, result, small_class, small_lab, wait_until
from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook
from nbgrader.server_extensions.formgrader import handlers
from sqlalchemy import MetaData, create_engine, make_url

from gradedesk.desk import Desk
from gradedesk.names import DeskError
from gradedesk.plain import plain
from gradedesk.results import formgrader, gradebook
from gradedesk.results.gradebook import GradebookError

LAB = small_lab()
NAME = LAB.name


@pytest.fixture(scope="session")
def postgres():
    """The URL of a private PostgreSQL server on a socket of its own."""
    found = shutil.which("initdb") or max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), default="")
    if not found:
        pytest.skip("PostgreSQL is missing: sudo apt-get install -y postgresql")
    programs = Path(found).resolve().parent
    place = Path(tempfile.mkdtemp(prefix="pg"))
    who = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(place, "nobody", "nogroup")
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    quiet = {"cwd": place, "stdout": subprocess.DEVNULL, **who}
    server = None
    try:
        data = place / "data"
        make = [programs / "initdb", "-D", data, "-U", "desk", "-A", "trust", "--no-sync"]
        subprocess.run([*make, "-E", "UTF8", "--locale=C"], check=True, **quiet)
        with open(place / "log", "wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", place, "-h", "", "-F"],
                stderr=log,
                **quiet,
            )
        url = f"postgresql://desk@/postgres?host={place}"

        def answers():
            try:
                psycopg.connect(url).close()
                return True
            except psycopg.OperationalError:
                assert server.poll() is None, (place / "log").read_text()

        assert wait_until(answers)
        yield url
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # do not wait for whoever is still connected
            server.wait(300)
        shutil.rmtree(place)


@pytest.fixture(params=["sqlite", "postgresql"])
def db_url(request, tmp_path):
    if request.param == "sqlite":
        return Desk(tmp_path / "desk").database
    server = request.getfixturevalue("postgres")
    name = f"desk{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def book(db_url) -> Gradebook:
    """The gradebook as nbgrader itself opens it."""
    url = make_url(db_url)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return Gradebook(url.render_as_string(hide_password=False))


def give(db_url, student, grade_id, score, comment=None, extra=None):
    """What formgrader does when a person types a score, extra credit or a comment."""
    with book(db_url) as open_book:
        if score is not None or extra is not None:
            grade = open_book.find_grade(grade_id, NAME, NAME, student)
            grade.manual_score, grade.extra_credit = score, extra
            grade.needs_manual_grade = score is None and grade.auto_score is None
        if comment is not None:
            cell = grade_id.split("-")[0]
            open_book.find_comment(cell, NAME, NAME, student).manual_comment = comment
        open_book.db.commit()


def numbers(db_url) -> dict:
    """What formgrader's lists show of each submission."""
    keys = ("score", "max_score", "code_score", "written_score", "needs_manual_grade")
    with book(db_url) as open_book:
        rows = open_book.submission_dicts(NAME)
    return {row["student"]: tuple(row[key] for key in keys) for row in rows}


def dump(db_url) -> dict:
    """Every row of every table."""
    url = make_url(db_url)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
    )
    tables = MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        rows = {
            name: sorted(map(repr, connection.execute(table.select())))
            for name, table in tables.tables.items()
        }
    engine.dispose()
    return rows


def test_nbgrader_shows_our_numbers(db_url):
    gradebook.update(db_url, LAB, small_class())
    assert numbers(db_url) == {
        "ada": (16, 20, 16, 0, True),  # the written answer waits for a person
        "bob": (6, 20, 6, 0, False),  # blank: nothing to wait for
        "tim": (6, 20, 6, 0, True),
        "mallory": (0, 20, 0, 0, True),
        "una": (0, 20, 0, 0, True),  # unreadable: asks for a person, and is no silent 0
    }
    with book(db_url) as open_book:
        assert {student.id for student in open_book.students} == {
            result.student for result in small_class()
        }
        grades = {g.name: g for g in open_book.find_submission(NAME, "tim").notebooks[0].grades}
        assert grades["q1-hidden-big"].auto_score is None  # never run
        assert grades["q2-example"].auto_score == 0  # ran out of time
        cells = open_book.find_notebook(NAME, NAME)
        assert {c.name: c.max_score for c in cells.grade_cells} == {
            "q1-example": 6,
            "q1-hidden-big": 4,
            "q2-example": 6,
            "q3": 4,
        }
        assert {c.name for c in cells.solution_cells} == {"q1", "q2", "q3"}
        assert "q1-text" in {c.name for c in cells.source_cells}
        assert open_book.find_comment("q3", NAME, NAME, "bob").comment == "No response."
        assert str(open_book.find_submission(NAME, "ada").timestamp) == "2026-02-28 09:30:00"


def test_what_people_gave_survives_update_regrade_and_rebuild(db_url):
    gradebook.update(db_url, LAB, small_class())
    assert gradebook.manual_scores(db_url) == {("bob", NAME, "q3"): 0.0}
    give(db_url, "ada", "q3", 3.5, "Good: but why <b>this</b>?")
    give(db_url, "bob", "q2-example", 2, extra=1)
    give(db_url, "mallory", "q1", None, "See me.")
    with book(db_url) as open_book:
        open_book.find_submission_notebook(NAME, NAME, "tim").flagged = True
        open_book.grant_extension(NAME, "tim", days=2)
        open_book.update_or_create_student("ada", first_name="Ada", last_name="L")
        open_book.update_or_create_assignment(NAME, duedate="2026-03-01 00:00:00 UTC")
    wanted = {
        ("ada", NAME, "q3"): 3.5,
        ("bob", NAME, "q3"): 0.0,
        ("bob", NAME, "q2-example"): 3.0,
    }
    before = dump(db_url)

    def check():
        hand = gradebook.hand(db_url)
        assert hand.scores == wanted
        assert hand.comments["ada", NAME, "q3"] == "Good: but why <b>this</b>?"
        assert hand.comments["mallory", NAME, "q1"] == "See me."
        assert ("ada", NAME, "q3") not in hand.open
        assert ("mallory", NAME, "q3") in hand.open
        assert dump(db_url) == before

    check()
    gradebook.update(db_url, [LAB], small_class())
    check()
    gradebook.rebuild(db_url, [LAB], small_class())
    check()
    # A regrade with other scores keeps them, too, and asks for no second look: same answer.
    regraded = result("ada", passed=["q1-example"])
    gradebook.update(db_url, LAB, [regraded])
    assert gradebook.manual_scores(db_url) == wanted
    assert numbers(db_url)["ada"] == (9.5, 20, 6, 3.5, False)


def test_another_answer_asks_for_another_look(db_url):
    gradebook.update(db_url, LAB, [result("ada", passed=ALL)])
    give(db_url, "ada", "q3", 4)
    gradebook.update(db_url, LAB, [result("ada", passed=ALL, text="Because of that.")])
    assert gradebook.manual_scores(db_url)["ada", NAME, "q3"] == 4
    assert gradebook.hand(db_url).open == {("ada", NAME, "q3")}
    gradebook.rebuild(db_url, LAB, [result("ada", passed=ALL, text="Because of that.")])
    assert gradebook.hand(db_url).open == {("ada", NAME, "q3")}
    give(db_url, "ada", "q3", 3)
    gradebook.update(db_url, LAB, [result("ada", passed=ALL, text="Because of that.")])
    assert gradebook.hand(db_url).open == set()


def test_rebuild_from_nothing_and_one_by_one_give_the_same_book(db_url, tmp_path):
    gradebook.update(db_url, LAB, small_class())
    again = Desk(tmp_path / "again").database
    gradebook.rebuild(again, LAB, [result("bob", passed=ALL), *small_class()])  # the newest wins
    assert dump(again) == dump(db_url)
    slowly = Desk(tmp_path / "slowly").database
    for one in reversed(small_class()):
        gradebook.update(slowly, LAB, [one])
    assert dump(slowly) == dump(db_url)


def test_hand_grades_outlive_a_lost_journal_and_a_missing_submission(db_url):
    gradebook.update(db_url, LAB, [result("ada", passed=ALL), result("bob")])
    give(db_url, "ada", "q3", 4)
    gradebook.rebuild(db_url, LAB, [])
    assert gradebook.manual_scores(db_url) == {("ada", NAME, "q3"): 4}
    assert set(numbers(db_url)) == {"ada"}
    gone = result("ada", status="missing", submission="", tests=[], manual=[], answers={})
    gradebook.update(db_url, LAB, [gone])
    assert gradebook.manual_scores(db_url) == {("ada", NAME, "q3"): 4}


def test_a_lab_may_change_but_not_under_a_persons_grade(db_url):
    gradebook.update(db_url, LAB, small_class())
    fewer = replace(LAB, cells=[cell for cell in LAB if cell.grade_id != "q2-example"])
    gradebook.update(db_url, fewer, small_class())
    assert numbers(db_url)["ada"][:2] == (10, 14)
    gradebook.update(db_url, LAB, small_class())
    assert numbers(db_url)["ada"][:2] == (16, 20)
    give(db_url, "ada", "q3", 4)
    before = dump(db_url)
    without = replace(LAB, cells=[cell for cell in LAB if cell.grade_id != "q3"])
    for change in gradebook.update, gradebook.rebuild:
        with pytest.raises(GradebookError, match="no longer has the cell q3, but 1 grades"):
            change(db_url, without, small_class())
    assert dump(db_url) == before


def test_a_failure_changes_nothing(db_url, monkeypatch):
    gradebook.update(db_url, LAB, small_class())
    give(db_url, "ada", "q3", 4)
    before = dump(db_url)

    add = gradebook._add_submissions

    def fail_at_the_end(*arguments):
        add(*arguments)
        raise RuntimeError("pulled out")

    monkeypatch.setattr(gradebook, "_add_submissions", fail_at_the_end)
    for change in gradebook.update, gradebook.rebuild:
        with pytest.raises(RuntimeError, match="pulled out"):
            change(db_url, LAB, [result("ada")])
    assert dump(db_url) == before


def test_a_full_disk_is_one_line_and_changes_no_number(tmp_path, monkeypatch):
    url = Desk(tmp_path).database
    gradebook.update(url, LAB, small_class(), desk=Desk(tmp_path))
    before = dump(url)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeskError, match="No space left on device"):
        gradebook.update(url, LAB, [result("ada", text="Another.")], desk=Desk(tmp_path))
    assert dump(url) == before
    assert [path.name for path in (tmp_path / "autograded" / "ada" / NAME).iterdir()] == [
        f"{NAME}.ipynb"
    ]


def test_a_result_of_no_lab_is_refused(tmp_path):
    with pytest.raises(GradebookError, match="lab09, which is no lab here"):
        gradebook.update(Desk(tmp_path).database, LAB, [replace(result("ada"), lab="lab09")])


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "a\nb", "\u202eada", "x" * 200])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DeskError):
        gradebook.update(Desk(tmp_path).database, LAB, [replace(result("ada"), student=name)])
    assert list(tmp_path.iterdir()) == []


def test_sqlite_is_kept_safe(tmp_path):
    url = Desk(tmp_path).database
    gradebook.update(url, LAB, small_class())
    file = tmp_path / "gradebook.db"
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    # Another program is writing: we wait for it.
    connection.isolation_level = None
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE student SET email = 'ada@example.org' WHERE id = 'ada'")
    done = threading.Event()

    def update():
        gradebook.update(url, LAB, small_class())
        done.set()

    thread = threading.Thread(target=update)
    thread.start()
    assert not done.wait(0.5)
    connection.execute("COMMIT")
    thread.join(20)
    assert done.is_set()
    assert ("ada@example.org",) in connection.execute("SELECT email FROM student").fetchall()
    connection.close()


def test_a_database_that_cannot_be_used_is_one_line(tmp_path, postgres):
    broken = tmp_path / "gradebook.db"
    broken.write_bytes(b"this is no database" * 100)
    with pytest.raises(GradebookError, match="file is not a database") as caught:
        gradebook.update(Desk(tmp_path).database, LAB, small_class())
    assert "\n" not in str(caught.value)
    assert broken.read_bytes() == b"this is no database" * 100
    nobody = postgres.replace("desk@", "nobody:hunter2@").replace("/postgres?", "/nothing?")
    with pytest.raises(GradebookError) as caught:
        gradebook.manual_scores(nobody)
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)
    for address in "no url", "sqlite://", "mysterious://x/y":
        with pytest.raises(GradebookError):
            gradebook.update(address, LAB, [])
    old = tmp_path / "old"
    gradebook.update(Desk(old).database, LAB, [])
    with sqlite3.connect(old / "gradebook.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    connection.close()
    with pytest.raises(GradebookError, match="nbgrader db upgrade"):
        gradebook.update(Desk(old).database, LAB, small_class())


def test_no_gradebook_yet_is_no_grade_and_no_file(tmp_path):
    assert gradebook.manual_scores(Desk(tmp_path).database) == {}
    assert list(tmp_path.iterdir()) == []


def test_two_first_updates_at_once(db_url):
    together = threading.Barrier(2)

    def first(name):
        together.wait(10)
        gradebook.update(db_url, LAB, [result(name, passed=ALL)])

    with ThreadPoolExecutor() as pool:
        list(pool.map(first, ["ada", "bob"]))
    assert set(numbers(db_url)) == {"ada", "bob"}


# --- what formgrader shows ---


def shown(notebook) -> BeautifulSoup:
    """The page that formgrader makes of a notebook."""
    exporter = HTMLExporter(
        template_name="formgrade", extra_template_basedirs=[handlers.template_path]
    )
    resources = {"base_url": "", "student": "x", "index": 0, "total": 1, "notebook_id": NAME}
    resources |= {"assignment_id": NAME, "submission_id": "0", "last_name": None}
    html, _ = exporter.from_notebook_node(notebook, resources={**resources, "first_name": None})
    return BeautifulSoup(html, "html.parser")


def parts(page) -> list:
    """Everything in the notebook's part of a page but text: elements with what they would do."""
    found = page.find(id="notebook").find_all(True)
    return sorted(
        (tag.name, *sorted(name for name in tag.attrs if name != "id"))
        for tag in found
        if tag.name not in ("span", "pre", "code", "div", "br")
    )


def test_formgrader_gets_nothing_of_a_student_but_text(tmp_path):
    mallory, ada = small_class()[3], small_class()[0]
    gradebook.update(Desk(tmp_path).database, LAB, small_class(), desk=Desk(tmp_path))
    path = tmp_path / "autograded" / "mallory" / NAME / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    hostile, honest = shown(notebook), shown(formgrader.notebook(LAB, ada))
    assert parts(hostile) == parts(honest)
    text = hostile.get_text()
    for script in SCRIPTS:
        for line in script.splitlines():
            assert line in text
    assert "q3" in {area["id"] for area in hostile.find_all("input", class_="score")}
    for cell in notebook.cells:
        assert "attachments" not in cell
        for output in cell.get("outputs", []):
            assert output.output_type == "stream" and output.name == "stdout"
    raw = path.read_text(encoding="utf-8")
    assert "\\u0000" not in raw and "\u202e" not in raw and "\x1b" not in raw
    assert "kernelspec" not in json.loads(raw)["metadata"]
    assert "SECRET_INPUT" not in raw and "A model answer" not in raw
    assert mallory.status == "tampered" and "alterations undone" in text
    assert not (tmp_path / "autograded" / "nil").exists()
    assert (
        "nbformat 99"
        in shown(
            nbformat.read(tmp_path / "autograded" / "una" / NAME / f"{NAME}.ipynb", as_version=4)
        ).get_text()
    )


def test_what_formgrader_shows_is_bounded():
    huge = replace(
        result("ada", text="`" * 300_000, message="m" * 300_000),
        output={"q1": "o" * 3_000_000},
        answers={"q1": "a" * 3_000_000},
    )
    assert len(nbformat.writes(formgrader.notebook(LAB, huge))) < 1_500_000


@pytest.mark.parametrize(
    "written", [HOSTILE, UNSEEN, "```\n# no", "~~~", "`" * 20, "", "    x\n\ny"]
)
def test_a_written_answer_stays_in_its_fence(written):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(formgrader.fenced(plain(written)))]
    )
    page = shown(notebook).find(id="notebook")
    blocks = page.find_all("pre")
    assert len(blocks) == 1
    assert blocks[0].get_text().strip("\n") == plain(written).strip("\n")
    outside = page.get_text().replace(blocks[0].get_text(), "")
    assert "alert" not in outside
