"""What can end a sandbox, each said in one line."""


class SandboxError(Exception):
    """The sandbox cannot go on. The text is one line; no student's exception is one of these."""


class SandboxUnavailable(SandboxError):
    """There is no isolation on this machine. The text says why, and what mends it."""


class SandboxDied(SandboxError):
    """The sandbox ended: a crash, an exit, too much memory."""


class SandboxTimeout(SandboxError):
    """A cell, a call or the whole submission used up its time. The sandbox is gone."""


class SandboxProtocolError(SandboxError):
    """A reply that worker.py would not send. The sandbox is gone."""
