"""Lab 08's solution beside the libraries that others use: peft for LoRA, sacrebleu for BLEU.

The lab's own tests need neither: what they expect is computed in them. So here it is seen that what
they expect is what the field means by the same words.
"""

import random

import pytest
import torch
from torch import nn

from tools.lab_runs import SOLUTIONS, graded, read


@pytest.fixture(scope="module")
def lab():
    """The functions of the solution, by name."""
    names = {}
    for cell in graded(read(SOLUTIONS["lab08-finetune"])):
        if cell.cell_type == "code" and not cell.metadata.nbgrader.grade:
            exec(cell.source, names)
    return names


def patch_of(layer, name):
    """An adapter of a peft layer, as the lab's patch for the whole matrix."""
    down, up = (part[name].weight.detach().clone() for part in (layer.lora_A, layer.lora_B))
    part = {"name": "m", "start": 0, "down": down, "up": up}
    stable = layer.use_rslora[name]
    return {"alpha": layer.lora_alpha[name], "stable": stable, "parts": [part]}


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def peft_model(request):
    """A layer with two adapters, of other ranks and scales, both drawn at random."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    model = nn.ModuleDict({"m": nn.Linear(6, 9, bias=request.param)})
    model.forward = lambda x: model["m"](x)
    settings = {"target_modules": ["m"], "lora_dropout": 0.0}
    one = peft.LoraConfig(r=2, lora_alpha=3, use_rslora=True, **settings)
    two = peft.LoraConfig(r=4, lora_alpha=5, use_rslora=False, **settings)
    model = peft.get_peft_model(model, one, adapter_name="one")
    model.add_adapter("two", two)
    layer = model.base_model.model["m"]
    for name in "one", "two":
        nn.init.normal_(layer.lora_B[name].weight)
    return model.eval()


def weights_of(layer):
    found = {"m.weight": layer.base_layer.weight.detach().clone()}
    if layer.base_layer.bias is not None:
        found["m.bias"] = layer.base_layer.bias.detach().clone()
    return found


def test_merging_is_what_peft_merges(lab, peft_model):
    """One adapter, and both at once, with their own scales."""
    layer = peft_model.base_model.model["m"]
    weights, patches = weights_of(layer), [patch_of(layer, name) for name in ("one", "two")]
    for names in (["one"], ["two"], ["one", "two"]):
        mine = [patches[("one", "two").index(name)] for name in names]
        got = lab["merge"](weights, mine, [1.0] * len(mine))
        layer.merge(adapter_names=names)
        want = layer.base_layer.weight.detach().clone()
        layer.unmerge()
        torch.testing.assert_close(got["m.weight"], want)


def test_a_mixed_batch_is_what_peft_makes_of_it(lab, peft_model):
    layer = peft_model.base_model.model["m"]
    weights, patches = weights_of(layer), [patch_of(layer, name) for name in ("one", "two")]
    x = torch.randn(4, 3, 6)
    names = ["two", "__base__", "one", "two"]
    got = lab["patched"](x, "m", weights, patches, torch.tensor([1, -1, 0, 1]))
    torch.testing.assert_close(got, layer(x, adapter_names=names).detach())


def sacre(hypotheses, references, tokenize):
    """sacrebleu's score: a stream for each number of reference, None where there are fewer."""
    sacrebleu = pytest.importorskip("sacrebleu")
    most = max(map(len, references))
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    metric = sacrebleu.BLEU(tokenize=tokenize, smooth_method="none", force=True)
    return metric.corpus_score(hypotheses, streams).score


@pytest.mark.parametrize("seed", range(20))
def test_bleu_is_sacrebleus(lab, seed):
    """Corpora of few characters, so that pieces repeat, with one to four references each."""
    luck = random.Random(seed)

    def text(least):
        return "".join(luck.choices("猫狗鱼，"[: 2 + seed % 3], k=luck.randrange(least, 14)))

    count = luck.randrange(1, 7)
    hypotheses = [text(1) for _ in range(count)]
    references = [[text(1) for _ in range(luck.randrange(1, 5))] for _ in range(count)]
    got = lab["bleu"](hypotheses, references)
    assert 0 <= got <= 100
    assert got == pytest.approx(sacre(hypotheses, references, "zh"), abs=1e-9)


def test_some_of_these_corpora_have_a_score(lab):
    """Else the comparison above would be one of zeros."""
    luck = random.Random(0)
    texts = ["".join(luck.choices("猫狗", k=9)) for _ in range(12)]
    assert 10 < lab["bleu"](texts[:6], [[text] for text in texts[6:]]) < 90


def test_tokens_are_sacrebleus_where_words_and_characters_mix(lab):
    text = "她 有3只猫，一只叫 Tom。"
    sacrebleu = pytest.importorskip("sacrebleu.tokenizers.tokenizer_zh")
    assert lab["tokens"](text) == sacrebleu.TokenizerZh()(text).split()
