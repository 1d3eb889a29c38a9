"""The oracle: exact, and checked in every way that does not use the oracle."""

import itertools
from collections import Counter, defaultdict
from math import exp, inf, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import storyland
from storyland.sampler import stories as sample_stories
from storyland.words import END

TINY = """
weights by mood
list mood
  glad  x3
  sad
list name is person: he
  Tom  he  x2
  Mia  she
  Lin  she
rule story
  {~mood} {Hero: name} had {have: 3..5} nuts. <change>
    {Hero.he} {~left = have - gave} has {left}. <end>
rule change
  2 {Hero.he} gave {friend: name} {gave: 1..have-1}. -> kind=yes
  {~gave: 1..2} Some fell out. -> kind=no
rule end
  if kind=yes: {Friend} said, “Thanks!”
  1/3 if kind=no: Oh.
  3/1 if kind=no: Oh, no.
"""


def enumerate_texts(grammar):
    """Every text with its probability, by following every choice to its end."""
    probabilities = Counter()
    todo = [((), [grammar.rules["story"]], grammar.empty_env, 1.0)]
    while todo:
        words, pending, env, weight = todo.pop()
        if not pending:
            probabilities[(*words, END)] += weight
        elif isinstance(pending[0], str):
            todo.append(((*words, pending[0]), pending[1:], env, weight))
        else:
            choices = pending[0].choices(env)
            for share, outcome in choices.pairs:
                body, new_env = pending[0].take(outcome, env)
                todo.append((words, [*body, *pending[1:]], new_env,
                             weight * share / choices.totals[-1]))
    return probabilities


def next_words(texts):
    """{prefix: the distribution of the word after it}, by adding up whole texts."""
    following = defaultdict(Counter)
    for text, weight in texts.items():
        for n, word in enumerate(text):
            following[text[:n]][word] += weight
    return {prefix: {word: weight / words.total() for word, weight in words.items()}
            for prefix, words in following.items()}


def assert_oracle_is_exact(grammar):
    oracle, texts = storyland.Oracle(grammar), enumerate_texts(grammar)
    assert sum(texts.values()) == pytest.approx(1)
    for text, weight in texts.items():
        assert exp(oracle.log_prob(list(text))) == pytest.approx(weight, rel=1e-9)
    for prefix, words in sorted(next_words(texts).items()):
        assert oracle.next_word(list(prefix)) == pytest.approx(words, rel=1e-9)


def test_a_grammar_worked_out_by_hand():
    oracle = storyland.Oracle(storyland.read(
        "rule story\n  3 <who> ran.\n  1 <who> sat.\nrule who\n  1 Tom\n  4 The dog"))
    assert oracle.next_word("") == pytest.approx({"Tom": 1 / 5, "The": 4 / 5})
    assert oracle.next_word("Tom") == pytest.approx({"ran": 3 / 4, "sat": 1 / 4})
    assert oracle.log_prob("The dog sat.\n") == pytest.approx(log(4 / 5 * 1 / 4))


def test_a_hidden_cause_is_inferred_as_bayes_would():
    """The coin is fair or has two heads; after a head the two-headed one is twice as likely."""
    oracle = storyland.Oracle(storyland.read(
        "rule story\n  {~coin} <toss> <toss>\nlist coin\n  fair\n  double\n"
        "rule toss\n  if coin=fair: head\n  if coin=fair: tail\n  2 if coin=double: head"))
    assert oracle.posterior("head", "coin") == pytest.approx({"double": 2 / 3, "fair": 1 / 3})
    assert oracle.next_word("head") == pytest.approx({"head": 5 / 6, "tail": 1 / 6})
    assert oracle.posterior("head tail", "coin") == {"fair": 1}


def test_the_oracle_equals_brute_force_on_a_tiny_grammar():
    grammar = storyland.read(TINY)
    assert len(enumerate_texts(grammar)) > 50
    assert_oracle_is_exact(grammar)


WORDS = st.sampled_from("a b c d".split())
WEIGHT = st.integers(1, 5)
VALUES = "red blue green".split()
SLOTS = st.sampled_from(["{x: colour}", "{~x: colour}", "{y: colour}", "<colour>"])
CONDITIONS = st.sampled_from(["", *(f"if x={value}: " for value in VALUES), "if x!=red: ",
                              "if x=@y: "])
EFFECTS = st.sampled_from(["", " -> x=@y", " -> y=@x", " -> x=red"])
MOST = 1000  # ways to write a text


@st.composite
def pages(draw):
    """A random grammar, and how many ways to write a text it has at most: no more than MOST.

    Rules call later rules only, so that every text is finite; the last rule is drawn first, so that
    what it is worth in ways is known where it is called.
    """
    depth = draw(st.integers(1, 3))
    # x and y are colours in a grammar that draws neither, too.
    lines, ways = ["rule never", "  {x: colour} {y: colour}"], 1
    for level in range(depth, -1, -1):
        options, total = [], 0
        for option in range(draw(st.integers(1 if level else 2, 3))):
            slots = draw(st.lists(SLOTS, max_size=1))
            calls, product = [], len(VALUES) ** len(slots)
            for _ in range(draw(st.integers(1, 2)) if level < depth else 0):
                if product * ways <= MOST // 3:
                    calls.append(f"<r{level + 1}>")
                    product *= ways
            total += product
            parts = draw(st.permutations([*draw(st.lists(WORDS, max_size=2)), *slots, *calls]))
            condition = draw(CONDITIONS) if option else ""
            options.append(f"  {draw(WEIGHT)} {condition}{' '.join(parts)}{draw(EFFECTS)}")
        lines, ways = [f"rule r{level}" if level else "rule story", *options, *lines], total
    colours = [f"  {value} x{draw(WEIGHT)}" for value in VALUES]
    return "\n".join(["list colour", *colours, *lines]), ways


@settings(max_examples=200)
@given(pages())
def test_the_oracle_equals_brute_force_on_random_grammars(drawn):
    page, ways = drawn
    assert ways <= MOST
    assert_oracle_is_exact(storyland.read(page))


def z_score(counts, probabilities):
    """Pearson's chi-squared against exact probabilities, as standard deviations from its mean."""
    total = counts.total()
    assert set(counts) <= set(probabilities)
    rare = sum(p for p in probabilities.values() if p * total < 5)
    expected = {word: p * total for word, p in probabilities.items() if p * total >= 5}
    chi2 = sum((counts[word] - mean) ** 2 / mean for word, mean in expected.items())
    if rare:
        others = total - sum(counts[word] for word in expected)
        chi2 += (others - rare * total) ** 2 / (rare * total)
    degrees = len(expected) + bool(rare) - 1
    return (chi2 - degrees) / sqrt(2 * degrees)


def test_sampled_frequencies_agree_with_the_oracle_on_a_tiny_grammar():
    grammar = storyland.read(TINY)
    sampled = Counter(tuple(story.words)
                      for story in itertools.islice(sample_stories(1, grammar), 30_000))
    assert z_score(sampled, dict(enumerate_texts(grammar))) < 3


@pytest.fixture(scope="module")
def many_stories():
    return list(itertools.islice(storyland.stories(21), 25_000))


@pytest.mark.parametrize("prefix", ["", "Once upon a time there was a girl called Mia.",
                                    "If you ever go to", "Nobody in Stonebridge was ever as"])
def test_sampled_frequencies_agree_with_the_oracle_on_storyland(prefix, many_stories):
    words = storyland.split(prefix)
    following = Counter(story.words[len(words)] for story in many_stories
                        if story.words[: len(words)] == words)
    assert following.total() > 100
    assert z_score(following, storyland.Oracle().next_word(prefix)) < 3


def test_it_sums_to_one_along_many_stories():
    oracle = storyland.Oracle()
    for story in itertools.islice(storyland.stories(31), 60):
        for word, distribution in oracle.walk(story.words):
            assert sum(distribution.values()) == pytest.approx(1, abs=1e-9)
            assert distribution[word] > 0


def test_log_prob_is_the_chain_rule_over_next_word():
    oracle = storyland.Oracle()
    for story in itertools.islice(storyland.stories(41), 10):
        chain = sum(log(distribution[word]) for word, distribution in oracle.walk(story.text))
        assert oracle.log_prob(story.text) == pytest.approx(chain, rel=1e-9)


def test_the_entropy_is_the_mean_of_minus_log_prob():
    oracle = storyland.Oracle(storyland.read(TINY))
    exact = -sum(p * log(p) for p in enumerate_texts(oracle.grammar).values())
    sampled = itertools.islice(sample_stories(1, oracle.grammar), 4000)
    estimate = storyland.entropy(oracle, sampled).per_story
    assert abs(estimate.value - exact) < 4 * estimate.se
    assert estimate.se < 0.05


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Once upon a time there was a dragon", (7, "dragon")),
        ("Twice upon a time", (0, "Twice")),
        ("Once upon a  time", (3, "time ")),  # two spaces
        ("Once upon a time there was a boy called Mia.", (9, "Mia")),
    ],
)
def test_an_impossible_text_has_probability_0_and_says_where_it_leaves(text, where):
    oracle = storyland.Oracle()
    assert oracle.log_prob(text) == -inf
    assert oracle.leaves_at(text) == where
    with pytest.raises(ValueError, match=f"word {where[0]}"):
        oracle.next_word(text)


def test_a_story_that_contradicts_itself_is_impossible():
    """Five apples less two are three: the oracle knows, an n-gram does not."""
    oracle = storyland.Oracle()
    story = next(s for s in storyland.stories(1)
                 if s.facts["plot"] == "sharing" and "That left" in s.text)
    assert oracle.leaves_at(story.text) is None
    wrong = story.text.replace(f"That left {story.facts['left']}", "That left twenty")
    assert oracle.leaves_at(wrong)[1] == "twenty"


def test_a_prefix_that_goes_on_is_read_on_and_another_is_read_anew():
    oracle = storyland.Oracle()
    for prefix in ("Once", "Once upon a", "If you", "Once upon a time there was a", "Once"):
        assert oracle.next_word(prefix) == storyland.Oracle().next_word(prefix)


def test_a_text_that_belongs_to_the_language_leaves_it_nowhere():
    oracle = storyland.Oracle()
    assert oracle.leaves_at("Once upon a time there was") is None
    assert oracle.log_prob("") == 0


def test_asking_for_an_unknown_fact_names_the_known_ones():
    with pytest.raises(ValueError, match="no fact is called 'dragon'; there are .*mood"):
        storyland.Oracle().posterior("Once", "dragon")
