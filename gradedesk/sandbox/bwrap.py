"""What bubblewrap is told: which world a student's code is given."""

import os
import platform
import shutil
import site
import subprocess
import sys
from pathlib import Path, PurePosixPath

from gradedesk.sandbox.errors import SandboxUnavailable
from gradedesk.sandbox.limits import Limits
from gradedesk.sandbox.processes import USERS
from gradedesk.sandbox.seccomp import MACHINES

HERE = Path(__file__).resolve().parent
LAB = "/lab"  # the work folder inside
FOLDERS = ("/dev/shm", "/tmp", LAB)  # in memory, where code may write
# No terminals, which sandboxes could share; no /dev/zero, which is memory that nothing counts.
DEVICES = ("null", "full", "random", "urandom")
OLDEST = (0, 7)  # the first bubblewrap that can bound a folder in memory
INSTALL = "sudo apt-get install -y bubblewrap"
ELSEWHERE = "grade in the Linux container of gradedesk/Dockerfile instead"
VARIABLES = {
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


def missing() -> str | None:
    """What bubblewrap or the filter of system calls lacks here, and what mends it; else None."""
    if sys.platform != "linux":
        return f"the sandbox needs Linux: {ELSEWHERE}"
    if shutil.which("bwrap") is None:
        return f"bubblewrap is not installed: {INSTALL}"
    shown = subprocess.run(["bwrap", "--version"], capture_output=True, text=True).stdout
    version = tuple(int(part) for part in shown.split()[-1].split(".")[:2])
    if version < OLDEST:
        return (
            f"bubblewrap {shown.split()[-1]} is too old, {OLDEST[0]}.{OLDEST[1]} or newer is "
            f"needed: {ELSEWHERE}"
        )
    if platform.machine() not in MACHINES:
        return f"no list of system calls for {platform.machine()}: grade on x86_64 or aarch64"
    return None


def command(program: str, limits: Limits, packages, rules=None) -> list[str]:
    """What runs worker.py or zygote.py in bubblewrap; to be completed by its settings.

    rules: where it reads the seccomp filter
    """
    bwrap = shutil.which("bwrap")
    if sys.platform != "linux" or bwrap is None:
        raise SandboxUnavailable(missing())
    descriptors = [] if rules is None else ["--seccomp", str(rules)]
    return [
        bwrap,
        *_isolation(CAPABILITIES[program]),
        *_environment(),
        *_filesystem(program, limits, [Path(package) for package in packages]),
        *descriptors,
        *(sys.executable, "-s", "-B", f"/desk/{program}.py"),
    ]


# What root's worker.py needs to become another user, and zygote.py for new namespaces besides.
# Others' zygotes need nothing: they make user namespaces, in which they have it all.
CAPABILITIES = {"worker": ("SETUID", "SETGID")}
CAPABILITIES["zygote"] = (*CAPABILITIES["worker"], "SETPCAP", "SYS_ADMIN")


def _isolation(capabilities) -> list[str]:
    kinds = ["ipc", "net", "pid", "uts", "cgroup-try"]
    if os.getuid() == 0:
        # No user namespace: in one of root's own, worker.py could not become another user, and the
        # kernel's limit on processes would not hold. worker.py gives these up by doing so.
        who = ["--cap-drop", "ALL"]
        who += [part for name in capabilities for part in ("--cap-add", f"CAP_{name}")]
    else:
        who = ["--unshare-user", "--uid", str(USERS[0]), "--gid", str(USERS[0])]
    # Our program is the first process, and ends with the desk. By --die-with-parent one half of
    # bwrap would, too: if that is while it starts, its other half waits for ever.
    return [
        *who,
        *(f"--unshare-{kind}" for kind in kinds),
        *("--hostname", "sandbox", "--new-session", "--as-pid-1"),
    ]


def _environment() -> list[str]:
    path = {"PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin"}
    return [
        "--clearenv",
        *(part for item in (VARIABLES | path).items() for part in ("--setenv", *item)),
    ]


def _filesystem(program: str, limits: Limits, packages: list[Path]) -> list[str]:
    shown: dict[str, str] = {}  # where inside -> what outside
    for path in sorted(_interpreter()):
        if not any(path.startswith(f"{other}/") for other in shown):
            shown[path] = os.path.realpath(path)
    for name in {"landlock", "wire", "worker", program}:
        shown[f"/desk/{name}.py"] = str(HERE / f"{name}.py")
    for package in packages:
        if not package.is_dir():
            raise ValueError(f"{package}: no folder of a Python package")
        shown[f"/packages/{package.resolve().name}"] = str(package.resolve())
    size = str(limits.file_bytes)
    args, made = ["--proc", "/proc", "--perms", "0755", "--dir", "/dev"], {"/", "/dev", *FOLDERS}
    for device in DEVICES:
        args += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for folder in FOLDERS:  # first: the course itself may lie below /tmp
        args += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    for inside, outside in shown.items():
        for parent in reversed(PurePosixPath(inside).parents):
            # bwrap would make them for itself alone, and worker.py is soon another user.
            if str(parent) not in made:
                args += ["--perms", "0755", "--dir", str(parent)]
                made.add(str(parent))
        args += ["--ro-bind", outside, inside]
    for link in ("/bin", "/lib", "/lib32", "/lib64", "/sbin"):
        if os.path.islink(link):
            args += ["--symlink", os.readlink(link), link]
    args += ["--symlink", "/proc/self/fd", "/dev/fd"]
    if program == "worker":
        # Or a process could say that others should end before it when the machine is out of memory.
        args += ["--remount-ro", "/proc"]
    # Its own files in memory would be bounded by nothing.
    return [*args, "--remount-ro", "/", "--chdir", LAB]


def _interpreter() -> set[str]:
    """What Python needs, and no more: a checkout may lie in /usr/src, a home beside the prefix."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, "/usr"}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    program = sys.executable
    while True:  # from a virtual environment's `python`, link by link, to the real one
        prefixes.add(os.path.dirname(os.path.dirname(program)))
        if not os.path.islink(program):
            break
        program = os.path.normpath(os.path.join(os.path.dirname(program), os.readlink(program)))
    paths = {
        os.path.join(prefix, part)
        for prefix in prefixes
        for part in ("bin", "lib", "lib32", "lib64", "pyvenv.cfg")
    }
    paths |= {"/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/sys/devices/system/cpu"}
    paths |= {folder for folder in (*site.getsitepackages(), "/bin", "/lib", "/lib64", "/sbin")}
    links = {"/bin", "/lib", "/lib32", "/lib64", "/sbin"}
    return {
        path
        for path in paths
        if os.path.exists(path) and not (path in links and os.path.islink(path))
    }
