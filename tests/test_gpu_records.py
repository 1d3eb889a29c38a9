"""The recorded runs that need a GPU, rehearsed on the CPU: the same code at tiny size, compiled,
and without the packages that a machine lent for an hour has not."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import storyland
from tinygpt import checkpoint, records, train
from tools.records import command, gpu, shakespeare
from tools.records.job import Job
from tools.records.shakespeare import Beside, Plan, Try

ROOT = Path(__file__).resolve().parent.parent
# Neither of these is there: filelock is, as PyTorch itself needs it.
MISSING = (
    "IPython ipykernel jupyter jupyter_client jupyter_core matplotlib nbclient nbformat nbgrader "
    "platformdirs psutil requests scipy"
).split()
WITHOUT = f"""
import runpy, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refused())
runpy.run_module("tools.records", run_name="__main__")
"""

# As much of nanoGPT as the comparison touches: how it is called, what it reads and what it leaves.
NANOGPT = {
    "config/train_shakespeare_char.py": """
out_dir = "out-shakespeare-char"
eval_interval = 250
dropout = 0.2
""",
    "data/shakespeare_char/prepare.py": """
from pathlib import Path
text = Path(__file__).with_name("input.txt").read_text(encoding="utf-8")
letters = sorted(set(text))
ids = [letters.index(letter) for letter in text[: len(text) * 9 // 10]]
Path(__file__).with_name("train.bin").write_bytes(bytes(ids))
Path(__file__).with_name("meta").write_text(str(len(letters)))
""",
    "model.py": """
from dataclasses import dataclass
import torch
from torch.nn import functional as F
@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_embd: int
class GPT(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embedding = torch.nn.Embedding(config.vocab_size, config.n_embd)
        self.head = torch.nn.Linear(config.n_embd, config.vocab_size)
    def forward(self, ids, targets):
        logits = self.head(self.embedding(ids))
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())
""",
    "train.py": """
import math
import sys
from ast import literal_eval
from pathlib import Path
given = dict.fromkeys(
    "device compile block_size batch_size n_layer n_head n_embd dropout eval_iters eval_interval "
    "always_save_checkpoint learning_rate warmup_iters min_lr lr_decay_iters max_iters".split()
)
for argument in sys.argv[1:]:
    if argument.startswith("--"):
        name, _, value = argument[2:].partition("=")
        assert name in given, name
        given[name] = value if name == "device" else literal_eval(value)
    else:
        exec(Path(argument).read_text(), given)
if not given["max_iters"]:
    sys.exit()  # what takes time before the first step is not what is tried here
import torch
from model import GPT, GPTConfig
folder, seed, block = Path("data/shakespeare_char"), 0, given["block_size"]
torch.manual_seed(1337 + seed)
ids = torch.tensor(list(folder.joinpath("train.bin").read_bytes()))
sizes = {"block_size": block, "n_embd": given["n_embd"]}
sizes["vocab_size"] = int(folder.joinpath("meta").read_text())
model = GPT(GPTConfig(**sizes))
if given["compile"]:
    model = torch.compile(model, backend="eager")
optimiser = torch.optim.AdamW(model.parameters())
for step in range(given["max_iters"] + 1):
    if step and step % given["eval_interval"] == 0:
        Path(given["out_dir"]).mkdir(exist_ok=True)
        stored = {"model": model.state_dict(), "model_args": sizes, "iter_num": step}
        torch.save(stored, Path(given["out_dir"]) / "ckpt.pt")
    decay_ratio = min(step / given["lr_decay_iters"], 1)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    optimiser.param_groups[0]["lr"] = coeff * given["learning_rate"]
    rows = torch.stack([ids[i : i + block + 1] for i in torch.randint(len(ids) - block, (4,))])
    model(rows[:, :-1], rows[:, 1:])[1].backward()
    optimiser.step()
    optimiser.zero_grad()
""",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a text, what stands in for nanoGPT, and a cache of its own."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "plays.txt").write_text(storyland.text(1, 30_000), encoding="utf-8", newline="\n")
    for name, content in NANOGPT.items():
        path = folder / "nanoGPT" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="\n")
    return folder


def begin(place, *arguments):
    """The command, in a process that has not the missing packages; no history, no network."""
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TINYGPT_CACHE": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    call = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.Popen(
        call, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(place, *arguments, status=0):
    process = begin(place, *arguments)
    out, err = process.communicate()
    assert process.returncode == status, out + err
    return out + err


def rehearse(place, out, *arguments):
    """Rehearse a run: its record."""
    run(place, "--rehearse", "--commit", "0123abc", "--out", out, *arguments)
    assert len([path for path in out.rglob("*") if path.is_file()]) <= 8  # as many come back
    return checkpoint.read_json(out / "record.json")


def told(record):
    """What every record must tell."""
    for key in ("what", "command", "date", "machine", "versions", "figures"):
        assert record[key], key
    assert record["commit"] == "0123abc" and "--rehearse" in record["command"]
    assert record["command"].endswith(record["name"])


# The three rehearsals, each of them stopped on its way


def test_the_step_of_gpt2_small_when_its_command_is_killed(place, tmp_path):
    out = tmp_path / "out"
    killed = begin(place, "--rehearse", "--out", out, "gpt2-small-step")
    until(lambda: "tf32" in (out / "steps.json").read_text(), killed, out / "steps.json")
    killed.kill()
    killed.communicate()
    kept = checkpoint.read_json(out / "steps.json")
    record = rehearse(place, out, "gpt2-small-step")
    told(record)
    steps = record["figures"]["steps"]
    assert tuple(steps) == gpu.LADDER
    for change in kept.keys() - {"rate"}:
        assert steps[change].items() >= kept[change].items()  # measured once
    for row in steps.values():
        tokens = row["rows"] * record["training"]["context"]
        rate = row["tokens_per_second"]
        assert rate == pytest.approx(tokens / row["milliseconds"] * 1000, rel=0.01)
        share = row["flops"] / record["figures"]["matrix_rate"]
        assert row["share_of_matrix_rate"] == pytest.approx(share, rel=0.01)
    assert [row["rows"] for row in steps.values()] == [2] * 6 + [8]
    assert "holds a whole record" in run(
        place, "--rehearse", "--out", out, "gpt2-small-step", status=1
    )


def test_the_story_when_its_time_is_over(place, tmp_path, monkeypatch):
    out = tmp_path / "out"
    over = run(place, "--rehearse", "--minutes", "0", "--out", out, "story-gpu", status=75)
    assert "The time is over, and what is done is kept: give the same command again" in over
    assert checkpoint.load(out / "run" / "last.safetensors")[1]["step"] == 13
    record = rehearse(place, out, "story-gpu")
    told(record)
    assert record["training"]["compile"] and record["training"]["precision"] == "bfloat16"
    assert [point["step"] for point in record["curve"]] == [12, 24]
    assert record["figures"]["above_floor"] > 0 and len(record["samples"]) == 3
    assert record["figures"]["tokens_per_second"] > 0 and record["by_distance"]
    # What would be copied to records/ is read as any record is.
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    model, _ = records.load("out")
    assert model.num_parameters() == record["figures"]["parameters"]


def test_shakespeare_when_its_time_is_over(place, tmp_path):
    out = tmp_path / "out"
    given = ("--nanogpt", place / "nanoGPT", "--shakespeare", place / "plays.txt")
    over = run(
        place, "--rehearse", "--minutes", "0", "--out", out, *given, "shakespeare-gpu", status=75
    )
    assert "give the same command again. (nanoGPT's prepare.py)" in over
    record = rehearse(place, out, *given, "shakespeare-gpu")
    told(record)
    tried = {side: len(tries) for side, tries in record["tried"].items()}
    assert tried == {"nanoGPT": 3, "modern": 2}
    assert list(record["figures"]) == ["nanoGPT", "modern, 8 steps", "modern, 12 steps"]
    for row in record["figures"].values():
        assert 0 < row["valid_loss"] < 10
    assert record["seconds_per_step"]["modern"] > 0
    assert record["nanogpt"]["commit"] is None and len(record["nanogpt"]["sha256"]) == 64


def until(there, process, path):
    """Wait until something is in a file, while the process runs."""
    while not (path.exists() and there()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


# What is asked for wrongly


@pytest.fixture
def asked(monkeypatch, tmp_path, capsys):
    """Give the command in this process: what it ends with, and what it prints."""
    monkeypatch.setattr(command, "KEPT", tmp_path / "runs")
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TINYGPT_CACHE", str(tmp_path / "cache"))

    def ask(*arguments):
        monkeypatch.setattr(sys, "argv", ["records", *map(str, arguments)])
        try:
            command.main()
        except SystemExit as end:
            return end.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return ask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gpt3"], "There is no run 'gpt3': choose among distance, "),
        (["story-gpu"], "story-gpu needs a GPU, and PyTorch finds none here. With --rehearse it"),
        (["shakespeare-laptop"], "shakespeare-laptop runs beside nanoGPT: git clone https://"),
        (["--rehearse", "shakespeare-gpu"], "shakespeare-gpu runs beside nanoGPT: git clone"),
        (["--rehearse", "gpt"], "gpt needs no GPU: run it. For a GPU are gpt2-small-step, story-"),
        (
            ["--rehearse", "--out", f"{__file__}/x", "gpt2-small-step"],
            "begun.json cannot be written (",
        ),
        (["--rehearse", "--nanogpt", "nowhere", "shakespeare-gpu"], "nowhere is not nanoGPT: git"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_what_cannot_be_is_said_in_a_line(asked, arguments, message):
    said, _ = asked(*arguments)
    assert message in said and "\n" not in said


def test_two_runs_have_two_folders(asked):
    status, printed = asked("--rehearse", "--out", "x", "gpt2-small-step", "story-gpu")
    assert status == 2 and "--out takes one NAME" in printed.err


def work(job):
    """A run that needs no time."""
    return {"figures": {"answer": 42}, "device": job.device}


def test_a_folder_goes_on_with_what_it_was_begun_for_only(asked, monkeypatch, tmp_path):
    monkeypatch.setitem(command.KNOWN, "gpt", work)
    checkpoint.write_json(tmp_path / "begun.json", {"name": "scaling"})
    said, _ = asked("--out", tmp_path, "gpt")
    assert f"{tmp_path} was begun otherwise, as {tmp_path / 'begun.json'} says" in said


def test_a_whole_record_goes_where_the_chapters_look(asked, monkeypatch, tmp_path):
    monkeypatch.setitem(command.KNOWN, "gpt", work)
    status, printed = asked("--commit", "0123abc", "gpt")
    assert (status, printed.out) == (0, "gpt {'answer': 42}\n")
    record = records.read("gpt")
    assert record["command"] == "python -m tools.records gpt" and record["commit"] == "0123abc"
    assert record["what"] == "A run that needs no time." and record["device"] == "cpu"
    assert not (tmp_path / "runs" / "record-gpt").exists()


def test_data_are_made_before_the_time_of_a_gpu(asked, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(train, "prepare", lambda config: made.append(config.size))
    status, printed = asked("--prepare", "story-gpu", "gpt2-small-step")
    assert status == 0 and made == ["100MB"]
    assert printed.out.splitlines() == [
        f"story-gpu needs what is now in {tmp_path / 'cache'}.",
        "gpt2-small-step needs no data.",
    ]


def test_a_copy_without_history_has_no_commit(tmp_path):
    assert records.commit(tmp_path) is None
    assert records.commit(ROOT / "tools") is None  # not that of a folder above
    if (ROOT / ".git").exists():
        assert len(records.commit()) == 40


# What is measured


def test_rows_that_do_not_fit_are_a_line_of_the_table(tmp_path, monkeypatch):
    def measure(work, times, device, warm_up=0):
        if device.type == "cpu" and work.__name__ == "once" and len(seen) == 6:
            raise torch.OutOfMemoryError
        return 0.5

    seen = []
    monkeypatch.setattr(gpu, "timed", measure)
    monkeypatch.setattr(checkpoint, "write_json", lambda path, done: seen.append(path))
    found = gpu.gpt2_small_step(Job("gpt2-small-step", tmp_path, rehearsal=True))
    steps = found["figures"]["steps"]
    assert steps["four times the rows"] == {"rows": 8, "out_of_memory": True}
    assert steps["fused AdamW"]["milliseconds"] == 500


@pytest.mark.parametrize(("best", "taken"), [(1.0, [0.5, 1, 2]), (0.2, [0.125, 0.25, 0.5, 1, 2])])
def test_a_search_goes_on_until_the_best_rate_has_a_worse_one_on_either_side(best, taken):
    def result(one):
        return {"rate": one.rate, "valid_loss": abs(one.rate - best) if one.rate < 2 else None}

    plan = Plan([], None, {"modern": (8, 12)}, (), {"modern": (0.5, 1.0, 2.0)})
    tries = Beside.search(SimpleNamespace(plan=plan, result=result), "modern", "linear to 0")
    assert [one["rate"] for one in tries] == taken


def test_neither_side_pays_for_compiling(tmp_path, monkeypatch):
    """A clock of our own: nanoGPT starts in 100 s, later in 10 to 12, ours takes 100 for step 1."""
    plan = shakespeare.rehearsed(Plan([], train.configure("shakespeare-gpu"), {}, (), {}))
    text = storyland.text(1, 30_000)
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    (tmp_path / "train.py").write_text(NANOGPT["train.py"], encoding="utf-8")
    beside = Beside(Job("shakespeare-gpu", tmp_path), tmp_path / "text.txt", tmp_path, plan)
    beside.work, now, starts = tmp_path, [0.0], iter([100.0, 10.0, 12.0])

    def ran(work, call, device, left):
        return next(starts) if call[-1] == "--max_iters=0" else 11.0 + 3 * 8

    def learn(*_, steps, **__):
        for step in range(steps):
            now[0] += 2 if step else 100
            yield step, torch.tensor(1.0), None

    monkeypatch.setattr(shakespeare, "command", ran)
    monkeypatch.setattr(shakespeare, "clock", lambda device: now[0])
    monkeypatch.setattr(shakespeare, "peer_loss", lambda *_: (1, float("nan")))
    monkeypatch.setattr(torch, "load", lambda *_, **__: {"iter_num": 8})
    monkeypatch.setattr(train, "learn", learn)
    for rate in (0.001, 0.002):  # the start is measured once a command
        theirs = beside.theirs(Try("nanoGPT", rate, "linear to 0", 8))
        assert theirs == {"parameters": 1, "seconds": 24.0, "valid_loss": None}
    assert beside.ours(Try("modern", 1.0, "linear to 0", 8))["seconds"] == 16.0


def test_a_changed_nanogpt_is_refused():
    with pytest.raises(AssertionError, match="take another commit"):
        shakespeare.changed("torch.manual_seed(1)", Try("nanoGPT", 1.0, "linear to 0", 8))


def test_tokens_a_second_leave_out_compiling_looking_and_saving(tmp_path, monkeypatch):
    """A clock of our own: a second a step, a hundred where a process compiles, looks or saves."""
    now, compiles = {"seconds": 0.0, "cpu_seconds": 0.0}, [True]
    forward = train.NextToken.forward

    def step(self, rows):
        now["seconds"] += 100 if compiles[0] else 1
        compiles[0] = False
        return forward(self, rows)

    def slow(work):
        def done(*arguments):
            now["seconds"] += 100
            return work(*arguments)

        return done

    def stop(point, model):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(train.run, "_clocks", lambda: dict(now))
    monkeypatch.setattr(train.NextToken, "forward", step)
    monkeypatch.setattr(train.run, "bits_per_char", slow(train.bits_per_char))
    monkeypatch.setattr(checkpoint, "save", slow(checkpoint.save))
    monkeypatch.setenv("TINYGPT_CACHE", str(tmp_path / "cache"))
    config = train.configure("smoke", out=tmp_path / "run", steps=60, device="cpu", every=20)
    with pytest.raises(KeyboardInterrupt):
        train.train(config, watch=stop)
    compiles[0] = True  # the process that goes on compiles anew
    record = train.train(replace(config, resume=True))
    assert record["figures"]["tokens_per_second"] == config.batch_size * config.model.context
    assert record["seconds"] > 60 + 2 * 100 + 3 * 100
