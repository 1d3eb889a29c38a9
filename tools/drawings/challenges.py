"""The chapters of Part 5."""

from tools.drawings import colours as c
from tools.drawings.canvas import Canvas

SAID = 0.7
ALIKE = (0.7,) * 10
UNLIKE = (1.0, 0.3, 1.0, 1.0, 0.0, 1.0, 0.9, 0.2, 1.0, 0.6)  # their mean is 0.7, too


def hallucination():
    """Two forecasters with one diagram: right at each place, and right on the whole.

    There are two rows of ten places. At each place a blue line shows what a forecaster says, 0.7
    everywhere, and a green bar the truth. In the upper row every bar ends at the line: the
    forecaster is right at each place. In the lower row the bars have any height, five of them 1 and
    one of them 0, and end far above or below the line; but their mean is 0.7 as well.

    An arrow leads from each row to a small diagram, truth over what is said. Both diagrams show the
    same: one point, on the diagonal. What the bars of the lower row do around the line cannot be
    seen there.
    """
    card = Canvas(hallucination, 372)
    for row, (label, truths) in enumerate(
        (("right at each place", ALIKE), ("right on the whole", UNLIKE))
    ):
        top = 40 + 168 * row
        bottom = top + 110
        card.text(24, top - 14, label, anchor="start", weight="600")
        for i, q in enumerate(truths):
            card.fill(28 + 36 * i, bottom - 100 * q, 22, max(100 * q, 2), c.TRUTH, 0.75)
        line = bottom - 100 * SAID
        card.line((24, line), (384, line), colour=c.STATE, width=3)
        card.text(394, line, "$p$", anchor="start")
        card.line((24, bottom), (384, bottom))
        card.arrow((424, top + 60), (466, top + 60))
        card.line((484, top + 4), (484, bottom), (604, bottom))
        card.line((484, bottom), (590, top + 4), dashed=True)
        card.dot(484 + 106 * SAID, bottom - 106 * SAID, 7, c.HERE)
        card.aside(596, bottom + 16, "said", anchor="end")
    keys = ((c.STATE, "what is said", 28), (c.TRUTH, "the truth $q$", 190))
    for colour, label, x in keys:
        card.fill(x, 341, 14, 14, colour, 0.75)
        card.aside(x + 22, 348, label, anchor="start")
    return card


# Of a hundred cooks, how many are women: on the way from the grammar to what is told.
COOKS = {
    "grammar": (60, c.TRUTH, "60 of 100 cooks"),
    "text": (61, c.KEPT, "in 130 MB"),
    "model": (64, c.STATE, "its probability"),
    "T = 0.5": (75, c.STATE, "odds squared"),
    "likeliest": (100, c.WRONG, "every time"),
}


def bias():
    """The share of women among the cooks, from the grammar to what is told.

    Five bars lie below one another, each of the same length, for a hundred cooks. The filled part
    of a bar, from the left, are the women. In the grammar there are 60. In the training text 61
    were counted. The model gives she a chance of 64 in a hundred. These three lie under the words
    what it learns, and their filled parts are nearly equal; a thin line goes down from the first
    through all of them.

    The last two lie under the words how it is told. At temperature 0.5 the model's chances are
    squared and divided by their sum: the filled part is 75. Where the likeliest word is taken it
    fills the whole bar: a hundred, and no cook is a man.
    """
    card = Canvas(bias, 330)
    for row, (name, (women, colour, remark)) in enumerate(COOKS.items()):
        y = 46 + 48 * row + (36 if row > 2 else 0)
        card.text(112, y + 15, name, anchor="end")
        card.box(124, y, 300, 30, c.QUIET, tint=0, radius=0)
        card.fill(124, y, 3 * women, 30, colour, 0.6)
        card.text(436, y + 15, str(women), anchor="start", weight="600")
        card.aside(478, y + 15, remark, anchor="start")
    card.line((304, 40), (304, 318), colour=c.QUIET, dashed=True)
    card.aside(124, 24, "what it learns", anchor="start")
    card.aside(124, 204, "how it is told", anchor="start")
    return card
