"""Tests run unchanged on a student's functions and on their stand-ins."""

import copy
import pickle

import numpy as np
import pytest

from gradedesk import sandbox
from gradedesk.checks import after
from gradedesk.grading.standin import StandIn, StudentError
from gradedesk.sandbox import Limits, Sandbox, SandboxTimeout

ISOLATED = sandbox.available() is None  # stand-ins serve a plain process just as well
SOURCE = '''
import numpy as np

class Model:
    """Multiplies."""
    def __init__(self, n):
        self.n = n
        self.sizes = [1, (2, 3), {"a": n}]
    def __call__(self, x):
        return x * self.n
    def __eq__(self, other):
        return True
    __hash__ = None

def make(n):
    return Model(n)

def apply(function, x):
    return function(x)

def sort(xs):
    xs.sort()
    return xs

def deep(d):
    d["list"][0].append(7)
    d["list"].append("z")
    d["new"] = 1
    del d["old"]

def add_one(a):
    a += 1

def retype(holder):
    holder[0] = np.zeros(5)

def resize(xs):
    return None

def count(n):
    yield from range(n)

def mixed():
    return [1, Model(2), {"x": Model(3)}]

def fail(text):
    raise ValueError("no " + text)

def loud(x):
    print("x is", x)
    return x

def empty():
    raise RuntimeError
'''


@pytest.fixture(scope="module")
def box():
    with Sandbox(Limits(cell_seconds=20, total_seconds=200), isolated=ISOLATED) as box:
        assert box.exec(SOURCE, name="q1").ok
        yield box


@pytest.fixture
def of(box):
    return lambda name, **options: StandIn(box, name, **options)


def test_data_come_as_data(of):
    assert of("sort")([3, 1, 2]) == [1, 2, 3]
    assert of("apply")(of("loud"), 5) == 5
    model = of("make")(3)
    assert (model.n, model(4)) == (3, 12)
    assert model.sizes == [1, [2, 3], {"a": 3}]
    assert (model(np.arange(3)) == np.array([0, 3, 6])).all()


def test_stand_ins_may_be_passed_on(of):
    model = of("make")(3)
    assert of("apply")(model, 5) == 15
    made = of("apply")(of("make"), 7)
    assert made(1) == 7
    assert of("loud")([model])[0](2) == 6


def test_a_call_never_touches_what_the_test_holds(of):
    import torch

    inner = [1]
    given = {"list": [inner, (1, [2])], "old": 0}
    numbers, array, tensor = [3, 1, 2], np.arange(3.0), torch.zeros(2)
    of("deep")(given)
    of("sort")(numbers)
    of("sort")(xs=numbers)
    of("add_one")(array)
    of("add_one")(tensor)
    assert given == {"list": [[1], (1, [2])], "old": 0} and given["list"][0] is inner
    assert numbers == [3, 1, 2] and array.tolist() == [0, 1, 2] and tensor.tolist() == [0, 0]


def test_after_shows_what_a_call_left(of):
    import torch

    given = {"list": [[1], (1, [2])], "old": 0}
    _, (left,) = after(of("deep"), given)
    assert left == {"list": [[1, 7], [1, [2]], "z"], "new": 1}
    assert given == {"list": [[1], (1, [2])], "old": 0}
    result, (left,) = after(of("sort"), [3, 1, 2])
    assert result == left == [1, 2, 3]
    _, (left,) = after(of("add_one"), np.arange(3.0))
    assert left.tolist() == [1, 2, 3]
    tensor = torch.zeros(2)
    _, (left,) = after(of("add_one"), tensor)
    assert left.tolist() == [1, 1] and tensor.tolist() == [0, 0]
    holder = [[1]]
    _, (left,) = after(of("retype"), holder)
    assert (left[0] == np.zeros(5)).all() and holder == [[1]]
    result, (function, number) = after(of("apply"), of("loud"), 5)
    assert result == number == 5 and function is not None


def test_what_after_shows_of_an_unchanged_argument_is_a_copy(of):
    given = [[1], np.zeros(2)]
    _, (left,) = after(of("loud"), given)
    assert left[0] == [1] and left[0] is not given[0] and left[1] is not given[1]


def test_errors_of_the_student(of):
    with pytest.raises(StudentError, match="^ValueError: no way$") as caught:
        of("fail")("way")
    line = 'raise ValueError("no " + text)'
    number = [text.strip() for text in SOURCE.splitlines()].index(line) + 1
    assert caught.value.where == f"q1, line {number}: {line}"
    with pytest.raises(StudentError, match="^RuntimeError$"):
        of("empty")()
    with pytest.raises(StudentError, match="^TypeError: .*missing 1 required"):
        of("fail")()
    with pytest.raises(StudentError, match="^NameError: name 'nothing' is not defined"):
        of("nothing")(1)
    with pytest.raises(StudentError, match="no attribute 'zz'"):
        _ = of("make")(1).zz


def test_an_argument_that_cannot_be_sent(of):
    for bad in ({1}, print, [lambda: 1], {(1, 2): 3}):
        with pytest.raises(StudentError, match="cannot be called: an argument"):
            of("loud")(bad)


REFUSED = {
    "compare": lambda x: x == 1,
    "compare-right": lambda x: 1 == x,
    "unequal": lambda x: x != 1,
    "less": lambda x: x < 1,
    "in-a-list": lambda x: [1] == [x],
    "in-a-dictionary": lambda x: {"a": x} == {"a": 1},
    "true": bool,
    "not": lambda x: not x,
    "length": len,
    "list": list,
    "next": next,
    "sorted": sorted,
    "unpack": lambda x: (lambda a, b: a)(*x),
    "in": lambda x: 1 in x,
    "inside": lambda x: x in [1],
    "index": lambda x: x[0],
    "set-item": lambda x: x.__setitem__(0, 1),
    "add": lambda x: x + 1,
    "add-right": lambda x: sum([x]),
    "negative": lambda x: -x,
    "absolute": abs,
    "round": round,
    "float": float,
    "int": int,
    "bytes": bytes,
    "range": range,
    "digits": lambda x: f"{x:.3f}",
    "array": np.array,
    "allclose": lambda x: np.testing.assert_allclose(x, 1),
    "numpy-scalar": lambda x: np.float64(1) == x,
    "copy": copy.copy,
    "pickle": pickle.dumps,
    "with": lambda x: x.__enter__(),
    "set-attribute": lambda x: setattr(x, "n", 3),
}


@pytest.mark.parametrize("name", ["result", "function"])
@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED)
def test_what_is_not_plain_data(of, use, name):
    got = of("make")(1) if name == "result" else of("make")
    with pytest.raises(StudentError, match="is not plain data") as caught:
        use(got)
    assert ("(Model)" in str(caught.value)) == (name == "result")


def test_a_generator_says_that_it_is_none(of):
    with pytest.raises(StudentError, match=r"a result \(generator\) is not plain data: .* go"):
        list(of("count")(3))


def test_parts_of_a_result_may_be_stand_ins(of):
    one, model, inner = of("mixed")()
    assert one == 1 and model(5) == 10 and inner["x"](5) == 15


def test_types_do_not_pretend(of):
    model = of("make")(1)
    assert not isinstance(model, (int, float, str, list, dict, np.ndarray))
    assert callable(model)
    assert not np.array_equal(model, 1) and not np.array_equal(model, model)
    assert repr(model) == "<Model in the sandbox>" and f"{of('make')}" == "<make>"
    assert not hasattr(model, "__array_interface__")
    assert {model: 1}[model] == 1  # by identity, so that a test may keep it


def test_replies_can_be_kept(of):
    kept = []
    loud = of("loud", on_reply=kept.append)
    assert loud(3) == 3
    with pytest.raises(StudentError):
        of("fail", on_reply=kept.append)("way")
    assert [reply.output for reply in kept] == ["x is 3\n", ""]
    assert kept[1].error.type == "ValueError"


def test_the_time_of_a_call():
    with Sandbox(Limits(), isolated=ISOLATED) as box:
        assert box.exec("def f():\n    while True: pass").ok
        with pytest.raises(SandboxTimeout, match="longer than 0.2 s"):
            StandIn(box, "f", timeout=0.2)()


def test_a_result_of_another_sandbox(of):
    with Sandbox(Limits(), isolated=ISOLATED) as other:
        assert other.exec("def make():\n    return object()").ok
        with pytest.raises(TypeError, match="another sandbox"):
            of("loud")(StandIn(other, "make")())
