"""The record of the GPT in TensorFlow: it is of the page's cells, and the two agree."""

import json

import pytest

from tinygpt import records
from tools.records import frameworks
from tools.records.cells import define

RECORD = records.read("tensorflow")


def test_both_frameworks_agree():
    assert set(RECORD["differences"]) == {"logits", "gradient", "loss"}
    assert max(RECORD["differences"].values()) < 1e-4
    before, after = RECORD["losses"]
    assert after < before


def test_the_cells_that_it_runs_stand_on_the_page_in_this_order():
    cells = json.loads((records.ROOT / "chapters" / "tools.ipynb").read_text("utf-8"))["cells"]
    ids = [cell["id"] for cell in cells]
    assert [one for one in ids if one in frameworks.CELLS] == list(frameworks.CELLS)


def test_a_cell_that_is_not_on_the_page_is_an_error():
    with pytest.raises(KeyError):
        define("tools", ["tools-nowhere"])
