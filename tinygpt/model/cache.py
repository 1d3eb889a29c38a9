"""What a causal model remembers of the positions it has read."""

import torch
from torch import Tensor

from tinygpt.model.config import ModelError


class KVCache:
    """The keys and values of the positions seen so far, so that a next one costs only itself.

        cache = KVCache()
        logits = model(ids[:, :5], cache=cache)  # positions 0 to 4
        logits = model(ids[:, 5:6], cache=cache)  # position 5, which looks at all six

    A cache serves one batch of texts and one model. It is for prediction: autograd refuses to go
    back through several calls that share one.
    """

    def __init__(self):
        self.length = 0  # positions seen
        self._ids: list[Tensor] = []  # (B, T), the tokens there, one part a call
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}  # (B, K, room, d_head) each
        self._memory: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # states, their keys, values
        self._keep: Tensor | None = None  # (B, length)

    def advance(self, ids: Tensor) -> None:
        """What the layers have added were the positions of ids (B, T)."""
        self.length += ids.shape[1]
        self._ids.append(ids.clone())  # the caller may write over them

    def last(self, ids: Tensor) -> Tensor:
        """(B, 2): the tokens at the last two positions before ids (B, T); 0 before the first."""
        return torch.cat([ids.new_zeros(len(ids), 2), *self._ids[-2:]], dim=1)[:, -2:]

    def truncate(self, length: int) -> None:
        """Forget all positions but the first `length`."""
        if not isinstance(length, int) or not 0 <= length <= self.length:
            raise ModelError(
                f"length is {length!r}: give a whole number from 0 to {self.length}, the positions "
                "that the cache holds."
            )
        while self.length > length:
            ids = self._ids.pop()
            self.length -= ids.shape[1]
            if self.length < length:
                self.advance(ids[:, : length - self.length])

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was: (N,), of any length, for a batch of N texts."""
        self._layers = {
            layer: tuple(held.index_select(0, rows) for held in pair)
            for layer, pair in self._layers.items()
        }
        self._ids = [ids.index_select(0, rows) for ids in self._ids]
        self._keep = None if self._keep is None else self._keep.index_select(0, rows)
        self._memory = {}  # made again from the states that come with the next call

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add a layer's (B, K, T, d_head) of the new positions; returns those of all.

        What goes with the keys may be of another width and type: a copy head's are token ids.
        """
        batch, heads, length, width = k.shape
        end = self.length + length
        keys, values = self._layers.get(layer) or (k[:, :, :0], v[:, :, :0])
        held, held_heads, room, held_width = keys.shape
        if (held, held_heads, held_width) != (batch, heads, width):
            raise ModelError(
                f"The cache holds a batch of {held} with {held_heads} heads of {held_width}, and "
                f"this call a batch of {batch} with {heads} heads of {width}: take a new KVCache "
                "for another batch or model."
            )
        if room < end:  # twice the room, so that the old ones are seldom copied
            more = (batch, heads, 2 * end - self.length)
            keys = torch.cat([keys[:, :, : self.length], k.new_empty(*more, width)], dim=2)
            values = torch.cat([values[:, :, : self.length], v.new_empty(*more, v.shape[3])], dim=2)
            self._layers[layer] = keys, values
        keys.narrow(2, self.length, length).copy_(k)
        values.narrow(2, self.length, length).copy_(v)
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def extend_keep(self, keep: Tensor | None, ids: Tensor) -> Tensor | None:
        """`keep` (B, T) of the new positions -> that of all; None where nothing is padding."""
        if keep is None and self._keep is None:
            return None
        parts = [self._keep, keep]
        for i, length in enumerate((self.length, ids.shape[1])):
            if parts[i] is None:
                parts[i] = ids.new_ones(len(ids), length, dtype=torch.bool)
        self._keep = torch.cat([parts[0][:, : self.length], parts[1]], dim=1)
        return self._keep
