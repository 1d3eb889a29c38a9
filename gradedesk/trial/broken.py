"""Submissions that are not as they were given out, or no notebooks at all."""

import base64
import copy
import random
from collections.abc import Callable

from gradedesk.trial.case import Case, Notebook, as_bytes, code_cell


def cases(maker) -> list[Case]:
    """Notebooks that are not as they were given out."""
    q, right = maker.target.grade_id, maker.solutions
    blank = {name: source for name, source in right.items() if name != q}
    lost = frozenset({q})
    tampered, unreadable = ("tampered",), ("unreadable",)
    whole = maker.data(right)

    def each(edit: Callable[[Notebook], None]) -> Callable[[Notebook], None]:
        def every(notebook: Notebook) -> None:
            for cell in notebook["cells"]:
                edit(cell)

        return every

    def is_test(cell: Notebook) -> bool:
        mark = cell["metadata"].get("nbgrader", {})
        return bool(mark.get("grade")) and not mark.get("solution")

    def easy(cell: Notebook) -> None:
        if is_test(cell):
            cell["source"] = "assert True"

    def rich(cell: Notebook) -> None:
        if is_test(cell):
            cell["metadata"]["nbgrader"]["points"] = 1e9

    def without_tests(notebook: Notebook) -> None:
        notebook["cells"] = [cell for cell in notebook["cells"] if not is_test(cell)]

    def twice(notebook: Notebook) -> None:
        at = next(i for i, cell in enumerate(notebook["cells"]) if cell["id"] == q)
        copied = copy.deepcopy(notebook["cells"][at])
        copied |= {"id": "copied", "source": "raise ValueError('an older try')"}
        notebook["cells"].insert(at, copied)

    def bare(cell: Notebook) -> None:
        cell["metadata"] = {}

    def barer(cell: Notebook) -> None:
        cell["metadata"] = {}
        del cell["id"]

    def crowded(notebook: Notebook) -> None:
        rng = random.Random(1)  # else they would be packed so tightly as a ZIP bomb is
        notebook["cells"] += [code_cell(f"# {rng.randbytes(500).hex()}") for _ in range(9_000)]
        each(barer)(notebook)

    def strange(cell: Notebook) -> None:
        cell["metadata"] = ["not", "a", {"dictionary": 1}]

    def number(cell: Notebook) -> None:
        if "nbgrader" in cell["metadata"]:
            cell["metadata"]["nbgrader"]["grade_id"] = 7

    def foreign(notebook: Notebook) -> None:
        notebook["metadata"]["kernelspec"] = {"name": "ir", "language": "R"}

    def scripts(cell: Notebook) -> None:
        script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
        if cell["cell_type"] == "code":
            mimes = ("text/html", "image/svg+xml", "application/javascript", "text/markdown")
            data = dict.fromkeys(mimes, script)
            cell["outputs"] = [{"output_type": "display_data", "data": data, "metadata": {}}]
        elif cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = script

    def heavy(notebook: Notebook) -> None:
        data = {"image/png": base64.b64encode(random.Random(1).randbytes(6_000_000)).decode()}
        output = {"output_type": "display_data", "data": data, "metadata": {}}
        notebook["cells"].append(code_cell("plot()", [output]))

    def as_text(cell: Notebook) -> None:
        if cell.get("id") == q:
            cell["cell_type"] = "raw"

    other = next(
        p for p in sorted((maker.root / "labs").glob("*/*.ipynb")) if p.stem != maker.lab.name
    )
    version = maker.notebook(right) | {"nbformat": 99}
    function = f"def {maker.name}(*args, **kwargs):"
    return [
        Case(
            "tests-edited",
            "Every test is `assert True`.",
            maker.data(blank, each(easy)),
            tampered,
            lost,
        ),
        Case(
            "points-edited",
            "Every test is worth 1e9.",
            maker.data(blank, each(rich)),
            tampered,
            lost,
        ),
        Case("tests-deleted", "No test is left.", maker.data(blank, without_tests), tampered, lost),
        Case("cell-twice", "A copy of an answer before it.", maker.data(right, twice), tampered),
        Case("no-metadata", "All metadata is gone.", maker.data(right, each(bare)), tampered),
        Case(
            "no-ids-either",
            "All metadata and ids are gone.",
            maker.data(right, each(barer)),
            tampered,
        ),
        Case(
            "many-cells",
            "9,000 more cells, and all metadata and ids are gone.",
            maker.data(right, crowded),
            tampered,
        ),
        Case("strange-metadata", "Metadata is a list.", maker.data(right, each(strange)), tampered),
        Case("number-as-name", "A grade_id is 7.", maker.data(right, each(number)), tampered),
        Case(
            "answer-as-text",
            "An answer became a raw cell.",
            maker.data(right, each(as_text)),
            tampered,
        ),
        Case(
            "cut-off",
            "Half of the file is missing.",
            whole[: len(whole) // 2],
            unreadable,
            None,
        ),
        Case("no-bytes", "The file has 0 bytes.", b"", unreadable, None),
        Case("not-text", "The file is a picture.", b"\x89PNG\r\n\x1a\n" * 9, unreadable, None),
        Case("deep-json", "JSON of 100,000 brackets.", b"[" * 100_000, unreadable, None),
        Case("a-list", "JSON, but a list.", b"[1, 2]", unreadable, None),
        Case(
            "no-cells",
            "A notebook without cells.",
            b'{"nbformat": 4, "cells": {}}',
            unreadable,
            None,
        ),
        Case("format-99", "nbformat is 99.", as_bytes(version), unreadable, None),
        Case("another-lab", "Another lab's notebook.", other.read_bytes(), unreadable, None),
        Case("foreign-kernel", "Says it is written in R.", maker.data(right, foreign)),
        Case(
            "scripts",
            "HTML and JavaScript in outputs and text.",
            maker.data(right, each(scripts)),
        ),
        Case("heavy-output", "An output of 8 MB.", maker.data(right, heavy)),
        Case(
            "syntax-error",
            "Does not parse.",
            maker.first("def (:"),
            lost=lost,
            says="SyntaxError",
        ),
        Case(
            "magics",
            "Uses %timeit and !ls.",
            maker.first("%timeit 1\n!ls"),
            lost=lost,
            says="magic",
        ),
        Case("nul-character", "A NUL in the code.", maker.first("x = '\0'"), lost=lost),
        Case("direction", "Characters that turn the text.", maker.first("# \u202e evil \u2066")),
        Case("surrogate", "Half a character.", maker.first("# \ud800")),
        Case(
            "raises",
            "Every call raises.",
            maker.last("return 1 // 0"),
            lost=lost,
            says="ZeroDivision",
        ),
        Case(
            "odd-error",
            "Raises an exception that cannot be printed.",
            maker.first(
                "class Odd(Exception):\n    def __str__(self):\n        raise self\n"
                f"raise Odd\n{function}\n    pass"
            ),
            lost=lost,
        ),
    ]
