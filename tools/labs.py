"""Make labs/ (what a student gets) from solutions/ (what we write), by nbgrader.

    python -m tools.labs             make every lab
    python -m tools.labs --out DIR   make them in another folder

Solutions, hidden tests and outputs are left out by nbgrader's own generate_assignment. A second
run writes the same bytes. Somebody may have worked in labs/: what is not as it was made (the
digests stand in labs/made.json) is never replaced or removed.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config.loader import PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent


RECORD = "made.json"  # {file: SHA-256 as made}


class EditedError(Exception):
    """A file in labs/ is somebody's work; the message says which and what to do."""


def generate(out: Path = ROOT / "labs", root: Path = ROOT) -> Iterator[str]:
    """Write every lab of `root`/solutions into `out`, and yield a line about each.

    Labs without a source are removed. No gradebook is touched. Raises EditedError, with nothing
    changed, if a file in `out` is not as it was made.
    """
    sources = sorted(path.parent for path in (root / "solutions").glob("*/*.ipynb"))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp:
        lines = []
        for source in sources:
            _convert(source.name, root, Path(temp))
            made = Path(temp) / "release" / source.name
            points = sum(_tidy(path) for path in sorted(made.glob("*.ipynb")))
            lines.append(f"{out.name}/{source.name}: {points} points")
        made = _digests(Path(temp) / "release")
        _refuse_if_edited(out, made)
        for folder in out.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
        shutil.copytree(Path(temp) / "release", out, dirs_exist_ok=True)
    record = json.dumps(made, indent=1) + "\n"
    (out / RECORD).write_text(record, encoding="utf-8", newline="\n")
    yield from lines


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in the labs of a folder; editors' own copies do not count."""
    files = (path for path in sorted(folder.glob("*/**/*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if ".ipynb_checkpoints" not in path.parts and "__pycache__" not in path.parts
    }


def _refuse_if_edited(out: Path, made: dict[str, str]) -> None:
    record = json.loads((out / RECORD).read_text("utf-8")) if (out / RECORD).exists() else {}
    for name, digest in _digests(out).items():
        if digest not in (record.get(name), made.get(name)):
            raise EditedError(
                f"{out.name}/{name} is not as it was made: somebody has worked in it. "
                "Move it to another folder and run this again."
            )


def _convert(lab: str, root: Path, temp: Path) -> None:
    """Run nbgrader's generate_assignment on one lab, into temp/release."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.release_directory = str(temp / "release")
    config.GenerateAssignment.no_database = True
    config.SaveCells.enabled = False
    config.CourseDirectory.assignment_id = lab
    coursedir = CourseDirectory(config=config)
    converter = GenerateAssignment(coursedir=coursedir, config=config)
    converter.log = logging.getLogger("labs")
    converter.start()


def _tidy(path: Path) -> int:
    """Write the notebook in one fixed form on every platform; return its points."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.id == "colab":  # folded, so that a student's first sight is the title
            cell.metadata["jupyter"] = {"source_hidden": True}
    text = nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)


def main() -> int:
    """Make the labs and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "labs", help="default: labs/")
    try:
        for line in generate(parser.parse_args().out):
            print(line, flush=True)
    except (NbGraderException, EditedError) as error:
        print(f"The labs were not made: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
