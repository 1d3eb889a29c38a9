"""Ten honest submissions to a lab, graded by the desk and by nbgrader's own command.

Both get the same files and start from nothing; `nbgrader autograde` keeps its own defaults. That
the two give the same points is checked each time.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from gradedesk.results.journal import Journal
from gradedesk.trial.maker import Maker

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = "lab01-ngram"
JOBS = 2
TICK = 0.02  # seconds between two looks at the memory

# What `gradedesk grade` does; the command itself is always warm.
GRADE = """
import importlib, sys, threading
from pathlib import Path
from gradedesk.desk import Desk
from gradedesk.grading import grade
from gradedesk.lab import Lab
desk, lab = Desk(Path(sys.argv[1])), Lab.load(sys.argv[2])
threading.Thread(target=importlib.import_module, args=["gradedesk.results.gradebook"]).start()
batch = grade.grade(desk, lab, jobs=int(sys.argv[3]), warm=sys.argv[4] == "warm")
from gradedesk.results import gradebook
gradebook.update(desk.database, lab, list(batch.results.values()), desk)
"""


class TenSubmissions:
    """A desk and a course folder of nbgrader's, in a folder that goes with this object."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.desk, self.course = (Path(self._folder.name) / name for name in ("desk", "course"))
        maker = Maker(LAB)
        correct, half, _, own_cells = maker.honest()
        cases = [correct, half, own_cells, *maker.mistaken()[:7]]
        self.count = len(cases)
        for case in cases:
            for root in (self.desk, self.course):
                folder = root / "submitted" / case.student / LAB
                folder.mkdir(parents=True)
                (folder / f"{LAB}.ipynb").write_bytes(case.data)
        shutil.copytree(ROOT / "solutions" / LAB, self.course / "source" / LAB)
        self._nbgrader("generate_assignment", LAB)
        self.fresh = (self.course / "gradebook.db").read_bytes()

    def grade(self, warm: bool) -> None:
        """Grade all ten with the desk."""
        self._wait(self._start(warm))

    def _start(self, warm: bool) -> subprocess.Popen:
        for path in self.desk.iterdir():
            if path.is_file():
                path.unlink()
        shutil.rmtree(self.desk / "autograded", ignore_errors=True)
        how = [str(self.desk), str(ROOT / "solutions" / LAB), str(JOBS), "warm" if warm else "cold"]
        return self._run([sys.executable, "-c", GRADE, *how], self.desk)

    def autograde(self) -> None:
        """Grade all ten with nbgrader."""
        shutil.rmtree(self.course / "autograded", ignore_errors=True)
        (self.course / "gradebook.db").write_bytes(self.fresh)
        self._nbgrader("autograde", LAB)

    def compare(self) -> None:
        """ValueError unless the two gave everybody the same points."""
        from nbgrader.api import Gradebook

        with Gradebook(f"sqlite:///{self.course / 'gradebook.db'}") as book:
            theirs = {row["student"]: row["code_score"] for row in book.submission_dicts(LAB)}
        ours = {result.student: result.points for result in Journal(self.desk / "journal.jsonl")}
        if ours != theirs:
            raise ValueError(f"The points differ: {ours} here, {theirs} by nbgrader.")

    def note(self, warm: bool) -> str:
        """Compare the points, and find the largest resident memory of each kind of process."""
        self.compare()
        process = self._start(warm)
        desk = psutil.Process(process.pid)
        most = {"sandboxed": 0, "trusted": 0}
        waiting = threading.Thread(target=self._wait, args=(process,))
        waiting.start()
        while waiting.is_alive():
            for below, kind in _kinds(desk):
                with contextlib.suppress(psutil.Error):
                    most[kind] = max(most[kind], below.memory_info().rss)
            waiting.join(TICK)
        sizes = " and ".join(f"{kind} {size / 2**20:.0f} MB" for kind, size in most.items())
        return f"the same points as nbgrader; peak resident memory of a process: {sizes}"

    def _nbgrader(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        self._wait(self._run(command, self.course))

    def _run(self, command: list[str], folder: Path) -> subprocess.Popen:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}  # nbgrader calls alembic
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=folder, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def _wait(self, process: subprocess.Popen) -> None:
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(process.args[:4])} failed:\n{said[-2000:]}")


def _kinds(desk: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    """The desk's processes that hold a submission: all below bubblewrap, and our own above it."""
    with contextlib.suppress(psutil.Error):
        for process in desk.children():
            for below in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    parents = [parent.name() for parent in below.parents()]
                    if "bwrap" in parents:
                        yield below, "sandboxed"
                    elif "gradedesk.grading.trusted" in below.cmdline():
                        yield below, "trusted"
