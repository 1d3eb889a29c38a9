"""The recorded run of the page "Fine-tuning": the mood of stories from few labels and from many.

Every method is judged on the same stories, by the exact chance that its guess is right, which
the grammar knows: the luck of which mood a story happened to be written in is then no part of
the figure. What is trained had the same search for each method: three learning rates, each three
times the one before, on labels that nothing else uses, by the cross-entropy of validation stories;
where the best was at the edge, the search went on beyond it.
"""

import math
from collections import Counter
from collections.abc import Iterable
from functools import cache, partial
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

import storyland
from storyland.tasks import sentiment
from storyland.tasks.sentiment import Example
from tinygpt import data, optim, records, train
from tinygpt.corpora import corpus
from tinygpt.model import GPT
from tinygpt.model.lora import TARGETS, lora
from tinygpt.pretrained import pretrained
from tools.records import in_context
from tools.records.job import Job, once
from tools.records.storyland import CONTEXT, NATS, tokenizer

# No model has read the stories of these seeds.
LABELLED, SEARCHED, VALID, TEST = 301, 302, 303, 304
COUNTS = (10, 100, 1000)
SEEDS = (0, 1, 2)
SEEDS_OF_FEW = range(5)  # where a run takes seconds: three blocks, at most a hundred labels
DRAWS = 10  # of labels, where they cost nothing: for counted words
MANY = 10_000
NOTHING = "BERT, from nothing"  # the same blocks with first weights: no story was read before
# How often a label is seen. Who begins with nothing needs more, and gets it where time allows.
PASSES = {
    "BERT": {10: 10, 100: 10, 1000: 1, MANY: 1},
    NOTHING: {100: 10, 1000: 5, MANY: 1},
    "GPT": {100: 2, 1000: 1, MANY: 1},
}
SEARCH = 100  # labels
NUM_VALID, NUM_TEST, NUM_TOLD = 100, 200, 40
BATCH = 8
RANK, ALPHA = 4, 8.0
RATES = {  # where the search begins
    "BERT": 1e-3,
    NOTHING: 1e-3,
    "GPT": 3e-4,
    "GPT, LoRA": 3e-3,
}
GENTLE = "GPT, LoRA, a tenth of the rate"
PENALTIES = (0.1, 1.0, 10.0, 100.0)  # of a probe's weights
REAL = in_context.NAME
REAL_SEED, REAL_STORIES, REAL_RATE = 305, (16,), 1e-3


def examples(seed: int, count: int) -> list[Example]:
    return list(islice(sentiment.examples(seed), count))


def labels(found: list[Example]) -> Tensor:
    return torch.tensor([sentiment.moods().index(one.output) for one in found])


def posterior(found: list[Example]) -> Tensor:
    """(N, moods): the exact P(mood given text)."""
    return torch.tensor([[one.outputs.get(mood, 0.0) for mood in sentiment.moods()]
                         for one in found])  # fmt: skip


def draw(count: int, seed: int) -> slice:
    """Which of the labelled stories: others for each seed, as far as there are others."""
    return slice(0, count) if count == MANY else slice(1000 * seed, 1000 * seed + count)


def judged(logits: Tensor, truth: Tensor) -> float:
    """The mean exact chance that the guesses are right."""
    return round(truth.gather(1, logits.argmax(dim=1, keepdim=True)).mean().item(), 4)


class Classifier(nn.Module):
    """A linear layer on the state of a story's last token, its newline."""

    def __init__(self, body: GPT):
        super().__init__()
        self.body = body
        self.head = nn.Linear(body.config.d_model, len(sentiment.moods()))

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, T), padded with -1 -> logits (B, moods)."""
        return self.head(last(states(self.body, rows), rows))


def states(body: GPT, rows: Tensor) -> Tensor:
    keep = rows >= 0
    return body.hidden(rows.clamp(min=0), keep=None if keep.all() else keep)


def last(hidden: Tensor, rows: Tensor) -> Tensor:
    """hidden (B, T, d) at the last token of each row -> (B, d)."""
    return hidden[torch.arange(len(rows)), (rows >= 0).sum(dim=1) - 1]


def kind(method: str) -> str:
    return method[: len("BERT")].rstrip(",")


def ids_of(found: list[Example], causal: bool) -> list[Tensor]:
    """As each model read its stories: GPT after a newline, BERT without. The few that are longer
    than the context lose their first tokens."""
    start = "\n" if causal else ""
    return [torch.tensor(tokenizer_once().encode(start + one.input)[-CONTEXT:]) for one in found]


tokenizer_once = cache(tokenizer)


def batches(ids: list[Tensor], size: int):
    """Rows of a like length, and which they are."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(ids), size):
        which = order[start : start + size]
        yield which, pad_sequence([ids[i] for i in which], batch_first=True, padding_value=-1)


@torch.no_grad()
def logits_of(model: Classifier, ids: list[Tensor]) -> Tensor:
    model.eval()
    found = torch.empty(len(ids), len(sentiment.moods()))
    for which, rows in batches(ids, 32):
        found[which] = model(rows)
    return found


@torch.no_grad()
def features(body: GPT, ids: list[Tensor]) -> Tensor:
    """(blocks, N, d): the state of the last token after each block that the model has."""
    found = torch.empty(len(body.blocks), len(ids), body.config.d_model)
    after: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _, x, y: after.append(y)) for block in body.blocks]
    for which, rows in tqdm(list(batches(ids, 32)), desc="features"):
        after.clear()
        states(body, rows)
        for layer, hidden in enumerate(after):
            found[layer, which] = last(hidden, rows)
    for hook in hooks:
        hook.remove()
    return found


def probe(x: Tensor, y: Tensor, penalty: float, kinds: int = len(sentiment.moods())):
    """A linear classifier on features x (N, d) that stay as they are: a function from (M, d) to
    logits (M, kinds). Features are scaled, and `penalty` pulls its weights to zero."""
    mean, std = x.mean(dim=0), x.std(dim=0) + 1e-6
    weight = torch.zeros(x.shape[1], kinds, requires_grad=True)
    bias = torch.zeros(kinds, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
    scaled = (x - mean) / std

    def loss():
        optimiser.zero_grad()
        nats = F.cross_entropy(scaled @ weight + bias, y)
        nats = nats + penalty * weight.square().sum() / len(y)
        nats.backward()
        return nats

    optimiser.step(loss)
    return lambda new: ((new - mean) / std @ weight + bias).detach()


def probes(name: str, job: Job) -> dict:
    """The block and the penalty are chosen on the labels of the search; then each of the draws."""
    body, _ = records.load(name)
    causal = body.config.causal
    # Many labels take long; and the states of a causal model were found to know nothing.
    counts = COUNTS if causal else (*COUNTS, MANY)
    draws = {count: SEEDS[: 1 if count >= 1000 else None] for count in counts}
    if job.rehearsal:
        draws = {10: SEEDS[:1]}
    few, valid = examples(SEARCHED, SEARCH), examples(VALID, NUM_VALID)
    x_few, x_valid = (features(body, ids_of(found, causal)) for found in (few, valid))
    tried = {}
    for block in range(len(x_few)):
        for penalty in PENALTIES:
            read = probe(x_few[block], labels(few), penalty)
            tried[block, penalty] = F.cross_entropy(read(x_valid[block]), labels(valid)).item()
    block, penalty = min(tried, key=tried.get)
    body.blocks = body.blocks[: block + 1]  # what comes after it is not looked at
    most = max(draw(count, seed).stop for count, seeds in draws.items() for seed in seeds)
    pool, test = examples(LABELLED, most), examples(TEST, NUM_TEST)
    used = sorted({i for count, seeds in draws.items() for seed in seeds
                   for i in range(*draw(count, seed).indices(len(pool)))})  # fmt: skip
    x = torch.zeros(len(pool), body.config.d_model)
    x[used] = features(body, ids_of([pool[i] for i in used], causal))[-1]
    x_test = features(body, ids_of(test, causal))[-1]
    y, truth = labels(pool), posterior_of_test()
    right = {}
    for count, seeds in draws.items():
        right[count] = []
        for seed in seeds:
            read = probe(x[draw(count, seed)], y[draw(count, seed)], penalty)
            right[count].append(judged(read(x_test), truth))
    return {
        "block": block + 1,
        "penalty": penalty,
        "tried": {f"{b + 1}, {p:g}": round(nats, 4) for (b, p), nats in tried.items()},
        "right": right,
    }


def counted(found: list[Example], test: list[Example]) -> Tensor:
    """Naive Bayes on which words a story has: logits (M, moods). No network, nothing to tune."""
    words = lambda one: set(storyland.split(one.input))  # noqa: E731
    moods = len(sentiment.moods())
    having, stories = [Counter() for _ in range(moods)], np.ones(moods)
    for one, mood in zip(found, labels(found).tolist(), strict=True):
        having[mood].update(words(one))
        stories[mood] += 1
    known = set().union(*having)
    rows = [
        [
            math.log(stories[mood])
            + sum(math.log((having[mood][word] + 0.5) / stories[mood]) for word in words(one)
                  & known)
            for mood in range(moods)
        ]
        for one in test
    ]  # fmt: skip
    return torch.tensor(rows)


def start(method: str, seed: int, blocks: int | None) -> Classifier:
    """What a method trains, as it begins; of BERT the first blocks alone."""
    torch.manual_seed(seed)
    body, _ = records.load("story-bert" if method.startswith("BERT") else "story-base")
    if method == NOTHING:
        body = GPT(body.config)
    if method.startswith("BERT"):
        body.blocks = body.blocks[:blocks]
    model = Classifier(body)
    if "LoRA" in method:
        lora(body, RANK, ALPHA, TARGETS)
    return model


def tuned(
    method: str, found: list[Example], passes: int, rate: float, seed: int, blocks: int | None
) -> Classifier:
    """Trained by AdamW; its rate rises over a tenth of the steps and falls on a line to zero."""
    model, told = start(method, seed, blocks), "told" in method
    ids, y = ids_of(found, model.body.config.causal), labels(found)
    optimisers = optim.make(model, "adamw", learning_rate=rate, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    # A batch is of a like length: eight times as many are drawn, sorted, and cut.
    chosen = []
    for _ in range(passes):
        order = rng.permutation(len(ids))
        for first in range(0, len(order), 8 * BATCH):
            some = sorted(order[first : first + 8 * BATCH], key=lambda i: len(ids[i]))
            cut = [some[i : i + BATCH] for i in range(0, len(some), BATCH)]
            chosen += [cut[i] for i in rng.permutation(len(cut))]
    model.train()
    for step, which in enumerate(tqdm(chosen, desc=f"{method}, {len(ids)}, {rate:g}")):
        optim.scale(optimisers, optim.schedule(step, len(chosen), len(chosen) // 10))
        rows = pad_sequence([ids[i] for i in which], batch_first=True, padding_value=-1)
        hidden = states(model.body, rows)
        loss = F.cross_entropy(model.head(last(hidden, rows)), y[which])
        if told:  # the story is predicted as well
            logits, targets = model.body.head(hidden[:, :-1]), rows[:, 1:]
            loss = loss + F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    return model.eval()


def told_bits(body: GPT) -> list[float]:
    """What the model pays for each of the first held-out stories, in bits."""
    found = train.log_probs(body, data.texts(storyland.held_out()[:NUM_TOLD], tokenizer_once()))
    return [round(-one.sum().item() / NATS, 2) for one in found]


def outcome(
    method: str, count: int, passes: int, rate: float, seed: int, blocks: int | None,
    rehearsal: bool,
) -> dict:  # fmt: skip
    """A method that is trained on so many labels, and what it is worth."""
    pool = examples(LABELLED, draw(count, seed).stop)[draw(count, seed)]
    model = tuned(method, pool, passes, rate, seed, blocks)
    test = examples(TEST, 8 if rehearsal else NUM_TEST)
    logits = logits_of(model, ids_of(test, model.body.config.causal))
    found = {"right": judged(logits, posterior_of_test()[: len(test)])}
    guesses = logits.argmax(dim=1)
    found["guesses"] = guesses.tolist()
    found["nats"] = round(F.cross_entropy(logits, labels(test)).item(), 4)
    if model.body.config.causal:
        found["told_bits"] = told_bits(model.body)
    return found


@cache
def posterior_of_test() -> Tensor:
    return posterior(examples(TEST, NUM_TEST))


def sought(method: str, count: int, passes: int) -> tuple[int, int]:
    """How many labels the search for a method's rate has, and how often it sees each: as in what it
    is for, but GPT once, and from nothing more of them, since a hundred teach it nothing."""
    if method == NOTHING:
        return 1000, 2
    if kind(method) == "GPT":
        return min(count, 1000), 1
    return SEARCH, passes


def search(method: str, blocks: int | None, labelled: int, passes: int, job: Job) -> dict:
    """The nats of validation stories by learning rate; the best is at no edge."""
    few = examples(SEARCHED, 16 if job.rehearsal else labelled)
    valid = examples(VALID, 8 if job.rehearsal else NUM_VALID)
    tried: dict[float, float] = {}

    def nats(rate: float) -> dict:
        model = tuned(method, few, passes, rate, 0, blocks)
        logits = logits_of(model, ids_of(valid, model.body.config.causal))
        return {"nats": round(F.cross_entropy(logits, labels(valid)).item(), 4)}

    def look(step: int) -> None:
        rate = float(f"{RATES[method] * 3.0**step:.1g}")
        run = {
            "search": method, "rate": rate, "blocks": blocks, "labels": labelled, "passes": passes,
        }  # fmt: skip
        tried[step] = once(job.out, run, partial(nats, rate))["nats"]

    for step in (0,) if job.rehearsal else (-1, 0, 1):
        look(step)
    while not job.rehearsal and (best := min(tried, key=tried.get)) in (min(tried), max(tried)):
        look(best - 1 if best == min(tried) else best + 1)
    return {float(f"{RATES[method] * 3.0**step:.1g}"): tried[step] for step in sorted(tried)}


def real(job: Job) -> dict:
    """SmolLM2 with LoRA on queries and values, one story a step, each read once; judged on the
    stories that it read with others before them on the page on it, and on other English."""
    found = pretrained(REAL)
    model, reader = found.model, found.tokenizer
    (asked,) = in_context.groups(in_context.SEED, 1)  # what it read with others before it
    prose = corpus("pydocs").valid
    others = [prose[i : i + 600] for i in range(0, 600 * 8, 600)]
    if job.rehearsal:
        asked, others = asked[:2], others[:1]

    def paid(texts: list[str]) -> list[float]:
        start = reader.encode(in_context.START, special=True)
        return [round(-sum(in_context.nats(model, start + reader.encode(text))) / NATS, 3)
                for text in texts]  # fmt: skip

    result = {"before": {"others": paid(others)}}  # for the stories that other record says it
    torch.manual_seed(0)
    lora(model, 8, 16.0, ("q", "v"))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=REAL_RATE, weight_decay=0.0)
    stories = list(islice(storyland.stories(REAL_SEED), 2 if job.rehearsal else REAL_STORIES[-1]))
    start = reader.encode(in_context.START, special=True)
    for number, story in enumerate(tqdm(stories, desc="SmolLM2"), 1):
        rows = torch.tensor([start + reader.encode(story.text)])
        for group in optimiser.param_groups:
            group["lr"] = REAL_RATE * min(1.0, number / 8)
        loss = F.cross_entropy(model(rows[:, :-1])[0], rows[0, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if number in REAL_STORIES:
            result[str(number)] = {"stories": paid([one.text for one in asked])}
            if number == REAL_STORIES[-1]:
                result[str(number)]["others"] = paid(others)
    return {
        "stories": f"storyland, seed {REAL_SEED}",
        "rate": REAL_RATE,
        "trained": sum(p.numel() for p in trained),
        "parameters": model.num_parameters(),
        "characters": {"stories": [len(one.text) for one in asked],
                       "others": [len(one) for one in others]},
        "bits": result,
    }  # fmt: skip


def fine_tuning(job: Job) -> dict:
    """The mood of a story from labels: probes, fine-tuning, LoRA, and counted words; what GPT
    forgets of telling; and SmolLM2 with LoRA on stories."""
    probed = {
        method: once(job.out, {"probes": name}, partial(probes, name, job))
        for method, name in (("BERT, probe", "story-bert"), ("GPT, probe", "story-base"))
    }
    blocks = {m: probed["BERT, probe"]["block"] if m.startswith("BERT") else None for m in RATES}
    searched: dict[str, dict[str, dict[float, float]]] = {}  # by labels and passes
    runs: dict[str, dict[int, list]] = {}

    def drawn(method: str, counts: Iterable[int]) -> Iterable[tuple[int, int]]:
        """Each count with its seeds: fewer where a run takes minutes."""
        for count in counts:
            many = SEEDS_OF_FEW if kind(method) == "BERT" and count <= 100 else SEEDS
            # GPT reads ten thousand stories in a quarter of an hour.
            once_only = job.rehearsal or (kind(method) == "GPT" and count == MANY)
            many = many[:1] if once_only else many
            yield from ((count, seed) for seed in many)

    def run(method: str, counts: Iterable[int], like: str | None = None) -> None:
        like = like or method  # whose rate it has
        for count, seed in drawn(method, counts):
            passes = 1 if job.rehearsal else PASSES.get(method, PASSES[kind(method)])[count]
            tries = searched.setdefault(like, {})
            labelled, often = sought(like, count, passes)
            seen = f"{labelled} labels, each {often} times"
            if seen not in tries:
                tries[seen] = search(like, blocks[like], labelled, often, job)
            rate = min(tries[seen], key=tries[seen].get)
            rate = rate / 10 if method == GENTLE else rate
            key = {
                "method": method, "count": count, "passes": passes, "rate": rate, "seed": seed,
                "blocks": blocks[like],
            }  # fmt: skip
            work = partial(outcome, **key, rehearsal=job.rehearsal)
            runs.setdefault(method, {}).setdefault(count, []).append(once(job.out, key, work))

    few = (10,) if job.rehearsal else (100, 1000)
    run("BERT", (10,) if job.rehearsal else (100, 10, 1000))
    smollm = once(job.out, {"real": REAL_STORIES}, partial(real, job))
    for method in ("GPT", "GPT, LoRA"):
        run(method, few)
    run(GENTLE, few[:1], like="GPT, LoRA")
    run("GPT, told as well", few, like="GPT")
    run(NOTHING, few)
    if not job.rehearsal:
        for method in (NOTHING, "BERT", "GPT"):
            run(method, (MANY,))
    pool, test = examples(LABELLED, MANY), examples(TEST, NUM_TEST)
    truth = posterior_of_test()
    words = {
        count: [judged(counted(pool[draw(count, seed)], test), truth)
                for seed in range(1 if count == MANY else DRAWS)]
        for count in (*COUNTS, MANY)
    }  # fmt: skip
    before, _ = records.load("story-base")
    return {
        "test": {"seed": TEST, "stories": NUM_TEST},
        "training": {"passes": PASSES, "batch_size": BATCH, "rank": RANK, "alpha": ALPHA},
        "search": searched,
        "blocks": blocks,
        "bayes": round(truth.max(dim=1).values.mean().item(), 4),
        "commonest": judged(torch.bincount(labels(pool)).float().expand(NUM_TEST, -1), truth),
        "runs": runs,
        "probes": probed,
        "words": words,
        "told": {
            "stories": NUM_TOLD,
            "characters": [len(story) for story in storyland.held_out()[:NUM_TOLD]],
            "before": told_bits(before),
        },
        "smollm2": smollm,
        "figures": {
            method: {count: [one["right"] for one in ones] for count, ones in of.items()}
            for method, of in runs.items()
        },
    }
