"""Make a class: submissions to a lab, honest, mistaken, broken and hostile, named as Canvas does.

    python -m gradedesk.trial.make_class OUT lab01-ngram     write them into OUT
    python -m gradedesk.trial.make_class --list lab01-ngram  say what there is

Nobody in it is a person: each file is named after what is wrong with it. The hostile ones really
try what they say, so they belong in the sandbox and nowhere else.
"""

import argparse
import os
import sys
from pathlib import Path

from gradedesk.trial.case import Case
from gradedesk.trial.maker import Maker


def write(cases: list[Case], lab: str, out: Path) -> list[Path]:
    """Write the submissions as Canvas names them: lastfirst_<user>_<file>_<lab>.ipynb."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, case in enumerate(cases):
        path = out / f"{case.student}_{10001 + i}_{50001 + 7 * i}_{lab}.ipynb"
        path.write_bytes(case.data)
        paths.append(path)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, help="the folder to write into")
    parser.add_argument("lab", help="such as lab01-ngram")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    args = parser.parse_args()
    cases = Maker(args.lab).cases()
    if args.list or args.out is None:
        for case in cases:
            print(f"{case.student:32} {case.what}")
        return 0
    paths = write(cases, args.lab, args.out)
    print(f"{len(paths)} submissions in {os.fspath(args.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
