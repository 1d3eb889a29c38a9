"""Text from a model, one token at a time."""

import math

import torch
from torch import Tensor

from tinygpt.model import GPT, KVCache, ModelError

SMALLEST = torch.finfo(torch.float32).tiny


def generate(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    stop: int | None = None,
) -> Tensor:
    """Continue each prompt of ids (B, T) -> the new ids (B, up to max_new_tokens).

    A token is drawn from softmax(logits / temperature); 0 takes the most probable one. `generator`
    makes the draw repeatable. `stop` is the id that ends a text: it is part of the answer, and
    fills the row while others go on.

    A text may grow past the context: each token is then predicted from the last `context` tokens,
    which costs a whole pass, as every position has moved.
    """
    _check(model, ids, max_new_tokens, temperature, generator, stop)
    context = model.config.context
    training = model.training
    model.eval()
    try:
        # Faster than no_grad; what it makes does not leave this function.
        with torch.inference_mode():
            length = ids.shape[1]
            texts = torch.cat([ids, ids.new_zeros(len(ids), max_new_tokens)], dim=1)
            ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
            cache, fresh = KVCache(), texts[:, max(0, length - context) : length]
            while length < texts.shape[1]:
                h = model.hidden(fresh, cache=cache)[:, -1]  # (B, d)
                chosen = _choose(model.head(h), temperature, generator)  # (B,)
                if stop is not None:
                    chosen = chosen.masked_fill(ended, stop)
                    ended = ended | (chosen == stop)
                texts[:, length] = chosen
                length += 1
                if stop is not None and ended.all():
                    break
                fresh = texts[:, length - 1 : length]
                if cache.length == context:
                    cache, fresh = KVCache(), texts[:, length - context : length]
    finally:
        model.train(training)
    return texts[:, ids.shape[1] : length].long().clone()


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """logits (B, vocab_size) -> one id a row, (B,)."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    # The largest becomes 0 first, and stays it at the lowest temperature.
    logits = logits.float()
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / max(temperature, SMALLEST)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(1)


def _check(model, ids, max_new_tokens, temperature, generator, stop) -> None:
    if not model.config.causal or model.config.cross_attention:
        raise ModelError(
            "generate continues a text with a causal model that looks at nothing else: this one "
            + ("is not causal." if not model.config.causal else "looks at an encoder's states.")
        )
    if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.shape[1] == 0:
        raise ModelError(
            "ids must be a tensor of shape (batch, positions) with a token or more in each row: "
            "for one prompt, torch.tensor([tokenizer.encode(text)])."
        )
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise ModelError(f"max_new_tokens is {max_new_tokens!r}: give a whole number, 0 or more.")
    number = isinstance(temperature, int | float)
    if not number or not 0 <= temperature or math.isinf(temperature):
        raise ModelError(f"temperature is {temperature!r}: give a number, 0 or more.")
    if stop is not None and not 0 <= stop < model.config.vocab_size:
        raise ModelError(f"stop is {stop}, but vocab_size is {model.config.vocab_size}.")
    if generator is not None and generator.device.type != ids.device.type:
        raise ModelError(
            f"The generator is on {generator.device} and ids on {ids.device}: make it with "
            f"torch.Generator({str(ids.device)!r})."
        )
