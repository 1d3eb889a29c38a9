"""Small models that chat, for the tests of the server and of its page."""

import math
import queue
import threading
from types import SimpleNamespace

import torch

from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer

PATIENCE = 60  # seconds after which a wait for an event is a failure
TOKENS = BPETokenizer.train("the fox and the owl, 狐狸和猫头鹰 🦊🦉. " * 20, 290)
SMALL = {"vocab_size": TOKENS.vocab_size, "context": 400, "num_layers": 1, "d_model": 16}


def template(messages):
    return "".join(f"{one['role']}: {one['content']}\n" for one in messages) + "assistant: "


def real(model):
    return SimpleNamespace(name="tiny", model=model.eval(), tokenizer=TOKENS, chat=template)


def tiny():
    """A model with random weights, so large that its answers depend on what it was asked."""
    torch.manual_seed(3)
    model = GPT(preset("gpt2", **SMALL, tied=False))
    with torch.no_grad():
        for matrix in model.parameters():
            matrix.mul_(15 if matrix.ndim > 1 else 1)
    return real(model)


class Scripted(GPT):
    """Writes `script` again and again. Once held, its passes wait until it is released."""

    def __init__(self, script):
        super().__init__(preset("gpt2", **SMALL))
        self.script, self.place = TOKENS.encode(script), 0
        self.passes = queue.Queue()
        self._changed, self._free = threading.Condition(), math.inf

    def hold(self, after=0):
        """So many passes may still end; those after them wait."""
        with self._changed:
            self._free = after

    def release(self):
        with self._changed:
            self._free = math.inf
            self._changed.notify_all()

    def forward(self, ids, cache, last_only):
        self.passes.put(ids.shape)
        with self._changed:
            assert self._changed.wait_for(lambda: self._free > 0, PATIENCE)
            self._free -= 1
        self.place = 0 if cache.length == 0 else self.place + 1
        cache.advance(ids)
        logits = torch.zeros(1, 1, self.config.vocab_size)
        logits[..., self.script[self.place % len(self.script)]] = 100.0
        return logits
