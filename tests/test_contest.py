"""The contest of small models: what is drawn, what is counted, and what is refused."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tinygpt import contest

SIZES = {"stories": 40, "prefixes": 30}


@pytest.fixture(scope="module")
def drawn():
    return contest.draw(5, **SIZES)


def test_a_draw_is_what_it_says(drawn):
    again = contest.draw.__wrapped__(5, **SIZES)
    assert again == drawn
    assert len(drawn.stories) == 40 and len(drawn.prefixes) == len(drawn.targets) == 30
    assert {i for story in drawn.stories for i in story} <= set(range(drawn.vocab_size))
    for prefix, target, words in zip(drawn.prefixes, drawn.targets, drawn.read, strict=True):
        assert len(prefix) >= 1
        known = [i for i in [*prefix, target] if i != contest.OTHER]
        assert [drawn.words[i] for i in known] == [w for w in words if w in drawn.words]
    assert len({" ".join(words[:20]) for words in drawn.read}) > 20  # each of another story


def test_another_seed_gives_the_words_other_numbers(drawn):
    other = contest.draw(6, **SIZES)
    both = set(drawn.words) & set(other.words) - {""}
    same = sum(drawn.words.index(word) == other.words.index(word) for word in both)
    assert len(both) > 50 and same < len(both) / 5


def test_the_oracle_scores_about_zero(drawn):
    """The score of the true distribution over the floor is nothing but rounding."""
    import storyland

    oracle = storyland.Oracle()
    rows = torch.zeros(len(drawn.read), drawn.vocab_size, dtype=torch.float64)
    number = {word: i for i, word in enumerate(drawn.words) if word}
    for row, words in zip(rows, drawn.read, strict=True):
        for word, p in oracle.next_word(words[:-1]).items():
            row[number.get(word, contest.OTHER)] += p
    score = contest.measure(
        lambda *_: {"none": torch.zeros(1)}, lambda *_: rows, 5, drawn.floor(), **SIZES
    )
    # Words that the stories lack share one number, which is easier to hit than each of them.
    assert not score.fault and -1 < score.bits < 1e-9


def good(weights, prefixes):
    vocab_size = contest.draw(5, **SIZES).vocab_size
    return torch.full((len(prefixes), vocab_size), 1 / vocab_size)


def measure(model=None, predict=good, **options):
    model = {"a": torch.zeros(3)} if model is None else model
    return contest.measure(lambda *_: model, predict, 5, **SIZES, **options)


def test_a_guess_pays_the_logarithm_of_the_vocabulary(drawn):
    score = measure(floor=0.5)
    assert not score.fault and score.size == 3 * 4 + 8 + 1 + 1
    assert math.isclose(score.bits, math.log2(drawn.vocab_size) - 0.5, rel_tol=1e-4)
    assert "bits per word over the floor" in str(score)


@pytest.mark.parametrize(
    "model, says",
    [
        (0, "no dictionary of tensors but something of type int"),
        ({}, "empty"),
        ([torch.zeros(2)], "no dictionary of tensors but something of type list"),
        (torch.nn.ParameterDict({"a": torch.zeros(2)}), "but something of type ParameterDict"),
        ({"a": [1.0, 2.0]}, "no tensor"),
        ({"a": torch.nn.Linear(2, 2)}, "no tensor"),
        ({"a": "text"}, "no tensor"),
        ({0: torch.zeros(2)}, "name each tensor"),
        ({"a": torch.zeros(200_001)}, "200,000 numbers"),
        ({"a": torch.zeros(100_001, dtype=torch.complex64)}, "may have 800,000"),
        ({"a": np.zeros(100_001)}, "may have 800,000"),
        ({"x" * 800_000: torch.zeros(1)}, "may have 800,000"),
        ({f"{i:05d}": torch.zeros(0, 10**9, 10**9) for i in range(30_000)}, "may have 800,000"),
    ],
)
def test_what_is_no_model_within_the_budget(model, says):
    score = measure(model)
    assert says in score.fault and score.bits == math.inf


def edited(change):
    def predict(weights, prefixes):
        return change(good(weights, prefixes))

    return predict


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda p: None, "no tensor but None: is a return missing?"),
        (lambda p: p.tolist(), "no tensor but something of type list"),
        (lambda p: p[:-1], "a row for each prefix"),
        (lambda p: p[:, :-1], "a column for each word"),
        (lambda p: p.log(), "below 0"),
        (lambda p: p * 1.001, "do not sum to 1"),
        (lambda p: p / p, "do not sum to 1"),
        (lambda p: p * torch.nan, "NaN"),
        (lambda p: p * torch.inf, "NaN or infinite"),
        (lambda p: p.long(), "probabilities are float"),
        (lambda p: p.to(torch.complex64), "probabilities are float"),
        (lambda p: torch.eye(p.shape[1])[torch.zeros(len(p), dtype=int)], "called impossible"),
        (lambda p: torch.cat([p[:, :1] + 1, p[:, 1:-1], p[:, -1:] - 1], 1), "below 0"),
    ],
)
def test_what_are_no_probabilities(change, says):
    score = measure(predict=edited(change))
    assert says in score.fault and score.bits == math.inf


def test_rounding_in_a_sum_gains_nothing():
    """Rows that sum to a little more than 1 are divided by their sums."""
    assert math.isclose(measure(predict=edited(lambda p: p * 1.00009)).bits, measure().bits)


def test_time_is_counted():
    ticks = iter([0.0, contest.SECONDS + 1.0])
    score = measure(clock=lambda: next(ticks))
    assert "processor time" in score.fault and score.bits == math.inf


def test_the_judge_s_own_copies_are_safe(drawn):
    """train and predict may do with their arguments what they like."""
    before = [list(story) for story in drawn.stories]

    def train(stories, vocab_size):
        for story in stories:
            story.clear()
        return {"a": torch.zeros(1)}

    def predict(weights, prefixes):
        rows = good(weights, prefixes)
        for prefix in prefixes:
            prefix.append(0)
        return rows

    assert not contest.measure(train, predict, 5, **SIZES).fault
    assert drawn.stories == before and contest.draw.__wrapped__(5, **SIZES) == drawn


LAB = Path(__file__).resolve().parent.parent / "solutions" / "lab06-train" / "lab06-train.ipynb"
SOURCES = ("".join(cell["source"]) for cell in json.loads(LAB.read_text("utf-8"))["cells"])
FLOORS = sorted(set(re.findall(r"seed=(\d+), floor=([\d.]+)", "\n".join(SOURCES))))


@pytest.mark.parametrize(("seed", "floor"), FLOORS)
def test_the_floors_that_the_lab_grades_by_are_the_oracles(seed, floor):
    """The tests of the lab run where the oracle is not, so they state what it pays."""
    assert f"{contest.draw(int(seed)).floor():.4f}" == floor


def test_the_lab_grades_by_two_floors():
    assert len(FLOORS) == 2
