"""The recorded runs of the chapter on what a step costs: its share of this machine's rate, and the
best learning rate at several widths.

Every training run is kept until its record is whole, so that a command that was killed goes on
where it was.
"""

import math
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import AdamW, Optimizer

from tinygpt import data, optim, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import CharTokenizer
from tools.records.job import Job, once

# What a step takes
COST_WIDTHS = (32, 64, 128, 256, 512)
COST_MODEL = {"vocab_size": 1536, "context": 224, "num_layers": 4, "num_heads": 4}
COST_ROWS, ROUNDS = 4, 7
LARGE = 1024  # rows and columns of the matrices whose product sets the rate

# The search at several widths
WIDTHS = (32, 64, 128, 256)
HEAD = 16  # numbers in a head of attention: a wider model has more heads
BASE = 64  # the width at which all ways but Muon are the same
SHORT = {"num_layers": 2, "context": 64, "tied": False}
STEPS, ROWS, WARM_UP = 100, 4, 10
JUDGES = 128  # windows of validation text
SEEDS = range(3)
REST = 2.0**-7  # AdamW's rate beside Muon
FIRST, FIRST_OF_MUON = -7, -5  # the powers of two where the searches begin
WAYS = ("usual", "both", "Muon", "rates", "weights")
ADAMS = ("usual", "both", "rates", "weights")
LOUDER, ENDS = (2.5, 5.0), (32, 128)  # times the first weights, and the widths where that is tried


def step_cost(here: Job) -> dict:
    """Seconds of a training step of GPT-2 at five widths, beside those of its matrix products alone
    and of a product of large matrices; float32, one thread, medians of seven rounds.

    A round times everything once, so that a processor that is slower for a while is so for all.
    Seconds are of processor time.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    a, b = torch.randn(2, LARGE, LARGE)
    works = {"large": lambda: a @ b}
    works |= {f"attention, {how}": attention(how) for how in ("causal", "full", "math")}
    for width in COST_WIDTHS:
        works |= {f"{width} {part}": work for part, work in step(width).items()}
    times = {label: [] for label in works}
    for _ in range(ROUNDS + 1):
        for label, work in works.items():
            times[label].append(seconds(work))
    times = {label: statistics.median(of[1:]) for label, of in times.items()}  # the first warms up
    parts = ("forward", "both", "AdamW", "products")
    return {
        "training": {"rows": COST_ROWS, "model": COST_MODEL, "rounds": ROUNDS, "large": LARGE},
        "milliseconds": {
            "attention": {
                how: round(1000 * times[f"attention, {how}"], 3)
                for how in ("causal", "full", "math")
            },
            "step": {
                width: {part: round(1000 * times[f"{width} {part}"], 3) for part in parts}
                for width in COST_WIDTHS
            },
        },
        "figures": {"rate": round(2 * LARGE**3 / times["large"])},
    }


def seconds(work: Callable[[], object]) -> float:
    """Of processor time, for one call: on average over so many that they take a tenth."""
    calls, started = 0, time.process_time()
    while time.process_time() < started + 0.1:
        work()
        calls += 1
    return (time.process_time() - started) / calls


def step(width: int) -> dict[str, Callable[[], object]]:
    """What a step does: forward; both, forward and backward; AdamW, to be called after that. And
    `products`: those of the forward pass with the model's matrices, and nothing else."""
    model = GPT(preset("gpt2", d_model=width, **COST_MODEL))
    tokens = COST_ROWS * model.config.context
    rows = torch.randint(model.config.vocab_size, (COST_ROWS, model.config.context + 1))
    (adamw,) = optim.make(model, "adamw")
    shapes = [m.weight.shape for m in model.modules() if isinstance(m, nn.Linear)]
    pairs = [(torch.randn(tokens, shape[1]), torch.randn(shape).T) for shape in shapes]
    loss_of = train.NextToken(model)

    def both() -> None:
        model.zero_grad()
        loss_of(rows).backward()

    return {
        "forward": lambda: loss_of(rows),
        "both": both,
        "AdamW": adamw.step,
        "products": lambda: [x @ matrix for x, matrix in pairs],
    }


def attention(how: str) -> Callable[[], object]:
    """Attention of 4 heads of 32 over 1,024 places, there and back: causal, over all places, or
    causal by products of whole matrices."""
    q, k, v = torch.randn(3, 1, 4, 1024, 32, requires_grad=True)

    def work() -> None:
        with sdpa_kernel(SDPBackend.MATH if how == "math" else SDPBackend.FLASH_ATTENTION):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=how != "full")
        torch.autograd.grad(y.sum(), (q, k, v))

    return work


@cache  # once a process
def read() -> tuple[CharTokenizer, data.Texts, data.Texts]:
    """The characters of a million of Storyland, windows to train on and windows to judge by."""
    text = corpus("storyland", size="1MB")
    tokenizer = CharTokenizer.train(text.train)
    training = data.stream(text.train, tokenizer, SHORT["context"])
    judges = data.stream(text.valid[: JUDGES * SHORT["context"]], tokenizer, SHORT["context"])
    return tokenizer, training, judges


def begin(vocab_size: int, width: int, way: str, louder: float = 1.0) -> GPT:
    """A fresh model of this width.

    usual, rates, Muon: the first weights of GPT-2, of standard deviation 0.02 at any width. both,
    weights: each matrix of the blocks at that times √(BASE / width), the output head at that times
    BASE / width; embeddings are as in the others. `louder` multiplies all of these matrices.
    """
    sizes = SHORT | {"num_heads": width // HEAD, "d_model": width}
    model = GPT(preset("gpt2", vocab_size=vocab_size, **sizes))
    quieter = math.sqrt(BASE / width) if way in ("both", "weights") else 1.0
    with torch.no_grad():
        for matrix in matrices(model):
            matrix *= louder * quieter
        model.head.weight *= quieter
    return model


def matrices(model: GPT) -> list[nn.Parameter]:
    """What sums over the width: the matrices of the blocks, and the output head."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Linear)]


def optimisers(model: GPT, width: int, way: str, rate: float) -> list[Optimizer]:
    """AdamW without weight decay; both, rates: `matrices` at `rate` times BASE / width. Muon: the
    matrices of the blocks by Muon at `rate`, the rest by AdamW at REST."""
    if way == "Muon":
        rates = {"matrix_learning_rate": rate, "learning_rate": REST}
        return optim.make(model, "muon", weight_decay=0.0, **rates)
    slower = BASE / width if way in ("both", "rates") else 1.0
    summed = matrices(model)
    known = set(map(id, summed))
    groups = [
        {"params": summed, "lr": rate * slower},
        {"params": [p for p in model.parameters() if id(p) not in known], "lr": rate},
    ]
    for group in groups:
        group["initial_lr"] = group["lr"]  # torch's own name for it
    return [AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0, fused=True)]


def trained(width: int, way: str, rate: float, seed: int, louder: float) -> float:
    """Nats a character on the validation text after a short run; inf where it is no number."""
    tokenizer, training, judges = read()
    torch.manual_seed(seed)
    model = begin(tokenizer.vocab_size, width, way, louder)
    done = train.learn(
        train.NextToken(model),
        optimisers(model, width, way, rate),
        data.Draws(training, SHORT["context"] + 1, ROWS, seed=seed, shifted=True),
        lambda step: optim.schedule(step, STEPS, WARM_UP),
        steps=STEPS,
        seed=seed,
    )
    for _ in done:
        pass
    nats = train.bits_per_char(model, judges, JUDGES) * math.log(2)
    return nats if math.isfinite(nats) else math.inf


def kept(folder: Path, width: int, way: str, power: int, seed: int, louder: float) -> dict:
    """`trained` at the rate 2 to the `power`, and its seconds of processor time; done once."""
    job = [width, way, power, seed, louder, STEPS, ROWS, WARM_UP, JUDGES, REST, SHORT]

    def make() -> dict:
        started = time.process_time()
        nats = trained(width, way, 2.0**power, seed, louder)
        print(f"{way:8}{width:4} x {louder} 2^{power:<3} seed {seed}: {nats:.3f}", flush=True)
        return {"nats": nats, "cpu_seconds": time.process_time() - started}

    return once(folder, {"job": job}, make)


def searched(folder: Path, width: int, way: str, louder: float = 1.0) -> dict[int, list[dict]]:
    """Runs with each of SEEDS by power of two of the rate: one first, then on until the best mean
    has two rates on either side, and each seed's best one."""
    way = "usual" if width == BASE and way != "Muon" else way  # they are the same there
    tried, todo = {}, [FIRST_OF_MUON if way == "Muon" else FIRST]
    while todo:
        for power in todo:
            tried[power] = [kept(folder, width, way, power, seed, louder) for seed in SEEDS]
        mean = min(tried, key=lambda power: sum(run["nats"] for run in tried[power]))
        bests = [min(tried, key=lambda power: tried[power][seed]["nats"]) for seed in SEEDS]
        near = {mean - 2, mean - 1, mean + 1, mean + 2}
        near |= {best + step for best in bests for step in (-1, 1)}
        todo = sorted(near - tried.keys())
    return tried


def width(here: Job) -> dict:
    """The best learning rate of a small GPT at four widths, three seeds, by five ways to set first
    weights and rates; and at two of the widths with louder first weights.

    Each way and width has the same search: the rate is doubled or halved until the best has worse
    ones on either side. At the width BASE four of the ways are one.
    """
    torch.set_num_threads(1)
    asked = [(1.0, way, at) for way in WAYS for at in WIDTHS]
    asked += [(times, way, at) for times in LOUDER for way in ADAMS for at in ENDS]
    found = {(times, way, at): searched(here.out, at, way, times) for times, way, at in asked}
    once_each = [
        run
        for (_, way, at), tried in found.items()
        if at != BASE or way in ("usual", "Muon")
        for seeds in tried.values()
        for run in seeds
    ]

    def nats(times: float) -> dict:  # by way, width and power of two of the rate, of each seed
        told = {}
        for (of, way, at), tried in found.items():
            if of == times:
                told.setdefault(way, {})[at] = {
                    power: [round(run["nats"], 4) for run in tried[power]]
                    for power in sorted(tried)
                }
        return told

    def seconds_of(way: str, at: int) -> float:
        runs = [run["cpu_seconds"] for seeds in found[1.0, way, at].values() for run in seeds]
        return round(statistics.median(runs), 2)

    return {
        "training": {
            "steps": STEPS,
            "rows": ROWS,
            "warm_up": WARM_UP,
            "judges": JUDGES,
            "base": BASE,
            "rest": REST,
            "seeds": list(SEEDS),
            "model": SHORT | {"head": HEAD},
        },
        "ways": nats(1.0),
        "louder": {times: nats(times) for times in LOUDER},
        "seconds_of_a_run": {way: {at: seconds_of(way, at) for at in WIDTHS} for way in WAYS},
        "figures": {
            "runs": len(once_each),
            "cpu_seconds": round(sum(run["cpu_seconds"] for run in once_each)),
        },
    }
