"""Stories that read as prose and tables that are tables: HTML on a page, plain text elsewhere.

    show.table(rows, {"order": "", "unseen": ".2%", "best k": ".4f"})
    show.story("The fox slept.")
    show.story(words, marked=[3, 7])      # words stand out
    show.story(words, chances=[...])      # the less likely a word was, the darker
    show.stories({"order 1": "cchedaa tts", "order 2": "Rof Thinelind"})

Each returns an object that a notebook draws when it is the last value of a cell, or by
`display(...)`; `print` shows its text.
"""

import math
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

WIDTH = 78  # characters a line of text
# Set here for JupyterLab and Colab, which know nothing of the book's style sheet.
SERIF = "font-family: 'Source Serif 4', Georgia, serif; line-height: 1.6; max-width: 42em"
SHADE = "0, 114, 178"  # the blue of the house style, on light and on dark
DARKEST = 8  # bits of surprise, from which on the ground is at its darkest
CERTAIN, LIKELY = 0.999, 0.5  # above the first nothing is marked; in plain text, below the second


class Shown:
    """What a notebook shows as `html`, and everything else as `text`."""

    def __init__(self, html: str, text: str):
        self.html, self.text = html, text

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(rows: Iterable[Sequence], columns: Mapping[str, str]) -> Shown:
    """Rows under the names of `columns`, each with the format of its numbers, as in an f-string.

    What is a string stands as it is, None as nothing. Columns of numbers end at the right.
    Raises ValueError where a row has more or fewer cells than there are columns.
    """
    names, formats, rows = list(columns), list(columns.values()), [list(row) for row in rows]
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} cells for {len(names)} columns: {row}")
    words = [
        all(row[i] is None or isinstance(row[i], str) for row in rows) for i in range(len(names))
    ]
    cells = [[_cell(x, spec) for x, spec in zip(row, formats, strict=True)] for row in rows]

    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    lines = [
        "  ".join(
            x.ljust(width) if left else x.rjust(width)
            for x, width, left in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in [names, *cells]
    ]

    sides = [
        ' style="text-align: left"' if left else ' style="text-align: right"' for left in words
    ]
    head = "".join(
        f'<th scope="col"{side}>{escape(name)}</th>' if name else f"<td{side}></td>"
        for name, side in zip(names, sides, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_html_cell(i, x, sides[i]) for i, x in enumerate(row)) + "</tr>\n"
        for row in cells
    )
    html = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>"
    return Shown(f'<table class="figures">\n{html}\n</table>', "\n".join(lines))


def _cell(x, spec: str) -> str:
    if x is None:
        return ""
    return x if isinstance(x, str) else format(x, spec)


def _html_cell(place: int, x: str, side: str) -> str:
    """The first cell of a row says what the row is about."""
    x = escape(x)
    return f'<th scope="row"{side}>{x}</th>' if place == 0 and x else f"<td{side}>{x}</td>"


def story(
    text: str | Sequence[str],
    *,
    marked: Collection[int] | Mapping[int, str] = (),
    chances: Sequence[float | None] | None = None,
) -> Shown:
    """A text as prose; or its pieces, which put behind one another are the text.

    Pieces whose numbers are in `marked` stand out, in plain text in [brackets]; where it says what
    they are, that stands behind them. `chances` gives
    each piece the probability with which it was expected, or None: the lower, the darker its
    ground; in plain text it follows in {braces} where it is below 1/2.
    """
    pieces = [text] if isinstance(text, str) else list(text)
    if chances is not None and len(chances) != len(pieces):
        raise ValueError(f"{len(chances)} chances for {len(pieces)} pieces of text: give one each")
    html, plain = [], []
    for i, piece in enumerate(pieces):
        chance = None if chances is None else chances[i]
        word = piece.strip()
        before, after = piece[: piece.find(word)] if word else piece, ""
        if word:
            after = piece[len(before) + len(word) :]
        inside, said = escape(word), word
        if chance is not None and chance < CERTAIN:
            depth = 0.7 * min(1.0, -math.log2(max(chance, 1e-9)) / DARKEST)
            shade = f"background: rgba({SHADE}, {depth:.2f})"
            inside = f'<span title="P = {chance:.2g}" style="{shade}">{inside}</span>'
            said += f"{{{chance:.2g}}}" if chance < LIKELY else ""
        if i in marked:
            label = f" {marked[i]}" if isinstance(marked, Mapping) else ""
            tail = f"<small>{escape(label)}</small>" if label else ""
            inside, said = f"<mark>{inside}{tail}</mark>", f"[{said}{label}]"
        html.append(escape(before) + inside + escape(after))
        plain.append(before + said + after)
    return Shown(_prose("".join(html)), _wrapped("".join(plain)))


def stories(texts: Mapping[str, str]) -> Shown:
    """Several texts as prose, each after the name of what wrote it."""
    html = "\n".join(
        f"<p><strong>{escape(name)}</strong> {escape(text.strip())}</p>"
        for name, text in texts.items()
    )
    plain = "\n\n".join(_wrapped(f"{name}: {text.strip()}") for name, text in texts.items())
    return Shown(f'<div class="story" style="{SERIF}">\n{html}\n</div>', plain)


def _prose(html: str) -> str:
    paragraphs = "\n".join(f"<p>{line.strip()}</p>" for line in html.splitlines() if line.strip())
    return f'<div class="story" style="{SERIF}">\n{paragraphs}\n</div>'


def _wrapped(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n\n".join(textwrap.fill(line, WIDTH) for line in lines)
