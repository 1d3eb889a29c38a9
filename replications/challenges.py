"""Part 5's headlines, each as a function of a fresh seed."""

import numpy as np

from replications import headline
from storyland.twins import Twins, each_job, shares
from tinygpt import records
from tools.records import bias

# 5-challenges/bias -------------------------------------------------------------------------------

DRAWN = 8  # tokens: so far the first pronoun is said


def _slope(name: str, some: list[Twins]) -> float:
    """By how much a model's log odds of she grow with those of the grammar."""
    truth = np.array([shares()[one.job] for one in some])
    log_odds = bias.odds(records.load(name)[0], some)
    return float(np.polyfit(np.log(truth / (1 - truth)), log_odds, 1)[0])


@headline(
    page="5-challenges/bias",
    claim="At temperature 0.5 story-base tells the usual pronoun of a profession more often than "
    "the grammar does, by more than five points.",
    effect="share of the usual pronoun, points above the grammar's",
    above=5.0,
)
def caution_makes_the_usual_more_usual(seed: int) -> float:
    """Eight stories begun of each profession that has a usual pronoun."""
    truth = shares()
    some = [one for one in each_job(seed, 8) if truth[one.job] != 0.5]
    begun = [one.before(bias.after_job(one)) for one in some]
    added = bias.go_on(bias.plain(), begun, seed, DRAWN, temperature=0.5)
    both = [(bias.who(rest), truth[one.job]) for rest, one in zip(added, some, strict=True)]
    marks = [mark == (women > 0.5) for mark, women in both if mark is not None]
    usual = [max(truth[one.job], 1 - truth[one.job]) for one in some]
    return 100 * float(np.mean(marks) - np.mean(usual))


@headline(
    page="5-challenges/bias",
    claim="A model that has learned less is less biased: the amplification of gpt is lower than "
    "that of story-base by more than a half.",
    effect="amplification of story-base less that of gpt",
    above=0.5,
)
def who_knows_less_is_less_biased(seed: int) -> float:
    """Four stories of each profession."""
    some = each_job(seed, 4)
    return _slope("story-base", some) - _slope("gpt", some)


@headline(
    page="5-challenges/bias",
    claim="Once the pronoun is said the profession is forgotten: later in a story of the unusual "
    "pronoun story-base gives the other one less than one chance in a hundred.",
    effect="probability of the wrong pronoun, of the two, at later places",
    below=0.01,
)
def what_is_said_outweighs_the_profession(seed: int) -> float:
    """Two stories of each profession in which nine of ten are of the other sex, or more."""
    model, truth, found = bias.plain(), shares(), []
    for one in each_job(seed, 2):
        if truth[one.job] <= 0.1 or truth[one.job] >= 0.9:
            found += bias.wrong_later(model, one)["she" if truth[one.job] < 0.5 else "he"]
    return float(np.mean(found))
