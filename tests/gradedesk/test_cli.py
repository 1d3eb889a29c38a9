"""The command `gradedesk`: what it prints, writes and exits with."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gradedesk import cli, sandbox
from gradedesk.grading import run
from gradedesk.results.journal import Journal
from gradedesk.sandbox.doctor import Check
from gradedesk.trial.make_class import write
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parents[2]
LAB = "lab01-ngram"
needs_sandbox = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))


@pytest.fixture
def gradedesk(capsys, monkeypatch):
    """gradedesk("grade", ...) -> (exit code, stdout, stderr), in this process."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["gradedesk", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return caught.value.code or 0, said.out, said.err

    monkeypatch.delenv("GRADEDESK_DB", raising=False)
    return call


@pytest.fixture(scope="module")
def maker():
    return Maker(LAB)


COMMANDS = "release collect grade feedback report export rebuild doctor check".split()


def test_the_module_is_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "gradedesk", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 0 and all(f" {name} " in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_parses(gradedesk, command):
    """Each example of the help is a command line with the right arguments."""
    code, out, _ = gradedesk(command, "--help")
    assert code == 0
    text = " ".join(out.split())
    assert f"Example: gradedesk {command}" in text
    words = re.search(r"Example: gradedesk (.*)$", text)[1].split()
    with cli.typer.main.get_command(cli.app).make_context("gradedesk", words) as context:
        name, command_, rest = context.command.resolve_command(context, words)
        assert name == command and command_.make_context(name, rest).params


@pytest.mark.parametrize(
    "args, says",
    [
        (["grade"], "Missing argument"),
        (["grade", LAB, "--jobs", "0"], "Invalid value for '--jobs'"),
        (["collect", LAB, ".", "--format", "blackboard"], "'blackboard' is not one of"),
        (["spell"], "No such command"),
    ],
)
def test_wrong_usage_exits_with_2(gradedesk, args, says):
    code, _, err = gradedesk(*args)
    assert code == 2 and says in " ".join(err.replace("│", " ").split())


def test_a_mistake_of_the_user_is_one_line(gradedesk, tmp_path):
    desk, here = tmp_path / "desk", ["--course", ROOT]
    (tmp_path / "bad.ipynb").write_text("{", encoding="utf-8")
    for args, says in {
        ("grade", "lab99", "--desk", desk, *here): "There is no lab 'lab99'",
        ("grade", LAB, "--desk", desk, "--course", tmp_path): "the folder has no lab",
        ("feedback", LAB, "--desk", desk, *here): "There is no desk",
        ("report", LAB, "--desk", desk, *here): "run `gradedesk collect` first",
        ("export", "--desk", desk): "There is no desk",
        ("rebuild", "--desk", desk, *here): "There is no desk",
        ("collect", LAB, tmp_path / "no.zip", "--format", "canvas", "--desk", desk): "no.zip",
        ("check", tmp_path / "no.ipynb", *here): "cannot be read: No such file",
        ("check", tmp_path / "bad.ipynb", *here): "is not a notebook",
        ("check", tmp_path, *here): "Is a directory",
        (
            *("collect", LAB, tmp_path, "--format", "plain", "--desk", desk),
            *("--deadline", "tomorrow"),
        ): "'tomorrow' is no time: write it as 2026-10-12T23:59+02:00",
    }.items():
        code, out, err = gradedesk(*args)
        assert (code, out, err.count("\n")) == (2, "", 1), (args, err)
        assert err.startswith("gradedesk: ") and says in err, err


# --- What the machine refuses --------------------------------------------------------------------

# A desk in memory, in namespaces of our own: even for root it is read-only, or full.
ALONE = """
import contextlib, io, json, os, shutil, subprocess, sys
from pathlib import Path
from gradedesk import cli, sandbox

how, desk, calls = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
shutil.copytree(desk, f"{desk}-copy")
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", desk], check=True)
shutil.copytree(f"{desk}-copy", desk, dirs_exist_ok=True)
with contextlib.suppress(OSError), open(desk / "full", "wb", buffering=0) as file:
    while how == "full":
        file.write(bytes(1 << 12))
if how == "read-only":
    subprocess.run(["mount", "-o", "remount,bind,ro", desk], check=True)
before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
sandbox.available = lambda: "not here: mend it"
said = []
for call in calls:
    sys.argv = ["gradedesk", *call]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            said.append([end.code, out.getvalue(), err.getvalue()])
# The journal may grow by a line that still had room.
changed = [str(p) for p, data in before.items() if not p.read_bytes().startswith(data)]
print(json.dumps([changed, [path.name for path in desk.rglob("*.tmp")], said]))
"""


@pytest.fixture
def small_desk(gradedesk, maker, tmp_path):
    """Two students, graded as missing; one has handed in since."""
    desk = tmp_path / "desk %20#"
    for student in ("ada", "eve"):
        (desk / "submitted" / student / LAB).mkdir(parents=True)
        Journal(desk / "journal.jsonl").append(run.missing(maker.lab, student))
    code, *_ = gradedesk("rebuild", "--desk", desk, "--course", ROOT)
    assert code == 0
    (desk / "submitted" / "ada" / LAB / f"{LAB}.ipynb").write_bytes(b"{")
    (tmp_path / "in" / "ada").mkdir(parents=True)
    (tmp_path / "in" / "ada" / f"{LAB}.ipynb").write_bytes(b"[]")
    return desk


@needs_sandbox
@pytest.mark.parametrize(
    "how, why",
    [("read-only", "Read-only file system"), ("full", "No space left|disk is full|disk I/O")],
)
def test_a_desk_that_cannot_be_written_is_one_line_and_nothing_is_lost(
    small_desk, tmp_path, how, why
):
    desk, course, elsewhere = ["--desk", small_desk], ["--course", ROOT], tmp_path / "grades.csv"
    calls = [
        ["collect", LAB, tmp_path / "in", "--format", "plain", *desk],
        ["grade", LAB, "--no-sandbox", *desk, *course],
        ["feedback", LAB, *desk, *course],
        ["report", LAB, *desk, *course],
        ["export", *desk],
        ["rebuild", *desk, *course],
        ["release", LAB, "--out", small_desk / "handout", *course],
        ["doctor", *desk],
        ["export", *desk, "--out", elsewhere],
        ["check", ROOT / "labs" / LAB / f"{LAB}.ipynb", *course],
    ]
    # SQLite reads what is read-only, but not beside a full disk, where it has no room for a lock.
    codes = [1] * 8 + [int(how == "full"), 0]
    every = [list(map(str, call)) for call in calls]
    alone = ["unshare", "--mount"] + (["--user", "--map-root-user"] if os.getuid() else [])
    done = subprocess.run(
        [*alone, sys.executable, "-c", ALONE, how, small_desk, json.dumps(every)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    changed, left, said = json.loads(done.stdout)
    assert changed == left == []
    assert [code for code, _, _ in said] == codes, said
    for call, (code, out, err) in zip(every, said, strict=True):
        if call[0] == "doctor":
            assert re.search("cannot be written|make room", " ".join(out.split()))
        elif code:
            *warned, line = err.splitlines()
            assert bool(warned) == (call[0] == "grade"), "what it gives up without a sandbox"
            assert line.startswith("gradedesk: ") and re.search(why, line), err
            assert re.search("run the (same )?command again", line)
    if how == "read-only":
        assert elsewhere.read_text(encoding="utf-8-sig").count("missing") == 1


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("release", "check")])
def test_a_desk_that_is_a_file_is_one_line(gradedesk, tmp_path, command):
    (tmp_path / "desk").write_bytes(b"mine")
    args = [] if command in ("export", "rebuild", "doctor") else [LAB]
    args += [tmp_path, "--format", "plain"] if command == "collect" else []
    args += ["--course", ROOT] if command in ("grade", "feedback", "report", "rebuild") else []
    code, out, err = gradedesk(command, *args, "--desk", tmp_path / "desk")
    assert (code, out) == (2, "")
    assert err == f"gradedesk: {tmp_path / 'desk'} is a file and no desk: give --desk a folder.\n"
    assert (tmp_path / "desk").read_bytes() == b"mine"


@pytest.mark.parametrize("command", ["collect", "grade", "export"])
def test_a_class_list_that_cannot_be_read_is_one_line(gradedesk, small_desk, tmp_path, command):
    (small_desk / "roster.csv").mkdir()
    args = {
        "collect": [LAB, tmp_path / "in", "--format", "plain"],
        "grade": [LAB, "--no-sandbox", "--course", ROOT],
        "export": [],
    }[command]
    code, out, err = gradedesk(command, *args, "--desk", small_desk)
    line = err.splitlines()[-1]
    assert (code, out) == (1, "") and "Traceback" not in err
    assert line.startswith(f"gradedesk: {small_desk / 'roster.csv'}: Is a directory. What was done")


posix = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the streams")


@posix
@pytest.mark.parametrize(
    "streams, code, says",
    [
        (">&-", 1, "could not be written (Bad file descriptor); all else was done"),
        (">/dev/full", 1, "could not be written (No space left on device); all else was done"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&- >&- 2>&-", 1, ""),
        ("| head -0", 0, ""),  # head wanted no more: that is no fault
    ],
)
def test_output_that_cannot_be_written_stops_no_work(tmp_path, streams, code, says):
    """Two archives are made, and the first line printed in between."""
    command = f'"$0" -m gradedesk release {LAB} lab02-bpe --out "$1"'
    script = f"{command} {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, tmp_path], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == code and says in done.stderr, done.stderr
    assert done.stderr.count("\n") == bool(says)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{LAB}.zip", "lab02-bpe.zip"]
    for path in tmp_path.iterdir():
        assert zipfile.ZipFile(path).testzip() is None, "nothing was printed into it"


@posix
@pytest.mark.parametrize("streams", [">&-", "2>&-", "| head -0", "2>&1 >&- | head -0"])
def test_wrong_usage_is_told_by_the_code_where_nobody_reads(streams):
    script = f'"$0" -m gradedesk spell {streams}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_name_that_the_terminal_has_no_letters_for_is_printed_all_the_same(tmp_path):
    out = tmp_path / "课程"
    done = subprocess.run(
        [sys.executable, "-m", "gradedesk", "release", LAB, "--out", out],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "") and "\\u8bfe\\u7a0b" in done.stdout


def test_where_the_sandbox_is_missing_grade_refuses(gradedesk, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "available", lambda: "No bubblewrap: apt-get install bubblewrap")
    code, out, err = gradedesk("grade", LAB, "--desk", tmp_path, "--course", ROOT)
    assert (code, out) == (2, "") and "apt-get install bubblewrap" in err


# --- A class from the platform to the grades -----------------------------------------------------


@pytest.fixture(scope="module")
def handed_in(maker, tmp_path_factory):
    """Seven submissions as Canvas gives them."""
    folder = tmp_path_factory.mktemp("canvas")
    cases = {case.name: case for case in maker.cases()}
    names = "correct half blank tests-edited os-exit no-bytes contexts-too-long".split()
    write([cases[name] for name in names], LAB, folder)
    return folder


@needs_sandbox
def test_from_release_to_grades(gradedesk, tmp_path, handed_in):
    desk = ["--desk", tmp_path / "desk"]
    course = ["--course", ROOT]
    code, out, _ = gradedesk("release", LAB, "--out", tmp_path / "handout", *course)
    assert code == 0 and Path(out.strip()).is_file()

    code, out, _ = gradedesk("collect", LAB, handed_in, "--format", "canvas", *desk)
    assert code == 0 and "7 collected" in out

    code, out, err = gradedesk("grade", LAB, "--jobs", 2, *desk, *course)
    rows = {line[:27].strip(): line[27:].split()[0] for line in out.splitlines()[1:7]}
    assert rows == {
        "graded": "4",
        "graded, alterations undone": "1",
        "partly": "1",
        "unreadable": "1",
        "missing": "0",
        "needs hand grading": "5",
    }, out
    assert code == 1 and err == ""  # somebody's could not be graded
    assert re.search(r"osexit-\d+: partly\. q7-best: The student's code ended", out)
    assert re.search(r"nobytes-\d+: unreadable\. The file is empty", out)
    assert "7 graded now" in out and "0 before" in out
    journal = tmp_path / "desk" / "journal.jsonl"
    kept = journal.read_bytes()

    code, out, _ = gradedesk("grade", LAB, *desk, *course)
    assert code == 1 and "0 graded now" in out and "7 before" in out
    assert journal.read_bytes() == kept

    student = next(iter(os.listdir(tmp_path / "desk" / "submitted")))
    code, out, _ = gradedesk("feedback", LAB, *desk, *course)
    assert code == 0 and out.startswith("7 pages in ")
    code, out, _ = gradedesk("feedback", LAB, "--student", student, *desk, *course)
    assert code == 0 and Path(out.strip()).is_file()
    code, out, _ = gradedesk("report", LAB, *desk, *course)
    assert code == 0 and Path(out.strip()).is_file()
    for form in ("csv", "moodle", "canvas"):
        target = tmp_path / f"{form}.csv"
        code, out, err = gradedesk("export", "--format", form, "--out", target, *desk)
        assert code == 0 and target.is_file(), err
    (tmp_path / "desk" / "gradebook.db").unlink()
    code, out, _ = gradedesk("rebuild", *desk, *course)
    assert code == 0 and out == "7 results of 1 labs are in the gradebook.\n"
    assert (tmp_path / "desk" / "gradebook.db").is_file()

    journal.write_bytes(kept.replace(b'{"student"', b"{", 1))
    code, _, err = gradedesk("rebuild", *desk, *course)
    assert code == 1 and "line 1 cannot be read; `grade` does those again" in err


@needs_sandbox
def test_without_the_sandbox_grade_says_what_it_gives_up(gradedesk, tmp_path, maker):
    folder = tmp_path / "submitted" / "me" / LAB
    folder.mkdir(parents=True)
    (folder / f"{LAB}.ipynb").write_bytes(maker.data(maker.solutions))
    args = ["--no-sandbox", "--student", "me", "--desk", tmp_path, "--course", ROOT]
    code, out, err = gradedesk("grade", LAB, *args)
    assert code == 0 and "1 graded now" in out
    assert " ".join(sandbox.GIVEN_UP.split()) in " ".join(err.split())
    (result,) = Journal(tmp_path / "journal.jsonl")
    assert result.points == 90


# --- doctor and check ----------------------------------------------------------------------------


def test_doctor_says_what_to_do(gradedesk, monkeypatch):
    found = [Check("bubblewrap", True, "0.11", ""), Check("disk", False, "1 MB left", "make room")]
    monkeypatch.setattr("gradedesk.sandbox.doctor.checks", lambda *args: found)
    code, out, _ = gradedesk("doctor")
    assert code == 1 and "FAILED" in out and "What to do: make room" in out
    monkeypatch.setattr("gradedesk.sandbox.doctor.checks", lambda *args: found[:1])
    assert gradedesk("doctor")[0] == 0


def test_check_counts_the_public_tests_of_one_s_own_notebook(gradedesk, tmp_path, maker):
    """With the released lab beside it, and with the notebook alone, as at home."""
    public = sum(cell.points for cell in maker.lab.tests if not cell.hidden)
    hidden = sum(cell.points for cell in maker.lab.tests if cell.hidden)
    ends = f"At grading {hidden:g} more come from hidden tests, and 10 by hand."
    mine = tmp_path / f"{LAB}.ipynb"
    for course in (ROOT, tmp_path):
        mine.write_bytes(maker.data(maker.solutions))
        code, out, err = gradedesk("check", mine, "--course", course)
        assert code == 0 and f"Points so far: {public:g} of {public:g}. {ends}" in " ".join(
            out.split()
        )
        mine.write_bytes(maker.last("return 1 / 0"))
        code, out, err = gradedesk("check", mine, "--course", course)
        assert code == 0 and f"Points so far: {public - 4:g} of {public:g}." in out
        assert "q7-best: failed\nZeroDivisionError: division by zero" in out
        assert re.search(r"q7 +0 +4 +0 of 1 tests", out)


def test_check_says_which_import_will_fail_at_grading(gradedesk, tmp_path, maker):
    mine = tmp_path / f"{LAB}.ipynb"
    mine.write_bytes(maker.last("import gradedesk, torch, __main__; return 1 / 0"))
    _, out, _ = gradedesk("check", mine, "--course", ROOT)
    assert "Note: q7 imports gradedesk, which is not there at grading." in out
    assert out.count("not there at grading") == 1


def test_check_of_the_released_lab_in_its_place(gradedesk, tmp_path, maker):
    shutil.copytree(ROOT / "labs" / LAB, tmp_path / "labs" / LAB)
    path = tmp_path / "labs" / LAB / f"{LAB}.ipynb"
    code, out, _ = gradedesk("check", path, "--course", tmp_path)
    public = sum(cell.points for cell in maker.lab.tests if not cell.hidden)
    assert code == 0 and f"Points so far: 0 of {public:g}." in out and "not answered yet?" in out


@pytest.mark.parametrize(
    "code, said",
    [
        ("return (1", "SyntaxError: '(' was never closed (q7, line"),
        ("return 1\n%timeit 1", "IPython's magic commands are not Python)"),
        ("return defaultdict(int)", "do that in the answer: such cells are not run at grading."),
    ],
)
def test_check_of_a_slip_in_the_released_lab_in_its_place(gradedesk, tmp_path, maker, code, said):
    """Where the notebook itself is all that `check` knows of the lab."""
    path = tmp_path / "labs" / LAB / f"{LAB}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(maker.last(code))
    code, out, err = gradedesk("check", path, "--course", tmp_path)
    out = " ".join(out.split())
    public = sum(cell.points for cell in maker.lab.tests if not cell.hidden)
    assert (code, err) == (0, "") and f"Points so far: {public - 4:g} of {public:g}." in out
    assert said in out[out.index("q7-best: failed") :]


def test_check_says_what_is_wrong_with_the_notebook(gradedesk, tmp_path, maker):
    mine = tmp_path / f"{LAB}.ipynb"
    mine.write_bytes(b"")
    code, out, err = gradedesk("check", mine, "--course", ROOT)
    assert (code, out) == (1, "") and err.endswith("The file is empty.\n")
    easy = next(case for case in maker.broken() if case.name == "tests-edited")
    mine.write_bytes(easy.data)
    code, out, _ = gradedesk("check", mine, "--course", ROOT)
    public = sum(cell.points for cell in maker.lab.tests if not cell.hidden)
    assert code == 0 and f"Points so far: {public - 4:g} of {public:g}." in out
    assert "Note: The test cell q1-example differs from the lab's own, which was used." in out
