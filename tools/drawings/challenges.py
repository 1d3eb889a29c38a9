"""Part 5: what is hard about language models."""

from tools.drawings import colours as c
from tools.drawings.canvas import Canvas


def cost():
    """A weight is read once, and used for as many tokens as there are.

    Two rows with the same orange matrix of weights in memory at the left, an arrow to the right,
    and the processor, a blue box. Upper row, write a token: all weights cross over, four bytes
    each, and in the processor each meets one token: two operations for four bytes, half an
    operation a byte. Lower row, read n tokens: the same weights cross over, the same bytes, and
    each meets n tokens: 2 n operations for four bytes, n/2 a byte.

    Below, the roof. To the right it goes by operations a byte, upwards by operations a second. A
    line rises from the left: as fast as bytes come. Where it meets what the processor can do, it
    goes on level. A yellow dot on the slope is writing a token; a dot on the level, to the right,
    is reading many.
    """
    card = Canvas(cost, 560)
    for y, does, tokens, work in (
        (24, "write a token", 1, "2 operations for 4 bytes"),
        (154, "read $n$ tokens", 4, "2$n$ operations for 4 bytes"),
    ):
        card.weights(24, y, 96, 96, "W", size=28)
        card.aside(72, y + 112, "memory")
        card.arrow((124, y + 48), (316, y + 48), colour=c.WEIGHT, width=3)
        card.aside(218, y + 28, "4 bytes a weight")
        card.box(320, y, 120, 96, c.STATE, tint=0.1)
        card.aside(380, y + 112, "processor")
        for i in range(tokens):
            card.box(372 - 18 * (tokens - 1) / 2 + 18 * i, y + 20, 14, 56, c.STATE, tint=0.5)
        card.text(456, y + 34, does, anchor="start", weight="600", size=17)
        for line, part in enumerate(work.split(" for ")):
            card.aside(456, y + 60 + 22 * line, ("for " if line else "") + part, anchor="start")
    card.line((24, 300), (616, 300), opacity=0.4)
    left, right, floor, top = 110, 600, 506, 340
    card.arrow((left, floor), (left, 322))
    card.arrow((left, floor), (right + 12, floor))
    card.line((left + 6, floor - 10), (330, top), (right, top), colour=c.INK, width=3)
    card.aside(right + 12, floor + 26, "operations a byte", anchor="end")
    card.aside(96, 340, "opera-", anchor="end")
    card.aside(96, 362, "tions a", anchor="end")
    card.aside(96, 384, "second", anchor="end")
    card.aside(264, 448, "as fast as bytes come", anchor="start")
    card.aside(470, top + 26, "as fast as it multiplies")
    card.dot(156, 468, 8, c.HERE)
    card.text(172, 484, "write", anchor="start", size=16)
    card.dot(520, top, 8, c.STATE)
    card.text(520, top - 22, "read", size=16)
    return card
