"""The desk: one folder with all that is personal, and what lies where in it.

submitted/<student>/<lab>/   <lab>.ipynb, received.json, older/
roster.csv                   the class list, if there is one
journal.jsonl                every result
hash-seed                    a secret number: see Desk.hash_seed
gradebook.db                 nbgrader's, made from the journal
autograded/<student>/<lab>/  what formgrader shows
feedback/<student>/          <lab>.html
report.html, leaderboard.html, grades.csv
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from gradedesk.names import DeskError, Student, is_device, read_roster, write_whole
from gradedesk.plain import plain


class Desk:
    """The paths of one desk. Nothing is made or read before it is asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.submitted = folder / "submitted"
        self.journal = folder / "journal.jsonl"
        self.grades = folder / "grades.csv"
        self.report = folder / "report.html"
        self.leaderboard = folder / "leaderboard.html"
        self.feedback = folder / "feedback"

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def database(self) -> str:
        """The address of the gradebook, if no other is given."""
        from sqlalchemy import URL  # here only: its import takes a while

        path = (self.folder / "gradebook.db").absolute().as_posix()
        return URL.create("sqlite", database=path).render_as_string()  # % and ? are escaped

    def need(self) -> None:
        """DeskError where there is no desk yet."""
        if not self.folder.is_dir():
            raise DeskError(
                f"There is no desk {self}: run `gradedesk collect` first, or give --desk."
            )

    # What was handed in.

    def of(self, student: str, lab: str) -> Path:
        """The folder of what a student handed in for a lab."""
        return self.submitted / student / lab

    def submitting(self) -> set[str]:
        """Who has a folder in submitted/."""
        if not self.submitted.is_dir():
            return set()
        return {path.name for path in self.submitted.iterdir() if path.is_dir()}

    def roster(self) -> dict[str, Student]:
        """The class list by student; empty where there is none."""
        return read_roster(self.folder / "roster.csv")

    def students(self) -> list[str]:
        """Who has a folder in submitted/ or a line in the class list."""
        return sorted(self.submitting() | set(self.roster()))

    def received(self, student: str, lab: str) -> dict:
        """What is known of the notebook in `of(student, lab)`: see read_received."""
        return read_received(self.of(student, lab))

    # What is made of it.

    def feedback_page(self, student: str, lab: str) -> Path:
        return self.feedback / part(student) / part(f"{lab}.html")

    def for_formgrader(self, student: str, lab: str) -> Path:
        return self.folder / "autograded" / part(student) / part(lab) / f"{lab}.ipynb"

    def hash_seed(self) -> int:
        """A number of 32 bits by which texts are hashed where the tests run.

        The desk's own and the same each time, so that a second run goes through a set in the same
        order; and a secret, so that no student can choose texts that all hash alike.
        """
        path = self.folder / "hash-seed"
        try:
            if not path.exists():
                write_whole(path, f"{secrets.randbits(32)}\n".encode())
            return int(path.read_text(encoding="ascii")) % (1 << 32)
        except ValueError:
            raise DeskError(f"{path} is no number: remove it, and there will be another.") from None
        except OSError as error:
            raise DeskError(f"{path} cannot be used ({error.strerror}): mend that.") from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One `grade` at a time; DeskError if another one is at work on this desk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "grade.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DeskError(
                f"Another `gradedesk grade` is at work on {self}: wait for it."
            ) from None
        try:
            yield
        finally:
            lock.release()


def part(name: str) -> str:
    """A name, as one part of a path; DeskError if it would lead out of the desk, or hide in it."""
    odd = name in ("", ".", "..") or name != plain(name) or is_device(name)
    if odd or any(c in name for c in "/\\:\n\t"):
        raise DeskError(f"{plain(name, 60)!r} cannot be the name of a file: rename it.")
    return name


def read_received(folder: Path) -> dict:
    """What received.json in the folder says, or {} where there is none that holds what it should.

    received: ISO time or None; late: bool; and what collect.py knew besides
    """
    try:
        known = {
            "received": None,
            "late": False,
            **json.loads((folder / "received.json").read_bytes()),
        }
        if known["received"] is not None:
            datetime.fromisoformat(known["received"])
    except (OSError, ValueError, TypeError):
        return {}
    return known
