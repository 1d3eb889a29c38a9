"""Control groups: what the kernel counts of several processes together, mapped or not.

    with cgroup.find().make("box", memory=1 << 30, processes=32) as group:
        group.add(process.pid)

What a process had filled before it came in stays with the group that it came from; what it and its
children fill, map, put into pipes or send to nobody from then on is counted here, until it is
freed. At the limit the kernel first drops what it can read again from files, then ends processes.

Both versions of the kernel's interface are known. They differ in names, and in who may use them:
version 2 can be had by an ordinary user to whom systemd has given a part of the tree, version 1 by
root alone. Groups lie in a folder of the process that made them, which it holds a lock on; what a
killed process leaves behind, empty, the next one removes.
"""

import atexit
import contextlib
import errno
import itertools
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which has no control groups
    fcntl = None

OURS = "gradedesk-"  # how our folders begin
OTHERS = "gradedesk.others"  # a group for those that cannot stay where groups are to be made
TRIES = 10  # to move them
HOW = "run as root, or by `systemd-run --user --scope -p Delegate=yes gradedesk ...`"
CLOSE_SECONDS = 60.0  # for killed processes to end, on a busy machine
PAUSE = 0.01  # where the kernel has no event to wait for

# By version: the files that bound memory, in the order in which they can be set, with a value or
# None for the limit itself. All kernels have the first; then nothing is swapped. Version 1 counts
# TCP's buffers by themselves.
TCP_BYTES = 16 << 20
NAMES = {
    1: {
        "limits": {
            "memory.limit_in_bytes": None,
            "memory.swappiness": 0,
            "memory.memsw.limit_in_bytes": None,
            "memory.kmem.tcp.limit_in_bytes": TCP_BYTES,
        },
        "memory": "memory.usage_in_bytes",
        "peak": "memory.max_usage_in_bytes",
        "events": "memory.oom_control",
        "seconds": ("cpuacct.usage", 0, 1e9),  # file, word, how many a second
    },
    2: {
        "limits": {"memory.max": None, "memory.swap.max": 0, "memory.oom.group": 1},
        "memory": "memory.current",
        "peak": "memory.peak",  # from Linux 5.19 on
        "events": "memory.events",
        "seconds": ("cpu.stat", 1, 1e6),
    },
}


class Unavailable(Exception):
    """No groups can be made here. The text says why, in one line."""


class Group:
    """Processes that are counted, bounded and ended together. OSError once it is gone.

    folders: by the first part of a file's name, where it lies
    """

    def __init__(self, version: int, folders: dict[str, Path]):
        self.version, self._folders = version, folders
        self._names = NAMES[version]

    def bound(self, memory: int, processes: int | None = None) -> None:
        """At most so many bytes of memory, nothing swapped; threads count as processes."""
        first, *others = self._names["limits"].items()
        self._path(first[0]).write_text(str(memory))
        for name, value in others:
            self._write(name, memory if value is None else value)
        if processes is not None:
            self._write("pids.max", processes)

    def add(self, pid: int) -> None:
        """Move a process in, with all its threads; its children from then on are born here."""
        for folder in self._each():
            (folder / "cgroup.procs").write_text(str(pid))

    def processes(self) -> list[int]:
        return _processes(self._folders["memory"])

    @property
    def memory(self) -> int:
        """Bytes held now, with what can be read again from files."""
        return int(self._read(self._names["memory"]))

    @property
    def peak(self) -> int:
        """The most bytes that were ever held; what is held now where the kernel does not know."""
        with contextlib.suppress(FileNotFoundError):
            return int(self._read(self._names["peak"]))
        return self.memory

    @property
    def oom_kills(self) -> int:
        """How many processes the kernel has ended because the group was full."""
        lines = self._read(self._names["events"]).splitlines()
        return int(dict(line.split() for line in lines)["oom_kill"])

    @property
    def processor_seconds(self) -> float | None:
        """Of all processes that were ever in it, while they were; None where it is not counted."""
        name, word, unit = self._names["seconds"]
        return int(self._read(name).split()[word]) / unit if self._has(name) else None

    def kill(self) -> None:
        """End all its processes; they may take a moment to be gone."""
        if self._has("cgroup.kill"):
            self._write("cgroup.kill", 1)
            return
        self._write("pids.max", 0)  # no new ones meanwhile
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError), _opened(pid) as process:
                if pid in self.processes():  # and not another one that has got its number
                    signal.pidfd_send_signal(process, signal.SIGKILL)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """End its processes and remove it. One that does not end in time is left, with a limit."""
        end = time.monotonic() + seconds
        with contextlib.suppress(FileNotFoundError):
            while True:
                self.kill()
                for pid in self.processes():
                    with contextlib.suppress(ProcessLookupError), _opened(pid) as process:
                        poll = select.poll()
                        poll.register(process, select.POLLIN)
                        poll.poll(1000 * max(0.0, end - time.monotonic()))
                if _removed(self._each()) or time.monotonic() > end:
                    return
                time.sleep(PAUSE)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _each(self) -> list[Path]:
        """Its folders, each once; the one of memory last, by which the others are found."""
        return list(dict.fromkeys(reversed(self._folders.values())))

    def _path(self, name: str) -> Path | None:
        folder = self._folders.get(name.split(".")[0])
        return folder and folder / name

    def _has(self, name: str) -> bool:
        path = self._path(name)
        return path is not None and path.exists()

    def _read(self, name: str) -> str:
        return self._path(name).read_text()

    def _write(self, name: str, value: int) -> None:
        """Into a file, if the kernel has it."""
        if self._has(name):
            self._path(name).write_text(str(value))


class Place:
    """A process's own folder of groups, held by a lock until it ends. See `find`."""

    def __init__(self, version: int, parents: dict[str, Path]):
        self.version, self._parents = version, parents
        self._pid = os.getpid()
        while True:
            self._name = f"{OURS}{secrets.token_hex(8)}"
            folder = self.folders["memory"]
            folder.mkdir()
            self._lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if folder.exists():  # else it looked abandoned before we had the lock
                break
            os.close(self._lock)
        try:
            for folder in self.folders.values():
                folder.mkdir(exist_ok=True)
            if version == 2:
                _share(folder)
        except BaseException:
            self.close()
            raise

    @property
    def folders(self) -> dict[str, Path]:
        return {name: parent / self._name for name, parent in self._parents.items()}

    def make(self, kind: str, memory: int | None = None, processes: int | None = None) -> Group:
        """A new group; its limits may come later, by `Group.bound`."""
        group = self._group(f"{kind}-{secrets.token_hex(8)}")
        for folder in group._each():
            folder.mkdir()
        if memory is not None:
            group.bound(memory, processes)
        return group

    def clear(self) -> None:
        """End and remove all its groups, those of forks of this process too."""
        with contextlib.suppress(FileNotFoundError):
            for folder in _below(self.folders["memory"]):
                self._group(folder.name).close()

    def close(self) -> None:
        self.clear()
        _removed(Group(self.version, self.folders)._each())
        os.close(self._lock)

    def sweep(self) -> None:
        """Remove what processes that are gone have left beside it. Nothing is ended by that."""
        for folder in self._parents["memory"].glob(f"{OURS}*"):
            with contextlib.suppress(OSError):
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it lives
                    left = {name: p / folder.name for name, p in self._parents.items()}
                    for each in Group(self.version, left)._each():
                        _removed([*_below(each), each])
                finally:
                    os.close(lock)

    def _group(self, name: str) -> Group:
        return Group(self.version, {key: path / name for key, path in self.folders.items()})


_found: Place | Unavailable | None = None
_finding = threading.Lock()


def find() -> Place:
    """Where this process can make groups; it is gone with the process. Unavailable says why not.

    Version 2: below the nearest group that systemd has given away (`Delegate=yes`), else the
    highest one that we may write to. Only groups without processes can have groups with limits in
    them, so in a group given to us all its processes, this one too, move into a group below.
    Version 1: below our own group.
    """
    global _found
    with _finding:
        if _found is None:
            try:
                _found = _find()
                atexit.register(leave)
            except Unavailable as why:
                _found = why
    if isinstance(_found, Unavailable):
        raise Unavailable(str(_found))
    return _found


def available() -> str | None:
    """None if groups can be made here, else why not, in one line."""
    try:
        find()
    except Unavailable as why:
        return str(why)
    return None


def leave() -> None:
    """Remove this process's place, as its end does; after a fork it stays the parent's."""
    if isinstance(_found, Place) and _found._pid == os.getpid():
        _found.sweep()
        _found.close()


def _find() -> Place:
    if sys.platform != "linux":
        raise Unavailable("there are none but in Linux")
    texts = [Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo")]
    reasons = []
    for version, parents in _candidates(*_hierarchies(*texts)):
        try:
            place = Place(version, parents)
            try:
                _try(place)
                place.sweep()
                return place
            except BaseException:
                place.close()
                raise
        except OSError as error:
            reasons.append(f"{parents['memory']}: {error.strerror}")
    if not reasons:
        reasons = ["no part of their tree is ours to write to, or it is mounted read-only"]
    raise Unavailable("; ".join(reasons))


def _try(place: Place) -> None:
    """That a process can be moved in, which only the kernel knows."""
    with (
        place.make("try", memory=64 << 20, processes=8) as group,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process,
    ):
        group.add(process.pid)
        _ = group.memory, group.oom_kills, group.processor_seconds


def _hierarchies(groups: str, mounts: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Our own group and the top, by controller, of version 2 by ""; from /proc/self/cgroup and
    /proc/self/mountinfo."""
    own, top, paths = {}, {}, {}
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        paths |= dict.fromkeys(names.split(","), path)
    for line in mounts.splitlines():
        mount, _, rest = line.partition(" - ")
        root, point = mount.split()[3:5]
        kind, _, options = rest.split()[:3]
        names = {"cgroup2": [""], "cgroup": options.split(",")}.get(kind, [])
        for name in paths.keys() & set(names) - own.keys():
            # A container may see a part of the tree only, by names that begin above it.
            inside = os.path.relpath(paths[name], root)
            top[name] = Path(point)
            own[name] = Path(point) if inside.startswith("..") else Path(point, inside)
    return own, top


def _candidates(own: dict[str, Path], top: dict[str, Path]) -> Iterator:
    """Folders in which ours could lie, as Place's arguments, the best first."""
    if "" in own:
        lineage = [p for p in [own[""], *own[""].parents] if p.is_relative_to(top[""])]
        given = [p for p in lineage if _given(p)][:1]
        highest = list(itertools.takewhile(_writable, lineage))[-1:]
        for folder in dict.fromkeys(filter(_writable, given + highest)):
            if "memory" in (folder / "cgroup.controllers").read_text().split():
                _share(folder, own[""])
                yield 2, dict.fromkeys(("memory", "pids", "cpu", "cgroup"), folder)
    if "memory" in own:
        names = [name for name in ("memory", "pids", "cpuacct") if name in own]
        yield 1, {name: _above_ours(own[name]) for name in names}


def _given(folder: Path) -> bool:
    """Whether systemd says that what lies below is another's business."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _above_ours(folder: Path) -> Path:
    """What bounds this process must not bound its groups: they lie beside the desk's."""
    for parent in (folder, *folder.parents):
        if not any(part.startswith(OURS) for part in parent.parts):
            return parent
    raise AssertionError("the root is nobody's")


def _share(folder: Path, own: Path | None = None) -> None:
    """Let groups below `folder` have limits; if it is our `own`, move its processes out of it."""
    has = (folder / "cgroup.controllers").read_text().split()
    wanted = [name for name in ("memory", "pids") if name in has]
    control = folder / "cgroup.subtree_control"
    if set(wanted) <= set(control.read_text().split()):
        return
    for _ in range(TRIES):
        try:
            control.write_text(" ".join(f"+{name}" for name in wanted))
            return
        except OSError as error:
            if error.errno != errno.EBUSY or folder != own:
                raise
        (folder / OTHERS).mkdir(exist_ok=True)
        for pid in _processes(folder):
            with contextlib.suppress(ProcessLookupError):
                (folder / OTHERS / "cgroup.procs").write_text(str(pid))
    raise OSError(errno.EBUSY, "its processes start others faster than they can be moved")


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []


def _processes(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


@contextlib.contextmanager
def _opened(pid: int) -> Iterator[int]:
    process = os.pidfd_open(pid)
    try:
        yield process
    finally:
        os.close(process)


def _removed(folders: Iterable[Path]) -> bool:
    """Remove these, if nothing is in them; whether they are gone."""
    gone = True
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            gone = False
    return gone
