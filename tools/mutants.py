"""Change each lab's solution, and each of its tests, in one place at a time: do the tests notice?

    python -m tools.mutants [LAB ...]             every change; the result: records/mutants.json
    python -m tools.mutants --sample 10 [LAB ...] some, drawn by a seed, compared with that record

A changed solution is noticed if a test fails, of its own question or elsewhere. A changed test
(another expected value, a comparison turned round) is noticed if the solution no longer passes it.
What is not noticed is argued in the lab's mistakes.py, by name, or is a hole in the tests:

    SURVIVORS = {"q3 | if u < cumulative: | < to <=": "one line: why nothing can tell it"}

A solution whose functions are each called alone (`alone` in the notebook's metadata) is a design:
the tests judge what its model predicts, and another design may be as good. Some of its changes are
tried, and no share of them has to be noticed. Needs fork, so no Windows.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import io
import itertools
import json
import os
import random
import resource
import runpy
import signal
import sys
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat
from tqdm import tqdm

from gradedesk.lab import question_of
from tools.lab_runs import ROOT, TESTED, grade_id, graded, read, resting, run

RECORD = ROOT / "records" / "mutants.json"
ENOUGH = 0.95
DESIGNS = 6  # changes tried of solutions that are designs: each may train a model
SECONDS = 5  # of processor time that a test gets beside ten times its own: a loop may never end
MEMORY = 4 << 30  # bytes beside what the process has

Edit = tuple[int, int, str, str]  # start, end, the new text, what was done


# --- A source and its places ----------------------------------------------------------------------


class Text:
    """Python source with the place of each node and token in it, in bytes, as ast counts them."""

    def __init__(self, source: str):
        self.bytes = source.encode()
        self.tree = ast.parse(source)
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        lines = source.splitlines()
        skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
        self.tokens = [
            tuple(
                self.starts[line - 1] + len(lines[line - 1][:column].encode())
                for line, column in (token.start, token.end)
            )
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.string.strip() and token.type not in skipped
        ]
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node

    def span(self, node: ast.AST) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, start: int | ast.AST, end: int | None = None) -> str:
        """The text of a node, or of a place."""
        start, end = self.span(start) if end is None else (start, end)
        return self.bytes[start:end].decode()

    def between(self, left: ast.AST, right: ast.AST) -> tuple[int, int]:
        """The place of the operator between two nodes."""
        first, last = self.span(left)[1], self.span(right)[0]
        found = [t for t in self.tokens if first <= t[0] < last and self.of(*t) not in ("(", ")")]
        return found[0][0], found[-1][1]

    def line(self, place: int) -> int:
        """The number of the line, from 1, that holds a place."""
        return sum(start <= place for start in self.starts)

    def changed(self, edit: Edit) -> str:
        start, end, new, _ = edit
        return (self.bytes[:start] + new.encode() + self.bytes[end:]).decode()


# --- Changes of a solution ------------------------------------------------------------------------

COMPARED = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
CALCULATED = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
EXCHANGED = {}
for _one, _other in [
    ("min", "max"),
    ("amin", "amax"),
    ("argmin", "argmax"),
    ("minimum", "maximum"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
]:
    EXCHANGED |= {_one: _other, _other: _one}
AXES = "dim", "axis", "dim0", "dim1"
COPIES = "copy", "clone", "detach"


def comparisons(node: ast.AST, text: Text) -> Iterator[Edit]:
    """< to <=, == to !=, in to not in, ..."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            start, end = text.between(left, right)
            new = COMPARED[type(op)]
            yield start, end, new, f"{text.of(start, end)} to {new}"


def arithmetic(node: ast.AST, text: Text) -> Iterator[Edit]:
    """+ to -, * to /, // to /, & to |, also in += and the like."""
    if isinstance(node, ast.BinOp) and type(node.op) in CALCULATED:
        start, end = text.between(node.left, node.right)
        new = CALCULATED[type(node.op)]
        label = f"{text.of(start, end)} to {new}"
        if isinstance(node.op, ast.Pow):  # which binds more closely than what takes its place
            whole = text.span(node)
            yield *whole, f"({text.of(whole[0], start)}{new}{text.of(end, whole[1])})", label
        else:
            yield start, end, new, label
    if isinstance(node, ast.AugAssign) and type(node.op) in CALCULATED:
        start, end = text.between(node.target, node.value)
        new = CALCULATED[type(node.op)] + "="
        yield start, end, new, f"{text.of(start, end)} to {new}"


def numbers(node: ast.AST, text: Text) -> Iterator[Edit]:
    """n to n + 1, also -1 to 0; 2 x for another x; the first for the last; another axis."""
    if not _is_number(node) or isinstance(node.parent, ast.UnaryOp) and _is_number(node.parent):
        return
    value, was = ast.literal_eval(node), text.of(node)
    if isinstance(node.parent, ast.keyword) and node.parent.arg in AXES:
        new = [{-1: -2, 0: 1}.get(value, value + 1 if value < 0 else value - 1)]
    elif isinstance(value, int):
        new = [value + 1]
    else:
        new = [2 * value or 1.0]
    where = node.parent.parent if isinstance(node.parent, ast.Tuple) else node.parent
    if value == 0 and isinstance(where, ast.Subscript) and not isinstance(where.ctx, ast.Store):
        new.append(-1)
    for other in new:
        yield *text.span(node), repr(other), f"{was} to {other!r}"


def strings(node: ast.AST, text: Text) -> Iterator[Edit]:
    """A text becomes empty, and an empty one "?"."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        new = '""' if node.value else '"?"'
        yield *text.span(node), new, f"{text.of(node)} to {new}"


def truths(node: ast.AST, text: Text) -> Iterator[Edit]:
    """True to False; `not`, ~ and - left out; `and` to `or`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield *text.span(node), str(not node.value), f"{node.value} to {not node.value}"
    if isinstance(node, ast.UnaryOp) and not _is_number(node):
        start, end = text.span(node)
        sign = next(text.of(*token) for token in text.tokens if token[0] == start)
        yield start, end, f"({text.of(start, end)[len(sign) :].strip()})", f"no {sign}"
    if isinstance(node, ast.BoolOp):
        places = [text.between(*pair) for pair in itertools.pairwise(node.values)]
        was, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        start, end = text.span(node)
        cuts = [start, *itertools.chain(*places), end]
        parts = [text.of(*cut) for cut in zip(cuts[::2], cuts[1::2], strict=True)]
        yield start, end, f"({new.join(parts)})", f"{was} to {new}"


def conditions(node: ast.AST, text: Text) -> Iterator[Edit]:
    """A condition that always holds, or never."""
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp | ast.While) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    for test in tests:
        if isinstance(test, ast.Constant):
            continue
        ends = any(isinstance(part, ast.Break | ast.Return) for part in ast.walk(node))
        for new in ("True", "False"):
            if new == "False" or ends or not isinstance(node, ast.While):
                yield *text.span(test), new, f"{text.of(test)} to {new}"


def statements(node: ast.AST, text: Text) -> Iterator[Edit]:
    """Leave out what changes something: +=, a second assignment, a call by itself, a break."""
    removed = isinstance(node, ast.AugAssign | ast.Break | ast.Continue | ast.Delete)
    removed |= isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):
        targets = [n for target in node.targets for n in ast.walk(target)]
        names = {n.id for n in targets if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        removed = names <= _bound_before(node, text)
    if removed:
        yield *text.span(node), "pass", "left out"


def bounds(node: ast.AST, text: Text) -> Iterator[Edit]:
    """A slice without one of its bounds, or with the next; a range that is shorter by one."""
    if isinstance(node, ast.Slice):
        for part in (node.lower, node.upper, node.step):
            if part is None or isinstance(part, ast.Constant) and part.value == 0:
                continue
            yield *text.span(part), "", f"no {text.of(part)}"
            if not _is_number(part):
                yield *text.span(part), f"({text.of(part)}) + 1", f"{text.of(part)} plus 1"
    if isinstance(node, ast.Call) and text.of(node.func) == "range":
        stop = node.args[min(1, len(node.args) - 1)]
        if not _is_number(stop) and not isinstance(stop, ast.Starred):
            yield *text.span(stop), f"({text.of(stop)}) - 1", f"{text.of(stop)} minus 1"


def exchanges(node: ast.AST, text: Text) -> Iterator[Edit]:
    """min for max, any for all, list for sorted, and two names that stand side by side."""
    name = getattr(node, "id", None) or getattr(node, "attr", None)
    if isinstance(node, ast.Name | ast.Attribute) and name in EXCHANGED:
        end = text.span(node)[1]
        yield end - len(name), end, EXCHANGED[name], f"{name} to {EXCHANGED[name]}"
    if not isinstance(node, ast.Call):
        return
    called = text.of(node.func)
    if called == "sorted" and not node.keywords:
        yield *text.span(node.func), "list", "sorted to list"
    for left, right in itertools.pairwise(node.args):
        if isinstance(left, ast.Name) and isinstance(right, ast.Name):
            if left.id != right.id and called not in ("min", "max"):
                place = text.span(left)[0], text.span(right)[1]
                middle = text.of(text.span(left)[1], text.span(right)[0])
                new = f"{right.id}{middle}{left.id}"
                yield *place, new, f"{left.id}, {right.id} exchanged"


def arguments(node: ast.AST, text: Text) -> Iterator[Edit]:
    """A call without one of its named arguments; a copy that is none."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        start, end = text.span(keyword)
        before = max(t for t in text.tokens if t[0] < start)
        after = min(t for t in text.tokens if t[0] >= end)
        if text.of(*before) == ",":
            start = before[0]
        elif text.of(*after) == ",":
            end = after[1]
        if keyword.arg:
            yield start, end, "", f"no {keyword.arg}"
    if node.keywords:
        return
    if isinstance(node.func, ast.Attribute) and node.func.attr in COPIES and not node.args:
        yield *text.span(node), text.of(node.func.value), f"no {node.func.attr}()"
    if text.of(node.func) in ("list", "dict", "copy.deepcopy") and len(node.args) == 1:
        if isinstance(node.args[0], ast.Name | ast.Attribute):
            yield *text.span(node), text.of(node.args[0]), f"no {text.of(node.func)}()"


OPERATORS = (
    comparisons,
    arithmetic,
    numbers,
    strings,
    truths,
    conditions,
    statements,
    bounds,
    exchanges,
    arguments,
)


def _is_number(node):
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _bound_before(node, text):
    """The names that have a value when this statement is reached, as far as its function says."""
    scope = node
    while not isinstance(scope, ast.FunctionDef | ast.Module):
        scope = scope.parent
    names = [n for n in ast.walk(scope) if isinstance(n, ast.Name)]
    start = text.span(node)[0]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store) and text.span(n)[0] < start}
    return bound | {n.arg for n in ast.walk(scope) if isinstance(n, ast.arg)}


def _code(node):
    """The nodes of a solution but for what does nothing, or only speaks: types, texts of errors."""
    if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.arg):
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    quiet = [getattr(node, "returns", None), getattr(node, "annotation", None)]
    for child in ast.iter_child_nodes(node):
        if child not in quiet:
            yield from _code(child)


# --- Changes of a test ----------------------------------------------------------------------------

SAME = "same", "shaped", "assert_close", "assert_allclose", "assert_equal", "assert_array_equal"
ALIKE = "allclose", "equal", "array_equal", "isclose"
BUILTINS = "abs sorted list set dict tuple float int round min max sum len range".split()


def turned(node: ast.AST, text: Text) -> Iterator[Edit]:
    """Each comparison of an assert turned round, or the assert where it compares nothing."""
    if isinstance(node, ast.Assert):
        found = [n for n in ast.walk(node.test) if isinstance(n, ast.Compare)] or [node.test]
        for part in found:
            yield *text.span(part), f"(not ({text.of(part)}))", "turned round"
    if _called(node) in SAME and len(node.args) > 1:
        want = node.args[1]
        yield *text.span(want), f"[{text.of(want)}]", f"{text.of(want)} to a list of it"


def expectations(node: ast.AST, text: Text) -> Iterator[Edit]:
    """Another number, text or truth where a test says what it expects."""
    wanted = []
    if isinstance(node, ast.Assert):
        wanted = [side for claim in _claims(node.test) for side in _sides(claim)]
    elif _called(node) in SAME:
        wanted = node.args[1:2]
    elif isinstance(node, ast.Assign) and any(_is_want(target) for target in node.targets):
        wanted = [node.value]
    elif isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
        for row in getattr(node.iter, "elts", []):
            pairs = zip(node.target.elts, getattr(row, "elts", []), strict=False)
            wanted += [value for target, value in pairs if _is_want(target)]
    for side in wanted:
        for constant in _constants(side):
            value = ast.literal_eval(constant)
            if isinstance(value, bool):
                other = not value
            elif isinstance(value, str):
                other = value + "?"
            elif isinstance(value, int):
                other = 0 if value == 1 else value + 1 if value < 100 else 2 * value
            else:
                other = 2 * value or 1.0
            yield *text.span(constant), repr(other), f"{text.of(constant)} to {other!r}"


def _called(node):
    """The last name of what is called."""
    func = getattr(node, "func", None)
    return getattr(func, "attr", None) or getattr(func, "id", None)


def _is_want(target):
    return isinstance(target, ast.Name) and "want" in target.id


def _claims(test):
    """The parts of a condition each of which has to hold."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for part in test.values:
            yield from _claims(part)
    elif _called(test) == "all" and test.args and isinstance(test.args[0], ast.GeneratorExp):
        yield from _claims(test.args[0].elt)
    else:
        yield test


def _sides(claim):
    """What a claim holds to be equal, or nearly so."""
    if isinstance(claim, ast.Compare):
        distance = any(_called(n) == "abs" for n in ast.walk(claim.left))
        if all(isinstance(op, ast.Eq) for op in claim.ops):
            return [claim.left, *claim.comparators]
        if distance and all(isinstance(op, ast.Lt | ast.LtE) for op in claim.ops):
            return [claim.left]
    return claim.args[:2] if _called(claim) in ALIKE else []


def _constants(node):
    """Numbers, texts and truths that make up an expected value; none that a student is given."""
    if _is_number(node) or isinstance(node, ast.Constant) and isinstance(node.value, bool | str):
        yield node
    elif isinstance(node, ast.Subscript):
        yield from _constants(node.value)
    elif isinstance(node, ast.Call):
        func = node.func
        if isinstance(func, ast.Attribute) and not isinstance(func.value, ast.Name):
            yield from _constants(func.value)
        elif isinstance(func, ast.Attribute) and func.value.id in ("np", "torch", "math"):
            yield from itertools.chain(*map(_constants, node.args))
        elif isinstance(func, ast.Name) and func.id in BUILTINS:
            args = node.args[:1] if func.id == "round" else node.args
            yield from itertools.chain(*map(_constants, args))
    elif not isinstance(node, ast.JoinedStr | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _constants(child)


# --- The changes of a lab -------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One change: `source` is what stands in `cell` instead; `kind`: solution, design or test."""

    kind: str
    cell: str
    name: str
    source: str
    was: str

    @property
    def difference(self) -> list[str]:
        """The lines that differ, before and after."""
        lines = self.was.splitlines(), self.source.splitlines()
        return list(difflib.unified_diff(*lines, n=0, lineterm=""))[3:]


def changes(source: str, operators=OPERATORS, lines: set[int] | None = None) -> Iterator[tuple]:
    """What was done, at which line, and the source with it: in the order of the source."""
    text = Text(source)
    nodes = _code(text.tree) if operators is OPERATORS else ast.walk(text.tree)
    made = itertools.chain(*(operator(node, text) for node in nodes for operator in operators))
    for edit in sorted(dict.fromkeys(made), key=lambda edit: edit[:2]):
        line = text.line(edit[0])
        if lines is None or line in lines:
            yield edit[3], line, text.changed(edit)


def mutants(notebook: nbformat.NotebookNode) -> list[Mutant]:
    """Every change of a lab's solutions and tests. Names stay when other lines change."""
    found = []
    apart = set(notebook.metadata.get("gradedesk", {}).get("alone", []))
    for cell in graded(notebook):
        if cell.cell_type != "code":
            continue
        source, name, tests = cell.source, grade_id(cell), cell.metadata.nbgrader.grade
        defined = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
        kind = "test" if tests else "design" if defined & apart else "solution"
        operators = (turned, expectations) if tests else OPERATORS
        times = Counter()
        lines = None if tests else _solved(source)
        for label, line, changed in changes(source, operators, lines):
            stands = source.splitlines()[line - 1].strip()
            title = f"{name} | {stands} | {' '.join(label.split())}"
            times[title] += 1
            if times[title] > 1:
                title += f" ({times[title]})"
            found.append(Mutant(kind, name, title, changed, source))
    return found


def _solved(source):
    """The numbers of the lines between the markers of a solution."""
    inside, found = False, set()
    for number, line in enumerate(source.splitlines(), 1):
        inside = "### BEGIN SOLUTION" in line or inside and "### END SOLUTION" not in line
        if inside:
            found.add(number)
    return found


# --- Whether a change is noticed ------------------------------------------------------------------


def noticed(
    notebook: nbformat.NotebookNode, cell: str, source: str, tests: dict[str, float]
) -> str:
    """The first of the tests that fails with `source` in `cell`, or "" if none does.

    `tests` are tried in order, each with its limit in seconds of processor time. All runs in a
    process of its own, whose memory is limited, too: a test that ends it has noticed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _try(notebook, cell, source, tests, writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        lines = said.read().split("\n")
    os.waitpid(child, 0)
    return lines[-2] if len(lines) > 1 else "nothing was run"


def _try(notebook, cell, source, tests, writing):
    """In the child: say the name of each test before it is run, and "" after the last."""
    silent = os.open(os.devnull, os.O_RDWR)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if sys.platform == "linux":  # elsewhere nobody keeps to it
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    _seed()
    for test, seconds in tests.items():
        os.write(writing, f"{test}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, seconds)
        outcomes = run(notebook, {cell: source}, two_processes=True, only=[test])
        if outcomes[test]:
            return
    os.write(writing, b"\n")


def _seed():
    random.seed(0)
    for module, name in [("numpy", "random.seed"), ("torch", "manual_seed")]:
        if module in sys.modules:
            function = sys.modules[module]
            for part in name.split("."):
                function = getattr(function, part)
            function(0)


class Refused(Exception):
    """The changes cannot be tried; the message says why and what to do."""


class Trials:
    """A lab, run once as it is, on which changes are tried."""

    def __init__(self, notebook: nbformat.NotebookNode, designs: bool = True):
        self.notebook, self.designs = notebook, designs
        self.mutants = mutants(notebook)
        self.resting = resting(notebook)
        sources = {grade_id(cell): cell.source for cell in graded(notebook)}
        costly = {m.cell for m in self.mutants if m.kind == "design"}
        self.costly = {test for cell in costly for test in self.resting[cell]}
        self.seconds = {}
        _seed()
        for test in (grade_id(cell) for cell in graded(notebook, "test")):
            if designs or test not in self.costly:
                start = time.process_time()
                with contextlib.redirect_stdout(None):
                    said = run(notebook, two_processes=True, only=[test])[test]
                self.seconds[test] = SECONDS + 10 * (time.process_time() - start)
                if said or noticed(notebook, test, sources[test], {test: self.seconds[test]}):
                    raise Refused(f"The solution fails {test}, so nothing can be tried. {said}")

    def noticed(self, mutant: Mutant) -> str:
        """The first test that fails, or ""."""
        tests = [mutant.cell] if mutant.kind == "test" else self.resting[mutant.cell]
        limits = {test: self.seconds[test] for test in tests if test in self.seconds}
        return noticed(self.notebook, mutant.cell, mutant.source, limits)

    def drawn(self, kind: str, count: int | None, seed: int = 0) -> list[Mutant]:
        """The changes of a kind, or some of them; with what a design costs only if it is wanted."""
        found = [m for m in self.mutants if m.kind == kind]
        if not self.designs:
            found = [m for m in found if m.kind != "design" and m.cell not in self.costly]
        if count is None or count >= len(found):
            return found
        kept = set(random.Random(seed).sample(range(len(found)), count))
        return [m for i, m in enumerate(found) if i in kept]


def digest(notebook: nbformat.NotebookNode) -> str:
    """Of all that is changed and run: the graded cells of code, and what the lab says of itself."""
    cells = [[grade_id(c), c.source] for c in graded(notebook) if c.cell_type == "code"]
    about = notebook.metadata.get("gradedesk", {})
    return hashlib.sha256(json.dumps([cells, about], sort_keys=True).encode()).hexdigest()


def survivors(path: Path) -> dict[str, str]:
    """What the mistakes file beside a notebook argues: why no test can notice a change."""
    return runpy.run_path(str(path.with_name("mistakes.py"))).get("SURVIVORS", {})


def judge(notebook: nbformat.NotebookNode, progress: Callable = iter) -> tuple[dict, list[Mutant]]:
    """The record of a lab, every change tried, and the changes that nothing notices."""
    trials = Trials(notebook)
    plan = trials.drawn("solution", None) + trials.drawn("test", None)
    plan += trials.drawn("design", DESIGNS)
    record = {"digest": digest(notebook)}
    for kind in dict.fromkeys(m.kind for m in plan):
        record[kind] = {"changes": 0, "noticed": 0, "elsewhere": 0}
    unseen = []
    for mutant in progress(plan):
        by = trials.noticed(mutant)
        counts = record[mutant.kind]
        counts["changes"] += 1
        counts["noticed"] += bool(by)
        counts["elsewhere"] += bool(by) and question_of(by) != question_of(mutant.cell)
        if not by:
            unseen.append(mutant)
    if "design" in record:
        record["design"]["of"] = len(trials.drawn("design", None))
    record["survivors"] = sorted(m.name for m in unseen if m.kind != "design")
    return record, unseen


def faults(record: dict, argued: dict[str, str]) -> list[str]:
    """What is wrong with a lab's record, in words; nothing, if its tests notice enough."""
    found = []
    for kind in ("solution", "test"):
        if record[kind]["noticed"] < ENOUGH * record[kind]["changes"]:
            found.append(f"under {ENOUGH:.0%} of the changes of a {kind} are noticed")
    unseen = set(record["survivors"])
    found += [f"not argued: {name}" for name in sorted(unseen - argued.keys())]
    found += [f"argued, and noticed or gone: {name}" for name in sorted(argued.keys() - unseen)]
    return found


def report(lab: str, record: dict, unseen: list[Mutant], argued: dict[str, str]) -> Iterator[str]:
    """Lines about a lab."""
    for kind, what in [("solution", "solution"), ("test", "tests"), ("design", "design")]:
        if counts := record.get(kind):
            share = counts["noticed"] / counts["changes"]
            of = f" (a sample of {counts['of']})" if "of" in counts else ""
            yield (
                f"{lab}, {what}: {counts['changes']} changes{of}, {counts['noticed']} noticed"
                f" ({share:.1%}), {counts['elsewhere']} of them by another question"
            )
    for mutant in unseen:
        if mutant.kind == "design":
            yield f"  as good a design: {mutant.name}"
        elif mutant.name in argued:
            yield f"  argued: {mutant.name}: {argued[mutant.name]}"
        else:
            yield f"  not argued: {mutant.name}"
            yield from (f"      {line}" for line in mutant.difference)
    for fault in faults(record, argued):
        if not fault.startswith("not argued"):
            yield f"  {fault}"


def records() -> dict[str, dict]:
    """What is recorded, by lab."""
    return json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}


def store(lab: str, record: dict) -> None:
    """Put a lab's record in the place of its last one; another lab's may have come meanwhile."""
    known = records() | {lab: record}
    text = json.dumps({name: known[name] for name in TESTED if name in known}, indent=1) + "\n"
    RECORD.write_text(text, encoding="utf-8", newline="\n")


def sampled(lab: str, count: int, seed: int, progress: Callable = iter) -> list[str]:
    """Where some changes, drawn by a seed, are not what the record of a lab says of them."""
    record, notebook = records().get(lab), read(TESTED[lab])
    if record is None or record["digest"] != digest(notebook):
        raise Refused(f"The record is of another lab than this: make mutants LAB={lab}")
    trials = Trials(notebook, designs=False)
    half = (count + 1) // 2
    plan = trials.drawn("solution", half, seed) + trials.drawn("test", count - half, seed)
    unseen = set(record["survivors"])
    return [
        f"{lab}: {mutant.name} is {'not ' if mutant.name in unseen else ''}noticed, says the record"
        for mutant in progress(plan)
        if bool(trials.noticed(mutant)) == (mutant.name in unseen)
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("labs", nargs="*", metavar="LAB", help="default: every lab with tests")
    parser.add_argument("--sample", type=int, metavar="N", help="compare N a lab with the record")
    parser.add_argument("--seed", type=int, default=0, help="which are drawn")
    args = parser.parse_args(argv)
    names = args.labs or list(TESTED)
    if unknown := [name for name in names if name not in TESTED]:
        parser.error(f"no lab {unknown[0]} with tests; there are {', '.join(TESTED)}")
    # For torch, which is not there yet: in a fork, more threads or a GPU's would hang.
    os.environ.update(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    wrong = False
    for lab in names:
        bar = partial(tqdm, desc=lab, unit="change", disable=None)
        try:
            if args.sample:
                found = sampled(lab, args.sample, args.seed, bar)
                wrong |= bool(found)
                found = found or [f"{lab}: {args.sample} changes are as recorded"]
            else:
                record, unseen = judge(read(TESTED[lab]), bar)
                store(lab, record)
                argued = survivors(TESTED[lab])
                found = report(lab, record, unseen, argued)
                wrong |= bool(faults(record, argued))
        except Refused as error:
            found, wrong = [f"{lab}: {error}"], True
        print(*found, sep="\n", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
