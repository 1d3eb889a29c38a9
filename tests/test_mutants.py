"""tools/mutants.py: what it changes and what it reports; its record is of the labs as they are."""

import os
import subprocess
import sys

import nbformat
import pytest

pytest.importorskip("resource", reason="Windows has no fork")

from tools import mutants
from tools.lab_runs import ROOT, TESTED, read

RECORDS = mutants.records()

CHANGED = [  # an operator, some code, all that it makes of it
    (mutants.comparisons, "a < b != c", ["a <= b != c", "a < b == c"]),
    (mutants.comparisons, "a not in b", ["a in b"]),
    (mutants.arithmetic, "a + b * c", ["a - b * c", "a + b / c"]),
    (mutants.arithmetic, "a / b**c", ["a * b**c", "a / (b*c)"]),
    (mutants.arithmetic, "a //= (b)  # + c", ["a /= (b)  # + c"]),
    (mutants.numbers, "f(2, -1, 0.5, 0.0)", ["f(3, ", "f(2, 0, ", ", 1.0, 0.0)", ", 0.5, 1.0)"]),
    (mutants.numbers, "a[0]", ["a[1]", "a[-1]"]),
    (mutants.numbers, "f(dim=-1, axis=1)", ["f(dim=-2, axis=1)", "f(dim=-1, axis=0)"]),
    (mutants.strings, "f('a', '')", ['f("", ', "f('a', \"?\")"]),
    (mutants.truths, "f(True, not a, -b, ~c)", ["False", "True, (a)", "(b)", "(c)"]),
    (mutants.truths, "a and (b) and c", ["(a or (b) or c)"]),
    (mutants.conditions, "a if b else c", ["a if True else c", "a if False else c"]),
    (mutants.conditions, "[a for a in b if c]", ["if True]", "if False]"]),
    (mutants.conditions, "while a:\n    b()", ["while False:"]),
    (mutants.statements, "a = 1\na += 1\na = a + b\nf(a)", ["1\npass\n", "1\npass\n", "b\npass"]),
    (mutants.statements, "for a in b:\n    break", ["    pass"]),
    (mutants.bounds, "a[b:]", ["a[:]", "a[(b) + 1:]"]),
    (mutants.bounds, "a[0:2:c]", ["a[0::c]", "a[0:2:]", "a[0:2:(c) + 1]"]),
    (mutants.bounds, "range(1, a)", ["range(1, (a) - 1)"]),
    (mutants.exchanges, "max(a.any(), b)", ["min(a.any(), b)", "max(a.all(), b)"]),
    (mutants.exchanges, "f(a, b, 1)", ["f(b, a, 1)"]),
    (mutants.exchanges, "sorted(a)", ["list(a)"]),
    (mutants.arguments, "f(a, b=1, c=(2))", ["f(a, c=(2))", "f(a, b=1)"]),
    (mutants.arguments, "f(b=1, c=2)", ["f( c=2)", "f(b=1)"]),
    (mutants.arguments, "list(a) + b.copy()", ["a + b.copy()", "list(a) + b"]),
    (mutants.turned, "assert f(a) == 1 < b, 'no'", ["assert (not (f(a) == 1 < b)), 'no'"]),
    (mutants.turned, "assert not f(a), 'no'", ["assert (not (not f(a))), 'no'"]),
    (mutants.turned, "same(f(a), b, 'no')", ["same(f(a), [b], 'no')"]),
    (mutants.expectations, "assert f(1) == [2, 'b'], '3'", ["f(1) == [3, 'b']", "[2, 'b?'], '3'"]),
    (mutants.expectations, "assert abs(f(1) - 2.5) < 1e-9", ["- 5.0) < 1e-9"]),
    (mutants.expectations, "assert f(1) != 2 and f(3) < 4", []),
    (mutants.expectations, "same(f(1), g(2), 'no')\nsame(f(1), 2, 'no')", ["same(f(1), 3, 'no')"]),
    (mutants.expectations, "_want = np.array([1, 2])[0]", ["[0, 2])[0]", "[1, 3])[0]"]),
    (mutants.expectations, "for _a, _want in [(1, True)]:\n    pass", ["(1, False)"]),
]


@pytest.mark.parametrize("operator, code, parts", CHANGED)
def test_an_operator_makes_these_changes(operator, code, parts):
    made = [source for _, _, source in mutants.changes(code, [operator])]
    assert len(made) == len(set(made)) == len(parts)
    for source, part in zip(made, parts, strict=True):
        assert part in source and source != code
        compile(source, "changed", "exec")


def test_what_only_speaks_is_not_changed():
    code = 'def f(a: "b") -> "c":\n    """No"""\n    raise ValueError("d" + f"{1 + 1}")'
    assert list(mutants.changes(code)) == []


ANSWER = '''
def top(numbers, least):
    """The largest of the numbers, or `least` if it is larger."""
    ### BEGIN SOLUTION
    found = least
    for number in numbers:
        if found < number:
            found = number
    return found
    ### END SOLUTION
'''
DOUBLE = '''
def double(numbers):
    """Twice the largest."""
    ### BEGIN SOLUTION
    return 2 * top(numbers, 0)
    ### END SOLUTION
'''
SHARP = 'assert top([1, 3, 2], 0) == 3, "no"\nassert top([1], 4) == 4, "no"'


def toy(**cells):
    """A lab of cells of code, by grade_id with _ for -."""
    notebook = nbformat.v4.new_notebook()
    for name, source in cells.items():
        cell = nbformat.v4.new_code_cell(source)
        tests = "_" in name
        cell.metadata.nbgrader = dict(grade_id=name.replace("_", "-"), grade=tests)
        cell.metadata.nbgrader.solution = not tests
        notebook.cells.append(cell)
    return notebook


def test_sharp_tests_notice_every_change_that_can_be_told():
    record, unseen = mutants.judge(toy(q1=ANSWER, q1_test=SHARP))
    (same,) = record["survivors"]  # where both are equal it does not matter which is found
    assert same == "q1 | if found < number: | < to <="
    assert [mutant.difference for mutant in unseen] == [
        ["-        if found < number:", "+        if found <= number:"]
    ]
    assert record["test"]["noticed"] == record["test"]["changes"] == 4
    assert (
        mutants.faults(record, {})
        != []
        == mutants.faults(
            record | {"solution": dict(changes=100, noticed=95)}, {same: "equals are one"}
        )
    )


def test_a_test_that_looks_at_nothing_is_reported():
    lax = 'for _want in []:\n    assert top([1], 0) == _want, "no"\nassert top([1], 0) < 9, "no"'
    record, unseen = mutants.judge(toy(q1=ANSWER, q1_test=lax))
    assert record["solution"]["noticed"] < record["solution"]["changes"] / 2
    never = 'q1-test | assert top([1], 0) == _want, "no" | turned round'
    assert never in record["survivors"]
    said = "\n".join(mutants.report("toy", record, unseen, {"q1 | gone": "because"}))
    assert f"not argued: {never}" in said and "+    assert (not (top([1], 0) == _want))" in said
    assert "under 95% of the changes of a solution" in said
    assert "argued, and noticed or gone: q1 | gone" in said


def test_what_only_another_question_notices_is_counted_apart():
    notebook = toy(
        q1=ANSWER, q1_test='assert top([1], 0) < 9, "no"', q2=DOUBLE,
        q2_test='assert double([1, 3, 2]) == 6, "no"',
    )  # fmt: skip
    record, _ = mutants.judge(notebook)
    assert 0 < record["solution"]["elsewhere"] < record["solution"]["noticed"]


def test_a_change_that_never_ends_or_takes_all_memory_or_leaves_is_noticed():
    notebook = toy(q1=ANSWER, q1_test=SHARP)
    for body in ("while True: pass", "'a' * 10**12", "__import__('os')._exit(0)", "exit()"):
        source = f"def top(numbers, least):\n    {body}\n    return max(numbers + [least])"
        assert mutants.noticed(notebook, "q1", source, {"q1-test": 0.2}) == "q1-test"
    right = "def top(numbers, least):\n    return max(numbers + [least])"
    assert mutants.noticed(notebook, "q1", right, {"q1-test": 0.2}) == ""


def test_a_lab_whose_solution_fails_is_refused():
    with pytest.raises(mutants.Refused, match="fails q1-test"):
        mutants.judge(toy(q1=ANSWER, q1_test='assert top([], 1) == 2, "no"'))


@pytest.mark.parametrize("lab", TESTED)
def test_the_record_is_of_the_lab_as_it_is(lab):
    """At least 95 in 100 changes noticed, and each that is not, argued."""
    notebook, record = read(TESTED[lab]), RECORDS[lab]
    assert record["digest"] == mutants.digest(notebook), f"changed: make mutants LAB={lab}"
    kinds = [mutant.kind for mutant in mutants.mutants(notebook)]
    for kind in ("solution", "test"):
        assert record[kind]["changes"] == kinds.count(kind)
    assert mutants.faults(record, mutants.survivors(TESTED[lab])) == []


def test_some_changes_tried_anew_are_as_recorded(request):
    seed = str(request.config.option.hypothesis_seed)  # said at the head of every run
    command = [sys.executable, "-m", "tools.mutants", "--sample", "10", "--seed", seed]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
