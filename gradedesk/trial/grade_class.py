"""Make a class, grade it as an instructor would, and print what its attacks came to.

    python -m gradedesk.trial.grade_class                lab01-ngram
    python -m gradedesk.trial.grade_class lab02-bpe

Its desk, with the feedback pages and the report, is _build/class/<lab>. Exit code 1 if a submission
did not end as it should.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gradedesk import sandbox
from gradedesk.desk import Desk
from gradedesk.lab import Lab
from gradedesk.results.journal import Journal
from gradedesk.results.result import Result
from gradedesk.trial.case import Case
from gradedesk.trial.make_class import write
from gradedesk.trial.maker import ROOT, Maker

ABSENT = "absent"  # on the class list, and hands in nothing


def prepare(cases: list[Case], lab: str, out: Path) -> Path:
    """The class list on the desk, and the archive that Canvas would give."""
    shutil.rmtree(out, ignore_errors=True)
    archive = out / "submissions.zip"
    files = write(cases, lab, out / "inbox")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            zipped.write(path, path.name)
    numbers = [path.name.split("_")[1] for path in files]
    with open(out / "roster.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["student", "name", "id"])
        for case, number in zip(cases, numbers, strict=True):
            rows.writerow([case.student, case.name, number])
        rows.writerow([ABSENT, ABSENT, "10000"])
    return archive


def gradedesk(*arguments: str, shown: bool = True) -> str:
    """Run the command; what it printed, if that is not to be shown."""
    print("$ gradedesk", *arguments, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "gradedesk", *arguments],
        cwd=ROOT,
        stdout=None if shown else subprocess.PIPE,
        text=True,
    )
    if done.returncode not in (0, 1):  # 1: some submissions could not be graded
        sys.exit(done.returncode)
    return done.stdout or ""


def attacks(cases: list[Case], lab: Lab, results: dict[str, Result]) -> tuple[Table, str]:
    """What each attack tried and what came of it, a line each, and the sum of it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Submission", no_wrap=True)
    table.add_column("It tries", overflow="fold")
    table.add_column("Outcome", no_wrap=True)
    for name in ("Points", "Wrongly"):
        table.add_column(name, justify="right")
    contained, given = 0, 0.0
    for case in cases:
        result = results[case.student]
        wrongly = case.wrongly_given(lab, result)
        contained += not case.faults(lab, result)
        given += wrongly
        table.add_row(case.name, case.what, result.status, f"{result.points:g}", f"{wrongly:g}")
    return table, f"{len(cases)} tried, {contained} contained, {given:g} points wrongly given."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lab", nargs="?", default="lab01-ngram", help="such as lab02-bpe")
    lab = parser.parse_args().lab
    if why := sandbox.available():
        sys.exit(why)
    maker = Maker(lab)
    desk = ROOT / "_build" / "class" / lab
    archive = prepare(maker.cases(), lab, desk)
    at = ["--desk", str(desk.relative_to(ROOT))]
    collect = ["collect", lab, str(archive.relative_to(ROOT)), "--format", "canvas"]
    said = gradedesk(*collect, *at, shown=False).splitlines()
    print(*(line for line in said if not line.startswith("collected:")), sep="\n")
    gradedesk("grade", lab, "--jobs", "2", *at)
    gradedesk("feedback", lab, *at)
    gradedesk("report", lab, *at)
    gradedesk("export", *at)

    results = {name: r for (name, _), r in Journal(Desk(desk).journal).latest(lab).items()}
    out = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    table, summary = attacks(maker.attacks(), maker.lab, results)
    out.print()
    out.print(table)
    out.print(summary)
    faults = [(case, case.faults(maker.lab, results[case.student])) for case in maker.cases()]
    for case, said in faults:
        for fault in said:
            print(f"{case.name}: {fault}")
    right = sum(not said for _, said in faults) + (results[ABSENT].status == "missing")
    out.print(f"{right} of {len(results)} submissions ended as they should.")
    return int(right != len(results))


if __name__ == "__main__":
    sys.exit(main())
