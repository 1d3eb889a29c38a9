"""The text of a run as token ids, made once and kept."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from tinygpt import checkpoint, corpora, data, downloads, parallel
from tinygpt.config import TrainConfig, TrainError
from tinygpt.data import Texts
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

TOKENIZER_TEXT = 1_000_000  # characters that a BPE tokenizer learns from, or more:
PER_TOKEN = 500  # so many for each token asked for


@dataclass(frozen=True)
class Prepared:
    """A corpus as token ids, and its tokenizer."""

    tokenizer: BPETokenizer | CharTokenizer
    train: Texts
    valid: Texts
    test: Texts
    digest: str  # changes whenever the ids to train on, or what they mean, do

    def check(self, folder: Path, about: dict) -> None:
        """TrainError if the checkpoint in `folder` that says this was trained on another text."""
        if about["text"] != self.digest:
            raise TrainError(
                f"{folder} was trained on a text that has changed since, or was cut into other "
                "tokens: restore that text, or begin anew with another --out."
            )


def prepare(config: TrainConfig, place: parallel.Place | None = None) -> Prepared:
    """The text of a run as ids, made once and kept in the cache folder; read from the disk."""
    cut = "windows" if config.rows == "windows" else "texts"
    chosen = [config.tokenizer, config.model.vocab_size, _read(config), cut, config.model.context]
    key = json.dumps([corpora.fingerprint(config.corpus, config.size), *chosen])
    folder = downloads.cache_folder() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if place is None or place.first:
        if not (folder / "test.safetensors").exists():
            _tokenize(config, folder)
    if place is not None:
        place.wait()
    kind = BPETokenizer if config.tokenizer == "bpe" else CharTokenizer
    parts = {name: data.load(folder / f"{name}.safetensors") for name in ("train", "valid", "test")}
    tokenizer = kind.load(folder / "tokenizer.json")
    return Prepared(
        tokenizer,
        **parts,
        digest=checkpoint.digest(folder / "tokenizer.json", folder / "train.safetensors"),
    )


def _read(config: TrainConfig) -> int:
    """How many characters of its text a run's BPE tokenizer learns from, if there are as many."""
    return max(TOKENIZER_TEXT, PER_TOKEN * config.model.vocab_size)


def _tokenize(config: TrainConfig, folder: Path) -> None:
    corpus = corpora.corpus(config.corpus, size=config.size)
    if config.tokenizer == "characters":
        tokenizer = CharTokenizer.train(corpus.train + corpus.valid + corpus.test)
    else:
        # Whole lines, so that a longer Storyland has the tokenizer of a shorter.
        end = corpus.train.find("\n", _read(config) - 1) + 1 or len(corpus.train)
        tokenizer = BPETokenizer.train(corpus.train[:end], config.model.vocab_size)
    checkpoint.atomically(folder / "tokenizer.json", tokenizer.save)
    for name in ("train", "valid", "test"):  # test last: when it is there, all are
        text = getattr(corpus, name)
        try:
            if config.rows != "windows":
                lines, most = text.splitlines(keepends=True), config.model.context
                if name != "train":  # training cuts longer texts, and these are to compare with
                    fit = [line for line in lines if len(tokenizer.encode(line)) <= most]
                    if name == "test" and fit != lines and corpora.floor(config.corpus):
                        raise ValueError(
                            f"the floor is of all texts, and {len(lines) - len(fit)} of them do "
                            f"not fit into {most} tokens: raise the context, or the size"
                        )
                    lines = fit
                if not lines:
                    raise ValueError(
                        f"no text has {most} tokens or fewer: raise the context, or take rows of "
                        "windows"
                    )
                texts = data.texts(lines, tokenizer)
            else:
                texts = data.stream(text, tokenizer, config.model.context)
        except ValueError as error:
            raise TrainError(f"The {name} part of {config.corpus}: {error}.") from None
        data.save(folder / f"{name}.safetensors", texts)
