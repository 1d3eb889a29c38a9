"""Bounded plain data between the desk and the sandbox: MessagePack, and nothing that could run.

Both processes import this file; it needs msgpack and numpy, and torch only when a tensor crosses.
What crosses: None, bool, int, float, complex, str, bytes, list, dict with keys str or int, numpy
arrays and PyTorch tensors of numbers. A tuple arrives as a list, a numpy scalar as a Python number.
A subclass of int, float, str, bytes, list, tuple or dict arrives as the plain type, read by that
type's own methods and never by the subclass's. Anything else is a `Handle`, or refused.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import numpy as np

ARRAY, TENSOR, COMPLEX, BIGINT, HANDLE = range(1, 6)

MAX_DIMS = 16
INTS = -(1 << 63), (1 << 64) - 1  # the least and the most that msgpack has
MAX_BIGINT_BYTES = 1024
MAX_KIND = 80

# By name on the wire, so that no dtype string of the other side is ever interpreted.
ARRAY_TYPES = {
    name: np.dtype(name)
    for name in (
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
        "float16 float32 float64 complex64 complex128"
    ).split()
}
TENSOR_TYPES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}


# What msgpack, NumPy and PyTorch raise on what they cannot read.
_REFUSALS = (ValueError, TypeError, OverflowError, RuntimeError, msgpack.UnpackException)


class WireError(ValueError):
    """What may not cross the wire. The text is one line."""


@dataclass(frozen=True)
class WireLimits:
    """How much one message may hold."""

    max_bytes: int = 64 << 20
    max_items: int = 1_000_000
    max_depth: int = 64

    @property
    def max_int_keys(self) -> int:
        """Keys of dictionaries that are whole numbers.

        Python hashes them to themselves, so that whoever chooses them can have each new one tried
        against all before it: n of them can take n * n / 2 steps. Texts are hashed by a secret.
        Beyond 64 bits there would be no end to numbers of the same hash, so they are no keys.
        """
        return max(1000, self.max_items // 16)


DEFAULT = WireLimits()


@dataclass(frozen=True)
class Handle:
    """Something that stays in the sandbox: an object by number, or a global by name."""

    ref: int | str
    kind: str = "object"


def pack(
    obj, limits: WireLimits = DEFAULT, handle: Callable[[object], Handle | None] | None = None
) -> bytes:
    """`obj` as bytes.

    handle: asked for what is not plain data; None from it, or no handle at all, is a WireError.
    """
    packer = _Packer(limits, handle)
    data = msgpack.packb(packer.plain(obj, 0), use_bin_type=True)
    if len(data) > limits.max_bytes:
        raise WireError(f"a value of {len(data):,} bytes, more than {limits.max_bytes:,}")
    return data


def unpack(
    data: bytes, limits: WireLimits = DEFAULT, resolve: Callable[[Handle], object] | None = None
):
    """What `pack` made bytes of; made anew, of plain types only, whatever `data` holds.

    resolve: what a Handle stands for; without it it stays a Handle.
    """
    (obj,) = unpack_all([data], limits, resolve)
    return obj


def unpack_all(
    parts: list[bytes],
    limits: WireLimits = DEFAULT,
    resolve: Callable[[Handle], object] | None = None,
) -> list:
    """What `pack` made each of the parts of; together they may hold as much as one message."""
    size = sum(map(len, parts))
    if size > limits.max_bytes:
        raise WireError(f"a message of {size:,} bytes, more than {limits.max_bytes:,}")
    reader = _Reader(limits, resolve)
    return [reader.unpack(data) for data in parts]


class _Packer:
    def __init__(self, limits, handle):
        self.limits = limits
        self.handle = handle
        self.items = 0
        self.int_keys = 0
        self.bytes = 0

    def grow(self, size):
        """Count bytes before they are copied: a huge array must not be copied to learn its size."""
        self.bytes += size
        if self.bytes > self.limits.max_bytes:
            raise WireError(f"a value of more than {self.limits.max_bytes:,} bytes")

    def plain(self, obj, depth):
        kind = type(obj)
        if obj is None or kind is bool or kind is float:
            return obj
        # The types' own methods throughout: a subclass may lie in each of its own.
        if issubclass(kind, int):
            value = int.__int__(obj)
            if INTS[0] <= value <= INTS[1]:
                return value
            size = value.bit_length() // 8 + 1
            if size > MAX_BIGINT_BYTES:
                raise WireError(f"a whole number of {size:,} bytes")
            return msgpack.ExtType(BIGINT, value.to_bytes(size, "big", signed=True))
        if issubclass(kind, float):
            return float.__float__(obj)
        if issubclass(kind, str):
            value = str.__str__(obj)
            self.grow(str.__len__(value))
            if not value.isascii():
                try:
                    str.encode(value)
                except UnicodeEncodeError:
                    raise WireError("a text with half a character (a lone surrogate)") from None
            return value
        if issubclass(kind, bytes):
            value = bytes.__getitem__(obj, slice(None))
            self.grow(len(value))
            return value if type(value) is bytes else bytes.join(b"", [value])
        if kind is bytearray:
            self.grow(len(obj))
            return bytes(obj)
        if issubclass(kind, complex):
            value = complex.__add__(obj, 0j) if kind is complex else complex.__pos__(obj)
            return msgpack.ExtType(COMPLEX, np.complex128(value).tobytes())
        if issubclass(kind, (list, tuple, dict)):
            return self.container(obj, kind, depth)
        if issubclass(kind, np.generic) and kind.__name__ in _SCALARS:
            return self.plain(np.generic.item(obj), depth)
        if kind is np.ndarray and obj.dtype.name in ARRAY_TYPES:
            return self.array(obj)
        if kind.__module__ in ("torch", "torch.nn.parameter"):
            packed = self.tensor(obj)
            if packed is not None:
                return packed
        if kind is Handle:
            return _ext_handle(obj)
        found = self.handle(obj) if self.handle is not None else None
        if found is None:
            raise WireError(f"an object of type {kind_name(kind)}")
        return _ext_handle(found)

    def container(self, obj, kind, depth):
        if depth >= self.limits.max_depth:
            raise WireError(f"a value nested deeper than {self.limits.max_depth}")
        base = dict if issubclass(kind, dict) else list if issubclass(kind, list) else tuple
        self.items += base.__len__(obj)
        if self.items > self.limits.max_items:
            raise WireError(f"a value of more than {self.limits.max_items:,} items")
        if base is not dict:
            items = list(base.__iter__(obj))
            if set(map(type, items)) == {int} and INTS[0] <= min(items) and max(items) <= INTS[1]:
                return items  # nothing to do for each: a lab may send 100,000 numbers
            return [self.plain(item, depth + 1) for item in items]
        plain = {}
        for key, value in list(dict.items(obj)):
            if isinstance(key, np.generic):
                key = key.item()
            if type(key) is bool or not issubclass(type(key), (str, int)):
                found = self.handle(obj) if self.handle is not None else None
                if found is None:
                    raise WireError(
                        f"a dictionary with a key of type {kind_name(type(key))}, not str or int"
                    )
                return _ext_handle(found)
            key = self.plain(key, depth + 1)
            if isinstance(key, msgpack.ExtType):
                raise WireError("a dictionary with a key beyond 64 bits")
            plain[key] = self.plain(value, depth + 1)
        self.int_keys += sum(type(key) is int for key in plain)
        if self.int_keys > self.limits.max_int_keys:
            most = self.limits.max_int_keys
            raise WireError(f"more than {most:,} whole numbers as keys of dictionaries")
        return plain

    def array(self, obj):
        self.grow(obj.nbytes)
        head = [obj.dtype.name, list(obj.shape)]
        body = obj.astype(obj.dtype.newbyteorder("<"), copy=False).tobytes()
        return msgpack.ExtType(ARRAY, msgpack.packb([head, body], use_bin_type=True))

    def tensor(self, obj):
        import torch

        if type(obj) not in (torch.Tensor, torch.nn.Parameter) or obj.layout != torch.strided:
            return None
        name = str(obj.dtype).removeprefix("torch.")
        if name not in TENSOR_TYPES:
            return None
        self.grow(obj.numel() * TENSOR_TYPES[name])
        flat = obj.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        body = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        head = [name, list(obj.shape), bool(obj.requires_grad)]
        return msgpack.ExtType(TENSOR, msgpack.packb([head, body], use_bin_type=True))


_SCALARS = {np.dtype(name).type.__name__ for name in ARRAY_TYPES}


def kind_name(kind: type) -> str:
    """The name of a type, which may be anything, in print."""
    name = type.__dict__["__name__"].__get__(kind)
    return "".join(c if c.isprintable() else "?" for c in name[:MAX_KIND])


def _ext_handle(handle):
    body = msgpack.packb([handle.ref, handle.kind[:MAX_KIND]], use_bin_type=True)
    return msgpack.ExtType(HANDLE, body)


class _Reader:
    """Unpacks, and counts each container as soon as it is closed."""

    def __init__(self, limits, resolve):
        self.limits = limits
        self.resolve = resolve
        self.items = 0
        self.int_keys = 0

    def unpack(self, data):
        most = min(self.limits.max_items, len(data))  # else a lie would take memory
        try:
            obj = msgpack.unpackb(
                data,
                raw=False,
                use_list=True,
                strict_map_key=False,  # `pairs` is stricter: str or int, no bool
                object_pairs_hook=self.pairs,
                list_hook=self.list,
                ext_hook=self.ext,
                max_array_len=most,
                max_map_len=most,
            )
        except WireError:
            raise
        except _REFUSALS as error:
            raise WireError(f"not a message ({type(error).__name__})") from None
        _check(obj, self.limits.max_depth)
        return obj

    def count(self, size):
        self.items += size + 1
        # Twice, and as many again, since each container and each array counts one more.
        if self.items > 2 * self.limits.max_items + 1:
            raise WireError(f"a message of more than {self.limits.max_items:,} items")

    def list(self, items):
        self.count(len(items))
        return items

    def pairs(self, pairs):
        self.count(len(pairs))
        kinds = [type(key) for key, _ in pairs]
        if kinds.count(str) + kinds.count(int) < len(kinds):
            raise WireError("a message with a key that is neither text nor a whole number")
        for key, _ in pairs:
            if type(key) is int and not INTS[0] <= key <= INTS[1]:
                raise WireError("a message with a key beyond 64 bits")
        self.int_keys += kinds.count(int)
        if self.int_keys > self.limits.max_int_keys:
            most = self.limits.max_int_keys
            raise WireError(f"a message of more than {most:,} whole numbers as keys")
        return dict(pairs)

    def ext(self, code, data):
        self.count(0)
        if code == ARRAY:
            return _read_array(data)
        if code == TENSOR:
            return _read_tensor(data)
        if code == COMPLEX and len(data) == 16:
            return complex(np.frombuffer(data, dtype="<c16")[0])
        if code == BIGINT and len(data) <= MAX_BIGINT_BYTES:
            return int.from_bytes(data, "big", signed=True)
        if code == HANDLE:
            ref, kind = _parts(data, 2)
            ref_ok = (type(ref) is int and 0 <= ref < 1 << 62) or (
                type(ref) is str and len(ref) <= 1000
            )
            if not ref_ok or type(kind) is not str:
                raise WireError("a message with a bad handle")
            kind = "".join(c if c.isprintable() else "?" for c in kind[:MAX_KIND])
            handle = Handle(ref, kind)
            return handle if self.resolve is None else self.resolve(handle)
        raise WireError(f"a message with an unknown part ({code})")


def _parts(data, count):
    parts = msgpack.unpackb(data, raw=False, max_array_len=MAX_DIMS, max_map_len=0, max_ext_len=0)
    if type(parts) is not list or len(parts) != count:
        raise WireError("a message with a malformed part")
    return parts


def _read_head(head, count):
    if type(head) is not list or len(head) != count:
        raise WireError("a message with a malformed array")
    name, shape = head[:2]
    if type(name) is not str or type(shape) is not list:
        raise WireError("a message with a malformed array")
    if not all(type(size) is int and 0 <= size < 1 << 31 for size in shape):
        raise WireError("a message with an impossible shape")
    return name, shape


def _read_array(data):
    head, body = _parts(data, 2)
    name, shape = _read_head(head, 2)
    dtype = ARRAY_TYPES.get(name)
    if dtype is None or type(body) is not bytes:
        raise WireError("a message with an array of an unknown type")
    if math.prod(shape) * dtype.itemsize != len(body):
        raise WireError("a message with an array whose shape and size differ")
    if dtype == np.bool_:  # any other byte than 0 and 1 would be no bool
        return np.frombuffer(body, dtype=np.uint8).astype(bool).reshape(shape)
    return np.frombuffer(body, dtype=dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _read_tensor(data):
    head, body = _parts(data, 2)
    name, shape = _read_head(head, 3)
    size = TENSOR_TYPES.get(name)
    if size is None or type(body) is not bytes or type(head[2]) is not bool:
        raise WireError("a message with a tensor of an unknown type")
    if math.prod(shape) * size != len(body):
        raise WireError("a message with a tensor whose shape and size differ")
    import torch

    dtype = getattr(torch, name)
    if not body:
        tensor = torch.empty(shape, dtype=dtype)
    elif name == "bool":
        tensor = torch.frombuffer(bytearray(body), dtype=torch.uint8).ne(0).reshape(shape)
    else:
        tensor = torch.frombuffer(bytearray(body), dtype=torch.uint8).view(dtype).reshape(shape)
    if head[2]:
        with contextlib.suppress(RuntimeError):  # only numbers with a fraction carry gradients
            tensor.requires_grad_()
    return tensor


def _check(obj, max_depth):
    """Level by level, never by recursion: the depth is the other side's choice."""
    level = [[obj]]
    for _ in range(max_depth + 2):
        inner = []
        for items in level:
            for item in items.values() if type(items) is dict else items:
                if type(item) is list or type(item) is dict:
                    inner.append(item)
                elif type(item) is msgpack.Timestamp:  # which msgpack makes past every hook
                    raise WireError("a message with a date")
        if not inner:
            return
        level = inner
    raise WireError(f"a message nested deeper than {max_depth}")
