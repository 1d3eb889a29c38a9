"""The recorded run of the page "Calling tools": a small GPT that looks texts up, and counts by
itself or with a program, in one call or in a call for each sentence.

Every way has the same texts and as many steps of training, three seeds. What the programs answer is
then changed, and a published model calls the same programs. All is kept until the record is whole.
"""

import os.path
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import islice
from random import Random

import torch
from tqdm import tqdm

from storyland.grammar import NUMBERS
from storyland.tasks import calls, counting
from storyland.tasks.calls import NOBODY, STEPS, WAYS, Example, Reader
from tinygpt import records
from tinygpt.calls import CALL, RESULT, answer, converse, transcript_row
from tinygpt.model import GPT, KVCache, preset
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.tune import Pairs
from tools.records import thinking
from tools.records.job import Job, once

TRAINED = thinking.TRAINED  # steps of the texts that are trained on
SEEDS = range(3)
VOCAB, LEARNED_FROM = 384, 1000  # tokens, and the texts that their merges are learned from
SIZE = thinking.SIZE | {"context": 320}
BATCH, TRAINING = 32, 400  # texts a step, steps
FACTOR, OTHER_FACTOR = 0.4, 0.2  # of the rates of `thinking`; the second is tried once
CALLING = WAYS[1:]
MOST = 16  # calls that are answered: the longest text has eleven sentences
SEED, MEASURED = 3, {"given": 100, "absent": 25, "unknown": 25}  # texts of each number of steps

# What the programs answer
TOLD_SEED, TOLD, LONG = 5, 100, 5  # texts, and how many steps each has
BROKEN = "error: out of order"
TOLD_BY_COUNTER = ("the truth", "off by one", "far off", BROKEN)
TOLD_BY_LOOK_UP = ("the truth", "another text", BROKEN)
FAR = 4  # from the truth at least

# A published model
REAL, REAL_STEPS, REAL_ASKED, REAL_SEED = "smollm2-135m-instruct", (1, 2, 3, 4), 5, 6
REAL_NEW = 24  # tokens of a line
REAL_MOST = 8  # calls that are answered
RULES = {
    "one call": "Count how many there are. Other people and other things do not count. "
    "First call the counter: write > count and the sum. Then repeat its result.",
    "a call a sentence": "Count how many there are. Other people and other things do not count. "
    "First write > read. To each sentence write > + or > - and the number, or > skip if it does "
    "not count. At the end repeat the result.",
}


@cache
def tokenizer() -> BPETokenizer:
    """Learned from texts of seed 1 and from what is right to say and to answer, in every way."""
    lines = [
        line
        for one in islice(calls.examples(1), LEARNED_FROM)
        for way in WAYS
        for line in (one.input, *calls.transcript(one, way))
    ]
    return BPETokenizer.train("\n".join(lines), VOCAB)


def calling_tools(here: Job) -> dict:
    """A GPT from scratch that looks texts up and answers how many there are: at once, with one
    call of a counter, or with a call for each sentence; three seeds each.

    `right` holds for each way, kind of question, number of steps and seed how many of `measured`
    texts were right, `calls_right` in how many all that was called was right, `wrong` of which kind
    the wrong answers were, and `terms` how many numbers one call had, as often as it happened;
    `counter` and `look_up` what is said after answers that are changed; `smollm2` what a published
    model says and is answered, line for line.
    """
    kept = partial(once, here.out)
    found = {way: [measured(here, way, seed) for seed in SEEDS] for way in WAYS}
    told = {
        way: [
            kept({"counter": way, "seed": seed}, partial(counter_tells, here, way, seed))
            for seed in SEEDS
        ]
        for way in CALLING
    }
    looked = [
        kept({"look up": WAYS[2], "seed": seed}, partial(look_up_tells, here, WAYS[2], seed))
        for seed in SEEDS
    ]
    other = measured(here, "one call", 0, OTHER_FACTOR)
    smollm2 = {way: kept({"smollm2": way}, partial(real_says, way)) for way in CALLING}
    model, _ = model_of(here, WAYS[2], 0)
    described = records.write_model(here.out, model)
    return {
        "model": described,
        "training": {
            "tokens": VOCAB, "steps": TRAINING, "batch": BATCH, "trained": TRAINED,
            "factor": FACTOR, "other_factor": OTHER_FACTOR,
        },
        "measured": MEASURED,
        "right": table("right", found),
        "calls_right": table("calls right", found),
        "wrong": {way: [one["wrong"] for one in of] for way, of in found.items()},
        "malformed": {way: [one["malformed"] for one in of] for way, of in found.items()},
        "terms": [one["terms"] for one in found["one call"]],
        "other_rates": other["right"]["given"],
        "cpu_seconds_of": {way: [one["cpu_seconds"] for one in of] for way, of in found.items()},
        "counter": {"texts": TOLD, "steps": LONG, "of": told},
        "look_up": {"texts": TOLD, "steps": LONG, "of": looked},
        "smollm2": {"each": REAL_ASKED, "steps": REAL_STEPS, "seed": REAL_SEED, "lines": smollm2},
        "figures": {
            "parameters": model.num_parameters(),
            **{way: [round(share(one), 4) for one in of] for way, of in found.items()},
        },
    }  # fmt: skip


def share(found: dict) -> float:
    """Of all texts that were given, whatever their number of steps."""
    counts = found["right"]["given"]
    return sum(counts.values()) / len(counts) / MEASURED["given"]


def table(key: str, found: dict[str, list[dict]]) -> dict:
    """way -> kind -> number of steps -> the counts, a seed each."""
    return {
        way: {
            kind: {str(k): [one[key][kind][str(k)] for one in of] for k in STEPS}
            for kind in MEASURED
        }
        for way, of in found.items()
    }


# Training


def new_model(seed: int) -> GPT:
    torch.manual_seed(seed)
    sizes = SIZE | thinking.PIECES
    return GPT(preset("modern", vocab_size=tokenizer().vocab_size, **sizes))


def model_of(
    here: Job, way: str, seed: int, factor: float = FACTOR, steps: int = TRAINING
) -> tuple[GPT, float]:
    make = partial(trained, way, seed, factor, steps)
    return thinking.made(here, f"{way} {seed} {factor} {steps}", make, new_model)


def trained(
    way: str, seed: int, factor: float = FACTOR, steps: int = TRAINING
) -> tuple[GPT, float]:
    """A model that answers in one of WAYS, and the processor seconds of its training; every text is
    read once, and what a program answers is not learned."""
    model = new_model(seed)
    some = islice(calls.examples(100 + seed, TRAINED), steps * BATCH)
    rows = [transcript_row(x.input, calls.transcript(x, way), tokenizer()) for x in some]
    return model, thinking.train(model, Pairs(rows, BATCH, seed), steps, factor)


# What is said


def of_kind(seed: int, kind: str, steps: int, count: int) -> list[Example]:
    return list(islice(calls.examples(seed, [steps], [kind]), count))


def desk(example: Example, library: dict | None = None) -> dict[str, Callable[[str], str]]:
    """The tools of one conversation, by their names. The reader has the text of the question."""
    known = {} if example.kind == "unknown" else {example.key: example.text}
    look_up = partial(calls.look_up, library=known if library is None else library)
    return {"count": calls.count, "look up": look_up, **Reader(example.text).tools()}


def conversations(
    model: GPT, examples: Sequence[Example], change: Callable[[int, str, str], str] | None = None
) -> list[list[str]]:
    """What is said and answered to each; `change(i, call, result)` is told instead of a result."""
    desks = [desk(one) for one in examples]

    def reply(i: int, line: str) -> str:
        told = answer(line, desks[i])
        return change(i, line, told) if change else told

    inputs = [one.input for one in examples]
    return converse(model, tokenizer(), inputs, reply, most=MOST)


def kind_of_mistake(example: Example, way: str, lines: Sequence[str]) -> str:
    """`call` where something called is not right, and `reading` where only the answer is not."""
    return "call" if list(lines[:-1]) != calls.transcript(example, way)[:-1] else "reading"


def measure(model: GPT, way: str, seed: int = SEED) -> dict:
    found: dict[str, dict] = {"right": {}, "calls right": {}, "terms": {}}
    wrong: Counter[str] = Counter()
    malformed = 0
    for kind, count in MEASURED.items():
        right, called = (
            found["right"].setdefault(kind, {}),
            found["calls right"].setdefault(kind, {}),
        )
        for steps in STEPS:
            some = of_kind(seed, kind, steps, count)
            said = conversations(model, some)
            marks = [
                calls.score(one, lines[-1]) == 1 for one, lines in zip(some, said, strict=True)
            ]
            mistakes = [
                kind_of_mistake(*both) for both in zip(some, [way] * count, said, strict=True)
            ]
            right[str(steps)] = sum(marks)
            called[str(steps)] = mistakes.count("reading")
            wrong.update(one for one, mark in zip(mistakes, marks, strict=True) if not mark)
            malformed += sum(line.startswith(f"{RESULT}error") for of in said for line in of)
            if way == "one call" and kind == "given":
                lengths = Counter(len(lines[0].split()[2::2]) for lines in said)
                found["terms"][str(steps)] = {str(n): lengths[n] for n in sorted(lengths)}
    return found | {"wrong": dict(sorted(wrong.items())), "malformed": malformed}


def measured(here: Job, way: str, seed: int, factor: float = FACTOR, steps: int = TRAINING) -> dict:
    model, seconds = model_of(here, way, seed, factor, steps)
    here.check(f"measuring {way}, seed {seed}")
    run = {"measured": way, "seed": seed, "factor": factor, "steps": steps}
    return once(here.out, run, partial(measure, model, way)) | {"cpu_seconds": round(seconds, 1)}


# What the programs answer


def told_instead(example: Example, what: str, rng: Random) -> str:
    """What a counter that was changed says of an example, by letter: one of TOLD_BY_COUNTER."""
    truth = NUMBERS.index(example.output)
    if what == BROKEN:
        return BROKEN
    low, high = counting.FEWEST, counting.MOST
    apart = {"the truth": (0, 0), "off by one": (1, 1), "far off": (FAR, high)}[what]
    choices = [n for n in range(low, high + 1) if apart[0] <= abs(n - truth) <= apart[1]]
    return NUMBERS[rng.choice(choices)]


def tally(said: Sequence[str], told: Sequence[str], some: Sequence[Example]) -> dict[str, int]:
    """How often the last line repeats what was told, is right, says that nobody knows, calls, or
    is something else: each line is one of these, the first that it is."""
    found = dict.fromkeys(("as told", "right", "nobody", "calls", "else"), 0)
    for line, one, example in zip(said, told, some, strict=True):
        if line == one:
            found["as told"] += 1
        elif line == example.output:
            found["right"] += 1
        elif line == NOBODY:
            found["nobody"] += 1
        else:
            found["calls" if line.startswith(CALL) else "else"] += 1
    return found


def counter_tells(
    here: Job, way: str, seed: int, texts_seed: int = TOLD_SEED, count: int = TOLD
) -> dict:
    model, _ = model_of(here, way, seed)
    return counter_changed(model, way, texts_seed, count)


def counter_changed(model: GPT, way: str, texts_seed: int, count: int) -> dict:
    """For each of TOLD_BY_COUNTER what is said after it. The calls are the right ones, so that only
    the last line is the model's."""
    some, found = of_kind(texts_seed, "given", LONG, count), {}
    for what in TOLD_BY_COUNTER:
        rng = Random(texts_seed)
        told = [told_instead(one, what, rng) for one in some]
        inputs = [
            "\n".join([one.input, *calls.transcript(one, way)[:-2], result_line(way, number)])
            for one, number in zip(some, told, strict=True)
        ]
        lines = converse(model, tokenizer(), inputs, lambda *_: "", most=0)
        found[what] = tally([of[-1] for of in lines], told, some)
    return found


def result_line(way: str, told: str) -> str:
    """The line with which a counter ends."""
    ends = "the end, " if way == WAYS[2] and told != BROKEN else ""
    return f"{RESULT}{ends}{told}"


def look_up_tells(here: Job, way: str, seed: int) -> dict:
    """For each of TOLD_BY_LOOK_UP what is said in the end, where the text is not given. `as told`
    is the answer by the text that was told."""
    model, _ = model_of(here, way, seed)
    some, found = of_kind(TOLD_SEED, "absent", LONG, TOLD), {}
    others = [*some[1:], some[0]]
    for what in TOLD_BY_LOOK_UP:
        brought = others if what == "another text" else some
        desks = [desk(two, {one.key: two.text}) for one, two in zip(some, brought, strict=True)]

        def reply(i: int, line: str, desks=desks, what=what) -> str:
            broken = what == BROKEN and line.startswith(f"{CALL}look up")
            return f"{RESULT}{BROKEN}" if broken else answer(line, desks[i])

        lines = converse(model, tokenizer(), [one.input for one in some], reply, most=MOST)
        said = [of[-1] for of in lines]
        told = [BROKEN if what == BROKEN else two.output for two in brought]
        found[what] = tally(said, told, some) | {"lines": sorted(Counter(said).items())[:12]}
    return found


# A published model


def real_examples() -> list[Example]:
    """Texts that the published model of `thinking` was asked about, too."""
    return [x for k in REAL_STEPS for x in of_kind(REAL_SEED, "given", k, REAL_ASKED)]


def shown(way: str) -> list[dict[str, str]]:
    """What a chat model is shown: the rule, and a conversation for each number of steps."""
    turns = [{"role": "system", "content": RULES[way]}]
    for steps in REAL_STEPS:
        (one,) = of_kind(1, "given", steps, 1)
        lines = [one.input, *calls.transcript(one, way)]
        turns += [
            {"role": "assistant" if i % 2 else "user", "content": line}
            for i, line in enumerate(lines)
        ]
    return turns


@torch.inference_mode()
def real_says(way: str) -> list[list[str]]:
    """The lines of SmolLM2 and of the programs, greedy; a call after REAL_MOST ends it."""
    real, found = pretrained(REAL), []
    cache, read = KVCache(), []
    for one in tqdm(real_examples(), desc=f"SmolLM2, {way}"):
        tools, lines = desk(one), []
        turns = [*shown(way), {"role": "user", "content": one.input}]
        while True:
            row = real.tokenizer.encode(real.chat(turns), special=True)
            shared = min(len(os.path.commonprefix([read, row])), len(row) - 1)
            cache.truncate(shared)
            new, next_ids = [], row[shared:]
            while len(new) < REAL_NEW:
                logits = real.model(torch.tensor([next_ids]), cache=cache, last_only=True)
                next_ids = [int(logits[0, -1].argmax())]
                if next_ids[0] == real.tokenizer.end_id:
                    break
                new += next_ids
            read = (row + new)[: cache.length]
            line = real.tokenizer.decode(new).partition("\n")[0].strip()
            lines.append(line)
            if not line.startswith(CALL) or len(lines) > 2 * REAL_MOST:
                break
            lines.append(answer(line, tools))
            turns += [
                {"role": "assistant", "content": line},
                {"role": "user", "content": lines[-1]},
            ]
        found.append(lines)
    return found
