"""The recorded experiment of Part 3 that asks how to divide a budget of computation.

`python -m tools.records isoflop` repeats it. What is done is kept in runs/, as in training.
"""

import math
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch

import storyland
from tinygpt import data, optim, train
from tinygpt.model import GPT, preset
from tools.records.job import Job
from tools.records.training import CONTEXT, MODERN, SCALING_RATES, SEARCH_SEED, bracket, kept
from tools.records.training import read as read_texts

ROWS = 4  # of CONTEXT tokens, a step
SEEDS = range(2)  # of the runs that count
JUDGES = {"valid": 100, "held_out": 200}  # stories of each
# Operations, and the sizes (layers, width) that are tried with so many.
BUDGETS = {
    1.6e10: ((1, 8), (1, 16), (1, 24), (1, 32), (2, 32)),
    6.4e10: ((1, 16), (1, 24), (1, 32), (2, 32), (2, 48)),
    2.56e11: ((1, 24), (1, 32), (1, 48), (1, 64), (2, 32), (2, 48)),
}


def operations(layers: int, width: int, vocab_size: int, rows: int = ROWS) -> int:
    """Multiplications and additions of one step of training on `rows` rows of CONTEXT tokens.

    A number of a matrix costs a token two in the forward pass and four in the backward; a pair of
    places costs as much for each number of a query and of a value (no account is taken of the mask,
    as in Hoffmann et al., 2022). Muon's five rounds of matrix products are counted too: they are
    done once a step, however many tokens it has.
    """
    matrices = 12 * layers * width**2 + vocab_size * width  # blocks, head
    pairs = 2 * layers * CONTEXT * width  # of each token with all places
    muon = 280 * layers * width**3
    return rows * CONTEXT * 6 * (matrices + pairs) + muon


@cache
def judges() -> dict[str, tuple[data.Texts, float]]:
    """The texts that choose, and those that count, each with what the oracle pays: bits a
    character."""
    oracle, tokenizer = storyland.Oracle(), read_texts("10MB")[0]
    found = {}
    for name, count in JUDGES.items():
        lines = {
            "valid": storyland.text(2, 100_000).splitlines(keepends=True),
            "held_out": storyland.held_out(),
        }[name][:count]
        due = -sum(map(oracle.log_prob, lines)) / sum(map(len, lines)) / math.log(2)
        found[name] = data.texts(lines, tokenizer), due
    return found


def one(job: dict) -> dict:
    """Train one model on one thread, and measure it on the text that chooses and on the other."""
    torch.set_num_threads(1)
    tokenizer, texts = read_texts("10MB")
    texts_of = {name: text for name, (text, _) in judges().items()}
    started = time.process_time()
    torch.manual_seed(job["seed"])
    sizes = {"vocab_size": tokenizer.vocab_size, "context": CONTEXT}
    model = GPT(preset("gpt2", **sizes, **job["model"]))
    steps = job["steps"]
    train.fit(
        model,
        texts,
        context=CONTEXT,
        steps=steps,
        batch_size=ROWS,
        learning_rate=job["rates"]["learning_rate"],
        seed=job["seed"],
        optimisers=optim.make(model, "muon", **job["rates"]),
        schedule=lambda step: optim.schedule(step, steps, warm_up=steps // 10),
    )
    trained = time.process_time() - started
    return {
        **{f"{name}_bits": train.bits_per_char(model, text) for name, text in texts_of.items()},
        "parameters": model.num_parameters(),
        "cpu_seconds": trained,
    }


def point(folder: Path, budget: float, layers: int, width: int) -> dict:
    """A size at a budget: at a learning rate of its own, then with the seeds that count."""
    vocab_size = read_texts("10MB")[0].vocab_size
    each = operations(layers, width, vocab_size)
    job = {
        "name": f"{budget:.3g}: {layers} x {width}",
        "model": MODERN | {"num_layers": layers, "num_heads": 4, "d_model": width},
        "rates": SCALING_RATES | {"weight_decay": 0.0},
        "searched": list(SCALING_RATES),
        "steps": round(budget / each),
        "judge": "valid",
    }
    tried = bracket(folder, job, run=one)
    best = min(tried, key=tried.get)
    search, *runs = (kept(folder, job, seed, best, run=one) for seed in (SEARCH_SEED, *SEEDS))
    rate = SCALING_RATES["matrix_learning_rate"]
    return {
        "layers": layers,
        "d_model": width,
        "steps": job["steps"],
        "operations": job["steps"] * each,
        "tokens": job["steps"] * ROWS * CONTEXT,
        "matrices": 12 * layers * width**2,
        "parameters": runs[0]["parameters"],
        "tried": {f"{rate * 2.0**power:g}": round(tried[power], 4) for power in sorted(tried)},
        "taken": float(f"{rate * 2.0**best:g}"),
        "held_out_bits": [round(run["held_out_bits"], 4) for run in runs],
        "search_held_out_bits": round(search["held_out_bits"], 4),
        "cpu_seconds": [round(run["cpu_seconds"], 1) for run in runs],
    }


def isoflop(here: Job) -> dict:
    """The modern model at three budgets of computation, five or six sizes each.

    At each budget each size has a search of its own, by another seed and on validation text: its
    three learning rates are doubled or halved together until the best has a worse one on either
    side. The runs that count, two seeds each, are judged on held-out stories.
    """
    budgets = [
        {
            "operations": budget,
            "points": [point(here.out, budget, layers, width) for layers, width in sizes],
        }
        for budget, sizes in BUDGETS.items()
    ]
    points = [one for budget in budgets for one in budget["points"]]
    found = {
        "training": {
            "rows": ROWS,
            "context": CONTEXT,
            "search_seed": SEARCH_SEED,
            "seeds": list(SEEDS),
            "stories": JUDGES,
        },
        "budgets": budgets,
        "figures": {
            "floor": round(judges()["held_out"][1], 4),
            "valid_floor": round(judges()["valid"][1], 4),
            "runs": sum(len(one["tried"]) + len(SEEDS) for one in points),
            "cpu_seconds": round(float(np.sum([one["cpu_seconds"] for one in points]))),
        },
    }
    return found
