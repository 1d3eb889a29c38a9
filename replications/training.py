"""Part 3's headlines: training, its loss and its optimisers, each as a function of a fresh seed."""

import copy
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import storyland
from replications import headline
from tinygpt import checkpoint, compare, data, mlp, optim, records, train
from tinygpt.corpora import corpus
from tinygpt.mlp import MLP, MLPConfig, windows
from tinygpt.model import GPT, INIT_STD, preset
from tinygpt.ngram import KneserNey
from tinygpt.optim import Muon, schedule
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

# 3-training/data ---------------------------------------------------------------------------------


def _copied(seed: int) -> dict[str, list[str]]:
    """300,000 characters in two ways: fresh stories twice, or once and then eight of them often."""
    once = storyland.text(seed, 150_000).splitlines(keepends=True)
    rng, often = random.Random(seed), list(once)
    while sum(map(len, often)) < 300_000:
        often.append(rng.choice(once[:8]))
    return {"all twice": once + once, "a few, often": often}


def _counted(lines: list[str]) -> KneserNey:
    """10-grams that know all characters of Storyland."""
    return KneserNey(10).fit("".join(lines) + "".join(sorted(set(corpus("storyland").train))))


@headline(
    page="3-training/data",
    claim="For 10-grams a text in which every story stands twice is worse than one of which half "
    "is copies of the same eight stories.",
    effect="bits a character on fresh stories, all twice minus a few often",
    above=0.2,
)
def copies_of_all_ruin_the_counts(seed: int) -> float:
    """Half of both texts is the same stories once."""
    judge = storyland.text(seed + 100_000, 22_000)
    twice, often = (_counted(lines).bits_per_char(judge) for lines in _copied(seed).values())
    return twice - often


@headline(
    page="3-training/data",
    claim="For a small GPT it is the other way round: half of the text copies of eight stories is "
    "worse than every story twice.",
    effect="bits a character on fresh stories, a few often minus all twice",
    above=0.0,
)
def copies_of_a_few_harm_a_gpt(seed: int) -> float:
    """The page's GPT, 200 steps of 8 rows on each text."""
    judge = storyland.text(seed + 100_000, 22_000).splitlines(keepends=True)
    tokenizer, bits = _tokenizer(), []
    pieces = {"norm": "rmsnorm", "norm_eps": 1e-6, "bias": False, "activation": "relu2"}
    pieces |= {"positions": "rotary", "rotary_base": 1000.0, "qk_norm": True, "tied": False}
    sizes = {"context": 224, "num_layers": 2, "num_heads": 4, "d_model": 64}
    first = {"zero_init": True, "embedding_std": 0.3}
    rates = {"matrix_learning_rate": 8e-2, "embedding_learning_rate": 8e-2, "weight_decay": 0.0}
    steps = {"steps": 200, "batch_size": 8, "context": 224, "warm_up": 20, "learning_rate": 2e-2}
    for lines in _copied(seed).values():
        torch.manual_seed(seed)
        model = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size, **sizes, **pieces, **first))
        optimisers = optim.make(model, "muon", learning_rate=2e-2, **rates)
        texts = data.texts(lines, tokenizer)
        train.fit(model, texts, **steps, seed=seed, optimisers=optimisers)
        bits.append(train.bits_per_char(model, data.texts(judge, tokenizer)))
    twice, often = bits
    return often - twice


@headline(
    page="3-training/data",
    claim="Where each story has a copy with other names, a validation set drawn by text says too "
    "little by a tenth of a bit or more.",
    effect="bits a character, fresh stories minus validation",
    above=0.1,
)
def a_split_by_text_flatters(seed: int) -> float:
    """80,000 characters of stories and their copies; a tenth of all texts validates."""
    rng = random.Random(seed)
    names = [item.name for item in storyland.grammar().lists["name"].items]
    anybody, texts = re.compile(rf"\b({'|'.join(names)})\b"), []
    for line in storyland.text(seed, 80_000).splitlines(keepends=True):
        other = dict(zip(names, rng.sample(names, len(names)), strict=True))
        texts += [line, anybody.sub(lambda found, other=other: other[found[0]], line)]
    rng.shuffle(texts)
    tenth = len(texts) // 10
    model, valid = _counted(texts[tenth:]), "".join(texts[:tenth])
    fresh = storyland.text(seed + 100_000, 22_000)
    return model.bits_per_char(fresh) - model.bits_per_char(valid)


# 3-training/likelihood ---------------------------------------------------------------------------


@headline(
    page="3-training/likelihood",
    claim="Following the slopes of the loss leads a table of pairs to the shares that counting "
    "gives, to three decimals.",
    effect="largest difference between a probability by slopes and its share of the counts",
    below=0.0005,
)
def slopes_lead_to_the_counts(seed: int) -> float:
    """4,000 steps of Adam on the scores of all pairs of characters of a million characters."""
    text = "\n" + storyland.text(seed, 1_000_000)
    alphabet = {char: i for i, char in enumerate(sorted(set(text)))}
    size = len(alphabet)
    ids = torch.tensor([alphabet[char] for char in text])
    pairs = torch.bincount(ids[:-1] * size + ids[1:], minlength=size**2).view(size, size).double()
    scores = torch.zeros_like(pairs, requires_grad=True)
    optimiser = torch.optim.Adam([scores])
    for step in range(4000):
        optimiser.param_groups[0]["lr"] = 1 - step / 4000
        optimiser.zero_grad()
        (-(pairs * scores.log_softmax(1)).sum() / pairs.sum()).backward()
        optimiser.step()
    counted = pairs / pairs.sum(1, keepdim=True)
    return (scores.detach().softmax(1) - counted).abs().max().item()


@headline(
    page="3-training/likelihood",
    claim="Most of what our GPT pays where a new word begins is the entropy of the truth, which no "
    "model can save.",
    effect="share of the entropy in the GPT's cross-entropy",
    above=0.6,
)
def most_of_the_loss_is_due(seed: int) -> float:
    """The recorded GPT on twelve fresh stories; the expectation over the truth is exact."""
    tokenizer = _tokenizer()
    oracle, (gpt, _) = storyland.Oracle(), records.load("gpt")
    due = paid = 0.0
    for story in islice(storyland.stories(seed), 12):
        ids = torch.tensor(tokenizer.encode("\n" + story.text))
        with torch.no_grad():
            log_q = gpt(ids[None, :-1])[0].double().log_softmax(1)  # (T, vocab_size)
        ends = [0, *tokenizer.ends(story.text)]
        for i, (_, truth) in enumerate(oracle.walk(story.words)):
            begin = len(storyland.join(story.words[:i]))
            if begin in ends and not set(",.?!") & set(truth):
                p = torch.zeros_like(log_q[0])
                for word, probability in truth.items():
                    last = story.words[i - 1 : i]
                    begins = storyland.join([*last, word])[len("".join(last)) :]
                    p[tokenizer.encode(begins)[0]] += probability
                due += torch.special.entr(p).sum().item()
                paid -= (p * log_q[ends.index(begin)]).sum().item()
    return due / paid


@headline(
    page="3-training/likelihood",
    claim="Overfitting is first of all overconfidence: dividing the logits by 2 takes away at "
    "least four fifths of what it cost.",
    effect="share of the rise in validation loss that is gone with the logits divided by 2",
    above=0.8,
)
def overfitting_is_overconfidence(seed: int) -> float:
    """A small GPT reads twelve fresh stories two hundred times; 32 others judge it."""
    few, others = _few_and_others(seed)
    model, curve = _overfit(few, others, seed)
    with torch.no_grad():
        cooled = _next_loss(model, others, temperature=2.0).item()
    return (curve[-1] - cooled) / (curve[-1] - min(curve))


@headline(
    page="3-training/likelihood",
    claim="A small GPT that reads twelve stories two hundred times ends worse with dropout of 0.2 "
    "than without.",
    effect="nats a token on other stories, with dropout minus without",
    above=0.0,
)
def dropout_left_to_run_ends_worse(seed: int) -> float:
    """Both after the same 300 steps, from the same weights and on the same batches."""
    few, others = _few_and_others(seed)
    return _overfit(few, others, seed, dropout=0.2)[1][-1] - _overfit(few, others, seed)[1][-1]


@headline(
    page="3-training/likelihood",
    claim="What dropout costs there is loudness: with all logits divided by 2.5 the network with "
    "dropout is at most 0.2 nats worse than the one without.",
    effect="nats a token on other stories, with dropout minus without, logits divided by 2.5",
    below=0.2,
)
def dropout_is_only_too_loud(seed: int) -> float:
    """The same two networks as before, after their 300 steps."""
    few, others = _few_and_others(seed)
    models = (_overfit(few, others, seed, dropout=p)[0] for p in (0.2, 0.0))
    dropout, plain = (_next_loss(model, others, 2.5).item() for model in models)
    return dropout - plain


def _overfit(few: Tensor, others: Tensor, seed: int, **changes) -> tuple[GPT, list[float]]:
    """The page's small GPT after 300 steps on `few` (n, 65), and its loss on `others`.

    That is looked at every 25 steps, in nats a token. `changes` are the preset's.
    """
    torch.manual_seed(seed)
    sizes = {"vocab_size": 1536, "context": 64, "num_layers": 2, "d_model": 64}
    model = GPT(preset("gpt2", **sizes | changes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    draw, curve = torch.Generator().manual_seed(seed), []
    for step in range(1, 301):
        loss = _next_loss(model, few[torch.randint(len(few), (8,), generator=draw)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 25 == 0:
            with torch.no_grad():
                curve.append(_next_loss(model.eval(), others).item())
            model.train()
    return model.eval(), curve


def _next_loss(model: GPT, rows: Tensor, temperature: float = 1.0) -> Tensor:
    """Nats a token on `rows` (n, 65), the logits divided by `temperature`."""
    logits = model(rows[:, :-1]) / temperature
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def _few_and_others(seed: int) -> tuple[Tensor, Tensor]:
    """The first 65 tokens of twelve fresh stories, and of 32 others: (12, 65) and (32, 65)."""
    lines = [story.text for story in islice(storyland.stories(seed), 44)]
    rows = data.texts(lines, _tokenizer()).rows(torch.arange(44), 65)
    return rows[:12], rows[12:]


def _tokenizer() -> BPETokenizer:
    """The book's 1,536 tokens."""
    return BPETokenizer.train(corpus("storyland").train, vocab_size=1536)


# 3-training/optimisers ---------------------------------------------------------------------------

RULES: dict[str, Callable] = {  # of a model and a learning rate: its optimisers
    "sgd": lambda model, lr: [torch.optim.SGD(model.parameters(), lr)],
    "momentum": lambda model, lr: [torch.optim.SGD(model.parameters(), lr, momentum=0.9)],
    "adam": lambda model, lr: [torch.optim.Adam(model.parameters(), lr, betas=(0.9, 0.95))],
    "adamw": lambda model, lr: [torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.95))],
    "adam in tables": lambda model, lr: _two(model, ("embedding", "output"), lr),
    "adam between": lambda model, lr: _two(model, ("up", "down"), lr),
    "muon": lambda model, lr: [
        Muon([model.up.weight, model.down.weight], lr, weight_decay=0.0),
        torch.optim.AdamW(
            [p for name, p in model.named_parameters() if name not in ("up.weight", "down.weight")],
            lr,
            betas=(0.9, 0.95),
        ),
    ],
}
RATES = {  # around each one's best
    "sgd": (0.5, 1, 2, 4),
    "momentum": (0.125, 0.25, 0.5, 1),
    "adam in tables": (0.0625, 0.125, 0.25, 0.5),  # of the momentum
    "adam between": (0.125, 0.25, 0.5, 1),
}
ADAMS_RATES = (0.005, 0.01, 0.02, 0.04)


def _two(model: MLP, parts: tuple[str, ...], lr: float) -> list[torch.optim.Optimizer]:
    """Adam at 0.02 for the parts so named, SGD with momentum at `lr` for the others."""
    own = [p for name, p in model.named_parameters() if name.startswith(parts)]
    others = [p for name, p in model.named_parameters() if not name.startswith(parts)]
    adam = torch.optim.Adam(own, 0.02, betas=(0.9, 0.95))
    return [adam, torch.optim.SGD(others, lr, momentum=0.9)]


class Race:
    """The page's network and its text, from one seed: a million fresh characters."""

    def __init__(self, seed: int):
        self.seed = seed
        text = storyland.text(seed, 1_000_000)
        tokenizer = BPETokenizer.train(text, vocab_size=1536)
        (newline,) = tokenizer.encode("\n")
        ids = torch.tensor(tokenizer.encode(text))
        self.rows = windows(ids, 6, newline)
        judges = tokenizer.encode(storyland.text(seed + 100_000, 60_000))
        self.valid = windows(judges, 6, newline)[:8192]

    def train(self, name: str, lr: float, steps: int = 300) -> MLP:
        """The network after `steps` batches of 128; the rate rises over the first 15."""
        torch.manual_seed(self.seed)
        model = MLP(MLPConfig(1536, context=6, d_model=32, hidden=128))
        optimisers = RULES[name](model, lr)
        groups = [group for one in optimisers for group in one.param_groups]
        tops = [group["lr"] for group in groups]
        draw = torch.Generator().manual_seed(self.seed)
        for step in range(steps):
            batch = self.rows[torch.randint(len(self.rows), (128,), generator=draw)]
            factor = min(1, (step + 1) / 15)
            for group, top in zip(groups, tops, strict=True):
                group["lr"] = top * factor
            model.zero_grad()
            F.cross_entropy(model(batch[:, :-1]), batch[:, -1]).backward()
            for one in optimisers:
                one.step()
        return model

    @torch.no_grad()
    def losses(self, model: MLP) -> Tensor:
        """Nats for each validation token: (8192,)."""
        return F.cross_entropy(model(self.valid[:, :-1]), self.valid[:, -1], reduction="none")

    def best(self, name: str) -> tuple[float, MLP]:
        """The lowest mean loss over four learning rates, and the model that has it."""
        models = [self.train(name, lr) for lr in RATES.get(name, ADAMS_RATES)]
        means = [self.losses(model).mean().nan_to_num(99).item() for model in models]
        return min(means), models[means.index(min(means))]


@headline(
    page="3-training/optimisers",
    claim="Each at the best of four learning rates, momentum beats SGD and Adam beats momentum.",
    effect="nats a token, the smaller of two gaps: SGD minus momentum, momentum minus Adam",
    above=0.0,
)
def adam_beats_momentum_beats_sgd(seed: int) -> float:
    """Twelve runs of 300 steps on a million fresh characters."""
    race = Race(seed)
    sgd, momentum, adam = (race.best(name)[0] for name in ("sgd", "momentum", "adam"))
    return min(sgd - momentum, momentum - adam)


@headline(
    page="3-training/optimisers",
    claim="Adam matters in the two tables: Adam there and momentum between them ends lower than "
    "the other way round, each at the best of four rates of momentum.",
    effect="nats a token, Adam between the tables minus Adam in the tables",
    above=0.0,
)
def adam_is_for_the_tables(seed: int) -> float:
    """Eight runs of 300 steps; Adam's rate is 0.02."""
    race = Race(seed)
    return race.best("adam between")[0] - race.best("adam in tables")[0]


@headline(
    page="3-training/optimisers",
    claim="With Muon for its two inner matrices the network ends lower than with AdamW for all of "
    "it, each at the best of four rates.",
    effect="nats a token, AdamW minus Muon",
    above=0.0,
)
def muon_beats_adamw(seed: int) -> float:
    """Muon and the AdamW beside it share one rate, from the same list as AdamW alone."""
    race = Race(seed)
    return race.best("adamw")[0] - race.best("muon")[0]


# 3-training/better-and-bigger --------------------------------------------------------------------

SMALL = {"num_layers": 2, "num_heads": 4, "d_model": 64}  # the page's small models


@cache
def _fresh_texts(seed: int) -> tuple[data.Texts, data.Texts]:
    """A million characters of fresh stories: the last 200 to judge by, the rest to train on.

    A story longer than the models' context of 224 tokens is not judged by; there is hardly one.
    """
    lines, tokenizer = storyland.text(seed, 1_000_000).splitlines(keepends=True), _tokenizer()
    judges = [line for line in lines[-200:] if len(tokenizer.encode(line)) <= 224]
    return data.texts(lines[:-200], tokenizer), data.texts(judges, tokenizer)


@cache
def _small_bits(seed: int, std: float = 0.1, **pieces) -> float:
    """Bits a character of a small GPT-2 with other pieces: 200 steps of 8 rows at the rate 0.016.

    `std` is that of the first weights, where GPT-2 has 0.02.
    """
    training, valid = _fresh_texts(seed)
    torch.manual_seed(seed)
    model = GPT(preset("gpt2", vocab_size=1536, context=224, **SMALL, **pieces))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight *= std / INIT_STD
    rate = 0.016
    made = optim.make(model, "adamw", learning_rate=rate)
    how = {"context": 224, "steps": 200, "batch_size": 8, "learning_rate": rate, "seed": seed}
    train.fit(model, training, **how, optimisers=made)
    return train.bits_per_char(model, valid)


@headline(
    page="3-training/better-and-bigger",
    claim="Rotary positions help a small GPT-2 in its first 200 steps.",
    effect="bits a character, learned positions minus rotary",
    above=0.0,
)
def rotary_positions_help(seed: int) -> float:
    """Both at the learning rate 0.016, from first weights of standard deviation 0.1."""
    return _small_bits(seed) - _small_bits(seed, positions="rotary", rotary_base=1000.0)


@headline(
    page="3-training/better-and-bigger",
    claim="From first weights of 0.02 SwiGLU falls behind GELU in a small model; from 0.1 it falls "
    "behind less, or not at all.",
    effect="bits a character that SwiGLU falls behind from 0.02, less the same from 0.1",
    above=0.0,
)
def swiglu_only_starts_too_quietly(seed: int) -> float:
    """Four runs of 200 steps, all at the learning rate 0.016."""
    behind = {
        std: _small_bits(seed, std=std, activation="swiglu") - _small_bits(seed, std=std)
        for std in (INIT_STD, 0.1)
    }
    return behind[INIT_STD] - behind[0.1]


@headline(
    page="3-training/better-and-bigger",
    claim="The best size grows with the budget: with 16 billion operations a block 16 wide ends "
    "lower than one 32 wide, and with sixteen times as many it ends higher.",
    effect="bits a character, the smaller of two gaps: 32 wide minus 16 wide with the small "
    "budget, 16 wide minus 32 wide with the large one",
    above=0.0,
)
def the_best_size_grows_with_the_budget(seed: int) -> float:
    """Four runs on fresh stories, each at about the rate that the page found for it."""
    small = _budget_bits(seed, 32, 1.6e10, 0.16) - _budget_bits(seed, 16, 1.6e10, 0.32)
    large = _budget_bits(seed, 16, 2.56e11, 0.16) - _budget_bits(seed, 32, 2.56e11, 0.16)
    return min(small, large)


def _budget_bits(seed: int, width: int, operations: float, rate: float) -> float:
    """Bits a character of one modern block after so many operations, Muon at this rate.

    They are counted as on the page; a step reads 4 rows of 224 tokens.
    """
    training, judges = _fresh_texts(seed)
    pieces = dict(records.read("ablations")["pieces"]["all of them"]["changes"])
    del pieces["optimiser"]
    sizes = {"num_layers": 1, "num_heads": 4, "d_model": width}
    torch.manual_seed(seed)
    model = GPT(preset("gpt2", vocab_size=1536, context=224, **sizes, **pieces))
    a_token = 6 * (12 * width**2 + 1536 * width + 2 * 224 * width)
    steps = round(operations / (4 * 224 * a_token + 280 * width**3))
    made = optim.make(
        model,
        learning_rate=rate / 4,
        matrix_learning_rate=rate,
        embedding_learning_rate=rate,
        weight_decay=0.0,
    )
    how = {"context": 224, "steps": steps, "batch_size": 4, "learning_rate": rate, "seed": seed}
    falling = partial(schedule, steps=steps, warm_up=steps // 10)
    train.fit(model, training, **how, optimisers=made, schedule=falling)
    return train.bits_per_char(model, judges)


# 3-training/copies-and-tables --------------------------------------------------------------------


@headline(
    page="3-training/copies-and-tables",
    claim="After 300 steps a model with a head that copies knows whom the story has named, and one "
    "without it does not: it pays at least a nat less for that, each time a name comes again.",
    effect="nats a name for 'of this story?', without the head minus with it",
    above=1.0,
)
def a_copy_head_helps_names(seed: int) -> float:
    """The page's race, on fresh stories; the names are those of 40 stories kept apart."""
    tokenizer = _tokenizer()
    everybody = [item.name for item in storyland.grammar().lists["name"].items]
    names = torch.tensor([tokenizer.encode(" " + name)[0] for name in everybody])
    (newline,) = tokenizer.encode("\n")
    paid = []
    for copies in (False, True):
        model, found = _raced(seed, copy_head=copies), []
        for line in storyland.text(seed, 1_000_000).splitlines(keepends=True)[-40:]:
            ids = torch.tensor([[newline, *tokenizer.encode(line)]])[:, :224]
            with torch.no_grad():
                prob = model(ids)[0, :-1].softmax(-1)[:, names]  # (T, names)
            named = ids[0, :, None] == names
            said = named.cumsum(0)[:-1] > 0  # (T, names): by now
            found.append(((prob * said).sum(1) / prob.sum(1))[(named[1:] & said).any(1)])
        paid.append(-torch.cat(found).log().mean().item())
    return paid[0] - paid[1]


def _raced(seed: int, **pieces) -> GPT:
    """The model of the preset `story-laptop`, two blocks of 64: 300 steps of 8 fresh stories."""
    recipe = train.configure("story-laptop").model
    torch.manual_seed(seed)
    model = GPT(replace(recipe, **SMALL, **pieces))
    rates = {"matrix_learning_rate": 0.02, "embedding_learning_rate": 0.02}
    made = optim.make(model, weight_decay=0.0, **rates)
    rows = data.Draws(_fresh_texts(seed)[0], 225, 8, seed=seed, alone=True)
    falling = partial(schedule, steps=300, warm_up=20)
    for _ in train.learn(train.NextToken(model), made, rows, falling, steps=300, seed=seed):
        pass
    return model.eval()


# 3-training/train-a-gpt --------------------------------------------------------------------------

PAGE_RUN = train.configure("story-gpu", batch_size=4, steps=500)
PAGE_MODEL = dict(num_layers=2, num_heads=4, d_model=64, context=256)


def _page_model(seed: int, **changes) -> GPT:
    torch.manual_seed(seed)
    return GPT(replace(PAGE_RUN.model, **PAGE_MODEL | changes))


def _lowest(model: GPT, rows: Tensor, targets: Tensor) -> float:
    """The lowest loss in 100 steps on the same rows (4, T), in nats a token."""
    optimisers, lowest = optim.make(model), math.inf
    for _ in range(100):
        loss = F.cross_entropy(model(rows).flatten(0, 1), targets.flatten())
        loss.backward()
        for one in optimisers:
            one.step()
            one.zero_grad()
        lowest = min(lowest, loss.item())
    return lowest


@headline(
    page="3-training/train-a-gpt",
    claim="Learning four stories by heart, a GPT without its mask and one whose targets are not "
    "shifted fall below what a perfect memory must pay, and a sound one does not.",
    effect="nats a token: the least of the sound one's distance above that floor and the others' "
    "below it",
    above=0.0,
)
def a_leak_falls_through_the_floor(seed: int) -> float:
    """Four fresh stories, 100 steps; the floor is what their common beginnings leave open."""
    rows = _fresh_texts(seed)[0].rows(torch.arange(4), 257)
    after = defaultdict(Counter)  # what came after each beginning
    for row in rows.tolist():
        for t in range(1, len(row)):
            after[tuple(row[:t])][row[t]] += 1
    nats = sum(n * math.log(c.total() / n) for c in after.values() for n in c.values())
    floor = nats / rows[:, 1:].numel()
    sound = _lowest(_page_model(seed), rows[:, :-1], rows[:, 1:])
    no_mask = _lowest(_page_model(seed, causal=False), rows[:, :-1], rows[:, 1:])
    unshifted = _lowest(_page_model(seed), rows[:, :-1], rows[:, :-1])
    return min(sound - floor, floor - no_mask, floor - unshifted)


def _page_steps(
    seed: int, model: GPT, optimisers: list, start: int, stop: int
) -> Iterator[tuple[int, float]]:
    """The page's run from one step to another: each step's number and its loss, nats a token."""
    c = PAGE_RUN
    draws = data.Draws(_fresh_texts(seed)[0], 257, c.batch_size, seed=seed)
    done = train.learn(
        train.NextToken(model),
        optimisers,
        draws,
        lambda step: schedule(step, c.steps, c.warm_up, c.schedule, c.decay),
        start=start,
        steps=stop,
        clip=c.clip,
    )
    for step, loss, _ in done:
        yield step, loss.item()


def _page_optimisers(model: GPT) -> list:
    c = PAGE_RUN
    return optim.make(
        model,
        learning_rate=c.learning_rate,
        matrix_learning_rate=c.matrix_learning_rate,
        embedding_learning_rate=c.embedding_learning_rate,
        weight_decay=c.weight_decay,
    )


@headline(
    page="3-training/train-a-gpt",
    claim="A run that goes on with its weights alone pays more in its next forty steps than one "
    "that kept what its optimisers remembered.",
    effect="nats a token over forty steps on the same rows, weights alone minus everything",
    above=0.0,
)
def forgetting_the_optimisers_costs(seed: int) -> float:
    """The page's run on a million fresh characters, stopped after 250 of its 500 steps."""
    model = _page_model(seed)
    optimisers = _page_optimisers(model)
    list(_page_steps(seed, model, optimisers, 0, 250))
    weights = copy.deepcopy(model)
    kept = list(_page_steps(seed, model, optimisers, 250, 290))
    dropped = list(_page_steps(seed, weights, _page_optimisers(weights), 250, 290))
    return sum(d - k for (_, d), (_, k) in zip(dropped, kept, strict=True)) / 40


@headline(
    page="3-training/train-a-gpt",
    claim="A run that is killed and resumed ends in the weights of one that was left in peace, bit "
    "for bit.",
    effect="numbers of its last checkpoint that differ",
    below=0.5,
)
def killed_and_resumed_is_the_same(seed: int) -> float:
    """The preset smoke with dropout on fresh characters; SIGKILL after a whole checkpoint."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "text.txt").write_text(storyland.text(seed, 50_000), encoding="utf-8")
        command = [sys.executable, "-m", "tinygpt", "train", "--preset", "smoke", "--steps", "120"]
        command += ["--every", "10", "--device", "cpu", "--dropout", "0.1", "--seed", str(seed)]
        command += ["--corpus", folder / "text.txt", "--out"]
        settings = {"env": os.environ | {"TINYGPT_CACHE": temporary}}
        settings |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        subprocess.run([*command, folder / "whole"], **settings, check=True)
        process = subprocess.Popen([*command, folder / "killed"], **settings)
        while not (folder / "killed" / "last.safetensors").exists():
            time.sleep(0.01)
        time.sleep(seed % 7 * 0.1)
        process.kill()
        process.communicate()
        subprocess.run([*command, folder / "killed", "--resume"], **settings, check=True)
        whole, killed = (
            checkpoint.load(folder / name / "last.safetensors")[0] for name in ("whole", "killed")
        )
        assert whole.keys() == killed.keys()
        return sum((whole[name] != killed[name]).sum().item() for name in whole)


# 3-training/cluster ------------------------------------------------------------------------------


def _bits_with(seed: int, times: int, rate: float) -> float:
    """Bits a character of a small model after 4,096 windows of 64 characters.

    8 x `times` of them a step, all learning rates multiplied by `rate`.
    """
    text, valid = storyland.text(seed, 200_000), storyland.text(seed + 100_000, 20_000)
    tokenizer = CharTokenizer.train(text + valid)
    training, judges = (data.stream(part, tokenizer, 64) for part in (text, valid))
    config = train.configure("smoke")
    torch.manual_seed(seed)
    model = GPT(replace(config.model, vocab_size=tokenizer.vocab_size))
    optimisers = optim.make(
        model,
        learning_rate=config.learning_rate * rate,
        matrix_learning_rate=config.matrix_learning_rate * rate,
        embedding_learning_rate=config.embedding_learning_rate * rate,
        weight_decay=0.0,
    )
    steps = 512 // times
    warm_up = max(20 // times, 1)
    done = train.learn(
        train.NextToken(model),
        optimisers,
        data.Draws(training, 65, 8 * times, seed=seed, shifted=True),
        lambda step: schedule(step, steps, warm_up),
        steps=steps,
        seed=seed,
    )
    for _ in done:
        pass
    return train.bits_per_char(model, judges, 256)


@headline(
    page="3-training/cluster",
    claim="Sixteen times the rows in a sixteenth of the steps, all rates as they were, learn less "
    "from the same text.",
    effect="bits a character, sixteen times the rows minus the run as it was",
    above=0.0,
)
def sixteen_times_the_rows_learn_less(seed: int) -> float:
    """512 steps of 8 windows against 32 of 128; the warm-up is shortened with the steps."""
    return _bits_with(seed, 16, 1.0) - _bits_with(seed, 1, 1.0)


@headline(
    page="3-training/cluster",
    claim="With sixteen times the rows, twice the learning rates win some of that back.",
    effect="bits a character, the rates as they were minus twice the rates",
    above=0.0,
)
def higher_rates_win_some_back(seed: int) -> float:
    """32 steps of 128 windows, both times."""
    return _bits_with(seed, 16, 1.0) - _bits_with(seed, 16, 2.0)


# 3-training/what-a-step-costs --------------------------------------------------------------------


@headline(
    page="3-training/what-a-step-costs",
    claim="A step takes 6 N + 12 L d T operations a token, N the numbers in matrices that "
    "multiply, and keeps 16 d + H + 4 numbers a token and block: to within a hundredth.",
    effect="the larger of the two shares by which count and formula differ, of three models",
    below=0.01,
)
def a_step_costs_what_the_formulas_say(seed: int) -> float:
    """Counted by FlopCounterMode, attention by plain products; measured by saved_tensors_hooks."""
    draw, off = np.random.default_rng(seed), []
    for _ in range(3):
        L, H, V, T = (int(draw.integers(*ends)) for ends in ((1, 6), (1, 5), (50, 3000), (20, 300)))
        d = 16 * H * int(draw.integers(1, 5))
        sizes = {"context": T, "num_layers": L, "num_heads": H, "d_model": d}
        model = GPT(preset("gpt2", vocab_size=V, **sizes))
        rows = torch.from_numpy(draw.integers(V, size=(2, T + 1)))
        own = {x.untyped_storage().data_ptr() for x in (rows, *model.parameters())}
        kept = {}

        def keep(tensor: Tensor, own: set = own, kept: dict = kept) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            _next_loss(model, rows)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            _next_loss(model, rows).backward()
        operations = 2 * T * (6 * (12 * L * d**2 + V * d) + 12 * L * d * T)
        size = 2 * T * 4 * (L * (16 * d + H + 4) + 2 * d + 2 + V)
        off.append(abs(counter.get_total_flops() / operations - 1))
        off.append(abs(sum(kept.values()) / size - 1))
    return max(off)


@headline(
    page="3-training/what-a-step-costs",
    claim="With one rate for all, AdamW's best learning rate moves from a width of 128 to one of "
    "32 by at least a factor of two more than with first weights and rates by width.",
    effect="doublings of the best rate from 128 to 32, one rate for all minus by width",
    above=1.0,
)
def the_best_rate_moves_with_width(seed: int) -> float:
    """Six rates for each of two widths and two ways: 24 runs of 100 steps on fresh characters."""
    moved = {
        way: _best_power(seed, 32, way) - _best_power(seed, 128, way) for way in ("usual", "width")
    }
    return moved["usual"] - moved["width"]


def _best_power(seed: int, width: int, way: str) -> float:
    """The power of two of the best of six rates, by a parabola through it and its neighbours."""
    powers = range(-10, -4)
    nats = [_nats_of_width(seed, width, way, 2.0**power) for power in powers]
    i = nats.index(min(nats))
    if i in (0, len(nats) - 1):
        return powers[i]
    left, mid, right = nats[i - 1 : i + 2]
    return powers[i] + (left - right) / (left - 2 * mid + right) / 2


def _nats_of_width(seed: int, width: int, way: str, rate: float) -> float:
    """Nats a character of two blocks after 100 steps of four windows of 64 characters."""
    training, judges, vocab_size = _width_texts(seed)
    torch.manual_seed(seed)
    sizes = {"context": 64, "num_layers": 2, "num_heads": width // 16, "d_model": width}
    model = GPT(preset("gpt2", vocab_size=vocab_size, tied=False, **sizes))
    matrices = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    ids = set(map(id, matrices))
    others = [p for p in model.parameters() if id(p) not in ids]
    share = 64 / width if way == "width" else 1.0
    with torch.no_grad():
        for matrix in [*matrices, model.head.weight]:  # the head twice
            matrix *= math.sqrt(share)
    groups = [
        {"params": params, "lr": lr, "initial_lr": lr}
        for params, lr in ((matrices, rate * share), (others, rate))
    ]
    adamw = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0)
    rows = data.Draws(training, 65, 4, seed=seed, shifted=True)
    falling = partial(schedule, steps=100, warm_up=10)
    for _ in train.learn(train.NextToken(model), [adamw], rows, falling, steps=100, seed=seed):
        pass
    nats = train.bits_per_char(model, judges, 128) * math.log(2)
    return nats if math.isfinite(nats) else math.inf


@cache
def _width_texts(seed: int) -> tuple[data.Texts, data.Texts, int]:
    """Windows of 64 fresh characters to train on, 128 others to judge by; how many there are."""
    text, judges = storyland.text(seed, 200_000), storyland.text(seed + 100_000, 20_000)
    tokenizer = CharTokenizer.train(text + judges)
    training, others = (data.stream(part, tokenizer, 64) for part in (text, judges[: 128 * 64]))
    return training, others, tokenizer.vocab_size


# 3-training/is-it-better -------------------------------------------------------------------------


@headline(
    page="3-training/is-it-better",
    claim="Between runs of one recipe that differ in nothing but the seed, the 95 % interval over "
    "stories calls one the better more often than in one case of twenty.",
    effect="share of the 10 pairs of 5 runs whose bootstrap interval excludes 0",
    above=0.05,
)
def a_seed_alone_makes_one_better(seed: int) -> float:
    """Five networks with a window, fitted as on the page; 60 fresh stories."""
    paid = [_windowed(seed, 128, 0.03, draw) for draw in range(5)]
    told = [
        compare.bits_per_char(one - other, _window_texts(seed)[3]).excludes()
        for one, other in combinations(paid, 2)
    ]
    return sum(told) / len(told)


@headline(
    page="3-training/is-it-better",
    claim="A network a quarter as wide seems better than one left at the default learning rate, "
    "and is worse than the same one tuned by the same search.",
    effect="bits a character, the smaller of two gains: tuned narrow over untuned wide, tuned wide "
    "over tuned narrow",
    above=0.0,
)
def a_tuned_baseline_turns_the_verdict(seed: int) -> float:
    """The best of seven rates on validation text each; the gains are of fresh stories."""
    narrow, wide = (_window_bits(seed, hidden, _best_rate(seed, hidden)) for hidden in (32, 128))
    untuned = _window_bits(seed, 128, 0.01)
    return min(untuned - narrow, narrow - wide)


@headline(
    page="3-training/is-it-better",
    claim="The 95 % bootstrap interval of five stories holds the truth in fewer than 9 cases of "
    "10.",
    effect="share of 2,000 draws of five stories whose interval holds the bits a character of all",
    below=0.9,
)
def five_stories_are_too_few_for_the_bootstrap(seed: int) -> float:
    """The oracle's bits for 500 fresh stories: all of them are the truth, five are the sample."""
    oracle, stories = storyland.Oracle(), list(islice(storyland.stories(seed), 500))
    bits = np.array([-oracle.log_prob(story.words) / math.log(2) for story in stories])
    chars = np.array([len(story.text) for story in stories])
    rng = np.random.default_rng(seed)
    few = rng.integers(len(stories), size=(2000, 5))
    again = few[:, rng.integers(5, size=(999, 5))]  # (2000, 999, 5)
    found = bits[again].sum(2) / chars[again].sum(2)
    low, high = np.percentile(found, [2.5, 97.5], axis=1)
    truth = bits.sum() / chars.sum()
    return float(((low <= truth) & (truth <= high)).mean())


@cache
def _window_texts(seed: int) -> tuple[CharTokenizer, dict[str, Tensor], list[str], np.ndarray]:
    """The characters' tokenizer, ids of three texts, the 60 judged stories and their lengths."""
    lines = [story.text for story in islice(storyland.stories(seed), 700)]
    parts = {"train": lines[100:], "valid": lines[60:100], "test": lines[:60]}
    tokenizer = CharTokenizer.train("".join(lines))
    ids = {name: torch.tensor(tokenizer.encode("".join(part))) for name, part in parts.items()}
    return tokenizer, ids, parts["test"], np.array([len(line) for line in parts["test"]])


@cache
def _windowed(
    seed: int, hidden: int, learning_rate: float, draw: int = 0, part: str = "test"
) -> np.ndarray:
    """Bits that a network with a window of 8 pays: each judged story, or the validation text."""
    tokenizer, ids, lines, lengths = _window_texts(seed)
    (newline,) = tokenizer.encode("\n")
    torch.manual_seed(seed + 1000 * draw)
    model = MLP(MLPConfig(tokenizer.vocab_size, context=8, d_model=16, hidden=hidden))
    rates = {"learning_rate": learning_rate, "batch_size": 128}
    mlp.fit(model, ids["train"], newline, steps=500, seed=seed + 1000 * draw, **rates)
    bits = -mlp.log_probs(model, ids[part], newline).double().numpy() / math.log(2)
    starts = [0, *lengths.cumsum()[:-1]] if part == "test" else [0]
    return np.add.reduceat(bits, starts)


def _window_bits(seed: int, hidden: int, learning_rate: float) -> float:
    """Bits a character on the judged stories, of a run with another draw than the search's."""
    lengths = _window_texts(seed)[3]
    return float(_windowed(seed, hidden, learning_rate, draw=1).sum() / lengths.sum())


@cache
def _best_rate(seed: int, hidden: int) -> float:
    """The learning rate of seven with which the validation text is predicted best."""
    rates = (0.003, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
    return min(rates, key=lambda rate: _windowed(seed, hidden, rate, part="valid").item())
