"""Repeat the recorded runs that the chapters show, and store them in records/.

    python tools/records.py [NAME ...]    # default: all that can be made with what is here

Each record says with which command, when, on what, and from which commit it came.
"""

import argparse
import datetime
import inspect
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import record_gpu
import record_shakespeare
import record_training
import torch

import storyland
from tinygpt import data, mlp, records, train
from tinygpt.config import configure
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.mlp import MLP, MLPConfig
from tinygpt.model import GPT, preset
from tinygpt.ngram import KneserNey
from tinygpt.records import machine
from tinygpt.tokenizer import BPETokenizer

CONTEXT = 224  # tokens: the longest story
EVERY = 100  # steps between two looks at the validation text


def tokenizer() -> BPETokenizer:
    """The tokenizer of the chapter on neural models, which all of Part 2 reads with."""
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)


def by_distance(model: GPT, texts: data.Texts, reader: BPETokenizer) -> dict[int, float]:
    stories = storyland.held_out_stories()
    ends = [reader.ends(story.text) for story in stories]
    return storyland.bits_by_distance(
        stories, ends, [nats.tolist() for nats in train.log_probs(model, texts)]
    )


def gpt(name: str, num_layers: int, steps: int) -> dict:
    """A GPT-2 of laptop size on ten million characters of Storyland."""
    reader = tokenizer()
    settings = {
        "context": CONTEXT,
        "steps": steps,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "seed": 0,
    }
    lines = corpus("storyland", size="10MB").train.splitlines(keepends=True)
    texts = data.texts(lines, reader)
    valid = data.texts(storyland.text(2, 100_000).splitlines(keepends=True), reader)
    held_out = data.texts(storyland.held_out(), reader)

    torch.manual_seed(0)
    sizes = {"vocab_size": reader.vocab_size, "context": CONTEXT, "num_layers": num_layers}
    model = GPT(preset("gpt2", **sizes))
    curve = []

    def watch(step: int, loss: float) -> None:
        if step % EVERY == EVERY - 1:
            bits = train.bits_per_char(model, valid)
            model.train()
            curve.append({"step": step + 1, "loss": round(loss, 4), "valid_bits": round(bits, 4)})

    train.fit(model, texts, **settings, progress=True, watch=watch)
    described = records.write_model(name, model)
    return {
        "model": described,
        "training": settings | {"text": "storyland, 10MB, seed 1", "tokens": len(texts.ids)},
        "curve": curve,
        "figures": {
            "parameters": model.num_parameters(),
            "bits_per_char": round(train.bits_per_char(model, held_out), 4),
        },
        "by_distance": by_distance(model, held_out, reader),
        "samples": [sample(model, reader, seed) for seed in range(3)],
    }


def sample(model: GPT, reader: BPETokenizer, seed: int) -> str:
    (newline,) = reader.encode("\n")
    generator = torch.Generator().manual_seed(seed)
    ids = generate(model, torch.tensor([[newline]]), CONTEXT - 1, generator=generator, stop=newline)
    return reader.decode(ids[0])


def distance(name: str) -> dict:
    """What the models of Part 1, and the oracle, pay for words said before, by distance."""
    text = corpus("storyland", size="1MB")
    stories = storyland.held_out_stories()
    whole = "".join(story.text for story in stories)

    counted = KneserNey(16).fit(text.train)
    letter_ends = [range(1, len(story.text) + 1) for story in stories]
    letters = apart(counted.log_probs(whole), letter_ends)

    # The network of the chapter, with its settings.
    reader = tokenizer()
    (newline,) = reader.encode("\n")
    torch.manual_seed(0)
    network = MLP(MLPConfig(reader.vocab_size, context=6))
    mlp.fit(network, reader.encode(text.train), newline, steps=2000, progress=True)
    token_ends = [reader.ends(story.text) for story in stories]
    tokens = apart(mlp.log_probs(network, reader.encode(whole), newline).tolist(), token_ends)

    oracle = storyland.Oracle()
    words = [oracle.word_log_probs(story.text) for story in stories]
    word_ends = [
        [len(storyland.join(story.words[: i + 1])) for i in range(len(story.words))]
        for story in stories
    ]
    mentions = [mention for story in stories for mention in storyland.mentions(story)]
    return {
        "figures": {
            "mentions": len(mentions),
            "16-gram bits_per_char": round(-sum(map(sum, letters)) / len(whole) / NATS, 4),
            "MLP bits_per_char": round(-sum(map(sum, tokens)) / len(whole) / NATS, 4),
        },
        "by_distance": {
            "16-gram": storyland.bits_by_distance(stories, letter_ends, letters),
            "MLP": storyland.bits_by_distance(stories, token_ends, tokens),
            "oracle": storyland.bits_by_distance(stories, word_ends, words),
        },
    }


def apart(log_probs: list[float], ends: list) -> list[list[float]]:
    """What was measured on all stories in a row, as in the chapters of Part 1: story by story."""
    rest = iter(log_probs)
    return [list(islice(rest, len(one))) for one in ends]


NATS = torch.tensor(2.0, dtype=torch.float64).log().item()  # in a bit


def story(name: str) -> dict:
    """The modern model on Storyland: `python -m tinygpt train` with the preset of this name."""
    with tempfile.TemporaryDirectory() as folder:
        device = "cuda" if name in ON_GPU else "cpu"
        made = train.train(configure(name, out=Path(folder), device=device))
        model, reader, *_ = train.load(Path(folder))
    described = records.write_model(name, model)
    held_out = data.texts(storyland.held_out(), reader)
    made["figures"]["bits_per_char"] = round(train.bits_per_char(model, held_out), 4)
    made["figures"]["above_floor"] = round(
        made["figures"]["bits_per_char"] / made["figures"]["floor"] - 1, 4
    )
    made["training"].pop("out")
    return {
        "model": described,
        "machine": made["machine"],
        "training": made["training"],
        "training_seconds": made["seconds"],
        "curve": made["curve"],
        "figures": made["figures"],
        "by_distance": by_distance(model, held_out, reader),
        "samples": made["samples"],
    }


RUNS = {
    "distance": distance,
    "one-block": partial(gpt, num_layers=1, steps=4000),
    "gpt": partial(gpt, num_layers=4, steps=4000),
    "story-laptop": story,
    "ablations": record_training.ablations,
    "scaling": record_training.scaling,
}
# These need nanoGPT's code, a GPU, or both.
BESIDE_NANOGPT = {
    "shakespeare-laptop": record_shakespeare.laptop,
    "shakespeare-gpu": record_shakespeare.gpu,
}
ON_GPU = {"story-gpu": story, "gpt2-small-step": record_gpu.gpt2_small_step}


def record(name: str, work: Callable[[str], dict], command: str) -> None:
    started, wall = datetime.datetime.now(datetime.UTC), time.perf_counter()
    cpu = time.process_time()
    # The code that runs is the code of now, whatever is committed while it runs.
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True)
    found = work(name)
    about = {
        "name": name,
        "what": inspect.getdoc(work.func if isinstance(work, partial) else work),
        "command": f"python tools/records.py {command}{name}",
        "commit": commit.stdout.strip(),
        "date": started.date().isoformat(),
        "machine": machine(),
        "versions": {package: version(package) for package in ("torch", "numpy", "tokenizers")},
        "seconds": round(time.perf_counter() - wall),
        "cpu_seconds": round(time.process_time() - cpu),
    }
    records.write(name, about | found)
    print(name, found["figures"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(RUNS)}; on a GPU also {', '.join(ON_GPU)}; with --nanogpt also "
        f"{', '.join(BESIDE_NANOGPT)}, the last of them on a GPU",
    )
    parser.add_argument(
        "--nanogpt", type=Path, metavar="FOLDER", help="a clone of nanoGPT, to measure against"
    )
    parser.add_argument(
        "--shakespeare",
        default="shakespeare",
        metavar="FILE",
        help="tiny Shakespeare, where it is not to be downloaded",
    )
    chosen = parser.parse_args()
    for name in chosen.names:
        if name in ON_GPU | {"shakespeare-gpu": None} and not torch.cuda.is_available():
            sys.exit(f"{name} needs a GPU, and PyTorch finds none here.")
        if name in BESIDE_NANOGPT and not chosen.nanogpt:
            sys.exit(
                f"{name} runs beside nanoGPT: git clone https://github.com/karpathy/nanoGPT, and "
                f"python tools/records.py --nanogpt nanoGPT {name}"
            )
        if name not in RUNS | ON_GPU | BESIDE_NANOGPT:
            known = ", ".join(RUNS | ON_GPU | BESIDE_NANOGPT)
            sys.exit(f"There is no run {name!r}: choose among {known}.")
    gpu = torch.cuda.is_available()
    able = RUNS | (ON_GPU if gpu else {})
    if chosen.nanogpt:
        able |= {name: work for name, work in BESIDE_NANOGPT.items() if gpu or "gpu" not in name}
    for name in chosen.names or able:
        if name in BESIDE_NANOGPT:
            work = BESIDE_NANOGPT[name]
            where = {"source": chosen.shakespeare, "nanogpt": chosen.nanogpt}
            given = "" if chosen.shakespeare == "shakespeare" else "--shakespeare FILE "
            record(name, partial(work, **where), command=f"--nanogpt nanoGPT {given}")
        else:
            record(name, (RUNS | ON_GPU)[name], command="")


if __name__ == "__main__":
    main()
