"""What a student wrote, as text that is safe to store and to show: bounded, all of it visible."""

import re
import unicodedata

LIMIT = 20_000  # characters of one text that a page shows

# Colours, cursor movements and titles of a terminal (the escape sequences of ECMA-48).
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_LINES = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
# Controls, surrogates, private and unassigned code points, and format characters such as those
# that turn the direction of writing. The two joiners stay: scripts and emoji need them.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn"}
_KEPT = set("\n\t\u200c\u200d")


def _seen(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _UNSEEN:
        return character
    return f"\u27e8U+{ord(character):04X}\u27e9"  # in angle brackets


def plain(text: object, limit: int = LIMIT) -> str:
    """`text` with every invisible character spelled out, at most `limit` characters of it.

    Line ends become "\\n" and terminal colours are dropped. A cut is said at the end. What comes
    back can be encoded as UTF-8, stored in any database and put (escaped) on a page.
    """
    text = str(text)
    rest = len(text) - limit
    text = _LINES.sub("\n", _ANSI.sub("", text[:limit]))
    text = "".join(map(_seen, text))
    return text if rest <= 0 else f"{text}\n... ({rest:,} more characters)"
