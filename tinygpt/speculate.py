"""Speculative decoding: a small model drafts, a large one reads the draft in one pass.

Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", ICML
2023; Chen et al., "Accelerating Large Language Model Decoding with Speculative Sampling", 2023.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tinygpt.decode import Decoder, draw
from tinygpt.generate import check, check_logits, predicting, stop_ids
from tinygpt.model import GPT, KVCache, ModelError


class Speculated(NamedTuple):
    ids: Tensor  # (1, up to max_new_tokens), the new ones
    accepted: int  # of the tokens drafted
    drafted: int


def speculative(
    draft: GPT,
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    k: int = 4,
    *,
    generator: torch.Generator | None = None,
    stop: int | Sequence[int] | None = None,
    **decoding: float,
) -> Speculated:
    """Continue one prompt of ids (1, T) as `model` would, with fewer passes of it.

    `draft` writes up to k tokens, and `model` accepts as many of them as it can and adds one. Each
    text comes as often as from `generate` with the same `decoding`, though not from the same
    generator; at temperature 0 it is the same text, but where rounding breaks a tie.

    The prompt and the new tokens must fit into both contexts.
    """
    decoder = Decoder(**decoding)
    for one in (draft, model):
        check(one, ids, max_new_tokens, generator)
    stops = stop_ids(model, stop, ids.device)
    if len(ids) != 1:
        raise ModelError(f"ids holds {len(ids)} prompts: speculative continues one at a time.")
    if not isinstance(k, int) or k < 1:
        raise ModelError(f"k is {k!r}: give a whole number, 1 or more.")
    if draft.config.vocab_size != model.config.vocab_size:
        raise ModelError(
            f"The draft has {draft.config.vocab_size} tokens and the model "
            f"{model.config.vocab_size}: both must be trained with one tokenizer."
        )
    if ids.shape[1] + max_new_tokens > (context := min(draft.config.context, model.config.context)):
        raise ModelError(
            f"The prompt has {ids.shape[1]} tokens, which with {max_new_tokens} more is beyond the "
            f"context of {context}: give fewer."
        )
    text, end, accepted, drafted = ids, ids.shape[1] + max_new_tokens, 0, 0
    drafts, reads = KVCache(), KVCache()
    with predicting(draft), predicting(model), torch.inference_mode():
        while text.shape[1] < end:
            before = text.shape[1]
            longer, q = text, []
            for _ in range(min(k, end - before - 1)):  # the model adds one itself
                logits = draft(longer[:, drafts.length :], cache=drafts, last_only=True)[:, 0]
                q.append(decoder(logits, longer).softmax(dim=-1))
                longer = torch.cat([longer, draw(q[-1], generator)[:, None]], dim=1)
            logits = model(longer[:, reads.length :], cache=reads)[0, -len(q) - 1 :]
            check_logits(logits)
            p = [
                decoder(one[None], longer[:, : before + i]).softmax(dim=-1)
                for i, one in enumerate(logits)
            ]
            p, q = torch.cat(p), torch.cat([*q, torch.zeros_like(p[0])])  # (n + 1, vocab_size)
            taken, rest = verdict(p, q, longer[0, before:])
            # The draft stands up to the first token that is not taken.
            n = int(draw(torch.stack([1 - taken, taken], dim=-1), generator).cumprod(0).sum())
            last = draw(rest[n : n + 1], generator)
            text = torch.cat([longer[:, : before + n], last[None]], dim=1)
            accepted, drafted = accepted + n, drafted + len(taken)
            new = text[0, before:]
            if (found := (new[:, None] == stops).any(dim=1)).any():
                text = text[:, : before + int(found.int().argmax()) + 1]
                break
            drafts.truncate(min(drafts.length, before + n))
            reads.truncate(before + n)
    return Speculated(text[:, ids.shape[1] :].long(), accepted, drafted)


def verdict(p: Tensor, q: Tensor, drafted: Tensor) -> tuple[Tensor, Tensor]:
    """What becomes of n drafted tokens (n,): the chance to accept each, (n,), and the chances of
    the token that stands in place of the first refused, or after the last, (n + 1, vocab_size).

    p and q (n + 1, vocab_size) are the chances at each place by the model and by the draft, which
    has drafted nothing at the last: q is 0 there. A token x is drafted with chance q(x) and
    accepted with min(1, p(x) / q(x)), so it comes that way with min(p(x), q(x)); what is missing
    from p(x) is what a refusal draws from.
    """
    at = torch.arange(len(drafted), device=drafted.device)
    taken = (p[at, drafted] / q[at, drafted]).clamp(max=1)
    rest = (p - q).clamp(min=0)
    total = rest.sum(dim=-1, keepdim=True)
    # 0 where p = q, and nothing is refused but by rounding.
    return taken, torch.where(total > 0, rest / total, p)
