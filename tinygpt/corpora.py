"""Texts to learn from: ``corpus("storyland")`` and three real ones, or a file of your own.

==================  =====================================================================
``"storyland"``     generated here, any size, no network; its exact entropy is known
``"pydocs"``        the reference prose that every Python carries, no network
``"shakespeare"``   tiny Shakespeare, 1.1 MB, downloaded once
``"tinystories"``   TinyStories' validation file, 22.5 MB, downloaded once
a path              a UTF-8 text file of yours
==================  =====================================================================

Real text is cut in file order: the first 90 % to train on, the next 5 % to validate, the last 5 %
to test. Each cut moves forward to the end of its line where that is near.

Downloads use ``requests``: it streams, follows redirects and obeys proxy settings, and a download
that was cut can go on where it stopped, which helpers that verify and cache (``pooch``) do not do.
They go to a ``.part`` file, which gets the final name once its size and SHA-256 are right, so a
file under its final name is whole. A connection that is cut leaves the ``.part`` for the next
attempt; a wrong hash, a wrong size or a full disk removes it.
"""

import codecs
import errno
import hashlib
import os
import platform
import re
import warnings
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from tinygpt import ladder

CHUNK = 1 << 16  # bytes read at a time
TIMEOUT = 20  # seconds without an answer, or without a byte
TRIES = 5  # requests in one call before a connection that keeps breaking is given up
NEAR = 1000  # characters: how far a cut may move to reach a line end
LONG = 60  # characters: a shorter paragraph may stand twice in "pydocs"


class CorpusError(Exception):
    """A text cannot be had. The message is one line: what, where, what to do."""

    def _render_traceback_(self):
        # A notebook shows this one line: the mistake is not in the code.
        return [str(self)]


@dataclass(frozen=True)
class Corpus:
    """A text in three parts that do not overlap, and where it came from."""

    name: str
    train: str
    valid: str
    test: str
    source: str

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(getattr(self, part)):,}"
                          for part in ("train", "valid", "test"))
        return f"Corpus({self.name!r}: {sizes} characters)"


@dataclass(frozen=True)
class Download:
    """A file with one right content: address, size in bytes, SHA-256 in hexadecimal."""

    url: str
    size: int
    sha256: str


DOWNLOADS = {
    # The plays are in the public domain; the selection is Karpathy's, for char-rnn (2015).
    "shakespeare": Download(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    # Eldan and Li (2023), "TinyStories: How Small Can Language Models Be and Still Speak Coherent
    # English?", arXiv:2305.07759; licence CDLA-Sharing-1.0. The address names a fixed revision.
    "tinystories": Download(
        "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/"
        "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64/TinyStoriesV2-GPT4-valid.txt",
        22_502_601,
        "6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d",
    ),
}
NAMES = ("storyland", "pydocs", *DOWNLOADS)


def corpus(name: str | Path, *, size: int | str = "1MB",
           cache_dir: str | Path | None = None) -> Corpus:
    """Return the text called `name`, or the text file at that path, in its three parts.

    - ``"storyland"``: training stories from seed 1, at least `size` characters of them (``"1MB"``
      is 1,000,000, ``"200kB"`` 200,000; an int will do); validation stories from seed 2, a
      twentieth as much; and, as the test part, the held-out stories on which all models of the
      course are compared. The other texts are as long as they are: `size` says nothing to them.
    - ``"pydocs"``: every topic of ``pydoc_data.topics`` (what ``help("while")`` prints), titles,
      grammar rules, examples and all, in the order of the topics' names. Topics quote one another
      at length, so a paragraph of 60 characters or more that has already stood is left out, or
      much of the test part would stand in the training part too; `source` says how many were.
      The text differs from one Python version to the next: print nothing that depends on it where
      outputs are compared.
    - ``"shakespeare"``: nanoGPT trains on the first 1,003,854 characters of the same file. Here the
      cut is at the next line end, 2 characters on; ``valid + test`` is the rest.
    - ``"tinystories"``: stories written by GPT-4, with a line ``<|endoftext|>`` between them. All
      three parts are cut from the data set's validation file.
    - A path: a ``Path``, or a str that exists or looks like a path. A byte-order mark is dropped.

    Line ends become ``"\\n"`` in every text that is read from a file.

    Downloads are kept in `cache_dir`, else in the folder that the environment variable
    TINYGPT_CACHE names, else in the platform's cache folder for ``tinygpt``; size and SHA-256 are
    checked at each use, and a damaged copy is downloaded again, with a warning.

    Raises CorpusError, with one line that says what to do.
    """
    if name == "storyland":
        return _storyland(_num_characters(size))
    if name == "pydocs":
        return _pydocs()
    if name in DOWNLOADS:
        text = _decode(_downloaded(name, cache_dir), name)
        return Corpus(name, *_split(text, name), source=DOWNLOADS[name].url)
    path = Path(name).expanduser()
    looks_like_path = isinstance(name, Path) or path.suffix or path.name != name
    if not (looks_like_path or path.exists()):
        raise CorpusError(f"There is no corpus {name!r}: choose {', '.join(NAMES)}, "
                          "or give the path of a text file.")
    text = _decode(_read_file(path), str(path))
    return Corpus(path.name, *_split(text, str(path)), source=str(path))


def fingerprint(name: str | Path, size: int | str = "1MB") -> str:
    """What changes whenever ``corpus(name, size=size)`` would give another text."""
    if name == "storyland":
        import storyland

        folder = Path(storyland.__file__).parent
        parts = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
        parts += [path.read_bytes() for path in sorted(folder.glob("*.txt"))]
        parts += [str(_num_characters(size)).encode()]
    elif name in DOWNLOADS:
        parts = [DOWNLOADS[name].sha256.encode()]
    else:
        found = corpus(name)
        parts = [part.encode() for part in (found.train, found.valid, found.test)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def floor(name: str | Path) -> float | None:
    """Bits a character that the best reader pays for the test part; None where nobody knows."""
    if name != "storyland":
        return None
    return next(rung["bits_per_char"] for rung in ladder.rungs() if rung["name"] == "floor")


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Where downloads, and texts as token ids, are kept: see `corpus`."""
    named = cache_dir or os.environ.get("TINYGPT_CACHE")
    if not named:
        import platformdirs  # a machine that is lent for an hour may lack it, and name a folder

        named = platformdirs.user_cache_dir("tinygpt")
    return Path(named).expanduser()


# Texts that need no network


def _storyland(num_characters: int) -> Corpus:
    import storyland

    return Corpus("storyland",
                  train=storyland.text(seed=1, size=num_characters),
                  valid=storyland.text(seed=2, size=max(1, num_characters // 20)),
                  test="".join(storyland.held_out()),
                  source="storyland: train seed 1, valid seed 2, test the held-out stories")


def _num_characters(size: int | str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMG]?)B?", str(size))
    number = int(float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]]) if match else 0
    if number < 1:
        raise CorpusError(f"The size {size!r} is not a number of characters: "
                          'write "200kB", "1MB" or 1000000.')
    return number


def _pydocs() -> Corpus:
    from pydoc_data.topics import topics

    seen: set[str] = set()
    kept, repeated = [], 0
    for topic in sorted(topics):
        for paragraph in topics[topic].strip("\n").split("\n\n"):
            if len(paragraph) >= LONG and paragraph in seen:
                repeated += 1
            else:
                seen.add(paragraph)
                kept.append(paragraph)
    source = (f"pydoc_data.topics of Python {platform.python_version()}, "
              f"without {repeated} repeated paragraphs")
    return Corpus("pydocs", *_split("\n\n".join(kept) + "\n", "pydocs"), source=source)


# From bytes to three parts


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        raise CorpusError(f"{path} is a folder: give the path of one text file.")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist: check the path (the working folder is "
                          f"{Path.cwd()}).") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror or error}).") from None


def _decode(data: bytes, where: str) -> str:
    """The text of UTF-8 bytes, without a byte-order mark and with every line ended by a newline."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorpusError(f"{where} is UTF-16, not UTF-8: save it as UTF-8.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{where} is not UTF-8: the byte at offset {error.start} (line {line}) "
                          f"is 0x{data[error.start]:02x}; save the file as UTF-8.") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _split(text: str, where: str) -> tuple[str, str, str]:
    """Cut text after 90 % and 95 % of its characters, or at the next line end if that is near."""
    if not text.strip():
        raise CorpusError(f"{where} is empty: give a file with some text in it.")

    def cut(percent: int) -> int:
        mark = len(text) * percent // 100
        line_end = text.find("\n", mark - 1, mark + NEAR) + 1  # 0 if there is none
        return line_end or mark

    first, second = cut(90), cut(95)
    parts = text[:first], text[first:second], text[second:]
    if not all(parts):
        raise CorpusError(f"{where} has {len(text):,} characters, too few to cut into three parts: "
                          "give a longer text.")
    return parts


# Downloads


def _downloaded(name: str, cache_dir: str | Path | None) -> bytes:
    """The verified bytes of a download, brought by the network only if they are not there yet."""
    remote = DOWNLOADS[name]
    folder = cache_folder(cache_dir)
    path = folder / f"{name}.txt"
    try:
        if _fault(path, remote):
            from filelock import FileLock  # only who downloads needs it

            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{name}.lock"):
                fault = _fault(path, remote)  # another process may have brought it meanwhile
                if fault and path.exists():
                    warnings.warn(f"{path} is damaged ({fault}); downloading it again.",
                                  stacklevel=3)
                if fault:
                    _download(name, remote, path)
        return path.read_bytes()
    except OSError as error:  # of the disk: those of the network have become CorpusErrors
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _part(path).unlink(missing_ok=True)
            raise CorpusError(f"{name}: the disk is full; {folder} needs {remote.size / 1e6:.1f} "
                              "MB. Free some, or set TINYGPT_CACHE to a folder elsewhere."
                              ) from None
        raise CorpusError(f"{name}: the cache folder {folder} cannot be used "
                          f"({error.strerror or error}); "
                          "set TINYGPT_CACHE to a folder you can write to.") from None


def _part(path: Path) -> Path:
    return path.with_suffix(".part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fault(path: Path, remote: Download) -> str:
    """What is wrong with a file, or "" if it is the one described."""
    if not path.exists():
        return "it is not there"
    if _size(path) != remote.size:
        return f"{_size(path):,} bytes where {remote.size:,} were expected"
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if found == remote.sha256 else f"SHA-256 {found} where {remote.sha256} was expected"


def _download(name: str, remote: Download, path: Path) -> None:
    """Bring a file to `path`, going on from its ``.part`` if there is one.

    No If-Range is sent: a file that changed on the server could not have the SHA-256 we want.
    """
    part = _part(path)
    resumed = part.exists()
    for _ in range(TRIES):
        if _size(part) < remote.size:
            _request(name, remote, path)
    if _size(part) < remote.size:
        raise CorpusError(f"{name}: the connection to {urlsplit(remote.url).hostname} keeps "
                          f"breaking ({_size(part):,} of {remote.size:,} bytes are here). "
                          "Run this again: it goes on from there.")
    fault = _fault(part, remote)
    if not fault:
        os.replace(part, path)
        return
    part.unlink()
    if not resumed:
        raise CorpusError(f"{name}: {remote.url} sent a wrong file ({fault}); it was removed. Run "
                          "this again; if it stays so, something on the way changes the file.")
    _download(name, remote, path)  # the old part may be to blame: once more, from nothing


def _request(name: str, remote: Download, path: Path) -> None:
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
        raise CorpusError(f"{name}: {host} did not answer within {TIMEOUT} seconds. Try again "
                          'later; corpus("storyland") needs no network.') from None
    except requests.exceptions.SSLError:
        raise CorpusError(f"{name}: the certificate of {host} could not be verified; is there a "
                          "proxy or a log-in page between you and the network?") from None
    except requests.RequestException:
        raise CorpusError(f"{name}: no connection to {host}. Go online and run this again, or "
                          f"save {remote.url} as {path}; "
                          'corpus("storyland") needs no network.') from None
    with response:
        rest = re.fullmatch(rf"bytes {done}-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status_code == HTTPStatus.OK:  # the whole file, asked for or not
            start, announced = 0, int(response.headers.get("Content-Length", remote.size))
        elif done and response.status_code == HTTPStatus.PARTIAL_CONTENT and rest:
            start, announced = done, int(rest[1])
        elif done and response.status_code in (HTTPStatus.PARTIAL_CONTENT,
                                               HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
            part.unlink()  # this server cannot go on from here: the next request starts anew
            return
        else:
            raise CorpusError(f"{name}: {remote.url} answered {response.status_code} "
                              f"{response.reason}. Try again later; "
                              'corpus("storyland") needs no network.')
        if announced != remote.size:
            part.unlink(missing_ok=True)
            raise CorpusError(f"{name}: {remote.url} has {announced:,} bytes where {remote.size:,} "
                              "were expected; nothing was kept. It is not the file we know.")
        with (open(part, "ab" if start else "wb") as file,
              tqdm(desc=name, total=remote.size, initial=start, unit="B", unit_scale=True) as bar):
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
