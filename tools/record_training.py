"""The recorded runs of Part 3 that are many small ones: pieces by themselves, and sizes.

`python tools/records.py ablations scaling` repeats them.
"""

import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

import storyland
from tinygpt import data, optim, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer

CONTEXT = 224  # tokens: the longest story
BATCH = 8  # stories a step
VALID = 200_000  # characters of validation text
LOOK = 50  # steps that a point of a training curve stands for

# What is measured by itself: GPT-2 with this one change.
SMALL = {"num_layers": 2, "num_heads": 4, "d_model": 64}
STEPS = 300
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)  # AdamW's, tried for GPT-2
BETTER = (8e-3, 1.6e-2)  # and for each piece
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
    "ReLU²": {"activation": "relu2"},
    "SwiGLU": {"activation": "swiglu"},
    "head of its own": {"tied": False},
    "outputs from zero": {"zero_init": True},
    "larger embeddings": {"embedding_std": 0.3},
    "Muon": {"optimiser": "muon"},
    "all of them": MODERN | {"optimiser": "muon"},
}

# From here to there in size: layers, width.
SIZES = ((1, 32), (2, 48), (3, 64), (4, 96), (4, 128))
SCALING_STEPS, SCALING_SEED = 1200, 0


def stories(characters: str) -> tuple[BPETokenizer, data.Texts, data.Texts]:
    """The course's tokenizer, texts to train on, and validation texts."""
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)
    lines = corpus("storyland", size=characters).train.splitlines(keepends=True)
    valid = storyland.text(2, VALID).splitlines(keepends=True)
    return tokenizer, data.texts(lines, tokenizer), data.texts(valid, tokenizer)


def floor() -> float:
    """What the oracle pays for the validation texts: bits a character."""
    oracle = storyland.Oracle()
    lines = storyland.text(2, VALID).splitlines(keepends=True)
    return -sum(map(oracle.log_prob, lines)) / sum(map(len, lines)) / math.log(2)


def one(job: dict, tokenizer: BPETokenizer, texts: data.Texts, valid: data.Texts) -> dict:
    """Train one small model on one thread, and measure it.

    Its curve holds the training loss, nats a token: means over LOOK steps.
    """
    torch.set_num_threads(1)
    started = time.process_time()
    torch.manual_seed(job["seed"])
    sizes = {"vocab_size": tokenizer.vocab_size, "context": CONTEXT}
    model = GPT(preset("gpt2", **sizes, **job["model"]))
    if job["optimiser"] == "muon":
        optimisers = optim.make(
            model,
            "muon",
            learning_rate=job["learning_rate"],
            matrix_learning_rate=0.02,
            embedding_learning_rate=2e-2,
            weight_decay=0.0,
        )
    else:
        optimisers = optim.make(model, "adamw", learning_rate=job["learning_rate"])
    losses = train.fit(
        model,
        texts,
        context=CONTEXT,
        steps=job["steps"],
        batch_size=BATCH,
        learning_rate=job["learning_rate"],
        seed=job["seed"],
        optimisers=optimisers,
    )
    embeddings = sum(
        m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Embedding)
    ) + (0 if model.config.tied else model.head.weight.numel())
    return job | {
        "valid_bits": train.bits_per_char(model, valid),
        "curve": [sum(losses[i : i + LOOK]) / LOOK for i in range(0, len(losses), LOOK)],
        "sample": train.sample(model, tokenizer, stop=True),
        "parameters": model.num_parameters(),
        "matrices": model.num_parameters() - embeddings,
        "cpu_seconds": time.process_time() - started,
    }


def many(jobs: list[dict], processes: int = 2) -> list[dict]:
    """Each job, `processes` of them side by side."""
    tokenizer, texts, valid = stories("10MB")
    work = partial(one, tokenizer=tokenizer, texts=texts, valid=valid)
    with ProcessPoolExecutor(processes) as pool:
        return list(tqdm(pool.map(work, jobs), total=len(jobs), unit="run"))


def ablations(name: str) -> dict:
    """GPT-2 of a small size with one modern piece at a time on Storyland: five seeds each, at the
    better of two learning rates, which another seed chose."""
    jobs = {piece: job(piece, changes) for piece, changes in PIECES.items()}
    tried = [
        its | {"learning_rate": rate, "seed": 100}
        for piece, its in jobs.items()
        if its["optimiser"] == "adamw"
        for rate in (RATES if piece == "GPT-2" else BETTER)
    ]
    swept = many(tried)
    for piece, its in jobs.items():
        if its["optimiser"] == "adamw":
            runs = [run for run in swept if run["piece"] == piece]
            its["learning_rate"] = min(runs, key=lambda run: run["valid_bits"])["learning_rate"]
    runs = many([its | {"seed": seed} for its in jobs.values() for seed in SEEDS])
    table = {}
    for piece, its in jobs.items():
        five = [run for run in runs if run["piece"] == piece]
        table[piece] = {
            "changes": PIECES[piece],
            "learning_rate": its["learning_rate"],
            "valid_bits": [round(run["valid_bits"], 4) for run in five],
            "parameters": five[0]["parameters"],
            "cpu_seconds": [round(run["cpu_seconds"], 1) for run in five],
            "curve": np.mean([run["curve"] for run in five], axis=0).round(4).tolist(),
            "sample": five[0]["sample"],
        }
    return {
        "training": {
            "steps": STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "model": SMALL,
            "seeds": list(SEEDS),
            "steps_of_a_point": LOOK,
        },
        "learning_rates": {
            piece: {
                str(run["learning_rate"]): round(run["valid_bits"], 4)
                for run in swept
                if run["piece"] == piece
            }
            for piece, its in jobs.items()
            if its["optimiser"] == "adamw"
        },
        "pieces": table,
        "figures": {"floor": round(floor(), 4), "runs": len(swept) + len(runs)},
    }


def job(piece: str, changes: dict) -> dict:
    """What `one` is to do for a piece; the learning rate is AdamW's."""
    return {
        "piece": piece,
        "model": SMALL | {name: value for name, value in changes.items() if name != "optimiser"},
        "optimiser": changes.get("optimiser", "adamw"),
        "learning_rate": 5e-3,
        "steps": STEPS,
    }


def scaling(name: str) -> dict:
    """The modern model at five sizes on the same tokens of Storyland, and the law through them."""
    jobs = [
        {
            "piece": f"{layers} x {width}",
            "model": MODERN | {"num_layers": layers, "num_heads": 4, "d_model": width},
            "optimiser": "muon",
            "learning_rate": 5e-3,
            "seed": SCALING_SEED,
            "steps": SCALING_STEPS,
        }
        for layers, width in SIZES[::-1]
    ]
    runs = sorted(many(jobs), key=lambda run: run["matrices"])
    sizes = np.array([run["matrices"] for run in runs], dtype=float)
    bits = np.array([run["valid_bits"] for run in runs])
    truth = floor()
    return {
        "training": {
            "steps": SCALING_STEPS,
            "batch_size": BATCH,
            "context": CONTEXT,
            "seed": SCALING_SEED,
            "steps_of_a_point": LOOK,
        },
        "sizes": [
            {
                "layers": run["model"]["num_layers"],
                "d_model": run["model"]["d_model"],
                "parameters": run["parameters"],
                "matrices": run["matrices"],
                "valid_bits": round(run["valid_bits"], 4),
                "cpu_seconds": round(run["cpu_seconds"], 1),
                "curve": [round(loss, 4) for loss in run["curve"]],
                "sample": run["sample"],
            }
            for run in runs
        ],
        "figures": {
            "floor": round(truth, 4),
            "floor known": fitted(sizes, bits, truth),
            "floor fitted": fitted(sizes, bits, None),
        },
    }


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
