"""What a recorded run is told of where it is made, and until when."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinygpt import checkpoint


class Unfinished(Exception):
    """The time asked for is over. What is done is kept; the message says what is to come."""


@dataclass(frozen=True)
class Job:
    """A recorded run as it is to be made here, and goes on if it was stopped."""

    name: str
    out: Path  # what is done is kept there, in a few files: not every machine sends back many
    device: str = "cpu"
    rehearsal: bool = False  # the same code at tiny size, so that it has run before a GPU is there
    ends: float = math.inf  # when the time asked for is over, by time.monotonic()

    @property
    def fast(self) -> bool:
        """Whether a model is compiled and computes in bfloat16: on a GPU, and to rehearse that."""
        return self.device == "cuda" or self.rehearsal

    def left(self) -> float:
        """Seconds until the time asked for is over."""
        return self.ends - time.monotonic()

    def check(self, what: str) -> None:
        """Unfinished, with what is to come, where no time is left."""
        if self.left() <= 0:
            raise Unfinished(what)


def once(folder: Path, run: dict, make: Callable[[], dict]) -> dict:
    """What `make()` gives, kept in `folder` under what `run` says of it: it is made once."""
    digest = hashlib.sha256(json.dumps(run).encode()).hexdigest()[:16]
    path = folder / f"{digest}.json"
    if not path.exists():
        checkpoint.write_json(path, make())
    return checkpoint.read_json(path)
