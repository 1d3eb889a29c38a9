"""A lab's cells, run: setup and answers in the sandbox, tests in this process."""

import ast
import contextlib
import copy
import dataclasses
import hashlib
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from gradedesk import board
from gradedesk.grading.outcome import Event, authored, explain, outcome_of, shadows
from gradedesk.grading.standin import StandIn, StudentError
from gradedesk.lab import STUB, Cell, Lab
from gradedesk.plain import plain
from gradedesk.results.result import TestOutcome
from gradedesk.sandbox import (
    Limits,
    Reply,
    Sandbox,
    SandboxError,
    SandboxTimeout,
    SandboxUnavailable,
    wire,
)
from gradedesk.sandbox.box import PATIENCE

STRIKES = 2  # sandboxes that one question may use up by its tests; its cell may end one more
TOO_LARGE = "What the answer gives is too large: comparing it takes more memory than there is."
STORED = 20_000  # characters of an answer or its output in the result


class GraderError(Exception):
    """Our own fault, in one line."""


class _NoSandbox(Exception):
    """No further sandbox for this submission; the text says why."""


class _TestTime(BaseException):
    """A test took too long by itself, between calls of the student's code."""


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
                    self.shadowed[cell.question] = f"{cell.grade_id} {shadows(shadowed)}"
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
                raise GraderError(f"The lab's cell {cell.grade_id}: {error}") from None
            self.killers.add(cell.grade_id)
            if not self.hidden:
                self.ended[cell.grade_id] = isinstance(error, SandboxTimeout)
            return "", []
        if reply.error and ours and not theirs:
            raise GraderError(f"The lab's cell {cell.grade_id} failed: {reply.error}")
        if reply.error:
            where = f" ({reply.error.where})" if reply.error.where else ""
            if not self.hidden:
                self.broken[cell.grade_id] = explain(f"{reply.error}{where}", source)
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
            return outcome_of(cell, "not-run", said)
        try:
            self._ensure()
        except _NoSandbox as error:
            return outcome_of(cell, "not-run", f"Not run: {error}")
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
            return outcome_of(cell, "not-run", f"Not run: {error}")
        except _TestTime:
            return self._ended(cell, None)
        except StudentError as error:
            return self._student_error(cell, error)
        except AssertionError as error:
            said = str(error) or "The assertion failed."
            return outcome_of(cell, "failed", said, authored(cell, error, file))
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, MemoryError) or "can't allocate memory" in said:  # PyTorch's own
                self.alone.replies.clear()  # they may be large, too
                return outcome_of(cell, "failed", TOO_LARGE)
            told = "The answer has a type or a shape that the test cannot use"
            student = f"{told}." if cell.hidden else None
            return outcome_of(cell, "failed", f"{told} ({said})", student)
        return outcome_of(cell, "passed", "")

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
            return outcome_of(cell, "timeout", said, told)
        told = "Your code ended the Python process, or gave more than can be read."
        return outcome_of(cell, "died", f"The student's code ended its sandbox: {error}", told)

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
                return outcome_of(cell, outcome, f"The cell {name} {why}.")
            if name in self.broken:
                return outcome_of(cell, "failed", f"The cell {name} failed: {self.broken[name]}")
            if name not in self.answers:
                return outcome_of(cell, "failed", f"The cell {name} is not there.")
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
            return outcome_of(cell, "failed", message)
        # Not what was raised, and not its type: either could carry what the test asked.
        stub = any(
            STUB[-1] in self.answers.get(answer.grade_id, "")
            for answer in self.lab.answers
            if answer.question == cell.question
        )
        told = "Your code raised an error, or gave something that the test cannot use."
        told = "Not answered yet?" if stub else told
        return outcome_of(cell, "failed", message, told)


def _holds_handle(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_holds_handle, value.values() if isinstance(value, dict) else value))
    return isinstance(value, wire.Handle)


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
