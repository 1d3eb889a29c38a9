"""Makes submissions to a lab: honest, mistaken, broken and hostile ones."""

import copy
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradedesk.lab import Lab
from gradedesk.trial import broken, hostile
from gradedesk.trial.case import Case, Notebook, as_bytes, code_cell

ROOT = Path(__file__).resolve().parents[2]  # the course


class Maker:
    """Makes the cases of one lab out of its solution and its release."""

    def __init__(self, lab: str, root: Path = ROOT):
        self.lab = Lab.load(root / "solutions" / lab)
        self.root = root
        path = root / "labs" / lab / f"{lab}.ipynb"
        self.release = json.loads(path.read_text(encoding="utf-8"))
        self.solutions = {
            cell.grade_id: re.sub(r"(?m)^ *### (BEGIN|END) SOLUTION\n?", "", cell.source)
            for cell in self.lab.answers
        }
        # No other question depends on the last one: hostile code stands there.
        self.target = self.lab.answers[-1]
        self.name = self.target.names[0]

    def notebook(self, answers: dict[str, str]) -> Notebook:
        """The released notebook with these answers filled in (and those by hand)."""
        notebook = copy.deepcopy(self.release)
        for cell in notebook["cells"]:
            mark = cell["metadata"].get("nbgrader", {})
            if mark.get("grade_id") in answers:
                cell["source"] = answers[mark["grade_id"]]
            elif mark.get("grade") and mark.get("solution"):
                cell["source"] = "I would say so because the numbers above say so."
        return notebook

    def data(
        self, answers: dict[str, str], edit: Callable[[Notebook], None] | None = None
    ) -> bytes:
        notebook = self.notebook(answers)
        if edit:
            edit(notebook)
        return json.dumps(notebook).encode()

    def with_target(self, source: str) -> dict[str, str]:
        return {**self.solutions, self.target.grade_id: source}

    def first(self, code: str) -> bytes:
        """Everything right, but this runs before the last answer."""
        return self.data(self.with_target(f"{code}\n\n{self.solutions[self.target.grade_id]}"))

    def last(self, body: str) -> bytes:
        """Everything right, but this is the body of the last question's functions."""
        body = "\n".join("    " + line for line in body.splitlines())
        functions = [f"def {name}(*args, **kwargs):\n{body}\n" for name in self.target.names]
        return self.data(self.with_target("\n\n".join(functions)))

    # --- The cases --------------------------------------------------------------------------------

    def cases(self) -> list[Case]:
        return [*self.honest(), *self.mistaken(), *self.attacks()]

    def attacks(self) -> list[Case]:
        return [*self.broken(), *self.hostile()]

    def broken(self) -> list[Case]:
        return broken.cases(self)

    def hostile(self) -> list[Case]:
        return hostile.cases(self)

    def honest(self) -> list[Case]:
        questions = [cell.grade_id for cell in self.lab.answers]
        half = questions[: len(questions) // 2]
        some = {name: source for name, source in self.solutions.items() if name in half}
        extra = self.notebook(self.solutions)
        extra["cells"].insert(3, code_cell("print(undefined_name)"))
        return [
            Case("correct", "Everything is right.", self.data(self.solutions)),
            Case(
                "half",
                "The second half is not answered.",
                self.data(some),
                lost=frozenset(questions) - frozenset(half),
                says="NotImplementedError",
                partial=True,
            ),
            Case("blank", "Nothing is answered.", as_bytes(self.release), lost=None),
            Case("own-cells", "A failing cell of their own in between.", as_bytes(extra)),
        ]

    def mistaken(self) -> list[Case]:
        path = self.root / "solutions" / self.lab.name / "mistakes.py"
        cases = []
        for mistake in runpy.run_path(str(path))["MISTAKES"]:
            parts = mistake.get("together", [mistake])
            lost = {where for part in parts for where in (part["question"], *part.get("also", []))}
            cases.append(
                Case(
                    mistake["name"],
                    mistake["what"],
                    self.data(self.solutions | dict(map(self._mistaken, parts))),
                    lost=frozenset(lost),
                    says=parts[0]["says"],
                    partial=True,
                )
            )
        return cases

    def _mistaken(self, mistake: dict[str, Any]) -> tuple[str, str]:
        """A question, and its answer with a mistake in it."""
        where = mistake["question"]
        source = next(cell.source for cell in self.lab.answers if cell.grade_id == where)
        wrong = mistake.get("code") or source.replace(mistake["old"], mistake["new"])
        return where, wrong
