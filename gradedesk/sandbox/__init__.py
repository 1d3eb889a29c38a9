"""A student's code, contained: what the rest of the desk and the tests use of it."""

from gradedesk.sandbox.box import GIVEN_UP, Reply, Sandbox, StudentException, available
from gradedesk.sandbox.errors import (
    SandboxDied,
    SandboxError,
    SandboxProtocolError,
    SandboxTimeout,
    SandboxUnavailable,
)
from gradedesk.sandbox.limits import Limits

__all__ = [
    "GIVEN_UP",
    "Limits",
    "Reply",
    "Sandbox",
    "SandboxDied",
    "SandboxError",
    "SandboxProtocolError",
    "SandboxTimeout",
    "SandboxUnavailable",
    "StudentException",
    "available",
]
