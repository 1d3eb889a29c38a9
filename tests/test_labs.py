"""Every lab: what students get, what its tests are worth, and that they catch each mistake."""

import ast
import builtins
import copy
import html
import re
import runpy
import shutil
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbgrader.validator import Validator
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from gradedesk import wire
from tools import labs

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = {path.stem: path for path in sorted((ROOT / "solutions").glob("*/*.ipynb"))}
STUB = ["# YOUR CODE HERE", "raise NotImplementedError()"]  # nbgrader's own


MISTAKES = [
    pytest.param(lab, mistake, id=f"{lab}-{mistake['name']}")
    for lab, path in SOLUTIONS.items()
    for mistake in runpy.run_path(str(path.with_name("mistakes.py")))["MISTAKES"]
]


def read(path):
    return nbformat.read(path, as_version=4)


def graded(notebook, kind=None):
    """The nbgrader cells: all, or those of a kind (read, answer, test, hand)."""
    kinds = {(0, 0): "read", (0, 1): "answer", (1, 0): "test", (1, 1): "hand"}
    for cell in notebook.cells:
        if mark := cell.metadata.get("nbgrader"):
            if kind in (None, kinds[bool(mark["grade"]), bool(mark["solution"])]):
                yield cell


def grade_id(cell):
    return cell.metadata.nbgrader.grade_id


def question(name):
    return name.split("-")[0]


def regions(source, what):
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


def plain(value):
    """A copy of plain data as the grader's channel would carry it; anything else is refused."""
    if isinstance(value, np.generic):
        value = value.item()
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
    if type(value) is np.ndarray or type(value).__module__ == "torch":
        return copy.deepcopy(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def stand_in(function):
    """`function` as a test cell meets it when the student's code runs in another process."""

    def call(*args, **kwargs):
        assert not any(isinstance(arg, tuple) for arg in args), "a tuple would arrive as a list"
        given = [*args, *kwargs.values()]
        sent = [plain(value) for value in given]
        by_name = dict(zip(kwargs, sent[len(args) :], strict=True))
        result = plain(function(*sent[: len(args)], **by_name))
        for mine, theirs in zip(given, sent, strict=True):  # as the function left them
            if isinstance(mine, list):
                mine[:] = theirs
            elif isinstance(mine, dict):
                mine.clear()
                mine.update(theirs)
            elif isinstance(mine, np.ndarray) or type(mine).__module__ == "torch":
                mine[...] = theirs
        return result

    return call


def rests_on(sources, name):
    """The cells, of those given, without which the function `name` is not what it is."""
    trees = {source: list(ast.walk(ast.parse(source))) for source in sources}
    definitions = ast.FunctionDef | ast.ClassDef
    made = {s: {n.name for n in tree if isinstance(n, definitions)} for s, tree in trees.items()}
    found, wanted = set(), {name}
    while more := {s for s in sources if made[s] & wanted} - found:
        found |= more
        wanted |= {n.id for source in more for n in trees[source] if isinstance(n, ast.Name)}
    return frozenset(found)


def alone(names, name, cells, two_processes, ours):
    """A function of which each call has, in the grader, a process of its own.

    So the same call gives the same again: what took long once, in any run, is not done twice. What
    rests on cells of `ours` only is done once in all; nbval runs it in the notebook itself.
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


RESULTS = {}


def run(notebook, answers=None, two_processes=False):
    """Run answer and test cells in order; {grade_id: "" if passed, else "Error: message"}.

    `answers` replaces the source of answer cells, by grade_id. With `two_processes` each test
    cell sees nothing of the student but stand-ins for the functions, as in the grader.
    """
    student, outcomes, cells = {"__name__": "__main__"}, {}, []
    ours = {cell.source for cell in graded(notebook)}
    apart = notebook.metadata.get("gradedesk", {}).get("alone", [])
    for cell in graded(notebook):
        if cell.cell_type != "code":
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
            functions = {n: stand_in(v) for n, v in names.items() if hasattr(v, "__code__")}
            names = {"__name__": "__main__", **functions}
        outcomes[grade_id(cell)] = ""
        try:
            exec(code, names)
        except Exception as error:
            outcomes[grade_id(cell)] = f"{type(error).__name__}: {error}"
    return outcomes


@pytest.fixture(scope="session", params=SOLUTIONS)
def lab(request):
    return request.param


@pytest.fixture(scope="session")
def source(lab):
    """The lab as we wrote it."""
    return read(SOLUTIONS[lab])


@pytest.fixture(scope="session")
def release(lab):
    """The lab as a student gets it."""
    return read(ROOT / "labs" / lab / f"{lab}.ipynb")


# --- What students get ---------------------------------------------------------------------------


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }


def test_labs_are_what_the_solutions_generate(tmp_path):
    assert len(list(labs.generate(tmp_path / "labs"))) == len(SOLUTIONS) > 0
    made, stored = files(tmp_path / "labs"), files(ROOT / "labs")
    different = [name for name in made.keys() | stored.keys() if made.get(name) != stored.get(name)]
    assert not different, f"out of step with solutions/, run `make labs`: {sorted(different)}"


def test_what_somebody_wrote_into_a_lab_is_never_replaced(tmp_path):
    out = tmp_path / "labs"
    shutil.copytree(ROOT / "labs", out)
    work = next(out.glob("*/*.ipynb"))
    work.write_text(work.read_text("utf-8").replace("YOUR CODE HERE", "mine"), encoding="utf-8")
    before = files(out)
    with pytest.raises(labs.EditedError, match=f"{work.name} is not as it was made"):
        list(labs.generate(out))
    assert files(out) == before


def secrets(notebook):
    """Lines of solutions, hidden tests and model answers that stand in no public part."""
    hidden, public = [], []
    for cell in notebook.cells:
        if cell in list(graded(notebook, "hand")):
            hidden += cell.source.splitlines()
            continue
        solution, rest = regions(cell.source, "SOLUTION")
        tests, rest = regions("\n".join(rest), "HIDDEN TESTS")
        hidden += solution + tests
        public += rest
    public = "\n".join(public)
    lines = {line.strip() for line in hidden}
    # What is imported is no secret.
    lines = {line for line in lines if not re.match(r"import |from \S+ import ", line)}
    # Shorter ones, such as a loop over the words, may well stand in a chapter, too.
    return {line for line in lines if len(line) >= 32 and line not in public}


def text_of(path):
    """What a person could read in a file: its text, without tags, JSON's escapes undone."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        notebook = nbformat.reads(text, as_version=4)
        return "\n".join(f"{cell.source}\n{cell.get('outputs')}" for cell in notebook.cells)
    return html.unescape(re.sub(r"<[^>]*>", "", text)) if path.suffix == ".html" else text


def leaks(lines, path):
    text = text_of(path)
    return [f"{path.name}: {line}" for line in lines if line in text]


def test_the_search_for_leaks_finds_them(lab, source, tmp_path):
    """In the solution itself, as a notebook and as the page that Sphinx would make of it."""
    lines = secrets(source)
    assert len(lines) > 20
    assert len(leaks(lines, SOLUTIONS[lab])) == len(lines)
    code = "\n".join(cell.source for cell in source.cells)
    page = tmp_path / "page.html"
    page.write_text(highlight(code, PythonLexer(), HtmlFormatter()), encoding="utf-8")
    assert len(leaks(lines, page)) == len(lines)


def test_nothing_hidden_leaks(source):
    lines = secrets(source)
    places = [*(ROOT / "labs").rglob("*"), *(ROOT / "_build" / "html").rglob("*")]
    readable = {".ipynb", ".html", ".txt", ".md", ".py", ".json", ".js"}
    found = [
        leak
        for path in places
        if path.suffix in readable and "_static" not in path.parts
        for leak in leaks(lines, path)
    ]
    assert not found, found[:5]
    assert not list((ROOT / "labs").rglob("mistakes.py"))


def test_a_stub_stands_in_the_solution(source, release):
    """What a student is given of a function is what we use ourselves, line by line, in order."""
    ours = {grade_id(cell): cell.source for cell in graded(source, "answer")}
    for cell in graded(release, "answer"):
        solution, given = regions(ours[grade_id(cell)], "SOLUTION")
        stub = [line for line in cell.source.splitlines() if line.strip() not in STUB]
        assert solution and stub == given


def test_a_released_notebook_is_clean(source, release):
    assert [cell.id for cell in release.cells] == [cell.id for cell in source.cells]
    for cell in release.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for cell in graded(release, "hand"):
        assert cell.source == "YOUR ANSWER HERE"


def test_the_validate_button_names_the_public_tests_that_fail(release, tmp_path):
    """nbgrader's Validate, on the lab as given: all that is not hidden is still to do."""
    notebook = copy.deepcopy(release)
    notebook.cells = list(graded(notebook))  # the stories around the questions take their time
    nbformat.write(notebook, tmp_path / "lab.ipynb")
    failed = Validator().validate(str(tmp_path / "lab.ipynb"))["failed"]
    to_do = [c for c in graded(release) if c.metadata.nbgrader.grade and "-hidden-" not in c.id]
    assert [cell["source"] for cell in failed] == [cell.source.strip() for cell in to_do]


# --- What the tests are worth --------------------------------------------------------------------


def test_cells_are_marked_for_nbgrader(source):
    names = [grade_id(cell) for cell in graded(source)]
    assert [n for n, times in Counter(names).items() if times > 1] == []
    assert names == [cell.id for cell in graded(source)]
    for cell in graded(source):
        mark = cell.metadata.nbgrader
        assert mark.schema_version == 3 and mark.task is False
        assert mark.locked is not mark.solution
        assert ("points" in mark) is mark.grade
    answers = {grade_id(cell) for cell in graded(source, "answer")}
    assert {question(grade_id(cell)) for cell in graded(source, "test")} == answers


def test_a_lab_is_worth_100_points(source):
    marks = [cell.metadata.nbgrader for cell in graded(source)]
    points = [mark.points for mark in marks if mark.grade]
    assert sum(points) == 100
    assert all(type(p) is int and p > 0 for p in points)
    assert len(list(graded(source, "hand"))) >= 1


def test_a_question_states_minutes_difficulty_and_points(source):
    """And the points it states are the points its cells have."""
    worth = Counter()
    for cell in graded(source):
        worth[question(grade_id(cell))] += cell.metadata.nbgrader.get("points", 0)
    stated = {}
    for cell in graded(source, "read"):
        line = r"(\d+) minutes · difficulty ([1-5]) of 5 · (\d+) points"
        if found := re.search(line, cell.source):
            stated[question(grade_id(cell))] = int(found[3])
    assert stated == {name: points for name, points in worth.items() if points}


def test_hints_stand_between_blank_lines(source):
    """Else JupyterLab's Markdown takes two tags for one, and the hint is open from the start."""
    for cell in graded(source, "read"):
        lines = ["", *cell.source.splitlines(), ""]
        tags = [i for i, line in enumerate(lines) if "<details>" in line or "</details>" in line]
        assert all(lines[i - 1] == lines[i + 1] == "" for i in tags), grade_id(cell)


def test_test_cells_stand_alone(source):
    """They use the student's functions, and otherwise only what they define themselves."""
    functions = {
        node.name
        for cell in graded(source, "answer")
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef)
    }
    for cell in graded(source, "test"):
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        imported = [node for node in nodes if isinstance(node, ast.alias)]
        own |= {alias.asname or alias.name.split(".")[0] for alias in imported}
        strange = {node.id for node in names} - own - functions - set(dir(builtins))
        assert not strange, f"{grade_id(cell)} uses {strange}"
        assert functions & {node.id for node in names}, f"{grade_id(cell)} calls no answer"
        assert not [node for node in nodes if isinstance(node, ast.Try)], grade_id(cell)


def test_every_assert_has_a_message(source):
    for cell in graded(source, "test"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assert):
                assert node.msg is not None, f"{grade_id(cell)}, line {node.lineno}"
            if isinstance(node, ast.Call) and ".testing." in ast.unparse(node.func):
                given = {keyword.arg for keyword in node.keywords}
                assert given & {"msg", "err_msg"}, f"{grade_id(cell)}, line {node.lineno}"


def test_hidden_tests_are_wholly_hidden(source, release):
    for cell in graded(source, "test"):
        hidden, rest = regions(cell.source, "HIDDEN TESTS")
        assert bool(hidden) is ("-hidden-" in grade_id(cell)), grade_id(cell)
        if hidden:
            assert all(line.startswith("#") for line in rest), grade_id(cell)


# --- That they catch what they should ------------------------------------------------------------


@pytest.mark.parametrize("two_processes", [False, True], ids=["notebook", "grader"])
def test_the_solution_earns_everything(source, two_processes):
    outcomes = run(source, two_processes=two_processes)
    assert outcomes and not any(outcomes.values()), outcomes


@pytest.mark.parametrize("two_processes", [False, True], ids=["notebook", "grader"])
def test_the_blank_lab_earns_nothing(source, release, two_processes):
    blank = {grade_id(cell): cell.source for cell in graded(release, "answer")}
    outcomes = run(source, blank, two_processes)
    assert all(outcomes.values()), [name for name, said in outcomes.items() if not said]


def test_there_are_ten_mistakes_a_lab(lab):
    names = [param.values[1]["name"] for param in MISTAKES if param.values[0] == lab]
    assert len(names) == len(set(names)) >= 10


def mistaken(notebook, mistake):
    """The answer cell with a mistake in it."""
    where = mistake["question"]
    right = next(c.source for c in graded(notebook, "answer") if grade_id(c) == where)
    if "code" in mistake:
        return mistake["code"]
    assert right.count(mistake["old"]) == 1, f"{mistake['old']!r} must stand once in {where}"
    return right.replace(mistake["old"], mistake["new"])


@pytest.mark.parametrize("lab, mistake", MISTAKES)
@pytest.mark.parametrize("two_processes", [False, True], ids=["notebook", "grader"])
def test_a_mistake_loses_points_where_it_was_made(lab, mistake, two_processes):
    """One, or several `together`: then each is named in its own question, and not in another's."""
    notebook, parts = read(SOLUTIONS[lab]), mistake.get("together", [mistake])
    outcomes = run(
        notebook, {part["question"]: mistaken(notebook, part) for part in parts}, two_processes
    )
    failed = {name: said for name, said in outcomes.items() if said}
    lost = {where for part in parts for where in (part["question"], *part.get("also", []))}
    assert {question(name) for name in failed} == lost, failed
    for part in parts:
        where = part["question"]
        said = " ".join(text for name, text in failed.items() if question(name) == where).lower()
        named = [other["name"] for other in parts if other["says"].lower() in said]
        assert named == [part["name"]], said
