"""Weights in 4 bits, two to a byte, or in 3 or 2.

Each row of a matrix is cut into groups of columns, and each group has a step and a lowest place of
its own. `nearest` rounds each number by itself. `calibrated` looks at what the matrix is multiplied
with: it rounds column after column, and what one loses the columns still to come make good, as far
as their inputs go together. Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", ICLR 2023.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt.model.config import ModelError
from tinygpt.model.gpt import GPT
from tinygpt.model.quantise import Rounded

DAMPING = 0.01  # of the inputs' mean square, added to the square of each: GPTQ's


class GroupedLinear(Rounded):
    """nn.Linear whose matrix (R, C) is places 0 to 15, a step and a lowest place a group.

    Every product makes the matrix anew, so this saves bytes and no time.
    """

    def __init__(self, found: tuple[Tensor, Tensor, Tensor], group: int, bias: Tensor | None):
        super().__init__()
        places, step, low = found
        self.group, self.columns, self.bias = group, places.shape[1], bias
        self.register_buffer("packed", pack(places), persistent=False)  # (R, ⌈C / 2⌉) uint8
        self.register_buffer("step", step.bfloat16(), persistent=False)  # (R, ⌈C / group⌉)
        self.register_buffer("low", low.bfloat16(), persistent=False)

    @property
    def weight(self) -> Tensor:
        """The matrix that it stands for, in float32."""
        places = unpack(self.packed)[:, : self.columns]
        return stands_for(places, self.step.float(), self.low.float(), self.group)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., R)."""
        return F.linear(x, self.weight.to(x.dtype), self.bias)


def pack(places: Tensor) -> Tensor:
    """(R, C) of 0 to 15 -> (R, ⌈C / 2⌉) bytes, the left one of two in the lower half."""
    places = F.pad(places.to(torch.uint8), (0, places.shape[1] % 2))
    return places[:, ::2] | places[:, 1::2] << 4


def unpack(packed: Tensor) -> Tensor:
    """(R, n) bytes -> (R, 2n) of 0 to 15."""
    return torch.stack([packed & 15, packed >> 4], dim=2).flatten(1)


def stands_for(places: Tensor, step: Tensor, low: Tensor, group: int) -> Tensor:
    """places (R, C), step and low (R, groups) -> the matrix (R, C)."""
    of = torch.arange(places.shape[1], device=places.device) // group
    return places * step[:, of] + low[:, of]


def grid(part: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Numbers (R, G) -> the step and the lowest place of each row, (R, 1): its 2 ** bits places
    reach from its least number to its largest. They are numbers that bfloat16 has."""
    low, high = part.amin(dim=1, keepdim=True), part.amax(dim=1, keepdim=True)
    step = ((high - low) / (2**bits - 1)).bfloat16().float()
    return step.where(step > 0, 1), low.bfloat16().float()


def places_of(part: Tensor, step: Tensor, low: Tensor, bits: int) -> Tensor:
    """The nearest place of each number."""
    return ((part - low) / step).round().clamp(0, 2**bits - 1)


def nearest(weight: Tensor, group: int, bits: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """weight (R, C) -> places (R, C), steps and lowest places (R, groups)."""
    found = []
    for part in weight.split(group, dim=1):
        step, low = grid(part, bits)
        found.append((places_of(part, step, low, bits), step, low))
    return tuple(torch.cat(parts, dim=1) for parts in zip(*found, strict=True))


def calibrated(
    weight: Tensor, square: Tensor, group: int, bits: int = 4
) -> tuple[Tensor, Tensor, Tensor]:
    """As `nearest`, for inputs x of which `square` (C, C) is the sum of x xᵀ."""
    weight, found = weight.clone(), []
    square = square.double()  # else rounding may leave it without a root
    square = square + DAMPING * square.diagonal().mean() * torch.eye(len(square))
    # Row j says how the columns after j make good what column j loses.
    rows = torch.linalg.cholesky(torch.linalg.inv(square), upper=True).float()
    for first in range(0, weight.shape[1], group):
        part = weight[:, first : first + group]  # a view: it changes with weight
        end = first + part.shape[1]
        places, lost = torch.empty_like(part), torch.empty_like(part)
        step, low = grid(part, bits)
        for i in range(part.shape[1]):
            row = rows[first + i, first + i : end]
            places[:, i] = places_of(part[:, i], step[:, 0], low[:, 0], bits)
            lost[:, i] = (part[:, i] - places[:, i] * step[:, 0] - low[:, 0]) / row[0]
            part[:, i:] -= lost[:, i, None] * row
        weight[:, end:] -= lost @ rows[first:end, end:]
        found.append((places, step, low))
    return tuple(torch.cat(parts, dim=1) for parts in zip(*found, strict=True))


@torch.no_grad()
def grouped(model: GPT, rows: Tensor | None = None, *, group: int = 32, bits: int = 4) -> GPT:
    """The model with `bits` a weight in the matrices of its blocks; the one given stays as it is.

    With rows (B, T) of ids each matrix is `calibrated` on what it is multiplied with when the
    model, rounded as far as it is by then, reads them; without, rounded to the `nearest`.
    """
    if bits not in (2, 3, 4):
        raise ModelError(f"bits is {bits!r}: give 2, 3 or 4; for 8 there is quantise.")
    if rows is not None and (model.config.cross_attention or not model.config.causal):
        raise ModelError("Only a causal model without an encoder is calibrated: give no rows.")
    made = copy.deepcopy(model).eval()
    if rows is not None:
        x, look = made._embed(rows, 0, None), made._look(rows, 0, None)
        rotary = made.position if made.config.positions == "rotary" else None
    for block in made.blocks:
        names = [name for name, part in block.named_modules() if type(part) is nn.Linear]
        for name in names:
            layer, seen = block.get_submodule(name), []
            if rows is None:
                found = nearest(layer.weight, group, bits)
            else:
                hook = layer.register_forward_pre_hook(lambda _, x, seen=seen: seen.extend(x))
                block(x, look, rotary)
                hook.remove()
                inputs = seen[0].flatten(0, 1)  # (B T, C)
                found = calibrated(layer.weight, inputs.T @ inputs, group, bits)
            block.set_submodule(name, GroupedLinear(found, group, layer.bias))
        if rows is not None:
            x = block(x, look, rotary)
    return made.train(model.training)
