"""Text and words: two views of one thing, with an exact way between them.

A word is a run of letters (hyphens inside allowed), a punctuation mark, an ending such as “’s”,
or the newline that ends a story. Spaces are not words: where they stand follows from the words.
"""

import re
from itertools import pairwise

WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|’[a-z]+|[^\sA-Za-z]|\n")
_SPACE_BEFORE_CLOSING = re.compile(r" ([.,!?:;”\n]|’[a-z])")

END = "\n"


def split(text: str) -> list[str]:
    """The words of a text: `split("“Hello,” said Mia.")` gives `“ Hello , ” said Mia .`"""
    return WORD.findall(text)


def pieces(text: str) -> list[str]:
    """The words of a text, each with the space before it: behind one another they are the text."""
    ends = [0, *(word.end() for word in WORD.finditer(text))]
    return [text[start:end] for start, end in pairwise(ends)]


def join(words: list[str]) -> str:
    """The text of some words, spaced as a printer would. Undoes `split` on text of the language."""
    text = _SPACE_BEFORE_CLOSING.sub(r"\1", " ".join(words))
    return text.replace("“ ", "“").replace("\n ", "\n")
