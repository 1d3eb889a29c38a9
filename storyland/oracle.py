"""The ideal reader: the exact probability of every next word.

It keeps every way in which the grammar can have produced what was read so far, as a dictionary
{(what is still to be written, facts): weight}. A word that comes in keeps the ways that agree with
it and drops the others; ways that expect the same future are merged. This is the forward algorithm
of a hidden Markov model (Rabiner, "A tutorial on hidden Markov models and selected applications in
speech recognition", 1989), with states made as they are needed. Nothing is sampled or approximated.
"""

from collections.abc import Iterable, Iterator
from math import fsum, inf, log

from storyland.grammar import Env, Grammar, in_words
from storyland.words import END, join, split

# What is still to be written: nested pairs (part, what follows it), and None at the end.
Pending = tuple | None
States = dict[tuple[Pending, Env], float]


class Oracle:
    """Exact probabilities of a language. Its texts are whole stories, or any beginning of one."""

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self._read_so_far: tuple[list[str], States] = ([], self.start())

    def start(self) -> States:
        """The one state before the first word."""
        story = self.grammar.rules[self.grammar.start]
        return {((story, (END, None)), self.grammar.empty_env): 1.0}

    def step(self, states: States, word: str) -> tuple[float, States]:
        """The probability of a word, and the states after it: weights sum to 1; {} if none."""
        after: States = {}
        for (pending, env), weight in states.items():
            for _, state, share in self._expand(pending, env, weight, word):
                after[state] = after.get(state, 0.0) + share
        total = sum(after.values())
        # Rounding can put the sum of a certain event at 1 + 1e-16: its logarithm must not exceed 0.
        return min(total, 1.0), {state: share / total for state, share in after.items()}

    def distribution(self, states: States) -> dict[str, float]:
        """The probability of each possible next word; after the end of a story it is empty."""
        words: dict[str, float] = {}
        for (pending, env), weight in states.items():
            for word, _, share in self._expand(pending, env, weight, None):
                words[word] = words.get(word, 0.0) + share
        return words

    def _expand(self, pending: Pending, env: Env, weight: float, wanted: str | None):
        """Yields (word, state after it, weight) for each way to write one more word.

        With a wanted word, ways that are known to begin with another are not followed.
        """
        todo = [(pending, env, weight)]
        while todo:
            pending, env, weight = todo.pop()
            if pending is None:
                continue
            part, rest = pending
            if isinstance(part, str):
                if wanted is None or part == wanted:
                    yield part, (rest, env), weight
                continue
            choices = part.choices(env)
            total = choices.totals[-1]
            for share, outcome in choices.pairs:
                first = part.first_word(outcome)
                if wanted is not None and first is not None and first != wanted:
                    continue
                body, new_env = part.take(outcome, env)
                new_pending = rest
                for piece in reversed(body):
                    new_pending = (piece, new_pending)
                todo.append((new_pending, new_env, weight * share / total))

    def _read(self, prefix: str | list[str]) -> States:
        """The states after a prefix. One that goes on with the last prefix is not read anew."""
        words = _words(prefix)
        known, states = self._read_so_far
        if words[: len(known)] != known:
            known, states = [], self.start()
        for index, word in enumerate(words[len(known) :], len(known)):
            _, states = self.step(states, word)
            if not states:
                raise ValueError(f"not a beginning of a story: it leaves the language at word "
                                 f"{index}, {word!r}")
        self._read_so_far = words, states
        return states

    def next_word(self, prefix: str | list[str]) -> dict[str, float]:
        """P(next word | prefix) for every word that can follow. Sums to 1.

        Raises ValueError, naming the word, if no story begins like this.
        """
        return self.distribution(self._read(prefix))

    def walk(self, text: str | list[str]) -> Iterator[tuple[str, dict[str, float]]]:
        """Each word of a text with the distribution from which it came."""
        states = self.start()
        for word in _words(text):
            yield word, self.distribution(states)
            _, states = self.step(states, word)

    def word_log_probs(self, text: str | list[str]) -> list[float]:
        """ln P(word | words before) for each word, in nats; -inf once it has left the language."""
        states = self.start()
        logs = []
        for word in _words(text):
            probability, states = self.step(states, word)
            logs.append(log(probability) if probability > 0 else -inf)
        return logs

    def log_prob(self, text: str | list[str]) -> float:
        """ln P(text) in nats: of a whole story if the text ends with a newline, else of all stories
        that begin with it. -inf if there is none."""
        return fsum(self.word_log_probs(text))

    def leaves_at(self, text: str | list[str]) -> tuple[int, str] | None:
        """Where a text leaves the language: the index and the word; None if it does not."""
        logs = self.word_log_probs(text)
        if -inf not in logs:
            return None
        return (index := logs.index(-inf)), _words(text)[index]

    def posterior(self, prefix: str | list[str], fact: str) -> dict[str, float]:
        """P(value of a fact | prefix), the best that any reader can know of it.

        A fact that the story has not decided yet has the value "" (nobody knows).
        """
        if fact not in self.grammar.facts:
            known = ", ".join(self.grammar.facts)
            raise ValueError(f"no fact is called {fact!r}; there are {known}")
        values: dict[str, float] = {}
        place = self.grammar.facts.index(fact)
        for (_, env), weight in self._read(prefix).items():
            value = "" if env[place] is None else in_words(env[place])
            values[value] = values.get(value, 0.0) + weight
        return dict(sorted(values.items(), key=lambda pair: -pair[1]))


def _words(text: str | Iterable[str]) -> list[str]:
    """The words of a text. One that is not spaced as `join` spaces it is no text of the language:
    the word where the spacing first differs is marked, so that it matches nothing."""
    if not isinstance(text, str):
        return list(text)
    words = split(text)
    if (canonical := join(words)) != text:
        same = next((i for i, (a, b) in enumerate(zip(canonical, text, strict=False)) if a != b),
                    min(len(canonical), len(text)))
        for index in range(len(words)):
            if len(join(words[: index + 1])) >= same:
                rest = words[index + 1 :]
                return [*words[:index], words[index] + " ", *rest]
        return [*words, " "]
    return words

