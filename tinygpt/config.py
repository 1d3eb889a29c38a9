"""What a training run is made of, and the runs that have a name."""

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from tinygpt import checkpoint
from tinygpt.errors import PlainError
from tinygpt.model import GPTConfig, preset


class TrainError(PlainError, ValueError):
    """A run that cannot start or go on. The message is one line: what, where, what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is made of."""  # each comment below is the help of its field

    out: Path = Path("runs/first")  # the folder of the run: checkpoints and record
    resume: bool = False  # go on where the run in `out` stopped, if there is one

    # The text
    corpus: str = "storyland"  # storyland, shakespeare, pydocs, tinystories, or a file's path
    size: str = "10MB"  # of Storyland's training text: 200kB, 1MB ... (other texts have theirs)
    tokenizer: Literal["bpe", "characters"] = "bpe"  # learned from the text
    # lines: a row is one line; texts: it starts where a line does; windows: anywhere
    rows: Literal["lines", "texts", "windows"] = "windows"  # where the rows of a step start and end

    # The model; its vocab_size is that of the tokenizer, which may find fewer tokens in its text
    model: GPTConfig = GPTConfig(vocab_size=1536)  # what the model is made of

    # The steps
    steps: int = 1000  # how often the weights are changed
    batch_size: int = 8  # rows a step, of all processes together
    micro_batch: int | None = None  # rows computed at once; fewer take less memory; None: all
    clip: float = 1.0  # a longer gradient is shortened to this length
    seed: int = 0  # of the first weights, the order of the rows, and dropout

    # The optimisers
    optimiser: Literal["muon", "adamw"] = "muon"  # of the matrices in the blocks; the rest: AdamW
    learning_rate: float = 5e-3  # AdamW's
    matrix_learning_rate: float = 0.02  # Muon's
    embedding_learning_rate: float | None = 2e-2  # AdamW's for embeddings; None: as the rest
    weight_decay: float = 0.0  # times the learning rate: what a step takes off each matrix
    beta_1: float = 0.9  # AdamW's memory of gradients
    beta_2: float = 0.95  # AdamW's memory of their squares
    momentum: float = 0.9  # Muon's memory of gradients
    schedule: Literal["linear", "cosine", "stable-linear"] = "linear"  # how the rates fall
    warm_up: int = 20  # steps in which the rates rise
    decay: float = 0.5  # the part of the steps in which a stable-linear schedule falls

    # Looking
    every: int = 250  # steps between two looks at the validation text, each with a checkpoint
    valid_texts: int = 200  # how many texts, or windows, of it are looked at
    tensorboard: bool = False  # write events for TensorBoard into `out`, where it is installed

    # The machine
    device: str | None = None  # cpu, cuda or mps; None: the fastest that is there
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on GPUs with it
    compile: bool | None = None  # use torch.compile; None: on CUDA only
    shard: bool = False  # FSDP2: each process holds its share of the weights only

    def __post_init__(self):
        for name in ("steps", "batch_size", "micro_batch", "every", "valid_texts"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainError(f"{name} is {value}: give a whole number, 1 or more.")
        for name in ("seed", "warm_up", "weight_decay", "momentum", "beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TrainError(f"{name} is {getattr(self, name)}: give a number, 0 or more.")
        for name in ("beta_1", "beta_2", "momentum"):
            if not getattr(self, name) < 1:
                raise TrainError(f"{name} is {getattr(self, name)}: give a number below 1.")
        for name in ("learning_rate", "matrix_learning_rate", "embedding_learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise TrainError(f"{name} is {value}: give a number, more than 0.")
        if self.model.cross_attention:
            raise TrainError("A run trains one model alone: give cross_attention=False.")
        if not self.model.causal and (self.tokenizer, self.rows) != ("bpe", "lines"):
            raise TrainError(
                "A model that is not causal learns to fill gaps in whole texts: give tokenizer "
                "bpe, whose last token is the mask, and rows of lines."
            )
        if not 0 < self.decay <= 1:
            raise TrainError(f"decay is {self.decay}: give a part of the steps, 0 to 1.")

    def described(self) -> dict:
        """The configuration as JSON can hold it."""
        return asdict(self) | {"out": str(self.out)}

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """The configuration that a run's config.json holds."""
        stored = checkpoint.read_json(path)
        for kind, part in ((cls, stored), (GPTConfig, stored.get("model", {}))):
            known = [field.name for field in fields(kind)]
            for name in part:
                if name not in known:
                    raise TrainError(
                        f"{path} has {name!r}, which a run has not: it is of another version of "
                        "tinygpt, or of another program."
                    )
        if not stored.get("model", {}).get("vocab_size"):
            raise TrainError(f"{path} says nothing of a model: it is not of a run.")
        model = GPTConfig(**stored.pop("model"))
        return cls(**stored | {"out": path.parent, "model": model})


# What a run may change when it goes on. Without dropout the weights that come of it are the same
# but for rounding. With dropout, other pieces, another device, torch.compile and another number of
# processes draw other places to drop: as good a run, but another.
FREE = ("out", "resume", "micro_batch", "every", "tensorboard", "device", "compile", "shard")

# What was best at these sizes in a prototype.
RECIPE = {
    "norm": "rmsnorm",
    "norm_eps": 1e-6,
    "positions": "rotary",
    "rotary_base": 1000.0,
    "activation": "swiglu",
    "qk_norm": True,
    "bias": False,
    "tied": False,
    "zero_init": True,
    "embedding_std": 0.3,
}
STORY = {"corpus": "storyland", "tokenizer": "bpe", "rows": "texts"}
PLAYS = {
    "corpus": "shakespeare",
    "tokenizer": "characters",
    "rows": "windows",
}
GPT2_SMALL = {"context": 1024, "num_layers": 12, "num_heads": 12, "d_model": 768}


def _model(vocab_size: int, context: int, num_layers: int, num_heads: int, d_model: int):
    sizes = dict(context=context, num_layers=num_layers, num_heads=num_heads, d_model=d_model)
    return GPTConfig(vocab_size=vocab_size, **sizes, **RECIPE)


PRESETS = {
    "smoke": STORY
    | {
        "size": "50kB",
        "tokenizer": "characters",
        "rows": "windows",
        "model": _model(100, 64, 2, 2, 32),
        "steps": 40,
        "every": 20,
        "valid_texts": 32,
        "warm_up": 5,
    },
    "story-laptop": STORY
    | {
        # What two cores learn in five minutes: small, with a head for what was said.
        "model": replace(_model(1536, 224, 3, 3, 96), activation="relu2", copy_head=True),
        "rows": "lines",
        "batch_size": 16,
        "steps": 2000,
        "every": 400,
    },
    # What Parts 4 and 5 start from: no piece that a class of Transformers lacks, on two cores in
    # two hours. Every story is read once.
    "story-base": STORY
    | {
        "size": "130MB",
        "model": _model(1536, 224, 5, 4, 128),
        "rows": "lines",
        "batch_size": 16,
        "steps": 15_000,
        "every": 500,
    },
    # An encoder of the same size, which reads the same stories once, with gaps.
    "story-bert": STORY
    | {
        "size": "130MB",
        "model": preset(
            "bert", vocab_size=1536, context=224, num_layers=5, num_heads=4, d_model=128
        ),
        "rows": "lines",
        "learning_rate": 2.5e-3,
        "matrix_learning_rate": 0.015,
        "embedding_learning_rate": 1e-2,
        "warm_up": 100,
        "batch_size": 16,
        "steps": 15_000,
        "every": 500,
    },
    "story-gpu": STORY
    | {
        "size": "100MB",
        "model": _model(1536, 224, 5, 7, 224),
        "steps": 6000,
        "batch_size": 128,
    },
    "shakespeare-laptop": PLAYS
    | {
        # Half of the parameters are in a table, which takes hardly any time.
        "model": replace(
            _model(65, 64, 2, 4, 128), rotary_base=30.0, activation="relu2", ngram_rows=3072
        ),
        "steps": 2200,
        "batch_size": 12,
        "valid_texts": 10_000,
    },
    "shakespeare-gpu": PLAYS
    | {
        "model": replace(
            _model(65, 256, 6, 6, 384), rotary_base=100.0, activation="relu2", dropout=0.2
        ),
        "steps": 1000,
        "batch_size": 64,
        "valid_texts": 10_000,
    },
    # 12 blocks of GPT-2's width. Of its 50,257 tokens it has as many as the text has to give.
    "gpt2-small": {
        "corpus": "tinystories",
        "model": preset("gpt2", vocab_size=50257, **GPT2_SMALL),
        "optimiser": "adamw",
        "learning_rate": 6e-4,
        "embedding_learning_rate": None,
        "weight_decay": 0.1,
        "schedule": "cosine",
        "batch_size": 64,
        "micro_batch": 16,
        "steps": 5000,
    },
}


def configure(name: str, **changes) -> TrainConfig:
    """The configuration called `name`, with whatever is to be different."""
    if name not in PRESETS:
        raise TrainError(f"There is no preset {name!r}: choose {', '.join(PRESETS)}.")
    return TrainConfig(**PRESETS[name] | changes)
