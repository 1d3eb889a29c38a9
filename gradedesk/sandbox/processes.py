"""What the kernel says of a sandbox's processes: which they are, their time and their memory."""

import contextlib
import os
import secrets
import select
import socket

import psutil

# Users that exist nowhere and that systemd, too, keeps for one service's life; inside an ordinary
# container's 65,536. One a sandbox, since the kernel counts processes by user.
USERS = range(61184, 65520)


def free_user() -> tuple[int, socket.socket]:
    """A user of USERS that runs nothing now, and what, until it is closed, keeps it from others."""
    taken = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                taken.add(os.stat(f"/proc/{name}").st_uid)
    while True:
        if (user := secrets.choice(USERS)) not in taken:
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0gradedesk-user-{user}")  # a name without a file, gone with us
                return user, claim
            except OSError:  # another desk's, which is about to run something
                claim.close()


def ended(process: int, seconds: float) -> bool:
    """Whether it ends in time. The first of a namespace ends when no other is left in it."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def ticks(proc: int) -> dict[tuple[str, bytes], tuple[int, int]]:
    """By number and start: ticks of each process, and of the children that it has waited for."""
    found = {}
    for name in os.listdir(proc):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # The name before ")" is theirs to choose; then the state.
                fields = _read(proc, f"{name}/stat").rpartition(b")")[2].split()
                user, system, waited, waited_system = map(int, fields[11:15])
                found[name, fields[19]] = user + system, waited + waited_system
    return found


def plain_seconds(pid: int) -> float:
    """Processor seconds of a process, of its children that run and of those that it waited for."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # user, system, and the children's
    return total


def resident(proc: int, name: str) -> tuple[int, int]:
    """Bytes of one process that are not from files: its own or its parent's too, and shared.

    The tables of its pages are its own. They can be more than the pages: each that it looks at in
    empty memory, far enough from the last, takes a table of the same size.
    """
    *own, shared = _sizes(proc, f"{name}/status", ("RssAnon", "VmSwap", "VmPTE", "RssShmem"))
    return sum(own), shared


def filled(proc: int, name: str) -> int:
    """The same together, where what n processes share counts an nth each."""
    pages = _sizes(proc, f"{name}/smaps_rollup", ("Pss_Anon", "SwapPss", "Pss_Shmem"))
    return sum(pages + _sizes(proc, f"{name}/status", ("VmPTE",)))


def _sizes(proc: int, name: str, keys: tuple[str, ...]) -> list[int]:
    """Bytes by these keys of a file; 0 where the process has just ended."""
    lines = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = _read(proc, name).decode("utf-8", "replace").splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return [int(found[key].split()[0]) << 10 if key in found else 0 for key in keys]


def _read(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=folder)
    with open(fd, "rb") as file:
        return file.read()
