"""Run the sandbox's own tests once more: root runs them as an ordinary user.

    python -m tools.other_user              the tests
    python -m tools.other_user ARGUMENT...  Python with these arguments, such as -m gradedesk doctor

An ordinary user may not be able to reach root's Python or checkout. So the command gets a view of
the file system of its own, in which a folder that is closed to others shows what lies on the way,
and no more. Nothing outside changes.
"""

import os
import shlex
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USER = 60999  # nobody here, and none of the users that sandboxes are given
TESTS = ("cgroup", "doctor", "hostile_code", "sandbox", "seccomp", "warm", "zygote")


def closed(path: Path) -> Path | None:
    """The outermost folder on the way to `path` that others may not enter."""
    ways = reversed(path.parents)
    return next((way for way in ways if not way.stat().st_mode & stat.S_IXOTH), None)


def opening(needed: list[Path], aside: str) -> list[list[str]]:
    """The commands that open the way to `needed`, in a namespace of mounts of one's own."""
    behind: dict[Path, list[Path]] = {}
    for path in needed:
        if folder := closed(path):
            behind.setdefault(folder, []).append(path)
    commands = []
    for folder, paths in behind.items():
        commands.append(["mount", "--rbind", str(folder), aside])
        commands.append(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(folder)])
        for path in paths:
            commands.append(["mkdir", "-p", str(path)])
            commands.append(["mount", "--rbind", f"{aside}/{path.relative_to(folder)}", str(path)])
        commands.append(["umount", "-l", aside])
    return commands


def run(arguments: list[str]) -> int:
    """Python with these arguments as the other user, in the checkout: its exit status."""
    folders = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    needed = sorted(path for path in folders if not folders & set(path.parents))
    with tempfile.TemporaryDirectory() as aside, tempfile.TemporaryDirectory() as home:
        os.chown(home, USER, USER)
        env = os.environ | {"HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1"}
        user = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
        commands = [*opening(needed, aside), ["cd", str(ROOT)]]
        commands.append(["exec", *user, sys.executable, *arguments])
        script = " && ".join(map(shlex.join, commands))
        private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        return subprocess.run(private, env=env).returncode


def main() -> int:
    if os.getuid() != 0:
        print("You are an ordinary user: the tests have run as one.")
        return 0
    files = [f"tests/gradedesk/test_{name}.py" for name in TESTS]
    options = ["-n", "2", "--dist", "loadscope", "-o", "cache_dir=/tmp/no-cache"]
    return run(sys.argv[1:] or ["-m", "pytest", *options, *files])


if __name__ == "__main__":
    sys.exit(main())
