"""Text from a model, one token at a time."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tinygpt.decode import Decoder
from tinygpt.model import GPT, KVCache, ModelError
from tinygpt.pieces import Pieces


def generate(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
    generator: torch.Generator | None = None,
    stop: int | Sequence[int] | None = None,
    stop_strings: str | Sequence[str] = (),
    tokenizer=None,
    keep: Tensor | None = None,
) -> Tensor:
    """Continue each prompt of ids (B, T) -> the new ids (B, up to max_new_tokens).

    A token is drawn from softmax(logits / temperature); 0 takes the most probable one. top_k, top_p
    and min_p drop improbable tokens first, and repetition_penalty, more than 1, makes less probable
    what the text holds already: see `tinygpt.decode`. `generator` makes the draw repeatable.

    `stop` is an id that ends a text, or several. A text also ends where its new part, decoded by
    `tokenizer`, holds one of `stop_strings`. The token that ended a text is part of the answer, and
    fills the row while others go on.

    keep (B, T), bool, for prompts of different lengths: False is padding, on either side, and is
    dropped. All prompts then begin at position 0, and where a short one ends its text goes on while
    longer ones are still read, a token a step: no text can tell that it is not alone.

    A text may grow past the context: each token is then predicted from the last `context` tokens,
    which costs a whole pass, as every position has moved.
    """
    decoder = Decoder(temperature, top_k, top_p, min_p, repetition_penalty)
    check(model, ids, max_new_tokens, generator)
    stops = stop_ids(model, stop, ids.device)
    strings = _strings(stop_strings, tokenizer)
    prompts = list(ids) if keep is None else _without_padding(ids, keep)
    if not max_new_tokens:
        return ids.new_zeros(len(ids), 0, dtype=torch.long)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=ids.device)
    length, longest = int(lengths.min()), int(lengths.max())
    texts = ids.new_zeros(len(ids), longest + max_new_tokens)
    for row, prompt in zip(texts, prompts, strict=True):
        row[: len(prompt)] = prompt
    ends, end = lengths + max_new_tokens, longest + max_new_tokens
    pieces = [Pieces(tokenizer, strings) for _ in prompts] if strings else []
    # Faster than no_grad; what it makes does not leave this function.
    with predicting(model), torch.inference_mode():
        reader = Reader(model)
        while length < end:
            logits = reader.read(texts[:, :length])
            chosen = decoder.choose(logits, texts[:, :length], generator)  # (B,)
            if length >= longest:
                texts[:, length] = chosen
            else:  # a prompt that goes on says itself what comes
                texts[:, length] = torch.where(length < lengths, texts[:, length], chosen)
            length += 1
            if len(stops) or pieces:
                ended = (chosen[:, None] == stops).any(dim=1)
                writing = (lengths < length) & (length <= ends)
                for row, piece in enumerate(pieces):
                    if writing[row]:
                        piece.push(int(chosen[row]))
                        ended[row] |= piece.ended
                ends = ends.where(~(ended & writing), length)
                end = int(ends.max())
        check_logits(logits)
    # The last token of a text goes on to its row's end.
    new = torch.arange(int((ends - lengths).max()), device=ids.device)
    at = torch.minimum(lengths[:, None] + new, ends[:, None] - 1)
    return texts.gather(1, at).long()


def stream(
    model: GPT,
    tokenizer,
    prompt: str | Sequence[int],
    max_new_tokens: int,
    *,
    generator: torch.Generator | None = None,
    stop: int | Sequence[int] | None = None,
    stop_strings: str | Sequence[str] = (),
    **decoding: float,
) -> Iterator[str]:
    """How the model goes on with `prompt`, in pieces of text as they come.

        for piece in stream(model, tokenizer, "Once upon a time", 100, temperature=0.7):
            print(piece, end="", flush=True)

    `decoding` are settings of `generate`, and the tokens are those that it would give. The text
    ends before a stop or a stop string. A piece never ends inside a character, and what may be the
    beginning of a stop string is held back. The model is in evaluation mode until the last piece,
    or until the iterator is closed.
    """
    settings = {"generator": generator, "stop": stop, "stop_strings": stop_strings, **decoding}
    taken = steps(model, tokenizer, prompt, max_new_tokens, **settings)

    def pieces() -> Iterator[str]:
        with closing(taken):
            for step in taken:
                if step.text:
                    yield step.text

    return pieces()


@dataclass(frozen=True)
class Step:
    """A token that a model wrote, and what is known of the text by it."""

    token: int
    text: str  # the piece that is certain now and was not before; often empty
    finish: str | None  # of the last: "stop", or "length" where it would have gone on


def steps(
    model: GPT,
    tokenizer,
    prompt: str | Sequence[int],
    max_new_tokens: int,
    *,
    generator: torch.Generator | None = None,
    stop: int | Sequence[int] | None = None,
    stop_strings: str | Sequence[str] = (),
    **decoding: float,
) -> Iterator[Step]:
    """As `stream`, token by token: what counts them, and says why a text ended, reads this."""
    ids = tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
    text = torch.tensor([ids], dtype=torch.long, device=next(model.parameters()).device)
    check(model, text, max_new_tokens, generator)
    decoder, stops = Decoder(**decoding), stop_ids(model, stop, text.device).tolist()
    pieces = Pieces(tokenizer, _strings(stop_strings, tokenizer))

    def written(text: Tensor) -> Iterator[Step]:
        with predicting(model):
            reader = Reader(model)
            for left in reversed(range(max_new_tokens)):
                with torch.inference_mode():  # not while the caller has the piece
                    logits = reader.read(text)
                    check_logits(logits)
                    chosen = decoder.choose(logits, text, generator)
                    text = torch.cat([text, chosen[:, None]], dim=1)
                token = int(chosen)
                said = "" if token in stops else pieces.push(token)
                finish = "stop" if token in stops or pieces.ended else None if left else "length"
                if finish:
                    said += pieces.rest()
                    finish = "stop" if pieces.ended else finish
                yield Step(token, said, finish)
                if finish:
                    return

    return written(text)


def beam(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    num_beams: int,
    *,
    length_penalty: float = 1.0,
    stop: int | Sequence[int] | None = None,
) -> Tensor:
    """The best continuation of each prompt of ids (B, T) that a beam search finds -> the new ids
    (B, up to max_new_tokens).

    Of n new tokens, `stop` included, the score is the sum of their ln P, divided by
    n ** length_penalty: 0 favours short texts, 1 compares the mean. At each step the `num_beams`
    best unfinished texts go on. A text is finished by a stop, if it is among the `num_beams` best
    of that step, or at max_new_tokens; the `num_beams` best finished are kept. A search ends when
    its best unfinished text scores no more, at its length so far, than the worst of `num_beams`
    finished ones.

    All as `transformers` does it with early_stopping=False, which is its default. With a
    length_penalty above 0 a longer text might have overtaken those found.
    """
    check(model, ids, max_new_tokens, None)
    stops = stop_ids(model, stop, ids.device)
    if not isinstance(num_beams, int) or num_beams < 1:
        raise ModelError(f"num_beams is {num_beams!r}: give a whole number, 1 or more.")
    if not isinstance(length_penalty, int | float) or not math.isfinite(length_penalty):
        raise ModelError(f"length_penalty is {length_penalty!r}: give a number.")
    if not max_new_tokens:
        return ids.new_zeros(len(ids), 0, dtype=torch.long)
    batch, prompt = ids.shape
    wide = max(2, 1 + len(stops)) * num_beams  # so many that enough of them are unfinished
    each = torch.arange(batch, device=ids.device)
    texts = ids[:, None].expand(-1, num_beams, -1)  # (B, num_beams, T)
    scores = torch.full((batch, num_beams), -math.inf, device=ids.device)
    scores[:, 0] = 0.0  # all beams are the same as yet: one of them counts
    finished = ids.new_zeros(batch, num_beams, prompt + max_new_tokens)
    lengths = ids.new_zeros(batch, num_beams)
    values = torch.full_like(scores, -math.inf)  # of the finished, the best first
    going = torch.ones(batch, dtype=torch.bool, device=ids.device)
    with predicting(model), torch.inference_mode():
        reader = Reader(model)
        for n in range(1, max_new_tokens + 1):
            if n == 1:
                logits = reader.read(ids).repeat_interleave(num_beams, dim=0)
                reader.cache.reorder(each.repeat_interleave(num_beams))
            else:
                logits = reader.read(texts.flatten(0, 1))  # (B * num_beams, vocab_size)
            vocab_size = logits.shape[1]
            nats = logits.float().log_softmax(dim=-1).view(batch, num_beams, -1)
            sums = (scores[..., None] + nats).flatten(1)
            sums, found = sums.topk(min(wide, sums.shape[1]))  # (B, wide), the best first
            rows, tokens = found // vocab_size, found % vocab_size
            longer = torch.cat([_pick(texts, rows), tokens[..., None]], dim=2)
            ends = (tokens[..., None] == stops).any(dim=2) | (n == max_new_tokens)

            among = torch.arange(sums.shape[1], device=ids.device) < num_beams
            counts = ends & among & going[:, None]
            value = (sums / n**length_penalty).masked_fill(~counts, -math.inf)
            values, best = torch.cat([values, value], dim=1).topk(num_beams)
            padded = F.pad(longer, (0, max_new_tokens - n))
            finished = _pick(torch.cat([finished, padded], dim=1), best)
            lengths = torch.cat([lengths, torch.full_like(tokens, n)], dim=1).gather(1, best)

            scores, best = sums.masked_fill(ends, -math.inf).topk(num_beams)
            texts, rows = _pick(longer, best), rows.gather(1, best)
            going = going & (scores[:, 0] / n**length_penalty > values[:, -1])
            if not going.any():
                break
            reader.cache.reorder((each[:, None] * num_beams + rows).flatten())
        check_logits(logits)
    best, lengths = finished[:, 0, prompt:], lengths[:, 0]
    new = torch.arange(int(lengths.max()), device=ids.device)
    return best.gather(1, torch.minimum(new, lengths[:, None] - 1)).long()


def _pick(texts: Tensor, rows: Tensor) -> Tensor:
    """texts (B, N, T) and rows (B, M) -> those rows, (B, M, T)."""
    return texts.gather(1, rows[..., None].expand(-1, -1, texts.shape[2]))


class Reader:
    """Reads texts as they grow, each token once while they are within the context."""

    def __init__(self, model: GPT):
        self.model = model
        self.cache = KVCache()

    def read(self, texts: Tensor) -> Tensor:
        """texts (B, T), longer than before -> logits of the next token, (B, vocab_size)."""
        if texts.shape[1] > self.model.config.context:  # every position has moved
            self.cache, texts = KVCache(), texts[:, -self.model.config.context :]
        fresh = texts[:, self.cache.length :]
        return self.model(fresh, cache=self.cache, last_only=True)[:, 0]


@contextmanager
def predicting(model: GPT):
    """Evaluation mode within, and afterwards each module's own."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def check(model: GPT, ids: Tensor, max_new_tokens: int, generator) -> None:
    """ModelError where a text cannot be continued so."""
    if not model.config.causal or model.config.cross_attention:
        raise ModelError(
            "generate continues a text with a causal model that looks at nothing else: this one "
            + ("is not causal." if not model.config.causal else "looks at an encoder's states.")
        )
    if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.shape[1] == 0:
        raise ModelError(
            "ids must be a tensor of shape (batch, positions) with a token or more in each row: "
            "for one prompt, torch.tensor([tokenizer.encode(text)])."
        )
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise ModelError(f"max_new_tokens is {max_new_tokens!r}: give a whole number, 0 or more.")
    if generator is not None and generator.device.type != ids.device.type:
        raise ModelError(
            f"The generator is on {generator.device} and ids on {ids.device}: make it with "
            f"torch.Generator({str(ids.device)!r})."
        )


def check_logits(logits: Tensor) -> None:
    """ModelError where they are no numbers.

    What is no number stays so in the cache: after many steps, looking at the last is enough.
    """
    if not (logits < math.inf).all():
        raise ModelError(
            "The model's logits are not numbers: are its weights? Training with too high "
            "a learning rate can do this."
        )


def stop_ids(model: GPT, stop: int | Sequence[int] | None, device: torch.device) -> Tensor:
    """The ids that end a text."""
    stops = [] if stop is None else [stop] if isinstance(stop, int) else list(stop)
    for one in stops:
        if not isinstance(one, int) or not 0 <= one < model.config.vocab_size:
            raise ModelError(f"stop is {one}, but vocab_size is {model.config.vocab_size}.")
    return torch.tensor(stops, dtype=torch.long, device=device)


def _strings(stop_strings: str | Sequence[str], tokenizer) -> list[str]:
    strings = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings)
    if not all(isinstance(string, str) and string for string in strings):
        raise ModelError(f"stop_strings is {stop_strings!r}: give texts that are not empty.")
    if strings and tokenizer is None:
        raise ModelError("stop_strings are looked for in the text: give the tokenizer as well.")
    return strings


def _without_padding(ids: Tensor, keep: Tensor) -> list[Tensor]:
    if not isinstance(keep, Tensor) or keep.dtype != torch.bool or keep.shape != ids.shape:
        raise ModelError(
            f"keep must be bool of shape {tuple(ids.shape)}, as ids: True where a token is and "
            "False where padding is."
        )
    if not keep.any(dim=1).all():
        raise ModelError("keep drops all of a row: each prompt needs a token or more.")
    return [row[kept] for row, kept in zip(ids, keep, strict=True)]
