"""The recorded run of the chapter on programs: a small GPT that writes them for the robot of
`storyland.robot` and mends its own, how often at which temperature, and what SmolLM2 makes of it.

Every part is kept until the record is whole, so that a command that was killed goes on where it
was.
"""

from collections.abc import Sequence
from functools import cache, partial
from itertools import islice, pairwise
from random import Random

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from storyland.robot import COMMANDS, MOST_STEPS
from storyland.tasks import robots
from storyland.tasks.robots import Example
from tinygpt import checkpoint, optim, records
from tinygpt.generate import generate
from tinygpt.model import GPT, preset
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.tune import Pairs, say, tune
from tools.records.job import Job, once

VOCAB, LEARNED_FROM = 640, 2000  # tokens, and the examples that their merges are learned from
SIZE = {"num_layers": 2, "num_heads": 4, "d_model": 64, "context": 192}
PIECES = {
    "rotary_base": 1000.0,
    "activation": "relu2",
    "tied": False,
    "zero_init": True,
    "embedding_std": 0.3,
}
RATES = {
    "learning_rate": 1.5e-2,
    "matrix_learning_rate": 9e-2,
    "embedding_learning_rate": 6e-2,
    "weight_decay": 0.0,
}
BATCH, STEPS = 16, 1000  # the first training: what to do, and the program
TRIED, LATER = 2500, 250  # the second: its own attempts at so many new texts; and the steps
SLOWER = 0.4  # what the learning rates are multiplied by in the second
BLIND = 1 / 3  # of the programs to be mended, those whose message tells nothing
NOTHING = "it is wrong"
NEW = 32  # tokens of a program: the longest right one has 20
SEED = 3  # of the texts that are measured on
TEXTS, DRAWN = 160, 20
TEMPERATURES = (0.2, 0.5, 0.8, 1.1, 1.5)
MENDED, TRIES = 240, 5  # other texts, whose first wrong program is to be mended, so many times
WAYS = ("drawn anew", "the program", "and its message", "and another's message")
AT = (0.5, 1.0)  # temperatures of the second try
REAL, ASKED, SHOWN = "smollm2-135m-instruct", 20, (0, 4)


@cache
def tokenizer() -> BPETokenizer:
    """Learned from the first examples of seed 1, programs and messages included."""
    lines = []
    for example, other in pairs_of(1, LEARNED_FROM):
        lines += [example.input, example.output, str(robots.error(example, other.output)), NOTHING]
    return BPETokenizer.train("\n".join(lines), VOCAB)


def pairs_of(seed: int, count: int) -> list[tuple[Example, Example]]:
    """Examples, each with the one after it."""
    found = list(islice(robots.examples(seed), count + 1))
    return list(pairwise(found))


def to_mend(example: Example, program: str, message: str) -> str:
    """What the model reads in order to mend a program."""
    return f"{example.input}\n{program}\n{message}"


def code(here: Job) -> dict:
    """A GPT from scratch on errands and their programs, then on its own wrong programs as well.

    `tries` holds for each temperature how many of DRAWN programs were right, text by text, and how
    many were the reference; `second` how many of TRIES second tries were right after a first that
    was wrong, by what the model was given; `smollm2` what a published model writes after no or
    four examples.
    """
    model, losses = trained(here)
    described = records.write_model(here.out, model)  # takes on the 16 bits that are stored
    kept = partial(once, here.out)
    tries = {}
    for temperature in tqdm(TEMPERATURES, desc="temperatures"):
        run = {"tries": temperature, "steps": [STEPS, LATER]}
        tries[str(temperature)] = kept(run, partial(drawn, model, temperature))
    greedy = kept({"greedy": [STEPS, LATER]}, partial(most_probable, model))
    second = {}
    for temperature in tqdm(AT, desc="second tries"):
        run = {"second": temperature, "steps": [STEPS, LATER]}
        second[str(temperature)] = kept(run, partial(mended, model, temperature))
    smollm2 = {str(shown): kept({"smollm2": shown}, partial(asked, shown)) for shown in SHOWN}
    right = {name: sum(one["right"]) / TEXTS / DRAWN for name, one in tries.items()}
    return {
        "model": described,
        "training": {
            "tokens": VOCAB,
            "pairs": BATCH * STEPS,
            "steps": [STEPS, LATER],
            "texts_tried": TRIED,
            "losses": losses,
        },
        "texts": TEXTS,
        "drawn": DRAWN,
        "tries": tries,
        "greedy": greedy,
        "second": second,
        "smollm2": smollm2,
        "figures": {
            "parameters": model.num_parameters(),
            "greedy": sum(greedy["right"]) / TEXTS,
        }
        | {f"pass@1 at {name}": round(share, 3) for name, share in right.items()},
    }


# Training


def new_model() -> GPT:
    torch.manual_seed(0)
    return GPT(preset("modern", vocab_size=tokenizer().vocab_size, **SIZE, **PIECES))


def trained(here: Job) -> tuple[GPT, list[float]]:
    """The model after both trainings, and the mean loss of each hundred steps."""
    stages = [(STEPS, 1.0, first_pairs), (LATER, SLOWER, later_pairs)]
    model, losses = new_model(), []
    for number, (steps, factor, make) in enumerate(stages):
        path = here.out / f"stage-{number}.safetensors"
        if not path.exists():
            here.check(f"training {number + 1} of 2")
            rates = {key: factor * rate for key, rate in RATES.items()}
            made = Pairs.of(make(model), tokenizer(), BATCH, seed=number)
            optimisers = optim.make(model, "muon", **rates)
            all_ = tune(model, made, steps=steps, optimisers=optimisers, progress=True)
            means = [sum(all_[i : i + 100]) / len(all_[i : i + 100]) for i in range(0, steps, 100)]
            checkpoint.save(path, model.stored(model.state_dict()), {"losses": means})
        model.load_state_dict(model.restored(load_file(path)))
        losses += checkpoint.load(path)[1]["losses"]
    return model.eval(), [round(loss, 4) for loss in losses]


@cache
def learned() -> list[Example]:
    """The examples of both trainings."""
    return list(islice(robots.examples(1), BATCH * STEPS + TRIED))


def first_pairs(model: GPT) -> list[tuple[str, str]]:
    return [(one.input, one.output) for one in learned()[: BATCH * STEPS]]


def later_pairs(model: GPT) -> list[tuple[str, str]]:
    """Its own wrong programs for new texts, each with a message; and as many texts without."""
    examples = learned()[BATCH * STEPS :]
    programs, rng = write(model, [one.input for one in examples], 1.0, seed=1), Random(1)
    pairs = []
    for example, program in zip(examples, programs, strict=True):
        if message := robots.error(example, program):
            said = NOTHING if rng.random() < BLIND else message
            pairs.append((to_mend(example, program, said), example.output))
            pairs.append((example.input, example.output))
    return pairs


# Measuring


def write(model: GPT, inputs: Sequence[str], temperature: float, seed: int) -> list[str]:
    """A program for each input."""
    generator = torch.Generator().manual_seed(seed)
    return say(
        model, tokenizer(), inputs, NEW,
        temperature=temperature, generator=generator, batch_size=256,
    )  # fmt: skip


def drawn(model: GPT, temperature: float) -> dict:
    """Of DRAWN programs for each of TEXTS texts: how many are right, are the reference, are of the
    fewest steps, and how many different ones there are."""
    examples = list(islice(robots.examples(SEED), TEXTS))
    inputs = [one.input for one in examples for _ in range(DRAWN)]
    programs = write(model, inputs, temperature, seed=0)
    found: dict[str, list[int]] = {key: [] for key in ("right", "same", "shortest", "different")}
    for i, example in enumerate(examples):
        own = programs[i * DRAWN : (i + 1) * DRAWN]
        found["right"].append(int(sum(robots.score(example, program) for program in own)))
        found["same"].append(own.count(example.output))
        found["shortest"].append(sum(program in example.outputs for program in own))
        found["different"].append(len(set(own)))
    return found


def most_probable(model: GPT) -> dict:
    """Greedy: whether each text's program is right, is the reference, is of the fewest steps."""
    examples = list(islice(robots.examples(SEED), TEXTS))
    programs = say(model, tokenizer(), [one.input for one in examples], NEW, batch_size=256)
    both = list(zip(examples, programs, strict=True))
    return {
        "right": [int(robots.score(one, program)) for one, program in both],
        "same": [int(program == one.output) for one, program in both],
        "shortest": [int(program in one.outputs) for one, program in both],
    }


def mended(model: GPT, temperature: float) -> dict:
    """Second tries at texts whose first program, drawn at the same temperature, is wrong: for each
    of WAYS how many of TRIES are right, text by text; and the kind of each first mistake."""
    examples = list(islice(robots.examples(SEED), TEXTS, TEXTS + MENDED))
    first = write(model, [one.input for one in examples], temperature, seed=2)
    wrong = [
        (example, program, message)
        for example, program in zip(examples, first, strict=True)
        if (message := robots.error(example, program))
    ]
    others = [message for *_, message in wrong[1:] + wrong[:1]]
    read = {
        WAYS[0]: [example.input for example, *_ in wrong],
        WAYS[1]: [to_mend(example, program, NOTHING) for example, program, _ in wrong],
        WAYS[2]: [to_mend(*one) for one in wrong],
        WAYS[3]: [
            to_mend(example, program, other)
            for (example, program, _), other in zip(wrong, others, strict=True)
        ],
    }
    found = {}
    for way, inputs in read.items():
        programs = write(model, [one for one in inputs for _ in range(TRIES)], temperature, seed=3)
        found[way] = [
            int(sum(robots.score(example, p) for p in programs[i * TRIES : (i + 1) * TRIES]))
            for i, (example, *_) in enumerate(wrong)
        ]
    ends = [message.startswith("ends") for *_, message in wrong]
    return {"texts": MENDED, "wrong": len(wrong), "ends": ends, "right": found}


# A published model

RULES = (
    "A robot is on a square of a yard of 7 by 7 squares. Its language has five commands: forward, "
    "left, right, take, and repeat N ( ... ) with N from 2 to 9. left and right are quarter turns. "
    f"take takes what lies on the square. At most {MOST_STEPS} steps. Answer with the program "
    "alone, in one line, its words separated by spaces."
)


def conversation(example: Example, shown: Sequence[Example]) -> list[dict[str, str]]:
    """What a chat model is asked: the rules, some examples as turns, and the text."""
    turns = [{"role": "system", "content": RULES}]
    for one in shown:
        turns.append({"role": "user", "content": one.input})
        turns.append({"role": "assistant", "content": one.output})
    return [*turns, {"role": "user", "content": example.input}]


def first_program(answer: str) -> str:
    """The first line of an answer that is not empty."""
    return next((line.strip() for line in answer.splitlines() if line.strip()), "")


def asked(shown: int) -> dict:
    """SmolLM2's programs for ASKED texts, greedy, after `shown` examples of seed 1."""
    real = pretrained(REAL)
    examples = list(islice(robots.examples(SEED), ASKED))
    before = list(islice(robots.examples(1), shown))
    answers = []
    for example in tqdm(examples, desc=f"SmolLM2, {shown} shown"):
        text = real.chat(conversation(example, before))
        ids = torch.tensor([real.tokenizer.encode(text, special=True)])
        new = generate(real.model, ids, 40, temperature=0, stop=real.tokenizer.end_id)
        answers.append(real.tokenizer.decode(new[0].tolist()).strip())
    programs = [first_program(answer) for answer in answers]
    return {
        "right": [
            int(robots.score(one, program)) for one, program in zip(examples, programs, strict=True)
        ],
        "of_commands": [
            int(all(word in COMMANDS or word in "()23456789" for word in program.split()))
            for program in programs
        ],
        "programs": programs,
    }
