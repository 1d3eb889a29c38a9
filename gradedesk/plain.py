"""What a stranger wrote, as text that is safe to store and to show: bounded, all of it visible."""

import re
import unicodedata
from collections.abc import Iterator

LIMIT = 20_000  # characters of one text that a page shows
# Marks on one letter. Burmese needs five, as in its word for secret; Unicode's own advice (UTS #39)
# of four would refuse it. What is heaped higher runs over the lines around it.
MARKS = 6

# Colours, cursor movements and titles of a terminal (the escape sequences of ECMA-48).
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_ASCII = re.compile(r"[\n\t -~]*")  # most code, which needs no closer look
_LINES = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
# Controls, surrogates, private and unassigned code points, and format characters such as those
# that turn the direction of writing; the separators of lines and of paragraphs.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# What else has no shape of its own, though it counts as a letter, a mark or a symbol: the rest of
# Default_Ignorable_Code_Point (Unicode 17.0, DerivedCoreProperties.txt), then what is drawn blank.
_IGNORED = (0x34F, *range(0x115F, 0x1161), 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164)
_IGNORED += (*range(0xFE00, 0xFE10), 0xFFA0, *range(0xE0100, 0xE01F0))
_BLANK = (0x2800, 0x13441, 0x13442, 0x16FE4, 0x1D159)  # braille, Egyptian, Khitan, music
SHAPELESS = frozenset(map(chr, _IGNORED + _BLANK))
_REORDER = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def reorders(character: str) -> bool:
    """Whether it changes the order in which the characters around it are shown."""
    return unicodedata.bidirectional(character) in _REORDER


def invisible(character: str) -> bool:
    """Whether nothing is drawn for it, and nothing as wide as a space either."""
    return character in SHAPELESS or unicodedata.category(character) in _UNSEEN


def seen(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it may stand where it stands, for all that a reader can see.

    An invisible one may where its script or an emoji needs it. A mark may not twice in a row, nor
    as one of more than MARKS.
    """
    marks, last = 0, ""
    for at, character in enumerate(text):
        if invisible(character):
            yield character, _needed(text, at)
        else:
            if unicodedata.category(character) in ("Mn", "Me"):
                marks += 1
                yield character, marks <= MARKS and character != last
            else:
                marks = 0
                yield character, True
            last = character


def _needed(text: str, at: int) -> bool:
    """Whether an invisible character changes what is drawn beside it, as a writer may want."""
    character, after = text[at], text[at + 1 : at + 2]
    before = text[at - 1] if at else ""
    start = at - 1
    while start > 0 and start > at - MARKS and unicodedata.category(text[start]) == "Mn":
        start -= 1
    base = text[start] if at else " "
    script = unicodedata.name(base, "").partition(" ")[0]
    kind = unicodedata.category(base)
    if character in "\u200c\u200d":  # Persian, the scripts of India, emoji of several parts
        virama = 9 in [unicodedata.combining(one) for one in before + after]
        emoji = kind in ("So", "Sk") and bool(after) and unicodedata.category(after) == "So"
        return virama or unicodedata.bidirectional(base) == "AL" or emoji
    if character in "\ufe0e\ufe0f":  # a symbol as text or as emoji, digits on a key
        return (kind[0] in "SP" and not base.isascii()) or after == "\u20e3"
    if "\U000e0100" <= character <= "\U000e01ef":  # Japan's names have their forms of a letter
        return script == "CJK" and kind == "Lo"
    return script == "MONGOLIAN" and "\u180b" <= character <= "\u180f"


def plain(text: object, limit: int = LIMIT) -> str:
    """`text` with every invisible character spelled out, at most `limit` characters of it.

    Line ends become "\\n" and terminal colours are dropped. A cut is said at the end. What comes
    back can be encoded as UTF-8, stored in any database and put (escaped) on a page.
    """
    text = str(text)
    rest = len(text) - limit
    text = _LINES.sub("\n", _ANSI.sub("", text[:limit]))
    if not _ASCII.fullmatch(text):
        text = "".join(  # in angle brackets
            c if fine or c in "\n\t" else f"\u27e8U+{ord(c):04X}\u27e9" for c, fine in seen(text)
        )
    return text if rest <= 0 else f"{text}\n... ({rest:,} more characters)"
