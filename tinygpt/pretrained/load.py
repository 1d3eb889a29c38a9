"""From a folder to a model that talks, or one that says how alike two texts are."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from tinygpt import hf
from tinygpt.model import GPT, GPTConfig
from tinygpt.pretrained import store
from tinygpt.pretrained.wheels import PretrainedError
from tinygpt.tokenizer import BPETokenizer, CharTokenizer, HFTokenizer

Tokenizer = HFTokenizer | BPETokenizer | CharTokenizer


@dataclass(frozen=True, eq=False, repr=False)
class _Loaded:
    name: str
    model: GPT  # in eval mode
    tokenizer: Tokenizer
    folder: Path  # in Hugging Face's form: `from_pretrained` of transformers reads it too

    def __repr__(self) -> str:
        config = self.model.config
        return (
            f"{type(self).__name__}({self.name!r}: {self.model.num_parameters():,} parameters, "
            f"{config.vocab_size:,} tokens, context {config.context:,})"
        )


class LanguageModel(_Loaded):
    """A causal model, its tokenizer, and how it wants a conversation written."""

    @cached_property
    def template(self) -> str | None:
        """The chat template, in the language of Jinja; None where the folder has none."""
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text(encoding="utf-8")
        found = _json(self.folder / "tokenizer_config.json").get("chat_template")
        if isinstance(found, list):  # several, each with a name
            found = {one["name"]: one["template"] for one in found}.get("default")
        return found

    def chat(self, messages: list[dict[str, str]], *, add_generation_prompt: bool = True) -> str:
        """What the model reads for a conversation: the chat template, filled in.

            smollm.chat([{"role": "user", "content": "Hi"}])

        With `add_generation_prompt` it ends where the answer is to begin. Encode it with
        `special=True`: its marks are tokens of their own. (Those that stand in a message become
        such tokens as well, as with any chat template.)
        """
        if self.template is None:
            raise PretrainedError(f"{self.name} has no chat template: it was not trained to chat.")
        for i, message in enumerate(messages):
            if not isinstance(message, dict) or not all(
                isinstance(message.get(key), str) for key in ("role", "content")
            ):
                raise PretrainedError(
                    f"Message {i} is {message!r}: give a role and a content, as in "
                    '{"role": "user", "content": "Hi"}.'
                )
        import jinja2

        names = self.tokenizer.names if isinstance(self.tokenizer, HFTokenizer) else {}
        try:
            return _compiled(self.template).render(
                messages=messages, add_generation_prompt=add_generation_prompt, **names
            )
        except jinja2.TemplateError as error:
            raise PretrainedError(f"The chat template of {self.name} says: {error}") from None


class SentenceEncoder(_Loaded):
    """An encoder, its tokenizer, and the way from a text to one vector."""

    @cached_property
    def most(self) -> int:
        """The most tokens of a text that are read."""
        most = _json(self.folder / "sentence_bert_config.json").get("max_seq_length")
        return min(most or self.model.config.context, self.model.config.context)

    @torch.no_grad()
    def encode(self, texts: list[str], *, batch_size: int = 32) -> Tensor:
        """(N, d_model): the mean of each text's states, of length 1.

        So the product of two rows is the cosine of the angle between them. Tokens after the first
        `most` are not read.
        """
        if isinstance(texts, str):
            raise PretrainedError("encode takes a list of texts: for one, encode([text])[0].")
        ids = self._ids(texts)
        found = self.model.embedding.weight.new_empty(len(ids), self.model.config.d_model)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # little padding in a batch
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            lengths = torch.tensor([len(ids[i]) for i in rows])
            padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
            for row, i in enumerate(rows):
                padded[row, : len(ids[i])] = torch.tensor(ids[i])
            keep = torch.arange(padded.shape[1]) < lengths[:, None]  # (B, T)
            padded, keep = padded.to(found.device), keep.to(found.device)
            states = self.model.hidden(padded, keep=keep)  # (B, T, d)
            keep = keep[..., None].to(states.dtype)
            mean = (states * keep).sum(dim=1) / keep.sum(dim=1)  # (B, d)
            found[rows] = F.normalize(mean, dim=1)
        return found

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if isinstance(self.tokenizer, HFTokenizer):
            ids = self.tokenizer.encode_batch(texts, around=True)
        else:
            ids = [self.tokenizer.encode(text) for text in texts]
        for i, one in enumerate(ids):
            if not one:
                raise PretrainedError(f"Text {i} has no tokens, so there is no mean of its states.")
        # What stands at the end of a text, as [SEP], stays there when it is cut.
        return [one if len(one) <= self.most else one[: self.most - 1] + one[-1:] for one in ids]


def pretrained(
    model: str | Path, *, dtype: torch.dtype = torch.float32
) -> LanguageModel | SentenceEncoder:
    """The model called so, or that of a Hugging Face folder at that path.

    Names are "smollm2-135m-instruct" and "minilm"; the first use of one fetches it. A folder may
    hold a Llama, a Qwen3, a GPT-2 or a BERT; a str is a path if it exists or looks like one. The
    weights are of type `dtype`. Raises PretrainedError, ModelError or TokenizerError, with one line
    that says what to do.
    """
    path = Path(model).expanduser()
    is_path = isinstance(model, Path) or path.name != model or path.exists()
    if is_path and model not in store.KNOWN:
        if not path.is_dir():
            raise PretrainedError(f"{path} is no folder: give the path of a Hugging Face folder.")
        made, tokenizer = hf.load(path, dtype)
        return _loaded(path.name, made, tokenizer, path)
    folder = store.fetch(model)
    said = store.about(folder)
    made = hf.from_state(
        GPTConfig(**said["config"]), said["class"], load_file(folder / "model.safetensors"), dtype
    )
    return _loaded(model, made, HFTokenizer.load(folder), folder)


def _loaded(
    name: str, model: GPT, tokenizer: Tokenizer, folder: Path
) -> LanguageModel | SentenceEncoder:
    if model.config.causal:
        return LanguageModel(name, model.eval(), tokenizer, folder)
    pooling = _json(folder / "1_Pooling" / "config.json")
    if not pooling.get("pooling_mode_mean_tokens", True):
        raise PretrainedError(
            f"{folder} makes a sentence's vector in another way than by a mean (see "
            "1_Pooling/config.json), which is the one we have."
        )
    return SentenceEncoder(name, model.eval(), tokenizer, folder)


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _compiled(template: str):
    """As transformers compiles it: a template comes with a model, and may do nothing but write."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str):
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template)
