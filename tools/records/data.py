"""The recorded runs of the chapter on data: n-grams and a small GPT on clean and dirty text, and a
GPT on repeated text.

Every run is kept until the record is whole, so that a command that was killed goes on
where it was.
"""

import math
import random
import re
import time
import zlib
from functools import partial

import torch

import storyland
from tinygpt import optim, train
from tinygpt.corpora import corpus
from tinygpt.data import texts as encoded
from tinygpt.model import GPT, preset
from tinygpt.ngram import KneserNey
from tinygpt.tokenizer import BPETokenizer
from tools.records.job import Job, once
from tools.records.training import MODERN, SMALL

BUDGET = 300_000  # characters of training text, dirt included
JUDGE = 22_000  # characters of fresh clean text
SEEDS, GPT_SEEDS = range(5), range(3)
ORDER = 10  # of the n-grams, in characters
STEPS, BATCH, CONTEXT = 200, 8, 224
# The modern GPT of `training`, and the rates that its search found for this size on clean text of
# another seed.
MODEL = SMALL | MODERN
RATES = {
    "learning_rate": 2e-2,
    "matrix_learning_rate": 8e-2,
    "embedding_learning_rate": 8e-2,
    "weight_decay": 0.0,
}
LARGEST, HALVINGS = 1_440_000, 5  # characters that are read about once, and how often halved

# The dirt, as the page plants it

FEW = 8  # stories that are copied again and again
NAMES = [item.name for item in storyland.grammar().lists["name"].items]
ANYBODY = re.compile(rf"\b({'|'.join(NAMES)})\b")
SITES = [
    f"the {a} {b}"
    for a in ("Moon", "River", "Pine", "Lamp", "Crow", "Bell")
    for b in ("Post", "Page", "Herald", "Mirror")
]
HEAD = ["Welcome to {}.", "Stories, songs and riddles, every day new in {}."]
FOOT = ["You are reading {}.", "Tell your friends about {}!", "All rights reserved by {}."]


def fill(lines: list[str], size: int) -> list[str]:
    """The first lines that make `size` characters or a little more."""
    taken, length = [], 0
    for line in lines:
        if length >= size:
            break
        taken.append(line)
        length += len(line)
    return taken


def renamed(line: str, rng: random.Random) -> str:
    other = dict(zip(NAMES, rng.sample(NAMES, len(NAMES)), strict=True))
    return ANYBODY.sub(lambda found: other[found[0]], line)


def framed(line: str, rng: random.Random) -> str:
    """A story between the head and the foot of the page it stood on."""
    (site,) = rng.choices(SITES, [1 / rank for rank in range(1, len(SITES) + 1)])
    parts = [part.format(site) for part in HEAD], [line[:-1]], [part.format(site) for part in FOOT]
    return " ".join(sum(parts, [])) + "\n"


def shuffled(line: str, rng: random.Random) -> str:
    words = line.split()
    return " ".join(rng.sample(words, len(words))) + "\n"


def misread(line: str) -> str:
    return line.encode("utf-8").decode("latin-1")


def bare(line: str) -> str:
    return line.encode("ascii", "ignore").decode("ascii")


def texts(seed: int) -> dict[str, list[str]]:
    """What the models are trained on: BUDGET characters each, by name (some have fewer)."""
    clean = storyland.text(10 + seed, BUDGET).splitlines(keepends=True)
    half = fill(clean, BUDGET // 2)
    rng = random.Random(seed)
    pages = [framed(line, rng) for line in clean]
    full = fill(pages, BUDGET)
    wrong = set(rng.sample(range(len(clean)), len(clean) // 2))
    return {
        "clean": clean,
        "half": half,
        "a few, often": fill(half + rng.choices(half[:FEW], k=len(clean)), BUDGET),
        "all twice": half + half,
        "names changed": half + [renamed(line, rng) for line in half],
        "boilerplate": full,
        "boilerplate gone": clean[: len(full)],
        "wrong encoding": [misread(x) if i in wrong else x for i, x in enumerate(clean)],
        "quotes lost": [bare(x) if i in wrong else x for i, x in enumerate(clean)],
        "word salad": [shuffled(x, rng) if i in wrong else x for i, x in enumerate(clean)],
    }


def repeated(seed: int) -> dict[str, list[str]]:
    """Texts of which the same number of steps reads one once, the next twice, and so on."""
    lines = storyland.text(10 + seed, LARGEST).splitlines(keepends=True)
    return {f"repeat {2**k}": fill(lines, LARGEST // 2**k) for k in range(HALVINGS)}


# One run


def one(name: str, lines: list[str], seed: int, judge: list[str]) -> dict:
    """A small GPT after STEPS steps on these lines, and what it pays for the judge's."""
    torch.set_num_threads(1)
    started = time.process_time()
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)
    torch.manual_seed(seed)
    model = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size, context=CONTEXT, **MODEL))
    read = encoded(lines, tokenizer)
    settings = {"context": CONTEXT, "steps": STEPS, "batch_size": BATCH, "warm_up": 20}
    optimisers = optim.make(model, "muon", **RATES)
    losses = train.fit(model, read, **settings, learning_rate=0.0, seed=seed, optimisers=optimisers)
    run = {
        "bits_per_char": train.bits_per_char(model, encoded(judge, tokenizer)),
        "loss": sum(losses[-20:]) / 20,
        "times_read": STEPS * BATCH * CONTEXT / len(read.ids),
        "cpu_seconds": time.process_time() - started,
    }
    if "boilerplate" in name:
        rng = random.Random(seed)
        pages = {line: framed(line, rng) for line in judge}
        short = [line for line in judge if len(tokenizer.encode(pages[line])) <= CONTEXT]
        run["bare"] = inside(model, tokenizer, short, short)
        run["in a page"] = inside(model, tokenizer, short, [pages[line] for line in short])
    print(f"{name:18} seed {seed}: {run['bits_per_char']:.3f}", flush=True)
    return run


def inside(model: GPT, tokenizer: BPETokenizer, stories: list[str], pages: list[str]) -> float:
    """Bits a character of stories, their newlines left out, each as part of its page."""
    bits = 0.0
    for story, page, nats in zip(
        stories, pages, train.log_probs(model, encoded(pages, tokenizer)), strict=True
    ):
        start = page.index(story[:-1])
        ends = torch.tensor(tokenizer.ends(page))
        of_story = (ends > start) & (ends <= start + len(story) - 1)
        bits -= nats[of_story].double().sum().item() / math.log(2)
    return bits / sum(len(story) - 1 for story in stories)


def data(here: Job) -> dict:
    """Kneser-Ney 10-grams and a small GPT on BUDGET characters of Storyland, clean and with each
    kind of dirt, and the GPT on more and less text that is read once to 16 times. Five and three
    seeds; bits a character over the floor of fresh clean stories.
    """
    oracle, letters = storyland.Oracle(), "".join(sorted(set(corpus("storyland").train)))
    counted, trained, sums, floors = {}, {}, {}, []
    for seed in SEEDS:
        judge = storyland.text(50 + seed, JUDGE).splitlines(keepends=True)
        nats = -math.fsum(map(oracle.log_prob, judge))
        floors.append(nats / sum(map(len, judge)) / math.log(2))
        for text, lines in texts(seed).items():
            sums.setdefault(text, []).append(zlib.crc32("".join(lines).encode()))
            model = KneserNey(ORDER).fit("".join(lines) + letters)
            counted.setdefault(text, []).append(model.bits_per_char("".join(judge)) - floors[-1])
        if seed in GPT_SEEDS:
            for text, lines in (texts(seed) | repeated(seed)).items():
                run = {"text": text, "lines": lines, "seed": seed, "steps": STEPS, "rates": RATES}
                make = partial(one, text, lines, seed, judge)
                trained.setdefault(text, []).append(once(here.out, run, make))
    found = {
        "training": {
            "budget": BUDGET,
            "order": ORDER,
            "steps": STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "model": MODEL,
            "rates": RATES,
        },
        "counts": {text: [round(bits, 4) for bits in of] for text, of in counted.items()},
        "gpt": {
            text: [
                round(run["bits_per_char"] - floor, 4)
                for run, floor in zip(of, floors, strict=False)
            ]
            for text, of in trained.items()
        },
        "bare": _each(trained, "bare"),
        "in a page": _each(trained, "in a page"),
        "loss": _each(trained, "loss"),
        "times_read": _each(trained, "times_read"),
        "crc32": sums,
        "figures": {
            "floors": [round(floor, 4) for floor in floors],
            "runs": sum(map(len, trained.values())),
            "cpu_seconds": round(sum(run["cpu_seconds"] for of in trained.values() for run in of)),
        },
    }
    return found


def _each(trained: dict[str, list[dict]], figure: str) -> dict[str, list]:
    """One figure of each run that has it, by text."""
    return {
        text: [round(run[figure], 4) for run in of]
        for text, of in trained.items()
        if figure in of[0]
    }
