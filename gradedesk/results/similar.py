"""Near-identical answers: for the instructor to judge, and never a verdict.

Answers are compared as sequences of tokens without comments, docstrings and layout, in which all
names chosen by the student look the same: renaming and reformatting hide nothing. Left out are
the lines of the stub that every student was given, answers of fewer than `MIN_TOKENS` tokens
(short answers agree by necessity), and answers that nearly are the model solution (the obvious
way is no evidence).
"""

import builtins
import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

THRESHOLD = 0.9  # of 1.0: the share of tokens in common, in order
MIN_TOKENS = 40
MAX_TOKENS = 4_000  # of one answer; the rest is not compared

_KNOWN_NAMES = set(keyword.kwlist) | set(keyword.softkwlist) | set(dir(builtins))
_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_LAYOUT = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_NAME = "name"


@dataclass(frozen=True)
class Group:
    """Answers to one question that are alike; `similarity` (0 to 1) is that of the closest pair."""

    question: str
    students: tuple[str, ...]
    closest: tuple[str, str]
    similarity: float


@dataclass(frozen=True)
class Likeness:
    """The groups of one question, and how many answers were compared or why not."""

    groups: list[Group]
    compared: int
    short: int
    like_solution: int


def _code_lines(source: str) -> list[tuple[str, ...]]:
    """One tuple of tokens a logical line; names that are the student's choice read `name`."""
    lines, line, after_dot = [], [], False

    def end_line():
        # A line that is one string only is a docstring or a comment in disguise.
        if line and not (len(line) == 1 and line[0][0] in "'\"rRbBfFuU" and line[0][-1] in "'\""):
            lines.append(tuple(line))
        line.clear()

    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.ERRORTOKEN and token.string in "'\"":
            # A string without an end. From each further quote, Python 3.11 would look for one
            # again; later versions stop here, too.
            raise tokenize.TokenError(f"line {token.start[0]}: a string without an end")
        if token.type in _SILENT:
            continue
        if token.type in _LAYOUT:
            end_line()
        elif token.type == tokenize.NAME and token.string not in _KNOWN_NAMES and not after_dot:
            line.append(_NAME)
        else:
            line.append(token.string)
        after_dot = token.string == "."
    end_line()
    return lines


def _rough_lines(source: str) -> list[tuple[str, ...]]:
    """The same for what is not Python, such as prose: its words and marks, cases ignored."""
    lines = (re.findall(r"\w+|[^\w\s]", line.split("#")[0].lower()) for line in source.splitlines())
    return [tuple(line) for line in lines if line]


def normalise(source: str, *, prose: bool = False, stub: str = "") -> list[str]:
    """The tokens of an answer that are the student's own: without the lines of the stub."""

    def lines(text):
        if prose:
            return _rough_lines(text)
        try:
            return _code_lines(text)
        except (tokenize.TokenError, SyntaxError):  # unfinished code is compared as it stands
            return _rough_lines(text)

    given = Counter(lines(stub))
    tokens = []
    for line in lines(source):
        if given[line] > 0:
            given[line] -= 1
        else:
            tokens.extend(line)
    return tokens[:MAX_TOKENS]


def _similarities(
    sequences: list[list[str]], others: list[list[str]], threshold: float
) -> np.ndarray:
    """Pairwise shares of tokens in common, as an array (sequences, others); 0 under threshold."""
    numbers: dict[str, int] = {}

    def text(tokens: Iterable[str]) -> str:
        # rapidfuzz is fastest on strings: one character a kind of token, past the surrogates. A
        # class that has more kinds than there are characters shares some: few, and by chance.
        found = (numbers.setdefault(token, len(numbers)) for token in tokens)
        return "".join(chr(0x10000 + number % 0x100000) for number in found)

    left = [text(tokens) for tokens in sequences]
    # With itself, each pair is compared once.
    right = left if others is sequences else [text(tokens) for tokens in others]
    scorer = Indel.normalized_similarity
    return cdist(left, right, scorer=scorer, dtype=np.float32, score_cutoff=threshold)


def near_identical(
    question: str,
    answers: Mapping[str, str],
    *,
    stub: str = "",
    solution: str = "",
    prose: bool = False,
    threshold: float = THRESHOLD,
    min_tokens: int = MIN_TOKENS,
) -> Likeness:
    """Groups of students whose `answers` to a question are alike, the closest first.

    A group holds everybody who is linked to somebody else in it by `threshold` or more.
    """
    tokens = {
        student: normalise(answer, prose=prose, stub=stub)
        for student, answer in sorted(answers.items())
    }
    tokens = {student: own for student, own in tokens.items() if own}
    long = {student: own for student, own in tokens.items() if len(own) >= min_tokens}
    short = len(tokens) - len(long)
    model = normalise(solution, prose=prose, stub=stub)
    like_solution = 0
    if model and long:
        near = _similarities(list(long.values()), [model], threshold)[:, 0] >= threshold
        like_solution = int(near.sum())
        long = {name: long[name] for name, is_near in zip(long, near, strict=True) if not is_near}
    names = list(long)
    if len(names) < 2:
        return Likeness([], len(names), short, like_solution)
    own = list(long.values())
    table = np.triu(_similarities(own, own, threshold), k=1)

    parent = list(range(len(names)))

    def root(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]  # halves the way for whoever comes next
        return i

    pairs = [(int(i), int(j)) for i, j in np.argwhere(table >= threshold)]
    for i, j in pairs:
        parent[root(j)] = root(i)
    members: dict[int, list[int]] = {}
    for i in range(len(names)):
        members.setdefault(root(i), []).append(i)
    closest: dict[int, tuple[int, int]] = {}  # the first of the closest pairs, by its group
    for i, j in pairs:
        if table[i, j] > table[closest.setdefault(root(i), (i, j))]:
            closest[root(i)] = i, j
    groups = []
    for group, (i, j) in closest.items():
        students = tuple(names[k] for k in members[group])
        groups.append(Group(question, students, (names[i], names[j]), float(table[i, j])))
    groups.sort(key=lambda group: (-group.similarity, group.students))
    return Likeness(groups, len(names), short, like_solution)
