"""What several files of tests use to grade a lab of their own."""

import json

import pytest
from classroom import busy

from gradedesk import sandbox
from gradedesk.grading import run
from gradedesk.lab import Lab
from gradedesk.sandbox import cgroup


def pytest_collection_modifyitems(config, items):
    """What only control groups do is not tested where there are none; doctor tells of it."""
    if cgroup.available():
        without = [item for item in items if item.get_closest_marker("groups")]
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=without)


@pytest.fixture
def small(tmp_path):
    """small(cells, answers) grades the answers (by grade_id) to a lab of these cells; or `data`."""

    def grade(cells, answers=None, limits=None, data=None, **options):
        notebook = {"nbformat": 4, "metadata": {}, "cells": cells}
        path = tmp_path / "small.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
        lab = Lab.load(path)
        mine = [
            dict(c, source=(answers or {}).get(c["id"], made.release))
            for c, made in zip(cells, lab, strict=True)
        ]
        given = {"cell_seconds": busy(), "total_seconds": 300.0} | (limits or {})
        notebook["cells"] = mine
        data = data or json.dumps(notebook).encode()
        return run.grade_one(lab, data, "ada", sandbox.Limits(**given), **options)

    yield grade
    assert run.close() == ""
