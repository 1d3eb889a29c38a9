"""Every lab: what students get, what its tests are worth, and that they catch each mistake."""

import ast
import builtins
import copy
import html
import math
import re
import runpy
import shutil
from collections import Counter

import nbformat
import numpy as np
import pytest
import torch
from nbgrader.validator import Validator
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from gradedesk.lab import question_of
from gradedesk.sandbox import wire
from tools import labs
from tools.lab_runs import (
    ROOT,
    SOLUTIONS,
    TESTED,
    grade_id,
    graded,
    plain,
    read,
    regions,
    resting,
    run,
)

STUB = ["# YOUR CODE HERE", "raise NotImplementedError()"]  # nbgrader's own


MISTAKES = [
    pytest.param(lab, mistake, id=f"{lab}-{mistake['name']}")
    for lab, path in SOLUTIONS.items()
    for mistake in runpy.run_path(str(path.with_name("mistakes.py")))["MISTAKES"]
]


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
    assert {question_of(grade_id(cell)) for cell in graded(source, "test")} == answers


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
        worth[question_of(grade_id(cell))] += cell.metadata.nbgrader.get("points", 0)
    stated = {}
    for cell in graded(source, "read"):
        line = r"(\d+) minutes · difficulty ([1-5]) of 5 · (\d+) points"
        if found := re.search(line, cell.source):
            stated[question_of(grade_id(cell))] = int(found[3])
    assert stated == {name: points for name, points in worth.items() if points}


def test_hints_stand_between_blank_lines(source):
    """Else JupyterLab's Markdown takes two tags for one, and the hint is open from the start."""
    for cell in graded(source, "read"):
        lines = ["", *cell.source.splitlines(), ""]
        tags = [i for i, line in enumerate(lines) if "<details>" in line or "</details>" in line]
        assert all(lines[i - 1] == lines[i + 1] == "" for i in tags), grade_id(cell)


def test_test_cells_stand_alone(source):
    """They use the functions of their own question, and otherwise only what they define."""
    functions = {
        grade_id(cell): {
            node.name for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)
        }
        for cell in graded(source, "answer")
    }
    for cell in graded(source, "test"):
        asked = functions[question_of(grade_id(cell))]
        nodes = list(ast.walk(ast.parse(cell.source)))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        imported = [node for node in nodes if isinstance(node, ast.alias)]
        own |= {alias.asname or alias.name.split(".")[0] for alias in imported}
        strange = {node.id for node in names} - own - asked - set(dir(builtins))
        assert not strange, f"{grade_id(cell)} uses {strange}"
        assert asked & {node.id for node in names}, f"{grade_id(cell)} calls no answer"
        assert not [node for node in nodes if isinstance(node, ast.Try)], grade_id(cell)


def test_a_test_cell_begins_with_its_id(source):
    """So that whoever reads that a test failed finds it in the notebook."""
    for cell in graded(source, "test"):
        hidden = ", hidden" if "-hidden-" in grade_id(cell) else ""
        first = cell.source.splitlines()[0]
        assert re.match(rf"# {grade_id(cell)}{hidden}: \S", first), grade_id(cell)


def test_arrays_are_compared_by_checks_alone(source):
    """Of a shape without a number in it, and of NaN, other comparisons say what is not so."""
    outcomes = run(source, two_processes=True, guarded=True)
    assert not any(outcomes.values()), {name: said for name, said in outcomes.items() if said}


def test_every_assert_has_a_message(source):
    for cell in graded(source, "test"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assert):
                assert node.msg is not None, f"{grade_id(cell)}, line {node.lineno}"


def test_hidden_tests_are_wholly_hidden(source, release):
    for cell in graded(source, "test"):
        hidden, rest = regions(cell.source, "HIDDEN TESTS")
        assert bool(hidden) is ("-hidden-" in grade_id(cell)), grade_id(cell)
        if hidden:
            assert all(line.startswith("#") for line in rest), grade_id(cell)


# --- That they catch what they should ------------------------------------------------------------


@pytest.mark.parametrize("two_processes", [False, True], ids=["notebook", "grader"])
def test_the_solution_earns_everything(lab, source, two_processes):
    outcomes = run(source, two_processes=two_processes)
    assert bool(outcomes) is (lab in TESTED)
    assert not any(outcomes.values()), outcomes


@pytest.mark.parametrize("two_processes", [False, True], ids=["notebook", "grader"])
def test_the_blank_lab_earns_nothing(source, release, two_processes):
    blank = {grade_id(cell): cell.source for cell in graded(release, "answer")}
    outcomes = run(source, blank, two_processes)
    assert all(outcomes.values()), [name for name, said in outcomes.items() if not said]


def test_there_are_ten_mistakes_a_lab_with_tests(lab):
    names = [param.values[1]["name"] for param in MISTAKES if param.values[0] == lab]
    assert len(names) == len(set(names))
    assert len(names) >= 10 if lab in TESTED else not names


def mistaken(notebook, mistake):
    """The answer cell with a mistake in it."""
    where = mistake["question"]
    right = next(c.source for c in graded(notebook, "answer") if grade_id(c) == where)
    if "code" in mistake:
        return mistake["code"]
    assert right.count(mistake["old"]) == 1, f"{mistake['old']!r} must stand once in {where}"
    return right.replace(mistake["old"], mistake["new"])


def must_be_found(lab, mistake, two_processes):
    """One mistake, or several `together`: then each is named in its own question, and not in
    another's. Tests that call nothing that rests on it are left out: they see the solution."""
    notebook, parts = read(SOLUTIONS[lab]), mistake.get("together", [mistake])
    wrong = {part["question"]: mistaken(notebook, part) for part in parts}
    rests = resting(notebook)
    only = {test for where in wrong for test in rests[where]}
    outcomes = run(notebook, wrong, two_processes, only=only)
    failed = {name: said for name, said in outcomes.items() if said}
    lost = {where for part in parts for where in (part["question"], *part.get("also", []))}
    assert {question_of(name) for name in failed} == lost, failed
    for part in parts:
        where = part["question"]
        said = " ".join(text for name, text in failed.items() if question_of(name) == where).lower()
        named = [other["name"] for other in parts if other["says"].lower() in said]
        assert named == [part["name"]], said


@pytest.mark.parametrize("lab, mistake", MISTAKES)
def test_a_mistake_loses_points_where_it_was_made(lab, mistake):
    must_be_found(lab, mistake, two_processes=True)


@pytest.mark.parametrize("lab, mistake", MISTAKES[::3])  # the same cells: a third of them suffices
def test_a_mistake_is_found_in_the_notebook_itself(lab, mistake):
    must_be_found(lab, mistake, two_processes=False)


# --- That nothing is not taken for something -----------------------------------------------------


def is_array(value):
    return hasattr(value, "dtype")


def with_an_axis(array):
    return array if array.ndim else array.reshape(1)


def zeros(array):
    return torch.zeros_like(array) if torch.is_tensor(array) else np.zeros_like(array)


def is_number(value):
    return type(value) in (int, float)


NOTHING = {  # of what: what becomes of it
    "an array without rows": (is_array, lambda a: with_an_axis(a)[:0]),
    "an array without columns": (is_array, lambda a: with_an_axis(a)[..., :0]),
    "an array that stretches": (is_array, lambda a: with_an_axis(a)[(slice(1),) * max(a.ndim, 1)]),
    "an array of nan": (is_array, lambda a: zeros(a) * math.nan),
    "an array of zeros": (is_array, zeros),
    "nan": (is_number, lambda value: math.nan),
    "zero": (is_number, lambda value: type(value)()),
    "no text": (lambda value: type(value) is str, lambda value: ""),
    "an empty list": (lambda value: type(value) is list, lambda value: []),
    "a list of empty lists": (
        lambda value: type(value) is list and set(map(type, value)) == {list},
        lambda value: [[] for _ in value],
    ),
    "an empty dictionary": (lambda value: type(value) is dict, lambda value: {}),
}


def emptied(value, fits, change):
    """`value`, or each part of it that fits, changed."""
    if fits(value):
        return change(value)
    if type(value) is list:
        return [emptied(item, fits, change) for item in value]
    if type(value) is dict:
        return {key: emptied(item, fits, change) for key, item in value.items()}
    return value


@pytest.mark.parametrize("nothing", NOTHING)
def test_nothing_earns_nothing(source, nothing):
    """A function whose result is emptied fails each test of its question that calls it."""
    taken = []
    for cell in graded(source, "test"):
        called = {n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)}
        answer = next(
            c for c in graded(source, "answer") if grade_id(c) == question_of(grade_id(cell))
        )
        made = {n.name for n in ast.parse(answer.source).body if isinstance(n, ast.FunctionDef)}
        for name in sorted(called & made):
            other = []

            def through(which, function, name=name, other=other):
                def call(*args, **kwargs):
                    right = plain(function(*args, **kwargs))
                    given = emptied(right, *NOTHING[nothing])
                    other.append(wire.pack(given) != wire.pack(right))
                    return given

                return call if which == name else function

            said = run(source, two_processes=True, only=[grade_id(cell)], through=through)
            if any(other) and not said[grade_id(cell)]:
                taken.append(f"{grade_id(cell)}: {name}")
    assert not taken, taken
