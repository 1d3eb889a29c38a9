"""Install what the tests of the grader and of the rendered book take from outside Python.

    python tools/system.py

On Debian and Ubuntu, as root or with sudo that asks for no password, missing packages are
installed; then axe-core, which judges the book's pages, comes from npm. Elsewhere the one command
to run is printed, and the tests that need them are skipped, which pytest shows.
"""

import glob
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

BROWSER = Path(__file__).resolve().parent.parent / "tests" / "browser"


def chromium() -> str | None:
    """The browser's path, by any name that a distribution gives it."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def axe_there() -> bool:
    """Is axe-core here, in the version that package.json pins?"""
    pinned = json.loads((BROWSER / "package.json").read_text())["devDependencies"]["axe-core"]
    installed = BROWSER / "node_modules" / "axe-core" / "package.json"
    return installed.is_file() and json.loads(installed.read_text())["version"] == pinned


# package: is it there?
PACKAGES = {
    "bubblewrap": lambda: shutil.which("bwrap"),
    "postgresql": lambda: shutil.which("initdb") or glob.glob("/usr/lib/postgresql/*/bin/initdb"),
    "chromium": chromium,
    "npm": lambda: shutil.which("npm") or axe_there(),
}


def missing_packages() -> list[str]:
    missing = [name for name, there in PACKAGES.items() if not there()]
    if "chromium" in missing and platform.freedesktop_os_release().get("ID") == "ubuntu":
        # Its package is an empty one that sends for the snap.
        print(
            "The tests of the book's pages need a browser, which Ubuntu has as a snap only:"
            " sudo snap install chromium"
        )
        missing.remove("chromium")
    return missing


def install_packages(missing: list[str]) -> None:
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing]
    if not shutil.which("apt-get"):
        print(f"Some tests need {' and '.join(missing)}: install them with your package manager.")
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if root and (
        not shutil.which("sudo") or subprocess.run([*root, "true"], capture_output=True).returncode
    ):
        print(f"Some tests need {' and '.join(missing)}: sudo {' '.join(install)}")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"Installing {' and '.join(missing)}.", flush=True)
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run([*root, *command], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(
                f"{' '.join(command)} failed: see its lines above, or install "
                f"{' and '.join(missing)} by hand."
            )


def install_axe() -> None:
    if axe_there() or not shutil.which("npm"):
        return
    print("Installing axe-core.", flush=True)
    command = ["npm", "ci", "--prefix", str(BROWSER), "--no-audit", "--no-fund"]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        print(
            f"{' '.join(command)} failed: see its lines above. The tests of the book's pages"
            " need it."
        )


def main() -> None:
    if not sys.platform.startswith("linux"):
        return
    if missing := missing_packages():
        install_packages(missing)
    install_axe()


if __name__ == "__main__":
    main()
