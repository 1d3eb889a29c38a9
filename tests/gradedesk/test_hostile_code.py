"""Code that a submission may hold to harm the desk: each with what must come of it.

After each test no process of its sandboxes may be left, and no time limit may have been missed.
"""

import contextlib
import dataclasses
import math
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from classroom import wait_until

import gradedesk
from gradedesk import sandbox
from gradedesk.checks import after
from gradedesk.grading.standin import StandIn, StudentError
from gradedesk.sandbox import (
    Limits,
    Sandbox,
    SandboxDied,
    SandboxError,
    SandboxProtocolError,
    SandboxTimeout,
    bwrap,
    wire,
)
from gradedesk.sandbox.processes import ended
from gradedesk.sandbox.warm import Zygote

WHY_NOT = sandbox.available()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

MB = 1 << 20
SHORT = dict(
    cell_seconds=60,
    total_seconds=300,
    memory_bytes=400 * MB,
    processes=12,
    file_bytes=2 * MB,
    output_bytes=10_000,
    reply_bytes=2 * MB,
    reply_items=10_000,
)
# From a limit to the end of a sandbox on a machine that is busy with other tests.
SLACK = 120
# For what worker.py and wire.py do, which is the same in either kind of sandbox.
either = pytest.mark.parametrize("start", ["warm"], indirect=True)


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(params=["cold", "warm"])
def start(request):
    """Makes sandboxes with short limits; afterwards checks that nothing is left of them.

    Each started anew, and each forked by one and the same zygote: the outcome must be the same.
    """
    zygote = request.getfixturevalue("zygote") if request.param == "warm" else None
    with contextlib.ExitStack() as kept, contextlib.ExitStack() as stack:
        spaces = []

        def start(lab=None, **limits):
            box = stack.enter_context(Sandbox(Limits(**(SHORT | limits)), lab, zygote=zygote))
            # Held open, so that no other sandbox's is given the same number.
            kept.enter_context(open(f"/proc/{box._first_pid}/ns/pid"))
            spaces.append(space_of(box))
            return box

        yield start
        stack.close()
        assert spaces
        assert not [pid for space in spaces for pid in members(space)]


def space_of(box):
    return os.readlink(f"/proc/{box._first_pid}/ns/pid")


def members(space):
    """The processes of a process namespace, as seen from here; dead ones do not count."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            alive = "State:\tZ" not in (folder / "status").read_text()
            if alive and os.readlink(folder / "ns/pid") == space:
                yield int(folder.name)


@pytest.fixture
def run(start):
    """Runs one cell; the reply, or the SandboxError that ended it."""

    def run(source, timeout=None, **limits):
        box = start(**limits)
        began = time.monotonic()
        try:
            outcome = box.exec(source, timeout, name="q1")
        except SandboxError as error:
            outcome = error
        allowed = box.limits.cell_seconds if timeout is None else timeout
        assert time.monotonic() - began < allowed + SLACK
        return outcome

    return run


@pytest.fixture
def value(start):
    """What `got` is after a cell that must run through."""

    def value(source, **options):
        box = start(**options)
        reply = box.exec(source + "\ndef answer():\n    return got\n", name="q1")
        assert reply.ok, reply.error
        reply = box.call("answer")
        assert reply.ok, reply.error
        return reply.value

    return value


# Time.


def ends_in(box, seconds):
    """From now on it has so many seconds in all, however long it took to start."""
    box.limits = dataclasses.replace(box.limits, total_seconds=seconds)
    box.started = time.monotonic()


LOOPS = {
    "endless": "while True: pass",
    "swallows-everything": """
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
    "ignores-signals": """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: pass
""",
    "stops-itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "in-c": "sum(range(10**15))",
    "waits-for-a-thread": "import threading; threading.Event().wait()",
    "endless-output": "while True: print('x' * 1000)",
    "endless-raw-output": "import os\nwhile True: os.write(1, b'x' * 1000)",
    "lifts-its-limits": """
import resource
for what in [resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_DATA]:
    try:
        resource.setrlimit(what, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        pass
    else:
        raise SystemExit
while True: pass
""",
}


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_endless(run, source):
    outcome = run(source, timeout=0.4)
    assert isinstance(outcome, SandboxTimeout)
    assert "longer than 0.4 s" in str(outcome)


def test_a_result_that_never_ends(start):
    box = start(cell_seconds=2)
    assert box.exec("class Slow(list): pass\ndef f():\n    while True: pass").ok
    with pytest.raises(SandboxTimeout):
        box.call("f")
    with pytest.raises(SandboxTimeout):  # it is gone, and says why
        box.call("f")


@either
def test_a_hundred_cells_that_each_use_their_time(start):
    box = start()
    ends_in(box, 3)
    done = 0
    with pytest.raises(SandboxTimeout, match="3 s in all"):
        for _ in range(100):
            assert box.exec("import time; time.sleep(0.5)").ok
            done += 1
    assert done <= 6


@either
def test_time_passes_while_the_desk_is_busy(start):
    """A thread of the student's cannot go on for ever because nobody asks."""
    box = start()
    source = "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()"
    assert box.exec(source).ok
    ends_in(box, 1)
    assert ended(box._first, SLACK)
    with pytest.raises(SandboxTimeout):
        box.exec("")


# Ends.

ENDS = {
    "os._exit": ("import os; os._exit(3)", "exit status 3"),
    "os._exit-0": ("import os; os._exit(0)", "exit status 0"),
    "os.abort": ("import os; os.abort()", "SIGABRT"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "deep-recursion": (
        "import sys; sys.setrecursionlimit(10**9)\n"
        "class A:\n    def __getattr__(self, name): return getattr(self, name + 'x')\n"
        "A().x",
        "",
    ),
    "kills-itself": ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    "closes-everything": ("import os; os.closerange(0, 1000)", ""),
}


@pytest.mark.parametrize(("source", "says"), ENDS.values(), ids=ENDS)
def test_ends(run, source, says):
    outcome = run(source)
    assert isinstance(outcome, SandboxDied)
    assert says in str(outcome)
    assert "\n" not in str(outcome)


RAISES = {
    "sys.exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "exit": ("raise SystemExit", "SystemExit"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "input": ("input()", "EOFError: EOF when reading a line"),
    "generator-exit": ("raise GeneratorExit", "GeneratorExit"),
    "magic": ("x = 1\n%time x", "SyntaxError: invalid syntax"),
    "shell": ("!kill -9 1", "SyntaxError: invalid syntax"),
    "syntax": ("def f(:\n    pass", "SyntaxError: invalid syntax"),
    "nul": ("x = '\0'", "source code string cannot contain null bytes"),
    "surrogate": ("raise ValueError('\\ud800')", "ValueError: ?"),
    "long-message": ("raise ValueError('x' * 10**7)", "ValueError: x"),
    "lying-message": (
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "E: (its message cannot be shown)",
    ),
    "lying-type": (
        "class M(type):\n    __name__ = property(lambda self: 1 / 0)\n"
        "class E(Exception, metaclass=M): pass\nraise E('x')",
        "E: x",
    ),
    "lines": ("raise ValueError('a\\nb\\x1b[31m\\u202ec')", "ValueError: a b [31m c"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "kills-others": (
        "import os\nfor pid in (1, -1):\n    try: os.kill(pid, 9)\n    except OSError: pass\n1 / 0",
        "ZeroDivisionError",
    ),
}


@either
@pytest.mark.parametrize(("source", "says"), RAISES.values(), ids=RAISES)
def test_raises_and_lives(start, source, says):
    box = start()
    error = box.exec(source, name="q1").error
    assert says in str(error)
    assert len(str(error)) < 3000
    assert box.exec("x = 7\ndef f():\n    return x").ok
    assert box.call("f").value == 7


def test_300000_lines(start):
    box = start()
    assert len(box.exec("for i in range(300_000): print(i)").output) < 11_000
    assert "more bytes not kept" in box.exec("for i in range(300_000): print(i)").output
    assert box.exec("import os\nfor i in range(300_000): os.write(2, b'line\\n')").ok
    assert len(box.output) <= 10_000
    assert box.exec("print('still here')").output == "still here\n"


def test_a_warning_is_output_and_no_error(start):
    reply = start().exec("import sys, warnings\nwarnings.warn('w')\nprint('e', file=sys.stderr)")
    assert reply.ok
    assert "UserWarning: w" in reply.output and reply.output.endswith("e\n")


# Processes.


def test_fork_bomb(start):
    """It stays small, and another submission does not feel it."""
    bomb, other = start(), start()
    outcome = []

    def burst():
        try:
            bomb.exec("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
        except SandboxError as error:
            outcome.append(error)

    thread = threading.Thread(target=burst)
    thread.start()
    space = space_of(bomb)
    most = 0

    def spread():
        nonlocal most
        most = max(most, len(list(members(space))))
        return most > 3 or not thread.is_alive()

    wait_until(spread)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        spread()
    bomb._seconds = 0  # its time is over
    thread.join()
    assert 3 < most <= SHORT["processes"] + 1  # and bwrap
    assert isinstance(outcome[0], SandboxTimeout)
    assert other.exec("import threading; threading.Thread(target=print).start()").ok


def test_thread_bomb(value):
    source = """
import threading
stop = threading.Event()
got = 0
try:
    for got in range(1000):
        threading.Thread(target=stop.wait).start()
except RuntimeError:
    stop.set()
"""
    assert 1 < value(source) <= SHORT["processes"]


DAEMONS = {
    "double-fork": "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    work()",
    "subprocess": "subprocess.Popen([sys.executable, '-c', 'while True: pass'])",
    "multiprocessing": "multiprocessing.get_context('fork').Process(target=work).start()",
    "at-exit": "atexit.register(work); sys.exit()",
}


@pytest.mark.parametrize("source", DAEMONS.values(), ids=DAEMONS)
def test_daemon(start, source):
    """The fixture sees to it that none is left; here it must have been there."""
    box = start()
    source = (
        "import atexit, multiprocessing, os, subprocess, sys\n"
        "def work():\n    while True: pass\n"
        f"{source}\n"
    )
    box.exec(source)
    space = space_of(box)
    assert len(list(members(space))) >= 2
    assert box.exec("1").ok  # and it does not hold up the next cell
    box.close()
    assert not list(members(space))


def test_a_copy_of_the_worker_stays_silent(start):
    """Both sides of a fork come back from the function; the desk hears one."""
    box = start()
    assert box.exec("import os\ndef f():\n    return os.fork() and 1").ok
    assert [box.call("f").value for _ in range(3)] == [1, 1, 1]


def test_ends_with_the_desk(tmp_path):
    """SIGKILL of the desk itself leaves nothing behind."""
    script = """
import os, time
from gradedesk.sandbox import Limits, Sandbox
box = Sandbox(Limits())
box.exec("import os\\nif os.fork() == 0:\\n    os.setsid()\\n    while True: pass")
print(os.readlink(f"/proc/{box._first_pid}/ns/pid"), flush=True)
time.sleep(600)
"""
    desk = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with desk.stdout:
        space = desk.stdout.readline().strip()
        assert list(members(space))
        desk.kill()
        desk.wait()
    assert wait_until(lambda: not list(members(space)))


# Memory and disk.

FILLS = {
    "bytes": "kept = b'x' * 10**9",
    "array": "import numpy as np; kept = np.ones(10**9)",
    "list": "kept = []\nwhile True: kept.append('x' * 10**6)",
    "repeat": "kept = [0] * 10**10",
    "mapping": "import mmap; kept = mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE)",
}


@pytest.mark.parametrize("source", FILLS.values(), ids=FILLS)
def test_one_process_fills_memory(start, source):
    box = start()
    assert box.exec(source).error.type in ("MemoryError", "_ArrayMemoryError", "OSError")
    assert box.exec("kept = None; x = 1").ok


MANY = {
    "processes": "kept = bytearray(b'x') * (100 << 20)",
    "mapping": "import mmap; kept = mmap.mmap(-1, 100 << 20, mmap.MAP_PRIVATE)\n"
    "        kept.write(b'x' * (100 << 20))",
}


@pytest.mark.parametrize("source", MANY.values(), ids=MANY)
def test_many_processes_fill_memory(run, source):
    outcome = run(
        f"""
import os, time
for _ in range(8):
    if os.fork() == 0:
        {source}
        time.sleep(600)
time.sleep(600)
""",
        300,
    )
    assert isinstance(outcome, SandboxDied)
    assert "filled more than 400 MB" in str(outcome)


# Looks into empty memory, a place of each two MB: each takes a table of 4 KB, and no page.
TABLES = """
import ctypes, os, time
mmap = ctypes.CDLL(None, use_errno=True).mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
PROT_READ, MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, NO_HUGE = 1, 2, 0x20, 0x4000, 15
size = 7 << 30
for _ in range(10):
    if os.fork() == 0:
        break
start = mmap(None, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), NO_HUGE)
for place in range(start, start + size, 2 << 20):
    ctypes.c_char.from_address(place).value
time.sleep(600)
"""


def test_many_processes_fill_tables_of_pages(run):
    """Of 14 MB each."""
    outcome = run(TABLES, 300, memory_bytes=100 * MB)
    assert isinstance(outcome, SandboxDied) and "filled more than 100 MB" in str(outcome)


def test_full_disk(value):
    got = value("""
import os
got = {}
for folder in [".", "/tmp", "/dev/shm"]:
    total = 0
    try:
        for number in range(100):
            with open(f"{folder}/{number}", "wb") as file:
                total += file.write(bytes(1 << 16))
    except OSError:
        pass
    got[folder] = total
for path in ["/x", "/dev/x", "/usr/x", "/desk/x", "/desk/worker.py", "/proc/x"]:
    try:
        open(path, "wb").close()
        got[path] = 1
    except OSError:
        pass
""")
    assert set(got) == {".", "/tmp", "/dev/shm"}
    assert all(0 < total <= SHORT["file_bytes"] for total in got.values())


def test_a_file_beyond_the_limit(run):
    outcome = run("with open('x', 'wb') as file:\n    file.truncate(10 << 20)")
    assert "File too large" in str(outcome.error)


FILES = {
    "empty": "open(f'/tmp/{number}', 'w').close()",
    "links": "os.symlink('x', f'/dev/shm/{number}')",
    "folders": "os.mkdir(str(number))",
}


@pytest.mark.parametrize("source", FILES.values(), ids=FILES)
def test_files_without_end(run, source):
    outcome = run(
        f"import itertools, os\nfor number in itertools.count():\n    {source}", files=500
    )
    assert isinstance(outcome, SandboxDied)
    assert "made more than 500 files" in str(outcome)


def test_no_memory_past_the_limits(value):
    """Files in memory, shared segments, own mounts: all would count nowhere."""
    got = value("""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
got = []
for name, arguments in {
    "memfd_create": [b"x", 0], "shmget": [0, 1 << 30, 0o1600], "msgget": [0, 0o1600],
    "unshare": [0x10000000], "mount": [b"x", b"/tmp", b"tmpfs", 0, None], "umount2": [b"/lab", 2],
    "chroot": [b"/tmp"], "ptrace": [16, 1, 0, 0], "setns": [0, 0],
}.items():
    if getattr(libc, name)(*arguments) != -1 or ctypes.get_errno() != errno.ENOSYS:
        got.append(name)
""")
    assert got == []


# Files, environment, network, other processes.


def test_sees_no_file_but_its_own(value, tmp_path, monkeypatch):
    """Every file in sight: the interpreter, the system's libraries, the worker, its own."""
    (tmp_path / "grades.csv").write_text("ada,10\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    got = value(
        """
import os
got = []
for folder, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in KNOWN]
    got += [os.path.join(folder, file) for file in files]
""".replace("KNOWN", repr(known_folders())),
        lab={"data.txt": b"x"},
    )
    files = {"/etc/ld.so.cache", "/etc/localtime"}
    files |= {f"/desk/{name}.py" for name in ("landlock", "wire", "worker", "zygote")}
    prefix = {f"{folder}/pyvenv.cfg" for folder in {sys.prefix, os.path.realpath(sys.prefix)}}
    assert set(got) - {"/lab/data.txt"} <= files | prefix | {"/bin", "/lib", "/lib64", "/sbin"}
    assert {"/desk/wire.py", "/lab/data.txt"} <= set(got)


def known_folders():
    parts = {path for path in bwrap._interpreter() if os.path.isdir(path)}
    return sorted(parts | {"/proc", "/dev", "/sys/devices/system/cpu"})


def test_sees_nothing_of_the_course(value):
    course = Path(gradedesk.__file__).resolve().parents[1]
    folders = [str(course / name) for name in ("solutions", "labs", "grading", "tests", ".git")]
    folders += [str(Path.home() / ".ssh"), "/var", "/home", "/mnt", "/etc/passwd", "/run"]
    got = value(f"import os\ngot = [path for path in {folders!r} if os.path.exists(path)]")
    assert got == []


def test_links_lead_nowhere(value, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret", encoding="utf-8")
    got = value(f"""
import os
got = []
for way in ["{secret}", "/proc/1/root{secret}", "/proc/self/root{secret}", "/proc/1/cwd"]:
    os.symlink(way, f"link{{len(os.listdir())}}")
for link in os.listdir():
    try:
        got.append(open(link).read())
    except OSError:
        pass
""")
    assert got == []


def test_environment(value, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    got = value("""
import glob, os
got = str(dict(os.environ))
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/task/*/environ"):
    try:
        got += open(path).read()
    except OSError:
        pass
got = got.replace("\\0", " ")
""")
    assert "OMP_NUM_THREADS" in got
    assert "s3cret" not in got and "SECRET_TOKEN" not in got


def test_network(value):
    """Loopback to this test, under each name; an abstract socket; the host of a virtual machine."""
    name = f"\0gradedesk-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as local,
    ):
        local.bind(name)
        local.listen()
        got = value(f"""
import socket
got = []
for address in ["127.0.0.1", "localhost", "0.0.0.0", "::1", "::ffff:127.0.0.1"]:
    try:
        socket.create_connection((address, {server.getsockname()[1]}), 0.5)
        got.append(address)
    except OSError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect({name!r})
    got.append("abstract")
except OSError:
    pass
for kind in [socket.AF_VSOCK, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_ALG]:
    try:
        socket.socket(kind, socket.SOCK_STREAM)
        got.append(int(kind))
    except OSError:
        pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
    got.append("datagram")
except OSError:
    pass
""")
        assert got == []
        for listener in (server, local):
            listener.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listener.accept()


def test_other_processes(value):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        try:
            got = value(f"""
import os, signal
got = [name for name in os.listdir("/proc") if name.isdigit()]
for pid in [{other.pid}, {os.getpid()}]:
    try:
        os.kill(pid, signal.SIGKILL)
        got.append("killed")
    except ProcessLookupError:
        pass
got += [os.getuid(), os.getppid()]
""")
            assert len(got) == 4 and got[2] not in (0, os.getuid()) and got[3] == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_inherited_descriptors(value, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret", encoding="utf-8")
    with open(secret) as file:
        os.set_inheritable(file.fileno(), True)
        got = value("""
import os
got = []
for fd in range(1024):
    try:
        got.append(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        pass
""")
    assert got[0] == "/dev/null"
    # Standard output and error are one pipe; the others are the desk's channel.
    assert len(got) == 5 and got[1] == got[2]
    assert all(name.startswith("pipe:") for name in got[1:])


# Cheating.


def test_what_it_patches_is_its_own(start):
    """Patched builtins, checkers, traces and transformers do not leave its process."""
    before = {name: vars(np)[name] for name in ("allclose", "array_equal")}
    box = start()
    reply = box.exec("""
import ast, builtins, gc, sys
import numpy as np, numpy.testing
np.allclose = np.array_equal = numpy.testing.assert_allclose = lambda *args, **kwargs: True
builtins.abs = builtins.all = builtins.any = builtins.round = builtins.sum = lambda *args: 1
ast.parse = ast.NodeTransformer.visit = lambda *args: None
sys.settrace(lambda *args: None); sys.setprofile(lambda *args: None)
sys.meta_path.clear()
def answer():
    return [1.0, 2.0]
""")
    assert reply.ok
    got = StandIn(box, "answer")()
    assert got == [1.0, 2.0] and len(got) == 2 and not np.allclose(got, [1.0, 3.0])
    assert {name: vars(np)[name] for name in before} == before


EQUALS = """
class Equal{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __len__(self): return 3
    def __iter__(self): return iter([1, 2, 3])
    def __getattribute__(self, name): return Equal()
    def __bool__(self): return True
    def __reduce__(self): return (print, ("forged",))
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    __hash__ = lambda self: 1
    __array__ = lambda self, *args, **kwargs: 1 / 0
    __float__ = lambda self: 1.0
def answer():
    return Equal()
"""


def test_always_equal_object(start):
    box = start()
    assert box.exec(EQUALS.format(base="")).ok
    got = StandIn(box, "answer")()
    checks = [
        lambda: got == 1,
        lambda: 1 == got,
        lambda: got != 1,
        lambda: got >= 1,
        lambda: [got] == [1],
        lambda: {"a": 1} == {"a": got},
        lambda: bool(got),
        lambda: len(got),
        lambda: list(got),
        lambda: 1 in got,
        lambda: got[0],
        lambda: got + 1,
        lambda: float(got),
        lambda: round(got, 3),
        lambda: abs(got - 1) < 1e-9,
        lambda: math.isclose(got, 1),
        lambda: np.allclose(got, 1),
        lambda: np.testing.assert_allclose(got, 1),
        lambda: np.array([1.0]) == got,
        lambda: np.float64(1) == got,
    ]
    for check in checks:
        with pytest.raises(StudentError, match="not plain data"):
            check()
    assert not isinstance(got, (int, float, list, str))
    assert got is not True


@either
@pytest.mark.parametrize(
    ("base", "plain"),
    [("int", 0), ("float", 0.0), ("str", ""), ("list", []), ("dict", {}), ("bytes", b"")],
)
def test_a_type_that_lies_arrives_as_what_it_is_made_of(start, base, plain):
    box = start()
    assert box.exec(EQUALS.format(base=f"({base})")).ok
    got = StandIn(box, "answer")()
    assert type(got) is type(plain) and got == plain


def test_a_patched_worker_forges_its_own_results_only(start):
    """All of the worker is within reach: what comes of it is still data, and its own."""
    box = start()
    reply = box.exec("""
import gc, sys
worker = next(x for x in gc.get_objects() if type(x).__name__ == "Worker")
worker.__class__.pack = lambda self, obj: sys.modules["wire"].pack(
    {"points": 1e9, "outcome": "passed", "value": float("nan")})
for name, module in list(sys.modules.items()):
    if name == "__main__":
        module.answer = module.limit = lambda *args: None
def f(x):
    return x
""")
    assert reply.ok
    value = box.call("f", [1]).value
    assert value["points"] == 1e9 and math.isnan(value["value"])  # a dictionary, and nothing more
    with pytest.raises(AssertionError):
        assert StandIn(box, "f")(1) == 1


def test_a_thread_goes_on_after_the_call(start):
    box = start()
    assert box.exec("""
import threading
seen = []
def spin():
    while True:
        print("noise")
        seen.append(1)
def f(xs):
    threading.Thread(target=spin, daemon=True).start()
    return sorted(xs)
def noise():
    return len(seen) > 0
""").ok
    given = [3, 1, 2]
    assert StandIn(box, "f")(given) == [1, 2, 3] and given == [3, 1, 2]
    assert StandIn(box, "noise")() is True
    assert len(box.exec("1").output) <= SHORT["output_bytes"] + 100


def test_modules_beside_the_notebook_hide_nothing(start):
    box = start(lab={"math.py": b"pi = 3", "torch.py": b"x = 1", "helper.py": b"y = 2"})
    assert box.exec("""
import math, helper
import importlib.util
def f():
    return [math.pi, helper.y, importlib.util.find_spec("torch").origin]
""").ok
    pi, y, origin = box.call("f").value
    assert pi == math.pi and y == 2 and not origin.startswith("/lab")


# Replies.


def packed(**fields):
    return wire.pack(fields)


FORGE = """
import os, struct, sys, wire
def channel():
    return max(fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}"))
def number():
    frame = sys._getframe()
    while "request" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["request"]["id"]
def send(data):
    os.write(channel(), struct.pack("<I", len(data)) + data)
def forge(**fields):
    send(wire.pack({"id": number(), "output": "", "error": None, "changed": {}} | fields))
def stay():
    while True: pass
"""
DEEP = "b'\\x91' * 500 + b'\\xc0'"
REPLIES = {
    "too-long": "os.write(channel(), b'\\xff\\xff\\xff\\xff'); stay()",
    "malformed": "send(b'\\xc1' * 100); stay()",
    "empty": "send(b''); stay()",
    "not-a-dictionary": "send(wire.pack([1, 2, 3])); stay()",
    "wrong-id": "forge(id=1, value=wire.pack(1)); stay()",
    "id-of-a-wrong-type": "forge(id=float(number()), value=wire.pack(1)); stay()",
    "no-value": "forge(); stay()",
    "value-not-bytes": "forge(value=[1]); stay()",
    "bad-value": "forge(value=b'\\xc1'); stay()",
    "deep-value": f"forge(value={DEEP}); stay()",
    "deep-reply": f"send({DEEP}); stay()",
    "bomb-of-lists": "forge(value=b'\\xdd\\x00\\x0f\\x42\\x40' + b'\\x90' * 1_000_000); stay()",
    "lie-of-lists": "forge(value=b'\\xdd\\xff\\xff\\xff\\xff' * 400); stay()",
    "bad-array": "forge(value=wire.msgpack.packb(wire.msgpack.ExtType(1, b'\\x92\\x92\\xa5int64"
    "\\x91\\x7f\\xc4\\x01x'))); stay()",
    "object-array": "forge(value=wire.msgpack.packb(wire.msgpack.ExtType(1, b'\\x92\\x92\\xa1O"
    "\\x91\\x01\\xc4\\x08xxxxxxxx'))); stay()",
    "unknown-part": "forge(value=wire.msgpack.packb(wire.msgpack.ExtType(99, b'x'))); stay()",
    "bad-handle": "forge(value=wire.msgpack.packb(wire.msgpack.ExtType(5, b'\\x92\\xff\\xa1x')))"
    "; stay()",
    "error-of-a-wrong-type": "forge(error=[1, 2, 3]); stay()",
    "error-too-short": "forge(error=['x']); stay()",
    "output-of-a-wrong-type": "forge(output=7, value=wire.pack(1)); stay()",
    "changed-of-a-wrong-type": "forge(value=wire.pack(1), changed=[1]); stay()",
    "key-of-a-wrong-type": "send(wire.msgpack.packb({(1, 2): 3})); stay()",
    "many-changed": "changed = {str(i): b'' for i in range(100_000)}\n"
    "forge(value=wire.pack(1), changed=changed); stay()",
}


@either
@pytest.mark.parametrize("source", REPLIES.values(), ids=REPLIES)
def test_hostile_reply(run, source):
    assert isinstance(run(FORGE + source), SandboxProtocolError)


def test_reply_that_never_ends(run):
    source = "os.write(channel(), struct.pack('<I', 1000))\nwhile True: os.write(channel(), b'')"
    assert isinstance(run(FORGE + source, timeout=0.5), SandboxTimeout)


def test_reply_cut_short(run):
    source = "os.write(channel(), struct.pack('<I', 1000) + b'x')\nos._exit(0)"
    assert isinstance(run(FORGE + source), SandboxDied)


def test_replies_before_they_are_asked_for(start):
    """What lies in the channel early answers the next question, wrongly."""
    box = start()
    with pytest.raises(SandboxProtocolError):
        box.exec(FORGE + "send(wire.pack({'id': 0}))")


def test_forged_reply_with_the_right_number(start):
    """It can say anything about its own function, as data; it cannot change other arguments."""
    box = start()
    assert box.exec(
        FORGE
        + "def f(xs):\n    forge(value=wire.pack(float('nan')), changed={9: wire.pack([1])})\n"
        "    stay()\n"
        "def g(xs):\n    forge(value=wire.pack(wire.Handle(12345, 'int')))\n    stay()\n"
    ).ok
    mine = [1]
    got, (left,) = after(StandIn(box, "f"), mine)
    assert math.isnan(got) and left == mine == [1]
    box = start()
    assert box.exec(
        FORGE + "def g():\n    forge(value=wire.pack(wire.Handle(9, 'int')))\n    stay()"
    ).ok
    got = StandIn(box, "g")()
    with pytest.raises(StudentError, match="not plain data"):
        assert got == 1
    box.limits = dataclasses.replace(box.limits, cell_seconds=0.5)
    with pytest.raises(SandboxError):
        got()


RESULTS = {
    "many-items": ("[0] * 10**6", "more than 10,000 items"),
    "many-bytes": ("'x' * 10**7", "more than 2,097,152 bytes"),
    "many-lists": ("[[[0] * 100] * 100] * 100", "more than 10,000 items"),
    "big-array": ("np.zeros((3000, 3000))", "more than 2,097,152 bytes"),
    "broadcast-array": ("np.broadcast_to(np.zeros(1), (1 << 20, 1 << 20))", "more than"),
    "deep": ("deep()", "nested deeper than 64"),
    "cycle": ("cycle()", "nested deeper than 64"),
    "big-number": ("10**10**5", "a whole number of"),
    "surrogate": ("'\\ud800'", "half a character"),
}


@either
@pytest.mark.parametrize(("source", "says"), RESULTS.values(), ids=RESULTS)
def test_results_that_cannot_be_sent(start, source, says):
    box = start()
    assert box.exec(f"""
import numpy as np
def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value
def cycle():
    value = {{}}
    value["x"] = [value]
    return value
def f():
    return {source}
def g():
    return 1
""").ok
    with pytest.raises(StudentError, match=f"cannot be used: it holds .*{says}"):
        StandIn(box, "f")()
    assert StandIn(box, "g")() == 1


def test_not_a_number_is_data(start):
    box = start()
    assert box.exec("def f():\n    return [float('nan'), float('inf'), 1e9, -0.0]").ok
    nan, *others = StandIn(box, "f")()
    assert math.isnan(nan) and others == [math.inf, 1e9, 0.0]


def test_no_object_array(start):
    box = start()
    assert box.exec("import numpy as np\ndef f():\n    return np.array([{}, print])").ok
    with pytest.raises(StudentError, match="not plain data"):
        assert StandIn(box, "f")()[0]


def test_torch(start):
    """PyTorch works inside, and a patched checker stays inside; its huge results do not pass."""
    import torch

    kept = torch.allclose
    box = start(memory_bytes=2 << 30, processes=32, cell_seconds=100, total_seconds=120)
    reply = box.exec("""
import torch
torch.allclose = torch.testing.assert_close = lambda *args, **kwargs: True
def double(x):
    return 2 * x
def scale(x):
    x *= 2
def huge():
    return torch.zeros(1 << 20).expand(1 << 20, 1 << 20)
def model():
    return torch.nn.Linear(2, 2)
class Equal(torch.Tensor):
    __eq__ = lambda self, other: True
def equal():
    return torch.ones(2).as_subclass(Equal)
def shared():
    return torch.ones(10).share_memory_()
""")
    assert reply.ok, reply.error
    x = torch.tensor([1.0, 2.0])
    got = StandIn(box, "double")(x)
    assert torch.allclose is kept and torch.allclose(got, torch.tensor([2.0, 4.0]))
    assert not torch.allclose(got, x)
    _, (left,) = after(StandIn(box, "scale"), x)
    assert (left.tolist(), x.tolist()) == ([2.0, 4.0], [1.0, 2.0])
    with pytest.raises(StudentError, match="more than"):
        StandIn(box, "huge")()
    assert StandIn(box, "model")()(x).shape == (2,)
    with pytest.raises(StudentError, match="not plain data"):
        assert StandIn(box, "equal")() == 1
    assert StandIn(box, "shared")().sum() == 10
