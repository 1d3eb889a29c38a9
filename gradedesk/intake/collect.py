"""Collect what students handed in: from a learning platform's archive, or a folder, to the desk.

Unsafe entries are refused one by one with the reason (archives.py), and those whose student cannot
be told (platforms.py). Nothing is written but notebooks and what we know of them, under
submitted/<student>/<lab>/, and no entry names a path of ours: only an id does that was checked
(names.py).
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from gradedesk.desk import Desk, read_received
from gradedesk.intake.archives import MB, TOTAL, Entry, open_source
from gradedesk.intake.platforms import Format, HandIn, whose
from gradedesk.names import (
    BadName,
    DeskError,
    DeskFailure,
    check_id,
    shown,
    skeleton,
    write_whole,
)

SAME_TIME = timedelta(minutes=10)  # times of files copied or packed in one go


@dataclass(frozen=True)
class Line:
    """What became of one entry, or of one student (`entry` is then the student)."""

    what: Literal["collected", "older", "unchanged", "ignored", "empty", "refused"]
    entry: str
    text: str
    student: str = ""
    late: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {shown(self.entry)} {self.text}"


@dataclass
class CollectReport:
    """What became of every entry of an archive or a folder."""

    lab: str
    found: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, what: str) -> list[Line]:
        """The lines about entries that were collected, older, unchanged, ignored, ..."""
        return [line for line in self.found if line.what == what]

    @property
    def students(self) -> list[str]:
        """The students whose newest notebook came from this source."""
        return sorted(line.student for line in self.of("collected"))

    @property
    def refused(self) -> list[Line]:
        return self.of("refused")

    def lines(self) -> list[str]:
        """The report for a terminal: each entry, the notes, then the sum."""
        kinds = ("collected", "older", "unchanged", "ignored", "empty", "refused")
        counts = ", ".join(f"{len(self.of(kind))} {kind}" for kind in kinds if self.of(kind))
        found = sorted(self.found, key=lambda line: (kinds.index(line.what), line.entry))
        return [*map(str, found), *self.notes, f"{self.lab}: {counts or 'nothing there'}"]


def collect(
    lab: str, source: Path, fmt: Format, desk: Desk, deadline: datetime | None = None
) -> CollectReport:
    """Copy the notebooks of `source` to the desk's submitted/<student>/<lab>/; what became of each.

    `source` is a folder or a .zip, .tar or .tar.gz archive. The newest notebook of a student is
    <lab>.ipynb, with received.json beside it; those before it are under older/. Collecting the
    same source again changes nothing. `deadline` without a time zone is local time; Canvas marks
    late work itself. Raises DeskError where the source cannot be read at all.
    """
    check_id(lab)
    report = CollectReport(lab)
    roster = desk.roster()
    found = []
    with open_source(source) as opened:
        report.found += [Line("refused", name, reason) for name, reason in opened.refused]
        for entry in opened.entries:
            hand_in = _whose(entry, lab, fmt, roster, report)
            if hand_in is not None:
                found.append(hand_in)
        found = _told_apart(found, desk, roster, fmt, report)
        by_student = defaultdict(list)
        for hand_in in found:
            hand_in.wanted = _is_notebook(hand_in, lab, fmt, report)
            by_student[hand_in.student].append(hand_in)
        _mark_late([h for h in found if h.wanted], fmt, deadline, report)
        left = TOTAL
        for student, hand_ins in sorted(by_student.items()):
            notebooks = [h for h in sorted(hand_ins, key=lambda h: h.order) if h.wanted]
            notebooks = _newest_names(notebooks, lab, report)
            notebooks, left = _read_all(notebooks, left, report)
            if not student:
                continue
            if not notebooks:
                text = "has no notebook of this lab here"
                report.found.append(Line("empty", student, text, student))
            try:
                lines = _store(student, notebooks, desk, lab, fmt)
            except OSError as error:
                raise DeskFailure.of(desk.submitted / student, error) from None
            if lines and roster and student not in roster:
                report.notes.append(f"{student} is not on the class list (roster.csv).")
            report.found += lines
    return report


# --- Whose they are ------------------------------------------------------------------------------


def _whose(entry: Entry, lab: str, fmt: Format, roster, report: CollectReport) -> HandIn | None:
    """The student an entry belongs to, by its name; None (and a line) where that cannot be told."""
    parts = entry.parts
    if parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
        if entry.folder:
            return None
        report.found.append(Line("ignored", entry.name, "is what a system or an editor left"))
        return None
    try:
        return whose(entry, lab, fmt, roster)
    except BadName as error:
        report.found.append(Line("refused", entry.name, str(error)))
    return None


def _told_apart(found: list[HandIn], desk: Desk, roster, fmt, report) -> list[HandIn]:
    """Without those whose student could be taken for another one."""
    known = set(roster) | desk.submitting()
    looks = defaultdict(set)
    for student in known | {hand_in.student for hand_in in found}:
        looks[skeleton(student)].add(student)
    people = defaultdict(set)
    for hand_in in found:
        people[hand_in.student].add((hand_in.name, hand_in.user))
    for student in people:
        before = desk.received(student, report.lab)
        if before.get("format") == fmt != "canvas":  # Canvas keeps a number for each of them
            people[student].add((before.get("name", ""), before.get("user", "")))
    # What is said of one who is like ten thousand others is worked out once, and short.
    alike = {look: sorted(students)[:2] for look, students in looks.items()}
    numbers = {
        student: _some(user or ascii(name) for name, user in who) for student, who in people.items()
    }
    kept = []
    for hand_in in found:
        student = hand_in.student
        other = next((like for like in alike[skeleton(student)] if like != student), "")
        reason = ""
        if student and other and student not in known:
            reason = f"gives the id {student!r}, too like {other!r}: rename one of them"
        elif len(people[student]) > 1:
            who = numbers[student]
            reason = f"is of one of several people who get the id {student!r} ({who})"
        if reason:
            report.found.append(Line("refused", hand_in.entry.name, reason))
        else:
            kept.append(hand_in)
    return kept


def _some(names: Iterable[str]) -> str:
    """The first few of them."""
    names = sorted(names)
    return ", ".join(names[:5] + (["..."] if len(names) > 5 else []))


def _is_notebook(hand_in: HandIn, lab: str, fmt: Format, report: CollectReport) -> bool:
    """Whether to read it; what is no notebook of this lab gets a line and is not read."""
    file, entry = hand_in.file, hand_in.entry
    if entry.folder or not file:
        if not entry.folder:
            report.found.append(Line("ignored", entry.name, "is no file that was handed in"))
        return False
    stem = file[: -len(".ipynb")]
    text = ""
    if not file.lower().endswith(".ipynb"):
        text = "is no notebook"
        if re.search(r"\.(zip|tar|tgz|gz|7z|rar|bz2|xz)$", file.lower()):
            text = "is an archive inside the archive, which is not opened: ask for the notebook"
    # A folder of a student's may hold every lab; an upload to this assignment is taken for it.
    elif fmt == "plain" and re.match(r"lab\d", stem) and not stem.startswith(lab):
        text = "looks like another lab's"
    if text:
        report.found.append(Line("ignored", entry.name, text, hand_in.student))
        return False
    # -1 is what Canvas adds to a second upload, (1) what a browser adds to a second download.
    match = re.fullmatch(re.escape(lab) + r"(?:-(\d{1,9})| ?\((\d{1,9})\))?", stem, re.IGNORECASE)
    hand_in.right_name = bool(match)
    hand_in.attempt = int(match[1] or match[2] or 0) if match else 0
    return True


# --- When they came, and where they go -----------------------------------------------------------


def _mark_late(found: list[HandIn], fmt: Format, deadline, report: CollectReport) -> None:
    """Decide which notebooks are late, and forget times that are not those of handing in."""
    times = [notebook.entry.time for notebook in found if notebook.entry.time]
    students = {notebook.student for notebook in found if notebook.entry.time}
    packed = fmt == "canvas"
    if packed and deadline:
        report.notes.append(
            "Canvas marks late work itself (LATE in the name), and its files have the time of the "
            "download: the deadline was not used."
        )
    elif not packed and len(students) > 1 and max(times) - min(times) <= SAME_TIME:
        packed = True
        if deadline and max(times) > deadline.astimezone(UTC):
            report.notes.append(
                "All files have about the same time, that of packing or copying: nobody was marked "
                "late. Take the times of handing in from your learning platform."
            )
    for hand_in in found:
        if packed:
            hand_in.entry.time = None
        elif deadline and hand_in.entry.time:
            hand_in.late = hand_in.entry.time > deadline.astimezone(UTC)


def _newest_names(notebooks: list[HandIn], lab: str, report: CollectReport) -> list[HandIn]:
    """Those with the lab's name, if there are any, else all of them."""
    right = [notebook for notebook in notebooks if notebook.right_name]
    for notebook in notebooks:
        if right and not notebook.right_name:
            text = f"is not named {lab}.ipynb, which is there too"
            report.found.append(Line("ignored", notebook.entry.name, text, notebook.student))
    return right or notebooks


def _read_all(notebooks: list[HandIn], left: int, report) -> tuple[list[HandIn], int]:
    """The notebooks that can be read, and how many bytes of the source may still be."""
    readable = []
    for notebook in notebooks:
        try:
            if left <= 0:
                raise BadName(f"comes after more than {TOTAL // MB:,} MB of notebooks")
            notebook.data = notebook.entry.read()
        except BadName as error:
            report.found.append(Line("refused", notebook.entry.name, str(error), notebook.student))
        else:
            left -= len(notebook.data)
            readable.append(notebook)
    return readable, left


def _store(student: str, notebooks: list[HandIn], desk: Desk, lab: str, fmt: str) -> list[Line]:
    """Write a student's notebooks, oldest first; a line about each."""
    folder = desk.of(student, lab)
    for path in (desk.submitted, folder.parent, folder, folder / "older"):
        if path.is_symlink():
            raise DeskError(f"{path} is a symbolic link: remove it, nothing is written through it.")
    folder.mkdir(parents=True, exist_ok=True)  # so that who handed in nothing is missing, not lost
    place, kept = _Place(folder, lab), []
    for notebook in notebooks:
        time = notebook.entry.time
        meta = {
            "received": time.isoformat(timespec="seconds") if time else None,
            "late": notebook.late,
            "sha256": hashlib.sha256(notebook.data).hexdigest(),
            "format": fmt,
            "name": notebook.name,
            "user": notebook.user,
            "number": notebook.number,
            "file": notebook.file,
        }
        kept.append((notebook, place.keep(notebook.data, meta)))
        notebook.data = b""  # a whole class at once would fill the memory
    newest = max((i for i, (_, what) in enumerate(kept) if what == "collected"), default=None)
    lines = []
    for i, (notebook, what) in enumerate(kept):
        what = "older" if what == "collected" and i != newest else what
        text = {
            "collected": f"is {student}'s newest",
            "older": f"is older than another of {student}'s",
            "unchanged": f"was collected before, for {student}",
        }[what]
        text += ", late" if notebook.late else ""
        text += "" if notebook.right_name else f"; its name is not {lab}.ipynb"
        lines.append(Line(what, notebook.entry.name, text, student, notebook.late))
    return lines


class _Place:
    """Where a student's notebooks of a lab lie: the newest, and those before it under older/.

    It is read once, however many a student hands in.
    """

    def __init__(self, folder: Path, lab: str):
        self.folder, self.lab = folder, lab
        self.path, self.older = folder / f"{lab}.ipynb", folder / "older"
        places = self.older.iterdir() if self.older.is_dir() else ()
        self.there = {_which(read_received(place)) for place in places}
        self.newest: bytes | None = None
        self.sha256, self.known = "", {}
        if self.path.is_file() and not self.path.is_symlink():
            self.newest, self.known = self.path.read_bytes(), read_received(folder)
            self.sha256 = hashlib.sha256(self.newest).hexdigest()

    def keep(self, data: bytes, meta: dict) -> str:
        """Put one notebook where it belongs: the newest, or one of the older ones."""
        if _which(meta) in self.there:
            return "unchanged"
        if self.newest is not None:
            if self.known.get("sha256") != self.sha256:  # stopped between the two files
                self.known = {"received": None, "late": False, "sha256": self.sha256}
                if self.sha256 == meta["sha256"]:
                    self.known = meta
                _write_meta(self.folder, self.known)
            if self.sha256 == meta["sha256"]:
                return "unchanged"
            if not _newer(meta, self.known):
                self._put_older(data, meta)
                return "older"
            self._put_older(self.newest, self.known)
        write_whole(self.path, data)
        _write_meta(self.folder, meta)
        self.newest, self.sha256, self.known = data, meta["sha256"], meta
        return "collected"

    def _put_older(self, data: bytes, meta: dict) -> None:
        time = meta["received"] and datetime.fromisoformat(meta["received"])
        time = f"{time:%Y%m%dT%H%M%SZ}" if time else "time-unknown"
        place = self.older / f"{time}-{meta['sha256'][:8]}"
        write_whole(place / f"{self.lab}.ipynb", data)
        _write_meta(place, meta)
        self.there.add(_which(meta))


def _which(meta: dict) -> str:
    """What tells one notebook of a student's from another."""
    return json.dumps([meta.get(key) for key in ("sha256", "received", "number")])


def _newer(new: dict, old: dict) -> bool:
    """Whether `new` was handed in after `old`; what is collected later, where nothing tells."""
    if new.get("number") and old.get("number"):
        return new["number"] >= old["number"]
    if new["received"] and old["received"]:
        return datetime.fromisoformat(new["received"]) >= datetime.fromisoformat(old["received"])
    return True


def _write_meta(folder: Path, meta: dict) -> None:
    text = json.dumps(meta, indent=1, ensure_ascii=True) + "\n"
    write_whole(folder / "received.json", text.encode())
