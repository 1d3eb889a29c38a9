"""Print how fast the course's programs are, each beside a peer timed in the same run.

    python tools/bench.py

Speeds differ from machine to machine, their ratio much less. To add a row, write a function that
returns a `Row` and name it in `ROWS`.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, islice
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import storyland

REPEATS = 3


@dataclass
class Row:
    """One comparison: both functions do `work` units of the same kind of work."""

    what: str
    peer_is: str
    unit: str
    work: float
    ours: Callable[[], object]
    peer: Callable[[], object]


def writing() -> Row:
    """Writing stories, against drawing as many independent words with their frequencies."""
    size = 1_000_000
    text = storyland.text(seed=1, size=size)
    words = storyland.split(text)
    counts = Counter(words)
    totals = list(accumulate(counts.values()))
    rng = random.Random(1)
    return Row(
        what="storyland.text",
        peer_is="random.choices of single words",
        unit="MB/s",
        work=len(text.encode()) / 1e6,
        ours=lambda: storyland.text(seed=1, size=size),
        peer=lambda: " ".join(rng.choices(list(counts), cum_weights=totals, k=len(words))).encode(),
    )


def reading() -> Row:
    """The exact probability of each word, against writing the same words."""
    texts = [story.text for story in islice(storyland.stories(seed=1), 100)]
    oracle = storyland.Oracle()
    return Row(
        what="storyland.Oracle",
        peer_is="writing the same stories",
        unit="words/s",
        work=sum(len(storyland.split(text)) for text in texts),
        ours=lambda: [oracle.word_log_probs(text) for text in texts],
        peer=lambda: [story.text for story in islice(storyland.stories(seed=1), 100)],
    )


ROWS = [writing, reading]


def seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def shown(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.2f}"


def main() -> None:
    table = Table(title=f"median of {REPEATS} runs in turn, one process")
    for name in ("what", "speed", "unit", "peer", "its speed", "ratio"):
        right = name in ("speed", "its speed", "ratio")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for make in tqdm(ROWS, unit="row", leave=False):
        row = make()
        # In turn, so that a busy moment of the machine slows both.
        pairs = [(seconds(row.ours), seconds(row.peer)) for _ in range(REPEATS)]
        ours, peer = (row.work / median(times) for times in zip(*pairs, strict=True))
        table.add_row(
            row.what, shown(ours), row.unit, row.peer_is, shown(peer), f"{ours / peer:.3f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
