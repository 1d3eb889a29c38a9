"""The recorded run of the page "A real model": how many bits a character a model that has read the
web pays for a story of Storyland, after it has read some others.

A pass reads SHOWN[-1] + 1 stories in a row, and so gives a story for each number of stories before
it. The stories of a group are rotated until each has been read at each place: then every number of
stories before is measured on the same stories.
"""

import random
import re
from collections import Counter
from itertools import islice
from math import log

import torch
import torch.nn.functional as F
from tqdm import tqdm

import storyland
from storyland.sampler import Story
from tinygpt import records
from tinygpt.model import GPT
from tinygpt.ngram import KneserNey
from tinygpt.pretrained import pretrained
from tools.records.job import Job, once
from tools.records.storyland import tokenizer

NAME = "smollm2-135m-instruct"
SEED, GROUPS = 71, 2  # of the stories, which no model was trained on and no page shows
TUNING_SEED, TUNING_GROUPS = 72, 2  # of others, on which the n-gram's order is chosen
SHOWN = (0, 1, 2, 4, 8, 16)  # stories before
ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24)
ROWS = 256  # logits of so many tokens at once: all of them would take gigabytes
CHARACTERS = sorted({chr(i) for i in range(32, 127)} | set("\n“”‘’–—…"))  # that any text may have
KINDS = ("said again", "said first", "the rest")
NATS = log(2)  # in a bit
SENTENCE = re.compile(r"\S.*?[.!?]”?(?=\s)")
START = "<|endoftext|>"  # what stands before a text in SmolLM2's training


def kinds(story: Story) -> list[tuple[int, int, str]]:
    """The words with a role, as places in the story's text: start, end, and which kind it is."""
    again, found, end = {mention.index for mention in storyland.mentions(story)}, [], 0
    for index, (word, role) in enumerate(zip(story.words, story.roles, strict=True)):
        end = len(storyland.join(story.words[: index + 1]))
        if role:
            found.append((end - len(word), end, KINDS[0] if index in again else KINDS[1]))
    return found


def split(story: Story, ends: list[int], log_probs: list[float]) -> dict[str, float]:
    """What the tokens of a story cost, in bits, by what they say.

    A token counts for the word with a role that it shares a character with, else for the rest.
    """
    bits, places = Counter(dict.fromkeys(KINDS, 0.0)), kinds(story)
    for start, end, log_p in zip([0, *ends], ends, log_probs, strict=False):
        kind = next((kind for a, b, kind in places if start < b and end > a), KINDS[2])
        bits[kind] -= log_p / NATS
    return {kind: round(value, 3) for kind, value in bits.items()}


@torch.no_grad()
def nats(model: GPT, ids: list[int]) -> list[float]:
    """ln P of each token but the first, given all before it."""
    row = torch.tensor([ids])
    hidden, found = model.hidden(row)[0, :-1], []  # (T - 1, d)
    for states, targets in zip(hidden.split(ROWS), row[0, 1:].split(ROWS), strict=True):
        found += (-F.cross_entropy(model.head(states).float(), targets, reduction="none")).tolist()
    return found


def read_in_a_row(model: GPT, reader, texts: list[str]) -> dict[str, list[float]]:
    """What each token costs of the text that comes after so many of these, for those of SHOWN."""
    lines = [reader.encode(text) for text in texts]
    start = reader.encode(START, special=True)
    log_probs = iter(nats(model, start + [i for line in lines for i in line]))
    rows = [list(islice(log_probs, len(line))) for line in lines]
    shown = [before for before in SHOWN if before < len(rows)]
    return {str(before): [round(x, 4) for x in rows[before]] for before in shown}


def other_words(stories: list[Story], rng: random.Random) -> list[str]:
    """The texts of all but the last with their words in another order; the last as it is."""
    words = [storyland.pieces(story.text.strip()) for story in stories[:-1]]
    return [
        *("".join(rng.sample(one, len(one))).strip() + "\n" for one in words),
        stories[-1].text,
    ]


def other_sentences(stories: list[Story], rng: random.Random) -> list[str]:
    """The same with the sentences of all in another order: as many a text as there were."""
    texts = [SENTENCE.findall(story.text) for story in stories[:-1]]
    every = iter(rng.sample(pool := [one for text in texts for one in text], len(pool)))
    return [
        *(" ".join(islice(every, len(text))) + "\n" for text in texts),
        stories[-1].text,
    ]


def own_sentences(stories: list[Story], rng: random.Random) -> list[str]:
    """The same with the sentences of each text in another order: its names still come again."""
    texts = [SENTENCE.findall(story.text) for story in stories[:-1]]
    return [
        *(" ".join(rng.sample(text, len(text))) + "\n" for text in texts),
        stories[-1].text,
    ]


def counted(order: int, stories: list[Story], story: Story) -> list[float]:
    """What an n-gram model pays for a story, when it has read no more than the others."""
    model = KneserNey(order).fit("".join(one.text for one in stories) or "\n")
    model.alphabet = CHARACTERS  # it may not know which characters are to come
    return model.log_probs(story.text)


def rotations(stories: list[Story]) -> list[list[Story]]:
    return [stories[i:] + stories[:i] for i in range(len(stories))]


def groups(seed: int, count: int) -> list[list[Story]]:
    source = storyland.stories(seed)
    return [list(islice(source, SHOWN[-1] + 1)) for _ in range(count)]


def best_order(before: int) -> int:
    """Of the n-gram that has read so many stories, by stories that are not measured."""

    def bits(order: int) -> float:
        return -sum(
            sum(counted(order, row[:before], row[before]))
            for group in groups(TUNING_SEED, TUNING_GROUPS)
            for row in rotations(group)
        )

    return min(ORDERS, key=bits)


class Costs:
    """What readers pay for the stories, each story once for every number of stories before it."""

    def __init__(self, stories: list[Story]):
        self.number = {story.text: i for i, story in enumerate(stories)}
        self.bits: dict[str, list] = {}  # reader -> story -> kind -> bits
        self.parts: dict[str, list] = {}  # reader -> story -> ends and log_probs

    def add(self, reader: str, story: Story, ends: list[int], log_probs: list[float]) -> None:
        for kept, value in (
            (self.bits, split(story, ends, log_probs)),
            (self.parts, (story, ends, log_probs)),
        ):
            rows = kept.setdefault(reader, [None] * len(self.number))
            rows[self.number[story.text]] = value

    def by_distance(self, reader: str) -> dict[int, float]:
        found = storyland.bits_by_distance(*zip(*self.parts[reader], strict=True))
        return {distance: round(bits, 3) for distance, bits in found.items()}


def in_context(job: Job) -> dict:
    """SmolLM2 reads stories, beside n-grams that read the same, our model, and the oracle."""
    asked = groups(SEED, 1 if job.rehearsal else GROUPS)
    stories = [story for group in asked for story in group]
    found = pretrained(NAME)
    model, reader = found.model, found.tokenizer
    ours, _ = records.load("story-base")
    our_reader, oracle, costs = tokenizer(), storyland.Oracle(), Costs(stories)
    orders = {before: best_order(before) for before in tqdm(SHOWN, desc="orders")}
    rows = [row for group in asked for row in rotations(group)]
    for number, row in enumerate(tqdm(rows[:1] if job.rehearsal else rows, desc="passes")):
        rng = random.Random(number)
        for name, texts in (
            ("SmolLM2", [story.text for story in row]),
            ("SmolLM2, words in another order", other_words(row, rng)),
            ("SmolLM2, sentences in another order", other_sentences(row, rng)),
            ("SmolLM2, sentences of each in another order", own_sentences(row, rng)),
        ):
            run = {"model": NAME, "texts": texts, "shown": SHOWN}
            read = once(job.out, run, lambda texts=texts: read_in_a_row(model, reader, texts))
            for before in SHOWN if name == "SmolLM2" else SHOWN[-1:]:
                story = row[before]
                ends, log_probs = reader.ends(story.text), read[str(before)]
                costs.add(f"{name}, after {before}", story, ends, log_probs)
        for before in SHOWN:
            story = row[before]
            log_probs = counted(orders[before], row[:before], story)
            ends = list(range(1, len(story.text) + 1))
            costs.add(f"n-gram, after {before}", story, ends, log_probs)
        story = row[0]
        log_probs = nats(ours, our_reader.encode("\n" + story.text))
        costs.add("GPT", story, our_reader.ends(story.text), log_probs)
        ends = [len(storyland.join(story.words[: i + 1])) for i in range(len(story.words))]
        costs.add("oracle", story, ends, oracle.word_log_probs(story.text))
    if job.rehearsal:
        return {"figures": {"stories": len(stories)}}
    chars = [len(story.text) for story in stories]
    return {
        "model": NAME,
        "stories": f"storyland, seed {SEED}, {GROUPS} groups of {SHOWN[-1] + 1}",
        "orders": orders,
        "characters": chars,
        "characters_of_kinds": [count(story) for story in stories],
        "bits": costs.bits,
        "by_distance": {
            name: costs.by_distance(name) for name in costs.bits if not name.startswith("n-gram")
        },
        "figures": {
            name: round(sum(sum(one.values()) for one in rows) / sum(chars), 4)
            for name, rows in costs.bits.items()
        },
    }


def count(story: Story) -> dict[str, int]:
    """How many characters of a story are of each kind."""
    counts = Counter(dict.fromkeys(KINDS, 0))
    for start, end, kind in kinds(story):
        counts[kind] += end - start
    counts[KINDS[2]] = len(story.text) - counts[KINDS[0]] - counts[KINDS[1]]
    return dict(counts)
