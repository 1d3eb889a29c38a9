"""One submission: the lab's tests, in a trusted process, against the student's code in the sandbox.

    desk ──job──> python -m gradedesk.run FOLDER (trusted: tests, points) ─calls─> sandbox (student)
         <─events─                                                        <──data─

The trusted side has a process of its own, so that nothing a test meets can hurt the desk. It tells
each outcome as soon as it has it, and what it told stays told when it has to be killed.

Warm, both processes have imported what the lab needs before the first submission comes, and each
submission gets a fork of each: of this one by `_forked`, of the sandbox by warm.py.
"""

import ast
import base64
import contextlib
import copy
import ctypes
import dataclasses
import gc
import hashlib
import importlib
import importlib.util
import json
import math
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from gradedesk import board, wire
from gradedesk.board import Figure
from gradedesk.checks import Differs
from gradedesk.lab import MANUAL_STUB, STUB, UNPARSED, Cell, Lab, LabError
from gradedesk.plain import plain
from gradedesk.rebuild import Submission, read_submission
from gradedesk.result import ManualAnswer, Result, TestOutcome
from gradedesk.sandbox import (
    PATIENCE,
    Limits,
    Reply,
    Sandbox,
    SandboxError,
    SandboxTimeout,
    SandboxUnavailable,
)
from gradedesk.standin import StandIn, StudentError
from gradedesk.warm import Zygote

STRIKES = 2  # sandboxes that one question may use up by its tests; its cell may end one more
GRACE = 30.0  # seconds that the trusted side has on top of the submission's own
PR_SET_PDEATHSIG = 1  # of prctl(2)
STORED = 20_000  # characters of an answer or its output in the result

Event = dict[str, Any]


def limits_of(lab: Lab) -> Limits:
    """The lab's own limits over the defaults; LabError for one that does not exist."""
    known = {f.name: type(f.default) for f in dataclasses.fields(Limits)}
    for name in lab.limits:
        if name not in known:
            raise LabError(f"{lab.name}: unknown limit {name!r}; there are {', '.join(known)}.")
    return Limits(**{name: known[name](value) for name, value in lab.limits.items()})


# --- The desk's side -----------------------------------------------------------------------------


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
) -> Result:
    """Grade the bytes of a submitted notebook. Whatever they hold, a Result comes back.

    `isolated=False` runs the student's code without the sandbox (one's own work only);
    `hidden=False` leaves hidden tests out; `warm=True` keeps processes for the next submission to
    this lab, until `close`. Stopped by `stop_all`, it raises KeyboardInterrupt.
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
    trusted = _Trusted.take(job["lab"]) if job["warm"] else _Trusted()
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
            test = outcomes.get(cell.grade_id) or _outcome(cell, "not-run", "The test was not run.")
            result.tests.append(test)
    if "error" in said or not said.get("finished"):
        result.note = said.get("error") or f"The grading process {ended}."
        if "problems" in said and "error" not in said and ended == "ran out of time":
            result.status = "partly"
            result.note = "The tests themselves ran out of time on what the student's code gave."
        return
    stopped = [test for test in result.tests if test.outcome in ("timeout", "died", "not-run")]
    if stopped:
        result.status = "partly"
        first = stopped[0]  # of a hidden test the message may end in what the student's code wrote
        said = first.student_message if first.hidden else first.message
        result.note = f"{first.grade_id}: {_first_line(said)}"
        if len(stopped) > 1:
            more = len(stopped) - 1
            result.note += f" (and {more} more test{'s' if more > 1 else ''})"
    else:
        result.status = said.get("status") or "graded"
        if result.status == "tampered":
            result.note = _first_line(said["altered"])


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

    def __init__(self, lab: Event | None = None):
        root = str(Path(__file__).resolve().parent.parent)
        one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
        env = os.environ | one_thread | {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.lab = lab  # what it is warm for
        # Made by the process itself, which removes it when the desk is killed: were it made here,
        # a desk killed before the process runs would leave it behind.
        self.folder = Path(tempfile.gettempdir()) / f"gradedesk-{secrets.token_hex(8)}"
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradedesk.run", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=self.folder.parent,
            env=env,
            start_new_session=True,
        )

    @classmethod
    def take(cls, lab: Event) -> "_Trusted":
        """One that waits for work on this lab, or a new one; those of other labs end."""
        while _idle:
            with contextlib.suppress(IndexError):  # another thread was quicker
                if (trusted := _idle.pop()).lab == lab:
                    return trusted
                trusted.close()
        return cls(lab)

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
                    if (code := event.pop("ended", None)) is not None:
                        break
                    if "cold" in event:
                        _cold[:] = [event.pop("cold")]
        finally:
            timer.cancel()
            _running.discard(self)
            said = self._said()
            if code is not None and not late.is_set() and not _stopped.is_set():
                _idle.append(self)
            else:
                code = self.close()
        if _stopped.is_set():
            raise KeyboardInterrupt
        if late.is_set():
            return events, "ran out of time"
        return events, f"ended with code {code}{said}"

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
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


# --- The trusted side ----------------------------------------------------------------------------


class _GraderError(Exception):
    """Our own fault, in one line."""


class _NoSandbox(Exception):
    """No further sandbox for this submission; the text says why."""


class _TestTime(BaseException):
    """A test took too long by itself, between calls of the student's code."""


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _bounded(text: str) -> str:
    """A message of a few lines."""
    lines = plain(text, 800).strip().splitlines()
    return "\n".join(lines[:8] + (["..."] if len(lines) > 8 else []))


def _outcome(cell: Cell, outcome: str, message: str, student: str | None = None) -> TestOutcome:
    points = cell.points if outcome == "passed" else 0.0
    student = message if student is None else student
    return TestOutcome(
        cell.grade_id,
        cell.question,
        plain(cell.title, 300),
        cell.hidden,
        cell.points,
        points,
        outcome,
        _bounded(message),
        _bounded(student),
    )


class Alone:
    """Answers each call in a new sandbox, in which no other function was called before.

    What a call gives then depends on its arguments alone, so the same call is made once only. Its
    time is that of the call and of the answer cells before it, in which the work may be done.
    """

    def __init__(self, start: Callable[[], tuple[Sandbox, float]]):
        self.start = start  # a sandbox in which the cells have run, and the seconds they took
        self.replies: dict[bytes, tuple[Reply | SandboxError, float]] = {}

    def call(self, target, args=(), kwargs=None, timeout=None) -> Reply:
        if not isinstance(target, str):
            self._gone()
        asked = [target, list(args), dict(kwargs or {})]
        if _holds_handle(asked):
            self._gone()
        key = hashlib.sha256(wire.pack(asked, wire.WireLimits(1 << 30, 1 << 26))).digest()
        if key not in self.replies:
            try:
                box, used = self.start()
                with box:
                    before = box.processor_seconds
                    reply = box.call(target, args, kwargs, timeout)
                    self.replies[key] = reply, used + box.processor_seconds - before
            except SandboxUnavailable:
                raise
            except SandboxError as error:
                self.replies[key] = error, 0.0
        reply, used = self.replies[key]
        board.elsewhere += used
        if isinstance(reply, SandboxError):
            raise type(reply)(str(reply))
        return copy.deepcopy(reply)  # a test may change what it was given

    def getattr(self, target, name, timeout=None) -> Reply:
        self._gone()

    def _gone(self):
        raise StudentError("the result is not plain data, and the process that made it has ended")


class Earlier:
    """Answers calls by what the cells up to an earlier question made, whatever came after them."""

    def __init__(self, start: Callable[[], tuple[Sandbox, float]]):
        self.start = start
        self.box: Sandbox | None = None

    def call(self, *args, **options) -> Reply:
        return self._started().call(*args, **options)

    def getattr(self, *args, **options) -> Reply:
        return self._started().getattr(*args, **options)

    def _started(self) -> Sandbox:
        if self.box is None:
            self.box, _ = self.start()
        return self.box

    def close(self) -> None:
        if self.box:
            self.box.close()


def _holds_handle(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_holds_handle, value.values() if isinstance(value, dict) else value))
    return isinstance(value, wire.Handle)


class Runner:
    """Runs a lab's cells: setup and answers in the sandbox, tests out here.

    Twice, each time in notebook order: first with the public tests, then, in a sandbox of its own,
    with the hidden ones. What a student's code prints in the first is shown to the student, and
    nothing from the second, in which it can know what hidden tests ask.

    When the student's code kills its sandbox, a fresh one replays the cells so far (without a cell
    that killed it by itself), so that the other questions still earn their points.
    """

    def __init__(self, lab: Lab, answers: dict[str, str], limits: Limits, sandbox: Event):
        self.lab, self.answers, self.limits = lab, answers, limits
        self.sandbox = sandbox  # further arguments of each Sandbox
        self.patience = 1 if sandbox["isolated"] else PATIENCE
        self.deadline = time.monotonic() + self.patience * limits.total_seconds
        self.box: Sandbox | None = None
        self.boxes = 0
        self.ran: list[Cell] = []
        self.unfit: set[str] = set()  # answer cells that are too long to be run
        self.broken: dict[str, str] = {}  # cells that raised: what they raised
        self.killers: set[str] = set()  # answer cells that ended the sandbox
        self.ended: dict[str, bool] = {}  # of those in the public run: whether by their time
        self.shadowed: dict[str, str] = {}  # by question: what is said of names that it took
        self.hidden = False  # whether hidden tests run: what happens from then on is not told
        self.strikes: Counter[str] = Counter()  # by question
        self.setup: dict[str, Any] = {}
        self.alone = Alone(lambda: self._fresh(self.ran))
        self.earlier: dict[str, Earlier] = {}  # by answer cell

    def close(self) -> None:
        for box in [self.box, *self.earlier.values()]:
            if box:
                box.close()
        self.box, self.earlier = None, {}

    def events(self, hidden: bool = True) -> Iterator[Event]:
        """One event for each test, and for each answer cell of which there is something to say."""
        self._measure()
        yield from self._cells(lambda cell: not cell.hidden, first=True)
        if hidden and any(cell.hidden for cell in self.lab.tests):
            self.close()
            self.boxes = max(0, self.boxes - 1)  # its start is not the student's doing
            self.hidden = True
            yield from self._cells(lambda cell: cell.hidden, first=False)

    def _cells(self, tested: Callable[[Cell], bool], first: bool) -> Iterator[Event]:
        """Run the cells once, with some of the tests; of the first time outputs are told."""
        needed = needed_setup(self.lab)
        self.ran, self.setup = [], {"__name__": "__main__"}
        for cell in self.lab:
            if cell.kind == "setup":
                if cell in needed:
                    exec(compile(cell.source, f"<{cell.grade_id}>", "exec"), self.setup)
                self._run(cell)
            elif cell.kind == "answer" and cell.grade_id in set(self.answers) - self.unfit:
                output, shadowed = self._run(cell)
                if first and output:
                    yield {"output": {cell.grade_id: plain(output, STORED)}}
                if first and shadowed:
                    self.shadowed[cell.question] = f"{cell.grade_id} {_shadows(shadowed)}"
                    yield {"shadowed": self.shadowed[cell.question]}
            elif cell.kind == "test" and tested(cell):
                board.said.clear()
                outcome = self._test(cell)
                said = self.shadowed.get(cell.question)
                if said and outcome.outcome == "failed":
                    outcome.message += f"\n{said}"
                    outcome.student_message += f"\n{said}"
                figures = [*map(dataclasses.asdict, board.said)]
                yield {"test": dataclasses.asdict(outcome), "figures": figures}

    # - the sandbox -

    def _measure(self) -> None:
        """Find the answers that make all up to them longer than all may be."""
        size = 0
        for cell in self.lab.answers:
            size += len(self.answers.get(cell.grade_id, "").encode())
            if size > self.limits.answer_bytes and cell.grade_id in self.answers:
                self.unfit.add(cell.grade_id)
                self.broken[cell.grade_id] = (
                    f"it was not run: the answer cells up to it have {size:,} bytes, and all "
                    f"together may have {self.limits.answer_bytes:,}"
                )

    def _fresh(self, cells: list[Cell]) -> tuple[Sandbox, float]:
        """Another sandbox in which these cells have run; the seconds that its answers took."""
        limits = dataclasses.replace(self.limits, total_seconds=self._left())
        box, used = Sandbox(limits, self.lab.files, **self.sandbox), 0.0
        try:
            for cell in cells:
                if cell.grade_id not in self.killers:
                    before = box.processor_seconds
                    box.exec(self._source(cell), name=cell.grade_id, **_whose(cell))
                    used += box.processor_seconds - before if cell.kind == "answer" else 0.0
        except BaseException:
            box.close()
            raise
        return box, used

    def _before(self, answer: Cell) -> Earlier:
        """Whom to ask for what an earlier answer defined, as it was then."""
        if answer.grade_id not in self.earlier:
            cells = self.ran[: self.ran.index(answer) + 1]
            self.earlier[answer.grade_id] = Earlier(lambda: self._fresh(cells))
        return self.earlier[answer.grade_id]

    def _left(self) -> float:
        """The seconds that the submission has left; _NoSandbox when there are none."""
        left = (self.deadline - time.monotonic()) / self.patience
        if left < 1:
            raise _NoSandbox(f"The {self.limits.total_seconds:g} s of a submission are used up.")
        return left

    def _source(self, cell: Cell) -> str:
        return cell.source if cell.kind == "setup" else self.answers[cell.grade_id]

    def _run(self, cell: Cell) -> tuple[str, list[str]]:
        """Run a setup or answer cell: what it printed, and the names it took from others."""
        try:
            self._ensure()
            self.ran.append(cell)
            return self._exec(cell)
        except _NoSandbox:
            self.ran.append(cell)
            return "", []

    def _exec(self, cell: Cell) -> tuple[str, list[str]]:
        source, ours = self._source(cell), cell.kind == "setup"
        theirs = any(before.kind == "answer" for before in self.ran)
        try:
            reply = self.box.exec(source, name=cell.grade_id, **_whose(cell))
        except SandboxError as error:
            self.close()
            if ours and not theirs:
                raise _GraderError(f"The lab's cell {cell.grade_id}: {error}") from None
            self.killers.add(cell.grade_id)
            if not self.hidden:
                self.ended[cell.grade_id] = isinstance(error, SandboxTimeout)
            return "", []
        if reply.error and ours and not theirs:
            raise _GraderError(f"The lab's cell {cell.grade_id} failed: {reply.error}")
        if reply.error:
            where = f" ({reply.error.where})" if reply.error.where else ""
            if not self.hidden:
                self.broken[cell.grade_id] = _explain(f"{reply.error}{where}", source)
        return reply.output, reply.value if _names(reply.value) else []

    def _ensure(self) -> None:
        """A living sandbox in which the cells so far have run; _NoSandbox when there is none."""
        while self.box is None:
            left = self._left()
            if self.boxes > (STRIKES + 1) * len(self.lab.answers):
                raise _NoSandbox(f"The student's code ended {self.boxes} sandboxes.")
            self.boxes += 1
            limits = dataclasses.replace(self.limits, total_seconds=left)
            try:
                self.box = Sandbox(limits, self.lab.files, **self.sandbox)
            except SandboxUnavailable:
                raise
            except SandboxError as error:
                raise _NoSandbox(f"No sandbox started: {error}") from None
            for cell in self.ran:
                if cell.grade_id not in self.killers:
                    self._exec(cell)
                if self.box is None:
                    break

    # - tests -

    def _test(self, cell: Cell) -> TestOutcome:
        if self.strikes[cell.question] >= STRIKES:
            said = f"Not run: the tests before it ended {STRIKES} sandboxes."
            return _outcome(cell, "not-run", said)
        try:
            self._ensure()
        except _NoSandbox as error:
            return _outcome(cell, "not-run", f"Not run: {error}")
        names = self.setup | {name: StandIn(place, name) for name, place in self._places(cell)}
        file = f"<{cell.grade_id}>"
        seed()
        try:
            with _time_limit(self.limits.cell_seconds + 2, self.patience):
                exec(compile(cell.source, file, "exec"), names)
        except SandboxUnavailable:
            raise
        except SandboxError as error:
            return self._ended(cell, error)
        except _NoSandbox as error:
            return _outcome(cell, "not-run", f"Not run: {error}")
        except _TestTime:
            return self._ended(cell, None)
        except StudentError as error:
            return self._student_error(cell, error)
        except AssertionError as error:
            said = str(error) or "The assertion failed."
            return _outcome(cell, "failed", said, _authored(cell, error, file))
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}"
            told = "The answer has a type or a shape that the test cannot use"
            return _outcome(cell, "failed", f"{told} ({said})", f"{told}." if cell.hidden else None)
        return _outcome(cell, "passed", "")

    def _places(self, test: Cell) -> Iterator[tuple[str, Any]]:
        """Whom a test asks for each name: of its own question's cells, the sandbox as it is now.

        What an earlier question defined is asked as it was then: a later cell can give another
        meaning to it, but not to what the test measures by.
        """
        seen: set[str] = set()
        for answer in self.lab.answers:
            for name in answer.names:
                if name in self.lab.alone:
                    yield name, self.alone
                elif answer not in self.ran:  # of a later question, or missing
                    if name not in seen:
                        yield name, self.box
                elif answer.question == test.question:
                    yield name, self.box
                    seen.add(name)
                else:
                    yield name, self._before(answer)
                    seen.add(name)

    def _ended(self, cell: Cell, error: SandboxError | None) -> TestOutcome:
        """A test that used up the sandbox, or its time."""
        self.close()
        self.strikes[cell.question] += 1
        if error is None or isinstance(error, SandboxTimeout):
            said = f"The student's code took longer than {self.limits.cell_seconds:g} s."
            told = f"Your code took longer than {self.limits.cell_seconds:g} s."
            return _outcome(cell, "timeout", said, told)
        told = "Your code ended the Python process, or gave more than can be read."
        return _outcome(cell, "died", f"The student's code ended its sandbox: {error}", told)

    def _student_error(self, cell: Cell, error: StudentError) -> TestOutcome:
        said = str(error)
        found = re.match(r"NameError: name '(\w+)' is not defined", said)
        source = self.lab.defined_in(found[1]) if found else None
        # Of a hidden test only what the public run had shown, and of its own question: which name
        # the code says is missing is its own choice.
        if source and (not cell.hidden or source.question == cell.question):
            name = source.grade_id
            if name in self.ended:
                outcome = "timeout" if self.ended[name] else "died"
                why = "took too long" if self.ended[name] else "ended the Python process"
                return _outcome(cell, outcome, f"The cell {name} {why}.")
            if name in self.broken:
                return _outcome(cell, "failed", f"The cell {name} failed: {self.broken[name]}")
            if name not in self.answers:
                return _outcome(cell, "failed", f"The cell {name} is not there.")
        if found and not source:
            said += (
                ". If a cell without a question imports or defines it, do that in the answer: such "
                "cells are not run at grading."
            )
        if said.startswith("NotImplementedError"):
            said = f"{said}: not answered yet?"
        where = getattr(error, "where", "")
        message = f"{said}\n{where}" if where else said
        if not cell.hidden:
            return _outcome(cell, "failed", message)
        # Not what was raised, and not its type: either could carry what the test asked.
        stub = any(
            STUB[-1] in self.answers.get(answer.grade_id, "")
            for answer in self.lab.answers
            if answer.question == cell.question
        )
        told = "Your code raised an error, or gave something that the test cannot use."
        told = "Not answered yet?" if stub else told
        return _outcome(cell, "failed", message, told)


def _whose(cell: Cell) -> dict[str, Any]:
    """What a sandbox is told of a cell beside its source."""
    return {"ours": True} if cell.kind == "setup" else {"asked": cell.names}


def _names(value: Any) -> bool:
    """Whether a reply is what it should be, a short list of names."""
    return (
        type(value) is list
        and len(value) <= 100
        and all(type(name) is str and name.isidentifier() and len(name) <= 80 for name in value)
    )


def _shadows(names: list[str]) -> str:
    """What is said of an answer cell that has taken names from the lab or from Python."""
    shown = ", ".join(f"`{name}`" for name in sorted(names)[:5])
    shown += f" and {len(names) - 5} more" if len(names) > 5 else ""
    own = "their own meanings" if len(names) > 1 else "its own meaning"
    return (
        f"gives {shown} another meaning. For the cells after it, {shown} had {own} again, so that "
        "this costs no other question."
    )


def _explain(said: str, source: str) -> str:
    """A syntax error at IPython's own syntax says that Python does not know it."""
    magic = re.search(r"(?m)^\s*([%!][%\w].*)$", source)
    if said.startswith("SyntaxError") and magic:
        line = source[: magic.start(1)].count("\n") + 1
        shown = plain(magic[1], 40)
        return f"{said} (line {line}, {shown!r}: IPython's magic commands are not Python)"
    return said


def _authored(cell: Cell, error: AssertionError, file: str) -> str:
    """What the test's author wrote for students about this failure.

    Of a hidden test nothing else is shown: numpy's and torch's own texts give the expected value,
    and what a message has from the student's code could carry what the test asked. So only its
    literal text is, with "..." for each value in it.
    """
    if not cell.hidden:
        return str(error) or "The assertion failed."
    tree = ast.parse(cell.source)
    literal = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    if isinstance(error, Differs):
        said = error.msg if error.msg in literal else _literal_part(tree, error, file)
        return f"{error.told} {said}".strip()
    if str(error) in literal:
        return str(error)
    return _literal_part(tree, error, file) or "A hidden test failed."


def _literal_part(tree: ast.Module, error: AssertionError, file: str) -> str:
    """The text that stands in the source of the message with which a line of the test failed."""
    frames = traceback.walk_tb(error.__traceback__)
    line = [line for frame, line in frames if frame.f_code.co_filename == file][-1]
    for node in ast.walk(tree):
        if not getattr(node, "lineno", math.inf) <= line <= node.end_lineno:
            continue
        if isinstance(node, ast.Assert):
            messages = [node.msg]
        elif isinstance(node, ast.Call):
            named = [word.value for word in node.keywords if word.arg in ("msg", "err_msg")]
            messages = named or node.args[2:3]
        else:
            continue
        for message in messages:
            if isinstance(message, ast.Constant) and isinstance(message.value, str):
                return message.value
            if isinstance(message, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in message.values]
                return "".join(part if isinstance(part, str) else "..." for part in parts)
    return ""


@cache
def used(source: str) -> set[str]:
    """The names that a cell reads."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return {node.id for node in nodes if isinstance(node.ctx, ast.Load)}


def bound(source: str) -> set[str]:
    """The names that a cell binds, imports included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def needed_setup(lab: Lab) -> list[Cell]:
    """The setup cells that the tests build on; what no test needs can take seconds to import."""
    names = set().union(*(used(cell.source) for cell in lab.tests))
    return [cell for cell in lab.kind("setup") if bound(cell.source) & names]


def own_packages(lab: Lab) -> list[Path]:
    """The folders of the course's own packages that a lab imports, and of those that they import.

    They lie beside solutions/ and not where packages are installed, so the sandbox is told.
    """
    sources = [cell.source for cell in lab if cell.kind in ("setup", "answer")]
    found: dict[str, Path | None] = {}
    while sources:
        names = {name.split(".")[0] for name in imported(sources.pop())}
        for name in names - set(found):
            found[name] = _own(name)
            if found[name]:
                sources += [path.read_text(encoding="utf-8") for path in found[name].rglob("*.py")]
    return [folder for folder in found.values() if folder]


def _own(name: str) -> Path | None:
    """The folder of a package that can be imported here, but is not installed; None for others."""
    try:
        spec = None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
    except ValueError:  # __main__
        return None
    if spec is None or not spec.origin or not spec.submodule_search_locations:
        return None
    installed = {Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")}
    folder = Path(spec.origin).parent
    return None if installed & set(folder.parents) else folder


def absent(answers: dict[str, str], packages: list[Path]) -> list[str]:
    """For each answer that imports what is here, but not in a sandbox with these own packages, a
    line that says so."""
    said = []
    for grade_id, source in answers.items():
        for name in sorted({name.split(".")[0] for name in imported(source)}):
            if (folder := _own(name)) and folder not in packages:
                said.append(f"{grade_id} imports {name}, which is not there at grading.")
    return said


def imported(source: str) -> set[str]:
    """The modules that a cell or a module imports."""
    names = set()
    try:
        tree = ast.parse(source)
    except UNPARSED:
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return names


def seed() -> None:
    """The same random numbers for every test cell."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@contextlib.contextmanager
def _time_limit(seconds: float, patience: int = 1) -> Iterator[None]:
    """Raise _TestTime in the main thread after `seconds` of processor time, or `patience` times as
    many on the wall (where there are interval timers)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise _TestTime

    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: patience * seconds}
    for number in signal.SIGPROF, signal.SIGALRM:
        signal.signal(number, ring)
    for timer, after in timers.items():
        signal.setitimer(timer, after)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


def _grade(job: Event, sandbox: Event) -> Iterator[Event]:
    lab = Lab.from_dict(job["lab"])
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
    runner = Runner(lab, found.answers, Limits(**job["limits"]), sandbox)
    try:
        yield from runner.events(job["hidden"])
        yield {"finished": True}
    except (_GraderError, SandboxError) as error:
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


def _end_with_the_desk(folder: str) -> None:
    """End this process, and with it its sandbox, as soon as the desk is gone."""
    while sys.stdin.buffer.read(1):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # the desk would have done so
    os._exit(3)


def _prepare(job: Event) -> tuple[Event, str]:
    """What is the same for every submission to a lab, as Sandbox's arguments; why it is cold."""
    lab = Lab.from_dict(job["lab"])
    sources = [cell.source for cell in lab.kind("setup") + lab.answers]
    names = sorted(set().union(*map(imported, sources)))
    sandbox = {"packages": own_packages(lab), "imports": names, "isolated": job["isolated"]}
    if not job["warm"]:
        return sandbox, ""
    for cell in needed_setup(lab) + lab.tests:
        for name in imported(cell.source):
            with contextlib.suppress(Exception):  # it fails again in its cell, which says so
                importlib.import_module(name)
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        return sandbox, "the lab's tests import what starts threads"
    gc.freeze()  # else the collector would write to, and so copy, what all forks share
    try:
        return sandbox | {"zygote": Zygote(sandbox["packages"], names)}, ""
    except SandboxError as error:
        return sandbox, str(error)


def _work(job: Event, sandbox: Event, told: BinaryIO, folder: str) -> None:
    """Do a job in `folder`, the working folder, which goes with the desk."""
    threading.Thread(target=_end_with_the_desk, args=(folder,), daemon=True).start()
    for event in _grade(job, sandbox):
        _tell(told, event)


def _tell(told: BinaryIO, event: Event) -> None:
    told.write(json.dumps(event).encode("ascii") + b"\n")
    told.flush()


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
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what a test may have left running
    return os.waitstatus_to_exitcode(status)


def _main() -> None:
    told = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:  # what a test prints is nobody's protocol
        os.dup2(nowhere.fileno(), 1)
    folder = sys.argv[1]
    os.mkdir(folder, 0o700)  # fails where there is one, so that only our own is ever removed
    try:
        os.chdir(folder)
        _serve(told, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the desk may be gone


def _serve(told: BinaryIO, folder: str) -> None:
    """Do the jobs that come by standard input, until it ends."""
    sandbox: Event = {}
    while line := sys.stdin.buffer.readline():
        job = json.loads(line)
        if not sandbox or "zygote" in sandbox and not sandbox["zygote"].alive:
            sandbox, cold = _prepare(job)
            if cold:
                _tell(told, {"cold": cold})
        if "zygote" not in sandbox:
            return _work(job, sandbox, told, folder)
        ended = _forked(job, sandbox, told, folder)
        told.write(b"\n")  # it may have been killed within a line
        _tell(told, {"ended": ended})


if __name__ == "__main__":
    _main()
