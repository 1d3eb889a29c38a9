"""The appendix's headlines, each as a function of a fresh seed."""

import math
import random
from functools import cache

import numpy as np
import torch

from replications import headline
from tinygpt import records
from tinygpt.corpora import corpus
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tools.records import capstone
from tools.records.cells import define

# tools -------------------------------------------------------------------------------------------


@cache
def _tools() -> dict:
    """What the page defines to draw tunes and to read them."""
    smollm2 = pretrained("smollm2-135m-instruct")
    cells = ("tools-bits", "tools-drawn", "tools-third")
    return define("tools", cells, math=math, torch=torch, smollm2=smollm2)


@headline(
    page="tools",
    claim="To a model of prose a tune is heard to say again what it said: SmolLM2 pays less for "
    "the third line of a drawn tune where it is the first once more, by more than 0.3 bits a "
    "character.",
    effect="the third line after another first one less after its own, bits a character",
    above=0.3,
)
def it_hears_a_line_again(seed: int) -> float:
    """Four fresh tunes."""
    said = np.array([_tools()["third"](10 * seed + i) for i in range(4)])
    return float((said[:, 1] - said[:, 0]).mean())


@headline(
    page="tools",
    claim="A model can be worse than none: for a tune in ABC notation, drawn, story-base pays more "
    "than the eight bits a character of a byte.",
    effect="bits a character of story-base",
    above=8.0,
)
def worse_than_no_model(seed: int) -> float:
    """Two fresh tunes of three lines."""
    page, rng = _tools(), random.Random(seed)
    bpe = BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)
    tunes = [page["HEAD"] + "".join(page["line"](rng) for _ in range(3)) for _ in range(2)]
    reader = records.load("story-base")[0], bpe, bpe.encode("\n")[0]
    return float(np.mean([page["bits"](*reader, tune) / len(tune) for tune in tunes]))


# capstone ----------------------------------------------------------------------------------------


@cache
def _harbour(seed: int) -> dict:
    """Fresh texts of the harbour's language, an n-gram and a GPT trained on them."""
    return capstone.run(seed)


def _landed(seed: int, kind: str, change: str) -> float:
    return float(np.mean(_harbour(seed)["landed"]["GPT"][kind][change]))


@headline(
    page="capstone",
    claim="Three hundred steps make a GPT that pays less for new texts of the harbour's language "
    "than the best of seven n-grams, by more than 0.015 bits a character.",
    effect="n-gram less GPT, bits a character",
    above=0.015,
)
def a_minute_beats_counting(seed: int) -> float:
    """The page's whole course, with fresh texts and weights."""
    found = _harbour(seed)
    return capstone.per_char(found, "n-gram") - capstone.per_char(found, "GPT")


@headline(
    page="capstone",
    claim="And it cannot subtract: where a number is to be worked out, the right one has less than "
    "half of the probability.",
    effect="probability of the number landed, where some were lost",
    below=0.5,
)
def it_cannot_subtract(seed: int) -> float:
    """The same models; all test texts in which something was lost."""
    return _landed(seed, "subtracted", "as it is")


@headline(
    page="capstone",
    claim="It does read the number at the start: with another one there, the number at the end "
    "falls below what it has with another boat.",
    effect="probability of the number landed, with another boat less with another number",
    above=0.0,
)
def it_reads_the_first_number(seed: int) -> float:
    """The same models; all test texts in which nothing was lost."""
    return _landed(seed, "copied", "another boat") - _landed(seed, "copied", "another number")
