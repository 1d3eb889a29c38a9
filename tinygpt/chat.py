"""A conversation with a language model that has a chat template, and a terminal for it.

from tinygpt.chat import Chat
from tinygpt.pretrained import pretrained

chat = Chat(pretrained("smollm2-135m-instruct"))
for piece in chat.answer("Tell me about otters."):
    print(piece, end="", flush=True)
"""

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator

import torch

from tinygpt.decode import Decoder
from tinygpt.errors import PlainError
from tinygpt.generate import stream
from tinygpt.tokenizer import HFTokenizer

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
        context = real.model.config.context
        if not 0 < tokens < context:
            raise ChatError(f"tokens is {tokens:,}: give from 1 to {context - 1:,}.")
        Decoder(**decoding)  # says what is wrong before the first question, not after it
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
        asked = [*self.first, *self.turns, {"role": "user", "content": text}]
        ids, asked = fitted(self.real, asked, self.tokens)
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
            answer = {"role": "assistant", "content": "".join(said)}
            self.turns = [*asked[len(self.first) :], answer]


def fitted(real, messages: list[dict[str, str]], tokens: int) -> tuple[list[int], list[dict]]:
    """What the model reads of a conversation, so that an answer of `tokens` fits behind it.

    The ids, and the messages that are left: without the oldest turns, as many as must go. The
    system's message stays, and what is left after it begins with a user's. ChatError where the
    last turn alone is too long.
    """
    room = real.model.config.context - tokens
    first = messages[: messages[0]["role"] == "system"]
    turns = messages[len(first) :]

    # A template's marks are tokens of their own, where the tokenizer has such.
    special = {"special": True} if isinstance(real.tokenizer, HFTokenizer) else {}

    def ids(start: int) -> list[int]:
        return real.tokenizer.encode(real.chat(first + turns[start:]), **special)

    found = ids(0)
    if len(found) <= room:
        return found, messages
    starts = [i for i, one in enumerate(turns) if i and one["role"] == "user"]
    # By halves: a conversation of a thousand turns is read ten times, not a thousand.
    at = bisect_left(starts, True, key=lambda start: len(ids(start)) <= room)
    if at == len(starts):
        last = len(ids(starts[-1])) if starts else len(found)
        raise ChatError(
            f"This message has {last:,} tokens with the template, and {room:,} fit beside an "
            f"answer of {tokens:,}: shorten it, or ask for a shorter answer."
        )
    return ids(starts[at]), first + turns[starts[at] :]


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
