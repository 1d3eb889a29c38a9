"""Training on pairs of texts: what is given, and what the model is to say to it.

    <newline> There was a ... <newline> Who led at first? <newline> the sheep <newline>
    `--------------------- given --------------------------------'`------ said -----'

The model reads all of it and pays for what it says. A token that is only given stands in a row as
-2 - id, and -1 is padding: both are negative, and the loop counts what is not as predicted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Optimizer
from tqdm import tqdm

from tinygpt import optim
from tinygpt.generate import generate
from tinygpt.model import GPT
from tinygpt.tokenizer import BPETokenizer, CharTokenizer, HFTokenizer
from tinygpt.train.loop import learn, nats_of, predicted

Tokenizer = BPETokenizer | CharTokenizer | HFTokenizer


def prompt(input: str) -> str:
    """The input as the model reads it: between newlines, which end what is before them."""
    return "\n" + input.removesuffix("\n") + "\n"


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts as rows of ids, and which of them each step trains on: every one once, in a
    random order, then all once more."""

    rows: list[Tensor]  # each (T + 1,): given tokens as -2 - id, then what is said
    batch_size: int
    seed: int = 0

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[str, str]],
        tokenizer: Tokenizer,
        batch_size: int,
        *,
        seed: int = 0,
        given_too: bool = False,
    ) -> "Pairs":
        """From (input, output): what is said ends with a newline. With `given_too` what is given is
        predicted as well.

        Raises ValueError for an output that holds a newline, and where there are fewer pairs than
        make a batch.
        """
        rows = []
        for input, output in pairs:
            if "\n" in output:
                raise ValueError(f"an output is one line, and this is more: {output!r}")
            given = torch.tensor(tokenizer.encode(prompt(input)))
            said = torch.tensor(tokenizer.encode(output + "\n"))
            rows.append(torch.cat([given if given_too else -2 - given, said]))
        if len(rows) < batch_size:
            raise ValueError(
                f"there are {len(rows)} pairs and batch_size is {batch_size}: give more pairs or a "
                "smaller batch_size"
            )
        return cls(rows, batch_size, seed)

    def __call__(self, step: int) -> Tensor:
        """(batch_size, T + 1): the rows of a step, padded with -1."""
        epoch, batch = divmod(step, len(self.rows) // self.batch_size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        which = order[batch * self.batch_size :][: self.batch_size]
        return pad_sequence([self.rows[i] for i in which], batch_first=True, padding_value=-1)


class Said(nn.Module):
    """The mean loss of a model on what is said in rows of `Pairs`: nats a token."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) -> a number."""
        return nats_said(self.model, rows).sum() / predicted(rows)


def nats_said(model: nn.Module, rows: Tensor) -> Tensor:
    """-ln P of each token of rows (B, T + 1) but the first: (B, T), 0 for what is not said."""
    nats = nats_of(model, torch.where(rows < -1, -2 - rows, rows))
    return nats * (rows[:, 1:] >= 0)


def tune(
    model: nn.Module,
    pairs: Pairs,
    *,
    steps: int,
    learning_rate: float = 1e-3,
    warm_up: int = 20,
    optimisers: list[Optimizer] | None = None,
    progress: bool = False,
) -> list[float]:
    """Train on pairs; the loss of each step, in nats a token that is said.

    AdamW with weight decay on matrices only, unless `optimisers` (`optim.make`) are given. The
    learning rate rises over `warm_up` steps and then falls on a line to 0. Only parameters that
    require a gradient move.
    """
    if optimisers is None:
        optimisers = optim.make(model, "adamw", learning_rate=learning_rate)
    schedule = lambda step: optim.schedule(step, steps, warm_up)  # noqa: E731
    done = learn(Said(model), optimisers, pairs, schedule, steps=steps, seed=pairs.seed)
    losses = [loss.item() for _, loss, _ in tqdm(done, total=steps, disable=not progress)]
    model.eval()
    return losses


def say(
    model: GPT,
    tokenizer: Tokenizer,
    inputs: Sequence[str],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
    **decoding,
) -> list[str]:
    """What the model says to each input, up to its newline: the most probable, token for token,
    unless a temperature is given. `decoding` are settings of `generate`."""
    prompts = [tokenizer.encode(prompt(input)) for input in inputs]
    (newline,) = tokenizer.encode("\n")
    # Those of a like length together: a batch reads as far as its longest.
    order, said = sorted(range(len(prompts)), key=lambda i: len(prompts[i])), {}
    device = next(model.parameters()).device
    for first in range(0, len(order), batch_size):
        which = order[first : first + batch_size]
        rows = [torch.tensor(prompts[i]) for i in which]
        ids = pad_sequence(rows, batch_first=True, padding_value=-1).to(device)
        new = generate(
            model, ids.clamp(min=0), max_new_tokens,
            temperature=temperature, stop=newline, keep=ids >= 0, generator=generator, **decoding,
        )  # fmt: skip
        for i, row in zip(which, new.tolist(), strict=True):
            said[i] = tokenizer.decode(row).partition("\n")[0]
    return [said[i] for i in range(len(prompts))]
