"""What a student gets of a lab: what it needs to run, and nothing that it should not show."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gradedesk.names import DeskError
from gradedesk.release import release, secrets

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(path.stem for path in (ROOT / "labs").glob("*/*.ipynb"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    out = tmp_path_factory.mktemp("handout")
    return {lab: release(lab, out, ROOT) for lab in LABS}


def read(path):
    """Each file of an archive, by its name in the lab's folder."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {
            name.removeprefix(path.stem + "/"): archive.read(name) for name in archive.namelist()
        }


def code(data):
    cells = json.loads(data)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture
def course(tmp_path):
    """A small course of one lab that imports a package of the course's own."""
    files = {
        "requirements.txt": "jupyterlab==4.0.0\nnbgrader==0.9.6\nnumpy==2.0.0\n"
        "PyYAML==6.0  # via x\ntorch==2.13.0\n",
        "own/__init__.py": "def heavy():\n    import torch\n",
        "own/part.py": "import numpy\nimport own.deeper\n",
        "own/deeper.py": "import json\n",
        "own/unused.py": "import torch\n",
        "own/words.txt": "a b\n",
        "labs/lab09-tiny/data/story.txt": "Once.\n",
        "labs/lab09-tiny/.ipynb_checkpoints/old.ipynb": "{}",
    }
    for name, text in files.items():
        path = tmp_path / "course" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    root = tmp_path / "course"
    write_lab(root / "labs", "from own import part\nimport yaml")
    write_lab(root / "solutions", "### BEGIN SOLUTION\nreturn sum(known) / 2\n### END SOLUTION")
    return root


def write_lab(folder, *sources, **about):
    path = folder / "lab09-tiny" / "lab09-tiny.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"cell_type": "code", "metadata": {}, "source": [source]} for source in sources]
    notebook = {"cells": cells, "metadata": {"gradedesk": about}}
    path.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.mark.parametrize("lab", LABS)
def test_no_line_of_a_solution_or_hidden_test_is_in_the_archive(archives, lab):
    imported = re.compile(r"import |from \S+ import ")  # which is no secret
    hidden = {line for line in secrets(lab, ROOT) if not imported.match(line)}
    assert len(hidden) > 50
    for name, data in read(archives[lab]).items():
        text = data.decode("utf-8", "replace")  # weights are no text
        lines = "\n".join(code(text)) if name.endswith(".ipynb") else text
        seen = hidden & {line.strip() for line in lines.splitlines()}
        assert not re.search("BEGIN SOLUTION|BEGIN HIDDEN|MISTAKES", text), name
        # The course's own modules may have one plain line in common with it, like `return words`.
        own = name.startswith(("gradedesk/", "storyland/", "tinygpt/"))
        assert len(seen) <= (1 if own else 0), (name, seen)
    assert f"{lab}.ipynb" in read(archives[lab])


@pytest.mark.parametrize("lab", LABS)
def test_the_archive_holds_the_lab_as_it_is_in_labs(archives, lab):
    assert (
        read(archives[lab])[f"{lab}.ipynb"] == (ROOT / "labs" / lab / f"{lab}.ipynb").read_bytes()
    )


@pytest.mark.parametrize("lab", LABS)
def test_what_the_lab_imports_can_be_imported_beside_it_alone(archives, lab, tmp_path):
    with zipfile.ZipFile(archives[lab]) as archive:
        archive.extractall(tmp_path)
    imports = {
        match
        for source in code((tmp_path / lab / f"{lab}.ipynb").read_bytes())
        for match in re.findall(r"^(?:import|from) .*", source, re.MULTILINE)
    }
    own = sorted(line for line in imports if re.search("storyland|tinygpt", line))
    assert own
    # -P and -I would leave out the folder, which is where a notebook's kernel starts.
    loaded = "[m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in OURS]"
    ours = "OURS = 'storyland', 'tinygpt'"
    script = "\n".join([*own, "import sys", ours, f"print(*{loaded}, sep='\\n')"])
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / lab, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.splitlines()]
    assert files and all(file.is_relative_to(tmp_path / lab) for file in files)


@pytest.mark.parametrize("lab", LABS)
def test_the_records_that_a_lab_loads_can_be_loaded_beside_it_alone(archives, lab, tmp_path):
    loaded = re.findall(r"\brecords\.", "\n".join(code(read(archives[lab])[f"{lab}.ipynb"])))
    brought = {name for name in read(archives[lab]) if name.startswith("records/")}
    assert bool(loaded) is bool(brought)
    with zipfile.ZipFile(archives[lab]) as archive:
        archive.extractall(tmp_path)
    names = sorted({Path(name).parent.name for name in brought})
    script = f"from tinygpt import records\nfor name in {names}:\n    records.load(name)"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    if names:
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path / lab, env=env, check=True)


@pytest.mark.parametrize("lab", LABS)
def test_requirements_are_a_few_lines_of_the_courses_own_pins(archives, lab):
    lines = read(archives[lab])["requirements.txt"].decode().splitlines()
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = [line.partition(" #")[0].strip() for line in text.splitlines()]
    assert set(lines) <= set(pins)
    wanted = {Requirement(line).name for line in lines}
    assert {"jupyterlab", "nbgrader"} <= wanted and len(wanted) < 12


def test_imports_are_followed_through_the_courses_packages_and_no_further(course, tmp_path):
    files = read(release("lab09-tiny", tmp_path / "out", course))
    assert sorted(files) == [
        "README.txt",
        "data/story.txt",
        "lab09-tiny.ipynb",
        "own/__init__.py",
        "own/deeper.py",
        "own/part.py",
        "own/words.txt",
        "requirements.txt",
    ]
    pins = files["requirements.txt"].decode().splitlines()
    assert pins == ["PyYAML==6.0", "jupyterlab==4.0.0", "nbgrader==0.9.6", "numpy==2.0.0"]


def test_three_lines_say_how_to_start(archives):
    text = read(archives[LABS[0]])["README.txt"].decode()
    assert len(text.splitlines()) == 3
    assert "-m pip install -r requirements.txt" in text and f"{LABS[0]}.ipynb" in text


def test_the_same_lab_gives_the_same_bytes(archives, tmp_path):
    lab = LABS[0]
    again = release(lab, tmp_path, ROOT)
    assert again.name == f"{lab}.zip"
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in (again, archives[lab])}
    assert len(digests) == 1


def test_an_archive_that_exists_is_overwritten_with_force_only(course, tmp_path):
    path = release("lab09-tiny", tmp_path, course)
    path.write_bytes(b"mine")
    with pytest.raises(DeskError, match="exists already.*--force"):
        release("lab09-tiny", tmp_path, course)
    assert path.read_bytes() == b"mine"
    assert zipfile.is_zipfile(release("lab09-tiny", tmp_path, course, force=True))


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n    return sum(known) / 2",
        "### BEGIN SOLUTION\npass\n### END SOLUTION",
        "### BEGIN HIDDEN TESTS\npass\n### END HIDDEN TESTS",
    ],
)
def test_a_lab_that_shows_a_solution_is_not_released(course, tmp_path, source):
    write_lab(course / "labs", source)
    with pytest.raises(DeskError, match="shows a solution or a hidden test"):
        release("lab09-tiny", tmp_path, course)
    assert not list(tmp_path.glob("*.zip"))


def test_a_mistakes_file_is_not_released(course, tmp_path):
    (course / "labs/lab09-tiny/mistakes.py").write_text("MISTAKES = []\n", encoding="utf-8")
    with pytest.raises(DeskError, match="mistakes.py shows"):
        release("lab09-tiny", tmp_path, course)


@pytest.mark.parametrize("lab", ["lab99", "../labs/lab09-tiny", "", "."])
def test_a_lab_that_is_not_there_is_one_line_that_names_those_there(course, tmp_path, lab):
    with pytest.raises(DeskError, match="The labs here: lab09-tiny"):
        release(lab, tmp_path, course)


def test_an_import_without_a_pin_is_one_line(course, tmp_path):
    write_lab(course / "labs", "import nowhere_to_be_found")
    with pytest.raises(DeskError, match="imports nowhere_to_be_found, which requirements.txt"):
        release("lab09-tiny", tmp_path, course)


def test_files_of_the_course_that_a_lab_brings_lie_beside_it(course, tmp_path):
    for name in ("records/one/weights", "records/one/record.json", "records/two.json", "more.txt"):
        path = course / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\x00")
    write_lab(course / "labs", "x = 1", brings=["records/one", "more.txt"])
    files = read(release("lab09-tiny", tmp_path, course))
    assert {name for name in files if name.startswith(("records", "more"))} == {
        "records/one/weights", "records/one/record.json", "more.txt"
    }  # fmt: skip
    assert files["more.txt"] == b"\xff\x00"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("records/none", "does not exist"),
        ("../course/requirements.txt", "name a file or a folder of the course"),
        ("/etc/hostname", "name a file or a folder of the course"),
        ("solutions/lab09-tiny", "name a file or a folder of the course"),
        ("./solutions", "name a file or a folder of the course"),
    ],
)
def test_what_a_lab_brings_is_of_the_course_and_no_solution(course, tmp_path, name, why):
    write_lab(course / "labs", "x = 1", brings=[name])
    with pytest.raises(DeskError, match=f"lab09-tiny.ipynb brings {re.escape(name)}.*{why}"):
        release("lab09-tiny", tmp_path, course)


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX's")
def test_a_link_in_a_lab_is_not_followed(course, tmp_path):
    (course / "labs/lab09-tiny/data/link.txt").symlink_to(course / "requirements.txt")
    with pytest.raises(DeskError, match="symbolic link"):
        release("lab09-tiny", tmp_path, course)


def test_a_course_without_solutions_can_release(course, tmp_path):
    shutil.rmtree(course / "solutions")
    assert release("lab09-tiny", tmp_path, course).is_file()
