"""The tests' own ways: a hang names itself, and what was drawn at random can be drawn again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent

HANGS = """
import time

def test_waits():
    while True:
        time.sleep(0.01)

def test_computes_in_c():
    sum(range(10**12))

def test_ends():
    pass
"""
DRAWS = """
import random
from hypothesis import given, settings, strategies as st

def say(*what):
    with open("drawn.txt", "a") as file:
        print(*what, file=file)

def test_draws():
    say(random.random(), settings.default.derandomize)

@given(st.integers())
def test_hypothesis(number):
    say(number)
"""

MODELS = """
import pytest

@pytest.mark.models
def test_asks_a_model():
    pass

def test_asks_nobody():
    pass
"""


LABS = """
import os
import time
import pytest

PLACES = [(lab, number) for number in range(3) for lab in ("lab01-ngram", "lab02-bpe")]

@pytest.mark.parametrize("lab, number", PLACES)
def test_a_lab(lab, number):
    time.sleep(0.2)
    print(lab, "was at", os.environ["PYTEST_XDIST_WORKER"])
"""


@pytest.fixture
def suite(tmp_path):
    """Runs a file of tests under our own conftest.py; what was printed."""
    shutil.copy(ROOT / "conftest.py", tmp_path)

    quick = ("-p", "no:nbval", "-p", "no:anyio", "-p", "no:typeguard")

    def run(source, *options, **environment):
        (tmp_path / "test_it.py").write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "test_it.py", "--color=no", *quick, *options]
        left_out = ("CI", "MODELS", "NO_SKIP")
        env = {key: value for key, value in os.environ.items() if key not in left_out} | environment
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.stdout

    return run


def test_a_test_that_hangs_is_ended_and_named_in_python_and_in_c(suite):
    limits = ("timeout=2", "faulthandler_timeout=4", "faulthandler_exit_on_timeout=true")
    said = suite(HANGS, "-n", "1", *(part for limit in limits for part in ("-o", limit)))
    failed = sorted(re.findall(r"^FAILED test_it.py::(\w+)", said, re.MULTILINE))
    assert failed == ["test_computes_in_c", "test_waits"], said
    assert "1 passed" in said


def test_what_was_drawn_can_be_drawn_again_and_in_a_worker(suite, tmp_path):
    def draw(*options, **environment):
        said = suite(DRAWS, *options, **environment)
        assert "2 passed" in said, said
        (seed,) = re.findall("repeat them with (--hypothesis-seed=[0-9]+)", said)
        drawn = (tmp_path / "drawn.txt").read_text(encoding="utf-8").splitlines()
        (tmp_path / "drawn.txt").unlink()
        return seed, drawn

    seed, first = draw("-n", "1")
    assert len(first) > 50 and first[0].endswith("False")
    assert draw(seed) == (seed, first)
    assert draw(CI="true")[1][0] == "0.8444218515250481 True"  # as after random.seed(0)


def test_the_tests_of_one_lab_stay_together_and_two_labs_may_part(suite):
    said = suite(LABS, "-n", "2", "--dist", "loadscope", "-rP")
    found = re.findall(r"^(lab\d\d)-\w+ was at (gw\d)", said, re.MULTILINE)
    assert len(found) == 6 and len(set(found)) == len({worker for _, worker in found}) == 2, said


def test_what_needs_the_models_is_skipped_in_sight_and_never_where_nothing_may_be(suite, tmp_path):
    mark = ("-o", "markers=models: needs the real models", "-rs")
    assert "2 passed" in suite(MODELS, *mark)
    said = suite(MODELS, *mark, MODELS="no")
    assert "1 passed, 1 skipped" in said
    assert "MODELS=no: tests and pages that need the real models are skipped" in said
    assert "needs the models: make models" in said
    said = suite(MODELS, *mark, MODELS="no", NO_SKIP="1")
    assert re.search(r"1 failed, 1 passed|1 passed, 1 error", said), said


def test_a_page_that_imports_the_models_is_skipped_and_no_other(tmp_path):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    for name, line in (("real", "from tinygpt.pretrained import pretrained"), ("plain", "1 + 1")):
        cells = [new_markdown_cell("# As in tinygpt.pretrained"), new_code_cell(line)]
        nbformat.write(new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--color=no", "-rs", "-v", tmp_path]
    options = ["-p", "no:anyio", "-p", "no:typeguard", "-o", "markers=models: real\nslow: long"]
    env = os.environ | {"MODELS": "no", "NO_SKIP": "0"}
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert re.search(r"real::ipynb::Cell 0 SKIPPED", done.stdout), done.stdout
    assert re.search(r"plain::ipynb::Cell 0 PASSED", done.stdout), done.stdout
    assert "needs the models: make models" in done.stdout
