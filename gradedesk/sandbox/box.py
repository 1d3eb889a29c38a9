"""A student's code in a box: bubblewrap around worker.py, and a watchman outside it.

    with Sandbox(Limits(), files={"data.txt": b"..."}) as box:
        box.exec("def square(x):\\n    return x * x", name="q1")
        box.call("square", [7]).value  # 49

Inside: the interpreter, read-only; a small folder in memory to work in; no network, no environment
variables, no other process, no other file. What comes out is parsed by wire.py and is data only.
"""

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from gradedesk.sandbox import bwrap, cgroup, seccomp, wire
from gradedesk.sandbox.bwrap import FOLDERS, HERE, VARIABLES
from gradedesk.sandbox.errors import (
    SandboxDied,
    SandboxError,
    SandboxProtocolError,
    SandboxTimeout,
    SandboxUnavailable,
)
from gradedesk.sandbox.limits import Limits
from gradedesk.sandbox.processes import ended, free_user
from gradedesk.sandbox.usage import Usage

GIVEN_UP = (
    "no sandbox: the submission runs as you, reads your files and the solutions, uses the network, "
    "and may leave processes behind; only its time and the memory of one process are bounded"
)
PERIOD = 0.05  # seconds between two looks of the watchman
OFTEN = 0.01  # the same while a submission has several processes, whose memory grows together
CLOSE_SECONDS = 60.0  # for a killed process to end, on a busy machine
LAST_SECONDS = 10.0  # for one that closed its channel
KERNEL_BYTES = 16 << 20  # what the kernel itself needs for a full sandbox, such as page tables
OWN_PROCESSES = 2  # the first, and the one that starts worker.py
PATIENCE = 10  # where nothing is isolated: how much longer the clock on the wall may go


@dataclass(frozen=True)
class StudentException:
    """What the student's code raised, as text.

    type: "ZeroDivisionError", or "" where the result itself could not be used
    where: "q1, line 4: return 1 / 0", or ""
    """

    type: str
    message: str
    where: str = ""

    def __str__(self):
        return ": ".join(part for part in (self.type, self.message) if part)


@dataclass(frozen=True)
class Reply:
    """What came of one cell or one call.

    value: plain data, with a wire.Handle for each part that is none
    args: the arguments that the function changed, by position or name
    output: standard output and standard error, bounded
    """

    value: object = None
    args: dict = field(default_factory=dict)
    output: str = ""
    error: StudentException | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.error is None


class Sandbox:
    """One submission's sandbox. Not for several threads at once.

    files: what lies in the work folder, by name
    packages: folders of Python packages that the lab needs besides those installed
    imports: the modules that its own cells import
    zygote: forks it, in a small part of the time; then packages and imports are the zygote's
    isolated: False runs a plain process, which gives up what GIVEN_UP says

    Where there are control groups, it has one of its own from before its first step, which bounds
    what it holds in all: its memory, mapped or not, and its folders. Elsewhere a watchman looks.

    It ends with the process that made it, and by any SandboxError: make another one then.
    """

    def __init__(
        self,
        limits=None,
        files=None,
        *,
        packages=(),
        imports=(),
        zygote=None,
        seed=0,
        isolated=True,
    ):
        self.limits = limits or Limits()
        self.started = time.monotonic()
        self._patience = 1 if isolated else PATIENCE
        self._began, self._seconds = float("inf"), 0.0  # of the request
        self._used = 0.0  # processor seconds before it, where they count
        self._end: SandboxError | None = None
        self._output = bytearray()
        self._process = None
        self._group: cgroup.Group | None = None
        self._first = None  # a file descriptor of the first process inside
        self._usage: Usage | None = None
        self._folder = self._control = self._claim = None
        self._watchman = self._drain = None
        self._stopping = threading.Event()
        settings = asdict(self.limits) | {"seed": seed, "isolated": isolated, "uid": 0}
        settings |= {"packages": ["/packages"], "imports": list(imports)}
        files = dict(files or {})
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name:
                raise ValueError(f"{name!r}: not the name of a file in the work folder")
        try:
            if zygote is not None:
                self._start_warm(settings, zygote)
            elif isolated:
                self._start_isolated(settings, packages)
            else:
                self._start_plain(settings, packages)
            self._watch()
            self._begin(files)
        except BaseException:
            self.close()
            raise

    def exec(
        self,
        source: str,
        timeout: float | None = None,
        name: str = "cell",
        *,
        ours: bool = False,
        asked: Iterable[str] = (),
    ) -> Reply:
        """Run a cell. `name` stands in the lines of its errors.

        Modules and functions that a cell of `ours` names, those that an answer was `asked` to
        define, and Python's own, have their names again before each cell. The value is a list of
        those that this one gave to something else.
        """
        return self._request(
            timeout, "exec", source=source, name=name, ours=ours, names=list(asked)
        )

    def call(self, target, args=(), kwargs=None, timeout: float | None = None) -> Reply:
        """Call a global by its name, or what a wire.Handle stands for.

        Arguments are plain data and handles; a WireError says what is neither.
        """
        ref = target.ref if isinstance(target, wire.Handle) else target
        arguments = wire.pack([list(args), dict(kwargs or {})], wire.WireLimits(1 << 30, 1 << 26))
        return self._request(timeout, "call", target=ref, arguments=arguments)

    def getattr(self, target, name: str, timeout: float | None = None) -> Reply:
        """An attribute of a global or of what a handle stands for."""
        ref = target.ref if isinstance(target, wire.Handle) else target
        return self._request(timeout, "getattr", target=ref, name=name)

    @property
    def _end_of_life(self) -> float:
        return self.started + self._patience * self.limits.total_seconds

    @property
    def processor_seconds(self) -> float:
        """What its processes have used so far: see Usage."""
        return self._usage.processor_seconds if self._usage else 0.0

    @property
    def output(self) -> str:
        """What was written to the file descriptors 1 and 2 themselves, bounded."""
        return bytes(self._output).decode("utf-8", "replace")

    def close(self) -> None:
        """End it. When this returns, none of its processes is left (isolated ones)."""
        if self._process is None:
            for end in filter(None, (self._control, self._claim)):
                end.close()
            return
        self._kill()
        self._stopping.set()
        try:
            self._process.wait(CLOSE_SECONDS)
            if self._first is not None and not ended(self._first, CLOSE_SECONDS):
                raise SandboxError(f"the sandbox did not end in {CLOSE_SECONDS:.0f} s")
        finally:
            for thread in (self._watchman, self._drain):
                if thread is not None and thread is not threading.current_thread():
                    thread.join(1)
            streams = [self._process.stdin, self._process.stdout, self._control, self._claim]
            if self._drain is None:
                streams.append(self._process.stderr)
            for file in filter(None, streams):
                with contextlib.suppress(OSError):  # what was not yet written is of no use
                    file.close()
            if self._first is not None:
                os.close(self._first)
            if self._usage:
                self._usage.close()
            if self._group:
                self._group.close()
            self._group = self._first = self._process = None
            if self._folder is not None:
                self._folder.cleanup()
            self._stop(SandboxDied("the sandbox is closed"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # Starting.

    def _begin(self, files):
        try:
            reply = self._request(self.limits.total_seconds, "start", files=files)
        except SandboxDied as error:  # before any code of the student's
            raise SandboxUnavailable(str(error)) from None
        if not reply.ok:
            raise SandboxUnavailable(f"the lab's files do not fit: {reply.error}")

    def _start_isolated(self, settings, packages):
        if os.getuid() == 0:
            settings["uid"], self._claim = free_user()
        self._make_group()
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with control, open(os.memfd_create("rules"), "w+b", buffering=0) as rules:
            rules.write(seccomp.rules())
            rules.seek(0)
            fds = control.fileno(), rules.fileno()
            settings["control"] = control.fileno()
            started = bwrap.command("worker", self.limits, packages, rules.fileno())
            # The environment of bwrap itself can be read from inside, in /proc/1/environ.
            self._popen([*started, json.dumps(settings)], env={}, pass_fds=fds)
        self._control.settimeout(self.limits.total_seconds)
        with contextlib.suppress(TimeoutError, ConnectionError):
            _, given, _, _ = socket.recv_fds(self._control, 100, 1)
            if given:  # else it has ended, and its last words say why
                self._take_first(*given)

    def _start_warm(self, settings, zygote):
        if os.getuid() == 0:
            settings["uid"], self._claim = free_user()
        settings |= {"folders": FOLDERS, "rules": seccomp.rules().hex()}
        self._make_group()
        self._process = zygote.fork(settings)
        self._control = self._process.control
        self._take_first(self._process.first)

    def _take_first(self, first: int):
        """Know the sandbox's first process, by a file descriptor, and let it go on."""
        self._first = first
        with open(f"/proc/self/fdinfo/{first}") as file:
            lines = dict(line.split(":") for line in file)
        self._first_pid = int(lines["Pid"])
        with contextlib.suppress(FileNotFoundError, PermissionError):
            # Should the machine run short of memory, this goes before anything else does; inside,
            # /proc is read-only. (A bwrap that root lends to all, which old systems have, does not
            # let us; a zygote has done it.)
            Path(f"/proc/{self._first_pid}/oom_score_adj").write_text("1000")
        self._enter_group()
        self._usage = Usage(self._first_pid, self._group, isolated=True)
        self._control.send(b"go")

    def _make_group(self):
        with contextlib.suppress(cgroup.Unavailable):
            place, limits = cgroup.find(), self.limits
            room = limits.memory_bytes + len(FOLDERS) * limits.file_bytes + KERNEL_BYTES
            try:
                self._group = place.make("box", room, limits.processes + OWN_PROCESSES)
            except OSError as error:
                raise SandboxUnavailable(f"no control group any more: {error}") from None

    def _enter_group(self):
        """Move in the first process, which is alone and waits."""
        if self._group:
            try:
                self._group.add(self._first_pid)
            except ProcessLookupError:
                pass  # it has ended, and its last words say why
            except OSError as error:
                raise SandboxUnavailable(f"its control group does not take it: {error}") from None

    def _start_plain(self, settings, packages):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        settings["packages"] = [str(Path(package).resolve().parent) for package in packages]
        for name in ("landlock.py", "wire.py", "worker.py"):
            shutil.copy(HERE / name, folder)
        (folder / "lab").mkdir()
        command = [sys.executable, "-s", "-B", str(folder / "worker.py"), json.dumps(settings)]
        kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
        home = {"HOME": str(folder), "TMPDIR": str(folder)}
        self._popen(command, env=kept | VARIABLES | home, cwd=folder / "lab")
        self._usage = Usage(self._process.pid, None, isolated=False)

    def _popen(self, command, **options):
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, **options
        )

    # Watching.

    def _watch(self):
        self._drain = threading.Thread(target=self._keep_output, daemon=True)
        self._watchman = threading.Thread(target=self._guard, daemon=True)
        self._drain.start()
        self._watchman.start()

    def _keep_output(self):
        """Read what is written past worker.py, and keep a little: a full pipe would block."""
        with self._process.stderr as stream:
            while part := os.read(stream.fileno(), 1 << 16):
                self._output += part[: max(0, self.limits.output_bytes - len(self._output))]

    def _guard(self):
        """End the sandbox when its time is over or its memory full, whatever we are doing."""
        if sys.platform == "linux":
            # Ahead of what it watches, where we may (as root): this thread alone.
            with contextlib.suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        usage, pause = self._usage, PERIOD
        while not self._stopping.wait(pause) and self._end is None:
            now = time.monotonic()
            if now > self._end_of_life:
                self._stop(SandboxTimeout(f"used up its {self.limits.total_seconds:g} s in all"))
            elif self._late(now):
                self._stop(SandboxTimeout(f"took longer than {self._seconds:g} s"))
            elif usage:
                try:
                    full, files = usage.full(self.limits.memory_bytes), usage.files
                    _ = usage.processor_seconds  # which has to be asked for
                except OSError as error:  # what cannot be watched must not run
                    self._stop(SandboxDied(f"its memory cannot be watched: {error}"))
                    return
                if full:
                    self._stop(SandboxDied(self._too_full()))
                elif files > self.limits.files:
                    self._stop(SandboxDied(f"made more than {self.limits.files:,} files"))
                pause = OFTEN if usage.several else PERIOD

    def _late(self, now: float) -> bool:
        """Whether the request that is being answered has used up its time."""
        taken = now - self._began
        if taken <= self._seconds or self._patience == 1:
            return taken > self._seconds
        return (
            taken > self._patience * self._seconds
            or self.processor_seconds - self._used > self._seconds
        )

    def _too_full(self) -> str:
        return f"filled more than {self.limits.memory_bytes >> 20:,} MB of memory"

    def _stop(self, reason: SandboxError) -> SandboxError:
        """End the sandbox; the first reason is the one that counts."""
        if self._end is None:
            self._end = reason
            self._kill()
        return self._end

    def _kill(self):
        if self._first is not None:
            # With the first process of its namespace the kernel ends all the others.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                if group := self._group:
                    group.kill()
        elif self._control is not None:
            self._control.close()  # who would be the first sees it, and ends
        elif self._process is not None and self._process.poll() is None:
            if os.name == "posix":
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    # Asking.

    def _request(self, timeout, op, **fields) -> Reply:
        if self._end is not None:
            raise type(self._end)(str(self._end))
        started = time.monotonic()
        self._seconds = self.limits.cell_seconds if timeout is None else timeout
        number = secrets.randbits(62)
        request = wire.pack(
            {"id": number, "op": op, **fields}, wire.WireLimits(1 << 31, 1 << 20, 8)
        )
        if self._patience > 1:
            self._used = self.processor_seconds
        self._began = started
        try:
            self._send(struct.pack("<I", len(request)) + request)
            (size,) = struct.unpack("<I", self._receive(4))
            most = self.limits.reply_bytes + 4 * self.limits.output_bytes + 100_000
            if size > most:
                raise wire.WireError(f"a reply of {size:,} bytes")
            reply = self._receive(size)
            return self._parse(reply, number, most, time.monotonic() - started)
        except wire.WireError as error:
            self._stop(SandboxProtocolError(f"an answer that is no answer: {error}"))
        except MemoryError:  # here, where a part of the answer may still be in the pipe
            self._stop(SandboxProtocolError("an answer too large for the memory of the tests"))
        except (BrokenPipeError, EOFError):
            pass  # it ended: by the watchman, or by itself
        finally:
            self._began = float("inf")
        if self._end is None:
            self._stop(SandboxDied(self._last_words()))
        raise type(self._end)(str(self._end))

    def _send(self, data):
        fd, data = self._process.stdin.fileno(), memoryview(data)
        while data:
            self._wait(fd, write=True)
            # No more than a pipe takes at once, so that the watchman's end is seen in time.
            data = data[os.write(fd, data[:4096]) :]

    def _receive(self, size):
        fd, data = self._process.stdout.fileno(), bytearray()
        while len(data) < size:
            self._wait(fd)
            part = os.read(fd, min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _wait(self, fd, write=False):
        """Until `fd` is ready. Processes that outlive a plain sandbox may hold its other end."""
        if os.name != "posix":
            return
        poll = select.poll()
        poll.register(fd, select.POLLOUT if write else select.POLLIN)
        while not poll.poll(1000 * PERIOD):
            if self._end is not None:
                raise EOFError

    def _parse(self, data, number, most, seconds) -> Reply:
        limits = wire.WireLimits(most, 1000, 3)
        reply = wire.unpack(data, limits)
        if type(reply) is not dict or reply.get("id") != number:
            raise wire.WireError("not the answer to this question")
        output, error = reply.get("output"), reply.get("error")
        if type(output) is not str:
            raise wire.WireError("no output")
        output = output[: 2 * self.limits.output_bytes]
        if error is not None:
            strings = type(error) is list and [type(part) for part in error] == [str] * 3
            if not strings:
                raise wire.WireError("an error that is none")
            error = StudentException(*(_one_line(part) for part in error))
            return Reply(output=output, error=error, seconds=seconds)
        limits = wire.WireLimits(most, self.limits.reply_items, self.limits.reply_depth)
        value, changed = reply.get("value"), reply.get("changed")
        if type(value) is not bytes or type(changed) is not dict:
            raise wire.WireError("no value")
        if not all(type(part) is bytes for part in changed.values()):
            raise wire.WireError("arguments that are none")
        value, *args = wire.unpack_all([value, *changed.values()], limits)
        return Reply(value, dict(zip(changed, args, strict=True)), output, None, seconds)

    def _last_words(self) -> str:
        if self._group and self._group.oom_kills:
            return self._too_full()
        try:
            status = self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its channel to the desk"
        number = -status if status < 0 else status - 128
        if number in set(signal.Signals):
            how = f"ended by signal {number} ({signal.Signals(number).name})"
        else:
            how = f"ended with exit status {status}"
        self._drain.join(1)
        words = self.output.strip().splitlines()
        return _one_line(f"{how}: {words[-1]}" if words else how)[:500]


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:2500])


def available() -> str | None:
    """None if code can be isolated here; else why it cannot, and what mends it, in one line."""
    if why := bwrap.missing():
        return why
    try:
        with Sandbox(Limits(cell_seconds=60, total_seconds=120)):
            return None
    except SandboxError as error:
        return f"bubblewrap cannot isolate here ({error}): {_remedy(str(error))}"


def _remedy(error: str) -> str:
    apparmor = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if os.getuid() and apparmor.exists() and apparmor.read_text().strip() == "1":
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    clone = Path("/proc/sys/kernel/unprivileged_userns_clone")
    if os.getuid() and clone.exists() and clone.read_text().strip() == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if "amespace" in error or "not permitted" in error:
        return "in a container, start it with --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
    return "run `gradedesk doctor`"
