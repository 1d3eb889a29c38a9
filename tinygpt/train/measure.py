"""What a model pays for texts: nats a token, bits a character."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt.data import Texts
from tinygpt.model import GPT
from tinygpt.train.loop import guesses, nats_of

CHUNK = 32  # texts evaluated at a time, where nothing else is said


@torch.no_grad()
def log_probs(model: nn.Module, texts: Texts, rows: int = CHUNK) -> list[Tensor]:
    """For each text ln P of each of its tokens given those before it in the text: nats, (T,).

    `rows` texts are computed at a time.
    """
    model.eval()
    device = next(model.parameters()).device
    lengths = texts.lengths(torch.arange(len(texts))).tolist()
    found = []
    for which in torch.arange(len(texts)).split(rows):
        longest = max(lengths[i] for i in which)
        ids = texts.rows(which, longest + 1).to(device)
        nats = nats_of(model, ids).float().cpu()  # (B, T); a text does not see what follows it
        found += [-row[: lengths[i]] for row, i in zip(nats, which, strict=True)]
    return found


def bits_per_char(model: nn.Module, texts: Texts, rows: int = CHUNK) -> float:
    """Bits a character over all the texts, their newlines included; `rows` of them at a time."""
    nats = -sum(one.sum(dtype=torch.float64).item() for one in log_probs(model, texts, rows))
    return nats / texts.num_chars / math.log(2)


@torch.no_grad()
def masked_bits(model: GPT, texts: Texts, rows: int = CHUNK) -> tuple[float, float]:
    """What an encoder pays for the tokens hidden from it, in bits each, and the share of them that
    it finds; `rows` texts at a time. Which are hidden depends on the texts alone."""
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    nats, right, count = 0.0, 0, 0
    for which in torch.arange(len(texts)).split(rows):
        lengths = texts.lengths(which)
        ids = texts.rows(which, int(lengths.max()) + 1)[:, 1:]  # (B, T)
        ids = ids.masked_fill(torch.arange(ids.shape[1]) >= lengths[:, None], -1).to(device)
        logits, targets = guesses(model, ids, generator)
        nats += F.cross_entropy(logits.double(), targets, reduction="sum").item()
        right += (logits.argmax(dim=1) == targets).sum().item()
        count += len(targets)
    return nats / count / math.log(2), right / count
