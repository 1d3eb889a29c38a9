"""The recorded run of the page "Interpretability": a circuit of heads in small models and in a
published one, and what a linear probe reads.

The text of the circuit is random tokens said twice, so that nothing but a look back can help.

    clean      ... A B ... A   ->  B
    corrupted  ... X B ... A       nobody can know

Patching brings a head's output from the first into the second, and sees how much of ln P(B) comes
back. Ablation puts a head's mean over the batch, place by place, where its output was.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

import storyland
from tinygpt import checkpoint, optim, records
from tinygpt.model import GPT, preset
from tinygpt.model.hooks import watch
from tinygpt.pretrained import LanguageModel, pretrained
from tinygpt.tokenizer import BPETokenizer
from tinygpt.train.loop import learn
from tools.records.job import Job, once
from tools.records.storyland import tokenizer as train_tokenizer

# Small models
SEEDS = range(5)
VOCAB, SIZE = 32, {"num_layers": 2, "num_heads": 2, "d_model": 64, "mlp_hidden": 16, "context": 64}
PIECES = {
    "rotary_base": 1000.0,
    "tied": False,
    "zero_init": True,
    "embedding_std": 0.3,
    "qk_norm": False,
}
RATES = {"learning_rate": 5e-3, "matrix_learning_rate": 0.03, "embedding_learning_rate": 2e-2}
STEPS, BATCH, LENGTH, PERIODS = 500, 32, 48, (8, 24)
HALF, CUT, ROWS = 12, 4, 200  # tokens of the first half; A's place in it; rows
SCORED = 64  # rows on which a head's weights are looked at

# A published model
REAL = "smollm2-135m-instruct"
REAL_HALF, REAL_SCORED, REAL_ROWS, ALONE_ROWS = 20, 16, 16, 8
PATCHED_HALF, PATCHED_ROWS = 16, 24
TOP, DRAWS = 10, 5  # heads of a set, and sets that are drawn beside them
FIRST, LAST = 1000, 48_000  # tokens that are drawn: no marks, and few pieces of rare scripts
NAMES = {"Tom": "he", "Mia": "she", "Ben": "he", "Anna": "she", "Sam": "he", "Jack": "he"}
THINGS = "ball key ring bell coin watch book doll".split()
PLACES = "box bag jar chest drawer bucket pot basket".split()
FACTS = 12

# Probes
STORY_SEED, LEARNED, TESTED, LOTS = 910, 400, 200, range(5)
RIDGE = 1.0  # what is added to each direction's sum of squares
TASKS = ("mood", "he or she")


def inside(here: Job) -> dict:
    """Five small models that learn to repeat, and SmolLM2: which heads do it, and what becomes of
    it without them, or by them alone. And probes of the recorded model of Storyland.

    `ours` holds for each seed the scores of its heads, (blocks, heads), and shares of ln P(B) that
    a head, or all of a block, brings back or takes away. `real` has scores of all heads, what sets
    of them cost and bring back, row by row, and where a fact is that was patched. `probes` has a 1
    for each right answer of a probe, by task and residual stream, and of the ideal reader.
    """
    kept = partial(once, here.out)
    seeds = SEEDS[:1] if here.rehearsal else SEEDS
    steps = 20 if here.rehearsal else STEPS
    made = [model_of(here, seed, steps) for seed in seeds]
    ours = [
        kept({"ours": seed, "steps": steps}, partial(study, model, SCORE_SEED + seed))
        for seed, (model, _) in zip(seeds, made, strict=True)
    ]
    real, probes = {}, {}
    if not here.rehearsal:
        smollm2 = pretrained(REAL)
        real = kept({"scores": REAL}, partial(real_scores, smollm2.model))
        sets = head_sets(real)
        for name, make in (
            ("ablated", lambda: real_ablated(smollm2.model, sets)),
            ("patched", lambda: real_patched(smollm2.model, sets)),
            ("fact", lambda: real_fact(smollm2)),
        ):
            here.check(name)
            real |= {name: kept({name: REAL}, make)}
        real["sets"] = sets
        here.check("probes")
        probes = kept({"probes": STORY_SEED}, probed)
    model, _ = made[0]
    return {
        "model": records.write_model(here.out, model),
        "training": {
            "steps": steps, "batch": BATCH, "periods": PERIODS, "tokens": VOCAB,
            "cpu_seconds": [round(seconds, 1) for _, seconds in made],
        },
        "ours": ours,
        "real": real,
        "probes": {"learned": LEARNED, "tested": TESTED, "lots": len(LOTS), **probes},
        "figures": {
            "parameters": model.num_parameters(),
            "loss": [round(one["loss"], 4) for one in ours],
        },
    }  # fmt: skip


SCORE_SEED = 700  # of rows that are looked at and patched; training draws others

# Small models


class Loss(nn.Module):
    """The mean loss on all tokens but the first."""

    def __init__(self, model: GPT):
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor) -> Tensor:
        return F.cross_entropy(self.model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


def repeats(seed: int) -> Callable[[int], Tensor]:
    """Batches of rows that say random tokens again and again, with another period each batch."""

    def batch(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(1_000_000 * (seed + 1) + step)
        period = int(torch.randint(PERIODS[0], PERIODS[1] + 1, (1,), generator=rng))
        rows = torch.randint(VOCAB, (BATCH, period), generator=rng)
        return rows.repeat(1, LENGTH // period + 2)[:, : LENGTH + 1]

    return batch


def new_model(seed: int) -> GPT:
    torch.manual_seed(seed)
    return GPT(preset("modern", vocab_size=VOCAB, **SIZE, **PIECES))


def train(seed: int, steps: int = STEPS) -> tuple[GPT, float]:
    """A model that has learned to repeat, and the processor seconds that it took."""
    model, began = new_model(seed), time.process_time()
    optimisers = optim.make(model, "muon", **RATES, weight_decay=0.0)
    schedule = lambda step: optim.schedule(step, steps, 20, "stable-linear")  # noqa: E731
    for _ in learn(Loss(model), optimisers, repeats(seed), schedule, steps=steps, seed=seed):
        pass
    return model.eval(), time.process_time() - began


def model_of(here: Job, seed: int, steps: int) -> tuple[GPT, float]:
    """The same, kept; made once."""
    path = here.out / f"repeats {seed} {steps}.safetensors"
    if not path.exists():
        here.check(path.stem)
        model, seconds = train(seed, steps)
        checkpoint.save(path, model.stored(model.state_dict()), {"cpu_seconds": seconds})
    weights, about = checkpoint.load(path)
    model = new_model(0)
    model.load_state_dict(model.restored(weights))
    return model.eval(), about["cpu_seconds"]


# A head's weights, output and share, in any model


def twice(seed: int, rows: int, half: int, first: int = 0, last: int = VOCAB) -> Tensor:
    """(rows, 2 half): random tokens, and the same again."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(first, last, (rows, half), generator=rng).repeat(1, 2)


def pairs(seed: int, rows: int, half: int, first: int = 0, last: int = VOCAB):
    """clean (rows, half + CUT + 1), corrupted, and B (rows,): all tokens of a row's first half
    differ, and A stands at CUT there."""
    rng = torch.Generator().manual_seed(seed)
    draw = [torch.randperm(last - first, generator=rng)[: half + 1] for _ in range(rows)]
    said = first + torch.stack(draw)
    clean = torch.cat([said[:, :half], said[:, : CUT + 1]], dim=1)
    corrupted = clean.clone()
    corrupted[:, CUT] = said[:, half]
    return clean, corrupted, said[:, CUT + 1]


@torch.no_grad()
def scores(model: GPT, rows: Tensor) -> dict[str, Tensor]:
    """Two numbers for each head, (blocks, heads), over rows said twice: its mean weight on the
    token before, and, in the second half, on what followed the same token in the first."""
    layers, half = range(model.config.num_layers), rows.shape[1] // 2
    with watch(model, read=[f"weights.{layer}" for layer in layers]) as seen:
        model(rows, last_only=True)
    weights = torch.stack([seen[f"weights.{layer}"] for layer in layers])  # (L, B, H, T, T)
    return {
        "previous": weights.diagonal(-1, 3, 4).mean((1, 3)),
        "induction": weights.diagonal(1 - half, 3, 4)[..., 1:].mean((1, 3)),
    }


Heads = Sequence[tuple[int, int]]  # (block, head)


def put(
    heads: Heads, source: dict[str, Tensor], at: int | slice = slice(None)
) -> dict[str, Callable]:
    """Replacements for `watch`: these heads give what `source` has, at these places."""

    def change(here: Sequence[int], other: Tensor, x: Tensor) -> Tensor:
        for head in here:
            x[:, at, head] = other[:, at, head]
        return x

    found = {}
    for layer in sorted({layer for layer, _ in heads}):
        here = [head for block, head in heads if block == layer]
        found[f"heads.{layer}"] = partial(change, here, source[f"heads.{layer}"])
    return found


def all_heads(model: GPT) -> list[tuple[int, int]]:
    config = model.config
    return [(layer, head) for layer in range(config.num_layers) for head in range(config.num_heads)]


@torch.no_grad()
def outputs(model: GPT, rows: Tensor) -> dict[str, Tensor]:
    """What all heads give."""
    every = [f"heads.{layer}" for layer in range(model.config.num_layers)]
    with watch(model, read=every) as seen:
        model(rows, last_only=True)
    return seen


def means(seen: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean over the batch, place by place."""
    return {place: x.mean(0, keepdim=True).expand_as(x) for place, x in seen.items()}


@torch.no_grad()
def last_log_prob(model: GPT, rows: Tensor, tokens: Tensor, replace: dict | None = None) -> Tensor:
    """(rows,): ln P of a token after each row."""
    with watch(model, replace=replace):
        logits = model(rows, last_only=True)[:, 0]
    return logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0]


@torch.no_grad()
def second_half(model: GPT, rows: Tensor, replace: dict | None = None) -> Tensor:
    """(rows,): the mean loss on the tokens of the second half but its first, in nats."""
    half = rows.shape[1] // 2
    with watch(model, replace=replace):
        logits = model(rows)[:, half:-1]
    targets = rows[:, half + 1 :]
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none").mean(1)


def shares(model: GPT, seed: int) -> dict[str, list[list[float]]]:
    """For each block, of each of its heads and last of all together: the share of ln P(B) that is
    brought back by their outputs in the clean row, and that is lost by their means."""
    clean, corrupted, b = pairs(seed, ROWS, HALF)
    seen, mean = outputs(model, clean), means(outputs(model, clean))
    known, unknown = last_log_prob(model, clean, b), last_log_prob(model, corrupted, b)
    whole, found = (known - unknown).mean(), {"back": [], "lost": []}
    for layer in range(model.config.num_layers):
        every = [(layer, head) for head in range(model.config.num_heads)]
        sets = [*([one] for one in every), every]
        back = [last_log_prob(model, corrupted, b, put(heads, seen)) for heads in sets]
        lost = [last_log_prob(model, clean, b, put(heads, mean)) for heads in sets]
        found["back"].append([((x - unknown).mean() / whole).item() for x in back])
        found["lost"].append([((known - x).mean() / whole).item() for x in lost])
    return found


def study(model: GPT, seed: int) -> dict:
    """Everything that is measured of a small model, on rows of this seed."""
    found = scores(model, twice(seed, SCORED, HALF))
    clean, corrupted, b = pairs(seed + 100, ROWS, HALF)
    return {
        **{name: rounded(value.tolist()) for name, value in found.items()},
        "loss": second_half(model, twice(seed + 200, SCORED, HALF)).mean().item(),
        "P clean": last_log_prob(model, clean, b).exp().mean().item(),
        "P corrupted": last_log_prob(model, corrupted, b).exp().mean().item(),
        **{name: rounded(value) for name, value in shares(model, seed + 100).items()},
    }


def rounded(x):
    return [rounded(one) for one in x] if isinstance(x, list) else round(x, 4)


# A published model


def real_scores(model: GPT) -> dict:
    """The scores of all heads."""
    found = scores(model, twice(1, REAL_SCORED, REAL_HALF, FIRST, LAST))
    return {name: rounded(value.tolist()) for name, value in found.items()}


def head_sets(found: dict) -> dict[str, list]:
    """The TOP heads by each score; and DRAWS sets of as many others from the same blocks as those
    of the induction score, or from anywhere."""
    heads = [(i, j) for i, row in enumerate(found["induction"]) for j in range(len(row))]

    def top(name: str) -> list[tuple[int, int]]:
        return sorted(heads, key=lambda one: -found[name][one[0]][one[1]])[:TOP]

    best, rng = top("induction"), Random(0)
    taken = set(best) | set(top("previous"))
    free = [one for one in heads if one not in taken]
    blocks = [layer for layer, _ in best]
    same = []
    for _ in range(DRAWS):
        drawn = []
        for layer in sorted(set(blocks)):
            some = [one for one in free if one[0] == layer]
            drawn += rng.sample(some, min(blocks.count(layer), len(some)))
        same.append(drawn)
    return {
        "induction": best,
        "previous": top("previous"),
        "same blocks": same,
        "anywhere": [rng.sample(free, TOP) for _ in range(DRAWS)],
    }


def each(sets: dict, measure: Callable[[Heads], Tensor]) -> dict:
    """What is measured of each set, row by row; of drawn sets, a list."""

    def of(heads: Heads) -> list[float]:
        return rounded(measure([tuple(one) for one in heads]).tolist())

    found = {name: of(sets[name]) for name in ("induction", "previous")}
    for name in ("same blocks", "anywhere"):
        found[name] = [of(heads) for heads in tqdm(sets[name], desc=name)]
    return found


def real_ablated(model: GPT, sets: dict) -> dict:
    """The loss on the second half, with sets of heads at their means."""
    rows = twice(2, REAL_ROWS, REAL_HALF, FIRST, LAST)
    mean = means(outputs(model, rows))
    whole = rounded(second_half(model, rows).tolist())
    return {
        "whole": whole,
        **each(sets, lambda heads: second_half(model, rows, put(heads, mean))),
    }


def each_head(here: Job) -> dict:
    """What SmolLM2 pays for the second half of random tokens said twice, with each of its heads in
    turn at its mean: `alone` (blocks, heads, rows), beside `whole` (rows,) with all as they are."""
    model = pretrained(REAL).model
    rows = twice(4, ALONE_ROWS, REAL_HALF, FIRST, LAST)
    mean = means(outputs(model, rows))

    def block(layer: int) -> list[list[float]]:
        every = [put([(layer, head)], mean) for head in range(model.config.num_heads)]
        return [rounded(second_half(model, rows, one).tolist()) for one in every]

    whole, alone = rounded(second_half(model, rows).tolist()), []
    for layer in tqdm(range(model.config.num_layers), desc="blocks"):
        here.check(f"block {layer}")
        alone.append(once(here.out, {"block": layer, "of": REAL}, partial(block, layer)))
    figures = {"rows": ALONE_ROWS, "tokens": 2 * REAL_HALF}
    return {"training": {"model": REAL}, "whole": whole, "alone": alone, "figures": figures}


def real_patched(model: GPT, sets: dict) -> dict:
    """ln P(B) in the corrupted rows, with sets of heads as in the clean ones."""
    clean, corrupted, b = pairs(3, PATCHED_ROWS, PATCHED_HALF, FIRST, LAST)
    seen = outputs(model, clean)
    return {
        "clean": rounded(last_log_prob(model, clean, b).tolist()),
        "corrupted": rounded(last_log_prob(model, corrupted, b).tolist()),
        **each(sets, lambda heads: last_log_prob(model, corrupted, b, put(heads, seen))),
    }


def real_texts(reader, seed: int = 5, count: int = FACTS) -> Iterator[tuple[list[int], list[int]]]:
    """A text, and the same with another place in it, as ids; both end where the place is due. All
    have as many tokens, and the place is one of them."""
    rng, length = Random(seed), None
    while count:
        name, thing = rng.choice(list(NAMES)), rng.choice(THINGS)
        two = [
            reader.encode(
                f"One day {name} put the {thing} into the {place}. Then there was supper, and "
                f"soup for all. After an hour {name} wanted the {thing} again. "
                f"{NAMES[name].capitalize()} opened the"
            )
            for place in rng.sample(PLACES, 2)
        ]
        apart = [i for i, both in enumerate(zip(*two, strict=False)) if both[0] != both[1]]
        length = length or len(two[0])
        if len(two[0]) == len(two[1]) == length and len(apart) == 1:
            count -= 1
            yield two[0], two[1]


@torch.no_grad()
def real_fact(found: LanguageModel) -> dict:
    """Where the fact is: at its word, or at the last one; by residual stream. ln P of the other
    text's place less that of the own, before any patch, after all, and after each; row by row."""
    model, both = found.model, list(real_texts(found.tokenizer))
    base, source = (torch.tensor([two[i] for two in both]) for i in (0, 1))
    word = base != source  # (rows, T), one True in each
    last = torch.zeros_like(word)
    last[:, -1] = True
    levels = [f"residual.{level}" for level in range(model.config.num_layers + 1)]
    with watch(model, read=levels) as seen:
        after = model(source, last_only=True)[:, 0]
    kept = dict(seen)

    def leaning(logits: Tensor) -> list[float]:
        ours, theirs = (logits.gather(1, one[word][:, None])[:, 0] for one in (base, source))
        return rounded((theirs - ours).tolist())

    def patched(level: str, at: Tensor) -> list[float]:
        change = lambda x: torch.where(at[:, :, None], kept[level], x)  # noqa: E731
        with watch(model, replace={level: change}):
            return leaning(model(base, last_only=True)[:, 0])

    logits = model(base, last_only=True)[:, 0]
    return {
        "right": (logits.argmax(1) == base[word]).tolist(),
        "base": leaning(logits),
        "source": leaning(after),
        "word": [patched(level, word) for level in tqdm(levels, desc="word")],
        "last": [patched(level, last) for level in tqdm(levels, desc="last")],
    }


# A fact in a story, and who knows of it

ONE_TOKEN = "box jar chest drawer bag cupboard pot".split()  # places that are one token
# What a story says of those who saw it, and of those who did not, before it names a place
LOOKED = re.compile(r"(?: went straight to|”[^.]*, and opened) the (\w+)")
MOVED = re.compile(
    r"But \w+ came in, .*? saw it all\.|"
    r"While s?he was away, (?:an? \w+ knocked everything over\. )?"
    r"\w+ (?:opened|tidied) .*? into the \w+\."
    r"(?: Nobody saw it\.| Only an? \w+ saw it, and it could not talk\.| It was meant as a joke\.)?"
)
PRONOUNS = {item.name: item.forms["he"] for item in storyland.grammar().lists["name"].items}


def hidings(seed: int) -> Iterator[dict[str, str]]:
    """Stories up to where their owner looks for a thing that was hidden and moved.

    In `told` its owner saw that or did not, by lot; in `twin` it is the other way round. `answer`
    and `other` are the places where it is looked for and is not; in `elsewhere` a `third` place
    stands for the first of them, in `decoy` for the second.
    """
    rng = Random(seed)
    for story in storyland.stories(seed):
        facts, looked = story.facts, LOOKED.search(story.text)
        if facts["plot"] != "hidden" or not looked:
            continue
        first, second, hero = facts["first_hiding"], facts["second_hiding"], facts["hero"]
        if not {first, second} <= set(ONE_TOKEN):
            continue
        before, then, after = cut(story.text[: looked.start(1) - 1])
        saw = (
            f"But {facts['friend']} came in, took the {facts['thing']} and hid it in the {second}. "
            f"Through the window {hero} saw it all."
        )
        unseen = (
            f"While {PRONOUNS[hero]} was away, a fox knocked everything over. {facts['friend']} "
            f"tidied up and put the {facts['thing']} into the {second}. Nobody saw it."
        )
        if not then or not once_each(before + saw + after, first, second):
            continue
        third = rng.choice([one for one in ONE_TOKEN if one not in (first, second)])
        two = rng.sample([(before + saw + after, second), (before + unseen + after, first)], 2)
        (told, answer), (twin, other) = two
        yield {
            "told": told,
            "twin": twin,
            "answer": answer,
            "other": other,
            "third": third,
            "elsewhere": told.replace(f" {answer}", f" {third}"),
            "decoy": told.replace(f" {other}", f" {third}"),
        }


def once_each(text: str, *words: str) -> bool:
    return all(len(re.findall(rf" {word}", text)) == 1 for word in words)


def cut(text: str) -> tuple[str, str, str]:
    """What a story tells before the thing is moved, how it is moved, and what comes then."""
    found = MOVED.search(text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def fits(text: str) -> bool:
    """Whether the recorded model can read a text whole."""
    return len(tokenizer().encode("\n" + text)) <= base_model().config.context


class Hidings:
    """Some of them, told to the recorded model of Storyland."""

    def __init__(self, seed: int, count: int):
        fitting = (one for one in hidings(seed) if fits(one["told"]) and fits(one["twin"]))
        self.model, self.some = base_model(), list(islice(fitting, count))
        self.token = {place: tokenizer().encode(" " + place)[0] for place in ONE_TOKEN}
        self.rows = torch.arange(count)

    def batch(self, which: str) -> tuple[Tensor, Tensor]:
        """ids (B, T), and the place of each text's last token."""
        lines = [torch.tensor(tokenizer().encode("\n" + one[which])) for one in self.some]
        last = torch.tensor([len(line) - 1 for line in lines])
        return nn.utils.rnn.pad_sequence(lines, batch_first=True), last

    def wanted(self, which: str) -> Tensor:
        return torch.tensor([self.token[one[which]] for one in self.some])

    @torch.no_grad()
    def says(self, which: str = "told", replace: dict | None = None) -> Tensor:
        """(B,): the likeliest token after each text."""
        ids, last = self.batch(which)
        with watch(self.model, replace=replace):
            return self.model(ids)[self.rows, last].argmax(1)

    def moved(self, source: str, place: str, at: str, heads: Sequence[int] | None = None) -> float:
        """The share of answers that become `source`'s, where `place` is brought from there: at the
        `last` token, or `answer`'s own."""
        (ids, last), (theirs, its_last) = self.batch("told"), self.batch(source)
        if at == "answer":
            last = its_last = (ids == self.wanted("answer")[:, None]).float().argmax(1)
        with torch.no_grad(), watch(self.model, read=[place]) as seen:
            self.model.hidden(theirs)

        def change(x: Tensor) -> Tensor:
            for head in [...] if heads is None else heads:
                x[self.rows, last, head] = seen[place][self.rows, its_last, head]
            return x

        goal = self.wanted({"elsewhere": "third", "decoy": "third", "twin": "other"}[source])
        return (self.says(replace={place: change}) == goal).float().mean().item()


# Probes


@cache
def tokenizer() -> BPETokenizer:
    """The recorded model's; it is learned anew, so once."""
    return train_tokenizer()


@cache
def base_model() -> GPT:
    return records.load("story-base")[0]


@torch.no_grad()
def at_the_end(model: GPT, stories: Sequence, size: int = 50) -> Tensor:
    """(streams, stories, d): every residual stream at a story's last full stop or word."""
    every = [f"residual.{level}" for level in range(model.config.num_layers + 1)]
    lines = [tokenizer().encode("\n" + story.text.strip()) for story in stories]
    found = []
    for start in range(0, len(lines), size):
        some = lines[start : start + size]
        rows = nn.utils.rnn.pad_sequence([torch.tensor(one) for one in some], True)
        with watch(model, read=every) as seen:
            model.hidden(rows)
        last = torch.tensor([len(one) - 1 for one in some])
        at = (torch.arange(len(some)), last)
        found.append(torch.stack([seen[place][at] for place in every]))
    return torch.cat(found, dim=1)


def labels(stories: Sequence, task: str, lot: int | None = None) -> Tensor:
    """(stories,): the class of each. With a lot, the control task: a label for each hero's name,
    drawn with the chances of the classes."""
    moods = ["merry", "gloomy", "spooky"]
    if lot is not None:
        names, rng = sorted(PRONOUNS), Random(lot)
        weights = (5, 3, 2) if task == "mood" else (1, 1)
        drawn = rng.choices(range(len(weights)), weights, k=len(names))
        by_name = dict(zip(names, drawn, strict=True))
        found = [by_name[story.facts["hero"]] for story in stories]
    elif task == "mood":
        found = [moods.index(story.facts["mood"]) for story in stories]
    else:
        found = [int(PRONOUNS[story.facts["hero"]] == "she") for story in stories]
    return torch.tensor(found)


def probe(x: Tensor, y: Tensor) -> Tensor:
    """A linear map from states x (n, d) to classes y (n,), by least squares -> (d + 1, classes)."""
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    wanted = F.one_hot(y).double()
    return torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]).double(), x.T @ wanted)


def says(weights: Tensor, x: Tensor) -> Tensor:
    """The class that a probe says of states (n, d) -> (n,)."""
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    return (x @ weights).argmax(1)


def probed() -> dict:
    """Right answers of a probe for each task and stream: of the task, and of its control task, the
    share over LOTS; of the commonest answer; and of whoever knows the grammar and reads the
    story."""
    fitting = (one for one in storyland.stories(STORY_SEED) if fits(one.text.strip()))
    stories = list(islice(fitting, LEARNED + TESTED))
    states = at_the_end(base_model(), stories)

    def hits(x: Tensor, y: Tensor) -> Tensor:
        return (says(probe(x[:LEARNED], y[:LEARNED]), x[LEARNED:]) == y[LEARNED:]).double()

    found: dict = {}
    for task in TASKS:
        y = labels(stories, task)
        lots = [labels(stories, task, lot) for lot in LOTS]
        found[task] = {
            "right": [hits(x, y).int().tolist() for x in states],
            "by lot": [
                rounded(torch.stack([hits(x, lot) for lot in lots]).mean(0).tolist())
                for x in states
            ],
            "commonest": (y[LEARNED:] == y[:LEARNED].mode().values).int().tolist(),
        }
    oracle = storyland.Oracle()
    found["ideal"] = [
        int(next(iter(oracle.posterior(one.text.strip(), "mood"))) == one.facts["mood"])
        for one in tqdm(stories[LEARNED:], desc="the ideal reader")
    ]
    return found
