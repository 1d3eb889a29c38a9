"""A language model with a fixed window: embeddings, two layers and the output head.

In the manner of Bengio, Ducharme, Vincent and Jauvin, "A Neural Probabilistic Language Model",
JMLR 3, 2003: the embeddings of the last T tokens, side by side, go through one hidden layer. Here
a second layer brings them down to a state h of width d, so that every token shares d directions:

    P(w_t | the T tokens before) = softmax(W_o h_t + b_o)

B is the batch size, T the context, d = d_model, V = vocab_size.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from tinygpt.errors import PlainError

CHUNK = 4096  # windows evaluated at a time
WARM_UP = 50  # steps


class MLPError(PlainError, ValueError):
    """A size or a tensor that does not fit the model. The message is one line."""


@dataclass(frozen=True)
class MLPConfig:
    vocab_size: int
    context: int  # T, the tokens it sees
    d_model: int = 64  # d, the width of an embedding and of the state h
    hidden: int = 512  # width between the two layers

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise MLPError(f"{name} is {value!r}: give a whole number, 1 or more.")


class MLP(nn.Module):
    """Logits of the next token from the last `context` tokens.

    Before training the output head is zero: every token gets 1/V, and the loss is ln V.
    """

    def __init__(self, config: MLPConfig):
        super().__init__()
        self.config = config
        T, d, hidden = config.context, config.d_model, config.hidden
        self.embedding = nn.Embedding(config.vocab_size, d)
        self.up = nn.Linear(T * d, hidden)
        self.down = nn.Linear(hidden, d)
        self.output = nn.Linear(d, config.vocab_size)  # W_o and b_o
        # Small, so that what training adds to a row soon outweighs what chance put there.
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.normal_(self.up.weight, std=(T * d) ** -0.5)
        nn.init.normal_(self.down.weight, std=hidden**-0.5)
        nn.init.zeros_(self.output.weight)
        for layer in (self.up, self.down, self.output):
            nn.init.zeros_(layer.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T), integers -> logits (B, V)."""
        if ids.ndim != 2 or ids.shape[1] != self.config.context:
            raise MLPError(
                f"ids has shape {tuple(ids.shape)}: this model takes (batch, "
                f"{self.config.context}), the {self.config.context} tokens before each target."
            )
        x = self.embedding(ids).flatten(1)  # (B, T, d) -> (B, T d)
        h = self.down(F.relu(self.up(x)))  # (B, hidden) -> (B, d)
        return self.output(h)  # (B, V)


def windows(ids: Sequence[int] | Tensor, context: int, pad_id: int) -> Tensor:
    """(T,) ids -> (T, context + 1): for each token the `context` before it, then the token itself.

    `pad_id` stands before the first. The result is a view, and takes no memory of its own.
    """
    ids = torch.as_tensor(ids)
    if ids.ndim != 1 or not len(ids):
        raise MLPError(f"ids has shape {tuple(ids.shape)}: give the ids of one text, in a row.")
    return torch.cat([ids.new_full((context,), pad_id), ids]).unfold(0, context + 1, 1)


def fit(
    model: MLP,
    ids: Sequence[int] | Tensor,
    pad_id: int,
    *,
    steps: int,
    batch_size: int = 256,
    learning_rate: float = 0.01,
    seed: int = 0,
    progress: bool = False,
) -> list[float]:
    """Train on random windows of a text with AdamW; returns the loss of each step, in nats a token.

    The learning rate rises over the first 50 steps and then falls on a line to 0.
    """
    rows = windows(ids, model.config.context, pad_id)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters())
    losses = []
    for step in tqdm(range(steps), disable=not progress, unit="step"):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min((step + 1) / WARM_UP, 1 - step / steps)
        picked = torch.randint(len(rows), (batch_size,), generator=generator)
        batch = rows[picked].to(device)  # (B, T + 1)
        loss = F.cross_entropy(model(batch[:, :-1]), batch[:, -1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def log_probs(model: MLP, ids: Sequence[int] | Tensor, pad_id: int) -> Tensor:
    """ln P of each token of a text given those before it: (T,) nats, on the CPU."""
    device = next(model.parameters()).device
    chunks = []
    for rows in windows(ids, model.config.context, pad_id).split(CHUNK):
        rows = rows.to(device)
        chunks.append(-F.cross_entropy(model(rows[:, :-1]), rows[:, -1], reduction="none").cpu())
    return torch.cat(chunks)


def bits_per_char(model: MLP, ids: Sequence[int] | Tensor, num_chars: int, pad_id: int) -> float:
    """Bits a character on a text of `num_chars` characters, given as `ids`."""
    if num_chars < 1:
        raise MLPError(f"num_chars is {num_chars}: give the length of the text in characters.")
    nats = -log_probs(model, ids, pad_id).sum(dtype=torch.float64).item()
    return nats / num_chars / math.log(2)
