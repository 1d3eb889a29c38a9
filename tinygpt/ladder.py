"""The ladder: every model of the course on the same held-out stories, in bits per character.

A chapter measures its models and calls `rung`, which compares the figure with the one stored in
`records/ladder.json` and fails if they differ. `make notebooks` stores what was measured.
"""

import json
import os
from pathlib import Path

FILE = Path(__file__).parent.parent / "records" / "ladder.json"


class LadderError(AssertionError):
    """A measured figure is not the recorded one."""


def rungs(through: str | None = None) -> list[dict]:
    """The rungs, worst first: name, bits_per_char, chapter; those of later chapters left out."""
    stored = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    return [rung for rung in stored if through is None or _number(rung) <= _order(through)]


def rung(
    name: str,
    bits_per_char: float,
    chapter: str,
    tolerance: float = 0.0005,
    by_distance: dict[int, float] | None = None,
) -> None:
    """Adds a model's figure to the ladder, or checks it against the one that is there.

    Counted figures are equal everywhere but for rounding. Trained ones differ between processors,
    because sums are taken in another order: give those a tolerance, in bits per character.
    `by_distance` (`storyland.bits_by_distance`) is kept for later chapters, and not compared.
    """
    stored = {other["name"]: other for other in rungs()}
    if os.environ.get("TINYGPT_RECORD") == "1":
        stored[name] = {"name": name, "bits_per_char": round(bits_per_char, 4), "chapter": chapter}
        if by_distance:
            stored[name]["by_distance"] = {k: round(v, 3) for k, v in by_distance.items()}
        in_order = sorted(stored.values(), key=lambda other: -other["bits_per_char"])
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(in_order, indent=1) + "\n", encoding="utf-8", newline="\n")
    elif name not in stored:
        raise LadderError(f"the ladder has no rung {name!r} yet; `make notebooks` records it")
    elif abs(stored[name]["bits_per_char"] - bits_per_char) > tolerance:
        raise LadderError(
            f"{name!r} measures {bits_per_char:.4f} bits per character here, the record says "
            f"{stored[name]['bits_per_char']:.4f}; if the model has changed, `make notebooks`"
        )


def show(through: str | None = None) -> None:
    """Draws the ladder up to a chapter, whose own rungs stand out.

    What counts is how far a rung is above the floor, and on a scale of powers of ten the last rungs
    can be told apart. The floor itself has no place there: it is where the scale never ends.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    from tinygpt import style

    steps = rungs(through)
    floor = next(step["bits_per_char"] for step in steps if step["name"] == "floor")
    steps = [step for step in steps if step["bits_per_char"] > floor]
    newest = through or max((step["chapter"] for step in steps), key=_order)
    _, axes = plt.subplots(figsize=(5.8, 0.9 + 0.3 * len(steps)))
    for place, step in enumerate(steps):
        bits = step["bits_per_char"]
        colour = style.BLUE if step["chapter"] == newest else style.GREY
        axes.plot([bits - floor], [place], "o", color=colour)
        axes.annotate(
            f"{bits:.3f}, {bits / floor:.3g} × floor",
            (bits - floor, place),
            xytext=(7, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize="small",
        )
    axes.set_yticks(range(len(steps)), [step["name"] for step in steps])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"bits a character above the floor of {floor:.3f} (less is better)")
    axes.grid(axis="x")
    plt.show()


def _order(chapter: str) -> tuple[int, ...]:
    return tuple(int(part) for part in chapter.split("."))


def _number(rung: dict) -> tuple[int, ...]:
    return _order(rung["chapter"])
