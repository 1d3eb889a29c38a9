"""Tiny Shakespeare by characters, side by side with nanoGPT's own code in the same run.

git clone https://github.com/karpathy/nanoGPT
python tools/records.py --nanogpt nanoGPT shakespeare-laptop
"""

import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from tinygpt import data, optim, train
from tinygpt.config import TrainConfig, configure
from tinygpt.corpora import corpus
from tinygpt.model import GPT
from tinygpt.tokenizer import CharTokenizer

# nanoGPT's README, for a computer without a GPU; and its configuration for one GPU.
CPU = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 "
    "--batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 "
    "--dropout=0.0"
).split()
STORED = Path("out-shakespeare-char") / "ckpt.pt"
# It looks at the validation text now and then. The clock is to time its training alone.
NO_LOOKS = ["--eval_iters=1", "--eval_interval=1000000"]
LOOKS = 4  # of ours at the whole validation text, outside the clock
# What a short run of ours changes in its preset: it wants higher learning rates.
SHORT = {"learning_rate": 1e-2, "matrix_learning_rate": 0.03}


def split(source: str) -> tuple[str, str]:
    """Text to train on and validation text: nanoGPT's 90 % and 10 %."""
    whole = corpus(source)
    text = whole.train + whole.valid + whole.test
    cut = int(len(text) * 0.9)
    return text[:cut], text[cut:]


def laptop(name: str, source: str, nanogpt: Path) -> dict:
    """nanoGPT's setting for a CPU, its own code first, then the modern model of as many parameters:
    for about a twentieth of its processor time, a tenth, and as much. One thread each."""
    torch.set_num_threads(1)
    config = configure(name, device="cpu")
    short = [replace(config, steps=steps, **SHORT) for steps in (120, 220)]
    return beside(source, nanogpt, CPU, [*short, config])


def gpu(name: str, source: str, nanogpt: Path) -> dict:
    """nanoGPT's setting for one GPU (10.65M parameters), its own code first, then the modern model
    of about as many parameters for about a quarter of its time."""
    return beside(source, nanogpt, [], [configure(name, device="cuda")])


def beside(source: str, nanogpt: Path, arguments: list[str], configs: list[TrainConfig]) -> dict:
    """nanoGPT with these arguments, then ours with each of the configurations, the last of which
    is the preset."""
    text, valid_text = split(source)
    preset = configs[-1]
    context = preset.model.context
    theirs = peer(nanogpt, text + valid_text, arguments, context, preset.device)
    tokenizer = CharTokenizer.train(text + valid_text)
    texts = data.stream(text, tokenizer, context)
    valid = data.stream(valid_text, tokenizer, context)
    rows, curves = {"nanoGPT": theirs}, {}
    for config in configs:
        name = f"modern, {config.steps} steps"
        model, rows[name], curves[name] = ours(config, tokenizer.vocab_size, texts, valid)
    for row in rows.values():
        row["share_of_time"] = round(row["seconds"] / theirs["seconds"], 3)
    head = ["git", "-C", str(nanogpt), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    training = preset.described()
    del training["out"]
    return {
        "nanogpt": {"commit": commit, "arguments": arguments},
        "training": training,
        "curve": curves,
        "figures": rows,
        "samples": [train.sample(model, tokenizer, tokens=300, seed=seed) for seed in range(3)],
    }


def ours(
    config: TrainConfig, vocab_size: int, texts: data.Texts, valid: data.Texts
) -> tuple[GPT, dict, list[dict]]:
    """Train the modern model as `config` says: the model, its figures, and its curve."""
    device = config.device
    torch.manual_seed(config.seed)
    model = GPT(replace(config.model, vocab_size=vocab_size)).to(device)
    optimisers = optim.make(
        model,
        config.optimiser,
        learning_rate=config.learning_rate,
        matrix_learning_rate=config.matrix_learning_rate,
        embedding_learning_rate=config.embedding_learning_rate,
        weight_decay=config.weight_decay,
        betas=(config.beta_1, config.beta_2),
        momentum=config.momentum,
    )
    draws = data.Draws(texts, config.model.context + 1, config.batch_size, shifted=True)
    loss_of = train.NextToken(model, torch.bfloat16 if device == "cuda" else None)
    if device == "cuda":
        loss_of.compile()

    def factor(step: int) -> float:
        return optim.schedule(step, config.steps, config.warm_up, config.schedule, config.decay)

    steps, losses, curve, seconds = config.steps, [], [], 0.0
    started = clock(device)
    done = train.learn(
        loss_of, optimisers, draws, factor, steps=steps, seed=config.seed, clip=config.clip
    )
    for step, loss, _ in tqdm(done, total=steps, unit="step"):
        losses.append(loss)
        if (step + 1) % (steps // LOOKS) == 0:
            seconds += clock(device) - started
            mean = torch.stack(losses[-50:]).mean().item()
            point = {"step": step + 1, "loss": round(mean, 4)}
            curve.append(point | {"valid_loss": round(nats(model, valid), 4)})
            started = clock(device)
    figures = {
        "steps": steps,
        "learning_rate": config.learning_rate,
        "matrix_learning_rate": config.matrix_learning_rate,
        "parameters": model.num_parameters(),
        "seconds": round(seconds, 1),
        "train_loss": curve[-1]["loss"],
        "valid_loss": curve[-1]["valid_loss"],
    }
    return model, figures, curve


def clock(device: str) -> float:
    """Seconds: of this process on a CPU, of the wall on a GPU that has done what it was given."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def nats(model: torch.nn.Module, valid: data.Texts) -> float:
    """The mean loss over the whole validation text, each window by itself: nats a character."""
    return -torch.cat(train.log_probs(model, valid)).double().mean().item()


def peer(folder: Path, text: str, arguments: list[str], context: int, device: str) -> dict:
    """nanoGPT's own train.py on the same text; its last model on the whole validation text."""
    if not (folder / "train.py").exists():
        sys.exit(f"{folder} is not nanoGPT: git clone https://github.com/karpathy/nanoGPT first.")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) / "nanoGPT"
        shutil.copytree(folder, work, ignore=shutil.ignore_patterns(".git"))
        prepare = work / "data" / "shakespeare_char" / "prepare.py"
        prepare.with_name("input.txt").write_text(text, encoding="utf-8", newline="\n")
        command(work, [str(prepare)], "cpu")
        call = ["train.py", "config/train_shakespeare_char.py", *arguments]
        start_up = command(work, [*call, *NO_LOOKS, "--max_iters=0"], device)
        seconds = command(work, [*call, *NO_LOOKS], device) - start_up
        command(work, call, device)  # once more with its looks, which choose the weights it keeps
        stored = torch.load(work / STORED, weights_only=False, map_location="cpu")
        parameters, loss = peer_loss(work, stored, text, context)
        return {
            "steps": stored["iter_num"],
            "parameters": parameters,
            "seconds": round(seconds, 1),
            "valid_loss": round(loss, 4),
        }


def command(work: Path, call: list[str], device: str) -> float:
    """Run a script of nanoGPT: its seconds, by the clock that `clock` reads for ours."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    threads = {"OMP_NUM_THREADS": "1"} if device == "cpu" else {}
    subprocess.run([sys.executable, *call], cwd=work, env=os.environ | threads, check=True)
    if device == "cuda":
        return time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@torch.no_grad()
def peer_loss(work: Path, stored: dict, text: str, context: int) -> tuple[int, float]:
    """How many parameters nanoGPT's model has, and its mean loss over the whole validation text:
    nats a character."""
    sys.path.insert(0, str(work))
    import model as nanogpt  # its model.py

    model = nanogpt.GPT(nanogpt.GPTConfig(**stored["model_args"]))
    model.load_state_dict(stored["model"])
    model.eval()
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    ids = torch.tensor([letters[letter] for letter in text[int(len(text) * 0.9) :]])
    windows = (len(ids) - 1) // context
    total = 0.0
    for rows in ids[: windows * context + 1].unfold(0, context + 1, context).split(256):
        _, loss = model(rows[:, :-1], rows[:, 1:].contiguous())
        total += loss.item() * len(rows)
    assert math.isfinite(total)
    return sum(parameter.numel() for parameter in model.parameters()), total / windows
