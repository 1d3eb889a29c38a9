"""tools/portable.py: a cell that prints something else elsewhere is named; nothing is stored."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks, portable

PAGE = {  # what the cell says, what was stored
    "import os": "",
    "print(1 + 1)": "2",
    "print(os.environ['OMP_NUM_THREADS'])": "2",
    "print('elsewhere')": "here",
}


@pytest.fixture
def page(tmp_path):
    cells = [new_markdown_cell("# A page")]
    for source, text in PAGE.items():
        outputs = [new_output("stream", text=text + "\n")] if text else []
        cells.append(new_code_cell(source, outputs=outputs, execution_count=len(cells)))
    cells[-1].metadata.tags = ["nbval-ignore-output"]
    path = tmp_path / "page.ipynb"
    path.write_text(notebooks.serialise(notebooks.normalise(new_notebook(cells=cells))))
    return path


def test_a_cell_that_moves_is_named_with_what_it_prints(page):
    before = page.read_bytes()
    (line,) = portable.moved(page, "sse2, 1 thread")
    assert "page.ipynb, cell 4 (sse2, 1 thread):" in line
    assert line.splitlines()[1:] == ["    -2", "    +1"]
    assert page.read_bytes() == before


def test_a_page_that_prints_the_same_is_not_named(page):
    assert portable.moved(page, "avx2, 2 threads") == []


def test_a_cell_that_fails_elsewhere_is_named(page):
    page.write_text(page.read_text().replace("print(1 + 1)", "assert os.cpu_count() < 0"))
    (line,) = portable.moved(page, "as it is, 2 threads")
    assert "cell 3: AssertionError" in line
