"""The desk's side of zygote.py: sandboxes that are forked, and need not import anything.

with Zygote(imports=["torch"]) as zygote, Sandbox(zygote=zygote) as box:
    box.exec("x = torch.ones(3)")
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import tempfile

from gradedesk.sandbox import Limits, Sandbox, SandboxUnavailable, bwrap

START_SECONDS = 300.0  # for the imports, on a busy machine


class Zygote:
    """A process in bubblewrap that imports once, and forks a Sandbox for each submission.

    packages, imports: as a Sandbox's

    It never runs a student's code. It ends with the process that made it. SandboxUnavailable if
    there can be none here, in one line; `Sandbox` alone may work all the same.
    """

    def __init__(self, packages=(), imports=()):
        command = bwrap.command("zygote", Limits(), packages)
        settings = {"packages": ["/packages"], "imports": list(imports)}
        self._errors = tempfile.TemporaryFile()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*command, json.dumps(settings)],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                env={},
            )
        try:
            with Sandbox(zygote=self):
                pass
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, settings: dict) -> "Forked":
        """A new sandbox's processes; SandboxUnavailable with the reason."""
        return Forked(self._requests, settings, self._errors)

    def close(self) -> None:
        """End it, and with it its sandboxes."""
        self._requests.close()  # its first process sees that
        self._process.wait()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Forked:
    """A forked sandbox, with what Sandbox uses of a subprocess.Popen.

    first: a file descriptor of its first process; control: open as long as we want it to live
    """

    def __init__(self, requests, settings, errors):
        self._status = None
        with contextlib.ExitStack() as given:
            self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            given.enter_context(control)
            ends = [os.pipe() for _ in range(3)]
            theirs = [ends[0][0], ends[1][1], ends[2][1]]
            for fd in theirs:
                given.callback(os.close, fd)
            self.stdin = open(ends[0][1], "wb", buffering=0)
            self.stdout, self.stderr = (open(ends[i][0], "rb", buffering=0) for i in (1, 2))
            with contextlib.suppress(OSError):  # nobody there: nobody answers below
                message = json.dumps(settings).encode()
                socket.send_fds(requests, [message], [*theirs, control.fileno()])
        self.control.settimeout(START_SECONDS)
        try:
            said, fds, _, _ = socket.recv_fds(self.control, 1000, 1)
        except TimeoutError:
            said, fds = f"nothing within {START_SECONDS:.0f} s".encode(), []
        if not fds:
            for end in (self.control, self.stdin, self.stdout, self.stderr):
                end.close()
            errors.seek(0)
            lines = (said or errors.read()[-1000:] or b"it ended").decode("utf-8", "replace")
            raise SandboxUnavailable(f"no warm worker: {lines.strip().splitlines()[-1]}")
        (self.first,) = fds

    def wait(self, timeout: float) -> int:
        """The worker's exit status, below 0 for a signal; -9 if its world ended first."""
        if self._status is None:
            self.control.settimeout(timeout)
            try:
                said = self.control.recv(100)
                self._status = struct.unpack("<i", said)[0] if len(said) == 4 else -9
            except TimeoutError:
                raise subprocess.TimeoutExpired("worker", timeout) from None
        return self._status
