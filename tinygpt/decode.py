"""From the logits of the next token to the token: what each way of decoding keeps, and the draw.

Each function takes logits (B, vocab_size) and returns logits; a token that it drops gets -inf. They
keep what the classes of `transformers` of the same names keep; where top_p there keeps any of
several equal tokens, it keeps the first here.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tinygpt.model import ModelError

SMALLEST = torch.finfo(torch.float32).tiny


def temperature(logits: Tensor, value: float) -> Tensor:
    """The logits divided by `value`, more than 0; below 1 the probable becomes more probable.

    The largest becomes 0 first, which changes no probability, and stays it at the lowest value.
    """
    logits = logits.float()
    return (logits - logits.amax(dim=-1, keepdim=True)) / max(value, SMALLEST)


def top_k(logits: Tensor, k: int) -> Tensor:
    """The k most probable tokens; with equals of the last of them, more.

    Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation", ACL 2018.
    """
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def top_p(logits: Tensor, p: float) -> Tensor:
    """The most probable tokens until their probabilities come to p, the one that reaches it
    included; of equals those with the smaller ids.

    Holtzman, Buys, Du, Forbes and Choi, "The Curious Case of Neural Text Degeneration", ICLR 2020.
    """
    falling, ids = logits.sort(dim=-1, descending=True, stable=True)
    rising, ids = falling.flip(-1), ids.flip(-1)
    dropped = rising.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    dropped[..., -1] = False
    return logits.masked_fill(dropped.scatter(-1, ids, dropped), -math.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """The tokens that are at least p times as probable as the most probable one.

    Nguyen, Baker, Neo, Roush, Kirsch and Shwartz-Ziv, "Turning Up the Heat: Min-p Sampling for
    Creative and Coherent LLM Outputs", ICLR 2025.
    """
    chances = logits.softmax(dim=-1)
    return logits.masked_fill(chances < p * chances.amax(dim=-1, keepdim=True), -math.inf)


def repetition_penalty(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """The logits of the tokens in seen (B, T) divided by `penalty`, or times it where negative.

    Keskar, McCann, Varshney, Xiong and Socher, "CTRL: A Conditional Transformer Language Model for
    Controllable Generation", 2019.
    """
    seen = seen.long()
    said = logits.gather(1, seen)
    return logits.scatter(1, seen, torch.where(said < 0, said * penalty, said / penalty))


@dataclass(frozen=True)
class Decoder:
    """How the next token is chosen; applied in the order repetition, temperature, top k, p, min p.

    ModelError, in one line, where a number makes no sense.
    """

    temperature: float = 1.0  # 0 takes the most probable token
    top_k: int | None = None  # draw from the k most probable tokens
    top_p: float | None = None  # draw from the most probable that come to this probability
    min_p: float | None = None  # draw from those that are at least so probable beside the best
    repetition_penalty: float = 1.0  # more than 1 makes what the text holds less probable

    def __post_init__(self):
        if not _number(self.temperature) or self.temperature < 0:
            raise ModelError(f"temperature is {self.temperature!r}: give a number, 0 or more.")
        if self.top_k is not None and (type(self.top_k) is not int or self.top_k < 1):
            raise ModelError(f"top_k is {self.top_k!r}: give a whole number, 1 or more.")
        if self.top_p is not None and not (_number(self.top_p) and 0 < self.top_p <= 1):
            raise ModelError(f"top_p is {self.top_p!r}: give a number, more than 0 and at most 1.")
        if self.min_p is not None and not (_number(self.min_p) and 0 <= self.min_p <= 1):
            raise ModelError(f"min_p is {self.min_p!r}: give a number from 0 to 1.")
        if not _number(self.repetition_penalty) or self.repetition_penalty <= 0:
            raise ModelError(
                f"repetition_penalty is {self.repetition_penalty!r}: give a number, more than 0."
            )

    def __call__(self, logits: Tensor, seen: Tensor) -> Tensor:
        """logits (B, vocab_size) after the tokens seen (B, T) -> those to draw from.

        At temperature 0 one token is left, the first of the most probable.
        """
        if self.temperature == 0:
            best = self.choose(logits, seen, None)[:, None]
            return torch.full_like(logits, -math.inf).scatter(-1, best, 0.0)
        logits = self._penalised(logits, seen)
        logits = temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = min_p(logits, self.min_p)
        return logits

    def choose(self, logits: Tensor, seen: Tensor, generator: torch.Generator | None) -> Tensor:
        """logits (B, vocab_size) after the tokens seen (B, T) -> one id a row, (B,)."""
        if self.temperature == 0:
            return self._penalised(logits, seen).argmax(dim=-1)
        return draw(self(logits, seen).softmax(dim=-1), generator)

    def _penalised(self, logits: Tensor, seen: Tensor) -> Tensor:
        if self.repetition_penalty == 1:
            return logits
        return repetition_penalty(logits.float(), seen, self.repetition_penalty)


def draw(chances: Tensor, generator: torch.Generator | None) -> Tensor:
    """One id a row, (B,), each as often as chances (B, vocab_size) say.

    As torch.multinomial draws one, bit for bit, but without its checks, which take most of its
    time. Of waiting times with means 1 / chance, the i-th is the shortest with the i-th chance.
    """
    return (chances / torch.empty_like(chances).exponential_(generator=generator)).argmax(dim=-1)


def _number(value: object) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)
