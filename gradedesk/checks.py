"""What a test compares with: type, shape and values, and a message that says which of them differ.

    from gradedesk.checks import after, number, same, shaped
    same(softmax(scores), want, "Perhaps the sum runs over another dimension.")
    assert 0 < number(loss(model), "A loss is one number.") < 3
    order, (left,) = after(sorted_ids, ids)
    same(left, [3, 1, 2], "Perhaps the list is sorted in place.")

An ordinary comparison lets nothing pass for something: a result of shape (0, 3) is `allclose` to
everything, NaN is on no side of any number, and a result of shape (1,) stretches to fit. These
functions do not. Where the test is hidden, a student reads the message and what kind of thing
differs; no value, no place and no number, for those could carry what the test asked.
"""

import copy
import math
import numbers
import sys
import textwrap
import traceback

SHOWN = 60  # characters of a value in a message
WIDTH = 80  # of a line that Jupyter shows


class Differs(AssertionError):
    """A result is not what was wanted. `told` is what may be said of it where a test is hidden,
    `msg` the author's message."""

    def __init__(self, seen: str, told: str, msg: str):
        super().__init__(f"{seen} {msg}".strip())
        self.told, self.msg = told, msg

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows, in place of our own lines: the line of the test, and the message."""
        places = traceback.walk_tb(self.__traceback__)
        lines = [line for frame, line in places if frame.f_code.co_filename != __file__]
        return textwrap.wrap(f"Line {lines[-1]} of this test. {self}", WIDTH)


def same(got, want, msg: str, *, rtol: float = 1e-5, atol: float = 1e-6, dtype=None) -> None:
    """Assert that `got` is `want`; else Differs, which says what was seen and then `msg`.

    Numbers are equal to within `atol + rtol * abs(want)`; two whole numbers exactly, as text is.
    NaN equals nothing. A tuple counts as a list, and an array of shape () as the number in it. An
    array or a tensor must be one, too, of the same shape and of the same kind (floating, whole,
    truth); of type `dtype`, if it is given.
    """
    _compare(got, want, msg, rtol, atol, dtype, "")


def shaped(got, shape: tuple[int, ...], msg: str):
    """`got`, if it is an array or a tensor of this shape without NaN; else Differs."""
    if _kind(got) not in ("array", "tensor"):
        raise Differs(f"You gave {_a(got)}.", f"You gave {_a(got)}.", msg)
    if tuple(got.shape) != tuple(shape):
        seen = f"The shape is {tuple(got.shape)}, and not {tuple(shape)}."
        raise Differs(seen, "The shape is another one.", msg)
    got = _plain(got)
    if bool((got != got).any()):
        raise Differs("It holds nan.", "It holds nan.", msg)
    return got


def number(got, msg: str) -> float:
    """`got`, one number that is not NaN, as a float; else Differs."""
    if _kind(got) in ("array", "tensor") and tuple(got.shape) == ():
        got = _plain(got).item()
    if _kind(got) != "number":
        raise Differs(f"You gave {_a(got)}.", f"You gave {_a(got)}.", msg)
    if math.isnan(got):
        raise Differs("It is nan.", "It is nan.", msg)
    return float(got)


def after(function, *args):
    """Call `function` with copies of `args`: what it gives, and the copies as it left them.

    At grading a plain call changes nothing of the test's own, so only this shows what a function
    changed in place, whether it should have or not.
    """
    if call := getattr(type(function), "_standin_after", None):
        return call(function, *args)
    given = [copy.deepcopy(arg) for arg in args]
    return function(*given), given


def _compare(got, want, msg, rtol, atol, dtype, place):
    kind, wanted = _kind(got), _kind(want)
    if wanted in ("number", "truth") and kind in ("array", "tensor") and tuple(got.shape) == ():
        got = _plain(got).item()
        kind = _kind(got)
    if kind != wanted or type(got) is not type(want) and kind == "object":
        seen = f"You gave {_a(got)}{place}, and not {_a(want)}."
        raise Differs(seen, f"You gave {_a(got)}.", msg)
    if wanted == "list":
        if len(got) != len(want):
            seen = f"The list{place} has {len(got)} entries, and not {len(want)}: {_short(got)}."
            raise Differs(seen, "A list has another length.", msg)
        for i, (mine, theirs) in enumerate(zip(got, want, strict=True)):
            _compare(mine, theirs, msg, rtol, atol, dtype, f"{place or ' at '}[{i}]")
    elif wanted == "dictionary":
        if got.keys() != want.keys():
            more, fewer = got.keys() - want.keys(), want.keys() - got.keys()
            parts = [f"{_short(min(more, key=repr))} too many"] if more else []
            parts += [f"no {_short(min(fewer, key=repr))}"] if fewer else []
            seen = f"The keys{place} are others: {', '.join(parts)}."
            raise Differs(seen, "The keys are others.", msg)
        for key, theirs in want.items():
            _compare(got[key], theirs, msg, rtol, atol, dtype, f"{place or ' at '}[{key!r}]")
    elif wanted in ("array", "tensor"):
        _compare_arrays(got, want, msg, rtol, atol, dtype, place)
    elif not _equal(got, want, rtol, atol):
        floats = isinstance(got, float) and isinstance(want, float)
        one, other = _apart(got, want, 10) if floats else (_short(got), _short(want))
        seen = f"It is {one}{place}, and not {other}."
        raise Differs(seen, "A value is another one.", msg)


def _compare_arrays(got, want, msg, rtol, atol, dtype, place):
    got, want = _plain(got), _plain(want)
    if tuple(got.shape) != tuple(want.shape):
        seen = f"The shape{place} is {tuple(got.shape)}, and not {tuple(want.shape)}."
        raise Differs(seen, "The shape is another one.", msg)
    if got.dtype != dtype if dtype is not None else _of(got.dtype) != _of(want.dtype):
        named = want.dtype if dtype is None else getattr(dtype, "__name__", dtype)
        seen = f"The numbers{place} are {got.dtype}, and not {named}."
        raise Differs(seen, "The numbers are of another type.", msg)
    mine, theirs = _numpy(got), _numpy(want)
    if bool((mine != mine).any()):
        raise Differs(f"It holds nan{place}.", "It holds nan.", msg)
    import numpy

    near = numpy.asarray(mine == theirs)
    if _of(want.dtype) == "floating":
        with numpy.errstate(invalid="ignore"):  # inf - inf is inf == inf, which `near` has
            near = near | (abs(mine - theirs) <= atol + rtol * abs(theirs))
            near &= numpy.isfinite(theirs) | (mine == theirs)
    if not near.all():
        first = numpy.argwhere(~near)[0].tolist()
        where = f"{place or ' at '}{first}" if first else place
        one, other = _apart(mine[*first].item(), theirs[*first].item(), 6)
        seen = f"It is {one}{where}, and not {other}"
        count = f"{(~near).sum()} of {near.size}"
        raise Differs(f"{seen}; {count} entries differ.", "The values differ.", msg)


def _equal(got, want, rtol, atol):
    """Whether two texts, truths, numbers or Nones are equal."""
    if isinstance(want, float) or isinstance(got, float):
        return got == want or abs(got - want) <= atol + rtol * abs(want) < math.inf
    return got == want


def _kind(value):
    """The group of types within which one value can be compared with another."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return "tensor"
    if numpy is not None and isinstance(value, numpy.ndarray):
        return "array"
    if isinstance(value, bool) or numpy is not None and isinstance(value, numpy.bool_):
        return "truth"
    kinds = {numbers.Real: "number", str: "text", list | tuple: "list", dict: "dictionary"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "object")


def _a(value):
    """What a message calls a value of this kind."""
    if value is None:
        return "None (perhaps a return is missing)"
    if hasattr(type(value), "_standin_after"):  # the same words for all: they hide what it is
        return (
            "what a test cannot read (a set, an object of a class, or a dictionary with other keys "
            "than texts and whole numbers)"
        )
    words = {"truth": "True or False", "array": "an array", "object": type(value).__name__}
    return words.get(_kind(value), f"a {_kind(value)}")


def _of(dtype):
    """floating, whole, complex or truth, for a type of numpy's or torch's."""
    name = str(dtype)
    kinds = {"float": "floating", "int": "whole", "complex": "complex", "bool": "truth"}
    return next((kind for part, kind in kinds.items() if part in name), name)


def _plain(array):
    """An array or a tensor without what a subclass of either may have put in its place."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return array.detach().as_subclass(torch.Tensor)
    import numpy

    return numpy.asarray(array)


def _numpy(array):
    """As numpy's, floating numbers in 64 bits, so that no difference overflows or is rounded."""
    if hasattr(array, "numpy"):
        floats = array.is_floating_point()
        array = (array.double() if floats else array).cpu().numpy()
    return array.astype("float64") if array.dtype.kind == "f" else array


def _apart(got, want, digits):
    """Two numbers that differ, with as many digits as it takes to see that: at least `digits`."""
    while f"{got:.{digits}g}" == f"{want:.{digits}g}" and digits < 17:
        digits += 1
    return f"{got:.{digits}g}", f"{want:.{digits}g}"


def _short(value):
    if isinstance(value, str | bytes | list | tuple):
        value = value[:SHOWN]  # each of its parts takes a character at least
    text = f"{value:.10g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
