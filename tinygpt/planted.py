"""A small transformer whose heads were put there by hand, so that it is known what each one does.

    from tinygpt import planted
    weights, roles = planted.plant(seed=1)
    ids = planted.texts(64, seed=2)  # twelve tokens, and the same twelve once more
    seen = planted.run(weights, ids)

Two layers of attention, no MLP and no norm. It repeats what it has seen by an induction circuit
(Olsson and others, "In-context Learning and Induction Heads", 2022): a head of the first layer
writes at each token which one stood before, and heads of the second look for where the present
token stood before, and say what came next there. Beside them stand heads that look as if they did
the same and do nothing, one that says the same always, and some of noise. Where each head stands,
and every direction of the stream, is drawn by the seed.
"""

from collections.abc import Callable

import torch
from torch import Tensor

TOKENS, PLACES, WIDTH, KEY = 16, 24, 96, 24
NOISE = 0.004  # standard deviation of what is added to every weight
LOOK = {"previous": 6.0, "induction": 6.0, "false": 12.0}  # scores before the softmax

Weights = dict[str, Tensor]
Change = Callable[[int, Tensor], Tensor]


def texts(count: int, seed: int, half: int = PLACES // 2) -> Tensor:
    """(count, 2 half): `half` different tokens in a random order, and the same once more."""
    chance = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(TOKENS, generator=chance)[:half] for _ in range(count)]
    return torch.stack(rows).repeat(1, 2)


def run(weights: Weights, ids: Tensor, change: Change | None = None) -> dict[str, Tensor]:
    """What the model makes of ids (B, T), and what its heads did.

    "logits" (B, T, V), "attention" (L, B, H, T, T), "heads" (L, B, H, T, d): what each head adds
    to the stream, and "stream" (L + 1, B, T, d): before the first layer and after each.
    `change(layer, heads)` gets what the heads of a layer are about to add, (B, H, T, d), and
    returns what they add instead.
    """
    length = ids.shape[1]
    x = weights["tokens"][ids] + weights["places"][:length]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    attention, heads, stream = [], [], [x]
    for layer in range(len(weights["query"])):
        q, k, v = (
            torch.einsum("btd,hdk->bhtk", x, weights[name][layer])
            for name in ("query", "key", "value")
        )
        scores = q @ k.mT / q.shape[-1] ** 0.5
        attention.append(scores.masked_fill(future, -torch.inf).softmax(dim=-1))
        added = torch.einsum("bhtk,hkd->bhtd", attention[-1] @ v, weights["out"][layer])
        heads.append(added if change is None else change(layer, added.clone()))
        x = x + heads[-1].sum(dim=1)
        stream.append(x)
    found = {"attention": attention, "heads": heads, "stream": stream}
    return {name: torch.stack(parts) for name, parts in found.items()} | {
        "logits": x @ weights["unembed"]
    }


def plant(
    seed: int, twins: bool = True, heads: int = 10
) -> tuple[Weights, dict[str, list[list[int]]]]:
    """A model with so many heads a layer (5 at least), and what is where, as [layer, head].

    Roles: "previous" and "induction" (with `twins` two of these, either of which would nearly do),
    "false previous" and "false induction", which attend to the same places and write where nobody
    reads, "constant", which adds the same to every token, and "same", which attends to where the
    token itself stood. All others are noise.
    """
    chance = torch.Generator().manual_seed(seed)
    pos, tok, prev, say, unread = torch.eye(WIDTH)[: PLACES + 4 * TOKENS].split(
        [PLACES, TOKENS, TOKENS, TOKENS, TOKENS]
    )
    always = torch.eye(WIDTH)[-1]
    shift = 4 * torch.randn(TOKENS, generator=chance) @ say  # what "constant" takes away again
    size = (2, heads, WIDTH, KEY)
    query, key, value = (torch.zeros(size) for _ in range(3))
    out = torch.zeros(2, heads, KEY, WIDTH)
    free = [torch.randperm(heads, generator=chance).tolist() for _ in range(2)]
    roles: dict[str, list[list[int]]] = {}

    def head(role: str, layer: int) -> tuple[int, int]:
        roles.setdefault(role, []).append([layer, free[layer].pop()])
        return tuple(roles[role][-1])

    def attend(at: tuple[int, int], asks: Tensor, has: Tensor, score: float) -> None:
        query[at][:, : len(asks)] = score * KEY**0.5 * asks.T
        key[at][:, : len(has)] = has.T

    def move(at: tuple[int, int], source: Tensor, target: Tensor) -> None:
        value[at][:, : len(source)] = source.T
        out[at][: len(target)] = target

    for role, to in ("previous", prev), ("false previous", unread):
        at = head(role, 0)
        attend(at, pos[1:], pos[:-1], LOOK[role.split()[0]])
        move(at, tok, to)
    at = head("constant", 0)
    move(at, always[None], -shift[None])
    at = head("same", 0)
    attend(at, tok, tok, LOOK["false"])
    move(at, tok, 0.5 * unread.flip(0))
    strength = 9.0
    for share in (0.5, 0.5) if twins else (1.0,):
        at = head("induction", 1)
        attend(at, tok, prev, LOOK["induction"])
        move(at, tok, share * strength * say)
    at = head("false induction", 1)
    attend(at, tok, prev, LOOK["false"])
    move(at, tok, strength * unread)

    weights = {
        "tokens": tok + always,
        "places": pos + shift,
        "query": query,
        "key": key,
        "value": value,
        "out": out,
        "unembed": say.T.clone(),
    }
    for layer, left in enumerate(free):  # the heads that are left: noise, as large as the others
        for h in left:
            for matrix, std in (query, 0.15), (key, 0.15), (value, 0.03), (out, 0.03):
                matrix[layer, h] = std * torch.randn(matrix[layer, h].shape, generator=chance)
    for matrix in weights.values():
        matrix += NOISE * torch.randn(matrix.shape, generator=chance)
    return _turned(weights, chance), roles


def _turned(weights: Weights, chance: torch.Generator) -> Weights:
    """The same model with its stream turned at random, so that no number says what it is for."""
    turn = torch.eye(WIDTH)
    for _ in range(8):  # reflections
        v = torch.randn(WIDTH, generator=chance)
        turn = turn - 2 * torch.outer(turn @ v, v) / (v @ v)
    reads = {name: turn.T @ weights[name] for name in ("query", "key", "value", "unembed")}
    return reads | {name: weights[name] @ turn for name in ("tokens", "places", "out")}
