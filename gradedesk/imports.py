"""What the cells of a lab import, and where the course's own packages lie."""

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from gradedesk.lab import UNPARSED, Lab


def own_packages(lab: Lab) -> list[Path]:
    """The folders of the course's own packages that a lab imports, and of those that they import.

    They lie beside solutions/ and not where packages are installed, so the sandbox is told.
    """
    sources = [cell.source for cell in lab if cell.kind in ("setup", "answer")]
    found: dict[str, Path | None] = {}
    while sources:
        names = {name.split(".")[0] for name in imported(sources.pop())}
        for name in names - set(found):
            found[name] = _own(name)
            if found[name]:
                sources += [path.read_text(encoding="utf-8") for path in found[name].rglob("*.py")]
    return [folder for folder in found.values() if folder]


def _own(name: str) -> Path | None:
    """The folder of a package that can be imported here, but is not installed; None for others."""
    try:
        spec = None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
    except ValueError:  # __main__
        return None
    if spec is None or not spec.origin or not spec.submodule_search_locations:
        return None
    installed = {Path(sysconfig.get_path(kind)) for kind in ("stdlib", "purelib", "platlib")}
    folder = Path(spec.origin).parent
    return None if installed & set(folder.parents) else folder


def absent(answers: dict[str, str], packages: list[Path]) -> list[str]:
    """For each answer that imports what is here, but not in a sandbox with these own packages, a
    line that says so."""
    said = []
    for grade_id, source in answers.items():
        for name in sorted({name.split(".")[0] for name in imported(source)}):
            if (folder := _own(name)) and folder not in packages:
                said.append(f"{grade_id} imports {name}, which is not there at grading.")
    return said


def imported(source: str) -> set[str]:
    """The modules that a cell or a module imports; none where it cannot be read."""
    try:
        return {module for module, _ in imports(source) if not module.startswith(".")}
    except UNPARSED:
        return set()


def imports(source: str, lazy: bool = True) -> Iterator[tuple[str, list[str]]]:
    """Each module that the source may import, and what from it; a relative one begins with a dot.

    lazy: also what is imported inside functions, when they run
    """
    tree = ast.parse(source)
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), [alias.name for alias in node.names]
