"""The recorded run of the page "Capstone": the page's own cells, for five seeds.

The page defines the language, the models and the measures; here they are put together.
"""

from functools import cache, partial

import numpy as np

from tools.records.cells import define
from tools.records.job import Job, once

# The cells that define, in the order of the page; they read no record.
CELLS = (
    *("cap-lists", "cap-rules", "cap-world", "cap-parts", "cap-ngram"),
    *("cap-counted", "cap-bits", "cap-model", "cap-written", "cap-landed", "cap-change"),
)
SEEDS = range(5)


def capstone(here: Job) -> dict:
    """An n-gram, a GPT and the oracle on the harbour's language, five runs.

    Of each run: the order of the n-gram, what each of the three pays for each text in bits, the
    probability of the number that was landed, by change of the text, and a hundred texts of the
    GPT.
    """
    runs = [once(here.out, {"seed": seed}, partial(run, seed)) for seed in SEEDS]
    return {
        "runs": runs,
        "figures": {name: round(per_char(runs[0], name), 4) for name in runs[0]["bits"]},
    }


def per_char(found: dict, name: str) -> float:
    """Bits a character of a model over all test texts of a run."""
    return sum(found["bits"][name]) / sum(found["chars"])


@cache
def page() -> dict:
    """What the page's cells define."""
    return define("capstone", CELLS, np=np)  # which the page has from a cell that reads the record


def run(seed: int) -> dict:
    """The whole page for one seed: texts, both models, all measures."""
    of = page()
    train_lines, valid, test = of["parts"](seed)
    models = {
        "n-gram": of["counted"](train_lines, valid),
        "GPT": of["trained"](seed, train_lines),
        "oracle": of["oracle"],
    }
    texts, left = of["written"](models["GPT"], seed)
    changed = of["changed"](test, seed)
    return {
        "order": models["n-gram"].order,
        "chars": [len(line) for line in test],
        "bits": {
            name: [round(float(bits), 2) for bits in of["bits"](model, test)]
            for name, model in models.items()
        },
        "landed": {
            name: {
                kind: {
                    change: [round(p, 3) for p in of["said"](models[name], lines)]
                    for change, lines in by_change.items()
                }
                for kind, by_change in changed.items()
            }
            for name in ("n-gram", "GPT")
        },
        "written": {
            "texts": texts[:3],
            "inside": sum(one is None for one in left),
            "at a number": sum(
                one is not None and one[1] in ("one", "two", *of["NUMBERS"]) for one in left
            ),
        },
    }
