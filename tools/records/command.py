"""Repeat the recorded runs that the chapters show, and store them in records/.

    python -m tools.records [NAME ...]    # default: all that can be made with what is here

Each record says with which command, when, on what, and from which commit it came. What is done is
kept while a run is made, so the same command goes on where an earlier one was stopped. Those for a
GPU import nothing that such a machine usually lacks, and can be rehearsed without one:

    python -m tools.records --rehearse gpt2-small-step
    python -m tools.records --prepare story-gpu         # the text, before the GPU is there
    python -m tools.records --minutes 9 --out runs/lent story-gpu
"""

import argparse
import datetime
import inspect
import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch

from tinygpt import checkpoint, corpora, downloads, records, train
from tinygpt.checkpoint import CheckpointError
from tinygpt.config import TrainError, configure
from tinygpt.corpora import CorpusError
from tools.records import (
    asked,
    balanced,
    beyond_text,
    bias,
    calling_tools,
    capstone,
    code,
    cost,
    data,
    decoding,
    fine_tuning,
    frameworks,
    gpu,
    hallucination,
    in_context,
    inside,
    isoflop,
    pictures,
    post_training,
    privacy,
    retrieval,
    serving,
    shakespeare,
    sitting,
    step,
    storyland,
    thinking,
    training,
    translation,
)
from tools.records.job import Job, Unfinished

RUNS = {
    "distance": storyland.distance,
    "one-block": partial(storyland.gpt, num_layers=1, steps=4000),
    "gpt": partial(storyland.gpt, num_layers=4, steps=4000),
    "story-laptop": storyland.story,
    "story-base": storyland.story,
    "story-bert": storyland.story,
    "ablations": training.ablations,
    "scaling": training.scaling,
    "isoflop": isoflop.isoflop,
    "step-cost": step.step_cost,
    "width": step.width,
    "data": data.data,
    "one-sitting": sitting.sitting,
    "asked": asked.smollm2,
    "in-context": in_context.in_context,
    "retrieval": retrieval.retrieval,
    "post-training": post_training.post_training,
    "reward-kl": post_training.reward_kl,
    "decoding": decoding.decoding,
    "decoding-speed": decoding.speed,
    "serving": serving.serving,
    "code": code.code,
    "thinking": thinking.thinking,
    "calling-tools": calling_tools.calling_tools,
    "hallucination": hallucination.hallucination,
    "bias": bias.bias,
    "bias-balanced": balanced.balanced,
    "privacy": privacy.privacy,
    "cost": cost.cost,
    "capstone": capstone.capstone,
    "translation": translation.translation,
    "summary": translation.summary,
    "fine-tuning": fine_tuning.fine_tuning,
    "inside": inside.inside,
    "each-head": inside.each_head,
    "beyond-text": beyond_text.beyond_text,
}
ON_GPU = {"gpt2-small-step": gpu.gpt2_small_step, "story-gpu": storyland.story}
# These need nanoGPT's code, too.
BESIDE_NANOGPT = {"shakespeare-laptop": shakespeare.laptop}
# This one needs TensorFlow, which the course does not.
BESIDE_TENSORFLOW = {"tensorflow": frameworks.tensorflow}
BESIDE_NANOGPT_ON_GPU = {"shakespeare-gpu": shakespeare.gpu}
KNOWN = RUNS | ON_GPU | BESIDE_NANOGPT | BESIDE_NANOGPT_ON_GPU | BESIDE_TENSORFLOW
FOR_GPU = ON_GPU | BESIDE_NANOGPT_ON_GPU
FOR_NANOGPT = BESIDE_NANOGPT | BESIDE_NANOGPT_ON_GPU
KEPT = records.ROOT / "runs"
GOES_ON = 75  # the exit status where the time was over: give the same command again


def record(job: Job, work: Callable[[Job], dict], about: dict) -> dict:
    """Make a run, or go on with it, and store its record in its folder."""
    begun = {"name": job.name, "rehearsal": job.rehearsal, "machine": records.machine()}
    path = job.out / "begun.json"
    if (job.out / "record.json").exists():
        sys.exit(f"{job.out} holds a whole record: give another --out.")
    if path.exists() and checkpoint.read_json(path) != begun:
        sys.exit(f"{job.out} was begun otherwise, as {path} says: give another --out.")
    checkpoint.write_json(path, begun)
    started, wall = datetime.datetime.now(datetime.UTC), time.perf_counter()
    cpu = time.process_time()
    found = work(job)
    about = {
        "name": job.name,
        "what": inspect.getdoc(work.func if isinstance(work, partial) else work),
        **about,
        "date": started.date().isoformat(),
        "machine": begun["machine"],
        "versions": {package: version(package) for package in ("torch", "numpy", "tokenizers")},
        # of the command that came to its end
        "seconds": round(time.perf_counter() - wall),
        "cpu_seconds": round(time.process_time() - cpu),
    }
    records.write(job.out, about | found)
    return found


def publish(job: Job) -> None:
    """Put a whole record where the chapters look."""
    for name in ("record.json", "weights.safetensors", pictures.FILE):
        if (job.out / name).exists():
            copy = partial(shutil.copyfile, job.out / name)
            checkpoint.atomically(records.FOLDER / job.name / name, copy)


def prepare(name: str) -> None:
    """Make the data of a run, or bring them, so that its time on a GPU is not spent on that."""
    if name == "story-gpu":
        train.prepare(configure(name))
    if name == "shakespeare-gpu":
        corpora.corpus("shakespeare")
    needs = "no data" if name == "gpt2-small-step" else f"what is now in {downloads.cache_folder()}"
    print(f"{name} needs {needs}.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.records",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(RUNS)}; on a GPU also {', '.join(ON_GPU)}; with --nanogpt also "
        f"{', '.join(FOR_NANOGPT)}, the last of them on a GPU",
    )
    parser.add_argument(
        "--nanogpt", type=Path, metavar="FOLDER", help="a clone of nanoGPT, to measure against"
    )
    parser.add_argument(
        "--shakespeare",
        default="shakespeare",
        metavar="FILE",
        help="tiny Shakespeare, where it is not to be downloaded",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="keep one run there while it is made, and leave its record there: record.json, and "
        "weights.safetensors where there are weights (default: runs/record-NAME, and then the "
        "record goes to records/NAME)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="N",
        help=f"stop by then, with exit status {GOES_ON}; the same command goes on",
    )
    parser.add_argument(
        "--commit", metavar="HASH", help="the commit of the code, where its history is not here"
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="do at tiny size on the CPU what is done on a GPU; its record stays in --out",
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only make or download the data of runs on a GPU"
    )
    chosen = parser.parse_args()
    if chosen.out and len(chosen.names) != 1:
        parser.error("--out takes one NAME: each run has a folder of its own")
    return chosen


def names(chosen: argparse.Namespace) -> list[str]:
    """The runs that were asked for, or all that can be made here."""
    gpu = torch.cuda.is_available()
    for name in chosen.names:
        if name not in KNOWN:
            sys.exit(f"There is no run {name!r}: choose among {', '.join(KNOWN)}.")
        if (chosen.rehearse or chosen.prepare) and name not in FOR_GPU:
            sys.exit(f"{name} needs no GPU: run it. For a GPU are {', '.join(FOR_GPU)}.")
        if name in FOR_GPU and not (gpu or chosen.rehearse or chosen.prepare):
            sys.exit(
                f"{name} needs a GPU, and PyTorch finds none here. With --rehearse it is tried at "
                "tiny size without one."
            )
        if name in FOR_NANOGPT and not (chosen.nanogpt or chosen.prepare):
            sys.exit(
                f"{name} runs beside nanoGPT: git clone https://github.com/karpathy/nanoGPT, and "
                f"python -m tools.records --nanogpt nanoGPT {name}"
            )
    if chosen.names:
        return chosen.names
    if chosen.prepare:
        return list(FOR_GPU)
    able = {} if chosen.rehearse else RUNS | (BESIDE_NANOGPT if chosen.nanogpt else {})
    if gpu or chosen.rehearse:
        able |= ON_GPU | (BESIDE_NANOGPT_ON_GPU if chosen.nanogpt else {})
    return list(able)


def make(name: str, chosen: argparse.Namespace, ends: float) -> None:
    """One run that was asked for, from its folder to its record."""
    folder = KEPT / f"{'rehearsal' if chosen.rehearse else 'record'}-{name}"
    device = "cuda" if name in FOR_GPU and not chosen.rehearse else "cpu"
    job = Job(name, chosen.out or folder, device, chosen.rehearse, ends)
    work, given = KNOWN[name], "--rehearse " if chosen.rehearse else ""
    if name in FOR_NANOGPT:
        work = partial(work, source=chosen.shakespeare, nanogpt=chosen.nanogpt)
        given += "--nanogpt nanoGPT "
        given += "" if chosen.shakespeare == "shakespeare" else "--shakespeare FILE "
    # The code that runs is the code of now, whatever is committed while it runs.
    commit = chosen.commit or records.commit()
    found = record(
        job, work, {"command": f"python -m tools.records {given}{name}", "commit": commit}
    )
    if job.out == folder:
        if not job.rehearsal:
            publish(job)
        shutil.rmtree(folder)
    print(name, found["figures"])


def main() -> None:
    chosen = parse()
    ends = math.inf if chosen.minutes is None else time.monotonic() + 60 * chosen.minutes
    asked = names(chosen)
    if FOR_GPU.keys() & set(asked):
        # A machine that is lent has no folder for caches; this one can be sent along.
        os.environ.setdefault("TINYGPT_CACHE", str(KEPT / "cache"))
    try:
        for name in asked:
            if chosen.prepare:
                prepare(name)
            else:
                make(name, chosen, ends)
    except (CheckpointError, CorpusError, TrainError) as error:
        sys.exit(str(error))
    except Unfinished as left:
        print(f"The time is over, and what is done is kept: give the same command again. ({left})")
        sys.exit(GOES_ON)
