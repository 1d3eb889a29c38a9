"""tinygpt.checkpoint: files that are whole or not there."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from tinygpt import checkpoint
from tinygpt.checkpoint import CheckpointError


def test_tensors_and_json_come_back(tmp_path):
    path = tmp_path / "new" / "one.safetensors"
    tensors = {"a": torch.arange(6).view(2, 3).T, "b": torch.tensor(1.5)}
    checkpoint.save(path, tensors, {"step": 3, "curve": [{"loss": 0.1}]})
    found, about = checkpoint.load(path)
    assert found.keys() == tensors.keys() and about == {"step": 3, "curve": [{"loss": 0.1}]}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert os.listdir(path.parent) == [path.name]


KILLED = """
import os, signal, sys
from pathlib import Path
from tinygpt import checkpoint
def write(part):
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
checkpoint.atomically(Path(sys.argv[1]), write)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_killed_as_it_writes_leaves_the_old_file(tmp_path):
    path = tmp_path / "one.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, {"step": 1})
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2  # the old file, and what was begun
    assert checkpoint.load(path)[1] == {"step": 1}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "one.json"
    checkpoint.write_json(path, {"a": 1})

    def full(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="one.json cannot be written .No space left"):
        checkpoint.atomically(path, full)
    assert os.listdir(tmp_path) == ["one.json"] and checkpoint.read_json(path) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"no safetensors", None])
def test_a_file_of_another_kind_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "one.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match="one.safetensors (is no checkpoint|does not exist)"):
        checkpoint.load(path)
