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
"""

import codecs
import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from tinygpt.downloads import Download, DownloadError, bring, cache_folder
from tinygpt.errors import PlainError

NEAR = 1000  # characters: how far a cut may move to reach a line end
LONG = 60  # characters: a shorter paragraph may stand twice in "pydocs"


class CorpusError(PlainError):
    """A text cannot be had. The message is one line: what, where, what to do."""


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
        path = cache_folder(cache_dir) / f"{name}.txt"
        try:
            bring(name, DOWNLOADS[name], path, '; corpus("storyland") needs no network')
        except DownloadError as error:
            raise CorpusError(str(error)) from None
        text = _decode(_read_file(path), name)
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
    import storyland

    return storyland.FLOOR


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

