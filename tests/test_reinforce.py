"""tinygpt.train.reinforce: on a vocabulary so small that every text can be written down."""

import copy
import itertools
import math

import pytest
import torch

from tinygpt.model import GPT, preset
from tinygpt.tokenizer import CharTokenizer
from tinygpt.train import nats_said, say
from tinygpt.train.reinforce import (
    Preferred,
    dpo_loss,
    group_advantages,
    kl,
    log_probs,
    policy_loss,
    prefer,
    reinforce,
    sample,
    token_log_probs,
)

VOCAB, GIVEN = 3, torch.tensor([-2, -4])  # ids 0 and 2 are given
TEXTS = [*itertools.product(range(VOCAB), repeat=2)]  # every text of two tokens
ROWS = torch.stack([torch.cat([GIVEN, torch.tensor(text)]) for text in TEXTS])
REWARDS = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0, -1.0, 2.0, 0.0, 0.5])


def model(seed: int, vocab_size: int = VOCAB, **sizes) -> GPT:
    torch.manual_seed(seed)
    sizes = {"context": 8, "num_layers": 1, "num_heads": 2, "d_model": 16} | sizes
    gpt = GPT(preset("modern", vocab_size=vocab_size, zero_init=False, tied=False, **sizes))
    with torch.no_grad():
        gpt.head.weight *= 20  # so that it has opinions
    return gpt.double()


def gradient(of: GPT, loss: torch.Tensor) -> torch.Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(of.parameters()))])


def exact(p: GPT, worth) -> torch.Tensor:
    """The gradient of sum over all texts of p(text) worth(log p of it)."""
    log_p = log_probs(p, ROWS)
    return gradient(p, (log_p.exp() * worth(log_p)).sum())


def test_the_chances_of_all_texts_sum_to_1():
    p = model(0)
    assert log_probs(p, ROWS).exp().sum().item() == pytest.approx(1)


def expected(p: GPT, advantages, n: int) -> torch.Tensor:
    """The mean of the loss's gradient over every group of n texts, each as often as p draws it."""
    chances, total = log_probs(p, ROWS).exp().detach(), 0.0
    for group in itertools.product(range(len(TEXTS)), repeat=n):
        which = list(group)
        loss = policy_loss(log_probs(p, ROWS[which]), advantages(REWARDS.double()[which]))
        total = total + chances[which].prod() * gradient(p, loss)
    return total


BASELINES = {
    "none": lambda r: r,
    "the others of the group": lambda r: group_advantages(r[None])[0],
}


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_gradient_is_on_average_that_of_the_expected_reward(baseline):
    p = model(1)
    right = -exact(p, lambda log_p: REWARDS.double())
    torch.testing.assert_close(expected(p, BASELINES[baseline], 2), right)
    assert right.norm() > 0.01


def test_a_baseline_of_the_whole_group_would_shrink_it():
    p = model(1)
    right = -exact(p, lambda log_p: REWARDS.double())
    torch.testing.assert_close(expected(p, lambda r: r - r.mean(), 2), right / 2)


def test_the_baseline_makes_the_gradient_vary_less():
    p = model(1)
    chances = log_probs(p, ROWS).exp().detach()

    def spread(advantages):  # mean square of the gradient's length
        return sum(
            (chances[list(g)].prod() * gradient(
                p, policy_loss(log_probs(p, ROWS[list(g)]), advantages(5 + REWARDS[list(g)]))
            ).square().sum()).item()
            for g in itertools.product(range(len(TEXTS)), repeat=2)
        )  # fmt: skip

    assert spread(BASELINES["the others of the group"]) < 0.2 * spread(BASELINES["none"])


def test_with_the_kl_in_the_reward_the_gradient_is_that_of_reward_less_kl():
    p, q, beta = model(1), model(2), 0.7
    log_q = log_probs(q, ROWS).detach()
    right = -exact(p, lambda log_p: REWARDS.double() - beta * (log_p - log_q))
    held = REWARDS.double() - beta * (log_probs(p, ROWS).detach() - log_q)
    chances, found = log_probs(p, ROWS).exp().detach(), 0.0
    for group in itertools.product(range(len(TEXTS)), repeat=2):
        which = list(group)
        loss = policy_loss(log_probs(p, ROWS[which]), group_advantages(held[which][None])[0])
        found = found + chances[which].prod() * gradient(p, loss)
    torch.testing.assert_close(found, right)


def test_the_kl_is_estimated_without_bias_and_is_never_negative():
    p, q = model(1), model(2)
    log_p, log_q = log_probs(p, ROWS).detach(), log_probs(q, ROWS).detach()
    right = (log_p.exp() * (log_p - log_q)).sum()
    assert right > 0.01
    torch.testing.assert_close((log_p.exp() * kl(log_p, log_q)).sum(), right)
    assert (kl(log_p, log_q) >= 0).all() and ((log_p - log_q) < 0).any()


def test_the_estimate_differentiated_follows_the_other_divergence():
    """Why the KL stands in the reward, and not as a term of the loss."""
    p, q = model(1), model(2)
    log_q = log_probs(q, ROWS).detach()
    log_p = log_probs(p, ROWS)
    found = gradient(p, (log_p.exp().detach() * kl(log_p, log_q)).sum())
    log_p = log_probs(p, ROWS)
    other = gradient(p, (log_q.exp() * (log_q - log_p)).sum())  # KL(q || p)
    torch.testing.assert_close(found, other)
    ours = exact(p, lambda log_p: log_p - log_q)  # KL(p || q)
    assert (found - ours).norm() > 0.1 * ours.norm()


def test_the_log_probabilities_are_those_that_tuning_pays_for():
    p = model(3)
    row = torch.tensor([[-2, -3, 1, 2, -1, -1], [-2, -3, -4, 0, 1, 2]])
    torch.testing.assert_close(token_log_probs(p, row), -nats_said(p, row))


def test_a_group_is_compared_with_its_own_others():
    found = group_advantages(torch.tensor([[1.0, 0.0, 0.0], [5.0, 5.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, -0.5, -0.5], [0.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="a group of 1 has no others"):
        group_advantages(torch.ones(3, 1))


def test_no_gradient_goes_through_an_advantage():
    log_p = torch.tensor([-1.0, -2.0], requires_grad=True)
    policy_loss(log_p, log_p * 2).backward()
    torch.testing.assert_close(log_p.grad, torch.tensor([1.0, 2.0]))


def test_only_what_was_said_has_a_log_probability():
    p = model(3)
    row = torch.tensor([[-2, -3, 1, 2, -1, -1], [-2, -3, -4, 0, 1, 2]])
    found = log_probs(p, row)
    for ids, start, one in (([0, 1, 1, 2], 2, found[0]), ([0, 1, 2, 0, 1, 2], 3, found[1])):
        chances = p(torch.tensor([ids[:-1]]))[0].log_softmax(-1)
        right = sum(chances[i - 1, ids[i]] for i in range(start, len(ids)))
        torch.testing.assert_close(one, right)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_the_loss_of_dpo_is_the_formula(beta):
    p, q = model(1), model(2)
    loss = Preferred(p, q, beta)(ROWS[[3, 6, 5, 0]])  # 3 over 5, 6 over 0
    log_p, log_q = log_probs(p, ROWS).tolist(), log_probs(q, ROWS).tolist()
    right = 0.0
    for better, worse in ((3, 5), (6, 0)):
        x = beta * (log_p[better] - log_q[better] - log_p[worse] + log_q[worse])
        right += math.log(1 + math.exp(-x)) / 2
    assert loss.item() == pytest.approx(right)
    assert not any(name.startswith("before") for name, _ in Preferred(p, q, 1).named_parameters())


def test_a_model_that_is_the_reference_pays_ln_2():
    same = torch.randn(4)
    assert dpo_loss(same, same - 3, same, same - 3, 0.5).item() == pytest.approx(math.log(2))


@pytest.fixture(scope="module")
def chars():
    return CharTokenizer("\nabcd")


def small(chars, seed=0):
    torch.manual_seed(seed)
    return GPT(preset("modern", vocab_size=chars.vocab_size, context=24, num_layers=2,
                      num_heads=2, d_model=32))  # fmt: skip


def test_what_was_drawn_is_the_row_behind_its_input_up_to_its_newline(chars):
    p, generator = small(chars), torch.Generator().manual_seed(1)
    rows, texts = sample(p, chars, ["ab", "abcd"], 20, 6, generator=generator)
    assert len(rows) == len(texts) == 40 and len(set(texts)) > 10
    for row, text, given in zip(rows, texts, ["ab"] * 20 + ["abcd"] * 20, strict=True):
        asked, said = row[row < -1], row[row >= 0].tolist()
        assert chars.decode((-2 - asked).tolist()) == f"\n{given}\n"
        assert chars.decode(said) in (text + "\n", text) and (len(text) == 6 or said[-1] == 0)
        assert "\n" not in text and len(said) <= 6
    assert any(text and len(text) == 6 for text in texts) and any(len(t) < 3 for t in texts)


def test_a_rewarded_text_becomes_probable_and_a_kl_term_holds_it_back(chars):
    near = []
    for beta in (0.0, 3.0):
        p = small(chars)
        before = copy.deepcopy(p)
        history = reinforce(
            p, before, chars, ["ab", "cd"],
            lambda which, texts: [float(text.count("a")) for text in texts],
            steps=40, groups=2, beta=beta, learning_rate=3e-3, max_new_tokens=4,
        )  # fmt: skip
        assert not p.training
        near.append((history[-1]["reward"], history[-1]["kl"]))
    (free, far), (held, close) = near
    assert free > 3 and far > 1 and held < free - 1 and close < far / 2


def test_a_preferred_text_becomes_more_probable_than_its_rival(chars):
    p = small(chars)
    rows, _ = sample(p, chars, ["ab"], 2, 4, generator=torch.Generator().manual_seed(0))
    better, worse = (row[row != -1] for row in rows)
    before = log_probs(p, rows).detach()
    losses = prefer(p, copy.deepcopy(p), [better], [worse], steps=30, batch_size=2)
    gained = log_probs(p, rows).detach() - before
    assert gained[0] > gained[1] + 1 and losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_run(chars):
    def run(seed):
        p = small(chars)
        history = reinforce(p, small(chars), chars, ["ab"], lambda _, texts: [*map(len, texts)],
                            steps=3, groups=1, max_new_tokens=4, seed=seed)  # fmt: skip
        return history, say(p, chars, ["ab"], 4)

    assert run(1) == run(1) and run(1)[0] != run(2)[0]
