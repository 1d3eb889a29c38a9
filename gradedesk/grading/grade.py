"""A whole class: submissions side by side, each journalled as soon as it is graded."""

import errno
import hashlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gradedesk.desk import Desk
from gradedesk.grading import run
from gradedesk.grading.answers import MAX_BYTES
from gradedesk.lab import Lab, LabError
from gradedesk.names import DeskError, shown
from gradedesk.results.journal import Journal
from gradedesk.results.result import Result


@dataclass(frozen=True)
class Received:
    """A submission on the desk: its bytes, None if there is none, and what is known about it."""

    student: str
    data: bytes | None
    problem: str = ""  # why a file that is there could not be taken, or its odd name
    received: str | None = None
    late: bool = False

    @property
    def digest(self) -> str:
        return "" if self.data is None else hashlib.sha256(self.data).hexdigest()


@dataclass
class Batch:
    """What a run of `grade` did: results by student, old ones included."""

    results: dict[str, Result] = field(default_factory=dict)
    graded: list[str] = field(default_factory=list)  # by this run
    left: list[str] = field(default_factory=list)  # after Ctrl-C
    arrived: list[str] = field(default_factory=list)  # newer submissions than those graded
    outdated: list[str] = field(default_factory=list)  # graded by an older version of the lab
    cold: str = ""  # why each submission was started anew, where it was

    @property
    def stopped(self) -> bool:
        return bool(self.left)

    @property
    def failed(self) -> list[str]:
        """Whose submission could not be graded, or not to its end."""
        bad = ("unreadable", "partly", "grader-error")
        return [name for name, result in self.results.items() if result.status in bad]


def find(desk: Desk, student: str, lab: str) -> Received:
    """The submission in submitted/<student>/<lab>/. Links and devices are not followed."""
    folder = desk.of(student, lab)
    known = desk.received(student, lab)  # a folder that was filled by hand has nothing there
    received, late = known.get("received"), bool(known.get("late"))
    path, problem = folder / f"{lab}.ipynb", ""
    if not os.path.lexists(path):
        others = sorted(folder.glob("*.ipynb")) if folder.is_dir() else []
        if not others:
            return Received(student, None)
        if len(others) > 1:
            names = ", ".join(shown(other.name, 40) for other in others[:4])
            problem = f"No {lab}.ipynb, but {len(others)} other notebooks: {names}."
            return Received(student, b"", problem, received, late)
        path = others[0]
        problem = f"The file's name is {shown(path.name)!r}, not {lab}.ipynb."
    try:
        return Received(student, _read(path), problem, received, late)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return Received(student, None)
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror
        return Received(student, b"", f"{shown(path.name)} was not read: {why}.", received, late)


def _read(path: Path) -> bytes:
    """A regular file's bytes, at most one more than a notebook may have."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(MAX_BYTES + 1)


def to_do(desk: Desk, lab: Lab, old: dict[str, Result], names: list[str]) -> list[str]:
    """Whose submission is not in the journal as it is now, or met an error of ours."""
    found = []
    for name in names:
        result = old.get(name)
        if (
            result is None
            or result.status == "grader-error"
            or result.submission != find(desk, name, lab.name).digest
        ):
            found.append(name)
    return found


def grade(
    desk: Desk,
    lab: Lab,
    *,
    jobs: int = 1,
    student: str | None = None,
    regrade: bool = False,
    isolated: bool = True,
    warm: bool = True,
    scheduler: str | None = None,
    on_start: Callable[[int, int], None] = lambda total, done: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Batch:
    """Grade what submitted/ holds for a lab and journal it; what is graded already is skipped.

    `warm` forks the workers from a process that has imported what the lab needs. Each result is in
    the journal before `on_result` sees it. Ctrl-C ends the submissions at work,
    and the batch says who is left. `scheduler` is the address of a Dask cluster whose workers
    grade as this machine would. Raises DeskError.
    """
    if lab.released:
        raise LabError(f"{lab.name} is the students' version: grade with the one in solutions/.")
    run.limits_of(lab)
    with desk.lock():
        journal = Journal(desk.journal)
        old = {name: result for (name, _), result in journal.latest(lab.name).items()}
        names = desk.students()
        if student is not None:
            if student not in names:
                raise DeskError(f"There is no student {shown(student)!r} in {desk.submitted}.")
            names = [student]
        elif not names:
            raise DeskError(f"{desk.submitted} is empty: run `gradedesk collect` first.")
        waiting = names if regrade else to_do(desk, lab, old, names)
        on_start(len(names), len(names) - len(waiting))
        batch = Batch()

        def keep(result: Result) -> None:
            journal.append(result)
            old[result.student] = result
            batch.graded.append(result.student)
            on_result(result)

        run.allow()
        try:
            with _executor(jobs, scheduler) as (executor, places):
                how = {"isolated": isolated, "warm": warm and isolated}
                how["hash_seed"] = desk.hash_seed()
                batch.left = _work(desk, lab, waiting, 2 * places, how, executor, keep)
        finally:
            batch.cold = run.close()
        batch.results = {name: old[name] for name in names if name in old}
        batch.outdated = [n for n, r in batch.results.items() if r.lab_version != lab.version]
        if not batch.left:
            fine = [name for name in names if old[name].status != "grader-error"]
            batch.arrived = to_do(desk, lab, old, fine)
        return batch


@contextmanager
def _executor(jobs: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """Where grade_one runs, and how many places there are."""
    if scheduler is None:
        with ThreadPoolExecutor(jobs) as pool:
            try:
                yield pool, jobs
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError:
        raise DeskError(
            "--scheduler needs Dask: pip install 'tinygpt-course[cluster]' here and on the workers."
        ) from None
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        said = shown(str(error), 200)
        raise DeskError(f"No Dask scheduler answers at {scheduler}: {said}") from None
    with client:
        places = sum(client.nthreads().values())
        yield client.get_executor(pure=False), max(places, 1)


def _work(
    desk: Desk,
    lab: Lab,
    waiting: list[str],
    most: int,
    how: dict[str, int],
    executor: Executor,
    keep: Callable[[Result], None],
) -> list[str]:
    """Grade the students in `waiting`, `most` of them in hand; who is left after Ctrl-C."""
    left = dict.fromkeys(waiting)
    todo = iter(waiting)
    working: dict[Future, Received] = {}
    try:
        while left:
            while len(working) < most and (name := next(todo, None)) is not None:
                given = find(desk, name, lab.name)
                if given.data is None:
                    with _whole():
                        keep(run.missing(lab, name))
                        del left[name]
                    continue
                future = executor.submit(
                    run.grade_one,
                    lab,
                    given.data,
                    name,
                    received=given.received,
                    late=given.late,
                    **how,
                )
                working[future] = given
            for future in wait(working, return_when=FIRST_COMPLETED).done:
                given = working.pop(future)
                with _whole():
                    keep(_result(future, lab, given))
                    del left[given.student]
    except KeyboardInterrupt:
        return list(left)
    finally:
        for future in working:
            future.cancel()
        if working:
            run.stop_all()
    return []


@contextmanager
def _whole() -> Iterator[None]:
    """Ctrl-C comes after what is done here, not within: a result is kept whole or not at all."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it comes to the main thread only
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(signal.SIGINT, None)


def _result(future: Future, lab: Lab, given: Received) -> Result:
    """What a worker gave back; an error of ours is a result, too, and stops nobody else's."""
    try:
        result = future.result()
    except KeyboardInterrupt:
        raise
    except Exception as error:
        result = run.missing(lab, given.student)
        result.submission, result.status = given.digest, "grader-error"
        result.note = f"{type(error).__name__}: {shown(str(error), 300)}"
    if given.problem:
        result.problems.insert(0, given.problem)
        if result.status == "unreadable":
            result.note = given.problem
    return result
