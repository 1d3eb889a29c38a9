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

from tinygpt.model.cache import KVCache
from tinygpt.model.config import INIT_STD, PRESETS, GPTConfig, ModelError, preset
from tinygpt.model.gpt import GPT
from tinygpt.model.heads import CopyHead, MLMHead
from tinygpt.model.layers import (
    ACTIVATIONS,
    MLP,
    Attention,
    Block,
    NGrams,
    Rotary,
    Sinusoidal,
    angles,
    make_norm,
    relu2,
)
from tinygpt.model.quantise import quantise

__all__ = [
    "ACTIVATIONS",
    "Attention",
    "Block",
    "CopyHead",
    "GPT",
    "GPTConfig",
    "INIT_STD",
    "KVCache",
    "MLMHead",
    "MLP",
    "ModelError",
    "NGrams",
    "PRESETS",
    "Rotary",
    "Sinusoidal",
    "angles",
    "make_norm",
    "preset",
    "quantise",
    "relu2",
]
