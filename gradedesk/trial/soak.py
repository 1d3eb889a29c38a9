"""Grade a large class while the grader is killed at random moments, and see that nothing is lost.

    python -m gradedesk.trial.soak             2,000 submissions, every 20th hostile: 15 minutes
    python -m gradedesk.trial.soak --count 60  a small one

`gradedesk grade` is started again after each kill -9 until a run ends by itself. Then every
submission has one line in the journal and no more, the gradebook holds the journal's points, no
hostile one has a point it should not have, and no process and no temporary file is left. Exit code
1 if any of that is not so; the desk then stays to be looked at.
"""

import argparse
import contextlib
import ctypes
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from gradedesk import sandbox
from gradedesk.lab import Lab
from gradedesk.results.journal import Journal
from gradedesk.trial.case import Case
from gradedesk.trial.maker import ROOT, Maker

LAB = "lab01-ngram"
EVERY = 20  # one of so many is hostile
# What uses up its time is there once; every other case comes again and again.
SLOW = {"loop", "loop-that-swallows", "loop-at-once", "loops-everywhere", "forks"}
LIMITS = {
    "cell_seconds": 10,
    "total_seconds": 40,
    "memory_bytes": 512 << 20,
    "file_bytes": 16 << 20,
}
LONGER = 1.5  # so much more time has the next run after one that got nothing done: one has to end
GONE = 10.0  # seconds in which what a killed grader left has to end


def submissions(maker: Maker, count: int, rng: random.Random) -> dict[str, Case]:
    """The class, by student: honest and mistaken answers, every 20th hostile."""
    hostile = maker.hostile()
    rng.shuffle(hostile)
    quick = [case for case in hostile if case.name not in SLOW]
    attacks = itertools.chain(hostile, itertools.cycle(quick))
    honest = itertools.cycle([*maker.honest(), *maker.mistaken()])
    cases = (next(honest if n % EVERY else attacks) for n in range(1, count + 1))
    return {f"{n:04}-{case.student}": case for n, case in enumerate(cases, 1)}


def lay_out(out: Path, cases: dict[str, Case]) -> None:
    """A course with the lab and its short limits, a desk with the submissions, a folder for tmp."""
    for part in ("solutions", "labs"):
        shutil.copytree(ROOT / part / LAB, out / "course" / part / LAB)
    path = out / "course" / "solutions" / LAB / f"{LAB}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["metadata"]["gradedesk"] = {"limits": LIMITS}
    path.write_text(json.dumps(notebook), encoding="utf-8", newline="\n")
    for student, case in cases.items():
        folder = out / "desk" / "submitted" / student / LAB
        folder.mkdir(parents=True)
        (folder / f"{LAB}.ipynb").write_bytes(case.data)
    (out / "tmp").mkdir()


# --- Killing -------------------------------------------------------------------------------------


@dataclass
class Runs:
    """What happened until a run of the grader ended by itself."""

    kills: int = 0
    early: int = 0  # kills before the run had its first result
    late: int = 0  # kills after the last result, while the gradebook was written
    torn: int = 0  # kills that left half a line in the journal
    code: int = 0  # how the last run ended
    said: str = ""  # on stderr, by all runs
    seconds: float = 0.0


class Lines:
    """Counts the whole lines of a growing file."""

    def __init__(self, path: Path):
        self.path, self.at, self.count = path, 0, 0

    def __call__(self) -> int:
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(self.at)
            new = file.read()
            self.count += new.count(b"\n")
            self.at += new.rfind(b"\n") + 1
        return self.count

    @property
    def torn(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > self.at


def run_until_done(
    out: Path, count: int, jobs: int, rng: random.Random, pause: float, options: list[str]
) -> Runs:
    """Start the grader and kill it, after `pause` seconds on average, until it ends by itself."""
    runs, start = Runs(), time.monotonic()
    lines = Lines(out / "desk" / "journal.jsonl")
    command = [sys.executable, "-m", "gradedesk", "grade", LAB, "--jobs", str(jobs), *options]
    command += ["--desk", str(out / "desk"), "--course", str(out / "course")]
    env = os.environ | {"TMPDIR": str(out / "tmp"), "GRADEDESK_SECRET": "1.5"}
    with (
        open(out / "grade.log", "w+b") as log,
        open(out / "errors.log", "w+b") as errors,
        tqdm(total=count, unit="submission", smoothing=0.05, disable=None) as bar,
    ):
        while True:
            before = lines()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=errors, env=env, cwd=ROOT
            )
            try:
                until = time.monotonic() + rng.expovariate(1 / pause)
                while process.poll() is None and (left := until - time.monotonic()) > 0:
                    time.sleep(min(0.1, left))
                    bar.update(lines() - bar.n)
            finally:
                process.kill()
                runs.code = process.wait()
            if runs.code >= 0:
                break
            runs.kills += 1
            done = lines()
            runs.torn += lines.torn
            runs.early += done == before < count
            runs.late += done >= count
            pause *= 1 if done > before else LONGER
            bar.update(done - bar.n)
            bar.set_postfix(kills=runs.kills)
        errors.seek(0)
        runs.said = errors.read().decode("utf-8", "replace").strip()
    runs.seconds = time.monotonic() - start
    return runs


def adopt() -> None:
    """Make this process the parent of every orphan below it (Linux), so that none is overlooked."""
    pr_set_child_subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def left_behind() -> list[str]:
    """The processes below this one that are still there after a few seconds."""
    deadline = time.monotonic() + GONE
    while True:
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    process.wait(0)
                else:
                    found.append(" ".join(process.cmdline())[:100] or process.name())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


# --- Looking -------------------------------------------------------------------------------------


@dataclass
class Counts:
    """What lies on the desk: each of these but the first two has to be 0."""

    lines: int = 0
    needs_care: int = 0  # partly graded
    lost: int = 0
    twice: int = 0
    damaged: int = 0
    wrong: int = 0  # not as the case says it should be
    wrongly_given: float = 0.0
    differing: int = 0  # in the gradebook


def look(desk: Path, lab: Lab, cases: dict[str, Case]) -> tuple[Counts, list[str]]:
    """Count, and say what is not as it should be, a line each."""
    counts, said = Counts(), []
    journal = Journal(desk / "journal.jsonl")
    results, keys = {}, Counter()
    for result in journal:
        counts.lines += 1
        keys[result.key] += 1
        results[result.student] = result
    counts.damaged = len(journal.damaged)
    said += [f"The journal's line {number} cannot be read." for number in journal.damaged]
    for key, times in keys.items():
        if times > 1:
            counts.twice += 1
            said.append(f"{key[0]} was graded {times} times.")
    said += [f"{student} is nobody's." for student in sorted(results.keys() - cases.keys())]
    scores = gradebook_points(desk)
    for student, case in cases.items():
        result = results.get(student)
        if result is None:
            counts.lost += 1
            said.append(f"{student} has no result.")
            continue
        counts.needs_care += result.status == "partly"
        counts.wrongly_given += case.wrongly_given(lab, result)
        faults = case.faults(lab, result)
        counts.wrong += bool(faults)
        said += [f"{student}: {fault}" for fault in faults]
        if abs(scores.get(student, -1.0) - result.points) > 1e-6:
            counts.differing += 1
            said.append(f"{student}: {scores.get(student)} in the gradebook, not {result.points}.")
    return counts, said


def gradebook_points(desk: Path) -> dict[str, float]:
    """Each student's points by tests, as nbgrader itself reads the gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{desk / 'gradebook.db'}") as book:
        return {row["student"]: row["code_score"] for row in book.submission_dicts(LAB)}


def figures(
    cases: dict[str, Case], hostile: int, runs: Runs, counts: Counts, tmp: int, left: int
) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    minutes = runs.seconds / 60
    rows = {
        "submissions": f"{len(cases):,}",
        "  of them hostile": f"{hostile:,}",
        "minutes, with what the kills cost": f"{minutes:.1f}",
        "submissions a minute": f"{len(cases) / minutes:.0f}",
        "kills of the grader": f"{runs.kills}",
        "  before its run's first result": f"{runs.early}",
        "  after the last result": f"{runs.late}",
        "  leaving half a line": f"{runs.torn}",
        "lines in the journal": f"{counts.lines:,}",
        "  of submissions partly graded": f"{counts.needs_care}",
        "submissions lost": f"{counts.lost}",
        "submissions graded twice": f"{counts.twice}",
        "lines that cannot be read": f"{counts.damaged}",
        "results other than the case asks for": f"{counts.wrong}",
        "points wrongly given": f"{counts.wrongly_given:g}",
        "gradebook unlike the journal": f"{counts.differing}",
        "processes left": f"{left}",
        "temporary files left": f"{tmp}",
    }
    for row in rows.items():
        table.add_row(*row)
    return table


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """An empty folder that goes when all is well, and stays otherwise."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    yield path
    shutil.rmtree(path)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="submissions (default 2000)")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the class and of the kills")
    parser.add_argument(
        "--pause", type=float, default=10.0, help="seconds to the first kill, on average"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "soak", help="a folder")
    parser.add_argument("options", nargs="*", help="options of `gradedesk grade`, after --")
    args = parser.parse_args(arguments)
    if why := sandbox.available():
        sys.exit(why)
    adopt()
    rng = random.Random(args.seed)
    maker = Maker(LAB)
    cases = submissions(maker, args.count, rng)
    hostile = {case.name for case in maker.hostile()}
    attacks = sum(case.name in hostile for case in cases.values())
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(folder(args.out.resolve()))
        lay_out(out, cases)
        runs = run_until_done(out, len(cases), args.jobs, rng, args.pause, args.options)
        left = left_behind()
        files = sorted(path.name for path in (out / "tmp").iterdir())
        counts, said = look(out / "desk", maker.lab, cases)
        if runs.code not in (0, 1) or runs.said:  # 1: some submissions are partly graded
            said.insert(0, f"The grader ended with {runs.code} and said: {runs.said[-300:]}")
        said += [f"Still running: {re.sub(r'[^ -~]', '?', line)}" for line in left]
        said += [f"Left in the temporary folder: {name}" for name in files]
        Console(highlight=False).print(figures(cases, attacks, runs, counts, len(files), len(left)))
        if said:
            stack.pop_all()
            print(*said[:40], sep="\n")
            print(f"{len(said)} violations. The desk stays in {out}.")
            return 1
    print("No violation.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
