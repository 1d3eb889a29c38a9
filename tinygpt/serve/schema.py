"""What a request may say, in the fields of OpenAI's Chat Completions, and what is wrong with it."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 1024  # of an answer: whoever asks for more keeps all others waiting
USUAL_TOKENS = 400
MOST_STOPS = 4
# What is understood and not offered: only the value that changes nothing is taken.
NEUTRAL = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "response_format": {"type": "text"},
    "tools": [],
}
IGNORED = {"user", "metadata"}  # they say who asks and why, and change no answer


class APIError(Exception):
    """An error as OpenAI's clients read it: status, message, the field that is wrong, a code."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = headers

    def body(self) -> dict:
        """The JSON of the answer."""
        kinds = {404: "not_found_error", 429: "rate_limit_error"}
        usual = "server_error" if self.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": self.message,
                "type": kinds.get(self.status, usual),
                "param": self.param,
                "code": self.code,
            }
        }


@dataclass(frozen=True)
class Asked:
    """A request that was understood."""

    messages: list[dict[str, str]]
    tokens: int  # the most of the answer
    decoding: dict[str, float]  # settings of tinygpt.decode.Decoder
    stop: list[str]
    seed: int | None
    stream: bool
    usage: bool  # whether the stream ends with the counts


def read(body: bytes, model: str, context: int) -> Asked:
    """The request in `body`; APIError, which names the field, where it says what cannot be done."""
    said = _parsed(body)
    field = _Fields(said).field
    name = field("model", None, _is_text, f"the name of the model, {model!r}")
    if name is None:
        raise APIError(400, f"model is missing: give {model!r}.", "model")
    if name != model:
        raise APIError(
            404, f"There is no model {_short(name)}: here is {model!r}.", "model", "model_not_found"
        )
    most = min(MOST_TOKENS, context // 2)
    tokens = {
        field(name, None, lambda x: _is_int(x, 1, most), f"a whole number from 1 to {most:,}")
        for name in ("max_tokens", "max_completion_tokens")
    } - {None}
    if len(tokens) > 1:
        raise APIError(
            400, "max_tokens and max_completion_tokens differ: give one of them.", "max_tokens"
        )
    decoding = {
        "temperature": field("temperature", 1.0, _is_number(0, 2), "a number from 0 to 2"),
        "top_p": field(
            "top_p",
            1.0,
            lambda x: _is_number(0, 1)(x) and x > 0,
            "a number, more than 0 and at most 1",
        ),
        # not OpenAI's: small models need it, and other servers of such models have it so
        "repetition_penalty": field(
            "repetition_penalty", 1.0, _is_number(0.1, 10), "a number from 0.1 to 10"
        ),
    }
    stop = field("stop", [], _is_stop, f"a text, or up to {MOST_STOPS}, none of them empty")
    seed = field(
        "seed", None, lambda x: _is_int(x, 0, 2**63 - 1), "a whole number from 0 to 2^63 - 1"
    )
    stream = field("stream", False, _is_bool, "true or false")
    options = field("stream_options", {}, lambda x: isinstance(x, dict), "an object")
    usage = _Fields(options, "stream_options.").field(
        "include_usage", False, _is_bool, "true or false"
    )
    if options and not stream:
        raise APIError(400, "stream_options is for stream: true only.", "stream_options")
    for name, neutral in NEUTRAL.items():
        field(
            name, neutral, lambda x, neutral=neutral: x == neutral, f"{json.dumps(neutral)}, only"
        )
    for name in said.keys() - _Fields.KNOWN - NEUTRAL.keys() - IGNORED:
        raise APIError(400, f"There is no field {_short(name)} here: leave it out.", name[:60])
    return Asked(
        messages=_messages(said.get("messages")),
        tokens=tokens.pop() if tokens else min(USUAL_TOKENS, most),
        decoding=decoding,
        stop=[stop] if isinstance(stop, str) else stop,
        seed=seed,
        stream=stream,
        usage=usage,
    )


class _Fields:
    """The fields of an object; null is as good as nothing."""

    KNOWN = {"messages", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p"}
    KNOWN |= {"repetition_penalty", "stop", "seed", "stream", "stream_options"}

    def __init__(self, said: dict, where: str = ""):
        self.said, self.where = said, where

    def field(self, name: str, usual: Any, fits: Callable[[Any], bool], wanted: str) -> Any:
        value = self.said.get(name)
        if value is None:
            return usual
        if not fits(value):
            where = self.where + name
            raise APIError(400, f"{where} is {_short(value)}: give {wanted}.", where)
        return value


def _parsed(body: bytes) -> dict:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        said = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except UnicodeDecodeError:
        raise APIError(400, "The body is not UTF-8.", code="invalid_json") from None
    except (ValueError, RecursionError) as error:
        reason = "it is too deep" if isinstance(error, RecursionError) else str(error)
        raise APIError(
            400, f"The body cannot be read as JSON: {reason[:80]}.", code="invalid_json"
        ) from None
    if not isinstance(said, dict):
        raise APIError(400, 'The body must be an object, as in {"model": ...}.', code="not_object")
    return said


def _messages(said: Any) -> list[dict[str, str]]:
    if not isinstance(said, list) or not said:
        raise APIError(
            400,
            'messages must be a list, as in [{"role": "user", "content": "Hi"}].',
            "messages",
        )
    for i, message in enumerate(said):
        where = f"messages[{i}]"
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise APIError(400, f"{where} must have a role and a content, nothing else.", where)
        if message["role"] not in ("system", "user", "assistant"):
            raise APIError(
                400,
                f"{where}.role is {_short(message['role'])}: give system, user or assistant.",
                f"{where}.role",
            )
        if message["role"] == "system" and i:
            raise APIError(400, f"{where}: only the first may be the system's.", f"{where}.role")
        if not _is_text(message["content"]):
            raise APIError(
                400,
                f"{where}.content is {_short(message['content'])}: give a text.",
                f"{where}.content",
            )
    if said[-1]["role"] != "user":
        raise APIError(400, "The last of the messages must be the user's.", "messages")
    return said


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_text(value: Any) -> bool:
    """Half of a surrogate pair is no character, though JSON can write it."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(least: float, most: float) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        real = type(value) in (int, float) and math.isfinite(value)
        return real and least <= value <= most

    return fits


def _is_stop(value: Any) -> bool:
    texts = [value] if isinstance(value, str) else value
    return (
        isinstance(texts, list)
        and len(texts) <= MOST_STOPS
        and all(_is_text(text) and text for text in texts)
    )
