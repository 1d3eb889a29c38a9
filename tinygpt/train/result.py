"""What came of a run: its model, texts that it makes, what it pays."""

import os
import platform
from pathlib import Path

import torch
from torch import Tensor

from tinygpt import checkpoint, corpora, parallel
from tinygpt.config import TrainConfig
from tinygpt.data import Texts
from tinygpt.generate import generate
from tinygpt.model import GPT, GPTConfig
from tinygpt.tokenizer import BPETokenizer, CharTokenizer
from tinygpt.train.measure import bits_per_char, masked_bits

LAST, BEST = "last.safetensors", "best.safetensors"


def load(
    folder: Path, which: str = "best"
) -> tuple[GPT, BPETokenizer | CharTokenizer, TrainConfig, dict]:
    """The model of a run at its best or last checkpoint, on the CPU, in evaluation mode.

    With it the tokenizer, the configuration, and what the checkpoint says: step, curve.
    """
    config = TrainConfig.read(folder / "config.json")
    kind = BPETokenizer if config.tokenizer == "bpe" else CharTokenizer
    tokenizer = kind.load(folder / "tokenizer.json")
    tensors, about = checkpoint.load(folder / {"best": BEST, "last": LAST}[which])
    model = GPT(GPTConfig(**about["model"]))
    tensors = model.restored(tensors)
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    return model.eval(), tokenizer, config, about


def sample(
    model: GPT,
    tokenizer: BPETokenizer | CharTokenizer,
    prompt: str = "",
    *,
    tokens: int = 200,
    temperature: float = 1.0,
    seed: int = 0,
    stop: bool = False,
    **decoding: float | None,
) -> str:
    """The prompt, and how the model goes on with it; with `stop` no further than the line's end.

    What the model sees first is a newline: the prompt begins a text. `decoding` are more settings
    of `generate`.
    """
    device = next(model.parameters()).device
    ids = torch.tensor([tokenizer.encode("\n" + prompt)], device=device)
    generator = torch.Generator(device).manual_seed(seed)
    end = tokenizer.encode("\n")[0] if stop else None
    decoding["temperature"] = temperature
    new = generate(model, ids, tokens, generator=generator, stop=end, **decoding)
    return prompt + tokenizer.decode(new[0].tolist())


def measured(model: GPT, texts: Texts, corpus: str) -> dict:
    """What a model pays for texts of a corpus: of a character, or of a token hidden from it."""
    if not model.config.causal:
        bits, right = masked_bits(model, texts)
        return {"bits_per_hidden_token": round(bits, 4), "found": round(right, 4)}
    bits, floor = bits_per_char(model, texts), corpora.floor(corpus)
    found = {"bits_per_char": round(bits, 4)}
    return found | ({"floor": floor, "above_floor": round(bits / floor - 1, 4)} if floor else {})


@torch.no_grad()
def samples(
    model: GPT, tokenizer: BPETokenizer | CharTokenizer, texts: Texts, *, stop: bool
) -> list:
    """Three texts that a model makes; or of an encoder three of `texts` with every seventh token
    hidden, and what it puts there."""
    if model.config.causal:
        return [sample(model, tokenizer, seed=seed, stop=stop) for seed in range(3)]
    device, told = next(model.parameters()).device, []
    for which in torch.arange(min(3, len(texts)))[:, None]:
        ids = texts.rows(which, int(texts.lengths(which)) + 1)[:, 1:].to(device)
        seen, hidden = ids.clone(), slice(3, None, 7)
        seen[:, hidden] = model.config.vocab_size - 1
        ids[:, hidden] = model(seen)[:, hidden].argmax(dim=2)
        filled = tokenizer.decode(ids[0].tolist())
        told.append({"shown": _gaps(tokenizer, seen[0]), "filled": filled})
    return told


def _gaps(tokenizer: BPETokenizer, ids: Tensor) -> str:
    """A text in which each mask is a gap to see."""
    parts, mask = [[]], tokenizer.end_id
    for token in ids.tolist():
        if token == mask:
            parts.append([])
        else:
            parts[-1].append(token)
    return " ____".join(tokenizer.decode(part) for part in parts)


def machine(place: parallel.Place) -> str:
    """With what and on which hardware this process runs."""
    gpu = torch.cuda.get_device_name() if place.device.type == "cuda" else place.device.type
    return (
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, on {place.world} x "
        f"{gpu}, {os.cpu_count()} cores"
    )
