"""Control groups: memory counts, mapped or not, and whoever is in a group ends with it."""

import dataclasses
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gradedesk import sandbox
from gradedesk.sandbox import Limits, Sandbox, SandboxDied, attempts, cgroup, seccomp
from gradedesk.sandbox.warm import Zygote

NO_SANDBOX = sandbox.available()
isolated = pytest.mark.skipif(NO_SANDBOX is not None, reason=str(NO_SANDBOX))
groups = pytest.mark.groups  # left out where there are none: see conftest.py
MB = 1 << 20
LIMIT = 64 * MB


@pytest.fixture
def group():
    with cgroup.find().make("test", LIMIT, 16) as group:
        yield group


def start(group, source):
    """Python code that runs in the group from its first line on."""
    source = f"import sys\nsys.stdin.readline()\n{source}"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    group.add(process.pid)
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def said(process):
    """What it writes to the end, if it gets another line, and how it ends."""
    return process.communicate("\n")[0], process.returncode


# Fills memory that the process table does not show: dropped from the page tables at once.
UNMAPPED = """
import mmap
kept = []
def fill(size):
    kept.append(mmap.mmap(-1, size, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
    for start in range(0, size, 1 << 20):
        kept[-1][start : start + (1 << 20)] = b"x" * (1 << 20)
        kept[-1].madvise(mmap.MADV_DONTNEED, start, 1 << 20)
"""


@groups
def test_memory_that_is_not_mapped_counts(group):
    source = f"{UNMAPPED}\nfill(32 << 20)\nprint('full', flush=True)\nsys.stdin.readline()"
    process = start(group, source)
    assert process.stdout.readline() == "full\n"
    assert 32 * MB < group.memory <= group.peak <= LIMIT
    assert group.oom_kills == 0
    assert said(process) == ("", 0)


@groups
@pytest.mark.parametrize("fill", ["fill(128 << 20)", "kept = bytearray(b'x') * (128 << 20)"])
def test_what_fills_more_than_its_limit_is_ended(group, fill):
    assert said(start(group, f"{UNMAPPED}\n{fill}\nprint('held it')")) == ("", -signal.SIGKILL)
    assert group.oom_kills > 0
    assert group.peak <= LIMIT


@groups
def test_several_processes_fill_one_limit(group):
    source = f"""
import os
{UNMAPPED}
never, _ = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        fill(16 << 20)
        os.read(never, 1)
os.wait()
"""
    process = start(group, source)
    process.wait()  # until one is ended, or (version 2) all are
    group.kill()
    process.communicate()
    assert group.oom_kills > 0
    assert group.peak <= LIMIT


@groups
def test_no_more_processes_than_its_limit(group):
    source = """
import os
started = 0
try:
    while started < 64:
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        started += 1
except OSError as error:
    print(started, error.strerror)
"""
    process = start(group, source)
    assert process.stdout.readline() == "15 Resource temporarily unavailable\n"
    process.kill()
    process.communicate()


@groups
def test_time_counts_of_a_process_that_nobody_waits_for(group):
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
ended, end = os.pipe()
if os.fork() == 0:
    while time.process_time() < 0.5:
        pass
    os._exit(0)
os.close(end)
os.read(ended, 1)
print(time.process_time())
"""
    own, status = said(start(group, source))
    assert status == 0
    assert group.processor_seconds > float(own) + 0.3


@groups
def test_who_left_its_parents_ends_with_the_group(group):
    source = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.read(0, 1)
    os._exit(0)
"""
    process = start(group, source)
    daemon = os.pidfd_open(int(process.stdout.readline()))
    try:
        assert group.processes()
        group.close()
        poll = select.poll()
        poll.register(daemon, select.POLLIN)
        assert poll.poll(0)
    finally:
        os.close(daemon)
    process.communicate()
    with pytest.raises(FileNotFoundError):
        _ = group.memory


@groups
def test_an_empty_group_ends_at_once_and_twice(group):
    group.close()
    group.close()


OTHER = """
import os, sys
from gradedesk.sandbox import cgroup
place = cgroup.find()
place.make("left")
print(place.folders["memory"], flush=True)
sys.stdin.readline()
"""


def other():
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


@groups
def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(group):
    (dead, left), (living, kept) = other(), other()
    assert left.exists() and kept.exists()
    dead.kill()
    dead.communicate()
    assert left.exists()
    cgroup.find().sweep()
    assert not left.exists()
    assert len([path for path in kept.iterdir() if path.is_dir()]) == 1
    living.communicate("\n")  # and goes by itself
    assert living.returncode == 0 and not kept.exists()


@groups
def test_a_process_with_a_group_makes_its_own_beside_it(group):
    """Its limit, and its end, must not be theirs."""
    source = f"sys.path[:] = {sys.path!r}\n{OTHER}"
    process = start(group, source.replace("import os, sys", ""))
    folder = Path(process.stdout.readline().strip())
    assert folder.parent == cgroup.find().folders["memory"].parent
    assert said(process) == ("", 0)


def test_without_a_place_it_says_why_in_one_line(monkeypatch):
    monkeypatch.setattr(cgroup, "_found", None)
    monkeypatch.setattr(cgroup, "_candidates", lambda own, top: [])
    why = cgroup.available()
    assert why and "\n" not in why
    with pytest.raises(cgroup.Unavailable, match=why):
        cgroup.find()


def test_a_place_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    folder = tmp_path / "not" / "there"
    monkeypatch.setattr(cgroup, "_found", None)
    monkeypatch.setattr(cgroup, "_candidates", lambda own, top: [(1, {"memory": folder})])
    assert cgroup.available() == f"{folder}: No such file or directory"


V2 = "30 23 0:26 {root} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 23 0:27 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.mark.parametrize(
    "groups, mount, name, own",
    [
        ("0::/user.slice/a.scope", V2.format(root="/"), "", "/sys/fs/cgroup/user.slice/a.scope"),
        ("0::/", V2.format(root="/"), "", "/sys/fs/cgroup"),
        ("4:memory:/a/b", V1.format(root="/"), "memory", "/sys/fs/cgroup/memory/a/b"),
        # A container that shares the names of the machine, and sees its own part of the tree.
        ("4:memory:/docker/7", V1.format(root="/docker/7"), "memory", "/sys/fs/cgroup/memory"),
        ("4:memory:/else", V1.format(root="/docker/7"), "memory", "/sys/fs/cgroup/memory"),
        ("4:cpu,cpuacct:/", V1.format(root="/"), "memory", None),
    ],
)
@groups
def test_our_own_group_is_found_in_what_is_mounted(groups, mount, name, own):
    other = "22 1 0:21 / /proc rw shared:5 - proc proc rw"
    found, top = cgroup._hierarchies(groups, f"{other}\n{mount}")
    assert found.get(name) == (own and Path(own))
    assert found.keys() == top.keys()


@pytest.mark.parametrize(
    "folder, above",
    [
        ("/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/a"),
        ("/sys/fs/cgroup/memory/a/gradedesk-1/trusted-2", "/sys/fs/cgroup/memory/a"),
    ],
)
def test_groups_do_not_lie_in_the_groups_of_a_desk(folder, above):
    assert cgroup._above_ours(Path(folder)) == Path(above)


# A sandbox in its group.

LIMITS = Limits(cell_seconds=600, total_seconds=900, memory_bytes=128 * MB, file_bytes=1 * MB)


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


@pytest.fixture(params=["cold", "warm"])
def make(request):
    """Makes a Sandbox, of either kind."""
    options = {"zygote": request.getfixturevalue("zygote")} if request.param == "warm" else {}
    return lambda limits=LIMITS: Sandbox(limits, **options)


@pytest.fixture
def any_call(monkeypatch):
    """No filter of system calls: what then holds is the group alone."""
    monkeypatch.setattr(seccomp, "rules", lambda: bytes.fromhex("0600 0000 0000 ff7f"))
    monkeypatch.setattr(attempts, "SMALL", dataclasses.replace(LIMITS, processes=16))
    monkeypatch.setattr(attempts, "HELD", 2 * LIMITS.memory_bytes)


@isolated
@groups
@pytest.mark.parametrize("attempt", attempts.COUNTED, ids=lambda attempt: attempt.__name__)
def test_memory_that_no_process_shows_is_bounded(make, any_call, attempt):
    assert attempt(make, None) is None


@isolated
@groups
def test_a_full_sandbox_says_so(make, any_call):
    with make() as box, pytest.raises(SandboxDied, match="^filled more than 128 MB of memory$"):
        box.exec(f"{UNMAPPED}\nfill(256 << 20)")


@isolated
@groups
def test_of_a_full_sandbox_not_only_the_fattest_process_ends(make, any_call):
    source = f"""
import os, time
if os.fork() == 0:
    {UNMAPPED.replace(chr(10), chr(10) + "    ")}
    fill(256 << 20)
os.wait()
time.sleep(600)
"""
    with make() as box, pytest.raises(SandboxDied, match="of memory"):
        box.exec(source)


@isolated
def test_without_a_group_such_memory_is_not_seen(make, any_call, monkeypatch):
    """So that the tests above would fail without one."""

    def find():
        raise cgroup.Unavailable("not today")

    monkeypatch.setattr(cgroup, "find", find)
    assert attempts.hold_memory_that_is_not_mapped(make, None) == "held 256 MB"


@isolated
@groups
def test_a_sandbox_is_in_its_group_from_its_first_step_and_leaves_none(make):
    with make() as box:
        folder = box._group._folders["memory"]
        inside = len([name for name in os.listdir(box._usage._proc) if name.isdigit()])
        assert len(box._group.processes()) == inside == 2  # the first, and worker.py
        assert box._group.oom_kills == 0
        used = box.processor_seconds
        burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
        assert box.exec(burn).ok
        assert box.processor_seconds > used + 0.3
    assert not folder.exists()
    assert box.processor_seconds > used + 0.3  # still known


@isolated
def test_a_sandbox_goes_first_when_the_machine_runs_short_and_cannot_change_that(make):
    source = """
import subprocess, sys
write = "open('/proc/self/oom_score_adj', 'w').write('0')"
tried = subprocess.run([sys.executable, "-S", "-c", write], capture_output=True, text=True)
got = tried.stderr.splitlines()[-1]
def answer():
    return got
"""
    with make() as box:
        assert box.exec(source).ok
        said = box.call("answer").value
        adjusted = Path(f"/proc/{box._first_pid}/oom_score_adj").read_text()
    assert adjusted == "1000\n" and "Read-only file system" in said
