"""The language, and the chapters of Part 1."""

from tools.drawings import colours as c
from tools.drawings.canvas import ASIDE, LABEL, Canvas, text_width


def colours():
    """The colours of the drawings.

    Eight kinds of things have one colour each in all drawings of the book. Grey is text and its
    tokens. Orange is what training learns. Blue is what a model computes. Purple is attention.
    Green is the truth: Storyland's grammar, and what the oracle knows. Red is the loss with its
    gradient, and what leaks. Light blue is what is counted or remembered. Yellow marks the place
    that the drawing speaks of.
    """
    card = Canvas(colours, 192)
    kinds = (
        (c.TOKEN, "text and tokens"),
        (c.WEIGHT, "what training learns"),
        (c.STATE, "what a model computes"),
        (c.LOOK, "attention"),
        (c.TRUTH, "the truth, the oracle"),
        (c.WRONG, "loss, gradient, leak"),
        (c.KEPT, "counts, running means"),
        (c.HERE, "the place in question"),
    )
    for i, (colour, kind) in enumerate(kinds):
        x, y = 40 + 300 * (i // 4), 24 + 38 * (i % 4)
        card.box(x, y, 44, 26, colour, tint=0.35)
        card.text(x + 60, y + 13, kind, anchor="start")
    return card


SENTENCE = "Once upon a time there was a girl called Mia ."
CHANCES = [1 / 6, 1, 1, 1, 1, 1, 1, 1 / 2, 1, 0.1837, 1]  # the oracle's, word by word


def storyland():
    """How a story is made, and what the oracle knows.

    At the top left is the grammar, a few rules for how a story may open, each with a number before
    it, its weight: 5 for "Once upon a time there was a (boy or girl) called (name)", 3 and 4 for
    two others. An arrow to its right says that choices are drawn by these weights. They give the
    facts of a story: the hero is Mia, her home a caravan in Applewick, the plot is called work. One
    fact has a dashed edge: the mood is spooky, and the story never says so.

    Arrows from both lead down to the story, a row of words: Once upon a time there was a girl
    called Mia. Under each word stands a green bar, the probability that the oracle gave to this
    word when it had read those before it. Most bars are full: the word was certain. Three are not:
    Once has 1/6, girl 1/2, Mia 0.18. Their product, about 0.015, is the probability of the whole
    sentence.
    """
    card = Canvas(storyland, 470)
    card.box(24, 24, 344, 150, c.TRUTH, tint=0.07)
    card.text(40, 46, "the grammar", anchor="start", weight="600")
    rules = (
        ("5", "Once upon a time there was"),
        ("", "a {hero.child} called {hero}."),
        ("3", "There was once a {hero.child} …"),
        ("4", "{Hero} lived in {a home} near …"),
    )
    for i, (weight, rule) in enumerate(rules):
        card.aside(52, 76 + 25 * i, weight)
        card.text(68, 76 + 25 * i, rule, ASIDE, "start")
    card.arrow((368, 98), (420, 98))
    card.aside(394, 84, "draw")
    card.box(420, 24, 196, 150, c.TRUTH, tint=0.07)
    card.text(436, 46, "the facts", anchor="start", weight="600")
    for i, (fact, value) in enumerate((("hero", "Mia"), ("home", "caravan"), ("plot", "work"))):
        card.aside(436, 76 + 23 * i, fact, anchor="start")
        card.text(494, 76 + 23 * i, value, ASIDE, "start")
    card.box(428, 140, 180, 26, c.TRUTH, tint=0, dashed=True)
    card.aside(436, 153, "mood", anchor="start")
    card.text(494, 153, "spooky, unsaid", ASIDE, "start")
    card.arrow((196, 174), (196, 212))
    card.arrow((518, 174), (518, 212))

    words = SENTENCE.split()
    said = {0: "1/6", 7: "1/2", 9: "0.18"}
    widths = [text_width(word, LABEL) + 12 for word in words]
    gap = (592 - sum(widths)) / (len(words) - 1)
    x = 24
    for i, (word, chance, w) in enumerate(zip(words, CHANCES, widths, strict=True)):
        card.token(x + w / 2, 232, word, w)
        card.fill(x, 268, w, 90, c.TRUTH, 0.1)
        card.fill(x, 358 - 90 * chance, w, 90 * chance, c.TRUTH, 0.75)
        if i in said:
            card.text(x + w / 2, 376, said[i], ASIDE)
        x += w + gap
    card.aside(
        24, 408, "the oracle: each word's probability, given those before it", anchor="start"
    )
    card.text(24, 440, "$P$(the sentence) = 1/6 · 1/2 · 0.18 = 0.015", anchor="start")
    return card


COUNTED = {  # of a million characters, as on the page: c(u), and c(uw) by w
    "ma": (1732, {"d": 137, "k": 19, "l": 463, "m": 0, "n": 229, "r": 654}),
    "a␣": (8936, {"d": 215, "k": 107, "l": 811, "m": 253, "n": 177, "r": 331}),
    "ca": (3881, {"d": 0, "k": 266, "l": 928, "m": 1220, "n": 374, "r": 581}),
}


def counting():
    """An n-gram's window slides over a story, and a table counts what it sees.

    At the top are the characters of "had made a cake", one a cell, a space drawn as an open box. A
    window of three characters, n = 3, lies on c, a and k. The first two are the context u, filled
    yellow; the third is w, the character that came next, with a thick edge. A thin bracket shows
    where the window stood before, on m, a and d; it moves one character at a time.

    An arrow leads from the window down to a table. Its rows are contexts: ma, a with a space, ca.
    Its columns are the characters that may come next: d, k, l, m, n, r, and a last column for the
    sum over all characters, c(u). Each cell holds how often this character followed this context in
    a million characters of stories, the more often the darker. In the row of ca, the column of k
    holds 266, and the sum is 3,881.

    Below stands the model: the probability of w after u is c(uw) divided by c(u), here 266 / 3,881
    = 0.07.
    """
    card = Canvas(counting, 480)
    size, left, top = 38, 35, 40
    for i, char in enumerate("had made a cake".replace(" ", "␣")):
        x = left + i * size
        here = i in (11, 12)
        card.box(x, top, size, size, c.TOKEN, tint=0.0 if here else 0.1, radius=0)
        if here:
            card.fill(x, top, size, size, c.HERE, 0.6)
        card.text(x + size / 2, top + size / 2, char, 20)
    card.box(left + 13 * size, top, size, size, c.INK, tint=0, radius=0)
    card.box(left + 13 * size + 1.5, top + 1.5, size - 3, size - 3, c.INK, tint=0, radius=0)
    card.brace(left + 4 * size + 3, left + 7 * size - 3, top + size + 8, 8)
    card.brace(left + 11 * size + 3, left + 13 * size - 3, top + size + 8, 8, c.INK)
    card.maths(left + 12 * size, top + size + 34, "u")
    card.maths(left + 13.5 * size, top + size + 34, "w")
    card.arrow((left + 8 * size, 24), (left + 11 * size, 24))
    card.aside(left + 8 * size - 8, 24, "the window, $n$ = 3, slides", anchor="end")

    columns, row_top, wide = "dklmnr", 210, 66
    card.aside(60, row_top - 20, "$u$ \\ $w$")
    for j, char in enumerate(columns):
        card.text(130 + wide * j, row_top - 20, char, 20)
    card.maths(566, row_top - 20, "c(u)", 20)
    for i, (context, (total, row)) in enumerate(COUNTED.items()):
        y = row_top + 42 * i
        if context == "ca":
            card.fill(24, y - 1, 592, 42, c.HERE, 0.3)
        card.text(60, y + 20, context, 20)
        for j, char in enumerate(columns):
            x = 130 + wide * (j - 0.5)
            card.fill(x + 2, y + 2, wide - 4, 36, c.KEPT, 0.1 + 0.8 * row[char] / 1220)
            card.text(x + wide / 2, y + 20, f"{row[char]:,}")
        card.text(566, y + 20, f"{total:,}")
    x = 130 + wide
    card.box(x - wide / 2 + 2, row_top + 86, wide - 4, 36, c.INK, tint=0, radius=0)
    card.line((520, row_top - 34), (520, row_top + 128), opacity=0.5)
    card.arrow((left + 12 * size, 136), (left + 12 * size, 160), (60, 160), (60, 174))

    card.maths(52, 400, "P(w | u)  =", anchor="start")
    card.maths(212, 382, "c(uw)")
    card.line((172, 402), (252, 402), colour=c.INK)
    card.maths(212, 420, "c(u)")
    card.text(280, 400, "=", 22)
    card.text(340, 383, "266", 20)
    card.line((306, 402), (374, 402), colour=c.INK)
    card.text(340, 421, "3,881", 20)
    card.text(420, 401, "= 0.07", 20)
    card.aside(52, 456, "counts in a million characters of stories", anchor="start")
    return card


# The merges that make a word, as the page's 600 do: (from leaf, to leaf, rank).
STRANGER = [
    (0, 2, 6),
    (7, 9, 20),
    (0, 3, 39),
    (4, 6, 55),
    (0, 4, 181),
    (6, 9, 187),
    (0, 6, 266),
    (0, 9, 308),
]
ZORBIK = [(2, 4, 25), (0, 2, 529)]


def merge_tree(card, left, word, merges, bottom, size=35, rise=58):
    """Letters in a row, and above them what each merge joins; the last pieces are the tokens."""
    nodes = {(i, i + 1): (left + (i + 0.5) * size, bottom) for i in range(len(word))}
    tops, drawn = set(nodes), []
    for start, end, rank in merges:
        (one,) = (node for node in tops if node[0] == start and node[1] < end)
        other = one[1], end
        (x0, y0), (x1, y1) = nodes[one], nodes[other]
        x, y = (x0 + x1) / 2, min(y0, y1) - rise
        for place in ((x0, y0), (x1, y1)):
            card.line(place, (x, y))
        nodes[start, end] = x, y
        tops = tops - {one, other} | {(start, end)}
        drawn.append((start, end, rank))
    ranks = {(start, end): rank for start, end, rank in drawn}
    for (start, end), (x, y) in nodes.items():
        piece = word[start:end]
        w = max(28, text_width(piece, LABEL) + 12)
        card.fill(x - w / 2, y - 15, w, 30, c.PAPER)
        whole = (start, end) in tops
        card.token(
            x, y, piece, w, 30, tint=0.4 if whole else 0.08, colour=c.HERE if whole else c.TOKEN
        )
        if whole:
            card.box(x - w / 2, y - 15, w, 30, c.INK, tint=0)
        if (start, end) in ranks:
            rank = str(ranks[start, end])
            card.fill(x + w / 2 + 3, y - 9, 9 * len(rank) + 3, 18, c.PAPER)
            card.aside(x + w / 2 + 5, y, rank, anchor="start")


def tokens():
    """Merges make one token of a known word, and leave a new name in pieces.

    Two words stand at the foot, a letter in each box, with the space before the word as the first
    letter. Where two neighbours were merged, lines lead from both up to a box with the longer
    piece, and beside it stands the rank of that merge, the place at which it was learned.

    Left, the word stranger with its space. Merge 6 joins the space and s, merge 20 e and r, merge
    39 adds t to the space and s, merge 55 joins a and n, merge 181 adds r to the front, merge 187
    adds g to er, merge 266 joins the front with an, and merge 308 joins the two halves. At the top
    the whole word is one token.

    Right, the name Zorbik, which the training text did not hold. Merge 25 joins o and r, merge 529
    the space and Z. No other merge was learned for what is left, so it stays in five tokens: space
    and Z, or, b, i, k.
    """
    card = Canvas(tokens, 460)
    merge_tree(card, 24, "␣stranger", STRANGER, 374, 36)
    merge_tree(card, 372, "␣Zorbik", ZORBIK, 374, 35)
    card.brace(26, 346, 398)
    card.brace(374, 615, 398)
    card.text(186, 432, "a known word: one token")
    card.text(494, 432, "a new name: five tokens")
    for i, line in enumerate(
        ("beside a piece: the rank", "of the merge that made it", "(1: learned first)")
    ):
        card.aside(386, 60 + 24 * i, line, anchor="start")
    return card


def neural():
    """From six tokens to the probability of the next.

    The picture goes from top to bottom, with the shape of each step at the right. In the first row
    stand the six tokens before the gap: of, Ben, a comma, who, lived, in. Each goes down into an
    orange band, the table of embeddings E, which has a row of d numbers for each of the V tokens,
    and comes out as a blue column, its embedding.

    The six columns are put side by side into one long vector x, six times d numbers. The orange
    matrix W1 with its bias b1 makes of it the hidden layer a, which is wider; negative numbers
    become 0, and it is called r. W2 and b2 bring it down to the narrow state h, again d numbers. Wo
    and bo, the output head, give a score to each of the V tokens, the logits z.

    A softmax turns the scores into probabilities, drawn as bars. One bar stands out, that of the
    token a, which is what came next in the story. (The heights are made up.)
    """
    card = Canvas(neural, 780)
    words = ["of", "Ben", ",", "who", "lived", "in"]
    shades = [
        (0.9, 0.2, 0.5, 0.1),
        (0.3, 0.8, 0.1, 0.6),
        (0.1, 0.1, 0.9, 0.4),
        (0.6, 0.4, 0.2, 0.9),
        (0.2, 0.7, 0.6, 0.3),
        (0.8, 0.1, 0.4, 0.7),
    ]
    middle = 256
    for i, (word, column) in enumerate(zip(words, shades, strict=True)):
        x = 66 + 76 * i
        card.token(x, 40, word)
        card.arrow((x, 56), (x, 84))
        card.arrow((x, 118), (x, 142))
        card.vector(x - 9, 143, column, 18)
        card.arrow((x, 216), (x, 232), (116 + 56 * i, 248), (116 + 56 * i, 264))
        card.vector(88 + 56 * i, 265, column, 14, across=True)
    card.weights(24, 84, 464, 34, "E")
    card.token(516, 40, "?", 34, colour=c.HERE, tint=0.5)

    def layer(y, label, top, bottom):
        """An orange layer between a row `top` wide and one `bottom` wide."""
        corners = [(-top, y), (top, y), (bottom, y + 46), (-bottom, y + 46)]
        points = " ".join(f"{middle + dx:g},{dy:g}" for dx, dy in corners)
        card.add(
            "polygon",
            points=points,
            fill=c.WEIGHT,
            fill_opacity="0.28",
            stroke=c.WEIGHT,
            stroke_width=1.5,
        )
        card.text(middle, y + 23, label, 20)

    rows = (
        (292, "$W_1, b_1$", 168, 224, 14, "$r_t$ = max($a_t$, 0)"),
        (412, "$W_2, b_2$", 224, 42, 3, "$h_t$"),
        (506, "$W_o, b_o$", 42, 232, 29, "$z$, the logits"),
    )
    pattern = [0.1, 0.6, 0.0, 0.9, 0.3, 0.0, 0.7, 0.2, 0.0, 0.5, 0.8, 0.1, 0.4, 0.0, 0.9]
    for y, label, top, bottom, cells, out in rows:
        layer(y, label, top, bottom)
        size = 2 * bottom / cells
        for k in range(cells):
            card.fill(
                middle - bottom + k * size, y + 56, size, 16, c.STATE, 0.12 + 0.6 * pattern[k % 15]
            )
        card.add(
            "rect",
            x=middle - bottom,
            y=y + 56,
            width=2 * bottom,
            height=16,
            fill="none",
            stroke=c.STATE,
            stroke_width=1.2,
        )
        card.text(middle + (0 if bottom > 60 else 72), y + (90 if bottom > 60 else 64), out)
    card.arrow((middle, 608), (middle, 638))
    card.text(middle + 14, 622, "softmax", ASIDE, "start", c.QUIET)
    heights = [4, 9, 3, 5, 70, 6, 12, 3, 4, 24, 5, 3, 8, 4, 3, 6]
    for k, high in enumerate(heights):
        x = 30 + 29 * k
        card.fill(x, 726 - high, 18, high, c.STATE, 0.75)
    card.line((24, 726), (488, 726))
    card.token(30 + 29 * 4 + 9, 750, "a", colour=c.HERE, tint=0.5)
    card.text(562, 700, "$P(w_t | w_{<t})$", 20)
    shapes = (
        (40, "$(B, n-1)$"),
        (179, "$(B, n-1, d)$"),
        (272, "$(B, (n-1) d)$"),
        (356, "$(B, d_a)$"),
        (476, "$(B, d)$"),
        (570, "$(B, V)$"),
    )
    for y, shape in shapes:
        card.aside(620, y, shape.replace("-", "−"), anchor="end")
    return card
