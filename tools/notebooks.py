"""Execute notebooks and write them in one normal form.

    python -m tools.notebooks [PATH ...]    # default: chapters/ and solutions/
    python -m tools.notebooks --check       # run nothing, list what is not normal
    MODELS=no python -m tools.notebooks     # leave out what needs the real models

A second run without changes leaves every byte as it was. Pages (everything but
`solutions/`) end in one Markdown cell tagged `ran` that says when, with what
and on which hardware the page last ran; it holds a digest of the code and the
outputs, so a page whose code was edited afterwards is seen to be stale.
"""

import argparse
import copy
import datetime
import functools
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path

import nbclient
import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("chapters", "solutions")
CELL_TIMEOUT = 600  # seconds
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
# What the book and nbgrader read; editors' own marks (folding, timing, paths) go.
CELL_METADATA = {"deletable", "editable", "mystnb", "nbgrader", "ran", "tags"}
# The first cell of every notebook. The book leaves it out; elsewhere than on Colab it does nothing.
COLAB = """\
# On Google Colab: bring the course, and keep the PyTorch that is there.
import importlib.util
import sys

if "google.colab" in sys.modules and not importlib.util.find_spec("tinygpt"):
    run = get_ipython().system
    url = "https://github.com/storyland-course/storyland-course"
    run(f"git clone -q --depth 1 {url} course")
    run("pip list --format freeze | grep -E '^(torch|numpy)==' > kept.txt")
    run("pip install -q -c kept.txt -e course")
    sys.path.insert(0, "course")"""


class NotebookError(Exception):
    """What is wrong with which notebook, in one line a person can act on."""


def find(paths):
    """The notebooks at or under `paths`; without `paths`, all of the course's.

    Sorted, but a folder's index comes after its chapters: it shows what they record.
    """
    paths = [Path(path).resolve() for path in paths]
    for path in paths:
        if not path.exists():
            raise NotebookError(f"{shown(path)} does not exist")
        if path.is_file() and path.suffix != ".ipynb":
            raise NotebookError(f"{shown(path)} is not a notebook (.ipynb)")
    found = set()
    for path in paths or [ROOT / folder for folder in FOLDERS]:
        found.update([path] if path.is_file() else path.rglob("*.ipynb"))
    pages = [path for path in found if ".ipynb_checkpoints" not in path.parts]
    return sorted(pages, key=lambda path: (path.parent, path.stem == "index", path.name))


def shown(path):
    """`path` as a person would type it: relative to the repository where it is inside."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def read(path):
    """The notebook stored at `path`, as it is."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        notebook = json.loads(text)
        version = notebook.get("nbformat") if isinstance(notebook, dict) else None
        if version != 4:
            raise nbformat.ValidationError(f"its format is {version}, not 4")
        # As 4.4, which asks for no cell ids: normalise makes those that are missing.
        nbformat.validate(notebook | {"nbformat_minor": 4}, relax_add_props=True)
    except (ValueError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0][:100]
        raise NotebookError(f"{shown(path)} cannot be read as a notebook: {reason}") from None
    return nbformat.v4.reads(text)


def normalise(notebook):
    """Fix in place the metadata, cell ids and stray newlines; return `notebook`."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    limits = {key: value for key, value in notebook.metadata.items() if key == "gradedesk"}
    notebook.metadata = nbformat.from_dict(METADATA | limits)
    taken = set()
    for cell in notebook.cells:
        cell.source = cell.source.strip("\n")
        kept = {key: value for key, value in cell.metadata.items() if key in CELL_METADATA}
        cell.metadata = nbformat.from_dict(kept)
        # An id is kept where it can be; a made one depends on the text alone.
        name = cell.get("id", "")
        base, extra = hashlib.sha256(cell.source.encode()).hexdigest()[:8], 2
        if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):
            name = base
        while name in taken:
            name, extra = f"{base}-{extra}", extra + 1
        cell.id = name
        taken.add(name)
        for output in cell.get("outputs", []):
            if "execution_count" in output:
                output.execution_count = cell.execution_count
    return notebook


def serialise(notebook):
    """The text of `notebook` as it is stored: indent 1, UTF-8, one newline at the end."""
    return nbformat.v4.writes(notebook).rstrip("\n") + "\n"


@functools.cache
def needs_models(path):
    """Whether a cell of the notebook at `path` imports `tinygpt.pretrained`."""
    code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    return bool(re.search(r"^ *(from|import) tinygpt\.pretrained\b", code, re.MULTILINE))


def tags(cell):
    return cell.metadata.get("tags", [])


def digest(notebook):
    """SHA-256 of the code and of every output that a second run must repeat."""
    parts = [
        [cell.source, [] if "nbval-ignore-output" in tags(cell) else cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def colab_cell():
    """What brings the course to Google Colab, as the first cell of a notebook."""
    cell = nbformat.v4.new_code_cell(COLAB, metadata={"tags": ["remove-cell"]})
    cell.id = "colab"
    return cell


def has_ran_cell(path):
    """Pages of the book say when they ran; labs are made from solutions/, which do not."""
    return "solutions" not in Path(path).resolve().parts


def ran_cell(notebook, seconds):
    from tinygpt.records import machine  # imports torch, which --check does not need

    day = datetime.date.today()
    cell = nbformat.v4.new_markdown_cell(
        f"<small>Last run on {day.day} {day:%B %Y} in {seconds:.0f} s of processor time, "
        f"with {machine()}.</small>",
        metadata={"tags": ["ran"], "ran": {"sha256": digest(notebook)}},
    )
    cell.id = "ran"
    return cell


def execute(notebook, path, **env):
    """Run every cell of `notebook` in a fresh kernel, in the notebook's own folder.

    `env` is added to the kernel's environment.
    """
    started = []  # the cells begun, by their place in the file
    client = nbclient.NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"],
        on_cell_execute=lambda cell, cell_index: started.append(cell_index),
    )
    try:
        client.execute(env=os.environ | env)
    except CellExecutionError as error:
        problem = f"{error.ename}: {error.evalue}".splitlines()[0]
    except CellTimeoutError:
        problem = f"took longer than {CELL_TIMEOUT} s"
    except DeadKernelError:
        problem = "the kernel died (out of memory?)"
    else:
        return
    # Cells are numbered as they stand in the file, from 1, Markdown included.
    raise NotebookError(f"{shown(path)}, cell {started[-1] + 1}: {problem}")


def run(path):
    """Execute and normalise the notebook at `path`; return (processor seconds, changed)."""
    path = Path(path).resolve()
    before = path.read_bytes()
    old = normalise(read(path))
    stored = [cell for cell in old.cells if "ran" in tags(cell)]
    old.cells = [cell for cell in old.cells if "ran" not in tags(cell)]
    new = copy.deepcopy(old)
    if path.is_relative_to(ROOT):
        new.cells = [colab_cell(), *(cell for cell in new.cells if cell.id != "colab")]
    start = processor_seconds()
    # ladder.rung stores a result only when this is set; everywhere else it compares.
    execute(new, path, TINYGPT_RECORD="1")
    seconds = processor_seconds() - start
    # Outputs that may differ (tagged nbval-ignore-output) are renewed only with the rest.
    same = digest(new) == digest(old) and counts(new) == counts(old)
    result = old if same else normalise(new)
    if has_ran_cell(path):
        current = [cell for cell in stored if cell.metadata.get("ran") == {"sha256": digest(old)}]
        result.cells += current[:1] if same and current else [ran_cell(result, seconds)]
    text = serialise(result).encode()
    if text != before:
        draft = path.with_suffix(".ipynb.new")
        draft.write_bytes(text)
        os.replace(draft, path)
    return seconds, text != before


def processor_seconds():
    """Of this process's children that have ended, all cores together: a busy machine adds nothing.

    Windows does not count it; there it is the clock.
    """
    used = os.times()
    return time.perf_counter() if os.name == "nt" else used.children_user + used.children_system


def counts(notebook):
    return [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]


def problems(path):
    """What keeps the notebook at `path` from its normal form, a line each; runs nothing."""
    text = Path(path).read_bytes()
    notebook = read(path)
    found = []
    if counts(notebook) != list(range(1, len(counts(notebook)) + 1)):
        found.append("its cells were not all run once in order, in a fresh kernel")
    ran = [cell for cell in notebook.cells if "ran" in tags(cell)]
    if not has_ran_cell(path):
        if ran:
            found.append("a solution has no cell tagged `ran`")
    elif len(ran) != 1 or notebook.cells[-1] is not ran[0]:
        found.append("it must end in its only cell tagged `ran`")
    elif ran[0].metadata.get("ran") != {"sha256": digest(notebook)}:
        found.append("its code or outputs were edited after it last ran")
    if serialise(normalise(notebook)).encode() != text:
        found.append("its metadata, cell ids or layout are not normal")
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description="Execute notebooks and normalise them.")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="notebooks or folders")
    parser.add_argument("--check", action="store_true", help="run nothing; list what is not normal")
    args = parser.parse_args(argv)
    try:
        paths = find(args.paths)
    except NotebookError as error:
        sys.exit(str(error))
    failures = 0
    for number, path in enumerate(paths, 1):
        if not args.check:
            print(f"[{number}/{len(paths)}] {shown(path)} ", end="", flush=True)
        try:
            if args.check:
                for problem in problems(path):
                    raise NotebookError(f"{shown(path)}: {problem}; run `make notebooks`")
            elif os.environ.get("MODELS") == "no" and needs_models(path):
                print("left out: it needs the models (make models)")
            else:
                seconds, changed = run(path)
                print(f"{seconds:.0f} s, {'changed' if changed else 'unchanged'}")
        except NotebookError as error:
            failures += 1
            print(error if args.check else f"failed\n{error}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
