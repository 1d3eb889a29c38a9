"""The built book, for the tests that read it and for those that open it in a browser."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (
    *("_config.yml", "_toc.yml", "_names.yml", "_glossary.yml", "_static", "_templates", "_extra"),
    *("chapters", "labs", "tools/page.py", "tools/foot.py", "tools/front.py", "tools/glossary.py"),
    *("records/replications.json", "records/guess.json", "records/ladder.json"),
    *("records/one-sitting/record.json", "records/story-base/record.json"),
)


def newest(paths):
    files = [f for path in paths for f in ([path] if path.is_file() else path.rglob("*"))]
    return max(f.stat().st_mtime for f in files)


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the built book: `make book`'s if it is newer than its sources, else our own."""
    sources = [ROOT / source for source in SOURCES]
    stamp = ROOT / "_build" / "built"  # `make book` sets it when a build succeeded
    if stamp.is_file() and stamp.stat().st_mtime > newest(sources):
        return ROOT / "_build" / "html"
    out = tmp_path_factory.mktemp("book")
    start = "from jupyter_book.cli.main import main; main()"
    options = ["--path-output", str(out), "-W", "-n", "--keep-going", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", start, "build", str(ROOT), *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out / "_build" / "html"
