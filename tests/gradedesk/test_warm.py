"""Warm workers: a forked sandbox is as fresh as one started anew, and the desk does without."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from classroom import wait_until

from gradedesk import cli, sandbox
from gradedesk.desk import Desk
from gradedesk.grading import grade, run
from gradedesk.lab import Lab
from gradedesk.sandbox import Limits, Sandbox, SandboxError, SandboxUnavailable
from gradedesk.sandbox.warm import Zygote
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parents[2]
LAB = "lab01-ngram"
pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))
LIMITS = Limits(cell_seconds=60, total_seconds=300, processes=12, file_bytes=1 << 20)


@pytest.fixture(scope="module")
def zygote():
    with Zygote(imports=["json.tool", "no_such_module"]) as zygote:
        yield zygote


def answer(box, source):
    """What the code leaves in `got`."""
    reply = box.exec(f"{source}\ndef answer():\n    return got\n")
    assert reply.ok, reply.error
    return box.call("answer").value


LEAVE = """
import json, os, signal, socket, subprocess, sys, threading
import numpy as np
for folder in [".", "/tmp", "/dev/shm"]:
    open(f"{folder}/left", "w").write("left")
os.environ["LEFT"] = "left"
np.left = json.left = "left"
sys.path.insert(0, "/tmp/left"); sys.modules["left"] = json; sys.setrecursionlimit(77)
os.umask(0o777); os.nice(5)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
local = socket.socket(socket.AF_UNIX); local.bind("\\0left"); local.listen()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
threading.Thread(target=threading.Event().wait, daemon=True).start()
for fd in range(64):  # whatever else is open
    try:
        os.write(fd, b"")
    except OSError:
        pass
"""
SEE = """
import glob, json, os, resource, signal, socket, sys, threading
import numpy as np
got = {
    "files": [os.listdir(folder) for folder in [".", "/tmp", "/dev/shm"]],
    "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
    "environment": dict(os.environ),
    "modules": [hasattr(np, "left"), hasattr(json, "left"), "left" in sys.modules],
    "path": sys.path,
    "settings": [sys.getrecursionlimit(), os.umask(0o022), os.nice(0)],
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)],
    "threads": threading.active_count(),
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    "limits": [resource.getrlimit(n) for n in range(16)],
    "names": sorted(name for name in globals() if not name.startswith("__")),
    "worker": [name for name in sys.modules if name in ("worker", "zygote")],
    "reached": [],
}
try:
    socket.socket(socket.AF_UNIX).connect("\\0left")
    got["reached"].append("left")
except OSError:
    pass
"""


def status(box, *names):
    """What the kernel says of worker.py's rights."""
    (worker,) = psutil.Process(box._first_pid).children()
    lines = Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8").splitlines()
    names = names or ("CapP", "CapE", "CapA", "Secc", "NoNe", "SigI")
    return [line for line in lines if line.startswith(names)]


def test_a_second_submission_sees_nothing_of_the_first(zygote):
    """Nor of one at work beside it; and the same as in a sandbox started anew."""
    with Sandbox(LIMITS, imports=["json.tool"]) as box:
        anew, rights = answer(box, SEE), status(box)
    with Sandbox(LIMITS, zygote=zygote) as first:
        assert first.exec(LEAVE).ok
        assert first.exec("open('/tmp/left')").ok
        with Sandbox(LIMITS, zygote=zygote) as beside:
            assert answer(beside, SEE) == anew and status(beside) == rights
    with Sandbox(LIMITS, zygote=zygote) as second:
        assert answer(second, SEE) == anew and status(second) == rights
        assert status(second, "CapBnd") == ["CapBnd:\t0000000000000000"]
    assert anew["processes"] == ["1", "2"] and anew["reached"] == []


def test_chance_is_the_same_warm_and_cold(zygote):
    source = "import random, numpy as np\ngot = [random.random(), np.random.rand()]"
    with Sandbox(LIMITS) as cold, Sandbox(LIMITS, zygote=zygote) as warm:
        assert answer(cold, source) == answer(warm, source)


def test_what_is_imported_is_there(zygote):
    with Sandbox(LIMITS, zygote=zygote) as box:
        assert answer(box, "import sys\ngot = 'json.tool' in sys.modules")
        error = box.exec("import no_such_module").error  # it fails where the student sees it
        assert error.type == "ModuleNotFoundError"


def test_packages(tmp_path):
    folder = tmp_path / "fables"
    folder.mkdir()
    (folder / "__init__.py").write_text("word = 'fox'\n", encoding="utf-8")
    with Zygote([folder], ["fables"]) as zygote, Sandbox(LIMITS, zygote=zygote) as box:
        assert answer(box, "import sys\ngot = sys.modules['fables'].word") == "fox"


WHERE = """
import json, sys
from pathlib import Path
from gradedesk.sandbox import Limits, Sandbox
from gradedesk.sandbox.warm import Zygote

source = "import fables, os, sys\\np = sys.prefix\\ngot = [ascii(p), os.listdir(p), fables.word]"
source += "\\ndef answer():\\n    return got"
packages = [Path(sys.argv[1])]
found = []
with Zygote(packages, ["fables"]) as zygote:
    for how in {}, {"zygote": zygote}:
        with Sandbox(Limits(cell_seconds=60, total_seconds=300), packages=packages, **how) as box:
            reply = box.exec(source)
            assert reply.ok, reply.error
            found.append(box.call("answer").value)
print(json.dumps(found))
"""


@pytest.mark.parametrize("name", ["课程 目录", b"\xe4\xff \\ cours"], ids=ascii)
def test_python_and_the_course_may_lie_below_tmp_under_any_name(name):
    """Where the sandbox has a folder in memory, and the zygote mounts a fresh one for each copy."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        course = Path(folder) / os.fsdecode(name)
        fables = course / "fables"
        fables.mkdir(parents=True)
        (fables / "__init__.py").write_text("word = 'fox'\n", encoding="utf-8")
        shutil.copytree(ROOT / "gradedesk", course / "gradedesk")
        os.chmod(folder, 0o755)  # the sandbox is another user
        python = course / ".venv"
        (python / "bin").mkdir(parents=True)
        real = os.path.realpath(sys.executable)
        (python / "bin" / "python").symlink_to(real)
        (python / "lib").symlink_to(Path(sys.prefix) / "lib", target_is_directory=True)
        text = f"home = {os.path.dirname(real)}\n"
        (python / "pyvenv.cfg").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [python / "bin" / "python", "-c", WHERE, fables],
            cwd=course,
            env=os.environ | {"PYTHONPATH": str(course)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        for where, there, word in json.loads(done.stdout):
            assert where == ascii(str(python)) and word == "fox"
            assert sorted(there) == ["bin", "lib", "pyvenv.cfg"]


def test_the_zygote_is_out_of_reach(zygote):
    """Signals to everything, and a look at the first process, which is a copy of the zygote."""
    with Sandbox(LIMITS, zygote=zygote) as box:
        got = answer(
            box,
            """
import os, signal
got = []
for pid in [1, -1, 0x7fffffff]:
    for number in [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP]:
        try:
            os.kill(pid, number)
        except OSError:
            pass
for name in ["mem", "environ", "maps", "fd/0", "fd/3", "root", "cwd"]:
    try:
        os.stat(f"/proc/1/{name}") if "/" in name else os.readlink(f"/proc/1/{name}") \\
            if name in ("root", "cwd") else open(f"/proc/1/{name}", "rb").close()
        got.append(name)
    except OSError:
        pass
try:
    import ctypes
    if ctypes.CDLL(None).syscall(438, os.pidfd_open(1), 3, 0) >= 0:  # pidfd_getfd
        got.append("pidfd_getfd")
except OSError:
    pass
""",
        )
        assert got == []
        assert box.exec("1").ok
    assert zygote.alive


def end(zygote):
    """Kill its first process inside bubblewrap, and so all of them."""
    (first,) = psutil.Process(zygote._process.pid).children()
    first.kill()
    zygote._process.wait()


def test_a_zygote_that_ended(zygote):
    with Zygote() as other:
        box = Sandbox(LIMITS, zygote=other)
        end(other)
        with pytest.raises(SandboxError):
            box.exec("import time; time.sleep(600)")
        box.close()
        assert not other.alive
        with pytest.raises(SandboxUnavailable, match="no warm worker"):
            Sandbox(LIMITS, zygote=other)
    assert zygote.alive


def test_threads_cannot_be_forked(tmp_path):
    folder = tmp_path / "threads"
    folder.mkdir()
    source = (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (folder / "__init__.py").write_text(source, encoding="utf-8")
    with pytest.raises(SandboxUnavailable, match="started threads"):
        Zygote([folder], ["threads"])


def test_no_descriptor_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    with Zygote() as zygote:
        for source in ("1", "import os; os._exit(3)"):
            with Sandbox(LIMITS, zygote=zygote) as box:
                try:
                    box.exec(source)
                except SandboxError as error:
                    assert "exit status 3" in str(error)
        end(zygote)
        with pytest.raises(SandboxUnavailable):
            Sandbox(LIMITS, zygote=zygote)
    assert len(os.listdir("/proc/self/fd")) == before


# --- The trusted side ----------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """small(setup, *tests) grades one right answer, warm, to a lab of these cells."""

    def grade_it(*sources):
        marks = [{"grade": False, "solution": False}, {"grade": False, "solution": True}]
        marks += [{"grade": True, "solution": False, "points": 1}] * (len(sources) - 1)
        cells = [
            {
                "cell_type": "code",
                "id": f"q1-{i}",
                "source": source,
                "metadata": {"nbgrader": {"grade_id": f"q1-{i}", **mark}},
            }
            for i, (source, mark) in enumerate(
                zip([sources[0], "def f(x):\n    return x", *sources[1:]], marks, strict=True)
            )
        ]
        data = json.dumps({"nbformat": 4, "metadata": {}, "cells": cells})
        (tmp_path / "small.ipynb").write_text(data, encoding="utf-8")
        lab = Lab.load(tmp_path / "small.ipynb")
        return run.grade_one(lab, data.encode(), "ada", LIMITS, warm=True)

    yield grade_it
    assert run.close() == ""


def ended(pid):
    """Whether there is no such process any more, but for its exit status."""
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_test_cannot_touch_the_next_submission(small):
    """It runs in a copy of its own, in a folder of its own, and what it started ends."""
    setup = "import json, os, random, subprocess, sys"
    test = """
seen = [hasattr(json, "left"), os.listdir(), "LEFT" in os.environ, random.random()]
json.left = os.environ["LEFT"] = "left"
open("left", "w").close()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
assert f(0), f"{seen} pid={child.pid}"
"""
    first, second = (small(setup, test).tests[0] for _ in range(2))
    assert first.outcome == second.outcome == "failed"
    said = [test.message.partition(" pid=") for test in (first, second)]
    assert said[0][0] == said[1][0] and said[0][0].startswith("[False, [], False, ")
    for _, _, pid in said:
        assert wait_until(lambda pid=pid: ended(pid))


def test_the_same_processes_serve(small):
    tests = ("import os", "assert f(1) == 1, 'x'")
    assert small(*tests).status == "graded"
    (waiting,) = run._idle
    assert small(*tests).points == 1 and run._idle == [waiting]
    ends = small("import os", "import os\nassert f(1) == 1\nos._exit(7)")  # our own fault
    assert ends.status == "grader-error" and "ended with code 7" in ends.note
    assert waiting.process.poll() is not None  # another lab: another pair
    (waiting,) = run._idle
    os.kill(waiting.process.pid, 9)
    assert small("import os", "import os\nassert f(1) == 1\nos._exit(7)").status == "grader-error"
    assert run._idle == []
    assert small(*tests).points == 1


def test_without_warm_workers_the_desk_says_so_once_and_goes_on(tmp_path, monkeypatch, capsys):
    """Where bubblewrap runs and a zygote does not, here one that its bwrap refuses."""
    maker = Maker(LAB)
    cases = maker.honest()[:2]
    for case in cases:
        folder = tmp_path / "desk" / "submitted" / case.student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_bytes(case.data)
    warm = grade.grade(Desk(tmp_path / "desk"), maker.lab, jobs=2)
    assert warm.cold == ""
    fake = tmp_path / "bin" / "bwrap"
    fake.parent.mkdir()
    real = shutil.which("bwrap")
    script = (
        f'case "$*" in *zygote.py*) echo "bwrap: not today" >&2; exit 1;; esac\nexec {real} "$@"'
    )
    fake.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8", newline="\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    cold = grade.grade(Desk(tmp_path / "desk"), maker.lab, jobs=2, regrade=True)
    assert cold.cold == "no warm worker: bwrap: not today"
    fixed = {"seconds": 0.0, "graded_at": ""}
    same = [
        [dataclasses.replace(result, **fixed) for result in batch.results.values()]
        for batch in (warm, cold)
    ]
    assert same[0] == same[1]
    monkeypatch.setattr(
        sys, "argv", ["gradedesk", "grade", LAB, "--regrade", "--desk", str(tmp_path / "desk")]
    )
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.count("Without warm workers") == 1
