"""The recorded runs of the capstone: they are of the page as it is."""

import math

import pytest

from tinygpt import records
from tools.records import capstone

RECORD = records.read("capstone")


@pytest.fixture(scope="module")
def page():
    return capstone.page()


def test_it_holds_a_run_a_seed():
    assert len(RECORD["runs"]) == len(capstone.SEEDS)
    for run in RECORD["runs"]:
        assert {len(bits) for bits in run["bits"].values()} == {len(run["chars"])}


@pytest.mark.parametrize("seed", capstone.SEEDS)
def test_its_texts_and_the_oracles_bits_are_those_of_the_page(page, seed):
    _, _, test = page["parts"](seed)
    run = RECORD["runs"][seed]
    assert [len(line) for line in test] == run["chars"]
    assert page["bits"](page["oracle"], test) == pytest.approx(run["bits"]["oracle"], abs=0.006)
    for kind, by_change in page["changed"](test, seed).items():
        for change, lines in by_change.items():
            assert len(lines) == len(run["landed"]["GPT"][kind][change])


def test_a_text_of_the_test_part_stands_in_no_other(page):
    train_lines, valid, test = page["parts"](5)
    assert not {*test} & {*train_lines, *valid} and not {*valid} & {*train_lines}


def test_a_change_changes_one_thing(page):
    _, _, test = page["parts"](5)
    for by_change in page["changed"](test, 5).values():
        for line, *others in zip(*by_change.values(), strict=True):
            landed = page["LANDED"].search(line)[1]
            assert all(page["LANDED"].search(other)[1] == landed for other in others)
            assert all(other != line for other in others)
            assert all(math.isfinite(page["oracle"].log_prob(one)) for one in (line, others[0]))
            assert page["oracle"].log_prob(others[1]) == -math.inf  # it is now wrong


def test_the_n_gram_reads_the_start_of_a_text_as_it_was_trained_on_it(page):
    lines = page["told"](1, 60)
    model = page["fitted"](8, lines)
    first = [line[0] for line in lines]
    assert model.prob(first[0], "\n" * 7) == pytest.approx(1, abs=0.01)  # each begins with "The"
    assert model.prob("H", "\n" * 7 + "The ") > model.prob("O", "\n" * 7 + "The ")
