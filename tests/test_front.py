"""The front page: what its game, its story and its ladder show is what the records hold."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

import storyland
from tinygpt import ladder, records
from tinygpt.ngram import KneserNey
from tools import front, guess, notebooks
from tools.records import sitting

ROOT = Path(__file__).resolve().parent.parent
GAME = json.loads(guess.FILE.read_text(encoding="utf-8"))


def soup(html):
    return BeautifulSoup(html, "html.parser")


def uri(page):
    return f"{page}.html"


# The game's record


@pytest.fixture(scope="module")
def again():
    """The rounds as `python -m tools.guess` finds their places, and the readers but for counting,
    which would take most of the time."""
    stories = storyland.stories(guess.STORY_SEED)
    assert next(stories).text.rstrip("\n") == GAME["story"]
    return list(guess.places(stories))


def test_the_places_are_those_that_the_seed_draws(again):
    found = [(kind, storyland.join(s.words[:i]), s.words[i]) for kind, s, i in again]
    assert found == [(r["kind"], r["before"], r["said"]) for r in GAME["rounds"]]


def test_the_oracle_gives_what_is_stored(again):
    oracle = storyland.Oracle()
    for (_, story, place), stored in zip(again, GAME["rounds"], strict=True):
        truth = oracle.next_word(story.words[:place])
        for choice in stored["choices"]:
            assert choice["oracle"] == pytest.approx(truth.get(choice["word"], 0), abs=1e-4)


def test_the_gpt_gives_what_is_stored():
    model, _ = records.load("story-base")
    reader = guess.tokenizer()
    for stored in GAME["rounds"]:
        words = [choice["word"] for choice in stored["choices"]]
        found = guess.word_probs(
            guess.gpt(model, reader, stored["before"]), stored["space"], guess.NEVER, words
        )
        for choice in stored["choices"]:
            assert choice["gpt"] == pytest.approx(found[choice["word"]], abs=0.002)


def test_the_words_that_follow_have_all_the_probability():
    """With no limit on what is followed, on a toy whose words are short."""
    model = KneserNey(3).fit("a cat ate a hat. a hat ate a cat.\n" * 3)
    pieces = guess.counting(model, "a cat")
    found = guess.word_probs(pieces, " ", 1e-7)
    starts = model.prob(" ", "a cat")  # else no word follows
    letter = sum(model.prob(c, "a cat ") for c in model.alphabet if c.isalpha())
    assert sum(found.values()) == pytest.approx(starts * letter, abs=1e-3)
    (some,) = (guess.word_probs(pieces, " ", 1e-7, [word]) for word in ["ate"])
    assert some["ate"] == pytest.approx(found["ate"], abs=1e-9)


def test_a_word_cut_in_several_ways_has_the_sum_of_them():
    def pieces(written):
        # `ab` as one piece or as two, and after it the end or another letter
        return {(): {"ab": 0.5, "a": 0.5}, ("a",): {"b": 0.4, ".": 0.6}}.get(
            written, {".": 0.75, "c": 0.25}
        )

    found = guess.word_probs(pieces, "", 0.0, ["ab"])
    assert found["ab"] == pytest.approx((0.5 + 0.5 * 0.4) * 0.75)


def test_every_round_has_its_word_among_different_choices():
    for stored in GAME["rounds"]:
        words = [choice["word"] for choice in stored["choices"]]
        assert stored["said"] in words
        assert words == sorted(set(words)) and len(words) == guess.CHOICES
        for model in front.MODELS:
            assert sum(choice[model] for choice in stored["choices"]) <= 1 + 1e-3


# The page


def test_without_a_script_the_first_round_stands_there_with_its_answer():
    first, *others = soup(front.guess_html(uri)).select(".guess-round")
    assert not first.has_attr("hidden") and all(o.has_attr("hidden") for o in others)
    assert first.select_one(".guess-gap").text == GAME["rounds"][0]["said"]
    assert len(first.select("tbody tr")) == guess.CHOICES + 1
    assert first.select_one(".guess-said th").text == GAME["rounds"][0]["said"]


def test_only_the_oracle_says_impossible_and_certain():
    assert [front.percent(p, "oracle") for p in (0.0, 0.004, 0.5, 0.996, 1.0)] == [
        "0%",
        "<1%",
        "50%",
        ">99%",
        "100%",
    ]
    assert [front.percent(p, "gpt") for p in (0.0, 1.0)] == ["<1%", ">99%"]


def test_the_ladder_has_every_rung_in_order_and_links_each():
    rows = soup(front.ladder_html(uri)).select("tbody tr")
    names = [row.th.text for row in rows]
    assert {rung["name"] for rung in ladder.rungs()} < set(names)
    bits = [float(row.select("td")[0].text) for row in rows]
    assert bits == sorted(bits, reverse=True) and names[-1] == "floor"
    for row in rows:
        page = ROOT / row.a["href"].removesuffix(".html")
        assert page.with_suffix(".ipynb").is_file(), row


def test_the_last_rungs_can_be_told_apart():
    """On the ladder's scale, not only in figures: each bar is shorter than the one above."""
    bars = soup(front.ladder_html(uri)).select("tbody i")
    widths = [float(re.search(r"[\d.]+", bar["style"])[0]) for bar in bars]
    assert all(upper > lower for upper, lower in zip(widths, widths[1:], strict=False))
    assert min(widths) > 2 and max(widths) <= 100


def test_a_chapter_of_a_part_is_found_by_its_number():
    pages = front.pages()
    assert pages["1.1"] == "chapters/1-language-models/counting"
    assert pages["2.3"] == "chapters/2-attention/gpt"
    assert pages["3.4"] == "chapters/3-training/train-a-gpt"


# One sitting


def test_the_gpt_of_one_sitting_has_at_most_120_lines():
    """From the text to the trained model, blank lines aside: what measures it comes after, and
    what is folded only draws."""
    cells = [cell for cell in notebooks.read(sitting.PAGE).cells if cell.cell_type == "code"]
    end = next(i for i, cell in enumerate(cells) if "in train(model" in cell.source)
    lines = [
        line
        for cell in cells[: end + 1]
        if not sitting.APART & set(notebooks.tags(cell))
        for line in cell.source.splitlines()
        if line.strip()
    ]
    assert 80 < len(lines) <= 120


def test_what_the_record_of_one_sitting_runs_needs_nothing_that_is_folded():
    source = "\n".join(
        cell.source
        for cell in notebooks.read(sitting.PAGE).cells
        if cell.cell_type == "code" and not sitting.APART & set(notebooks.tags(cell))
    )
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet"]
    undefined = ["--select=F821", "--output-format=concise", "-"]
    done = subprocess.run(
        [*command, *undefined], input=source, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
