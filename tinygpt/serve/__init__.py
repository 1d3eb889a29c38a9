"""A chat model behind OpenAI's Chat Completions, on this machine, for its own programs.

    python -m tinygpt serve                 # SmolLM2 at http://127.0.0.1:8000

    from tinygpt.serve import Server        # in a program, at a port that is free
    with Server(pretrained("smollm2-135m-instruct")) as server:
        httpx.get(server.url + "/health")

At / is a page to chat, at /v1/models and /v1/chat/completions what OpenAI's clients ask, at /health
whether it lives, at /metrics its counts. Requests are answered one after the other:

    schema   what a request may say, and its errors
    worker   the queue, and the thread that runs the model
    guard    who may ask, how much may be sent, the log
    app      what is answered at which address
    counts   the numbers of /metrics
    server   the socket, and the end
"""

from tinygpt.serve.counts import parse
from tinygpt.serve.server import ServeError, Server

__all__ = ["ServeError", "Server", "parse"]
