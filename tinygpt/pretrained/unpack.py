"""From a GGUF file to a Hugging Face folder: weights in bfloat16, tokenizer, chat template.

The file is llama.cpp's; the package `gguf` reads it and takes its 4-bit numbers back to 32 bits.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from tqdm import tqdm

# llama.cpp's names, and those of LlamaForCausalLM.
WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # llama.cpp's mark of a special token


def gguf_to_folder(name: str, path: Path, folder: Path) -> None:
    """Write the Llama that a GGUF file holds as a folder that `from_pretrained` reads too."""
    from gguf import GGUFReader  # only who unpacks needs it

    reader = GGUFReader(path)
    about = {key: field.contents() for key, field in reader.fields.items()}
    kinds = [about[f"{key}"] for key in ("general.architecture", "tokenizer.ggml.pre")]
    if kinds != ["llama", "smollm"]:
        raise ValueError(f"{path} holds a {' with the tokenizer of '.join(kinds)}")
    weights = dict(_weights(name, reader.tensors, about))
    (folder / "model.safetensors").write_bytes(save(weights, {"format": "pt"}))
    _write(folder / "config.json", _config(about, tied="lm_head.weight" not in weights))
    tokens = about["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    roles = {ours: about[f"tokenizer.ggml.{theirs}_token_id"] for ours, theirs in roles.items()}
    ids = {f"{role}_token_id": i for role, i in roles.items() if role != "unk"}
    _write(folder / "generation_config.json", ids)
    names = {f"{role}_token": tokens[i] for role, i in roles.items()}
    names |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    names |= {"model_max_length": about["llama.context_length"]}
    _write(folder / "tokenizer_config.json", names)
    _tokenizer(about).save(str(folder / "tokenizer.json"))
    template = about["tokenizer.chat_template"]
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8", newline="\n")


def _weights(name: str, tensors: list, about: dict):
    """Each tensor by its name in LlamaForCausalLM."""
    from gguf import dequantize

    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    for tensor in tqdm(tensors, desc=f"{name}: unpacking", unit="matrix"):
        weight = torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type)))
        if tensor.name in WHOLE:
            theirs = WHOLE[tensor.name]
        else:
            _, layer, part, _ = tensor.name.split(".")
            theirs = f"model.layers.{layer}.{BLOCK[part]}.weight"
            if part in heads:
                weight = _halves(weight, about[heads[part]])
        yield theirs, weight.bfloat16().contiguous()


def _halves(weight: Tensor, heads: int) -> Tensor:
    """The rows of each head's queries or keys in the order of Hugging Face and of ours.

    Rotary positions turn pairs. llama.cpp stores the two of a pair side by side, the others all
    first ones and then all second ones.
    """
    rows, width = weight.shape
    pairs = weight.view(heads, rows // heads // 2, 2, width)
    return pairs.transpose(1, 2).reshape(rows, width)


def _config(about: dict, tied: bool) -> dict:
    heads, width = about["llama.attention.head_count"], about["llama.embedding_length"]
    base = about["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(about["tokenizer.ggml.tokens"]),
        "hidden_size": width,
        "intermediate_size": about["llama.feed_forward_length"],
        "num_hidden_layers": about["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": about["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "max_position_embeddings": about["llama.context_length"],
        # GGUF keeps it in 32 bits: 9.999999747378752e-06 is 1e-05.
        "rms_norm_eps": float(str(np.float32(about["llama.attention.layer_norm_rms_epsilon"]))),
        "rope_theta": base,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": tied,
        "bos_token_id": about["tokenizer.ggml.bos_token_id"],
        "eos_token_id": about["tokenizer.ggml.eos_token_id"],
        "pad_token_id": about["tokenizer.ggml.padding_token_id"],
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",  # the same for older readers
    }


def _tokenizer(about: dict) -> Tokenizer:
    """SmolLM2's byte-pair encoding: each digit is a piece, then GPT-2's pattern cuts the rest."""
    tokens, kinds = about["tokenizer.ggml.tokens"], about["tokenizer.ggml.token_type"]
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ")) for merge in about["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == CONTROL
        ]
    )
    return tokenizer


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
