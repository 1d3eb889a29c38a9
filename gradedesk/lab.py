"""A lab as the desk sees it: its cells in order, what they are for and what they are worth."""

import ast
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gradedesk.names import DeskError

KINDS = {  # (graded, solution) in nbgrader's metadata
    (False, False): "setup",
    (False, True): "answer",
    (True, False): "test",
    (True, True): "manual",
}
STUB = ["# YOUR CODE HERE", "raise NotImplementedError()"]  # nbgrader's own
MANUAL_STUB = "YOUR ANSWER HERE"
# What ast.parse raises. A student's cell with such a mistake fails when it is run, and says so
# there; it is read as the lab's where `check` has nothing but the student's notebook.
UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
PRIVATE = {"mistakes.py", "__pycache__", ".ipynb_checkpoints", ".DS_Store"}


def question_of(grade_id: str) -> str:
    """The question that a cell belongs to: the grade_id up to the first "-"."""
    return grade_id.split("-")[0]


class LabError(DeskError):
    """A lab that cannot be read; the message says which file and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell of a lab.

    `kind` is "setup" (locked code), "answer", "test", "manual" (graded by hand) or "text" (all
    the rest, which the grader never runs); `grade_id` and `question` are "" for the last.
    """

    kind: str
    cell_type: str
    id: str
    grade_id: str
    points: float
    source: str  # as we wrote it, with the solution and the hidden tests

    @property
    def question(self) -> str:
        """The grade_id up to the first "-": q1-hidden-edges belongs to q1."""
        return question_of(self.grade_id)

    @property
    def hidden(self) -> bool:
        """Whether students get the cell without its tests; in their version nothing is left."""
        lines = self.source.splitlines()
        nothing = all(line.startswith("#") or not line.strip() for line in lines)
        return self.kind == "test" and (nothing or "### BEGIN HIDDEN TESTS" in self.source)

    @property
    def title(self) -> str:
        """What a test looks at, in a few words: its first comment, or its name.

        The comment may begin with the name, "# q1-sums: ..." or "# q1-hidden-edges, hidden: ...".
        """
        lines = []
        for line in self.source.splitlines():
            if not line.startswith("#") or line.startswith("###"):
                break
            lines.append(line.lstrip("# ").rstrip())
        said = " ".join(lines)
        named = said.startswith(self.grade_id)
        if self.hidden or named:
            said = said.removeprefix(self.grade_id).removeprefix(", hidden").lstrip(": ")
            said = said.removeprefix("Hidden tests:").strip(" .")
            if said:
                return said
        return self.grade_id.removeprefix(f"{self.question}-").replace("-", " ")

    @property
    def release(self) -> str:
        """The source as students get it: stubs for solutions, no hidden tests, no model answer."""
        if self.kind == "manual":
            return MANUAL_STUB
        lines: list[str] = []
        region = ""
        for line in self.source.splitlines():
            mark = line.strip()
            if mark in ("### BEGIN SOLUTION", "### BEGIN HIDDEN TESTS"):
                region = mark.removeprefix("### BEGIN ")
                if region == "SOLUTION":
                    indent = line[: len(line) - len(line.lstrip())]
                    lines += [indent + stub for stub in STUB]
            elif mark in ("### END SOLUTION", "### END HIDDEN TESTS"):
                region = ""
            elif not region:
                lines.append(line)
        return "\n".join(lines)

    @cached_property
    def names(self) -> list[str]:
        """What the cell defines at top level, imports not counted."""
        names: dict[str, None] = {}
        try:
            body = ast.parse(self.source).body
        except UNPARSED:
            return re.findall(r"(?m)^(?:async +)?(?:def|class) +(\w+)", self.source)
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names[node.name] = None
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
                names |= {n.id: None for n in stored if isinstance(n.ctx, ast.Store)}
        return list(names)


@dataclass(frozen=True)
class Lab:
    """A lab: its name, its cells, the limits its metadata asks for, and its public data.

    `alone` names functions of which each call gets a process of its own.
    """

    name: str
    cells: list[Cell]
    limits: dict[str, float] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | str) -> "Lab":
        """The lab in a folder solutions/<lab>, or in one notebook file.

        Of a folder, every other file but mistakes.py is public data. LabError if there is no lab.
        """
        path = Path(path)
        folder = path if path.is_dir() else None
        if folder:
            path = folder / f"{folder.resolve().name}.ipynb"
        try:
            notebook = json.loads(path.read_text(encoding="utf-8-sig"))
            cells = [_cell(cell) for cell in notebook["cells"]]
            asked = notebook["metadata"].get("gradedesk", {})
            limits, alone = asked.get("limits", {}), asked.get("alone", [])
        except FileNotFoundError:
            raise LabError(f"There is no lab {path}: give the folder of a lab.") from None
        except OSError as error:
            raise LabError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise LabError(f"{path} is not a notebook: open it in Jupyter and save it.") from None
        lab = cls(path.stem, cells, limits, _data(folder) if folder else {}, alone)
        lab._check(path)
        return lab

    def _check(self, path: Path) -> None:
        names = [cell.grade_id for cell in self.cells if cell.grade_id]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise LabError(f"{path}: grade_id {twice[0]} stands on two cells; each needs its own.")
        if not self.tests and not self.manual:
            raise LabError(f"{path} has nothing to grade: no cell with nbgrader points.")
        for cell in self.tests + self.manual:
            if not 0 < cell.points < 1e6:
                raise LabError(f"{path}: {cell.grade_id} needs points above 0.")
        if not isinstance(self.limits, dict) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) and value > 0
            for value in self.limits.values()
        ):
            raise LabError(f"{path}: the limits in metadata.gradedesk are numbers above 0.")
        names = {name for cell in self.answers for name in cell.names}
        if not isinstance(self.alone, list) or not all(
            isinstance(name, str) and name in names for name in self.alone
        ):
            raise LabError(
                f"{path}: metadata.gradedesk.alone is a list of names that answer cells define."
            )

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.cells)

    def kind(self, kind: str) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == kind]

    @cached_property
    def answers(self) -> list[Cell]:
        return self.kind("answer")

    @cached_property
    def tests(self) -> list[Cell]:
        return self.kind("test")

    @cached_property
    def manual(self) -> list[Cell]:
        return self.kind("manual")

    @property
    def max_points(self) -> float:
        return sum(cell.points for cell in self.tests + self.manual)

    @property
    def released(self) -> bool:
        """Whether this is the students' version: its hidden tests would let everything pass, or
        nothing says how the answers are marked."""
        empty = any(not ast.parse(cell.source).body for cell in self.tests)
        return empty or any(cell.source.strip() == MANUAL_STUB for cell in self.manual)

    @property
    def version(self) -> str:
        """Twelve digits that change when anything that is graded with changes."""
        used = [asdict(cell) for cell in self.cells if cell.kind != "text"]
        graded = json.dumps([used, self.limits, *self.alone])
        return hashlib.sha256(graded.encode()).hexdigest()[:12]

    def defined_in(self, name: str) -> Cell | None:
        """The answer cell in which a name is defined."""
        return next((cell for cell in self.answers if name in cell.names), None)

    def to_dict(self) -> dict[str, Any]:
        """The lab as JSON can carry it; from_dict undoes it."""
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        cells = [asdict(cell) for cell in self.cells]
        return {
            "name": self.name,
            "cells": cells,
            "limits": self.limits,
            "files": files,
            "alone": self.alone,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Lab":
        files = {name: base64.b64decode(text) for name, text in data["files"].items()}
        cells = [Cell(**cell) for cell in data["cells"]]
        return cls(data["name"], cells, data["limits"], files, data["alone"])


def _cell(cell: dict[str, Any]) -> Cell:
    source = cell["source"]
    source = source if isinstance(source, str) else "".join(source)
    mark = cell.get("metadata", {}).get("nbgrader") or {}
    kind = KINDS[bool(mark.get("grade")), bool(mark.get("solution"))] if mark else "text"
    if kind == "setup" and cell["cell_type"] != "code":
        kind = "text"
    points = float(mark.get("points", 0)) if kind in ("test", "manual") else 0.0
    grade_id = mark.get("grade_id", "")
    return Cell(kind, cell["cell_type"], cell.get("id", ""), grade_id, points, source)


def _data(folder: Path) -> dict[str, bytes]:
    """The public files beside a lab's notebook, by their path in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and path != folder / f"{folder.resolve().name}.ipynb"
        and not PRIVATE & set(path.relative_to(folder).parts)
        and path.suffix != ".pyc"
    }


def find(name: str, root: Path) -> Lab:
    """The lab `name` of `root`/solutions; LabError lists those there are."""
    if re.fullmatch(r"[\w.-]+", name) and (root / name / f"{name}.ipynb").is_file():
        return Lab.load(root / name)
    there = sorted(path.stem for path in root.glob("*/*.ipynb") if path.stem == path.parent.name)
    raise LabError(
        f"There is no lab {name!r} in {root}: "
        + (", ".join(there) or "the folder has no lab")
        + "."
    )
