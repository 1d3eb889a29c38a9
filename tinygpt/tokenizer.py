"""From text to token ids and back: characters, byte-pair encoding, or what a published model came
with.

All tokenizers have the same six members, so a model takes any of them:

    ids = tokenizer.encode(text)            # list[int], each in range(vocab_size)
    ends = tokenizer.ends(text)             # where in the text each of them ends
    text = tokenizer.decode(ids)            # the same text again
    tokenizer.vocab_size                    # V
    tokenizer.save(path)                    # one JSON file
    tokenizer = CharTokenizer.load(path)    # or BPETokenizer.load(path), or HFTokenizer.load(path)

The byte-pair encoding is Hugging Face `tokenizers` in the layout of GPT-2 (Radford et al., 2019,
"Language Models are Unsupervised Multitask Learners"): bytes, GPT-2's pre-splitting, merges. The
chapter on tokens builds the same thing by hand and asserts that the two agree.
"""

import functools
import json
import os
from collections.abc import Iterable, Sequence
from operator import index
from pathlib import Path
from typing import Self

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tinygpt.errors import PlainError

END = "<|end|>"
SAVED = '{"type": "huggingface", '  # how the file of an HFTokenizer begins
NUM_BYTES = 256
# GPT-2 writes each byte as a character that can be seen: itself, or the next from 256 on.
VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {chr(byte): byte for byte in VISIBLE}
for byte in sorted(set(range(NUM_BYTES)) - set(VISIBLE)):
    BYTES[chr(NUM_BYTES + len(BYTES) - len(VISIBLE))] = byte


class TokenizerError(PlainError, ValueError):
    """A text, an id or a file that a tokenizer cannot take. The message is one line."""


class CharTokenizer:
    """One token a character, ids in the order of the code points.

    There is no token for unknown characters: it could not be decoded, and a model would be praised
    for guessing it. `encode` refuses such text instead.
    """

    end_id = None  # no token ends a text

    def __init__(self, characters: Iterable[str]):
        self.characters = "".join(sorted(set(characters)))
        if not self.characters:
            raise TokenizerError("A CharTokenizer needs at least one character: the text is empty.")
        self._ids = {character: i for i, character in enumerate(self.characters)}

    @classmethod
    def train(cls, text: str) -> Self:
        """The tokenizer of the characters in `text`."""
        return cls(_checked(text))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, one a character; TokenizerError where one is not in the vocabulary."""
        try:
            return [self._ids[character] for character in _checked(text)]
        except KeyError as error:
            character = error.args[0]
            raise TokenizerError(
                f"The character {character!r} at position {text.index(character)} is not among the "
                f"{self.vocab_size} that this tokenizer knows: train it on text that has it, or "
                "use BPETokenizer, which takes any text."
            ) from None

    def ends(self, text: str) -> list[int]:
        """Where each token of `encode(text)` ends, in characters."""
        return list(range(1, len(_checked(text)) + 1))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; TokenizerError where one is not in range(vocab_size)."""
        return "".join(self.characters[i] for i in _checked_ids(ids, self.vocab_size))

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer to `path`, as JSON."""
        _write(path, json.dumps({"type": "characters", "characters": self.characters}))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """The tokenizer that `save` wrote to `path`."""
        content = _read(path)
        if content.get("type") != "characters" or not isinstance(content.get("characters"), str):
            raise TokenizerError(f"{path} holds no CharTokenizer: was it saved by another class?")
        return cls(content["characters"])


class BPETokenizer:
    """Byte-level byte-pair encoding: takes any text, and gives it back exactly.

    Ids 0 to 255 are the bytes in GPT-2's order, then come the merges in the order they were
    learned, and last `end_id`, the token `<|end|>` that may stand after a text. No text encodes to
    it, not even "<|end|>": whoever joins texts appends `end_id` to the ids.
    """

    def __init__(self, tokenizer: Tokenizer):
        """Wrap a tokenizer of `tokenizers` whose last token is `<|end|>`."""
        self._tokenizer = tokenizer
        # A property that the JSON file does not keep: take "<|end|>" in a text as plain text.
        self._tokenizer.encode_special_tokens = True

    def __reduce__(self):
        # Nor does pickle keep it, and a data loader's worker gets its tokenizer by pickle.
        return type(self), (self._tokenizer,)

    @classmethod
    def train(cls, text: str, vocab_size: int) -> Self:
        """Learn merges from `text` until there are `vocab_size` tokens, 257 or more.

        A short text may run out of pairs; then there are fewer. Ties go to the pair with the
        smaller left id, then the smaller right id. Pieces are cut first by GPT-2's pattern, so no
        token reaches across a space or from letters to digits or punctuation.
        """
        if not isinstance(vocab_size, int) or vocab_size <= NUM_BYTES:
            raise TokenizerError(
                f"vocab_size is {vocab_size!r}: give {NUM_BYTES + 1} or more, "
                f"for the {NUM_BYTES} bytes and {END}."
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - 1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator([_checked(text)], trainer)
        # After training, so that it is the last id, as in GPT-2. No merge can have made it: the
        # pattern above cuts letters from punctuation.
        tokenizer.add_special_tokens([END])
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def end_id(self) -> int:
        return self._tokenizer.token_to_id(END)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without `end_id`."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, on all cores: the fast way where there are many."""
        if isinstance(texts, str):
            raise TokenizerError("encode_batch takes a list of texts; for one text use encode.")
        encodings = self._tokenizer.encode_batch_fast([_checked(text) for text in texts])
        return [encoding.ids for encoding in encodings]

    def ends(self, text: str) -> list[int]:
        """Where each token of `encode(text)` ends, in characters.

        A token that ends inside a character counts as reaching its end.
        """
        return [end for _, end in self._tokenizer.encode(_checked(text)).offsets]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; `end_id` gives nothing, bytes that are not UTF-8 give U+FFFD.

        A token may end inside a character, so decode a text whole, not token by token.
        """
        return self._tokenizer.decode(_checked_ids(ids, self.vocab_size))

    def token_bytes(self, i: int) -> bytes:
        """The bytes that token `i` stands for: those of a text's tokens are the text in UTF-8.

        For what shows a text while it grows: a character may be cut between two tokens. `end_id`
        gives none.
        """
        (i,) = _checked_ids([i], self.vocab_size)
        return b"" if i == self.end_id else _bytes(self._tokenizer.id_to_token(i))

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer to `path`, in the JSON format of Hugging Face `tokenizers`."""
        _write(path, self._tokenizer.to_str(pretty=True))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """The tokenizer that `save` wrote to `path`."""
        content = json.dumps(_read(path))
        try:
            tokenizer = Tokenizer.from_str(content)
        except Exception:  # the library has no narrower class
            tokenizer = Tokenizer(models.BPE())
        if [token.content for token in tokenizer.get_added_tokens_decoder().values()] != [END]:
            raise TokenizerError(f"{path} holds no BPETokenizer: was it saved by another class?")
        return cls(tokenizer)


class HFTokenizer:
    """The tokenizer of a Hugging Face folder, whatever its kind: what its tokenizer.json says.

        tokenizer = HFTokenizer.load("folder")
        tokenizer.encode("<|im_end|>")                  # 6 tokens: the text, as for BPETokenizer
        tokenizer.encode("<|im_end|>", special=True)    # 1 token: what a chat template writes

    Not every kind gives each text back: BERT's makes letters small, and has a token for what it
    does not know.
    """

    def __init__(self, tokenizer: Tokenizer, names: dict[str, str] | None = None):
        """Wrap a tokenizer of `tokenizers`; `names` says which of its special tokens serves as
        what: {"eos_token": "<|im_end|>"}."""
        self.names = dict(names or {})
        self._tokenizer = tokenizer
        self._tokenizer.no_truncation()  # which these files bring along from training
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True

    def __reduce__(self):
        return type(self), (self._tokenizer, self.names)

    @functools.cached_property
    def _reads_special(self) -> Tokenizer:
        """The same, but a special token that is written in a text is that token."""
        copy = Tokenizer.from_str(self._tokenizer.to_str())
        copy.encode_special_tokens = False
        return copy

    @functools.cached_property
    def vocab_size(self) -> int:
        return max(self._tokenizer.get_vocab().values()) + 1

    @property
    def end_id(self) -> int | None:
        """The token that ends a text, or an answer; None where there is none, as in BERT's."""
        name = self.names.get("eos_token")
        return None if name is None else self._tokenizer.token_to_id(name)

    def encode(self, text: str, *, special: bool = False, around: bool = False) -> list[int]:
        """The ids of `text`.

        special: a special token that is written in the text is read as that token, and not as
        text. around: with what the tokenizer puts around a text, as BERT's [CLS] and [SEP].
        """
        return self.encode_batch([text], special=special, around=around)[0]

    def encode_batch(
        self, texts: Iterable[str], *, special: bool = False, around: bool = False
    ) -> list[list[int]]:
        """The ids of each text, on all cores: the fast way where there are many."""
        if isinstance(texts, str):
            raise TokenizerError("encode_batch takes a list of texts; for one text use encode.")
        tokenizer = self._reads_special if special else self._tokenizer
        encodings = tokenizer.encode_batch_fast(
            [_checked(text) for text in texts], add_special_tokens=around
        )
        return [encoding.ids for encoding in encodings]

    def ends(self, text: str) -> list[int]:
        """Where each token of `encode(text)` ends, in characters.

        A token that ends inside a character counts as reaching its end.
        """
        encoding = self._tokenizer.encode(_checked(text), add_special_tokens=False)
        return [end for _, end in encoding.offsets]

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of `ids`; special tokens give nothing, or with `special` their names.

        A token may end inside a character, so decode a text whole, not token by token.
        """
        ids = _checked_ids(ids, self.vocab_size)
        return self._tokenizer.decode(ids, skip_special_tokens=not special)

    def token_bytes(self, i: int) -> bytes:
        """The bytes that token `i` stands for, where the tokens are bytes, as in GPT-2's way.

        For what shows a text while it grows: a character may be cut between two tokens. A special
        token gives none, as in `decode`.
        """
        (i,) = _checked_ids([i], self.vocab_size)
        added = self._added.get(i)
        if added is not None:
            return b"" if added.special else added.content.encode()
        if not isinstance(self._tokenizer.decoder, decoders.ByteLevel):
            raise TokenizerError(
                "The tokens of this tokenizer are no bytes: decode the whole text instead."
            )
        return _bytes(self._tokenizer.id_to_token(i))

    @functools.cached_property
    def _added(self) -> dict[int, AddedToken]:
        return self._tokenizer.get_added_tokens_decoder()

    def save(self, path: str | os.PathLike) -> None:
        """Write the tokenizer to `path`, as JSON: a tokenizer.json, and which token ends a text."""
        tokenizer = json.loads(self._tokenizer.to_str())
        content = json.dumps({"names": self.names, "tokenizer": tokenizer})
        _write(path, SAVED + content[1:])

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """The tokenizer that `save` wrote to `path`, or that of the Hugging Face folder there."""
        path = Path(path)
        names = {}
        if path.is_dir():
            if not (path / "tokenizer.json").is_file():
                raise TokenizerError(
                    f"{path} holds no tokenizer.json. If transformers reads its tokenizer, it "
                    f"writes one: AutoTokenizer.from_pretrained({str(path)!r}).save_pretrained("
                    f"{str(path)!r})."
                )
            names, path = _names(path), path / "tokenizer.json"
        text = _read_text(path)
        if text.startswith(SAVED):
            content = _parsed(text, path)
            names, text = content.get("names"), json.dumps(content.get("tokenizer"))
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception:  # the library has no narrower class
            raise TokenizerError(f"{path} is no tokenizer.json that `tokenizers` reads.") from None
        return cls(tokenizer, names)


def _names(folder: Path) -> dict[str, str]:
    """Which special token of a Hugging Face folder serves as what."""
    names = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            for key, value in _read(folder / name).items():
                value = value.get("content") if isinstance(value, dict) else value
                if key.endswith("_token") and isinstance(value, str):
                    names[key] = value
    return names


def _checked(text: str) -> str:
    """`text`, if it can be written as UTF-8."""
    if not isinstance(text, str):
        raise TokenizerError(f"A tokenizer takes a str, not {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"The text holds {text[error.start]!r} at position {error.start}, half of a surrogate "
            "pair and no character: open files with encoding='utf-8', and do not cut UTF-16."
        ) from None
    return text


def _bytes(token: str) -> bytes:
    """What a token of a byte-level tokenizer stands for, from the way it is written."""
    return bytes(BYTES[character] for character in token)


def _checked_ids(ids: Sequence[int], vocab_size: int) -> list[int]:
    """`ids` as plain ints, each in range(vocab_size)."""
    checked = []
    for position, i in enumerate(ids):
        try:
            checked.append(index(i))  # takes NumPy's and PyTorch's integers too
        except TypeError:
            raise TokenizerError(f"Token {position} is {i!r}, not an integer id.") from None
        if not 0 <= checked[-1] < vocab_size:
            raise TokenizerError(
                f"Token {position} is {checked[-1]}, but this tokenizer has ids 0 to "
                f"{vocab_size - 1}: were the ids made by another one?"
            )
    return checked


def _write(path: str | os.PathLike, content: str) -> None:
    try:
        Path(path).write_text(content + "\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise TokenizerError(f"{path} cannot be written ({error.strerror or error}).") from None


def _read(path: str | os.PathLike) -> dict:
    return _parsed(_read_text(path), path)


def _read_text(path: str | os.PathLike) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise TokenizerError(f"{path} is not the JSON file of a tokenizer.") from None


def _parsed(text: str, path: str | os.PathLike) -> dict:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} is not the JSON file of a tokenizer.")
    return content
