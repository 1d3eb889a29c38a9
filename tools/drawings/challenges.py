"""The chapters of Part 5."""

import math

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
    "$τ$ = 0.5": (75, c.STATE, "odds squared"),
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


def cost():
    """A weight is read once, and used for as many tokens as there are.

    Two rows with the same orange matrix of weights in memory at the left, an arrow to the right,
    and the processor, a blue box. Upper row, write a token: all weights cross over, four bytes
    each, and in the processor each meets one token: two operations for four bytes, half an
    operation a byte. Lower row, read T tokens: the same weights cross over, the same bytes, and
    each meets T tokens: 2 T operations for four bytes, T/2 a byte.

    Below, the roof. To the right it goes by operations a byte, upwards by operations a second. A
    line rises from the left: as fast as bytes come. Where it meets what the processor can do, it
    goes on level. A yellow dot on the slope is writing a token; a dot on the level, to the right,
    is reading many.
    """
    card = Canvas(cost, 560)
    for y, does, tokens, work in (
        (24, "write a token", 1, "2 operations for 4 bytes"),
        (154, "read $T$ tokens", 4, "2$T$ operations for 4 bytes"),
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


# How long the gradients of four lines are, and in which direction, in degrees.
LINES = ((34, 78), (52, 12), (118, 40), (30, -30))
CLIP = 56


def safety_and_privacy():
    """How far one line of text can move a model, and how far two.

    Three parts, from left to right. First four lines of text as boxes, and in two of them the same
    yellow head, a secret: it is read twice. An arrow leads to the second part.

    In the second part four orange arrows start from one point, the gradients of the four lines, of
    different lengths and directions. A circle is around the point. One gradient is longer than its
    radius: the arrow ends at the circle, and a dashed line beyond it shows what was cut off. So no
    line moves the model by more than the radius.

    An arrow leads to the third part: the sum of the four, with a blue cloud of dots around its end,
    the noise. Where in the cloud the step ends, chance says. What one line adds is small beside the
    cloud; the two lines with the secret add twice as much.
    """
    card = Canvas(safety_and_privacy, 300)
    for i in range(4):
        y = 70 + 44 * i
        card.box(24, y, 150, 28, c.QUIET, tint=0.08)
        if i in (1, 3):
            card.fill(24, y, 52, 28, c.HERE)
            card.text(50, y + 14, "4719", size=16)
    card.text(99, 36, "lines", weight="600")
    card.arrow((186, 150), (222, 150))
    x, y = 312, 160
    card.text(x, 36, "clipped", weight="600")
    card.circle(x, y, CLIP)
    total = [0.0, 0.0]
    for long, angle in LINES:
        dx, dy = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
        kept = min(long, CLIP)
        if long > CLIP:
            card.line((x + kept * dx, y + kept * dy), (x + long * dx, y + long * dy), dashed=True)
        card.arrow((x, y), (x + kept * dx, y + kept * dy), colour=c.WEIGHT, width=3)
        total = [total[0] + kept * dx / 2, total[1] + kept * dy / 2]
    card.aside(x, 262, "none longer than $C$")
    card.arrow((414, 150), (450, 150))
    x, y = 466, 196
    card.text(536, 36, "summed, noised", weight="600")
    for i in range(60):  # a cloud that is the same each time it is drawn
        far, angle = 38 * ((i + 0.5) / 60) ** 0.5, 2.39996 * i
        card.dot(x + total[0] + far * math.cos(angle), y + total[1] + far * math.sin(angle), 2,
                 c.STATE, 0.6)  # fmt: skip
    card.arrow((x, y), (x + total[0], y + total[1]), colour=c.WEIGHT, width=3)
    card.aside(536, 262, "the step: a draw")
    return card


def beyond_text():
    """A picture and a voice, on their way to words.

    Two rows. In the upper one a picture is cut into four by four patches, one of them yellow. An
    orange matrix makes of each patch a vector: a blue row of vectors, as a text would have. They go
    into the encoder, and the decoder, which looks at what comes out, says: a red fox is in the box.

    In the lower row stands what somebody says, she ran to the well. It goes through a grey box, the
    channel, and comes out as zhi wam do nva soll: vowels are still vowels, and consonants are
    consonants. Two arrows lead from below to the guess, she ran to the well. One comes from what is
    heard and bears P of h given w, what sounds like that. The other comes from an orange box, the
    language model, and bears P of w, what is usually said.
    """
    card = Canvas(beyond_text, 420)
    for i in range(4):
        for j in range(4):
            here = (i, j) == (2, 1)
            card.box(24 + 30 * j, 40 + 30 * i, 28, 28, c.HERE if here else c.TOKEN,
                     tint=0.6 if here else 0.14, radius=2)  # fmt: skip
    card.aside(83, 178, "16 patches")
    card.arrow((150, 99), (172, 99))
    card.weights(176, 69, 60, 60, "W", size=22)
    card.arrow((240, 99), (262, 99))
    for i in range(5):
        colour = c.HERE if i == 3 else c.STATE
        card.box(268 + 17 * i, 66, 12, 66, colour, tint=0.45, radius=2)
    card.aside(308, 152, "a row of vectors")
    card.arrow((358, 99), (380, 99))
    card.box(384, 70, 100, 58, c.WEIGHT, "encoder", 0.2)
    card.arrow((488, 99), (510, 99))
    card.box(514, 70, 102, 58, c.WEIGHT, "decoder", 0.2)
    card.arrow((565, 66), (565, 46))
    card.text(616, 30, "A red fox is in the box", anchor="end")
    card.line((24, 204), (616, 204), opacity=0.4)
    card.text(24, 244, "She ran to the well", anchor="start")
    card.aside(24, 270, "$w$, said", anchor="start")
    card.arrow((206, 244), (250, 244))
    card.box(254, 222, 110, 44, c.TOKEN, "channel", 0.14)
    card.arrow((368, 244), (412, 244))
    card.text(420, 244, "Zhi wam do nva soll", anchor="start")
    card.aside(420, 270, "$h$, heard", anchor="start")
    card.text(24, 384, "She ran to the well", anchor="start", weight="600")
    card.aside(24, 358, "the best guess", anchor="start")
    card.arrow((500, 286), (500, 384), (220, 384), colour=c.STATE, width=2)
    card.aside(366, 402, "$P(h | w)$: what sounds like that")
    card.box(254, 300, 190, 40, c.WEIGHT, "language model", 0.2)
    card.arrow((250, 320), (110, 320), (110, 346), colour=c.STATE, width=2)
    card.aside(182, 304, "$P(w)$")
    return card
