"""One model, one thread that runs it, and a queue with so many places."""

import asyncio
import math
import secrets
import sys
import threading
import time
import traceback
from collections import deque

import torch

from tinygpt.generate import Step, steps
from tinygpt.serve.counts import Counts
from tinygpt.serve.schema import APIError, Asked

PLACES = 16  # requests that wait or are answered; who comes then is sent away


class Job:
    """A request with its place, and the answer as it comes: steps, then None or an APIError."""

    def __init__(self, asked: Asked, ids: list[int]):
        self.asked, self.ids = asked, ids
        self.arrived = time.monotonic()
        self.begun: float | None = None  # when its turn came
        self.first: float | None = None  # when the first token was there
        self.written = 0  # tokens
        self.gone = threading.Event()  # nobody waits for it any more
        # Not bounded: an answer is, and who reads slowly must not keep the model.
        self._answer: asyncio.Queue[Step | APIError | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def tell(self, what: Step | APIError | None) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._answer.put_nowait, what)

    async def answer(self):
        """Steps as they come; raises the APIError that ended it."""
        while (step := await self._answer.get()) is not None:
            if isinstance(step, APIError):
                raise step
            yield step


class Worker:
    """Answers one request after the other, in the order in which they came."""

    def __init__(self, real):
        self.real, self.counts = real, Counts()
        self._line: deque[Job] = deque()
        self._now: Job | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def enter(self) -> None:
        """Take a place; APIError where there is none. Who took one ends with `put` or `leave`."""
        with self._changed:
            if self._stopping:
                raise stopped()
            if self.counts.inside >= PLACES:
                wait = math.ceil(self.counts.inside * self.counts.seconds_each)
                raise APIError(
                    429,
                    f"All {PLACES} places are taken: try again in {wait} s.",
                    code="queue_full",
                    headers={"Retry-After": str(wait)},
                )
            self.counts.moved(1)

    def leave(self) -> None:
        self.counts.moved(-1)

    def put(self, job: Job) -> None:
        """Into the line, with the place that was taken."""
        with self._changed:
            if self._stopping:
                self.leave()
                raise stopped()
            self._line.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Its client went away, or has its answer: a place that it still has is free at once."""
        with self._changed:
            job.gone.set()
            if job in self._line:
                self._line.remove(job)
                self.leave()

    def stop(self) -> None:
        """All who wait are told, and the thread ends after the token that it is at."""
        with self._changed:
            self._stopping = True
            for job in self._line:
                job.tell(stopped())
                self.leave()
            self._line.clear()
            self._changed.notify()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._line or self._stopping)
                if self._stopping:
                    return
                job = self._line.popleft()
            try:
                end = self._write(job)
            except Exception as error:
                # A fault of ours ends this answer and no other. Its message may hold the text.
                places = "".join(traceback.format_tb(error.__traceback__))
                print(f"{places}{type(error).__name__}", file=sys.stderr)
                end = APIError(500, "The model failed at this; its log says where.")
            self.leave()
            job.tell(end)

    def _write(self, job: Job) -> APIError | None:
        """Write the answer; how it ended."""
        asked, began = job.asked, time.monotonic()
        job.begun = began
        seed = secrets.randbits(63) if asked.seed is None else asked.seed
        taken = steps(
            self.real.model,
            self.real.tokenizer,
            job.ids,
            asked.tokens,
            generator=torch.Generator().manual_seed(seed),
            stop=self.real.tokenizer.end_id,
            stop_strings=asked.stop,
            **asked.decoding,
        )
        try:
            for step in taken:
                job.first = job.first or time.monotonic()
                job.written += 1
                job.tell(step)
                if job.gone.is_set():
                    return None
                if self._stopping and not step.finish:
                    return stopped()
            return None
        finally:
            taken.close()
            self.counts.wrote(len(job.ids), job.written, time.monotonic() - began)


def stopped() -> APIError:
    return APIError(503, "The server is stopping.", code="stopping")
