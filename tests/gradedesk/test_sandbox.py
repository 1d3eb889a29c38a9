"""The sandbox in ordinary use, and where it cannot be used."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from classroom import wait_until

from gradedesk import sandbox
from gradedesk.sandbox import (
    GIVEN_UP,
    Limits,
    Sandbox,
    SandboxDied,
    SandboxTimeout,
    SandboxUnavailable,
    StudentException,
    processes,
    wire,
)
from gradedesk.sandbox import box as box_module

WHY_NOT = sandbox.available()
isolated = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
LIMITS = Limits(cell_seconds=60, total_seconds=300, file_bytes=1 << 20)


@pytest.fixture(params=[pytest.param(True, marks=isolated), False], ids=["isolated", "plain"])
def plain_or_not(request):
    return request.param


@pytest.fixture
def box(plain_or_not):
    with Sandbox(LIMITS, {"data/x.txt": b"hello\n"}, isolated=plain_or_not) as box:
        yield box


def test_cells_share_a_namespace(box):
    assert box.exec("def square(x):\n    return x * x", name="q1").ok
    assert box.exec("y = square(7)\nprint(y, __name__)", name="q2").output == "49 __main__\n"
    assert box.call("square", [3]).value == 9
    assert box.call("square", kwargs={"x": 4}).value == 16


def test_an_error_says_where(box):
    assert box.exec("def f(x):\n    print('before')\n    return 1 / x\n", name="q1").ok
    reply = box.call("f", [0])
    assert reply.error == StudentException(
        "ZeroDivisionError", "division by zero", "q1, line 3: return 1 / x"
    )
    assert reply.output == "before\n" and not reply.ok
    assert str(reply.error) == "ZeroDivisionError: division by zero"
    error = box.exec("x = (\n", name="q2").error
    assert error.type == "SyntaxError" and error.where == "q2, line 1: x = ("
    assert box.call("g").error.message == "name 'g' is not defined"
    with_helper = "def h(x):\n    return int(x)\ndef k():\n    return h('a')"
    assert box.exec(with_helper, name="q3").ok
    assert box.call("k").error.where == "q3, line 2: return int(x)"


def test_arguments_come_back_where_they_changed(box):
    assert box.exec("def f(a, b, c):\n    a.append(1); c['x'] = b\n    return a is a").ok
    reply = box.call("f", [[0], [5]], {"c": {}})
    assert reply.args == {0: [0, 1], "c": {"x": [5]}}
    assert box.exec("def g(a):\n    a += 1").ok
    assert (box.call("g", [np.zeros(2)]).args[0] == np.ones(2)).all()
    assert box.call("g", [3]).args == {}


def test_handles(box):
    assert box.exec("class M:\n    def __init__(self): self.n = [1]\n    def up(self): return 2").ok
    model = box.call("M").value
    assert type(model) is wire.Handle and model.kind == "M"
    assert box.getattr(model, "n").value == [1]
    method = box.getattr(model, "up").value
    assert box.call(method).value == 2
    assert box.exec("def same(a, b):\n    return [a is b, a]").ok
    assert box.call("same", [model, model]).value == [True, model]  # the same object and number
    assert "no attribute 'z'" in box.getattr(model, "z").error.message
    assert not box.call(wire.Handle(999)).ok


def test_an_argument_that_is_no_data(box):
    with pytest.raises(wire.WireError, match="type set"):
        box.call("f", [{1}])


def test_files_of_the_lab(box):
    assert box.exec("print(open('data/x.txt').read(), end='')").output == "hello\n"
    assert box.exec("open('mine.txt', 'w').write('x')").ok


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a\\b"])
def test_files_stay_in_the_work_folder(name):
    with pytest.raises(ValueError, match="not the name of a file"):
        Sandbox(LIMITS, {name: b""}, isolated=False)


@isolated
def test_files_that_do_not_fit():
    with pytest.raises(SandboxUnavailable, match="do not fit"):
        Sandbox(LIMITS, {"x": bytes(2 << 20)})


def test_packages(plain_or_not, tmp_path):
    folder = tmp_path / "fables"
    folder.mkdir()
    (folder / "__init__.py").write_text("word = 'fox'\n", encoding="utf-8")
    (tmp_path / "secret.py").write_text("x = 1\n", encoding="utf-8")
    with Sandbox(LIMITS, packages=[folder], isolated=plain_or_not) as box:
        assert box.exec("import fables; print(fables.word)").output == "fox\n"
        if plain_or_not:  # the package, and not what lies beside it
            assert box.exec("import secret").error.type == "ModuleNotFoundError"
    with pytest.raises(ValueError, match="no folder of a Python package"):
        Sandbox(LIMITS, packages=[tmp_path / "nothing"])


def test_chance_is_the_same_on_a_second_run(plain_or_not):
    source = (
        "import random, numpy as np\ndef draw():\n    return [random.random(), np.random.rand()]"
    )

    def run(seed):
        with Sandbox(LIMITS, seed=seed, isolated=plain_or_not) as box:
            assert box.exec(source).ok
            return [box.call("draw").value for _ in range(3)]

    first = run(0)
    assert first == run(0) != run(1)
    assert len({str(draw) for draw in first}) == 3  # and yet each call draws anew


def test_a_dead_sandbox_says_why(box):
    with pytest.raises(SandboxDied, match="exit status 5"):
        box.exec("import os; os._exit(5)")
    with pytest.raises(SandboxDied, match="exit status 5"):
        box.exec("1")
    box.close()
    box.close()


def test_a_timeout_ends_it(box):
    with pytest.raises(SandboxTimeout, match="longer than 0.3 s"):
        box.exec("while True: pass", timeout=0.3)


def test_where_nothing_is_isolated_seconds_are_those_of_the_processor(monkeypatch):
    """On a busy machine one's own code waits for the others', which is none of its fault."""
    burn = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
    with Sandbox(LIMITS, isolated=False) as box:
        assert box.exec("import time; time.sleep(1)", timeout=0.3).ok
        before = box.processor_seconds
        assert box.exec(burn).ok
        assert 0.3 < box.processor_seconds - before < 0.8
        if sys.platform == "linux":
            child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
            before = box.processor_seconds
            assert box.exec(child).ok
            assert box.processor_seconds - before > 0.3
    monkeypatch.setattr(box_module, "PATIENCE", 3)
    with Sandbox(LIMITS, isolated=False) as box:
        with pytest.raises(SandboxTimeout, match="longer than 0.2 s"):  # and not for ever
            box.exec("import time; time.sleep(600)", timeout=0.2)


def test_its_last_words_are_kept(box):
    with pytest.raises(SandboxDied, match="exit status 3: goodbye"):
        box.exec("import os; os.write(2, b'goodbye\\n'); os._exit(3)")
    assert box.output == "goodbye\n"


def test_closed():
    with Sandbox(LIMITS, isolated=False) as box:
        pass
    with pytest.raises(SandboxDied, match="closed"):
        box.exec("1")


def test_nothing_of_the_desk_is_inherited(box, monkeypatch):
    reply = box.exec("import os, sys\nprint(sys.argv, 'PYTHONPATH' in os.environ, 'gradedesk')")
    assert reply.output.endswith("False gradedesk\n") and "limits" not in reply.output


@isolated
def test_many_at_once():
    boxes = [Sandbox(LIMITS) for _ in range(4)]
    try:
        for number, box in enumerate(boxes):
            assert box.exec(f"def f():\n    return {number}").ok
        assert [box.call("f").value for box in boxes] == [0, 1, 2, 3]
        if os.getuid() == 0:  # the kernel counts processes by user: one each
            users = {os.stat(f"/proc/{box._first_pid}/root/proc/2").st_uid for box in boxes}
            assert len(users) == 4 and 0 not in users
    finally:
        for box in boxes:
            box.close()


@isolated
def test_no_descriptor_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Sandbox(LIMITS) as box:
            box.exec("1")
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_bubblewrap(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", "")
    assert sandbox.available().endswith("sudo apt-get install -y bubblewrap")
    with pytest.raises(SandboxUnavailable, match="apt-get install"):
        Sandbox(LIMITS)


def test_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "container" in sandbox.available()


@pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is Linux's")
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo bubblewrap 0.6.1", "too old"),
        (
            "[ $1 = --version ] && echo bubblewrap 0.9.0 || "
            "{ echo 'bwrap: No permissions to create new namespace' >&2; exit 1; }",
            "No permissions to create new namespace",
        ),
    ],
)
def test_a_bubblewrap_that_does_not_serve(monkeypatch, tmp_path, script, says):
    fake = Path(tmp_path, "bwrap")
    fake.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8", newline="\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert says in sandbox.available()
    assert "\n" not in sandbox.available()


def test_what_is_given_up_is_one_line():
    assert "no sandbox" in GIVEN_UP and "\n" not in GIVEN_UP


KINDS = {
    "cold": "from gradedesk.sandbox import Sandbox\nSandbox(imports=[{mark!r}])",
    "warm": "from gradedesk.sandbox.warm import Zygote\nZygote(imports=[{mark!r}])",
}


@isolated
@pytest.mark.parametrize("source", KINDS.values(), ids=KINDS)
def test_nothing_is_left_of_one_that_starts_while_the_desk_is_killed(monkeypatch, tmp_path, source):
    mark = f"m{secrets.token_hex(8)}"
    fake = tmp_path / "bwrap"
    script = f"""
kill -9 $PPID
while kill -0 $PPID; do :; done 2>/dev/null
touch {tmp_path}/killed
exec {shutil.which("bwrap")} "$@"
"""
    fake.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8", newline="\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    desk = subprocess.run([sys.executable, "-c", source.format(mark=mark)])
    assert desk.returncode == -9
    assert wait_until((tmp_path / "killed").exists)
    assert wait_until(lambda: not running(mark))


def running(mark):
    """The processes that have `mark` in an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="names without a file are Linux's")
def test_no_two_sandboxes_choose_one_user_in_the_same_instant(monkeypatch):
    """Neither runs anything yet, so that no list of processes tells them apart."""
    monkeypatch.setattr(processes, "USERS", [61184, 61185, 61186])
    chosen = [processes.free_user() for _ in range(3)]
    assert sorted(user for user, _ in chosen) == processes.USERS
    chosen[1][1].close()
    user, claim = processes.free_user()
    assert user == chosen[1][0]
    for _, each in (*chosen, (user, claim)):
        each.close()
