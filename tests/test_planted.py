"""The planted model: its heads do what they are said to do, whatever the seed."""

import pytest
import torch
import torch.nn.functional as F

from tinygpt import planted

HALF = planted.PLACES // 2


@pytest.fixture(params=[(0, True), (1, False), (2, True)], ids=str)
def model(request):
    seed, twins = request.param
    return planted.plant(seed, twins=twins, heads=5 + seed)


def loss(weights, ids, heads=()):
    """The loss in the second half, with the means of other texts for some heads."""
    means = planted.run(weights, planted.texts(30, 99))["heads"].mean(dim=1)

    def change(layer, added):
        for at, head in heads:
            if at == layer:
                added[:, head] = means[layer, head]
        return added

    logits = planted.run(weights, ids, change)["logits"][:, HALF:-1]
    return F.cross_entropy(logits.mT, ids[:, HALF + 1 :]).item()


def test_texts_repeat_different_tokens():
    ids = planted.texts(5, 3)
    assert ids.equal(planted.texts(5, 3)) and not ids.equal(planted.texts(5, 4))
    assert ids[:, :HALF].equal(ids[:, HALF:])
    assert all(len(set(row)) == HALF for row in ids[:, :HALF].tolist())


def test_what_comes_again_is_known(model):
    assert loss(model[0], planted.texts(30, 1)) < 0.4


def test_without_the_circuit_nothing_is_known(model):
    weights, roles = model
    ids = planted.texts(30, 1)
    for role in "previous", "induction":
        assert loss(weights, ids, roles[role]) > 2


def test_heads_that_only_look_so_do_nothing(model):
    weights, roles = model
    ids = planted.texts(30, 1)
    attention = planted.run(weights, ids)["attention"].mean(dim=1)
    for role, back in ("previous", 1), ("induction", HALF - 1):
        place = torch.arange(HALF, 2 * HALF)
        paid = attention[..., place, place - back].mean(dim=-1)
        assert paid[*roles[f"false {role}"][0]] > paid[*roles[role][0]] > 0.5
        change = loss(weights, ids, roles[f"false {role}"]) - loss(weights, ids)
        assert abs(change) < 0.05


def test_a_constant_head_is_its_mean(model):
    weights, roles = model
    ids = planted.texts(30, 1)
    assert abs(loss(weights, ids, roles["constant"]) - loss(weights, ids)) < 0.05

    def silent(layer, added):
        if layer == 0:
            added[:, roles["constant"][0][1]] = 0
        return added

    logits = planted.run(weights, ids, silent)["logits"][:, HALF:-1]
    assert F.cross_entropy(logits.mT, ids[:, HALF + 1 :]) > loss(weights, ids) + 0.3


def test_either_twin_nearly_does():
    weights, roles = planted.plant(3)
    ids = planted.texts(30, 1)
    intact, gone = loss(weights, ids), loss(weights, ids, roles["induction"])
    for twin in roles["induction"]:
        assert intact + 0.05 < loss(weights, ids, [twin]) < intact + 0.4 * (gone - intact)


def test_run_is_attention_as_pytorch_has_it():
    weights, _ = planted.plant(4, heads=5)
    ids = planted.texts(3, 1)
    seen = planted.run(weights, ids)
    for layer, x in enumerate(seen["stream"][:-1]):
        parts = (weights[name][layer] for name in ("query", "key", "value"))
        q, k, v = (x[:, None] @ part for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        added = mixed @ weights["out"][layer]
        torch.testing.assert_close(seen["heads"][layer], added, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(seen["logits"], seen["stream"][-1] @ weights["unembed"])


def test_a_change_reaches_the_layers_after_it():
    weights, roles = planted.plant(5, heads=5)
    ids = planted.texts(3, 1)
    plain = planted.run(weights, ids)

    def silent(layer, added):
        if layer == 0:
            added[:, roles["previous"][0][1]] = 0
        return added

    changed = planted.run(weights, ids, silent)
    assert changed["heads"][0][:, roles["previous"][0][1]].abs().max() == 0
    twin = roles["induction"][0][1]
    assert (changed["attention"][1][:, twin] - plain["attention"][1][:, twin]).abs().max() > 0.5
    again = planted.run(weights, ids)
    assert again["logits"].equal(plain["logits"])
