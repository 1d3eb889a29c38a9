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
            f"{stored[name]['bits_per_char']:.4f}; if the model has changed, `make notebooks`")


def show(through: str | None = None) -> None:
    """Prints and draws the ladder, up to a chapter."""
    import matplotlib.pyplot as plt

    steps = rungs(through)
    floor = next((step["bits_per_char"] for step in steps if step["name"] == "floor"), None)
    print(f"{'':24}bits per character")
    for step in steps:
        times = f"   {step['bits_per_char'] / floor:5.1f} x the floor" if floor else ""
        print(f"{step['name']:24}{step['bits_per_char']:8.3f}{times}")

    names, bits = [s["name"] for s in steps], [s["bits_per_char"] for s in steps]
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.32 * len(steps)))
    axes.barh(names, bits, color=["C2" if name == "floor" else "C0" for name in names])
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.set_xlabel("bits per character on the held-out stories (less is better)")
    if floor:
        axes.axvline(floor, color="C2", linewidth=1)
    for place, value in enumerate(bits):
        axes.text(value + 0.03, place, f"{value:.2f}", va="center", fontsize=9)
    axes.set_xlim(0, max(bits, default=1) * 1.1)
    plt.show()


def _order(chapter: str) -> tuple[int, ...]:
    return tuple(int(part) for part in chapter.split("."))


def _number(rung: dict) -> tuple[int, ...]:
    return _order(rung["chapter"])
