"""The recorded runs of Part 3 that are many small ones: pieces by themselves, and sizes.

`python -m tools.records ablations scaling` repeats them. Every run is kept until its record is
whole, so that a command that was killed goes on where it was.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import storyland
from tinygpt import data, optim, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT, INIT_STD, preset
from tinygpt.tokenizer import BPETokenizer
from tools.records.job import Job, once

CONTEXT = 224  # tokens: the longest story
BATCH = 8  # stories a step
VALID = 200_000  # characters of validation text
LOOK = 50  # steps that a point of a training curve stands for

# What is measured by itself: GPT-2 with this one change.
SMALL = {"num_layers": 2, "num_heads": 4, "d_model": 64}
STEPS = 200
FIRST_STD = 0.1  # of the first weights; GPT-2's own 0.02 is for widths of 768 and more
RATE, MATRIX_RATE = 1.6e-2, 2e-2  # where the search of AdamW's rate, and of Muon's, begins
LOW = (-3, -2, -1)  # powers of two below that: what GPT-2 would pay if nobody had searched
SEARCH_SEED = 100
SEEDS = range(5)
MODERN = {
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
PIECES = {
    "GPT-2": {},
    "RMSNorm": {"norm": "rmsnorm", "norm_eps": 1e-6},
    "no biases": {"bias": False},
    "rotary positions": {"positions": "rotary", "rotary_base": 1000.0},
    "QK-norm": {"qk_norm": True},
    "SwiGLU": {"activation": "swiglu"},
    "head of its own": {"tied": False},
    "Muon": {"optimiser": "muon"},
    "all of them": MODERN | {"optimiser": "muon"},
}
# The same with GPT-2's own first weights, but for those that are named.
QUIET = {
    f"{mlp}{title}": ({} if mlp == "GPT-2" else {"activation": "swiglu"}, louder)
    for title, louder in (
        ("", "nowhere"),
        (", louder MLP", "MLP"),
        (", louder elsewhere", "elsewhere"),
    )
    for mlp in ("GPT-2", "SwiGLU")
}

# From here to there in size: layers, width.
SIZES = ((1, 32), (2, 48), (3, 64), (4, 96), (4, 128))
SCALING_STEPS, SCALING_SEEDS = 250, range(1)
SCALING_RATES = {  # where their search begins; it multiplies all three by the same number
    "matrix_learning_rate": 4e-2,
    "learning_rate": 1e-2,
    "embedding_learning_rate": 4e-2,
}


@cache  # once a process
def read(characters: str) -> tuple[BPETokenizer, data.Texts]:
    """The course's tokenizer, and texts to train on."""
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)
    lines = corpus("storyland", size=characters).train.splitlines(keepends=True)
    return tokenizer, data.texts(lines, tokenizer)


def unseen(judge: str) -> list[str]:
    """Texts that no model is trained on: `valid`, which chooses, or `held_out`, which does not."""
    return {
        "valid": storyland.text(2, VALID).splitlines(keepends=True),
        "held_out": storyland.held_out(),
    }[judge]


def floor(judge: str) -> float:
    """What the oracle pays for these texts: bits a character."""
    oracle, lines = storyland.Oracle(), unseen(judge)
    return -sum(map(oracle.log_prob, lines)) / sum(map(len, lines)) / math.log(2)


# One run


def louder(model: GPT, std: float, where: str) -> None:
    """Give the first weights of all matrices another standard deviation, where GPT-2's is 0.02.

    `where` says of which: everywhere, nowhere, those of the MLP, or those elsewhere.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            part = "MLP" if ".mlp." in name else "elsewhere"
            if weight.ndim == 2 and where in ("everywhere", part):
                weight *= std / INIT_STD


def one(job: dict) -> dict:
    """Train one small model on one thread, and measure it.

    Its curve holds the training loss, nats a token: means over LOOK steps.
    """
    torch.set_num_threads(1)
    tokenizer, texts = read("10MB")
    judge = data.texts(unseen(job["judge"]), tokenizer)
    started = time.process_time()
    torch.manual_seed(job["seed"])
    sizes = {"vocab_size": tokenizer.vocab_size, "context": CONTEXT}
    changes = dict(job["model"])
    if "embedding_std" in changes and job["louder"] == "everywhere":
        changes["embedding_std"] *= INIT_STD / job["std"]  # louder() will make it what it was
    model = GPT(preset("gpt2", **sizes, **changes))
    louder(model, job["std"], job["louder"])
    losses = train.fit(
        model,
        texts,
        context=CONTEXT,
        steps=job["steps"],
        batch_size=BATCH,
        learning_rate=job["rates"]["learning_rate"],
        seed=job["seed"],
        optimisers=optim.make(model, job["optimiser"], **job["rates"]),
    )
    embeddings = sum(
        m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding)
    ) + (0 if model.config.tied else model.head.weight.numel())
    return {
        f"{job['judge']}_bits": train.bits_per_char(model, judge),
        "curve": [sum(losses[i : i + LOOK]) / LOOK for i in range(0, len(losses), LOOK)],
        "sample": train.sample(model, tokenizer, stop=True),
        "parameters": model.num_parameters(),
        "matrices": model.num_parameters() - embeddings,
        "cpu_seconds": time.process_time() - started,
    }


def kept(
    folder: Path, job: dict, seed: int, powers: int, run: Callable[[dict], dict] = one
) -> dict:
    """`run` with this seed, and the rates that are searched times 2 to the `powers`; done once."""
    rates = {
        name: rate * 2.0**powers if name in job["searched"] else rate
        for name, rate in job["rates"].items()
    }
    job = job | {"rates": rates, "seed": seed}

    def make() -> dict:
        done = run(job)
        bits = done[f"{job['judge']}_bits"]
        print(f"{job['name']:26} 2^{powers:<3} seed {seed:3}: {bits:.3f}", flush=True)
        return done

    return once(folder, job, make)


# The search, and then the runs that count


def bracket(folder: Path, job: dict, run: Callable[[dict], dict] = one) -> dict[int, float]:
    """Bits by power of two of the searched rates: 0 and 1 first, then on until the best of them has
    a worse one on either side."""
    tried, todo = {}, [0, 1]
    while todo:
        for power in todo:
            bits = kept(folder, job, SEARCH_SEED, power, run)["valid_bits"]
            tried[power] = math.inf if math.isnan(bits) else bits
        best = min(tried, key=tried.get)
        todo = [power for power in (best - 1, best + 1) if power not in tried]
    return tried


def measured(folder: Path, job: dict, seeds: range, judge: str = "valid") -> dict:
    """A job at the best of its rates, with each of the seeds: what the record says of it.

    Validation text chooses the rates; `judge` is what the runs that count are measured on.
    """
    tried = bracket(folder, job)
    best = min(tried, key=tried.get)
    runs = [kept(folder, job | {"judge": judge}, seed, best) for seed in seeds]
    searched = job["rates"][job["searched"][0]]
    return {
        "searched": job["searched"],
        "tried": {f"{searched * 2.0**power:g}": round(tried[power], 4) for power in sorted(tried)},
        "taken": float(f"{searched * 2.0**best:g}"),
        f"{judge}_bits": [round(run[f"{judge}_bits"], 4) for run in runs],
        "parameters": runs[0]["parameters"],
        "matrices": runs[0]["matrices"],
        "cpu_seconds": [round(run["cpu_seconds"], 1) for run in runs],
        "curve": np.mean([run["curve"] for run in runs], axis=0).round(4).tolist(),
        "sample": runs[0]["sample"],
    }


def job(name: str, changes: dict, rate: float = RATE, std=FIRST_STD, louder="everywhere") -> dict:
    """What `one` is to do for a piece. With Muon its own rate is searched, and `rate` is AdamW's
    for the rest."""
    optimiser = changes.get("optimiser", "adamw")
    rates = {"learning_rate": rate}
    if optimiser == "muon":
        rates = {"matrix_learning_rate": MATRIX_RATE} | rates
    return {
        "name": name,
        "model": SMALL | {name: value for name, value in changes.items() if name != "optimiser"},
        "optimiser": optimiser,
        "rates": rates,
        "searched": list(rates)[:1],
        "std": std,
        "louder": louder,
        "steps": STEPS,
        "judge": "valid",
    }


def ablations(here: Job) -> dict:
    """GPT-2 of a small size with one modern piece at a time on Storyland, five seeds each.

    Each has a search of its learning rate of its own, by another seed: the rate is doubled or
    halved until the best has a worse one on either side. Muon's rate is searched so; the rest then
    has AdamW at the best rate of GPT-2.
    """
    with ProcessPoolExecutor(2) as pool:
        base = pool.submit(bracket, here.out, job("GPT-2", {}))
        measure = partial(pool.submit, measured, here.out, seeds=SEEDS)
        quiet = {
            piece: measure(job=job(f"{piece}, quiet", changes, louder=where))
            for piece, (changes, where) in QUIET.items()
        }
        low = [pool.submit(kept, here.out, job("GPT-2", {}), SEARCH_SEED, power) for power in LOW]
        tried = base.result()
        best = RATE * 2.0 ** min(tried, key=tried.get)
        pieces = {
            piece: measure(job=job(piece, changes, rate=best if "optimiser" in changes else RATE))
            for piece, changes in PIECES.items()
        }
        pieces, quiet = (
            {piece: run.result() for piece, run in runs.items()} for runs in (pieces, quiet)
        )
        low = {f"{RATE * 2.0**power:g}": run.result() for power, run in zip(LOW, low, strict=True)}
    for piece, changes in PIECES.items():
        pieces[piece] = {"changes": changes} | pieces[piece]
    for piece, (changes, where) in QUIET.items():
        quiet[piece] = {"changes": changes, "louder": where} | quiet[piece]
    both = [*pieces.values(), *quiet.values()]
    found = {
        "training": {
            "steps": STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "model": SMALL,
            "first_std": FIRST_STD,
            "search_seed": SEARCH_SEED,
            "seeds": list(SEEDS),
            "steps_of_a_point": LOOK,
        },
        "pieces": pieces,
        "quiet": quiet,
        "untuned": {rate: round(run["valid_bits"], 4) for rate, run in low.items()},
        "figures": {
            "floor": round(floor("valid"), 4),
            "cpu_seconds": round(sum(sum(run["cpu_seconds"]) for run in both)),
            "runs": sum(len(run["tried"]) + len(run["valid_bits"]) for run in both) + len(LOW),
        },
    }
    return found


def scaling(here: Job) -> dict:
    """The modern model at five sizes on the same tokens of Storyland, and the law through them.

    Each size has a search of its own, by another seed and on validation text: its three learning
    rates are doubled or halved together until the best has a worse one on either side. The run that
    counts is judged on the held-out stories.
    """
    jobs = [
        job(f"{layers} x {width}", MODERN | {"optimiser": "muon"}, louder="nowhere")
        | {
            "model": MODERN | {"num_layers": layers, "num_heads": 4, "d_model": width},
            "rates": SCALING_RATES | {"weight_decay": 0.0},
            "searched": list(SCALING_RATES),
            "steps": SCALING_STEPS,
        }
        for layers, width in SIZES[::-1]  # what takes longest first
    ]
    with ProcessPoolExecutor(2) as pool:
        measure = partial(measured, here.out, seeds=SCALING_SEEDS, judge="held_out")
        runs = list(pool.map(measure, jobs))[::-1]
    sizes = np.array([run["matrices"] for run in runs], dtype=float)
    bits = np.array([np.mean(run["held_out_bits"]) for run in runs])
    truth = floor("held_out")
    found = {
        "training": {
            "steps": SCALING_STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "search_seed": SEARCH_SEED,
            "seeds": list(SCALING_SEEDS),
            "steps_of_a_point": LOOK,
        },
        "sizes": [
            {"layers": layers, "d_model": width} | run
            for (layers, width), run in zip(SIZES, runs, strict=True)
        ],
        "figures": {
            "floor": round(truth, 4),
            "floor known": fitted(sizes, bits, truth),
            "floor fitted": fitted(sizes, bits, None),
            "runs": sum(len(run["tried"]) + len(run["held_out_bits"]) for run in runs),
        },
    }
    return found


def fitted(sizes: np.ndarray, bits: np.ndarray, truth: float | None) -> dict:
    """The law bits = floor + a (N / 1000)^-b through points, the floor given or fitted too.

    For each exponent b the rest is a linear problem; the b with the least squares is taken.
    """
    fits = []
    for b in np.linspace(0.01, 3, 3000):
        fall = (sizes / 1000) ** -b
        columns = np.stack([fall] if truth is not None else [fall, np.ones_like(fall)], axis=1)
        target = bits - (truth or 0.0)
        found = np.linalg.lstsq(columns, target, rcond=None)[0]
        fits.append((np.square(columns @ found - target).sum(), b, *found))
    _, b, a, *c = min(fits)
    return {
        "floor": round(float(c[0] if c else truth), 4),
        "a": round(float(a), 4),
        "b": round(float(b), 3),
    }
