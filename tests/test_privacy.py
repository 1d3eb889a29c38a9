"""Exposure, and DP-SGD: by hand, against PyTorch's own gradients, and against opacus."""

import copy
import math
import warnings

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from tinygpt import privacy
from tinygpt.corpora import corpus
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer
from tinygpt.train.loop import NextToken

SIZES = {"num_layers": 2, "num_heads": 2, "d_model": 16}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(corpus("storyland", size="1MB").train[:50_000], vocab_size=400)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(1)
    of = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size, context=32, **SIZES)).eval()
    with torch.no_grad():
        for p in of.parameters():
            p += 0.1 * torch.randn_like(p)
    return of


@pytest.fixture(scope="module")
def rows(tokenizer):
    lines = ["The fox slept.", "Mia ran to the old mill.", "No.", "The number is 4719."]
    ids = [torch.tensor(tokenizer.encode(f"\n{line}\n")) for line in lines]
    return pad_sequence(ids, batch_first=True, padding_value=-1)


# Exposure


def test_exposure_is_the_number_of_candidates_by_the_rank_in_bits():
    nats = torch.tensor([-1.0, -2.0, -2.0, -3.0, -3.0, -3.0, -4.0, -5.0])
    found = [privacy.exposure(nats, i) for i in (0, 1, 3, 7)]
    assert found == pytest.approx([3.0, math.log2(8 / 3), math.log2(8 / 6), 0.0])


def test_a_model_that_knows_nothing_has_no_exposure():
    assert privacy.exposure(torch.zeros(1000), 471) == 0.0


def test_by_chance_it_is_log2_of_e_on_average():
    nats = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    every = [privacy.exposure(nats, i) for i in range(4096)]
    assert sum(every) / 4096 == pytest.approx(math.log2(math.e), abs=0.01)


@torch.no_grad()
def test_the_numbers_cost_what_the_model_says_of_the_whole_text(model, tokenizer):
    before = "The number is "
    nats = privacy.numbers(model, tokenizer, before, 3)
    assert nats.shape == (1000,)
    for number in (0, 7, 471, 999):
        ids = torch.tensor([tokenizer.encode(f"\n{before}{number:03}")])
        rows = model(ids)[0].log_softmax(-1)
        told = sum(rows[-4 + i, ids[0, -3 + i]] for i in range(3))
        torch.testing.assert_close(nats[number], told, atol=1e-5, rtol=1e-5)


def test_digits_that_are_no_tokens_of_their_own_are_refused(model):
    tokenizer = BPETokenizer.train("4719 4719 0123 0123 0 1 2 3 " * 9, vocab_size=300)
    with pytest.raises(ValueError, match="no tokens of their own"):
        privacy.numbers(model, tokenizer, "The number is ", 4)


def test_characters_are_such_tokens():
    tokenizer = CharTokenizer("\n 0123456789is")
    torch.manual_seed(0)
    model = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size, context=16, **SIZES)).eval()
    nats = privacy.numbers(model, tokenizer, "is ", 2)
    assert nats.shape == (100,) and nats.exp().sum() < 1


# DP-SGD


def alone(model, row):
    """The gradient of one row, by PyTorch's backward."""
    model = copy.deepcopy(model)
    NextToken(model)(row[None, : int((row >= 0).sum())]).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def test_each_rows_gradient_is_that_of_the_row_alone(model, rows):
    together = privacy.per_sample_gradients(model, rows)
    for i, row in enumerate(rows):
        for name, found in alone(model, row).items():
            torch.testing.assert_close(together[name][i], found, atol=1e-5, rtol=1e-4)


def test_no_row_moves_the_sum_by_more_than_the_clip(model, rows):
    gradients = privacy.per_sample_gradients(model, rows)
    with_all = privacy.clipped_sum(gradients, 0.3)
    for i in range(len(rows)):
        kept = {name: torch.cat([of[:i], of[i + 1 :]]) for name, of in gradients.items()}
        without = privacy.clipped_sum(kept, 0.3)
        moved = sum((with_all[name] - without[name]).square().sum() for name in with_all)
        assert moved.sqrt() <= 0.3 + 1e-5


def test_a_short_gradient_stays_as_it_is(model, rows):
    gradients = privacy.per_sample_gradients(model, rows)
    for name, of in privacy.clipped_sum(gradients, 1e9).items():
        torch.testing.assert_close(of, gradients[name].sum(0), atol=1e-5, rtol=1e-4)


def test_the_noise_has_the_size_that_it_should_have():
    zero = {"w": torch.zeros(4, 100, 100)}
    generator = torch.Generator().manual_seed(0)
    step = privacy.private_gradient(zero, 2.0, 0.5, 8, generator)["w"]
    assert stats.kstest(step.flatten().numpy(), stats.norm(0, 2.0 * 0.5 / 8).cdf).pvalue > 0.01


def test_training_with_no_noise_and_no_clip_learns_the_rows(model, rows):
    trained, before = copy.deepcopy(model), NextToken(model)(rows).item()
    some = [row[row >= 0] for row in rows]
    settings = {"share": 1.0, "steps": 60, "clip": 1e9, "noise": 0.0, "learning_rate": 1e-2}
    privacy.tune_privately(trained, some, **settings, at_once=3)
    assert NextToken(trained)(rows).item() < 0.6 * before


def test_with_much_noise_it_learns_nothing_and_another_seed_draws_another(model, rows):
    some = [row[row >= 0] for row in rows]
    settings = {"share": 0.5, "steps": 3, "clip": 1.0, "noise": 10.0, "learning_rate": 1e-3}
    found = []
    for seed in (0, 0, 1):
        trained = copy.deepcopy(model)
        privacy.tune_privately(trained, some, seed=seed, **settings)
        found.append(trained.embedding.weight.detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_opacus_has_the_same_gradients_and_the_same_step():
    """A small network of the layers that opacus knows: embedding, linear, layer norm."""
    opacus = pytest.importorskip("opacus")
    from opacus.optimizers import DPOptimizer

    torch.manual_seed(0)
    ours = nn.Sequential(
        nn.Embedding(11, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 11)
    )
    rows = torch.randint(11, (5, 7))
    gradients = privacy.per_sample_gradients(ours, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its hooks, where the input needs no gradient
        theirs = opacus.GradSampleModule(copy.deepcopy(ours), loss_reduction="sum")
        loss = NextToken(theirs)
        optimiser = DPOptimizer(
            torch.optim.SGD(theirs.parameters(), lr=1.0), noise_multiplier=0.0,
            max_grad_norm=0.1, expected_batch_size=5, loss_reduction="mean",
        )  # fmt: skip
        (5 * loss(rows)).backward()  # each row's own mean
    for name, p in theirs._module.named_parameters():
        torch.testing.assert_close(p.grad_sample, gradients[name], atol=1e-6, rtol=1e-4)
    optimiser.step()
    step = privacy.private_gradient(gradients, 0.1, 0.0, 5)
    for name, p in ours.named_parameters():
        after = theirs._module.get_parameter(name)
        torch.testing.assert_close(p - step[name], after, atol=1e-6, rtol=1e-4)
