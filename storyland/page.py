"""Reads a grammar that is written as a page of story templates: `stories.txt`, whose head explains
the form. A page that has no meaning raises GrammarError with the line."""

import itertools
import re

from storyland.grammar import (
    ByForm,
    ByItem,
    Call,
    Draw,
    Equals,
    Fixed,
    Grammar,
    Item,
    List,
    Number,
    Option,
)
from storyland.words import WORD


class GrammarError(ValueError):
    """The page says something that has no meaning; the message tells the line."""


_OPTION = re.compile(
    r"(?:(?P<weight>\d+(?:/\d+)*|[a-z_]+\.[a-z_]+)(?:\s+|$))?"
    r"(?:if (?P<conditions>[^:]+):\s*)?"
    r"(?P<text>.*?)\s*"
    r"(?:-> (?P<effects>.+))?$"
)
_PART = re.compile(r"\{[^}]*\}|<[^>]*>|" + WORD.pattern)
_SLOT = re.compile(
    r"(?P<silent>~)?(?P<article>[Aa] )?(?P<fact>\w+)(?:\.(?P<column>\w+))?"
    r"(?:: *(?P<low>[\w+-]+)\.\.(?P<high>[\w+-]+)|: *(?P<list>\w+)"
    r"| = (?P<first>\w+) (?P<sign>[+-]) (?P<second>\w+))?"
)
_CALL = re.compile(r"(?P<article>[Aa] )?(?P<name>\w+)(?:\.(?P<column>\w+))?")
_LIST = re.compile(r"list (?P<name>\w+)(?: is (?P<role>\w+))?(?::(?P<columns>.*))?")


class _Reader:
    """Turns the page into lists, then rules; slots may name facts and rules that come later."""

    def __init__(self, page: str):
        self.lists: dict[str, List] = {}
        self.rules: dict[str, Call] = {}
        self.facts: dict[str, int] = {}
        self.numbers: set[int] = set()
        self.weights_by: str | None = None
        page = re.sub(r"#.*", "", page)
        blocks = self._blocks(page)
        for line, header, _ in blocks:
            self._declare(line, header)
        for fact, name in re.findall(r"\{~?(?:[Aa] )?(\w+)(?:\.\w+)?: *([a-z]\w*)\}", page):
            if name not in self.lists:
                raise GrammarError(f"{{{fact}: {name}}}: no list is called {name}")
            self._drawn_from(self.lists[name], self._fact(fact.lower()))
        for fact in re.findall(r"\{~?(\w+)(?::[^}]*\.\.| = )", page):
            self.numbers.add(self._fact(fact.lower()))
        for _, header, entries in blocks:
            if match := _LIST.fullmatch(header):
                self._read_items(self.lists[match["name"]], entries)
        for _, header, entries in blocks:
            if header.startswith("rule "):
                call = self.rules[header[5:].strip()]
                call.options.extend(self._option(*entry) for entry in entries)
                if not call.options:
                    raise GrammarError(f"rule {call.rule} has no options")

    def _blocks(self, page: str) -> list[tuple[int, str, list[tuple[int, str]]]]:
        blocks = []
        for number, raw in enumerate(page.splitlines(), 1):
            line = raw.rstrip()
            if not line:
                continue
            indent = len(line) - len(line.lstrip())
            if indent == 0:
                blocks.append((number, line, []))
            elif not blocks:
                raise GrammarError(f"line {number}: an option that belongs to no rule")
            elif indent > 2:  # goes on with the line above
                first, text = blocks[-1][2].pop()
                blocks[-1][2].append((first, f"{text} {line.strip()}"))
            else:
                blocks[-1][2].append((number, line.strip()))
        return blocks

    def _declare(self, line: int, header: str) -> None:
        if header.startswith("weights by "):
            self.weights_by = header.removeprefix("weights by ").strip()
        elif match := _LIST.fullmatch(header):
            columns = (match["columns"] or "").split()
            self.lists[match["name"]] = List(
                match["name"], match["role"] or "", [column.strip("*") for column in columns],
                {column.strip("*") for column in columns if column.startswith("*")},
            )
        elif header.startswith("rule "):
            name = header[5:].strip()
            if name in self.rules:
                raise GrammarError(f"line {line}: rule {name} is written twice")
            self.rules[name] = Call(name, [])
        else:
            raise GrammarError(f"line {line}: neither a list nor a rule: {header}")

    def _read_items(self, source: List, entries: list[tuple[int, str]]) -> None:
        for line, text in entries:
            spelled = re.match(r"(\[[^]]*\] ?)+", text)
            if spelled:  # every way to take one piece from each bracket
                pieces = [group.split() for group in re.findall(r"\[([^]]*)\]", spelled[0])]
                rest = text[spelled.end():]
                names = ["".join(choice) for choice in itertools.product(*pieces)]
                self._read_items(source, [(line, f"{name}  {rest}".strip()) for name in names])
                continue
            weighted = re.fullmatch(r"(.+?)\s+x(\d+(?:/\d+)*|\w+\.\w+)", text)
            text, weight = weighted.groups() if weighted else (text, "1")
            cells = re.split(r"\s{2,}", text)
            if len(cells) != 1 + len(source.columns):
                raise GrammarError(f"line {line}: {source.name} needs 1 + {len(source.columns)} "
                                   f"columns, two spaces apart; found {len(cells)}")
            forms = dict(zip(source.columns, cells[1:], strict=True))
            source.items.append(Item(cells[0], forms, self._weight(line, weight)))

    def _weight(self, line: int, text: str):
        if "/" in text:
            values = [int(value) for value in text.split("/")]
            items = self.lists[self.weights_by].items
            if len(values) != len(items):
                raise GrammarError(f"line {line}: {text} needs {len(items)} weights")
            fact = self._fact(self.weights_by)
            return ByItem(fact, dict(zip(items, values, strict=True)))
        if "." in text:
            fact, column = text.split(".")
            return ByForm(self._fact(fact), column)
        return Fixed(int(text))

    def _fact(self, name: str) -> int:
        return self.facts.setdefault(name, len(self.facts))

    def _drawn_from(self, source: List, fact: int) -> None:
        if fact not in source.facts:
            source.facts.append(fact)

    def _value(self, name: str, text: str) -> tuple[object, int | None]:
        """`@fact`, an item of a list that the fact is drawn from, or else just a word."""
        if text.startswith("@"):
            return None, self._fact(text[1:])
        fact = self._fact(name)
        sources = [source for source in self.lists.values() if fact in source.facts]
        for source in [*sources, *filter(None, [self.lists.get(name)])]:
            for item in source.items:
                if item.name == text:
                    return item, None
        return text, None

    def _option(self, line: int, text: str) -> Option:
        match = _OPTION.match(text)
        conditions = []
        for condition in (match["conditions"] or "").split(", ") if match["conditions"] else []:
            fact, unequal, value = re.fullmatch(r"(\w+)(!?)=(\S+)", condition).groups()
            conditions.append(Equals(self._fact(fact), *self._value(fact, value), not unequal))
        effects = []
        for effect in match["effects"].split(", ") if match["effects"] else []:
            fact, value = effect.split("=")
            effects.append((self._fact(fact.strip()), *self._value(fact.strip(), value.strip())))
        parts = tuple(self._part(line, part) for part in _PART.findall(match["text"]))
        weight = self._weight(line, match["weight"] or "1")
        return Option(weight, tuple(conditions), parts, tuple(effects), line, match["text"])

    def _part(self, line: int, text: str):
        if text.startswith("<"):
            match = _CALL.fullmatch(text[1:-1])
            name = match["name"] if match else text
            if name in self.rules:
                return self.rules[name]
            if name.lower() not in self.lists:
                raise GrammarError(f"line {line}: no rule or list is called {name}")
            return Draw(self.lists[name.lower()], None, self._shown(match, name))
        if text.startswith("{"):
            return self._slot(line, text)
        return text

    def _shown(self, match: re.Match, name: str) -> tuple:
        article = (match["article"] or "").strip()
        return match["column"] or "", article.lower(), name[0].isupper() or article == "A"

    def _slot(self, line: int, text: str):
        match = _SLOT.fullmatch(text[1:-1])
        if not match:
            raise GrammarError(f"line {line}: cannot read {text}")
        name = match["fact"].lower()
        fact = self._fact(name)
        capital = match["fact"][0].isupper()
        if match["low"] or match["first"]:
            total = match["first"] and (
                self._fact(match["first"]), 1 if match["sign"] == "+" else -1,
                self._bound(match["second"]))
            low, high = (match[bound] and self._bound(match[bound]) for bound in ("low", "high"))
            return Number(fact, low, high, total, capital, bool(match["silent"]))
        if fact in self.numbers:
            return Number(fact, None, None, None, capital, bool(match["silent"]))
        source = self.lists.get(match["list"] or "") or next(
            (other for other in self.lists.values() if fact in other.facts), self.lists.get(name))
        if source is None:
            raise GrammarError(f"line {line}: {text}: say which list it comes from, as in "
                               f"{{{name}: list}}, where it first stands")
        self._drawn_from(source, fact)
        return Draw(source, fact, () if match["silent"] else self._shown(match, match["fact"]))

    def _bound(self, text: str) -> tuple[int | None, int]:
        name, sign, number = re.fullmatch(r"([a-z_]\w*)?([+-]?)(\d+)?", text).groups()
        added = int(number or 0) * (-1 if sign == "-" else 1)
        return (self._fact(name) if name else None), added


def read(page: str) -> Grammar:
    """The grammar written on a page. Raises GrammarError with the line where it cannot be read."""
    reader = _Reader(page)
    return Grammar(list(reader.facts), reader.lists, reader.rules)
