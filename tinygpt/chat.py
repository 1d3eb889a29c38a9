"""A conversation with a language model that has a chat template, and a terminal for it.

from tinygpt.chat import Chat
from tinygpt.pretrained import pretrained

chat = Chat(pretrained("smollm2-135m-instruct"))
for piece in chat.answer("Tell me about otters."):
    print(piece, end="", flush=True)
"""

import sys
from collections.abc import Callable, Iterator

import torch

from tinygpt.errors import PlainError
from tinygpt.generate import stream

HELP = "/reset forgets the conversation, /system TEXT sets what the model is told first, /exit ends"


class ChatError(PlainError, ValueError):
    """A message that cannot be answered. The message is one line."""


class Chat:
    """A conversation: what was said, and how the model goes on.

    The model has no memory: each time it reads the whole conversation. Where that grows too long
    for its context, the oldest turns are left out, and never the system's message.
    """

    def __init__(
        self,
        real,
        *,
        system: str | None = None,
        tokens: int = 400,
        seed: int = 0,
        **decoding: float,
    ):
        """`real` is what `pretrained` gives: model, tokenizer, chat. `tokens` is the most that an
        answer may have; `decoding` are settings of `tinygpt.generate`."""
        self.real, self.tokens, self.decoding = real, tokens, decoding
        self.generator = torch.Generator().manual_seed(seed)
        self.system(system)

    def system(self, text: str | None) -> None:
        """Begin anew, and tell the model this first; None: what its template tells it."""
        self.first = [] if text is None else [{"role": "system", "content": text}]
        self.turns: list[dict[str, str]] = []

    def reset(self) -> None:
        """Begin anew with the same first message."""
        self.turns = []

    def answer(self, text: str) -> Iterator[str]:
        """The answer in pieces, as they come. What has come is kept where the reader stops."""
        asked = [*self.turns, {"role": "user", "content": text}]
        ids, asked = self._fitted(asked)
        said: list[str] = []
        pieces = stream(
            self.real.model,
            self.real.tokenizer,
            ids,
            self.tokens,
            generator=self.generator,
            stop=self.real.tokenizer.end_id,
            **self.decoding,
        )
        try:
            for piece in pieces:
                said.append(piece)
                yield piece
        finally:
            pieces.close()
            self.turns = [*asked, {"role": "assistant", "content": "".join(said)}]

    def _fitted(self, turns: list[dict[str, str]]) -> tuple[list[int], list[dict[str, str]]]:
        """The ids of the conversation and its turns, without the oldest that do not fit."""
        room = self.real.model.config.context - self.tokens
        while True:
            text = self.real.chat(self.first + turns)
            ids = self.real.tokenizer.encode(text, special=True)
            if len(ids) <= room:
                return ids, turns
            if len(turns) == 1:
                raise ChatError(
                    f"This message has {len(ids):,} tokens with the template, and {room:,} fit "
                    f"beside an answer of {self.tokens:,}: shorten it, or ask for fewer --tokens."
                )
            turns = turns[2:]  # a question and its answer


def talk(chat: Chat, read: Callable[[str], str] = input) -> None:
    """A terminal: reads lines and streams answers until /exit or Ctrl-D.

    Ctrl-C stops an answer, and not the program.
    """
    print(f"{HELP} (so does Ctrl-D); Ctrl-C stops an answer.")
    while True:
        try:
            text = read("\n> ").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\n/exit or Ctrl-D ends this.", end="")
            continue
        command, _, rest = text.partition(" ")
        if command == "/exit":
            return
        if command == "/reset":
            chat.reset()
            print("Forgotten.")
        elif command == "/system":
            chat.system(rest.strip() or None)
            begins = "this" if rest.strip() else "what the template says"
            print(f"A new conversation, which begins with {begins}.")
        elif command.startswith("/"):
            print(f"There is no command {command}. {HELP}.")
        elif text:
            _show(chat, text)


def _show(chat: Chat, text: str) -> None:
    pieces = chat.answer(text)
    try:
        for piece in pieces:
            print(piece, end="", flush=True)
        print()
    except KeyboardInterrupt:
        print(" ... (stopped)")
    except ChatError as error:
        print(error, file=sys.stderr)
    finally:
        pieces.close()
