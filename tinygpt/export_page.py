"""A trained model as one HTML file: its weights, and the JavaScript that reads them.

The file asks nothing of any network, and its own policy forbids it to. The JavaScript is
`export_page.html` beside this module: the forward pass of the book's modern GPT, one token at a
time, in 64 bits on weights of 32.
"""

import base64
import json
import re
from html import escape
from pathlib import Path

import torch

from tinygpt.errors import PlainError
from tinygpt.model import GPT, GPTConfig
from tinygpt.tokenizer import CharTokenizer

# What the JavaScript computes; a model may differ in its sizes, and in whether its head is tied.
COMPUTED = {
    "norm": "rmsnorm",
    "positions": "rotary",
    "activation": "swiglu",
    "qk_norm": True,
    "bias": False,
    "causal": True,
    "cross_attention": False,
    "norm_first": True,
    "embedding_norm": False,
    "mlm_head": False,
    "copy_head": False,
    "ngram_rows": None,
}


class ExportError(PlainError, ValueError):
    """A model that the page cannot compute. The message is one line."""


def export_page(model: GPT, tokenizer: CharTokenizer, title: str, card: str) -> str:
    """The HTML of a page on which the model writes, with `card`, plain text, under it.

    A file of about 5.4 bytes a parameter. Raises ExportError where the model has a piece that the
    page does not compute, or the tokenizer is not one of characters.
    """
    config = model.config
    _check(config, tokenizer)
    state = model.stored(model.state_dict())
    tensors, parts, start = [], [], 0
    for name, tensor in state.items():
        end = start + tensor.numel()
        tensors.append([name, start, end])
        parts.append(tensor.detach().float().cpu().flatten())
        start = end
    numbers = torch.cat(parts).numpy().astype("<f4")  # as browsers hold them, on any machine
    about = {
        "characters": tokenizer.characters,
        "context": config.context,
        "layers": config.num_layers,
        "heads": config.num_heads,
        "eps": config.norm_eps,
        "base": config.rotary_base,
        "tensors": tensors,
    }
    texts = {
        "TITLE": escape(title),
        "CARD": escape(card),
        # In a script "</" would end it; in JSON this means the same.
        "ABOUT": json.dumps(about).replace("<", "\\u003c"),
        "WEIGHTS": base64.b64encode(numbers.tobytes()).decode(),
    }
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    return re.sub("@([A-Z]+)@", lambda mark: texts[mark[1]], page)


def _check(config: GPTConfig, tokenizer: CharTokenizer) -> None:
    for name, value in COMPUTED.items():
        if (found := getattr(config, name)) != value:
            raise ExportError(
                f"The page computes models with {name}={value!r}, and this one has {found!r}."
            )
    if config.kv_heads != config.num_heads:
        raise ExportError("The page gives each head keys of its own: make the model so.")
    if not isinstance(tokenizer, CharTokenizer) or "\n" not in tokenizer.characters:
        raise ExportError(
            "The page reads and writes characters, and a text there ends in a newline: train the "
            "model on the ids of a CharTokenizer that has one."
        )
