"""Run a lab's cells in order: as in a notebook, or as the grader's two processes do.

Nothing is isolated here: this is for our own solutions and mistakes, in tests/ and in
tools/mutants.py.
"""

import ast
import copy
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import nbformat
import numpy as np

from gradedesk.lab import question_of
from gradedesk.sandbox import wire

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = {path.stem: path for path in sorted((ROOT / "solutions").glob("*/*.ipynb"))}


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file."""
    return nbformat.read(path, as_version=4)


def graded(
    notebook: nbformat.NotebookNode, kind: str | None = None
) -> Iterator[nbformat.NotebookNode]:
    """The nbgrader cells: all, or those of a kind (read, answer, test, hand)."""
    kinds = {(0, 0): "read", (0, 1): "answer", (1, 0): "test", (1, 1): "hand"}
    for cell in notebook.cells:
        if mark := cell.metadata.get("nbgrader"):
            if kind in (None, kinds[bool(mark["grade"]), bool(mark["solution"])]):
                yield cell


# A lab without a test cell is graded by a person alone, and nothing of it is run here.
TESTED = {name: path for name, path in SOLUTIONS.items() if any(graded(read(path), "test"))}


def grade_id(cell: nbformat.NotebookNode) -> str:
    """nbgrader's name of a cell, such as `q1-hidden-edges`."""
    return cell.metadata.nbgrader.grade_id


def regions(source: str, what: str) -> tuple[list[str], list[str]]:
    """The lines between `### BEGIN what` and `### END what`, and the other lines."""
    inside, outside, depth = [], [], 0
    for line in source.splitlines():
        if f"### BEGIN {what}" in line:
            depth += 1
        elif f"### END {what}" in line:
            depth -= 1
        else:
            (inside if depth else outside).append(line)
    assert depth == 0, f"### BEGIN and ### END {what} do not pair up"
    return inside, outside


# --- Running a lab -------------------------------------------------------------------------------


def plain(value: object) -> object:
    """A copy of plain data as the grader's channel would carry it; anything else is refused."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is str and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise TypeError("a text with half a character (a lone surrogate)")  # as gradedesk.wire
    if value is None or type(value) in (bool, float, str, bytes):
        return value
    if type(value) is int:
        assert -(2**63) <= value < 2**64, "an integer of more than 64 bits"
        return value
    if isinstance(value, list | tuple):
        if set(map(type, value)) == {int} and -(2**63) <= min(value) and max(value) < 2**64:
            return list(value)  # at once: lab 06 sends 130,000
        return [plain(item) for item in value]
    if isinstance(value, dict):
        assert all(type(key) in (str, int) for key in value), "a key that is no str or int"
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return np.array(value)
    if type(value).__module__ == "torch":
        return copy.deepcopy(value)
    if any(base.__module__ == "torch" for base in type(value).__mro__):  # a guarded one
        return copy.deepcopy(value.as_subclass(type(value).__mro__[1]))
    raise TypeError(f"{type(value).__name__} is not plain data")


class StandIn:
    """A function as a test cell meets it when the student's code runs in another process."""

    def __init__(self, function: Callable, guarded: bool = False):
        self.function, self.guarded = function, guarded

    def __call__(self, *args, **kwargs):
        return self._call(args, kwargs)[0]

    def _standin_after(self, *args):
        return self._call(args, {})

    def _call(self, args, kwargs):
        assert not any(isinstance(arg, tuple) for arg in args), "a tuple would arrive as a list"
        sent, by_name = plain(args), plain(kwargs)
        result, left = plain(self.function(*sent, **by_name)), plain(sent)
        return (guard(result), guard(left)) if self.guarded else (result, left)


REFUSED = set(
    "eq ne lt le gt ge __eq__ __ne__ __lt__ __le__ __gt__ __ge__ equal not_equal less less_equal "
    "greater greater_equal allclose isclose array_equal array_equiv equal_nan all any item tolist "
    "numpy __array__ __bool__ __float__ __int__ __index__ __contains__".split()
)


def guard(value: object) -> object:
    """A student's result of which no array can be compared but by gradedesk.checks."""
    if isinstance(value, list):
        return [guard(item) for item in value]
    if isinstance(value, dict):
        return {key: guard(item) for key, item in value.items()}
    if type(value) is np.ndarray:
        return value.view(GuardedArray)
    if type(value).__module__ == "torch":
        return value.as_subclass(guarded_tensor())
    return value


def _refuse(name: str) -> None:
    # No TypeError, which `==` would take for an answer.
    raise RuntimeError(f"A test compares an array by {name}: use same, shaped or number instead.")


class GuardedArray(np.ndarray):
    """An array that refuses to be compared."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if ufunc.__name__ in REFUSED:
            _refuse(ufunc.__name__)
        inputs = [np.asarray(i) if isinstance(i, GuardedArray) else i for i in inputs]
        result = getattr(ufunc, method)(*inputs, **options)
        return np.asarray(result).view(GuardedArray)

    def __array_function__(self, function, types, args, kwargs):
        if function.__name__ in REFUSED:
            _refuse(function.__name__)
        return super().__array_function__(function, types, args, kwargs)


for _name in "all any item tolist __bool__ __float__ __int__ __index__ __contains__".split():
    setattr(GuardedArray, _name, lambda self, *args, _name=_name, **options: _refuse(_name))


@cache
def guarded_tensor() -> type:
    """torch.Tensor that refuses to be compared; made late, since most labs need no torch."""
    import torch

    class GuardedTensor(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function.__name__ in REFUSED:
                _refuse(function.__name__)
            return super().__torch_function__(function, types, args, kwargs or {})

    return GuardedTensor


@cache
def _names(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a cell gives to functions, classes and values, and all that stand in it."""
    tree = ast.parse(source)
    made = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    stored = {
        n.id
        for line in tree.body
        if isinstance(line, ast.Assign | ast.AnnAssign)
        for n in ast.walk(line)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    return frozenset(made | stored), frozenset(used)


def rests_on(sources: Collection[str], *names: str) -> frozenset[str]:
    """The cells, of those given, without which what bears these names is not what it is."""
    found, wanted = set(), set(names)
    while more := {source for source in sources if _names(source)[0] & wanted} - found:
        found |= more
        wanted = wanted.union(*(_names(source)[1] for source in more))
    return frozenset(found)


def resting(notebook: nbformat.NotebookNode) -> dict[str, list[str]]:
    """The test cells, by answer cell, that could tell that it is another: its own first."""
    cells = [c for c in graded(notebook) if c.cell_type == "code"]
    answers = {c.source: grade_id(c) for c in cells if not c.metadata.nbgrader.grade}
    found = {name: [] for name in answers.values()}
    for test in graded(notebook, "test"):
        for source in rests_on(answers, *_names(test.source)[1]):
            found[answers[source]].append(grade_id(test))
    for name, tests in found.items():
        tests.sort(key=lambda test: question_of(test) != name)
    return found


RESULTS = {}  # of calls alone, by what they rest on


def alone(names: dict, name: str, cells: list, two_processes: bool, ours: set[str]) -> Callable:
    """A function of which each call has, in the grader, a process of its own.

    So the same call gives the same again: what took long once, in any run, is not done twice. What
    rests on cells of `ours` only is done once in all; nbval runs it in the notebook itself.
    `names` are those of the notebook, `cells` the (source, code) of those run so far.
    """
    rests = rests_on([source for source, _ in cells], name)
    two_processes = two_processes or rests <= ours
    known = RESULTS.setdefault((rests, name, two_processes), {})

    def call(*args):
        key = wire.pack(list(args))
        if key not in known:
            fresh = {"__name__": "__main__"} if two_processes else names
            if two_processes:
                for _, code in cells:
                    exec(code, fresh)
            try:
                known[key] = fresh[name](*args), None
            except Exception as error:
                known[key] = None, error
        result, error = known[key]
        if error:
            raise error
        return copy.deepcopy(result)

    return call


def run(
    notebook: nbformat.NotebookNode,
    answers: dict[str, str] | None = None,
    two_processes: bool = False,
    guarded: bool = False,
    only: Collection[str] | None = None,
    through: Callable[[str, Callable], Callable] | None = None,
) -> dict[str, str]:
    """Run answer and test cells in order; {grade_id: "" if passed, else "Error: message"}.

    `answers` replaces the source of answer cells, by grade_id. With `two_processes` each test
    cell sees nothing of the student but stand-ins for the functions, as in the grader; `guarded`
    ones give arrays that only gradedesk.checks can compare. `only` names the test cells to run, if
    not all; `through(name, function)` is what a stand-in calls instead of a function.
    """
    student, outcomes, cells = {"__name__": "__main__"}, {}, []
    ours = {cell.source for cell in graded(notebook)}
    apart = notebook.metadata.get("gradedesk", {}).get("alone", [])
    for cell in graded(notebook):
        if cell.cell_type != "code":
            continue
        if cell.metadata.nbgrader.grade and only is not None and grade_id(cell) not in only:
            continue
        source = (answers or {}).get(grade_id(cell), cell.source)
        code = compile(source, grade_id(cell), "exec")
        if not cell.metadata.nbgrader.grade:
            exec(code, student)
            cells.append((source, code))
            continue
        names = student | {
            name: alone(student, name, list(cells), two_processes, ours)
            for name in apart
            if name in student
        }
        if two_processes:
            functions = {
                name: StandIn(through(name, value) if through else value, guarded)
                for name, value in names.items()
                if hasattr(value, "__code__")
            }
            names = {"__name__": "__main__", **functions}
        outcomes[grade_id(cell)] = ""
        try:
            exec(code, names)
        except Exception as error:
            outcomes[grade_id(cell)] = f"{type(error).__name__}: {error}"
    return outcomes
