"""Standard output and error that may be closed, full, or a pipe that nobody reads any more.

What a command does is worth more than what it prints: a pipe to `head` must not stop it halfway.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Stream:
    """A text stream that goes on, into nothing, when it cannot be written; `error` says why."""

    def __init__(self, stream):
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, do, *args) -> None:
        try:
            do(*args)
        except OSError as error:
            self.error = self.error or error
            # What still waits to be written goes there, too, now or when Python ends.
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)

    @property
    def failed(self) -> str:
        """Why not all was written; nothing where the reader wanted no more, as `head` does."""
        if self.error is None or self.error.errno == errno.EPIPE:
            return ""
        return self.error.strerror


@contextmanager
def standard() -> Iterator[Stream]:
    """Put such streams in the place of sys.stdout, which is yielded, and sys.stderr."""
    # Else the next file that is opened would be number 1, and get what is printed.
    while (number := _closed()) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(Stream, (stream or open(_closed(), "w") for stream in before))
    for stream in sys.stdout, sys.stderr:
        if hasattr(stream, "reconfigure"):  # a name that the terminal's encoding has no letters for
            stream.reconfigure(errors="backslashreplace")
    try:
        yield sys.stdout
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        sys.stdout, sys.stderr = before


def _closed() -> int:
    """A descriptor that cannot be written, like one that is closed."""
    return os.open(os.devnull, os.O_RDONLY)
