"""A socket on the loopback, and an application that answers there until it is stopped."""

import os
import socket
import sys
import threading
from typing import Self

import uvicorn

from tinygpt.errors import PlainError
from tinygpt.serve.app import application
from tinygpt.serve.worker import Worker

HOST = "127.0.0.1"  # nobody from another machine: there are no passwords
PATIENCE = 5  # seconds that a client who does not read may delay the end


class ServeError(PlainError):
    """The server cannot begin. The message is one line."""


def to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Server:
    """A model that is asked over HTTP.

        with Server(pretrained("smollm2-135m-instruct")) as server:
            client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")

    `real` is what `pretrained` gives. Port 0 is one that is free; ServeError where the port is
    taken. In a `with`, or from `start` to `stop`, it answers in a thread; `run` answers until
    Ctrl-C.
    """

    def __init__(self, real, port: int = 0, log=to_stderr):
        self._socket = _listen(port)
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        self.worker = Worker(real)
        config = uvicorn.Config(
            application(self.worker, log),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=PATIENCE,
        )
        self._uvicorn = _Uvicorn(config, self.worker)
        self._thread = threading.Thread(target=self._answer, name="server", daemon=True)

    def start(self) -> Self:
        """Answer in a thread, from when this returns."""
        self._thread.start()
        self._uvicorn.begun.wait()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error) -> None:
        self.stop()

    def run(self) -> None:
        """Answer until Ctrl-C."""
        try:
            self._answer()
        except KeyboardInterrupt:  # uvicorn has ended, and passes it on
            pass

    def stop(self) -> None:
        """Tell those who wait, and end."""
        self._uvicorn.should_exit = True
        self._thread.join()

    def _answer(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self.worker.stop()
            self.worker.join()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, worker: Worker):
        super().__init__(config)
        self.worker, self.begun = worker, threading.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.begun.set()

    async def shutdown(self, sockets=None) -> None:
        self.worker.stop()  # or it would wait for every answer in the queue
        await super().shutdown(sockets)


def _listen(port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ServeError(f"port is {port}: give a number from 0 (any that is free) to 65535.")
    # Named as TCP, so that asyncio turns Nagle's algorithm off: with it the end of a short answer
    # waits some 40 ms for the client to acknowledge its beginning.
    made = socket.socket(proto=socket.IPPROTO_TCP)
    if os.name == "posix":  # there it means: even just after another server has ended
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
        made.listen()
    except OSError as error:
        made.close()
        raise ServeError(
            f"Port {port} cannot be had ({error.strerror}): stop what has it, or give another "
            "--port; 0 takes one that is free."
        ) from None
    return made
