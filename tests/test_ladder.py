"""The ladder keeps its record honest."""

import json

import pytest

import storyland
from tinygpt import ladder


@pytest.fixture
def record(tmp_path, monkeypatch):
    file = tmp_path / "records" / "ladder.json"
    monkeypatch.setattr(ladder, "FILE", file)
    monkeypatch.setenv("TINYGPT_RECORD", "1")
    ladder.rung("floor", 0.13, chapter="1.1")
    ladder.rung("uniform", 5.9, chapter="1.1")
    ladder.rung("mlp", 0.5, chapter="1.3")
    monkeypatch.delenv("TINYGPT_RECORD")
    return file


def test_it_is_stored_worst_first(record):
    assert [rung["name"] for rung in json.loads(record.read_text())] == ["uniform", "mlp", "floor"]


def test_an_equal_figure_passes_and_another_fails(record):
    ladder.rung("mlp", 0.5004, chapter="1.3")
    with pytest.raises(ladder.LadderError, match="0.5006 .* the record says 0.5000"):
        ladder.rung("mlp", 0.5006, chapter="1.3")


def test_a_trained_figure_may_differ_by_its_tolerance_and_no_more(record):
    ladder.rung("mlp", 0.509, chapter="1.3", tolerance=0.01)
    with pytest.raises(ladder.LadderError):
        ladder.rung("mlp", 0.511, chapter="1.3", tolerance=0.01)


def test_checking_never_writes(record):
    before = record.read_bytes()
    ladder.rung("mlp", 0.5, chapter="1.3")
    with pytest.raises(ladder.LadderError, match="no rung 'gpt' yet"):
        ladder.rung("gpt", 0.2, chapter="2.3")
    assert record.read_bytes() == before


def test_recording_again_changes_the_one_figure(record, monkeypatch):
    monkeypatch.setenv("TINYGPT_RECORD", "1")
    ladder.rung("mlp", 0.4, chapter="1.3")
    assert {r["name"]: r["bits_per_char"] for r in ladder.rungs()} == {
        "uniform": 5.9, "mlp": 0.4, "floor": 0.13}


def test_a_page_shows_the_rungs_up_to_its_chapter(record):
    assert [r["name"] for r in ladder.rungs(through="1.1")] == ["uniform", "floor"]
    assert [r["name"] for r in ladder.rungs(through="1.10")] == ["uniform", "mlp", "floor"]


def test_the_stored_ladder_goes_down_to_the_floor():
    names = [rung["name"] for rung in ladder.rungs()]
    assert names[0] == "uniform" and names[-1] == "floor"


def test_the_floor_on_the_ladder_is_storyland_s():
    (floor,) = [rung for rung in ladder.rungs() if rung["name"] == "floor"]
    assert floor["bits_per_char"] == storyland.FLOOR
