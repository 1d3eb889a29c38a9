"""Whose a file is: by the names that Canvas, Moodle or an instructor gave it.

Students choose their name and the file's, so what can be read in two ways is refused.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gradedesk.intake.archives import Entry
from gradedesk.names import BadName, Student, check_id, id_from

Format = Literal["canvas", "moodle", "plain"]
# lovelaceada_LATE_12345_67890_lab01-ngram-1.ipynb: user, then file
CANVAS = re.compile(r"(?P<name>.+?)_(?:(?P<late>LATE)_)?(?P<user>\d+)_(?P<file>\d+)_(?P<rest>.+)")
# Ada Lovelace_12345_assignsubmission_file_/lab01-ngram.ipynb; names have no underscore
MOODLE = re.compile(
    r"(?P<name>[^_]+)_(?P<user>\d+)_assignsubmission_(?P<plugin>[a-z]+)(?:_(?P<rest>.*))?"
)


@dataclass
class HandIn:
    """A notebook, or a sign of one, and whose it is."""

    entry: Entry
    student: str
    name: str  # as the platform shows it
    user: str  # its number for the student (Canvas: everywhere; Moodle: in this assignment)
    file: str
    number: int = 0  # Canvas counts every upload
    late: bool = False
    right_name: bool = False
    attempt: int = 0
    wanted: bool = False
    data: bytes = b""

    @property
    def order(self) -> tuple:
        """Later sorts last, among the files of one student in one source."""
        time = self.entry.time or datetime.min.replace(tzinfo=UTC)
        return self.right_name, self.number, self.attempt, time, self.entry.name


def whose(entry: Entry, lab: str, fmt: Format, roster: dict[str, Student]) -> HandIn | None:
    """What an entry is, and whose; None for a folder around others. BadName: it is nobody's."""
    return {"canvas": _canvas, "moodle": _moodle, "plain": _plain}[fmt](entry, lab, roster)


def _canvas(entry: Entry, lab: str, roster) -> HandIn | None:
    if entry.folder:
        return None
    match = CANVAS.fullmatch(entry.parts[-1])
    if not match:
        raise BadName("is not named as Canvas does: <name>_<user>_<file>_<file name>")
    # Canvas lets a name hold underscores, and students choose their name and the file's.
    if re.match(r"(?:.*_)?\d+_\d+_", match["rest"]) or "_" in match["name"]:
        raise BadName("can be read as two students' file: rename it to <student>/<lab>.ipynb")
    known = [student for student in roster.values() if student.id == match["user"]]
    student = known[0].student if known else f"{id_from(match['name'])}-{match['user']}"
    return HandIn(
        entry,
        check_id(student),
        match["name"],
        match["user"],
        match["rest"],
        number=int(match["file"][:18]),
        late=bool(match["late"]),
    )


def _moodle(entry: Entry, lab: str, roster) -> HandIn | None:
    found = [(i, m) for i, part in enumerate(entry.parts[:2]) if (m := MOODLE.fullmatch(part))]
    if not found:
        if entry.folder:
            return None  # the folder around all others
        raise BadName("is not named as Moodle does: <name>_<number>_assignsubmission_file_")
    index, match = found[0]
    name = " ".join(match["name"].split())
    known = [student for student in roster.values() if student.name == name]
    if len(known) > 1:
        raise BadName(f"belongs to one of {len(known)} people of that name on the class list")
    rest = entry.parts[index + 1 :] or ((match["rest"],) if not entry.folder else ())
    # A text typed into Moodle is no file of the student's.
    file = rest[-1] if rest and match["plugin"] == "file" and not entry.folder else ""
    return HandIn(entry, known[0].student if known else id_from(name), name, match["user"], file)


def _plain(entry: Entry, lab: str, roster) -> HandIn | None:
    parts = entry.parts
    if len(parts) == 1 and not entry.folder:
        stem = re.sub(r"\.ipynb$", "", parts[0], flags=re.IGNORECASE)
        if stem == lab:
            raise BadName("does not say whose it is: name it <student>.ipynb")
        if stem == parts[0]:
            return HandIn(entry, "", "", "", parts[0])
        return HandIn(entry, check_id(stem), stem, "", f"{lab}.ipynb")
    student = check_id(parts[0])
    rest = parts[1:]
    if len(rest) == 2 and rest[0] == lab:  # as nbgrader keeps them
        rest = rest[1:]
    if entry.folder:
        return HandIn(entry, student, parts[0], "", "")
    if len(rest) > 1:
        raise BadName("lies too deep: <student>/<lab>.ipynb or <student>.ipynb is expected")
    return HandIn(entry, student, parts[0], "", rest[0])
