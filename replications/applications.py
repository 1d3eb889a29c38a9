"""Part 4's headlines: what is done with a trained model, each as a function of a fresh seed."""

import random
from functools import cache
from itertools import islice

import storyland
from replications import headline
from tinygpt.pretrained import pretrained
from tools.records import in_context

# 4-applications/a-real-model ---------------------------------------------------------------------

SMOLLM2 = cache(pretrained)
BEFORE = in_context.SHOWN[-1]  # stories


@cache
def _read(seed: int, count: int = 4) -> dict[str, list[dict[str, float]]]:
    """What SmolLM2 pays for fresh stories after none, after sixteen others, and after sixteen
    texts of their sentences, mixed; and the oracle: bits by kind of word, story by story."""
    real, source, rng = SMOLLM2(in_context.NAME), storyland.stories(seed), random.Random(seed)
    oracle, found = storyland.Oracle(), {"nothing": [], "stories": [], "mixed": [], "oracle": []}
    for _ in range(count):
        row = list(islice(source, BEFORE + 1))
        story = row[-1]
        for name, texts in (
            ("nothing", [story.text]),
            ("stories", [one.text for one in row]),
            ("mixed", in_context.other_sentences(row, rng)),
        ):
            read = in_context.read_in_a_row(real.model, real.tokenizer, texts)
            log_probs = read[str(len(texts) - 1)]
            ends = real.tokenizer.ends(story.text)
            found[name].append(in_context.split(story, ends, log_probs))
        ends = [len(storyland.join(story.words[: i + 1])) for i in range(len(story.words))]
        log_probs = oracle.word_log_probs(story.text)
        found["oracle"].append(in_context.split(story, ends, log_probs))
    return found


def _total(rows: list[dict[str, float]], *kinds: str) -> float:
    return sum(sum(row[kind] for kind in kinds or row) for row in rows)


@headline(
    page="4-applications/a-real-model",
    claim="After sixteen stories of Storyland in its context SmolLM2 still pays more than five "
    "times what the oracle pays for the next.",
    effect="SmolLM2's bits, by the oracle's",
    above=5.0,
)
def sixteen_stories_are_not_a_training(seed: int) -> float:
    """Four fresh stories, each after sixteen others of its own."""
    found = _read(seed)
    return _total(found["stories"]) / _total(found["oracle"])


@headline(
    page="4-applications/a-real-model",
    claim="What SmolLM2 learns from sixteen stories is mostly their sentences: mixed with one "
    "another, these still bring more than half of it.",
    effect="share of the gain that is left with mixed sentences",
    above=0.5,
)
def sentences_are_most_of_what_is_learned(seed: int) -> float:
    """Four fresh stories, each after sixteen others, and after their sentences in another order."""
    found = _read(seed)
    nothing = _total(found["nothing"])
    return (nothing - _total(found["mixed"])) / (nothing - _total(found["stories"]))


@headline(
    page="4-applications/a-real-model",
    claim="From texts of mixed sentences SmolLM2 learns that nobody comes back: words that a "
    "story says again cost more after sixteen of them than after nothing.",
    effect="bits for words said again, after mixed sentences by after nothing",
    above=1.0,
)
def mixed_sentences_teach_that_nobody_comes_back(seed: int) -> float:
    """Four fresh stories, each after nothing, and after sixteen texts of mixed sentences."""
    found = _read(seed)
    return _total(found["mixed"], "said again") / _total(found["nothing"], "said again")
