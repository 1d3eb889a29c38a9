"""Make the environment that the course runs in, or check one that exists.

    python tools/setup.py                    # .venv, with the pins of requirements.txt
    python tools/setup.py --torch cpu        # PyTorch's own build: cpu, cuda or one such as cu126
    python tools/setup.py --venv PATH        # an environment of your own: checked, never changed

A second run with the same pins returns at once. It needs nothing but Python, so
that it also serves where there is no `make`. What pip says goes to .venv/pip.log.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / ".venv"
PINS = ROOT / "requirements.txt"
PROJECT = ROOT / "pyproject.toml"
PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"
OLDEST, NEWEST = (3, 11), (3, 13)
CUDA = "cu130"  # the CUDA version that torch's default build for Linux is made for
INDEX = "https://download.pytorch.org/whl/"


def check_python():
    """Stop with one line where this Python cannot make the environment."""
    found = ".".join(map(str, sys.version_info[:3]))
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            f"The course needs Python 3.11, 3.12 or 3.13 and {sys.executable} is {found}. "
            "Name another one: make book PYTHON=python3.12"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            f"{sys.executable} ({found}) has no venv module. On Debian or Ubuntu: "
            "apt install python3-venv; then run this again."
        )


def torch_requirement(choice):
    """The arguments with which pip installs torch by exact version: "" is pip's default build."""
    pin = re.search(r"^torch==([\w.]+)", PINS.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    if not choice:
        return [f"torch=={pin}"]
    build = CUDA if choice == "cuda" else choice
    # PyTorch names the build in the version, but for macOS, which has only one.
    local = "" if sys.platform == "darwin" else f"+{build}"
    return [f"torch=={pin}{local}", "--extra-index-url", INDEX + build]


def install(choice):
    """Bring .venv to the pins, torch first: any looser request for it pulls another build."""
    pins, project = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (PINS, PROJECT))
    stamp = OWN / "installed.txt"
    done = stamp.read_text(encoding="utf-8").split() if stamp.exists() else ["", "", ""]
    steps = []
    if done[0] != pins or choice not in ("", done[2]):
        steps += [
            (
                "PyTorch, usually 1 to 3 minutes",
                [*torch_requirement(choice), "--constraint", PINS],
            ),
            ("about 200 packages, usually 1 to 3 minutes", ["--requirement", PINS]),
        ]
    if steps or done[1] != project:
        course = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
        steps += [("the course itself, a few seconds", course)]
    if not steps:
        return
    python = OWN / PYTHON
    if not python.exists():
        check_python()
        print("Making .venv; the first time this takes some minutes and about 2 GB.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", OWN], check=True)
    stamp.unlink(missing_ok=True)
    log = OWN / "pip.log"
    log.write_bytes(b"")
    for number, (what, arguments) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] Installing {what} ... ", end="", flush=True)
        started = time.monotonic()
        pip(python, arguments, log)
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    stamp.write_text(f"{pins} {project} {choice or done[2] or 'default'}", encoding="utf-8")


def pip(python, arguments, log):
    """Install without a word; where that fails, show the error and say where the rest stands."""
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    with log.open("ab") as out:
        failed = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    if failed:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if re.match(r"\s*(ERROR|error)\b", line)]
        print("failed", *(errors or lines)[-5:], sep="\n", flush=True)
        shown = log.relative_to(ROOT).as_posix()
        sys.exit(f"The environment is not complete: what pip said is in {shown}. Run this again.")


def needed():
    """The packages that the pages, the labs, the desk and the tests import: pyproject.toml's."""
    import tomllib  # not in a Python that is too old, which gets a line of its own

    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    every = project["dependencies"] + extras["desk"] + extras["course"]
    return list(dict.fromkeys(re.match(r"[\w.-]+", one)[0] for one in every))


def check(venv):
    """Stop with one line where the environment at `venv` lacks something."""
    python = venv / PYTHON
    if not python.exists():
        sys.exit(
            f"{venv} is no Python environment (it has no {PYTHON}). Leave it out to make .venv."
        )
    code = (
        "import sys, importlib.metadata as m\n"
        "print(*[n for n in sys.argv[1:] if not next(m.Distribution.discover(name=n), None)])"
    )
    missing = subprocess.run(
        [python, "-c", code, *needed()], check=True, capture_output=True, text=True
    ).stdout.split()
    if missing:
        sys.exit(
            f"{venv} lacks {', '.join(missing)}. Add them with: "
            f"{python} -m pip install -r requirements.txt, or leave it out to make .venv."
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=OWN, help="an environment to use as it is")
    parser.add_argument("--torch", default="", metavar="BUILD", help="cpu, cuda or such as cu126")
    arguments = parser.parse_args()
    if arguments.torch and not re.fullmatch(r"cpu|cuda|cu\d+", arguments.torch):
        parser.error(f"--torch {arguments.torch}: choose cpu, cuda or a build such as cu126")
    if arguments.venv.resolve() == OWN.resolve():
        install(arguments.torch)
    else:
        check(arguments.venv)


if __name__ == "__main__":
    main()
