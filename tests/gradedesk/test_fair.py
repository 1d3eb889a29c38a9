"""Points only for what was asked, nothing told of what is hidden, and no question pays for another.

Small labs, each made for one thing; see classroom.py.
"""

import pytest
from classroom import SECRET, F, cell, outcomes

from gradedesk import sandbox

pytestmark = pytest.mark.skipif(bool(sandbox.available()), reason=str(sandbox.available()))

TOTAL = "def total(xs):\n    return sum(xs)"
SAME = "from gradedesk.checks import after, number, same, shaped\n"


# --- What a test expects -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "def total(xs):\n    xs.clear()\n    return 0",
        "def total(xs):\n    xs[:] = [0]\n    return 0",
        "kept = []\ndef total(xs):\n    kept.append(xs)\n    kept[0][:] = [0]\n    return 0",
    ],
)
def test_an_expected_value_is_computed_from_what_no_student_touches(small, answer):
    """Though the test computes it after the call, from the very list that it has passed."""
    test = f"{SAME}xs = [1, 2, 3]\nsame(total(xs), sum(xs), 'sum')"
    result = small([cell(TOTAL, "q1", "answer"), cell(test, "q1-a", "test", 1)], {"q1": answer})
    assert result.points == 0 and "It is 0, and not 6. sum" in result.tests[0].message


def test_what_a_call_changed_in_place_can_be_tested(small):
    test = f"{SAME}got, (left,) = after(total, [1, 2])\nsame([got, left], [3, [1, 2]], 'x')"
    cells = [cell(TOTAL, "q1", "answer"), cell(test, "q1-a", "test", 1)]
    assert small(cells, {"q1": TOTAL}, warm=True).points == 1
    popping = "def total(xs):\n    return sum(xs.pop() for _ in range(len(xs)))"
    (test,) = small(cells, {"q1": popping}, warm=True).tests
    assert "The list at [1] has 0 entries" in test.message


def test_an_earlier_question_s_function_is_what_it_was_then(small):
    """A later cell gives another meaning to it, to a helper of it, or to its code."""
    test = "assert f(g(3)) == 4, 'f undoes g'\nassert f(1) == 2, 'f'"
    cells = [
        cell("def helper(x):\n    return x + 1\ndef f(x):\n    return helper(x)", "q1", "answer"),
        cell("assert f(1) == 2, 'f'", "q1-a", "test", 1),
        cell("def g(x):\n    return x", "q2", "answer"),
        cell(test, "q2-a", "test", 1),
    ]
    right = {"q1": cells[0]["source"], "q2": cells[2]["source"]}
    assert small(cells, right, warm=True).points == 2
    wrong = "def g(x):\n    return 99\n"
    for change in (
        "def f(x):\n    return 4 if x == 99 else 2",
        "def helper(x):\n    return 4 if x == 99 else 2",
        "f.__code__ = (lambda x: 4 if x == 99 else 2).__code__",
    ):
        result = small(cells, right | {"q2": f"{wrong}{change}"}, warm=True)
        assert outcomes(result) == {"q1-a": "passed", "q2-a": "failed"}, change


def test_an_earlier_function_can_be_passed_to_a_later_one(small):
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'f'", "q1-a", "test", 1),
        cell("def twice(g, x):\n    return g(g(x))", "q2", "answer"),
        cell("assert twice(f, 1) == f(f(1)) == 3, 'twice'", "q2-a", "test", 1),
    ]
    assert small(cells, {"q1": F, "q2": cells[2]["source"]}).points == 2


# --- What a student is told ----------------------------------------------------------------------

HIDES = SECRET.format("_got = g()\nassert _got == 0, f'Perhaps {_got} is no zero?'")
TELLTALE = """
seen = []
def f(x):
    seen.append(x)
    print("seen", seen)
    return x + 1
"""


def test_nothing_from_the_time_of_hidden_tests_is_shown(small):
    """A later cell prints, raises or returns what an earlier question's hidden test has asked."""
    cells = [
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'f'", "q1-a", "test", 1),
        cell(SECRET.format("assert f(4242) == 4243, 'f'"), "q1-hidden-a", "test", 1),
        cell("def g():\n    return 0", "q2", "answer"),
        cell("assert g() == 0, f'g gave {g()}'", "q2-a", "test", 1),
        cell(HIDES, "q2-hidden-a", "test", 1),
    ]
    for later in (
        "print(seen)\ndef g():\n    return seen",
        "def g():\n    raise ValueError(seen)",
        "raise ValueError(seen)",
        "import os\nos.write(2, repr(seen).encode())\nos._exit(len(seen))",
        "if 4242 in seen:\n    raise ValueError(seen)\ndef g():\n    return 0",
    ):
        result = small(cells, {"q1": TELLTALE, "q2": later}, warm=True)
        assert outcomes(result)["q1-hidden-a"] == "passed"
        told = [result.note, *result.problems, *result.output.values()]
        told += [test.student_message for test in result.tests]
        assert "4242" not in " ".join(told), later
        assert "seen [1]" not in result.output.get("q1", "")  # nor what a call prints


def test_of_a_hidden_message_only_what_its_author_wrote_is_shown(small):
    cells = [cell(F, "q1", "answer")]
    tests = {
        "assert f(41) == 1, f'Perhaps {f(41)} is one too many?'": "Perhaps ... is one too many?",
        "_why = f'{f(41)}'\nassert f(41) == 1, _why": "A hidden test failed.",
        "for _x, _why in [(41, 'Why?')]:\n    assert f(_x) == 1, _why": "Why?",
        f"{SAME}same(f(41), 1, f'Perhaps {{f(41)}}?')": "You gave a text. Perhaps ...?",
    }
    for i, source in enumerate(tests):
        cells.append(cell(SECRET.format(source), f"q1-hidden-{i}", "test", 1))
    result = small(cells, {"q1": "def f(x):\n    return f'I was given {x}'"})
    assert [test.student_message for test in result.tests] == list(tests.values())


def test_a_result_that_is_no_plain_data_is_called_so_without_its_type(small):
    test = f"{SAME}same(f(1), {{}}, 'Perhaps a key is a tuple.')"
    cells = [
        cell(F, "q1", "answer"),
        cell(test, "q1-a", "test", 1),
        cell(SECRET.format(test), "q1-hidden-b", "test", 1),
    ]
    for gives in ("{(1, 2): 3}", "type('Secret', (), {})()"):
        result = small(cells, {"q1": f"def f(x):\n    return {gives}"})
        for outcome in result.tests:
            told = outcome.student_message
            assert told.startswith("You gave what a test cannot read (a set, ")
            assert told.endswith("Perhaps a key is a tuple.") and "Secret" not in told


def test_what_a_hidden_test_s_end_wrote_stands_in_no_note(small):
    cells = [cell(F, "q1", "answer"), cell(SECRET.format("f(4242)"), "q1-hidden-a", "test", 1)]
    ends = "import os\ndef f(x):\n    os.write(2, repr(x).encode())\n    os._exit(7)"
    result = small(cells, {"q1": ends})
    assert result.status == "partly" and "4242" not in result.note
    assert "4242" in result.tests[0].message  # which no student reads


def test_a_blank_answer_is_called_so_in_hidden_tests_too(small):
    cells = [cell(F, "q1", "answer"), cell(SECRET.format("f(1)"), "q1-hidden-a", "test", 1)]
    blank = "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert small(cells, {"q1": blank}).tests[0].student_message == "Not answered yet?"


# --- Innocent students ---------------------------------------------------------------------------


@pytest.mark.parametrize("isolated", [True, False], ids=["grader", "check"])
def test_a_name_that_an_answer_takes_costs_its_own_question_only(small, isolated):
    cells = [
        cell("import math\nfrom math import floor", "setup", "setup"),
        cell("def f(x):\n    return math.floor(x)", "q1", "answer"),
        cell("assert f(1.5) == 1, 'f'", "q1-a", "test", 1),
        cell("def g(x):\n    return sum([math.ceil(x), floor(x)])", "q2", "answer"),
        cell("assert g(1.5) == 3, 'g'", "q2-a", "test", 1),
        cell("half = math.sqrt(0.25)", "later", "setup"),
    ]
    right = {"q1": cells[1]["source"], "q2": cells[3]["source"]}
    for line, name in {"math = None": "math", "floor = 1": "floor", "sum = 0": "sum"}.items():
        answers = right | {"q1": f"{right['q1']}\n{line}"}
        result = small(cells, answers, isolated=isolated, warm=isolated)
        assert result.status == "graded", (line, result.note)
        assert outcomes(result) == {
            "q1-a": "failed" if name == "math" else "passed",
            "q2-a": "passed",
        }, line
        (said,) = result.problems
        assert said.startswith(f"q1 gives `{name}` another meaning"), line
        told = result.tests[0].student_message
        assert said in told if name == "math" else told == "", line


TAKES = {  # what q1 does besides: the names that q2 has again
    "from math import *; sum = pow": "`pow` `sum`",
    "def max(a, b):\n    return a": "`max`",
    "floor = ceil = int": "`floor`",
}


@pytest.mark.parametrize("line", TAKES)
def test_another_function_of_that_name_costs_no_other_question_either(small, line):
    cells = [
        cell("import math\nfrom math import floor", "setup", "setup"),
        cell("def f(x):\n    return x", "q1", "answer"),
        cell("assert f(1) == 1, 'f'", "q1-a", "test", 1),
        cell("def g(x):\n    return max([x, floor(x)]) + sum([pow(x, 1, 7)])", "q2", "answer"),
        cell("assert g(3) == 6, 'g'", "q2-a", "test", 1),
    ]
    right = {"q1": cells[1]["source"], "q2": cells[3]["source"]}
    result = small(cells, right | {"q1": f"{right['q1']}\n{line}"}, warm=True)
    assert result.points == 2
    assert all(name in result.problems[0] for name in TAKES[line].split())


def test_a_scratch_name_that_is_an_earlier_question_s_function(small):
    cells = [
        cell("def f(x):\n    return x", "q1", "answer"),
        cell("assert f(1) == 1, 'f'", "q1-a", "test", 1),
        cell("def g(x):\n    return x", "q2", "answer"),
        cell("assert g(1) == 1, 'g'", "q2-a", "test", 1),
        cell("def h(x):\n    return f(x)", "q3", "answer"),
        cell("assert h(1) == 1, 'h'", "q3-a", "test", 1),
    ]
    right = {c["id"]: c["source"] for c in cells if "-" not in c["id"]}
    scratch = right | {"q2": f"{right['q2']}\nf = {{1: 2}}"}
    assert small(cells, scratch, warm=True).points == 3
    better = right | {"q1": "def f(x):\n    return 0", "q2": f"{right['q2']}\n{right['q1']}"}
    assert small(cells, better, warm=True).points == 2  # mended later: q1 alone loses


def test_each_question_may_end_the_process(small):
    cells, answers = [], {}
    for i in range(5):
        source = f"def f{i}():\n    return {i}"
        cells.append(cell(source, f"q{i}", "answer"))
        cells.append(cell(f"assert f{i}() == {i}, 'x'", f"q{i}-a", "test", 1))
        cells.append(cell(SECRET.format(f"assert f{i}() == {i}, 'x'"), f"q{i}-hidden", "test", 1))
        answers[f"q{i}"] = source if i == 4 else f"def f{i}():\n    import os\n    os._exit(1)"
    result = small(cells, answers, warm=True)
    assert outcomes(result)["q4-a"] == outcomes(result)["q4-hidden"] == "passed"


def test_a_later_cell_of_the_lab_that_a_student_broke_is_no_error_of_the_grader(small):
    cells = [
        cell("import math", "setup", "setup"),
        cell(F, "q1", "answer"),
        cell("assert f(1) == 2, 'f'", "q1-a", "test", 1),
        cell("root = math.sqrt(4)", "later", "setup"),
        cell("def g():\n    return root", "q2", "answer"),
        cell("assert g() == 2, 'g'", "q2-a", "test", 1),
    ]
    for damage in ("del math.sqrt", "math.sqrt = None"):
        result = small(cells, {"q1": f"{F}\n{damage}", "q2": cells[4]["source"]}, warm=True)
        assert result.status == "graded", result.note
        assert outcomes(result) == {"q1-a": "passed", "q2-a": "failed"}
