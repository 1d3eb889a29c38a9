"""The loop that trains, and what it makes small: the loss."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from tinygpt import data, optim, parallel
from tinygpt.data import Texts
from tinygpt.model import GPT


class NextToken(nn.Module):
    """The mean loss of a model on rows of ids: nats a token; -1 is padding, which no one predicts.

    `dtype` is that of the model's matrix products, where it is not the weights' own.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype | None = None):
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) of ids -> a number."""
        with torch.autocast(rows.device.type, self.dtype, enabled=self.dtype is not None):
            return nats_of(self.model, rows).sum() / predicted(rows)


def nats_of(model: nn.Module, rows: Tensor) -> Tensor:
    """-ln P of each token of rows (B, T + 1) but the first: (B, T), 0 for padding."""
    ids, targets = rows[:, :-1].clamp(min=0), rows[:, 1:]
    if isinstance(model, GPT) and model.config.copy_head:  # it has a shorter way
        return model(ids, targets=targets)
    nats = F.cross_entropy(
        model(ids).flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return nats.view_as(targets)


def predicted(rows: Tensor) -> Tensor:
    """How many tokens of rows (B, T + 1) are to be predicted."""
    return (rows[:, 1:] >= 0).sum()


class Masked(nn.Module):
    """The mean loss of an encoder on tokens that are hidden from it: nats a hidden token.

    As BERT is trained (Devlin et al., 2019): 15 % of the tokens are asked for, drawn anew each
    time; of ten of these, eight are shown as the mask, one as another token, one as it is. The mask
    is the last token of the vocabulary, which no text holds. -1 is padding.
    """

    def __init__(self, model: GPT, dtype: torch.dtype | None = None):
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) of ids, of which the first belongs to the text before -> a number."""
        with torch.autocast(rows.device.type, self.dtype, enabled=self.dtype is not None):
            logits, targets = guesses(self.model, rows[:, 1:])
            return F.cross_entropy(logits, targets, reduction="sum") / max(len(targets), 1)


HIDDEN = 0.15  # of all tokens
SHOWN_AS = (0.8, 0.1)  # of these, by the mask and by another token; the rest stays


def guesses(
    model: GPT, ids: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Logits (N, vocab_size) at the N places of ids (B, T) that are asked for, and the N tokens
    that stand there."""
    mask, there = model.config.vocab_size - 1, ids >= 0

    def dice() -> Tensor:  # drawn where the generator is
        device = ids.device if generator is None else generator.device
        return torch.rand(ids.shape, generator=generator, device=device).to(ids.device)

    asked, die, other = there & (dice() < HIDDEN), dice(), (dice() * mask).long()
    seen = torch.where(asked & (die < sum(SHOWN_AS)), other, ids.clamp(min=0))
    seen = torch.where(asked & (die < SHOWN_AS[0]), mask, seen)
    states = model.hidden(seen, keep=None if there.all() else there)
    return model.head(states[asked]), ids[asked]


def learn(
    loss_of: nn.Module,
    optimisers: list[Optimizer],
    batch: Callable[[int], Tensor],
    factor: Callable[[int], float],
    *,
    steps: int,
    start: int = 0,
    seed: int = 0,
    clip: float = 1.0,
    micro_batch: int | None = None,
    place: parallel.Place | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Steps `start` to `steps` - 1, each one as it is done: its number, its loss, and the length of
    its gradient before clipping.

    `batch(step)` gives rows of ids, padded with -1, and for a GPU does so in another thread: it
    draws from generators of its own, if from any. At most `micro_batch` of them are computed at a
    time, and their gradients added, so that each token counts as much, in whichever piece and
    process it is. `factor(step)` is what the learning rates are multiplied by. A gradient longer
    than `clip` is shortened to it. Dropout depends on seed, step and the process alone.
    """
    parameters = list(loss_of.parameters())
    place = place or parallel.Place(parameters[0].device)
    ready = data.onto(parameters[0].device, batch, range(start, steps))
    for step in range(start, steps):
        loss_of.train()
        random = np.random.SeedSequence([seed, step, place.rank])
        torch.manual_seed(int(random.generate_state(1)[0]))
        optim.scale(optimisers, factor(step))
        rows = next(ready)
        tokens = place.mean(predicted(rows).to(parameters[0].dtype))  # of a process
        pieces = rows.split(micro_batch or len(rows))
        loss = 0.0
        for i, piece in enumerate(pieces):
            parallel.exchange(loss_of, now=i == len(pieces) - 1)
            part = loss_of(piece) * (predicted(piece) / tokens)
            part.backward()
            loss = loss + part.detach()
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        yield step, loss, norm


def fit(
    model: nn.Module,
    texts: Texts,
    *,
    context: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warm_up: int = 50,
    seed: int = 0,
    progress: bool = False,
    watch: Callable[[int, float], None] | None = None,
    optimisers: list[Optimizer] | None = None,
    schedule: Callable[[int], float] | None = None,
) -> list[float]:
    """Train on rows of `context` tokens that begin where texts begin; the loss of each step, in
    nats a token.

    AdamW with weight decay on matrices only. The learning rate rises over `warm_up` steps and then
    falls on a line to 0. `model` takes ids (B, T) and gives logits (B, T, vocab_size).
    `watch(step, loss)` is called after each step. Other `optimisers` (`optim.make`) and another
    `schedule`, from step to factor, take the place of these.
    """
    draw = torch.Generator().manual_seed(seed)

    def batch(step: int) -> Tensor:
        which = torch.randint(len(texts), (batch_size,), generator=draw)
        return texts.rows(which, context + 1)  # (B, T + 1)

    if optimisers is None:
        optimisers = optim.make(model, "adamw", learning_rate=learning_rate)
    if schedule is None:
        schedule = lambda step: optim.schedule(step, steps, warm_up)  # noqa: E731
    losses = []
    done = learn(NextToken(model), optimisers, batch, schedule, steps=steps, seed=seed)
    for step, loss, _ in tqdm(done, total=steps, disable=not progress, unit="step"):
        losses.append(loss.item())
        if watch:
            watch(step, losses[-1])
    model.eval()
    return losses
