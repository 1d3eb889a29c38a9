"""Make labs/ (what a student gets) from solutions/ (what we write), by nbgrader.

    python tools/labs.py             make every lab
    python tools/labs.py --out DIR   make them in another folder

Solutions, hidden tests and outputs are left out by nbgrader's own generate_assignment. A second
run writes the same bytes.
"""

import argparse
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


def generate(out: Path = ROOT / "labs", root: Path = ROOT) -> Iterator[str]:
    """Write every lab of `root`/solutions into `out`, and yield a line about each.

    Folders in `out` without a source are removed. No gradebook is touched.
    """
    sources = sorted(path.parent for path in (root / "solutions").glob("*/*.ipynb"))
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        if old.is_dir() and not (root / "solutions" / old.name).is_dir():
            shutil.rmtree(old)
    for source in sources:
        with tempfile.TemporaryDirectory() as temp:
            _convert(source.name, root, Path(temp))
            made = Path(temp) / "release" / source.name
            points = sum(_tidy(path) for path in sorted(made.glob("*.ipynb")))
            shutil.rmtree(out / source.name, ignore_errors=True)
            shutil.copytree(made, out / source.name)
        yield f"{out.name}/{source.name}: {points} points"


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
    except NbGraderException as error:
        print(f"The labs were not made: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
