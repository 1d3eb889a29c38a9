"""Part 3: what training costs, what makes a model better, and how one can tell."""

import math

from tools.drawings import colours as c
from tools.drawings.canvas import ASIDE, Canvas


def what_a_step_costs():
    """Six operations a weight and token, sixteen bytes a weight, and what the way back needs.

    The upper half follows one weight matrix W, an orange square with d_out rows and d_in columns.
    On the way up, a blue vector x with d_in numbers goes in at the left and y = W x comes out at
    the right: a multiplication and an addition for each weight, 2 d_out d_in. On the way down, in
    red, the slope of the loss by y arrives from the right, and two products leave. One is the slope
    by x, W transposed times the slope by y, which goes on to the layer below: 2 d_out d_in. The
    other is the gradient of W itself, the slope by y times x: 2 d_out d_in. Together 2 up and 4
    down: 6 N for N weights and each token.

    The lower half is about bytes. A bar of four equal parts shows what one weight takes with AdamW
    in 32 bits: 4 for the weight itself, 4 for its gradient, and 4 each for the two running means m
    and v; 16 bytes, however many rows there are. Beside it stands what grows with the rows: for
    each token and each block about 16 d numbers that the layers computed on the way up and the way
    down needs, and V for the loss.

    At the foot one bar for the GPT of Part 2 with a batch of 8 rows of 224 tokens, 88 MB: 18 % are
    weights, gradients and running means, 69 % are kept by the blocks, and 12 % by the loss.
    """
    card = Canvas(what_a_step_costs, 690)
    card.weights(262, 56, 116, 116, "W", size=28)
    card.aside(320, 40, "$d_{out}$ × $d_{in}$ weights")
    card.text(24, 90, "up", anchor="start", weight="600")
    card.vector(128, 81, [0.3, 0.8, 0.1, 0.6], 18, across=True)
    card.maths(116, 90, "x", anchor="end")
    card.arrow((204, 90), (260, 90), colour=c.STATE, width=2)
    card.arrow((378, 90), (434, 90), colour=c.STATE, width=2)
    card.vector(438, 81, [0.5, 0.2, 0.9], 18, across=True)
    card.maths(502, 90, "y = W x", anchor="start")
    card.text(600, 90, "2", 22)

    card.text(24, 144, "down", anchor="start", weight="600")
    card.vector(438, 135, [0.4, 0.7, 0.2], 18, c.WRONG, across=True)
    card.maths(502, 144, "δy", anchor="start")
    card.arrow((434, 144), (380, 144), colour=c.WRONG, width=2)
    card.arrow((260, 144), (206, 144), colour=c.WRONG, width=2)
    card.vector(128, 135, [0.2, 0.5, 0.8, 0.3], 18, c.WRONG, across=True)
    card.maths(116, 144, "δx", anchor="end")
    card.arrow((320, 172), (320, 204), colour=c.WRONG, width=2)
    card.box(262, 206, 116, 44, c.WRONG, "$δW$", 0.16, size=22)
    card.maths(164, 176, "W^⊤ δy", 20)
    card.text(600, 144, "2", 22)
    card.maths(394, 228, "δy x^⊤", 20, anchor="start")
    card.text(600, 228, "2", 22)
    card.line((580, 250), (620, 250), colour=c.INK)
    card.text(600, 272, "6", 22, weight="600")
    card.aside(576, 272, "operations for each weight and token", anchor="end")
    card.aside(600, 56, "cost")

    card.line((24, 310), (616, 310), opacity=0.4)
    card.text(24, 340, "bytes a weight, with AdamW", anchor="start", weight="600")
    parts = (
        ("$θ$", "4", c.WEIGHT),
        ("$g$", "4", c.WRONG),
        ("$m$", "4", c.KEPT),
        ("$v$", "4", c.KEPT),
    )
    for i, (label, size, colour) in enumerate(parts):
        card.box(24 + 74 * i, 362, 74, 44, colour, tint=0.3, radius=0)
        card.text(48 + 74 * i, 384, label, 22)
        card.text(76 + 74 * i, 384, size, 18)
    card.text(334, 384, "= 16, for any batch", anchor="start")
    card.text(24, 446, "numbers kept for the way down, a token", anchor="start", weight="600")
    card.box(24, 466, 222, 44, c.STATE, "16 $d$ + num_heads + 4", 0.3, radius=0, size=ASIDE + 1)
    card.text(258, 488, "a block, and $V$ for the loss", anchor="start")

    card.line((24, 540), (616, 540), opacity=0.4)
    card.aside(24, 568, "the GPT of Part 2, 8 rows of 224 tokens: 88 MB", anchor="start")
    x = 24
    for share, colour, label in (
        (0.18, c.WEIGHT, "18 %"),
        (0.70, c.STATE, "69 %"),
        (0.12, c.WRONG, "12 %"),
    ):
        card.box(x, 590, 592 * share, 40, colour, label, 0.3, radius=0)
        x += 592 * share
    card.aside(24, 652, "weights, $g, m, v$", anchor="start")
    card.aside(330, 652, "kept by the blocks")
    card.aside(616, 652, "by the loss", anchor="end")
    return card


def better_and_bigger():
    """What a modern block changes in GPT-2's, and where.

    In the middle stands one block with what is below and above it, read from the bottom to the top,
    a vertical line with two branches, as in GPT-2. Left of each part stands how GPT-2 has it, right
    how a modern model has it.

    At the foot, the embedding: GPT-2 adds a learned vector for the place; the modern model adds
    none. The norms: LayerNorm there, RMSNorm here, which leaves the mean where it is. Attention:
    there queries and keys go into the product as they are; here each is normed first (QK-norm) and
    then turned by its place (rotary positions). The MLP: there GELU between two matrices; here
    SwiGLU, with a third matrix as a gate, or the square of max(a, 0). The output head: there the
    embedding once more; here a matrix of its own. Biases stand in all layers there, and in none
    here.

    Beside the model stands what moves it: there AdamW for all; here Muon for the matrices of the
    blocks and AdamW for the rest.
    """
    card = Canvas(better_and_bigger, 730)
    card.text(120, 36, "GPT-2", weight="600")
    card.text(520, 36, "modern", weight="600")
    stream, wide = 320, 128
    parts = (
        (60, "output head", c.WEIGHT, "the embedding, $E$", "a matrix of its own"),
        (118, "norm", c.WEIGHT, "LayerNorm", "RMSNorm"),
        (214, "MLP", c.WEIGHT, "GELU", "SwiGLU or ReLU²"),
        (272, "norm", c.WEIGHT, "LayerNorm", "RMSNorm"),
        (368, "attention", c.LOOK, "$q · k$", "QK-norm, then rotary"),
        (426, "norm", c.WEIGHT, "LayerNorm", "RMSNorm"),
        (530, "embedding", c.WEIGHT, "place vector added", "nothing added"),
    )
    card.box(218, 180, 204, 312, c.QUIET, tint=0.05, radius=10)
    left = 238
    card.line((stream, 530), (stream, 508), (left, 508), (left, 166), (stream, 166), (stream, 152))
    card.head((stream, 166), (stream, 151), c.QUIET, 1.5)
    for low, high, top, bottom, entry in ((484, 348, 368, 426, 458), (338, 204, 214, 272, 304)):
        x = 352
        card.line((left, low), (x, low))
        card.arrow((x, low), (x, entry))
        card.arrow((x, bottom), (x, top + 34))
        card.arrow((x, top), (x, high), (left + 9, high))
        card.plus(left, high, 9)
    card.arrow((stream, 118), (stream, 95))
    for y, label, colour, old, new in parts:
        x = 352 if 200 < y < 500 else stream
        w = 124 if x == 352 else wide
        h = 34 if label != "norm" else 32
        card.box(x - w / 2, y, w, h, c.PAPER, tint=1)
        card.box(x - w / 2, y, w, h, colour, label, 0.28 if label != "norm" else 0.12)
        card.aside(196, y + h / 2, old, anchor="end")
        card.text(444, y + h / 2, new, ASIDE, "start")
    xs = [266, 320, 374]
    for x, word in zip(xs, ("Ben", "lived", "in"), strict=True):
        card.token(x, 608, word, 50)
    card.arrow((stream, 592), (stream, 566))
    card.line((24, 640), (616, 640), opacity=0.4)
    for y, what, old, new in (
        (664, "biases", "in every layer", "none"),
        (696, "optimiser", "AdamW", "Muon, AdamW"),
    ):
        card.text(stream, y, what)
        card.aside(196, y, old, anchor="end")
        card.text(444, y, new, ASIDE, "start")
    return card


def copies_and_tables():
    """A table at the entrance, a head that copies at the exit.

    The picture is read from the bottom to the top. At the foot stand the tokens of a story: a
    newline, Ben, saw, Mia, full stop, said, and a yellow question mark for what comes next.

    The entrance, drawn for the last token: it takes its row of the embedding E, in orange. It also
    takes two rows of a second table, E', orange as well. Brackets over the tokens show which: one
    row is found by a hash of the last two tokens, one by a hash of the last three. The three rows
    are added at a plus sign, and the sum goes into the blocks. The other places do the same.

    Above the blocks stands a state for every place, a row of blue columns, and between two of them
    the token that came next: after the first Ben, then saw, and so on. From the last state, h_t,
    two ways lead up. At the right, the output head W_o gives each token w its weight, e to the
    logit. In the middle is the copy head: the last state makes a query, the earlier ones make keys,
    and purple bows lead from the last state back to earlier ones, the thicker the more alike. The
    thickest points to the state before Ben, a thinner one to the state before Mia, a thin one to
    that before the full stop.

    At the top both are added token by token, and divided by their sum: P(w) is proportional to e to
    the logit plus a(w). Each token is a bar with a blue part, from the head, and a purple part, the
    copies. Ben has by far the longest bar, then Mia; Leo, whom the story has not named, has no
    purple part. (The sizes are made up.)
    """
    card = Canvas(copies_and_tables, 820)
    words = ["⏎", "Ben", "saw", "Mia", ".", "said"]
    xs = [66 + 88 * i for i in range(6)]
    last = xs[-1]
    for i, (x, word) in enumerate(zip(xs, words, strict=True)):
        card.token(x, 788, word, 60)
        card.vector(x - 9, 402, [(0.3 * i + 0.4 * k + 0.1 * i * k) % 1 for k in range(4)], 18)
        card.arrow((x, 512), (x, 476), opacity=0.5 if i < 5 else None)
        if i < 5:
            card.arrow((x, 586), (x, 556), opacity=0.5)
            card.aside(x + 44, 438, f"→ {words[i + 1]}")
    card.token(596, 788, "?", 40, colour=c.HERE, tint=0.5)
    card.box(24, 512, 592, 42, c.STATE, "the blocks", 0.1)
    # the entrance
    card.line((last, 772), (last, 716))
    card.weights(last - 32, 684, 64, 32, "E")
    card.arrow((last, 684), (last, 627))
    for x, first, y in ((xs[3], 3, 738), (xs[4], 4, 756)):
        card.line(
            (xs[first], 771),
            (xs[first], y),
            (last - 6 * (5 - first), y),
            (last - 6 * (5 - first), 771),
        )
        card.arrow((x, y), (x, 718))
        card.weights(x - 32, 684, 64, 32, "E'")
    card.line((xs[4], 684), (xs[4], 616))
    card.arrow((xs[3], 684), (xs[3], 616), (last - 12, 616))
    card.plus(last, 616)
    card.arrow((last, 605), (last, 556))
    card.aside(xs[3] - 46, 700, "hashed: the last three,", anchor="end")
    card.aside(xs[3] - 46, 722, "the last two tokens", anchor="end")
    # the copy head
    for i, width in ((0, 8), (2, 3.5), (3, 1)):
        high = 396 - 0.62 * (last - xs[i])
        card.bow((last, 400), ((xs[i] + last) / 2, high), (xs[i], 399), c.LOOK, width, opacity=0.75)
    card.aside(24, 232, "how alike are $q_t$ and $k_s$,", anchor="start")
    card.aside(24, 254, "and what came after $s$?", anchor="start")
    card.maths(last + 16, 468, "h_t", anchor="start")
    # the exit
    card.arrow((last + 11, 430), (580, 430), (580, 312), colour=c.STATE, width=2)
    card.weights(548, 276, 64, 34, "W_o")
    card.arrow((580, 276), (580, 200), colour=c.STATE, width=2)
    card.text(580, 182, "$e^{z(w)}$", 22)
    card.maths(286, 206, "a(w)", 22)
    for k, (word, plain, copied) in enumerate(
        (("Ben", 12, 210), ("Mia", 12, 60), (".", 30, 8), ("Leo", 12, 0))
    ):
        y = 36 + 36 * k
        card.text(72, y, word, anchor="end")
        card.fill(84, y - 12, plain, 24, c.STATE, 0.75)
        card.fill(84 + plain, y - 12, copied, 24, c.LOOK, 0.75)
    card.line((84, 20), (84, 160))
    card.text(350, 90, "$P(w) ∝ e^{z(w)} + a(w)$", 22, "start")
    return card


# Bits a character of the first twelve held-out stories, by the recorded models.
ONE_BLOCK = [0.23, 0.189, 0.234, 0.231, 0.231, 0.239, 0.198, 0.187, 0.296, 0.245, 0.184, 0.204]
FOUR_BLOCKS = [0.193, 0.171, 0.223, 0.172, 0.203, 0.199, 0.184, 0.171, 0.203, 0.168, 0.18, 0.163]


def is_it_better():
    """The same stories for both models, the difference story by story, and its interval.

    The upper half has the first twelve held-out stories as columns of two dots on a scale of bits a
    character, from 0.15 to 0.30: a grey dot for the model with one block, a blue one for the GPT. A
    yellow line joins the two dots of a story. The stories differ, some are hard for both, and the
    two clouds of dots overlap. But in every story the blue dot lies below the grey one.

    The lower half has the twelve differences, one block minus GPT, as dots on a line of their own
    with 0 at the left. All lie above 0, from 0.004 to 0.093. Under them their mean, 0.037, with its
    95 % interval, from 0.019 to 0.054, drawn as a bar that does not reach 0. So it can be told that
    the GPT is better on stories like these. Had the interval held 0, it could not be told.
    """
    card = Canvas(is_it_better, 560)

    def level(bits):
        return 290 - 1560 * (bits - 0.15)

    for bits in (0.15, 0.2, 0.25, 0.3):
        card.line((72, level(bits)), (616, level(bits)), opacity=0.25)
        card.aside(62, level(bits), f"{bits:.2f}", anchor="end")
    for i, (one, other) in enumerate(zip(ONE_BLOCK, FOUR_BLOCKS, strict=True)):
        x = 100 + 44 * i
        card.line((x, level(one)), (x, level(other)), colour=c.HERE, width=5)
        card.dot(x, level(one), 6, c.QUIET)
        card.dot(x, level(other), 6, c.STATE)
    card.aside(72, 30, "bits a character of twelve stories", anchor="start")
    card.dot(400, 30, 6, c.QUIET)
    card.aside(412, 30, "one block", anchor="start")
    card.dot(520, 30, 6, c.STATE)
    card.aside(532, 30, "GPT", anchor="start")

    differences = [a - b for a, b in zip(ONE_BLOCK, FOUR_BLOCKS, strict=True)]
    mean = sum(differences) / 12
    spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / 11)
    half = 2.201 * spread / math.sqrt(12)  # Student's t for twelve

    def across(bits):
        return 100 + 5000 * bits

    card.aside(72, 346, "the difference, story by story", anchor="start")
    for d in differences:
        card.dot(across(d), 384, 7, c.HERE)
        card.circle(across(d), 384, 7, c.QUIET, 1)
    card.line((72, 462), (616, 462))
    for bits in (0, 0.02, 0.04, 0.06, 0.08, 0.1):
        card.line((across(bits), 462), (across(bits), 469))
        card.aside(across(bits), 484, f"{bits:.2f}")
    card.line((across(0), 366), (across(0), 462), colour=c.INK)
    card.line((across(mean - half), 430), (across(mean + half), 430), colour=c.INK, width=3)
    for bits in (mean - half, mean + half):
        card.line((across(bits), 421), (across(bits), 439), colour=c.INK, width=3)
    card.dot(across(mean), 430, 8, c.INK)
    card.aside(across(mean + half) + 16, 430, "mean, 95 % interval", anchor="start")
    card.text(72, 526, "0.037 (0.019 to 0.054): 0 is not in it", anchor="start")
    return card
