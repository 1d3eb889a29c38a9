"""Print how fast the course's programs are, each beside a peer timed in the same run.

    python -m tools.bench

Speeds differ from machine to machine, their ratio much less. To add a row, write a function that
returns a `Row` and name it in `ROWS`.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import storyland
from gradedesk import sandbox
from tools.bench import model as model_speed
from tools.bench.desk import JOBS, TenSubmissions

ROOT = Path(__file__).resolve().parent.parent.parent
REPEATS = 3


@dataclass
class Row:
    """One comparison: both functions do `work` units of the same kind of work.

    `note`, called when both have been timed, gives a line to print beneath the table.
    """

    what: str
    peer_is: str
    unit: str
    work: float
    ours: Callable[[], object]
    peer: Callable[[], object]
    repeats: int = REPEATS
    note: Callable[[], str] | None = None


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


def grading(warm: bool) -> Row:
    """Ten honest submissions to lab 01 by the desk, against nbgrader as it comes."""
    ten = TenSubmissions()
    return Row(
        what=f"gradedesk grade --jobs {JOBS}, {'warm' if warm else 'cold'}",
        peer_is="nbgrader autograde",
        unit="submissions/min",
        work=60 * ten.count,
        ours=lambda: ten.grade(warm),
        peer=ten.autograde,
        repeats=1,
        note=lambda: ten.note(warm),
    )


def grading_cold() -> Row:
    return grading(warm=False)


def grading_warm() -> Row:
    return grading(warm=True)


def model_passes(peer: str, peer_is: str, backward: bool) -> Row:
    ours, theirs, tokens = model_speed.passes(peer, backward)
    return Row(
        what="tinygpt.model, " + ("forward and backward" if backward else "forward"),
        peer_is=peer_is,
        unit="tokens/s",
        work=tokens,
        ours=ours,
        peer=theirs,
        repeats=15,
    )


def forward_nanogpt() -> Row:
    """Logits and loss of a batch, against nanoGPT's design of the same size."""
    return model_passes("nanoGPT", "nanoGPT's design", backward=False)


def backward_nanogpt() -> Row:
    """The same, and the gradients."""
    return model_passes("nanoGPT", "nanoGPT's design", backward=True)


def forward_transformers() -> Row:
    """Logits and loss of a batch, against Transformers' GPT-2 of the same size."""
    return model_passes("Transformers", "GPT2LMHeadModel", backward=False)


def backward_transformers() -> Row:
    """The same, and the gradients."""
    return model_passes("Transformers", "GPT2LMHeadModel", backward=True)


def generating() -> Row:
    """One text continued token by token, against Transformers with its cache."""
    ours, theirs, tokens = model_speed.continuations()
    return Row(
        what="tinygpt.generate, one text",
        peer_is="transformers.generate",
        unit="tokens/s",
        work=tokens,
        ours=ours,
        peer=theirs,
    )


MODEL_ROWS = [
    forward_nanogpt,
    backward_nanogpt,
    forward_transformers,
    backward_transformers,
    generating,
]
ROWS = [writing, reading, *MODEL_ROWS, grading_cold, grading_warm]


def seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start


def shown(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.2f}"


def main() -> None:
    table = Table(title=f"median of {REPEATS} runs in turn, one process; grading once")
    for name in ("what", "speed", "unit", "peer", "its speed", "ratio"):
        right = name in ("speed", "its speed", "ratio")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    rows, notes = ROWS, []
    if why := sandbox.available():
        rows = [row for row in rows if row not in (grading_cold, grading_warm)]
        notes.append(f"Nothing was graded: {why}")
    for make in tqdm(rows, unit="row", leave=False):
        row = make()
        # In turn, so that a busy moment of the machine slows both.
        pairs = [(seconds(row.ours), seconds(row.peer)) for _ in range(row.repeats)]
        ours, peer = (row.work / median(times) for times in zip(*pairs, strict=True))
        table.add_row(
            row.what, shown(ours), row.unit, row.peer_is, shown(peer), f"{ours / peer:.3f}"
        )
        if row.note:
            notes.append(f"{row.what}: {row.note()}")
    Console().print(table)
    print(*notes, sep="\n")


if __name__ == "__main__":
    main()
