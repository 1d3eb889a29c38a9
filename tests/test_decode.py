"""tinygpt.decode: what each decoder keeps is what the class of `transformers` keeps."""

import math

import pytest
import torch
from transformers.generation import logits_process as theirs

from tinygpt.decode import Decoder, draw, min_p, repetition_penalty, temperature, top_k, top_p
from tinygpt.model import ModelError

V = 40


def logits_with_and_without_ties():
    """Rows of random logits; in half of them many are equal, in some all are."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(300, V, generator=generator) * torch.rand(300, 1, generator=generator) * 8
    logits[100:200] = logits[100:200].round()
    logits[200:250] = logits[200:250].clamp(-0.5, 0.5).round()
    logits[250] = 0.0
    return logits


SEEN = torch.randint(V, (300, 12), generator=torch.Generator().manual_seed(1))

EACH = [
    (lambda x: temperature(x, 0.3), theirs.TemperatureLogitsWarper(0.3)),
    (lambda x: temperature(x, 2.5), theirs.TemperatureLogitsWarper(2.5)),
    *((lambda x, k=k: top_k(x, k), theirs.TopKLogitsWarper(k)) for k in (1, 2, 7, V, 10 * V)),
    *((lambda x, p=p: min_p(x, p), theirs.MinPLogitsWarper(p)) for p in (0.0, 0.05, 0.5, 1.0)),
    *(
        (lambda x, p=p: repetition_penalty(x, SEEN, p), theirs.RepetitionPenaltyLogitsProcessor(p))
        for p in (0.8, 1.0, 1.3)
    ),
]


@pytest.mark.parametrize(("ours", "warper"), EACH, ids=lambda value: type(value).__name__)
def test_the_kept_tokens_and_their_probabilities_are_those_of_transformers(ours, warper):
    logits = logits_with_and_without_ties()
    expected = warper(SEEN, logits.clone())
    made = ours(logits.clone())
    assert torch.equal(made > -math.inf, expected > -math.inf)
    assert torch.allclose(made.softmax(-1), expected.softmax(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.25, 0.5, 0.9, 0.999, 1.0])
def test_top_p_keeps_what_transformers_keeps_and_of_equal_tokens_the_first(p):
    logits = logits_with_and_without_ties()
    made, expected = top_p(logits, p), theirs.TopPLogitsWarper(p)(SEEN, logits.clone())
    kept = made > -math.inf
    assert torch.equal(made.sort(-1).values, expected.sort(-1).values)  # which logits, how often
    different = (kept != (expected > -math.inf)).any(-1)
    for row, last in enumerate(made.masked_fill(~kept, math.inf).amin(-1)):
        among = kept[row][logits[row] == last]  # in the order of their ids
        assert among.tolist() == sorted(among.tolist(), reverse=True)
        assert not different[row] or not among.all()  # theirs keeps others of the same equals


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7, "top_k": 9, "top_p": 0.8, "min_p": 0.02, "repetition_penalty": 1.2},
        {"top_k": 5, "top_p": 0.9},
        {"temperature": 1.7, "min_p": 0.1},
        {"repetition_penalty": 0.9, "top_p": 0.5},
    ],
    ids=str,
)
def test_together_they_are_applied_in_the_order_of_transformers(settings):
    logits = logits_with_and_without_ties()[:100]  # without: theirs keeps any of equals in top p
    every = {
        "repetition_penalty": theirs.RepetitionPenaltyLogitsProcessor,
        "temperature": theirs.TemperatureLogitsWarper,
        "top_k": theirs.TopKLogitsWarper,
        "top_p": theirs.TopPLogitsWarper,
        "min_p": theirs.MinPLogitsWarper,
    }
    expected = logits.clone()
    for name, kind in every.items():
        if name in settings:
            expected = kind(settings[name])(SEEN[:100], expected)
    made = Decoder(**settings)(logits, SEEN[:100])
    assert torch.equal(made > -math.inf, expected > -math.inf)
    assert torch.allclose(made.softmax(-1), expected.softmax(-1), atol=1e-6, rtol=0)


def test_by_hand():
    logits = torch.tensor([[0.1, 0.2, 0.4, 0.3]]).log()
    kept = [top_k(logits, 2), top_p(logits, 0.6), min_p(logits, 0.6)]
    assert [(one > -math.inf).tolist() for one in kept] == [[[False, False, True, True]]] * 3
    assert top_p(logits, 0.71).isfinite().tolist() == [[False, True, True, True]]
    penal = repetition_penalty(torch.tensor([[-1.0, 2.0, 3.0]]), torch.tensor([[0, 1, 1]]), 2.0)
    assert penal.tolist() == [[-2.0, 1.0, 3.0]]


def test_one_token_is_always_left():
    logits = logits_with_and_without_ties()
    for decoder in (Decoder(top_p=1e-9), Decoder(min_p=1.0), Decoder(top_k=1)):
        assert (decoder(logits, SEEN) > -math.inf).any(dim=-1).all()


def test_logits_are_left_as_they_were():
    logits = logits_with_and_without_ties()
    Decoder(0.5, 5, 0.9, 0.1, 1.5)(logits, SEEN)
    assert torch.equal(logits, logits_with_and_without_ties())


def test_what_the_text_holds_makes_no_difference_to_the_others():
    logits = logits_with_and_without_ties()
    made = repetition_penalty(logits, SEEN.int(), 1.7)
    others = torch.ones_like(logits, dtype=torch.bool).scatter(1, SEEN, False)
    assert torch.equal(made[others], logits[others]) and not torch.equal(made, logits)


def test_at_temperature_0_the_first_of_the_most_probable_is_left_after_the_penalty():
    logits = torch.tensor([[1.0, 3.0, 3.0, 2.9]])
    assert Decoder(0.0)(logits, torch.tensor([[0]])).softmax(-1).tolist() == [[0, 1, 0, 0]]
    penal = Decoder(0.0, repetition_penalty=1.1)
    assert penal.choose(logits, torch.tensor([[1]]), None).tolist() == [2]
    assert penal.choose(logits, torch.tensor([[1, 2]]), None).tolist() == [3]
    assert Decoder(0.0).choose(logits, torch.tensor([[1]]), None).tolist() == [1]


@pytest.mark.parametrize(
    "decoder", [Decoder(), Decoder(0.6, 6), Decoder(1.5, top_p=0.7), Decoder(min_p=0.2)], ids=str
)
def test_tokens_are_drawn_as_often_as_what_is_left_says_and_the_dropped_never(decoder):
    logits, number = logits_with_and_without_ties()[240:241], 50_000
    expected = decoder(logits, SEEN[:1]).softmax(-1)[0].double()
    generator = torch.Generator().manual_seed(2)
    drawn = decoder.choose(logits.expand(number, -1), SEEN[:1].expand(number, -1), generator)
    counts = drawn.bincount(minlength=V)
    assert (counts[expected == 0] == 0).all()
    kept = expected > 0
    off = ((counts - number * expected) ** 2 / (number * expected))[kept].sum()
    degrees = int(kept.sum()) - 1
    assert 1 <= degrees and off < degrees + 5 * math.sqrt(2 * degrees)  # five standard deviations


def test_a_draw_is_that_of_torch_multinomial():
    chances = logits_with_and_without_ties().softmax(-1)
    mine, torchs = (torch.Generator().manual_seed(3) for _ in range(2))
    for _ in range(20):
        expected = torch.multinomial(chances, 1, generator=torchs)[:, 0]
        assert torch.equal(draw(chances, mine), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1: give a number, 0 or more."),
        ({"temperature": math.inf}, "temperature is inf: give a number"),
        ({"temperature": "hot"}, "temperature is 'hot': give a number"),
        ({"top_k": 0}, "top_k is 0: give a whole number, 1 or more."),
        ({"top_k": 2.5}, "top_k is 2.5: give a whole number"),
        ({"top_k": True}, "top_k is True: give a whole number"),
        ({"top_p": 0}, "top_p is 0: give a number, more than 0 and at most 1."),
        ({"top_p": 1.01}, "top_p is 1.01: give a number"),
        ({"top_p": math.nan}, "top_p is nan: give a number"),
        ({"min_p": -0.1}, "min_p is -0.1: give a number from 0 to 1."),
        ({"min_p": 1.5}, "min_p is 1.5: give a number from 0 to 1."),
        ({"repetition_penalty": 0}, "repetition_penalty is 0: give a number, more than 0."),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_named_in_one_line(settings, message):
    with pytest.raises(ModelError) as error:
        Decoder(**settings)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
