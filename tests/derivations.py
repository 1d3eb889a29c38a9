"""Every way in which a grammar can have written a text, by following every choice.

Two ways that share no code with the oracle or the tasks: one writes all texts of a small grammar;
the other reads one text of a large one, and keeps every way apart.
"""

from dataclasses import dataclass

from storyland.grammar import Call
from storyland.words import END


@dataclass(frozen=True)
class Derivation:
    words: tuple
    roles: tuple
    env: tuple
    probability: float


@dataclass(frozen=True)
class End:
    """Stands behind a call, to say when all of it is written."""

    rule: str


def _next(part, outcome, env):
    """What an outcome prints at once, what it leaves to be written, and the facts after it."""
    body, after = part.take(outcome, env)
    if isinstance(part, Call):
        return (), (*body, End(part.rule)), after
    if not part.role:
        return (), body, after
    articles = ("",) if part.article else ()
    roles = articles + (part.role,) * (len(body) - len(articles))
    return tuple(zip(body, roles, strict=True)), (), after


def written(grammar, point="end"):
    """Every derivation of a grammar up to where a rule ends, or to the end of the text."""
    todo = [((), (grammar.rules[grammar.start],), grammar.empty_env, 1.0)]
    while todo:
        done, pending, env, probability = todo.pop()
        if not pending and point == "end":
            yield _derivation((*done, (END, "")), env, probability)
        elif pending and isinstance(pending[0], End):
            if pending[0].rule == point:
                yield _derivation(done, env, probability)
            todo.append((done, pending[1:], env, probability))
        elif pending and isinstance(pending[0], str):
            todo.append(((*done, (pending[0], "")), pending[1:], env, probability))
        elif pending:
            choices = pending[0].choices(env)
            for weight, outcome in choices.pairs:
                said, body, after = _next(pending[0], outcome, env)
                todo.append(((*done, *said), (*body, *pending[1:]), after,
                             probability * weight / choices.totals[-1]))


def _derivation(done, env, probability):
    return Derivation(tuple(word for word, _ in done), tuple(role for _, role in done), env,
                      probability)


def read(grammar, words, point="end"):
    """(facts, roles) of every derivation of these words that ends at this point."""
    words = list(words)
    if point == "end":
        assert words.pop() == END
    found = set()
    todo = [(0, (), (grammar.rules[grammar.start],), grammar.empty_env)]
    seen = set()
    while todo:
        state = at, roles, pending, env = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        if not pending:
            if point == "end" and at == len(words):
                found.add((env, (*roles, "")))
        elif isinstance(pending[0], End):
            if pending[0].rule == point and at == len(words):
                found.add((env, roles))
            todo.append((at, roles, pending[1:], env))
        elif isinstance(pending[0], str):
            if at < len(words) and words[at] == pending[0]:
                todo.append((at + 1, (*roles, ""), pending[1:], env))
        else:
            for _, outcome in pending[0].choices(env).pairs:
                first = pending[0].first_word(outcome)
                if first is not None and (at == len(words) or words[at] != first):
                    continue
                said, body, after = _next(pending[0], outcome, env)
                if tuple(word for word, _ in said) == tuple(words[at : at + len(said)]):
                    todo.append((at + len(said), (*roles, *(role for _, role in said)),
                                 (*body, *pending[1:]), after))
    return found
