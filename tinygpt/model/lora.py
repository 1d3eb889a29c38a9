"""LoRA: a large matrix stays as it is, and a product of two small ones is trained beside it.

    W x + b   becomes   W x + b + (alpha / rank) B A x

A (rank, d_in) starts at random and B (d_out, rank) at zero, so a model begins as it was. Hu, Shen,
Wallis, Allen-Zhu, Li, Wang, Wang and Chen, "LoRA: Low-Rank Adaptation of Large Language Models",
ICLR 2022.

A target has the name of a matrix of the paper, as in published models. Here queries, keys and
values lie in one matrix, and so do the two of SwiGLU; each that is named has an A and a B for its
own rows.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt import checkpoint
from tinygpt.model.config import GPTConfig, ModelError
from tinygpt.model.gpt import GPT

# Which layer of a block holds the matrix.
TARGETS = {
    "q": "attention.qkv",
    "k": "attention.qkv",
    "v": "attention.qkv",
    "out": "attention.out",
    "gate": "mlp.up",
    "up": "mlp.up",
    "down": "mlp.down",
}


class Pair(nn.Module):
    """A and B for some rows of a matrix."""

    def __init__(self, weight: Tensor, rows: tuple[int, int], rank: int):
        super().__init__()
        self.rows = rows  # the first, and one past the last
        width = weight.shape[1]
        self.A = nn.Parameter(weight.new_empty(rank, width))
        self.B = nn.Parameter(weight.new_zeros(rows[1] - rows[0], rank))
        nn.init.normal_(self.A, std=1 / math.sqrt(width))  # A x is then about as large as x


class LoRALinear(nn.Linear):
    """nn.Linear that learns by its pairs alone.

    In a state dict it is one matrix, with what its pairs add, so that whatever stores or exports a
    model takes it as any other; for the pairs alone there is `save`.
    """

    def __init__(self, linear: nn.Linear, targets: dict[str, tuple[int, int]], rank: int,
                 alpha: float):  # fmt: skip
        nn.Module.__init__(self)  # nn.Linear would draw a matrix that nobody needs
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.rank, self.alpha = rank, alpha
        self.pairs = nn.ModuleDict(
            {name: Pair(linear.weight, rows, rank) for name, rows in targets.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_in) -> (..., d_out)."""
        y = F.linear(x, self.weight, self.bias)
        for pair in self.pairs.values():
            start, end = pair.rows
            y[..., start:end] += self.alpha / self.rank * (x @ pair.A.mT @ pair.B.mT)
        return y

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The one matrix (d_out, d_in) that gives the same."""
        weight = self.weight.detach().clone()
        for pair in self.pairs.values():
            start, end = pair.rows
            weight[start:end] += self.alpha / self.rank * (pair.B @ pair.A)
        return weight

    def state_dict(self, *, destination: dict, prefix: str, keep_vars: bool) -> dict:
        destination[f"{prefix}weight"] = self.merged()
        if self.bias is not None:
            destination[f"{prefix}bias"] = self.bias.detach()
        return destination

    def _load_from_state_dict(self, *_):
        raise ModelError("This model has LoRA: load weights before `lora`, or after `merge`.")


def lora(
    model: GPT, rank: int = 8, alpha: float = 16.0, targets: Iterable[str] = ("q", "v")
) -> GPT:
    """Give the model a pair A, B for each target in each block, and let nothing else learn.

    The model is changed and returned. Targets are q, k, v, out, gate, up and down; the default is
    the paper's. `seed` torch before, for the same A. Raises ModelError for a target that the model
    lacks, and where it has LoRA already.
    """
    names = [targets] if isinstance(targets, str) else list(dict.fromkeys(targets))
    _check(model, rank, alpha, names)
    made = {}
    for block, inside in enumerate(model.blocks):
        for path in dict.fromkeys(TARGETS[name] for name in names):
            rows = _rows(model.config, path)
            found = {name: rows[name] for name in names if name in rows}
            layer = inside.get_submodule(path)
            made[f"blocks.{block}.{path}"] = LoRALinear(layer, found, rank, alpha)
    model.requires_grad_(False)
    for path, layer in made.items():
        model.set_submodule(path, layer.train(model.training))
    return model


def merge(model: GPT) -> GPT:
    """Add what was learned to the matrices it was learned for: the same model without LoRA, and as
    fast as before.

    The model is changed and returned; all of it can learn again. ModelError where it has no LoRA.
    """
    for path, layer in _layers(model, "merge").items():
        linear = nn.Linear(1, 1, bias=False)  # its matrix comes now
        linear.in_features, linear.out_features = layer.in_features, layer.out_features
        linear.weight, linear.bias = nn.Parameter(layer.merged()), layer.bias
        model.set_submodule(path, linear.train(layer.training))
    return model.requires_grad_(True)


def save(model: GPT, path: Path) -> None:
    """Store the pairs, and what they are: the small part, without the model. ModelError where there
    are none."""
    layers = _layers(model, "save")
    (settings,) = {(layer.rank, layer.alpha) for layer in layers.values()}
    about = {"rank": settings[0], "alpha": settings[1]}
    about["targets"] = [name for name in TARGETS if any(name in x.pairs for x in layers.values())]
    checkpoint.save(path, _tensors(layers), about)


def load(model: GPT, path: Path) -> GPT:
    """`lora` with the pairs that `save` stored. Raises CheckpointError, or ModelError where they
    are another model's."""
    tensors, about = checkpoint.load(path)
    if set(about) != {"rank", "alpha", "targets"}:
        raise ModelError(f"{path} holds no LoRA: give a file that `save` wrote.")
    sizes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    expected = _sizes(model.config, **about)
    if sizes != expected:
        name = next(name for name in {**sizes, **expected} if sizes.get(name) != expected.get(name))
        raise ModelError(
            f"{path} is of another model: {name} is {sizes.get(name, 'missing')} there, and "
            f"{expected.get(name, 'missing')} would fit."
        )
    layers = _layers(lora(model, **about), "load")
    with torch.no_grad():
        for name, tensor in _tensors(layers).items():
            tensor.copy_(tensors[name])
    return model


def _tensors(layers: dict[str, LoRALinear]) -> dict[str, Tensor]:
    return {
        f"{path}.{name}.{letter}": getattr(pair, letter)
        for path, layer in layers.items()
        for name, pair in layer.pairs.items()
        for letter in "AB"
    }


def _sizes(config: GPTConfig, rank: int, alpha: float, targets: list[str]) -> dict[str, tuple]:
    """The shapes of `_tensors` in a model with this configuration."""
    sizes = {}
    for block in range(config.num_layers):
        for name in targets:
            start, end = _rows(config, TARGETS[name]).get(name, (0, 0))
            width = config.hidden if name == "down" else config.d_model
            sizes[f"blocks.{block}.{TARGETS[name]}.{name}.A"] = (rank, width)
            sizes[f"blocks.{block}.{TARGETS[name]}.{name}.B"] = (end - start, rank)
    return sizes


def _rows(config: GPTConfig, path: str) -> dict[str, tuple[int, int]]:
    """The targets in a layer of a block: the first row of each, and one past its last."""
    q, kv = config.num_heads * config.d_head, config.kv_heads * config.d_head
    if path == "attention.qkv":
        return {"q": (0, q), "k": (q, q + kv), "v": (q + kv, q + 2 * kv)}
    if path == "mlp.up" and config.activation == "swiglu":
        return {"gate": (0, config.hidden), "up": (config.hidden, 2 * config.hidden)}
    rows = config.hidden if path == "mlp.up" else config.d_model
    return {path.rpartition(".")[2]: (0, rows)}


def _layers(model: nn.Module, asked: str) -> dict[str, LoRALinear]:
    layers = {path: x for path, x in model.named_modules() if isinstance(x, LoRALinear)}
    if not layers:
        raise ModelError(f"There is nothing to {asked}: the model has no LoRA, or is merged.")
    return layers


def _check(model: GPT, rank: int, alpha: float, names: list[str]) -> None:
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ModelError("This model has LoRA already: merge it first, or load it anew.")
    for name in names:
        if name not in TARGETS:
            raise ModelError(f"There is no target {name!r}: choose from {', '.join(TARGETS)}.")
        if name not in _rows(model.config, TARGETS[name]):
            raise ModelError(
                f"The target {name!r} is a matrix of SwiGLU, and this model's activation is "
                f"{model.config.activation}."
            )
    if not names:
        raise ModelError(f"There are no targets: choose from {', '.join(TARGETS)}.")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ModelError(f"rank is {rank!r}: give a whole number, 1 or more.")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise ModelError(f"alpha is {alpha!r}: give a number, more than 0.")
    layer = model.blocks[0].get_submodule(TARGETS[names[0]])
    if type(layer) is not nn.Linear:
        raise ModelError(f"LoRA goes beside an nn.Linear, and this model has {type(layer).__name__}"
                         " there: quantise after `merge`.")  # fmt: skip
