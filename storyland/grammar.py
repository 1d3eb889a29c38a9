"""What a grammar is made of, and what each piece means (`page.py` reads one from text).

A grammar is rules and lists. A rule is one of several options; an option is a line of words,
calls of other rules, and slots that draw from lists and remember what they drew. What has been
drawn so far is the `env`, a tuple with one place a fact, so that two states of a reader are equal
exactly when they expect the same future.

Each part of an option answers two questions, and both the sampler and the oracle ask only these:
`choices(env)` - which outcomes are possible here, and with what weight;
`take(outcome, env)` - what an outcome prints or calls, and which facts hold after it.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from storyland.words import split

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
).split()

TALK = "talk"  # the role of lists whose items only fill a pause: no facts, no roles of words

Env = tuple  # one place a fact: an Item, an int, a str, or None where nothing is known yet


@dataclass(frozen=True, eq=False)
class Item:
    """An entry of a list: its name, and its other forms (`he`, `many`, ...) by column."""

    name: str
    forms: dict[str, str]
    weight: object
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


class Choices:
    """Weighted outcomes: pairs (weight, outcome), weights whole and above 0; their running sums."""

    __slots__ = ("pairs", "totals")

    def __init__(self, pairs: list[tuple[int, object]]):
        self.pairs = pairs
        self.totals = list(accumulate(weight for weight, _ in pairs))


@dataclass(eq=False)
class List:
    name: str
    role: str
    columns: list[str]
    named_columns: set[str]  # the columns that name the thing itself, and so carry its role
    items: list[Item] = field(default_factory=list)
    facts: list[int] = field(default_factory=list)  # the facts that are drawn from it
    _known: dict[tuple, Choices] = field(default_factory=dict, repr=False)

    def choices(self, env: Env, exclude_held: bool) -> Choices:
        """The items with their weights; facts drawn from one list never share an item."""
        key = tuple([env[fact] for fact in self.depends])
        if key not in self._known:
            weighted = [(item.weight(env), item) for item in self.items]
            self._known[key] = Choices([pair for pair in weighted if pair[0]])
        choices = self._known[key]
        if exclude_held:
            held = [env[fact] for fact in self.facts if env[fact] is not None]
            if held:
                return Choices([pair for pair in choices.pairs if pair[1] not in held])
        return choices

    @cached_property
    def depends(self) -> list[int]:
        """The facts on which the weights depend."""
        return sorted({item.weight.fact for item in self.items if item.weight.fact is not None})


# --- weights and conditions: what may depend on the facts --------------------------------------


@dataclass(frozen=True)
class Fixed:
    value: int
    fact = None

    def __call__(self, env: Env) -> int:
        return self.value


@dataclass(frozen=True)
class ByItem:
    """A weight for each item of a list: `6/1/2` is 6 if the fact is the first item, and so on."""

    fact: int
    values: dict[Item, int]

    def __call__(self, env: Env) -> int:
        return self.values[env[self.fact]]


@dataclass(frozen=True)
class ByForm:
    """A weight that is written in the fact's own list: `job.women`."""

    fact: int
    column: str

    def __call__(self, env: Env) -> int:
        return int(env[self.fact].forms[self.column])


@dataclass(frozen=True)
class Equals:
    """`if thief=@first`: the fact has this value, or the value of that other fact."""

    fact: int
    value: object
    other: int | None
    wanted: bool = True

    def __call__(self, env: Env) -> bool:
        value = self.value if self.other is None else env[self.other]
        return (env[self.fact] == value) is self.wanted


# --- the parts of an option --------------------------------------------------------------------


@dataclass(eq=False)
class Option:
    weight: object
    conditions: tuple[Equals, ...]
    parts: tuple
    effects: tuple[tuple[int, object, int | None], ...]
    line: int
    text: str  # as the page writes it, without weight, conditions and effects

    @property
    def first_word(self) -> str | None:
        """The word that the option begins with, where it is sure to begin with one."""
        return self.parts[0] if self.parts and isinstance(self.parts[0], str) else None


@dataclass(eq=False)
class Call:
    """`<rule>`: one of the rule's options."""

    rule: str
    options: list[Option]
    _known: dict[tuple, Choices] = field(default_factory=dict, repr=False)

    def choices(self, env: Env) -> Choices:
        key = tuple([env[fact] for fact in self.depends])
        if key not in self._known:
            self._known[key] = Choices([
                (weight, option)
                for option in self.options
                if all(condition(env) for condition in option.conditions)
                and (weight := option.weight(env))
            ])
        return self._known[key]

    @cached_property
    def depends(self) -> list[int]:
        """The facts on which the choice depends."""
        facts = {option.weight.fact for option in self.options}
        for option in self.options:
            for condition in option.conditions:
                facts |= {condition.fact, condition.other}
        return sorted(facts - {None})

    def take(self, option: Option, env: Env) -> tuple[tuple, Env]:
        if not option.effects:
            return option.parts, env
        new = list(env)
        for fact, value, other in option.effects:  # all at once: two facts can be exchanged
            new[fact] = value if other is None else env[other]
        return option.parts, tuple(new)

    def first_word(self, option: Option) -> str | None:
        return option.first_word

    role = ""


@dataclass(eq=False)
class Draw:
    """`{fact: list}` draws an item, remembers and prints it; `<list>` draws, prints and forgets."""

    source: List
    fact: int | None
    shown: tuple  # (column or "", article, capital), or () for a silent draw

    def choices(self, env: Env) -> Choices:
        if self.fact is not None and env[self.fact] is not None:
            return Choices([(1, env[self.fact])])
        return self.source.choices(env, exclude_held=self.fact is not None)

    def take(self, item: Item, env: Env) -> tuple[tuple, Env]:
        if self.fact is not None and env[self.fact] is not item:
            env = env[: self.fact] + (item,) + env[self.fact + 1 :]
        return self.words(item), env

    def words(self, item: Item) -> tuple[str, ...]:
        if not self.shown:
            return ()
        if self.shown not in item.words:
            item.words[self.shown] = _render(item, *self.shown)
        return item.words[self.shown]

    def first_word(self, item: Item) -> str | None:
        words = self.words(item)
        return words[0] if words else None

    @property
    def article(self) -> str:
        return self.shown[1] if self.shown else ""

    @property
    def role(self) -> str:
        named = self.shown and (not self.shown[0] or self.shown[0] in self.source.named_columns)
        return self.source.role if named and self.source.role != TALK else ""


@dataclass(eq=False)
class Number:
    """`{have: 4..9}` draws a number; `{left = have - gave}` works one out; `{have}` repeats it."""

    fact: int
    low: tuple | None  # (fact or None, added number)
    high: tuple | None
    sum: tuple | None  # (fact, sign, (fact or None, number))
    capital: bool
    silent: bool
    role = ""

    def choices(self, env: Env) -> Choices:
        if env[self.fact] is not None:
            return Choices([(1, env[self.fact])])
        if self.sum:
            first, sign, (second, number) = self.sum
            total = env[first] + sign * (number if second is None else env[second])
            return Choices([(1, total)])
        low, high = (bound[1] + (0 if bound[0] is None else env[bound[0]])
                     for bound in (self.low, self.high))
        return Choices([(1, number) for number in range(low, high + 1)])

    def take(self, number: int, env: Env) -> tuple[tuple, Env]:
        words = () if self.silent else (self.first_word(number),)
        return words, env[: self.fact] + (number,) + env[self.fact + 1 :]

    def first_word(self, number: int) -> str | None:
        if self.silent:
            return None
        word = NUMBERS[number]
        return word.capitalize() if self.capital else word


def _render(item: Item, column: str, article: str, capital: bool) -> tuple[str, ...]:
    words = split(item.forms[column] if column else item.name)
    if article:
        words = ["an" if words[0][0] in "aeiouAEIOU" else "a", *words]
    if capital:
        words = [words[0][0].upper() + words[0][1:], *words[1:]]
    return tuple(words)


# --- the whole ----------------------------------------------------------------------------------


def in_words(value: object) -> str:
    """The value of a fact as a story would say it."""
    return NUMBERS[value] if isinstance(value, int) else str(value)


@dataclass
class Grammar:
    facts: list[str]
    lists: dict[str, List]
    rules: dict[str, Call]
    start: str = "story"

    @property
    def empty_env(self) -> Env:
        return (None,) * len(self.facts)

    def known(self, env: Env) -> dict[str, str]:
        """The facts of an env by name, as words; what only fills a pause is left out."""
        talk = {fact for source in self.lists.values() if source.role == TALK
                for fact in source.facts}
        return {
            name: in_words(value)
            for fact, (name, value) in enumerate(zip(self.facts, env, strict=True))
            if value is not None and fact not in talk
        }
