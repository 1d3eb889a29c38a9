"""A lab as the desk reads it."""

import json
from pathlib import Path

import pytest

from gradedesk.lab import Lab, LabError, find

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(path.stem for path in (ROOT / "solutions").glob("*/*.ipynb"))


@pytest.fixture(scope="module", params=LABS)
def lab(request):
    return Lab.load(ROOT / "solutions" / request.param)


def test_what_students_get_is_what_nbgrader_makes_of_it(lab):
    """Our own stubs and theirs are the same, cell by cell, and so are the points."""
    released = Lab.load(ROOT / "labs" / lab.name)
    assert [c.release.rstrip() for c in lab] == [c.source.rstrip() for c in released]
    assert [c.grade_id for c in lab] == [c.grade_id for c in released]
    assert [c.points for c in lab] == [c.points for c in released]
    assert [c.hidden for c in lab] == [c.hidden for c in released]
    assert [c.title for c in lab] == [c.title for c in released]
    assert released.released and not lab.released


def test_what_a_lab_is_worth(lab):
    assert lab.max_points == 100
    if not lab.tests:  # a person marks it all
        assert lab.manual and not lab.answers
        return
    assert {cell.question for cell in lab.tests} == {cell.grade_id for cell in lab.answers}
    assert any(cell.hidden for cell in lab.tests) and any(not cell.hidden for cell in lab.tests)
    assert all(cell.title for cell in lab.tests)


def test_names_are_those_that_the_answers_define(lab):
    for cell in lab.answers:
        names = {}
        for setup in lab.kind("setup"):
            exec(setup.source, names)
        given = set(names)
        exec(cell.source, names)
        defined = {n for n, v in names.items() if getattr(v, "__module__", "") == "builtins"}
        assert set(cell.names) >= defined - given and cell.names
        assert all(lab.defined_in(name) is cell for name in cell.names)


def test_a_lab_travels_as_json(lab):
    lab = Lab(lab.name, lab.cells, {"cell_seconds": 3}, {"data.txt": b"\xff\x00"})
    assert Lab.from_dict(json.loads(json.dumps(lab.to_dict()))) == lab


def test_the_version_changes_with_a_test_and_not_with_a_story(lab, tmp_path):
    def edited(kind):
        notebook = json.loads(source.read_text(encoding="utf-8"))
        at = next(i for i, cell in enumerate(lab) if cell.kind == kind)
        notebook["cells"][at]["source"] = "# something else\n1"
        path = tmp_path / f"{kind}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
        return Lab.load(path).version

    source = ROOT / "solutions" / lab.name / f"{lab.name}.ipynb"
    graded = "test" if lab.tests else "manual"
    assert edited("text") == lab.version != edited(graded)


def notebook(*cells, **metadata):
    return json.dumps({"nbformat": 4, "metadata": metadata, "cells": list(cells)})


def cell(grade_id, points=1, grade=True):
    mark = {"grade_id": grade_id, "grade": grade, "solution": not grade, "points": points}
    return {"cell_type": "code", "source": "assert f()", "metadata": {"nbgrader": mark}}


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "is not a notebook"),
        ("[]", "is not a notebook"),
        ('{"cells": [1]}', "is not a notebook"),
        (notebook(), "has nothing to grade"),
        (notebook(cell("q1-a"), cell("q1-a")), "q1-a stands on two cells"),
        (notebook(cell("q1-a", points=0)), "q1-a needs points above 0"),
        (notebook(cell("q1-a", points=-3)), "q1-a needs points above 0"),
        (notebook(cell("q1"), gradedesk={"limits": {"cell_seconds": "9"}}), "numbers above 0"),
    ],
)
def test_what_is_no_lab_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "lab.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match=says) as caught:
        Lab.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_limits_come_from_the_lab_s_metadata(tmp_path):
    from gradedesk.grading.run import limits_of

    path = tmp_path / "lab.ipynb"
    for limits in ({"cell_seconds": 3, "memory_bytes": 1e9}, {"second": 1}):
        path.write_text(notebook(cell("q1"), gradedesk={"limits": limits}), encoding="utf-8")
        lab = Lab.load(path)
        if "second" in limits:
            with pytest.raises(LabError, match="unknown limit 'second'; there are cell_seconds"):
                limits_of(lab)
        else:
            assert limits_of(lab).cell_seconds == 3.0
            assert limits_of(lab).memory_bytes == 10**9
            assert type(limits_of(lab).memory_bytes) is int


def test_data_beside_a_lab_is_public_and_its_mistakes_are_not(tmp_path):
    folder = tmp_path / "lab"
    (folder / "data").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "lab.ipynb").write_text(notebook(cell("q1")), encoding="utf-8")
    for name in ("mistakes.py", "data/words.txt", "__pycache__/x.pyc"):
        (folder / name).write_text("x", encoding="utf-8")
    (folder / "link.txt").symlink_to("/etc/hostname")
    assert Lab.load(folder).files == {"data/words.txt": b"x"}


@pytest.mark.parametrize("name", ["lab99", "../solutions", "", "lab01-ngram/../lab02-bpe"])
def test_a_lab_that_is_not_there(name):
    with pytest.raises(LabError, match="There is no lab .*: lab01-ngram, lab02-bpe"):
        find(name, ROOT / "solutions")
