"""tinygpt.budget(): one dial for size, set by what the machine has or by the reader."""

import os
import subprocess
import sys

import pytest
import torch

import tinygpt


@pytest.fixture(autouse=True)
def no_setting(monkeypatch):
    monkeypatch.delenv("TINYGPT_BUDGET", raising=False)


def pretend(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "laptop"), (True, False, "gpu"), (False, True, "gpu")],
)
def test_follows_what_torch_finds(monkeypatch, cuda, mps, expected):
    pretend(monkeypatch, cuda, mps)
    assert tinygpt.budget() == expected


@pytest.mark.parametrize("chosen", ["laptop", "gpu"])
@pytest.mark.parametrize("has_gpu", [False, True])
def test_the_setting_wins_over_the_hardware(monkeypatch, chosen, has_gpu):
    pretend(monkeypatch, cuda=has_gpu, mps=False)
    monkeypatch.setenv("TINYGPT_BUDGET", chosen)
    assert tinygpt.budget() == chosen


def test_an_empty_setting_is_no_setting(monkeypatch):
    pretend(monkeypatch, cuda=False, mps=False)
    monkeypatch.setenv("TINYGPT_BUDGET", "")
    assert tinygpt.budget() == "laptop"


def test_a_wrong_setting_says_in_one_line_what_to_do(monkeypatch):
    monkeypatch.setenv("TINYGPT_BUDGET", "GPU")
    with pytest.raises(tinygpt.BudgetError) as error:
        tinygpt.budget()
    message = "TINYGPT_BUDGET is 'GPU'; set it to laptop or gpu, or unset it"
    assert str(error.value) == message
    assert error.value._render_traceback_() == [message]


def test_importing_tinygpt_does_not_import_torch():
    code = "import sys, tinygpt; sys.exit('torch' in sys.modules)"
    paths = os.pathsep.join(path for path in sys.path if path)
    env = os.environ | {"PYTHONPATH": paths}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
