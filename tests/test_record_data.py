"""The recorded runs of the chapter on data: what is planted, what is measured, what is kept."""

import math
import random
import zlib
from types import SimpleNamespace

import pytest
import torch

import storyland
from tinygpt import records, train
from tinygpt.corpora import corpus
from tinygpt.data import texts as encoded
from tinygpt.model import GPT, preset
from tinygpt.tokenizer import BPETokenizer, CharTokenizer
from tools.records import data as record_data
from tools.records.job import Job

RECORD = records.read("data")


@pytest.fixture(scope="module")
def planted():
    return record_data.texts(seed=4)


def test_the_recorded_texts_are_those_that_are_planted_now(planted):
    for name, lines in planted.items():
        assert zlib.crc32("".join(lines).encode()) == RECORD["crc32"][name][4], name


def test_the_record_was_made_with_the_numbers_that_stand_here():
    assert RECORD["training"] == {
        "budget": record_data.BUDGET,
        "order": record_data.ORDER,
        "steps": record_data.STEPS,
        "batch_size": record_data.BATCH,
        "context": record_data.CONTEXT,
        "model": record_data.MODEL,
        "rates": record_data.RATES,
    }
    trained = [*RECORD["counts"], *(f"repeat {2**k}" for k in range(record_data.HALVINGS))]
    assert list(RECORD["gpt"]) == trained
    assert {len(of) for of in RECORD["counts"].values()} == {len(record_data.SEEDS)}
    assert {len(of) for of in RECORD["gpt"].values()} == {len(record_data.GPT_SEEDS)}


def test_a_text_is_filled_to_its_size_and_not_by_a_line_more():
    lines = ["one\n", "two\n", "three\n"]
    assert [record_data.fill(lines, size) for size in (0, 1, 4, 5, 99)] == [
        [],
        lines[:1],
        lines[:1],
        lines[:2],
        lines,
    ]


def test_dirt_takes_the_place_of_clean_text_and_adds_none(planted):
    longest = 2 * max(map(len, planted["boilerplate"]))
    for name in planted.keys() - {"half", "boilerplate gone"}:
        size = sum(map(len, planted[name]))
        assert abs(size - record_data.BUDGET) < max(longest, record_data.BUDGET / 50), name


def test_copies_are_copies_of_the_half_that_a_cure_leaves(planted):
    half = planted["half"]
    assert half == planted["clean"][: len(half)]
    assert len(set(half)) == len(half)
    assert sorted(planted["all twice"]) == sorted(half + half)
    often = planted["a few, often"]
    assert often[: len(half)] == half
    assert set(often[len(half) :]) == set(half[: record_data.FEW])


def test_renamed_stories_are_equal_but_for_their_people(planted):
    half, both = planted["half"], planted["names changed"]
    others = both[len(half) :]
    assert both[: len(half)] == half
    for line, other in zip(half, others, strict=True):
        bare = [record_data.ANYBODY.sub("*", x) for x in (line, other)]
        assert bare[0] == bare[1]
    changed = [line != other for line, other in zip(half, others, strict=True)]
    assert sum(changed) > 0.9 * len(half)  # a name may be drawn for itself


def test_one_person_gets_one_new_name():
    new = record_data.renamed("Mia met Tom. Mia ran, Tom ran.\n", random.Random(0))
    first, second = new[:-1].replace(".", "").split()[0], new[:-1].split()[2].rstrip(".")
    assert new == f"{first} met {second}. {first} ran, {second} ran.\n"
    assert first != second


def test_boilerplate_gone_holds_the_stories_of_the_pages_and_no_more(planted):
    pages, gone = planted["boilerplate"], planted["boilerplate gone"]
    for page, line in zip(pages, gone, strict=True):
        head, story, foot = page.partition(line[:-1])
        assert story and head.startswith("Welcome to the ") and foot.endswith(".\n")
    assert gone == planted["clean"][: len(gone)]


def test_a_few_sites_have_most_of_the_pages():
    rng = random.Random(0)
    pages = [record_data.framed("x\n", rng) for _ in range(1000)]
    shares = [sum(f"Welcome to {site}." in page for page in pages) for site in record_data.SITES]
    assert sum(shares) == 1000
    assert sum(shares[:6]) > 500 > sum(shares[6:])


def test_half_of_the_stories_are_spoiled_and_the_same_in_each_way(planted):
    clean = planted["clean"]
    wrong = {i for i, line in enumerate(planted["word salad"]) if line != clean[i]}
    assert len(wrong) == len(clean) // 2
    for i, line in enumerate(clean):
        misread, lost, salad = (
            planted[name][i] for name in ("wrong encoding", "quotes lost", "word salad")
        )
        if i in wrong:
            assert misread.encode("latin-1").decode("utf-8") == line
            assert lost == "".join(c for c in line if c.isascii())
            assert sorted(salad.split()) == sorted(line.split())
        else:
            assert misread == lost == salad == line


def test_what_is_read_more_often_is_the_beginning_of_what_is_read_once(monkeypatch):
    monkeypatch.setattr(record_data, "LARGEST", 40_000)
    longer, *shorter = record_data.repeated(0).values()
    assert len(shorter) == record_data.HALVINGS - 1
    for lines in shorter:
        assert lines == longer[: len(lines)]
        ratio = sum(map(len, longer)) / sum(map(len, lines))
        assert ratio == pytest.approx(2, abs=0.25)
        longer = lines


def test_the_recorded_repeats_are_of_the_texts_that_are_made_now():
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)
    seen = record_data.STEPS * record_data.BATCH * record_data.CONTEXT
    for name, lines in record_data.repeated(1).items():
        times = seen / len(encoded(lines, tokenizer).ids)
        assert RECORD["times_read"][name][1] == pytest.approx(times, abs=1e-4), name


# What is measured


def test_a_story_inside_its_page_pays_for_its_own_characters_alone(monkeypatch):
    stories, pages = ["ab\n", "cde\n"], ["xxab y\n", "cde\n"]

    def log_probs(model, read):  # -1, -2, -4, ...: the sum tells which tokens were added
        return [-(2.0 ** torch.arange(n)) for n in read.lengths(torch.arange(len(read))).tolist()]

    monkeypatch.setattr(train, "log_probs", log_probs)
    tokenizer = CharTokenizer.train("".join(pages))
    bits = record_data.inside(None, tokenizer, stories, pages)
    assert bits == pytest.approx(((4 + 8) + (1 + 2 + 4)) / math.log(2) / 5)


def test_bits_inside_are_bits_a_character_where_the_page_is_the_story():
    lines = storyland.text(3, 800).splitlines(keepends=True)
    tokenizer = BPETokenizer.train("".join(lines), vocab_size=300)
    torch.manual_seed(0)
    model = GPT(
        preset("gpt2", vocab_size=300, context=1024, num_layers=1, num_heads=1, d_model=8)
    ).eval()
    newlines = -sum(one[-1].item() for one in train.log_probs(model, encoded(lines, tokenizer)))
    whole = train.bits_per_char(model, encoded(lines, tokenizer)) * sum(map(len, lines))
    inside = record_data.inside(model, tokenizer, lines, lines)
    assert tokenizer.decode(tokenizer.encode(lines[0])[-1:]) == "\n"
    assert inside * sum(len(line) - 1 for line in lines) == pytest.approx(
        whole - newlines / math.log(2), rel=1e-5
    )


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The whole record at a size that takes a second, its GPTs made by `one`."""
    small = {"BUDGET": 3000, "JUDGE": 1500, "LARGEST": 6000, "ORDER": 3, "STEPS": 1}
    for name, value in (small | {"SEEDS": range(3), "GPT_SEEDS": range(2)}).items():
        monkeypatch.setattr(record_data, name, value)
    made, left = [], SimpleNamespace(runs=99)

    def one(name, lines, seed, judge):
        if not left.runs:
            raise KeyboardInterrupt
        left.runs -= 1
        made.append((name, seed))
        bits = {"bits_per_char": 5.0 + seed, "loss": 3.0, "times_read": 1 / len(lines)}
        inside = {"bare": 2.0, "in a page": 1.0} if "boilerplate" in name else {}
        return bits | inside | {"cpu_seconds": 0.5, "judge": judge}

    monkeypatch.setattr(record_data, "one", one)
    return SimpleNamespace(job=Job("data", tmp_path), made=made, left=left)


def test_every_score_is_over_the_floor_of_its_own_seed(small):
    found = record_data.data(small.job)
    floors = found["figures"]["floors"]
    assert len(set(floors)) == 3
    oracle = storyland.Oracle()
    judge = storyland.text(51, 1500)
    bits = -sum(map(oracle.log_prob, judge.splitlines(keepends=True))) / math.log(2)
    assert floors[1] == pytest.approx(bits / len(judge), abs=1e-4)
    for name in [*record_data.texts(0), *record_data.repeated(0)]:
        expected = [5 + seed - floors[seed] for seed in range(2)]
        assert found["gpt"][name] == pytest.approx(expected, abs=2e-4), name
    assert all(len(of) == 3 and min(of) > 0 for of in found["counts"].values())


def test_the_counts_are_those_of_each_text_on_fresh_stories(small):
    found = record_data.data(small.job)
    letters = "".join(sorted(set(corpus("storyland").train)))
    lines = record_data.texts(2)["word salad"]
    model = record_data.KneserNey(3).fit("".join(lines) + letters)
    over = model.bits_per_char(storyland.text(52, 1500)) - found["figures"]["floors"][2]
    assert found["counts"]["word salad"][2] == pytest.approx(over, abs=2e-4)


def test_only_pages_with_boilerplate_are_read_inside_a_page(small):
    found = record_data.data(small.job)
    assert list(found["bare"]) == list(found["in a page"]) == ["boilerplate", "boilerplate gone"]
    assert list(found["loss"]) == list(found["times_read"]) == list(found["gpt"])
    assert found["figures"]["runs"] == len(small.made) == 2 * 15
    assert found["figures"]["cpu_seconds"] == 15


def test_a_record_that_was_stopped_goes_on_with_the_runs_that_are_missing(small):
    small.left.runs = 7
    with pytest.raises(KeyboardInterrupt):
        record_data.data(small.job)
    small.left.runs = 99
    found = record_data.data(small.job)
    assert len(small.made) == len(set(small.made)) == 30
    assert record_data.data(small.job) == found
    assert len(small.made) == 30


def test_other_steps_or_another_text_are_another_run(small, monkeypatch):
    record_data.data(small.job)
    monkeypatch.setattr(record_data, "STEPS", 2)
    record_data.data(small.job)
    assert len(small.made) == 60
    monkeypatch.setattr(record_data, "BUDGET", 4000)  # which the repeated texts do not have
    record_data.data(small.job)
    assert len(small.made) == 80


def test_a_small_gpt_learns_from_its_text_and_is_the_same_again(monkeypatch):
    text = "".join(corpus("storyland", size="1MB").train.splitlines(keepends=True)[:55])
    monkeypatch.setattr(record_data, "corpus", lambda *_, **__: SimpleNamespace(train=text))
    lines = text.splitlines(keepends=True)
    judge = storyland.text(50, 1500).splitlines(keepends=True)
    runs = {}
    for steps in (1, 25, 25):
        monkeypatch.setattr(record_data, "STEPS", steps)
        run = record_data.one("boilerplate", lines, 0, judge)
        assert runs.setdefault(steps, run)["bits_per_char"] == run["bits_per_char"]
    assert runs[25]["bits_per_char"] < runs[1]["bits_per_char"] - 0.5
    assert runs[25]["times_read"] == pytest.approx(25 * runs[1]["times_read"])
    assert runs[25]["bare"] < runs[25]["in a page"]  # no page was read
    assert "bare" not in record_data.one("clean", lines, 0, judge)
