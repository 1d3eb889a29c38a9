"""The headlines of Part 5."""

from functools import cache

import numpy as np

from replications import headline
from tinygpt import records
from tinygpt.pretrained import pretrained
from tools.records import inside

# 5-challenges/interpretability -------------------------------------------------------------------


@cache
def _hidings(seed: int) -> inside.Hidings:
    return inside.Hidings(seed, 24)


@headline(
    page="5-challenges/interpretability",
    claim="Block 4 brings what she saw to the last word: the stream there, brought from a story "
    "with the other sentence, changes nearly all answers after block 4 and nearly none before it.",
    effect="share of answers that change, after block 4 less before it",
    above=0.9,
)
def block_four_brings_what_she_saw(seed: int) -> float:
    """The recorded model, 24 stories."""
    after, before = (_hidings(seed).moved("twin", f"residual.{i}", "last") for i in (4, 3))
    return after - before


@headline(
    page="5-challenges/interpretability",
    claim="One head does it: head 2 of block 4, brought alone at the last word, changes nearly all "
    "answers, and none of the other three changes as many as one in ten.",
    effect="share of answers that change by head 2, less the most by another",
    above=0.9,
)
def one_head_brings_what_she_saw(seed: int) -> float:
    """The recorded model, 24 stories."""
    found = [_hidings(seed).moved("twin", "heads.3", "last", [head]) for head in range(4)]
    return found.pop(1) - max(found)


@headline(
    page="5-challenges/interpretability",
    claim="In SmolLM2 the ten heads with the highest induction score are needed to repeat random "
    "tokens: at their mean the loss is higher than with ten others of the same blocks, by more "
    "than one nat a token.",
    effect="loss, the ten by score less ten drawn, nats a token",
    above=1.0,
)
def induction_heads_are_needed(seed: int) -> float:
    """Eight rows of twenty random tokens, said twice; one of the recorded draws."""
    model, sets = _smollm2(), records.read("inside")["real"]["sets"]
    rows = inside.twice(seed, 8, inside.REAL_HALF, inside.FIRST, inside.LAST)
    mean = inside.means(inside.outputs(model, rows))
    drawn = sets["same blocks"][seed % inside.DRAWS]
    losses = [
        inside.second_half(model, rows, inside.put([tuple(one) for one in heads], mean)).mean()
        for heads in (sets["induction"], drawn)
    ]
    return float(np.subtract(*losses))


@cache
def _smollm2():
    return pretrained(inside.REAL).model
