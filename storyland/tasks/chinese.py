"""English to Chinese and back: a sentence that tells a story's plot, and the same facts in Chinese.

    >>> example = next(examples(seed=1))
    >>> print(example.input)
    The owl won a race to the barn, before the sheep and the fox.
    >>> print(example.output)
    猫头鹰第一个跑到谷仓，赢了比赛，后面依次是绵羊和狐狸。
    >>> facts(example.input) == facts(example.output) == example.facts
    True
    >>> score(example, "猫头鹰第一个跑到谷仓，赢了比赛，后面依次是狐狸和绵羊。")
    0.6

The English is that of `summaries`. The Chinese stands on a page of its own, `chinese.txt`: a second
way to say the same facts, with a grammar, an order and measure words of its own, and no word of it
is made from the English words. Both pages can be read as well as written, so a translation is
marked by the facts that it claims. Most facts have several right sentences in either language;
`example.outputs` is their whole distribution.
"""

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, product
from pathlib import Path
from random import Random

from storyland.tasks import frame, summaries
from storyland.tasks.frame import PageError

CHINESE, ENGLISH = "Chinese", "English"
Facts = dict[str, str]
_PART = re.compile(r"\{(\w+)(?:\.(\w+))?\}|([^{}]+)")
_LIST = re.compile(r"list \w+ \((?P<facts>[\w ]+)\)(?:: (?P<forms>.+))?")
_SPELL = re.compile(r"spell \((?P<facts>[\w ]+)\)")
_WEIGHT = re.compile(r"(?:(\d+) )?(.+)")
_HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Example(frame.Example):
    """A sentence about a story (`input`) and the same in the other language (`output`)."""

    right: dict[str, float]  # every right translation, with its probability
    facts: Facts  # what both say: the plot, who, what, where, how many

    @property
    def outputs(self) -> dict[str, float]:
        """The exact distribution of right translations; sums to 1."""
        return self.right


@dataclass
class _Words:
    """The Chinese of a list: `forms[column][name in the stories]`; column "" is the word itself."""

    forms: dict[str, dict[str, str]]
    meanings: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        for column, form in self.forms.items():
            meanings: dict[str, list[str]] = {}
            for name, said in form.items():
                meanings.setdefault(said, []).append(name)
            self.meanings[column] = meanings
            self.longest[column] = max(map(len, meanings))

    def read(self, column: str, text: str) -> Iterator[tuple[str, int]]:
        """What the beginning of a text may mean, and how many characters say it."""
        for length in range(1, min(self.longest[column], len(text)) + 1):
            for name in self.meanings[column].get(text[:length], ()):
                yield name, length


@dataclass(frozen=True)
class _Sentence:
    weight: int
    holds: Facts  # what is so where it can be said
    parts: tuple  # characters, and slots (fact, column)

    @property
    def claims(self) -> frozenset[str]:
        said = {part[0] for part in self.parts if isinstance(part, tuple)}
        return frozenset(self.holds.keys() | said)


class Chinese:
    """The sentences of a page, to be written and read."""

    def __init__(self, page: str):
        """From the text of the page. PageError where it has no meaning."""
        self.words: dict[str, _Words] = {}  # by fact
        self._sentences: list[_Sentence] = []
        blocks, parts = [], {}
        for line in page.splitlines():
            line = line.partition("#")[0].rstrip()
            if line and not line.startswith(" "):
                blocks.append((line, []))
            elif line:
                blocks[-1][1].append(line.strip())
        for header, lines in blocks:
            if header.startswith("part "):
                parts[header.removeprefix("part ")] = [_weighted(line) for line in lines]
        for header, lines in blocks:
            if match := _LIST.fullmatch(header):
                columns = ["", *(match["forms"] or "").split()]
                self._know(match["facts"], _table(columns, lines))
            elif match := _SPELL.fullmatch(header):
                self._know(match["facts"], {"": _spelled(lines)})
            elif not header.startswith("part "):
                holds = dict(pair.split("=") for pair in header.split(", "))
                for line in lines:
                    self._sentences += [
                        _Sentence(weight, holds, self._parts(text))
                        for weight, text in _expanded(*_weighted(line), parts)
                    ]
        self._by_claims: dict[frozenset[str], list[_Sentence]] = {}
        for sentence in self._sentences:
            self._by_claims.setdefault(sentence.claims, []).append(sentence)

    def _know(self, facts: str, forms: dict[str, dict[str, str]]) -> None:
        self.words |= dict.fromkeys(facts.split(), _Words(forms))

    def _parts(self, text: str) -> tuple:
        found = []
        for fact, column, characters in _PART.findall(text):
            if fact and column not in getattr(self.words.get(fact), "forms", ()):
                raise PageError(f"{text}: nothing is known of {fact!r} with the form {column!r}")
            found.append((fact, column) if fact else characters)
        return tuple(found)

    def sentences(self, facts: Mapping[str, str]) -> dict[str, float]:
        """Every way to say these facts and no others, with its probability; empty if none."""
        found: dict[str, int] = {}
        for sentence in self._by_claims.get(frozenset(facts), ()):
            if sentence.holds.items() <= facts.items():
                said = self._said(sentence, facts)
                if said is not None:
                    found[said] = found.get(said, 0) + sentence.weight
        return {said: weight / sum(found.values()) for said, weight in found.items()}

    def _said(self, sentence: _Sentence, facts: Mapping[str, str]) -> str | None:
        said = ""
        for part in sentence.parts:
            if isinstance(part, tuple):
                fact, column = part
                if facts[fact] not in self.words[fact].forms[column]:
                    return None
                part = self.words[fact].forms[column][facts[fact]]
            said += part
        return said

    def read(self, text: str) -> list[Facts]:
        """What a text can mean as a sentence of the page: the facts of each way to read it."""
        found: list[Facts] = []
        for sentence in self._sentences:
            for facts in self._read(sentence.parts, text, sentence.holds):
                if facts not in found:
                    found.append(facts)
        return found

    def _read(self, parts: tuple, text: str, known: Facts) -> Iterator[Facts]:
        if not parts:
            if not text:
                yield known
            return
        part, rest = parts[0], parts[1:]
        if isinstance(part, str):
            if text.startswith(part):
                yield from self._read(rest, text[len(part) :], known)
            return
        fact, column = part
        for meant, length in self.words[fact].read(column, text):
            if known.get(fact, meant) == meant:
                yield from self._read(rest, text[length:], known | {fact: meant})


def _weighted(line: str) -> tuple[int, str]:
    weight, text = _WEIGHT.fullmatch(line).groups()
    return int(weight or 1), text


def _expanded(weight: int, text: str, parts: dict) -> Iterator[tuple[int, str]]:
    """The sentence with each way to say its <parts>."""
    pieces = re.split(r"<(\w+)>", text)
    for name in pieces[1::2]:
        if name not in parts:
            raise PageError(f"{text}: the page has no part called {name!r}")
    for chosen in product(*(parts[name] for name in pieces[1::2])):
        total, whole = weight, pieces[0]
        for (share, said), after in zip(chosen, pieces[2::2], strict=True):
            total, whole = total * share, whole + said + after
        yield total, whole


def _table(columns: list[str], lines: list[str]) -> dict[str, dict[str, str]]:
    forms: dict[str, dict[str, str]] = {column: {} for column in columns}
    for line in lines:
        name, *said = re.split(r" {2,}", line)
        if len(said) != len(columns):
            raise PageError(f"{line}: give the Chinese of {name}, and its {columns[1:]}")
        for column, form in zip(columns, said, strict=True):
            forms[column][name] = form
    return forms


def _spelled(lines: list[str]) -> dict[str, str]:
    """All names that the syllables make, and their Chinese."""
    places: list[list[tuple[str, str]]] = [[]]
    for line in lines:
        if line == "then":
            places.append([])
        else:
            places[-1] += [tuple(pair.split()) for pair in re.split(r" {2,}", line)]
    return {
        "".join(letters for letters, _ in name): "".join(said for _, said in name)
        for name in product(*places)
    }


@cache
def of_storyland() -> Chinese:
    """The Chinese of Storyland, read once."""
    return Chinese(Path(__file__).with_name("chinese.txt").read_text(encoding="utf-8"))


def facts(text: str) -> Facts | None:
    """What a sentence claims, in English or in Chinese; None if no page can have written it.

    TypeError if it is no text.
    """
    text = frame.as_text(text).strip()
    read = of_storyland().read if _HAN.search(text) else summaries.of_storyland().claims
    readings = read(text)
    return dict(sorted(readings[0].items())) if readings else None


def examples(seed: int, into: str = CHINESE) -> Iterator[Example]:
    """An endless stream of the stories of this seed, a sentence each, to be translated `into`
    "Chinese" or "English".

    ValueError if the seed is no whole number from 0 on, or there is no such language.
    """
    if into not in (CHINESE, ENGLISH):
        raise ValueError(f"a translation is into {CHINESE} or {ENGLISH}, not {into!r}")
    return _examples(seed, into, Random(f"chinese {frame.checked(seed)}"))


def _examples(seed: int, into: str, choice: Random) -> Iterator[Example]:
    for one in summaries.examples(seed):
        claimed = one.claimed[one.output]
        told = {fact: one.facts[fact] for fact in sorted(claimed)}
        chinese = of_storyland().sentences(told)
        if not chinese:
            raise PageError(f"the page has no sentence for {told}")
        said = _drawn(chinese, choice)
        if into == CHINESE:
            yield Example(one.story, one.output, said, chinese, told)
        else:
            right = {text: p for text, p in one.right.items() if one.claimed[text] == claimed}
            right = {text: p / sum(right.values()) for text, p in right.items()}
            yield Example(one.story, said, one.output, right, told)


def _drawn(outputs: dict[str, float], choice: Random) -> str:
    texts, totals = list(outputs), list(accumulate(outputs.values()))
    return texts[bisect(totals, choice.random() * totals[-1], hi=len(texts) - 1)]


def score(example: Example, output: str) -> float:
    """The share of the facts that a translation has right: 1 for a right one, in any wording.

    Of the facts that it claims and those of the example, as many are right as agree; 0 for a text
    that the page cannot have written, such as one in the wrong language. TypeError if it is no text
    """
    claimed = facts(output)
    if claimed is None or bool(_HAN.search(output)) != bool(_HAN.search(example.output)):
        return 0.0
    right = sum(example.facts.get(fact) == value for fact, value in claimed.items())
    return right / len(claimed.keys() | example.facts.keys())


def one_wrong(example: Example, rng: Random) -> str:
    """The Chinese of an example in the same words, but for one fact, which is another.

    ValueError for an example that is translated into English.
    """
    page = of_storyland()
    ways = list(page.sentences(example.facts))
    if example.output not in ways:
        raise ValueError(f"this is no Chinese: {example.output!r}")
    while True:
        fact = rng.choice([name for name in example.facts if name in page.words])
        other = rng.choice([*page.words[fact].forms[""]])
        changed = list(page.sentences(example.facts | {fact: other}))
        # Nobody is to appear twice, and the new value is to have the same sentences.
        if other not in example.facts.values() and len(changed) == len(ways):
            return changed[ways.index(example.output)]
