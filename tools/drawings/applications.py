"""The chapters of Part 4."""

from tools.drawings import colours as c
from tools.drawings.canvas import Canvas

CHANCES = {"Mia": 0.40, "Anna": 0.25, "Ruby": 0.15, "Rosa": 0.10, "moon": 0.06, "of": 0.04}
DRAFTED = {"Mia": 0.35, "Anna": 0.10, "Ruby": 0.35, "Rosa": 0.20}  # q
JUDGED = {"Mia": 0.45, "Anna": 0.30, "Ruby": 0.15, "Rosa": 0.10}  # p


def generating():
    """Top-p cuts the tail off; a large model judges what a small one drafts.

    The upper half has six tokens with the chances that a model gives them, as bars: Mia 0.40, Anna
    0.25, Ruby 0.15, Rosa 0.10, moon 0.06 and of 0.04. Top-p with p = 0.75 goes down the list until
    the chances come to 0.75: 0.40, 0.65, 0.80. A dashed line lies below Ruby, which reached it. The
    three above it are kept, and an arrow leads to their new chances, which sum to 1: 0.50, 0.31 and
    0.19. Of the three that are cut two, moon and of, break a rule; Rosa does not, and is lost as
    well.

    The lower half has speculative decoding at one place. Each of four tokens has two bars, one
    below the other: the grey one is the chance q of the small model, which drafts, the blue one the
    chance p of the large model. As far as both reach, a drafted token is kept. For Ruby and
    Rosa the grey bar is longer: there the draft is refused as often as q is too large. For Mia and
    Anna the blue bar is longer, and what is missing, 0.10 and 0.20, is marked yellow: from that a
    refusal draws. Kept and drawn together are the blue bar, for each token.
    """
    card = Canvas(generating, 524)
    card.text(24, 26, "top-p, p = 0.75", anchor="start", weight="600")
    kept, so_far = sum(list(CHANCES.values())[:3]), 0.0
    for i, (word, chance) in enumerate(CHANCES.items()):
        y = 54 + 30 * i
        card.text(84, y + 11, word, anchor="end")
        colour = c.STATE if i < 4 else c.WRONG
        card.fill(94, y, 260 * chance, 22, colour, 0.75 if i < 3 else 0.35)
        card.aside(102 + 260 * chance, y + 11, f"{chance:.2f}", anchor="start")
        so_far += chance
        if i < 3:
            card.aside(276, y + 11, f"sum {so_far:.2f}", anchor="start")
            card.text(438, y + 11, word, anchor="end")
            card.fill(448, y, 260 * chance / kept, 22, c.STATE, 0.75)
            card.aside(456 + 260 * chance / kept, y + 11, f"{chance / kept:.2f}", anchor="start")
    card.line((24, 140), (354, 140), colour=c.INK, dashed=True)
    card.aside(276, 156, "cut", anchor="start")
    card.arrow((354, 95), (386, 95))
    card.aside(180, 215, "break a rule", anchor="start")

    card.text(24, 272, "a draft, judged", anchor="start", weight="600")
    for i, word in enumerate(DRAFTED):
        q, p, y = DRAFTED[word], JUDGED[word], 300 + 46 * i
        card.text(84, y + 17, word, anchor="end")
        card.fill(94, y, 560 * q, 15, c.TOKEN, 0.75)
        card.fill(94, y + 18, 560 * p, 15, c.STATE, 0.75)
        if p > q:
            card.fill(94 + 560 * q, y + 18, 560 * (p - q), 15, c.HERE)
        card.aside(104 + 560 * max(p, q), y + 8, f"q = {q:.2f}", anchor="start")
        card.aside(104 + 560 * max(p, q), y + 26, f"p = {p:.2f}", anchor="start")
    keys = ((c.TOKEN, "the small model", 94), (c.STATE, "the large model", 262))
    for colour, label, x in (*keys, (c.HERE, "after a refusal", 430)):
        card.fill(x, 497, 14, 14, colour, 0.75 if colour != c.HERE else 1.0)
        card.aside(x + 22, 504, label, anchor="start")
    card.line((94, 296), (94, 482))
    return card


def translation_and_summary():
    """Who may look at whom while a sentence is translated.

    Two squares of eight rows and eight columns. A row is a place that looks, a column what it looks
    at; a filled cell lets it. The first three rows and columns are the English, Mia, helped, her;
    the five below them are the Chinese, a character each, 米娅帮了她.

    Left, decoder-only: four blocks, and each reads both texts with the same weights. The cells on
    and below the diagonal are filled. The word helped looks at Mia and at itself, and not at her,
    though the whole English sentence is there.

    Right, encoder-decoder. At the top left the encoder, a full square of three by three: each
    English word looks at all three. Below it cross-attention, a full rectangle: each Chinese
    character looks at all of the English. At the bottom right the decoder, a triangle: each
    character looks at those before it and at itself. The three have weights of their own; there are
    two blocks that read and two that write.
    """
    card = Canvas(translation_and_summary, 372)
    size, top, words = 28, 84, [*("Mia", "helped", "her"), *"米娅帮了她"]
    for left, title, below in (
        (92, "decoder-only", "four blocks for both texts"),
        (402, "encoder-decoder", "two blocks read, two write"),
    ):
        card.text(left + 4 * size, 28, title, weight="600")
        card.aside(left + 1.5 * size, 62, "English")
        card.aside(left + 5.5 * size, 62, "Chinese")
        for i, word in enumerate(words):
            card.aside(left - 8, top + (i + 0.5) * size, word, anchor="end")
        card.aside(left + 4 * size, top + 8 * size + 26, below)
    causal = [[0.6 if j <= i else None for j in range(8)] for i in range(8)]
    card.grid(92, top, causal, size)
    card.grid(402, top, [[0.2] * 3] * 3, size)
    card.grid(402, top + 3 * size, [[0.9] * 3] * 5, size)
    triangle = [[0.6 if j <= i else None for j in range(5)] for i in range(5)]
    card.grid(402 + 3 * size, top + 3 * size, triangle, size)
    card.aside(402 + 5.5 * size, top + 1.5 * size, "the encoder")
    return card
