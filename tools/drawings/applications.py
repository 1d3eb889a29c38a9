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


def fine_tuning():
    """What learns in a probe, in fine-tuning, and in LoRA.

    The upper half has the same model three times, from the bottom up: the embedding, three blocks,
    and a linear layer that says the mood. What learns is orange, what stays as it is is grey. On
    the left, the probe: the linear layer alone is orange. In the middle, fine-tuning: all five
    boxes are orange. On the right, LoRA: the embedding and the blocks are grey, the linear layer is
    orange, and each block has two narrow orange boxes at its side, A and B.

    The lower half has one matrix with LoRA. A large grey square is W, with d_out rows and d_in
    columns. After a plus sign come a narrow orange box B, as high as W and r wide, and a flat
    orange box A, r high and as wide as W. Their product has the shape of W. After an equals sign
    stands one square, the merged matrix, which is W plus alpha over r times B A.
    """
    card = Canvas(fine_tuning, 470)
    parts = ("embedding", "block", "block", "block", "linear")
    for column, (label, learns) in enumerate((("probe", 1), ("fine-tuning", 5), ("LoRA", 1))):
        x = 24 + 208 * column
        card.text(x + 88, 26, label, weight="600")
        for i, part in enumerate(parts):
            y, pairs = 208 - 40 * i, label == "LoRA" and part == "block"
            colour = c.WEIGHT if i >= len(parts) - learns else c.TOKEN
            card.box(x, y, 112 if pairs else 176, 32, colour, part, 0.28 if colour == c.WEIGHT
                     else 0.12)  # fmt: skip
            if pairs:
                for j, letter in enumerate("AB"):
                    card.weights(x + 118 + 31 * j, y, 27, 32, letter, size=18)
    y = 300
    card.box(24, y, 128, 128, c.TOKEN, "$W$", 0.12, size=22)
    card.aside(88, y + 146, "$d_{out}$ × $d_{in}$")
    card.maths(196, y + 64, "+ α/r")
    card.weights(244, y, 28, 128, "B")
    card.aside(258, y + 146, "$d_{out}$ × $r$")
    card.weights(296, y, 128, 28, "A")
    card.aside(370, y + 46, "$r$ × $d_{in}$")
    card.maths(456, y + 64, "=")
    card.box(488, y, 128, 128, c.WEIGHT, "merged", 0.2)
    card.aside(552, y + 146, "$d_{out}$ × $d_{in}$")
    return card
