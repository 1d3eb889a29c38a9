"""tinygpt.train.tune: pairs as rows, the loss of what is said, and what a model says after it."""

import pytest
import torch
import torch.nn.functional as F

from tinygpt.model import GPT, preset
from tinygpt.tokenizer import CharTokenizer
from tinygpt.train import Pairs, Said, say, tune
from tinygpt.train.loop import predicted

PAIRS = [("the cat\n", "sat"), ("a dog ran", "so far"), ("an owl", "")]


@pytest.fixture(scope="module")
def tokens() -> CharTokenizer:
    return CharTokenizer("\n" + "".join(map(chr, range(32, 127))))


def model(vocab_size: int, **changes) -> GPT:
    torch.manual_seed(0)
    sizes = {"context": 32, "num_layers": 2, "num_heads": 2, "d_model": 32}
    return GPT(preset("modern", vocab_size=vocab_size, **sizes, **changes))


def test_a_row_is_what_is_given_and_what_is_said_between_newlines(tokens):
    pairs = Pairs.of(PAIRS, tokens, 1)
    for row, text, said in zip(
        pairs.rows, ("\nthe cat\nsat\n", "\na dog ran\nso far\n", "\nan owl\n\n"), (4, 7, 1),
        strict=True,
    ):  # fmt: skip
        ids = torch.where(row < -1, -2 - row, row)
        assert tokens.decode(ids.tolist()) == text
        assert (row[:-said] < -1).all() and (row[-said:] >= 0).all()
    both = Pairs.of(PAIRS, tokens, 1, given_too=True)
    assert all((row >= 0).all() for row in both.rows)


def test_each_pair_comes_once_in_a_round_and_the_order_is_the_seeds(tokens):
    numbers = [(str(i), str(i)) for i in range(10)]
    pairs = Pairs.of(numbers, tokens, 5, seed=3)
    rounds = [sorted(pairs(step)[:, -2].tolist() + pairs(step + 1)[:, -2].tolist())
              for step in (0, 2)]  # fmt: skip
    assert rounds[0] == rounds[1] == sorted(tokens.encode("0123456789"))
    assert not torch.equal(pairs(0), pairs(2))
    assert torch.equal(pairs(1), Pairs.of(numbers, tokens, 5, seed=3)(1))
    assert not torch.equal(pairs(0), Pairs.of(numbers, tokens, 5, seed=4)(0))


def test_shorter_rows_are_padded_and_only_what_is_said_is_counted(tokens):
    rows = Pairs.of(PAIRS, tokens, 3)(0)
    assert rows.shape == (3, len("\na dog ran\nso far\n"))
    assert predicted(rows) == len("sat\n" + "so far\n" + "\n")


def test_the_loss_is_that_of_each_pair_alone(tokens):
    gpt = model(tokens.vocab_size, zero_init=False)
    nats, count = 0.0, 0
    for (given, said) in PAIRS:  # fmt: skip
        ids = torch.tensor([tokens.encode(f"\n{given.strip()}\n{said}\n")])
        start = len(ids[0]) - len(said) - 1
        logits = gpt(ids[:, :-1])[0, start - 1 :]
        nats += F.cross_entropy(logits, ids[0, start:], reduction="sum")
        count += len(said) + 1
    loss = Said(gpt)(Pairs.of(PAIRS, tokens, 3)(0))
    torch.testing.assert_close(loss, nats / count)


def test_a_tuned_model_says_what_it_was_shown(tokens):
    gpt = model(tokens.vocab_size)
    losses = tune(gpt, Pairs.of(PAIRS, tokens, 3), steps=100, learning_rate=1e-2)
    assert len(losses) == 100 and losses[-1] < 0.05 < losses[0] and not gpt.training
    inputs, outputs = zip(*PAIRS, strict=True)
    assert say(gpt, tokens, inputs, 10) == list(outputs)
    assert say(gpt, tokens, inputs[::-1], 10, batch_size=2) == list(outputs[::-1])


def test_what_requires_no_gradient_stays(tokens):
    gpt = model(tokens.vocab_size)
    gpt.embedding.requires_grad_(False)
    before = {name: p.clone() for name, p in gpt.named_parameters()}
    tune(gpt, Pairs.of(PAIRS, tokens, 3), steps=3)
    same = {name for name, p in gpt.named_parameters() if torch.equal(p, before[name])}
    assert same == {name for name, p in gpt.named_parameters() if not p.requires_grad}


def test_a_cut_answer_is_given_as_far_as_it_goes(tokens):
    gpt = model(tokens.vocab_size, zero_init=False)
    generator = torch.Generator().manual_seed(0)
    (said,) = say(gpt, tokens, ["hello"], 4, temperature=1.0, generator=generator)
    assert len(said) <= 4


@pytest.mark.parametrize(
    ("pairs", "batch_size", "told"),
    [([("a", "b\nc")], 1, "an output is one line"), ([("a", "b")], 2, "there are 1 pairs")],
)
def test_what_makes_no_batch_is_told(tokens, pairs, batch_size, told):
    with pytest.raises(ValueError, match=told):
        Pairs.of(pairs, tokens, batch_size)
