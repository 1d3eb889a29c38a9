"""Answers out of notebooks in every state, without running any of it."""

import copy
import json
import re

import pytest

from gradedesk.grading import answers
from gradedesk.grading.answers import read_submission
from gradedesk.trial.maker import Maker
from tools.lab_runs import TESTED

LABS = sorted(TESTED)  # a lab that a person marks has its own tests, in test_by_hand


@pytest.fixture(scope="module", params=LABS)
def maker(request):
    return Maker(request.param)


@pytest.fixture(scope="module")
def maker1():
    return Maker(LABS[0])


def read(maker, edit=None):
    return read_submission(maker.data(maker.solutions, edit), maker.lab)


def test_a_notebook_as_it_should_be(maker):
    found = read(maker)
    assert found.answers == maker.solutions
    (question,) = maker.lab.manual
    assert found.manual == {question.grade_id: "I would say so because the numbers above say so."}
    assert found.problems == [] and found.status is None


def test_the_release_itself_gives_the_stubs(maker):
    found = read_submission(json.dumps(maker.release).encode(), maker.lab)
    assert found.answers == {cell.grade_id: cell.release for cell in maker.lab.answers}
    (question,) = maker.lab.manual
    assert found.manual == {question.grade_id: "YOUR ANSWER HERE"} and found.problems == []


def test_every_broken_case_is_read_or_refused(maker):
    """What could be read holds all answers; what could not says why in one line."""
    for case in maker.broken():
        found = read_submission(case.data, maker.lab)
        assert all("\n" not in said and said.isprintable() for said in found.problems), case.name
        if "unreadable" in case.statuses:
            assert (found.status, len(found.problems)) == ("unreadable", 1), case.name
            assert found.answers == found.manual == {}
        else:
            assert set(found.answers) == set(maker.solutions), case.name
            assert found.status == ("tampered" if "tampered" in case.statuses else None), case.name
            assert bool(found.problems) >= bool(found.status), case.name


@pytest.mark.parametrize(
    "data, says",
    [
        (b"", "The file is empty."),
        (b" \n\n", "The file is empty."),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b"{", "broken JSON at line 1"),
        (b"{\n\n'a': 1}", "broken JSON at line 3"),
        (b'{"nbformat": ' + b"9" * 10_000 + b"}", "broken JSON"),
        (b'{"nbformat": NaN}', "format is nan, not 4"),
        (b'{"nbformat": true, "cells": [1]}', "format is True, not 4"),
        (b'{"nbformat": "4\\u202e", "cells": [1]}', r"format is '4\u202e', not 4"),
        (b'{"nbformat": 3, "worksheets": []}', "format is 3, not 4: save it in Jupyter again"),
        (b'{"cells": []}', "has no nbformat"),
        (b"null", "has no nbformat"),
        (b'{"nbformat": 4}', "has no cells"),
        (b'{"nbformat": 4, "cells": []}', "has no cells"),
        (b'{"nbformat": 4, "cells": [null, 3, [], {}]}', "no cell with a source"),
        (b'{"nbformat": 4, "cells": [{"source": {"a": 1}}]}', "no cell with a source"),
        (b'{"nbformat": 4, "cells": [{"source": ["a", 1]}]}', "no cell with a source"),
        (b'{"nbformat": 4, "cells": [{"source": "x = 1"}]}', "No answer of lab01-ngram"),
        (b'{"nbformat": 4, "cells": [' + b"1," * 10_001 + b"1]}", "10002 cells, more than 10000"),
    ],
)
def test_what_is_no_notebook(maker1, data, says):
    found = read_submission(data, maker1.lab)
    assert found.status == "unreadable" and says in found.problems[0]
    assert found.problems[0].isprintable() and len(found.problems[0]) < 200


def test_a_notebook_of_many_megabytes(maker1, monkeypatch):
    monkeypatch.setattr(answers, "MAX_BYTES", 1 << 20)
    found = read_submission(b" " * (1 << 20) + b"{}", maker1.lab)
    assert found.status == "unreadable" and "clear the outputs" in found.problems[0]


def test_a_byte_order_mark_is_no_problem(maker1):
    found = read_submission(b"\xef\xbb\xbf" + maker1.data(maker1.solutions), maker1.lab)
    assert found.answers == maker1.solutions and found.status is None


def cell(notebook, name):
    return next(c for c in notebook["cells"] if c["id"] == name)


def test_two_copies_of_an_answer(maker1):
    """The cell with the lab's own id counts, else the first; equal copies are nobody's fault."""

    def twice(notebook, source, own_id=True):
        at = notebook["cells"].index(cell(notebook, "q2"))
        extra = copy.deepcopy(notebook["cells"][at]) | {"id": "copy", "source": source}
        notebook["cells"].insert(at, extra)
        if not own_id:
            notebook["cells"][at + 1]["id"] = "copy-2"

    found = read(maker1, lambda notebook: twice(notebook, "x = 1"))
    assert found.answers == maker1.solutions and found.status == "tampered"
    assert found.problems == ["q2 stands in 2 cells; the lab's own was taken."]
    found = read(maker1, lambda notebook: twice(notebook, "x = 1", own_id=False))
    assert found.answers["q2"] == "x = 1" and found.status == "tampered"
    assert found.problems == ["q2 stands in 2 cells; the first was taken."]
    found = read(maker1, lambda notebook: twice(notebook, maker1.solutions["q2"]))
    assert found.status is None and len(found.problems) == 1


def test_an_answer_that_was_deleted(maker1):
    found = read(maker1, lambda nb: nb["cells"].remove(cell(nb, "q2")))
    assert set(found.answers) == set(maker1.solutions) - {"q2"}
    assert found.status == "tampered"
    assert found.problems == ["q2 is not in the notebook: its cell was deleted."]


def test_a_stripped_cell_is_taken_only_where_its_place_is_certain(maker1):
    def strip(notebook, more=(), moved=False):
        found = cell(notebook, "q2")
        at = notebook["cells"].index(found)
        found |= {"metadata": {}, "id": "new"}
        for source in more:
            notebook["cells"].insert(at, dict(found, id="more", source=source))
        if moved:
            notebook["cells"].remove(found)
            notebook["cells"].append(found)

    found = read(maker1, strip)
    assert found.answers == maker1.solutions and "its place" in found.problems[0]
    for options in ({"more": ["x = 1"]}, {"moved": True}):
        found = read(maker1, lambda notebook, options=options: strip(notebook, **options))
        assert set(found.answers) == set(maker1.solutions) - {"q2"}
        assert "q2 is not in the notebook" in found.problems[0]


def test_only_the_lab_s_points_and_tests_count(maker1):
    """Whatever a student's notebook says of itself: what was altered is listed."""

    def edit(notebook):
        cell(notebook, "q1-example")["metadata"]["nbgrader"]["points"] = float("nan")
        cell(notebook, "q2-by-hand")["source"] = "assert True"
        cell(notebook, "q3-seen")["metadata"]["nbgrader"]["grade_id"] = "q3-mine"
        notebook["cells"].remove(cell(notebook, "q4-two-words"))
        cell(notebook, "setup")["source"] = "import evil"
        cell(notebook, "q5")["metadata"]["nbgrader"] |= {"points": 50, "grade": True}

    found = read(maker1, edit)
    assert found.status == "tampered" and found.answers == maker1.solutions
    assert [re.split(";| from", said)[0] for said in found.problems if "own cells" not in said] == [
        "The points of q1-example were edited to nan",
        "The test cell q2-by-hand differs",
        "The test cell q3-seen had lost its metadata",
        "The test cell q4-two-words was deleted",
        "The cell setup differs",
    ]


def test_spaces_at_line_ends_are_an_editor_s_doing(maker1):
    def edit(notebook):
        for c in notebook["cells"]:
            if c["id"].startswith("q1-"):
                text = "".join(c["source"])
                c["source"] = text.replace("\n", "  \r\n") + "\n\n"

    assert read(maker1, edit).problems == []


def test_a_very_long_answer_is_cut(maker1):
    long = maker1.with_target("x = '" + "a" * 10**6 + "'")
    found = read_submission(maker1.data(long), maker1.lab)
    assert len(found.answers["q7"]) == answers.MAX_SOURCE and "1000006 characters" in str(found)


def test_odd_characters_are_said(maker1):
    for text, says in {
        "\0": "q7 holds a NUL character",
        "\u202e \u2066": "(U+202E, U+2066)",
    }.items():
        found = read_submission(maker1.first(f"# {text}"), maker1.lab)
        assert says in found.problems[0] and found.status is None
    found = read_submission(maker1.first("# \ud800"), maker1.lab)
    assert found.answers["q7"].startswith("# ?\n")


def test_cells_of_their_own_are_counted_and_left_out(maker1):
    cases = {case.name: case for case in maker1.honest()}
    found = read_submission(cases["own-cells"].data, maker1.lab)
    assert found.problems == ["1 code cell of the student's own (never run here)."]
    assert found.status is None and found.answers == maker1.solutions


def test_reading_a_notebook_runs_none_of_it(maker1, tmp_path):
    mark = tmp_path / "ran"
    read_submission(maker1.first(f"open({str(mark)!r}, 'w')"), maker1.lab)
    assert not mark.exists()
