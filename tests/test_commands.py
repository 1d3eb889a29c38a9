"""The commands that people and machines are told to run, and the pins that they install."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins():
    lines = [line.partition(" #")[0] for line in read("requirements.txt").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_a_mapping_with_jobs_that_have_steps(path):
    jobs = yaml.safe_load(read(path))["jobs"]
    assert jobs and all(job["steps"] and job["runs-on"] for job in jobs.values())


def test_every_make_target_that_is_named_somewhere_exists():
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    pages = ["README.md", ".ci/run", ".devcontainer/devcontainer.json", *WORKFLOWS]
    code = r"(?:`|run: |\"|^)make ([a-z-]+)"
    named = {name for page in pages for name in re.findall(code, read(page), re.MULTILINE)}
    assert {"book", "test", "setup"} <= named <= targets


def test_make_help_lists_every_target():
    whole_lines = read("Makefile").replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)", whole_lines, re.MULTILINE).group(1).split()
    described = re.findall(r"^([a-z-]+):.*  ## \S", read("Makefile"), re.MULTILINE)
    assert sorted(phony) == sorted(described)


def test_requirements_are_exact_pins_without_index_hash_or_cuda():
    for pin in pins():
        assert [clause.operator for clause in pin.specifier] == ["=="], pin
        assert not re.search("nvidia|cuda|triton", pin.name), f"{pin}: a CUDA build brings its own"
    assert "--" not in read("requirements.txt")


def test_requirements_pin_what_pyproject_asks_for():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    pinned = {pin.name.lower(): next(iter(pin.specifier)).version for pin in pins()}
    for line in project["dependencies"] + project["optional-dependencies"]["course"]:
        asked = Requirement(line)
        assert asked.name in pinned, f"{asked.name} is not pinned: run make pins"
        assert Version(pinned[asked.name]) in asked.specifier, f"{asked}: run make pins"
