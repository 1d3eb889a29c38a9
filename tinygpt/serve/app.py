"""What is answered at which address: OpenAI's paths, the counts, and a page to chat."""

import asyncio
import base64
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tinygpt.chat import ChatError, fitted
from tinygpt.errors import PlainError
from tinygpt.serve import schema
from tinygpt.serve.guard import WENT_AWAY, Guard, body, event, failed
from tinygpt.serve.schema import APIError
from tinygpt.serve.worker import Job, Worker, stopped

PAGE = Path(__file__).with_name("chat.html").read_text(encoding="utf-8")


def application(worker: Worker, log) -> ASGIApp:
    """The web application around one model; `log` takes a line a request."""
    api = _API(worker)
    routes = [
        Route("/", page),
        Route("/health", api.health),
        Route("/metrics", api.metrics),
        Route("/v1/models", api.models),
        Route("/v1/models/{name:path}", api.model),
        Route("/v1/chat/completions", api.complete, methods=["POST"]),
    ]
    answers = {APIError: failed, HTTPException: no_such, Exception: broken}
    app = Starlette(routes=routes, exception_handlers=answers)
    return Guard(app, worker.counts, {route.path for route in routes}, log)


class _API:
    def __init__(self, worker: Worker):
        self.worker, self.real, self.created = worker, worker.real, int(time.time())
        self.about = {"id": self.real.name, "object": "model", "created": self.created}
        self.about["owned_by"] = "tinygpt"

    async def health(self, request: Request) -> Response:
        if self.worker.stopping:
            raise stopped()
        return JSONResponse({"status": "ok", "model": self.real.name})

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(self.worker.counts.text())

    async def models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self.about]})

    async def model(self, request: Request) -> Response:
        if request.path_params["name"] != self.real.name:
            raise APIError(404, f"Here is {self.real.name!r} only.", "model", "model_not_found")
        return JSONResponse(self.about)

    async def complete(self, request: Request) -> Response:
        config = self.real.model.config
        try:
            said = await body(request)
        except ClientDisconnect:
            return went_away(request)
        asked = schema.read(said, self.real.name, config.context)
        self.worker.enter()
        try:
            # Not in the loop: a long text takes a while, and others are streamed to meanwhile.
            ids, kept = await asyncio.to_thread(fitted, self.real, asked.messages, asked.tokens)
        except PlainError as error:
            self.worker.leave()
            code = "context_length_exceeded" if isinstance(error, ChatError) else None
            raise APIError(400, str(error), "messages", code) from None
        except BaseException:
            self.worker.leave()
            raise
        job = Job(asked, ids)
        self.worker.put(job)
        answer = _Answer(job, self.real.name, len(asked.messages) - len(kept))
        line = request.scope["line"]
        line.job, line.id = job, answer.id
        if asked.stream:
            return _Stream(self.worker, answer, line)
        return await self._whole(request, answer, line)

    async def _whole(self, request: Request, answer: "_Answer", line) -> Response:
        reading = asyncio.create_task(answer.whole())
        leaving = asyncio.create_task(_left(request))
        try:
            await asyncio.wait([reading, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return went_away(request)
            found = reading.result()
            line.finish = found["choices"][0]["finish_reason"]
            return JSONResponse(found)
        finally:
            self.worker.cancel(answer.job)
            for task in (reading, leaving):
                task.cancel()


async def _left(request: Request) -> None:
    """Returns when the client has gone away; its body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def went_away(request: Request) -> Response:
    request.scope["line"].status = WENT_AWAY
    return Response(status_code=400)  # nobody receives it


class _Answer:
    """A job's steps in the JSON of OpenAI's Chat Completions."""

    def __init__(self, job: Job, model: str, dropped: int):
        self.job, self.dropped = job, dropped
        self.id = f"chatcmpl-{secrets.token_hex(8)}"
        self.head = {"id": self.id, "created": int(time.time()), "model": model}

    def counts(self) -> dict:
        """Tokens; and, which is not OpenAI's, how many messages did not fit and were left out."""
        read, written = len(self.job.ids), self.job.written
        usage = {"prompt_tokens": read, "completion_tokens": written}
        usage["total_tokens"] = read + written
        return {"usage": usage, "dropped_messages": self.dropped}

    async def whole(self) -> dict:
        text, finish = [], None
        async for step in self.job.answer():
            text.append(step.text)
            finish = step.finish
        message = {"role": "assistant", "content": "".join(text)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return self.head | {"object": "chat.completion", "choices": [choice]} | self.counts()

    async def events(self, line) -> AsyncIterator[str]:
        """Server-sent events: one a piece of text, then why it ended, then the counts."""
        head = self.head | {"object": "chat.completion.chunk"}

        def chunk(delta: dict, finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return event(head | {"choices": [choice]})

        yield chunk({"role": "assistant", "content": ""})
        try:
            async for step in self.job.answer():
                if step.text:
                    yield chunk({"content": step.text})
                if step.finish:
                    line.finish = step.finish
                    yield chunk({}, step.finish)
        except APIError as error:  # its status cannot be sent any more
            line.finish = error.code or "error"
            yield event(error.body())
        if self.job.asked.usage:
            yield event(head | {"choices": []} | self.counts())
        yield "data: [DONE]\n\n"


class _Stream(StreamingResponse):
    """Events as they come. When its client goes away, or has all of them, its place is free."""

    def __init__(self, worker: Worker, answer: _Answer, line):
        self.worker, self.answer, self.line = worker, answer, line
        events = answer.events(line)
        super().__init__(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self.body_iterator):
                await super().__call__(scope, receive, send)
        finally:
            if not self.line.finish:
                self.line.status = WENT_AWAY
            self.worker.cancel(self.answer.job)


async def page(request: Request) -> Response:
    """The page to chat. The browser is told to run what it holds, and to load nothing else."""
    return HTMLResponse(PAGE, headers=HEADERS)


def _hashes(tag: str) -> str:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()) for part in parts)
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)


HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; connect-src 'self'; img-src data:; "
    f"script-src {_hashes('script')}; style-src {_hashes('style')}; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def no_such(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        allowed = error.headers["Allow"]
        said = f"Only {allowed} is answered here."
    else:
        said = "There is nothing at this address."
    return failed(request, APIError(error.status_code, said, headers=error.headers))


async def broken(request: Request, error: Exception) -> Response:
    return failed(request, APIError(500, "This went wrong here; the log says where."))
