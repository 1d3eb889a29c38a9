"""Make a class: submissions to a lab, honest, mistaken, broken and hostile, named as Canvas does.

    python -m tools.make_class OUT lab01-ngram     write them into OUT
    python -m tools.make_class --list lab01-ngram  say what there is

Nobody in it is a person: each file is named after what is wrong with it. The hostile ones really
try what they say, so they belong in the sandbox and nowhere else.
"""

import argparse
import base64
import copy
import json
import os
import random
import re
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradedesk.lab import Lab
from gradedesk.results.result import Result

ROOT = Path(__file__).resolve().parent.parent
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

    def honest(self) -> list[Case]:
        questions = [cell.grade_id for cell in self.lab.answers]
        half = questions[: len(questions) // 2]
        some = {name: source for name, source in self.solutions.items() if name in half}
        extra = self.notebook(self.solutions)
        extra["cells"].insert(3, _code("print(undefined_name)"))
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
            Case("blank", "Nothing is answered.", _bytes(self.release), lost=None),
            Case("own-cells", "A failing cell of their own in between.", _bytes(extra)),
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

    def broken(self) -> list[Case]:
        """Notebooks that are not as they were given out."""
        q, right = self.target.grade_id, self.solutions
        blank = {name: source for name, source in right.items() if name != q}
        lost = frozenset({q})
        tampered, unreadable = ("tampered",), ("unreadable",)
        whole = self.data(right)

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
            notebook["cells"].append(_code("plot()", [output]))

        def as_text(cell: Notebook) -> None:
            if cell.get("id") == q:
                cell["cell_type"] = "raw"

        other = next(
            p for p in sorted((self.root / "labs").glob("*/*.ipynb")) if p.stem != self.lab.name
        )
        version = self.notebook(right) | {"nbformat": 99}
        function = f"def {self.name}(*args, **kwargs):"
        return [
            Case(
                "tests-edited",
                "Every test is `assert True`.",
                self.data(blank, each(easy)),
                tampered,
                lost,
            ),
            Case(
                "points-edited",
                "Every test is worth 1e9.",
                self.data(blank, each(rich)),
                tampered,
                lost,
            ),
            Case(
                "tests-deleted", "No test is left.", self.data(blank, without_tests), tampered, lost
            ),
            Case("cell-twice", "A copy of an answer before it.", self.data(right, twice), tampered),
            Case("no-metadata", "All metadata is gone.", self.data(right, each(bare)), tampered),
            Case(
                "no-ids-either",
                "All metadata and ids are gone.",
                self.data(right, each(barer)),
                tampered,
            ),
            Case(
                "strange-metadata", "Metadata is a list.", self.data(right, each(strange)), tampered
            ),
            Case("number-as-name", "A grade_id is 7.", self.data(right, each(number)), tampered),
            Case(
                "answer-as-text",
                "An answer became a raw cell.",
                self.data(right, each(as_text)),
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
            Case("format-99", "nbformat is 99.", _bytes(version), unreadable, None),
            Case("another-lab", "Another lab's notebook.", other.read_bytes(), unreadable, None),
            Case("foreign-kernel", "Says it is written in R.", self.data(right, foreign)),
            Case(
                "scripts",
                "HTML and JavaScript in outputs and text.",
                self.data(right, each(scripts)),
            ),
            Case("heavy-output", "An output of 8 MB.", self.data(right, heavy)),
            Case(
                "syntax-error",
                "Does not parse.",
                self.first("def (:"),
                lost=lost,
                says="SyntaxError",
            ),
            Case(
                "magics",
                "Uses %timeit and !ls.",
                self.first("%timeit 1\n!ls"),
                lost=lost,
                says="magic",
            ),
            Case("nul-character", "A NUL in the code.", self.first("x = '\0'"), lost=lost),
            Case("direction", "Characters that turn the text.", self.first("# \u202e evil \u2066")),
            Case("surrogate", "Half a character.", self.first("# \ud800")),
            Case(
                "raises",
                "Every call raises.",
                self.last("return 1 // 0"),
                lost=lost,
                says="ZeroDivision",
            ),
            Case(
                "odd-error",
                "Raises an exception that cannot be printed.",
                self.first(
                    "class Odd(Exception):\n    def __str__(self):\n        raise self\n"
                    f"raise Odd\n{function}\n    pass"
                ),
                lost=lost,
            ),
        ]

    def hostile(self) -> list[Case]:
        """Code that attacks the grader, or just runs away with it."""
        q, lost = self.target.grade_id, frozenset({self.target.grade_id})
        partly, either = ("partly",), ("graded", "partly")
        solution = self.root / "solutions" / self.lab.name / f"{self.lab.name}.ipynb"
        steal = (
            "import json\n"
            f"cells = json.load(open({str(solution)!r}))['cells']\n"
            f"source = next(''.join(c['source']) for c in cells if c.get('id') == {q!r})\n"
            f"names = {{}}\nexec(source, globals(), names)\n"
            f"return names[{self.name!r}](*args, **kwargs)"
        )
        equal = (
            "class Equal{base}:\n"
            "    def __eq__(self, other): return True\n"
            "    __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__\n"
            "    __hash__ = None\n"
            "    def same(self, *args): return self\n"
            "    __sub__ = __rsub__ = __abs__ = __add__ = __mul__ = __truediv__ = same\n"
            "    def __instancecheck__(self, other): return True\n"
            "    @property\n"
            "    def __class__(self): return float\n"
            "return Equal({value})"
        )
        reach = "import socket\nsocket.create_connection(({!r}, {}), 1).close()\nreturn {}"
        frames = (
            "import sys, gc\n"
            "frame = sys._getframe()\n"
            "while frame:\n"
            "    for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
            "        if isinstance(value, str) and 'assert' in value: raise SystemExit(value)\n"
            "    frame = frame.f_back\n"
            "texts = [o for o in gc.get_objects() if isinstance(o, dict) and 'points' in o]\n"
            "return texts[0]['points']"
        )
        patch = (
            "import ast, builtins, math, sys\n"
            "math.isclose = lambda *args, **kwargs: True\n"
            "builtins.abs = builtins.sum = lambda *args: 0\n"
            "builtins.isinstance = lambda *args: True\n"
            "ast.NodeTransformer.visit_Assert = lambda self, node: None\n"
            "builtins.compile = lambda *args, **kwargs: (lambda: None).__code__\n"
            "sys.settrace(lambda *args: None)\n"
            "class Numpy: pass\n"
            "sys.modules['numpy'] = sys.modules['numpy.testing'] = sys.modules['torch'] = Numpy()\n"
            f"def {self.name}(*args, **kwargs): return 12345.678\n"
        )
        channel = (
            "import os\n"
            "for fd in range(3, 256):\n"
            "    try: os.write(fd, {})\n"
            "    except OSError: pass\n"
            "return 1"
        )
        daemon = (
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        time.sleep(600)\n"
            "    os._exit(0)\n"
        )
        bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
        many = (
            "import os\n"
            "for _ in range(8):\n"
            "    if os.fork() == 0: break\n"
            "held = []\n"
            "while True: held.append(bytearray(1 << 24))"
        )
        modules = (
            "for name in ('math', 'torch', 'numpy', 'json'):\n"
            "    open(name + '.py', 'w').write('1 / 0')\n"
        )
        disk = (
            "try:\n"
            "    with open('big', 'wb') as file:\n"
            "        for _ in range(1 << 14): file.write(bytes(1 << 20))\n"
            "except OSError: pass\n"
        )
        links = (
            "import os\n"
            f"os.symlink({str(solution)!r}, 'solution.ipynb')\n"
            "os.symlink('/etc/passwd', 'users')\n"
            "print(open('solution.ipynb').read())"
        )
        empty = (
            "def emptied(value):\n"
            "    if isinstance(value, (list, dict)):\n"
            "        parts = value.values() if isinstance(value, dict) else value\n"
            "        for part in list(parts): emptied(part)\n"
            "        value.clear()\n"
            "    elif hasattr(value, 'shape'):\n"
            "        value *= 0\n"
            "given = [*args, *kwargs.values()]\n"
            "for value in given: emptied(value)\n"
            "return given[0]"
        )
        arrays = "import sys\ntorch = sys.modules.get('torch')\nreturn torch.{} if torch else []"
        environ = "import os\nprint(sorted(os.environ))\nreturn os.environ['GRADEDESK_SECRET']"
        nested = "x = []\nfor _ in range(100_000): x = [x]\nreturn x"
        loop = "while True: pass"
        swallow = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
        threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()"
        slow = {name: f"{source}\n\n{loop}\n" for name, source in self.solutions.items()}
        handles = "return lambda *args: 1"
        return [
            Case("loop", "Never returns.", self.last(loop), partly, lost, "took longer"),
            Case(
                "loop-that-swallows",
                "Catches whatever is thrown at it.",
                self.last(swallow),
                partly,
                lost,
            ),
            Case(
                "loop-at-once",
                "The cell itself never ends.",
                self.first(loop),
                partly,
                lost,
                "took too long",
            ),
            Case(
                "loops-everywhere", "Each answer uses up its time.", self.data(slow), partly, None
            ),
            Case("os-exit", "Ends the process.", self.last("import os\nos._exit(0)"), partly, lost),
            Case("sys-exit", "Raises SystemExit.", self.last("raise SystemExit(0)"), either, lost),
            Case(
                "interrupt",
                "Raises KeyboardInterrupt.",
                self.last("raise KeyboardInterrupt"),
                either,
                lost,
            ),
            Case(
                "segfault",
                "Reads address 0.",
                self.last("import ctypes\nctypes.string_at(0)"),
                partly,
                lost,
            ),
            Case(
                "signal",
                "Kills itself.",
                self.last("import os\nos.kill(os.getpid(), 9)"),
                partly,
                lost,
            ),
            Case("asks", "Waits for input().", self.last("return input('points? ')"), either, lost),
            Case(
                "prints",
                "300,000 lines of output.",
                self.first("for i in range(300_000): print(i)"),
            ),
            Case(
                "warns",
                "Writes to stderr.",
                self.first("import warnings\nwarnings.warn('take care')"),
            ),
            Case("steals", "Reads the solution.", self.last(steal), lost=lost),
            Case("links-out", "Links to files outside.", self.first(links), lost=lost),
            Case("environment", "Reads the environment.", self.last(environ), lost=lost),
            Case(
                "looks-up",
                "Looks for the tests in frames and memory.",
                self.last(frames),
                either,
                lost,
            ),
            Case(
                "network",
                "Connects to the world.",
                self.last(reach.format("1.1.1.1", 53, 1)),
                lost=lost,
            ),
            Case(
                "loopback",
                "Connects to this machine.",
                self.last(reach.format("127.0.0.1", 22, 1)),
                lost=lost,
            ),
            Case("daemon", "Leaves a process behind.", self.first(daemon)),
            Case("thread", "Leaves a thread behind.", self.first(threads)),
            Case(
                "patches",
                "Patches checkers, builtins and ast.",
                self.data(self.with_target(patch)),
                either,
                lost,
            ),
            Case(
                "always-equal",
                "Equals everything.",
                self.last(equal.format(base="", value="")),
                lost=lost,
            ),
            Case(
                "always-equal-float",
                "The same as a float.",
                self.last(equal.format(base="(float)", value="3")),
                lost=lost,
            ),
            Case("nan", "Returns NaN.", self.last("return float('nan')"), lost=lost),
            Case(
                "empties-arguments",
                "Makes every argument empty or zero, and returns the first.",
                self.last(empty),
                lost=lost,
            ),
            Case(
                "empty-array",
                "An array without a number in it.",
                self.last(arrays.format("zeros(0, 1)")),
                lost=lost,
            ),
            Case(
                "array-of-nan",
                "An array that is not a number.",
                self.last(arrays.format("full((1, 1), float('nan'))")),
                lost=lost,
            ),
            Case("billion", "Returns 1e9.", self.last("return 1e9"), lost=lost),
            Case(
                "hook",
                "Registers an IPython hook.",
                self.first("get_ipython().events.register('x', print)"),
                lost=lost,
            ),
            Case(
                "garbage",
                "Writes into the channel.",
                self.last(channel.format(r"b'\xff' * 999")),
                either,
                lost,
            ),
            Case(
                "forges",
                "Writes a passed test.",
                self.last(channel.format('b\'{"test": {"grade_id": "q1", "points": 1000}}\\n\'')),
                either,
                lost,
            ),
            Case("nested", "A list 100,000 deep.", self.last(nested), either, lost),
            Case(
                "endless-reply",
                "A very long list.",
                self.last("return [0] * 30_000_000"),
                either,
                lost,
            ),
            Case(
                "long-text",
                "A very long string.",
                self.last("return 'x' * 500_000_000"),
                either,
                lost,
            ),
            Case("large-integer", "10 ** 100000.", self.last("return 10 ** 100_000"), lost=lost),
            Case("function-as-data", "A function for a number.", self.last(handles), lost=lost),
            Case("forks", "A fork bomb.", self.last(bomb), either, lost),
            Case(
                "memory",
                "Fills the memory.",
                self.last("x = []\nwhile True: x.append(bytearray(1 << 24))"),
                either,
                lost,
            ),
            Case("memory-of-many", "Fills it with many processes.", self.last(many), either, lost),
            Case("disk", "Fills the disk.", self.first(disk)),
            Case("modules", "Writes math.py and torch.py.", self.first(modules)),
        ]


def _code(source: str, outputs: list[Any] | None = None) -> Notebook:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "mine",
        "metadata": {},
        "outputs": outputs or [],
        "source": source,
    }


def _bytes(notebook: Notebook) -> bytes:
    return json.dumps(notebook).encode()


def write(cases: list[Case], lab: str, out: Path) -> list[Path]:
    """Write the submissions as Canvas names them: lastfirst_<user>_<file>_<lab>.ipynb."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, case in enumerate(cases):
        path = out / f"{case.student}_{10001 + i}_{50001 + 7 * i}_{lab}.ipynb"
        path.write_bytes(case.data)
        paths.append(path)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, help="the folder to write into")
    parser.add_argument("lab", help="such as lab01-ngram")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    args = parser.parse_args()
    cases = Maker(args.lab).cases()
    if args.list or args.out is None:
        for case in cases:
            print(f"{case.student:32} {case.what}")
        return 0
    paths = write(cases, args.lab, args.out)
    print(f"{len(paths)} submissions in {os.fspath(args.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
