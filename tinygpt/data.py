"""Texts as token ids: each text starts with the token that ends one, so that its first word too is
predicted from something.

    <newline> Once upon a time ... <newline> There was a ... <newline>
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinygpt.tokenizer import BPETokenizer, CharTokenizer


@dataclass(frozen=True)
class Texts:
    """Many texts behind one another, and where each begins."""

    ids: Tensor  # (N,), int64: an end token, then the texts, each with its own end token
    starts: Tensor  # (number of texts,): the place of the end token before each text
    num_chars: int  # of all texts together, for bits per character

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, which: Tensor, length: int) -> Tensor:
        """(B,) numbers of texts -> (B, length) ids from the start of each, into the next ones.

        The last texts run on into the first.
        """
        places = self.starts[which, None] + torch.arange(length)  # (B, length)
        return self.ids[places % len(self.ids)]


def texts(lines: Sequence[str], tokenizer: BPETokenizer | CharTokenizer) -> Texts:
    """Texts that each end in a newline, as ids; ValueError where one does not."""
    for number, line in enumerate(lines):
        if not line.endswith("\n"):
            raise ValueError(f"text {number} ends in {line[-1:]!r}: a text must end in a newline")
    (newline,) = tokenizer.encode("\n")
    encoded = [tokenizer.encode(line) for line in lines]
    lengths = torch.tensor([len(one) for one in encoded])
    return Texts(
        ids=torch.tensor([newline, *(i for one in encoded for i in one)]),
        starts=lengths.cumsum(0) - lengths,
        num_chars=sum(map(len, lines)),
    )
