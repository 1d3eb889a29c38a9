"""The chapters of Part 5."""

from tools.drawings import colours as c
from tools.drawings.canvas import Canvas


def interpretability():
    """One activation of another pass is brought into this one, and the answer is looked at.

    Two columns of boxes, each a pass of the same model, to be read from the bottom up. Below each
    column is its text. Left, the source: she hid the bell in the chest. Right, the pass that is
    looked at: she hid the bell in the jar. Above the text stand three blocks, one on another, and
    between them the residual stream, one circle for each of three tokens: the place, a token
    between, and the last one. In the left pass the circle of the last token before the third block
    is yellow, and an arrow leads from it to the same circle of the right pass, which it replaces.
    On top is what each pass says: left chest; right chest, where jar was said before. If the
    answer follows, the activation held what the two texts differ in. If it stays, it did not, or
    nobody read it there.
    """
    card = Canvas(interpretability, 430)
    for left, title, place, said in (
        (40, "another text", "chest", "chest"),
        (370, "the text", "jar", "chest, not jar"),
    ):
        middle = left + 115
        card.text(middle, 26, title, weight="600")
        card.text(middle, 60, said)
        card.arrow((middle + 80, 96), (middle + 80, 74))
        for i in range(3):
            y = 98 + 84 * i
            card.box(left, y, 230, 40, c.WEIGHT, f"block {3 - i}", 0.2)
            for j, x in enumerate((left + 35, left + 115, left + 195)):
                here = i == 0 and j == 2
                card.line((x, y + 40), (x, y + 84))
                card.dot(x, y + 62, 9, c.HERE if here else c.STATE)
        for x, word in ((left + 35, place), (left + 115, "..."), (left + 195, "the")):
            card.token(x - 31, 350, word, w=62)
        card.aside(middle, 404, "She hid the bell in the " + place + ". ...")
    card.arrow((248, 160), (550, 160), colour=c.INK, width=2)
    return card
