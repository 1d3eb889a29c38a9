"""Small models that chat, for the tests of the server and of its page."""

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
    """Writes `script` again and again; each pass waits at the gate, which closes at pass `last`."""

    def __init__(self, script):
        super().__init__(preset("gpt2", **SMALL))
        self.script, self.place = TOKENS.encode(script), 0
        self.gate, self.passes, self.last = threading.Event(), queue.Queue(), None
        self.gate.set()

    def forward(self, ids, cache, last_only):
        if self.last == 0:
            self.gate.clear()
        self.last = None if self.last is None else self.last - 1
        self.passes.put(ids.shape)
        assert self.gate.wait(PATIENCE)
        self.place = 0 if cache.length == 0 else self.place + 1
        cache.advance(ids)
        logits = torch.zeros(1, 1, self.config.vocab_size)
        logits[..., self.script[self.place % len(self.script)]] = 100.0
        return logits
