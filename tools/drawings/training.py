"""Part 3: how a model is trained."""

import math

from tools.drawings import colours as c
from tools.drawings.canvas import ASIDE, Canvas


def data():
    """From found text to tokens, and where a leak comes in.

    Boxes stand one under the other, joined by arrows; beside each stands what it does. At the top
    is found text, bytes of web pages. First, decode: broken characters before "Hide and seek!"
    become a quotation mark again. Second, cut boilerplate, such as "Welcome to the Moon Post."
    Third, filter: word salad goes. Fourth, deduplicate: of two stories that are equal but for the
    names, one stays and the other is struck out. The repair comes before the search for duplicates,
    as broken copies are not equal.

    Then the stream splits in two, by groups: stories that belong together, such as a story and its
    copy with other names, go to the same side. The wider arm is the training text; the narrow one
    at the right is held out, for validation and test. The training text is mixed from its sources,
    by shares, cut into tokens, and read by the model. The held-out text goes past all that and only
    measures it.

    A dashed red arrow leads from the held-out text back into the training text: this is where a
    leak enters, when a copy of a test story, whole or with other names, stands in what the model
    reads.
    """
    card = Canvas(data, 790)
    x, w = 24, 240
    steps = (
        ("found text", c.TOKEN, "bytes of web pages, scans, books"),
        ("decode", c.QUIET, "â€œHide and seek!  →  “Hide and seek!"),
        ("cut boilerplate", c.QUIET, "Welcome to the Moon Post."),
        ("filter", c.QUIET, "house the to Ben in quiet came"),
        ("deduplicate", c.QUIET, "Otto lost a hat."),
        ("split by groups", c.QUIET, "a story goes with its copies"),
    )
    for i, (step, colour, example) in enumerate(steps):
        y = 24 + 76 * i
        card.box(x, y, w, 42, colour, step, 0.12)
        gone = step in ("cut boilerplate", "filter")
        card.aside(x + w + 22, y + 21, example, anchor="start", struck=gone)
        if i < 5:
            card.arrow((x + w / 2, y + 42), (x + w / 2, y + 74), width=6 - 0.7 * i)
    card.aside(x + w + 156, 349, "Mia lost a hat.", anchor="start", struck=True)
    card.arrow((110, 446), (110, 500), width=2.4)
    card.arrow((x + w - 30, 446), (x + w - 30, 472), (490, 472), (490, 500), width=1.2)
    card.box(x, 502, w, 42, c.TOKEN, "training text", 0.12)
    card.box(380, 502, 220, 42, c.TRUTH, "held out: valid, test", 0.14)
    card.arrow((380, 516), (266, 516), colour=c.WRONG, width=2, dashed=True)
    card.aside(322, 496, "a leak")
    card.arrow((110, 544), (110, 574), width=2.4)
    card.box(x, 576, w, 42, c.QUIET, "mix the sources", 0.12)
    card.aside(x + w + 22, 597, "by shares", anchor="start")
    card.arrow((110, 618), (110, 648), width=2.4)
    xs = card.tokens(x, 667, ["Ben", "lived", "in", "a"])
    card.aside(xs[-1] + 46, 667, "tokens", anchor="start")
    card.arrow((110, 684), (110, 712), width=2.4)
    card.box(x, 714, w, 46, c.WEIGHT, "the model", 0.28)
    card.arrow((490, 544), (490, 737), (266, 737), width=1.2)
    card.aside(378, 722, "measures")
    return card


# What is read, what came, and what the recorded GPT gave to the likeliest, after "Once upon a time
# there was".
PREDICTED = (
    ("a", "girl", [("boy", 0.502), ("girl", 0.498)]),
    ("girl", "called", [("called", 1.0)]),
    ("called", "Mia", [("Mia", 0.17), ("Anna", 0.15), ("Ruby", 0.123), ("Nora", 0.108)]),
    ("Mia", ".", [(".", 1.0)]),
)


def likelihood():
    """The loss: what the model gave to each token that came, and the sum.

    Four columns, one for each prediction. At the top stand the tokens that are read, a, girl,
    called, Mia; a step below, each one place further on, the tokens that came: girl, called, Mia,
    full stop. The target is the input, shifted by one.

    In each column stand blue bars, the probabilities that the GPT of Part 2 gave to the likeliest
    next tokens, with the one that came in yellow. After "a" it gave 0.50 to boy and 0.50 to girl.
    After "girl" it gave 1.00 to called. After "called" it gave 0.17 to Mia, 0.15 to Anna, 0.12 to
    Ruby, and the rest to others. After "Mia" it gave 1.00 to the full stop.

    Under each column stands, in red, minus the logarithm of the probability of what came: 0.70,
    0.00, 1.77, 0.00. Their mean is the loss, L = 0.62 nats a token.

    At the foot a bar shows what such a loss is made of on average over many places: three quarters
    green, the entropy H(p) that the oracle pays too, 0.45 nats, and a quarter red, the divergence,
    0.14 nats, which is all that can be learned away.
    """
    card = Canvas(likelihood, 650)
    card.aside(24, 40, "reads", anchor="start")
    card.aside(24, 92, "came", anchor="start")
    card.text(24, 176, "$q$", 22, "start")
    total = 0
    for i, (reads, came, chances) in enumerate(PREDICTED):
        x = 160 + 134 * i
        card.token(x, 40, reads, 74)
        card.token(x, 92, came, 74, colour=c.HERE, tint=0.5)
        if i < 3:
            card.line((x + 37, 92), (x + 97, 40), opacity=0.5)
        for k, (word, chance) in enumerate(chances):
            y = 150 + 34 * k
            card.fill(x - 56, y - 12, 112 * chance, 24, c.HERE if word == came else c.STATE, 0.75)
            card.text(
                x - 50 if chance > 0.4 else x - 56 + 112 * chance + 5, y, word, ASIDE, "start"
            )
            (p,) = (p for w, p in chances if w == came)
        card.line((x - 56, 134), (x - 56, 276), opacity=0.6)
        nats = -math.log(p)
        total += nats
        card.text(x, 318, f"{abs(nats):.2f}", 20)
        card.fill(x - 56, 336, 112, 4, c.WRONG, 0.2)
        card.fill(x - 56, 336, max(2, 112 * nats / 1.8), 4, c.WRONG)
    card.text(24, 318, "−log $q$", 18, "start")
    card.text(24, 392, "$L$ = the mean of −log $q$ of what came", 20, "start")
    card.text(616, 392, f"= {total / 4:.2f} nats a token", 20, "end")

    card.line((24, 434), (616, 434), opacity=0.4)
    card.aside(24, 462, "on average over many places, for the same GPT", anchor="start")
    entropy, divergence = 0.4543, 0.1432
    scale = 592 / (entropy + divergence)
    card.fill(24, 484, entropy * scale, 46, c.TRUTH, 0.6)
    card.fill(24 + entropy * scale, 484, divergence * scale, 46, c.WRONG, 0.6)
    card.text(24 + entropy * scale / 2, 507, "$H(p)$ = 0.45", 20)
    card.text(616 - divergence * scale / 2, 507, "0.14", 20)
    card.aside(24 + entropy * scale / 2, 550, "the oracle pays this too")
    card.text(616 - divergence * scale / 2, 550, "$D_{KL}(p ∥ q)$", 18)
    card.brace(24, 616, 572)
    card.text(320, 606, "$H(p, q)$, where $L$ leads", 20)
    return card


def optimisers():
    """From the gradient to the step: AdamW, and what the others leave out.

    A diagram from left to right. The gradient g_t, in red, comes from the loss of a batch. It goes
    into two running means, in light blue, which are remembered from step to step: m_t, the mean of
    the gradient, with the factor beta 1, and v_t, the mean of its square, with beta 2. Both are
    corrected for having begun at 0, which a hat over the letter says. m is divided by the root of v
    plus a small epsilon, multiplied by the learning rate eta, and subtracted from the weights
    theta, in orange. A loop at the weights is AdamW's own: before the step they are multiplied by 1
    minus eta times lambda.

    Below, what one step does to two weights, the first with a large gradient, the second with a
    small one, that come the same at each step. SGD moves each in proportion to its gradient: one
    long bar, one hardly seen. Momentum does the same, with both bars longer, since gradients that
    agree add up. Adam moves both equally far, by eta. Muon does to a matrix what Adam does to
    single numbers: it makes all singular values of the step alike.
    """
    card = Canvas(optimisers, 640)
    card.box(24, 96, 84, 56, c.WRONG, "$g_t$", 0.16, size=24)
    card.aside(66, 172, "gradient")
    for y, label, inner in (
        (36, "$m_t$", "mean of $g$, $β_1$"),
        (164, "$v_t$", "mean of $g^2$, $β_2$"),
    ):
        card.arrow((108, 124), (136, 124), (136, y + 24), (164, y + 24))
        card.box(166, y, 176, 48, c.KEPT, tint=0.25)
        card.text(192, y + 24, label, 22)
        card.aside(274, y + 24, inner)
        card.arrow((342, y + 24), (400, y + 24), (400, 98 if y < 100 else 150))
    card.box(352, 100, 96, 48, c.QUIET, tint=0.06)
    card.maths(400, 113, "m̂", 20)
    card.line((364, 125), (436, 125), colour=c.INK)
    card.text(400, 136, "$√v̂ + ε$", 18)
    card.arrow((448, 124), (514, 124))
    card.text(481, 106, "$× −η$", 20)
    card.weights(516, 96, 100, 56, "θ", size=26)
    card.aside(566, 172, "weights")
    card.arrow((540, 96), (540, 62), (592, 62), (592, 94))
    card.text(566, 44, "$× (1 − ηλ)$", 18)

    card.line((24, 242), (616, 242), opacity=0.4)
    card.aside(24, 270, "one step, for a large gradient and for a small one", anchor="start")
    rules = (
        ("SGD", "$η g_t$", (20, 2), ""),
        ("momentum", "$η m_t$", (200, 20), "if they agree"),
        ("Adam", "$η m̂ / √v̂$", (110, 110), "each by about $η$"),
        ("Muon", "$η U V^⊤$", (110, 110), ""),
    )
    for i, (rule, formula, lengths, remark) in enumerate(rules):
        y = 316 + 80 * i
        card.text(24, y, rule, anchor="start", weight="600")
        card.text(140, y, formula, 20, "start")
        for k, long in enumerate(lengths):
            card.fill(290, y - 19 + 20 * k, long, 16, c.WEIGHT, 0.9 - 0.35 * k)
        card.line((290, y - 24), (290, y + 22))
        if remark:
            card.aside(max(lengths) + 304, y, remark, anchor="start")
    card.aside(414, 545, "$m_t = U S V^⊤$: all", anchor="start")
    card.aside(414, 568, "directions alike", anchor="start")
    card.aside(24, 612, "(the lengths are made up)", anchor="start")
    return card


def train_a_gpt():
    """The training loop, and what is looked at and kept beside it.

    Seven boxes stand in a ring, joined by arrows that run clockwise. At the top left, schedule: the
    step's number says how large the learning rate is. Then, at the top right, the batch: B rows of
    T + 1 tokens, a function of the seed and the step. Forward: the model turns the first T tokens
    of each row into logits, of shape (B, T, V). Loss: cross-entropy with the last T tokens, in nats
    a token. Backward: a gradient for every weight. Clip: if all gradients together are longer than
    a limit, they are made shorter. Step: the optimisers move the weights, and the gradients are
    cleared. An arrow leads back to the schedule, for the next step.

    In the middle of the ring stand the weights, in orange, and under them, in light blue, what the
    optimisers remember. Every so many steps two dashed arrows lead from these to the foot of the
    picture. One leads to validation: bits a character on stories that are not learned from. The
    other leads to the checkpoint: weights, what the optimisers remember, and the number of the
    step, all that is needed to go on bit for bit.
    """
    card = Canvas(train_a_gpt, 640)
    boxes = {
        "schedule": (24, 30, c.QUIET, "the step's learning rate"),
        "batch": (396, 30, c.TOKEN, "rows $(B, T + 1)$"),
        "forward": (396, 132, c.STATE, "logits $(B, T, V)$"),
        "loss": (396, 234, c.WRONG, "nats a token"),
        "backward": (396, 336, c.WRONG, "a gradient each"),
        "clip": (24, 336, c.WRONG, "not longer than a limit"),
        "step": (24, 183, c.WEIGHT, "move, clear gradients"),
    }
    for name, (x, y, colour, remark) in boxes.items():
        card.box(x, y, 220, 62, colour, tint=0.16)
        card.text(x + 110, y + 21, name, weight="600")
        card.aside(x + 110, y + 44, remark)
    card.arrow((244, 61), (394, 61))
    for y in (92, 194, 296):
        card.arrow((506, y), (506, y + 38))
    card.arrow((396, 367), (246, 367))
    card.arrow((134, 336), (134, 247))
    card.arrow((134, 183), (134, 94))
    card.aside(146, 138, "the next step", anchor="start")
    card.weights(270, 178, 100, 36, "θ", size=22)
    card.box(270, 214, 100, 36, c.KEPT, "$m, v$", 0.25, size=20)
    card.arrow((244, 214), (268, 214), colour=c.WEIGHT, width=2)
    card.arrow((370, 194), (384, 194), (384, 163), (395, 163), colour=c.WEIGHT, width=2)
    card.arrow((290, 250), (290, 440), (134, 440), (134, 486), dashed=True)
    card.arrow((350, 250), (350, 440), (506, 440), (506, 486), dashed=True)
    card.aside(320, 464, "every so many steps")
    card.box(24, 488, 220, 108, c.KEPT, tint=0.14)
    card.text(134, 510, "checkpoint", weight="600")
    card.aside(134, 536, "$θ$; $m, v$; the step:")
    card.aside(134, 557, "enough to go on,")
    card.aside(134, 578, "bit for bit")
    card.box(396, 488, 220, 108, c.TRUTH, tint=0.1)
    card.text(506, 510, "validation", weight="600")
    card.aside(506, 540, "bits a character on")
    card.aside(506, 564, "stories not learned from")
    return card


def cluster():
    """Two ways to share a step among GPUs: all have all, or each keeps a part.

    The upper half is data parallel. The rows of one batch are dealt out to four processes, a
    quarter to each. Each process has a whole copy of the weights, an orange bar, and computes its
    own gradient, a red bar as long. A wide arrow runs through all four red bars in both directions:
    all-reduce, which gives each process the mean of the four gradients. So all take the same step,
    and the four copies stay equal.

    The lower half is sharded (FSDP). Again each process takes a quarter of the rows, but of the
    weights, the gradients and the optimiser's two running means it keeps a quarter only, another
    quarter each: four bars of which one part in four is filled. When a block's turn comes,
    all-gather fetches the missing parts of its weights and they are dropped again afterwards; on
    the way back reduce-scatter gives to each process the mean gradient of its own part.
    """
    card = Canvas(cluster, 810)
    xs = [92 + 152 * i for i in range(4)]

    def batch(y):
        card.box(24, y, 592, 34, c.TOKEN, tint=0.06)
        for i, x in enumerate(xs):
            for k in range(4):
                card.fill(x - 52, y + 5 + 6.2 * k, 104, 4, c.TOKEN, 0.6)
            if i < 3:
                card.line((x + 76, y), (x + 76, y + 34), dashed=True)
            card.arrow((x, y + 36), (x, y + 62))

    card.text(24, 32, "data parallel", anchor="start", weight="600")
    card.aside(616, 32, "the rows of one batch", anchor="end")
    batch(50)
    for i, x in enumerate(xs):
        card.box(x - 66, 114, 132, 176, c.QUIET, tint=0.05)
        card.aside(x, 134, f"GPU {i + 1}")
        card.box(x - 52, 152, 104, 26, c.WEIGHT, "$θ$", 0.3, radius=2)
        card.arrow((x, 178), (x, 204), opacity=0.7)
        card.box(x - 52, 206, 104, 26, c.WRONG, "gradient", 0.2, radius=2, size=ASIDE)
        card.arrow((x, 262), (x, 233), colour=c.WRONG, width=2)
    card.line((xs[0], 262), (xs[3], 262), colour=c.WRONG, width=5)
    for x in xs:
        card.dot(x, 262, 7, c.WRONG)
    card.text(320, 316, "all-reduce: each gets the mean of the four gradients")
    card.aside(320, 342, "the same step everywhere, so the copies stay equal")

    card.line((24, 374), (616, 374), opacity=0.4)
    card.text(24, 404, "sharded (FSDP)", anchor="start", weight="600")
    card.aside(616, 404, "each keeps a quarter of everything", anchor="end")
    batch(422)
    for i, x in enumerate(xs):
        card.box(x - 66, 486, 132, 170, c.QUIET, tint=0.05)
        card.aside(x, 506, f"GPU {i + 1}")
        for k, (label, colour) in enumerate(
            (("$θ$", c.WEIGHT), ("$g$", c.WRONG), ("$m$", c.KEPT), ("$v$", c.KEPT))
        ):
            y = 522 + 32 * k
            card.fill(x - 52 + 26 * i, y, 26, 24, colour, 0.7)
            card.box(x - 52, y, 104, 24, colour, tint=0, dashed=True, radius=0)
            card.text(x + (13 if i < 2 else -26), y + 12, label, ASIDE)
    card.line((xs[0], 676), (xs[3], 676), colour=c.WEIGHT, width=5)
    for x in xs:
        card.arrow((x, 676), (x, 657), colour=c.WEIGHT, width=2)
        card.dot(x, 676, 7, c.WEIGHT)
    card.text(320, 706, "all-gather: a block's $θ$ is whole while it is its turn")
    card.line((xs[0], 736), (xs[3], 736), colour=c.WRONG, width=5)
    for x in xs:
        card.dot(x, 736, 7, c.WRONG)
    card.text(320, 766, "reduce-scatter: to each the mean gradient of its part")
    return card
