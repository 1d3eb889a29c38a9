"""What a training run will take, before it starts: operations, bytes, minutes, energy, money.

    python -m tinygpt plan --preset story-base
    python -m tinygpt plan --preset gpt2-small --flops 125e12 --share 0.2 --watts 330 --price 1

`operations` and `memory` count; `pace` times a few steps of the real model here, and `plan` does
the sum. Operations divided by what a processor can do at best is a bound that small models stay far
from, so nothing here is guessed from it unless a machine is given by its rate.
"""

import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from tinygpt import data, optim, train
from tinygpt.config import TrainConfig, TrainError
from tinygpt.model import GPT, GPTConfig
from tinygpt.train.loop import HIDDEN, Masked, NextToken

BYTES = 4  # of a number in float32
TASTE = "1MB"  # of a text whose rows are lines: from so much it is told how long they are
DRAWS = 64  # steps whose rows are looked at
ENOUGH = 1e11  # operations of a timed piece, if a row has not more
MOST = 2e12  # operations of a row that is still timed
SECONDS = 2.0  # of timing


@dataclass(frozen=True)
class Machine:
    """What computes. Without a rate it is this machine, and its pace is measured."""

    flops: float | None = None  # operations a second of one device; none: measure this machine
    share: float = 1.0  # how much of `flops` a training step makes use of
    devices: int = 1  # how many devices share the work
    watts: float | None = None  # of one device, with what belongs to it
    price: float | None = None  # of one device for an hour, in any currency

    def __post_init__(self):
        for name in ("flops", "watts", "price"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainError(f"{name} is {value}: give a number, more than 0.")
        if not 0 < self.share <= 1:
            raise TrainError(f"share is {self.share}: give a number above 0, and 1 at most.")
        if self.devices < 1:
            raise TrainError(f"devices is {self.devices}: give a whole number, 1 or more.")
        if self.flops is None and (self.share != 1 or self.devices != 1):
            raise TrainError(
                "share and devices are for a machine that is not measured: give flops, too."
            )


@dataclass(frozen=True)
class Plan:
    """What a run will take. Seconds are of all devices at work together."""

    parameters: int
    steps: int
    rows: int  # of a step
    length: float  # of a row in tokens, with its padding, on average
    tokens: float  # that are predicted in all the steps
    operations: float  # of all the steps
    bytes: dict[str, int]  # of one device: what takes how many
    rate: float  # operations a second of one device, as they are counted here
    seconds: float
    kilowatt_hours: float | None
    cost: float | None


def plan(config: TrainConfig, machine: Machine, clock=time.perf_counter) -> Plan:
    """What the run that `config` describes takes on a machine.

    Looks at the validation text are not in it, nor is bringing the text. Raises TrainError where
    the model is too large to be timed here.
    """
    length, predicted = shape(config)
    work = config.steps * config.batch_size * length * operations(config.model, round(length))
    rows = min(config.micro_batch or config.batch_size, config.batch_size)
    if machine.flops is None:
        seconds = config.steps * pace(config, round(length), clock)
        rate = work / seconds
    else:
        rate = machine.flops * machine.share
        seconds = work / rate / machine.devices
    hours = seconds / 3600 * machine.devices
    with torch.device("meta"):
        parameters = GPT(config.model).num_parameters()
    return Plan(
        parameters=parameters,
        steps=config.steps,
        rows=config.batch_size,
        length=length,
        tokens=config.steps * predicted,
        operations=work,
        bytes=memory(config.model, rows, math.ceil(length), config.optimiser),
        rate=rate,
        seconds=seconds,
        kilowatt_hours=None if machine.watts is None else hours * machine.watts / 1000,
        cost=None if machine.price is None else hours * machine.price,
    )


def shape(config: TrainConfig) -> tuple[float, float]:
    """How long a row is with its padding, and how many tokens a step predicts, on average.

    Where rows are lines, this is told from a small part of the text.
    """
    if config.rows != "lines":
        return config.model.context, config.batch_size * config.model.context
    texts = train.prepare(replace(config, size=TASTE)).train
    length = config.model.context + 1
    draws = data.Draws(texts, length, config.batch_size, seed=config.seed, alone=True)
    steps = range(min(DRAWS, len(texts) // config.batch_size))
    lengths = [draws(step).shape[1] - 1 for step in steps]
    tokens = [draws.tokens(step) for step in steps]
    return sum(lengths) / len(steps), sum(tokens) / len(steps)


# Operations ---------------------------------------------------------------------------------------


def multiplying(config: GPTConfig) -> tuple[int, int]:
    """The numbers in matrices that multiply each token, N: those of the blocks, those after them.

    An embedding is looked up, and is not among them; an output head is, if it is tied to one, too.
    """
    with torch.device("meta"):
        model = GPT(config)

    def of(part: nn.Module) -> int:
        return sum(m.weight.numel() for m in part.modules() if isinstance(m, nn.Linear))

    return of(model.blocks), of(model) - of(model.blocks)


def operations(config: GPTConfig, length: int, way: str = "training", before: int = 0) -> float:
    """Multiplications and additions for a token of a text of `length` tokens, as plain products do
    them: 2N up, and in training 4N down, and for attention 4 L d a token looked at.

    `way` is training or reading; reading `length` tokens after `before` others in a cache, where
    only the last one's logits are asked for. What is not a product of matrices is not counted.
    """
    blocks, head = multiplying(config)
    look = 4 * config.num_layers * config.d_model * (before + length)
    if way == "reading":
        return 2 * blocks + look + 2 * head / length
    asked = 1.0 if config.causal else HIDDEN
    copied = 4 * config.d_model * length if config.copy_head else 0
    return 3 * (2 * blocks + look + copied + asked * 2 * head)


# Bytes --------------------------------------------------------------------------------------------


def loss_of(config: GPTConfig, model: GPT) -> nn.Module:
    return NextToken(model) if config.causal else Masked(model)


def memory(config: GPTConfig, rows: int, length: int, optimiser: str = "muon") -> dict[str, int]:
    """Bytes of a training step in float32 at its highest: when it turns from up to down.

    The step is taken with tensors that have a shape and no numbers. Gradients of the weights come
    as what was kept goes, so the larger of both counts.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = GPT(config)
        ids = torch.zeros(rows, length + 1, dtype=torch.long)
        with watched(model) as kept:
            if config.causal:
                loss = loss_of(config, model)(ids)
            else:  # which tokens are hidden depends on numbers: as many as there should be
                hidden = model.hidden(ids[:, 1:]).flatten(0, 1)[: round(HIDDEN * rows * length)]
                loss = nn.functional.cross_entropy(model.head(hidden), ids.new_zeros(len(hidden)))
        loss.backward()
        made = optim.make(model, optimiser)
        for one in made:
            one.step()
    states = [x for one in made for state in one.state.values() for x in state.values()]
    weights = BYTES * model.num_parameters()
    asked = rows * length if config.causal else round(HIDDEN * rows * length)
    return {
        "weights": weights,
        "optimiser": sum(BYTES * x.numel() for x in states),
        "gradients": weights,
        "kept for the way back": sum(kept.values()),
        "slopes of the logits": 2 * BYTES * asked * config.vocab_size,
    }


def peak(parts: dict[str, int]) -> int:
    """The most bytes at once, of what `memory` tells."""
    turning = parts["kept for the way back"] + parts["slopes of the logits"]
    return parts["weights"] + parts["optimiser"] + max(parts["gradients"], turning)


@contextmanager
def watched(model: nn.Module):
    """Storages that are kept for the way back within, and their bytes; the weights are not."""
    mine = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in mine:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


# Seconds ------------------------------------------------------------------------------------------


def pace(config: TrainConfig, length: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a step of the run on this machine, timed with rows of this length.

    Fewer rows are timed where the step is large, and the optimisers by themselves.
    """
    a_row = length * operations(config.model, length)
    if a_row > MOST:
        raise TrainError(
            f"A row of this model takes {a_row:.1e} operations, too many to time here: give flops "
            "(of a device, a second) and share (that a step makes use of)."
        )
    most = config.micro_batch or config.batch_size
    rows = max(1, min(most, int(ENOUGH / a_row)))
    model = GPT(config.model).train()
    loss_of_rows = loss_of(config.model, model)
    made = optim.make(model, config.optimiser)
    ids = torch.randint(config.model.vocab_size - 1, (rows, length + 1))

    def both() -> None:
        loss_of_rows(ids).backward()

    def change() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for one in made:
            one.step()

    both()
    change()  # the first of each warms up
    pieces = config.batch_size / rows
    return pieces * timed(both, clock) + timed(change, clock)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a call: the median of as many as SECONDS hold, three or more."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        started = clock()
        work()
        times.append(clock() - started)
    return sorted(times)[len(times) // 2]


def said(name: str, made: Plan, machine: Machine) -> str:
    """A plan in words, a line each."""
    measured = machine.flops is None
    lines = [
        ("model", f"{made.parameters:,} parameters ({name})"),
        (
            "steps",
            f"{made.steps:,} of {made.rows:,} rows, {made.length:.0f} tokens each: "
            f"{made.tokens:,.0f} tokens to predict",
        ),
        ("operations", f"{made.operations:.3g}"),
        (
            "memory",
            f"{size(peak(made.bytes))} on a device, in float32: "
            + ", ".join(f"{what} {size(count)}" for what, count in made.bytes.items()),
        ),
        (
            "rate",
            f"{made.rate:.3g} operations a second of a device"
            + (" (measured here, now)" if measured else ""),
        ),
        ("time", f"{duration(made.seconds)} on {count(machine.devices, 'device')}"),
    ]
    if made.kilowatt_hours is not None:
        lines.append(("energy", f"{short(made.kilowatt_hours)} kWh"))
    if made.cost is not None:
        lines.append(("cost", f"{made.cost:,.2f}"))
    return "\n".join(f"{what:12}{value}" for what, value in lines)


def count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """850 kB, 12.3 MB, 2,794 GB"""
    unit, scale = ("GB", 1e9) if number >= 1e9 else ("MB", 1e6) if number >= 1e6 else ("kB", 1e3)
    return f"{short(number / scale)} {unit}"


def short(number: float) -> str:
    """0.0123, 12.3, 1,234"""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """41 seconds, 12 minutes, 3.5 hours, 14.8 days, 1,234 years"""
    for unit, scale in (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600)):
        if seconds >= 2 * scale:
            return f"{short(seconds / scale)} {unit}"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{short(seconds)} seconds"
