"""The leaderboard: what the tests measured of each submission, on a page that may be shown.

It holds no points and no grades. Names stand on it only where the instructor asks for them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

from gradedesk.board import Figure, Who
from gradedesk.desk import Desk
from gradedesk.lab import Lab
from gradedesk.results.pages import render, write
from gradedesk.results.plots import plot
from gradedesk.results.result import Result

PAGE = "leaderboard.html"


def leaderboard(
    desk: Desk,
    labs: Iterable[Lab],
    results: dict[str, list[Result]],
    who: Who,
    titles: Callable[[Lab], str],
) -> Path | None:
    """Write leaderboard.html of the labs whose tests say figures; where none does, remove it.

    results: by the lab's name; titles: gives a lab's title
    """
    boards = [
        _board(titles(lab), results[lab.name], _namer(desk, who))
        for lab in labs
        if any(result.figures for result in results[lab.name])
    ]
    if not boards:
        desk.leaderboard.unlink(missing_ok=True)
        return None
    return write(desk.leaderboard, render(PAGE, boards=boards, anonymous=who == Who.anonymous))


def _namer(desk: Desk, who: Who):
    if who == Who.anonymous:
        return lambda student, place: f"Model {place}"
    if who == Who.ids:
        return lambda student, place: student
    roster = desk.roster()
    return lambda student, place: roster[student].name if student in roster else student


def _board(title: str, results: list[Result], name) -> SimpleNamespace:
    """The figures of one lab, best first by the first figure; equal ones share their place."""
    entries = [(result, _by_name(result.figures)) for result in results if result.figures]
    heads = _by_name(figure for _, figures in entries for figure in figures.values())
    first = next(iter(heads.values()))
    sign = 1 if first.best == "low" else -1
    listed = [(result, figures) for result, figures in entries if first.name in figures]
    listed.sort(key=lambda entry: (sign * entry[1][first.name].value, entry[0].submission))
    values = [figures[first.name].value for _, figures in listed]
    rows = []
    for number, (result, figures) in enumerate(listed, start=1):
        cells = [_shown(figures[head]) if head in figures else "" for head in heads]
        place = 1 + values.index(figures[first.name].value)
        rows.append(SimpleNamespace(place=place, who=name(result.student, number), cells=cells))
    return SimpleNamespace(
        title=title,
        heads=list(heads),
        rows=rows,
        best=first.best,
        marks=[(said, _shown(first, value)) for said, value in first.marks.items()],
        plot=_plot_of(first, values, [row.who for row in rows]),
        absent=len(results) - len(listed),
    )


def _by_name(figures: Iterable[Figure]) -> dict[str, Figure]:
    """Each figure once, as it was said first."""
    found: dict[str, Figure] = {}
    for figure in figures:
        found.setdefault(figure.name, figure)
    return found


def _shown(figure: Figure, value: float | None = None) -> str:
    return f"{figure.value if value is None else value:,.{figure.digits}f}"


def _plot_of(first: Figure, values: list[float], names: list[str]) -> SimpleNamespace:
    """One dot a submission, best above, and a line for each mark."""
    said = ", ".join(f"{name} {_shown(first, value)}" for name, value in first.marks.items())

    def draw(axes, look):
        axes.plot(values, range(1, len(values) + 1), "o", color=look["series"][0], clip_on=False)
        for name, value in first.marks.items():
            axes.axvline(value, color=look["series"][2], linestyle="--")
            axes.text(value, 1.01, f" {name}", transform=axes.get_xaxis_transform(), rotation=20)
        axes.set_xlabel(f"{first.name} ({first.best} is good)")
        axes.set_ylabel("place")
        axes.set_ylim(len(values) + 0.5, 0.5)
        axes.yaxis.get_major_locator().set_params(integer=True)
        if first.best == "low":
            axes.set_xlim(left=min(0, *values))

    best = f"best {_shown(first, values[0])}, last {_shown(first, values[-1])}"
    marks = f" Marks: {said}." if said else ""
    alt = f"{first.name} of {len(values)} submissions, {best}.{marks}"
    return plot(alt, 1.8 + min(4.0, 0.16 * len(values)), draw)
