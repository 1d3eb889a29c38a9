"""Install what the grader's tests take from the system, where that is allowed.

    python tools/system.py

On Debian and Ubuntu, as root or with sudo that asks for no password, missing packages are
installed. Elsewhere the one command to run is printed, and the tests that need them are skipped,
which pytest shows.
"""

import glob
import os
import shutil
import subprocess
import sys

# package: is it there?
PACKAGES = {
    "bubblewrap": lambda: shutil.which("bwrap"),
    "postgresql": lambda: shutil.which("initdb") or glob.glob("/usr/lib/postgresql/*/bin/initdb"),
}


def main() -> None:
    missing = [name for name, there in PACKAGES.items() if not there()]
    if not missing or not sys.platform.startswith("linux"):
        return
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    if not shutil.which("apt-get"):
        print(f"Some tests need {' and '.join(missing)}: install them with your package manager.")
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if root and (not shutil.which("sudo") or subprocess.run(
            [*root, "true"], capture_output=True).returncode):
        print(f"Some tests need {' and '.join(missing)}: sudo {' '.join(install)}")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"Installing {' and '.join(missing)}.", flush=True)
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run([*root, *command], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed: see its lines above, or install "
                     f"{' and '.join(missing)} by hand.")


if __name__ == "__main__":
    main()
