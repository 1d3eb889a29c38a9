"""Who the students are: ids that are safe as folder names, and the class list.

A student's id becomes a folder, a key of the gradebook and a cell of a spreadsheet, and on most
learning platforms students choose part of it themselves. So an id is checked once, here, before
anything is written.
"""

import csv
import io
import os
import re
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from gradedesk.plain import invisible, reorders, seen

LONGEST = 63  # characters of an id: of four bytes each they fit the 255 of a file's name
# Microsoft's "Naming Files, Paths, and Namespaces", and what consoles and clocks were called.
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}

# Letters of other scripts that look like a Latin one, as small or as capital letter. Digits and
# Latin letters that look alike (0 and o, 1 and l) stay apart: class lists use both.
ALIKE = str.maketrans(
    "авеԁһіјӏкмнорԛсѕтуѵԝх" + "αβεζηικμνορτυχγ" + "ɑɡıʟօսհ",
    "abedhijlkmhopqcstyvwx" + "abezhikmvoptyxy" + "agilouh",
)
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK")


class DeskError(Exception):
    """A mistake of the user's, said in one line: what, where, and what to do."""

    code = 2  # what the command exits with


KEPT = "What was done before is kept: mend that and run the same command again."


class DeskFailure(DeskError):
    """What the machine refused, such as a full disk or a folder of another user's."""

    code = 1

    @classmethod
    def of(cls, path: Path | str, error: OSError) -> "DeskFailure":
        return cls(f"{path} could not be written ({error.strerror}). {KEPT}")


class BadName(ValueError):
    """A name that is not safe; the message says why, to be read after the name."""


def check_text(text: str) -> None:
    """Raise BadName where text holds what a reader cannot see, or cannot see where it stands."""
    for char, fine in seen(unicodedata.normalize("NFD", text)):
        if char == "\0":
            raise BadName("has a NUL character in its name")
        if fine:
            continue
        what = "an invisible character"
        if reorders(char):
            what = "a character that reorders text"
        elif not invisible(char):
            what = "marks heaped on a letter"
        raise BadName(f"has {what} in its name (U+{ord(char):04X})")


def check_id(text: str) -> str:
    """The id in its composed form (NFC), or BadName with the reason.

    The invisible characters that some scripts need within a word are left out: nobody could tell
    two ids apart by them.
    """
    check_text(text)
    text = _bare(text)
    if not text:
        raise BadName("gives no student id")
    if len(text) > LONGEST:
        raise BadName(f"has an id of {len(text)} characters; {LONGEST} at most")
    for char in text:
        if not (unicodedata.category(char)[0] in "LMN" or char in "._-@+"):
            raise BadName(f"has {char!r} in the id; letters, digits and . _ - @ + are allowed")
    if unicodedata.category(text[0])[0] not in "LN" or text.endswith("."):
        raise BadName("has an id that must begin with a letter or a digit and not end with '.'")
    if is_device(text):
        raise BadName("has an id that Windows keeps for a device")
    names = {unicodedata.name(char, "").split(" ")[0] for char in text}
    mixed = [script.capitalize() for script in SCRIPTS if script in names]
    if len(mixed) > 1:
        raise BadName(f"mixes {' and '.join(mixed)} letters in one id")
    return text


def id_from(name: str) -> str:
    """An id made from a person's name as a learning platform shows it.

    "Ada King, Countess" gives "Ada-King-Countess". Raises BadName.
    """
    check_text(name)
    name = re.sub("['’]", "", _bare(name))
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "-." else " " for c in name)
    return check_id("-".join(kept.split()).strip("-."))


def is_device(name: str) -> bool:
    """Whether Windows opens a device by this name, whatever its case and whatever ends it."""
    folded = unicodedata.normalize("NFKC", name).casefold()  # COM¹ is a port, too
    return re.split("[.:]", folded)[0].strip() in RESERVED


def skeleton(student: str) -> str:
    """What is left of an id without case and look-alike letters: equal for ids that look equal."""
    folded = unicodedata.normalize("NFKC", student).casefold()
    return unicodedata.normalize("NFC", _bare(folded)).translate(ALIKE)


def _bare(text: str) -> str:
    """The composed form (NFC), without invisible characters."""
    return unicodedata.normalize("NFC", "".join(c for c in text if not invisible(c)))


def shown(text: str, longest: int = 80) -> str:
    """Text of a stranger's, made safe for one line of a terminal."""
    text = "".join(
        c if fine and (c.isprintable() or invisible(c)) else c.encode("unicode_escape").decode()
        for c, fine in seen(text)
    )
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= longest else text[: longest - 1] + "…"


@dataclass(frozen=True)
class Student:
    """One line of the class list; `id`, `login`, `section` and `email` may be empty."""

    student: str
    name: str
    id: str = ""
    login: str = ""
    section: str = ""
    email: str = ""


def read_roster(path: Path) -> dict[str, Student]:
    """The class list in a CSV file, by student; empty where there is none.

    Its first line names the columns: student and name, and, where a learning platform needs them,
    id, login, section and email. Raises DeskError.
    """
    if not os.path.lexists(path):
        return {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DeskError(f"{path} is not UTF-8 text: save it as CSV UTF-8.") from None
    # Spreadsheets write semicolons where the comma is the decimal sign.
    head = text.partition("\n")[0]
    delimiter = ";" if ";" in head and "," not in head else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        where = f"{path} cannot be read after line {reader.line_num}"
        raise DeskError(f"{where}: {error}.") from None
    if not {"student", "name"} <= set(reader.fieldnames or ()):
        raise DeskError(f"{path} has no columns student and name: its first line must name them.")
    roster, looks = {}, {}
    for number, row in rows:
        # A platform may write the same name with other blanks, or its accents apart.
        fields = {
            key: " ".join(unicodedata.normalize("NFC", row.get(key) or "").split())
            for key in Student.__dataclass_fields__
        }
        if not any(fields.values()):
            continue
        where = f"{path}, line {number}: {shown(fields['student'])!r}"
        try:
            fields["student"] = check_id(fields["student"])
        except BadName as error:
            raise DeskError(f"{where} {error}.") from None
        student = fields["student"]
        if other := looks.get(skeleton(student)):
            raise DeskError(f"{where} looks like {other!r} in an earlier line: tell them apart.")
        looks[skeleton(student)] = student
        roster[student] = Student(**fields)
    return roster


def write_whole(path: Path, data: bytes, force: bool = True, mode: int = 0o600) -> None:
    """Write a file so that whoever reads it finds the old one or the new one, whole.

    What lies on the desk is personal, so nobody else can read it, unless `mode` says so. Without
    `force` an existing file is left as it is, and DeskError raised. DeskFailure where it cannot
    be written.
    """
    if not force and os.path.lexists(path):
        raise DeskError(f"{path} exists already: move it away, or use --force to overwrite it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temp = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temp, mode)
            os.replace(temp, path)
        except BaseException:
            os.unlink(temp)
            raise
    except OSError as error:
        raise DeskFailure.of(path, error) from None
