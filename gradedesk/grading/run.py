"""One submission: the lab's tests, in a trusted process, against the student's code in the sandbox.

    desk ──job──> trusted.py FOLDER (tests, points) ─calls─> sandbox (student)
         <─events─                                 <──data───

The trusted side has a process of its own, so that nothing a test meets can hurt the desk. Warm,
it waits for the next submission.
"""

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from gradedesk.board import Figure
from gradedesk.grading.outcome import Event, first_line, outcome_of
from gradedesk.lab import MANUAL_STUB, Lab, LabError
from gradedesk.plain import plain
from gradedesk.results.result import ManualAnswer, Result, TestOutcome
from gradedesk.sandbox import Limits, cgroup
from gradedesk.sandbox.box import PATIENCE

RAN_OUT = "ran out of "  # how what ended a process begins if what it told so far counts
ROOM = 64 << 20  # bytes of a trusted process's group beyond what is known of it
LAST_SECONDS = 10.0  # for a process that has closed its channel to end by itself
GRACE = 30.0  # seconds that the trusted side has on top of the submission's own


def limits_of(lab: Lab) -> Limits:
    """The lab's own limits over the defaults; LabError for one that does not exist."""
    known = {f.name: type(f.default) for f in dataclasses.fields(Limits)}
    for name in lab.limits:
        if name not in known:
            raise LabError(f"{lab.name}: unknown limit {name!r}; there are {', '.join(known)}.")
    return Limits(**{name: known[name](value) for name, value in lab.limits.items()})


def digest(data: bytes) -> str:
    """The name of a submission's content: its SHA-256."""
    return hashlib.sha256(data).hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def missing(lab: Lab, student: str) -> Result:
    """The result of nothing at all."""
    note = "No notebook was handed in."
    return Result(student, lab.name, "", "missing", now(), note=note, lab_version=lab.version)


def grade_one(
    lab: Lab,
    data: bytes,
    student: str,
    limits: Limits | None = None,
    *,
    received: str | None = None,
    late: bool = False,
    isolated: bool = True,
    hidden: bool = True,
    warm: bool = False,
    hash_seed: int = 0,
) -> Result:
    """Grade the bytes of a submitted notebook. Whatever they hold, a Result comes back.

    `isolated=False` runs the student's code without the sandbox (one's own work only);
    `hidden=False` leaves hidden tests out; `warm=True` keeps processes for the next submission to
    this lab, until `close`; `hash_seed` is the PYTHONHASHSEED of the tests' process. Stopped by
    `stop_all`, it raises KeyboardInterrupt.
    """
    limits = limits or limits_of(lab)
    result = Result(student, lab.name, digest(data), "grader-error", now(), received=received)
    result.late, result.lab_version = late, lab.version
    job = {
        "lab": lab.to_dict(),
        "data": base64.b64encode(data).decode(),
        "limits": dataclasses.asdict(limits),
        "isolated": isolated,
        "hidden": hidden,
        "warm": warm and isolated,
    }
    start = time.monotonic()
    trusted = (_Trusted.take if job["warm"] else _Trusted)(job["lab"], hash_seed)
    patience = 1 if isolated else PATIENCE
    events, ended = trusted.grade(job, patience * limits.total_seconds + GRACE)
    _collect(result, lab, events, ended, hidden)
    result.seconds = round(time.monotonic() - start, 2)
    return result.check()


def _collect(result: Result, lab: Lab, events: list[Event], ended: str, hidden: bool) -> None:
    """Put what the child told into the result; `ended` says how the child itself ended."""
    said: Event = {}
    outcomes, figures, shadowed = {}, {}, []
    for event in events:
        if test := event.get("test"):
            outcomes[test["grade_id"]] = TestOutcome(**test)
            figures[test["grade_id"]] = [Figure(**figure) for figure in event["figures"]]
        elif "shadowed" in event:
            shadowed.append(event["shadowed"])
        elif "output" in event:
            result.output |= event["output"]
        else:
            said |= event
    result.problems = said.get("problems", []) + shadowed
    result.figures = [figure for cell in lab.tests for figure in figures.get(cell.grade_id, [])]
    result.answers = said.get("answers", {})
    manual = said.get("manual", {})
    if said.get("status") == "unreadable":
        result.status, result.note = "unreadable", result.problems[0]
        return
    for cell in lab.manual:
        text = manual.get(cell.grade_id, "")
        answered = text.strip() not in ("", MANUAL_STUB)
        item = ManualAnswer(cell.grade_id, cell.question, cell.points, text, answered)
        result.manual.append(item)
    for cell in lab.tests:
        if hidden or not cell.hidden:
            not_run = outcome_of(cell, "not-run", "The test was not run.")
            result.tests.append(outcomes.get(cell.grade_id, not_run))
    if "error" in said or not said.get("finished"):
        result.note = said.get("error") or f"The grading process {ended}."
        if "problems" in said and "error" not in said and ended.startswith(RAN_OUT):
            result.status = "partly"
            result.note = f"The tests themselves {ended} on what the student's code gave."
        return
    stopped = [test for test in result.tests if test.outcome in ("timeout", "died", "not-run")]
    if stopped:
        result.status = "partly"
        first = stopped[0]  # of a hidden test the message may end in what the student's code wrote
        said = first.student_message if first.hidden else first.message
        result.note = f"{first.grade_id}: {first_line(said)}"
        if len(stopped) > 1:
            more = len(stopped) - 1
            result.note += f" (and {more} more test{'s' if more > 1 else ''})"
    else:
        result.status = said.get("status") or "graded"
        if result.status == "tampered":
            result.note = first_line(said["altered"])


_running: set["_Trusted"] = set()
_idle: list["_Trusted"] = []
_stopped = threading.Event()
_cold: list[str] = []  # why there are no warm workers here


def allow() -> None:
    """Undo stop_all: what is graded from now on may run."""
    _stopped.clear()


def stop_all() -> None:
    """Kill every submission that is being graded; their grade_one raises KeyboardInterrupt."""
    _stopped.set()
    for trusted in list(_running):
        trusted.kill()


def close() -> str:
    """End the processes that wait for a next submission; why there were only cold ones, or ""."""
    while _idle:
        _idle.pop().close()
    return _cold.pop() if _cold else ""


class _Trusted:
    """A trusted process: grades one job, or warm ones one after the other."""

    def __init__(self, lab: Event, hash_seed: int):
        root = str(Path(__file__).resolve().parents[2])
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
        env = os.environ | one_thread | {"PYTHONHASHSEED": str(hash_seed), "PYTHONUTF8": "1"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.work = lab, hash_seed  # what it is warm for
        # Made by the process itself, which removes it when the desk is killed: were it made here,
        # a desk killed before the process runs would leave it behind.
        self.folder = Path(tempfile.gettempdir()) / f"gradedesk-{secrets.token_hex(8)}"
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradedesk.grading.trusted", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=self.folder.parent,
            env=env,
            start_new_session=True,
        )
        self.group: cgroup.Group | None = None
        self.bounded = False
        with contextlib.suppress(cgroup.Unavailable, OSError):
            self.group = cgroup.find().make("trusted")
            self.group.add(self.process.pid)  # alone yet, since it waits for its first job

    @classmethod
    def take(cls, lab: Event, hash_seed: int) -> "_Trusted":
        """One that waits for work on this lab, or a new one; those of other labs end."""
        while _idle:
            with contextlib.suppress(IndexError):  # another thread was quicker
                if (trusted := _idle.pop()).work == (lab, hash_seed):
                    return trusted
                trusted.close()
        return cls(lab, hash_seed)

    def grade(self, job: Event, seconds: float) -> tuple[list[Event], str]:
        """Run one job: what it told, and how it ended."""
        events: list[Event] = []
        code = None
        late = threading.Event()
        timer = threading.Timer(seconds, lambda: (late.set(), self.kill()))
        timer.daemon = True
        _running.add(self)
        timer.start()
        try:
            if _stopped.is_set():
                self.kill()
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps(job).encode("ascii") + b"\n")
                self.process.stdin.flush()  # and left open: the process ends when it closes
            for line in self.process.stdout:
                with contextlib.suppress(ValueError):  # half a line of a process that was killed
                    event = json.loads(line)
                    events.append(event)
                    if "ended" in event:
                        code = event.pop("ended")  # of its fork
                        break
                    if "most" in event:
                        self._bound(event.pop("most"))
                    if "cold" in event:
                        _cold[:] = [event.pop("cold")]
            else:  # it has ended, or is about to
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(LAST_SECONDS)
        finally:
            timer.cancel()
            _running.discard(self)
            said = self._said()
            # Nobody else would kill it: the kernel has, and of a group perhaps but a part.
            full = self._full()
            short = full or -signal.SIGKILL in (code, self.process.poll())
            if code is not None and not short and not late.is_set() and not _stopped.is_set():
                _idle.append(self)
            else:
                ended = self.close()
                code = ended if code is None else code
        if _stopped.is_set():
            raise KeyboardInterrupt
        if late.is_set():
            return events, f"{RAN_OUT}time"
        if short:
            return events, f"{RAN_OUT}memory" + ("" if full else " (it seems)")
        return events, f"ended with code {code}{said}"

    def _bound(self, most: int) -> None:
        """The second bound on the memory of tests, which there is no way around.

        A fork may write to all that it shares, and fill `most` bytes besides.
        """
        if self.group and not self.bounded:
            self.group.bound(2 * self.group.memory + most + ROOM)
            self.bounded = True

    def _full(self) -> bool:
        return self.group is not None and self.group.oom_kills > 0

    def _said(self) -> str:
        """The last line on standard error, which begins anew with each job."""
        self.errors.seek(0)
        lines = self.errors.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        self.errors.seek(0)
        self.errors.truncate()
        return f": {plain(lines[-1], 300)}" if lines else ""

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def close(self) -> int:
        self.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        code = self.process.wait()
        if self.group:
            self.group.close()
            cgroup.find().sweep()  # the folder of its own groups
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code
