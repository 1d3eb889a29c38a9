"""The student's answers out of a submitted notebook, whatever state it is in.

Nothing is executed, and of the notebook's metadata only grade_id is believed: which tests run and
what they are worth comes from the lab alone.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gradedesk.lab import Cell, Lab
from gradedesk.plain import reorders

MAX_BYTES = 64 << 20
MAX_CELLS = 10_000
MAX_SOURCE = 200_000  # characters of one answer


@dataclass
class Submission:
    """What was found: sources by grade_id, what was odd, and a status if that is settled already.

    `status` is "unreadable" (the one problem says why), "tampered" (something was altered that
    the rebuild undid) or None.
    """

    answers: dict[str, str] = field(default_factory=dict)
    manual: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    status: str | None = None


@dataclass
class _Found:
    """A cell of the submission."""

    index: int
    cell_type: str
    id: str
    grade_id: str
    graded: bool
    points: Any
    source: str

    @cached_property
    def text(self) -> str:
        return _plain(self.source)


class _Cells(list[_Found]):
    """The cells of the submission, and by what the lab's cells look for: so none is looked at
    again for each cell of the lab."""

    @cached_property
    def by_index(self) -> dict[int, _Found]:
        return {found.index: found for found in self}

    @cached_property
    def by_id(self) -> dict[str, list[_Found]]:
        return self._by("id")

    @cached_property
    def by_grade_id(self) -> dict[str, list[_Found]]:
        return self._by("grade_id")

    @cached_property
    def by_text(self) -> dict[str, list[_Found]]:
        return self._by("text")

    def _by(self, name: str) -> dict[str, list[_Found]]:
        cells = defaultdict(list)
        for found in self:
            cells[getattr(found, name)].append(found)
        return cells


class _Unreadable(Exception):
    pass


def read_submission(data: bytes, lab: Lab) -> Submission:
    """The answers in a notebook's bytes; never raises for what a notebook can hold."""
    try:
        notebook = _parse(data)
        cells = _cells(notebook)
        _refuse_another_lab(cells, lab)
        return _match(notebook, cells, lab)
    except _Unreadable as error:
        problem = str(error)
    except MemoryError:  # of this process's limit: mostly by millions of empty parts
        problem = "Reading the file takes more memory than there is: it has too many parts."
    return Submission(problems=[problem], status="unreadable")


def _parse(data: bytes) -> dict[str, Any]:
    if not data.strip():
        raise _Unreadable("The file is empty.")
    if len(data) > MAX_BYTES:
        raise _Unreadable(
            f"The file has {len(data) >> 20} MiB, more than {MAX_BYTES >> 20}: "
            "clear the outputs and submit it again."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable("The file is not a notebook: it is not UTF-8 text.") from None
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise _Unreadable("The file is not a notebook: it is nested too deeply.") from None
    except ValueError as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _Unreadable(f"The file is not a notebook: broken JSON{where}.") from None
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise _Unreadable("The file is JSON but not a notebook: it has no nbformat.")
    if notebook["nbformat"] != 4 or isinstance(notebook["nbformat"], bool | float):
        said = _short(notebook["nbformat"])
        raise _Unreadable(f"The notebook's format is {said}, not 4: save it in Jupyter again.")
    return notebook


def _cells(notebook: dict[str, Any]) -> _Cells:
    raw = notebook.get("cells")
    if not isinstance(raw, list) or not raw:
        raise _Unreadable("The notebook has no cells.")
    if len(raw) > MAX_CELLS:
        raise _Unreadable(f"The notebook has {len(raw)} cells, more than {MAX_CELLS}.")
    found = _Cells()
    for index, cell in enumerate(raw):
        if not isinstance(cell, dict):
            continue
        source = cell.get("source")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            continue
        metadata = cell.get("metadata")
        mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        mark = mark if isinstance(mark, dict) else {}
        found.append(
            _Found(
                index,
                _text(cell.get("cell_type")),
                _text(cell.get("id")),
                _text(mark.get("grade_id")),
                mark.get("grade") is True and mark.get("solution") is not True,
                mark.get("points"),
                source,
            )
        )
    if not found:
        raise _Unreadable("The notebook has no cell with a source.")
    return found


def _refuse_another_lab(cells: _Cells, lab: Lab) -> None:
    """By the names of the test cells, which differ from lab to lab."""
    ours = {cell.grade_id for cell in lab.tests}
    theirs = {cell.grade_id for cell in cells if cell.graded and cell.grade_id}
    if len(theirs - ours) > len(theirs & ours):
        raise _Unreadable(f"This is the notebook of another lab, not of {lab.name}.")


def _match(notebook: dict[str, Any], cells: _Cells, lab: Lab) -> Submission:
    made = Submission()
    tampered: list[str] = []
    taken: set[int] = set()
    places = {cell.grade_id: at for at, cell in enumerate(lab)}
    lost = []
    for cell in lab.answers + lab.manual:
        named = cells.by_grade_id[cell.grade_id]
        if named:
            chosen = next((found for found in named if found.id == cell.id), named[0])
            if len(named) > 1:
                which = "the lab's own" if chosen.id == cell.id else "the first"
                said = f"{cell.grade_id} stands in {len(named)} cells; {which} was taken."
                same = len({found.source for found in named}) == 1
                (made.problems if same else tampered).append(said)
                taken |= {found.index for found in named}
            if chosen.cell_type != cell.cell_type:
                said = _short(chosen.cell_type)
                tampered.append(f"{cell.grade_id} was made a cell of type {said}.")
            _take(made, taken, cell, chosen)
        else:
            lost.append(cell)
    for cell in lost:
        chosen, how = _search(cells, taken, lab, places[cell.grade_id])
        if chosen:
            tampered.append(f"{cell.grade_id} had lost its nbgrader metadata; found by {how}.")
            _take(made, taken, cell, chosen)
        else:
            tampered.append(f"{cell.grade_id} is not in the notebook: its cell was deleted.")
    if not made.answers and not made.manual:
        raise _Unreadable(
            f"No answer of {lab.name} was found: the nbgrader metadata is gone, and neither the "
            "cells' ids nor their places say which is which."
        )
    _compare_locked(cells, lab, tampered)
    made.problems = tampered + made.problems + _oddities(notebook, made)
    extra = _extra(cells, taken, lab)
    if extra:
        made.problems.append(
            f"{extra} code cell{'s' if extra > 1 else ''} of the student's own (never run here)."
        )
    made.status = "tampered" if tampered else None
    return made


def _take(made: Submission, taken: set[int], cell: Cell, found: _Found) -> None:
    taken.add(found.index)
    source = found.source.encode("utf-8", "replace").decode("utf-8")  # no lone surrogates
    if len(source) > MAX_SOURCE:
        made.problems.append(
            f"{cell.grade_id} has {len(source)} characters, more than {MAX_SOURCE}: cut off."
        )
        source = source[:MAX_SOURCE]
    (made.manual if cell.kind == "manual" else made.answers)[cell.grade_id] = source


def _search(cells: _Cells, taken: set[int], lab: Lab, at: int) -> tuple[_Found | None, str]:
    """The lab's cell at a place, which lost its metadata: by its id, else as the only one between
    its neighbours."""
    cell = lab.cells[at]

    def free(found: _Found) -> bool:
        return found.index not in taken and not found.grade_id

    same_id = [found for found in cells.by_id[cell.id] if free(found)] if cell.id else []
    if len(same_id) == 1:
        return same_id[0], "the cell's id"
    before = _only(cells, lab.cells[at - 1]) if at else None
    after = _only(cells, lab.cells[at + 1]) if at + 1 < len(lab.cells) else None
    if before and after and after.index - before.index != 2 or not (before or after):
        return None, ""
    between = cells.by_index.get(before.index + 1 if before else after.index - 1)
    certain = between and free(between) and between.cell_type == cell.cell_type
    return (between, "its place between the lab's cells") if certain else (None, "")


def _only(cells: _Cells, neighbour: Cell) -> _Found | None:
    """The one cell of the submission with a neighbour's text, else None."""
    if neighbour.kind in ("answer", "manual"):
        return None
    same = cells.by_text[_plain(neighbour.release)]
    return same[0] if len(same) == 1 else None


def _compare_locked(cells: _Cells, lab: Lab, tampered: list[str]) -> None:
    """Say which locked code is not as released. It is the lab's that runs, in any case."""
    for cell in lab.tests + lab.kind("setup"):
        named = cells.by_grade_id[cell.grade_id]
        what = "test cell" if cell.kind == "test" else "cell"
        if not named:
            same = cell.id and cells.by_id[cell.id]
            gone = "had lost its metadata" if same else "was deleted"
            tampered.append(f"The {what} {cell.grade_id} {gone}; the lab's own was used.")
        elif len(named) > 1:
            tampered.append(
                f"The {what} {cell.grade_id} stands there {len(named)} times; it was used once."
            )
        elif named[0].text != _plain(cell.release):
            tampered.append(
                f"The {what} {cell.grade_id} differs from the lab's own, which was used."
            )
        elif cell.kind == "test" and not _same_number(named[0].points, cell.points):
            said = _short(named[0].points)
            tampered.append(
                f"The points of {cell.grade_id} were edited to {said}; it has {cell.points:g}."
            )


def _oddities(notebook: dict[str, Any], made: Submission) -> list[str]:
    said = []
    metadata = notebook.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    if isinstance(spec, dict):
        language = spec.get("language", "python")
        if not isinstance(language, str) or language.lower() not in ("python", ""):
            said.append(f"The notebook's language is {_short(language)}; it was run as Python.")
    for name, source in made.answers.items():
        if "\0" in source:
            said.append(f"{name} holds a NUL character, which Python does not read.")
        bidi = {c for c in source if reorders(c)}
        if bidi:
            names = ", ".join(f"U+{ord(c):04X}" for c in sorted(bidi))
            said.append(f"{name} holds characters that turn the direction of text ({names}).")
    return said


def _extra(cells: _Cells, taken: set[int], lab: Lab) -> int:
    known = {cell.grade_id for cell in lab if cell.grade_id} | {cell.id for cell in lab}
    texts = {_plain(cell.release) for cell in lab}
    return sum(
        found.cell_type == "code"
        and found.index not in taken
        and bool(found.source.strip())
        and not {found.grade_id, found.id} & (known - {""})
        and found.text not in texts
        for found in cells
    )


def _plain(source: str) -> str:
    """Without what an editor may change by itself: spaces at line ends, blank lines at the end."""
    return "\n".join(map(str.rstrip, source.splitlines())).strip("\n")


def _same_number(value: Any, points: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == points


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _short(value: Any) -> str:
    """A value out of the notebook, fit for one line of ours."""
    value = value[:40] if isinstance(value, str) else value
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return re.sub(r"[^ -~]", "?", text[:40])
