"""Tiny Shakespeare by characters, side by side with nanoGPT's own code, both sides searched alike.

    git clone https://github.com/karpathy/nanoGPT
    python -m tools.records --nanogpt nanoGPT shakespeare-laptop

Each try is kept in tries.jsonl as it comes, so a run that was stopped goes on. The clock is to time
training: what comes before it is timed alone, by runs without steps, and taken off; ours starts
after its first step. So neither side pays for compiling, whose result is kept on the disk and may
be there or not.
"""

import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

from tinygpt import checkpoint, data, optim, records, train
from tinygpt.config import TrainConfig, configure
from tinygpt.corpora import corpus
from tinygpt.model import GPT
from tinygpt.tokenizer import CharTokenizer
from tools.records.job import Job, Unfinished

# nanoGPT's README, for a computer without a GPU.
CPU = (
    "--device=cpu --compile=False --log_interval=100 --block_size=64 --batch_size=12 --n_layer=4 "
    "--n_head=4 --n_embd=128 --dropout=0.0"
).split()
STORED = Path("out-shakespeare-char") / "ckpt.pt"
SIDES = ("nanoGPT", "modern")
DECAYS = ("linear to 0", "cosine to a tenth")
WARM_UP = {"nanoGPT": 20, "modern": 100}  # as this part of the steps, as both come
LOOKS = 4  # of ours at the whole validation text on its way, outside the clock
START_UPS = 3  # runs of nanoGPT without steps; the first fills caches and does not count
COMPILED = "_orig_mod."  # begins the names of a compiled model's weights


@dataclass(frozen=True)
class Try:
    """One run of one side."""

    side: str
    rate: float
    decay: str
    steps: int
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What is tried. Rates are learning rates, and for ours what its three are multiplied by."""

    arguments: list[str]  # of nanoGPT's train.py
    config: TrainConfig  # ours
    steps: dict[str, tuple[int, int]]  # of the search, and all
    short: tuple[int, ...]  # numbers of steps, of ours
    # Where the search begins; it goes on while the best is the first or the last.
    rates: dict[str, tuple[float, ...]]
    decays: tuple[str, ...] = DECAYS
    on: bool = True  # whether it goes on


def laptop(job: Job, source: str, nanogpt: Path) -> dict:
    """nanoGPT's setting for a CPU, its own code beside the modern model of as many parameters and
    for as much processor time, one thread each. On both sides two decays and, for each, learning
    rates until the best has a worse one on either side, at a fifth of the steps, chosen on the
    validation text. At all steps the best rate of the line, for nanoGPT half of it, too; and ours
    in a fifth of the steps and fewer."""
    torch.set_num_threads(1)
    config = configure(job.name, device="cpu")
    rates = {"nanoGPT": (0.002, 0.004, 0.008), "modern": (0.5, 1.0, 2.0)}
    steps = {"nanoGPT": (400, 2000), "modern": (460, config.steps)}
    return Beside(job, source, nanogpt, Plan(CPU, config, steps, (115, 230, 328), rates)).record()


def gpu(job: Job, source: str, nanogpt: Path) -> dict:
    """nanoGPT's setting for one GPU (10.65M parameters), its own code beside the modern model of
    about as many parameters. Searched as for a CPU; both sides are compiled, in bfloat16."""
    config = configure(job.name, device=job.device)
    rates = {"nanoGPT": (0.0005, 0.001, 0.002), "modern": (0.5, 1.0, 2.0)}
    steps = {"nanoGPT": (1000, 5000), "modern": (800, 4000)}
    plan = Plan([], config, steps, (200, 400, 600), rates)
    return Beside(job, source, nanogpt, rehearsed(plan) if job.rehearsal else plan).record()


def rehearsed(plan: Plan) -> Plan:
    """The same at tiny size, compiled on the CPU."""
    model = replace(plan.config.model, context=16, num_layers=1, num_heads=2, d_model=16)
    return Plan(
        arguments="--device=cpu --compile=True --block_size=16 --batch_size=4 --n_layer=1 "
        "--n_head=2 --n_embd=16".split(),
        config=replace(plan.config, model=model, batch_size=4, device="cpu"),
        steps={"nanoGPT": (8, 12), "modern": (8, 12)},
        short=(),
        rates={"nanoGPT": (0.001,), "modern": (1.0,)},
        decays=DECAYS[:1],
        on=False,
    )


@dataclass
class Beside:
    """Both sides on one text, and what was tried with them."""

    job: Job
    source: str
    nanogpt: Path
    plan: Plan
    start_up: float | None = field(default=None, init=False)  # seconds before nanoGPT's first step

    def __post_init__(self):
        if not (self.nanogpt / "train.py").exists():
            sys.exit(
                f"{self.nanogpt} is not nanoGPT: git clone https://github.com/karpathy/nanoGPT "
                "first."
            )
        whole = corpus(self.source)
        self.text = whole.train + whole.valid + whole.test
        cut = int(len(self.text) * 0.9)  # nanoGPT's
        self.context = self.plan.config.model.context
        self.tokenizer = CharTokenizer.train(self.text)
        self.texts = data.stream(self.text[:cut], self.tokenizer, self.context)
        self.valid = data.stream(self.text[cut:], self.tokenizer, self.context)
        self.kept = self.job.out / "tries.jsonl"
        self.kept.touch()

    def record(self) -> dict:
        """Search, then run the best for longer, and ours for shorter; all that is told."""
        with tempfile.TemporaryDirectory() as temporary:
            self.work = Path(temporary) / "nanoGPT"
            shutil.copytree(self.nanogpt, self.work, ignore=shutil.ignore_patterns(".git"))
            prepare = self.work / "data" / "shakespeare_char" / "prepare.py"
            prepare.with_name("input.txt").write_text(self.text, encoding="utf-8", newline="\n")
            command(self.work, [str(prepare)], "cpu", self.job.left())
            return self._told()

    def _told(self) -> dict:
        plan = self.plan
        searched = {
            side: [one for decay in plan.decays for one in self.search(side, decay)]
            for side in SIDES
        }
        line = {
            side: best(one for one in tries if one["decay"] == DECAYS[0])
            for side, tries in searched.items()
        }
        whole = {side: replace(one, steps=plan.steps[side][1]) for side, one in line.items()}
        longer = {"modern": [self.result(whole["modern"])], "nanoGPT": []}
        for rate in (1.0, 0.5):
            one = replace(whole["nanoGPT"], rate=rate * whole["nanoGPT"].rate)
            longer["nanoGPT"].append(self.result(one))
        first = best(searched["modern"])
        short = [
            self.result(replace(first, steps=steps))
            for steps in (*plan.short, plan.steps["modern"][0])
        ]
        second = {side: self.pace(side) for side in SIDES}
        theirs = min(longer["nanoGPT"], key=paid)
        rows = {"nanoGPT": theirs}
        rows |= {f"modern, {one['steps']} steps": one for one in [*short, *longer["modern"]]}
        figures = {}
        for name, found in rows.items():
            seconds = second[found["side"]] * found["steps"]
            figures[name] = {
                "parameters": found["parameters"],
                "steps": found["steps"],
                "rate": found["rate"],
                "decay": found["decay"],
                "seconds": round(seconds, 1),
                "share_of_time": round(seconds / second["nanoGPT"] / theirs["steps"], 3),
                "valid_loss": found["valid_loss"],
            }
        training = plan.config.described()
        del training["out"]
        told = ("rate", "decay", "steps", "valid_loss")
        return {
            "cpu_seconds": round(sum(one["seconds"] for one in self.results())),
            "nanogpt": {
                "commit": records.commit(self.nanogpt),
                "sha256": checkpoint.digest(self.nanogpt / "train.py", self.nanogpt / "model.py"),
                "arguments": plan.arguments,
            },
            "training": training,
            "seconds_per_step": {side: round(second[side], 5) for side in SIDES},
            "tried": {
                side: [{name: one[name] for name in told} for one in searched[side] + longer[side]]
                for side in SIDES
            },
            "curve": longer["modern"][0]["curve"],
            "figures": figures,
            "samples": longer["modern"][0]["samples"],
        }

    def search(self, side: str, decay: str) -> list[dict]:
        """What came of each learning rate, from low to high: the best is neither end."""
        rates = list(self.plan.rates[side])
        while True:
            tries = [
                self.result(Try(side, rate, decay, self.plan.steps[side][0])) for rate in rates
            ]
            place = tries.index(min(tries, key=paid))
            if self.plan.on and place == 0:
                rates.insert(0, rates[0] / 2)
            elif self.plan.on and place == len(rates) - 1:
                rates.append(rates[-1] * 2)
            else:
                return tries

    def pace(self, side: str) -> float:
        """Seconds a step, over all that was tried on a side."""
        tries = [one for one in self.results() if one["side"] == side]
        return sum(one["seconds"] for one in tries) / sum(one["steps"] for one in tries)

    def results(self) -> list[dict]:
        """What has been tried, with what came of it."""
        return [json.loads(line) for line in self.kept.read_text().splitlines()]

    def result(self, one: Try) -> dict:
        """What came of a try, which is made if it has not been."""
        for kept in self.results():
            if kept | asdict(one) == kept:
                return kept
        self.job.check(str(one))
        print(one, flush=True)
        found = asdict(one) | (self.theirs(one) if one.side == "nanoGPT" else self.ours(one))
        with self.kept.open("a") as file:
            file.write(json.dumps(found) + "\n")
        return found

    def theirs(self, one: Try) -> dict:
        """nanoGPT's own train.py, and its last model on the whole validation text."""
        script = self.work / "tried.py"
        script.write_text(changed((self.nanogpt / "train.py").read_text(), one))
        call = [script.name, "config/train_shakespeare_char.py", *self.plan.arguments]
        # It looks at the validation text at its start and end alone: the clock is to time training.
        call += ["--eval_iters=1", "--always_save_checkpoint=True"]
        call += [f"--learning_rate={one.rate}", f"--warmup_iters={one.steps // WARM_UP[one.side]}"]
        call += [f"--min_lr={one.rate / 10 if one.decay == DECAYS[1] else 0.0}"]
        call += [f"--lr_decay_iters={one.steps}", f"--eval_interval={one.steps}"]
        device, job = self.plan.config.device, self.job
        if self.start_up is None:
            starts = [
                command(self.work, [*call, "--max_iters=0"], device, job.left())
                for _ in range(START_UPS)
            ]
            self.start_up = statistics.mean(starts[1:])
        call += [f"--max_iters={one.steps}"]
        seconds = command(self.work, call, device, job.left())
        stored = torch.load(self.work / STORED, weights_only=False, map_location="cpu")
        assert stored["iter_num"] == one.steps
        parameters, loss = peer_loss(self.work, stored, self.text, self.context, device)
        return {
            "parameters": parameters,
            "seconds": round(seconds - self.start_up, 2),
            "valid_loss": rounded(loss),
        }

    def ours(self, one: Try) -> dict:
        """The modern model: its figures, and where all steps are made its curve and samples."""
        config, device = replace(self.plan.config, seed=one.seed), self.plan.config.device
        torch.compiler.reset()  # after some models it would compile no more
        torch.manual_seed(config.seed)
        vocabulary = self.tokenizer.vocab_size
        model = GPT(replace(config.model, vocab_size=vocabulary)).to(device)
        optimisers = optim.make(
            model,
            config.optimiser,
            learning_rate=config.learning_rate * one.rate,
            matrix_learning_rate=config.matrix_learning_rate * one.rate,
            embedding_learning_rate=config.embedding_learning_rate * one.rate,
            weight_decay=config.weight_decay,
            betas=(config.beta_1, config.beta_2),
            momentum=config.momentum,
        )
        draws = data.Draws(
            self.texts, self.context + 1, config.batch_size, seed=one.seed, shifted=True
        )
        loss_of = train.NextToken(model, torch.bfloat16 if self.job.fast else None)
        if self.job.fast:
            torch.set_float32_matmul_precision("high")  # as nanoGPT does, and a run of ours
            loss_of.compile()
        whole = one.steps == self.plan.steps["modern"][1]
        every = one.steps // LOOKS if whole else one.steps
        losses, curve, seconds, started = [], [], 0.0, None
        done = train.learn(
            loss_of,
            optimisers,
            draws,
            lambda step: factor(step, one),
            steps=one.steps,
            seed=one.seed,
            clip=config.clip,
        )
        for step, loss, _ in tqdm(done, total=one.steps, unit="step", mininterval=10):
            self.job.check(str(one))
            losses.append(loss)
            if started is None:
                started = clock(device)
            if (step + 1) % every == 0:
                seconds += clock(device) - started
                mean = torch.stack(losses[-50:]).mean().item()
                point = {"step": step + 1, "loss": rounded(mean)}
                curve.append(point | {"valid_loss": rounded(nats(model, self.valid))})
                started = clock(device)
        found = {
            "parameters": model.num_parameters(),
            "seconds": round(seconds * one.steps / (one.steps - 1), 2),
            "valid_loss": curve[-1]["valid_loss"],
        }
        if whole:
            reader = self.tokenizer
            samples = [train.sample(model, reader, tokens=300, seed=seed) for seed in range(3)]
            found |= {"curve": curve, "samples": samples}
        return found


def paid(result: dict) -> float:
    """The validation loss of a try; infinite where training went astray."""
    return math.inf if result["valid_loss"] is None else result["valid_loss"]


def rounded(loss: float) -> float | None:
    """A loss as a record holds it: None where it is not finite, for which JSON has no number."""
    return round(loss, 4) if math.isfinite(loss) else None


def best(results: Iterable[dict]) -> Try:
    """The try with the lowest validation loss."""
    found = min(results, key=paid)
    return Try(**{name: found[name] for name in Try.__dataclass_fields__})


def factor(step: int, one: Try) -> float:
    """By what the learning rates are multiplied: as `changed` has nanoGPT do."""
    warm_up = one.steps // WARM_UP[one.side]
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    done = (step - warm_up) / (one.steps - warm_up)
    if one.decay == "linear to 0":
        return 1 - done
    return 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2


def changed(source: str, one: Try) -> str:
    """nanoGPT's train.py with another seed, and with a line in place of the cosine if asked for:
    it has no options for them."""
    changes = {"torch.manual_seed(1337 + seed": f"torch.manual_seed({1337 + one.seed} + seed"}
    if one.decay == "linear to 0":
        changes["coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))"] = "coeff = 1 - decay_ratio"
    for old, new in changes.items():
        assert source.count(old) == 1, f"nanoGPT's train.py has no {old}: take another commit."
        source = source.replace(old, new)
    return source


def clock(device: str) -> float:
    """Seconds: of this process on a CPU, of the wall on a GPU that has done what it was given."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def nats(model: torch.nn.Module, valid: data.Texts) -> float:
    """The mean loss over the whole validation text, each window by itself: nats a character."""
    return -torch.cat(train.log_probs(model, valid)).double().mean().item()


def command(work: Path, call: list[str], device: str, left: float) -> float:
    """Run a script of nanoGPT: its seconds, by the clock that `clock` reads for ours.

    Unfinished if it takes more than `left` seconds.
    """
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = {"OMP_NUM_THREADS": "1"} if device == "cpu" else {}
    limit = None if math.isinf(left) else max(left, 0)
    try:
        run = [sys.executable, *call]
        subprocess.run(run, cwd=work, env=os.environ | threads, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Unfinished(f"nanoGPT's {Path(call[0]).name}") from None
    if device == "cuda":
        return time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@torch.no_grad()
def peer_loss(work: Path, stored: dict, text: str, context: int, device: str) -> tuple[int, float]:
    """How many parameters nanoGPT's model has, and its mean loss over the whole validation text:
    nats a character."""
    sys.path.insert(0, str(work))
    import model as nanogpt  # its model.py

    model = nanogpt.GPT(nanogpt.GPTConfig(**stored["model_args"]))
    weights = {name.removeprefix(COMPILED): value for name, value in stored["model"].items()}
    model.load_state_dict(weights)
    model.to(device).eval()
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    ids = torch.tensor([letters[letter] for letter in text[int(len(text) * 0.9) :]], device=device)
    windows = (len(ids) - 1) // context
    total = 0.0
    for rows in ids[: windows * context + 1].unfold(0, context + 1, context).split(256):
        _, loss = model(rows[:, :-1], rows[:, 1:].contiguous())
        total += loss.item() * len(rows)
    return sum(parameter.numel() for parameter in model.parameters()), total / windows
