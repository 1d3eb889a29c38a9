"""The tags of the cells: only those that somebody reads, and few whose output is not compared.

A tag that nobody knows does nothing and says nothing: nine cells once bore the name of one with
brackets and quotes around it, and their rounding noise was compared for a week.
"""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

KNOWN = {  # tag: who reads it, and what it does
    "nbval-ignore-output": "nbval runs the cell and does not compare its output",
    "nbval-skip": "nbval does not run the cell",
    "raises-exception": "nbclient, MyST-NB, nbval: the cell is meant to fail",
    "hide-input": "MyST-NB folds the code",
    "hide-output": "MyST-NB folds the output",
    "hide-cell": "MyST-NB folds both",
    "remove-cell": "MyST-NB leaves the cell out",
    "long": "test_form: the cell may have more than 15 lines",
    "stepper": "test_form: the cell shows a script",
    "ran": "tools/notebooks.py: the last cell, which says when the page ran",
}
NOT_COMPARED = {"nbval-ignore-output", "nbval-skip"}

# How many cells of each notebook are not compared; none where it is not listed. A number here is
# lowered with the page, and not raised: print what is the same on any machine (a bound, an order,
# a figure rounded to what is stable, a verdict), and let an assertion look at the rest.
UNCOMPARED = {
    "chapters/1-language-models/neural.ipynb": 2,
    "chapters/2-attention/encoder-decoder.ipynb": 4,
    "chapters/2-attention/gpt.ipynb": 3,
    "chapters/2-attention/heads-and-positions.ipynb": 2,
    "chapters/2-attention/self-attention.ipynb": 5,
    "chapters/3-training/better-and-bigger.ipynb": 1,
    "chapters/3-training/copies-and-tables.ipynb": 2,
    "chapters/3-training/likelihood.ipynb": 1,
    "chapters/3-training/train-a-gpt.ipynb": 2,
    # what is drawn from a trained model, each beside a test of it
    "chapters/4-applications/generating.ipynb": 9,
    "chapters/one-sitting.ipynb": 2,
    "solutions/lab04-repair/lab04-repair.ipynb": 4,
    "solutions/lab06-train/lab06-train.ipynb": 1,
}


def tags(cell):
    return cell.metadata.get("tags", [])


def unknown_tags(notebook):
    """A line for each tag that nobody reads."""
    return [
        f"cell {cell.get('id', '?')!r} has the tag {tag!r}, which nobody reads"
        for cell in notebook.cells
        for tag in tags(cell)
        if tag not in KNOWN
    ]


def uncompared(notebook):
    """How many cells nbval does not compare."""
    return sum(bool(NOT_COMPARED & set(tags(cell))) for cell in notebook.cells)


@pytest.mark.parametrize(
    "path", notebooks.find([]) + notebooks.find([notebooks.ROOT / "labs"]), ids=notebooks.shown
)
def test_every_tag_is_one_that_somebody_reads(path):
    found = unknown_tags(notebooks.read(path))
    assert found == [], f"{notebooks.shown(path)}: {'; '.join(found)}. See KNOWN in this file."


def test_no_more_cells_go_uncompared_than_before():
    counts = {
        notebooks.shown(path): uncompared(notebooks.read(path)) for path in notebooks.find([])
    }
    wrong = [
        f"{path}: {counts.get(path, 0)} cells are not compared, UNCOMPARED says {said}: "
        + ("lower it there" if counts.get(path, 0) < said else "print what any machine prints")
        for path in sorted({*counts, *UNCOMPARED})
        if counts.get(path, 0) != (said := UNCOMPARED.get(path, 0))
    ]
    assert wrong == [], "\n".join(wrong)


def test_a_tag_with_brackets_and_quotes_is_caught_by_name():
    """What happened: the text of a list of tags became one tag."""
    cell = new_code_cell("1", id="free-18", metadata={"tags": ['["nbval-ignore-output"]', "long"]})
    (line,) = unknown_tags(new_notebook(cells=[new_markdown_cell("# A"), cell]))
    assert "'free-18'" in line
    assert "'[\"nbval-ignore-output\"]'" in line
    assert uncompared(new_notebook(cells=[cell])) == 0


def test_a_cell_counts_once_however_it_goes_uncompared():
    cells = [
        new_code_cell("1", metadata={"tags": ["nbval-ignore-output", "nbval-skip"]}),
        new_code_cell("2", metadata={"tags": ["nbval-skip"]}),
        new_code_cell("3", metadata={"tags": ["hide-input"]}),
    ]
    assert uncompared(new_notebook(cells=cells)) == 2
    assert unknown_tags(new_notebook(cells=cells)) == []
