"""Make the game of the front page, "Guess the next word", and its story: records/guess.json.

    python -m tools.guess

The stories are fresh ones, on which nothing was trained or measured. Each round hides a word of
another kind; the place is drawn among all of that kind in its story. Nothing is picked by what a
model says of it. The choices are the word that the story has and the three others to which the
three models together give most.

All three give the probability of the whole word:

    oracle    exactly, from the grammar
    counting  the 16-gram model of the chapter on counting, which predicts characters: the product
              over the letters, times the probability that no further letter or hyphen follows
    gpt       the recorded run `story-base`, which predicts tokens: the same, summed over every way
              in which the word can be cut into tokens. (No token reaches past the end of a word.)
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from itertools import islice

import torch

import storyland
from storyland.grammar import NUMBERS
from tinygpt import records
from tinygpt.corpora import corpus
from tinygpt.ngram import KneserNey
from tools.records.storyland import tokenizer

FILE = records.FOLDER / "guess.json"
STORY_SEED, PLACE_SEED = 2026, 0
KINDS = (
    "one of he, she, his and her",
    "a thing named again",
    "a person named again",
    "something named for the first time",
    "a place named again",
    "a number",
    "an animal named again",
    "a person named again",
)
CHOICES = 4
SELDOM = 1e-4  # a beginning of a word that is less likely is not looked at as a choice
NEVER = 1e-9  # and one of a choice adds nothing that could be seen

# Given the pieces that come after a beginning, the probability of each next piece.
Pieces = Callable[[tuple[str, ...]], dict[str, float]]


def kind(word: str, role: str, said: Collection[str]) -> str:
    """What kind of place it is where a story goes on with `word`."""
    if word.lower() in NUMBERS[2:]:
        return "a number"
    if role:
        article = "an" if role[0] in "aeiou" else "a"
        again = f"{article} {role} named again"
        return again if word in said else "something named for the first time"
    if word in {"he", "she", "his", "her"}:
        return "one of he, she, his and her"
    return "any other word"


def places(stories: Iterator[storyland.Story]) -> Iterator[tuple[str, storyland.Story, int]]:
    """For each kind the next story that has it, and the place in it, drawn."""
    rng = random.Random(PLACE_SEED)
    for wanted in KINDS:
        found = []
        while not found:
            story = next(stories)
            found = [
                place
                for place, (word, role) in enumerate(zip(story.words, story.roles, strict=True))
                if kind(word, role, story.words[:place]) == wanted and word.isalpha()
            ]
        yield wanted, story, rng.choice(found)


def word_probs(pieces: Pieces, space: str, least: float, wanted: Collection[str] = ()) -> Counter:
    """P(word) of each next word, or of those wanted; `space` is what stands before it.

    Follows every way to write it in pieces whose probability is `least` or more.
    """
    found = Counter()
    todo: list[tuple[tuple[str, ...], float]] = [((), 1.0)]
    while todo:
        written, chance = todo.pop()
        text = "".join(written)
        after = pieces(written)
        if len(text) > len(space):
            ends = 1 - sum(p for piece, p in after.items() if re.match(r"[A-Za-z-]", piece))
            found[text.removeprefix(space)] += chance * ends
        for piece, p in after.items():
            longer = text + piece
            if chance * p >= least and (
                any((space + word).startswith(longer) for word in wanted)
                if wanted
                else re.fullmatch(rf"{space}[A-Za-z]*", longer)
            ):
                todo.append(((*written, piece), chance * p))
    return Counter({word: found[word] for word in wanted or found})


def counting(model: KneserNey, before: str) -> Pieces:
    return lambda written: model.next_char("\n" * model.order + before + "".join(written))


def gpt(model, reader, before: str) -> Pieces:
    start = reader.encode("\n" + before)
    texts = [reader.decode([i]) for i in range(reader.vocab_size)]
    # A part of a character that is no letter begins no word and ends none: it need not be told.
    ids = {text: i for i, text in enumerate(texts) if "\ufffd" not in text}

    @torch.no_grad()
    def pieces(written: tuple[str, ...]) -> dict[str, float]:
        tokens = torch.tensor([[*start, *(ids[piece] for piece in written)]])
        chances = model(tokens, last_only=True)[0, -1].double().softmax(0).tolist()
        return {text: chances[i] for text, i in ids.items()}

    return pieces


def readers() -> dict[str, Callable[[str], Pieces]]:
    """The two models that were trained, each as a function of what was read so far."""
    counted = KneserNey(16).fit(corpus("storyland", size="1MB").train)
    trained, _ = records.load("story-base")
    cut = tokenizer()
    return {
        "counting": lambda before: counting(counted, before),
        "gpt": lambda before: gpt(trained, cut, before),
    }


def play(models: dict, oracle: storyland.Oracle, wanted: str, story, place: int) -> dict:
    """One round: what the page shows of it."""
    said = story.words[place]
    before = storyland.join(story.words[:place])
    rest = story.text[len(before) :]
    space = " " if rest.startswith(" ") else ""
    truth = oracle.next_word(story.words[:place])
    likely = Counter(truth)
    for read in models.values():
        likely.update(word_probs(read(before), space, SELDOM))
    others = [word for word, _ in likely.most_common() if word.isalpha() and word != said]
    choices = sorted([said, *others[: CHOICES - 1]])
    chances = {
        name: word_probs(read(before), space, NEVER, choices) for name, read in models.items()
    } | {"oracle": Counter(truth)}
    return {
        "kind": wanted,
        "before": before,
        "space": space,
        "after": re.match(r".*?(?:[.!?]”?|$)", rest.removeprefix(space + said))[0],
        "said": said,
        "choices": [
            {"word": word} | {name: round(float(p[word]), 4) for name, p in chances.items()}
            for word in choices
        ],
    }


def game(models: dict, rounds: int = len(KINDS)) -> dict:
    """The story of the front page and the first rounds."""
    stories = storyland.stories(STORY_SEED)
    oracle, first = storyland.Oracle(), next(stories)
    return {
        "command": "python -m tools.guess",
        "story_seed": STORY_SEED,
        "place_seed": PLACE_SEED,
        "story": first.text.rstrip("\n"),
        "rounds": [play(models, oracle, *where) for where in islice(places(stories), rounds)],
    }


def main() -> None:
    text = json.dumps(game(readers()), indent=1, ensure_ascii=False) + "\n"
    FILE.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {FILE.relative_to(records.ROOT)}")


if __name__ == "__main__":
    main()
