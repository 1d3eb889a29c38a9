"""Speech as a noisy channel: what was said, from what was heard and from what is likely to be said.

Shannon, "A Mathematical Theory of Communication", 1948, has the channel; Jelinek, "Continuous
Speech Recognition by Statistical Methods", Proceedings of the IEEE 64, 1976, recognises speech by
it: the words w for which P(heard | w) P(w) is largest.

Here the channel is known. At a known rate a letter is drowned, and any of its group is heard: a
vowel for a vowel, a consonant for a consonant. Capitals, marks and most gaps between words come
through, but some gaps are lost, and two words are heard as one.
"""

import heapq
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

import storyland
from storyland.sampler import Story
from storyland.words import END, join, split
from tinygpt import records
from tinygpt.corpora import corpus
from tinygpt.model import GPT, KVCache
from tinygpt.ngram import KneserNey
from tinygpt.pretrained import pretrained
from tinygpt.tokenizer import BPETokenizer
from tools.records.in_context import START

GROUPS = ("aeiou", "bcdfghjklmnpqrstvwxyz")
GROUP = {letter: group for group in GROUPS for letter in group}
LOST = 0.1  # of the gaps between two words
RATES = (0.4, 0.7, 1.0)  # of the letters, which are drowned
LEFT_OUT = "stranger"  # the plot whose names are in no vocabulary
COUNTED = 10_000_000  # characters of the text that is counted
ORDERS = (2, 3, 4, 5, 6, 8, 10, 12)
SEED, SENTENCES, SHOWN = 67, 120, 12
BEAM, LISTED = 50, 40  # texts that go on; those that a model of tokens chooses from
REAL = "smollm2-135m-instruct"
LETTERS = [chr(i) for i in range(128)] + list("‘’“”–—…")
PLACE = {letter: i for i, letter in enumerate(LETTERS)}


# The channel


@cache
def table(rate: float) -> np.ndarray:
    """(said, heard): ln P of what is heard for each character that is said."""
    chances = np.eye(len(LETTERS))
    for letter, group in GROUP.items():
        for spell in (str.lower, str.upper):
            row = PLACE[spell(letter)]
            chances[row, row] = 1 - rate
            for other in group:
                chances[row, PLACE[spell(other)]] += rate / len(group)
    with np.errstate(divide="ignore"):
        return np.log(chances)


def gap(before: str, word: str) -> bool:
    """Whether a space stands between two words."""
    return len(join([before, word])) > len(before) + len(word)


def can_be_lost(before: str, word: str) -> bool:
    return before[-1].isalpha() and word[0].isalpha()


def hear(words: Sequence[str], rate: float, random: np.random.Generator) -> str:
    """What is heard of these words. For another rate the same numbers are drawn."""
    said = ""
    for before, word in zip([None, *words], words, strict=False):
        spaced = before is not None and gap(before, word)
        lost = random.random() < LOST
        said += " " if spaced and not (lost and can_be_lost(before, word)) else ""
        for letter in word:
            drowned, which = random.random() < rate, random.random()
            if drowned and (group := GROUP.get(letter.lower())):
                other = group[int(which * len(group))]
                letter = other.upper() if letter.isupper() else other
            said += letter
    return said


class Vocabulary:
    """The words that may be said, and which of them may have been heard at a place."""

    def __init__(self, words: Iterable[str]):
        self.words = sorted(set(words))
        lengths = sorted({len(word) for word in self.words})
        self.of = {n: [word for word in self.words if len(word) == n] for n in lengths}
        self.places = {n: np.array([[PLACE[c] for c in word] for word in some])
                       for n, some in self.of.items()}  # fmt: skip

    def __len__(self) -> int:
        return len(self.words)

    def at(self, heard: str, start: int, rate: float) -> list[tuple[str, float]]:
        """The words that may begin there, each with ln P of the letters that were heard of it."""
        found = []
        for n, places in self.places.items():
            if start + n > len(heard) or " " in heard[start : start + n]:
                continue
            letters = [PLACE[c] for c in heard[start : start + n]]
            nats = table(rate)[places, letters].sum(axis=1)
            found += [(self.of[n][i], float(nats[i])) for i in np.flatnonzero(nats > -np.inf)]
        return found


# What is likely to be said


class Alike:
    """Every word of the vocabulary is as likely as another, whatever came before."""

    def __init__(self, vocabulary: Vocabulary):
        self.nats = -math.log(len(vocabulary))

    def start(self, before: Sequence[str]) -> None:
        return None

    def chances(self, state: None, words: Iterable[str]) -> dict[str, float]:
        return dict.fromkeys(words, self.nats)

    def step(self, state: None, word: str) -> None:
        return None


class NGram:
    """Interpolated Kneser-Ney over words: `tinygpt.ngram` with a character for each word."""

    def __init__(self, order: int, words: Sequence[str], others: Iterable[str] = ()):
        """From a text's words; there may be `others`, which it lacks."""
        every = sorted({*words, *others, END})
        self.letters = {word: chr(0x4E00 + i) for i, word in enumerate(every)}
        self.letters[END] = "\n"
        self.order = order
        self.model = KneserNey(order).fit("".join(map(self.letters.get, words)))
        self.model.alphabet = sorted(self.letters.values())

    def start(self, before: Sequence[str]) -> str:
        return self.step("\n" * (self.order - 1), *before)

    def chances(self, state: str, words: Iterable[str]) -> dict[str, float]:
        return {w: math.log(self.model.prob(self.letters[w], state)) for w in words}

    def step(self, state: str, *words: str) -> str:
        state += "".join(map(self.letters.get, words))
        return state[len(state) - self.order + 1 :]

    def nats(self, words: Sequence[str]) -> float:
        """-ln P of a whole text."""
        return -sum(self.model.log_probs("".join(map(self.letters.get, words))))


class Truth:
    """The oracle: the chances with which the grammar says each word."""

    def __init__(self):
        self.oracle = storyland.Oracle()

    def start(self, before: Sequence[str]):
        states = self.oracle.start()
        for word in before:
            _, states = self.oracle.step(states, word)
        return states

    def chances(self, state, words: Iterable[str]) -> dict[str, float]:
        every = self.oracle.distribution(state)
        return {w: math.log(every[w]) for w in words if every.get(w, 0) > 0}

    def step(self, state, word: str):
        return self.oracle.step(state, word)[1]


# The search


def search(heard: str, vocabulary: Vocabulary, rate: float, prior, before: Sequence[str] = (),
           beam: int = BEAM) -> list[tuple[float, float, list[str]]]:  # fmt: skip
    """The likeliest texts by P(heard | text) P(text | before), the best first: ln of the product,
    ln of its first factor alone, and the words.

    From left to right; of the texts that reach the same place the `beam` best go on.
    """
    # at each place: (nats, nats of the channel, words, the state before the last word)
    reached: dict[int, list] = {0: [(0.0, 0.0, (), None)]}
    for place in range(len(heard)):
        if place not in reached:
            continue
        spaced = place > 0 and heard[place] == " "
        near = vocabulary.at(heard, place + spaced, rate)
        for total, channel, words, state in _best(reached.pop(place), beam):
            last = words[-1] if words else None
            state = prior.step(state, last) if words else prior.start(before)
            may = {word: nats + gone for word, nats in near
                   if (gone := _gap_nats(last, word, spaced)) > -math.inf}  # fmt: skip
            for word, chance in prior.chances(state, may).items():
                nats, end = channel + may[word], place + spaced + len(word)
                more = total + may[word] + chance, nats, (*words, word), state
                reached.setdefault(end, []).append(more)
    found = _best(reached.get(len(heard), []), beam)
    return [(total, channel, list(words)) for total, channel, words, _ in found]


def _best(some: list, beam: int) -> list:
    """The words break a tie, so that it does not depend on the order of a search."""
    return heapq.nsmallest(beam, some, key=lambda one: (-one[0], one[2]))


def _gap_nats(last: str | None, word: str, spaced: bool) -> float:
    if last is None or not gap(last, word):
        return -math.inf if spaced else 0.0
    if not can_be_lost(last, word):
        return 0.0 if spaced else -math.inf
    return math.log(1 - LOST if spaced else LOST)


# A model that reads tokens: it chooses from a list


@torch.inference_mode()
def log_probs(model: GPT, encode, before: str, texts: Sequence[str]) -> list[float]:
    """ln P of each text after `before`, by a model whose tokens never join the two."""
    ids = encode(before)
    rows = [torch.tensor(encode(before + text)[len(ids) :]) for text in texts]
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    cache = KVCache()
    first = model(torch.tensor([ids]), cache=cache, last_only=True)
    cache.reorder(torch.zeros(len(texts), dtype=torch.long))
    logits = torch.cat([first.expand(len(texts), -1, -1),
                        model(x[:, :-1].clamp(min=0), cache=cache)], dim=1)  # fmt: skip
    nats = F.cross_entropy(logits.flatten(0, 1).float(), x.flatten(), ignore_index=-1,
                           reduction="none")  # fmt: skip
    return (-nats.view_as(x).sum(1)).tolist()


# How wrong


def edits(reference: Sequence[str], said: Sequence[str]) -> int:
    """The fewest words to put in, take out or exchange: Levenshtein, 1966."""
    return _table(reference, said)[-1][-1]


def wrong(reference: Sequence[str], said: Sequence[str]) -> list[int]:
    """Which words of the reference are taken out or exchanged then; one that is put in counts for
    the word before it. As many as `edits`, and some perhaps twice."""
    rows, found = _table(reference, said), []
    i, j = len(reference), len(said)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (reference[i - 1] != said[j - 1]):
            i, j = i - 1, j - 1
            found += [i] * (reference[i] != said[j])
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
            found.append(i)
        else:
            j -= 1
            found.append(max(i - 1, 0))
    return found[::-1]


def _table(reference: Sequence[str], said: Sequence[str]) -> list[list[int]]:
    rows = [list(range(len(said) + 1))]
    for i, word in enumerate(reference, 1):
        above, row = rows[-1], [i]
        for j, other in enumerate(said, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
        rows.append(row)
    return rows


def spoken(words: Iterable[str]) -> list[str]:
    """Without the marks."""
    return [word for word in words if word[-1].isalpha()]


def least(texts: Sequence[Sequence[str]], chances: Sequence[float]) -> int:
    """Which text has the fewest words wrong that are to be expected, where one of them is right
    and these are the chances: minimum Bayes risk (Goel and Byrne, 2000)."""
    likely = [(text, p) for text, p in zip(texts, chances, strict=True) if p > 1e-4]
    expected = [round(risk(text, *zip(*likely, strict=True)), 9) for text, _ in likely]
    return expected.index(min(expected))


def risk(said: Sequence[str], texts: Sequence[Sequence[str]], chances: Sequence[float]) -> float:
    """How many words of it are wrong, on average over what may have been said."""
    return sum(p * edits(text, said) for text, p in zip(texts, chances, strict=True))


# Sentences of Storyland


@dataclass(frozen=True)
class Sentence:
    """A sentence, what the story has said before it, and which kind of word each of its is."""

    before: list[str]
    words: list[str]
    kinds: list[str]


def sentences(seed: int, count: int) -> list[Sentence]:
    """One a story, drawn from those of six to thirty words that do not begin it."""
    rng, found = np.random.default_rng(seed), []
    for story in storyland.stories(seed):
        if story.facts["plot"] == LEFT_OUT:
            continue
        some = [(a, b) for a, b in cut(story.words)
                if a and 6 <= len(spoken(story.words[a:b])) <= 30]  # fmt: skip
        if not some:
            continue
        a, b = some[rng.integers(len(some))]
        found.append(Sentence(story.words[:a], story.words[a:b], kinds(story)[a:b]))
        if len(found) == count:
            return found
    raise AssertionError("stories never end")


def cut(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each sentence begins and ends; a closing quotation mark belongs to what it closes."""
    ends, start, found = False, 0, []
    for i, word in enumerate([*words, END]):
        if ends and word != "”":
            found.append((start, i))
            start, ends = i, False
        ends = ends or word in (".", "!", "?")
        if word == END:
            break
    return found


KINDS = ("said first", "said again", "the rest")


def kinds(story: Story) -> list[str]:
    """Of each word: names of people, places, animals and things, said first or again; the rest."""
    again = {mention.index for mention in storyland.mentions(story)}
    return [KINDS[1] if i in again else KINDS[0] if role else KINDS[2]
            for i, role in enumerate(story.roles)]  # fmt: skip


@cache
def counted() -> list[str]:
    """The words of the training text, without the stories of LEFT_OUT."""
    found: list[str] = []
    size = 0
    for story in storyland.stories(1):
        size += len(story.text)
        if story.facts["plot"] != LEFT_OUT:
            found += story.words
        if size >= COUNTED:
            return found
    raise AssertionError("stories never end")


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(set(counted()) - {END})


@cache
def ngram() -> NGram:
    """Of the order that pays least for other stories: see `orders`."""
    return NGram(min(orders(), key=orders().get), counted())


@cache
def orders() -> dict[int, float]:
    """Bits a word that each order pays for 200 stories of seed 2."""
    some = [one.words for one in islice(storyland.stories(2), 240) if one.facts["plot"] != LEFT_OUT]
    words = [word for one in some for word in one]
    return {order: round(NGram(order, counted()).nats(words) / len(words) / math.log(2), 3)
            for order in ORDERS}  # fmt: skip


@cache
def reader():
    """story-base, and its tokenizer's `encode`."""
    model, _ = records.load("story-base")
    return model, BPETokenizer.train(corpus("storyland", size="1MB").train, 1536).encode


PRIORS = ("nothing", "n-gram", "story-base", "no story", "another story", "oracle", "word by word")


def rescored(found: list, before: Sequence[str]) -> list[str]:
    """Of a list from `search`, the likeliest by the channel and story-base."""
    model, encode = reader()
    start, found = "\n" + join(before), found[:LISTED]
    # The space before the sentence belongs to it, as the tokens see it.
    texts = [" " * bool(before) + join(words) for _, _, words in found]
    nats = log_probs(model, encode, start, texts)
    totals = [n + channel for n, (_, channel, _) in zip(nats, found, strict=True)]
    return found[totals.index(max(totals))][2]


def understood(one: Sentence, other: Sentence, heard: str, rate: float) -> dict:
    """What each of PRIORS makes of what was heard; whether the list held what was said; and how
    many words the oracle expects to be wrong in its last two."""
    said = {"nothing": search(heard, vocabulary(), rate, Alike(vocabulary()), beam=8)[0][2]}
    listed = search(heard, vocabulary(), rate, ngram(), one.before)
    said["n-gram"] = listed[0][2]
    for name, before in (("story-base", one.before), ("no story", []),
                         ("another story", other.before)):  # fmt: skip
        said[name] = rescored(listed, before)
    found = search(heard, vocabulary(), rate, Truth(), one.before, beam=200)
    nats = np.array([total for total, _, _ in found])
    chances = np.exp(nats - nats.max()) / np.exp(nats - nats.max()).sum()
    texts = [spoken(words) for _, _, words in found]
    said["oracle"] = found[0][2]
    said["word by word"] = found[least(texts, chances)][2]
    return {
        "said": said,
        "listed": any(words == one.words for _, _, words in listed[:LISTED]),
        "expected": [risk(spoken(said[name]), texts, chances)
                     for name in ("oracle", "word by word")],
        "sure": chances[0],
    }  # fmt: skip


def measured(seed: int, count: int, rate: float) -> dict:
    """Fresh sentences, heard and understood: of each, how many words of each of KINDS there are,
    how many of them each prior has wrong, and what `understood` says besides."""
    some = sentences(seed, count)
    result: dict = {"rate": rate, "words": [], "listed": [], "expected": [], "sure": [],
                    "wrong": {name: [] for name in PRIORS}, "shown": []}  # fmt: skip
    for i, one in enumerate(tqdm(some, leave=False, mininterval=10)):
        heard = hear(one.words, rate, np.random.default_rng([seed, i]))
        found = understood(one, some[i - 1], heard, rate)
        words = spoken(one.words)
        of = [kind for word, kind in zip(one.words, one.kinds, strict=True) if spoken([word])]
        result["words"].append([of.count(kind) for kind in KINDS])
        for name, text in found["said"].items():
            places = wrong(words, spoken(text))
            result["wrong"][name].append([sum(of[p] == kind for p in places) for kind in KINDS])
        result["listed"].append(int(found["listed"]))
        result["expected"].append([round(x, 4) for x in found["expected"]])
        result["sure"].append(round(float(found["sure"]), 4))
        if i < SHOWN:
            said = {name: join(text) for name, text in found["said"].items()}
            result["shown"].append({"said": join(one.words), "heard": heard} | said)
    return result


# Something is said that nobody expects


EXCHANGED, EXCHANGED_SEED, EXCHANGED_RATES = 60, 68, (0.0, 0.4)


@dataclass(frozen=True)
class Exchange:
    """A sentence that names again what the story has named, and the same with another name."""

    sentence: Sentence
    place: int  # of the word
    word: str  # the other, as long, its vowels and consonants at the same places

    @property
    def changed(self) -> list[str]:
        words = list(self.sentence.words)
        words[self.place] = self.word
        return words


def pattern(word: str) -> str:
    return "".join("Vv"[c.islower()] if c.lower() in GROUPS[0] else "Cc"[c.islower()] for c in word)


@cache
def named() -> dict[str, list[str]]:
    """The names of people, places, animals and things of 2,000 stories, by pattern."""
    found: dict[str, set[str]] = {}
    for story in islice(storyland.stories(1), 2000):
        for word, role in zip(story.words, story.roles, strict=True):
            if role and story.facts["plot"] != LEFT_OUT:
                found.setdefault(pattern(word), set()).add(word)
    return {key: sorted(words) for key, words in found.items()}


def exchanges(seed: int, count: int) -> list[Exchange]:
    rng, found = np.random.default_rng(seed), []
    for one in sentences(seed, 4 * count):
        said = {*one.before, *one.words}
        may = [(i, word) for i, kind in enumerate(one.kinds) if kind == KINDS[1]
               and one.words.count(one.words[i]) == 1
               for word in named()[pattern(one.words[i])] if word not in said]  # fmt: skip
        if may:
            found.append(Exchange(one, *may[rng.integers(len(may))]))
    if len(found) < count:
        raise AssertionError(f"{len(found)} of {count} sentences can be changed so")
    return found[:count]


def unexpected(seed: int, count: int, rate: float) -> dict:
    """Which of the words are understood, 1 or 0 each: as the story has it, and exchanged."""
    found: dict = {which: {name: [] for name in ("nothing", "n-gram", "story-base", "oracle")}
                   for which in ("expected", "exchanged")}  # fmt: skip
    priors = {"nothing": Alike(vocabulary()), "n-gram": ngram(), "oracle": Truth()}
    for i, one in enumerate(tqdm(exchanges(seed, count), leave=False, mininterval=10)):
        for which, words in (("expected", one.sentence.words), ("exchanged", one.changed)):
            heard = hear(words, rate, np.random.default_rng([seed, i]))
            lists = {name: search(heard, vocabulary(), rate, prior, one.sentence.before)
                     for name, prior in priors.items()}  # fmt: skip
            said = {name: some[0][2] if some else [] for name, some in lists.items()}
            said["story-base"] = rescored(lists["n-gram"], one.sentence.before)
            for name, text in said.items():
                right = one.place not in wrong(words, text)
                found[which][name].append(int(right))
    return {"rate": rate} | found


# English


ENGLISH, ENGLISH_SEED, ENGLISH_RATE, ENGLISH_LISTED = 40, 69, 0.4, 16
ENGLISH_ORDERS = (1, 2, 3, 4, 5, 6, 8)


@cache
def english() -> tuple[list[list[str]], list[str]]:
    """Sentences of Python's documentation of six to twenty words and no marks but commas, drawn;
    and the words of all the rest of it."""
    whole = corpus("pydocs")
    text = re.sub(r"\s+", " ", whole.train + whole.valid + whole.test)
    every = sorted(set(re.findall(r"(?<=[.!?] )[A-Z][A-Za-z, ]+\.(?= )", text)))
    every = [one for one in every if join(split(one)) == one and 6 <= len(spoken(split(one))) <= 20]
    drawn = np.random.default_rng(ENGLISH_SEED).permutation(len(every))[:ENGLISH]
    for i in drawn:
        text = text.replace(every[i], " ")
    words = [word for word in split(text) if word.isascii() and (word.isalpha() or word in ",.")]
    return [split(every[i]) for i in drawn], words


@cache
def english_ngram() -> NGram:
    """Of the order that pays least for the last tenth, where the rest is counted."""
    sentences, words = english()
    every, most = {*words, *(word for one in sentences for word in one)}, len(words) * 9 // 10
    tried = {order: NGram(order, words[:most], every).nats(words[most:])
             for order in ENGLISH_ORDERS}  # fmt: skip
    return NGram(min(tried, key=tried.get), words, every)


def heard_in_english() -> dict:
    """Of each sentence how many words there are, and how many of them are wrong by the channel
    alone, with an n-gram of the rest of the documentation, and where SmolLM2 chooses among those
    that the n-gram lists. The dictionary holds every word of the documentation."""
    model, real = english_ngram(), pretrained(REAL)
    words = Vocabulary(set(model.letters) - {END})
    some = english()[0]
    names = ("nothing", "n-gram", "SmolLM2", "best of the list")
    found: dict = {"rate": ENGLISH_RATE, "vocabulary": len(words), "order": model.order,
                   "words": [], "listed": [], "shown": [],
                   "wrong": {name: [] for name in names}}  # fmt: skip
    names = ("nothing", "n-gram", "SmolLM2", "best of the list")
    found: dict = {"rate": ENGLISH_RATE, "vocabulary": len(words), "order": model.order,
                   "sentences": len(some), "words": [], "listed": [], "shown": [],
                   "wrong": {name: [] for name in names}}  # fmt: skip
    for i in tqdm(range(len(some)), leave=False, mininterval=10):
        heard = hear(some[i], ENGLISH_RATE, np.random.default_rng([ENGLISH_SEED, i]))
        listed = search(heard, words, ENGLISH_RATE, model)
        said = {"nothing": search(heard, words, ENGLISH_RATE, Alike(words), beam=8)[0][2]}
        said["n-gram"] = listed[0][2]
        listed = listed[:ENGLISH_LISTED]
        nats = real_log_probs(real, [join(text) for _, _, text in listed])
        totals = [n + channel for n, (_, channel, _) in zip(nats, listed, strict=True)]
        said["SmolLM2"] = listed[totals.index(max(totals))][2]
        reference = spoken(some[i])
        said["best of the list"] = min((text for _, _, text in listed),
                                       key=lambda text: edits(reference, spoken(text)))  # fmt: skip
        for name, text in said.items():
            found["wrong"][name].append(edits(reference, spoken(text)))
        found["words"].append(len(reference))
        found["listed"].append(int(any(text == some[i] for _, _, text in listed)))
        if len(found["shown"]) < SHOWN:
            texts = {name: join(text) for name, text in said.items()}
            found["shown"].append({"said": join(some[i]), "heard": heard} | texts)
    return found


def real_log_probs(real, texts: Sequence[str]) -> list[float]:
    """ln P of each text by SmolLM2, as the beginning of a document."""
    start = real.tokenizer.encode(START, special=True)

    def encode(text: str) -> list[int]:
        return start + real.tokenizer.encode(text) if text else start

    return log_probs(real.model, encode, "", texts)
