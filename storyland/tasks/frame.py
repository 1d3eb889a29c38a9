"""What the tasks share: an example, and a page that is read together with the page of the stories.

A task's page may call the rules and lists of the stories and use their facts. And it can say what
a sentence of a story tells, where the facts alone do not: two sentences may use a fact in two
senses (`{days}` of walking, `{days}` until a birthday).

    when There were {days: 3..20} days left. -> counting=birthday

Every option of the stories that has these words (as the page writes them; in an option of several
sentences, one of them is enough) then establishes that fact when it has been written. Such a fact
is told by the text, and no choice of the writer depends on it: the stories, their probabilities
and what the oracle says of them stay as they are.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import storyland
from storyland.grammar import NUMBERS, Call, Choices, Draw, Env, Grammar, Number, Option
from storyland.sampler import Story, Written, write
from storyland.words import END, join

STORIES = Path(storyland.__file__).with_name("stories.txt")


@dataclass(frozen=True)
class Example:
    """One thing to do: what is given, and what is right."""

    story: Story  # its words, their roles and the facts; the facts are not for the one who answers
    input: str  # all that is given, the story included
    output: str  # right

    @property
    def outputs(self) -> dict[str, float]:
        """The exact distribution of right outputs; sums to 1."""
        return {self.output: 1.0}


class PageError(ValueError):
    """The page of a task says something that has no meaning; the message tells what."""


class World:
    """The grammar of the stories, with the rules and the facts that the page of a task adds."""

    def __init__(self, stories: str, page: str):
        whens, rules = [], []
        for line in page.splitlines():
            (whens if line.startswith("when ") else rules).append(line)
        for number, line in enumerate(whens):
            _, arrow, effects = line.partition(" -> ")
            if not arrow:
                raise PageError(f"{line}: say which fact holds then, as in `-> fact=value`")
            rules += [f"rule note_{number}", f"  -> {effects}"]
        known = storyland.read(stories)
        # `read` anew, and not the grammar that everybody shares: options are added to below.
        self.grammar: Grammar = storyland.read("\n".join([stories, *rules]))
        told: set[int] = set()
        options = [o for rule in known.rules for o in self.grammar.rules[rule].options]
        for number, line in enumerate(whens):
            words = line.removeprefix("when ").partition(" -> ")[0].strip()
            note = self.grammar.rules[f"note_{number}"]
            saying = [option for option in options if words in option.text]
            if not saying:
                raise PageError(f"when {words}: no option of the stories says this")
            for option in saying:
                option.parts += (note,)
            told |= {fact for fact, _, _ in note.options[0].effects}
        # A slot of another fact draws: `{absent: name}` is somebody who is not in the story.
        self._given = told | {self.fact(name) for name in known.facts}
        self._needs: dict[Option, tuple[int, ...]] = {}

    @cached_property
    def _place(self) -> dict[str, int]:
        return {fact: place for place, fact in enumerate(self.grammar.facts)}

    def fact(self, name: str) -> int:
        """Where in an env a fact stands; PageError if there is none of this name."""
        if name not in self._place:
            raise PageError(f"no fact is called {name!r}")
        return self._place[name]

    def needs(self, option: Option) -> tuple[int, ...]:
        """The facts that must be known for an option to be written without inventing any."""
        if option not in self._needs:
            self._needs[option] = tuple(sorted(set(self._slots(option.parts)) & self._given))
        return self._needs[option]

    def _slots(self, parts: Iterable) -> Iterator[int]:
        for part in parts:
            if isinstance(part, Call):
                for option in part.options:
                    yield from self._slots(option.parts)
            elif isinstance(part, Draw) and part.fact is not None:
                yield part.fact
            elif isinstance(part, Number):
                if part.sum:
                    first, _, (second, _) = part.sum
                    yield from (first, second) if second is not None else (first,)
                else:
                    yield part.fact

    def possible(self, call: Call, env: Env) -> Choices:
        """The options of a rule whose conditions hold here, and whose facts are all known."""
        return Choices([
            (weight, option)
            for weight, option in call.choices(env).pairs
            if all(env[fact] is not None for fact in self.needs(option))
        ])

    def written(self, rng: Random, watch: frozenset[str] = frozenset()) -> Written:
        """A whole story, the same as `storyland.stories` writes with the same `rng`."""
        return write([self.grammar.rules[self.grammar.start]], self.grammar.empty_env, rng, watch)

    def story(self, written: Written, end: tuple[int, Env] | None = None) -> Story:
        """A written story, or its beginning up to where a watched rule ended."""
        if end is None:
            return Story([*written.words, END], [*written.roles, ""],
                         self.grammar.known(written.env))
        length, env = end
        return Story(written.words[:length], written.roles[:length], self.grammar.known(env))


def text(option: Option, env: Env, rng: Random) -> str:
    """What an option says where these facts hold."""
    return join(write(option.parts, env, rng).words)


def checked(seed: int) -> int:
    """The seed; ValueError if it is no whole number from 0 on (Python takes -1 for 1)."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"a seed is a whole number from 0 on, not {seed!r}")
    return seed


def as_text(output: object) -> str:
    """The output, if it is text; TypeError, saying what it is, if not."""
    if not isinstance(output, str):
        raise TypeError(f"an output is text, not {type(output).__name__}")
    return output


def in_letters(digits: re.Match) -> str:
    """A number as a story writes it, if it is one that stories have."""
    number = int(digits[0])
    return NUMBERS[number] if number < len(NUMBERS) else digits[0]
