"""The pieces of a model: activations, norms, positions, attention, MLP, and the block."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinygpt.model.cache import KVCache
from tinygpt.model.config import GPTConfig


def relu2(x: Tensor) -> Tensor:
    """The square of ReLU: So et al., "Primer", NeurIPS 2021."""
    return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # GPT-2's approximation of it
    "relu2": relu2,
    "swiglu": F.silu,  # of the gate: see MLP
}


def make_norm(config: GPTConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.d_model, eps=config.norm_eps)
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)


def angles(context: int, width: int, base: float) -> Tensor:
    """(context, width / 2): position t times each of the frequencies 1 to nearly 1 / base."""
    frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.arange(context, dtype=torch.float64)[:, None] * frequencies


class Sinusoidal(nn.Module):
    """Sines and cosines in turn: Vaswani et al., "Attention Is All You Need", NeurIPS 2017.

    They are as large as they are. So the model multiplies the embeddings by √d before it adds them
    (section 3.4 there); with `embedding_std` 1 / √d words begin about as large as their places, and
    with GPT-2's 0.02 they are hardly heard.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        table = angles(config.context, config.d_model, 10_000.0)  # (context, d / 2)
        table = torch.stack([table.sin(), table.cos()], dim=-1).flatten(1)  # (context, d)
        self.register_buffer("weight", table.to(torch.get_default_dtype()), persistent=False)


class Rotary(nn.Module):
    """Turn each query and key by its position, so that q·k knows their distance and no more.

    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021. Number i is
    paired with number i + d_head / 2.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        table = angles(config.context, config.d_head, config.rotary_base)  # (context, d_head / 2)
        cos, sin = table.cos().repeat(1, 2), torch.cat([-table.sin(), table.sin()], dim=1)
        for name, value in (("cos", cos), ("sin", sin)):  # (context, d_head) each
            self.register_buffer(name, value.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B, heads, T, d_head) at positions start to start + T - 1 -> the same, turned."""
        end = start + x.shape[2]
        cos, sin = self.cos[start:end].to(x.dtype), self.sin[start:end].to(x.dtype)
        return x * cos + x.roll(x.shape[3] // 2, dims=3) * sin  # roll: each number's partner


class NGrams(nn.Module):
    """Vectors for each token with the one before it, and with the two before it.

    There are far more n-grams than rows in the table: a hash says which row an n-gram has, and
    those that meet there share it. To look up costs next to nothing, so these parameters take
    hardly any time. Joulin, Grave, Bojanowski and Mikolov, "Bag of Tricks for Efficient Text
    Classification", EACL 2017, hash bigrams so.
    """

    PRIMES = (7919, 104_729, 1_299_709)  # the 1,000th, 10,000th and 100,000th

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.table = nn.Embedding(config.ngram_rows, config.d_model)

    def forward(self, ids: Tensor, before: Tensor) -> Tensor:
        """ids (B, T), and the two tokens before them (B, 2) -> (B, T, d)."""
        length = ids.shape[1]
        every = torch.cat([before, ids], dim=1)  # (B, T + 2)
        one, two, three = (
            prime * every[:, 2 - back : 2 - back + length] for back, prime in enumerate(self.PRIMES)
        )
        rows = self.table.num_embeddings
        return self.table((one + two) % rows) + self.table((one + two + three) % rows)


class Attention(nn.Module):
    """softmax(QKᵀ / √d_head) V in `num_heads` heads, over the text itself or an encoder's states.

    Queries, keys and values come from one matrix: first the rows of all heads' queries, then the
    keys, then the values. Key head j serves the H / K query heads from j H / K on.
    """

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.layer = layer
        self.num_heads, self.kv_heads = config.num_heads, config.kv_heads
        self.d_head = config.d_head
        self.dropout = config.dropout
        rows = (self.num_heads + 2 * self.kv_heads) * self.d_head
        self.qkv = nn.Linear(config.d_model, rows, bias=config.bias)
        self.out = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.q_norm = self.k_norm = None
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(self.d_head, eps=config.norm_eps)
            self.k_norm = nn.RMSNorm(self.d_head, eps=config.norm_eps)

    def forward(
        self, x: Tensor, look: dict, rotary: Rotary | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Each position of x (B, T, d) looks at the positions of x -> (B, T, d).

        `look` says where: keywords of `scaled_dot_product_attention`.
        """
        start = 0 if cache is None else cache.length
        counts = self.num_heads, self.kv_heads
        if self.q_norm is None and rotary is not None:  # both turned at once
            both, v = self._heads(self.qkv(x), sum(counts), self.kv_heads)
            q, k = rotary(both, start).split_with_sizes(counts, dim=1)
        else:
            q, k, v = self._heads(self.qkv(x), *counts, self.kv_heads)
            q, k = self._normed(q, k)
            if rotary is not None:
                q, k = rotary(q, start), rotary(k, start)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)  # (B, K, S, d_head)
        return self._attend(q, k, v, look)

    def cross(self, x: Tensor, memory: Tensor, look: dict, cache: KVCache | None = None) -> Tensor:
        """Each position of x (B, T, d) looks at the states `memory` (B, S, d) -> (B, T, d)."""
        rows = [self.num_heads * self.d_head, 2 * self.kv_heads * self.d_head]
        w_q, w_kv = self.qkv.weight.split(rows)
        b_q, b_kv = (None, None) if self.qkv.bias is None else self.qkv.bias.split(rows)
        (q,) = self._heads(F.linear(x, w_q, b_q), self.num_heads)
        known, k, v = (None,) * 3 if cache is None else cache._memory.get(self.layer, (None,) * 3)
        if known is not memory:
            k, v = self._heads(F.linear(memory, w_kv, b_kv), self.kv_heads, self.kv_heads)
            if cache is not None:
                cache._memory[self.layer] = memory, k, v
        return self._attend(*self._normed(q, k), v, look)

    def _heads(self, x: Tensor, *counts: int) -> tuple[Tensor, ...]:
        """(B, T, sum of counts * d_head) -> (B, count, T, d_head) for each count."""
        batch, length, _ = x.shape
        heads = x.view(batch, length, -1, self.d_head).transpose(1, 2)  # (B, all, T, d_head)
        return heads.split_with_sizes(counts, dim=1)

    def _normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return (q, k) if self.q_norm is None else (self.q_norm(q), self.k_norm(k))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, look: dict) -> Tensor:
        """q (B, H, T, d_head), k and v (B, K, S, d_head) -> (B, T, d)."""
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.num_heads != self.kv_heads,
            **look,
        )  # (B, H, T, d_head)
        return self.out(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two layers on each position by itself.

    With SwiGLU (Shazeer, "GLU Variants Improve Transformer", 2020) the first layer gives two
    halves: the first, the gate, goes through SiLU and multiplies the second.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.gated = config.activation == "swiglu"
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.d_model, config.hidden * (1 + self.gated), bias=config.bias)
        self.down = nn.Linear(config.hidden, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)  # (B, T, d) -> (B, T, hidden), or (B, T, 2 hidden)
        if self.gated:
            gate, x = x.chunk(2, dim=-1)  # (B, T, hidden) each
            return self.down(self.activation(gate) * x)
        return self.down(self.activation(x))  # (B, T, d)


class Block(nn.Module):
    """Attention, cross-attention where there is any, and MLP; each adds to x what it finds."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.norm_first = config.norm_first
        self.norm_1 = make_norm(config)
        self.attention = Attention(config, layer)
        if config.cross_attention:
            self.norm_cross = make_norm(config)
            self.cross_attention = Attention(config, layer)
        self.norm_2 = make_norm(config)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        look: dict,
        rotary: Rotary | None = None,
        memory: Tensor | None = None,
        memory_look: dict | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """x (B, T, d) -> (B, T, d)."""
        x = self._add(x, self.norm_1, self.attention, look, rotary, cache)
        if memory is not None:
            look_across = self.cross_attention.cross
            x = self._add(x, self.norm_cross, look_across, memory, memory_look, cache)
        return self._add(x, self.norm_2, self.mlp)

    def _add(self, x: Tensor, norm: nn.Module, layer: Callable[..., Tensor], *more) -> Tensor:
        found = layer(norm(x) if self.norm_first else x, *more)
        x = x + (self.dropout(found) if self.training else found)
        return x if self.norm_first else norm(x)
