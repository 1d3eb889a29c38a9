"""The recorded runs of the chapter on data: a small GPT on clean, dirty and repeated text.

Every run is kept in runs/ until the record is whole, so that a command that was killed goes on
where it was.
"""

import json
import math
import random
import re
import shutil
import time
import zlib
from pathlib import Path

import torch

import storyland
from tinygpt import optim, train
from tinygpt.corpora import corpus
from tinygpt.data import texts as encoded
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer

BUDGET = 300_000  # characters of training text, dirt included
JUDGE = 22_000  # characters of fresh clean text
SEEDS = range(3)
STEPS, BATCH, CONTEXT = 200, 8, 224
# The modern GPT of `record_training`, and the rates that its search found for this size on clean
# text of another seed.
MODEL = {
    "num_layers": 2,
    "num_heads": 4,
    "d_model": 64,
    "norm": "rmsnorm",
    "norm_eps": 1e-6,
    "bias": False,
    "positions": "rotary",
    "rotary_base": 1000.0,
    "activation": "relu2",
    "qk_norm": True,
    "tied": False,
    "zero_init": True,
    "embedding_std": 0.3,
}
RATES = {
    "learning_rate": 2e-2,
    "matrix_learning_rate": 8e-2,
    "embedding_learning_rate": 8e-2,
    "weight_decay": 0.0,
}
LARGEST, HALVINGS = 1_440_000, 5  # characters that are read about once, and how often halved
KEPT = Path(__file__).parent.parent / "runs"

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
        "boilerplate on half": fill(
            [pages[i] if i in wrong else x for i, x in enumerate(clean)], BUDGET
        ),
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
    crc32 = zlib.crc32("".join(lines).encode())
    path = KEPT / "record-data" / f"{crc32:08x}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
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
        "crc32": crc32,
        "cpu_seconds": time.process_time() - started,
    }
    if "boilerplate" in name:
        rng = random.Random(seed)
        pages = {line: framed(line, rng) for line in judge}
        short = [line for line in judge if len(tokenizer.encode(pages[line])) <= CONTEXT]
        run["bare"] = inside(model, tokenizer, short, short)
        run["in a page"] = inside(model, tokenizer, short, [pages[line] for line in short])
    print(f"{name:18} seed {seed}: {run['bits_per_char']:.3f}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_text(json.dumps(run), encoding="utf-8")
    path.with_suffix(".part").rename(path)
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


def data(name: str) -> dict:
    """A small GPT on BUDGET characters of Storyland, clean and with each kind of dirt, and on more
    and less text that is read once to 16 times; three seeds each, judged on fresh clean stories.
    """
    oracle, floors, runs = storyland.Oracle(), [], {}
    for seed in SEEDS:
        judge = storyland.text(50 + seed, JUDGE).splitlines(keepends=True)
        nats = -math.fsum(map(oracle.log_prob, judge))
        floors.append(nats / sum(map(len, judge)) / math.log(2))
        for text, lines in (texts(seed) | repeated(seed)).items():
            runs.setdefault(text, []).append(one(text, lines, seed, judge))
    found = {
        "training": {
            "budget": BUDGET,
            "seeds": list(SEEDS),
            "steps": STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "model": MODEL,
            "rates": RATES,
        },
        "texts": {
            text: {
                "over_floor": [
                    round(run["bits_per_char"] - floor, 4)
                    for run, floor in zip(of, floors, strict=True)
                ],
                "loss": [round(run["loss"], 3) for run in of],
                "times_read": round(sum(run["times_read"] for run in of) / len(of), 2),
                "crc32": [run["crc32"] for run in of],
            }
            | {
                where: [round(run[where], 4) for run in of]
                for where in ("bare", "in a page")
                if where in of[0]
            }
            for text, of in runs.items()
        },
        "figures": {
            "floors": [round(floor, 4) for floor in floors],
            "runs": sum(map(len, runs.values())),
            "cpu_seconds": round(sum(run["cpu_seconds"] for of in runs.values() for run in of)),
        },
    }
    shutil.rmtree(KEPT / f"record-{name}")
    return found
