"""GPT and its relatives: one transformer whose pieces are swapped one at a time.

The presets name three that are known:

    gpt2     GPT-2: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019
    modern   the same with rotary positions, RMSNorm, QK-norm and SwiGLU, and no biases, as in Qwen3
    bert     an encoder: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
             Language Understanding", NAACL 2019

Attention is torch's `scaled_dot_product_attention`; the chapters write it out by hand.

B is the batch size, T the positions of a text, S those of what attention looks at, d = d_model,
H = num_heads, K = num_kv_heads.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal, get_args, get_origin

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INIT_STD = 0.02  # GPT-2's


class ModelError(ValueError):
    """A configuration or a tensor that does not fit the model. The message is one line."""

    def _render_traceback_(self):
        # A notebook shows this one line: the mistake is in what was passed, not in the code.
        return [str(self)]


# Configuration


@dataclass(frozen=True)
class GPTConfig:
    """What a model is made of. The defaults are GPT-2's; the sizes are a laptop's."""

    vocab_size: int  # how many different tokens there are
    context: int = 256  # the most positions a text may have
    num_layers: int = 4  # blocks, one after the other
    num_heads: int = 4  # of attention, side by side in each block
    d_model: int = 128  # the width: numbers that stand for a position
    num_kv_heads: int | None = None  # heads of keys and values, shared by the others; None: all
    mlp_hidden: int | None = None  # None: 4 d_model, and for swiglu 8/3 of it, which costs the same
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"  # before each layer, or after it
    # added to embeddings (learned, sinusoidal), or queries and keys are turned by them (rotary)
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = "learned"
    rotary_base: float = 10_000.0  # the larger, the slower the slowest pair of numbers turns
    activation: Literal["gelu", "gelu_tanh", "relu2", "swiglu"] = "gelu_tanh"  # of the MLP
    qk_norm: bool = False  # RMSNorm on each query and key
    bias: bool = True  # in the linear layers and in LayerNorm; the output head has none
    tied: bool = True  # the output head is the embedding
    causal: bool = True  # a position looks at itself and those before; else at all
    cross_attention: bool = False  # each block looks at an encoder's states too
    norm_first: bool = True  # x + f(norm(x)) and a norm at the end; else norm(x + f(x)) and none
    embedding_norm: bool = False  # a norm on the sum of embedding and position
    mlm_head: bool = False  # BERT's output head: a layer, a norm, and an output with a bias
    zero_init: bool = False  # what a layer adds starts at zero, and an untied head's logits too
    embedding_std: float = INIT_STD  # of the first embeddings
    copy_head: bool = False  # tokens of the text so far get a chance of their own: see CopyHead
    ngram_rows: int | None = None  # of a table that knows two and three tokens together: see NGrams
    dropout: float = 0.0  # of embeddings, attention weights, and what each layer adds
    norm_eps: float = 1e-5  # added before the root, so that no norm divides by zero

    def __post_init__(self):
        for field in fields(self):
            self._check(field.name, getattr(self, field.name), field.type)
        if self.d_model % self.num_heads:
            raise ModelError(
                f"num_heads is {self.num_heads} and d_model {self.d_model}: the heads share the "
                "width equally, so num_heads must divide d_model."
            )
        if self.num_heads % self.kv_heads:
            raise ModelError(
                f"num_kv_heads is {self.num_kv_heads} and num_heads {self.num_heads}: each key "
                "serves equally many queries, so num_kv_heads must divide num_heads."
            )
        if self.positions == "rotary" and self.d_head % 2:
            raise ModelError(
                f"d_model / num_heads is {self.d_head}: rotary positions turn pairs of numbers, "
                "so it must be even."
            )
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ModelError(
                f"d_model is {self.d_model}: sinusoidal positions are pairs of sine and cosine, "
                "so it must be even."
            )
        if self.copy_head and (not self.causal or self.mlm_head):
            raise ModelError(
                "copy_head copies what was said before, for a causal model that predicts the next "
                "token: give causal=True and mlm_head=False, or copy_head=False."
            )
        if not self.dropout < 1:
            raise ModelError(f"dropout is {self.dropout}: give a probability below 1.")

    @staticmethod
    def _check(name: str, value: object, kind: object) -> None:
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                raise ModelError(f"{name} is {value!r}: choose {' or '.join(get_args(kind))}.")
        elif kind is bool:
            if not isinstance(value, bool):
                raise ModelError(f"{name} is {value!r}: give True or False.")
        elif kind is float:
            zero = name == "dropout"
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not (0 <= value if zero else 0 < value) or math.isinf(value):
                least = "0 or more" if zero else "more than 0"
                raise ModelError(f"{name} is {value!r}: give a number, {least}.")
        elif not (value is None and kind == int | None):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name} is {value!r}: give a whole number, 1 or more.")

    @property
    def d_head(self) -> int:
        """The width of one head."""
        return self.d_model // self.num_heads

    @property
    def kv_heads(self) -> int:
        """The number of heads of keys and values, K."""
        return self.num_kv_heads or self.num_heads

    @property
    def hidden(self) -> int:
        """The width of the MLP's hidden layer."""
        if self.mlp_hidden:
            return self.mlp_hidden
        if self.activation == "swiglu":  # three matrices instead of two; a multiple of 8 is faster
            return math.ceil(self.d_model / 3) * 8
        return 4 * self.d_model


PRESETS = {
    "gpt2": {},
    "modern": {
        "norm": "rmsnorm",
        "norm_eps": 1e-6,
        "positions": "rotary",
        "activation": "swiglu",
        "qk_norm": True,
        "bias": False,
    },
    "bert": {
        "activation": "gelu",
        "causal": False,
        "norm_first": False,
        "norm_eps": 1e-12,
        "embedding_norm": True,
        "mlm_head": True,
    },
}


def preset(name: str, **changes) -> GPTConfig:
    """The configuration called `name`, with `vocab_size` and whatever else is to be different.

    GPT-2 small is preset("gpt2", vocab_size=50257, context=1024, num_layers=12, num_heads=12,
    d_model=768).
    """
    if name not in PRESETS:
        raise ModelError(f"There is no preset {name!r}: choose {' or '.join(PRESETS)}.")
    known = [field.name for field in fields(GPTConfig)]
    for change in changes:
        if change not in known:
            raise ModelError(f"A model has no {change!r}: it has {', '.join(known)}.")
    if "vocab_size" not in changes:
        raise ModelError(f"preset({name!r}) lacks vocab_size: give the tokenizer's.")
    return GPTConfig(**PRESETS[name] | changes)


# Pieces


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
        self.last: Tensor | None = None  # (B, 2), the tokens at the last two of them
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}  # (B, K, room, d_head) each
        self._memory: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # states, their keys, values
        self._keep: Tensor | None = None  # (B, length)

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
        q, k, v = self._heads(self.qkv(x), self.num_heads, self.kv_heads, self.kv_heads)
        q, k = self._normed(q, k)
        if rotary is not None:
            start = 0 if cache is None else cache.length
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


# The model


class GPT(nn.Module):
    """Logits of the next token at each position; with causal=False, of the token there.

        model = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size))
        logits = model(ids)  # (B, T) -> (B, T, vocab_size)

    A new model gives every token nearly the same probability: its loss is about ln vocab_size (but
    for a copy head, which gives more to what was said).
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.ngrams = NGrams(config) if config.ngram_rows else None
        self.position = None  # what is added to the embeddings, or turns queries and keys
        if config.positions == "learned":
            self.position = nn.Embedding(config.context, config.d_model)
        elif config.positions == "sinusoidal":
            self.position = Sinusoidal(config)
        elif config.positions == "rotary":
            self.position = Rotary(config)
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = make_norm(config) if config.norm_first else nn.Identity()
        if config.mlm_head:
            self.head = MLMHead(config)
        else:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.copy_head = CopyHead(config) if config.copy_head else None
        self.apply(self._start)
        with torch.no_grad():
            self.embedding.weight *= config.embedding_std / INIT_STD
            if self.ngrams is not None:
                self.ngrams.table.weight.zero_()
        # Each block adds to the residual stream two or three times; the more terms in the sum, the
        # smaller each starts, so that its size does not grow with depth.
        terms = config.num_layers * (3 if config.cross_attention else 2)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                std = 0.0 if config.zero_init else INIT_STD / math.sqrt(terms)
                nn.init.normal_(weight, std=std)
        if config.zero_init and not config.tied:
            nn.init.zeros_((self.head.output if config.mlm_head else self.head).weight)
        if config.tied:
            (self.head.output if config.mlm_head else self.head).weight = self.embedding.weight

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    @property
    def tied_name(self) -> str | None:
        """The embedding's other name in the state dict, where the output head is tied to it."""
        name = "head.output.weight" if self.config.mlm_head else "head.weight"
        return name if self.config.tied else None

    def num_parameters(self) -> int:
        """The numbers that training sets; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(
        self,
        ids: Tensor,
        *,
        keep: Tensor | None = None,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
        cache: KVCache | None = None,
        last_only: bool = False,
        targets: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T), integers -> logits (B, T, vocab_size).

        keep (B, T), bool: False is padding, which no other position looks at. Pad on the right, as
        positions are counted from the left. memory (B, S, d): the states of an encoder, with
        memory_keep (B, S). cache: what came before `ids`, to which they are added. last_only: the
        logits of the last position alone, (B, 1, vocab_size). targets (B, T): instead of the logits
        -ln P of these tokens, (B, T), which costs less where there is a copy head; 0 where a target
        is -1.
        """
        if targets is not None:
            self._check_targets(ids, targets, alone=cache is None and not last_only)
        hidden, look = self._states(ids, keep, memory, memory_keep, cache)
        if targets is not None:
            return self._nats(hidden, ids, targets, look)
        logits = self.head(hidden[:, -1:] if last_only else hidden)
        if self.copy_head is not None:
            logits = self.copy_head(logits, hidden, ids, _may(look, ids, cache), cache)
        if cache is not None:
            cache.length += ids.shape[1]
            cache.last = _last(ids, cache)
        return logits

    def _nats(self, hidden: Tensor, ids: Tensor, targets: Tensor, look: dict) -> Tensor:
        logits = self.head(hidden)
        nats = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
        ).view_as(targets)
        if self.copy_head is None:
            return nats
        # The target's own logit once more: cheaper than to pick it out of all and go back through.
        logit = (hidden * F.embedding(targets.clamp(min=0), self.head.weight)).sum(dim=2)
        nats = self.copy_head.nats(nats, logit, hidden, ids, targets, _may(look, ids, None))
        return nats.masked_fill(targets < 0, 0.0)

    def hidden(
        self,
        ids: Tensor,
        *,
        keep: Tensor | None = None,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
    ) -> Tensor:
        """The states that the output head takes: as `forward`, but (B, T, d)."""
        return self._states(ids, keep, memory, memory_keep)[0]

    def _states(
        self,
        ids: Tensor,
        keep: Tensor | None,
        memory: Tensor | None,
        memory_keep: Tensor | None,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, dict]:
        """States (B, T, d), and who looked where."""
        start = 0 if cache is None else cache.length
        self._check(ids, start, keep, memory, memory_keep, cache)
        x = self._embed(ids, start, cache)  # (B, T, d)
        look = self._look(ids, start, keep if cache is None else cache.extend_keep(keep, ids))
        memory_look = {} if memory_keep is None else {"attn_mask": memory_keep[:, None, None, :]}
        rotary = self.position if self.config.positions == "rotary" else None
        for block in self.blocks:
            x = block(x, look, rotary, memory, memory_look, cache)
        return self.norm(x), look

    def _embed(self, ids: Tensor, start: int, cache: KVCache | None) -> Tensor:
        """ids (B, T) -> (B, T, d): what the first block takes."""
        try:
            x = self.embedding(ids)
        except IndexError:  # on a GPU the check is the device's own
            raise ModelError(
                f"ids holds {ids.min().item()} to {ids.max().item()}, but vocab_size is "
                f"{self.config.vocab_size}: were they made by another tokenizer?"
            ) from None
        if self.config.positions == "sinusoidal":
            x = x * math.sqrt(self.config.d_model)  # as in the paper, so that words are heard
        if self.config.positions in ("learned", "sinusoidal"):
            x = x + self.position.weight[start : start + ids.shape[1]]
        if self.ngrams is not None:
            x = x + self.ngrams(ids, _last(ids[:, :0], cache))
        return self.dropout(self.embedding_norm(x))

    def _look(self, ids: Tensor, start: int, keep: Tensor | None) -> dict:
        """Who looks where, as keywords of `scaled_dot_product_attention`.

        keep is (B, S), S = start + T.
        """
        length = ids.shape[1]
        if keep is None:
            if not self.config.causal or length == 1:
                return {}
            if start == 0:
                return {"is_causal": True}  # a kernel of its own, faster than any mask
        # Row t is the position that looks, column s what it looks at; True lets it.
        mask = torch.ones(length, start + length, dtype=torch.bool, device=ids.device)
        itself = mask.tril(start).triu(start)
        if self.config.causal:
            mask = mask.tril(start)
        if keep is not None:
            # Padding looks at itself: a softmax over nothing would be no number.
            mask = mask & keep[:, None, None, :] | itself  # (B, 1, T, S)
        return {"attn_mask": mask}

    def _check(self, ids, start, keep, memory, memory_keep, cache) -> None:
        config = self.config
        if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.shape[1] == 0:
            raise ModelError(f"ids {_shape(ids)}: give token ids of shape (batch, positions).")
        if ids.dtype not in (torch.int64, torch.int32):
            raise ModelError(f"ids has dtype {ids.dtype}: token ids are integers, torch.long.")
        if start + ids.shape[1] > config.context:
            before = f" after {start} in the cache" if start else ""
            raise ModelError(
                f"ids has {ids.shape[1]} positions{before}, and the context is {config.context}: "
                "give fewer, or make the model with a larger context."
            )
        if (memory is None) == config.cross_attention:
            raise ModelError(
                "This model looks at an encoder's states: give memory, of shape (batch, positions, "
                f"{config.d_model})."
                if config.cross_attention
                else "memory is given, but this model has no cross-attention: make it with "
                "cross_attention=True."
            )
        if memory is not None and (
            not isinstance(memory, Tensor)
            or memory.ndim != 3
            or len(memory) != len(ids)
            or memory.shape[2] != config.d_model
        ):
            raise ModelError(
                f"memory {_shape(memory)}: give ({len(ids)}, positions, {config.d_model}), the "
                "states of an encoder for each text of ids."
            )
        if memory_keep is not None and memory is None:
            raise ModelError("memory_keep is given without memory: give both.")
        for name, mask, of in (("keep", keep, ids), ("memory_keep", memory_keep, memory)):
            if mask is not None and (
                not isinstance(mask, Tensor)
                or mask.dtype != torch.bool
                or mask.shape != of.shape[:2]
            ):
                raise ModelError(
                    f"{name} {_shape(mask)}: give bool of shape {tuple(of.shape[:2])}, True where "
                    "a token is and False where padding is."
                )
        if cache is not None and not config.causal:
            raise ModelError(
                "A cache needs causal=True: here earlier positions look at later ones, so what "
                "they hold changes with each new token."
            )

    def _check_targets(self, ids, targets, alone: bool) -> None:
        if not alone:
            raise ModelError("targets are scored where a whole text is given: no cache, all rows.")
        if (
            not isinstance(targets, Tensor)
            or targets.shape != ids.shape
            or targets.dtype != torch.long
        ):
            raise ModelError(
                f"targets {_shape(targets)}: give torch.long of shape {tuple(ids.shape)}, the "
                "token to come at each position, or -1 for none."
            )


def _last(ids: Tensor, cache: KVCache | None) -> Tensor:
    """(B, 2): the last two tokens of what the cache has read and ids (B, T); 0 before the first."""
    before = None if cache is None else cache.last
    before = ids.new_zeros(len(ids), 2) if before is None else before
    return torch.cat([before, ids], dim=1)[:, -2:]


def _may(look: dict, ids: Tensor, cache: KVCache | None) -> Tensor:
    """Who may look where, (T, S) or (B, T, S), bool, from what `GPT._look` says."""
    length = ids.shape[1]
    before = 0 if cache is None else cache.length
    if "attn_mask" in look:
        mask = look["attn_mask"]
        return mask[:, 0] if mask.ndim == 4 else mask
    # Either a text from its start, or one position that looks at all.
    mask = torch.ones(length, before + length, dtype=torch.bool, device=ids.device)
    return mask.tril(before)


def _shape(x: object) -> str:
    if not isinstance(x, Tensor):
        return f"is a {type(x).__name__}"
    return f"has shape {tuple(x.shape)} and dtype {x.dtype}"
