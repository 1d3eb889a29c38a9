"""The pages for instructors: every command on them runs, in order, in a copy of the course."""

import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gradedesk.sandbox.bwrap import INSTALL

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "chapters" / "for-instructors"
COPIED = (
    "gradedesk labs solutions storyland tests tinygpt tools conftest.py Makefile "
    "nbgrader_config.py pyproject.toml requirements.txt"
).split()
LAB = "lab01-ngram"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the pages speak of a POSIX shell")

# Programs that ask for a password or go on until they are stopped. Each stand-in checks that what
# the page says is what it should be.
SUDO = f"""\
[ "sudo $*" = "{INSTALL}" ] && command -v bwrap
"""
JUPYTER = """\
[ "$1" = lab ] && shift
"{python}" -m jupyterlab --no-browser --allow-root --ip=127.0.0.1 --port={port} \\
    --ServerApp.port_retries=0 --IdentityProvider.token=t "$@" > jupyter.log 2>&1 &
server=$!
trap 'kill $server; wait $server' EXIT
"{python}" - <<'END'
import json, time, urllib.request
address = "http://127.0.0.1:{port}/formgrader/api/submissions/{lab}?token=t"
for _ in range(1200):
    try:
        found = json.load(urllib.request.urlopen(address, timeout=300))
        break
    except OSError:
        time.sleep(0.5)
assert len(found) == 3 and any(row["needs_manual_grade"] for row in found), found
END
"""


def blocks(page):
    """The commands of a page: its fenced blocks marked sh or console, as scripts."""
    text = (PAGES / page).read_text(encoding="utf-8")
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "console":
            yield "\n".join(re.findall(r"^\$ (.*)", body, re.MULTILINE))
        elif language in ("sh", "bash", "shell"):
            yield body


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def course(tmp_path, free_port):
    """A copy of the course, with what an instructor has downloaded lying in it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(source, tmp_path / name, ignore=ignore)
        else:
            shutil.copy(source, tmp_path / name)
    solution = (ROOT / "solutions" / LAB / f"{LAB}.ipynb").read_bytes()
    blank = (ROOT / "labs" / LAB / f"{LAB}.ipynb").read_bytes()
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as archive:
        archive.writestr(f"lovelaceada_12345_901_{LAB}.ipynb", solution)
        archive.writestr(f"turingalan_LATE_12346_902_{LAB}-1.ipynb", blank)
    (tmp_path / "inbox" / "grace").mkdir(parents=True)
    (tmp_path / "inbox" / "grace" / f"{LAB}.ipynb").write_bytes(blank)
    programs = {
        "sudo": SUDO,
        "jupyter": JUPYTER.format(python=sys.executable, port=free_port, lab=LAB),
        "gradedesk": f'exec "{sys.executable}" -m gradedesk "$@"\n',
        "python": f'exec "{sys.executable}" "$@"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\nset -eu\n{body}", encoding="utf-8", newline="\n")
        path.chmod(0o755)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.md")))
def test_every_command_of_a_page_runs(page, course):
    scripts = list(blocks(page))
    assert scripts, f"{page} has no command: is a fence marked otherwise?"
    env = os.environ | {
        "PATH": f"{course / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(course),
        "VENV": sys.prefix,
    }
    for name in ("NO_SKIP", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "GRADEDESK_DB"):
        env.pop(name, None)
    for script in scripts:
        done = subprocess.run(
            ["bash", "-eu", "-c", script], cwd=course, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    if page == "index.md":
        made = [
            "handout/lab01-ngram.zip",
            "handout/lab02-bpe.zip",
            "grading/submitted/lovelaceada-12345/lab01-ngram/lab01-ngram.ipynb",
            "grading/feedback/grace/lab01-ngram.html",
            "grading/report.html",
            "grading/gradebook.db",
        ]
        assert [name for name in made if not (course / name).is_file()] == []
        grades = (course / "grades-canvas.csv").read_text(encoding="utf-8")
        assert "lovelaceada,12345,,,90," in grades and "grace,,,,0," in grades


def test_every_command_that_a_page_names_in_a_line_exists():
    """`gradedesk ...` and `make ...` in running text, too."""
    from typer.main import get_command

    from gradedesk.cli import app

    commands = get_command(app).commands
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for path in PAGES.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"`gradedesk ([a-z]+)", text)) <= set(commands), path.name
        assert set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets), path.name


def test_the_container_recipe_copies_what_is_there_and_starts_the_desk():
    recipe = (ROOT / "gradedesk" / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (\S+) ", recipe, re.MULTILINE)
    assert copied and all((ROOT / name).is_file() for name in copied)
    assert 'ENTRYPOINT ["python", "-m", "gradedesk"]' in recipe
    assert "bubblewrap" in recipe and "--file gradedesk/Dockerfile" in recipe
