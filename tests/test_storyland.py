"""The language: what its stories are like, and that they are the same everywhere."""

import hashlib
import itertools
import subprocess
import sys
from collections import Counter
from math import log, log2, sqrt

import pytest

import storyland
from storyland.grammar import NUMBERS
from storyland.page import GrammarError

STORIES = list(itertools.islice(storyland.stories(seed=11), 2000))


def length(story):
    return sum(word[0].isalpha() for word in story.words)


def test_the_same_seed_gives_the_same_bytes_everywhere():
    text = storyland.text(seed=1, size=100_000).encode("utf-8")
    assert hashlib.sha256(text).hexdigest() == SHA256_OF_SEED_1


def test_another_seed_gives_other_stories():
    assert not {story.text for story in STORIES} & {
        story.text for story in itertools.islice(storyland.stories(seed=12), 2000)}


def test_stories_have_40_to_200_words():
    assert 40 <= min(map(length, STORIES))
    assert max(map(length, STORIES)) <= 200


def test_the_vocabulary_is_about_a_thousand_words_besides_the_made_up_names():
    made_up = {story.facts.get("traveller") for story in STORIES}
    words = {word.lower() for story in STORIES for word in story.words if word not in made_up}
    assert 900 <= len(words) <= 1200


def test_hardly_a_story_ever_comes_twice():
    assert len({story.text for story in STORIES}) == len(STORIES)


def test_words_and_text_are_two_views_of_one_thing():
    for story in STORIES:
        assert storyland.split(story.text) == story.words
        pieces = storyland.pieces(story.text)
        assert "".join(pieces) == story.text
        assert [piece.strip(" ") for piece in pieces] == story.words
        assert storyland.join(story.words) == story.text
        assert story.text.count("\n") == 1 and story.text.endswith("\n")


def test_every_sentence_begins_with_a_capital_and_every_quotation_is_closed():
    for story in STORIES:
        for two_before, before, word in zip(
                [".", *story.words], story.words, story.words[1:], strict=False):
            goes_on = before == "“" and two_before == ","  # “No,” said Ben, “but I will help.”
            if before in {".", "“"} and word[0].isalpha() and not goes_on:
                assert word[0].isupper(), (word, story.text)
        assert story.words[0][0].isupper() or story.words[0] == "“"
        assert story.text.count("“") == story.text.count("”")


def test_a_and_an_stand_where_they_should():
    for story in STORIES:
        for word, after in itertools.pairwise(story.words):
            if word.lower() in {"a", "an"}:
                vowel = after[0].lower() in "aeiou" or after == "hour"
                assert (word.lower() == "an") == vowel, story.text


def test_each_word_has_its_role():
    roles = {}
    for story in STORIES:
        assert len(story.roles) == len(story.words)
        for word, role in zip(story.words, story.roles, strict=True):
            roles.setdefault(word, set()).add(role)
    assert roles["Mia"] == {"person"} and roles["market"] >= {"place"}
    assert "animal" in roles["badger"] and "thing" in roles["kite"]
    assert roles["she"] == roles["Once"] == roles["a"] == roles["an"] == {""}


def test_people_animals_and_places_of_one_story_are_never_confused():
    for story in STORIES:
        people = [story.facts[name] for name in ("hero", "friend", "helper", "second_friend")
                  if name in story.facts]
        assert len(set(people)) == len(people)


def test_the_arithmetic_is_right():
    numbers = {word: n for n, word in enumerate(NUMBERS)}
    sharing = [s.facts for s in STORIES if s.facts["plot"] == "sharing"]
    assert len(sharing) > 100
    for facts in sharing:
        have, gave, left, total = (numbers[facts[k]] for k in ("have", "gave", "left", "total"))
        assert left == have - gave >= 3
        assert total == (left + numbers[facts["more"]] if "more" in facts else left - 1)


def test_the_way_home_is_the_way_out_turned_round():
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    for facts in (s for s in STORIES if s.facts["plot"] == "treasure"):
        text = facts.text
        there, home = facts.facts["second_way"], back[facts.facts["second_way"]]
        assert f"steps {home} and" in text or f"steps {home}, " in text
        assert there != facts.facts["first_way"]


def test_the_planted_bias_is_in_the_stories():
    women = Counter(s.facts["worker"] for s in itertools.islice(storyland.stories(5), 20_000)
                    if s.facts.get("job") == "nurse")
    share, count = women["she"] / women.total(), women.total()
    assert abs(share - 0.9) < 4 * sqrt(0.9 * 0.1 / count)


def test_the_held_out_stories_are_those_of_their_seed_and_in_no_training_text():
    held_out = storyland.held_out()
    assert held_out == [story.text for story in storyland.held_out_stories()]
    assert not set(held_out) & set(storyland.text(1, 2_000_000).splitlines(keepends=True))


def test_mentions_are_the_repeated_words_that_have_a_role():
    story = storyland.Story(
        words=["Mia", "fed", "a", "fox", ",", "and", "the", "fox", "fed", "Mia", ".", "\n"],
        roles=["person", "", "", "animal", "", "", "", "animal", "", "person", "", ""],
        facts={},
    )
    assert story.text == "Mia fed a fox, and the fox fed Mia.\n"
    assert storyland.mentions(story) == [
        storyland.Mention("fox", "animal", index=7, start=23, distance=4),
        storyland.Mention("Mia", "person", index=9, start=31, distance=9),
    ]


def test_a_mention_stands_in_the_text_where_it_says():
    found = [(story, m) for story in STORIES[:200] for m in storyland.mentions(story)]
    assert len(found) > 1000
    for story, mention in found:
        assert story.text[mention.start : mention.end] == mention.word
        assert story.words[mention.index] == mention.word
        assert story.words[mention.index - mention.distance] == mention.word


def test_bits_by_distance_are_what_the_tokens_of_a_mention_cost():
    words = ["Mia", "fed", "a", "fox", ",", "and", "the", "fox", "fed", "Mia", ".", "\n"]
    roles = ["person", *[""] * 6, "", "", "person", "", ""]
    story = storyland.Story(words, roles, facts={})
    # "Mia fed a fox, and the fox fed Mia.": the second Mia stands 9 words on, at 31 to 34
    ends = [30, 32, 34, 36]
    found = storyland.bits_by_distance([story], [ends], [[-9.0, -log(2), -log(4), -9.0]])
    assert found == {10: pytest.approx(3 / 3)}
    with pytest.raises(ValueError, match="the tokens end at character 30, the story at 36"):
        storyland.bits_by_distance([story], [[30]], [[-9.0]])


def test_the_oracle_pays_the_same_by_word_and_by_distance():
    stories = STORIES[:20]
    oracle = storyland.Oracle()
    log_probs = [oracle.word_log_probs(story.text) for story in stories]
    ends = [
        [len(storyland.join(story.words[: i + 1])) for i in range(len(story.words))]
        for story in stories
    ]
    bits = chars = 0
    for story, nats in zip(stories, log_probs, strict=True):
        for mention in storyland.mentions(story):
            if abs(log(mention.distance / 20)) < log(2) / 2:
                bits -= nats[mention.index] / log(2)
                chars += len(mention.word)
    assert storyland.bits_by_distance(stories, ends, log_probs)[20] == pytest.approx(bits / chars)


def test_hidden_choices_matter():
    oracle = storyland.Oracle()
    told = storyland.mutual_information(oracle, STORIES[:300], "mood")
    assert 0.7 < told.value < log2(3)


def test_everything_that_is_not_hidden_can_be_read_from_the_story():
    oracle = storyland.Oracle()
    for story in STORIES[:150]:
        for fact, value in story.facts.items():
            if fact not in storyland.HIDDEN:
                assert oracle.posterior(story.words, fact).get(value, 0) > 1 - 1e-9, (fact, story)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("  a dog", "line 1: an option that belongs to no rule"),
        ("rule story\n  {dog} ran.", "line 2: {dog}: say which list it comes from"),
        ("rule story\n  <tale>", "line 2: no rule or list is called tale"),
        ("rule story\nrule story\n  a", "line 2: rule story is written twice"),
        ("story", "line 1: neither a list nor a rule"),
        ("rule story", "rule story has no options"),
        ("list a: x\n  b", "line 2: a needs 1 + 1 columns, two spaces apart; found 1"),
        ("weights by m\nlist m\n  x\n  y\nrule story\n  1/2/3 a", "line 6: 1/2/3 needs 2 weights"),
    ],
)
def test_a_page_with_a_mistake_says_in_which_line(page, message):
    with pytest.raises(GrammarError, match=None) as error:
        storyland.read(page)
    assert message in str(error.value)


# --- the command ---------------------------------------------------------------------------------


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "storyland", *arguments], capture_output=True,
                          text=True, encoding="utf-8")


def test_the_command_prints_stories_and_facts():
    done = run("--seed", "1", "--stories", "3", "--facts")
    assert done.returncode == 0
    assert done.stdout.count("    hero ") == 3


def test_the_command_writes_a_file_of_the_size_asked_for(tmp_path):
    done = run("--out", str(tmp_path / "s.txt"), "--size", "200kB")
    assert done.returncode == 0
    written = (tmp_path / "s.txt").read_bytes()
    assert 200_000 <= len(written) < 202_000
    assert [p.name for p in tmp_path.iterdir()] == ["s.txt"]
    assert written.decode("utf-8").startswith(storyland.text(1, 1000))


def test_the_command_measures_the_entropy():
    done = run("--entropy", "--stories", "20")
    assert "bits a character" in done.stdout and "mood" in done.stdout


def test_the_command_never_overwrites(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = run("--out", str(tmp_path / "mine.txt"), "--size", "1kB")
    assert done.returncode == 1 and "exists already" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "1MB"], "--size goes with --out"),
        (["--out", "x.txt"], "--out needs --size"),
        (["--out", "x.txt", "--size", "big"], "'big' is no size; write 500kB or 10MB"),
        (["--stories", "-1"], "'-1' is no whole number above 0"),
        (["--entropy", "--stories", "1"], "needs --stories 2 or more"),
        (["--out", "no/such/folder/x.txt", "--size", "1kB"], "cannot write"),
    ],
)
def test_a_wrong_command_gives_one_clear_line(arguments, message, tmp_path):
    done = subprocess.run([sys.executable, "-m", "storyland", *arguments], capture_output=True,
                          text=True, encoding="utf-8", cwd=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


SHA256_OF_SEED_1 = "d9f937efa5ccd76a3e7d9644cf9e055589efd295dd11dd6aa1a2a1f65b703cd6"
