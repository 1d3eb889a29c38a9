"""To and from Hugging Face `transformers`: the same weights, the same logits.

    GPT-2                                 GPT2LMHeadModel
    rotary, RMSNorm, SwiGLU and QK-norm   Qwen3ForCausalLM
    the same without QK-norm              LlamaForCausalLM
    BERT                                  BertForMaskedLM
    BERT without an output head           BertModel

A table names, for each of our parameters, theirs that lie below one another in it; both directions
read the same table.
"""

import json
import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from tinygpt.model import GPT, GPTConfig, ModelError
from tinygpt.tokenizer import END, BPETokenizer, CharTokenizer, HFTokenizer

GPT2, QWEN3, LLAMA, BERT, BODY = (
    "GPT2LMHeadModel",
    "Qwen3ForCausalLM",
    "LlamaForCausalLM",
    "BertForMaskedLM",
    "BertModel",
)
# Their names of the activations.
ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu2": "relu2"}

# What a class can hold: the values that a field of ours may have.
ROTARY = {
    "norm": ["rmsnorm"],
    "positions": ["rotary"],
    "activation": ["swiglu"],
    "causal": [True],
    "cross_attention": [False],
    "norm_first": [True],
    "embedding_norm": [False],
    "mlm_head": [False],
    "copy_head": [False],
    "ngram_rows": [None],
}
ADDED = {  # positions that are added to the embeddings
    "norm": ["layernorm"],
    "positions": ["learned"],
    "activation": list(ACTIVATIONS),
    "qk_norm": [False],
    "cross_attention": [False],
    "copy_head": [False],
    "ngram_rows": [None],
}
ENCODER = ADDED | {"causal": [False], "norm_first": [False], "embedding_norm": [True]}
HOLDS = {
    GPT2: ADDED
    | {"causal": [True], "norm_first": [True], "embedding_norm": [False], "mlm_head": [False]},
    QWEN3: ROTARY | {"qk_norm": [True], "bias": [False]},
    LLAMA: ROTARY | {"qk_norm": [False]},
    BERT: ENCODER | {"mlm_head": [True]},
    BODY: ENCODER | {"mlm_head": [False], "tied": [True]},  # tied: no matrix but the embedding
}


# The table: modules of ours, then theirs, the topmost first.
NORMS = ("norm", "norm_1", "norm_2", "q_norm", "k_norm")

GPT2_WHOLE = {
    "embedding": "transformer.wte",
    "position": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
}
GPT2_BLOCK = {
    "norm_1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm_2": "ln_2",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
ROTARY_WHOLE = {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"}
ROTARY_BLOCK = {
    "norm_1": "input_layernorm",
    "attention.qkv": "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "norm_2": "post_attention_layernorm",
    "mlp.up": "mlp.gate_proj mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}
QWEN3_BLOCK = ROTARY_BLOCK | {
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
}
BODY_WHOLE = {
    "embedding": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "embedding_norm": "embeddings.LayerNorm",
}
BERT_WHOLE = {
    **{ours: f"bert.{theirs}" for ours, theirs in BODY_WHOLE.items()},
    "head.transform": "cls.predictions.transform.dense",
    "head.norm": "cls.predictions.transform.LayerNorm",
    "head.output": "cls.predictions.decoder",
}
BERT_BLOCK = {
    "attention.qkv": "attention.self.query attention.self.key attention.self.value",
    "attention.out": "attention.output.dense",
    "norm_1": "attention.output.LayerNorm",
    "mlp.up": "intermediate.dense",
    "mlp.down": "output.dense",
    "norm_2": "output.LayerNorm",
}


TYPES = {
    BERT: "bert.embeddings.token_type_embeddings.weight",
    BODY: "embeddings.token_type_embeddings.weight",
}


def to_hf(model: GPT):
    """The model as one of `transformers`, of the same type and on the same device.

    It predicts what `model` predicts; a BertModel, which predicts nothing, has the states that
    `model.hidden` gives. Biases that ours lacks are zero in theirs. ModelError names the field that
    no class of theirs has.
    """
    transformers = _transformers()
    config, name = model.config, _class_for(model.config)
    options = {"add_pooling_layer": False} if name == BODY else {}
    theirs = getattr(transformers, name)(_their_config(config, name), **options)
    parameter = model.embedding.weight
    theirs = theirs.to(device=parameter.device, dtype=parameter.dtype)
    our_state, their_state = model.state_dict(), theirs.state_dict()
    for ours, parts in _table(config, name).items():
        targets = [_as_ours(their_state, part) for part in parts]
        if ours not in our_state:  # a bias that theirs always has
            for target in targets:
                target.zero_()
            continue
        pieces = our_state[ours].split([len(target) for target in targets])
        for target, piece in zip(targets, pieces, strict=True):
            target.copy_(piece)
    if name in TYPES:
        # We have no types of token: all are of type 0, which adds nothing.
        their_state[TYPES[name]].zero_()
    if name == BERT:
        their_state["cls.predictions.bias"].copy_(our_state["head.output.bias"])
    return theirs.train(model.training)


def from_hf(theirs) -> GPT:
    """A model of `transformers` as ours; ModelError names what ours cannot hold.

    A BertModel's pooler is left out: it follows the states, for a task that few models keep.
    """
    name = type(theirs).__name__
    if name not in HOLDS:
        raise ModelError(f"from_hf takes a {' or '.join(HOLDS)}, not a {name}.")
    model = from_state(_our_config(theirs.config, name), name, theirs.state_dict())
    return model.train(theirs.training)


def from_state(
    config: GPTConfig,
    name: str,
    theirs: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
) -> GPT:
    """The model with this configuration and the state dict of a `name` of theirs, copied."""
    ours = {}
    for one, parts in _table(config, name).items():
        pieces = [_as_ours(theirs, part) for part in parts]
        rows = [len(piece) for piece in pieces]
        ours[one] = pieces[0].new_empty(sum(rows), *pieces[0].shape[1:], dtype=dtype)
        for target, piece in zip(ours[one].split(rows), pieces, strict=True):
            target.copy_(piece)
    if name in TYPES:
        # Every token is of type 0: what that adds, each position adds instead.
        ours["position.weight"] += theirs[TYPES[name]][0]
    return GPT.from_stored(config, ours)


def tokenizer_to_hf(tokenizer: BPETokenizer | CharTokenizer | HFTokenizer):
    """The tokenizer as a `PreTrainedTokenizerFast`: the same ids for any text.

    "<|end|>" in a text is plain text there too, but the special tokens of an HFTokenizer are read
    as such, as their users expect. A text with a character that a CharTokenizer does not know is
    refused.
    """
    transformers = _transformers()
    options = {"clean_up_tokenization_spaces": False}
    if isinstance(tokenizer, HFTokenizer):
        fast = Tokenizer.from_str(tokenizer._tokenizer.to_str())
        options |= tokenizer.names
    elif isinstance(tokenizer, BPETokenizer):
        fast = Tokenizer.from_str(tokenizer._tokenizer.to_str())
        options |= {"eos_token": END, "split_special_tokens": True}
    elif isinstance(tokenizer, CharTokenizer):
        vocab = {character: i for i, character in enumerate(tokenizer.characters)}
        fast = Tokenizer(models.WordLevel(vocab, unk_token=""))
        fast.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        fast.decoder = decoders.Fuse()
    else:
        raise ModelError(
            f"A {type(tokenizer).__name__} is no tokenizer of ours: give a BPETokenizer or a "
            "CharTokenizer."
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=fast, **options)


def save(
    model: GPT, tokenizer: BPETokenizer | CharTokenizer | HFTokenizer, folder: str | os.PathLike
) -> None:
    """Write a folder that `from_pretrained` of `transformers` reads, and `load` too."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ModelError(
            f"The tokenizer has {tokenizer.vocab_size} tokens and the model "
            f"{model.config.vocab_size}: it was made with another one."
        )
    theirs = to_hf(model)
    their_tokenizer = tokenizer_to_hf(tokenizer)
    if model.config.causal and not isinstance(tokenizer, CharTokenizer):
        # What their `generate` stops at.
        theirs.config.eos_token_id = theirs.generation_config.eos_token_id = tokenizer.end_id
    elif isinstance(tokenizer, BPETokenizer):  # a gap in a text is written "<|end|>"
        their_tokenizer.mask_token, their_tokenizer.split_special_tokens = END, False
    with _no_progress_bars():
        theirs.save_pretrained(folder)
        their_tokenizer.save_pretrained(folder)


def load(
    folder: str | os.PathLike, dtype: torch.dtype | None = None
) -> tuple[GPT, BPETokenizer | CharTokenizer | HFTokenizer]:
    """The model and the tokenizer of a Hugging Face folder: one that `save` wrote, or another's.

    The weights are of type `dtype`, else as they are stored. ModelError says in one line what the
    folder lacks, or what ours cannot hold.
    """
    transformers = _transformers()
    folder = Path(folder)
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} holds no model in Hugging Face's form: {name} is missing.")
    name = _their_class(folder / "config.json")
    try:
        with _no_progress_bars():
            theirs, found = getattr(transformers, name).from_pretrained(
                folder, local_files_only=True, dtype=dtype or "auto", output_loading_info=True
            )
    except (OSError, SafetensorError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"The {name} in {folder} cannot be read: {reason}") from None
    # Those would stay as they were drawn. A pooler's are not ours.
    missing = sorted(one for one in found["missing_keys"] if not one.startswith("pooler."))
    if missing:
        raise ModelError(
            f"The weights in {folder} are not those of a whole {name}: {missing[0]} is missing"
            + (f", with {len(missing) - 1} more." if len(missing) > 1 else ".")
        )
    return from_hf(theirs), _their_tokenizer(folder)


def config_of(folder: str | os.PathLike) -> tuple[GPTConfig, str]:
    """Our configuration of the model in a Hugging Face folder, and its class of theirs."""
    name = _their_class(Path(folder) / "config.json")
    theirs = _transformers().AutoConfig.from_pretrained(folder, local_files_only=True)
    return _our_config(theirs, name), name


def _their_class(path: Path) -> str:
    """The class that a config.json names, if ours holds it."""
    try:
        (name,) = json.loads(path.read_text(encoding="utf-8"))["architectures"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path} names no class of transformers in its architectures.") from None
    if name not in HOLDS:
        raise ModelError(f"{path.parent} holds a {name}: load reads {' or '.join(HOLDS)}.")
    return name


def _their_tokenizer(folder: Path) -> BPETokenizer | CharTokenizer | HFTokenizer:
    """That of a folder: one of ours, if `save` wrote it."""
    tokenizer = HFTokenizer.load(folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if content["model"]["type"] == "WordLevel" and not content["added_tokens"]:
        return CharTokenizer(content["model"]["vocab"])
    if [token["content"] for token in content["added_tokens"]] == [END]:
        return BPETokenizer(tokenizer._tokenizer)
    if tokenizer.end_id is None:
        tokenizer.names |= _end_name(folder, tokenizer)
    return tokenizer


def _end_name(folder: Path, tokenizer: HFTokenizer) -> dict[str, str]:
    """What ends a text where only the model's files say so, as GPT-2's do."""
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            end = json.loads((folder / name).read_text(encoding="utf-8")).get("eos_token_id")
            end = end[0] if isinstance(end, list) else end
            if end is not None:
                return {"eos_token": tokenizer._tokenizer.id_to_token(end)}
    return {}


def _transformers():
    try:
        import transformers  # seconds to import, and only this module needs it
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise ModelError(
            "tinygpt.hf needs the package transformers: pip install transformers"
        ) from None
    return transformers


@contextmanager
def _no_progress_bars():
    """For files that are read and written in a moment: a page would keep the bars."""
    logging = _transformers().utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _class_for(config: GPTConfig) -> str:
    """The class of `transformers` that holds such a model."""
    if config.positions == "rotary":
        name = QWEN3 if config.qk_norm else LLAMA
    elif config.causal:
        name = GPT2
    else:
        name = BERT if config.mlm_head else BODY
    for field, allowed in HOLDS[name].items():
        if getattr(config, field) not in allowed:
            raise ModelError(
                f"{field} is {getattr(config, field)!r}, which no class of transformers has with "
                f"the rest of this model: {name} comes nearest, with "
                f"{' or '.join(repr(value) for value in allowed)}."
            )
    if name in (GPT2, BERT, BODY) and config.kv_heads != config.num_heads:
        raise ModelError(
            f"num_kv_heads is {config.num_kv_heads}: {name}, which comes nearest in transformers, "
            f"has as many as num_heads, {config.num_heads}."
        )
    return name


def _their_config(config: GPTConfig, name: str):
    transformers = _transformers()
    common = {
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied,
        "initializer_range": 0.02,
        "bos_token_id": None,  # not those of the published models
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if name == GPT2:
        return transformers.GPT2Config(
            n_positions=config.context,
            n_embd=config.d_model,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            n_inner=config.hidden,
            activation_function=ACTIVATIONS[config.activation],
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            layer_norm_epsilon=config.norm_eps,
            **common,
        )
    common |= {
        "hidden_size": config.d_model,
        "intermediate_size": config.hidden,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "max_position_embeddings": config.context,
    }
    if name in (BERT, BODY):
        return transformers.BertConfig(
            hidden_act=ACTIVATIONS[config.activation],
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            layer_norm_eps=config.norm_eps,
            **common,
        )
    common |= {
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_head,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rotary_base},
        "attention_bias": config.bias,
        "attention_dropout": config.dropout,
    }
    if name == QWEN3:
        return transformers.Qwen3Config(**common)
    return transformers.LlamaConfig(mlp_bias=config.bias, **common)


def _our_config(theirs, name: str) -> GPTConfig:
    # What the names of these classes do not say, and ours has in one form only.
    fixed = {
        GPT2: {
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "add_cross_attention": False,
        },
        BERT: {"is_decoder": False, "add_cross_attention": False},
        BODY: {"is_decoder": False, "add_cross_attention": False},
        QWEN3: {"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False},
        LLAMA: {"hidden_act": "silu"},
    }[name]
    if name in (QWEN3, LLAMA):
        fixed["head_dim"] = theirs.hidden_size // theirs.num_attention_heads
        rope = dict(theirs.rope_parameters)
        if rope["rope_type"] != "default":
            raise ModelError(
                f"rope_type is {rope['rope_type']!r} in this {name}: ours is 'default'."
            )
    if name == LLAMA:
        fixed["mlp_bias"] = theirs.attention_bias
    for field, value in fixed.items():
        if getattr(theirs, field) != value:
            raise ModelError(
                f"{field} is {getattr(theirs, field)!r} in this {name}: ours takes {value!r}."
            )
    tied = name == BODY or theirs.tie_word_embeddings
    fields = {"vocab_size": theirs.vocab_size, "tied": tied}
    if name == GPT2:
        return GPTConfig(
            context=theirs.n_positions,
            d_model=theirs.n_embd,
            num_layers=theirs.n_layer,
            num_heads=theirs.n_head,
            mlp_hidden=theirs.n_inner,
            activation=_activation(theirs.activation_function, name),
            dropout=theirs.resid_pdrop,
            norm_eps=theirs.layer_norm_epsilon,
            **fields,
        )
    fields |= {
        "context": theirs.max_position_embeddings,
        "d_model": theirs.hidden_size,
        "num_layers": theirs.num_hidden_layers,
        "num_heads": theirs.num_attention_heads,
        "mlp_hidden": theirs.intermediate_size,
    }
    if name in (BERT, BODY):
        return GPTConfig(
            activation=_activation(theirs.hidden_act, name),
            causal=False,
            norm_first=False,
            embedding_norm=True,
            mlm_head=name == BERT,
            dropout=theirs.hidden_dropout_prob,
            norm_eps=theirs.layer_norm_eps,
            **fields,
        )
    return GPTConfig(
        num_kv_heads=theirs.num_key_value_heads,
        norm="rmsnorm",
        positions="rotary",
        rotary_base=float(rope["rope_theta"]),
        activation="swiglu",
        qk_norm=name == QWEN3,
        bias=theirs.attention_bias,
        dropout=theirs.attention_dropout,
        norm_eps=theirs.rms_norm_eps,
        **fields,
    )


def _activation(theirs: str, name: str) -> str:
    for ours, known in ACTIVATIONS.items():
        if theirs == known:
            return ours
    raise ModelError(
        f"The activation is {theirs!r} in this {name}: ours are "
        f"{' and '.join(ACTIVATIONS.values())}."
    )


def _as_ours(state: Mapping[str, Tensor], name: str) -> Tensor:
    """A parameter of theirs the way round that ours is: GPT-2 stores (inputs, outputs)."""
    transposed = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    return state[name].T if transposed else state[name]


def _table(config: GPTConfig, name: str) -> dict[str, list[str]]:
    """For each stored parameter of ours those of theirs that lie below one another in it."""
    whole, block, prefix = {
        GPT2: (GPT2_WHOLE, GPT2_BLOCK, "transformer.h"),
        BERT: (BERT_WHOLE, BERT_BLOCK, "bert.encoder.layer"),
        BODY: (BODY_WHOLE, BERT_BLOCK, "encoder.layer"),
        QWEN3: (ROTARY_WHOLE, QWEN3_BLOCK, "model.layers"),
        LLAMA: (ROTARY_WHOLE, ROTARY_BLOCK, "model.layers"),
    }[name]
    modules = {ours: theirs.split() for ours, theirs in whole.items()}
    for layer in range(config.num_layers):
        for ours, theirs in block.items():
            modules[f"blocks.{layer}.{ours}"] = [
                f"{prefix}.{layer}.{one}" for one in theirs.split()
            ]
    weights_only = ("embedding", "position", "head")  # of modules that may be either
    table = {}
    for ours, theirs in modules.items():
        table[f"{ours}.weight"] = [f"{one}.weight" for one in theirs]
        norm = config.norm == "rmsnorm" and ours.rpartition(".")[2] in NORMS
        no_bias = name in (QWEN3, LLAMA) and not config.bias
        if ours not in weights_only and not norm and not no_bias:
            table[f"{ours}.bias"] = [f"{one}.bias" for one in theirs]
    table.pop(config.tied_name, None)
    return table
