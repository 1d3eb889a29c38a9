"""Can this machine grade hostile code? Looks at what is needed, then tries to break out.

The ways out that it tries are in attempts.py.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gradedesk import sandbox
from gradedesk.sandbox import Limits, Sandbox, SandboxError, cgroup
from gradedesk.sandbox.attempts import ATTEMPTS, COUNTED, MB, AttemptFailed, answer, outside
from gradedesk.sandbox.bwrap import ELSEWHERE, INSTALL
from gradedesk.sandbox.seccomp import MACHINES
from gradedesk.sandbox.warm import Zygote

DISK_BYTES = 1 << 30
PYTHONS = ((3, 11), (3, 13))
NOT_PROMISED = (
    "that memory is bounded which no process shows, such as what waits in sockets, nor what "
    "several processes fill within a moment"
)
REPORT = "do not grade with it, and report this as a fault of gradedesk"


class Check(NamedTuple):
    """name: what was looked at; detail: what was seen; mend: what to do, "" where all is well."""

    name: str
    ok: bool
    detail: str
    mend: str


def checks(desk: Path | str = ".") -> list[Check]:
    """What the machine has, and each attempt to break out of its own sandbox.

    desk: where submissions and results are to lie
    """
    found = [_system(), _bubblewrap(), _python(), _user(), _disk(Path(desk)), _memory(), _groups()]
    reason = sandbox.available()
    if reason is not None:
        why, _, mend = reason.rpartition(": ")
        return [*found, Check("sandbox", False, why, mend)]
    found += [Check("sandbox", True, "starts", ""), _paths(), *attempts()]
    try:
        with Zygote() as zygote:
            found.append(Check("warm workers", True, "fork", ""))
            warm = attempts(partial(Sandbox, zygote=zygote))
    except SandboxError as error:
        # No fault: grading does without, and takes longer.
        return [*found, Check("warm workers", True, f"not here: {error}", "")]
    return found + [check._replace(name=f"{check.name}, warm") for check in warm]


def attempts(make: Callable[[Limits], Sandbox] = Sandbox) -> list[Check]:
    """Each way out that we know of, tried in a sandbox that `make` makes."""
    with outside() as there:
        tried = ATTEMPTS if cgroup.available() else ATTEMPTS + COUNTED
        return [_try(attempt, make, there) for attempt in tried]


def _system() -> Check:
    seen = f"{platform.system()} {platform.release()} on {platform.machine()}"
    ok = sys.platform == "linux" and platform.machine() in MACHINES
    return Check("system", ok, seen, "" if ok else ELSEWHERE)


def _bubblewrap() -> Check:
    path = shutil.which("bwrap")
    if path is None:
        return Check("bubblewrap", False, "not installed", INSTALL)
    shown = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip()
    return Check("bubblewrap", True, f"{shown}, {path}", "")


def _python() -> Check:
    low, high = (".".join(map(str, version)) for version in PYTHONS)
    ok = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    mend = "" if ok else f"make the environment with Python {low} to {high}"
    return Check("Python", ok, f"{platform.python_version()}, {sys.executable}", mend)


def _user() -> Check:
    """Whoever grades, students' code runs as somebody else, or as nobody in a world of its own."""
    if not hasattr(os, "getuid"):
        return Check("user", False, "no user numbers here", ELSEWHERE)
    if os.getuid() == 0:
        return Check("user", True, "root; submissions run as another user", "")
    most = Path("/proc/sys/user/max_user_namespaces")
    allowed = int(most.read_text()) if most.exists() else 0
    mend = "" if allowed else "sudo sysctl -w user.max_user_namespaces=10000"
    return Check("user", bool(allowed), f"{os.getuid()}; {allowed:,} user namespaces", mend)


def _disk(desk: Path) -> Check:
    while not desk.exists():
        desk = desk.parent
    if not os.access(desk, os.W_OK):
        mend = "grade as a user who may write there, or give another folder by --desk"
        return Check("disk", False, f"{desk.resolve()} cannot be written", mend)
    free = shutil.disk_usage(desk).free
    ok = free >= DISK_BYTES
    mend = "" if ok else f"make room: at least {DISK_BYTES // MB:,} MB"
    return Check("disk", ok, f"{free // MB:,} MB free in {desk.resolve()}", mend)


def _memory() -> Check:
    need = Limits().memory_bytes
    info = Path("/proc/meminfo")
    if not info.exists():
        return Check("memory", False, "not known here", ELSEWHERE)
    lines = dict(line.split(":") for line in info.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) << 10
    ok = free >= need
    mend = "" if ok else f"each job may take {need // MB:,} MB: close other programs, or --jobs 1"
    return Check("memory", ok, f"{free // MB:,} MB free, {os.cpu_count()} processors", mend)


def _groups() -> Check:
    """No fault where there are none: then memory is bounded as far as processes show it."""
    why = cgroup.available()
    if why is None:
        place = cgroup.find()
        where = place.folders["memory"].parent
        return Check("control groups", True, f"version {place.version}, in {where}", "")
    said = f"none: {why}. Not promised then: {NOT_PROMISED}. To have them, {cgroup.HOW}"
    return Check("control groups", True, said, "")


def _paths() -> Check:
    """No fault where they show: it is a name that gets out, and no file."""
    said = "a program can read where Python and the course lie: this kernel has no Landlock"
    got = answer(
        Sandbox,
        """
try:
    got = open("/proc/self/mountinfo").read()
except PermissionError:
    got = ""
""",
    )
    return Check("names of folders", True, said if got else "hidden", "")


def _try(attempt, make, there) -> Check:
    name = attempt.__name__.replace("_", " ")
    try:
        got_out = attempt(make, there)
    except (SandboxError, AttemptFailed) as error:
        got_out = f"not known, since the attempt failed: {error}"
    return Check(name, not got_out, got_out or "contained", REPORT if got_out else "")
