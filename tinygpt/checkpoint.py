"""Files that are whole or not there: a checkpoint is one safetensors file, tensors and JSON."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tinygpt.errors import PlainError


class CheckpointError(PlainError, ValueError):
    """A file that cannot be written or read. The message is one line."""


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, and give it that name once it is on the disk.

    Whenever the process is killed, `path` is the old file or the new one.
    """
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror or error}).") from None
    finally:
        with contextlib.suppress(OSError):  # it never came to be
            part.unlink()


def save(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Store tensors by name, and what JSON can hold about them, in place of an earlier file."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    metadata = {"about": json.dumps(about)}
    atomically(path, lambda part: save_file(tensors, part, metadata=metadata))


def load(path: Path) -> tuple[dict[str, Tensor], dict]:
    """What `save` stored. The tensors lie in the file, and are read where they are looked at."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return tensors, json.loads(file.metadata()["about"])
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist.") from None
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is no checkpoint of ours ({error}).") from None


def digest(*paths: Path) -> str:
    """What changes whenever the content of one of the files does."""
    whole = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def write_json(path: Path, content: dict) -> None:
    """Store JSON as a text file, in place of an earlier one."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    atomically(path, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))


def read_json(path: Path) -> dict:
    """What `write_json` stored."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from None
