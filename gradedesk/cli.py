"""The command `gradedesk`: each of its commands is a few lines around a function of the package.

Exit codes: 0 all is well, 1 something could not be graded, checked or written, 2 wrong usage.
"""

import importlib
import os
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from gradedesk import lab as labs
from gradedesk import streams
from gradedesk.board import Who
from gradedesk.desk import Desk
from gradedesk.lab import Lab
from gradedesk.names import KEPT, DeskError, DeskFailure, shown
from gradedesk.results.journal import Journal

INTERRUPTED = 130  # what shells give for Ctrl-C

app = typer.Typer(
    name="gradedesk",
    help="The instructor's desk: release, collect, grade and report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Platform(StrEnum):
    """Where submissions come from."""

    canvas = "canvas"
    moodle = "moodle"
    plain = "plain"


class Sheet(StrEnum):
    """What kind of grade file is written."""

    canvas = "canvas"
    moodle = "moodle"
    csv = "csv"


LabName = Annotated[str, typer.Argument(metavar="LAB", help="Such as lab01-ngram.")]
LabNames = Annotated[list[str], typer.Argument(metavar="LAB...", help="Such as lab01-ngram.")]


def _desk(text: str) -> Desk:
    folder = Path(text)
    if folder.exists() and not folder.is_dir():
        raise DeskError(f"{folder} is a file and no desk: give --desk a folder.")
    return Desk(folder)


OnDesk = Annotated[
    Desk,
    typer.Option(
        "--desk",
        parser=_desk,
        metavar="PATH",
        help="The desk's folder.",
        show_default=True,
    ),
]
Course = Annotated[Path, typer.Option(help="The folder with solutions/ and labs/.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar="GRADEDESK_DB",
        metavar="URL",
        help="The gradebook's database; without it gradebook.db on the desk.",
    ),
]
DESK, COURSE = "grading", Path(".")  # DESK goes through its parser, as what a user gives


def _out() -> Console:
    # Not shorter than this where there is no terminal to ask, as in a file.
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


def _err() -> Console:
    return Console(stderr=True, highlight=False)


def _lab(name: str, course: Path) -> Lab:
    return labs.find(_name(name), course / "solutions")


def _name(text: str) -> str:
    """LAB may be given as a path, as the shell completes it."""
    return Path(text).name.removesuffix(".ipynb")


@app.command(epilog="Example: gradedesk release lab01-ngram lab02-bpe --out handout")
def release(
    names: LabNames,
    out: Annotated[Path, typer.Option(help="The folder for the archives.")] = Path("handout"),
    course: Course = COURSE,
    force: Annotated[bool, typer.Option(help="Overwrite archives.")] = False,
) -> None:
    """Make one archive a lab for students: no solutions, no hidden tests."""
    from gradedesk import release as command

    for name in names:
        print(command.release(_name(name), out, course, force))


@app.command(
    epilog="Example: gradedesk collect lab01-ngram submissions.zip --format canvas "
    "--deadline 2026-10-12T23:59+02:00"
)
def collect(
    name: LabName,
    source: Annotated[
        Path, typer.Argument(metavar="ARCHIVE|FOLDER", help="What the platform gave.")
    ],
    form: Annotated[Platform, typer.Option("--format", help="Who named the files.")],
    deadline: Annotated[
        str | None, typer.Option(help="ISO time; what came later is marked late.")
    ] = None,
    desk: OnDesk = DESK,
) -> None:
    """Put the submissions of a class on the desk; what is unsafe is refused, entry by entry."""
    from gradedesk.intake import collect as command

    when = None
    if deadline is not None:
        when = _time(deadline)
    report = command.collect(_name(name), source, form.value, desk, deadline=when)
    for line in report.lines():
        print(line)
    if report.refused:
        raise typer.Exit(1)


def _time(text: str):
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise DeskError(
            f"--deadline {shown(text)!r} is no time: write it as 2026-10-12T23:59+02:00."
        ) from None


@app.command(epilog="Example: gradedesk grade lab01-ngram --jobs 4")
def grade(
    name: LabName,
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="How many submissions at a time.")
    ] = max(1, (os.cpu_count() or 2) // 2),
    student: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    regrade: Annotated[bool, typer.Option(help="Also what is graded already.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask cluster, as tcp://host:8786.")
    ] = None,
    sandbox: Annotated[bool, typer.Option(help="--no-sandbox is for your own work only.")] = True,
    desk: OnDesk = DESK,
    course: Course = COURSE,
    db: Database = None,
) -> None:
    """Grade a class in the sandbox; stop it anywhere and run it again to go on."""
    from gradedesk import sandbox as box
    from gradedesk.grading import grade as command

    lab = _lab(name, course)
    if not sandbox:
        _err().print(Text(f"--no-sandbox: {box.GIVEN_UP}"))
    elif scheduler is None and (why := box.available()):
        raise DeskError(why)
    start = time.monotonic()
    with _progress() as progress:
        bar = progress.add_task(lab.name, total=None)

        def on_start(total: int, done: int) -> None:
            progress.update(bar, total=total - done)
            # Its imports take more than a second, in which the workers keep this process idle.
            threading.Thread(
                target=importlib.import_module, args=["gradedesk.results.gradebook"]
            ).start()

        batch = command.grade(
            desk,
            lab,
            jobs=jobs,
            student=student,
            regrade=regrade,
            isolated=sandbox,
            scheduler=scheduler,
            on_start=on_start,
            on_result=lambda result: progress.advance(bar),
        )
    seconds = time.monotonic() - start
    if batch.cold:
        _err().print(Text(f"Without warm workers, which is slower: {shown(batch.cold, 300)}"))
    if batch.stopped:
        _err().print(
            f"Stopped. {len(batch.graded)} graded now and kept, {len(batch.left)} to do: "
            "run the same command again to go on."
        )
        raise typer.Exit(INTERRUPTED)
    from gradedesk.results import gradebook

    gradebook.update(db or desk.database, lab, list(batch.results.values()), desk)
    _show(batch, seconds)
    if batch.failed:
        raise typer.Exit(1)


def _progress() -> Progress:
    console = _err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=600,  # one slow submission is most of rich's own 30
    )


NAMED = 24  # names in a row of the table; the report has them all
ROWS = {  # status: what the table calls it
    "graded": "graded",
    "tampered": "graded, alterations undone",
    "partly": "partly",
    "unreadable": "unreadable",
    "missing": "missing",
    "grader-error": "error of the grader",
}


def _show(batch, seconds: float) -> None:
    out = _out()
    who = {status: [] for status in ROWS}
    for name, result in batch.results.items():
        who[result.status].append(name)
    rows = {
        label: who[status]
        for status, label in ROWS.items()
        if who[status] or status not in ("tampered", "grader-error")
    }
    rows["needs hand grading"] = [n for n, r in batch.results.items() if r.needs_hand_grading]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Number", justify="right")
    table.add_column("Who", overflow="fold")
    for label, names in rows.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        table.add_row(label, str(len(names)), Text(", ".join(map(shown, names[:NAMED])) + more))
    out.print(table)
    out.print()
    for name, result in batch.results.items():
        if result.status not in ("graded", "missing"):
            out.print(Text(f"{shown(name)}: {ROWS[result.status]}. {shown(result.note, 300)}"))
    count = len(batch.graded)
    speed = f", {60 * count / seconds:.0f} a minute" if count and seconds > 1 else ""
    before = len(batch.results) - count
    out.print(f"{count} graded now ({seconds:.0f} s{speed}), {before} before.")
    if batch.outdated:
        names = ", ".join(map(shown, batch.outdated))
        out.print(Text(f"Graded before the lab was changed (--regrade): {names}"))
    if batch.arrived:
        names = ", ".join(map(shown, batch.arrived))
        out.print(Text(f"Newer submissions came in meanwhile (run it again): {names}"))


@app.command(epilog="Example: gradedesk feedback lab01-ngram")
def feedback(
    name: LabName,
    student: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    desk: OnDesk = DESK,
    course: Course = COURSE,
    db: Database = None,
) -> None:
    """Write one page a student: points, messages, their own cells, nothing hidden."""
    from gradedesk.results import feedback as command

    desk.need()
    lab = _lab(name, course)
    url = db or desk.database
    if student is None:
        pages = command.feedback_all(desk, lab, url)
        print(f"{len(pages)} pages in {desk.feedback}")
    else:
        print(command.feedback(desk, lab, student, url))


@app.command(epilog="Example: gradedesk report lab01-ngram lab02-bpe")
def report(
    names: LabNames,
    board: Annotated[
        Who, typer.Option("--leaderboard", help="What stands for a student on it.")
    ] = Who.anonymous,
    desk: OnDesk = DESK,
    course: Course = COURSE,
    db: Database = None,
) -> None:
    """Write one page about the class: points, most-missed tests, near-identical answers.

    Where a lab's tests say figures, a second page compares them: leaderboard.html, which holds no
    points and may be shown to the class.
    """
    from gradedesk.results import report as command

    desk.need()
    labs = [_lab(name, course) for name in names]
    print(command.report(desk, labs, db or desk.database, board.value))


@app.command(epilog="Example: gradedesk export --format moodle --out grades.csv")
def export(
    form: Annotated[Sheet, typer.Option("--format", help="Who will read the file.")] = Sheet.csv,
    out: Annotated[Path | None, typer.Option(help="Default: grades.csv on the desk.")] = None,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
    desk: OnDesk = DESK,
    db: Database = None,
) -> None:
    """Write the grades as a CSV file, hand-graded points included."""
    from gradedesk.results import export as command
    from gradedesk.results import gradebook

    desk.need()
    scores = gradebook.manual_scores(db or desk.database)
    print(command.export(desk, form.value, out, manual=scores, force=force))


@app.command(epilog="Example: gradedesk rebuild")
def rebuild(desk: OnDesk = DESK, course: Course = COURSE, db: Database = None) -> None:
    """Make the gradebook anew from the journal; grades given by hand are kept."""
    from gradedesk.results import gradebook

    desk.need()
    journal = Journal(desk.journal)
    names = sorted({lab for _, lab in journal.latest()})
    gradebook.rebuild(db or desk.database, [_lab(name, course) for name in names], journal, desk)
    print(f"{len(journal.latest())} results of {len(names)} labs are in the gradebook.")
    if journal.damaged:
        lines = ", ".join(map(str, journal.damaged))
        _err().print(f"{journal.path}: line {lines} cannot be read; `grade` does those again.")
        raise typer.Exit(1)


@app.command(epilog="Example: gradedesk doctor")
def doctor(desk: OnDesk = DESK) -> None:
    """Check this machine, and try to break out of the sandbox."""
    from gradedesk.sandbox import doctor as command

    checks = command.checks(desk.folder if desk.folder.is_dir() else Path("."))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Check", "", "Seen"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        said = check.detail if check.ok else f"{check.detail}\nWhat to do: {check.mend}"
        table.add_row(Text(check.name), "ok" if check.ok else "FAILED", Text(said))
    _out().print(table)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command(epilog="Example: gradedesk check labs/lab01-ngram/lab01-ngram.ipynb")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Your notebook, saved.")],
    course: Course = COURSE,
) -> None:
    """Students: run the public tests on your own notebook and print the points so far."""
    from gradedesk.grading import run

    try:
        data = file.read_bytes()
    except OSError as error:
        raise DeskError(f"{file} cannot be read: {error.strerror}.") from None
    lab = _released(file, course)
    result = run.grade_one(lab, data, "you", isolated=False, hidden=False)
    if result.status in ("unreadable", "grader-error"):
        _err().print(Text(f"{file}: {result.note}"))
        raise typer.Exit(1)
    out = _out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Question")
    for heading in ("Points", "Of"):
        table.add_column(heading, justify="right")
    table.add_column("Passed")
    for question in dict.fromkeys(test.question for test in result.tests):
        tests = [test for test in result.tests if test.question == question]
        points = sum(test.points for test in tests)
        most = sum(test.max_points for test in tests)
        passed = sum(test.outcome == "passed" for test in tests)
        table.add_row(question, f"{points:g}", f"{most:g}", f"{passed} of {len(tests)} tests")
    out.print(table)
    for test in result.tests:
        if test.outcome != "passed":
            out.print(Text(f"\n{test.grade_id}: {test.outcome}\n{test.student_message}"))
    hidden = sum(cell.points for cell in lab.tests if cell.hidden)
    by_hand = sum(cell.points for cell in lab.manual)
    most = sum(test.max_points for test in result.tests)
    out.print(
        f"\nPoints so far: {result.points:g} of {most:g}. At grading {hidden:g} more come from "
        f"hidden tests, and {by_hand:g} by hand."
    )
    for problem in result.problems:
        out.print(Text(f"Note: {problem}"))


def _released(file: Path, course: Path) -> Lab:
    """The lab a student's notebook belongs to: as released, else by the notebook's own tests."""
    released = course / "labs" / file.stem / file.name
    if released.is_file() and not released.samefile(file):
        return Lab.load(released.parent)
    own = file.resolve()
    return Lab.load(own.parent if own.parent.name == own.stem else own)


def main() -> None:
    """Run the command; what the user or the machine got wrong is one line, never a traceback."""
    with streams.standard() as out:
        code = _run()
        out.flush()
        if out.failed:
            _say(f"what it prints could not be written ({out.failed}); all else was done.")
            code = code or 1
    sys.exit(code)


def _run() -> int:
    try:
        app(prog_name="gradedesk")
    except SystemExit as end:
        return end.code or 0
    except DeskError as error:
        _say(str(error))
        return error.code
    except OSError as error:  # a disk that is full, a folder of somebody else's, ...
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}. {KEPT}")
        return DeskFailure.code
    return 0


def _say(line: str) -> None:
    print(f"gradedesk: {line}", file=sys.stderr)
