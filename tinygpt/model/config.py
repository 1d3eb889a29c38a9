"""What a model is made of, and the presets that name three that are known."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin

from tinygpt.errors import PlainError

INIT_STD = 0.02  # GPT-2's


class ModelError(PlainError, ValueError):
    """A configuration or a tensor that does not fit the model. The message is one line."""


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

    @property
    def tied_name(self) -> str | None:
        """The embedding's other name in the state dict, where the output head is tied to it."""
        name = "head.output.weight" if self.mlm_head else "head.weight"
        return name if self.tied else None


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
