"""The trusted process: `python -m gradedesk.grading.trusted FOLDER`, started by run.py.

Jobs come by standard input, a line each, and events go by standard output. Nothing that a test
meets here can hurt the desk. It tells each outcome as soon as it has it, and what it told stays
told when it has to be killed.

Warm, it has imported what the lab's tests need before the first submission comes, and each
submission gets a fork of it by `_forked`, and a fork of the sandbox by warm.py.
"""

import base64
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gradedesk.grading.answers import Submission, read_submission
from gradedesk.grading.outcome import Event
from gradedesk.grading.runner import STORED, GraderError, Runner, needed_setup
from gradedesk.imports import absent, imported, own_packages
from gradedesk.lab import Lab
from gradedesk.plain import plain
from gradedesk.sandbox import Limits, SandboxError, cgroup
from gradedesk.sandbox.warm import Zygote

try:
    import resource
except ImportError:  # Windows, which has no such limits
    resource = None

OWN_BYTES = 512 << 20  # that this process may fill besides what a test may: replies, threads
PR_SET_PDEATHSIG = 1  # of prctl(2)
LAST_SECONDS = 10.0  # for a fork to end by itself when the desk has gone


def _main() -> int:
    told = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:  # what a test prints is nobody's protocol
        os.dup2(nowhere.fileno(), 1)
    folder = sys.argv[1]
    os.mkdir(folder, 0o700)  # fails where there is one, so that only our own is ever removed
    try:
        os.chdir(folder)
        return _serve(told, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the desk may be gone


def _serve(told: BinaryIO, folder: str) -> int:
    """Do the jobs that come by standard input, until it ends; the exit status."""
    sandbox: Event = {}
    while line := sys.stdin.buffer.readline():
        job = json.loads(line)
        if job["isolated"] and not job["warm"]:
            return _forked(job, {}, told, folder)
        if not sandbox or "zygote" in sandbox and not sandbox["zygote"].alive:
            sandbox, cold = _prepare(job)
            _tell(told, {"most": _most(job)} | ({"cold": cold} if cold else {}))
        if "zygote" not in sandbox:
            _work(job, sandbox, told, folder)
            return 0
        ended = _forked(job, sandbox, told, folder)
        with contextlib.suppress(cgroup.Unavailable):
            cgroup.find().clear()  # what a fork that was killed could not remove
        told.write(b"\n")  # it may have been killed within a line
        _tell(told, {"ended": ended})
    return 0


def _most(job: Event) -> int:
    """Bytes that this process may fill for a job."""
    return job["limits"]["memory_bytes"] + OWN_BYTES


def _prepare(job: Event) -> tuple[Event, str]:
    """What is the same for every submission to a lab, as Sandbox's arguments; why it is cold."""
    lab = Lab.from_dict(job["lab"])
    sources = [cell.source for cell in lab.kind("setup") + lab.answers]
    names = sorted(set().union(*map(imported, sources)))
    sandbox = {"packages": own_packages(lab), "imports": names, "isolated": job["isolated"]}
    for cell in needed_setup(lab) + lab.tests:
        for name in imported(cell.source):
            with contextlib.suppress(Exception):  # it fails again in its cell, which says so
                importlib.import_module(name)
    if not job["warm"]:
        return sandbox, ""
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        return sandbox, "the lab's tests import what starts threads"
    gc.freeze()  # else the collector would write to, and so copy, what all forks share
    try:
        return sandbox | {"zygote": Zygote(sandbox["packages"], names)}, ""
    except SandboxError as error:
        return sandbox, str(error)


def _forked(job: Event, sandbox: Event, told: BinaryIO, parent: str) -> int:
    """Do a job in a fork of this process, which no test can change; the exit status."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                os.chdir(folder)
                _work(job, sandbox, told, folder)
                cgroup.leave()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _wait(pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what a test may have left running
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _wait(pid: int) -> None:
    """Until a fork has ended, or has not, a while after the desk has gone.

    It ends then by itself, unless a test is within one long call of C code, such as a set of what
    a student's code gave.
    """
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(sys.stdin.fileno(), 0)  # which tells of its other end's end
    if process not in dict(poll.poll()):
        poll.unregister(sys.stdin.fileno())
        poll.poll(1000 * LAST_SECONDS)
    os.close(process)


def _work(job: Event, sandbox: Event, told: BinaryIO, folder: str) -> None:
    """Do a job in `folder`, the working folder, which goes with the desk."""
    threading.Thread(target=_end_with_the_desk, args=(folder,), daemon=True).start()
    if not sandbox:
        sandbox, _ = _prepare(job)
        _tell(told, {"most": _most(job)})
    for event in _grade(job, sandbox):
        _tell(told, event)


def _bound(memory: int) -> None:
    """A test that fills more than `memory` bytes, on top of what is there now, gets a MemoryError.

    What a student's code returns is bounded, and what a test makes of it is not: two vectors,
    compared each with each, are a matrix. A notebook's bytes are bounded, too, and what JSON makes
    of them is fifty times as large.
    """
    with contextlib.suppress(OSError):  # no Linux, no such sum
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file)
        most = (int(lines["VmData"].split()[0]) << 10) + memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _grade(job: Event, sandbox: Event) -> Iterator[Event]:
    lab = Lab.from_dict(job["lab"])
    limits = Limits(**job["limits"])
    _bound(_most(job))
    found = read_submission(base64.b64decode(job["data"]), lab)
    if not sandbox["isolated"]:
        found.problems += absent(found.answers, sandbox["packages"])
    yield _told(found)
    if found.status == "unreadable":
        yield {"finished": True}
        return
    for name, data in lab.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)
    runner = Runner(lab, found.answers, limits, sandbox)
    try:
        yield from runner.events(job["hidden"])
        yield {"finished": True}
    except (GraderError, SandboxError) as error:
        yield {"error": plain(error, 500)}
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        yield {"error": plain(f"{type(error).__name__}: {error} ({place})", 500)}
    finally:
        runner.close()


def _told(found: Submission) -> Event:
    return {
        "problems": [plain(problem, 500) for problem in found.problems],
        "status": found.status,
        "altered": found.problems[0] if found.problems else "",
        "answers": {name: plain(text, STORED) for name, text in found.answers.items()},
        "manual": {name: plain(text, STORED) for name, text in found.manual.items()},
    }


def _tell(told: BinaryIO, event: Event) -> None:
    told.write(json.dumps(event).encode("ascii") + b"\n")
    told.flush()


def _end_with_the_desk(folder: str) -> None:
    """End this process, and with it its sandbox, as soon as the desk is gone."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # the desk would have done so
    os._exit(3)


if __name__ == "__main__":
    status = _main()
    cgroup.leave()
    if status < 0:
        os.kill(os.getpid(), -status)  # as its fork has ended
    # Python's own end would wait a second for the thread that reads standard input.
    os._exit(status)
