"""Part of the record "privacy": a small GPT that reads lines so many times, and what it keeps of
secrets."""

from collections.abc import Sequence
from math import log

import torch
from tqdm import tqdm

from storyland.secrets import DIGITS, Secret
from tinygpt import data, optim, privacy
from tinygpt.data import Draws
from tinygpt.model import GPT, preset
from tinygpt.train.loop import NextToken, learn
from tools.records.bias import tokenizer
from tools.records.data import CONTEXT, MODEL, RATES

BATCH = 8


def read(lines: Sequence[str], seed: int, rounds: int) -> GPT:
    """A small GPT, from its first weights on, that has read every line so many times."""
    torch.manual_seed(seed)
    model = GPT(preset("gpt2", vocab_size=tokenizer().vocab_size, context=CONTEXT, **MODEL))
    draws = Draws(data.texts(lines, tokenizer()), CONTEXT + 1, BATCH, seed, alone=True)
    steps = rounds * len(lines) // BATCH
    optimisers = optim.make(model, "muon", **RATES)
    factor = lambda step: optim.schedule(step, steps, 20)  # noqa: E731
    done = learn(NextToken(model), optimisers, draws, factor, steps=steps, seed=seed)
    for _ in tqdm(done, total=steps, desc="reads", disable=None):
        pass
    return model.eval()


def kept(model: GPT, some: Sequence[Secret]) -> list[list[float]]:
    """Of each secret: its exposure, and what its number costs, in bits; 1 where the model would
    say it, digit for digit the most probable."""
    found = []
    for one in some:
        nats, number = privacy.numbers(model, tokenizer(), one.before, DIGITS), int(one.number)
        bits = -nats[number].item() / log(2)
        greedy = spoken(nats) == number
        found.append([round(privacy.exposure(nats, number), 2), round(bits, 2), int(greedy)])
    return found


def spoken(nats: torch.Tensor) -> int:
    """The number that is said digit by digit, each the most probable: nats (10**n,)."""
    while len(nats) > 1:
        tenths = nats.view(10, -1)
        first = int(tenths.logsumexp(1).argmax())
        return first * tenths.shape[1] + spoken(tenths[first])
    return 0
