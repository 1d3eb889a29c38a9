"""Text from a model, one token at a time."""

import functools
import math

import torch
from torch import Tensor, nn

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
        bare = _bare(model)
        # Faster than no_grad; what it makes does not leave this function.
        with torch.inference_mode():
            length = ids.shape[1]
            texts = torch.cat([ids, ids.new_zeros(len(ids), max_new_tokens)], dim=1)
            ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
            cache, fresh = KVCache(), texts[:, max(0, length - context) : length]
            while length < texts.shape[1]:
                logits = bare(fresh, cache=cache, last_only=True)[:, 0]  # (B, vocab_size)
                chosen = _choose(logits, temperature, generator)  # (B,)
                if stop is not None:
                    chosen = chosen.masked_fill(ended, stop)
                    ended = ended | (chosen == stop)
                texts[:, length] = chosen
                length += 1
                if stop is not None and ended.all():
                    break
                fresh = chosen[:, None]
                if cache.length == context:
                    cache, fresh = KVCache(), texts[:, length - context : length]
            # What is no number stays so in the cache: looking once, at the end, is enough.
            if max_new_tokens and not (logits < math.inf).all():
                raise ModelError(
                    "The model's logits are not numbers: are its weights? Training with too high "
                    "a learning rate can do this."
                )
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
    chances = logits.softmax(dim=-1)
    # As torch.multinomial draws one, bit for bit, but without its checks, which take most of its
    # time. Of waiting times with means 1 / chance, the i-th is the shortest with the i-th chance.
    return (chances / torch.empty_like(chances).exponential_(generator=generator)).argmax(dim=-1)


def _bare(module: nn.Module) -> nn.Module:
    """A shallow copy for prediction that finds its parameters and parts as plain attributes.

    A step of a small model is so short that nn.Module's own work, the search for them and for
    hooks, is a third of it. The parameters are shared, and the methods are the module's. A module
    that has hooks, or a call of its own, is taken as it is.
    """
    kind = type(module)
    hooks = module._forward_hooks or module._forward_pre_hooks
    if hooks or "forward" in vars(module) or kind.__call__ is not nn.Module.__call__:
        return module
    parts = {name: None if part is None else _bare(part) for name, part in module._modules.items()}
    found = vars(module) | module._parameters | module._buffers | parts | {"_modules": parts}
    made = object.__new__(_called_directly(kind))
    vars(made).update(found)
    return made


@functools.cache
def _called_directly(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (kind,), {"__call__": kind.forward})


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
