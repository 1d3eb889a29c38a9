"""Training on what a model says itself: by a reward (policy gradient), or by which of two is better
(DPO).

A text that was said is a row of `tinygpt.train.Pairs`: the given tokens as -2 - id, then the tokens
that were drawn, up to the newline; -1 is padding. Its log-probability log p(y | x) is the sum over
what was said.

The reward of a text y that policy p drew, held near the reference q, is

    r(y) - beta (log p(y) - log q(y))

whose mean is E[r] - beta KL(p || q). The policy gradient of just this number is exact: see
`policy_loss`. To *measure* the KL, `kl` takes Schulman's third estimator, which is unbiased and
never negative. It is not differentiated: with the samples held fixed its gradient is that of the
other divergence, KL(q || p).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from tinygpt import optim
from tinygpt.generate import generate
from tinygpt.model import GPT
from tinygpt.train.loop import learn
from tinygpt.train.tune import Tokenizer, prompt

Reward = Callable[[Sequence[int], Sequence[str]], Sequence[float]]


def sample(
    model: GPT,
    tokenizer: Tokenizer,
    inputs: Sequence[str],
    count: int,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, list[str]]:
    """`count` texts for each input, those of an input together -> their rows (B, T + 1), padded,
    and the texts without their newline. B is len(inputs) * count."""
    given = [torch.tensor(tokenizer.encode(prompt(input))) for input in inputs]
    prompts = [ids for ids in given for _ in range(count)]
    (newline,) = tokenizer.encode("\n")
    ids = pad_sequence(prompts, batch_first=True, padding_value=-1)
    new = generate(
        model, ids.clamp(min=0), max_new_tokens,
        temperature=temperature, stop=newline, keep=ids >= 0, generator=generator,
    )  # fmt: skip
    rows, texts = [], []
    for ids, said in zip(prompts, new, strict=True):
        ended = (said == newline).nonzero()
        said = said[: ended[0, 0] + 1] if len(ended) else said
        rows.append(torch.cat([-2 - ids, said]))
        texts.append(tokenizer.decode(said.tolist()).partition("\n")[0])
    return pad_sequence(rows, batch_first=True, padding_value=-1), texts


def token_log_probs(model: GPT, rows: Tensor) -> Tensor:
    """rows (B, T + 1) -> log p of each token but the first, (B, T), in nats; 0 for what was not
    said. As `nats_said`, but logits are made of what was said alone, which is a small part."""
    said = rows[:, 1:] >= 0
    hidden = model.hidden(torch.where(rows < -1, -2 - rows, rows).clamp(min=0)[:, :-1])
    nats = F.cross_entropy(model.head(hidden[said]), rows[:, 1:][said], reduction="none")
    return nats.new_zeros(said.shape).masked_scatter(said, -nats)


def log_probs(model: GPT, rows: Tensor) -> Tensor:
    """rows (B, T + 1) -> log p(said | given) of each, (B,), in nats."""
    return token_log_probs(model, rows).sum(dim=1)


def group_advantages(rewards: Tensor) -> Tensor:
    """rewards (G, n) of n texts for each of G inputs -> by how much each beats the mean of the
    *others* of its group, (G, n).

    A baseline that does not depend on the text itself leaves the expected gradient as it is. The
    mean of all n would depend on it, and shrink the gradient by (n - 1) / n. Kool, van Hoof and
    Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019.
    """
    n = rewards.shape[1]
    if n < 2:
        raise ValueError(f"a group of {n} has no others to compare with: draw two texts or more")
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (n / (n - 1))


def policy_loss(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """log p (B,) of texts that p drew, and their advantages (B,) -> a number whose gradient is on
    average that of minus the expected advantage. Williams, "Simple Statistical Gradient-Following
    Algorithms for Connectionist Reinforcement Learning", 1992."""
    return -(advantages.detach() * log_probs).mean()


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """An estimate of KL(p || q) from log p and log q of the tokens that p drew: r - 1 - log r with
    r = q / p, for each, same shape. Schulman, "Approximating KL Divergence", 2020."""
    log_r = log_q - log_p
    return log_r.exp() - 1 - log_r


def dpo_loss(
    chosen: Tensor, rejected: Tensor, chosen_before: Tensor, rejected_before: Tensor, beta: float
) -> Tensor:
    """log p of the better and of the worse text of each pair, by the model and before training by
    the reference, all (B,) -> the mean loss of B pairs, -log sigmoid(beta * margin).

    Rafailov, Sharma, Mitchell, Ermon, Manning and Finn, "Direct Preference Optimization: Your
    Language Model is Secretly a Reward Model", NeurIPS 2023.
    """
    margin = (chosen - chosen_before) - (rejected - rejected_before)
    return -F.logsigmoid(beta * margin).mean()


def reinforce(
    model: GPT,
    reference: GPT,
    tokenizer: Tokenizer,
    inputs: Sequence[str],
    reward: Reward,
    *,
    steps: int,
    groups: int = 8,
    group_size: int = 8,
    beta: float = 0.0,
    learning_rate: float = 1e-3,
    max_new_tokens: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> list[dict[str, float]]:
    """Policy gradient: each step draws `group_size` texts for each of the next `groups` inputs, and
    makes those more probable that earn more than others of their group.

    `reward(which, texts)` gives a number for each text; `which` are the places of their inputs.
    Returns for each step the mean reward, the KL from the reference in nats a text, and the tokens
    said. AdamW; the learning rate stays.
    """
    generator = torch.Generator().manual_seed(seed)
    optimisers = optim.make(model, "adamw", learning_rate=learning_rate, weight_decay=0.0)
    history = []
    model.eval()  # what learns must be what drew: no dropout
    for step in tqdm(range(steps), disable=not progress):
        which = [(step * groups + i) % len(inputs) for i in range(groups)]
        asked = [inputs[i] for i in which]
        rows, texts = sample(
            model, tokenizer, asked, group_size, max_new_tokens, generator=generator
        )
        asked_of = [i for i in which for _ in range(group_size)]
        earned = torch.tensor(reward(asked_of, texts), dtype=torch.float32)
        with torch.no_grad():
            before = token_log_probs(reference, rows)  # (B, T)
        now = token_log_probs(model, rows)  # (B, T)
        said = now.sum(dim=1)
        held = earned - beta * (said.detach() - before.sum(dim=1))
        advantages = group_advantages(held.view(groups, group_size)).flatten()
        policy_loss(said, advantages).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        apart = kl(now.detach(), before).sum(dim=1).mean()
        tokens = (rows[:, 1:] >= 0).sum(dim=1).float().mean()
        history.append(
            {"reward": earned.mean().item(), "kl": apart.item(), "tokens": tokens.item()}
        )
    return history


class Preferred(nn.Module):
    """The DPO loss of a model on rows (2 B, T + 1), the better texts first, then the worse ones,
    with the reference held as it is."""

    def __init__(self, model: GPT, reference: GPT, beta: float):
        super().__init__()
        self.model, self.beta = model, beta
        self.before = [reference]  # in a list: its parameters are not ours to train

    def forward(self, rows: Tensor) -> Tensor:
        """rows (2 B, T + 1) -> a number."""
        with torch.no_grad():
            before = log_probs(self.before[0], rows).chunk(2)
        return dpo_loss(*log_probs(self.model, rows).chunk(2), *before, beta=self.beta)


def prefer(
    model: GPT,
    reference: GPT,
    better: list[Tensor],
    worse: list[Tensor],
    *,
    steps: int,
    batch_size: int,
    beta: float = 0.1,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: bool = False,
) -> list[float]:
    """DPO on pairs of rows, entry i of both for one input; the loss of each step.

    The learning rate rises over 20 steps and then falls on a line to 0.
    """
    draw = torch.Generator().manual_seed(seed)

    def batch(step: int) -> Tensor:
        which = torch.randint(len(better), (batch_size,), generator=draw).tolist()
        rows = [better[i] for i in which] + [worse[i] for i in which]
        return pad_sequence(rows, batch_first=True, padding_value=-1)

    optimisers = optim.make(model, "adamw", learning_rate=learning_rate, weight_decay=0.0)
    schedule = lambda step: optim.schedule(step, steps, 20)  # noqa: E731
    done = learn(Preferred(model, reference, beta), optimisers, batch, schedule, steps=steps,
                 seed=seed)  # fmt: skip
    losses = [loss.item() for _, loss, _ in tqdm(done, total=steps, disable=not progress)]
    model.eval()
    return losses
