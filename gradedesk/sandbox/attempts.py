"""Ways out of a sandbox: code such as a submission could hold, and a look from outside at what it
reached. Each gives None, or says what it could do."""

import contextlib
import dataclasses
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gradedesk.sandbox import Limits, SandboxDied, SandboxProtocolError, SandboxTimeout
from gradedesk.sandbox.bwrap import HERE

MB = 1 << 20
SMALL = Limits(
    cell_seconds=60,
    total_seconds=120,
    memory_bytes=512 * MB,
    processes=16,
    file_bytes=4 * MB,
    output_bytes=10_000,
    reply_bytes=1 * MB,
)
HELD = 2 * SMALL.memory_bytes  # what the attempts on memory would hold


class Outside(NamedTuple):
    """What no submission may reach: a file, a variable, a process, a server."""

    secret: str
    file: Path
    process: subprocess.Popen
    server: socket.socket


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        file = Path(folder, "secret.txt")
        file.write_text(secret, encoding="utf-8", newline="\n")
        file.chmod(0o644)
        os.chmod(folder, 0o755)
        server.settimeout(0.2)
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            env=os.environ | {"GRADEDESK_SECRET": secret},
        )
        try:
            yield Outside(secret, file, process, server)
        finally:
            process.kill()
            process.wait()


class AttemptFailed(Exception):
    """The attempt itself went wrong, so that nothing is known of what it tried."""


def answer(make, source: str, limits: Limits = SMALL):
    """What the code leaves in `got`."""
    with make(limits) as box:
        reply = box.exec(source + "\ndef answer():\n    return got\n")
        if reply.ok:
            reply = box.call("answer")
    if not reply.ok:
        raise AttemptFailed(f"{reply.error} ({reply.error.where})")
    return reply.value


def read_a_file(make, outside):
    """Outside the sandbox, and through links in the work folder."""
    got = answer(
        make,
        f"""
import os
got = ""
os.symlink({str(outside.file)!r}, "link")
os.symlink("/", "root")
for path in [{str(outside.file)!r}, "link", "root" + {str(outside.file)!r},
             "/proc/1/root" + {str(outside.file)!r}, "/proc/1/cwd/link"]:
    try:
        got += open(path).read()
    except OSError:
        pass
""",
    )
    return f"read {outside.file}" if outside.secret in got else None


def read_the_course(make, outside):
    """The folder that the desk itself lies in, with the solutions."""
    here = str(HERE / "box.py")
    got = answer(make, f"import os\ngot = os.path.exists({here!r})")
    return f"saw {here}" if got else None


def read_the_environment(make, outside):
    got = answer(
        make,
        """
import glob, os
got = str(os.environ)
for path in glob.glob("/proc/*/environ"):
    try:
        got += open(path).read()
    except OSError:
        pass
got = got.replace("\\0", " ")[:500_000]
""",
    )
    return "read the environment of another process" if outside.secret in got else None


def end_another_process(make, outside):
    got = answer(
        make,
        f"""
import os, signal
try:
    os.kill({outside.process.pid}, signal.SIGTERM)
except ProcessLookupError:
    pass
got = [name for name in os.listdir("/proc") if name.isdigit()]
""",
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        outside.process.wait(0.2)
        return "ended a process of the desk"
    # Its own, and the first one, which sees to the sandbox's end.
    return f"saw processes that are not its own: {got}" if len(got) > 2 else None


def use_the_network(make, outside):
    """Loopback to this very process; the machine's own address; the host of a virtual machine."""
    port = outside.server.getsockname()[1]
    got = answer(
        make,
        f"""
import socket
got = []
for address in ["127.0.0.1", "localhost", "0.0.0.0"]:
    try:
        socket.create_connection((address, {port}), timeout=0.5).close()
        got.append(address)
    except OSError:
        pass
for kind in ["AF_VSOCK", "AF_NETLINK", "AF_PACKET"]:
    try:
        socket.socket(getattr(socket, kind), socket.SOCK_RAW if kind != "AF_VSOCK" else 1).close()
        got.append(kind)
    except OSError:
        pass
""",
    )
    with contextlib.suppress(TimeoutError):
        outside.server.accept()[0].close()
        return "reached a server outside"
    return f"opened {got}" if got else None


def become_root(make, outside):
    """Another user, and the system calls that lead to more rights or to memory without limit."""
    got = answer(
        make,
        """
import ctypes, errno, os
got = ["is root"] if os.getuid() == 0 else []
for name in ["setuid", "setgid"]:
    try:
        getattr(os, name)(0)
        got.append(name)
    except OSError:  # in a world of its own there is no root at all
        pass
libc = ctypes.CDLL(None, use_errno=True)
for name, arguments in {
    "unshare": [0x10000000],
    "memfd_create": [b"x", 0],
    "shmget": [0, 4096, 0o1600],
    "mount": [b"none", b"/nowhere", b"tmpfs", 0, None],
    "ptrace": [16, 1, 0, 0],
    "chroot": [b"/nowhere"],
}.items():
    if getattr(libc, name)(*arguments) != -1 or ctypes.get_errno() != errno.ENOSYS:
        got.append(name)
""",
    )
    return f"could: {', '.join(got)}" if got else None


def start_endless_processes(make, outside):
    got = answer(
        make,
        f"""
import os, signal, time
started = []
try:
    while len(started) < {4 * SMALL.processes}:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        started.append(pid)
except OSError:
    pass
for pid in started:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
got = len(started)
""",
    )
    if got <= SMALL.processes:
        return None
    return f"started {got} processes, more than {SMALL.processes}"


def fill_the_memory(make, outside):
    """One process, which must get a MemoryError; and many, which must be ended."""
    most = SMALL.memory_bytes
    source = f"""
try:
    got = len(bytearray({most}))
except MemoryError:
    got = 0
"""
    if answer(make, source):
        return f"one process filled {most // MB:,} MB"
    source = f"""
import os, time
full, says = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(b"x") * {most // 4}
        os.write(says, b"x")
        time.sleep(600)
        os._exit(0)
for _ in range(8):
    os.read(full, 1)
time.sleep(30)
got = True
"""
    # However long that takes: a busy machine must not look like one that lets them.
    slow = dataclasses.replace(SMALL, cell_seconds=120, total_seconds=150)
    try:
        answer(make, source, slow)
    except SandboxDied as error:
        return None if "of memory" in str(error) else str(error)
    return f"eight processes filled {2 * most // MB:,} MB, and kept it for 30 s"


def hold_memory_that_is_not_mapped(make, outside):
    """Shared by processes, and dropped from their tables of pages as soon as it is filled."""
    return _held(
        make,
        """
import mmap
kept = []
while got < HELD:
    kept.append(mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
    kept[-1].write(bytes(1 << 20))
    kept[-1].madvise(mmap.MADV_DONTNEED)
    got += 1 << 20
""",
    )


def hold_memory_in_pipes(make, outside):
    """A pipe keeps the whole of a huge page that a few bytes of it were taken from."""
    return _held(
        make,
        """
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
HUGE = 2 << 20
kept = []
while got < HELD:
    kept.append(os.pipe())
    for _ in range(16):
        pages = mmap.mmap(-1, 2 * HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.madvise(mmap.MADV_HUGEPAGE)
        start = -ctypes.addressof(ctypes.c_char.from_buffer(pages)) % HUGE
        pages[start : start + HUGE] = bytes(HUGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + start
        part = (ctypes.c_size_t * 2)(first, 4096)  # struct iovec
        if libc.vmsplice(kept[-1][1], part, ctypes.c_size_t(1), 2) != 4096:
            raise OSError(ctypes.get_errno(), "vmsplice")
        got += HUGE
""",
    )


def hold_memory_in_sockets(make, outside):
    """What was sent and is never received."""
    return _held(
        make,
        f"""
import contextlib, os, socket, time
sent, sends = os.pipe()
for _ in range({SMALL.processes - 4}):
    if os.fork() == 0:
        kept, mine = [], 0
        try:
            while mine < HELD // {SMALL.processes - 4}:
                kept.append(socket.socketpair())
                for end in kept[-1]:
                    with contextlib.suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                    end.setblocking(False)
                    try:
                        while True:
                            mine += end.send(bytes(1 << 16))
                    except BlockingIOError:
                        pass
        except OSError:
            pass
        os.write(sends, mine.to_bytes(8, "little"))
        time.sleep(600)
for _ in range({SMALL.processes - 4}):
    got += int.from_bytes(os.read(sent, 8), "little")
""",
    )


def _held(make, source: str) -> str | None:
    """Code that counts in `got` what it holds, until that is HELD or it is refused."""
    source = "".join(f"    {line}\n" for line in source.splitlines())
    source = f"got, HELD = 0, {HELD}\ntry:\n{source}except (OSError, MemoryError):\n    pass"
    slow = dataclasses.replace(SMALL, cell_seconds=120, total_seconds=150)  # as above
    try:
        got = answer(make, source, slow)
    except SandboxDied as error:
        return None if "of memory" in str(error) else str(error)
    return f"held {got // MB:,} MB" if got > 1.5 * SMALL.memory_bytes else None


def fill_the_disk(make, outside):
    got = answer(
        make,
        """
import os, uuid
got = {}
for folder in ["/lab", "/tmp", "/dev/shm", "/", "/dev", "/usr", "/desk", "/etc"]:
    got[folder] = 0
    try:
        for number in range(64):
            path = os.path.join(folder, f"gradedesk-{uuid.uuid4().hex}")
            with open(path, "wb") as file:
                got[folder] += file.write(bytes(1 << 20))
    except OSError:
        pass
""",
    )
    folders = {"/lab", "/tmp", "/dev/shm"}
    full = [
        folder
        for folder, size in got.items()
        if size > (SMALL.file_bytes if folder in folders else 0)
    ]
    return f"wrote too much in {', '.join(full)}" if full else None


def outlive_the_desk(make, outside):
    """A daemon, twice forked and in a session of its own."""
    mark = f"gradedesk-{secrets.token_hex(8)}"
    with make(SMALL) as box:
        box.exec(f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "{mark}"])
    os._exit(0)
""")
        end = time.monotonic() + 60
        while not (running := _running(mark)) and time.monotonic() < end:
            time.sleep(0.02)
        if not running:
            return "the daemon was not seen, so nothing is known of its end"
    left = _running(mark)
    for pid in left:
        os.kill(pid, 9)
    return f"left process {left[0]} behind" if left else None


def _running(mark: str) -> list[int]:
    """The processes of this machine that have `mark` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def use_endless_time(make, outside):
    with contextlib.suppress(SandboxTimeout), make(SMALL) as box:
        started = time.monotonic()
        source = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
        box.exec(source, timeout=0.5)
        return "an endless loop ended by itself"
    seconds = time.monotonic() - started
    return f"ran for {seconds:.0f} s instead of 0.5" if seconds > 60 else None


def forge_an_answer(make, outside):
    """Write to the desk's channel: what arrives may be refused, and must not be believed."""
    source = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b"\\xff\\xff\\xff\\x7f" + bytes(100))
    except OSError:
        pass
"""
    try:
        with make(SMALL) as box:
            reply = box.exec(source)
            return f"the desk took it as an answer: {json.dumps(str(reply))[:200]}"
    except SandboxProtocolError:
        return None


ATTEMPTS = (
    read_a_file,
    read_the_course,
    read_the_environment,
    end_another_process,
    use_the_network,
    become_root,
    start_endless_processes,
    fill_the_memory,
    fill_the_disk,
    outlive_the_desk,
    use_endless_time,
    forge_an_answer,
)
COUNTED = (
    hold_memory_that_is_not_mapped,
    hold_memory_in_pipes,
    hold_memory_in_sockets,
)
