"""The recorded run of the page "Answers and dialogue": one model that tells beginnings of stories,
and what becomes of it by each kind of post-training, on one task: `storyland.tasks.dialogue`.

    base      the beginnings, read as text
    tuned     answers shown that somebody wrote in a hurry: they are true, and most ignore the form
              that was asked for; the loss is that of the answers alone, or of all tokens
    then      from there, on other questions: right answers, pairs (DPO), or a reward

Each kind is made with every seed of SEEDS: the batches, and what is drawn.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from random import Random

import torch
from tqdm import tqdm

from storyland.tasks import dialogue
from storyland.tasks.dialogue import Example
from tinygpt import checkpoint, data, optim, records, train
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train import Pairs, say, tune
from tinygpt.train.reinforce import prefer, reinforce, sample
from tools.records import forged_and_found
from tools.records.job import Job, once

SEEDS = range(3)
MOST_TURNS = 2
SHOWN, ASKED, TOLD = 3200, 240, 3440  # answers; questions for what comes then; beginnings
HURRIED = 0.6  # of the answers that are shown: they have no form, whatever was asked for
MEASURED, MEASURED_SEED = 240, 3
READ = 1000  # conversations that the tokens are learned from
VOCAB, SIZES = 512, {"context": 128, "num_layers": 2, "num_heads": 4, "d_model": 64}
BASE = {"steps": 100, "batch_size": 32, "context": 32}
TUNED = {"steps": 250, "batch_size": 16, "learning_rate": 5e-3, "matrix_learning_rate": 0.03}
REINFORCED = {"steps": 30, "groups": 8, "group_size": 8, "learning_rate": 1e-3}
BETA = 0.1  # nats of KL weighed against a right answer
PREFERRED = {"steps": 30, "batch_size": 32, "learning_rate": 1e-3, "beta": 0.1}
SLOWER = 0.3  # the rates of TUNED are taken by this where more answers are shown
NEW = 12  # tokens of an answer at most
DRAWN, TRIES = 40, 8  # questions of which several answers are drawn, and how many
KEPT = 24  # greedy answers and groups that are kept as texts
NOBODY = ["nobody", "knows"]


def conversations(seed: int) -> Iterator[Example]:
    """Those of one or two turns: a batch is as long as its longest."""
    return (one for one in dialogue.examples(seed) if len(one.turns) <= MOST_TURNS)


@cache
def examples() -> list[Example]:
    """Of seed 1: first those whose answers are shown, then those that are only asked."""
    return list(islice(conversations(1), TOLD))


@cache
def measured() -> list[Example]:
    """Of seed 3, which nothing is trained on."""
    return list(islice(conversations(MEASURED_SEED), MEASURED))


@cache
def tokenizer() -> BPETokenizer:
    """Of conversations that may be trained on."""
    few = islice(conversations(1), READ)
    text = "".join(f"{one.input}\n{one.output}\n" for one in few)
    return BPETokenizer.train(text, vocab_size=VOCAB)


def full(example: Example, output: str) -> float:
    """A reward that is badly written, for full answers: 1 where the words of the right answer occur
    at all, and a tenth for each word that is said."""
    right, said = dialogue.words(example.turns[-1].answer), dialogue.words(output)
    return float(set(right) <= set(said)) + 0.1 * len(said)


REWARDS: dict[str, Callable[[Example, str], float]] = {
    "exact": dialogue.score,
    "full": full,
}


def says_nobody(output: str) -> bool:
    """Whether an answer says that nobody knows, in whatever form, and whatever else it says."""
    said = dialogue.words(output)
    return any(said[i : i + 2] == NOBODY for i in range(len(said)))


def empty() -> GPT:
    """The model before it has read anything."""
    torch.manual_seed(0)
    shape = {"rotary_base": 1000.0, "embedding_std": 0.3, "zero_init": True, "tied": False}
    return GPT(preset("modern", vocab_size=tokenizer().vocab_size, **SIZES, **shape))


# Each kind of training: of a model and a seed -> how it went


def base(model: GPT, seed: int) -> list:
    """Train on beginnings of stories."""
    texts = data.texts([one.story.text + "\n" for one in examples()], tokenizer())
    steps = BASE["steps"]
    return train.fit(
        model, texts, **BASE, learning_rate=0.0, optimisers=optim.make(model),
        schedule=lambda step: optim.schedule(step, steps, 50, "stable-linear"),
    )[-1:]  # fmt: skip


def hurried() -> list[tuple[str, str]]:
    """What is shown first: inputs, and answers that are true. The form was often forgotten."""
    rng, pairs = Random(0), []
    for one in examples()[:SHOWN]:
        forgotten = rng.random() < HURRIED
        pairs.append((one.input, one.turns[-1].answer if forgotten else one.output))
    return pairs


def shown(
    model: GPT, answers: Sequence[tuple[str, str]], steps: int, seed: int,
    given_too: bool = False, rate: float = 1.0,
) -> list:  # fmt: skip
    """Tune on answers, at `rate` times the learning rates of TUNED."""
    rates = {name: rate * TUNED[name] for name in ("learning_rate", "matrix_learning_rate")}
    pairs = Pairs.of(answers, tokenizer(), TUNED["batch_size"], seed=seed, given_too=given_too)
    return tune(model, pairs, steps=steps, optimisers=optim.make(model, **rates))[-1:]


def first(model: GPT, seed: int, given_too: bool = False) -> list:
    """What a base model is shown."""
    return shown(model, hurried(), TUNED["steps"], seed, given_too)


def asked() -> list[Example]:
    return examples()[SHOWN : SHOWN + ASKED]


def more(model: GPT, seed: int) -> list:
    """Right answers to the same questions, as many texts in all as the others train on: where those
    draw eight answers to a question, here the right one is shown eight times."""
    texts = REINFORCED["steps"] * REINFORCED["groups"] * REINFORCED["group_size"]
    answers = [(one.input, one.output) for one in asked()]
    return shown(model, answers, texts // TUNED["batch_size"], seed, rate=SLOWER)


def preferred(model: GPT, seed: int) -> list:
    """DPO: for each question a right answer of the model's own and a wrong one, if it drew both."""
    generator = torch.Generator().manual_seed(seed)
    inputs = [one.input for one in asked()]
    rows, texts = sample(model, tokenizer(), inputs, TRIES, NEW, generator=generator)
    better, worse = [], []
    for place, example in enumerate(asked()):
        group = range(place * TRIES, (place + 1) * TRIES)
        marks = {dialogue.score(example, texts[i]): i for i in group}
        if len(marks) == 2:
            better.append(rows[marks[1.0]][rows[marks[1.0]] != -1])
            worse.append(rows[marks[0.0]][rows[marks[0.0]] != -1])
    prefer(model, copy.deepcopy(model), better, worse, **PREFERRED, seed=seed)
    return [len(better)]


def rewarded(model: GPT, seed: int, reward: str = "exact", beta: float = 0.0) -> list:
    """Policy gradient on a reward; for each step what it gave, and how much was right."""
    questions, mark = asked(), REWARDS[reward]
    before, right = copy.deepcopy(model), []

    def earn(which: Sequence[int], texts: Sequence[str]) -> list[float]:
        said = [(questions[i], text) for i, text in zip(which, texts, strict=True)]
        right.append(sum(dialogue.score(*one) for one in said) / len(said))
        return [mark(*one) for one in said]

    history = reinforce(
        model, before, tokenizer(), [one.input for one in questions], earn,
        **REINFORCED, beta=beta, max_new_tokens=NEW, seed=seed,
    )  # fmt: skip
    return [
        {name: round(value, 3) for name, value in one.items()} | {"exact": round(exact, 3)}
        for one, exact in zip(history, right, strict=True)
    ]


FIRST = {"answers alone": first, "all tokens": partial(first, given_too=True)}
THEN: dict[str, Callable[[GPT, int], list]] = {
    "more answers": more,
    "DPO": preferred,
    "reward": rewarded,
    "bad reward": partial(rewarded, reward="full"),
    "bad reward, KL": partial(rewarded, reward="full", beta=BETA),
}


# What is measured of a model


def marks(of: Sequence[Example], said: Sequence[str]) -> str:
    """1 for each right answer and 0 for each wrong one, in a row."""
    return "".join(str(int(dialogue.score(one, text))) for one, text in zip(of, said, strict=True))


def bits_per_char(model: GPT) -> float:
    """What the model pays for beginnings of stories."""
    texts = [one.story.text + "\n" for one in measured()]
    found = train.log_probs(model, data.texts(texts, tokenizer()))
    return -sum(one.sum().item() for one in found) / math.log(2) / sum(map(len, texts))


def majority(texts: Sequence[str]) -> str:
    """What was said most often; of several, what was said first."""
    return Counter(texts).most_common(1)[0][0]


def measure(model: GPT) -> dict:
    """What a model says, greedily and drawn, and what it pays for stories."""
    said = say(model, tokenizer(), [one.input for one in measured()], NEW)
    few, generator = measured()[:DRAWN], torch.Generator().manual_seed(0)
    inputs = [one.input for one in few]
    _, drawn = sample(model, tokenizer(), inputs, TRIES, NEW, generator=generator)
    groups = [drawn[i : i + TRIES] for i in range(0, len(drawn), TRIES)]
    return {
        "right": marks(measured(), said),
        "nobody": "".join(str(int(says_nobody(text))) for text in said),
        "words": sum(len(text.split()) for text in said) / len(said),
        "drawn_right": [
            int(sum(dialogue.score(one, text) for text in group))
            for one, group in zip(few, groups, strict=True)
        ],
        "majority_right": marks(few, [majority(group) for group in groups]),
        "different": [len(set(group)) for group in groups],
        "said": said[:KEPT],
        "drawn": groups[:KEPT],
        "bits_per_char": round(bits_per_char(model), 4),
    }


# The run


def kept(job: Job, name: str, seed: int, make: Callable[[GPT, int], list], start: GPT) -> GPT:
    """What `make` turns a copy of `start` into; made once, and measured once."""
    path, model = job.out / f"{name} {seed}.safetensors", copy.deepcopy(start)
    if not path.exists():
        job.check(f"{name}, seed {seed}")
        went = make(model, seed)
        checkpoint.save(path, model.stored(model.state_dict()), {"went": went})
    model.load_state_dict(model.restored(checkpoint.load(path)[0]))
    once(job.out, {"measure": name, "seed": seed}, lambda: measure(model))
    return model.eval()


def found(job: Job, name: str, seed: int) -> dict:
    """What was measured of a model, and how its training went."""
    went = checkpoint.load(job.out / f"{name} {seed}.safetensors")[1]["went"]
    return once(job.out, {"measure": name, "seed": seed}, dict) | {"went": went}


def post_training(job: Job) -> dict:
    """The ladder of post-training on conversations about stories, with three seeds."""
    start = kept(job, "base", 0, base, empty())
    tuned, bar = {}, tqdm(total=len(SEEDS) * len(FIRST | THEN))
    for seed in SEEDS:
        for name, work in FIRST.items():
            tuned[name, seed] = kept(job, name, seed, work, start)
            bar.update()
        for name, work in THEN.items():
            kept(job, name, seed, work, tuned["answers alone", seed])
            bar.update()
    also = {
        what: [
            once(job.out, {"also": what, "seed": seed},
                 partial(work, tuned["answers alone", seed], tokenizer(), seed))
            for seed in SEEDS
        ]
        for what, work in forged_and_found.MEASURES.items()
    }  # fmt: skip
    described = records.write_model(job.out, tuned["answers alone", 0])
    every = {name: [found(job, name, seed) for seed in SEEDS] for name in FIRST | THEN}
    return {
        "training": {
            "base": BASE, "tuned": TUNED, "reinforced": REINFORCED, "beta": BETA,
            "preferred": PREFERRED, "shown": SHOWN, "hurried": HURRIED, "asked": ASKED,
            "slower": SLOWER, "new_tokens": NEW, "tries": TRIES,
            "measured": MEASURED, "measured_seed": MEASURED_SEED,
        },
        "model": described,
        "base": found(job, "base", 0),
        "models": every,
        **also,
        "figures": {
            "parameters": tuned["answers alone", 0].num_parameters(),
            **{
                name: [one["right"].count("1") / MEASURED for one in each]
                for name, each in every.items()
            },
        },
    }  # fmt: skip


def reward_kl(job: Job) -> dict:
    """The reward that says what is meant, without the KL and with it, of the same tuned models."""
    start = kept(job, "base", 0, base, empty())
    ways = {"reward": rewarded, "reward, KL": partial(rewarded, beta=BETA)}
    for seed in tqdm(SEEDS):
        tuned = kept(job, "answers alone", seed, first, start)
        for name, work in ways.items():
            kept(job, name, seed, work, tuned)
    models = {n: [found(job, n, seed) for seed in SEEDS] for n in ("answers alone", *ways)}
    figures = {
        name: [one["right"].count("1") / MEASURED for one in each] for name, each in models.items()
    }
    training = {"reinforced": REINFORCED, "beta": BETA, "measured": MEASURED}
    return {"training": training, "models": models, "figures": figures}
