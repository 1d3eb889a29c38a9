"""Part 5's headlines: what does not go well, each as a function of a fresh seed."""

from functools import cache
from itertools import islice

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import storyland
from replications import headline
from storyland.twins import Twins, each_job, shares
from tinygpt import calibrate, data, plan, records, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT, preset, quantise
from tinygpt.model.hooks import watch
from tinygpt.model.int4 import grouped
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.loop import nats_of
from tools.records import (
    bias,
    hallucination,
    heard,
    injection,
    inside,
    pictures,
    privacy,
    privately,
)

# 5-challenges/cost -------------------------------------------------------------------------------


@headline(
    page="5-challenges/cost",
    claim="The operations of a training step, by formula, are within 2 % of those that PyTorch "
    "counts, whatever the model is made of.",
    effect="how far the formula is off at most, as a share",
    below=0.02,
)
def operations_are_known_before_anything_runs(seed: int) -> float:
    """Twelve models of drawn sizes and pieces, on tensors without numbers."""
    rng, worst = np.random.default_rng(seed), 0.0
    for _ in range(12):
        heads, width = int(rng.choice([2, 4])), 8 * int(rng.integers(4, 40))
        length = int(rng.integers(16, 200))
        config = preset(
            str(rng.choice(["gpt2", "modern"])),
            vocab_size=int(rng.integers(100, 3000)),
            context=200,
            num_layers=int(rng.integers(1, 6)),
            num_heads=heads,
            num_kv_heads=int(rng.choice([1, heads])),
            d_model=width,
            tied=bool(rng.integers(2)),
        )
        rows = torch.zeros(2, length + 1, dtype=torch.long, device="meta")
        with torch.device("meta"):
            model = GPT(config)
            with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
                nats_of(model, rows).sum().backward()
        formula = 2 * length * plan.operations(config, length)
        worst = max(worst, abs(formula / counter.get_total_flops() - 1))
    return worst


@cache
def _tokenizer() -> BPETokenizer:
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)


@cache
def _bits(seed: int, bits: int, calibrated: bool = False) -> float:
    """Bits a character of story-base on forty fresh stories, with so many bits a weight in its
    blocks; calibrated on 24 others."""
    texts = [story.text for story in islice(storyland.stories(seed), 64)]
    judged, shown = (data.texts(some, _tokenizer()) for some in (texts[:40], texts[40:]))
    model, _ = records.load("story-base")
    if bits == 8:
        model = quantise(model)
    elif bits < 8:
        rows = shown.rows(torch.arange(24), 224) if calibrated else None
        model = grouped(model, rows, bits=bits)
    return train.bits_per_char(model, judged)


@headline(
    page="5-challenges/cost",
    claim="Rounded to 8 bits a weight, story-base pays less than 1 % more for a character.",
    effect="bits a character, 8 bits by 32, less one",
    below=0.01,
)
def eight_bits_cost_next_to_nothing(seed: int) -> float:
    """The recorded model, forty fresh stories."""
    return _bits(seed, 8) / _bits(seed, 32) - 1


@headline(
    page="5-challenges/cost",
    claim="At 3 bits a weight, in groups of 32, feeding errors back gets back more than a third of "
    "what rounding to the nearest loses.",
    effect="share of the lost bits that is regained",
    above=1 / 3,
)
def what_rounding_loses_can_be_made_good(seed: int) -> float:
    """The recorded model, forty fresh stories, calibrated on 24 others."""
    whole, nearest = _bits(seed, 32), _bits(seed, 3)
    return (nearest - _bits(seed, 3, calibrated=True)) / (nearest - whole)


# 5-challenges/interpretability -------------------------------------------------------------------


@cache
def _hidings(seed: int) -> inside.Hidings:
    return inside.Hidings(seed, 24)


@headline(
    page="5-challenges/interpretability",
    claim="Block 4 brings what she saw to the last word: the stream there, brought from a story "
    "with the other sentence, changes nearly all answers after block 4 and nearly none before it.",
    effect="share of answers that change, after block 4 less before it",
    above=0.9,
)
def block_four_brings_what_she_saw(seed: int) -> float:
    """The recorded model, 24 stories."""
    after, before = (_hidings(seed).moved("twin", f"residual.{i}", "last") for i in (4, 3))
    return after - before


@headline(
    page="5-challenges/interpretability",
    claim="One head does it: head 2 of block 4, brought alone at the last word, changes nearly all "
    "answers, and none of the other three changes as many as one in ten.",
    effect="share of answers that change by head 2, less the most by another",
    above=0.9,
)
def one_head_brings_what_she_saw(seed: int) -> float:
    """The recorded model, 24 stories."""
    found = [_hidings(seed).moved("twin", "heads.3", "last", [head]) for head in range(4)]
    return found.pop(1) - max(found)


@headline(
    page="5-challenges/interpretability",
    claim="In SmolLM2 the ten heads with the highest induction score are needed to repeat random "
    "tokens: at their mean the loss is higher than with ten others of the same blocks, by more "
    "than one nat a token.",
    effect="loss, the ten by score less ten drawn, nats a token",
    above=1.0,
)
def induction_heads_are_needed(seed: int) -> float:
    """Eight rows of twenty random tokens, said twice; one of the recorded draws."""
    model, sets = _smollm2(), records.read("inside")["real"]["sets"]
    rows = inside.twice(seed, 8, inside.REAL_HALF, inside.FIRST, inside.LAST)
    mean = inside.means(inside.outputs(model, rows))
    drawn = sets["same blocks"][seed % inside.DRAWS]
    losses = [
        inside.second_half(model, rows, inside.put([tuple(one) for one in heads], mean)).mean()
        for heads in (sets["induction"], drawn)
    ]
    return float(np.subtract(*losses))


@headline(
    page="5-challenges/interpretability",
    claim="In SmolLM2 looking back one place rests on one head: the first of block 17, alone at "
    "its mean, costs more than half of what the ten heads with the highest previous-token score "
    "cost.",
    effect="what the one costs, as a share of what the ten do",
    above=0.5,
)
def one_head_looks_back(seed: int) -> float:
    """Eight rows of twenty random tokens, said twice."""
    model, sets = _smollm2(), records.read("inside")["real"]["sets"]
    rows = inside.twice(seed, 8, inside.REAL_HALF, inside.FIRST, inside.LAST)
    mean = inside.means(inside.outputs(model, rows))
    ten = [tuple(head) for head in sets["previous"]]
    whole, one, all_ten = (
        inside.second_half(model, rows, inside.put(heads, mean)).mean()
        for heads in ([], [(16, 0)], ten)
    )
    return float((one - whole) / (all_ten - whole))


@headline(
    page="5-challenges/interpretability",
    claim="The induction heads behind it read what it writes: with that head at its mean they look "
    "at the right place less than half as much.",
    effect="their weight there without the head, as a share of that with it",
    below=0.5,
)
def they_read_what_it_writes(seed: int) -> float:
    """Eight rows of twenty random tokens, said twice; the induction heads in blocks after 17."""
    model, sets = _smollm2(), records.read("inside")["real"]["sets"]
    rows = inside.twice(seed, 8, inside.REAL_HALF, inside.FIRST, inside.LAST)
    mean = inside.means(inside.outputs(model, rows))
    later = [tuple(head) for head in sets["induction"] if head[0] > 16]
    looks = []
    for heads in ([(16, 0)], []):
        with watch(model, replace=inside.put(heads, mean)):
            score = inside.scores(model, rows)["induction"]
        looks.append(np.mean([float(score[head]) for head in later]))
    return float(looks[0] / looks[1])


@cache
def _smollm2():
    return pretrained(inside.REAL).model


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


# 5-challenges/safety-and-privacy -----------------------------------------------------------------

MANY = privacy.COPIES[-4:]  # lines that a secret stood in: 16 and more


@cache
def _kept(way: str, seed: int) -> tuple[float, float]:
    """Mean exposure of the secrets that stood in many lines, and of those that stood in none, in a
    model that has read another text, as it was planted or without copies."""
    run = privacy.secret(way, seed)
    return (
        float(np.mean([privacy.mean_exposure([run], copies) for copies in MANY])),
        privacy.mean_exposure([run], 0),
    )


@headline(
    page="5-challenges/safety-and-privacy",
    claim="A secret that stood in 16 lines or more, each read twice, is exposed by more than ten "
    "bits more than one that stood nowhere.",
    effect="exposure, planted in 16 to 128 lines less in none, bits",
    above=10.0,
)
def what_stands_often_is_known(seed: int) -> float:
    """A small GPT, trained anew on other stories with other secrets."""
    return float(np.subtract(*_kept("as planted", seed)))


@headline(
    page="5-challenges/safety-and-privacy",
    claim="To keep each secret in one line only takes more than six bits of exposure away from "
    "those that stood in 16 or more.",
    effect="exposure, as planted less kept once, bits",
    above=6.0,
)
def kept_once_it_is_known_less(seed: int) -> float:
    """The same text and secrets, and a second model that reads each of them in one line."""
    return _kept("as planted", seed)[0] - _kept("secrets once", seed)[0]


@headline(
    page="5-challenges/safety-and-privacy",
    claim="It does not bring them back to chance: kept in one line, they are exposed by more than "
    "a bit more than secrets that stood nowhere.",
    effect="exposure, kept once less in no line, bits",
    above=1.0,
)
def one_line_is_more_than_none(seed: int) -> float:
    """The second of these models."""
    return float(np.subtract(*_kept("secrets once", seed)))


@headline(
    page="5-challenges/safety-and-privacy",
    claim="DP-SGD with an epsilon of 8 for a line hides no secret that stands in 64 of them: it is "
    "exposed by more than five bits more than one that stands nowhere.",
    effect="exposure after DP-SGD, in 64 lines less in none, bits",
    above=5.0,
)
def a_promise_about_a_line_is_none_about_64(seed: int) -> float:
    """Another register, and another model that has read other stories before."""
    run = privately.trained("private", seed)
    return privacy.mean_exposure([run], 64) - privacy.mean_exposure([run], 0)


@headline(
    page="5-challenges/safety-and-privacy",
    claim="A turn of the conversation that is forged in a text is obeyed: SmolLM2 does what it "
    "says in more than half of all cases.",
    effect="share of answers that obey a forged turn",
    above=0.5,
)
def a_forged_turn_is_obeyed(seed: int) -> float:
    """Ten other stories."""
    some = injection.documents(seed, 10)
    said = injection.said(some, "none", "a forged turn")
    return float(np.mean([injection.obeys(one, a) for one, a in zip(some, said, strict=True)]))


# 5-challenges/beyond-text ------------------------------------------------------------------------


@headline(
    page="5-challenges/beyond-text",
    claim="An animal is known more often where it lies in one patch than where borders cut it into "
    "four, in the same scenes with the animal moved, by more than two points.",
    effect="share of animals that are right, in one patch less in four, points",
    above=2.0,
)
def a_border_through_an_animal_hides_it(seed: int) -> float:
    """The recorded captioner, sixty fresh scenes, each moved by 0 to 4 pixels each way."""
    model, some = pictures.load(), pictures.movable(seed, 60)
    inside = np.array([[pictures.cuts(one.moved(*by), 4) for one in some] for by in pictures.MOVES])
    right = np.array([pictures.right(said, some)[:, 0]
                      for said in pictures.moved(model, seed, 60)])  # fmt: skip
    return 100 * float(right[inside == 1].mean() - right[inside == 4].mean())


@headline(
    page="5-challenges/beyond-text",
    claim="Balls that cover one another are counted wrong: of the scenes whose pixels leave only "
    "one count, it is right at least thirty points less often than with the balls apart.",
    effect="share of counts that are right, apart less covering, points",
    above=30.0,
)
def covering_balls_are_not_counted(seed: int) -> float:
    """The recorded captioner, a hundred and fifty fresh scenes with two balls or more."""
    model, found = pictures.load(), {}
    for name, some in pictures.arranged(seed, 150).items():
        said = pictures.said(model, pictures.pictures(some, pictures.NOISE, seed))
        right = pictures.right(said, some)[:, 3]
        sure = [len(pictures.scenes.counts(one)) == 1 for one in some]
        found[name] = right[sure].mean()
    return 100 * float(found["apart"] - found["covering"])


@cache
def _heard(seed: int) -> dict:
    """Forty fresh sentences of which only vowels and consonants are heard."""
    return heard.measured(seed, 40, 1.0)


def _wrong(of: dict, name: str) -> float:
    return 100 * float(np.sum(of["wrong"][name]) / np.sum(of["words"]))


@headline(
    page="5-challenges/beyond-text",
    claim="Where nothing but vowels and consonants is heard, what is usually said tells the words: "
    "an n-gram has more than seventy points fewer of them wrong than the channel alone.",
    effect="words wrong by the channel alone less with the n-gram, points",
    above=70.0,
)
def vowels_and_consonants_are_nearly_enough(seed: int) -> float:
    """Forty fresh sentences."""
    return _wrong(_heard(seed), "nothing") - _wrong(_heard(seed), "n-gram")


@headline(
    page="5-challenges/beyond-text",
    claim="Whoever knows the story hears better: with another story before the sentence "
    "story-base has more words wrong than with its own.",
    effect="words wrong with another story less with its own, points",
    above=0.0,
)
def the_story_before_it_helps_to_hear(seed: int) -> float:
    """The recorded model, forty fresh sentences of which only vowels and consonants are heard."""
    return _wrong(_heard(seed), "another story") - _wrong(_heard(seed), "story-base")
