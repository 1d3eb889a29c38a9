"""A whole run: its folder, its steps, its checkpoints."""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version

import torch
from torch import Tensor
from tqdm import tqdm

from tinygpt import checkpoint, corpora, data, optim, parallel, records
from tinygpt.config import FREE, TrainConfig, TrainError
from tinygpt.model import GPT
from tinygpt.train.loop import Masked, NextToken, learn
from tinygpt.train.measure import CHUNK, bits_per_char, masked_bits
from tinygpt.train.result import BEST, LAST, load, machine, measured, samples
from tinygpt.train.text import Prepared, prepare


def train(
    config: TrainConfig,
    *,
    watch: Callable[[dict, GPT], None] | None = None,
    command: str = "tinygpt.train.train(config)",
) -> dict:
    """Make the run that `config` describes, or go on with it; returns its record.

    `watch(point, model)` is called after each look at the validation text, with the new point of
    the curve: step, loss, valid_bits. Ctrl-C saves a checkpoint and raises KeyboardInterrupt.
    Raises TrainError, with one line that says what to do.
    """
    with parallel.join(config.device) as place:
        if config.batch_size % place.world:
            raise TrainError(
                f"batch_size is {config.batch_size} and there are {place.world} processes: each "
                "takes as many rows, so give a multiple."
            )
        if config.shard and not parallel.launched():
            raise TrainError(
                "shard leaves to each process its share of the weights, and here is one process: "
                "start them by torchrun --nproc-per-node 2 -m tinygpt train --shard ..."
            )
        _check_folder(config)
        texts = prepare(config, place)
        asked, found = config.model.vocab_size, texts.tokenizer.vocab_size
        if config.tokenizer == "bpe" and found < asked and place.first:
            print(
                f"{config.corpus} has {found:,} tokens to learn, not {asked:,}: the model has as "
                "many, and fewer parameters.",
                file=sys.stderr,
            )
        try:
            run = _Run(config, texts, place)
            if place.first:  # not before: a run that cannot start leaves its folder as it was
                for part in config.out.glob("*.part*"):  # of a process that was killed as it wrote
                    part.unlink()
                checkpoint.atomically(config.out / "tokenizer.json", texts.tokenizer.save)
                checkpoint.write_json(config.out / "config.json", config.described())
            run.follow(watch)
            place.wait()
            return _record(run, command)
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            raise TrainError(_too_large(config, place)) from None


def _check_folder(config: TrainConfig) -> None:
    """See that the folder of the run is free, or holds the beginning of the same run."""
    path = config.out / "config.json"
    if not path.exists():
        return
    begun = TrainConfig.read(path)  # or an error: that file is not for us to write over
    if not (config.out / LAST).exists():
        return  # a run that ended before its first checkpoint
    if not config.resume:
        raise TrainError(
            f"{config.out} holds a run already: go on with it by --resume, or give another --out."
        )
    before, now = begun.described(), config.described()
    before, now = before | before.pop("model"), now | now.pop("model")
    for name in before:
        if name not in FREE and before[name] != now[name]:
            raise TrainError(
                f"{config.out} was begun with {name} {before[name]}, not {now[name]}: give the "
                "same, or another --out."
            )


LOOK = 10  # steps between two readings of the loss, as a GPU must wait for each


class _Run:
    """A model, its optimisers, and how far they have come."""

    pace = (0, 0.0)  # tokens, and the seconds that they took: see `_rate`

    def __init__(self, config: TrainConfig, texts: Prepared, place: parallel.Place):
        self.config, self.texts, self.place = config, texts, place
        self.valid = texts.valid.first(config.valid_texts, texts.tokenizer)
        self.step, self.curve, self._clocks = 0, [], _clocks()
        self.unit = "character" if config.model.causal else "hidden token"  # of the bits
        self.sums = dict.fromkeys(self._clocks, 0.0)  # seconds, of earlier processes too
        try:
            self.draws = data.Draws(
                texts.train,
                length=config.model.context + 1,
                batch_size=config.batch_size,
                seed=config.seed,
                shifted=config.rows == "windows",
                alone=config.rows == "lines",
            )
        except ValueError as error:
            raise TrainError(f"The training part of {config.corpus}: {error}.") from None
        if place.device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        torch.manual_seed(config.seed)
        sizes = replace(config.model, vocab_size=texts.tokenizer.vocab_size)
        self.model = GPT(sizes).to(place.device)
        self.precision = _precision(config, place.device)
        if config.shard:
            parallel.shard(self.model, place, self.precision)
        self.optimisers = optim.make(
            self.model,
            config.optimiser,
            learning_rate=config.learning_rate,
            matrix_learning_rate=config.matrix_learning_rate,
            embedding_learning_rate=config.embedding_learning_rate,
            weight_decay=config.weight_decay,
            betas=(config.beta_1, config.beta_2),
            momentum=config.momentum,
        )
        loss_of = (NextToken if sizes.causal else Masked)(self.model, self.precision)
        if config.compile or (config.compile is None and place.device.type == "cuda"):
            loss_of.compile()
        self.loss_of = parallel.average(loss_of, place)
        if (config.out / LAST).exists():
            self._load()

    def steps(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The steps that are left."""
        config, place, draws = self.config, self.place, self.draws

        def factor(step: int) -> float:
            return optim.schedule(step, config.steps, config.warm_up, config.schedule, config.decay)

        return learn(
            self.loss_of,
            self.optimisers,
            lambda step: draws(step, place.rank, place.world),
            factor,
            steps=config.steps,
            start=self.step,
            seed=config.seed,
            clip=config.clip,
            micro_batch=config.micro_batch,
            place=place,
        )

    def follow(self, watch: Callable[[dict, GPT], None] | None) -> None:
        """Do them, look at the validation text now and then, and save."""
        config, place = self.config, self.place
        bar = tqdm(
            total=config.steps,
            initial=self.step,
            unit="step",
            disable=not place.first,
            dynamic_ncols=True,
        )
        with bar, _signals() as stop, _events(config, place) as events:
            recent, self._clocks, first = [], _clocks(), self.step
            for step, loss, norm in self.steps():
                self.step = step + 1
                recent.append(torch.stack([loss, parallel.whole(norm)]))
                due = self.step == config.steps or self.step % config.every == 0
                alone = place.world == 1 and stop.is_set()
                if not (due or alone or self.step % LOOK == 0):
                    continue
                read = place.mean(torch.stack(recent)).tolist()
                asked = place.mean(torch.tensor(float(stop.is_set()), device=place.device)) > 0
                self._check(read)
                self._tell(bar, events, read, self._rate(self.step - len(read), first))
                if due:
                    point = self._validate([loss for loss, _ in read])
                    events(f"valid bits a {self.unit}", point["valid_bits"], self.step)
                    if watch and place.first:
                        watch(point, self.model)
                if due or asked:
                    self._tick()
                    self._save()
                    self._tick()
                if asked and self.step < config.steps:
                    raise KeyboardInterrupt(
                        f"Stopped and saved at step {self.step}: python -m tinygpt train --out "
                        f"{config.out} --resume goes on."
                    )
                recent = []

    def _tick(self) -> float:
        """Add the time since the last call to the sums; the seconds of it."""
        before, self._clocks = self._clocks, _clocks()
        passed = {name: self._clocks[name] - before[name] for name in before}
        for name, seconds in passed.items():
            self.sums[name] += seconds
        return passed["seconds"]

    def _rate(self, begin: int, first: int) -> float | None:
        """Tokens a second from step `begin` on, which go into the record's.

        None for those after `first`, where this process began: torch.compile compiles in them.
        Nobody looks at validation text in them, or saves.
        """
        seconds = self._tick()
        if begin == first:
            return None
        tokens = sum(map(self.draws.tokens, range(begin, self.step)))
        self.pace = self.pace[0] + tokens, self.pace[1] + seconds
        return tokens / seconds

    def _check(self, read: list[list[float]]) -> None:
        for step, values in enumerate(read, start=self.step - len(read) + 1):
            if not all(map(math.isfinite, values)):
                raise TrainError(self._unsound("The loss or its gradient", step))

    def _unsound(self, what: str, step: int) -> str:
        kept = self.config.out / LAST
        if kept.exists():
            saved = f"{kept} holds an earlier step. Start anew with another --out"
        else:
            saved = "nothing was saved. Start anew"
        return (
            f"{what} is not finite at step {step}; {saved}, with lower learning rates or a longer "
            "warm_up."
        )

    def _tell(self, bar, events, read: list[list[float]], rate: float | None) -> None:
        config = self.config
        loss = sum(loss for loss, _ in read) / len(read)
        train, bits = self.texts.train, loss / math.log(2)
        if config.model.causal:
            bits *= len(train.ids) / train.num_chars
        floor = config.model.causal and corpora.floor(config.corpus)
        gap = f" ({bits / floor - 1:+.0%} over the floor)" if floor else ""
        valid = f", validation {self.curve[-1]['valid_bits']:.3f}" if self.curve else ""
        speed = f", {rate:,.0f} tokens/s" if rate else ""
        bar.set_postfix_str(f"loss {loss:.3f}, {bits:.3f} bits a {self.unit}{gap}{valid}{speed}")
        bar.update(self.step - bar.n)
        events("loss", loss, self.step)
        events("gradient", read[-1][1], self.step)
        if rate:
            events("tokens a second", rate, self.step)

    def _validate(self, losses: list[float]) -> dict:
        with torch.autocast(
            self.place.device.type, self.precision, enabled=self.precision is not None
        ):
            rows = min(CHUNK, self.config.micro_batch or CHUNK)
            if self.model.config.causal:
                bits = bits_per_char(self.model, self.valid, rows)
            else:
                bits, _ = masked_bits(self.model, self.valid, rows)
        if not math.isfinite(bits):
            raise TrainError(self._unsound("The loss on the validation text", self.step))
        loss = sum(losses) / len(losses)
        point = {"step": self.step, "loss": round(loss, 4), "valid_bits": round(bits, 4)}
        self.curve.append(point)
        return point

    def _save(self) -> None:
        """Each process gives its share; the first writes."""
        model, optimisers = parallel.gather(self.model, self.optimisers)
        if not self.place.first:
            return
        about = {
            "step": self.step,
            "curve": self.curve,
            "model": asdict(self.model.config),
            "text": self.texts.digest,
            "pace": self.pace,
        }
        best = min(self.curve, key=lambda point: point["valid_bits"], default=None)
        if best and best is self.curve[-1] and best["step"] == self.step:
            checkpoint.save(self.config.out / BEST, model, about)
        checkpoint.save(self.config.out / LAST, model | optimisers, about | self.sums)

    def _load(self) -> None:
        tensors, about = checkpoint.load(self.config.out / LAST)
        self.texts.check(self.config.out, about)
        parallel.scatter(tensors, self.model, self.optimisers)
        self.step, self.curve = about["step"], about["curve"]
        self.sums = {name: about[name] for name in self.sums}
        self.pace = about.get("pace", self.pace)  # the first checkpoints had none


def _clocks() -> dict[str, float]:
    return {"seconds": time.perf_counter(), "cpu_seconds": time.process_time()}


def _precision(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """What matrix products are computed in, where it is not float32."""
    if config.precision == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else None
    return torch.bfloat16 if config.precision == "bfloat16" else None


def _is_memory(error: Exception) -> bool:
    """Whether a device, or the computer, was out of memory: on a CPU torch's error is a general
    one."""
    said = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "allocat" in said and ("can't allocate memory" in said or "not enough memory" in said)
    )


def _too_large(config: TrainConfig, place: parallel.Place) -> str:
    rows = min(config.micro_batch or config.batch_size, config.batch_size // place.world)
    if rows == 1:
        return f"{place.device} has too little memory for one row: take a smaller model or context."
    resume = " --resume" if (config.out / LAST).exists() else ""
    but = " but the places that dropout draws" if config.model.dropout else ""
    return (
        f"{place.device} has too little memory for {rows} rows at once: halve that by "
        f"--micro-batch {rows // 2}{resume}, which changes nothing else{but}."
    )


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that is set by the first Ctrl-C or SIGTERM; a second one acts as always."""
    stop, before = threading.Event(), {}

    def asked(number, frame):
        stop.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, asked)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _events(config: TrainConfig, place: parallel.Place) -> Iterator[Callable]:
    """A function of name, value and step that tells TensorBoard, if it is asked for."""
    if not (config.tensorboard and place.first):
        yield lambda name, value, step: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainError("TensorBoard is not installed: pip install tensorboard.") from None
    with SummaryWriter(config.out) as writer:
        yield writer.add_scalar


def _record(run: _Run, command: str) -> dict:
    """What ran, on what, with which result: written beside the checkpoints."""
    config, texts, place = run.config, run.texts, run.place
    if not place.first:
        return {}
    model, tokenizer, _, about = load(config.out)
    model.to(place.device)
    seen = sum(map(run.draws.tokens, range(config.steps)))
    figures = {
        "parameters": model.num_parameters(),
        "tokens_seen": seen,
        "tokens_per_second": round(run.pace[0] / run.pace[1]) if run.pace[1] else None,
        "best_step": about["step"],
        "valid_bits": about["curve"][-1]["valid_bits"],
        **measured(model, texts.test, config.corpus),
    }
    record = {
        "name": config.out.name,
        "command": command,
        "commit": records.commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(place),
        "versions": {name: version(name) for name in ("torch", "numpy", "tokenizers")},
        **{name: round(value) for name, value in run.sums.items()},
        "model": asdict(model.config),
        "training": config.described(),
        "curve": run.curve,
        "figures": figures,
        "samples": samples(model, tokenizer, texts.test, stop=config.rows != "windows"),
    }
    checkpoint.write_json(config.out / "record.json", record)
    return record
