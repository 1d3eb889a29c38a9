"""Storyland's and Part 1's headlines, each as a function of a fresh seed.

A seed gives three texts: training (the seed itself), validation and fresh stories.
"""

import math
import random
import re
from collections import Counter
from functools import cache
from itertools import islice, pairwise

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn

import storyland
from replications import headline
from tinygpt import mlp
from tinygpt.ngram import PAD, KneserNey
from tinygpt.tokenizer import BPETokenizer, CharTokenizer

VALID, FRESH = 10_000, 20_000  # added to the seed
ORACLE = storyland.Oracle()


def _fresh(seed: int, count: int) -> list[storyland.Story]:
    return list(islice(storyland.stories(seed + FRESH), count))


# storyland ---------------------------------------------------------------------------------------


@headline(
    page="storyland",
    claim="After a hundred stories, three sentences in four have been there before, with other "
    "people, places, animals and things.",
    effect="share of the sentences of stories 101 to 1,000 that are new",
    below=0.25,
)
def most_sentences_come_again(seed: int) -> float:
    seen, new = set(), []
    for story in islice(storyland.stories(seed), 1000):
        words = zip(story.words, story.roles, strict=True)
        blanked = storyland.join(["_" if role else word for word, role in words])
        sentences = set(re.findall(r"[^.!?]+[.!?]”?", blanked))
        new.append(len(sentences - seen) / len(sentences))
        seen |= sentences
    return sum(new[100:]) / len(new[100:])


@headline(
    page="storyland",
    claim="The oracle needs as many bits a character on 400 fresh stories as on the held-out ones, "
    "to three in a hundred.",
    effect="relative difference between the two",
    below=0.03,
)
def the_floor_stays(seed: int) -> float:
    fresh, held = (
        storyland.entropy(ORACLE, stories).bits_per_char.value
        for stories in (_fresh(seed, 400), storyland.held_out_stories())
    )
    return abs(fresh / held - 1)


@headline(
    page="storyland",
    claim="A whole story gives most of its mood away, though it never names it.",
    effect="share of the mood's entropy that an ideal reader gains",
    above=0.5,
)
def the_mood_shows(seed: int) -> float:
    told = storyland.mutual_information(ORACLE, _fresh(seed, 400), "mood").value
    return told / -sum(p * math.log2(p) for p in (0.5, 0.3, 0.2))


# 1-language-models/counting ----------------------------------------------------------------------

K = 10.0 ** np.arange(-5, 1.01, 0.25)


def _add_k(train: str, text: str, order: int) -> dict[float, float]:
    """Bits a character of `text` under add-k, for each k of the list."""
    padded = PAD * (order - 1) + train
    grams = Counter(padded[i : i + order] for i in range(len(train)))
    contexts = Counter(padded[i : i + order - 1] for i in range(len(train)))
    padded = PAD * (order - 1) + text
    count = np.array([grams[padded[i : i + order]] for i in range(len(text))])
    visits = np.array([contexts[padded[i : i + order - 1]] for i in range(len(text))])
    size = len(set(train))
    return {k: -np.log2((count + k) / (visits + k * size)).mean() for k in K}


def _best_k(seed: int, order: int, size: int) -> float:
    """The k of the list that is best on the validation text."""
    bits = _add_k(storyland.text(seed, size), storyland.text(seed + VALID, 50_000), order)
    return min(bits, key=bits.get)


def _gain_over_add_k(seed: int, order: int) -> float:
    """Bits a character that Kneser and Ney save on fresh stories."""
    train = storyland.text(seed, 1_000_000)
    text = "".join(story.text for story in _fresh(seed, 200))
    smooth = KneserNey(order).fit(train).bits_per_char(text)
    return _add_k(train, text, order)[_best_k(seed, order, 1_000_000)] - smooth


@headline(
    page="1-language-models/counting",
    claim="Kneser and Ney's smoothing beats add-k with its best k at order 3, if by little.",
    effect="bits a character, add-k minus Kneser-Ney",
    above=0.0,
)
def kneser_ney_wins_at_order_3(seed: int) -> float:
    return _gain_over_add_k(seed, 3)


@headline(
    page="1-language-models/counting",
    claim="At order 9 Kneser and Ney's smoothing saves a fifth of what add-k with its best k pays.",
    effect="bits a character, add-k minus Kneser-Ney",
    above=0.15,
)
def kneser_ney_wins_at_order_9(seed: int) -> float:
    return _gain_over_add_k(seed, 9)


@headline(
    page="1-language-models/counting",
    claim="The best k of add-k is smaller at order 9 than at order 3.",
    effect="powers of ten from the best k of order 3 to that of order 9",
    below=0.0,
)
def the_best_k_falls(seed: int) -> float:
    """On 300,000 characters, a size that the page does not use."""
    return math.log10(_best_k(seed, 9, 300_000) / _best_k(seed, 3, 300_000))


@headline(
    page="1-language-models/counting",
    claim="Where the hero's name stood last 100 characters ago or more, a 16-gram gives it less "
    "than a fifth of the probability that the oracle does.",
    effect="the 16-gram's mean probability over the oracle's",
    below=0.2,
)
def an_n_gram_does_not_remember(seed: int) -> float:
    counter = KneserNey(16).fit(storyland.text(seed, 1_000_000))
    guess = truth = 0.0
    for story in _fresh(seed, 200):
        nats, due = counter.log_probs(story.text), ORACLE.word_log_probs(story.words)
        ends = {}
        for mention in storyland.mentions(story):
            if mention.word != story.facts["hero"]:
                continue
            last = ends.get(mention.word, story.text.index(mention.word))
            if mention.start - last >= 100:
                guess += math.exp(sum(nats[mention.start : mention.end]))
                truth += math.exp(due[mention.index])
            ends[mention.word] = mention.end
    return guess / truth


# 1-language-models/tokens ------------------------------------------------------------------------


def _library(text: str, num_merges: int) -> Tokenizer:
    """Byte-pair encoding as Hugging Face's library learns it."""
    level = pre_tokenizers.ByteLevel
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = level(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + num_merges, initial_alphabet=level.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def _by_hand(pieces: Counter, num_merges: int) -> list[bytes]:
    """The page's loop: what each merge makes, with ties to the smaller ids, left before right."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = [bytes([b]) for b in visible + [b for b in range(256) if b not in visible]]
    ids = {byte: i for i, byte in enumerate(table)}
    words = Counter()
    for piece, times in pieces.items():
        words[tuple(ids[bytes([b])] for b in piece.encode())] += times
    while len(table) < 256 + num_merges:
        pairs = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                pairs[pair] += times
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = {_merged(word, best, len(table)): times for word, times in words.items()}
        table.append(table[best[0]] + table[best[1]])
    return table[256:]


def _merged(word: tuple[int, ...], pair: tuple[int, int], new: int) -> tuple[int, ...]:
    out = []
    for i in word:
        if out and (out[-1], i) == pair:
            out[-1] = new
        else:
            out.append(i)
    return tuple(out)


@headline(
    page="1-language-models/tokens",
    claim="Our loop and Hugging Face's library learn the same merges in the same order, also where "
    "counts are equal at every turn.",
    effect="merges that differ",
    below=0.5,
)
def the_library_learns_the_same(seed: int) -> float:
    """400 merges of 200,000 characters of stories, and 40 of each of a hundred nasty texts."""
    rng = random.Random(seed)
    texts = [(storyland.text(seed, 200_000), 400)]
    for _ in range(100):
        texts.append(("".join(rng.choices("ab“ ", [6, 3, 1, 1], k=rng.randrange(1, 200))), 40))
    split, differ = pre_tokenizers.ByteLevel(add_prefix_space=False), 0
    level = {char: byte for byte, char in _signs().items()}
    for text, num_merges in texts:
        pieces = Counter(text[a:b] for _, (a, b) in split.pre_tokenize_str(text))
        vocab = _library(text, num_merges).get_vocab()
        theirs = sorted(vocab, key=vocab.get)[256:]
        theirs = [bytes(level[char] for char in token) for token in theirs]
        ours = _by_hand(pieces, num_merges)
        differ += abs(len(ours) - len(theirs))
        differ += sum(a != b for a, b in zip(ours, theirs, strict=False))
    return differ


def _signs() -> dict[int, str]:
    """The sign that the library writes for each byte: itself, or the next free one from U+0100."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}


def _unigram(seed: int) -> list[tuple[float, float]]:
    """(perplexity a token, bits a character) with characters, then with the longest list."""
    train = storyland.text(seed, 1_000_000)
    text = "".join(story.text for story in _fresh(seed, 200))
    found = []
    for tokenizer in (CharTokenizer.train(train), BPETokenizer.train(train, 4096)):
        counts, ids = Counter(tokenizer.encode(train)), tokenizer.encode(text)
        total = counts.total() + tokenizer.vocab_size
        bits = -sum(math.log2((counts[i] + 1) / total) for i in ids)
        found.append((2 ** (bits / len(ids)), bits / len(text)))
    return found


@headline(
    page="1-language-models/tokens",
    claim="From characters to the longest list of tokens a unigram model's perplexity rises many "
    "times.",
    effect="times that the perplexity rises",
    above=5.0,
)
def perplexity_rises(seed: int) -> float:
    (characters, _), (tokens, _) = _unigram(seed)
    return tokens / characters


@headline(
    page="1-language-models/tokens",
    claim="From characters to the longest list of tokens the same unigram model's bits per "
    "character fall to less than half.",
    effect="bits a character with tokens over bits a character with characters",
    below=0.5,
)
def bits_per_character_fall(seed: int) -> float:
    (_, characters), (_, tokens) = _unigram(seed)
    return tokens / characters


@headline(
    page="1-language-models/tokens",
    claim="A model of characters that knows six of them beats a bigram of the longest tokens, "
    "which knows as many on average and is smoothed alike.",
    effect="bits a character, bigram of tokens minus 7-gram of characters",
    above=0.0,
)
def looking_back_is_what_helps(seed: int) -> float:
    train = storyland.text(seed, 1_000_000)
    text = "".join(story.text for story in _fresh(seed, 200))
    tokenizer = BPETokenizer.train(train, 4096)
    ids = tokenizer.encode(text)
    nats = _counted(tokenizer, tokenizer.encode(train), 2)(ids)
    bits = nats.sum().item() / math.log(2) / len(text)
    return bits - KneserNey(7).fit(train).bits_per_char(text)


# 1-language-models/neural ------------------------------------------------------------------------

ORDER = 7  # both sides see six tokens


def _counted(tokenizer: BPETokenizer, ids: list[int], order: int = ORDER):
    """Kneser-Ney over tokens: ids -> nats of each, (T,)."""
    (newline,) = tokenizer.encode("\n")
    signs = [PAD if i == newline else chr(0x100 + i) for i in range(tokenizer.vocab_size)]
    counter = KneserNey(order).fit("".join(signs[i] for i in ids))
    counter.alphabet = sorted(signs)  # every token may come
    return lambda ids: (
        -torch.tensor(counter.log_probs("".join(signs[i] for i in ids)), dtype=torch.float64)
    )


def _network(
    tokenizer: BPETokenizer, ids: list[int], seed: int, steps: int, dropout: float = 0.0
) -> mlp.MLP:
    """The page's network, trained on ids."""
    torch.manual_seed(seed)
    model = mlp.MLP(mlp.MLPConfig(tokenizer.vocab_size, context=ORDER - 1))
    model.embedding = nn.Sequential(model.embedding, nn.Dropout(dropout))
    model.down = nn.Sequential(nn.Dropout(dropout), model.down)
    mlp.fit(model, ids, *tokenizer.encode("\n"), steps=steps, seed=seed)
    return model.eval()


def _learned(tokenizer: BPETokenizer, ids: list[int], seed: int, steps: int, dropout: float = 0.0):
    """The page's network, trained on ids: ids -> nats of each, (T,)."""
    model = _network(tokenizer, ids, seed, steps, dropout)
    return lambda ids: -mlp.log_probs(model, ids, *tokenizer.encode("\n")).double()


@cache
def _tokens(seed: int, size: int | None = None) -> tuple[BPETokenizer, list[int]]:
    """The tokens learned from a million characters, and the first `size` of these in them."""
    text = storyland.text(seed, 1_000_000)
    tokenizer = BPETokenizer.train(text, 1536)
    return tokenizer, tokenizer.encode(text[:size])


def _network_gain(seed: int, size: int | None, steps: int, dropout: float = 0.0) -> float:
    """Bits a character on 200 fresh stories, counting minus the network, of the same order."""
    tokenizer, ids = _tokens(seed, size)
    text = "".join(story.text for story in _fresh(seed, 200))
    read = tokenizer.encode(text)
    counted = _counted(tokenizer, ids)(read).sum()
    learned = _learned(tokenizer, ids, seed, steps, dropout)(read).sum()
    return (counted - learned).item() / math.log(2) / len(text)


@headline(
    page="1-language-models/neural",
    claim="A network that sees what a counting model sees, and stores about as many numbers, "
    "predicts better.",
    effect="bits a character, 7-gram of tokens minus network",
    above=0.05,
)
def the_network_beats_counting(seed: int) -> float:
    return _network_gain(seed, None, 2000)


@headline(
    page="1-language-models/neural",
    claim="On a tenth of the text, trained in the same way, the network loses to counting.",
    effect="bits a character, 7-gram of tokens minus network",
    below=0.0,
)
def the_plain_network_needs_text(seed: int) -> float:
    return _network_gain(seed, 100_000, 400)


@headline(
    page="1-language-models/neural",
    claim="On a tenth of the text the network wins too, once dropout keeps it from learning its "
    "pages by heart.",
    effect="bits a character, 7-gram of tokens minus network",
    above=0.0,
)
def dropout_makes_up_for_text(seed: int) -> float:
    return _network_gain(seed, 100_000, 1600, dropout=0.4)


@headline(
    page="1-language-models/neural",
    claim="For a colour and a thing that training never showed together, the network pays at least "
    "three bits less than counting.",
    effect="bits for the thing, 7-gram of tokens minus network",
    above=3.0,
)
def likeness_helps_where_nothing_was_seen(seed: int) -> float:
    """The first 60 cases of fresh stories."""
    text, lists = storyland.text(seed, 1_000_000), storyland.grammar().lists
    colours, things = ([item.name for item in lists[kind].items] for kind in ("colour", "thing"))
    pair = re.compile(rf"\ban? ({'|'.join(colours)}) ({'|'.join(things)})\b")
    cases = (
        story.text[: match.end()]
        for story in storyland.stories(seed + FRESH)
        for match in pair.finditer(story.text)
        if f" {match[1]} {match[2]}" not in text
    )
    tokenizer, ids = _tokens(seed)
    rivals, gain = (_counted(tokenizer, ids), _learned(tokenizer, ids, seed, 2000)), []
    for case in islice(cases, 60):
        last = len(tokenizer.encode(" " + case.split()[-1]))
        counted, learned = (rival(tokenizer.encode(case))[-last:].sum() for rival in rivals)
        gain.append((counted - learned).item() / math.log(2))
    return sum(gain) / len(gain)


@headline(
    page="1-language-models/neural",
    claim="In the table by which the network predicts, the names nearest to a name are mostly of "
    "the same sex.",
    effect="share of the four nearest names that are of the same sex",
    above=0.75,
)
def predicted_names_are_sorted_by_sex(seed: int) -> float:
    """Names that are one token and stand 50 times or more in the training text."""
    tokenizer, ids = _tokens(seed)
    sexes, count = {}, Counter(ids)
    for name in storyland.grammar().lists["name"].items:
        first, *rest = tokenizer.encode(" " + name.name)
        if not rest and count[first] >= 50:
            sexes[first] = name.forms["child"]
    model = _network(tokenizer, ids, seed, 2000)
    names = list(sexes)
    unit = nn.functional.normalize(model.output.weight.detach()[names], dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-1).topk(4).indices.tolist()
    alike = [sexes[names[j]] == sexes[names[i]] for i, row in enumerate(nearest) for j in row]
    return sum(alike) / len(alike)
