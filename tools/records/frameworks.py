"""The recorded run of the page "Other tools": its own cells, where TensorFlow is installed."""

from importlib.metadata import version

import torch

from tinygpt.corpora import corpus
from tools.records.cells import define
from tools.records.job import Job

# The cells of the comparison, in the order of the page.
CELLS = (
    *("tools-smoke", "tools-tf", "tools-tf-pieces", "tools-tf-turned"),
    *("tools-tf-attention", "tools-tf-gpt", "tools-tf-theirs", "tools-tf-both"),
)


def tensorflow(job: Job) -> dict:
    """The smallest GPT in TensorFlow and in PyTorch: the largest difference of their logits,
    their gradients and their losses, before and after one step of gradient descent."""
    text = corpus("storyland", size="1MB").train
    names = define("tools", CELLS, torch=torch, text=text)
    differences, losses = names["differences"](names["rows"])
    return {
        "versions": {name: version(name) for name in ("torch", "numpy", "tensorflow")},
        "differences": differences,
        "losses": [round(loss, 4) for loss in losses],
        "figures": differences,
    }
