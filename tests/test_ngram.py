"""Kneser-Ney counting, checked against the definition and by hand."""

import random
from collections import Counter
from math import exp, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygpt.ngram import KneserNey

TEXTS = st.text("ab c", min_size=1, max_size=40)


def by_definition(text, order, char, context):
    """Interpolated Kneser-Ney as the papers write it, straight from the text, no shortcuts."""
    padded, alphabet = "\n" * (order - 1) + text, set(text) | {"\n"}
    grams = [padded[i : i + order] for i in range(len(text))]

    def prob(n, before):
        if n == 0:
            return 1 / len(alphabet)
        these = grams
        for _ in range(order - n):  # continuation: different n-grams, their first character gone
            these = [gram[1:] for gram in set(these)]
        counts = Counter(these)
        ones, twos = (sum(c == k for c in counts.values()) for k in (1, 2))
        discount = ones / (ones + 2 * twos) if ones else 0
        follow = {g[-1]: c for g, c in counts.items() if g[:-1] == before}
        lower = prob(n - 1, before[1:])
        if not follow:
            return lower
        total = sum(follow.values())
        return (max(follow.get(char, 0) - discount, 0) + discount * len(follow) * lower) / total

    before = context[max(0, len(context) - order + 1) :]
    return prob(len(before) + 1, before)


@given(TEXTS, st.integers(1, 4), st.text("ab c", max_size=5))
def test_it_is_kneser_ney_as_defined(text, order, context):
    model = KneserNey(order).fit(text)
    for char in model.alphabet:
        assert model.prob(char, context) == pytest.approx(by_definition(text, order, char, context))


@given(TEXTS, st.integers(1, 5), st.text("ab c", max_size=6))
def test_it_sums_to_one_after_every_context(text, order, context):
    assert sum(KneserNey(order).fit(text).next_char(context).values()) == pytest.approx(1)


def test_a_bigram_by_hand():
    # "ab" twice, "ba" once, "\na" once; the discount is 2 / (2 + 2 * 1) = 1/2.
    model = KneserNey(2).fit("abab")
    # unigram continuations: a stands after b and the newline, b after a: counts 2 and 1
    lower_b = (1 - 1 / 3) / 3 + (1 / 3) * 2 / 3 * (1 / 3)
    assert model.prob("b", "a") == pytest.approx((2 - 0.5) / 2 + 0.5 * 1 / 2 * lower_b)


def test_an_order_of_one_ignores_the_context():
    model = KneserNey(1).fit("aab")
    assert model.prob("a", "zzz") == model.prob("a", "") == pytest.approx(model.prob("a", "b"))


def test_bits_per_char_is_the_mean_cross_entropy():
    model = KneserNey(3).fit("the cat sat on the mat\n")
    text = "the mat\n"
    by_hand = -sum(log2(exp(lp)) for lp in model.log_probs(text)) / len(text)
    assert model.bits_per_char(text) == pytest.approx(by_hand)


def test_samples_follow_the_distribution():
    model = KneserNey(2).fit("abacab")
    drawn = Counter(model.sample(1, random.Random(seed), prompt="a") for seed in range(4000))
    for char, probability in model.next_char("a").items():
        assert abs(drawn[char] / 4000 - probability) < 0.04



@pytest.mark.parametrize(("call", "message"), [
    (lambda: KneserNey(0), "order is 0"),
    (lambda: KneserNey(2).fit(""), "the text is empty"),
    (lambda: KneserNey(2).fit("ab").bits_per_char("abz"), "'z' is not in the alphabet"),
])
def test_wrong_input_gives_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()
