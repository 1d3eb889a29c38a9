"""English to Chinese and back: what each side says is what the other said, by brute force."""

import doctest
import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter
from math import sqrt
from pathlib import Path

import pytest

from storyland.grammar import TALK
from storyland.tasks import chinese, summaries
from storyland.tasks.chinese import Chinese, facts, score
from storyland.tasks.frame import PageError

ROOT = Path(__file__).resolve().parent.parent
PAGE = """
list name (hero friend): he
  Tom  汤姆  他
  Mia  米娅  她
list fruit (fruit): m
  fig  无花果  颗
  nut  坚果    颗
list number (have)
  two  两
spell (traveller)
  Ba 巴  Be 贝
  then
  l 勒
plot=nuts, glad=yes
  3 {hero}有{have}{fruit.m}{fruit}，{hero.he}<felt>。
  1 {hero.he}是{hero}，{hero.he}有{have}{fruit.m}{fruit}，很高兴。
plot=nuts
  {hero}有{have}{fruit.m}{fruit}。
  {friend}看见{hero}有{have}{fruit.m}{fruit}。
plot=met
  {hero}遇见了{traveller}。
part felt
  2 很高兴
  1 笑了
"""


@pytest.fixture(scope="module")
def page():
    return Chinese(PAGE)


@pytest.fixture(scope="module")
def many():
    return list(itertools.islice(chinese.examples(51), 400))


def sayable(page):
    """All facts that the sentences of a page can say."""
    for sentence in page._sentences:
        slots = {part[0] for part in sentence.parts if isinstance(part, tuple)}
        free = sorted(slots - sentence.holds.keys())
        for values in itertools.product(*(page.words[fact].forms[""] for fact in free)):
            yield sentence.holds | dict(zip(free, values, strict=True))


def test_all_that_a_small_page_can_say_is_read_back_as_its_facts_and_nothing_else(page):
    said = 0
    for told in sayable(page):
        for text, probability in page.sentences(told).items():
            assert 0 < probability <= 1
            assert page.read(text) == [told], text
            said += 1
    assert said > 40


def test_the_ways_to_say_facts_have_the_weights_of_the_page(page):
    told = {"plot": "nuts", "glad": "yes", "hero": "Mia", "have": "two", "fruit": "fig"}
    assert page.sentences(told) == {
        "米娅有两颗无花果，她很高兴。": 6 / 10,
        "米娅有两颗无花果，她笑了。": 3 / 10,
        "她是米娅，她有两颗无花果，很高兴。": 1 / 10,
    }
    assert page.sentences(told | {"friend": "Tom"}) == {}
    assert page.sentences(told | {"glad": "no"}) == {}


def test_a_form_that_belongs_to_another_is_no_sentence(page):
    assert page.read("米娅有两颗坚果。") != []
    assert page.read("米娅有两个坚果。") == []
    assert page.read("米娅有两颗坚果，他很高兴。") == []
    assert page.read("他是米娅，他有两颗坚果，很高兴。") == []
    assert page.read("米娅有两颗坚果") == page.read("") == page.read("米娅有二颗坚果。") == []


def test_every_sentence_of_the_page_is_read_back_as_its_facts_and_nothing_else():
    page, rng = chinese.of_storyland(), random.Random(1)
    assert len(page._sentences) == 80
    for sentence in page._sentences:
        slots = sorted({part[0] for part in sentence.parts if isinstance(part, tuple)})
        for _ in range(3):
            drawn = {fact: rng.choice([*page.words[fact].forms[""]]) for fact in slots}
            told = sentence.holds | drawn
            ways = page.sentences(told)
            assert sum(ways.values()) == pytest.approx(1)
            assert all(page.read(text) == [told] for text in ways), told


def test_every_translation_is_read_back_as_the_facts_of_the_example(many):
    for example in many[:150]:
        assert facts(example.input) == example.facts
        for text in example.outputs:
            assert facts(text) == example.facts, text


def test_every_translation_into_english_is_read_back_too(many):
    back = itertools.islice(chinese.examples(51, into="English"), 60)
    for there, example in zip(many, back, strict=False):
        assert (example.input, example.output) == (there.output, there.input)
        assert example.facts == there.facts
        for text in example.outputs:
            assert summaries.of_storyland().claims(text) == [example.facts]


def test_what_is_said_holds_in_the_story(many):
    for example in many:
        for fact, value in example.facts.items():
            assert example.story.facts.get(fact, value) == value, fact


def test_every_word_of_the_stories_has_its_chinese_and_no_two_of_a_list_the_same():
    grammar, page = summaries.of_storyland().world.grammar, chinese.of_storyland()
    checked = 0
    for fact, name in enumerate(grammar.facts):
        sources = [one for one in grammar.lists.values() if fact in one.facts]
        if name not in page.words or not sources or sources[0].role == TALK:
            continue
        words = {item.name for source in sources for item in source.items}
        assert set(page.words[name].forms[""]) == words, name
        said = page.words[name].forms[""].values()
        assert len(set(said)) == len(words), name
        checked += 1
    assert checked > 25


def test_all_made_up_names_can_be_told_from_their_chinese():
    names = chinese.of_storyland().words["traveller"].forms[""]
    assert len(names) == len(set(names.values())) == 16 * 4 * 8 * 4 * 8
    assert (names["Gomoff"], names["Kediff"]) == ("戈莫夫", "克迪夫")


def test_the_chinese_is_chinese(many):
    for example in many:
        for text in example.outputs:
            assert re.fullmatch(r"[\u4e00-\u9fff，、：“”。]+", text), text
            assert text.endswith("。") and text.count("。") == 1, text
            assert not re.search(r"(?<!十)二[个只颗根朵块枚步]", text), text
            assert not re.search(r"的的|了了|里里|，，", text), text


def test_pronouns_are_those_of_the_stories():
    grammar, names = summaries.of_storyland().world.grammar, chinese.of_storyland().words["hero"]
    for item in grammar.lists["name"].items:
        assert names.forms["he"][item.name] == {"he": "他", "she": "她"}[item.forms["he"]]


def test_the_outputs_come_with_their_probabilities(many):
    expected, found = Counter(), Counter()
    for example in many:
        if example.facts["plot"] in {"noise", "cake", "race"}:
            for number, (_, probability) in enumerate(example.outputs.items()):
                expected[example.facts["plot"], number] += probability
            place = list(example.outputs).index(example.output)
            found[example.facts["plot"], place] += 1
        assert sum(example.outputs.values()) == pytest.approx(1)
    assert len(found) == 9
    for kind, mean in expected.items():
        assert abs(found[kind] - mean) < 4 * sqrt(mean), kind


def test_a_translation_is_marked_by_its_facts():
    race = next(e for e in chinese.examples(1) if e.facts["plot"] == "race")
    first, second, third = (race.facts[f] for f in ("front", "middle", "back"))
    animal = chinese.of_storyland().words["front"].forms[""]
    goal = chinese.of_storyland().words["goal"].forms[""]

    def told(front, middle, back, place=race.facts["goal"]):
        return (f"三只动物比谁先跑到{goal[place]}，{animal[front]}第一，{animal[middle]}第二，"
                f"{animal[back]}最后。")

    assert score(race, told(first, second, third)) == 1
    assert score(race, told(first, third, second)) == 3 / 5
    other = next(place for place in goal if goal[place] != goal[race.facts["goal"]])
    assert score(race, told(first, second, third, other)) == 4 / 5
    assert score(race, told(first, second, third).removesuffix("。")) == 0
    assert score(race, race.input) == 0  # right, and not Chinese
    assert score(race, "") == score(race, "汤姆。") == 0
    # Of the ten facts that the two speak of, none is the same.
    noise = next(e for e in chinese.examples(1) if e.facts["plot"] == "noise")
    assert score(race, noise.output) == 0


def test_into_english_the_english_is_marked(many):
    example = next(chinese.examples(51, into="English"))
    assert score(example, example.output) == 1
    assert score(example, example.input) == 0


def test_a_wrong_number_of_steps_costs_one_fact_of_nine():
    found = next(e for e in chinese.examples(3)
                 if e.facts["plot"] == "treasure" and e.facts["first_steps"] == "two"
                 and e.facts["second_steps"] != "two")
    assert "走两步" in found.output
    assert score(found, found.output.replace("走两步", "走十步")) == 8 / 9


def test_the_same_seed_gives_the_same_and_the_order_of_sets_changes_nothing():
    command = (
        "import itertools\n"
        "from storyland.tasks import chinese\n"
        "for e in itertools.islice(chinese.examples(2), 60):\n"
        "    print(repr((e.input, e.output, list(e.outputs.items()), e.facts)))\n"
    )
    said = {
        subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, cwd=ROOT,
                       env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
                       ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and len(said.pop()) > 10_000


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None, True])
def test_a_seed_that_is_none_is_refused_at_once(seed):
    with pytest.raises(ValueError, match="a seed is a whole number from 0 on, not"):
        chinese.examples(seed)


def test_another_language_is_refused_at_once():
    with pytest.raises(ValueError, match="into Chinese or English, not 'French'"):
        chinese.examples(1, into="French")


def test_an_output_that_is_no_text_is_refused(many):
    with pytest.raises(TypeError, match="an output is text, not NoneType"):
        score(many[0], None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plot=a\n  {heroine}来了。", "nothing is known of 'heroine' with the form ''"),
        ("plot=a\n  {hero.m}来了。", "nothing is known of 'hero' with the form 'm'"),
        ("plot=a\n  {hero}<went>。", "the page has no part called 'went'"),
        ("list thing (thing): m\n  kite  风筝", "kite  风筝: give the Chinese of kite, and its"),
    ],
)
def test_a_page_that_has_no_meaning_is_refused(line, message):
    with pytest.raises(PageError, match=message):
        Chinese(f"{PAGE}{line}\n")


def test_what_the_documentation_shows_is_what_comes_out():
    failed, tried = doctest.testmod(chinese)
    assert failed == 0 < tried


def test_one_wrong_changes_one_fact_and_no_other_word(many):
    rng = random.Random(0)
    for example in many[:200]:
        said = chinese.one_wrong(example, rng)
        (claimed,) = chinese.of_storyland().read(said)
        assert claimed.keys() == example.facts.keys()
        changed = [fact for fact in claimed if claimed[fact] != example.facts[fact]]
        assert len(changed) == 1, (said, example.output)
        assert claimed[changed[0]] not in example.facts.values()
        assert score(example, said) == pytest.approx(1 - 1 / len(example.facts))
        ways = [list(chinese.of_storyland().sentences(told)) for told in (example.facts, claimed)]
        assert ways[0].index(example.output) == ways[1].index(said)


def test_one_wrong_is_for_chinese():
    with pytest.raises(ValueError, match="this is no Chinese: '"):
        chinese.one_wrong(next(chinese.examples(1, into="English")), random.Random(0))
