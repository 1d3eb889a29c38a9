"""What stands before every request: who may ask, how much may be sent, and the line in the log.

A server on 127.0.0.1 can be reached from this machine only, and that is not enough: any web page
that its user opens runs on this machine, too. A browser sends such a page's request and says whose
it is, in `Origin`: those of other pages are refused. A page could also give its own name the
address 127.0.0.1 once it is loaded (DNS rebinding), and would then be of the same origin; but the
browser still says that name in `Host`, and it is not ours.
"""

import json
import sys
import time
import traceback
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinygpt.serve.counts import Counts
from tinygpt.serve.schema import APIError
from tinygpt.serve.worker import Job

HERE = {"127.0.0.1", "localhost"}
MOST_BYTES = 256 * 1024  # of a request; a context of 8,192 tokens is about 40,000
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
WENT_AWAY = 499  # as nginx calls it; nobody receives it


@dataclass
class Line:
    """What the log says of a request: nothing that its sender wrote, but for numbers."""

    method: str
    path: str
    began: float
    status: int = 0
    finish: str = ""
    id: str = ""
    job: Job | None = None

    def __str__(self) -> str:
        now, job = time.monotonic(), self.job
        parts = [time.strftime("%Y-%m-%dT%H:%M:%S"), self.method, self.path, str(self.status)]
        parts += [f"total={now - self.began:.3f}s"]
        if job:
            begun = now if job.begun is None else job.begun
            parts += [f"id={self.id}", f"in={len(job.ids)}", f"out={job.written}"]
            parts += [f"waited={begun - job.arrived:.3f}s"]
            parts += [f"first={job.first - job.arrived:.3f}s"] if job.first else []
        parts += [f"finish={self.finish}"] if self.finish else []
        return " ".join(parts)


class Guard:
    """The application behind it gets requests of this machine's own programs and pages only."""

    def __init__(self, app: ASGIApp, counts: Counts, paths: set[str], log):
        self.app, self.counts, self.paths, self.log = app, counts, paths, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        path = scope["path"] if scope["path"] in self.paths else "(other)"  # it may hold any text
        line = scope["line"] = Line(method, path, time.monotonic())

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                line.status = line.status or message["status"]
            await send(message)

        try:
            try:
                check(Headers(scope=scope))
            except APIError as error:
                await failed(None, error)(scope, receive, noted)
            else:
                await self.app(scope, receive, noted)
        except Exception as error:  # Starlette has answered; the message may hold the text
            places = "".join(traceback.format_tb(error.__traceback__))
            print(f"{places}{type(error).__name__}", file=sys.stderr)
        finally:
            line.status = line.status or WENT_AWAY
            self.counts.answered(line.status)
            self.log(str(line))


def check(headers: Headers) -> None:
    """APIError where another site's page may be asking."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if host.partition(":")[0] not in HERE:
        raise APIError(403, "Host must be 127.0.0.1 or localhost.", code="wrong_host")
    if origin is not None and origin != f"http://{host}":
        raise APIError(403, "Pages of other sites may not ask.", code="wrong_origin")


async def body(request: Request) -> bytes:
    """The body of a request that says it is JSON; APIError where it is not, or is too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise APIError(415, "Content-Type must be application/json.")
    got = bytearray()
    async for part in request.stream():
        got += part
        if len(got) > MOST_BYTES:
            raise APIError(
                413,
                f"The body has more than {MOST_BYTES:,} bytes.",
                code="too_large",
                headers={"Connection": "close"},  # what is still to come is not read
            )
    return bytes(got)


def failed(request: Request | None, error: APIError) -> JSONResponse:
    """The answer that an error is."""
    return JSONResponse(error.body(), error.status, error.headers)


def event(data: dict) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
