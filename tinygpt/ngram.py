"""Character n-gram models with interpolated Kneser-Ney smoothing.

Kneser and Ney, "Improved backing-off for m-gram language modeling", 1995; interpolated as in Chen
and Goodman, "An empirical study of smoothing techniques for language modeling", 1999. One discount
an order, D = n1 / (n1 + 2 n2), from the n-grams seen once and twice (Ney, Essen and Kneser, "On
structuring probabilistic dependences in stochastic language modelling", 1994).
"""

import random
from collections import Counter
from dataclasses import dataclass
from math import fsum, log

# What stands before the first character of a text: stories end with it, so one may begin after it.
PAD = "\n"


@dataclass
class _Level:
    """The counts of the n-grams of one length, and what their contexts add up to."""

    counts: Counter  # n-gram -> count
    contexts: dict  # all but the last character -> (sum of the counts after it, what is held back)
    discount: float


class KneserNey:
    """P(character | the `order - 1` characters before it), from counts.

    The highest order counts occurrences; each lower one counts in how many different places an
    n-gram occurs, since it is asked only where the longer one is unsure.
    """

    def __init__(self, order: int):
        if order < 1:
            raise ValueError(f"order is {order}; it counts the predicted character too: 1 or more")
        self.order = order

    def fit(self, text: str) -> "KneserNey":
        """Counts a text. Its characters become the alphabet."""
        if not text:
            raise ValueError("there is nothing to count: the text is empty")
        self.alphabet = sorted(set(text) | {PAD})
        padded = PAD * (self.order - 1) + text
        starts = range(len(text))
        counts = Counter([padded[i : i + self.order] for i in starts])
        levels = [_level(counts)]
        for _ in range(self.order - 1):
            counts = Counter([gram[1:] for gram in counts])
            levels.append(_level(counts))
        self.levels = levels[::-1]  # order 1 first
        return self

    def prob(self, char: str, context: str) -> float:
        """P(char | context); of a context only the last `order - 1` characters count."""
        probability = 1 / len(self.alphabet)
        context = context[max(0, len(context) - self.order + 1) :]
        for length, level in enumerate(self.levels):
            if length > len(context):
                break
            before = context[len(context) - length :]
            if before not in level.contexts:  # then a longer one is unseen as well
                break
            total, held_back = level.contexts[before]
            count = level.counts.get(before + char)
            kept = count - level.discount if count else 0
            probability = (kept + held_back * probability) / total
        return probability

    def next_char(self, context: str) -> dict[str, float]:
        """The distribution of the next character. Sums to 1."""
        return {char: self.prob(char, context) for char in self.alphabet}

    def log_probs(self, text: str) -> list[float]:
        """ln P of each character given those before it, in nats."""
        unknown = set(text) - set(self.alphabet)
        if unknown:
            raise ValueError(f"{sorted(unknown)[0]!r} is not in the alphabet of the training text")
        padded, reach = PAD * (self.order - 1) + text, self.order - 1
        return [log(self.prob(char, padded[i : i + reach])) for i, char in enumerate(text)]

    def bits_per_char(self, text: str) -> float:
        """Cross-entropy on a text, in bits a character."""
        return -fsum(self.log_probs(text)) / len(text) / log(2)

    def sample(self, length: int, rng: random.Random, prompt: str = PAD) -> str:
        """`length` more characters after a prompt (which is not returned)."""
        text = prompt
        for _ in range(length):
            chances = self.next_char(text)
            text += rng.choices(list(chances), weights=list(chances.values()))[0]
        return text[len(prompt) :]


def _level(counts: Counter) -> _Level:
    seen = Counter(counts.values())
    # In a text so small that nothing is seen once, nothing can be held back either.
    discount = seen[1] / (seen[1] + 2 * seen[2]) if seen[1] else 0.0
    contexts = {}
    for gram, count in counts.items():
        total, held_back = contexts.get(gram[:-1], (0, 0.0))
        contexts[gram[:-1]] = total + count, held_back + discount
    return _Level(counts, contexts, discount)
