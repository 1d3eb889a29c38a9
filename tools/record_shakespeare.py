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
from pathlib import Path

import torch
from tqdm import tqdm

from tinygpt import data, optim, train
from tinygpt.config import RECIPE
from tinygpt.corpora import corpus
from tinygpt.model import GPT, GPTConfig
from tinygpt.tokenizer import CharTokenizer

# nanoGPT's README, for a computer without a GPU; and its configuration for one GPU.
CPU = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 "
    "--batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 "
    "--dropout=0.0"
).split()
STORED = Path("out-shakespeare-char") / "ckpt.pt"
# Steps: learning rates of AdamW and of Muon. A short run wants higher ones.
RATES = {120: (1e-2, 0.03), 220: (1e-2, 0.03), 2200: (5e-3, 0.02)}
# As many parameters as nanoGPT's four blocks, half of them in a table that takes hardly any time.
CPU_SIZES = {"num_layers": 2, "num_heads": 4, "d_model": 128, "ngram_rows": 3072}
OURS = RECIPE | {"rotary_base": 30.0, "activation": "relu2"}


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
    sizes = {"context": 64} | CPU_SIZES
    return beside(source, nanogpt, CPU, sizes, batch_size=12, rates=RATES, device="cpu")


def gpu(name: str, source: str, nanogpt: Path) -> dict:
    """nanoGPT's setting for one GPU (10.65M parameters), its own code first, then the modern model
    of about as many parameters for about a quarter of its time."""
    sizes = {"context": 256, "num_layers": 6, "num_heads": 6, "d_model": 384, "dropout": 0.2}
    return beside(
        source, nanogpt, [], sizes, batch_size=64, rates={1000: (5e-3, 0.02)}, device="cuda"
    )


def beside(
    source: str,
    nanogpt: Path,
    arguments: list[str],
    sizes: dict,
    batch_size: int,
    rates: dict[int, tuple[float, float]],
    device: str,
) -> dict:
    """nanoGPT with these arguments, then ours with as many characters a step, for each number of
    steps with its learning rates."""
    text, valid_text = split(source)
    context = sizes["context"]
    theirs = peer(nanogpt, text + valid_text, arguments, context, device)
    tokenizer = CharTokenizer.train(text + valid_text)
    texts = data.stream(text, tokenizer, context)
    valid = data.stream(valid_text, tokenizer, context)
    rows = {"nanoGPT": theirs}
    for steps, pair in rates.items():
        row = ours(texts, valid, sizes, batch_size, steps, pair, device)
        rows[f"modern, {steps} steps"] = row
    for row in rows.values():
        row["share_of_time"] = round(row["seconds"] / theirs["seconds"], 3)
    return {"training": {"batch_size": batch_size} | sizes, "figures": rows}


def ours(
    texts: data.Texts,
    valid: data.Texts,
    sizes: dict,
    batch_size: int,
    steps: int,
    rates: tuple[float, float],
    device: str,
) -> dict:
    """The modern model, trained with Muon."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(65, **sizes, **OURS)).to(device)
    optimisers = optim.make(
        model,
        "muon",
        learning_rate=rates[0],
        matrix_learning_rate=rates[1],
        embedding_learning_rate=2e-2,
        weight_decay=0.0,
    )
    draws = data.Draws(texts, sizes["context"] + 1, batch_size, shifted=True)
    loss_of = train.NextToken(model, torch.bfloat16 if device == "cuda" else None)
    if device == "cuda":
        loss_of.compile()
    started = clock(device)
    done = train.learn(
        loss_of, optimisers, draws, lambda step: optim.schedule(step, steps, 20), steps=steps
    )
    losses = torch.stack([loss for _, loss, _ in tqdm(done, total=steps, unit="step")])
    seconds = clock(device) - started
    return {
        "steps": steps,
        "learning_rate": rates[0],
        "matrix_learning_rate": rates[1],
        "parameters": model.num_parameters(),
        "seconds": round(seconds, 1),
        "train_loss": round(losses[-50:].mean().item(), 4),
        "valid_loss": round(nats(model, valid), 4),
    }


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
        start_up = command(work, [*call, "--max_iters=0"], device)  # and a first evaluation
        seconds = command(work, call, device) - start_up
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
