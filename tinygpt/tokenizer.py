"""From text to token ids and back: characters, or byte-pair encoding.

Both tokenizers have the same six members, so a model takes either:

    ids = tokenizer.encode(text)            # list[int], each in range(vocab_size)
    ends = tokenizer.ends(text)             # where in the text each of them ends
    text = tokenizer.decode(ids)            # the same text again
    tokenizer.vocab_size                    # V
    tokenizer.save(path)                    # one JSON file
    tokenizer = CharTokenizer.load(path)    # or BPETokenizer.load(path)

The byte-pair encoding is Hugging Face `tokenizers` in the layout of GPT-2 (Radford et al., 2019,
"Language Models are Unsupervised Multitask Learners"): bytes, GPT-2's pre-splitting, merges. The
chapter on tokens builds the same thing by hand and asserts that the two agree.
"""

import json
import os
from collections.abc import Iterable, Sequence
from operator import index
from pathlib import Path
from typing import Self

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tinygpt.errors import PlainError

END = "<|end|>"
NUM_BYTES = 256


class TokenizerError(PlainError, ValueError):
    """A text, an id or a file that a tokenizer cannot take. The message is one line."""


class CharTokenizer:
    """One token a character, ids in the order of the code points.

    There is no token for unknown characters: it could not be decoded, and a model would be praised
    for guessing it. `encode` refuses such text instead.
    """

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
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read ({error.strerror or error}).") from None
    except ValueError:  # not UTF-8, or not JSON
        content = None
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} is not the JSON file of a tokenizer.")
    return content
