"""The recorded runs of the page "Translation and summary": two kinds of translators at equal size,
and summaries by a tuned model and by a real one."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from storyland.tasks import chinese, summaries
from storyland.tasks.chinese import Example
from tinygpt import optim, records
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.model import GPT, preset
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.tune import Pairs, nats_said, say, tune
from tools.records.job import Job, once

# The shorter sentences: with the others a run takes four times as long to learn anything.
PLOTS = ("cake", "lost", "noise", "race", "work")
TRAIN, VALID, TEST = 3000, 150, 200  # sentences of the stories of seeds 1, 2 and 3
STEPS, BATCH, LONGER = 300, 16, 600
# Muon's, and beyond where the best is at the edge; AdamW's are a sixth, for embeddings two thirds.
RATES = (0.003, 0.01, 0.03, 0.09)
SEEDS = range(3)
WIDTH, HEADS, LONGEST = 48, 2, 60  # the most tokens that are written
KINDS = ("decoder-only", "encoder-decoder")


class Tokens:
    """English words with the space before them; all else, Chinese too, by characters."""

    def __init__(self, texts: Iterable[str]):
        self.tokens = sorted({token for text in texts for token in self.cut(text)} | {"\n"})
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.vocab_size = len(self.tokens)

    @staticmethod
    def cut(text: str) -> list[str]:
        return re.findall(r" ?[A-Za-z]+|[^A-Za-z]", text)

    def encode(self, text: str) -> list[int]:
        return [self.ids[token] for token in self.cut(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.tokens[i] for i in ids)


class Translator(nn.Module):
    """An encoder that reads, and a decoder that looks into what was read while it writes.

    Rows are those of `Pairs`: what is given is negative, and stands before what is said.
    """

    def __init__(self, vocab_size: int):
        super().__init__()
        make = partial(preset, "modern", vocab_size=vocab_size, **SIZES, num_layers=2)
        self.encoder = GPT(make(causal=False))
        self.decoder = GPT(make(cross_attention=True))
        self.encoder.embedding = self.decoder.embedding
        self.encoder.head = self.decoder.head  # tied to it, and not used

    def read(self, sources: Sequence[Tensor]) -> dict[str, Tensor]:
        """Texts (S,) -> the memory (B, S, d) and where it holds something."""
        ids = pad_sequence(list(sources), batch_first=True, padding_value=-1)
        keep = ids >= 0
        return {"memory": self.encoder.hidden(ids.clamp(min=0), keep=keep), "memory_keep": keep}

    def nats(self, rows: Tensor) -> Tensor:
        """-ln P of each token that is said, in one row behind another."""
        sources = [-2 - row[row < -1] for row in rows]
        # The newline that ended what was given begins what is said.
        said = [torch.cat([source[-1:], row[row >= 0]])
                for source, row in zip(sources, rows, strict=True)]
        said = pad_sequence(said, batch_first=True, padding_value=-1)
        logits = self.decoder(said[:, :-1].clamp(min=0), **self.read(sources))
        return F.cross_entropy(
            logits.flatten(0, 1), said[:, 1:].flatten(), ignore_index=-1, reduction="none"
        )

    @torch.no_grad()
    def say(self, tokens: Tokens, inputs: Sequence[str]) -> list[str]:
        """The most probable translation of each, token for token."""
        (newline,) = tokens.encode("\n")
        memory = self.read([torch.tensor(tokens.encode(f"\n{text}\n")) for text in inputs])
        ids = torch.full((len(inputs), 1), newline)
        for _ in range(LONGEST):
            logits = self.decoder(ids, **memory, last_only=True)
            ids = torch.cat([ids, logits.argmax(-1)], dim=1)
            if (ids[:, 1:] == newline).any(dim=1).all():
                break
        return [tokens.decode(row[1:]).partition("\n")[0] for row in ids.tolist()]


SIZES = {"context": 192, "num_heads": HEADS, "d_model": WIDTH}


class _Loss(nn.Module):
    """Mean nats a token that is said, of either kind of translator."""

    def __init__(self, model: GPT | Translator):
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> Tensor:
        if isinstance(self.model, Translator):
            return self.model.nats(rows).sum() / (rows >= 0).sum()
        return nats_said(self.model, rows).sum() / (rows >= 0).sum()


def translator(kind: str, vocab_size: int, seed: int) -> GPT | Translator:
    """A new one. Its blocks hold equally many numbers whichever kind it is: cross-attention costs
    4 d² in two of four blocks, and without it each MLP is wider by a quarter."""
    torch.manual_seed(seed)
    if kind == "encoder-decoder":
        return Translator(vocab_size)
    wider = WIDTH * 10 // 3  # for 8 / 3
    return GPT(preset("modern", vocab_size=vocab_size, num_layers=4, mlp_hidden=wider, **SIZES))


def train(model: GPT | Translator, pairs: Pairs, rate: float, steps: int = STEPS) -> None:
    """Muon and AdamW; the rates rise over 20 steps and fall on a line to 0."""
    optimisers = optim.make(
        model, learning_rate=rate / 6, matrix_learning_rate=rate,
        embedding_learning_rate=rate * 2 / 3,
    )  # fmt: skip
    loss = _Loss(model)
    for step in tqdm(range(steps), leave=False):
        optim.scale(optimisers, optim.schedule(step, steps, 20))
        loss(pairs(step)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    model.eval()


def translate(model: GPT | Translator, tokens: Tokens, inputs: Sequence[str]) -> list[str]:
    if isinstance(model, Translator):
        return model.say(tokens, inputs)
    return say(model, tokens, inputs, LONGEST)


def sentences(seed: int, count: int, into: str = "Chinese") -> list[Example]:
    """The first of these plots."""
    every = chinese.examples(seed, into)
    return list(islice((one for one in every if one.facts["plot"] in PLOTS), count))


def translation(job: Job) -> dict:
    """A decoder alone and an encoder-decoder of equal size learn to translate from 3,000 pairs:
    in each direction four learning rates each, chosen by validation loss, then three seeds, and
    those once more with twice the steps."""
    sets = {into: [sentences(1, TRAIN, into), sentences(2, VALID, into), sentences(3, TEST, into)]
            for into in ("Chinese", "English")}
    tokens = Tokens(text for many in sets.values() for some in many for one in some
                    for text in (one.input, one.output))

    def run(kind: str, into: str, rate: float, seed: int, steps: int = STEPS) -> dict:
        def make() -> dict:
            job.check(f"{kind} into {into} at {rate}, seed {seed}")
            fit, valid, test = ([(one.input, one.output) for one in some] for some in sets[into])
            model = translator(kind, tokens.vocab_size, seed)
            train(model, Pairs.of(fit, tokens, BATCH, seed=seed), rate, steps)
            with torch.no_grad():
                loss = _Loss(model)(Pairs.of(valid, tokens, len(valid))(0)).item()
            said = translate(model, tokens, [given for given, _ in test])
            return {"valid_nats": loss, "said": said,
                    "parameters": sum(p.numel() for p in model.parameters())}

        about = {"kind": kind, "into": into, "rate": rate, "seed": seed, "steps": steps}
        print(about, flush=True)
        return about | once(job.out, about, make)

    best: dict[str, dict[str, float]] = {}
    runs = []
    for into in sets:
        best[into] = {}
        for kind in KINDS:
            tried = [run(kind, into, rate, 0) for rate in RATES]
            while (rate := min(tried, key=lambda one: one["valid_nats"])["rate"]) == (
                most := max(one["rate"] for one in tried)
            ):
                tried.append(run(kind, into, round(3 * most, 3), 0))
            best[into][kind] = rate
            runs += tried
            runs += [run(kind, into, rate, seed) for seed in SEEDS[1:]]
            runs += [run(kind, into, rate, seed, LONGER) for seed in SEEDS]
    for one in runs:
        if one["rate"] != best[one["into"]][one["kind"]]:
            del one["said"]  # only its loss is asked for

    def exact(one: dict) -> float:
        test = sets[one["into"]][2]
        right = [chinese.score(e, said) == 1 for e, said in zip(test, one["said"], strict=True)]
        return sum(right) / len(right)

    return {
        "plots": PLOTS,
        "best_rate": best,
        "runs": runs,
        "figures": {
            f"{one['kind']}, into {one['into']}, {one['steps']} steps, seed {one['seed']}, exact":
                round(exact(one), 3) for one in runs if "said" in one
        },
    }


# Summaries ---------------------------------------------------------------------------------------

SUMMARY_STEPS, SUMMARY_BATCH, SUMMARY_RATE = 60, 8, 2e-3
SUMMARY_LONGER, SUMMARY_RATES, SUMMARY_VALID = 240, (2e-3, 6e-3, 1.8e-2), 50
STORIES, ASKED = 100, 6
SHOTS = (0, 3)
IN_ONE = "Summarize the story in one sentence."
TO_CHINESE = "Translate into Chinese."


def stories(seed: int, count: int) -> list[summaries.Example]:
    return list(islice(summaries.examples(seed), count))


def as_pairs(examples: Sequence[summaries.Example]) -> list[tuple[str, str]]:
    return [(one.input, one.output) for one in examples]


def tuned(
    steps: int = SUMMARY_STEPS, rate: float = SUMMARY_RATE, seed: int = 0
) -> tuple[GPT, BPETokenizer]:
    """story-base, tuned to say a story in a sentence; no story is read twice."""
    tokenizer = BPETokenizer.train(corpus("storyland", size="1MB").train, 1536)
    model = records.load("story-base")[0].with_context(320)
    torch.manual_seed(seed)
    pairs = as_pairs(stories(1, steps * SUMMARY_BATCH))
    tune(model, Pairs.of(pairs, tokenizer, SUMMARY_BATCH, seed=seed), steps=steps,
         learning_rate=rate, progress=True)
    return model, tokenizer


def longer(rate: float, seed: int) -> dict:
    """Tuned with more steps: its loss on other stories, and what it says of those asked."""
    model, tokenizer = tuned(SUMMARY_LONGER, rate, seed)
    with torch.no_grad():
        rows = Pairs.of(as_pairs(stories(2, SUMMARY_VALID)), tokenizer, SUMMARY_VALID)(0)
        nats = (nats_said(model, rows).sum() / (rows >= 0).sum()).item()
    said = say(model, tokenizer, [one.input for one in stories(3, STORIES)], 50)
    return {"rate": rate, "seed": seed, "valid_nats": nats, "said": said}


@torch.no_grad()
def ask(real, instruction: str, shown: Sequence[tuple[str, str]], inputs: Sequence[str],
        max_new_tokens: int) -> list[str]:
    """What a chat model answers to each input, after `shown` pairs in the same conversation."""
    before = [{"role": role, "content": text} for given, said in shown
              for role, text in (("user", f"{instruction}\n\n{given}"), ("assistant", said))]
    answers = []
    for text in tqdm(inputs, leave=False):
        turn = {"role": "user", "content": f"{instruction}\n\n{text}"}
        ids = torch.tensor([real.tokenizer.encode(real.chat([*before, turn]), special=True)])
        new = generate(real.model, ids, max_new_tokens, temperature=0, stop=real.tokenizer.end_id)
        answers.append(real.tokenizer.decode(new[0].tolist()).removesuffix("<|im_end|>").strip())
    return answers


def summary(job: Job) -> dict:
    """story-base tuned on 480 summaries, and on 1,920 with the best of three learning rates and
    three seeds; and SmolLM2 asked for summaries and translations, with none and with three
    examples."""
    model, tokenizer = tuned()
    described = records.write_model(job.out, model)
    test = stories(3, STORIES)
    said = say(model, tokenizer, [one.input for one in test], 50)

    def more(rate: float, seed: int) -> dict:
        about = {"steps": SUMMARY_LONGER, "rate": rate, "seed": seed}
        return once(job.out, about, partial(longer, rate, seed))

    tried = [more(rate, 0) for rate in SUMMARY_RATES]
    best = min(tried, key=lambda one: one["valid_nats"])["rate"]
    runs = [more(best, seed) for seed in SEEDS]
    real, shown = pretrained("smollm2-135m-instruct"), stories(2, max(SHOTS))
    given = [(one.input.strip(), one.output) for one in shown]
    asked = [one.input.strip() for one in test[:ASKED]]
    real_said = {
        str(count): once(job.out, {"shots": count}, lambda count=count: {
            "said": ask(real, IN_ONE, given[:count], asked, 40)
        })["said"] for count in SHOTS
    }  # fmt: skip
    pairs, few = sentences(3, ASKED), sentences(2, max(SHOTS))
    given = [(one.input, one.output) for one in few]
    real_chinese = {
        str(count): once(job.out, {"into Chinese": count}, lambda count=count: {
            "said": ask(real, TO_CHINESE, given[:count], [one.input for one in pairs], 40)
        })["said"] for count in SHOTS
    }  # fmt: skip

    def exact(said: Sequence[str]) -> float:
        marks = [summaries.score(one, text) for one, text in zip(test, said, strict=True)]
        return round(sum(mark == 1 for mark in marks) / len(marks), 3)

    return {
        "model": described,
        "said": said,
        "longer": {
            "steps": SUMMARY_LONGER,
            "tried": {str(one["rate"]): round(one["valid_nats"], 4) for one in tried},
            "rate": best,
            "said": [one["said"] for one in runs],
        },
        "real_said": real_said,
        "real_chinese": real_chinese,
        "figures": {
            "parameters": model.num_parameters(),
            "whole summaries right": exact(said),
            f"after {SUMMARY_LONGER} steps": [exact(one["said"]) for one in runs],
        },
    }
