"""Summaries: what they claim follows from the text, and they are marked by what they claim."""

import itertools
import re
from collections import Counter, defaultdict
from math import exp, sqrt

import derivations
import pytest

import storyland
from storyland.tasks import summaries
from storyland.tasks.frame import PageError
from storyland.tasks.summaries import Summaries, naming, score

# The hidden mood changes the text, and the thief is told in the end.
STORIES = """
weights by mood
list mood
  glad
  sad
list name
  Tom  x2
  Mia
  Lin
rule story
  {~mood} {hero: name} had {have: 2..3} nuts. <day> <thief> {Thief: name} took {took: 1..have-1}.
    -> plot=nuts
  {hero: name} slept. -> plot=sleep
rule day
  3/1 It was sunny.
  1/3 It rained.
rule thief
  Leaves fell. -> alone=yes
  Leaves fell on {friend: name}. -> alone=no
"""
PAGE = """
rule summary
  3 if plot=nuts: {Hero} lost <took> of <have> nuts to {thief}.
  2 if plot=nuts: {Thief} took <took> nuts from {hero}, who had <have>. <so_it_was>
  1 if plot=nuts, alone=no: {Hero} and {friend} saw how {thief} took <took> of <have> nuts.
  1 if plot=sleep: {Hero} slept and did nothing else.
rule took
  {took: 0..9}
rule have
  {have: 0..9}
rule so_it_was
  1
  3 So it was.
"""


def right_by_text(summed):
    """For each text of the grammar, the summaries that its derivations have."""
    same_text = defaultdict(set)
    for derivation in derivations.written(summed.world.grammar):
        ways = summed._ways(derivation.env)
        same_text[derivation.words].add(tuple((way.words, way.probability) for way in ways))
    return same_text


def test_every_derivation_of_a_text_has_the_same_summaries():
    same_text = right_by_text(Summaries(STORIES, PAGE))
    assert len(same_text) == 75 and all(len(right) == 1 for right in same_text.values())


def test_a_summary_that_says_what_is_hidden_is_found_by_the_same_comparison():
    telling = PAGE.replace("rule took", "  2 if plot=nuts, mood=glad: A good day.\nrule took")
    assert max(map(len, right_by_text(Summaries(STORIES, telling)).values())) == 2


def test_the_right_summaries_have_the_probabilities_with_which_the_page_writes_them():
    summed = Summaries(STORIES, PAGE)
    examples = itertools.islice(summed.examples(1), 4000)
    expected, found = Counter(), Counter()
    for example in examples:
        assert sum(example.outputs.values()) == pytest.approx(1)
        for text, probability in example.outputs.items():
            kind = re.sub(r"Tom|Mia|Lin|one|two|three", "_", text)
            expected[kind] += probability
        found[re.sub(r"Tom|Mia|Lin|one|two|three", "_", example.output)] += 1
    assert len(found) == 5 and set(found) <= set(expected)
    for kind, mean in expected.items():
        assert abs(found[kind] - mean) < 4 * sqrt(mean), kind


def test_a_summary_of_a_small_grammar_is_marked_by_hand():
    summed = Summaries(STORIES, PAGE)
    example = next(e for e in summed.examples(1)
                   if e.facts["plot"] == "nuts" and e.story.facts["alone"] == "yes"
                   and (e.facts["hero"], e.facts["thief"]) == ("Tom", "Mia")
                   and (e.facts["have"], e.facts["took"]) == ("three", "one"))
    assert example.key == {"plot", "hero", "thief", "have", "took"}
    assert example.names == {"hero": {"tom"}, "thief": {"mia"}, "have": {"three"}, "took": {"one"}}

    def mark(text):
        return summed.score(example, text)

    assert mark("Tom lost one of three nuts to Mia.") == 1
    assert mark("Mia took one nuts from Tom, who had three. So it was.") == 1
    assert mark("Tom lost two of three nuts to Mia.") == 4 / 5
    assert mark("Mia lost one of three nuts to Tom.") == 3 / 5
    assert mark("Tom slept and did nothing else.") == 1 / 5  # the hero; the plot is another
    # It claims besides that he was not alone, and names a friend: of seven, five are right.
    assert mark("Tom and Lin saw how Mia took one of three nuts.") == 5 / 7
    assert mark("Tom lost one of three nuts to Mia") == 0  # no sentence of the page
    assert mark("") == mark("Once.") == mark("Tom lost one of three nuts to Mia.\nOnce.") == 0
    assert naming(example, "tom and MIA: 3, 1") == 1
    assert naming(example, "Tommy, miau, thirty, none") == naming(example, "") == 0
    assert naming(example, "Mia lost one of three nuts to Tom.") == 1  # it cannot tell who did what


@pytest.fixture(scope="module")
def many():
    return list(itertools.islice(summaries.examples(51), 1500))


def test_every_right_summary_of_a_real_story_is_read_back_as_right(many):
    for example in many[:400]:
        for text in example.outputs:
            assert score(example, text) == 1, text
            assert naming(example, text) == 1, text


def test_another_name_for_the_hero_costs_one_fact(many):
    changed = 0
    for example in many[:300]:
        hero = example.facts.get("hero")
        if hero and "hero" in example.key and hero in example.output:
            other = next(name for name in ("Wanda", "Otto", "Felix", "Greta")
                         if name not in example.story.words)
            marked = score(example, example.output.replace(hero, other))
            claims = {fact for claimed in summaries.of_storyland().claims(example.output)
                      for fact in claimed}
            assert marked == pytest.approx(1 - 1 / len(claims | example.key)), example.output
            changed += 1
    assert changed > 200


def test_exchanged_animals_are_named_and_still_wrong():
    race = next(e for e in summaries.examples(52) if e.facts["plot"] == "race")
    front, back = race.facts["front"], race.facts["back"]
    swapped = race.output.replace(front, "#").replace(back, front).replace("#", back)
    assert naming(race, swapped) == 1 > score(race, swapped) > 0


def test_what_is_only_worked_out_in_the_end_is_claimed_too():
    """What was forgotten is one of the three that were named before."""
    errand = next(e for e in summaries.examples(54)
                  if e.facts["plot"] == "errand" and e.facts["forgot"] == e.facts["two"])
    assert "forgot" in errand.key
    one, two, three, hero, shop = (errand.facts[f] for f in ("one", "two", "three", "hero", "shop"))
    sent = f"{hero} was sent to the {shop} for {one}, {two} and {three}, "
    assert score(errand, f"{sent}but forgot the {two}.") == 1
    assert score(errand, f"{sent}but forgot the {one}.") == 6 / 7
    assert score(errand, f"{sent}and brought them all.") == 6 / 7


def test_every_derivation_of_a_real_story_has_the_same_summaries():
    summed = summaries.of_storyland()
    for example in itertools.islice(summed.examples(53), 80):
        found = {tuple((way.words, way.probability) for way in summed._ways(env))
                 for env, _ in derivations.read(summed.world.grammar, example.story.words)}
        assert len(found) == 1, example


def test_every_plot_has_at_least_two_ways_to_be_told(many):
    ways = defaultdict(set)
    for example in many:
        ways[example.facts["plot"]].add(len(example.outputs))
    assert len(ways) == 12 and min(min(counts) for counts in ways.values()) >= 2


def test_summaries_read_as_english(many):
    for example in many:
        for text in example.outputs:
            assert text[0].isupper() and text.endswith(".") and text.count(".") == 1, text
            assert not re.search(r"[{}<>]|  ", text), text
            for word, after in itertools.pairwise(text.split()):
                if word.lower() in {"a", "an"}:
                    assert (word.lower() == "an") == (after[0].lower() in "aeiou"), text


def test_a_summary_is_much_shorter_than_its_story(many):
    lengths = [len(e.output) / len(e.story.text) for e in many]
    assert max(lengths) < 0.5 and sum(lengths) / len(lengths) < 0.2


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("rule other\n  x", "the page has no rule called summary"),
        (PAGE.replace("3 So it", "3 if plot=nuts: So it"),
         "rule so_it_was: conditions belong to the options of summary"),
    ],
)
def test_a_page_that_cannot_be_read_back_is_refused(page, message):
    with pytest.raises(PageError, match=message):
        Summaries(STORIES, page)


def test_a_story_for_which_the_page_has_no_summary_is_named():
    summed = Summaries(STORIES, PAGE.replace("plot=sleep: {H", "plot=nuts: {H"))
    with pytest.raises(PageError, match="no summary fits .*'plot': 'sleep'"):
        list(itertools.islice(summed.examples(1), 50))


def test_the_story_keeps_its_probability():
    """The rules of the page are read with the grammar, and add no way to write a story."""
    summed = Summaries(STORIES, PAGE)
    plain = storyland.read(STORIES)
    texts = Counter()
    for derivation in derivations.written(plain):
        texts[derivation.words] += derivation.probability
    oracle = storyland.Oracle(summed.world.grammar)
    assert sum(texts.values()) == pytest.approx(1)
    for words, probability in itertools.islice(texts.items(), 60):
        assert exp(oracle.log_prob(list(words))) == pytest.approx(probability)
