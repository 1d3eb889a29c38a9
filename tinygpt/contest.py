"""A contest of small language models: equal budgets, fresh stories, and words without a meaning.

    from tinygpt import contest
    score = contest.measure(train, predict, seed=1)

`train(stories, vocab_size)` gets stories of Storyland as lists of numbers and returns the model: a
dictionary of tensors. `predict(weights, prefixes)` returns for each beginning of a story the
probabilities of its next word. Which number means which word is drawn anew with each seed, so that
nothing known beforehand helps: neither a trained model, nor the released texts, nor the oracle.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

import storyland

STORIES = 1000  # to learn from
PREFIXES = 1000  # to be judged on, each of another story
RARE = 3  # a word that the stories have less often than this has the number OTHER
OTHER = 0
MAX_BYTES = 800_000  # of the model: 200,000 numbers of four bytes
SECONDS = 60  # of processor time, to train
FLOOR = 0.53  # bits per word, what the oracle pays at such places on average
TOLERANCE = 1e-4  # of a sum of probabilities in float32


@dataclass(frozen=True)
class Draw:
    """What one seed gives: stories to learn from, and beginnings of others with their next words.

    All are numbers below vocab_size; `words` says what they mean ("" for OTHER), `read` holds the
    beginnings with their next words as text.
    """

    stories: list[list[int]]
    vocab_size: int
    prefixes: list[list[int]]
    targets: list[int]
    words: list[str]
    read: list[list[str]]

    def floor(self) -> float:
        """Bits a word that the oracle pays for the targets. It takes a minute or two."""
        oracle = storyland.Oracle()
        return -sum(oracle.word_log_probs(words)[-1] for words in self.read) / (
            len(self.read) * math.log(2)
        )


@dataclass(frozen=True)
class Score:
    """How a model did. `fault` says which rule was broken, in a line; then `bits` is infinite.

    bits: per word, over the floor
    size: bytes of the model
    seconds: of processor time, for training
    """

    bits: float
    size: int
    seconds: float
    fault: str = ""

    def __str__(self):
        if self.fault:
            return f"not counted: {self.fault}"
        return (
            f"{self.bits:.2f} bits per word over the floor, {self.size:,} of {MAX_BYTES:,} bytes, "
            f"trained in {self.seconds:.0f} s"
        )


@lru_cache(maxsize=4)
def draw(seed: int, stories: int = STORIES, prefixes: int = PREFIXES) -> Draw:
    """The stories of one seed; the same on every machine."""
    rng = random.Random(seed)
    source = storyland.stories(rng.getrandbits(62))
    texts = [next(source).words for _ in range(stories)]
    counts = Counter(word for words in texts for word in words)
    known = sorted(word for word, count in counts.items() if count >= RARE)
    rng.shuffle(known)
    number = {word: i for i, word in enumerate(known, start=OTHER + 1)}
    read = []
    for _ in range(prefixes):  # of each story one, so that none gives away another's next word
        words = next(source).words
        read.append(words[: rng.randrange(2, len(words) + 1)])
    learnt = [[number.get(word, OTHER) for word in words] for words in texts]
    asked = [[number.get(word, OTHER) for word in words] for words in read]
    return Draw(
        learnt,
        len(known) + 1,
        [ids[:-1] for ids in asked],
        [ids[-1] for ids in asked],
        ["", *known],
        read,
    )


def _named(value: object) -> str:
    """What a message calls something that is not what it should be."""
    if value is None:
        return "None: is a return missing?"
    return f"something of type {type(value).__name__}"


def size_of(weights: object) -> int:
    """The bytes of a model: of its tensors, names, types and shapes. ValueError if it is none.

    A tensor without a number in it has a shape, which could hold numbers, too: each dimension
    counts 8 bytes, the type one.
    """
    if not isinstance(weights, dict):
        raise ValueError(f"train gave no dictionary of tensors but {_named(weights)}")
    if not weights:
        raise ValueError("train gave an empty dictionary: put the model's tensors into it")
    size = 0
    for name, value in weights.items():
        if not isinstance(name, str):
            raise ValueError(f"the model has the key {name!r}: name each tensor by a text")
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise ValueError(
                f"the model's {name[:40]!r} is no tensor: a model is a dictionary of tensors, "
                "without modules, lists and functions"
            )
        size += len(name.encode()) + 1 + 8 * value.ndim + value.nbytes
    return size


def fault(probs: object, rows: int, vocab_size: int) -> str:
    """Why these are not the probabilities of `rows` next words, in a line; "" if they are."""
    if not isinstance(probs, torch.Tensor | np.ndarray):
        return f"predict gave no tensor but {_named(probs)}"
    probs = torch.as_tensor(probs).detach().as_subclass(torch.Tensor)  # with its own methods
    if not probs.is_floating_point():
        return f"predict gave numbers of type {probs.dtype}: probabilities are float32 or float64"
    if list(probs.shape) != [rows, vocab_size]:
        return (
            f"predict gave the shape {list(probs.shape)}, not [{rows}, {vocab_size}]: a row for "
            "each prefix, a column for each word"
        )
    probs = probs.double()
    if not probs.isfinite().all():
        return "predict gave NaN or infinite probabilities: did the training diverge?"
    if (probs < 0).any():
        return f"predict gave a probability below 0 ({probs.min():.3g}): are these logits?"
    off = (probs.sum(1) - 1).abs().max().item()
    if off > TOLERANCE:
        return (
            f"predict gave rows that do not sum to 1 but are off by up to {off:.2g}: "
            "is the softmax over the words, and in float32? Are counts divided by their own sum?"
        )
    return ""


def measure(
    train: Callable,
    predict: Callable,
    seed: int,
    floor: float = FLOOR,
    clock: Callable[[], float] = time.process_time,
    **sizes: int,
) -> Score:
    """Train on the stories of a seed, and score what the model predicts on its fresh ones.

    floor: bits per word that the oracle pays on them; clock: gives the seconds that are counted;
    sizes: `stories` and `prefixes` of `draw`
    """
    drawn = draw(seed, **sizes)
    start = clock()
    weights = train([list(story) for story in drawn.stories], drawn.vocab_size)
    seconds = clock() - start
    try:
        size = size_of(weights)
    except ValueError as error:
        return Score(math.inf, 0, seconds, str(error))
    if size > MAX_BYTES:
        said = (
            f"the model has {size:,} bytes and may have {MAX_BYTES:,}: that is "
            f"{MAX_BYTES // 4:,} numbers of float32"
        )
        return Score(math.inf, size, seconds, said)
    if seconds > SECONDS:
        said = f"training took {seconds:.0f} s of processor time and may take {SECONDS}"
        return Score(math.inf, size, seconds, said)
    guess = predict(weights, [list(prefix) for prefix in drawn.prefixes])
    if said := fault(guess, len(drawn.prefixes), drawn.vocab_size):
        return Score(math.inf, size, seconds, said)
    guess = torch.as_tensor(guess).detach().as_subclass(torch.Tensor).double()
    guess = guess / guess.sum(1, keepdim=True)
    given = guess[torch.arange(len(drawn.targets)), torch.tensor(drawn.targets)]
    if (given == 0).any():
        said = (
            f"{int((given == 0).sum())} words came that the model had called impossible "
            "(probability 0): each of them costs infinitely many bits"
        )
        return Score(math.inf, size, seconds, said)
    return Score(-given.log2().mean().item() - floor, size, seconds)
