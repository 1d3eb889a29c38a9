"""The chapters of Part 2."""

import math

from tools.drawings import colours as c
from tools.drawings.canvas import ASIDE, Canvas


def softmax(scores):
    exps = [math.exp(score) for score in scores]
    return [x / sum(exps) for x in exps]


def shades(count, start):
    """Numbers from 0 to 1 that look like any."""
    return [(0.37 * start + 0.61 * i + 0.23 * start * i) % 1 for i in range(count)]


def triangle(size, liked):
    """The weights of a causal head whose place t likes place liked(t); None above the diagonal."""
    rows = []
    for t in range(size):
        row = softmax([2.5 * (s == liked(t)) + 0.8 * x for s, x in enumerate(shades(t + 1, t + 1))])
        rows.append(row + [None] * (size - t - 1))
    return rows


def self_attention():
    """One place looks back: query, keys, mask, softmax, and a weighted sum of values.

    Seven tokens stand in a row, one a column: teapot, Fomun, gave, Sam, the, teapot, full stop. The
    fifth, "the", is yellow: it is the place t that looks. The last two are dashed, because they
    come later. Under each token is its vector x, in blue.

    At the left, the vector of place t goes through the orange matrix W_Q and becomes the query q_t.
    All vectors go through the orange matrix W_K and become keys. The next row holds a score for
    each place, the product of the query with that key, divided by the root of the key's width: 2.6,
    0.9, 0.4, 0.2 and 0.1. For the two later places the score is set to minus infinity. This is the
    mask, and it comes before the softmax.

    The softmax makes weights of the scores, purple bars: 0.68 for the first teapot, 0.12, 0.08,
    0.06 and 0.06 for the others, and 0 for what comes later. They sum to 1. (The scores are made
    up.)

    Below, all vectors go through the matrix W_V and become values. From each value a line leads
    down to the output, the thicker the larger its weight; the line from the first teapot is by far
    the thickest. The output of place t is the sum of the values, each times its weight.

    At the foot the same for all places at once: Q of shape (T, d_k) times K transposed gives a
    square of T by T scores, of which the part above the diagonal is shut; its softmax times V gives
    an output of shape (T, d_k).
    """
    card = Canvas(self_attention, 796)
    words = ["teapot", "Fomun", "gave", "Sam", "the", "teapot", "."]
    scores = [2.6, 0.9, 0.4, 0.2, 0.1]
    weights = softmax(scores)
    columns = [144 + 73 * i for i in range(7)]
    left, right = columns[0] - 34, columns[-1] + 34
    at = columns[4]

    for i, (x, word) in enumerate(zip(columns, words, strict=True)):
        late = i > 4
        card.token(
            x,
            36,
            word,
            70 if len(word) > 1 else 40,
            colour=c.HERE if i == 4 else c.TOKEN,
            tint=0.5 if i == 4 else 0 if late else 0.12,
            dashed=late,
        )
        card.vector(x - 28, 66, shades(4, i + 1), 14, across=True)
        if i != 4:
            card.arrow((x, 80), (x, 116), opacity=0.6)
    card.maths(56, 73, "x_s")
    card.line((at, 80), (at, 98), (56, 98), colour=c.LOOK, width=2)
    card.arrow((at, 98), (at, 116), opacity=0.6)
    card.arrow((56, 98), (56, 116), colour=c.LOOK, width=2)
    card.weights(28, 118, 56, 30, "W_Q")
    card.weights(left, 118, right - left, 30, "k_s = W_K x_s")
    card.arrow((56, 148), (56, 172))
    card.vector(35, 173, shades(3, 9), 14, across=True)
    card.maths(56, 204, "q_t")
    for i, x in enumerate(columns):
        card.arrow((x, 148), (x, 172), opacity=0.6)
        card.vector(x - 21, 173, shades(3, i + 3), 14, across=True)
        card.arrow((x, 188), (x, 222), opacity=0.6)
        if i <= 4:
            card.box(x - 29, 224, 58, 34, c.LOOK, f"{scores[i]}", tint=0.1)
        else:
            card.box(x - 29, 224, 58, 34, c.QUIET, "−∞", tint=0, dashed=True)
    card.maths(58, 233, "q_t · k_s", 20)
    card.text(58, 256, "÷ $√d_k$", 18)
    card.aside((columns[5] + columns[6]) / 2, 278, "the mask")

    base = 368
    for x, weight in zip(columns, [*weights, 0, 0], strict=True):
        high = 84 * weight
        card.fill(x - 20, base - high, 40, high, c.LOOK, 0.75)
        card.text(x, base + 16, f"{weight:.2f}" if weight else "0", ASIDE)
    card.line((left, base), (right, base))
    card.aside(58, 300, "softmax")
    card.arrow((58, 312), (58, 340))
    card.maths(58, 362, "a_{ts}")

    card.weights(left, 402, right - left, 30, "v_s = W_V x_s")
    target = 340
    for i, weight in enumerate(weights):
        end = target + 6 * (i - 2), 532
        card.line((columns[i], 462), end, colour=c.LOOK, width=1 + 14 * weight)
    for i, x in enumerate(columns):
        card.arrow((x, 432), (x, 452), opacity=0.6)
        card.fill(x - 21, 453, 42, 14, c.PAPER)
        card.vector(x - 21, 453, shades(3, i + 5), 14, across=True)
    card.fill(target - 30, 526, 60, 20, c.PAPER)
    card.vector(target - 30, 526, shades(3, 4), 20, across=True)
    card.text(target + 44, 536, "out$_t = Σ_s a_{ts} v_s$", 20, "start")
    card.aside(24, 536, "what place $t$ found", anchor="start")

    card.line((24, 576), (616, 576), opacity=0.4)
    card.aside(24, 600, "all places at once", anchor="start")
    size, top = 14, 648
    blue = [shades(3, i + 1) for i in range(7)]
    card.grid(40, top, blue, size, c.STATE)
    card.text(98, top + 49, "·", 24)
    card.grid(114, top + 28, [shades(7, i + 2) for i in range(3)], size, c.STATE)
    card.arrow((222, top + 49), (300, top + 49))
    card.aside(261, top + 28, "÷ $√d_k$, mask")
    card.aside(261, top + 70, "softmax")
    card.grid(316, top, triangle(7, lambda t: t // 2), size, c.LOOK)
    card.text(430, top + 49, "·", 24)
    card.grid(446, top, [shades(3, i + 4) for i in range(7)], size, c.STATE)
    card.text(510, top + 49, "=", 22)
    card.grid(536, top, [shades(3, i + 6) for i in range(7)], size, c.STATE)
    for x, label, shape in (
        (61, "Q", "(T, d_k)"),
        (163, "K^⊤", "(d_k, T)"),
        (365, "", "(T, T)"),
        (467, "V", "(T, d_k)"),
        (557, "out", "(T, d_k)"),
    ):
        if label:
            y = top + 10 if label == "K^⊤" else top - 16
            card.text(x, y, label if label == "out" else f"${label}$", 20)
        card.aside(x, top + 122, f"${shape}$")
    return card


def heads_and_positions():
    """Two heads share the width, and rotary positions turn what they compare.

    The upper half shows two heads. At the left stands Q, a matrix of T rows and d columns, here six
    and eight; K and V are made likewise. Its columns are dealt out in two blocks of d_k
    neighbouring columns, one block a head. Each head compares its own queries with its own keys and
    has its own triangle of attention weights, T by T, closed above the diagonal; the two triangles
    differ: the first looks mostly one place back, the second at place 2. Each gives an output of T
    rows and d_k columns. Side by side the two outputs are d wide again, and the orange matrix W_O
    mixes them.

    The lower half shows a pair of numbers of a query, twice as long as the same pair of a key, as
    two hands on a dial. Each is turned by its place times the angle theta, here 60 degrees. Left,
    the query stands at place 2 and the key at place 1: the query points to 120 degrees, the key to
    60. Right, they stand at places 5 and 4, and point to 300 and 240 degrees. The hands have turned
    on, and the angle between them is 60 degrees in both dials, so the product is the same, 2 times
    the cosine of 60 degrees, which is 1. Only the distance of the two places counts.
    """
    card = Canvas(heads_and_positions, 720)
    size = 14
    top = 120
    rows = [shades(8, i + 1) for i in range(6)]
    card.maths(80, top - 18, "Q")
    card.grid(24, top, rows, size, c.STATE)
    card.line((80, top - 5), (80, top + 89), colour=c.INK, width=2)
    card.aside(80, top + 102, "$(T, d)$")
    card.aside(80, top + 134, "$K$ and $V$ likewise")
    for j, (y, liked) in enumerate(((44, lambda t: max(t - 1, 0)), (196, lambda t: min(t, 1)))):
        card.arrow((142, top + 42), (166, top + 42), (166, y + 42), (190, y + 42))
        card.grid(196, y, [row[4 * j : 4 * j + 4] for row in rows], size, c.STATE)
        card.maths(224, y - 16, f"Q_{j + 1}", 20)
        card.aside(224, y + 102, "$(T, d_k)$")
        card.arrow((258, y + 42), (302, y + 42))
        card.aside(280, y + 24, f"$K_{j + 1}$")
        card.grid(308, y, triangle(6, liked), size, c.LOOK)
        card.aside(350, y + 102, "$(T, T)$")
        card.arrow((398, y + 42), (440, y + 42))
        card.aside(419, y + 24, f"$V_{j + 1}$")
        card.grid(446, y, [shades(4, 3 * j + i + 2) for i in range(6)], size, c.STATE)
        card.text(474, y - 16, f"head$_{j + 1}$", 18)
        card.aside(474, y + 102, "$(T, d_k)$")
        card.arrow(
            (508, y + 42), (528, y + 42), (528, 162 + (j - 0.5) * 24), (546, 162 + (j - 0.5) * 24)
        )
    card.aside(578, 110, "side by side")
    card.weights(548, 126, 68, 72, "W_O")
    card.arrow((582, 198), (582, 236))
    card.text(582, 252, "out")
    card.aside(582, 276, "$(T, d)$")

    card.line((24, 346), (616, 346), opacity=0.4)
    card.aside(
        24, 372, "rotary: a pair of numbers, turned by place × $θ$, here 60°", anchor="start"
    )
    for x, t, s in ((170, 2, 1), (470, 5, 4)):
        y, r = 506, 88
        card.circle(x, y, r, c.QUIET, 0.8)
        for k in range(6):
            a = math.radians(60 * k)
            card.line(
                (x + (r - 5) * math.cos(a), y - (r - 5) * math.sin(a)),
                (x + r * math.cos(a), y - r * math.sin(a)),
            )
        ends = []
        for place, long, colour in ((t, 1.0, c.LOOK), (s, 0.5, c.STATE)):
            a = math.radians(60 * place)
            end = x + r * long * math.cos(a), y - r * long * math.sin(a)
            card.arrow((x, y), end, colour=colour, width=3)
            ends.append((a, long))
        for (a, long), label in zip(ends, (f"q_{t}", f"k_{s}"), strict=True):
            far = r * long + 22
            card.maths(x + far * math.cos(a), y - far * math.sin(a), label)
        # the angle between the two hands
        arc = 26
        a, b = (math.radians(60 * place) for place in (s, t))
        card.add(
            "path",
            fill="none",
            stroke=c.INK,
            stroke_width=1.5,
            d=f"M{x + arc * math.cos(a):.1f} {y - arc * math.sin(a):.1f} "
            f"A{arc} {arc} 0 0 0 {x + arc * math.cos(b):.1f} {y - arc * math.sin(b):.1f}",
        )
        card.text(x, 640, f"$q_{t} · k_{s}$ = 2 cos $θ$ = 1", 20)
        card.aside(x, 668, f"places {t} and {s}")
    card.text(320, 506, "=", 26)
    card.aside(320, 698, "only the distance is left: $t - s$ = 1 in both".replace("-", "−"))
    return card


def branch(card, stream, side, low, high, boxes):
    """From the stream at `low` through `boxes` beside it, and back to a plus at `high`.

    boxes: (function that draws, top, bottom), from below.
    """
    y = low
    card.line((stream, low), (side, low))
    for draw, top, bottom in boxes:
        card.arrow((side, y), (side, bottom))
        draw()
        y = top
    back = stream + 11 if side > stream else stream - 11
    card.arrow((side, y), (side, high), (back, high))
    card.plus(stream, high)


def gpt():
    """GPT-2, whole, with the shape of every step.

    The picture is read from the bottom to the top. At the foot stand the tokens of a text, Once
    upon a time, B texts with T tokens each. Each token takes its row of the orange table of
    embeddings, E. To it is added, at a plus sign, a row of a second table, p, for its place. The
    sum, of shape (B, T, d), is the residual stream, a line that runs straight up through
    everything.

    A frame around the middle is one block; there are num_layers of them, one upon the other. In it
    the stream gives off two branches. The first goes through a layer normalisation, then through
    the causal attention with its num_heads heads, whose queries, keys and values have the shape (B,
    num_heads, T, d_k), and is added to the stream at a plus sign. The second goes through another
    normalisation, then through the MLP, which is 4 d wide in the middle and has a GELU there, and
    is added at another plus sign. The norm stands at the entrance of each branch, off the stream.

    Above the blocks the stream goes through a last normalisation, then through the output head,
    which is the table E once more, and becomes the logits, of shape (B, T, V). A softmax makes
    probabilities of them, at every place for the token that comes next: upon, a, time, there.
    """
    card = Canvas(gpt, 900)
    stream, side = 230, 400
    card.box(110, 254, 506, 432, c.QUIET, tint=0.05, radius=12)
    card.aside(602, 666, "a block, num_layers times", anchor="end")
    for i, (word, then) in enumerate(
        zip("Once upon a time".split(), "upon a time there".split(), strict=True)
    ):
        x = stream - 108 + 72 * i
        card.token(x, 868, word, 64)
        card.token(x, 36, then, 64)
    card.arrow((stream, 850), (stream, 826))
    card.weights(stream - 60, 792, 120, 32, "E")
    card.arrow((stream, 792), (stream, 233))
    card.plus(stream, 744)
    card.weights(330, 728, 80, 32, "p")
    card.arrow((330, 744), (222, 744))
    card.aside(426, 744, "places 1 … $T$", anchor="start")

    def norm(y):
        return lambda: card.box(side - 60, y, 120, 30, c.WEIGHT, "norm", 0.12)

    branch(
        card,
        stream,
        side,
        664,
        484,
        [
            (norm(610), 610, 640),
            (lambda: card.box(side - 80, 516, 160, 66, c.LOOK, tint=0.18), 516, 582),
        ],
    )
    card.text(side, 538, "attention")
    card.aside(side, 561, "causal, num_heads")
    card.aside(494, 538, "$q, k, v$:", anchor="start")
    card.aside(494, 561, "$(B,$ heads$, T, d_k)$", anchor="start")
    branch(
        card,
        stream,
        side,
        460,
        280,
        [
            (norm(406), 406, 436),
            (lambda: card.box(side - 80, 312, 160, 66, c.WEIGHT, tint=0.28), 312, 378),
        ],
    )
    card.text(side, 334, "MLP")
    card.aside(side, 357, "$d$ → 4$d$ → $d$, GELU")
    card.aside(494, 345, "$(B, T, 4d)$", anchor="start")
    card.box(stream - 60, 202, 120, 30, c.WEIGHT, "norm", 0.12)
    card.arrow((stream, 202), (stream, 178))
    card.weights(stream - 60, 144, 120, 32, "E^⊤")
    card.aside(stream + 76, 160, "the output head, the same $E$", anchor="start")
    card.arrow((stream, 144), (stream, 108))
    card.text(stream, 94, "softmax of the logits $z$", ASIDE)
    card.arrow((stream, 82), (stream, 56))
    card.aside(stream + 154, 36, "what comes next, at each place", anchor="start")
    for y, shape in (
        (868, "$(B, T)$"),
        (712, "$(B, T, d)$"),
        (217, "$(B, T, d)$"),
        (108, "$(B, T, V)$"),
    ):
        card.aside(24, y, shape, anchor="start")
    return card


def encoder_decoder():
    """An encoder reads one text, a decoder writes another and looks into the first.

    Both are read from the bottom to the top; a vertical line in each is the residual stream, from
    which layers branch off and to which they add at plus signs. (The norm at the entrance of each
    layer is not drawn.)

    Left, the encoder. It reads the command reverse and the letters p, b, q. Its block has
    self-attention without a mask, drawn as a full square of weights, S by S, and an MLP. After a
    last norm its states are the memory M, of shape (S, d): four blue vectors in a row.

    Right, the decoder. It is given end, q, b, and writes q, b, p: the letters the other way round,
    each one place further on. Its block has three layers. The first is causal self-attention, a
    triangle, T by T. The second is cross-attention: its queries come from the decoder's own stream,
    its keys and values, by an arrow, from the memory M. Its weights are a rectangle, T by S, with
    no mask; the dark cells run from top right to bottom left, since the letters are reversed. The
    third is an MLP. Then follow a norm and the output head.

    At the top left stands what differs in BERT, which is an encoder alone: the norm comes after the
    sum, norm(x + f(x)), where a GPT has x + f(norm(x)).
    """
    card = Canvas(encoder_decoder, 800)
    # the encoder
    left, side = 46, 180
    for x, word, w in ((66, "reverse", 84), (136, "p", 34), (178, "b", 34), (220, "q", 34)):
        card.token(x + 6, 744, word, w)
    card.aside(150, 780, "the text that is read")
    card.line((left, 726), (left, 434))
    cell = 15

    def attention(x, y, label, rows, shape, w=180):
        card.box(x - w / 2, y, w, 38 + cell * len(rows), c.LOOK, tint=0.1)
        card.text(x, y + 16, label)
        card.grid(x - 28 - cell * len(rows[0]) / 2, y + 30, rows, cell, c.LOOK)
        card.aside(x + 42, y + 30 + cell * len(rows) / 2, shape)

    full = [softmax([3 * v for v in shades(4, i + 2)]) for i in range(4)]
    branch(
        card,
        left,
        side,
        712,
        572,
        [(lambda: attention(side, 592, "self-attention", full, "$(S, S)$"), 592, 690)],
    )
    branch(
        card,
        left,
        side,
        550,
        462,
        [(lambda: card.box(side - 90, 484, 180, 42, c.WEIGHT, "MLP", 0.28), 484, 526)],
    )
    card.box(left - 28, 404, 56, 30, c.WEIGHT, "norm", 0.12)
    card.arrow((left, 404), (left, 372))
    for i in range(4):
        card.vector(left - 8 + 26 * i, 304, shades(4, i + 3), 16)
    card.text(164, 336, "$M$", 22)
    card.aside(212, 336, "$(S, d)$")

    # the decoder
    right, side = 594, 450
    for x, word, then in ((474, "end", "q"), (534, "q", "b"), (594, "b", "p")):
        card.token(x, 744, word, 48)
        card.token(x, 36, then, 48)
    card.aside(530, 780, "the text that is written")
    card.line((right, 726), (right, 268))
    branch(
        card,
        right,
        side,
        712,
        586,
        [
            (
                lambda: attention(
                    side, 606, "self-attention", triangle(3, lambda t: t), "$(T, T)$", 190
                ),
                606,
                690,
            )
        ],
    )
    crossed = [[0.05, 0.05, 0.1, 0.9], [0.05, 0.1, 0.85, 0.1], [0.1, 0.9, 0.05, 0.05]]
    branch(
        card,
        right,
        side,
        562,
        428,
        [(lambda: attention(side, 450, "cross-attention", crossed, "$(T, S)$", 190), 450, 533)],
    )
    branch(
        card,
        right,
        side,
        404,
        300,
        [(lambda: card.box(side - 95, 322, 190, 42, c.WEIGHT, "MLP", 0.28), 322, 364)],
    )
    card.arrow((250, 336), (318, 336), (318, 492), (354, 492), colour=c.STATE, width=2)
    card.text(332, 420, "$K, V$", 20, "start")
    card.text(510, 549, "$Q$", 20)
    card.box(right - 28, 238, 56, 30, c.WEIGHT, "norm", 0.12)
    card.weights(right - 28, 160, 56, 34, "W_o")
    card.arrow((right, 238), (right, 195))
    card.arrow((right, 160), (right, 94), (534, 94), (534, 56))
    card.text(24, 44, "encoder", anchor="start", weight="600")
    card.aside(24, 70, "alone it is BERT, which has", anchor="start")
    card.aside(24, 92, "its norms after the sums:", anchor="start")
    card.text(24, 122, "norm($x + f(x)$)", anchor="start")
    card.text(24, 164, "decoder", anchor="start", weight="600")
    card.aside(24, 190, "alone it is GPT:", anchor="start")
    card.text(24, 220, "$x + f$(norm$(x)$)", anchor="start")
    return card
