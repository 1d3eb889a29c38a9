"""The recorded run of the page "What it costs": what this machine can do at best, where the work of
models lies below that, what plans said and what then came, what fewer bits a weight cost.

Seconds are of processor time, on one thread. A round times everything once, so that a processor
that is slower for a while is so for all.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from math import log

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

import storyland
from tinygpt import data, optim, plan, records, train
from tinygpt.config import TrainConfig, configure
from tinygpt.corpora import corpus
from tinygpt.model import GPT, KVCache, preset, quantise
from tinygpt.model.int4 import grouped, nearest, pack, stands_for, unpack
from tinygpt.pretrained import pretrained
from tools.records.in_context import nats
from tools.records.job import Job, once
from tools.records.storyland import tokenizer
from tools.records.training import MODERN, SIZES

NAME, HAND = "smollm2-135m-instruct", "int4 by hand"
ROUNDS, EACH = 5, 0.1  # rounds, and seconds of a timing in each
SEED = 5005  # of stories, texts and matrices that are drawn

# What the machine can do
LARGE = 1024  # rows and columns of the product that sets its rate
READ = 2**26  # numbers that are added up, to see how fast they come: 256 MiB
SHAPE = (49152, 576)  # of a matrix too large for a cache: SmolLM2's embedding
COLUMNS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # that it multiplies at once
NOTHING = {"vocab_size": 64, "d_model": 18, "mlp_hidden": 48}  # SmolLM2's calls, and no weights

# SmolLM2 at work
PASSES = (1, 4, 16, 64, 256)  # tokens of a text that are read in one pass
TEXTS, BEFORE = (1, 2, 4, 8, 16), 64  # that are written at once, after so many tokens

# Runs, planned and made
PLANNED = ("smoke", "story-laptop", "story-base", "story-bert")
STEPS = 24  # of each

# Fewer bits
GROUP = 32
BITS = (4, 3)
CALIBRATIONS, SHOWN = range(5), 24  # draws of so many stories
STORIES = 100  # held out
WINDOWS, WINDOW, SHOWN_WINDOWS = 16, 256, 8  # of Python's documentation: tokens, to judge, to show


def cost(here: Job) -> dict:
    """What one thread of this machine computes and reads at best; what SmolLM2 takes for a pass,
    and runs for a step, beside what was said before; and bits lost with fewer bits a weight."""
    torch.set_num_threads(1)
    about = {"rounds": ROUNDS, "group": GROUP, "stories": STORIES, "windows": [WINDOWS, WINDOW]}
    works = {"speeds": speeds, "runs": runs, "stories": of_stories, "smollm2": of_pydocs}
    found = {name: once(here.out, {"part": name} | about, make) for name, make in works.items()}
    of = found["speeds"]
    figures = {
        "operations a second": round(of["rate"]),
        "bytes a second": round(of["bandwidth"]),
        "tokens a second": round(1000 / of["texts"]["float32"]["1"], 2),
        "seconds of a call": of["calls"] / 1000,
    }
    return {"training": {"model": NAME, "seed": SEED, **about}, **found, "figures": figures}


def medians(works: dict[str, Callable[[], object]], rounds: int = 0) -> dict[str, float]:
    """Milliseconds of a call of each: the median of the rounds, after one that warms up."""
    times: dict[str, list[float]] = {label: [] for label in works}
    for _ in range((rounds or ROUNDS) + 1):
        for label, work in works.items():
            calls, started = 0, time.process_time()
            while not calls or time.process_time() < started + EACH:
                work()
                calls += 1
            times[label].append((time.process_time() - started) / calls)
    return {label: round(1000 * statistics.median(of[1:]), 4) for label, of in times.items()}


# What the machine can do, and SmolLM2 on it -------------------------------------------------------


@torch.no_grad()
def speeds() -> dict:
    """Rates, the roof, and milliseconds of SmolLM2's passes, by the bits of its weights."""
    torch.manual_seed(SEED)
    a, b = torch.randn(2, LARGE, LARGE)
    numbers, matrix = torch.randn(READ), torch.randn(SHAPE)
    inputs = {n: torch.randn(n, SHAPE[1]) for n in COLUMNS}
    model = pretrained(NAME).model
    models = {"float32": model, "int8": quantise(model), HAND: grouped(quantise(model))}
    nothing = GPT(replace(model.config, **NOTHING)).eval()
    works: dict[str, Callable[[], object]] = {
        "large": lambda: a @ b,
        "read": lambda: numbers.sum(),
        "calls": reading(nothing, 1, BEFORE, 1),
    }
    works |= {f"roof {n}": lambda x=x: F.linear(x, matrix) for n, x in inputs.items()}
    for name, one in models.items():
        some = name == HAND  # which makes each matrix anew, for one token as for many
        passes, texts = ((), (1,)) if some else (PASSES, TEXTS)
        works |= {f"{name} pass {n}": reading(one, n, 0, 1) for n in passes}
        works |= {f"{name} texts {n}": reading(one, 1, BEFORE, n) for n in texts}
    works |= products(model)
    ms = medians(works)

    def of(start: str) -> dict[str, float]:
        return {label.removeprefix(start): t for label, t in ms.items() if label.startswith(start)}

    return {
        "rate": 2 * LARGE**3 / ms["large"] * 1000,
        "bandwidth": 4 * READ / ms["read"] * 1000,
        "calls": ms["calls"],
        "shape": list(SHAPE),
        "before": BEFORE,
        "roof": of("roof "),
        "passes": {name: of(f"{name} pass ") for name in models},
        "texts": {name: of(f"{name} texts ") for name in models},
        "matrices": of("matrices "),
    }


def reading(model: GPT, new: int, before: int, texts: int) -> Callable[[], object]:
    """A pass over `new` tokens of so many texts, of which `before` are in the cache already."""
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(60, (texts, before + new), generator=generator)
    cache = KVCache()
    if before:
        model(ids[:, :before], cache=cache, last_only=True)

    def work() -> None:
        model(ids[:, before:], cache=cache, last_only=True)
        cache.truncate(before)

    return work


def products(model: GPT) -> dict[str, Callable[[], object]]:
    """One token through all matrices of the blocks: in float32, and by PyTorch's own kernels for 8
    and 4 bits; the last are checked to give what our places, steps and lows stand for."""
    matrices = [m for m in model.blocks.modules() if type(m) is torch.nn.Linear]
    eights = [m for m in quantise(model).blocks.modules() if hasattr(m, "int8")]
    fours = [kernel(m.weight) for m in matrices]
    inputs = {m.in_features: torch.randn(1, m.in_features) for m in matrices}
    halves = {width: x.bfloat16() for width, x in inputs.items()}
    int4 = torch.ops.aten._weight_int4pack_mm_for_cpu
    return {
        "matrices float32": lambda: [F.linear(inputs[m.in_features], m.weight) for m in matrices],
        "matrices int8": lambda: [m(inputs[m.int8.shape[1]]) for m in eights],
        "matrices int4": lambda: [
            int4(halves[width], packed, GROUP, about) for width, packed, about in fours
        ],
    }


def kernel(weight: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    """A matrix (R, C) in 4 bits as PyTorch's kernel takes it, checked: C, places, steps and zeros.

    Its numbers are (place - 8) * step + zero.
    """
    places, step, low = nearest(weight, GROUP)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(places.int(), 1)
    about = torch.stack([step, low + 8 * step], dim=2).transpose(0, 1).contiguous()
    x = torch.randn(2, weight.shape[1])
    theirs = torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, GROUP, about)
    ours = x @ stands_for(unpack(pack(places)), step, low, GROUP).T
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(ours.abs().max())):
        raise ValueError("PyTorch's kernel for 4 bits gives another product than ours.")
    return weight.shape[1], packed, about.bfloat16()


# Plans, and what came -----------------------------------------------------------------------------


def runs() -> dict:
    """For each run what the plan says of a step and of memory, and what then came of real steps."""
    configs = {name: configure(name) for name in PLANNED}
    context = configs["story-laptop"].model.context
    for layers, width in SIZES:
        model = preset("gpt2", vocab_size=1536, context=context, num_layers=layers, d_model=width)
        made = configure("story-laptop", model=replace(model, **MODERN), rows="texts", batch_size=8)
        configs[f"scaling {layers} x {width}"] = made
    found = {}
    for name, config in configs.items():
        made = plan.plan(config, plan.Machine(), clock=time.process_time)
        found[name] = {
            "planned": asdict(made),
            "peak": plan.peak(plan.memory(*memory_of(config))),
            "milliseconds": round(1000 * made.seconds / config.steps, 2),
            "made": steps_of(config),
            "peak made": peak_of(config),
        }
        print(name, {k: v for k, v in found[name].items() if k != "planned"}, flush=True)
    return found


def memory_of(config: TrainConfig) -> tuple:
    return config.model, config.batch_size, min(150, config.model.context), config.optimiser


def draws_of(config: TrainConfig) -> data.Draws:
    """The rows of a run, from the first million characters of its text."""
    texts = train.prepare(replace(config, size=plan.TASTE)).train
    return data.Draws(
        texts,
        config.model.context + 1,
        config.batch_size,
        seed=SEED,
        shifted=config.rows == "windows",
        alone=config.rows == "lines",
    )


def steps_of(config: TrainConfig) -> float:
    """Milliseconds of a step, over STEPS of them as the training loop makes them."""
    torch.manual_seed(SEED)
    model = GPT(config.model)
    made = optim.make(model, config.optimiser)
    loss, draws = plan.loss_of(config.model, model), draws_of(config)
    steps = train.learn(loss, made, draws, lambda step: 0.1, steps=STEPS + 2)
    next(steps), next(steps)  # these warm up
    started = time.process_time()
    for _ in steps:
        pass
    return round(1000 * (time.process_time() - started) / STEPS, 2)


def peak_of(config: TrainConfig) -> int:
    """The most bytes that PyTorch held at once in a step, weights and optimiser among them."""
    model_config, rows, length, optimiser = memory_of(config)
    model = GPT(model_config)
    loss, made = plan.loss_of(model_config, model), optim.make(model, optimiser)
    ids = torch.randint(60, (rows, length + 1))

    def step() -> None:
        loss(ids).backward()
        for one in made:
            one.step()
            one.zero_grad()

    step()
    parts = plan.memory(*memory_of(config))
    return parts["weights"] + parts["optimiser"] + allocated(step)


def allocated(work: Callable[[], object]) -> int:
    """The most bytes at once that PyTorch took while `work` ran, beyond what it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


# Fewer bits ---------------------------------------------------------------------------------------


def bits_of(model: GPT, texts: data.Texts) -> list[float]:
    """Bits of each text."""
    return [round(-one.sum().item() / log(2), 3) for one in train.log_probs(model, texts)]


def of_stories() -> dict:
    """Bits that story-base pays for each of some held-out stories, by the bits of its weights."""
    reader, (model, _) = tokenizer(), records.load("story-base")
    stories = [story.text for story in storyland.held_out_stories()[:STORIES]]
    texts = data.texts(stories, reader)
    found: dict = {
        "characters": list(map(len, stories)),
        "float32": bits_of(model, texts),
        "int8": bits_of(quantise(model), texts),
    }
    for bits in BITS:
        found[f"nearest {bits}"] = bits_of(grouped(model, group=GROUP, bits=bits), texts)
        found[f"calibrated {bits}"] = [
            bits_of(grouped(model, shown(reader, seed), group=GROUP, bits=bits), texts)
            for seed in CALIBRATIONS
        ]
        print("story-base", bits, flush=True)
    return found


def shown(reader, seed: int) -> torch.Tensor:
    """Rows of fresh stories to calibrate on, 224 tokens each."""
    stories = [story.text for story in islice(storyland.stories(SEED + seed), SHOWN)]
    texts = data.texts(stories, reader)
    return texts.rows(torch.arange(SHOWN), 224)


def of_pydocs() -> dict:
    """The same for SmolLM2 and windows of Python's documentation, drawn from its test text; those
    to calibrate on are drawn from its training text."""
    real, text = pretrained(NAME), corpus("pydocs")
    judged = windows(real, text.test, WINDOWS)
    rows = torch.tensor([row for row, _ in windows(real, text.train, SHOWN_WINDOWS)])
    found: dict = {"characters": [length for _, length in judged]}
    base = real.model

    def bits(model: GPT) -> list[float]:
        return [round(-sum(nats(model, row)) / log(2), 3) for row, _ in judged]

    found["float32"] = bits(base)
    found["int8"] = bits(quantise(base))
    for few in BITS:
        found[f"nearest {few}"] = bits(grouped(base, group=GROUP, bits=few))
        found[f"calibrated {few}"] = [bits(grouped(base, rows, group=GROUP, bits=few))]
        print("SmolLM2", few, flush=True)
    return found


def windows(real, text: str, count: int) -> list[tuple[list[int], int]]:
    """Drawn windows of WINDOW tokens, and the characters of all but the first."""
    ids = real.tokenizer.encode(text)
    generator = torch.Generator().manual_seed(SEED)
    starts = WINDOW * torch.randperm(len(ids) // WINDOW, generator=generator)[:count]
    found = []
    for start in starts.tolist():
        row = ids[start : start + WINDOW]
        found.append((row, len(real.tokenizer.decode(row[1:]))))
    return found
