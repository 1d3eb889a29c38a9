"""Run notebooks as lesser processors would, and name each cell whose output moves.

    python -m tools.portable [PATH ...]     # default: chapters/ and solutions/
    python -m tools.portable --only sse2    # one of the settings

Sums come out otherwise in the last digits where a processor has other instructions or more
threads. A page must print nothing that shows it: what nbval compares is compared here. Nothing is
stored. Processors other than x86 can only be given other numbers of threads.
"""

import argparse
import copy
import difflib
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from tqdm import tqdm

from tools.notebooks import NotebookError, execute, find, read, shown, tags

COMPARED = "text/plain", "text/html", "text/latex", "text/markdown"
PICTURES = {"image/png", "image/svg+xml"}
SHOWN = 4  # lines of a difference


def numpy_without(*kept):
    """What numpy is told to leave: every group of instructions it found here but for `kept`."""
    found = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    return " ".join(name for name in found if name not in kept)


SETTINGS = {
    "as it is, 1 thread": {"OMP_NUM_THREADS": "1"},
    "as it is, 2 threads": {"OMP_NUM_THREADS": "2"},
    "avx2, 2 threads": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": numpy_without("X86_V3", "AVX2", "FMA3"),
        "OMP_NUM_THREADS": "2",
    },
    "sse2, 1 thread": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "NPY_DISABLE_CPU_FEATURES": numpy_without(),
        "OMP_NUM_THREADS": "1",
    },
}


def printed(cell):
    """The outputs of a cell that are compared, as lines of text."""
    lines = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts = [output.get("text", "")] + [data[kind] for kind in COMPARED if kind in data]
        if PICTURES & set(data):
            texts = []  # nor its size, which stands beside it as text
        lines += [line for text in texts for line in text.splitlines()]
        lines += [f"{output[key]}" for key in ("ename", "evalue") if key in output]
    return lines


def comparable(old, new):
    """Whether a cell is compared at all; one that failed where it should not is named already."""
    failed = any(output.output_type == "error" for output in new.outputs)
    named = failed and "raises-exception" not in tags(old)
    return "nbval-ignore-output" not in tags(old) and not named


def moved(path, setting):
    """One line for each cell of a notebook that prints something else under a setting."""
    stored = read(path)
    fresh = copy.deepcopy(stored)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    found = []
    try:
        execute(fresh, path, **SETTINGS[setting])
    except NotebookError as error:
        found = [f"{error} ({setting})"]
    for number, (old, new) in enumerate(zip(stored.cells, fresh.cells, strict=True), 1):
        if new.get("execution_count") and comparable(old, new) and printed(old) != printed(new):
            lines = difflib.unified_diff(printed(old), printed(new), n=0, lineterm="")
            lines = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
            first = f"{shown(path)}, cell {number} ({setting}):"
            found.append("\n    ".join([first, *lines[:SHOWN]]))
    return found


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tools.portable",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="notebooks or folders")
    parser.add_argument("--only", metavar="WORD", default="", help=f"of: {', '.join(SETTINGS)}")
    parser.add_argument("--jobs", type=int, default=2, help="side by side (default 2)")
    arguments = parser.parse_args()
    settings = [name for name in SETTINGS if arguments.only in name]
    if not settings:
        sys.exit(f"No setting has {arguments.only!r} in its name: {', '.join(SETTINGS)}.")
    try:
        pages = find(arguments.paths)
    except NotebookError as error:
        sys.exit(str(error))
    os.environ.pop("TINYGPT_RECORD", None)
    found = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(moved, page, setting) for setting in settings for page in pages]
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="notebook", smoothing=0):
            for line in job.result():
                found.append(line)
                tqdm.write(line)
    print(f"{len(pages)} notebooks, {len(settings)} settings: {len(found)} cells moved.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
