"""tinygpt.plan: operations against PyTorch's counter, bytes against its memory, the command."""

import re

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tinygpt import plan
from tinygpt.__main__ import main
from tinygpt.config import TrainError, configure
from tinygpt.model import GPT, KVCache, preset
from tools.records.cost import allocated

SIZES = {"vocab_size": 90, "context": 40, "num_layers": 3, "num_heads": 4, "d_model": 32}
KINDS = {
    "gpt2": preset("gpt2", **SIZES),
    "modern": preset("modern", **SIZES),
    "shared keys": preset("modern", **SIZES | {"num_kv_heads": 2, "mlp_hidden": 56}),
    "a head of its own, and a table": preset("modern", **SIZES, tied=False, ngram_rows=50),
}
GIVEN = plan.Machine(flops=1e12, share=0.5, devices=4, watts=250.0, price=2.0)


def counted(work):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops()


def ids(length, rows=2):
    return torch.randint(90, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
def test_operations_of_training_are_those_that_pytorch_counts(config):
    loss, rows = plan.loss_of(config, GPT(config)), ids(31)
    count = counted(lambda: loss(rows).backward())
    assert count == pytest.approx(2 * 30 * plan.operations(config, 30), rel=1e-9)


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("length", "before"), [(30, 0), (1, 20)])
def test_operations_of_reading_are_those_that_pytorch_counts(config, length, before):
    model, cache = GPT(config).eval(), KVCache()
    with torch.no_grad():
        if before:
            model(ids(before), cache=cache)
        count = counted(lambda: model(ids(length), cache=cache, last_only=True))
    formula = 2 * length * plan.operations(config, length, "reading", before)
    assert count == pytest.approx(formula, rel=1e-9)


@pytest.mark.parametrize("copying", [True, False])
def test_what_is_nearly_right_is_within_two_percent(copying):
    config = preset("modern", **SIZES | {"d_model": 96, "vocab_size": 900}, copy_head=copying)
    loss, rows = plan.loss_of(config, GPT(config)), ids(41)
    count = counted(lambda: loss(rows).backward())
    assert count == pytest.approx(2 * 40 * plan.operations(config, 40), rel=0.02)


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
@pytest.mark.parametrize("name", ["story-base", "story-laptop", "story-bert", "smoke"])
def test_the_most_bytes_of_a_step_are_those_that_pytorch_takes(name, optimiser):
    config = configure(name).model
    parts = plan.memory(config, 4, 60, optimiser)
    model = GPT(config)
    loss, made = plan.loss_of(config, model), plan.optim.make(model, optimiser)
    rows = ids(61, rows=4)

    def step():
        loss(rows).backward()
        for one in made:
            one.step()
            one.zero_grad()

    step()
    held = parts["weights"] + parts["optimiser"]
    assert plan.peak(parts) == pytest.approx(held + allocated(step), rel=0.1)


def test_a_plan_for_a_machine_is_operations_by_its_rate():
    made = plan.plan(configure("gpt2-small"), GIVEN)
    assert made.tokens == 5000 * 64 * 1024
    assert made.seconds == pytest.approx(made.operations / 1e12 / 0.5 / 4)
    hours = made.seconds / 3600 * 4
    assert made.kilowatt_hours == pytest.approx(hours * 0.25)
    assert made.cost == pytest.approx(2 * hours)


def test_what_is_not_asked_for_is_not_said():
    machine = plan.Machine(flops=1e12)
    made = plan.plan(configure("smoke"), machine)
    assert made.kilowatt_hours is None and made.cost is None
    assert "kWh" not in plan.said("smoke", made, machine)


def test_a_measured_plan_is_steps_times_a_step(monkeypatch):
    ticks = iter(range(10_000))  # each call takes one second
    monkeypatch.setattr(plan, "SECONDS", 3.0)
    made = plan.plan(configure("smoke"), plan.Machine(), clock=lambda: next(ticks))
    assert made.seconds == 40 * (1 + 1)  # up and down, and the change


def test_fewer_rows_are_timed_where_a_step_is_large(monkeypatch):
    config = configure("smoke", batch_size=12)
    ticks = iter(range(10_000))
    monkeypatch.setattr(plan, "SECONDS", 3.0)
    monkeypatch.setattr(plan, "ENOUGH", 3 * 64 * plan.operations(config.model, 64))
    assert plan.pace(config, 64, lambda: next(ticks)) == 12 / 3 * 1 + 1


def test_rows_that_are_lines_have_the_length_of_the_text():
    length, tokens = plan.shape(configure("story-base"))
    assert 100 < length < 224 and tokens < 16 * length


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--share", "0.5"], "share and devices are for a machine that is not measured"),
        (["--devices", "8"], "share and devices are for a machine that is not measured"),
        (["--flops", "1e12", "--share", "2"], "share is 2.0: give a number above 0"),
        (["--flops", "0"], "flops is 0.0: give a number, more than 0."),
        (["--flops", "much"], "argument --flops: invalid float value"),
        (["--watts", "-3"], "watts is -3.0"),
        (["--devices", "0", "--flops", "1e12"], "devices is 0: give a whole number"),
        (["--preset", "story-giant"], "There is no preset 'story-giant'"),
        (["--preset", "gpt2-small", "--d-model", "12288"], "too many to time here: give flops"),
        (["--cross-attention"], "give cross_attention=False"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_mistake_gets_one_line(typed, said, capsys):
    assert main(["plan", *typed]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and said in error


def test_the_command_says_all_of_it(capsys):
    command = "plan --preset gpt2-small --flops 125e12 --share 0.2 --watts 330 --price 1"
    assert main(command.split()) == 0
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert words == ["model", "steps", "operations", "memory", "rate", "time", "energy", "cost"]


def test_the_command_measures_where_no_machine_is_given(capsys, monkeypatch):
    monkeypatch.setattr(plan, "SECONDS", 0.05)
    assert main(["plan", "--preset", "smoke"]) == 0
    out = capsys.readouterr().out
    assert "measured here, now" in out and re.search(r"^time +[\d.]+ seconds", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.512, "0.512 seconds"),
        (41.3, "41.3 seconds"),
        (720, "12 minutes"),
        (3.5 * 3600, "3.5 hours"),
        (14.8 * 86400, "14.8 days"),
        (1234 * 365.25 * 86400, "1,234 years"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_suits(seconds, said):
    assert plan.duration(seconds) == said


def test_a_model_too_large_is_not_timed():
    large = configure("gpt2-small")
    with pytest.raises(TrainError, match="share"):
        plan.pace(plan.replace(large, model=plan.replace(large.model, d_model=12288)), 1024)
