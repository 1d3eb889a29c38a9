"""Recorded runs: what ran, on what, with which result, and the weights that came of it.

`records/<name>/record.json` holds the record, `weights.safetensors` beside it the model's weights
in 16 bits. `make records` repeats the runs: it makes each in a folder of its own first, which is
why what writes here takes a folder, and what reads a name.
"""

import functools
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tinygpt import checkpoint
from tinygpt.errors import PlainError
from tinygpt.model import GPT, GPTConfig

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "records"


class RecordError(PlainError, ValueError):
    """There is no such record. The message is one line."""


def read(name: str) -> dict:
    """The record called `name`."""
    try:
        return json.loads((FOLDER / name / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(path.parent.name for path in FOLDER.glob("*/record.json")))
        raise RecordError(f"There is no record {name!r}; there are: {known or 'none'}.") from None


def load(name: str) -> tuple[GPT, dict]:
    """The model of a recorded run, in evaluation mode on the CPU, and the record."""
    record = read(name)
    model = GPT(GPTConfig(**record["model"]))
    weights = load_file(FOLDER / name / "weights.safetensors")
    _fill(model, weights)
    return model.eval(), record


def write(folder: Path, record: dict) -> None:
    """Store a record in `folder`; CheckpointError where that cannot be."""
    checkpoint.write_json(folder / "record.json", record)


def write_model(folder: Path, model: GPT) -> dict:
    """Store a model's weights in 16 bits, and take them on; returns what describes the model.

    Whoever measures the model after this measures what a reader will load.
    """
    state = model.stored(model.state_dict())
    weights = {key: value.half().cpu().contiguous() for key, value in state.items()}
    path = folder / "weights.safetensors"
    checkpoint.atomically(path, lambda part: save_file(weights, part))
    _fill(model, weights)
    return asdict(model.config)


def _fill(model: GPT, weights: dict[str, torch.Tensor]) -> None:
    model.load_state_dict(model.restored({key: value.float() for key, value in weights.items()}))


def processor() -> str:
    """The processor's trade name, or its architecture where the system does not tell."""
    if sys.platform == "linux":
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        if match := re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
            return match[1]
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


@functools.cache
def machine() -> str:
    """With what and on which hardware this process runs, as half a sentence."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count()
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_name()
    else:
        gpu = "Apple GPU" if torch.backends.mps.is_available() else "no GPU"
    return (
        f"Python {platform.python_version()}, PyTorch {torch.__version__} and "
        f"NumPy {version('numpy')}, on {cores} cores of {processor()}, {gpu}"
    )


def commit(folder: Path = ROOT) -> str | None:
    """The commit that is checked out in `folder`; None where it has no history of its own, as in
    a copy that was sent to another machine, or where there is no git."""
    if not (folder / ".git").exists():  # git would go on to look in the folders above
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
