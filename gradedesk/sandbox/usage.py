"""What a sandbox uses: processor time, memory and files, by its control group or by looking."""

import os
import threading

from gradedesk.sandbox.bwrap import FOLDERS
from gradedesk.sandbox.cgroup import Group
from gradedesk.sandbox.processes import filled, plain_seconds, resident, ticks


class Usage:
    """What the processes of one sandbox use.

    first: the number of its first process; group: its control group, if there is one
    """

    def __init__(self, first: int, group: Group | None, isolated: bool):
        self._first, self._group = first, group
        self._proc = None  # a file descriptor of the /proc that it sees
        self._folders: list[int] = []  # and of its FOLDERS
        if isolated:
            inside = f"/proc/{first}/root"
            self._proc = os.open(f"{inside}/proc", os.O_RDONLY)
            self._folders = [os.open(inside + folder, os.O_RDONLY) for folder in FOLDERS]
        self._counting, self._closed = threading.Lock(), False
        self._ticks: dict[tuple[str, bytes], tuple[int, int]] = {}  # at the last look
        self._ended, self._most = 0, 0.0  # ticks of what is gone, seconds counted so far
        self._sizes: dict[str, int] = {}  # of its processes when they were first seen
        self.several = False  # processes besides the first and worker.py, at the last look

    @property
    def processor_seconds(self) -> float:
        """What its processes have used so far, the ended ones too; never less than before.

        Its group counts that. Elsewhere a process that nobody waits for takes its time with it, so
        it is asked again and again: of such a process only what it used after the last look is
        lost.
        """
        with self._counting:
            if not self._closed:
                self._most = max(self._most, self._seconds())
            return self._most

    def _seconds(self) -> float:
        if self._group and (seconds := self._group.processor_seconds) is not None:
            return seconds
        if self._proc is None:
            return plain_seconds(self._first)
        now = ticks(self._proc)
        before, self._ticks = self._ticks, now
        gone = [before[key] for key in before.keys() - now.keys()]
        waited = sum(theirs - before.get(key, (0, 0))[1] for key, (_, theirs) in now.items())
        own, theirs = map(sum, zip(*gone, strict=True)) if gone else (0, 0)
        self._ended += max(own, waited - theirs, 0)
        used = self._ended + sum(own for own, _ in now.values())
        return used / os.sysconf("SC_CLK_TCK")

    def full(self, limit: int) -> bool:
        """Whether its processes have filled more than `limit` bytes; a group has its own limit."""
        if self._group:
            return self._group.oom_kills > 0  # of one of its processes; now of all
        return self._proc is not None and self._memory(limit) > limit

    def _memory(self, limit: int) -> int:
        """Bytes that its processes fill, as far as it takes to know whether that is too much.

        Two quick bounds come first, since the exact sum takes time, in which they go on. What a
        process shares with its parent it has from the start; what it grows by is its own.
        """
        names = [name for name in os.listdir(self._proc) if name.isdigit()]
        self.several = len(names) > 2
        sizes = {name: resident(self._proc, name) for name in names}
        self._sizes = {name: self._sizes.get(name, size[0]) for name, size in sizes.items()}
        if (most := sum(own + shared for own, shared in sizes.values())) <= limit:
            return most
        if (least := sum(own - self._sizes[name] for name, (own, _) in sizes.items())) > limit:
            return least
        total = 0
        for name in names:
            total += filled(self._proc, name)
            if total > limit:
                break
        return total

    @property
    def files(self) -> int:
        """Files in its folders: each takes the kernel's memory, which no other limit sees."""
        seen = [os.statvfs(folder) for folder in self._folders]
        return sum(folder.f_files - folder.f_ffree for folder in seen)

    def close(self) -> None:
        """Look a last time, and let go; its processor seconds stay known."""
        _ = self.processor_seconds
        with self._counting:
            self._closed = True
            for fd in (self._proc, *self._folders):
                if fd is not None:
                    os.close(fd)
            self._proc, self._folders = None, []
