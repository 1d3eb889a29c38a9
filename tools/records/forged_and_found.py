"""What a model that was tuned on conversations does with a turn that was forged, and with a story
that a search has found: for the record of post-training."""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice

import numpy as np

from storyland.tasks import dialogue
from storyland.tasks.dialogue import FORMS, Example
from tinygpt.model import GPT
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train import say
from tools.records.retrieval import by_words

NEW = 12  # tokens of a line at most
EDITED = {"home", "village"}  # questions whose answers stand in the story as they are said
FORGED, FORGED_SEED = 40, 5  # conversations
LIBRARIES, LIBRARY_SEED = 8, 6  # of one beginning for each name


# Turns


def follow_ups(seed: int) -> Iterator[Example]:
    """Conversations whose last turn asks for the answer of the turn before in another form, where
    that answer stands once in the story."""
    for one in dialogue.examples(seed):
        turn = one.turns[-1]
        again = len(one.turns) == 2 and turn.asked == FORMS[turn.form].asked
        if again and turn.question in EDITED and one.story.text.count(turn.answer) == 1:
            yield one


def changed(example: Example, answer: str) -> dict[str, str]:
    """Inputs: with another answer in the turn before, in the story, and in both."""
    right, said = example.turns[-1].answer, example.turns[-2].said
    story, rest = example.story.text, example.input.removeprefix(example.story.text)
    told = story.replace(right, answer)
    ends = f"\n{said}\n{example.turns[-1].asked}"
    turns = rest.removesuffix(ends) + ends.replace(said, said.replace(right, answer))
    return {"answer": story + turns, "story": told + rest, "both": told + turns}


def forged(model: GPT, tokenizer: BPETokenizer, seed: int) -> dict:
    """Of each conversation as it is and with each change: how often the last line is in its form
    with the old answer, with the new one, and in all."""
    found = list(islice(follow_ups(FORGED_SEED), FORGED))
    others = [
        next(
            other.turns[-1].answer
            for other in found[i + 1 :] + found[: i + 1]
            if other.turns[-1].question == one.turns[-1].question
            and other.turns[-1].answer != one.turns[-1].answer
        )
        for i, one in enumerate(found)
    ]
    inputs = [
        {"nothing": one.input} | changed(one, new) for one, new in zip(found, others, strict=True)
    ]
    result = {}
    for change in inputs[0]:
        said = say(model, tokenizer, [one[change] for one in inputs], NEW)
        old = sum(dialogue.score(one, text) for one, text in zip(found, said, strict=True))
        new = sum(
            FORMS[one.turns[-1].form].make(answer, one.turns[-1].name).lower() == text.lower()
            for one, answer, text in zip(found, others, said, strict=True)
        )
        result[change] = {"old": int(old), "new": int(new), "of": len(found)}
    return result


# Facts that are not in the context


def about_the_hero(seed: int) -> Iterator[Example]:
    """Conversations of one plain question about the hero."""
    for one in dialogue.examples(seed):
        turn = one.turns[0]
        if len(one.turns) == 1 and turn.form == "plain" and turn.name == one.story.facts["hero"]:
            yield one


def name(example: Example) -> str:
    return example.turns[-1].name


def question(example: Example) -> str:
    return example.turns[-1].asked


@cache
def libraries() -> list[dict[str, Example]]:
    """For each of several libraries one beginning for each name, with its question."""
    source, made = about_the_hero(LIBRARY_SEED), []
    for _ in range(LIBRARIES):
        made.append({})
        for one in islice(source, 100):
            made[-1].setdefault(name(one), one)
    return made


def retrieved(model: GPT, tokenizer: BPETokenizer, seed: int) -> dict:
    """Questions without their story: right answers with no story, with another of the library, with
    the one that BM25 finds, and with their own; and how often each says that nobody knows."""
    read: dict[str, list[str]] = {"no story": [], "another": [], "BM25": [], "its own": []}
    asked, hits = [], 0
    for library in libraries():
        some = list(library.values())
        texts = [one.story.text for one in some]
        best = by_words(texts, [question(one) for one in some]).argmax(axis=1)
        hits += int((best == np.arange(len(some))).sum())
        for i, one in enumerate(some):
            asked.append(one)
            read["no story"].append(question(one))
            for kind, j in (("another", (i + 1) % len(some)), ("BM25", best[i]), ("its own", i)):
                read[kind].append(f"{texts[j]}\n{question(one)}")
    result: dict = {"questions": len(asked), "found": hits}
    result["answerable"] = sum(one.answerable for one in asked)
    for kind, inputs in read.items():
        said = say(model, tokenizer, inputs, NEW)
        result[kind] = _right(asked, said)
    return result


def _right(asked: Sequence[Example], said: Sequence[str]) -> dict[str, int]:
    """Right answers of those that the story entails, and of the others; and how many of the first
    are `nobody knows`."""
    both = list(zip(asked, said, strict=True))
    return {
        "answers": int(sum(dialogue.score(*pair) for pair in both if pair[0].answerable)),
        "nobody": int(sum(dialogue.score(*pair) for pair in both if not pair[0].answerable)),
        "false_alarms": sum(pair[1].startswith("nobody") for pair in both if pair[0].answerable),
    }


MEASURES = {"forged": forged, "retrieved": retrieved}
