"""What a student gets of a lab: one archive that runs on its own.

It holds the lab from labs/, the modules of this course that the lab imports, the files of the
course that its metadata names, a requirements.txt with the pins it needs, and a README.txt of three
lines.
"""

import importlib.metadata
import io
import json
import re
import sys
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gradedesk.imports import imports
from gradedesk.names import DeskError, write_whole

TOOLS = ("jupyterlab", "nbgrader")  # what opens the lab, and its Validate button
REGION = re.compile(r"### (BEGIN|END) (SOLUTION|HIDDEN TESTS)")
README = """\
1. Unpack the archive and open a terminal in its folder {lab} (Python 3.11, 3.12 or 3.13).
2. Run: python -m pip install -r requirements.txt    and then: python -m jupyterlab {lab}.ipynb
3. Write your answers, save, and hand in the one file {lab}.ipynb under that name.
"""


def release(lab: str, out: Path, root: Path, force: bool = False) -> Path:
    """Write the student archive out/<lab>.zip from root/labs/<lab> and return its path.

    The same lab gives the same bytes. Raises DeskError where the lab does not exist or shows what
    students must not see, and where the archive exists already (`force` overwrites it).
    """
    folder = _lab_folder(lab, root)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
    _check_nothing_shows(lab, files, root)
    taken = set(files)
    modules, packages = _needs(folder / f"{lab}.ipynb", root)
    modules += _brought(folder / f"{lab}.ipynb", root)
    files |= {path.relative_to(root).as_posix(): path.read_bytes() for path in modules}
    files["requirements.txt"] = _pins(packages | set(TOOLS), root).encode()
    files["README.txt"] = README.format(lab=lab).encode()
    if clash := {"requirements.txt", "README.txt"} & taken:
        raise DeskError(f"labs/{lab}/{min(clash)} has a name that release needs: rename it.")
    path = out / f"{lab}.zip"
    write_whole(path, _archive(lab, files), force, mode=0o644)
    return path


def _lab_folder(lab: str, root: Path) -> Path:
    labs = sorted(path.parent.name for path in (root / "labs").glob("*/*.ipynb"))
    if lab not in labs or not (root / "labs" / lab / f"{lab}.ipynb").is_file():
        there = ", ".join(labs) or "none; make labs makes them"
        raise DeskError(f"There is no labs/{lab}/{lab}.ipynb. The labs here: {there}.")
    return root / "labs" / lab


def _files(folder: Path) -> list[Path]:
    """The files of a folder, without what editors and Python leave behind."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix == ".pyc":
            continue
        if path.is_symlink():
            raise DeskError(f"{path} is a symbolic link: put the file itself there.")
        found += _files(path) if path.is_dir() else [path]
    return found


# --- Nothing that students must not see ----------------------------------------------------------


def secrets(lab: str, root: Path) -> set[str]:
    """The lines of a lab's solutions, hidden tests and model answers that stand nowhere else."""
    source = root / "solutions" / lab / f"{lab}.ipynb"
    if not source.is_file():
        return set()
    hidden, public = set(), set()
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        inside = cell["cell_type"] == "markdown" and mark.get("grade") and mark.get("solution")
        for line in "".join(cell["source"]).splitlines():
            if region := REGION.search(line):
                inside = region[1] == "BEGIN"
            else:
                (hidden if inside else public).add(line.strip())
    return {line for line in hidden - public if len(line) > 8}


def _check_nothing_shows(lab: str, files: dict[str, bytes], root: Path) -> None:
    hidden = secrets(lab, root)
    for name, data in files.items():
        text = data.decode("utf-8", "replace")
        lines = set(map(str.strip, text.splitlines()))
        if name.endswith(".ipynb"):
            for cell in json.loads(text)["cells"]:
                lines |= set(map(str.strip, "".join(cell["source"]).splitlines()))
        if REGION.search(text) or not hidden.isdisjoint(lines) or name == "mistakes.py":
            raise DeskError(
                f"labs/{lab}/{name} shows a solution or a hidden test: make labs/ anew with "
                "`make labs`, then release again."
            )


# --- What the lab needs to run -------------------------------------------------------------------


def _needs(notebook: Path, root: Path) -> tuple[list[Path], set[str]]:
    """The files of this course's own packages that a notebook imports, and the other packages."""
    files, packages, seen = [], set(), set()
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    waiting = [name for source in code for name in _imported(source)]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        top, _, rest = name.partition(".")
        if not (root / top / "__init__.py").is_file():
            if top not in sys.stdlib_module_names and not (notebook.parent / f"{top}.py").exists():
                packages.add(top)
            continue
        if rest:
            waiting.append(name.rpartition(".")[0])
        path = root.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not path.is_file():
            continue  # `from package import function`: no module of that name
        files.append(path)
        # What a package imports inside a function of its __init__ it can be imported without.
        lazy = path.name != "__init__.py"
        waiting += _imported(path.read_text(encoding="utf-8"), lazy, name)
        if path.name == "__init__.py":
            files += [data for data in _files(path.parent) if data.suffix != ".py"]
    return sorted(files), packages


def _brought(notebook: Path, root: Path) -> list[Path]:
    """The files of the course that the notebook's metadata.gradedesk.brings names: a file, or a
    folder with all that is in it, such as a recorded model."""
    about = json.loads(notebook.read_text(encoding="utf-8")).get("metadata", {})
    found = []
    for name in about.get("gradedesk", {}).get("brings", []):
        parts = Path(name).parts
        path = root.joinpath(*parts)
        if ".." in parts or Path(name).is_absolute() or parts[:1] == ("solutions",):
            raise DeskError(
                f"{notebook.name} brings {name}: name a file or a folder of the course."
            )
        if not path.exists():
            raise DeskError(f"{notebook.name} brings {name}, which does not exist.")
        found += _files(path) if path.is_dir() else [path]
    return found


def _imported(source: str, lazy: bool = True, package: str = "") -> list[str]:
    """Dotted names that the source may import; `from a import b` gives a and a.b."""
    found = []
    for module, names in imports(source, lazy):
        if module.startswith("."):
            raise DeskError(f"{package} has a relative import: write its full name.")
        found += [module, *(f"{module}.{name}" for name in names)]
    return found


def _pins(packages: set[str], root: Path) -> str:
    """The lines of requirements.txt that pin the packages, given by the names they import by."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.partition(" #")[0].strip() for line in lines]
    pins = {}
    for line in filter(None, (line for line in lines if not line.startswith("#"))):
        pins.setdefault(canonicalize_name(Requirement(line).name), []).append(line)
    chosen = []
    for package in packages:
        # Most are installed under the name they are imported by; the environment knows the others.
        names = [package]
        if canonicalize_name(package) not in pins:
            names = importlib.metadata.packages_distributions().get(package, [])
        found = [line for name in names for line in pins.get(canonicalize_name(name), [])]
        if not found:
            raise DeskError(f"The lab imports {package}, which requirements.txt does not pin.")
        chosen += found
    return "".join(f"{line}\n" for line in sorted(set(chosen)))


def _archive(lab: str, files: dict[str, bytes]) -> bytes:
    """A ZIP archive with the files in the folder <lab>, the same bytes on every machine.

    Its files are stored as they are: compressed ones differ from one zlib to the next.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{lab}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, so that the permissions below are read
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()
