"""Runs inside the sandbox: executes a student's cells and calls their functions for the desk.

    python worker.py LIMITS_JSON

Requests come by standard input and replies go by standard output, which the student's code sees
closed and as standard error; a message is four bytes of length and a dictionary packed by wire.py.
Nothing in this process is
trusted by the desk: a student's code may change any of it, and thereby only what its own functions
seem to return.
"""

import builtins
import contextlib
import ctypes
import importlib
import io
import json
import math
import os
import random
import select
import signal
import socket
import struct
import sys
import types

import landlock
import numpy as np
import wire

try:
    import resource
except ImportError:  # Windows, where nothing is isolated
    resource = None

MESSAGE_CHARS = 2000
CELL = "<{}>"
REAP_MS = 500
RESERVE_BYTES = 4 << 20  # to say so with, when a student's code has filled all memory
SET_DUMPABLE = 4  # of prctl(2)
OF_THE_MACHINE = ("cpuinfo", "loadavg", "meminfo", "stat", "sys", "uptime", "version")  # in /proc
# A request comes from the desk: bounded by what the desk holds, not by what we fear.
REQUEST = wire.WireLimits(max_bytes=1 << 31, max_items=100_000_000, max_depth=1000)


def limit(limits: dict) -> None:
    """Bind this process, and all that it starts, to `limits`; then stop being root."""
    if resource is None:
        return
    memory = limits["memory_bytes"]
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: math.ceil(limits["total_seconds"]) + 1,
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_DATA: memory,  # what a process fills
    }
    if limits["isolated"]:
        # Elsewhere this would count all that the user runs, ...
        wanted[resource.RLIMIT_NPROC] = limits["processes"]
        # ... and a student's GPU takes address space by the tens of gigabytes, where the grader has
        # none. It is more than what is filled, as PyTorch maps gigabytes of libraries.
        wanted[resource.RLIMIT_AS] = memory + (8 << 30)
    for what, value in wanted.items():
        _, most = resource.getrlimit(what)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(ValueError if sys.platform == "darwin" else ()):
            resource.setrlimit(what, (value, value))  # macOS knows no limit on memory
    if not limits["isolated"] and os.path.exists("/proc/self/oom_score_adj"):
        # Should the machine run short of memory, this goes before anything else does. In a sandbox
        # /proc is read-only, and this done before.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    if limits["uid"]:
        os.setgroups([])
        os.setresgid(*[limits["uid"]] * 3)
        os.setresuid(*[limits["uid"]] * 3)


class Bounded(io.RawIOBase):
    """Keeps the first `limit` bytes written to it and counts the rest."""

    def __init__(self, limit):
        self.limit = limit
        self.kept = bytearray()
        self.lost = 0

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        room = max(0, self.limit - len(self.kept))
        self.kept += data[:room]
        self.lost += len(data) - min(room, len(data))
        return len(data)

    def text(self):
        text = self.kept.decode("utf-8", "replace")
        return f"{text}\n[{self.lost:,} more bytes not kept]\n" if self.lost else text


class Worker:
    """One submission: its namespace, and the objects that stay here when the desk sees a handle."""

    def __init__(self, limits):
        self.limits = limits
        self.reply_limits = wire.WireLimits(
            limits["reply_bytes"], limits["reply_items"], limits["reply_depth"]
        )
        # Cells run as `__main__`, as in Jupyter: dataclasses and `if __name__ == ...` expect it.
        self.module = types.ModuleType("__main__")
        self.module.__builtins__ = builtins
        self.sources = {}
        self.given = {}  # modules and functions that the lab's own cells have named
        self.answered = {}  # functions that answer cells were asked for
        self.objects = {}
        self.numbers = {}
        self.calls = 0
        sys.modules["__main__"] = self.module

    # What the desk may ask for.

    def start(self, request):
        for name, data in request["files"].items():
            os.makedirs(os.path.dirname(os.path.join(".", name)), exist_ok=True)
            with open(name, "wb") as file:
                file.write(data)
        return None, {}

    def exec(self, request):
        self.restore()
        filename = CELL.format(request["name"])
        self.sources[filename] = request["source"].splitlines()
        names = self.module.__dict__
        code = compile(request["source"], filename, "exec", dont_inherit=True)
        try:
            exec(code, names)
        finally:
            if request["ours"]:
                self.given |= {
                    name: value
                    for name, value in names.items()
                    if name != "__builtins__"
                    and (isinstance(value, types.ModuleType) or callable(value))
                }
            for name in request["names"]:  # which it was asked to define
                if callable(names.get(name)):
                    self.answered[name] = names[name]
                    self.given.pop(name, None)
        return self.shadowed(), {}

    def call(self, request):
        # Only now, with the names known: an argument may be a handle of an earlier call.
        args, kwargs = wire.unpack(request["arguments"], REQUEST, self.resolve)
        before = self.pack_each(args, kwargs)
        value = self.resolve(wire.Handle(request["target"]))(*args, **kwargs)
        after = self.pack_each(args, kwargs)
        return value, {key: data for key, data in after.items() if data != before[key]}

    def getattr(self, request):
        return getattr(self.resolve(wire.Handle(request["target"])), request["name"]), {}

    # How it is done.

    def shadowed(self):
        """Names that answer cells have taken: from the lab's own cells, from Python, and, by what
        is no function, from an earlier answer (another function may be a better one)."""
        now = self.module.__dict__
        ours = {name for name in vars(builtins) if not name.startswith("__")}
        return [
            *(name for name, value in self.given.items() if now.get(name) is not value),
            *(n for n, value in self.answered.items() if n in now and not callable(now[n])),
            *sorted(now.keys() & ours - self.given.keys() - self.answered.keys()),
        ]

    def restore(self):
        """Give such names their own again: they may cost the question that took them, no other."""
        for name in self.shadowed():
            if name in self.given or name in self.answered:
                self.module.__dict__[name] = (self.answered | self.given)[name]
            else:
                del self.module.__dict__[name]

    def resolve(self, handle):
        if isinstance(handle.ref, int):
            return self.objects[handle.ref]
        try:
            return self.module.__dict__[handle.ref]
        except KeyError:
            raise NameError(f"name '{handle.ref}' is not defined") from None

    def handle(self, obj):
        """Keep `obj` here and give it a number; the same object has the same number."""
        number = self.numbers.setdefault(id(obj), len(self.numbers))
        self.objects[number] = obj
        return wire.Handle(number, wire.kind_name(type(obj)))

    def pack(self, obj):
        return wire.pack(obj, self.reply_limits, self.handle)

    def pack_each(self, args, kwargs):
        return {key: self.pack(value) for key, value in [*enumerate(args), *kwargs.items()]}

    def seed(self):
        """Another seed for each request, and the same ones on a second run."""
        seed = (self.limits["seed"] + self.calls) % (1 << 32)
        self.calls += 1
        random.seed(seed)
        np.random.seed(seed)
        if torch := sys.modules.get("torch"):
            torch.manual_seed(seed)

    def answer(self, request):
        """The packed reply to one request. Whatever the student's code raises is part of it."""
        reserve = bytearray(RESERVE_BYTES)
        sink = Bounded(self.limits["output_bytes"])
        kept = sys.stdout, sys.stderr
        stream = io.TextIOWrapper(io.BufferedWriter(sink), "utf-8", "replace")
        sys.stdout = sys.stderr = stream
        try:
            self.seed()
            value, changed = getattr(self, request["op"])(request)
            reply = {"value": self.pack(value), "changed": changed, "error": None}
            parts = [reply["value"], *changed.values()]
            size = sum(map(len, parts))
            if size > self.limits["reply_bytes"]:
                raise wire.WireError(f"more than {self.limits['reply_bytes']:,} bytes")
            if changed and size > self.limits["reply_items"]:
                wire.unpack_all(parts, self.reply_limits)  # as the desk will: it counts them all
        except wire.WireError as error:
            reply = {"error": ["", f"the result cannot be used: it holds {error}", ""]}
        except BaseException as error:  # SystemExit and KeyboardInterrupt are theirs too
            reply = {"error": self.describe(error)}
        finally:
            sys.stdout, sys.stderr = kept
            del reserve
        with contextlib.suppress(ValueError):  # they may have closed it
            stream.flush()
        return wire.pack({"id": request["id"], "output": sink.text(), **reply})

    def describe(self, error):
        """[type, message, where] of a student's exception, which may lie or raise in each part."""
        kind = wire.kind_name(type(error))
        try:
            if isinstance(error, SyntaxError) and error.filename in self.sources:
                where = self.where(error.filename, error.lineno)
                return [kind, printable(error.msg), where]
            message = printable(str(error))
        except BaseException:
            message = "(its message cannot be shown)"
        where = ""
        trace = BaseException.__dict__["__traceback__"].__get__(error)
        while trace is not None:
            if trace.tb_frame.f_code.co_filename in self.sources:
                where = self.where(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        return [kind, message, where]

    def where(self, filename, number):
        lines = self.sources[filename]
        line = lines[number - 1].strip() if 0 < (number or 0) <= len(lines) else ""
        return printable(f"{filename.strip('<>')}, line {number}: {line}")


def printable(text):
    """Bounded, and with no half characters, which no file could hold."""
    text = str.__str__(text)[:MESSAGE_CHARS]
    return text.encode("utf-8", "replace").decode("utf-8")


def read(fd, size):
    data = bytearray()
    while len(data) < size:
        part = os.read(fd, min(size - len(data), 1 << 20))
        if not part:
            os._exit(0)  # the desk has gone
        data += part
    return bytes(data)


def write(fd, data):
    data = memoryview(struct.pack("<I", len(data)) + data)
    while data:
        data = data[os.write(fd, data[: 1 << 20]) :]


def introduce(control):
    """Tell the desk which process will be a sandbox's first: this one. Wait for its word to go on.

    control: a socket to the desk, which is told who the first process is, says when to go on, and
        is told how the child ended; when it closes its end, the first process ends, and all with it

    Before any limit is set: the descriptors on their way are counted together for all of an
    ordinary user's processes, against the limit of the one that sends, and a neighbour may have
    sent some to nobody.
    """
    first = os.pidfd_open(os.getpid())
    socket.send_fds(control, [b"ready"], [first])
    os.close(first)
    if not control.recv(2):  # comes when the desk has put us into a group
        os._exit(1)


def guard(control):
    """Become a sandbox's first process, and go on as its child. Does not return in the first."""
    # It is of the student's own user: its memory must not be theirs to write to.
    if ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError("prctl: the first process can be looked into")
    pid = os.fork()
    if pid:
        wait(control, pid)
    control.close()
    hide()


def hide():
    """Of /proc no more can be read than it tells of the machine: what it tells of a process has the
    names of the folders in which Python and the course lie outside."""
    paths = [f"/{name}" for name in os.listdir("/") if name != "proc"]
    paths += [f"/proc/{name}" for name in OF_THE_MACHINE]
    landlock.read_only_below(filter(os.path.exists, paths))


def wait(control, pid):
    """As a sandbox's first process: bury the dead, and end with the worker or with the desk."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a first process does not feel
    poll = select.poll()
    poll.register(control, 0)  # which tells of its other end's end
    poll.register(os.pidfd_open(pid), select.POLLIN)
    while True:
        events = poll.poll(REAP_MS)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == pid:
                    code = os.waitstatus_to_exitcode(ended[1])
                    with contextlib.suppress(OSError):
                        control.send(struct.pack("<i", code))
                    os._exit(code if code >= 0 else 128 - code)
        if any(fd == control.fileno() for fd, _ in events):
            os._exit(0)


def take_channel():
    """Standard input and output for us alone: not inherited, and not where `print` goes."""
    channel = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return channel


def preload(settings):
    """Import what the lab's own cells import; what fails here fails again in its cell."""
    sys.path[:] = [folder for folder in sys.path if folder != os.path.dirname(__file__)]
    sys.path += settings["packages"]
    for name in settings["imports"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def serve(limits, requests, replies):
    """Answer the desk's requests until it has gone."""
    sys.path.append(os.getcwd())  # last, so that no file of theirs takes the place of a module
    sys.modules.pop("worker", None)  # ours, where a zygote has imported it
    worker = Worker(limits)
    pid = os.getpid()
    while True:
        (size,) = struct.unpack("<I", read(requests, 4))
        reply = worker.answer(wire.unpack(read(requests, size), REQUEST))
        if os.getpid() != pid:
            os._exit(0)  # a copy that the student's code forked: one of us must fall silent
        write(replies, reply)


def main():
    channel = take_channel()
    settings = json.loads(sys.argv[1])
    del sys.argv[1:]
    if settings["isolated"]:
        control = socket.socket(fileno=settings["control"])
        introduce(control)
    limit(settings)
    if settings["isolated"]:
        guard(control)
    preload(settings)
    serve(settings, *channel)


if __name__ == "__main__":
    main()
