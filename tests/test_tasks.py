"""What every task offers, and what a task's page adds to the stories."""

import doctest
import itertools
import os
import random
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError
from math import isclose
from pathlib import Path

import pytest
from setuptools import find_packages

import storyland
from storyland import tasks
from storyland.sampler import write
from storyland.tasks import Example, dialogue, entities, frame, questions, sentiment, summaries

ROOT = Path(__file__).resolve().parent.parent
TASKS = [questions, summaries, sentiment, entities, dialogue]
TINY = """
list name
  Tom  x2
  Mia
rule story
  <Meet> <part> Bye.
rule Meet
  {hero: name} met {friend: name}.
rule part
  Both had {n: 2..3} nuts. -> kind=nuts
  Both had {n: 2..3} figs. -> kind=figs
"""


def first(task, seed, count):
    return list(itertools.islice(task.examples(seed), count))


@pytest.fixture(params=TASKS, ids=lambda task: task.__name__.rpartition(".")[2])
def task(request):
    return request.param


def test_an_example_is_a_story_what_is_given_and_what_is_right(task):
    for example in first(task, 5, 30):
        assert isinstance(example, Example)
        assert example.input.startswith(example.story.text.rstrip())
        assert example.output in example.outputs
        assert isclose(sum(example.outputs.values()), 1, abs_tol=1e-9)
        with pytest.raises(FrozenInstanceError):
            example.output = "else"


def test_the_right_output_scores_1_and_that_of_another_story_mostly_less(task):
    examples = first(task, 5, 60)
    assert all(task.score(example, example.output) == 1 for example in examples)
    if task is not entities:  # there another story has another number of words
        others = [task.score(a, b.output) for a, b in itertools.pairwise(examples)]
        assert sum(others) / len(others) < 0.6


def test_the_same_seed_gives_the_same_examples_and_another_gives_others(task):
    def texts(seed):
        return [(e.story, e.input, e.output) for e in first(task, seed, 50)]

    assert texts(8) == texts(8)
    assert not [pair for pair in zip(texts(8), texts(9), strict=True) if pair[0] == pair[1]]


def test_the_stories_are_those_of_the_seed_whole_or_their_beginnings(task):
    stories = storyland.stories(12)
    beginnings = 0
    for example in first(task, 12, 300):
        story = next(stories)
        if example.story.text == story.text:
            assert example.story.words == story.words
            continue
        beginnings += 1
        length = len(example.story.words)
        assert example.story.words == story.words[:length]
        assert example.story.roles == story.roles[:length]
        assert example.story.words[-1] in {".", "”", "!", "?"}
    assert (beginnings > 0) == (task in (questions, dialogue))


def test_the_order_in_which_python_keeps_sets_changes_nothing():
    """It differs from process to process, and so would the examples."""
    command = (
        "import itertools\n"
        "from storyland.tasks import dialogue, entities, questions, sentiment, summaries\n"
        "for task in dialogue, entities, questions, sentiment, summaries:\n"
        "    for e in itertools.islice(task.examples(2), 40):\n"
        "        print(repr((e.input, e.output, list(e.outputs))) if task is not sentiment\n"
        "              else e.output)\n"
    )
    said = {
        subprocess.run([sys.executable, "-c", command], check=True, capture_output=True,
                       env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd=ROOT).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1 and len(said.pop()) > 10_000


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_that_is_none_is_refused_at_once(task, seed):
    with pytest.raises(ValueError, match="a seed is a whole number from 0 on, not"):
        task.examples(seed)


@pytest.mark.parametrize("task", [questions, summaries, sentiment, dialogue])
def test_an_output_that_is_no_text_is_refused(task):
    with pytest.raises(TypeError, match="an output is text, not NoneType"):
        task.score(first(task, 1, 1)[0], None)


@pytest.mark.parametrize("module", [tasks, *TASKS], ids=lambda module: module.__name__)
def test_what_the_documentation_shows_is_what_comes_out(module):
    failed, tried = doctest.testmod(module)
    assert failed == 0 < tried


def test_the_pages_are_in_the_built_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert "storyland.tasks" in find_packages(ROOT, **setuptools["packages"]["find"])
    packed = {path for pattern in setuptools["package-data"]["storyland"]
              for path in (ROOT / "storyland").glob(pattern)}
    pages = set((ROOT / "storyland").rglob("*.txt"))
    assert pages == packed and ROOT / "storyland" / "tasks" / "questions.txt" in pages


# --- what a page adds -----------------------------------------------------------------------------


def test_a_sentence_tells_a_fact_and_the_stories_stay_as_they_are():
    world = frame.World(TINY, "when Both had {n: 2..3} figs. -> told=@n, sweet=yes")
    plain = storyland.read(TINY)
    rng, same = random.Random(3), random.Random(3)
    for _ in range(200):
        written = world.written(rng)
        assert written.words == write([plain.rules["story"]], plain.empty_env, same).words
        facts = world.story(written).facts
        assert ("sweet" in facts) == (facts["kind"] == "figs")
        assert facts.get("told", facts["n"]) == facts["n"]


@pytest.mark.parametrize("task", [questions, summaries, dialogue])
def test_what_the_page_adds_changes_no_probability(task):
    oracle, added = storyland.Oracle(), storyland.Oracle(task.of_storyland().world.grammar)
    for story in itertools.islice(storyland.stories(6), 15):
        assert added.word_log_probs(story.text) == pytest.approx(
            oracle.word_log_probs(story.text), abs=1e-12)


def test_a_walk_says_where_the_rules_that_are_watched_ended():
    grammar = storyland.read(TINY)
    written = write([grammar.rules["story"]], grammar.empty_env, random.Random(1),
                    frozenset({"Meet", "part"}))
    assert {rule: end for rule, (end, _) in written.ends.items()} == {"Meet": 4, "part": 9}
    kind = grammar.facts.index("kind")
    assert written.ends["Meet"][1][kind] is None
    assert written.ends["part"][1] == written.env and written.env[kind] is not None


def test_a_walk_from_given_facts_repeats_them_and_draws_nobody_twice():
    grammar = storyland.read(TINY + "rule ask\n  Did {friend} know {absent: name}?\nlist other\n x")
    friend, hero = grammar.facts.index("friend"), grammar.facts.index("hero")
    tom, mia = grammar.lists["name"].items
    env = list(grammar.empty_env)
    env[friend], env[hero] = tom, None
    for seed in range(20):
        said = write([grammar.rules["ask"]], tuple(env), random.Random(seed)).words
        assert said == ["Did", "Tom", "know", "Mia", "?"]


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("when Both had pears -> a=b", "when Both had pears: no option of the stories says this"),
        ("when Both had", "when Both had: say which fact holds then, as in `-> fact=value`"),
    ],
)
def test_a_page_that_says_nothing_is_refused(page, message):
    with pytest.raises(frame.PageError) as error:
        frame.World(TINY, page)
    assert str(error.value) == message
