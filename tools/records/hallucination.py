"""The recorded run of the page "Hallucination": what models say, how sure they are of it, and
whether it is so.

    words    models of Storyland, token by token, beside the oracle's exact probabilities
    names    the model that answers questions, asked about somebody who is not in the story
    questions  the same model, asked what its task asks
    smollm2  a published model: sums, years of birth, and the same questions about stories
"""

import copy
import re
from collections.abc import Iterator, Sequence
from functools import cache, partial
from itertools import groupby, islice
from random import Random

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

import storyland
from storyland.sampler import Story
from storyland.tasks import dialogue
from storyland.words import END, join, split
from tinygpt import calibrate, records
from tinygpt.generate import generate
from tinygpt.model import GPT, KVCache
from tinygpt.pretrained import pretrained
from tinygpt.train import Pairs, nats_said, say
from tools.records import post_training
from tools.records.job import Job, once
from tools.records.storyland import tokenizer

# Words
SEED, STORIES = 501, 100  # of the stories, which no model was trained on
COUNTED_SEED, COUNTED = 601, 300_000  # characters from which the unigram model counts
OPEN = 0.95  # a place is open where the favourite's chance is below
BINS = 20

# Names
TOLD_SEED, TOLD = 8101, 200  # stories that tell where their hero lives
QUESTION = "What did {} live in?"
NOBODY = "nobody knows"
NAMES = tuple(
    "Tom Mia Ben Anna Leo Ruby Sam Nora Max Ella Finn Clara Oscar Ivy Hugo Lucy Jack Rosa Omar Lin "
    "Pablo Zara Otto Wanda Felix Greta".split()
)
MODELS = range(3)  # seeds of the second training of "Answers and dialogue"
CHANGES = ("nothing", "another absent name", "the home, in the story", "the village, in the story")

# Questions as they come
DRAWS = 10  # answers to one question
FIT_SEED, FIT, ASKED_SEED, ASKED = 8002, 300, 8001, 600  # a temperature is fitted on the first

# A published model
REAL = "smollm2-135m-instruct"
REAL_SEED = 6
SUMS, EACH, LONGEST = (1, 2, 3), 40, 5  # digits of both numbers; sums of each; digits of an answer
AT_ONCE, TOGETHER = 10, 20  # rows read together: of one length, and of any
BORN = {  # people whom every encyclopedia has, by two names
    "Albert Einstein": 1879, "Isaac Newton": 1643, "Charles Darwin": 1809, "Marie Curie": 1867,
    "William Shakespeare": 1564, "Abraham Lincoln": 1809, "George Washington": 1732,
    "Napoleon Bonaparte": 1769, "Jane Austen": 1775, "Charles Dickens": 1812,
    "Galileo Galilei": 1564, "Pablo Picasso": 1881, "Mahatma Gandhi": 1869,
    "Winston Churchill": 1874, "Nelson Mandela": 1918, "Ada Lovelace": 1815, "Alan Turing": 1912,
    "Florence Nightingale": 1820, "Thomas Edison": 1847, "Nikola Tesla": 1856, "Mark Twain": 1835,
    "Emily Dickinson": 1830, "Victor Hugo": 1802, "Karl Marx": 1818, "Sigmund Freud": 1856,
    "Virginia Woolf": 1882, "Ernest Hemingway": 1899, "Louis Pasteur": 1822,
    "Johannes Kepler": 1571, "Leo Tolstoy": 1828,
}  # fmt: skip
ALSO = {"Isaac Newton": 1642}  # by the calendar of his time
MAY_REFUSE = "Answer in one short sentence. If you do not know, say: I do not know."
FROM_TEXT = f"Answer from the text, in a few words. If the text does not say, answer: {NOBODY}."
REAL_TOLD, NEW = 20, 14  # stories; tokens of an answer


# Words: the truth about the next token


def ways(oracle: storyland.Oracle, states, last: str) -> dict[str, float]:
    """How a text can go on, up to where a token must end: {piece of text: probability}.

    A piece is a word with its space, or punctuation with the punctuation that it touches: a token
    of GPT-2's pattern never reaches further."""
    found: dict[str, float] = {}
    for word, p in oracle.distribution(states).items():
        piece, more = join([last, word])[len(last) :], {"": 1.0}
        if word != END and not word[0].isalpha():
            more = ways(oracle, oracle.step(states, word)[1], word)
        for tail, q in more.items():
            touches = tail and not (tail[0].isalpha() or tail[0].isspace())
            whole = piece + tail if touches else piece
            found[whole] = found.get(whole, 0.0) + p * q
    return found


@cache
def ids_of(piece: str) -> tuple[int, ...]:
    return tuple(tokenizer_().encode(piece))


@cache
def tokenizer_():
    return tokenizer()


def truth(oracle: storyland.Oracle, text: str) -> Iterator[tuple[int, dict[int, float]]]:
    """Each token of a story, and the exact probabilities of all tokens at its place.

    Kept are all ways to go on with pieces of which some tokens may be read already: one piece can
    end where another, longer one has a token more."""
    ways_: list[tuple] = [((), 1.0, oracle.start(), "", END)]
    for token in tokenizer_().encode(text):
        longer = []
        for left, chance, states, piece, last in ways_:
            if left:
                longer.append((left, chance, states, piece, last))
                continue
            for last in split(piece):
                _, states = oracle.step(states, last)
            for more, p in ways(oracle, states, last).items():
                longer.append((ids_of(more), chance * p, states, more, last))
        here: dict[int, float] = {}
        for left, chance, *_ in longer:
            here[left[0]] = here.get(left[0], 0.0) + chance
        yield token, {i: min(p, 1.0) for i, p in here.items()}  # sums may round to more
        ways_ = [(one[0][1:], one[1] / here[token], *one[2:]) for one in longer
                 if one[0][0] == token]  # fmt: skip


@torch.no_grad()
def chances(model: GPT, ids: Sequence[int]) -> np.ndarray:
    """(T, vocab_size): what a model expects at each token of a story."""
    (newline,) = ids_of(END)
    return model(torch.tensor([[newline, *ids[:-1]]]))[0].softmax(-1).numpy()


def unigram() -> np.ndarray:
    """(vocab_size,): how often each token comes, whatever stands before it."""
    ids = tokenizer_().encode(storyland.text(COUNTED_SEED, COUNTED))
    counts = np.bincount(ids, minlength=tokenizer_().vocab_size)
    return counts / counts.sum()


def places(p: np.ndarray, story: Sequence[tuple[int, dict[int, float]]]) -> np.ndarray:
    """(T, 4): the chance of a model's favourite, its true chance, whether it came, and how much
    probability lies on other tokens than it should."""
    rows = []
    for here, (token, true) in zip(p, story, strict=True):
        favourite = int(here.argmax())
        q = np.zeros(len(here))
        q[list(true)] = list(true.values())
        rows.append(
            (here[favourite], q[favourite], favourite == token, np.maximum(here - q, 0).sum())
        )
    return np.array(rows)


def measured(seed: int, count: int, of: str = "story-base") -> list[np.ndarray]:
    """`places` of a recorded model, an array a story."""
    model, oracle, found = records.load(of)[0], storyland.Oracle(), []
    for story in islice(storyland.stories(seed), count):
        true = list(truth(oracle, story.text))
        found.append(places(chances(model, [i for i, _ in true]), true))
    return found


def parts(p: np.ndarray, q: np.ndarray, num_bins: int = BINS) -> tuple[float, float]:
    """The mean of (p - q)², and the part of it that a reliability diagram can see: what is left of
    it where both are replaced by their means in a bin."""
    count, mean_p, mean_q = calibrate.bins(p, q, num_bins).T
    return float(np.mean((p - q) ** 2)), float((count * (mean_p - mean_q) ** 2).sum() / len(p))


def words(count: int) -> dict:
    """Four who say the next token: the open places of `story-base`, and all places of each."""
    oracle, shared = storyland.Oracle(), unigram()
    models = {name: records.load(name)[0] for name in ("story-base", "story-laptop")}
    rows: dict[str, list[np.ndarray]] = {}
    for story in tqdm(list(islice(storyland.stories(SEED), count)), desc="stories"):
        true = list(truth(oracle, story.text))
        ids = [i for i, _ in true]
        exact = np.zeros((len(true), len(shared)))
        for row, (_, here) in zip(exact, true, strict=True):
            row[list(here)] = list(here.values())
        said = {name: chances(model, ids) for name, model in models.items()}
        said |= {"oracle": exact, "unigram": np.broadcast_to(shared, exact.shape)}
        for name, p in said.items():
            rows.setdefault(name, []).append(places(p, true))
    return {
        "stories": count,
        "seed": SEED,
        "open": [  # thousandths: chance, true chance; and whether it came; a list a story
            [[round(1000 * p), round(1000 * q), int(came)] for p, q, came, _ in one if p < OPEN]
            for one in rows["story-base"]
        ],
        "all": {
            name: {
                "places": sum(map(len, of)),
                "bins": calibrate.bins(
                    *(np.concatenate(of)[:, i] for i in (0, 2)), BINS
                ).round(4).tolist(),
                "misplaced": [round(float(one[:, 3].mean()), 4) for one in of],  # a story
            }
            for name, of in rows.items()
        },
    }  # fmt: skip


# Names: who is asked about


def told(seed: int) -> Iterator[Story]:
    """Beginnings of stories that tell what their hero lives in, and near which village."""
    for one in dialogue.examples(seed):
        facts, text = one.story.facts, one.story.text
        if all(facts.get(fact, END) in text for fact in ("home", "village")):
            yield one.story


def article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def other(rng: Random, values: Sequence[str], *but: str) -> str:
    return rng.choice([one for one in values if one not in but])


def cases(seed: int, count: int) -> list[dict[str, str]]:
    """Stories, whom they are about, two who are not in them, and other values of what they tell.
    All is drawn before a model is asked."""
    rng, stories = Random(seed), list(islice(told(seed), count))
    homes, villages = (sorted({one.facts[fact] for one in stories}) for fact in ("home", "village"))
    found = []
    for one in stories:
        hero, home, village = (one.facts[fact] for fact in ("hero", "home", "village"))
        absent = other(rng, NAMES, hero)
        found.append(
            {
                "text": one.text.rstrip(), "hero": hero, "home": home, "village": village,
                "absent": absent, "also absent": other(rng, NAMES, hero, absent),
                "new home": other(rng, homes, home),
                "new village": other(rng, villages, village),
            }
        )  # fmt: skip
    return found


def put(case: dict[str, str], who: str, text: str | None = None) -> str:
    return f"{text or case['text']}\n{QUESTION.format(case[who])}"


def changed(case: dict[str, str], what: str) -> str:
    """The text with another home, or another village."""
    if what == "village":
        return case["text"].replace(case["village"], case["new village"])
    text = case["text"].replace(article(case["home"]), article(case["new home"]))
    return text.replace(case["home"], case["new home"])


def same(answer: str, noun: str) -> bool:
    """Whether an answer is this noun, with or without an article."""
    return dialogue.words(answer) in (dialogue.words(noun), dialogue.words(article(noun)))


def sureness(model: GPT, reader, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """P of each output, whole, after its input."""
    rows, found = Pairs.of(pairs, reader, 1).rows, []
    for first in range(0, len(rows), 64):
        batch = pad_sequence(rows[first : first + 64], batch_first=True, padding_value=-1)
        with torch.no_grad():
            found += (-nats_said(model, batch).sum(1)).exp().tolist()
    return np.array(found)


def asked(model: GPT, seed: int = TOLD_SEED, count: int = TOLD) -> dict:
    """What a model says of the hero and of somebody who is not in the story; how sure it is of its
    answer and of `nobody knows`; and what changes in the story or the question do."""
    of, reader = cases(seed, count), post_training.tokenizer()
    ask = partial(say, model, reader, max_new_tokens=post_training.NEW)
    found: dict = {"of": count}
    for who in ("hero", "absent"):
        inputs = [put(case, who) for case in of]
        said = ask(inputs)
        found[who] = {
            "hero's home": sum(same(a, case["home"]) for a, case in zip(said, of, strict=True)),
            "nobody": sum(map(post_training.says_nobody, said)),
            "sure": rounded(sureness(model, reader, list(zip(inputs, said, strict=True)))),
            "sure of nobody": rounded(sureness(model, reader, [(one, NOBODY) for one in inputs])),
            "said": said,
        }
    inputs = {
        "nothing": [put(case, "absent") for case in of],
        "another absent name": [put(case, "also absent") for case in of],
        "the home, in the story": [put(case, "absent", changed(case, "home")) for case in of],
        "the village, in the story": [put(case, "absent", changed(case, "village")) for case in of],
    }
    before, found["changes"] = found["absent"]["said"], {}
    for what in CHANGES:
        said = ask(inputs[what])
        found["changes"][what] = {
            "as before": sum(a == b for a, b in zip(said, before, strict=True)),
            "the new home": sum(same(a, c["new home"]) for a, c in zip(said, of, strict=True)),
            "nobody": sum(map(post_training.says_nobody, said)),
        }
    for who in ("hero", "absent"):
        found[who]["said"] = found[who]["said"][:24]
    return found


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(one), 3) for one in values]


@cache
def base() -> GPT:
    """The model of "Answers and dialogue" before it was shown an answer."""
    model = post_training.empty()
    post_training.base(model, 0)
    return model


def tuned(seed: int) -> GPT:
    """The model of "Answers and dialogue", whose answers it was shown in the order of this seed."""
    if seed == 0:
        return records.load("post-training")[0]
    model = copy.deepcopy(base())
    post_training.first(model, seed)
    return model.eval()


# Questions as they come


def questions(seed: int, count: int) -> list[dialogue.Example]:
    """Conversations of one turn that ask for no form."""
    plain = (
        one
        for one in dialogue.examples(seed)
        if len(one.turns) == 1 and one.turns[0].form == "plain"
    )
    return list(islice(plain, count))


@torch.no_grad()
def said_logits(model: GPT, pairs: Sequence[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (N, V) and targets (N,) of what is said."""
    logits, targets = [], []
    for row in Pairs.of(pairs, post_training.tokenizer(), 1).rows:
        said = row[1:] >= 0
        ids = torch.where(row < -1, -2 - row, row)[None, :-1]
        logits.append(model(ids)[0, said])
        targets.append(row[1:][said])
    return torch.cat(logits), torch.cat(targets)


def cooled(model: GPT, temperature: float) -> GPT:
    """The model whose logits are divided by a temperature: its last matrix is."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.head.weight /= temperature
    return model


def fitted(model: GPT, seed: int = FIT_SEED, count: int = FIT) -> float:
    """The temperature with which it expects the right answers to other questions best."""
    pairs = [(one.input, one.output) for one in questions(seed, count)]
    return round(calibrate.temperature(*said_logits(model, pairs)), 3)


def confident(
    model: GPT, seed: int, count: int, temperatures: Sequence[float] = (1.0,), draws: int = DRAWS
) -> dict:
    """The answers of a model to questions as they come, whether they are right, how sure it is of
    each at these temperatures, and how many of `draws` drawn answers are the same."""
    of, reader = questions(seed, count), post_training.tokenizer()
    inputs = [one.input for one in of]
    said = say(model, reader, inputs, post_training.NEW)
    generator = torch.Generator().manual_seed(seed)
    drawn = say(
        model, reader, [one for one in inputs for _ in range(draws)], post_training.NEW,
        temperature=1.0, generator=generator,
    )  # fmt: skip
    pairs = list(zip(inputs, said, strict=True))
    return {
        "right": post_training.marks(of, said),
        "nobody": "".join(str(int(post_training.says_nobody(one))) for one in said),
        "known": "".join(str(int(one.answerable)) for one in of),
        "sure": [rounded(sureness(cooled(model, t), reader, pairs)) for t in temperatures],
        "agree": [drawn[i * draws : (i + 1) * draws].count(text) for i, text in enumerate(said)],
    }


def usual() -> dict:
    """Fitted on some questions, measured on others; the first also choose a threshold."""
    model = tuned(0)
    t = fitted(model)
    return {
        "temperature": t,
        "fit": confident(model, FIT_SEED, FIT, (1.0, t), draws=0),
        "fresh": confident(model, ASKED_SEED, ASKED, (1.0, t)),
    }


# A published model


@cache
def real():
    return pretrained(REAL)


def request(text: str, begun: str = "", system: str | None = None) -> list[int]:
    """The ids of a question to a chat model, and of how its answer begins."""
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": text})
    return real().tokenizer.encode(real().chat(turns) + begun, special=True)


@torch.inference_mode()
def numbers(rows: Sequence[Sequence[int]], draws: int, seed: int, longest: int = LONGEST) -> list:
    """The number with which a model goes on after each row (all of one length), digit by digit the
    most probable; how sure it is of it, that no digit follows included; and others, drawn.

    What is not a digit ends a number; one of `longest` digits ends there."""
    model, encode = real().model, real().tokenizer.encode
    digits = torch.tensor([encode(str(i))[0] for i in range(10)])
    generator, cache_ = torch.Generator().manual_seed(seed), KVCache()
    logits = model(torch.tensor(rows), cache=cache_, last_only=True)[:, 0]
    each = 1 + draws  # the first of each is the most probable
    cache_.reorder(torch.arange(len(rows)).repeat_interleave(each))
    logits = logits.repeat_interleave(each, dim=0)
    going = torch.ones(len(logits), dtype=torch.bool)
    said, nats = [""] * len(logits), torch.zeros(len(logits))
    for n in range(longest + 1):
        p = logits.float().softmax(-1)[:, digits]
        p = torch.cat([p, (1 - p.sum(1, keepdim=True)).clamp(min=0)], dim=1)  # the last: it ends
        chosen = torch.multinomial(p, 1, generator=generator)[:, 0]
        chosen[::each] = p[::each].argmax(1)
        if n == longest:
            chosen[:] = 10
        else:
            nats -= torch.where(going, p.gather(1, chosen[:, None])[:, 0].log(), 0.0)
        going &= chosen < 10
        for i in going.nonzero()[:, 0].tolist():
            said[i] += str(int(chosen[i]))
        if not going.any():
            break
        ids = digits[chosen.clamp(max=9)][:, None]
        logits = model(ids, cache=cache_, last_only=True)[:, 0]
    return [
        {
            "said": said[i],
            "sure": round(float((-nats[i]).exp()), 3),
            "drawn": said[i + 1 : i + each],
        }
        for i in range(0, len(said), each)
    ]


def answers(rows: Sequence[Sequence[int]], count: int = NEW) -> list[str]:
    """What the model says to each row, the most probable, up to `count` tokens."""
    reader, found = real().tokenizer, {}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # those of a like length together
    for first in tqdm(range(0, len(rows), TOGETHER), desc="answers"):
        which = order[first : first + TOGETHER]
        batch = [torch.tensor(rows[i]) for i in which]
        ids = pad_sequence(batch, batch_first=True, padding_value=-1)
        new = generate(
            real().model, ids.clamp(min=0), count, temperature=0, stop=reader.end_id, keep=ids >= 0
        )
        for i, row in zip(which, new.tolist(), strict=True):
            found[i] = reader.decode([id for id in row if id != reader.end_id]).strip()
    return [found[i] for i in range(len(rows))]


def all_numbers(rows: Sequence[Sequence[int]], draws: int, seed: int) -> list[dict]:
    """`numbers` of rows of any lengths."""
    found: dict[int, dict] = {}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    alike = [list(of) for _, of in groupby(order, key=lambda i: len(rows[i]))]
    batches = [of[i : i + AT_ONCE] for of in alike for i in range(0, len(of), AT_ONCE)]
    for number, which in enumerate(tqdm(batches, desc="numbers")):
        said = numbers([rows[i] for i in which], draws, 1000 * seed + number)
        found |= dict(zip(which, said, strict=True))
    return [found[i] for i in range(len(rows))]


def sums(digits: int, count: int = EACH, seed: int = REAL_SEED) -> list[tuple[int, int]]:
    """Pairs of numbers of so many digits, none twice."""
    low, high = 10 ** (digits - 1), 10**digits
    drawn = Random(seed * 10 + digits).sample(range((high - low) ** 2), count)
    return [(low + i // (high - low), low + i % (high - low)) for i in drawn]


def add(digits: int, count: int = EACH) -> dict:
    """Sums: asked, and the answer begun, so that it must be a number."""
    pairs = sums(digits, count)
    rows = [request(f"What is {a} + {b}?", f"{a} + {b} = ") for a, b in pairs]
    found = all_numbers(rows, DRAWS, digits)
    return {"of": [one | {"a": a, "b": b} for one, (a, b) in zip(found, pairs, strict=True)]}


def people(count: int = len(BORN), seed: int = REAL_SEED) -> dict[str, list[str]]:
    """Real people; their names put together anew, so that nobody keeps their own; and first names
    of Storyland with its travellers' names behind them."""
    real_ = list(BORN)[:count]
    first, last = zip(*(name.split() for name in real_), strict=True)
    rng = Random(seed)
    while True:
        order = rng.sample(range(count), count)
        if all(i != j for i, j in enumerate(order)):
            break
    made, seen = [], set()
    for story in storyland.stories(seed):
        name = story.facts.get("traveller")
        if name and name not in seen:
            seen.add(name)
            made.append(f"{rng.choice(NAMES)} {name}")
        if len(made) == count:
            break
    return {
        "real": real_,
        "put together": [f"{first[i]} {last[j]}" for i, j in enumerate(order)],
        "made up": made,
    }


def born(kind: str, count: int = len(BORN)) -> dict:
    """In which year was each of them born? First the model may say that it does not know; then the
    answer is begun, and must be a year."""
    names, ask = people(count)[kind], "In which year was {} born?".format
    free = answers([request(ask(name), system=MAY_REFUSE) for name in names])
    begun = [request(ask(name), f"{name} was born in ") for name in names]
    found = all_numbers(begun, DRAWS, 100)
    return {
        "of": [
            one | {"name": name, "free": text}
            for one, name, text in zip(found, names, free, strict=True)
        ]
    }


def names_a_year(text: str) -> bool:
    return re.search(r"\d{3}", text) is not None


def elsewhere(count: int = REAL_TOLD) -> dict:
    """SmolLM2 reads a beginning of a story, and is asked about its hero and about somebody else."""
    of = cases(TOLD_SEED, count)
    return {
        who: answers([request(put(case, who), system=FROM_TEXT) for case in of])
        for who in ("hero", "absent")
    }


def hallucination(job: Job) -> dict:
    """How sure models are, and whether it is so: the next token of a story beside its exact
    probability; questions about people who are not in a story; and a published model with sums,
    years of birth and the same questions.
    """
    kept = partial(once, job.out)
    found = {
        "words": kept({"words": STORIES}, partial(words, STORIES)),
        "names": [kept({"names": seed}, lambda seed=seed: asked(tuned(seed))) for seed in MODELS],
        "questions": kept({"questions": ASKED}, usual),
        "smollm2": {
            "seed": REAL_SEED,
            "draws": DRAWS,
            "years": {name: sorted({year, ALSO.get(name, year)}) for name, year in BORN.items()},
            "sums": {str(n): kept({"sums": n, "each": EACH}, partial(add, n))["of"] for n in SUMS},
            "born": {kind: kept({"born": kind}, partial(born, kind))["of"] for kind in people()},
            "elsewhere": kept({"elsewhere": REAL_TOLD}, elsewhere)
            | {"cases": cases(TOLD_SEED, REAL_TOLD)},
        },
    }
    every = [one for of in found["smollm2"]["sums"].values() for one in of]
    open_ = np.array([row for story in found["words"]["open"] for row in story])
    total, seen = parts(open_[:, 0] / 1000, open_[:, 1] / 1000)
    return found | {
        "figures": {
            "share of the error that calibration sees": round(seen / total, 3),
            "nobody knows, of absent": [one["absent"]["nobody"] for one in found["names"]],
            "sums right": round(
                float(np.mean([one["said"] == str(one["a"] + one["b"]) for one in every])), 3
            ),
        }
    }
