"""Two processes that `torchrun` starts do what one does."""

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import storyland
from tinygpt import checkpoint, parallel, train
from tinygpt.model import GPT, preset

ROOT = Path(__file__).resolve().parent.parent
# gloo, by which processes without GPUs talk, is built for these systems.
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs libuv there")

RUN = """
import os, signal, sys
from pathlib import Path
from tinygpt import data
from tinygpt.train import TrainConfig, train
folder, killed_at = Path(sys.argv[1]), int(sys.argv[2])
draw = data.Draws.__call__
def killed(self, step, rank, world):
    assert world == 2
    if rank == 1 and step == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, step, rank, world)
data.Draws.__call__ = killed
train(TrainConfig.read(folder / "config.json"))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    text = storyland.text(1, 20_000)
    (folder / "stories.txt").write_text(text, encoding="utf-8", newline="\n")
    (folder / "run.py").write_text(RUN, encoding="utf-8", newline="\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGPT_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


def small(place, out, **changes):
    settings = {"corpus": str(place / "stories.txt"), "every": 5, "device": "cpu", "warm_up": 2}
    return train.configure("smoke", out=place / out, **settings | changes)


def together(place, config, killed_at=-1):
    """Two processes make the run; how they ended."""
    checkpoint.write_json(config.out / "config.json", config.described())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", place / "run.py", config.out, str(killed_at)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def equal(config, other):
    """Whether the curves and the weights are those of the other run, but for rounding.

    In bfloat16 rounding is large: a weight whose gradient is small may go another way.
    """
    (ours, about), (theirs, there) = (
        checkpoint.load(one.out / "last.safetensors") for one in (config, other)
    )
    rough = config.precision == "bfloat16"
    assert about["step"] == there["step"] and len(about["curve"]) == len(there["curve"]) > 0
    for here, point in zip(about["curve"], there["curve"], strict=True):
        assert here == pytest.approx(point, abs=0.02 if rough else 2e-4)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype == torch.float32
        if not rough:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-2, atol=1e-3)


READS_WORDS = replace(train.PRESETS["smoke"]["model"], vocab_size=800, context=400)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # merely slower
@pytest.mark.parametrize(
    "settings",
    [
        {"micro_batch": 3, "rows": "lines", "tokenizer": "bpe", "model": READS_WORDS},
        {"shard": True, "optimiser": "adamw"},
        {"shard": True, "optimiser": "adamw", "precision": "bfloat16"},
    ],
    ids=["each with all weights, padded", "each with its share", "each with its share, bfloat16"],
)
def test_two_processes_one_of_them_killed_and_the_job_resumed_are_as_one(place, settings, tmp_path):
    one = small(place, tmp_path / "one", steps=9, every=3, **settings | {"shard": False})
    train.train(one)
    two = small(place, tmp_path / "two", steps=9, every=3, resume=True, **settings)
    done = together(place, two, killed_at=4)
    assert done.returncode != 0 and "Signal 9" in done.stderr
    assert checkpoint.load(two.out / "last.safetensors")[1]["step"] == 3
    done = together(place, two)
    assert done.returncode == 0, done.stderr
    equal(two, one)


@pytest.fixture
def group():
    """This process as all there are."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield parallel.Place(torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_shares_are_float32_and_what_is_multiplied_is_as_asked(group, dtype):
    torch.manual_seed(0)
    model = GPT(preset("gpt2", vocab_size=11, context=8, num_layers=2, num_heads=2, d_model=16))
    parallel.shard(model, group, dtype)
    seen = []
    linear = next(part for part in model.blocks[0].modules() if isinstance(part, torch.nn.Linear))
    linear.register_forward_pre_hook(lambda part, _: seen.append(part.weight.dtype))
    train.NextToken(model, dtype)(torch.arange(8)[None]).backward()
    assert seen == [dtype or torch.float32]
    for weight in model.parameters():
        assert weight.dtype == weight.grad.dtype == torch.float32


def test_an_encoder_learns_the_same_where_it_is_shared_out(group):
    rows, told = torch.randint(10, (8, 13)), []
    for shared in (False, True):
        torch.manual_seed(0)
        model = GPT(preset("bert", vocab_size=11, context=12, num_layers=2, d_model=16))
        if shared:
            parallel.shard(model, group)
        torch.manual_seed(1)  # the same places are hidden
        loss = train.Masked(model)(rows)
        loss.backward()
        told.append([loss.detach(), *(parallel.whole(p.grad) for p in model.parameters())])
    torch.testing.assert_close(*told)


def test_a_batch_that_cannot_be_shared_equally_is_refused(place, monkeypatch):
    monkeypatch.setattr(
        parallel,
        "join",
        lambda device: contextlib.nullcontext(parallel.Place(torch.device("cpu"), rank=0, world=3)),
    )
    with pytest.raises(train.TrainError, match="batch_size is 8 and there are 3 processes"):
        train.train(small(place, "odd"))
