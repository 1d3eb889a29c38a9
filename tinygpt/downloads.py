"""Files from the network, whole or not there: size and SHA-256 are checked at each use.

Downloads use ``requests``: it streams, follows redirects and obeys proxy settings, and a download
that was cut can go on where it stopped, which helpers that verify and cache (``pooch``) do not do.
They go to a ``.part`` file, which gets the final name once its size and SHA-256 are right, so a
file under its final name is whole. A connection that is cut leaves the ``.part`` for the next
attempt; a wrong hash, a wrong size or a full disk removes it.
"""

import errno
import hashlib
import os
import re
import warnings
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from tinygpt.errors import PlainError

CHUNK = 1 << 16  # bytes read at a time
TIMEOUT = 20  # seconds without an answer, or without a byte
TRIES = 5  # requests in one call before a connection that keeps breaking is given up


class DownloadError(PlainError):
    """A file cannot be had. The message is one line: what, where, what to do."""


@dataclass(frozen=True)
class Download:
    """A file with one right content: address, size in bytes, SHA-256 in hexadecimal."""

    url: str
    size: int
    sha256: str


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Where downloads, models and texts as token ids are kept: `cache_dir`, else the folder that
    the environment variable TINYGPT_CACHE names, else the platform's cache folder for tinygpt."""
    named = cache_dir or os.environ.get("TINYGPT_CACHE")
    if not named:
        import platformdirs  # a machine that is lent for an hour may lack it, and name a folder

        named = platformdirs.user_cache_dir("tinygpt")
    return Path(named).expanduser()


def bring(name: str, remote: Download, path: Path, instead: str = "") -> None:
    """See that `path` holds the file described, by the network only if it is not there yet.

    `instead` ends the advice where there is no network: what does without one. Raises
    DownloadError.
    """
    folder = path.parent
    try:
        if fault(path, remote):
            from filelock import FileLock  # only who downloads needs it

            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{path.stem}.lock"):
                wrong = fault(path, remote)  # another process may have brought it meanwhile
                if wrong and path.exists():
                    warnings.warn(
                        f"{path} is damaged ({wrong}); downloading it again.", stacklevel=3
                    )
                if wrong:
                    _download(name, remote, path, instead)
    except OSError as error:  # of the disk: those of the network have become DownloadErrors
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _part(path).unlink(missing_ok=True)
            raise DownloadError(
                f"{name}: the disk is full; {folder} needs "
                f"{remote.size / 1e6:.1f} MB. Free some, or set TINYGPT_CACHE to "
                "a folder elsewhere."
            ) from None
        raise DownloadError(
            f"{name}: the cache folder {folder} cannot be used "
            f"({error.strerror or error}); set TINYGPT_CACHE to a folder you can "
            "write to."
        ) from None


def _part(path: Path) -> Path:
    return path.with_suffix(".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def fault(path: Path, remote: Download) -> str:
    """What is wrong with the file at `path`, or "" if it is the one described."""
    if not path.exists():
        return "it is not there"
    if _size(path) != remote.size:
        return f"{_size(path):,} bytes where {remote.size:,} were expected"
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if found == remote.sha256 else f"SHA-256 {found} where {remote.sha256} was expected"


def _download(name: str, remote: Download, path: Path, instead: str) -> None:
    """Bring a file to `path`, going on from its ``.part`` if there is one.

    No If-Range is sent: a file that changed on the server could not have the SHA-256 we want.
    """
    part = _part(path)
    resumed = part.exists()
    for _ in range(TRIES):
        if _size(part) < remote.size:
            _request(name, remote, path, instead)
    if _size(part) < remote.size:
        raise DownloadError(
            f"{name}: the connection to {urlsplit(remote.url).hostname} keeps "
            f"breaking ({_size(part):,} of {remote.size:,} bytes are here). "
            "Run this again: it goes on from there."
        )
    wrong = fault(part, remote)
    if not wrong:
        os.replace(part, path)
        return
    part.unlink()
    if not resumed:
        raise DownloadError(
            f"{name}: {remote.url} sent a wrong file ({wrong}); it was removed. Run "
            "this again; if it stays so, something on the way changes the file."
        )
    _download(name, remote, path, instead)  # the old part may be to blame: once more, from nothing


def _request(name: str, remote: Download, path: Path, instead: str) -> None:
    """Append to the part what one request brings; a connection that breaks off is no error here."""
    import requests  # only who downloads needs it

    part = _part(path)
    done = _size(part)
    host = urlsplit(remote.url).hostname
    headers = {"Accept-Encoding": "identity"}  # sizes and ranges are those of the file itself
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        response = requests.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.Timeout:
        raise DownloadError(
            f"{name}: {host} did not answer within {TIMEOUT} seconds. Try again later{instead}."
        ) from None
    except requests.exceptions.SSLError:
        raise DownloadError(
            f"{name}: the certificate of {host} could not be verified; is there a "
            "proxy or a log-in page between you and the network?"
        ) from None
    except requests.RequestException:
        raise DownloadError(
            f"{name}: no connection to {host}. Go online and run this again, or "
            f"save {remote.url} as {path}{instead}."
        ) from None
    with response:
        rest = re.fullmatch(rf"bytes {done}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code == HTTPStatus.OK:  # the whole file, asked for or not
            start, announced = 0, int(response.headers.get("Content-Length", remote.size))
        elif done and response.status_code == HTTPStatus.PARTIAL_CONTENT and rest:
            start, announced = done, int(rest[1])
        elif done and response.status_code in (
            HTTPStatus.PARTIAL_CONTENT,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        ):
            part.unlink()  # this server cannot go on from here: the next request starts anew
            return
        else:
            raise DownloadError(
                f"{name}: {remote.url} answered {response.status_code} "
                f"{response.reason}. Try again later{instead}."
            )
        if announced != remote.size:
            part.unlink(missing_ok=True)
            raise DownloadError(
                f"{name}: {remote.url} has {announced:,} bytes where {remote.size:,} "
                "were expected; nothing was kept. It is not the file we know."
            )
        with (
            open(part, "ab" if start else "wb") as file,
            tqdm(desc=name, total=remote.size, initial=start, unit="B", unit_scale=True) as bar,
        ):
            try:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if file.tell() > remote.size:
                        break
            except requests.RequestException:
                pass  # the size of the part says how far we came
            file.flush()
            os.fsync(file.fileno())
