"""Part 5's headlines: what is hard about language models, each as a function of a fresh seed."""

from functools import cache
from itertools import islice

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import storyland
from replications import headline
from tinygpt import data, plan, records, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT, preset, quantise
from tinygpt.model.int4 import grouped
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.loop import nats_of

# 5-challenges/cost -------------------------------------------------------------------------------


@headline(
    page="5-challenges/cost",
    claim="The operations of a training step, by formula, are within 2 % of those that PyTorch "
    "counts, whatever the model is made of.",
    effect="how far the formula is off at most, as a share",
    below=0.02,
)
def operations_are_known_before_anything_runs(seed: int) -> float:
    """Twelve models of drawn sizes and pieces, on tensors without numbers."""
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(12):
        heads, width = int(rng.choice([2, 4])), 8 * int(rng.integers(4, 40))
        length = int(rng.integers(16, 200))
        config = preset(
            str(rng.choice(["gpt2", "modern"])),
            vocab_size=int(rng.integers(100, 3000)),
            context=200,
            num_layers=int(rng.integers(1, 6)),
            num_heads=heads,
            num_kv_heads=int(rng.choice([1, heads])),
            d_model=width,
            tied=bool(rng.integers(2)),
        )
        rows = torch.zeros(2, length + 1, dtype=torch.long, device="meta")
        with torch.device("meta"):
            model = GPT(config)
            with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
                nats_of(model, rows).sum().backward()
        formula = 2 * length * plan.operations(config, length)
        worst = max(worst, abs(formula / counter.get_total_flops() - 1))
    return worst


@cache
def _tokenizer() -> BPETokenizer:
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)


@cache
def _bits(seed: int, bits: int, calibrated: bool = False) -> float:
    """Bits a character of story-base on forty fresh stories, with so many bits a weight in its
    blocks; calibrated on 24 others."""
    texts = [story.text for story in islice(storyland.stories(seed), 64)]
    judged, shown = (data.texts(some, _tokenizer()) for some in (texts[:40], texts[40:]))
    model, _ = records.load("story-base")
    if bits == 8:
        model = quantise(model)
    elif bits < 8:
        rows = shown.rows(torch.arange(24), 224) if calibrated else None
        model = grouped(model, rows, bits=bits)
    return train.bits_per_char(model, judged)


@headline(
    page="5-challenges/cost",
    claim="Rounded to 8 bits a weight, story-base pays less than 1 % more for a character.",
    effect="bits a character, 8 bits by 32, less one",
    below=0.01,
)
def eight_bits_cost_next_to_nothing(seed: int) -> float:
    """The recorded model, forty fresh stories."""
    return _bits(seed, 8) / _bits(seed, 32) - 1


@headline(
    page="5-challenges/cost",
    claim="At 3 bits a weight, in groups of 32, feeding errors back gets back more than a third of "
    "what rounding to the nearest loses.",
    effect="share of the lost bits that is regained",
    above=1 / 3,
)
def what_rounding_loses_can_be_made_good(seed: int) -> float:
    """The recorded model, forty fresh stories, calibrated on 24 others."""
    whole, nearest = _bits(seed, 32), _bits(seed, 3)
    return (nearest - _bits(seed, 3, calibrated=True)) / (nearest - whole)
