"""tools/notebooks.py: what it stores, what it leaves alone, what it says when a cell fails."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

TIMED = new_code_cell(
    "import time\nprint(time.time())\nassert True", metadata={"tags": ["nbval-ignore-output"]}
)


def page(folder, *cells):
    path = folder / "page.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Café"), *cells]), path)
    return path


def test_a_second_run_leaves_every_byte_and_an_edit_is_run_again(tmp_path, capsys):
    path = page(tmp_path, TIMED, new_code_cell("6 * 7", metadata={"scrolled": True}))
    assert notebooks.problems(path) != []
    assert notebooks.main([str(path)]) == 0
    first = path.read_bytes()
    assert notebooks.problems(path) == []
    assert notebooks.main([str(path)]) == 0
    assert path.read_bytes() == first
    said = capsys.readouterr().out
    assert said.count("page.ipynb") == 2
    assert "s, changed\n" in said
    assert "s, unchanged\n" in said

    text = first.decode("utf-8")
    assert "Café" in text
    assert text.endswith("}\n")
    assert "scrolled" not in text
    ran = notebooks.read(path).cells[-1]
    assert ran.metadata["tags"] == ["ran"]
    assert ran.source.startswith("<small>Last run on ")

    path.write_text(text.replace("6 * 7", "6 * 8"), encoding="utf-8", newline="\n")
    assert "edited" in " ".join(notebooks.problems(path))
    notebooks.run(path)
    edited = notebooks.read(path)
    assert edited.cells[2].outputs[0].data["text/plain"] == "48"
    assert edited.cells[1].outputs != nbformat.v4.reads(text).cells[1].outputs
    assert [cell.id for cell in edited.cells] == [cell.id for cell in nbformat.v4.reads(text).cells]


def test_a_solution_keeps_its_marks_for_nbgrader_and_gets_no_ran_cell(tmp_path):
    folder = tmp_path / "solutions"
    folder.mkdir()
    marks = {"grade": True, "grade_id": "q1", "points": 5, "schema_version": 3}
    notebooks.run(path := page(folder, new_code_cell("x = 1", metadata={"nbgrader": marks})))
    cells = notebooks.read(path).cells
    assert len(cells) == 2
    assert cells[1].metadata["nbgrader"] == marks
    assert notebooks.problems(path) == []


def test_a_notebook_runs_in_its_own_folder_and_may_record(tmp_path):
    source = "import os\nprint(os.path.exists('page.ipynb'), os.environ['TINYGPT_RECORD'])"
    notebooks.run(path := page(tmp_path, new_code_cell(source)))
    assert notebooks.read(path).cells[1].outputs[0].text == "True 1\n"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1\nx / 0", "cell 3: ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "cell 3: the kernel died"),
    ],
)
def test_a_failing_notebook_is_named_and_left_as_it_was(tmp_path, capsys, source, problem):
    path = page(tmp_path, new_code_cell("1"), new_code_cell(source), new_code_cell("2"))
    before = path.read_bytes()
    assert notebooks.main([str(path)]) == 1
    assert path.read_bytes() == before
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("page.ipynb failed")
    assert problem in said[1]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no JSON", "cannot be read"),
        ("[]", "format is None"),
        ('{"nbformat": 3}', "format is 3"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "'cells' is a required"),
    ],
)
def test_a_file_that_is_no_notebook_gets_one_clear_line(tmp_path, capsys, text, problem):
    path = tmp_path / "page.ipynb"
    path.write_text(text, encoding="utf-8")
    for arguments in ([str(path)], ["--check", str(path)]):
        assert notebooks.main(arguments) == 1
        assert problem in capsys.readouterr().out.splitlines()[-1]


def test_a_path_that_is_not_there_gets_one_clear_line(tmp_path):
    with pytest.raises(SystemExit, match="lost.ipynb does not exist"):
        notebooks.main([str(tmp_path / "lost.ipynb")])


def test_ids_are_kept_where_they_can_be_and_made_from_the_text_elsewhere():
    def ids():
        cells = [new_markdown_cell(text) for text in ("a", "b", "b", "c")]
        for cell, name in zip(cells, ("one", "one", "one", "not valid!"), strict=True):
            cell.id = name
        del cells[3]["id"]
        notebook = new_notebook()
        notebook.cells = cells  # not through new_notebook, which would mend them
        return [cell.id for cell in notebooks.normalise(notebook).cells]

    assert ids()[0] == "one"
    assert len(set(ids())) == 4
    assert ids() == ids()


def test_an_index_runs_after_the_chapters_it_sums_up(tmp_path):
    for name in ("index", "counting", "tokens"):
        (tmp_path / f"{name}.ipynb").touch()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "old.ipynb").touch()
    assert [path.stem for path in notebooks.find([tmp_path])] == ["counting", "tokens", "index"]


def test_without_the_models_what_needs_them_is_left_as_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MODELS", "no")
    path = page(tmp_path, new_code_cell("import tinygpt.pretrained as real"))
    before = path.read_bytes()
    assert notebooks.main([str(path)]) == 0
    assert path.read_bytes() == before
    assert "left out: it needs the models (make models)" in capsys.readouterr().out
    plain = page(tmp_path, new_code_cell("text = 'from tinygpt.pretrained import it'"))
    notebooks.needs_models.cache_clear()
    assert not notebooks.needs_models(plain)
