"""Optimisers, which parameters each of them sets, and the learning rate over time.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) sets the
matrices inside the blocks: it makes all singular values of a step nearly equal. AdamW sets the
rest: embeddings, output head, and vectors.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

NAMES = ("muon", "adamw")
SHAPES = ("linear", "cosine", "stable-linear")


class Muon(torch.optim.Muon):
    """`torch.optim.Muon`, but in float32 on a CPU.

    torch's works in bfloat16, which is 15 times slower than float32 on processors that lack
    instructions for it, and as fast on those that have them.
    """

    @torch.no_grad()
    def step(self, closure=None):
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._set(p, **group)
        return loss

    def _set(
        self, p, lr, momentum, nesterov, weight_decay, ns_coefficients, ns_steps, eps, **others
    ):
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        mean = state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
        update = p.grad.lerp(mean, momentum) if nesterov else mean
        update = orthogonal(update, ns_coefficients, ns_steps, eps)
        # A tall matrix takes a longer step: each of its outputs then moves as far.
        longer = math.sqrt(max(1, p.shape[0] / p.shape[1]))
        p.mul_(1 - lr * weight_decay).add_(update, alpha=-lr * longer)


def orthogonal(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float):
    """(n, m) with its singular values moved to nearly 1, by steps of Newton and Schulz."""
    if len(x) > len(x.T):
        return orthogonal(x.T, coefficients, steps, eps).T
    a, b, c = coefficients
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T  # (n, n)
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def make(
    model: nn.Module,
    name: Literal["muon", "adamw"] = "muon",
    *,
    learning_rate: float = 5e-3,
    matrix_learning_rate: float = 0.03,
    embedding_learning_rate: float | None = None,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    momentum: float = 0.9,
) -> list[Optimizer]:
    """The optimisers of a model: AdamW for all of it, or Muon and AdamW.

    `matrix_learning_rate` and `momentum` are Muon's. `embedding_learning_rate` is that of
    embeddings and all that is tied to them; None: `learning_rate`. Weight decay pulls on every
    matrix, and on no vector.
    """
    if name not in NAMES:
        raise ValueError(f"There is no optimiser {name!r}: choose {' or '.join(NAMES)}.")
    embedded = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    parts = {"blocks": [], "embeddings": [], "matrices": [], "vectors": []}
    for path, p in model.named_parameters():
        if id(p) in embedded:
            parts["embeddings"].append(p)
        elif p.ndim < 2:
            parts["vectors"].append(p)
        else:
            hidden = name == "muon" and p.ndim == 2 and "blocks." in path
            parts["blocks" if hidden else "matrices"].append(p)
    rates = {"embeddings": embedding_learning_rate or learning_rate}
    groups = [
        {
            "params": parts[part],
            "lr": rates.get(part, learning_rate),
            "weight_decay": 0.0 if part == "vectors" else weight_decay,
        }
        for part in ("embeddings", "matrices", "vectors")
        if parts[part]
    ]
    fused = all(p.device.type in ("cpu", "cuda", "mps") for p in model.parameters())
    made = [AdamW(groups, betas=betas, fused=fused)]
    if name == "muon":
        if not parts["blocks"]:
            raise ValueError("Muon sets the matrices inside `blocks`, and this model has none.")
        settings = {"lr": matrix_learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        made.append(Muon(parts["blocks"], **settings))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]  # torch's own name for it
    return made


def schedule(
    step: int,
    steps: int,
    warm_up: int = 50,
    shape: Literal["linear", "cosine", "stable-linear"] = "linear",
    decay: float = 0.5,
) -> float:
    """By what to multiply the learning rates at step 0, 1 ... steps - 1.

    It rises on a line over `warm_up` steps; whatever the shape then allows bounds it: a line from 1
    to 0, half a cosine, or 1 until the last `decay` part of the steps, which is a line to 0.
    """
    left = 1 - step / steps
    if shape == "linear":
        most = left
    elif shape == "cosine":
        most = (1 - math.cos(math.pi * left)) / 2
    elif shape == "stable-linear":
        most = min(1.0, left / decay)
    else:
        raise ValueError(f"There is no schedule {shape!r}: choose {' or '.join(SHAPES)}.")
    return min((step + 1) / max(warm_up, 1), most)


def scale(optimisers: list[Optimizer], factor: float) -> None:
    """Set each learning rate to `factor` times what it was made with."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor
