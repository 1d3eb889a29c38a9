"""What the recorded runs hold, and that it is what their weights give."""

import pytest
import torch

from tinygpt import ladder, records
from tinygpt.model import GPT, preset
from tools.records.job import once

NAMES = sorted(path.parent.name for path in records.FOLDER.glob("*/record.json"))


def test_there_are_records():
    assert "gpt" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_ran_when_and_on_what(name):
    record = records.read(name)
    for key in ("what", "command", "commit", "date", "machine", "versions", "figures"):
        assert record[key], key
    assert record["name"] == name
    assert record["command"].endswith(name)


@pytest.mark.parametrize("name", NAMES)
def test_stored_weights_are_small_and_finite(name):
    weights = records.FOLDER / name / "weights.safetensors"
    if weights.exists():
        assert weights.stat().st_size <= 8_000_000
        model, record = records.load(name)
        assert model.num_parameters() == record["figures"]["parameters"]
        assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_read_as_it_was_measured(tmp_path, monkeypatch, tied):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    torch.manual_seed(0)
    model = GPT(preset("gpt2", vocab_size=11, context=8, num_layers=1, d_model=16, tied=tied))
    described = records.write_model(tmp_path / "small", model)  # takes on the 16 bits stored
    records.write(tmp_path / "small", {"model": described})
    read, record = records.load("small")
    assert record["model"]["tied"] is tied
    ids = torch.arange(8)[None]
    assert torch.equal(read(ids), model(ids))


def test_what_the_records_measured_is_what_the_ladder_says():
    rungs = {rung["name"]: rung["bits_per_char"] for rung in ladder.rungs()}
    figures = records.read("distance")["figures"]
    assert figures["16-gram bits_per_char"] == pytest.approx(rungs["16-gram, Kneser-Ney"], abs=1e-4)
    assert figures["MLP bits_per_char"] == pytest.approx(rungs["MLP"], abs=0.01)


def test_a_record_that_is_not_there_gives_one_line():
    with pytest.raises(records.RecordError, match="There is no record 'gtp'; there are: .*gpt"):
        records.read("gtp")


def test_a_run_that_is_kept_is_made_once_and_another_anew(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"bits": made[-1]}

    assert [once(tmp_path, {"seed": 0}, make) for _ in range(2)] == [{"bits": 0}] * 2
    assert once(tmp_path, {"seed": 1}, make) == {"bits": 1}
    with pytest.raises(ZeroDivisionError):
        once(tmp_path, {"seed": 2}, lambda: 1 // 0)
    assert once(tmp_path, {"seed": 2}, make) == {"bits": 2}
