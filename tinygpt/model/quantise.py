"""Weights in 8 bits: a quarter of the bytes, and reading them is most of what a token costs.

Each row of a matrix is rounded to 255 steps of its own. Activations stay as they are, so nothing is
calibrated: "absmax" in Dettmers, Lewis, Belkada and Zettlemoyer, "LLM.int8(): 8-bit Matrix
Multiplication for Transformers at Scale", NeurIPS 2022.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt.model.config import ModelError
from tinygpt.model.gpt import GPT

LARGEST = 127
FEW = 64  # positions up to which the processor's kernel for 8 bits is faster than float32


class Rounded(nn.Module):
    """A matrix in few bits.

    In a state dict it is `weight`, the matrix that it stands for, so that whatever stores or
    exports a model takes it as any other.
    """

    weight: Tensor  # in float32

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


class Int8(Rounded):
    """A matrix (R, C) of whole numbers from -127 to 127, each row with a scale."""

    def __init__(self, int8: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("int8", int8, persistent=False)  # (R, C)
        self.register_buffer("scale", scale, persistent=False)  # (R,), bfloat16, for the kernel

    @property
    def weight(self) -> Tensor:
        """The matrix that it stands for, in float32."""
        return self.int8.float() * self.scale.float()[:, None]


class Int8Linear(Int8):
    """nn.Linear. For a few positions on a processor the inputs and outputs are bfloat16 within."""

    def __init__(self, int8: Tensor, scale: Tensor, bias: Tensor | None):
        super().__init__(int8, scale)
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., R)."""
        int8 = self.int8
        width = int8.shape[1]
        few = x.numel() <= FEW * width and width % 16 == 0  # else it reads past a row's end
        if few and x.is_cpu and not (torch.is_grad_enabled() and x.requires_grad):
            y = torch._weight_int8pack_mm(x.bfloat16().reshape(-1, width), int8, self.scale)
            y = y.to(x.dtype).view(*x.shape[:-1], -1)
        else:
            y = F.linear(x, int8.to(x.dtype)) * self.scale.to(x.dtype)
        return y if self.bias is None else y + self.bias


class Int8Embedding(Int8):
    """nn.Embedding."""

    def __init__(self, int8: Tensor, scale: Tensor, dtype: torch.dtype):
        super().__init__(int8, scale)
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., C)."""
        return self.int8[ids].to(self.dtype) * self.scale[ids].to(self.dtype)[..., None]


def quantise(model: GPT) -> GPT:
    """The model with 8 bits a weight in its matrices, for prediction; the one given stays as it is.

        fast = quantise(model)
        new = generate(fast, ids, 100)

    Of a row the largest number becomes ±127, and no number moves by more than half a step. A head
    that is tied to the embedding stays so. Norms, biases, positions and a table of n-grams are
    kept: they are few, or are read a row at a time. Load weights, and choose their type, before.
    """
    matrices = {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear or module is model.embedding
    }
    weights = {id(module.weight): module.weight for module in matrices.values()}
    rounded = dict(zip(weights, _rounded([*weights.values()]), strict=True))
    made = copy.deepcopy(model, dict(weights))  # as if copied already: they are not needed
    for name, module in matrices.items():
        int8, scale = rounded[id(module.weight)]
        if type(module) is nn.Linear:
            new = Int8Linear(int8, scale, made.get_submodule(name).bias)
        else:
            new = Int8Embedding(int8, scale, module.weight.dtype)
        made.set_submodule(name, new.train(module.training))
    return made


@torch.no_grad()
def _rounded(weights: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """For each weight (R, C) int8 (R, C) and scale (R,)."""
    # In one piece, for which NumPy asks Linux to use large pages: reading them takes a seventh less
    # of the time.
    room = torch.from_numpy(np.empty(sum(weight.numel() for weight in weights), dtype=np.int8))
    made = []
    for weight, part in zip(weights, room.split([w.numel() for w in weights]), strict=True):
        if not weight.isfinite().all():
            raise ModelError("Some weights are not numbers: such a model cannot be quantised.")
        # bfloat16 rounds a scale by at most 1 in 512, so no number comes to more than 127.25.
        scale = (weight.abs().amax(dim=1) / LARGEST).bfloat16()
        scale = scale.where(scale > 0, 1)  # of a row of zeros
        int8 = part.view(weight.shape).copy_((weight.float() / scale.float()[:, None]).round())
        made.append((int8.to(weight.device), scale))
    return made
