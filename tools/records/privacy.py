"""The recorded run of the page "Safety and privacy": secrets that stand in a model's training text
once or many times, what deduplication and DP-SGD leave of them, what a published model remembers of
famous openings, and whom it obeys.

The secrets are those of `storyland.secrets`; the other parts stand in `privately`, `openings` and
`injection`.
"""

import re
from collections.abc import Sequence
from functools import partial
from itertools import islice
from math import log
from statistics import fmean

import storyland
from storyland.secrets import Secret, planted, secrets
from tinygpt import data, train
from tools.records import injection, openings, privately
from tools.records.bias import tokenizer
from tools.records.job import Job, once
from tools.records.memory import kept, read

COPIES, EACH, NEVER = tuple(2**i for i in range(8)), 4, 32
STORIES, ROUNDS = 1024, 2
SEEDS = range(3)
SHORTEST = 6  # words of a sentence that is kept once only
JUDGE = 100  # held-out stories
WAYS = ("as planted", "secrets once", "sentences once")


def text(seed: int) -> tuple[list[str], list[Secret], list[Secret]]:
    """Stories with secrets at their heads, these secrets, and others that stand nowhere."""
    some = secrets(10_000 + seed, COPIES, EACH)
    never = secrets(10_500 + seed, (0,), NEVER)
    lines = [story.text for story in islice(storyland.stories(11_000 + seed), STORIES)]
    return planted(lines, some, seed), some, never


def sentences(line: str) -> list[str]:
    return re.split(r"(?<=[.!?”]) ", line[:-1])


def once_only(lines: Sequence[str], shortest: int = SHORTEST, what: str = "") -> list[str]:
    """The lines without the sentences that stood in an earlier place; those that hold `what`, of so
    many words or more."""
    seen: set[str] = set()
    found = []
    for line in lines:
        left = []
        for sentence in sentences(line):
            if what in sentence and len(sentence.split()) >= shortest:
                if sentence in seen:
                    continue
                seen.add(sentence)
            left.append(sentence)
        found.append(" ".join(left) + "\n")
    return found


def lines_of(way: str, seed: int) -> list[str]:
    lines, _, _ = text(seed)
    if way == "as planted":
        return lines
    return once_only(lines, what="The number of" if way == "secrets once" else "")


def secret(way: str, seed: int) -> dict:
    """What a model keeps of every secret, and what it pays for held-out stories."""
    _, some, never = text(seed)
    model = read(lines_of(way, seed), seed, ROUNDS)
    judge = data.texts(storyland.held_out()[:JUDGE], tokenizer())
    nats = train.log_probs(model, judge)
    return {
        "copies": [one.copies for one in [*some, *never]],
        "kept": kept(model, [*some, *never]),
        "bits": [round(-of.sum().item() / log(2), 2) for of in nats],
    }


def privacy(job: Job) -> dict:
    """`secrets`: by way, a run a seed: of every secret its copies, exposure, bits and whether it is
    said; and the bits of each held-out story. `private`: by way the same of the register, and the
    bits of other houses' lines. `openings`: bits and hits of every word. `injection`: the answers,
    by defence and by the kind of text.
    """
    keep = partial(once, job.out)
    found: dict = {"secrets": {}, "private": {}, "injection": {}}
    for way in WAYS:
        for seed in SEEDS:
            run = keep({"secrets": way, "seed": seed}, partial(secret, way, seed))
            found["secrets"].setdefault(way, []).append(run)
    for way in privately.WAYS:
        for seed in privately.SEEDS:
            run = keep({"private": way, "seed": seed}, partial(privately.trained, way, seed))
            found["private"].setdefault(way, []).append(run)
    found["openings"] = keep({"openings": openings.REAL}, openings.remembered)
    for defence, text in injection.CASES:
        make = partial(injection.injected, defence, text)
        run = keep({"injection": defence, "text": text}, make)
        found["injection"].setdefault(defence, {})[text] = run["said"]
    return found | {
        "training": {
            "stories": STORIES,
            "rounds": ROUNDS,
            "documents": injection.COUNT,
            "register": privately.LINES,
            "delta": privately.DELTA,
            "noise": privately.NOISE,
        },
        "figures": {
            f"exposure, {copies} copies, {way}": round(mean_exposure(runs, copies), 2)
            for way, runs in found["secrets"].items()
            for copies in (0, 1, COPIES[-1])
        },
    }


def mean_exposure(runs: Sequence[dict], copies: int) -> float:
    """Of the secrets that were planted so often, over all runs, in bits."""
    return fmean(
        of[0]
        for run in runs
        for count, of in zip(run["copies"], run["kept"], strict=True)
        if count == copies
    )
