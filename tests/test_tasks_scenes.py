"""Pictures, their facts and their captions."""

import doctest
import random
from dataclasses import replace
from itertools import combinations, islice
from math import isclose

import numpy as np
import pytest

from storyland.tasks import scenes
from storyland.tasks.scenes import Scene


@pytest.fixture(scope="module")
def some():
    return list(islice(scenes.examples(7), 400))


def test_what_the_documentation_shows_is_what_comes_out():
    assert doctest.testmod(scenes).failed == 0 and scenes.__doc__.count(">>>") == 3


def test_an_example_is_a_picture_and_one_of_its_right_captions(some):
    for one in some:
        assert one.picture.shape == (16, 16, 3)
        assert one.output in one.outputs and isclose(sum(one.outputs.values()), 1)
        assert all(scenes.facts(text) == one.scene.facts for text in one.outputs)
        assert all(scenes.score(one, text) == 1 for text in one.outputs)


def test_no_caption_has_two_meanings():
    every = [tuple(facts.values()) for facts in scenes._read().values()]
    assert len(every) == len(set(every)) * len(scenes.FORMS) == 6 * 6 * 3 * 5 * 6 * 3


def test_one_ball_is_one_ball_and_an_owl_is_an_owl():
    facts = dict(zip(scenes.FACTS, ("owl", "brown", "in the box", "one", "red"), strict=True))
    said = list(scenes.captions(facts))
    assert said[0] == "A brown owl is in the box, and there is one red ball."
    assert said[2] == "In the box sits a brown owl. Near it lies one red ball."
    said = list(scenes.captions(facts | {"colour": "orange", "count": "two"}))
    assert said[1] == "There are two red balls, and in the box is an orange owl."


def test_a_caption_is_marked_by_its_facts_in_whichever_form(some):
    one, other = some[0], next(e for e in some if e.scene.facts != some[0].scene.facts)
    same = sum(a == b for a, b in zip(one.scene.facts.values(), other.scene.facts.values(),
                                      strict=True))  # fmt: skip
    assert scenes.score(one, other.output) == same / 5
    assert scenes.score(one, "A fox.") == 0
    with pytest.raises(TypeError, match="an output is text, not NoneType"):
        scenes.score(one, None)


def test_the_picture_holds_what_the_facts_say(some):
    for one in some[:100]:
        scene = one.scene
        row, column = scene.at
        glyph = one.picture[row : row + 4, column : column + 4]
        is_animal = (glyph == scenes.COLOURS[scene.colour]).all(2)
        assert (is_animal == scenes._mask(scenes.ANIMALS[scene.animal], "X")).all()
        for row, column in scene.where:
            ball = one.picture[row : row + 2, column : column + 2]
            assert (ball == scenes.COLOURS[scene.balls]).all()


def test_the_shares_are_those_that_are_promised(some):
    usual = np.mean([scenes.USUALLY[e.scene.animal] == e.scene.colour for e in some])
    first = np.mean([e.output == next(iter(e.outputs)) for e in some])
    assert abs(usual - 0.6) < 0.08 and abs(first - 0.5) < 0.08
    counts = np.bincount([len(e.scene.where) for e in some], minlength=6)
    assert counts[0] == 0 and counts[1:].min() > 50


def test_a_scene_moves_with_its_animal_and_not_into_its_balls(some):
    moved = [(e.scene, e.scene.moved(1, 2)) for e in some]
    done = [(a, b) for a, b in moved if b is not None]
    assert 20 < len(done) < len(some)
    for a, b in done:
        assert b.at == (a.at[0] + 1, a.at[1] + 2) and b.where == a.where and b.facts == a.facts
        assert all(scenes._free(at, b.fixture) for at in b.where)


def test_balls_are_laid_as_asked_and_nothing_else_changes(some):
    rng = random.Random(0)
    ways = ((scenes.apart, (3, 99)), (scenes.covering, (0, 1)), (scenes.touching, (2, 2)))
    for may, gaps in ways:
        for one in [e.scene for e in some[:60] if len(e.scene.where) > 1]:
            laid = one.rearranged(rng, may)
            assert replace(laid, where=one.where) == one and len(laid.where) == len(one.where)
            for i, at in enumerate(laid.where[1:], 1):
                nearest = min(scenes._gap(at, other) for other in laid.where[:i])
                assert gaps[0] <= nearest <= gaps[1]


def test_the_counts_that_pixels_leave_open_are_all_that_there_are():
    def filled(where):
        return {(r + i, c + j) for r, c in where for i, j in scenes._SQUARE}

    rng = random.Random(1)
    spots = [(r, c) for r in range(4) for c in range(5)]
    for _ in range(25):
        where = tuple(rng.sample(spots, rng.randrange(1, 6)))
        brute = {n for n in scenes.COUNTS for some in combinations(spots, n)
                 if filled(some) == filled(where)}  # fmt: skip
        scene = Scene("fox", "red", "in the box", (8, 8), 1, "blue", where)
        assert scenes.counts(scene) == brute and len(where) in brute


def test_noise_is_added_as_asked_and_leaves_the_scenes_as_they_are(some):
    loud = list(islice(scenes.examples(7, noise=0.3), 50))
    assert [e.scene for e in loud] == [e.scene for e in some[:50]]
    added = np.stack([a.picture - b.picture for a, b in zip(loud, some, strict=False)])
    assert abs(added.std() - 0.3) < 0.01 and abs(added.mean()) < 0.01


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_that_is_none_is_refused_at_once(seed):
    with pytest.raises(ValueError, match="a seed is a whole number from 0 on, not"):
        scenes.examples(seed)
