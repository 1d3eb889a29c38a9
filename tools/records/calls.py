"""The recorded run of two tools, for the page "Answers and dialogue".

A tool is called in a line of its own. The program writes its result in the next one, and the model
goes on:

    What was the village of Ben called?          In Crowhill there lived ...
    look up Ben                  <- the model    How many words is that?
    In Crowhill there lived ...                  count                    <- the model
    Crowhill                     <- the model    11
                                                 11                       <- the model
"""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice

from storyland.tasks import dialogue
from storyland.tasks.dialogue import Example
from tinygpt import optim, records
from tinygpt.model import GPT
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train import Pairs, say, tune
from tools.records import post_training
from tools.records.beyond import about_the_hero, libraries, name, question
from tools.records.job import Job, once

SEEDS = range(3)
NEW = 12  # tokens of a line at most
TOLD_SEED = 2  # of what is trained on
CALLS, STEPS, BATCH, RATES = 600, 150, 16, {"learning_rate": 2.5e-3, "matrix_learning_rate": 0.015}
HOW_MANY, COUNT, FIND, NOTHING = "How many words is that?", "count", "look up ", "nothing found"


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


def calls(job: Job) -> dict:
    """The recorded model of post-training learns to call two tools, and to do without."""
    model, _ = records.load("post-training")
    found = []
    for seed in SEEDS:
        job.check(f"tools, seed {seed}")
        work = partial(called, model, post_training.tokenizer(), seed)
        found.append(once(job.out, {"called": seed}, work))
    return {
        "training": {"questions": CALLS, "steps": STEPS, "batch_size": BATCH, **RATES},
        "called": found,
        "figures": {
            f"{kind}, {way} tools": [
                round(one[way][kind]["right"] / one["questions"], 4) for one in found
            ]
            for way in ("without", "with")
            for kind in ("look up", "count")
        },
    }
