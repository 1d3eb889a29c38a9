"""The recorded runs of the chapter on generating: how many stories break a rule of the grammar,
and how much they differ, by the way they were drawn.

Every setting is kept until its record is whole, so that a command that was killed goes on where it
was.
"""

import math
import statistics
from functools import cache

import torch

import storyland
from storyland.words import WORD, split
from tinygpt import records
from tinygpt.corpora import corpus
from tinygpt.decode import Decoder
from tinygpt.generate import generate
from tinygpt.model import GPT
from tinygpt.tokenizer import BPETokenizer
from tools.records.job import Job, once

MODEL, OTHERS = "story-base", ("one-block", "gpt", "story-laptop")
STORIES, ROWS, SEED = 400, 200, 1
NEW = 223  # tokens at most: with the first newline the context of the models
VALUES = {
    "temperature": (1.0, 0.3, 0.5, 0.7, 0.85, 1.2),
    "top_p": (0.5, 0.8, 0.9, 0.95),
    "min_p": (0.05, 0.1, 0.3),
    "top_k": (5,),
    "repetition_penalty": (1.2,),
}
NGRAM = 4  # words
LEAST = 20  # bits: words that the model held for less likely than 2**-LEAST are put together


def decoding(here: Job) -> dict:
    """Stories drawn from recorded models in many ways: how many break a rule of the grammar by the
    oracle, and how many bits a story of that decoder holds.

    Those bits are its entropy, estimated by the mean of -log2 of the decoder's own chance of the
    stories that it drew. Beside it the share of distinct runs of four words in all stories. The
    last lines are of as many stories from the grammar itself.
    """
    asked = [(MODEL, {name: value}) for name, values in VALUES.items() for value in values]
    asked += [(name, {"temperature": 1.0}) for name in OTHERS]
    found = []
    for name, how in asked:
        run = {"model": name, "decoder": how, "stories": STORIES, "seed": SEED}
        found.append(run | once(here.out, run, lambda name=name, how=how: drawn(name, how)))
        print({key: found[-1][key] for key in ("model", "decoder", "broken", "bits")}, flush=True)
    plain = next(one for one in found if one["decoder"] == {"temperature": 1.0})
    return {
        "training": {"stories": STORIES, "seed": SEED, "new_tokens": NEW, "ngram": NGRAM},
        "settings": found,
        "oracle": truth(),
        "figures": {"broken": round(plain["broken"] / STORIES, 3), "bits": plain["bits"]},
    }


@cache
def read() -> tuple[BPETokenizer, storyland.Oracle]:
    text = corpus("storyland", size="1MB").train
    return BPETokenizer.train(text, vocab_size=1536), storyland.Oracle()


def write(model: GPT, how: dict) -> list[list[int]]:
    """The ids of STORIES stories, the newline before each and the one at its end included; without
    the latter where a story did not come to its end."""
    (newline,) = read()[0].encode("\n")
    generator = torch.Generator().manual_seed(SEED)
    first, written = torch.full((ROWS, 1), newline), []
    for _ in range(STORIES // ROWS):
        new = generate(model, first, NEW, stop=newline, generator=generator, **how).tolist()
        ends = [row.index(newline) + 1 if newline in row else len(row) for row in new]
        written += [[newline, *row[:end]] for row, end in zip(new, ends, strict=True)]
    return written


@torch.no_grad()
def bits_of(model: GPT, ids: list[int], decoder: Decoder) -> tuple[torch.Tensor, torch.Tensor]:
    """-log2 of the chance of each token but the first, by the model and by the decoder."""
    text = torch.tensor(ids)
    logits = model(text[None])[0, :-1]  # (T - 1, vocab_size)
    if decoder.repetition_penalty == 1:
        left = decoder(logits, text[:0])
    else:
        rows = [decoder(one[None], text[None, : i + 1]) for i, one in enumerate(logits)]
        left = torch.cat(rows)
    both = (one.log_softmax(-1).gather(1, text[1:, None])[:, 0] for one in (logits, left))
    own, drawn_with = (-one / math.log(2) for one in both)
    return own, drawn_with


def drawn(name: str, how: dict) -> dict:
    """What became of STORIES stories of a model."""
    (tokenizer, oracle), (model, _) = read(), records.load(name)
    texts, bits, broken_at = [], [], []
    bins = {"broke": [0] * (LEAST + 1), "other": [0] * (LEAST + 1)}
    for ids in write(model, how):
        own, drawn_with = bits_of(model, ids, Decoder(**how))
        text = tokenizer.decode(ids)[1:]
        texts.append(text)
        bits.append(drawn_with.sum().item())
        left = oracle.leaves_at(text)
        whole = text.endswith("\n")
        broken_at.append(left[0] if left else None if whole else len(split(text)))
        ends = [len(tokenizer.decode(ids[1 : i + 1])) for i in range(1, len(ids))]
        for i, of_word in enumerate(word_bits(text, ends, own.tolist())):
            if broken_at[-1] is None or i <= broken_at[-1]:
                kind = "broke" if i == broken_at[-1] else "other"
                bins[kind][min(LEAST, int(of_word))] += 1
    broken = [at for at in broken_at if at is not None]
    return {
        "broken": len(broken),
        "unfinished": sum(not text.endswith("\n") for text in texts),
        "bits": round(statistics.fmean(bits), 2),
        "bits_sd": round(statistics.stdev(bits), 2),
        "words": round(statistics.fmean(len(split(text)) for text in texts), 1),
        "distinct": round(distinct(texts), 4),
        "different": len(set(texts)),
        "median_break": statistics.median(broken) if broken else None,
        "words_by_bits": bins,
    }


def word_bits(text: str, ends: list[int], bits: list[float]) -> list[float]:
    """What the tokens of each word cost. `ends` says where each token ends, in characters; a token
    belongs to the word in which it ends."""
    found, token = [], 0
    for word in WORD.finditer(text):
        of_word = 0.0
        while token < len(bits) and ends[token] <= word.end():
            of_word += bits[token]
            token += 1
        found.append(of_word)
    return found


def distinct(texts: list[str]) -> float:
    """Of all runs of NGRAM words in the texts, the share that is not said before."""
    runs = [
        tuple(words[i : i + NGRAM])
        for words in map(split, texts)
        for i in range(len(words) - NGRAM + 1)
    ]
    return len(set(runs)) / len(runs)


def truth() -> dict:
    """The same of stories from the grammar."""
    oracle, stories = read()[1], storyland.stories(10_000 + SEED)
    texts = [next(stories).text for _ in range(STORIES)]
    bits = [-oracle.log_prob(text) / math.log(2) for text in texts]
    return {
        "broken": sum(oracle.leaves_at(text) is not None for text in texts),
        "bits": round(statistics.fmean(bits), 2),
        "bits_sd": round(statistics.stdev(bits), 2),
        "words": round(statistics.fmean(len(split(text)) for text in texts), 1),
        "distinct": round(distinct(texts), 4),
    }
