"""The journal and its lines: whole or not there, whatever happens."""

import json
import math
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gradedesk.results.journal import Journal, JournalError
from gradedesk.results.result import ManualAnswer, Result, ResultError, TestOutcome

ROOT = Path(__file__).resolve().parents[2]


def result(student="ada", submission="a" * 64, **fields):
    test = TestOutcome("q1-a", "q1", "a", False, 6.0, 6.0, "passed")
    manual = ManualAnswer("q8", "q8", 10.0, "because")
    made = Result(student, "lab01-ngram", submission, "graded", "2026-10-01T12:00:00+00:00")
    return replace(made, tests=[test], manual=[manual], **fields)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "desk" / "journal.jsonl")


# --- A result ------------------------------------------------------------------------------------


def test_a_result_comes_back_as_it_was():
    made = result(output={"q1": "Où? 🦊\n"}, problems=["\u202e"], received=None, late=True)
    line = made.to_json()
    assert line.isascii() and "\n" not in line
    assert Result.from_json(line) == made
    assert made.points == 6 and made.max_points == 16 and made.needs_hand_grading


@pytest.mark.parametrize(
    "points, most, outcome",
    [
        (math.nan, 6.0, "passed"),
        (math.inf, math.inf, "passed"),
        (-1.0, 6.0, "failed"),
        (1e9, 6.0, "passed"),
        (6.0, math.nan, "passed"),
        (6.0, 6.0, "failed"),
        (6.0, 6.0, "excellent"),
    ],
)
def test_impossible_points_are_refused(points, most, outcome):
    made = result()
    made.tests[0] = TestOutcome("q1-a", "q1", "a", False, most, points, outcome)
    with pytest.raises(ResultError, match="ada, lab01-ngram, q1-a"):
        made.to_json()


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"version": 1}', '{"version": 9}', "[" * 10**5])
def test_what_is_no_result_is_refused(line):
    with pytest.raises(ResultError):
        Result.from_json(line)


# --- The journal ---------------------------------------------------------------------------------


def test_the_newest_line_of_a_student_wins(journal):
    assert list(journal) == [] and journal.latest() == {}
    for made in (result(), result("bob"), result(submission="b" * 64, note="second")):
        journal.append(made)
    assert [made.student for made in journal] == ["ada", "bob", "ada"]
    assert journal.latest()["ada", "lab01-ngram"].note == "second"
    assert set(journal.latest("lab02-bpe")) == set()


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps no such modes")
def test_nobody_else_reads_the_journal(journal):
    journal.append(result())
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_a_torn_last_line_is_passed_over_and_then_cut_off(journal):
    journal.append(result())
    whole = journal.path.read_bytes()
    for torn in (whole[:-1], whole[: len(whole) // 2], b"{", b"x" * 200_000):
        journal.path.write_bytes(whole + torn)
        assert [made.student for made in journal] == ["ada"] and journal.damaged == []
        journal.append(result("bob"))
        assert journal.path.read_bytes().startswith(whole)
        assert [made.student for made in journal] == ["ada", "bob"]


def test_a_journal_that_is_only_a_torn_line(journal):
    journal.path.parent.mkdir()
    journal.path.write_bytes(b'{"version": 1, "stud')
    assert list(journal) == []
    journal.append(result())
    assert [made.student for made in journal] == ["ada"]


def test_a_damaged_line_is_named_and_the_others_are_read(journal):
    for name in ("ada", "bob", "cleo"):
        journal.append(result(name))
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b"\x00\xff{\n" + lines[2])
    assert [made.student for made in journal] == ["ada", "cleo"]
    assert journal.damaged == [2]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    """Played by the limit on a file's size, in a process of its own."""
    code = """if True:
        import resource, signal, sys
        sys.path.insert(0, sys.argv[2])
        from test_journal import result
        from gradedesk.results.journal import Journal, JournalError
        journal = Journal(sys.argv[1])
        journal.append(result())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = journal.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        try:
            journal.append(result("bob"))
        except JournalError as error:
            print(error)
        print(journal.path.stat().st_size == size, [made.student for made in journal])
    """
    path = tmp_path / "journal.jsonl"
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    first, second = run.stdout.splitlines()
    assert "could not be written (File too large)" in first and "run the same command" in first
    assert second == "True ['ada']"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(JournalError, match="could not be written"):
        Journal(tmp_path / "file" / "journal.jsonl").append(result())


def test_lines_of_many_writers_do_not_mix(journal):
    def write(name):
        for i in range(20):
            Journal(journal.path).append(result(name, note=f"{i}" * 5000))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(journal)) == 80 and journal.damaged == []


def test_no_line_is_lost_or_doubled_when_the_writer_is_killed(tmp_path):
    """SIGKILL at random moments; each new writer goes on after the last line that is there."""
    code = """if True:
        import sys
        sys.path.insert(0, sys.argv[2])
        from test_journal import result
        from gradedesk.results.journal import Journal
        journal = Journal(sys.argv[1])
        done = len(list(journal))
        print("ready", flush=True)
        for i in range(done, 10**6):
            journal.append(result(str(i), note="x" * 50_000))
            print(i, flush=True)
    """
    path, rng, acknowledged = tmp_path / "journal.jsonl", random.Random(3), 0
    command = [sys.executable, "-c", code, str(path), str(Path(__file__).parent)]
    for _ in range(5):
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert writer.stdout.readline() == "ready\n"
        said = [writer.stdout.readline() for _ in range(rng.randrange(10))]
        time.sleep(rng.uniform(0.0, 0.01))  # within a line or between two
        os.kill(writer.pid, signal.SIGKILL)
        said += writer.stdout.read().splitlines(keepends=True)
        said = [line for line in said if line[-1] == "\n"]
        writer.stdout.close()
        writer.wait()
        journal = Journal(path)
        names = [made.student for made in journal]
        assert names == [str(i) for i in range(len(names))] and journal.damaged == []
        acknowledged = max(acknowledged, int(said[-1]) + 1 if said else 0)
        assert len(names) >= acknowledged
    assert acknowledged > 10


def test_the_lines_are_json_that_others_can_read(journal):
    journal.append(result())
    line = json.loads(journal.path.read_text(encoding="utf-8"))
    assert line["version"] == 1 and line["tests"][0]["points"] == 6.0
