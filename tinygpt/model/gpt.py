"""The model: embedding, positions, blocks, output head."""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tinygpt.model.cache import KVCache
from tinygpt.model.config import INIT_STD, GPTConfig, ModelError
from tinygpt.model.heads import CopyHead, MLMHead
from tinygpt.model.layers import Block, NGrams, Rotary, Sinusoidal, make_norm


class GPT(nn.Module):
    """Logits of the next token at each position; with causal=False, of the token there.

        model = GPT(preset("gpt2", vocab_size=tokenizer.vocab_size))
        logits = model(ids)  # (B, T) -> (B, T, vocab_size)

    A new model gives every token nearly the same probability: its loss is about ln vocab_size (but
    for a copy head, which gives more to what was said).
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.ngrams = NGrams(config) if config.ngram_rows else None
        self.position = None  # what is added to the embeddings, or turns queries and keys
        if config.positions == "learned":
            self.position = nn.Embedding(config.context, config.d_model)
        elif config.positions == "sinusoidal":
            self.position = Sinusoidal(config)
        elif config.positions == "rotary":
            self.position = Rotary(config)
        self.embedding_norm = make_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = make_norm(config) if config.norm_first else nn.Identity()
        if config.mlm_head:
            self.head = MLMHead(config)
        else:
            self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.copy_head = CopyHead(config) if config.copy_head else None
        self.apply(self._start)
        with torch.no_grad():
            if config.embedding_std != INIT_STD:
                self.embedding.weight *= config.embedding_std / INIT_STD
            if self.ngrams is not None:
                self.ngrams.table.weight.zero_()
        # Each block adds to the residual stream two or three times; the more terms in the sum, the
        # smaller each starts, so that its size does not grow with depth.
        terms = config.num_layers * (3 if config.cross_attention else 2)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "mlp.down.weight")):
                std = 0.0 if config.zero_init else INIT_STD / math.sqrt(terms)
                nn.init.normal_(weight, std=std)
        if config.zero_init and not config.tied:
            nn.init.zeros_((self.head.output if config.mlm_head else self.head).weight)
        if config.tied:
            self._tie()

    def _tie(self) -> None:
        (self.head.output if self.config.mlm_head else self.head).weight = self.embedding.weight

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def stored(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of this model as files hold it: a tied matrix once."""
        return {name: tensor for name, tensor in state.items() if name != self.config.tied_name}

    def restored(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict that `stored` was given."""
        tied = {self.config.tied_name: tensors["embedding.weight"]} if self.config.tied else {}
        return tensors | tied

    @classmethod
    def from_stored(cls, config: GPTConfig, tensors: dict[str, Tensor]) -> "GPT":
        """The model whose weights `stored` gives: these tensors themselves, of their type.

        No weights are drawn first, which takes longer than to read a large model from a file.
        """
        with _Undrawn():
            model = cls(config)
        model.load_state_dict(model.restored(tensors), assign=True)
        if config.tied:
            model._tie()
        if model.position is not None:  # what is computed, and not stored
            model.position.to(model.embedding.weight.device)
        return model

    def with_context(self, context: int) -> "GPT":
        """A copy of this model that takes texts of up to `context` tokens: the same numbers, for no
        weight belongs to a position. Beyond what it was trained on, it has to learn them.

        Raises ModelError where positions are learned, and so have weights.
        """
        if self.config.positions == "learned":
            raise ModelError(
                "with_context is for models whose positions are computed: each of this one's "
                f"{self.config.context} learned positions has weights."
            )
        weights = {name: tensor.clone() for name, tensor in self.state_dict().items()}
        return GPT.from_stored(replace(self.config, context=context), self.stored(weights))

    def num_parameters(self) -> int:
        """The numbers that training sets; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(
        self,
        ids: Tensor,
        *,
        keep: Tensor | None = None,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
        cache: KVCache | None = None,
        last_only: bool = False,
        targets: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T), integers -> logits (B, T, vocab_size).

        keep (B, T), bool: False is padding, which no other position looks at. Pad on the right, as
        positions are counted from the left. memory (B, S, d): the states of an encoder, with
        memory_keep (B, S). cache: what came before `ids`, to which they are added. last_only: the
        logits of the last position alone, (B, 1, vocab_size). targets (B, T): instead of the logits
        -ln P of these tokens, (B, T), which costs less where there is a copy head; 0 where a target
        is -1.
        """
        if targets is not None:
            self._check_targets(ids, targets, alone=cache is None and not last_only)
        hidden, look = self._states(ids, keep, memory, memory_keep, cache)
        if targets is not None:
            return self._nats(hidden, ids, targets, look)
        logits = self.head(hidden[:, -1:] if last_only else hidden)
        if self.copy_head is not None:
            logits = self.copy_head(logits, hidden, ids, _may(look, ids, cache), cache)
        if cache is not None:
            cache.advance(ids)
        return logits

    def _nats(self, hidden: Tensor, ids: Tensor, targets: Tensor, look: dict) -> Tensor:
        logits = self.head(hidden)
        nats = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
        ).view_as(targets)
        if self.copy_head is None:
            return nats
        # The target's own logit once more: cheaper than to pick it out of all and go back through.
        logit = (hidden * F.embedding(targets.clamp(min=0), self.head.weight)).sum(dim=2)
        nats = self.copy_head.nats(nats, logit, hidden, ids, targets, _may(look, ids, None))
        return nats.masked_fill(targets < 0, 0.0)

    def hidden(
        self,
        ids: Tensor,
        *,
        keep: Tensor | None = None,
        memory: Tensor | None = None,
        memory_keep: Tensor | None = None,
    ) -> Tensor:
        """The states that the output head takes: as `forward`, but (B, T, d)."""
        return self._states(ids, keep, memory, memory_keep)[0]

    def _states(
        self,
        ids: Tensor,
        keep: Tensor | None,
        memory: Tensor | None,
        memory_keep: Tensor | None,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, dict]:
        """States (B, T, d), and who looked where."""
        start = 0 if cache is None else cache.length
        self._check(ids, start, keep, memory, memory_keep, cache)
        x = self._embed(ids, start, cache)  # (B, T, d)
        look = self._look(ids, start, keep if cache is None else cache.extend_keep(keep, ids))
        memory_look = {} if memory_keep is None else {"attn_mask": memory_keep[:, None, None, :]}
        rotary = self.position if self.config.positions == "rotary" else None
        for block in self.blocks:
            x = block(x, look, rotary, memory, memory_look, cache)
        return self.norm(x), look

    def _embed(self, ids: Tensor, start: int, cache: KVCache | None) -> Tensor:
        """ids (B, T) -> (B, T, d): what the first block takes."""
        try:
            x = self.embedding(ids)
        except IndexError:  # on a GPU the check is the device's own
            raise ModelError(
                f"ids holds {ids.min().item()} to {ids.max().item()}, but vocab_size is "
                f"{self.config.vocab_size}: were they made by another tokenizer?"
            ) from None
        if self.config.positions == "sinusoidal":
            x = x * math.sqrt(self.config.d_model)  # as in the paper, so that words are heard
        if self.config.positions in ("learned", "sinusoidal"):
            x = x + self.position.weight[start : start + ids.shape[1]]
        if self.ngrams is not None:
            x = x + self.ngrams(ids, (cache or KVCache()).last(ids))
        return self.dropout(self.embedding_norm(x))

    def _look(self, ids: Tensor, start: int, keep: Tensor | None) -> dict:
        """Who looks where, as keywords of `scaled_dot_product_attention`.

        keep is (B, S), S = start + T.
        """
        length = ids.shape[1]
        if keep is None:
            if not self.config.causal or length == 1:
                return {}
            if start == 0:
                return {"is_causal": True}  # a kernel of its own, faster than any mask
        # Row t is the position that looks, column s what it looks at; True lets it.
        mask = torch.ones(length, start + length, dtype=torch.bool, device=ids.device)
        itself = mask.tril(start).triu(start)
        if self.config.causal:
            mask = mask.tril(start)
        if keep is not None:
            # Padding looks at itself: a softmax over nothing would be no number.
            mask = mask & keep[:, None, None, :] | itself  # (B, 1, T, S)
        return {"attn_mask": mask}

    def _check(self, ids, start, keep, memory, memory_keep, cache) -> None:
        config = self.config
        if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.shape[1] == 0:
            raise ModelError(f"ids {_shape(ids)}: give token ids of shape (batch, positions).")
        if ids.dtype not in (torch.int64, torch.int32):
            raise ModelError(f"ids has dtype {ids.dtype}: token ids are integers, torch.long.")
        if start + ids.shape[1] > config.context:
            before = f" after {start} in the cache" if start else ""
            raise ModelError(
                f"ids has {ids.shape[1]} positions{before}, and the context is {config.context}: "
                "give fewer, or make the model with a larger context."
            )
        if (memory is None) == config.cross_attention:
            raise ModelError(
                "This model looks at an encoder's states: give memory, of shape (batch, positions, "
                f"{config.d_model})."
                if config.cross_attention
                else "memory is given, but this model has no cross-attention: make it with "
                "cross_attention=True."
            )
        if memory is not None and (
            not isinstance(memory, Tensor)
            or memory.ndim != 3
            or len(memory) != len(ids)
            or memory.shape[2] != config.d_model
        ):
            raise ModelError(
                f"memory {_shape(memory)}: give ({len(ids)}, positions, {config.d_model}), the "
                "states of an encoder for each text of ids."
            )
        if memory_keep is not None and memory is None:
            raise ModelError("memory_keep is given without memory: give both.")
        for name, mask, of in (("keep", keep, ids), ("memory_keep", memory_keep, memory)):
            if mask is not None and (
                not isinstance(mask, Tensor)
                or mask.dtype != torch.bool
                or mask.shape != of.shape[:2]
            ):
                raise ModelError(
                    f"{name} {_shape(mask)}: give bool of shape {tuple(of.shape[:2])}, True where "
                    "a token is and False where padding is."
                )
        if cache is not None and not config.causal:
            raise ModelError(
                "A cache needs causal=True: here earlier positions look at later ones, so what "
                "they hold changes with each new token."
            )

    def _check_targets(self, ids, targets, alone: bool) -> None:
        if not alone:
            raise ModelError("targets are scored where a whole text is given: no cache, all rows.")
        if (
            not isinstance(targets, Tensor)
            or targets.shape != ids.shape
            or targets.dtype != torch.long
        ):
            raise ModelError(
                f"targets {_shape(targets)}: give torch.long of shape {tuple(ids.shape)}, the "
                "token to come at each position, or -1 for none."
            )


class _Undrawn(TorchFunctionMode):
    """New parameters hold whatever lies in memory."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def _may(look: dict, ids: Tensor, cache: KVCache | None) -> Tensor:
    """Who may look where, (T, S) or (B, T, S), bool, from what `GPT._look` says."""
    length = ids.shape[1]
    before = 0 if cache is None else cache.length
    if "attn_mask" in look:
        mask = look["attn_mask"]
        return mask[:, 0] if mask.ndim == 4 else mask
    # Either a text from its start, or one position that looks at all.
    mask = torch.ones(length, before + length, dtype=torch.bool, device=ids.device)
    return mask.tril(before)


def _shape(x: object) -> str:
    if not isinstance(x, Tensor):
        return f"is a {type(x).__name__}"
    return f"has shape {tuple(x.shape)} and dtype {x.dtype}"
