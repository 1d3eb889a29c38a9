"""Text and words: two views of one thing, with an exact way between them.

A word is a run of letters (hyphens inside allowed), a punctuation mark, an ending such as “’s”,
or the newline that ends a story. Spaces are not words: where they stand follows from the words.
"""

import re

WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*|’[a-z]+|[^\sA-Za-z]|\n")
_SPACE_BEFORE_CLOSING = re.compile(r" ([.,!?:;”\n]|’[a-z])")

END = "\n"


def split(text: str) -> list[str]:
    """The words of a text: `split("“Hello,” said Mia.")` gives `“ Hello , ” said Mia .`"""
    return WORD.findall(text)


def join(words: list[str]) -> str:
    """The text of some words, spaced as a printer would. Undoes `split` on text of the language."""
    text = _SPACE_BEFORE_CLOSING.sub(r"\1", " ".join(words))
    return text.replace("“ ", "“").replace("\n ", "\n")
