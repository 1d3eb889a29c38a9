"""One submission of the made class, and what a grader has to make of it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from gradedesk.lab import Lab
from gradedesk.results.result import Result

Notebook = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One submission, and what a grader has to make of it.

    `statuses` are those that are right for it, `lost` the questions in which it loses points (None:
    all of them), `says` what stands in a message about them. With `partial` it may keep some points
    of those questions; an attack earns none of them.
    """

    name: str
    what: str
    data: bytes
    statuses: tuple[str, ...] = ("graded",)
    lost: frozenset[str] | None = frozenset()
    says: str = ""
    partial: bool = False

    @property
    def student(self) -> str:
        """Canvas makes one lower-case word of a name."""
        return re.sub(r"[^a-z0-9]", "", self.name.lower())

    def wrongly_given(self, lab: Lab, result: Result) -> float:
        """The points that a result has and should not have."""
        lost = frozenset() if self.partial else self._lost(lab)
        kept = sum(cell.points for cell in lab.tests if cell.question not in lost)
        return max(0.0, result.points - kept)

    def faults(self, lab: Lab, result: Result) -> list[str]:
        """What in a result is not as it should be, a few words each."""
        if result.status not in self.statuses:
            return [f"{result.status}, not {' or '.join(self.statuses)}: {result.note}"]
        found = []
        if given := self.wrongly_given(lab, result):
            found.append(f"{given:g} points too many")
        if result.status == "unreadable":
            return found
        failed = [test for test in result.tests if test.outcome != "passed"]
        questions = {test.question for test in failed}
        if questions != self._lost(lab):
            those, these = (", ".join(sorted(x)) or "none" for x in (questions, self._lost(lab)))
            found.append(f"loses points in {those}, not in {these}")
        if self.says.lower() not in " ".join(test.message for test in failed).lower():
            found.append(f"no message says {self.says!r}")
        return found

    def _lost(self, lab: Lab) -> frozenset[str]:
        return frozenset(c.question for c in lab.tests) if self.lost is None else self.lost


def code_cell(source: str, outputs: list[Any] | None = None) -> Notebook:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "mine",
        "metadata": {},
        "outputs": outputs or [],
        "source": source,
    }


def as_bytes(notebook: Notebook) -> bytes:
    return json.dumps(notebook).encode()
