"""Texts as token ids: each text starts with the token that ends one, so that its first word too is
predicted from something.

    <newline> Once upon a time ... <newline> There was a ... <newline>
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tinygpt import checkpoint
from tinygpt.tokenizer import BPETokenizer, CharTokenizer


@dataclass(frozen=True)
class Texts:
    """Many texts behind one another, and where each begins."""

    ids: Tensor  # (N,), integers: an end token, then the texts, each with its own end token
    starts: Tensor  # (number of texts,): the place of the end token before each text
    num_chars: int  # of all texts together, for bits per character

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, which: Tensor, length: int) -> Tensor:
        """(B,) numbers of texts -> (B, length) ids from the start of each, into the next ones.

        The last texts run on into the first.
        """
        places = self.starts[which, None] + torch.arange(length)  # (B, length)
        return self.ids[places % len(self.ids)].long()

    def lengths(self, which: Tensor) -> Tensor:
        """(B,) numbers of texts -> how many tokens each has, its end token included."""
        ends = torch.cat([self.starts[1:], self.starts.new_tensor([len(self.ids) - 1])])
        return ends[which] - self.starts[which]

    def first(self, count: int, tokenizer: BPETokenizer | CharTokenizer) -> "Texts":
        """The first `count` of the texts, or all where there are fewer."""
        if count >= len(self):
            return self
        ids = self.ids[: self.starts[count] + 1].long()
        return Texts(ids, self.starts[:count], num_chars=len(tokenizer.decode(ids[1:])))


AT_ONCE = 20_000  # lines encoded at a time: as lists their ids take sixteen times the memory


def texts(lines: Sequence[str], tokenizer: BPETokenizer | CharTokenizer) -> Texts:
    """Texts that each end in a newline, as ids; ValueError where one does not."""
    for number, line in enumerate(lines):
        if not line.endswith("\n"):
            raise ValueError(f"text {number} ends in {line[-1:]!r}: a text must end in a newline")
    ids, lengths = [np.array(tokenizer.encode("\n"))], []
    for first in range(0, len(lines), AT_ONCE):
        some = lines[first : first + AT_ONCE]
        if isinstance(tokenizer, BPETokenizer):
            encoded = tokenizer.encode_batch(some)  # on all cores
        else:
            encoded = [tokenizer.encode(line) for line in some]
        ids.append(np.fromiter(chain.from_iterable(encoded), dtype=np.int64))
        lengths += map(len, encoded)
    lengths = torch.tensor(lengths)
    return Texts(
        ids=torch.from_numpy(np.concatenate(ids)),
        starts=lengths.cumsum(0) - lengths,
        num_chars=sum(map(len, lines)),
    )


def stream(text: str, tokenizer: BPETokenizer | CharTokenizer, context: int) -> Texts:
    """One long text as ids, cut into windows of `context` tokens that stand for texts.

    Each token but the first is predicted once, from those before it in its window.
    """
    ids = torch.tensor(tokenizer.encode(text))
    if len(ids) <= context:
        raise ValueError(
            f"the text has {len(ids)} tokens and the context is {context}: give a longer text or "
            "a smaller context"
        )
    first = len(tokenizer.decode(ids[:1]))
    return Texts(
        ids=ids,
        starts=torch.arange(0, len(ids) - 1, context),
        num_chars=len(text) - first,
    )


def save(path: Path, texts: Texts) -> None:
    """Store texts, their ids in 16 bits where the vocabulary allows it."""
    small = torch.uint16 if texts.ids.max() < 2**16 else torch.uint32
    tensors = {"ids": texts.ids.to(small), "starts": texts.starts}
    checkpoint.save(path, tensors, {"num_chars": texts.num_chars})


def load(path: Path) -> Texts:
    """Texts that `save` stored; they stay on the disk, and memory holds what is looked at."""
    tensors, about = checkpoint.load(path)
    return Texts(**tensors, **about)


ALIKE = 16  # batches whose texts are sorted by length, so that a batch has little padding


@dataclass(frozen=True)
class Draws:
    """Which rows each step trains on: every text once, in a random order, then all once more.

    The rows are a function of seed and step alone, so that a run can go on where it stopped, and
    so that several processes together see the rows that one would.

    A row starts where a text does and runs on into the next ones. With `alone` it ends with its
    text, texts of a like length make a batch, and -1 pads the shorter; those left over when a round
    is cut into batches wait for another.
    """

    texts: Texts
    length: int  # of a row, in tokens; with `alone` the most
    batch_size: int  # rows a step, of all processes together
    seed: int = 0
    shifted: bool = False  # move the starts each time round: for a stream cut into windows
    alone: bool = False

    def __post_init__(self):
        if self.alone and len(self.texts) < self.batch_size:
            raise ValueError(
                f"there are {len(self.texts)} texts and batch_size is {self.batch_size}: give more "
                "text or a smaller batch_size"
            )

    def __call__(self, step: int, rank: int = 0, world: int = 1) -> Tensor:
        """(batch_size / world, length) ids: what process `rank` of `world` trains on at `step`."""
        if self.alone:
            which = self._alike(step)[rank::world]
            lengths = self.texts.lengths(which).clamp(max=self.length - 1)
            rows = self.texts.rows(which, int(lengths.max()) + 1)
            return rows.masked_fill(torch.arange(rows.shape[1]) > lengths[:, None], -1)
        share = self.batch_size // world
        first = step * self.batch_size + rank * share
        places = torch.tensor([self._place(i) for i in range(first, first + share)])
        places = places[:, None] + torch.arange(self.length)  # (B, length)
        return self.texts.ids[places % len(self.texts.ids)].long()

    def tokens(self, step: int) -> int:
        """How many tokens are predicted at `step`."""
        if not self.alone:
            return self.batch_size * (self.length - 1)
        return int(self.texts.lengths(self._alike(step)).clamp(max=self.length - 1).sum())

    def _place(self, i: int) -> int:
        order, shift = _order(self.seed, i // len(self.texts), len(self.texts))
        place = self.texts.starts[order[i % len(self.texts)]].item()
        return place + (int(shift * self.length) if self.shifted else 0)

    def _alike(self, step: int) -> Tensor:
        """(batch_size,): the numbers of texts of a like length that make the batch at `step`."""
        batches = len(self.texts) // self.batch_size  # in a round
        epoch, batch = divmod(step, batches)
        first = batch - batch % ALIKE
        count = min(ALIKE, batches - first)
        order, _ = _order(self.seed, epoch, len(self.texts))
        which = order[first * self.batch_size : (first + count) * self.batch_size]
        which = torch.from_numpy(which)
        which = which[self.texts.lengths(which).argsort(stable=True)]
        random = np.random.default_rng([self.seed, epoch, first])
        return which.view(count, self.batch_size)[random.permutation(count)[batch - first]]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> tuple[np.ndarray, float]:
    """An order of `count` texts, and a shift from 0 to 1."""
    random = np.random.default_rng([seed, epoch])
    return random.permutation(count), random.random()


def onto(
    device: torch.device, batch: Callable[[int], Tensor], steps: Iterable[int]
) -> Iterator[Tensor]:
    """`batch(step)` for each of the steps in turn, on the device.

    While a GPU computes, a thread prepares the rows of the next step in memory that the GPU reads
    by itself, so it waits neither for them nor for the copy.
    """
    gpu = device.type == "cuda"
    made = ahead(lambda step: batch(step).pin_memory(), steps) if gpu else map(batch, steps)
    for rows in made:
        yield rows.to(device, non_blocking=gpu)


def ahead(make: Callable[[int], Tensor], steps: Iterable[int]) -> Iterator[Tensor]:
    """What `map(make, steps)` gives, the next made in a thread while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = None
        for step in steps:
            following = thread.submit(make, step)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
