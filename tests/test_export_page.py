"""`tinygpt.export_page`: what its file holds and what it refuses. tests/browser/ opens it."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from tinygpt.config import RECIPE
from tinygpt.export_page import ExportError, export_page
from tinygpt.model import GPT, GPTConfig, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

TOKENIZER = CharTokenizer("\nabc")
CONFIG = GPTConfig(vocab_size=4, context=8, num_layers=1, num_heads=2, d_model=8, **RECIPE)


def inside(html, name):
    return re.search(rf'id="{name}">(.*?)</script>', html, re.DOTALL)[1]


def test_the_file_holds_each_weight_as_it_is():
    model = GPT(CONFIG)
    html = export_page(model, TOKENIZER, "Ours", "A card.")
    numbers = np.frombuffer(base64.b64decode(inside(html, "weights")), dtype="<f4")
    about = json.loads(inside(html, "about"))
    assert len(numbers) == model.num_parameters()
    state = model.state_dict()
    for name, start, end in about["tensors"]:
        assert torch.equal(torch.tensor(numbers[start:end]), state[name].flatten())
    assert about["characters"] == "\nabc" and about["context"] == 8


def test_the_same_model_gives_the_same_bytes():
    model = GPT(CONFIG)
    assert export_page(model, TOKENIZER, "a", "b") == export_page(model, TOKENIZER, "a", "b")


def test_nothing_in_the_file_names_another_place():
    html = export_page(GPT(CONFIG), TOKENIZER, "a", "b")
    assert "http:" not in html and "https:" not in html and "src=" not in html.replace("-src", "")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (preset("gpt2", vocab_size=4, d_model=8), "norm='rmsnorm'"),
        (replace(CONFIG, activation="relu2"), "activation='swiglu'"),
        (replace(CONFIG, copy_head=True), "copy_head=False"),
        (replace(CONFIG, num_kv_heads=1), "keys of its own"),
    ],
)
def test_a_model_that_the_page_cannot_compute_is_refused(config, said):
    with pytest.raises(ExportError, match=said):
        export_page(GPT(config), TOKENIZER, "a", "b")


@pytest.mark.parametrize("tokenizer", [CharTokenizer("abcd"), BPETokenizer.train("abab", 257)])
def test_a_tokenizer_without_lines_of_characters_is_refused(tokenizer):
    with pytest.raises(ExportError, match="CharTokenizer"):
        export_page(GPT(CONFIG), tokenizer, "a", "b")
