"""The class report: one page for the instructor, with names and grades; it stays in the desk."""

import re
import statistics
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.ticker import MaxNLocator

from gradedesk.board import Who
from gradedesk.desk import Desk
from gradedesk.lab import Lab, question_of
from gradedesk.results.feedback import titles
from gradedesk.results.gradebook import Hand
from gradedesk.results.gradebook import hand as read_hand
from gradedesk.results.journal import Journal
from gradedesk.results.leaderboard import PAGE, leaderboard
from gradedesk.results.pages import STATUS_WORDS, points, render, when, write
from gradedesk.results.plots import plot
from gradedesk.results.result import UNSCORED, Result
from gradedesk.results.similar import MIN_TOKENS, THRESHOLD, Likeness, near_identical

ROWS = 12  # of a table
NAMED = 24  # names that stand open; more are folded
NOTED = 3  # problems of one submission; the feedback page has them all
LONGEST = 1000  # characters of a message that are read; each "[" in it looks for its end
GROUPS = 20  # of near-identical answers shown


def report(
    desk: Desk,
    labs: Lab | Iterable[Lab],
    db_url: str | None = None,
    who: str = "anonymous",
) -> Path:
    """Write report.html of the newest results of `labs`, and leaderboard.html beside it.

    who: what stands for a student on the leaderboard: anonymous, ids or names
    """
    labs = [labs] if isinstance(labs, Lab) else list(labs)
    latest = Journal(desk.journal).latest()
    results = {
        lab.name: [result for (_, name), result in sorted(latest.items()) if name == lab.name]
        for lab in labs
    }
    leaderboard(desk, labs, results, Who(who), lambda lab: titles(lab)[0])
    return write(desk.report, page(labs, results, read_hand(db_url or desk.database)))


def page(labs: list[Lab], results: dict[str, list[Result]], hand: Hand) -> str:
    """The report as HTML; `results` by the lab's name, one for each student."""
    return render(
        "report.html",
        labs=[_lab(number, lab, results[lab.name], hand) for number, lab in enumerate(labs)],
        made=when(datetime.now(UTC).isoformat()),
        named=NAMED,
        leaderboard=PAGE,
        threshold=THRESHOLD,
        min_tokens=MIN_TOKENS,
    )


def mistake(message: str) -> str:
    """A message without its values: what is left when numbers and quoted things are taken out."""
    message = message.strip().split("\n\n")[0][:LONGEST]
    message = re.sub(r"\"[^\"]*\"|(?<!\w)'[^']*'|\[[^\]]*\]|\{[^}]*\}", "...", message)
    return re.sub(r"[-+]?\d[\d.,e+-]*|\binf\b|\bnan\b", "...", message)


def _lab(number: int, lab: Lab, results: list[Result], hand: Hand) -> SimpleNamespace:
    title, headings = titles(lab)
    scored = [result for result in results if result.status not in UNSCORED]
    shares: dict[str, list[float]] = {}
    totals = []
    waiting = []
    for result in scored:
        won: Counter = Counter()
        most: Counter = Counter()
        for item in [*result.tests, *result.manual]:
            own = getattr(item, "points", 0.0)
            key = result.student, result.lab, item.grade_id
            won[item.question] += hand.scores.get(key, own)
            most[item.question] += item.max_points
            if hasattr(item, "answered") and item.answered and key not in hand.scores:
                most[item.question] -= item.max_points  # not graded yet: no share of anything
                if result.student not in waiting:
                    waiting.append(result.student)
        totals.append(sum(won.values()))
        for question, maximum in most.items():
            shares.setdefault(question, [])
            if maximum > 0:
                shares[question].append(won[question] / maximum)
    by_status = {
        status: [r.student for r in results if r.status == status] for status in STATUS_WORDS
    }
    likeness = _likeness(lab, results)
    groups = sorted((g for found in likeness for g in found.groups), key=lambda g: -g.similarity)
    return SimpleNamespace(
        anchor=f"lab-{number}",
        title=title,
        students=len(results),
        scored=len(scored),
        max_points=lab.max_points,
        median=statistics.median(totals) if totals else 0,
        mean=statistics.fmean(totals) if totals else 0,
        lowest=min(totals, default=0),
        highest=max(totals, default=0),
        waiting=waiting,
        measured=sum(bool(result.figures) for result in results),
        late=[result.student for result in results if result.late],
        statuses=[
            SimpleNamespace(word=STATUS_WORDS[status], students=students)
            for status, students in by_status.items()
            if students
        ],
        notes=[
            (result.student, _notes(result)) for result in results if result.note or result.problems
        ],
        points_plot=_points_plot(totals, lab.max_points),
        question_plot=_question_plot(shares, headings, len(scored)),
        time_plot=_time_plot([result.seconds for result in results if result.status != "missing"]),
        missed=_missed(scored),
        mistakes=_mistakes(scored),
        slowest=[(r.student, r.seconds) for r in sorted(results, key=lambda r: -r.seconds)[:5]],
        groups=[_group(group, headings, results) for group in groups[:GROUPS]],
        more_groups=max(0, len(groups) - GROUPS),
        compared=sum(found.compared for found in likeness),
        short=sum(found.short for found in likeness),
        like_solution=sum(found.like_solution for found in likeness),
    )


def _notes(result: Result) -> str:
    """What is noted about a submission; its note is often the first of its problems."""
    said = list(dict.fromkeys(text for text in [result.note, *result.problems] if text))
    more = [f"And {len(said) - NOTED} more like these."] if len(said) > NOTED + 1 else []
    said = said[:NOTED] + more if more else said
    return " ".join(text if text.endswith((".", "!", "?", ")")) else f"{text}." for text in said)


def _missed(results: list[Result]) -> list[SimpleNamespace]:
    tests: dict[str, SimpleNamespace] = {}
    for result in results:
        for test in result.tests:
            entry = tests.setdefault(
                test.grade_id,
                SimpleNamespace(
                    grade_id=test.grade_id, title=test.title, hidden=test.hidden, missed=0, of=0
                ),
            )
            entry.of += 1
            entry.missed += test.outcome != "passed"
    missed = [entry for entry in tests.values() if entry.missed]
    return sorted(missed, key=lambda entry: (-entry.missed / entry.of, entry.grade_id))[:ROWS]


def _mistakes(results: list[Result]) -> list[SimpleNamespace]:
    found: dict[tuple[str, str], SimpleNamespace] = {}
    for result in results:
        for test in result.tests:
            if test.outcome != "passed" and test.message:
                entry = found.setdefault(
                    (test.grade_id, mistake(test.message)),
                    SimpleNamespace(grade_id=test.grade_id, sample=test.message, students=0),
                )
                entry.students += 1
    return sorted(found.values(), key=lambda entry: (-entry.students, entry.grade_id))[:ROWS]


def _likeness(lab: Lab, results: list[Result]) -> list[Likeness]:
    """Code and written answers of the lab, compared question by question."""
    found = []
    for cell in lab.answers:
        answers = {
            r.student: r.answers[cell.grade_id] for r in results if cell.grade_id in r.answers
        }
        found.append(
            near_identical(cell.grade_id, answers, stub=cell.release, solution=cell.source)
        )
    for cell in lab.manual:
        answers = {
            result.student: answer.text
            for result in results
            for answer in result.manual
            if answer.grade_id == cell.grade_id and answer.answered
        }
        found.append(near_identical(cell.grade_id, answers, solution=cell.source, prose=True))
    return found


def _group(group, headings: dict[str, str], results: list[Result]) -> SimpleNamespace:
    written = {}
    for result in results:
        texts = result.answers | {answer.grade_id: answer.text for answer in result.manual}
        written[result.student] = texts.get(group.question, "")
    return SimpleNamespace(
        title=headings.get(question_of(group.question), group.question),
        students=group.students,
        similarity=group.similarity,
        pair=[(student, written[student]) for student in group.closest],
    )


# --- plots ---


def _points_plot(totals: list[float], maximum: float) -> SimpleNamespace:
    edges = np.linspace(0, maximum, 11)
    counts, _ = np.histogram(np.clip(totals, 0, maximum), edges)
    said = ", ".join(
        f"{points(low)} to {points(high)}: {count}"
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    )

    def draw(axes, look):
        width = edges[1] - edges[0]
        axes.bar(edges[:-1], counts, width=0.92 * width, align="edge", color=look["series"][0])
        axes.set(xlabel=f"points of {points(maximum)}", ylabel="students", xlim=(0, maximum))
        axes.set_xticks(edges)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))

    return plot(f"Histogram of points, students in each tenth. {said}.", 2.8, draw)


def _question_plot(
    shares: dict[str, list[float]], headings: dict[str, str], students: int
) -> SimpleNamespace:
    rows = {question: np.array(won) for question, won in shares.items() if won}
    names = []
    for question, won in rows.items():
        name = headings.get(question, question)
        name = name if len(name) <= 34 else name[:33] + "\N{HORIZONTAL ELLIPSIS}"
        # Of answers that a person grades, only those graded so far have a share.
        names.append(name if len(won) == students else f"{name} ({len(won)} graded)")
    parts = {
        "all points": [float(np.mean(won >= 1)) for won in rows.values()],
        "some": [float(np.mean((won > 0) & (won < 1))) for won in rows.values()],
        "none": [float(np.mean(won <= 0)) for won in rows.values()],
    }
    said = "; ".join(
        f"{name}: {all_:.0%} all, {some:.0%} some, {none:.0%} none"
        for name, all_, some, none in zip(names, *parts.values(), strict=True)
    )

    def draw(axes, look):
        left = np.zeros(len(names))
        for (label, share), colour in zip(parts.items(), look["series"], strict=True):
            axes.barh(range(len(names)), share, left=left, label=label, color=colour, height=0.7)
            left += share
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel("students")
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))

    alt = f"Students with all, some and none of the points, by question. {said}."
    return plot(alt, 1.3 + 0.36 * max(1, len(names)), draw)


def _time_plot(seconds: list[float]) -> SimpleNamespace:
    said = (
        f"Median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s."
        if seconds
        else "No submission."
    )

    def draw(axes, look):
        axes.hist(seconds, bins=20, color=look["series"][0], rwidth=0.92)
        axes.set(xlabel="seconds to grade one submission", ylabel="students")
        axes.set_xlim(left=0)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))

    return plot(f"Histogram of the time that grading took. {said}", 2.4, draw)
