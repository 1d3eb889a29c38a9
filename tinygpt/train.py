"""Training by maximum likelihood, and the measure of what came of it.

`learn` is the loop. `fit` trains a model in one call; `train` makes a whole run of it, with a
folder that holds checkpoints and a record:

    runs/first/config.json        the TrainConfig
    runs/first/tokenizer.json
    runs/first/last.safetensors   weights, what the optimisers remember, the step and the curve
    runs/first/best.safetensors   weights where the validation text was predicted best
    runs/first/record.json        what ran, on what, with which result
"""

import hashlib
import json
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from tinygpt import checkpoint, corpora, data, optim, parallel, records
from tinygpt.config import FREE, TrainConfig, TrainError
from tinygpt.config import PRESETS as PRESETS  # train.PRESETS and train.configure, too
from tinygpt.config import configure as configure
from tinygpt.data import Texts
from tinygpt.generate import generate
from tinygpt.model import GPT, GPTConfig
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

CHUNK = 32  # texts evaluated at a time, where nothing else is said
TOKENIZER_TEXT = 1_000_000  # characters that a BPE tokenizer learns from, or more:
PER_TOKEN = 500  # so many for each token asked for
LAST, BEST = "last.safetensors", "best.safetensors"


# The loop


class NextToken(nn.Module):
    """The mean loss of a model on rows of ids: nats a token; -1 is padding, which no one predicts.

    `dtype` is that of the model's matrix products, where it is not the weights' own.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None):
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) of ids -> a number."""
        with torch.autocast(rows.device.type, self.dtype, enabled=self.dtype is not None):
            return _nats(self.model, rows).sum() / predicted(rows)


def _nats(model: nn.Module, rows: Tensor) -> Tensor:
    """-ln P of each token of rows (B, T + 1) but the first: (B, T), 0 for padding."""
    ids, targets = rows[:, :-1].clamp(min=0), rows[:, 1:]
    if isinstance(model, GPT) and model.config.copy_head:  # it has a shorter way
        return model(ids, targets=targets)
    nats = F.cross_entropy(
        model(ids).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return nats.view_as(targets)


def predicted(rows: Tensor) -> Tensor:
    """How many tokens of rows (B, T + 1) are to be predicted."""
    return (rows[:, 1:] >= 0).sum()


class Masked(nn.Module):
    """The mean loss of an encoder on tokens that are hidden from it: nats a hidden token.

    As BERT is trained (Devlin et al., 2019): 15 % of the tokens are asked for, drawn anew each
    time; of ten of these, eight are shown as the mask, one as another token, one as it is. The mask
    is the last token of the vocabulary, which no text holds. -1 is padding.
    """

    def __init__(self, model: GPT, dtype: torch.dtype | None = None):
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) of ids, of which the first belongs to the text before -> a number."""
        with torch.autocast(rows.device.type, self.dtype, enabled=self.dtype is not None):
            logits, targets = _guesses(self.model, rows[:, 1:])
            return F.cross_entropy(logits, targets, reduction="sum") / max(len(targets), 1)


HIDDEN = 0.15  # of all tokens
SHOWN_AS = (0.8, 0.1)  # of these, by the mask and by another token; the rest stays


def _guesses(
    model: GPT, ids: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Logits (N, vocab_size) at the N places of ids (B, T) that are asked for, and the N tokens
    that stand there."""
    mask, there = model.config.vocab_size - 1, ids >= 0

    def dice() -> Tensor:  # drawn where the generator is
        device = ids.device if generator is None else generator.device
        return torch.rand(ids.shape, generator=generator, device=device).to(ids.device)

    asked, die, other = there & (dice() < HIDDEN), dice(), (dice() * mask).long()
    seen = torch.where(asked & (die < sum(SHOWN_AS)), other, ids.clamp(min=0))
    seen = torch.where(asked & (die < SHOWN_AS[0]), mask, seen)
    states = model.hidden(seen, keep=None if there.all() else there)
    return model.head(states[asked]), ids[asked]


def learn(
    loss_of: nn.Module,
    optimisers: list[Optimizer],
    batch: Callable[[int], Tensor],
    factor: Callable[[int], float],
    *,
    steps: int,
    start: int = 0,
    seed: int = 0,
    clip: float = 1.0,
    micro_batch: int | None = None,
    place: parallel.Place | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Steps `start` to `steps` - 1, each one as it is done: its number, its loss, and the length of
    its gradient before clipping.

    `batch(step)` gives rows of ids, padded with -1, and for a GPU does so in another thread: it
    draws from generators of its own, if from any. At most `micro_batch` of them are computed at a
    time, and their gradients added, so that each token counts as much, in whichever piece and
    process it is. `factor(step)` is what the learning rates are multiplied by. A gradient longer
    than `clip` is shortened to it. Dropout depends on seed, step and the process alone.
    """
    parameters = list(loss_of.parameters())
    place = place or parallel.Place(parameters[0].device)
    ready = data.onto(parameters[0].device, batch, range(start, steps))
    for step in range(start, steps):
        loss_of.train()
        random = np.random.SeedSequence([seed, step, place.rank])
        torch.manual_seed(int(random.generate_state(1)[0]))
        optim.scale(optimisers, factor(step))
        rows = next(ready)
        tokens = place.mean(predicted(rows).to(parameters[0].dtype))  # of a process
        pieces = rows.split(micro_batch or len(rows))
        loss = 0.0
        for i, piece in enumerate(pieces):
            parallel.exchange(loss_of, now=i == len(pieces) - 1)
            part = loss_of(piece) * (predicted(piece) / tokens)
            part.backward()
            loss = loss + part.detach()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        yield step, loss, norm


def fit(
    model: nn.Module,
    texts: Texts,
    *,
    context: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warm_up: int = 50,
    seed: int = 0,
    progress: bool = False,
    watch: Callable[[int, float], None] | None = None,
    optimisers: list[Optimizer] | None = None,
    schedule: Callable[[int], float] | None = None,
) -> list[float]:
    """Train on rows of `context` tokens that begin where texts begin; the loss of each step, in
    nats a token.

    AdamW with weight decay on matrices only. The learning rate rises over `warm_up` steps and then
    falls on a line to 0. `model` takes ids (B, T) and gives logits (B, T, vocab_size).
    `watch(step, loss)` is called after each step. Other `optimisers` (`optim.make`) and another
    `schedule`, from step to factor, take the place of these.
    """
    draw = torch.Generator().manual_seed(seed)

    def batch(step: int) -> Tensor:
        which = torch.randint(len(texts), (batch_size,), generator=draw)
        return texts.rows(which, context + 1)  # (B, T + 1)

    if optimisers is None:
        optimisers = optim.make(model, "adamw", learning_rate=learning_rate)
    if schedule is None:
        schedule = lambda step: optim.schedule(step, steps, warm_up)  # noqa: E731
    losses = []
    done = learn(NextToken(model), optimisers, batch, schedule, steps=steps, seed=seed)
    for step, loss, _ in tqdm(done, total=steps, disable=not progress, unit="step"):
        losses.append(loss.item())
        if watch:
            watch(step, losses[-1])
    model.eval()
    return losses


# The measure


@torch.no_grad()
def log_probs(model: nn.Module, texts: Texts, rows: int = CHUNK) -> list[Tensor]:
    """For each text ln P of each of its tokens given those before it in the text: nats, (T,).

    `rows` texts are computed at a time.
    """
    model.eval()
    device = next(model.parameters()).device
    lengths = texts.lengths(torch.arange(len(texts))).tolist()
    found = []
    for which in torch.arange(len(texts)).split(rows):
        longest = max(lengths[i] for i in which)
        ids = texts.rows(which, longest + 1).to(device)
        nats = _nats(model, ids).float().cpu()  # (B, T); a text does not see what follows it
        found += [-row[: lengths[i]] for row, i in zip(nats, which, strict=True)]
    return found


def bits_per_char(model: nn.Module, texts: Texts, rows: int = CHUNK) -> float:
    """Bits a character over all the texts, their newlines included; `rows` of them at a time."""
    nats = -sum(one.sum(dtype=torch.float64).item() for one in log_probs(model, texts, rows))
    return nats / texts.num_chars / math.log(2)


@torch.no_grad()
def masked_bits(model: GPT, texts: Texts, rows: int = CHUNK) -> tuple[float, float]:
    """What an encoder pays for the tokens hidden from it, in bits each, and the share of them that
    it finds; `rows` texts at a time. Which are hidden depends on the texts alone."""
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    nats, right, count = 0.0, 0, 0
    for which in torch.arange(len(texts)).split(rows):
        lengths = texts.lengths(which)
        ids = texts.rows(which, int(lengths.max()) + 1)[:, 1:]  # (B, T)
        ids = ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], -1).to(device)
        logits, targets = _guesses(model, ids, generator)
        nats += F.cross_entropy(logits.double(), targets, reduction="sum").item()
        right += (logits.argmax(dim=1) == targets).sum().item()
        count += len(targets)
    return nats / count / math.log(2), right / count


# The run


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


@dataclass(frozen=True)
class Prepared:
    """A corpus as token ids, and its tokenizer."""

    tokenizer: BPETokenizer | CharTokenizer
    train: Texts
    valid: Texts
    test: Texts
    digest: str  # changes whenever the ids to train on, or what they mean, do

    def check(self, folder: Path, about: dict) -> None:
        """TrainError if the checkpoint in `folder` that says this was trained on another text."""
        if about["text"] != self.digest:
            raise TrainError(
                f"{folder} was trained on a text that has changed since, or was cut into other "
                "tokens: restore that text, or begin anew with another --out."
            )


def prepare(config: TrainConfig, place: parallel.Place | None = None) -> Prepared:
    """The text of a run as ids, made once and kept in the cache folder; read from the disk."""
    cut = "windows" if config.rows == "windows" else "texts"
    chosen = [config.tokenizer, config.model.vocab_size, _read(config), cut, config.model.context]
    key = json.dumps([corpora.fingerprint(config.corpus, config.size), *chosen])
    folder = corpora.cache_folder() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if place is None or place.first:
        if not (folder / "test.safetensors").exists():
            _tokenize(config, folder)
    if place is not None:
        place.wait()
    kind = BPETokenizer if config.tokenizer == "bpe" else CharTokenizer
    parts = {name: data.load(folder / f"{name}.safetensors") for name in ("train", "valid", "test")}
    tokenizer = kind.load(folder / "tokenizer.json")
    return Prepared(
        tokenizer,
        **parts,
        digest=checkpoint.digest(folder / "tokenizer.json", folder / "train.safetensors"),
    )


def _read(config: TrainConfig) -> int:
    """How many characters of its text a run's BPE tokenizer learns from, if there are as many."""
    return max(TOKENIZER_TEXT, PER_TOKEN * config.model.vocab_size)


def _tokenize(config: TrainConfig, folder: Path) -> None:
    corpus = corpora.corpus(config.corpus, size=config.size)
    if config.tokenizer == "characters":
        tokenizer = CharTokenizer.train(corpus.train + corpus.valid + corpus.test)
    else:
        # Whole lines, so that a longer Storyland has the tokenizer of a shorter.
        end = corpus.train.find("\n", _read(config) - 1) + 1 or len(corpus.train)
        tokenizer = BPETokenizer.train(corpus.train[:end], config.model.vocab_size)
    checkpoint.atomically(folder / "tokenizer.json", tokenizer.save)
    for name in ("train", "valid", "test"):  # test last: when it is there, all are
        text = getattr(corpus, name)
        try:
            if config.rows != "windows":
                lines, most = text.splitlines(keepends=True), config.model.context
                if name != "train":  # training cuts longer texts, and these are to compare with
                    fit = [line for line in lines if len(tokenizer.encode(line)) <= most]
                    if name == "test" and fit != lines and corpora.floor(config.corpus):
                        raise ValueError(
                            f"the floor is of all texts, and {len(lines) - len(fit)} of them do "
                            f"not fit into {most} tokens: raise the context, or the size"
                        )
                    lines = fit
                if not lines:
                    raise ValueError(
                        f"no text has {most} tokens or fewer: raise the context, or take rows of "
                        "windows"
                    )
                texts = data.texts(lines, tokenizer)
            else:
                texts = data.stream(text, tokenizer, config.model.context)
        except ValueError as error:
            raise TrainError(f"The {name} part of {config.corpus}: {error}.") from None
        data.save(folder / f"{name}.safetensors", texts)


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
        model = {name: value for name, value in model.items() if name != self.model.tied_name}
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


# What came of it


def load(
    folder: Path, which: str = "best"
) -> tuple[GPT, BPETokenizer | CharTokenizer, TrainConfig, dict]:
    """The model of a run at its best or last checkpoint, on the CPU, in evaluation mode.

    With it the tokenizer, the configuration, and what the checkpoint says: step, curve.
    """
    config = TrainConfig.read(folder / "config.json")
    kind = BPETokenizer if config.tokenizer == "bpe" else CharTokenizer
    tokenizer = kind.load(folder / "tokenizer.json")
    tensors, about = checkpoint.load(folder / {"best": BEST, "last": LAST}[which])
    model = GPT(GPTConfig(**about["model"]))
    if model.tied_name:
        tensors[model.tied_name] = tensors["embedding.weight"]
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    return model.eval(), tokenizer, config, about


def sample(
    model: GPT,
    tokenizer: BPETokenizer | CharTokenizer,
    prompt: str = "",
    *,
    tokens: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
    stop: bool = False,
) -> str:
    """The prompt, and how the model goes on with it; with `stop` no further than the line's end.

    What the model sees first is a newline: the prompt begins a text.
    """
    device = next(model.parameters()).device
    ids = torch.tensor([tokenizer.encode("\n" + prompt)], device=device)
    generator = torch.Generator(device).manual_seed(seed)
    end = tokenizer.encode("\n")[0] if stop else None
    new = generate(model, ids, tokens, temperature=temperature, generator=generator, stop=end)
    return prompt + tokenizer.decode(new[0].tolist())


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


def measured(model: GPT, texts: Texts, corpus: str) -> dict:
    """What a model pays for texts of a corpus: of a character, or of a token hidden from it."""
    if not model.config.causal:
        bits, right = masked_bits(model, texts)
        return {"bits_per_hidden_token": round(bits, 4), "found": round(right, 4)}
    bits, floor = bits_per_char(model, texts), corpora.floor(corpus)
    found = {"bits_per_char": round(bits, 4)}
    return found | ({"floor": floor, "above_floor": round(bits / floor - 1, 4)} if floor else {})


@torch.no_grad()
def samples(
    model: GPT, tokenizer: BPETokenizer | CharTokenizer, texts: Texts, *, stop: bool
) -> list:
    """Three texts that a model makes; or of an encoder three of `texts` with every seventh token
    hidden, and what it puts there."""
    if model.config.causal:
        return [sample(model, tokenizer, seed=seed, stop=stop) for seed in range(3)]
    device, told = next(model.parameters()).device, []
    for which in torch.arange(min(3, len(texts)))[:, None]:
        ids = texts.rows(which, int(texts.lengths(which)) + 1)[:, 1:].to(device)
        seen, hidden = ids.clone(), slice(3, None, 7)
        seen[:, hidden] = model.config.vocab_size - 1
        ids[:, hidden] = model(seen)[:, hidden].argmax(dim=2)
        filled = tokenizer.decode(ids[0].tolist())
        told.append({"shown": _gaps(tokenizer, seen[0]), "filled": filled})
    return told


def _gaps(tokenizer: BPETokenizer, ids: Tensor) -> str:
    """A text in which each mask is a gap to see."""
    parts, mask = [[]], tokenizer.end_id
    for token in ids.tolist():
        if token == mask:
            parts.append([])
        else:
            parts[-1].append(token)
    return " ____".join(tokenizer.decode(part) for part in parts)


def machine(place: parallel.Place) -> str:
    """With what and on which hardware this process runs."""
    gpu = torch.cuda.get_device_name() if place.device.type == "cuda" else place.device.type
    return (
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, on {place.world} x "
        f"{gpu}, {os.cpu_count()} cores"
    )
