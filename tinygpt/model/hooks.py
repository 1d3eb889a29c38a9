"""Read what flows through a model, and replace it.

    with watch(model, read=["heads.1", "residual.4"]) as seen:
        logits = model(ids)
    seen["heads.1"]  # (B, T, H, d_head)

    def silence(x):
        x[:, :, 2] = 0
        return x

    with watch(model, replace={"heads.1": silence}):
        without = model(ids)

The places of a model, L = 0, 1, ...:

    residual.L  (B, T, d)            the residual stream before block L; L = num_layers: after all
    heads.L     (B, T, H, d_head)    what each head of block L found, before they are mixed
    mlp.L       (B, T, d)            what the MLP of block L adds
    weights.L   (B, H, T, T)         who looks where in block L; to be read only

What is replaced is read as it is after that. Other tools that do this: nnsight (Fiotto-Kaufman and
others, 2025), TransformerLens (Nanda and Bloom, 2022).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from tinygpt.model.config import ModelError
from tinygpt.model.gpt import GPT
from tinygpt.model.layers import Attention

Replace = Callable[[Tensor], Tensor]


@contextmanager
def watch(
    model: GPT, read: Sequence[str] = (), replace: Mapping[str, Replace] | None = None
) -> Iterator[dict[str, Tensor]]:
    """While the context lasts, each pass of the model is read and changed at these places.

    Gives a dict that each pass fills: place -> what was there, detached. A function in `replace`
    takes a copy of what is there, may change it, and returns what is to be there instead, of the
    same shape. Raises ModelError for a place that the model does not have.
    """
    replace = replace or {}
    seen: dict[str, Tensor] = {}
    for place in (*read, *replace):
        _check(model, place, place in replace)
    with ExitStack() as stack:
        for place in dict.fromkeys((*replace, *read)):
            hook = _hook(model, place, seen if place in read else None, replace.get(place))
            stack.callback(hook.remove)
        yield seen


def places(model: GPT) -> list[str]:
    """All places of a model, in the order in which a pass comes to them."""
    found = []
    for layer in range(model.config.num_layers):
        found += [f"{kind}.{layer}" for kind in ("residual", "weights", "heads", "mlp")]
    return [*found, f"residual.{model.config.num_layers}"]


def attention_weights(attention: Attention, x: Tensor, look: dict, rotary=None) -> Tensor:
    """softmax(QKᵀ / √d_head) of what an attention takes, x (B, T, d) -> (B, H, T, T).

    The layer itself never makes them: its kernel goes from Q, K and V to the mean of the values.
    """
    counts = attention.num_heads, attention.kv_heads
    q, k, _ = attention._heads(attention.qkv(x), *counts, attention.kv_heads)
    q, k = attention._normed(q, k)
    if rotary is not None:
        q, k = rotary(q), rotary(k)
    k = k.repeat_interleave(attention.num_heads // attention.kv_heads, dim=1)
    scores = q @ k.transpose(2, 3) / math.sqrt(attention.d_head)  # (B, H, T, T)
    mask = look.get("attn_mask")
    if look.get("is_causal"):
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=x.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=3)


def _hook(model: GPT, place: str, seen: dict | None, change: Replace | None):
    kind, layer = place.split(".")
    blocks, layer = model.blocks, int(layer)

    def touch(x: Tensor) -> Tensor | None:
        new = None
        if change is not None:
            new = change(x.clone())
            if not isinstance(new, Tensor) or new.shape != x.shape:
                what = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
                raise ModelError(
                    f"What is to be at {place} is {what}, and what is there is of shape "
                    f"{tuple(x.shape)}: return a tensor of the same shape."
                )
        if seen is not None:
            seen[place] = (x if new is None else new).detach()
        return new

    def before(module: nn.Module, inputs: tuple):
        new = touch(inputs[0])
        return None if new is None else (new, *inputs[1:])

    def after(module: nn.Module, inputs: tuple, output: Tensor):
        return touch(output)

    def split(module: nn.Module, inputs: tuple):
        new = touch(inputs[0].unflatten(2, (model.config.num_heads, -1)))
        return None if new is None else (new.flatten(2), *inputs[1:])

    def look(module: Attention, inputs: tuple):
        x, where, rotary, cache = (*inputs, None, None)[:4]
        if cache is not None:
            raise ModelError("Weights are read where a whole text is given: no cache.")
        seen[place] = attention_weights(module, x, where, rotary).detach()

    if kind == "heads":
        return blocks[layer].attention.out.register_forward_pre_hook(split)
    if kind == "mlp":
        return blocks[layer].mlp.register_forward_hook(after)
    if kind == "weights":
        return blocks[layer].attention.register_forward_pre_hook(look)
    if layer == len(blocks):
        return blocks[-1].register_forward_hook(after)
    return blocks[layer].register_forward_pre_hook(before)


def _check(model: GPT, place: str, replaced: bool) -> None:
    if place not in places(model):
        raise ModelError(
            f"There is no place {place!r}: choose from residual, heads, mlp and weights, each "
            f"with .0 to .{model.config.num_layers - 1}, and residual.{model.config.num_layers}."
        )
    if replaced and place.startswith("weights"):
        raise ModelError(f"{place} can be read only: replace what the heads give, heads.L.")
