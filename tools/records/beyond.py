"""What a model that was tuned on conversations does with turns that were forged, with a story that
a search has found, and with two tools: for the record of post-training.

A tool is called in a line of its own. The program writes its result in the next one, and the model
goes on:

    What was the village of Ben called?          In Crowhill there lived ...
    look up Ben                  <- the model    How many words is that?
    In Crowhill there lived ...                  count                    <- the model
    Crowhill                     <- the model    11
                                                 11                       <- the model
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice

import numpy as np

from storyland.tasks import dialogue
from storyland.tasks.dialogue import FORMS, Example
from tinygpt import optim
from tinygpt.model import GPT
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train import Pairs, say, tune
from tools.records.retrieval import by_words

NEW = 12  # tokens of a line at most
EDITED = {"home", "village"}  # questions whose answers stand in the story as they are said
FORGED, FORGED_SEED = 40, 5  # conversations
LIBRARIES, LIBRARY_SEED = 8, 6  # of one beginning for each name
TOLD_SEED = 2  # of what is trained on
CALLS, STEPS, BATCH, RATES = 600, 150, 16, {"learning_rate": 2.5e-3, "matrix_learning_rate": 0.015}
HOW_MANY, COUNT, FIND, NOTHING = "How many words is that?", "count", "look up ", "nothing found"


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


# Tools


def count(text: str) -> str:
    """How many words a text has, in digits."""
    return str(len(text.split()))


def result(call: str, text: str, library: Mapping[str, Example]) -> str | None:
    """What the program writes after a call; None where a line is no call. `text` is what the model
    has read."""
    if call == COUNT:
        return count(text.splitlines()[0])
    if call.startswith(FIND):
        found = library.get(call.removeprefix(FIND))
        return found.story.text if found else NOTHING
    return None


def taught(with_tools: bool) -> list[tuple[str, str]]:
    """Pairs to train on, the same questions with tools and without."""
    pairs = []
    for one in islice(about_the_hero(TOLD_SEED), CALLS):
        story, asked = one.story.text, question(one)
        number, call = f"{story}\n{HOW_MANY}", FIND + name(one)
        pairs.append((one.input, one.output))
        if with_tools:
            pairs += [(asked, call), (f"{asked}\n{call}\n{story}", one.output)]
            pairs += [(number, COUNT), (f"{number}\n{COUNT}\n{count(story)}", count(story))]
        else:  # as many texts
            pairs += [(asked, one.output), (number, count(story))] * 2
    return pairs


def answer(
    model: GPT, tokenizer: BPETokenizer, inputs: Sequence[str], shelves: Sequence[Mapping]
) -> tuple[list[str], list[str]]:
    """What the model says first to each input, and what it says in the end, once the program has
    written what was called for."""
    first = say(model, tokenizer, inputs, NEW)
    last, again = list(first), {}
    for i, (input, call, library) in enumerate(zip(inputs, first, shelves, strict=True)):
        if (found := result(call, input, library)) is not None:
            again[i] = f"{input}\n{call}\n{found}"
    if again:
        said = say(model, tokenizer, list(again.values()), NEW)
        for i, text in zip(again, said, strict=True):
            last[i] = text
    return first, last


def called(model: GPT, tokenizer: BPETokenizer, seed: int) -> dict:
    """From the tuned model on: trained with tools and without, on the same questions."""
    asked = [(one, library) for library in libraries() for one in library.values()]
    examples, shelves = [one for one, _ in asked], [library for _, library in asked]
    kinds = {
        "look up": [question(one) for one in examples],
        "count": [f"{one.story.text}\n{HOW_MANY}" for one in examples],
    }
    found: dict = {"questions": len(examples)}
    for name_, with_tools in (("without", False), ("with", True)):
        learner = copy.deepcopy(model)
        pairs = Pairs.of(taught(with_tools), tokenizer, BATCH, seed=seed)
        tune(learner, pairs, steps=STEPS, optimisers=optim.make(learner, **RATES))
        found[name_] = {}
        for kind, inputs in kinds.items():
            first, last = answer(learner, tokenizer, inputs, shelves)
            if kind == "count":
                right = sum(
                    text == count(one.story.text) for one, text in zip(examples, last, strict=True)
                )
            else:
                right = int(sum(map(dialogue.score, examples, last)))
            found[name_][kind] = {
                "right": right,
                "calls": sum(text == COUNT or text.startswith(FIND) for text in first),
                "nobody": sum(text.startswith("nobody") for text in last),
                "said": list(map(list, zip(inputs[:6], first[:6], last[:6], strict=True))),
            }
    return found


MEASURES = {"forged": forged, "retrieved": retrieved, "called": called}
