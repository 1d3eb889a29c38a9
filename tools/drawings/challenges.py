"""The chapters of Part 5."""

from tools.drawings import colours as c
from tools.drawings.canvas import Canvas

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
