"""What crosses between the desk and the sandbox, and what does not."""

import math

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradedesk.sandbox.wire import (
    ARRAY_TYPES,
    HANDLE,
    TENSOR_TYPES,
    Handle,
    WireError,
    WireLimits,
    pack,
    unpack,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = TEXT | st.integers(-(2**63), 2**64 - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_arrives_as_it_was(obj):
    assert unpack(pack(obj)) == obj


@given(PLAIN)
def test_the_same_data_gives_the_same_bytes(obj):
    assert pack(unpack(pack(obj))) == pack(obj)


@settings(deadline=None)  # the first tensor imports PyTorch
@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_refused(data):
    try:
        obj = unpack(data)
    except WireError as error:
        assert "\n" not in str(error)
    else:
        assert only_plain(obj)


def only_plain(obj):
    if type(obj) is list:
        return all(map(only_plain, obj))
    if type(obj) is dict:
        return all(type(key) in (str, int) for key in obj) and all(map(only_plain, obj.values()))
    import torch

    plain = (bool, int, float, complex, str, bytes, Handle, np.ndarray, torch.Tensor)
    return obj is None or type(obj) in plain


@pytest.mark.parametrize(
    ("obj", "arrives"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": (1,)}, {"a": [1]}),
        (np.float32(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ({np.int64(3): 1}, {3: 1}),
        (1 + 2j, 1 + 2j),
        (2**200, 2**200),
        (-(2**64), -(2**64)),
        (True, True),
        (bytearray(b"x"), b"x"),
        (-0.0, -0.0),
        (math.inf, math.inf),
    ],
)
def test_what_arrives(obj, arrives):
    got = unpack(pack(obj))
    assert got == arrives and type(got) is type(arrives)


def test_not_a_number_arrives():
    assert math.isnan(unpack(pack(math.nan)))
    assert np.isnan(unpack(pack(np.array([np.nan])))).all()


@pytest.mark.parametrize("name", ARRAY_TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1, 2, 1)])
def test_arrays(name, shape):
    array = np.arange(math.prod(shape)).astype(name).reshape(shape)
    got = unpack(pack(array))
    assert type(got) is np.ndarray and got.dtype == array.dtype and got.shape == array.shape
    assert (got == array).all()
    assert got.flags.writeable


def test_array_in_any_order():
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::2]
    got = unpack(pack(array))
    assert got.dtype == np.int32 and (got == array).all()


@pytest.mark.parametrize("name", TENSOR_TYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4)])
def test_tensors(name, shape):
    import torch

    tensor = torch.arange(math.prod(shape)).reshape(shape).to(getattr(torch, name))
    got = unpack(pack(tensor))
    assert type(got) is torch.Tensor and got.dtype == tensor.dtype and got.shape == tensor.shape
    assert torch.equal(got, tensor)


def test_tensor_in_any_order_and_with_gradients():
    import torch

    tensor = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
    got = unpack(pack(tensor))
    assert torch.equal(got, tensor) and got.requires_grad
    assert not unpack(pack(tensor.detach())).requires_grad
    assert torch.equal(unpack(pack(torch.nn.Parameter(torch.ones(2)))), torch.ones(2))


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        ({1, 2}, "type set"),
        (print, "type builtin_function_or_method"),
        (object(), "type object"),
        (iter([1]), "type list_iterator"),
        ([1, {"a": lambda: 1}], "type function"),
        ({(1, 2): 3}, "a key of type tuple"),
        ({None: 3}, "a key of type NoneType"),
        ({True: 3}, "a key of type bool"),
        ({2**70: 3}, "a key beyond 64 bits"),
        (np.array([{}]), "type ndarray"),
        (np.array(["a"]), "type ndarray"),
        (np.datetime64("2020"), "type datetime64"),
        pytest.param(1 << 10_000, "a whole number of", id="number"),
        ("\ud800", "half a character"),
    ],
)
def test_what_is_refused(obj, says):
    with pytest.raises(WireError, match=says) as error:
        pack(obj)
    assert "\n" not in str(error.value)


def test_sparse_tensor_is_refused():
    import torch

    with pytest.raises(WireError, match="type Tensor"):
        pack(torch.ones(2).to_sparse())


class LyingList(list):
    def __iter__(self):
        return iter([99])

    def __len__(self):
        return 0


class LyingDict(dict):
    def items(self):
        return [("x", 99)]


class LyingInt(int):
    def __int__(self):
        return 7

    __index__ = __int__


class LyingStr(str):
    def __str__(self):
        return "lie"

    def isascii(self):
        return True


class LyingComplex(complex):
    def __add__(self, other):
        return 7j

    __pos__ = __complex__ = __add__


@pytest.mark.parametrize(
    ("obj", "arrives"),
    [
        (LyingList([1, 2]), [1, 2]),
        (LyingDict(a=1), {"a": 1}),
        (LyingInt(3), 3),
        (LyingStr("x"), "x"),
        (LyingComplex(1 + 2j), 1 + 2j),
        ({LyingStr("x"): LyingInt(3)}, {"x": 3}),
    ],
)
def test_a_subclass_arrives_as_what_it_is_made_of(obj, arrives):
    got = unpack(pack(obj))
    assert got == arrives and type(got) is type(arrives)


def test_handles():
    kept = []

    def handle(obj):
        kept.append(obj)
        return Handle(len(kept) - 1, type(obj).__name__)

    data = pack([1, print, {"a": {2, 3}}], handle=handle)
    assert unpack(data) == [1, Handle(0, "builtin_function_or_method"), {"a": Handle(1, "set")}]
    assert unpack(data, resolve=lambda handle: kept[handle.ref]) == [1, print, {"a": {2, 3}}]
    assert unpack(pack(Handle("f"))) == Handle("f")


SMALL = WireLimits(max_bytes=1000, max_items=10, max_depth=4)


@pytest.mark.parametrize(
    "obj",
    ["x" * 1001, [0] * 11, [[0] * 6] * 2, [[[[[]]]]], np.zeros(1000), {i: 0 for i in range(11)}],
)
def test_limits_of_what_is_sent(obj):
    with pytest.raises(WireError):
        pack(obj, SMALL)


def test_a_huge_array_is_not_copied_to_be_refused():
    array = np.broadcast_to(np.zeros(1), (1 << 30, 1 << 20))
    with pytest.raises(WireError, match="more than"):
        pack(array)


def test_a_value_that_holds_itself():
    cycle = []
    cycle.append(cycle)
    with pytest.raises(WireError, match="nested deeper"):
        pack(cycle)


def ext(code, obj):
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(obj)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01\x02",
        b"\x91" * 100 + b"\xc0",
        b"\x91" * 100_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x0f\x42\x40" * 400,
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xa1\xff",
        msgpack.packb([[]] * 30),
        msgpack.packb({None: 1}),
        msgpack.packb({True: 1}),
        msgpack.packb({1.5: 1}),
        msgpack.packb({b"x": 1}),
        b"\x81" + msgpack.packb(msgpack.ExtType(4, (1 << 64).to_bytes(9, "big"))) + b"\x01",
        msgpack.packb([0] * 1001),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb([{"a": msgpack.Timestamp(1)}]),
        ext(99, 1),
        ext(1, 1),
        ext(1, [["int64", [2]], b"x" * 8]),
        ext(1, [["int64", [-1]], b"x" * 8]),
        ext(1, [["int64", [1.0]], b"x" * 8]),
        ext(1, [["int64", [True]], b"x" * 8]),
        ext(1, [["int64", [0, 1 << 60]], b""]),
        ext(1, [["int64", [1] * 100], b"x" * 8]),
        ext(1, [["int64", [0] + [(1 << 31) - 1] * 8], b""]),
        ext(2, [["int64", [0] + [(1 << 31) - 1] * 8, False], b""]),
        ext(1, [["O", [1]], b"x" * 8]),
        ext(1, [[["int64"], [1]], b"x" * 8]),
        ext(1, [["int64", [1]], "x" * 8]),
        ext(2, [["float32", [1]], b"xxxx"]),
        ext(2, [["float32", [1], 1], b"xxxx"]),
        ext(2, [["Tensor", [1], False], b"xxxx"]),
        msgpack.packb(msgpack.ExtType(3, b"x")),
        msgpack.packb(msgpack.ExtType(4, b"x" * 2000)),
        ext(HANDLE, [None, "x"]),
        ext(HANDLE, [-1, "x"]),
        ext(HANDLE, [True, "x"]),
        ext(HANDLE, [1, 2]),
        ext(HANDLE, [1, "x", 2]),
        ext(HANDLE, [[1], "x"]),
    ],
)
def test_hostile_messages(data):
    with pytest.raises(WireError) as error:
        unpack(data, WireLimits(max_bytes=1 << 20, max_items=10, max_depth=4))
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_no_message_takes_much_more_memory_than_it_has_bytes():
    import tracemalloc

    tracemalloc.start()
    try:
        for data in (
            b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000,
            b"\xdd\x00\x0f\x42\x40" + b"\x80" * 1_000_000,
            b"\xdd\x00\x01\x00\x00" * 1_000,
        ):
            with pytest.raises(WireError):
                unpack(data, WireLimits(max_items=100_000))
        assert tracemalloc.get_traced_memory()[1] < 600 << 20
    finally:
        tracemalloc.stop()


def test_booleans_are_booleans():
    got = unpack(ext(1, [["bool", [3]], b"\x00\x07\xff"]))
    assert got.tolist() == [False, True, True]
    assert got.view(np.uint8).tolist() == [0, 1, 1]


def test_the_kind_of_a_handle_is_harmless_text():
    handle = unpack(ext(HANDLE, [1, "\x1b[31m\u202e" + "x" * 1000]))
    assert handle.kind.isprintable() and len(handle.kind) <= 80
