"""The journal: one JSON line a graded submission, whole or not there at all.

A line is appended under a lock and synced before the call returns. What a crash or a full disk
leaves of a half-written line is cut off by the next append and passed over by every reader.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from gradedesk.names import DeskFailure
from gradedesk.results.result import Result, ResultError


class JournalError(DeskFailure):
    """The journal could not be written; the message says what to do."""


class Journal:
    """The journal at `path`. `damaged` lists the lines (from 1) that the last read passed over."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self.damaged: list[int] = []

    def _lock(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(self.path.name + ".lock"))

    def append(self, result: Result) -> None:
        """Write a result as one whole line and sync it. JournalError leaves the file as it was."""
        line = result.to_json().encode("ascii") + b"\n"
        try:
            with self._lock(), open(self.path, "ab+", buffering=0, opener=_private) as file:
                end = _whole(file)
                try:
                    while line:
                        line = line[file.write(line) :]
                    os.fsync(file.fileno())
                except OSError:
                    os.ftruncate(file.fileno(), end)
                    raise
            _sync_folder(self.path.parent)
        except OSError as error:
            raise JournalError.of(self.path, error) from None

    def __iter__(self) -> Iterator[Result]:
        """Every whole line, oldest first."""
        self.damaged = []
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # being written, or what a crash left
                try:
                    yield Result.from_json(line)
                except ResultError:
                    self.damaged.append(number)

    def latest(self, lab: str | None = None) -> dict[tuple[str, str], Result]:
        """The newest result of each (student, lab)."""
        found = {}
        for result in self:
            if lab in (None, result.lab):
                found[result.student, result.lab] = result
        return found


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else can read: names and grades."""
    return os.open(path, flags, 0o600)


def _whole(file) -> int:
    """Cut off a torn last line; the size of what is left."""
    end = file.seek(0, os.SEEK_END)
    at = end
    tail = b""
    while at > 0 and b"\n" not in tail:
        step = min(at, 1 << 16)
        at = file.seek(at - step)
        tail = file.read(step)
    whole = at + tail.rfind(b"\n") + 1
    if whole < end:
        os.ftruncate(file.fileno(), whole)
    return file.seek(0, os.SEEK_END)


def _sync_folder(folder: Path) -> None:
    """So that a new file's name outlives a crash, too (POSIX)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
