"""What lies in a folder or an archive of strangers: entries that are safe to look at, or refused.

Each entry is checked by what the archive says of it before a byte of it is unpacked, and bounded
again while it is read. Nothing is read through a link, and an archive inside an archive stays shut.
"""

import gzip
import os
import re
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO

from gradedesk.names import BadName, DeskError, check_text

MB = 1_000_000
ENTRIES = 10_000  # in one archive or folder
NOTEBOOK = 20 * MB  # bytes of one notebook
TOTAL = 2_000 * MB  # bytes of all notebooks of one archive
SMALL, RATIO = 5 * MB, 100  # what is larger than SMALL may not have been packed tighter than RATIO
READ = 32 * MB  # bytes that an archive may ask to be read at once, such as its table of contents
HEADER = 8192  # the same for one header of a tar archive, such as a long path
PATH, PART, DEPTH = 1024, 255, 8  # bytes of a path, bytes of one part of it, parts

BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    OSError,
)


@dataclass
class Entry:
    """One file or folder, not yet read. `reason` says why it is refused, if it is."""

    name: str
    reader: Callable[[], bytes]
    time: datetime | None = None
    folder: bool = False
    reason: str = ""
    parts: tuple[str, ...] = ()

    def read(self) -> bytes:
        """The file, at most NOTEBOOK bytes; BadName with the reason where it cannot be read."""
        try:
            return self.reader()
        except BadName:
            raise
        except BROKEN as error:
            if reason := getattr(error, "strerror", None):
                raise BadName(f"cannot be read ({reason})") from None
            raise BadName(f"is damaged and cannot be read ({type(error).__name__})") from None


@dataclass
class Source:
    """The safe entries of a folder or an archive, and for each of the others why it is not."""

    entries: list[Entry]
    refused: list[tuple[str, str]]


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """The entries of a folder, or a .zip, .tar or .tar.gz archive, to be read while it is open.

    Raises DeskError where it is none of these, cannot be read at all, or has too many entries.
    """
    if path.is_dir():
        yield _checked(_from_folder(path, "", 1), path)
    elif not path.is_file():
        raise DeskError(f"{path} is neither a folder nor an archive: give the path of one.")
    elif re.search(r"\.(tar|tar\.gz|tgz)$", path.name, re.IGNORECASE):
        with open(path, "rb") as file, tempfile.TemporaryFile() as unpacked:
            yield _checked(_from_tar(path, file, unpacked), path)
    else:
        with open(path, "rb") as file:
            try:
                archive = zipfile.ZipFile(_Bounded(file, READ))
            except BROKEN as error:
                raise DeskError(f"{path} is no ZIP archive that can be read ({error}).") from None
            yield _checked(_from_zip(archive), path)


# --- Which are safe ------------------------------------------------------------------------------


def _checked(entries: Iterator[Entry], source: Path) -> Source:
    """The entries by their names and kinds: safe to look at, or refused."""
    refused = []
    by_path = defaultdict(list)
    for count, entry in enumerate(entries, 1):
        if count > ENTRIES:
            raise DeskError(f"{source} has more than {ENTRIES:,} entries: split it.")
        try:
            entry.parts = _parts(entry.name)
            if entry.reason:
                raise BadName(entry.reason)
        except BadName as error:
            refused.append((entry.name, str(error)))
        else:
            by_path[entry.parts].append(entry)
    safe = []
    for same in by_path.values():
        if len(same) > 1 and not all(entry.folder for entry in same):
            for entry in same:
                text = f"stands {len(same)} times in the archive: which one counts?"
                refused.append((entry.name, text))
        elif same[0].parts:
            safe.append(same[0])
    return Source(safe, refused)


def _parts(name: str) -> tuple[str, ...]:
    """The parts of an entry's path, or BadName if it could lead anywhere else."""
    if len(name.encode("utf-8", "surrogatepass")) > PATH:
        raise BadName(f"has a path of more than {PATH} bytes")
    check_text(name)
    path = unicodedata.normalize("NFC", name).replace("\\", "/")  # as some Windows programs write
    if path.startswith("/"):
        raise BadName("has an absolute path")
    if re.match(r"[A-Za-z]:", path):
        raise BadName("has a Windows drive in its path")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise BadName("has '..' in its path")
    if any(len(part.encode()) > PART for part in parts):
        raise BadName(f"has a name of more than {PART} bytes")
    if len(parts) > DEPTH:
        raise BadName(f"lies more than {DEPTH} folders deep")
    return parts


# --- The three kinds -----------------------------------------------------------------------------


class _Bounded:
    """A file to read from, which never puts more than `most` bytes into memory at once."""

    def __init__(self, file: IO[bytes], most: int):
        self.file, self.most = file, most
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size if 0 <= size <= self.most else self.most + 1)
        if len(data) > self.most:
            raise ValueError(f"it asks for more than {self.most:,} bytes at once")
        return data


def _read(file: IO[bytes]) -> bytes:
    """A notebook's bytes, however many an archive says there are."""
    chunks, size = [], 0
    while chunk := file.read(MB):
        chunks.append(chunk)
        size += len(chunk)
        if size > NOTEBOOK:
            raise BadName(f"is larger than {NOTEBOOK // MB} MB")
    return b"".join(chunks)


def _from_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        name = info.orig_filename
        if not info.flag_bits & 0x800:
            # No encoding is said, so Python took code page 437; macOS packs UTF-8 this way.
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                pass
        kind = stat.S_IFMT(info.external_attr >> 16)
        reason = ""
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = _kind(kind)
        elif info.flag_bits & 0x2041:
            reason = "is encrypted"
        elif info.file_size > NOTEBOOK and name.lower().endswith(".ipynb"):
            reason = f"is larger than {NOTEBOOK // MB} MB"
        elif info.file_size > max(SMALL, RATIO * info.compress_size):
            reason = f"unpacks to more than {RATIO} times its size: a ZIP bomb"

        def read(info=info):
            with archive.open(info) as file:
                return _read(file)

        yield Entry(name, read, _zip_time(info), info.is_dir(), reason)


def _zip_time(info: zipfile.ZipInfo) -> datetime | None:
    """When a file was changed: the extended timestamp (UTC) if there is one, else local time."""
    extra, at = info.extra, 0
    while len(extra) >= at + 4:
        tag, size = struct.unpack_from("<HH", extra, at)
        if tag == 0x5455 and size >= 5 and len(extra) >= at + 9 and extra[at + 4] & 1:
            return datetime.fromtimestamp(struct.unpack_from("<i", extra, at + 5)[0], UTC)
        at += 4 + size
    try:
        time = datetime(*info.date_time)
        return None if time.year <= 1980 else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _from_tar(source: Path, file: IO[bytes], unpacked: IO[bytes]) -> Iterator[Entry]:
    try:
        if not source.name.lower().endswith(".tar"):
            packed = gzip.GzipFile(fileobj=file)
            while chunk := packed.read(MB):
                unpacked.write(chunk)
                if unpacked.tell() > TOTAL:
                    raise DeskError(f"{source} unpacks to more than {TOTAL // MB:,} MB: split it.")
            unpacked.seek(0)
            file = unpacked
        # Before Python 3.11.10 a header is searched by patterns that take the square of its length.
        headers = _Bounded(file, HEADER)
        archive = tarfile.open(fileobj=headers, mode="r:")
        for member in archive:
            reason = ""
            if not (member.isreg() or member.isdir()):
                hard = member.islnk()
                kinds = {
                    tarfile.SYMTYPE: stat.S_IFLNK,
                    tarfile.CHRTYPE: stat.S_IFCHR,
                    tarfile.BLKTYPE: stat.S_IFBLK,
                    tarfile.FIFOTYPE: stat.S_IFIFO,
                }
                reason = "is a hard link" if hard else _kind(kinds.get(member.type, 0))
            elif member.size > NOTEBOOK and member.name.lower().endswith(".ipynb"):
                reason = f"is larger than {NOTEBOOK // MB} MB"

            def read(member=member):
                with archive.extractfile(member) as file:
                    return _read(file)

            try:
                time = datetime.fromtimestamp(member.mtime, UTC) if member.mtime > 0 else None
            except (ValueError, OverflowError, OSError):
                time = None
            yield Entry(member.name, read, time, member.isdir(), reason)
        headers.most = READ  # from here on it reads the files
    except BROKEN as error:
        raise DeskError(f"{source} is no tar archive that can be read ({error}).") from None


def _from_folder(folder: Path, prefix: str, depth: int) -> Iterator[Entry]:
    try:
        with os.scandir(folder) as scan:
            # One more than may be here says that there are too many; more would only take time.
            items = sorted(islice(scan, ENTRIES + 1), key=lambda item: item.name)
    except OSError as error:
        yield Entry(prefix, bytes, reason=f"cannot be read ({error.strerror})")
        return
    for item in items:
        name = prefix + item.name
        try:
            status = os.lstat(item.path)  # Windows gives scandir no number of the file
        except OSError as error:
            yield Entry(name, bytes, reason=f"cannot be read ({error.strerror})")
            continue
        kind = stat.S_IFMT(status.st_mode)
        time = datetime.fromtimestamp(status.st_mtime, UTC)
        if kind == stat.S_IFDIR and depth <= DEPTH:
            yield Entry(name, bytes, time, folder=True)
            yield from _from_folder(Path(item.path), name + "/", depth + 1)
        elif kind == stat.S_IFREG:

            def read(path=item.path, status=status):
                # Neither follows a link nor waits for a FIFO, should one have come in between.
                flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
                flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
                with open(os.open(path, flags), "rb") as file:
                    now = os.fstat(file.fileno())
                    if not stat.S_ISREG(now.st_mode) or now.st_ino != status.st_ino:
                        raise BadName("was exchanged while it was read")
                    # Whoever made it need not have been able to read it, and would find in their
                    # feedback what it says.
                    if now.st_nlink > 1:
                        raise BadName(
                            "is a hard link, so it may be a file of somebody else's: if it is the "
                            "student's own, collect a copy of the folder, made with cp -R"
                        )
                    return _read(file)

            yield Entry(name, read, time)
        else:
            yield Entry(name, bytes, time, reason=_kind(kind))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "is a symbolic link",
        stat.S_IFIFO: "is a FIFO",
        stat.S_IFCHR: "is a device",
        stat.S_IFBLK: "is a device",
        stat.S_IFSOCK: "is a socket",
        stat.S_IFDIR: "is a folder too deep",
    }
    return kinds.get(mode, "is neither a file nor a folder")
