"""The recorded runs on Storyland: what the models of Part 1 know, two GPT-2s, the modern model."""

import signal
from dataclasses import replace
from itertools import islice

import torch

import storyland
from tinygpt import data, mlp, records, train
from tinygpt.config import configure
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.mlp import MLP, MLPConfig
from tinygpt.model import GPT, preset
from tinygpt.ngram import KneserNey
from tinygpt.tokenizer import BPETokenizer
from tools.records.job import Job, Unfinished

CONTEXT = 224  # tokens: the longest story
EVERY = 100  # steps between two looks at the validation text
MEASURING = 60  # seconds that are left to measure what was trained
# A rehearsal of `story`: as many layers, heads, tokens and rows as show that the code runs.
TINY = {"num_layers": 1, "num_heads": 2, "d_model": 16}
FEW = {"size": "1MB", "steps": 24, "every": 12, "valid_texts": 8, "batch_size": 4, "compile": True}


def tokenizer() -> BPETokenizer:
    """The tokenizer of the chapter on neural models, which all of Part 2 reads with."""
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)


def measured(model: GPT, reader: BPETokenizer) -> tuple[float, dict[int, float]]:
    """What a model pays for the held-out stories: bits a character, and by distance."""
    stories = storyland.held_out_stories()
    texts = data.texts([story.text for story in stories], reader)
    nats = train.log_probs(model, texts)
    bits = -sum(one.sum(dtype=torch.float64).item() for one in nats) / texts.num_chars / NATS
    ends = [reader.ends(story.text) for story in stories]
    distances = storyland.bits_by_distance(stories, ends, [one.tolist() for one in nats])
    return round(bits, 4), distances


def gpt(job: Job, num_layers: int, steps: int) -> dict:
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
    described = records.write_model(job.out, model)
    bits, distances = measured(model, reader)
    return {
        "model": described,
        "training": settings | {"text": "storyland, 10MB, seed 1", "tokens": len(texts.ids)},
        "curve": curve,
        "figures": {"parameters": model.num_parameters(), "bits_per_char": bits},
        "by_distance": distances,
        "samples": [sample(model, reader, seed) for seed in range(3)],
    }


def sample(model: GPT, reader: BPETokenizer, seed: int) -> str:
    (newline,) = reader.encode("\n")
    generator = torch.Generator().manual_seed(seed)
    ids = generate(model, torch.tensor([[newline]]), CONTEXT - 1, generator=generator, stop=newline)
    return reader.decode(ids[0])


def distance(job: Job) -> dict:
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


def story(job: Job) -> dict:
    """A whole run on Storyland: `python -m tinygpt train` with the preset of this name."""
    run, config = job.out / "run", configure(job.name, device=job.device)
    if job.rehearsal:
        config = replace(config, model=replace(config.model, **TINY), **FEW, precision="bfloat16")

    def watch(point: dict, model: GPT) -> None:
        if job.left() < MEASURING:
            signal.raise_signal(signal.SIGINT)  # training then saves and stops

    try:
        made = train.train(replace(config, out=run, resume=True), watch=watch)
    except KeyboardInterrupt:
        if job.left() >= MEASURING:
            raise
        raise Unfinished("training is not at its end") from None
    model, reader, *_ = train.load(run)
    described = records.write_model(job.out, model)
    training = config.described()
    del training["out"]
    found = {
        "model": described,
        "machine": made["machine"],
        "training": training,
        "training_seconds": made["seconds"],
        "curve": made["curve"],
        "figures": made["figures"],
        "samples": made["samples"],
    }
    if model.config.causal:  # an encoder has no bits a character: `made` says what it pays
        bits, found["by_distance"] = measured(model.to(job.device), reader)
        found["figures"] |= {
            "bits_per_char": bits,
            "above_floor": round(bits / made["figures"]["floor"] - 1, 4),
        }
    return found
