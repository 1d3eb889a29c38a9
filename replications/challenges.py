"""Part 5's headlines: what does not go well, each as a function of a fresh seed."""

from functools import cache

import numpy as np

from replications import headline
from tinygpt import calibrate
from tools.records import hallucination

# 5-challenges/hallucination ----------------------------------------------------------------------


@headline(
    page="5-challenges/hallucination",
    claim="A reliability diagram sees less than a tenth of the squared error between what "
    "story-base says of its favourite at open places and the truth.",
    effect="share of the squared error that is calibration",
    below=0.1,
)
def a_diagram_sees_little_of_the_error(seed: int) -> float:
    """The recorded model, thirty fresh stories."""
    p, q, *_ = np.concatenate(hallucination.measured(seed, 30)).T
    total, seen = hallucination.parts(*(x[p < hallucination.OPEN] for x in (p, q)))
    return seen / total


@cache
def _asked(seed: int) -> dict:
    """The recorded model, asked about the heroes of sixty stories and about others."""
    return hallucination.asked(hallucination.tuned(0), seed, 60)


@headline(
    page="5-challenges/hallucination",
    claim="Asked what somebody lives in who is not in the story, where the story tells its hero's "
    "home, the model says that nobody knows in fewer than one of ten cases.",
    effect="share of answers that say nobody knows",
    below=0.1,
)
def it_does_not_say_that_nobody_knows(seed: int) -> float:
    """Sixty fresh stories and names."""
    return _asked(seed)["absent"]["nobody"] / 60


@headline(
    page="5-challenges/hallucination",
    claim="What it invents about somebody who is not there is the hero's: with another home in the "
    "story, more than six of ten answers are that other home.",
    effect="share of answers that follow the change",
    above=0.6,
)
def the_invention_is_read_off_the_hero(seed: int) -> float:
    """The same stories and names."""
    return _asked(seed)["changes"]["the home, in the story"]["the new home"] / 60


@headline(
    page="5-challenges/hallucination",
    claim="Ten drawn answers do not tell right from wrong better than the probability of the "
    "answer: the AUROC of their agreement is lower.",
    effect="AUROC of agreement less AUROC of probability",
    below=0.0,
)
def ten_answers_are_no_better_than_the_probability(seed: int) -> float:
    """The recorded model, two hundred fresh questions."""
    found = hallucination.confident(hallucination.tuned(0), seed, 200)
    right = np.array(list(found["right"])) == "1"
    return calibrate.auroc(found["agree"], right) - calibrate.auroc(found["sure"][0], right)
