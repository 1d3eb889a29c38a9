"""The recorded run of the page "Thinking": a small GPT that counts, and what it writes before it
answers.

    at once      five
    scratchpad   four, two, five
    filler       hm, hm, five       as many words, which tell nothing

Each way gets its tries of the learning rates on seed 0, and then every seed of SEEDS. The models
with a scratchpad are then interfered with, and go on with those scratchpads of their own that came
out right. All is kept until the record is whole.
"""

import copy
import os.path
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from random import Random

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from storyland.grammar import NUMBERS
from storyland.tasks import counting
from storyland.tasks.counting import FEWEST, LARGEST, MOST, OWNED, PEOPLE, STEPS, THINGS, Example
from tinygpt import checkpoint, optim, records
from tinygpt.generate import generate
from tinygpt.model import GPT, KVCache, preset
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.loop import learn, predicted
from tinygpt.train.reinforce import token_log_probs
from tinygpt.train.tune import Pairs, prompt, say
from tools.records.job import Job, once

WAYS = ("at once", "scratchpad", "filler")
FILLER = "hm"
TRAINED = (1, 2, 3, 5)  # steps of the texts that are trained on; 4 lies between, 6 to 8 beyond
SEEDS = range(3)
VOCAB, LEARNED_FROM = 384, 1000  # tokens, and the texts that their merges are learned from
SIZE = {"num_layers": 2, "num_heads": 4, "d_model": 64, "context": 160}
PIECES = {"rotary_base": 1000.0, "tied": False, "zero_init": True, "embedding_std": 0.3}
RATES = {
    "learning_rate": 1.5e-2,
    "matrix_learning_rate": 9e-2,
    "embedding_learning_rate": 6e-2,
}
TRIES = {  # what the rates are multiplied by: the scratchpad's comes from earlier trials
    "scratchpad": (0.4,),
    "filler": (0.4,),
    "at once": (0.4, 0.2),
}
BATCH, TRAINING = 32, 500  # texts a step, steps
WARM_UP = 20
LONGER = 1000  # steps, once: what answering at once comes to with twice the texts
NEW = 40  # tokens that are said: the longest scratchpad has about thirty
CHOSEN_SEED, CHOSEN_ON = 4, 200  # of the texts on which the factor is chosen
SEED, MEASURED = 3, 100  # of the texts that are measured on, for each number of steps

# Interfering
TOUCHED_SEED, TOUCHED, LONG = 5, 200, 5  # texts, and how many steps each has
LONGEST = 4  # tokens of a number and what ends it
TOUCHES = (
    "nothing",
    "the last count",
    "an earlier count",
    "a step still to come",
    "a step counted already",
    "the start, in the text",
    "the name, in the text",
)

# Learning from what came out right
ROUNDS, ASKED, ROUND = 2, 800, 30  # rounds; in each, texts that are tried, and steps of training
SLOWER = 0.2  # what the learning rates are multiplied by then
KEPT = ("right", "random")

# A published model
REAL, REAL_STEPS, REAL_ASKED, REAL_SEED = "smollm2-135m-instruct", (1, 2, 3, 4), 10, 6
RULES = "Count how many there are. Other people and other things do not count."


def said(example: Example, way: str) -> str:
    """What is right to say, in one of WAYS."""
    if way == "at once":
        return example.output
    if way == "filler":
        return ", ".join([FILLER] * len(example.changes) + [example.output])
    return counting.scratchpad(example)


def right(example: Example, output: str) -> bool:
    """Whether the last number that is said is the right one."""
    return counting.score(example, output) == 1


def of_steps(seed: int, steps: int, count: int) -> list[Example]:
    return list(islice(counting.examples(seed, [steps]), count))


@cache
def tokenizer() -> BPETokenizer:
    """Learned from texts of seed 1 and from what is right to say, in every way."""
    texts = islice(counting.examples(1), LEARNED_FROM)
    lines = [line for one in texts for line in (one.input, *(said(one, way) for way in WAYS))]
    return BPETokenizer.train("\n".join(lines), VOCAB)


def thinking(here: Job) -> dict:
    """A GPT from scratch that answers how many there are: at once, after a scratchpad, or after
    filler; three seeds each, rates chosen on the first.

    `right` holds for each way, number of steps and seed how many of MEASURED texts were right. Of
    the scratchpads, `whole` says how many were right throughout, `as_far` how many as far as they
    went, and `lengths` how many steps they counted; `touched` what follows a change in what the
    model has read or said; `next` how many of MEASURED next counts were right after so many right
    ones, in texts of the most steps; `own` how a model fares that goes on with its own scratchpads,
    those that came out right or as many at random; `smollm2` what a published model says.
    """
    kept = partial(once, here.out)
    tries = {way: {factor: tried(here, way, factor) for factor in TRIES[way]} for way in TRIES}
    chosen = {way: max(of, key=of.get) for way, of in tries.items()}
    found = {way: [measured(here, way, chosen[way], seed) for seed in SEEDS] for way in TRIES}
    pads = [model_of(here, "scratchpad", chosen["scratchpad"], seed)[0] for seed in SEEDS]
    touched = [
        kept({"touched": seed, "factor": chosen["scratchpad"]}, partial(touch, model))
        for seed, model in zip(SEEDS, pads, strict=True)
    ]
    nexts = [
        kept({"nexts": seed, "factor": chosen["scratchpad"]}, partial(next_counts, model))
        for seed, model in zip(SEEDS, pads, strict=True)
    ]
    own = {
        which: [
            kept(
                {"own": which, "seed": seed, "factor": chosen["scratchpad"]},
                partial(own_rounds, here, pads[seed], which, seed),
            )
            for seed in SEEDS
        ]
        for which in KEPT
    }
    smollm2 = {way: kept({"smollm2": way}, partial(real_says, way)) for way in WAYS[:2]}
    longer = measured(here, "at once", chosen["at once"], 0, steps=LONGER)
    model = pads[0]
    described = records.write_model(here.out, model)
    return {
        "model": described,
        "training": {
            "tokens": VOCAB, "steps": TRAINING, "batch": BATCH, "trained": TRAINED,
            "tries": tries, "chosen": chosen, "tried_on": CHOSEN_ON,
            "longer": LONGER, "rounds": ROUNDS, "asked": ASKED, "round": ROUND,
        },
        "measured": MEASURED,
        "right": {way: table("right", of) for way, of in found.items()},
        "whole": table("whole", found["scratchpad"]),
        "as_far": table("as far", found["scratchpad"]),
        "lengths": table("lengths", found["scratchpad"]),
        "longer": longer["right"],
        "cpu_seconds_of": {
            **{way: [one["cpu_seconds"] for one in of] for way, of in found.items()},
            "longer": longer["cpu_seconds"],
        },
        "touched": {"texts": TOUCHED, "steps": LONG, "of": touched},
                "next": nexts,
        "own": own,
        "smollm2": {"each": REAL_ASKED, "steps": REAL_STEPS, "seed": REAL_SEED, "said": smollm2},
        "figures": {
            "parameters": model.num_parameters(),
            **{way: [round(share(one["right"]), 4) for one in of] for way, of in found.items()},
            "at once, longer": round(share(longer["right"]), 4),
        },
    }  # fmt: skip


def share(counts: dict[str, int]) -> float:
    """Of all texts that were measured, whatever their number of steps."""
    return sum(counts.values()) / len(counts) / MEASURED


def table(key: str, found: Sequence[dict]) -> dict[str, list]:
    """The counts of each number of steps, a seed each."""
    return {str(steps): [one[key][str(steps)] for one in found] for steps in STEPS}


# Training


def new_model(seed: int) -> GPT:
    torch.manual_seed(seed)
    return GPT(preset("modern", vocab_size=tokenizer().vocab_size, **SIZE, **PIECES))


class Paid(nn.Module):
    """The mean loss on what is said, as `tune` has it; but no logits are made for what is given,
    which is nine tenths of a text."""

    def __init__(self, model: GPT):
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T + 1) -> a number, in nats a token."""
        return -token_log_probs(self.model, rows).sum() / predicted(rows)


def train(model: GPT, pairs: Pairs, steps: int, factor: float) -> float:
    """Train on pairs; the processor seconds that it took."""
    rates = {name: factor * rate for name, rate in RATES.items()}
    optimisers = optim.make(model, "muon", **rates, weight_decay=0.0)
    schedule = lambda step: optim.schedule(step, steps, WARM_UP)  # noqa: E731
    began = time.process_time()
    for _ in learn(Paid(model), optimisers, pairs, schedule, steps=steps, seed=pairs.seed):
        pass
    model.eval()
    return time.process_time() - began


def made(
    here: Job,
    name: str,
    make: Callable[[], tuple[GPT, float]],
    new: Callable[[int], GPT] = new_model,
) -> tuple[GPT, float]:
    """A model and the seconds of its training; made once. `new` makes one of its size."""
    path = here.out / f"{name}.safetensors"
    if not path.exists():
        here.check(name)
        model, seconds = make()
        checkpoint.save(path, model.stored(model.state_dict()), {"cpu_seconds": seconds})
    weights, about = checkpoint.load(path)
    model = new(0)
    model.load_state_dict(model.restored(weights))
    return model.eval(), about["cpu_seconds"]


def model_of(
    here: Job, way: str, factor: float, seed: int, steps: int = TRAINING
) -> tuple[GPT, float]:
    """A model that answers in one of WAYS; every text is read once."""

    def make() -> tuple[GPT, float]:
        model = new_model(seed)
        some = islice(counting.examples(100 + seed, TRAINED), steps * BATCH)
        texts = [(one.input, said(one, way)) for one in some]
        pairs = Pairs.of(texts, tokenizer(), BATCH, seed=seed)
        return model, train(model, pairs, steps, factor)

    return made(here, f"{way} {factor} {seed} {steps}", make)


def tried(here: Job, way: str, factor: float) -> float:
    """The share of right answers by which a factor is chosen, to texts that nothing else has."""

    def measure() -> dict:
        model, _ = model_of(here, way, factor, 0)
        some = list(islice(counting.examples(CHOSEN_SEED, TRAINED), CHOSEN_ON))
        outputs = say(model, tokenizer(), [one.input for one in some], NEW)
        marks = [right(*both) for both in zip(some, outputs, strict=True)]
        return {"right": sum(marks) / len(marks)}

    return once(here.out, {"tried": way, "factor": factor}, measure)["right"]


def measure(model: GPT, way: str, seed: int = SEED) -> dict:
    """For each number of steps: right answers; scratchpads that are right throughout, and as far as
    they go; and how many steps they count, as often as it happened."""
    found: dict[str, dict] = {"right": {}, "whole": {}, "as far": {}, "lengths": {}}
    for steps in STEPS:
        some, place = of_steps(seed, steps, MEASURED), str(steps)
        outputs = say(model, tokenizer(), [one.input for one in some], NEW)
        both = list(zip(some, outputs, strict=True))
        found["right"][place] = sum(right(*one) for one in both)
        found["whole"][place] = sum(said(one, way) == output for one, output in both)
        found["as far"][place] = sum(as_far(one, numbers(output)) for one, output in both)
        lengths = Counter(len(numbers(output)) - 1 for output in outputs)
        found["lengths"][place] = {str(n): lengths[n] for n in sorted(lengths)}
    return found


def as_far(example: Example, counts: Sequence[int]) -> bool:
    """Whether the counts that were said are those of the text, as far as both go."""
    both = zip(counts, example.counts, strict=False)
    return bool(counts) and all(one == other for one, other in both)


def measured(here: Job, way: str, factor: float, seed: int, steps: int = TRAINING) -> dict:
    model, seconds = model_of(here, way, factor, seed, steps)
    run = {"measured": way, "factor": factor, "seed": seed, "steps": steps}
    return once(here.out, run, partial(measure, model, way)) | {"cpu_seconds": round(seconds, 1)}


# Interfering with what was read and said


def sentences(text: str) -> tuple[list[str], list[int]]:
    """The sentences of a text, and the places of those that tell a step: asides name other things,
    steps name none."""
    found = text.partition("\n")[0].removesuffix(".").split(". ")
    return found, [i for i, one in enumerate(found) if i and one.rpartition(" ")[2] not in THINGS]


def changed_text(example: Example, step: int, by: int) -> str:
    """The input with another number in a step (0: what was there at first): `by` more are added."""
    told, places = sentences(example.input)
    if step:
        place, change = places[step - 1], example.changes[step - 1]
        old, new = NUMBERS[abs(change)], NUMBERS[abs(change + by)]
    else:
        place, old, new = 0, NUMBERS[example.start], NUMBERS[example.start + by]
    told[place] = " ".join(new if word == old else word for word in told[place].split(" "))
    return ". ".join(told) + ".\n" + example.input.partition("\n")[2]


def shifts(example: Example, place: int) -> list[int]:
    """By how much a count could be another one, and all counts after it stay possible."""
    later = example.counts[place:]
    return [
        by
        for by in range(-LARGEST, LARGEST + 1)
        if by and FEWEST <= min(later) + by and max(later) + by <= MOST
    ]


def text_shifts(example: Example, step: int) -> list[int]:
    """The same where the text is changed, in a step (0: the start), and stays one of these texts:
    a step adds or takes away 1 to LARGEST, as it did before, and the start is in OWNED."""
    if not step:
        return [by for by in shifts(example, 0) if example.start + by in OWNED]
    change = example.changes[step - 1]
    way = 1 if change > 0 else -1
    return [by for by in shifts(example, step) if 1 <= way * (change + by) <= LARGEST]


def touches(seed: int) -> Iterator[dict]:
    """Texts of LONG steps, each with a place drawn in its scratchpad, and for each of TOUCHES what
    the model reads, what it has said up to that place, and by how much what comes is another
    number if the change is followed; and the count that comes next, and the last, if it is not.

    A text in which one of the changes cannot be made is left out; no model is asked.
    """
    rng = Random(seed)
    for one in counting.examples(seed, [LONG]):
        at = rng.choice(range(2, LONG))  # so many counts after the first are said
        earlier, counted = rng.choice(range(at)), rng.choice(range(1, at + 1))
        possible = {
            "the last count": shifts(one, at),
            "an earlier count": shifts(one, earlier),
            "a step still to come": text_shifts(one, at + 1),
            "a step counted already": text_shifts(one, counted),
            "the start, in the text": text_shifts(one, 0),
        }
        if not all(possible.values()):
            continue
        by = {name: rng.choice(choices) for name, choices in possible.items()}
        hero = one.story.facts["hero"]
        alike = [name for name in PEOPLE if PEOPLE[name] == PEOPLE[hero] and name != hero]
        read = dict.fromkeys(TOUCHES, one.input)
        for name, step in zip(TOUCHES[3:6], (at + 1, counted, 0), strict=True):
            read[name] = changed_text(one, step, by[name])
        read["the name, in the text"] = one.input.replace(hero, rng.choice(alike))
        counts = {name: list(one.counts[: at + 1]) for name in TOUCHES}
        counts["the last count"][at] += by["the last count"]
        counts["an earlier count"][earlier] += by["an earlier count"]
        begun = {name: begin(of) for name, of in counts.items()}
        yield {
            "read": read,
            "said": begun,
            "by": by,
            "next": one.counts[at + 1],
            "last": one.counts[-1],
        }


def begin(counts: Sequence[int]) -> str:
    """A scratchpad that will go on."""
    return ", ".join(NUMBERS[count] for count in counts) + ","


def go_on(model: GPT, inputs: Sequence[str], begun: Sequence[str], count: int = NEW) -> list[str]:
    """What a model says to each input after what it has said already: the most probable tokens, up
    to `count`."""
    (newline,) = tokenizer().encode("\n")
    rows = [
        torch.tensor(tokenizer().encode(prompt(input)) + tokenizer().encode(start))
        for input, start in zip(inputs, begun, strict=True)
    ]
    ids = pad_sequence(rows, batch_first=True, padding_value=-1)
    new = generate(
        model, ids.clamp(min=0), count, temperature=0, stop=newline, keep=ids >= 0
    )  # fmt: skip
    return [tokenizer().decode(row).partition("\n")[0] for row in new.tolist()]


def numbers(text: str) -> list[int]:
    """The numbers that are said, in order."""
    words = text.replace(",", " ").replace(":", " ").split()
    return [NUMBERS.index(word) for word in words if word in NUMBERS]


def touch(model: GPT, seed: int = TOUCHED_SEED, count: int = TOUCHED) -> dict:
    """For each of TOUCHES: how often the next count and the last go on as if nothing had been
    changed (`as before`), and how often they follow the change."""
    cases, found = list(islice(touches(seed), count)), {}
    for name in TOUCHES:
        outputs = go_on(model, [c["read"][name] for c in cases], [c["said"][name] for c in cases])
        keys = ("next as before", "next follows", "last as before", "last follows")
        counts = dict.fromkeys(keys, 0)
        for case, output in zip(cases, outputs, strict=True):
            all_, by = numbers(output), case["by"].get(name)
            for which, at in (("next", 0), ("last", -1)):
                got = all_[at] if all_ else None
                counts[f"{which} as before"] += got == case[which]
                counts[f"{which} follows"] += by is not None and got == case[which] + by
        found[name] = counts
    return found


def next_counts(model: GPT) -> dict:
    """After 1, 2 ... right counts of a text of the most steps: how often the next one is right."""
    some, found = of_steps(SEED, STEPS[-1], MEASURED), []
    for said_ in STEPS:
        begun = [begin(one.counts[:said_]) for one in some]
        outputs = go_on(model, [one.input for one in some], begun, LONGEST)
        pairs = zip(outputs, some, strict=True)
        found.append(sum(numbers(text)[:1] == [one.counts[said_]] for text, one in pairs))
    return {"right": found}


# Learning from its own scratchpads


def own_round(model: GPT, which: str, number: int, seed: int) -> dict:
    """One round: try new texts of any number of steps, keep what came out right, or as many at
    random, and train on that. Changes `model`."""
    generator = torch.Generator().manual_seed(1000 * seed + number)
    start = number * ASKED
    some = list(islice(counting.examples(300 + seed), start, start + ASKED))
    outputs = say(model, tokenizer(), [one.input for one in some], NEW, temperature=1.0,
                  generator=generator)  # fmt: skip
    marks = [right(*both) for both in zip(some, outputs, strict=True)]
    good = [i for i, mark in enumerate(marks) if mark]
    keep = good if which == "right" else Random(seed).sample(range(ASKED), len(good))
    texts = [(some[i].input, outputs[i]) for i in keep]
    train(model, Pairs.of(texts, tokenizer(), BATCH, seed=seed), ROUND, SLOWER)
    whole = sum(outputs[i] == said(some[i], "scratchpad") for i in keep)
    return {"kept": len(keep), "kept right": sum(marks[i] for i in keep), "kept whole": whole}


def own_rounds(here: Job, start: GPT, which: str, seed: int) -> dict:
    """What is kept in each round, and what the model can before the first and after each."""
    model = copy.deepcopy(start)
    found = [measure(model, "scratchpad")]
    for number in range(ROUNDS):
        here.check(f"{which}, seed {seed}, round {number + 1}")
        kept = own_round(model, which, number, seed)
        found.append(measure(model, "scratchpad") | kept)
    return {"rounds": found}


# A published model


def real_examples() -> list[Example]:
    return [one for steps in REAL_STEPS for one in of_steps(REAL_SEED, steps, REAL_ASKED)]


def conversation(example: Example, way: str) -> list[dict[str, str]]:
    """What a chat model is asked: the rule, an example of each number of steps as turns, the
    text."""
    turns = [{"role": "system", "content": RULES}]
    for steps in REAL_STEPS:
        (one,) = of_steps(1, steps, 1)
        turns.append({"role": "user", "content": one.input})
        turns.append({"role": "assistant", "content": said(one, way)})
    return [*turns, {"role": "user", "content": example.input}]


@torch.inference_mode()
def real_says(way: str) -> list[str]:
    """SmolLM2's answers, greedy. What all conversations begin with is read once."""
    real = pretrained(REAL)
    rows = [
        real.tokenizer.encode(real.chat(conversation(one, way)), special=True)
        for one in real_examples()
    ]
    shared, cache, found = len(os.path.commonprefix(rows)), KVCache(), []
    real.model(torch.tensor([rows[0][:shared]]), cache=cache, last_only=True)
    for row in tqdm(rows, desc=f"SmolLM2, {way}"):
        cache.truncate(shared)
        new, next_ids = [], row[shared:]
        while len(new) < NEW:
            logits = real.model(torch.tensor([next_ids]), cache=cache, last_only=True)
            next_ids = [int(logits[0, -1].argmax())]
            if next_ids[0] == real.tokenizer.end_id:
                break
            new += next_ids
        found.append(real.tokenizer.decode(new).partition("\n")[0].strip())
    return found
