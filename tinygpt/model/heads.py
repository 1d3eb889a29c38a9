"""What turns states into logits where that is more than one matrix."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt.model.cache import KVCache
from tinygpt.model.config import GPTConfig
from tinygpt.model.layers import ACTIVATIONS, make_norm


class MLMHead(nn.Module):
    """BERT's output head: a layer as wide as the model, its norm, and the output with a bias."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.transform = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = make_norm(config)
        self.output = nn.Linear(config.d_model, config.vocab_size)

    def forward(self, h: Tensor) -> Tensor:
        """h (B, T, d) -> logits (B, T, vocab_size)."""
        return self.output(self.norm(self.activation(self.transform(h))))


class CopyHead(nn.Module):
    """Tokens of the text so far get a chance of their own.

    The state at a place is what was known just before the next token came. For each earlier place
    s, the token that came next there gets a weight by how alike its state k_s and today's q are,

        c(v) = sum over s with next token v of exp(2 q·k_s / √d - doubt),

    which is added to exp(logit) of that token. Pairs of state and next token are those of Grave,
    Joulin and Usunier, "Improving Neural Language Models with a Continuous Cache", ICLR 2017. That
    queries, keys and doubt are learned is nearer to Merity, Xiong, Bradbury and Socher, "Pointer
    Sentinel Mixture Models", ICLR 2017.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.layer = config.num_layers  # its place in a cache: after the blocks
        self.query = nn.Linear(config.d_model, config.d_model, bias=False)
        self.key = nn.Linear(config.d_model, config.d_model, bias=False)
        self.doubt = nn.Linear(config.d_model, 1)

    def forward(
        self, logits: Tensor, h: Tensor, ids: Tensor, may: Tensor, cache: KVCache | None = None
    ) -> Tensor:
        """logits (B, R, V) of the last R of the T new places -> the same with copies.

        h (B, T, d) are the states, ids (B, T) the tokens read there. may (..., T, S), bool: which
        places each may look at.
        """
        rows = logits.shape[1]
        weight, said = self._weights(h, ids, may, rows, cache)
        same = (said[:, :, None] == said[:, None, :]).to(weight.dtype)  # (B, S - 1, S - 1)
        c = weight @ same  # at each place the sum over all places with the same token
        c = c.clamp(min=torch.finfo(c.dtype).tiny)  # 0 has no logarithm
        # log(exp(l) + c) = l + softplus(log c - l)
        which = said[:, None].expand(-1, rows, -1)
        more = F.softplus(c.log() - logits.gather(2, which))
        # A token said n times stands here n times: each adds its share.
        more = more / same.sum(dim=1, keepdim=True)
        return logits.scatter_add(2, which, more.to(logits.dtype))

    def nats(
        self, nats: Tensor, logit: Tensor, h: Tensor, ids: Tensor, targets: Tensor, may: Tensor
    ) -> Tensor:
        """-ln P of each target (B, T), with copies: what `forward` comes to, for far less work.

        nats (B, T) is the same without copies, and logit (B, T) the target's own.
        """
        weight, said = self._weights(h, ids, may, ids.shape[1])
        c = (weight * (said[:, None] == targets[..., None])).sum(dim=2)  # of the target
        c, every = (x.clamp(min=torch.finfo(x.dtype).tiny).log() for x in (c, weight.sum(dim=2)))
        # ln of (sum of all exp(l) + sum of all c), less ln(exp(l) + c) of the target
        return torch.logaddexp(logit + nats, every) - torch.logaddexp(logit, c)

    def _weights(
        self, h: Tensor, ids: Tensor, may: Tensor, rows: int, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """The weight of each earlier place at the last `rows` places, (B, R, S - 1), 0 where it may
        not look; and the tokens that came next there, (B, S - 1)."""
        width = h.shape[2]
        k, said = F.rms_norm(self.key(h), (width,)), ids
        if cache is not None:
            k, said = cache.extend(self.layer, k[:, None], ids[:, None, :, None])
            k, said = k[:, 0], said[:, 0, :, 0]
        h = h[:, -rows:]
        q = F.rms_norm(self.query(h), (width,))
        # Place s goes with the token at s + 1, which must have been read as well.
        k, said = k[:, :-1], said[:, 1:]  # (B, S - 1, d), (B, S - 1)
        may = (may[..., :-1] & may[..., 1:])[..., -rows:, :]
        weight = (2 / math.sqrt(width) * q @ k.mT - self.doubt(h)).exp()  # (B, R, S - 1)
        return weight.masked_fill(~may, 0.0), said
