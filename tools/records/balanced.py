"""The recorded run of counterfactual augmentation, on the page "Bias": the model reads stories of
somebody at work once with a woman and once with a man, beside a control that reads as many stories
as the grammar tells them."""

import copy
from functools import partial
from random import Random

import numpy as np
import torch

import storyland
from storyland.twins import each_job, shares, twins
from tinygpt import data, train
from tinygpt.model import GPT
from tinygpt.train.tune import Pairs, tune
from tools.records.bias import odds, plain, tokenizer, wrong_later
from tools.records.job import Job, once

WAYS = ("as they are", "both ways")
SEEDS, STEPS, BATCH, RATE, WARM_UP = range(5), 25, 8, 2e-3, 5
LOOK_SEED, LOOK = 42, 6  # of the stories in which the pronoun is measured; so many a job
HELD_OUT = 50
TRAINED_SEED, OTHERS_SEED = 500, 600  # and the seed of the run: of what is read


def lines(way: str, seed: int, count: int) -> list[str]:
    """What is read: `count` beginnings, half of them of somebody at work up to the first pronoun,
    the others of stories of anything else, each as long as one of those."""
    rng = Random(seed)
    some, work = twins(TRAINED_SEED + seed), []
    while len(work) < count // 2:
        one = next(some)
        if way == "both ways":
            told = [(one, one.she), (one, one.he)]
        else:  # as many stories of the job, and the grammar's share of women
            again = next(other for other in some if other.job == one.job)
            told = [(of, of.she if rng.random() < shares()[of.job] else of.he)
                    for of in (one, again)]
        work += [of.before(of.places[0] + 1, story) for of, story in told]
    others = (of for of in storyland.stories(OTHERS_SEED + seed) if "worker" not in of.facts)
    rest = [storyland.join(other.words[: len(storyland.split(text))])
            for other, text in zip(others, work, strict=False)]
    return [*work, *rest]


def looked(model: GPT) -> dict:
    """The log odds of she at the first pronoun, a story each; the mean chance of the wrong pronoun
    later on; and bits a character for held-out stories."""
    texts = data.texts(storyland.held_out()[:HELD_OUT], tokenizer())
    wrong = [x for one in each_job(LOOK_SEED, 1) for of in wrong_later(model, one).values()
             for x in of]
    return {
        "odds": [round(x, 3) for x in odds(model, each_job(LOOK_SEED, LOOK))],
        "wrong_later": round(float(np.mean(wrong)), 5),
        "bits": round(train.bits_per_char(model, texts), 5),
    }


def mended(way: str, seed: int, steps: int) -> dict:
    model = copy.deepcopy(plain())
    torch.manual_seed(seed)
    rows = [torch.tensor(tokenizer().encode("\n" + line))
            for line in lines(way, seed, steps * BATCH)]
    tune(model, Pairs(rows, BATCH, seed), steps=steps, learning_rate=RATE, warm_up=WARM_UP)
    return looked(model)


def balanced(job: Job) -> dict:
    """story-base after 25 more steps on stories both ways, and as they are; five seeds each."""
    steps = 2 if job.rehearsal else STEPS
    before = once(job.out, {"before": STEPS}, partial(looked, plain()))
    after = {}
    for way in WAYS:
        after[way] = []
        for seed in SEEDS:
            job.check(f"{way}, seed {seed}")
            run = {"way": way, "seed": seed, "steps": steps, "rate": RATE}
            after[way].append(once(job.out, run, partial(mended, way, seed, steps)))
    return {
        "training": {"steps": steps, "batch": BATCH, "learning_rate": RATE, "look": LOOK,
                     "look_seed": LOOK_SEED, "held_out": HELD_OUT},
        "before": before,
        "after": after,
        "figures": {f"{way}, bits": [one["bits"] for one in runs] for way, runs in after.items()},
    }  # fmt: skip
