"""Control groups: memory counts, mapped or not, and whoever is in a group ends with it."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gradedesk.sandbox import cgroup

WHY_NOT = cgroup.available()
MB = 1 << 20
LIMIT = 64 * MB


@pytest.fixture
def group():
    if WHY_NOT:
        pytest.skip(f"no control groups here: {WHY_NOT}")
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


def test_memory_that_is_not_mapped_counts(group):
    source = f"{UNMAPPED}\nfill(32 << 20)\nprint('full', flush=True)\nsys.stdin.readline()"
    process = start(group, source)
    assert process.stdout.readline() == "full\n"
    assert 32 * MB < group.memory <= group.peak <= LIMIT
    assert group.oom_kills == 0
    assert said(process) == ("", 0)


@pytest.mark.parametrize("fill", ["fill(128 << 20)", "kept = bytearray(b'x') * (128 << 20)"])
def test_what_fills_more_than_its_limit_is_ended(group, fill):
    assert said(start(group, f"{UNMAPPED}\n{fill}\nprint('held it')")) == ("", -signal.SIGKILL)
    assert group.oom_kills > 0
    assert group.peak <= LIMIT


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


def test_no_more_processes_than_its_limit(group):
    if not group.bounds_processes:
        pytest.skip("processes are not counted here")
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


def test_time_counts_of_a_process_that_nobody_waits_for(group):
    if group.processor_seconds is None:
        pytest.skip("processor time is not counted here")
    source = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
ended, end = os.pipe()
if os.fork() == 0:
    while time.process_time() < 0.2:
        pass
    os._exit(0)
os.close(end)
os.read(ended, 1)
print(time.process_time() < 0.2)
"""
    assert said(start(group, source)) == ("True\n", 0)
    assert group.processor_seconds >= 0.2


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
