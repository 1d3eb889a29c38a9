"""The mood: its posterior is Bayes' rule, and nothing is right more often."""

import itertools
from collections import Counter, defaultdict
from math import inf, log2, sqrt

import derivations
import pytest

import storyland
from storyland.tasks import sentiment
from storyland.tasks.sentiment import Sentiment, bits, score

STORIES = """
weights by mood
list mood
  glad  x3
  sad   x1
list name
  Tom  x2
  Mia
rule story
  {~mood} {hero: name} <did> and <did>.
rule did
  3/1 sang
  1/3 sighed
  2/2 {n: 1..2} times said <word>
list word
  oh  x1/4
  ah  x5/2
"""


def test_the_posterior_is_bayes_rule_by_brute_force():
    grammar = storyland.read(STORIES)
    joint = defaultdict(Counter)
    for derivation in derivations.written(grammar):
        joint[derivation.words][grammar.known(derivation.env)["mood"]] += derivation.probability
    assert len(joint) > 50 and any(len(moods) == 2 for moods in joint.values())
    task = Sentiment(grammar)
    for words, moods in joint.items():
        exact = {mood: weight / moods.total() for mood, weight in moods.items()}
        assert task.posterior(list(words)) == pytest.approx(exact, rel=1e-9)


def test_no_rule_for_guessing_is_right_more_often_than_the_likeliest_mood():
    """A rule names a mood for each text; the best takes the commoner one each time."""
    grammar = storyland.read(STORIES)
    joint = defaultdict(Counter)
    for derivation in derivations.written(grammar):
        joint[derivation.words][grammar.known(derivation.env)["mood"]] += derivation.probability
    task = Sentiment(grammar)
    right = best = 0.0
    for words, moods in joint.items():
        right += moods[max(task.posterior(list(words)).items(), key=lambda pair: pair[1])[0]]
        best += max(moods.values())
    assert right == pytest.approx(best)
    assert 0.75 < best < 1  # more than who always says the commoner mood


def test_an_example_has_the_mood_and_the_exact_chances_of_each():
    for example in itertools.islice(sentiment.examples(61), 60):
        assert example.output == example.story.facts["mood"]
        assert sum(example.outputs.values()) == pytest.approx(1, abs=1e-9)
        assert set(example.outputs) <= set(sentiment.moods())
        assert list(example.outputs.values()) == sorted(example.outputs.values(), reverse=True)
        assert example.outputs == sentiment.posterior(example.input)


def test_the_likeliest_mood_is_right_as_often_as_it_says():
    examples = list(itertools.islice(sentiment.examples(62), 300))
    right = [score(e, next(iter(e.outputs))) for e in examples]
    chance = [max(e.outputs.values()) for e in examples]
    spread = sqrt(sum(p * (1 - p) for p in chance))
    assert abs(sum(right) - sum(chance)) < 4 * spread
    assert 0.8 < sum(chance) / len(chance) < 0.95


def test_the_beginning_of_a_story_tells_less():
    before = sentiment.posterior("Once upon a time")
    assert before == pytest.approx({"merry": 0.5, "gloomy": 0.3, "spooky": 0.2})
    with pytest.raises(ValueError, match="leaves the language at word 0, 'Twice'"):
        sentiment.posterior("Twice upon a time")


def test_the_posterior_is_not_worked_out_before_it_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(sentiment.of_storyland()._oracle, "posterior",
                        lambda *arguments: asked.append(arguments) or {"merry": 1.0})
    example = next(sentiment.examples(63))
    assert example.output in sentiment.moods() and asked == []
    assert example.outputs is example.outputs and len(asked) == 1


def example_of(mood):
    return next(e for e in sentiment.examples(64) if e.output == mood)


def test_a_guess_is_right_or_wrong():
    merry = example_of("merry")
    assert score(merry, "merry") == score(merry, " Merry\n") == 1
    assert score(merry, "gloomy") == score(merry, "") == score(merry, "merry merry") == 0


def test_bits_of_a_distribution():
    merry = example_of("merry")
    assert bits(merry, {"merry": 1.0}) == 0
    assert bits(merry, {"merry": 0.25, "gloomy": 0.75}) == 2
    assert bits(merry, {"gloomy": 1.0}) == inf
    assert bits(merry, merry.outputs) == -log2(merry.outputs["merry"])


@pytest.mark.parametrize("wrong", [{}, {"merry": 0.9}, {"merry": 1.5, "gloomy": -0.5}])
def test_what_is_no_distribution_is_refused(wrong):
    with pytest.raises(ValueError, match="no distribution: from .* on, with the sum"):
        bits(example_of("merry"), wrong)


def test_the_exact_posterior_pays_fewer_bits_than_others():
    examples = list(itertools.islice(sentiment.examples(65), 300))
    prior = {"merry": 0.5, "gloomy": 0.3, "spooky": 0.2}

    def mean(distribution):
        return sum(bits(e, distribution(e)) for e in examples) / len(examples)

    def sharper(example):
        squares = {mood: p**2 for mood, p in example.outputs.items()}
        return {mood: p / sum(squares.values()) for mood, p in squares.items()}

    def duller(example):
        return {mood: (example.outputs.get(mood, 0) + prior[mood]) / 2 for mood in prior}

    exact = mean(lambda example: example.outputs)
    assert exact < mean(duller) < mean(lambda example: prior)
    assert exact < mean(sharper)


def test_a_fact_that_has_no_list_is_refused():
    with pytest.raises(ValueError, match="'hero' is no fact that is drawn from a list of its name"):
        Sentiment(storyland.read(STORIES), "hero")
