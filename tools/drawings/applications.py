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


# A robot in the south-west corner looks north; the well is three squares east of it, the barn two
# squares north of the well. Programs that send it to the barn, or do not, and what is said of them.
PROGRAMS = {
    "forward forward right repeat 3 ( forward )": "right, the fewest steps",
    "right repeat 3 ( forward ) left forward forward": "right, another way",
    "right repeat 3 ( forward ) right forward": "word 8, forward: the fence is in the way",
}
PATHS = [  # the squares that each comes through, from the west and from the south
    [(0, 0), (0, 2), (3, 2)],
    [(0, 0), (3, 0), (3, 2)],
    [(0, 0), (3, 0)],
]


def code():
    """Several programs are drawn for one text, and each is run.

    At the top left is a text: a robot in the south-west corner looks north; the well is three
    squares east of it, the barn two squares north of the well; it is to go to the barn. An arrow
    leads to the model, and from it three arrows to three programs that it drew. Each program is one
    row. At the right of each row is a yard of seven by seven squares with the way that the robot
    took.

    The first, forward forward right repeat 3 ( forward ), goes north and then east, and ends at the
    barn: right, with the fewest steps. The second, right repeat 3 ( forward ) left forward forward,
    goes east and then north, and ends there too: right, though it is another program. The third,
    right repeat 3 ( forward ) right forward, goes east and then turns to the fence. It stops with
    the message: word 8, forward: the fence is in the way.

    From the third a dashed arrow leads back to the model: text, program and message together are
    what it reads to try again. Below stands the count: of three drawn two are right, so pass@1 is
    2/3, and pass@2 is 1.
    """
    card = Canvas(code, 560)
    card.box(20, 20, 220, 128, c.TOKEN, tint=0.1)
    lines = ("The robot: south-west,", "looks north. The well:", "three squares east of it.",
             "The barn: two north of", "the well. Go to the barn.")  # fmt: skip
    for i, line in enumerate(lines):
        card.aside(32, 38 + 23 * i, line, anchor="start", colour=c.INK)
    card.arrow((130, 150), (130, 196))
    card.box(60, 200, 140, 60, c.STATE, "the model", weight="600")
    card.aside(32, 390, "text, program", anchor="start")
    card.aside(32, 412, "and message:", anchor="start")
    card.aside(32, 434, "try again", anchor="start")
    for i, (program, said) in enumerate(PROGRAMS.items()):
        top = 20 + 160 * i
        cut = program.index(") ") + 2 if ") " in program else program.index("repeat")
        for j, part in enumerate((program[:cut], program[cut:])):
            card.text(268, top + 14 + 24 * j, part.strip(), size=16, anchor="start")
        colour = c.WRONG if "fence" in said else c.TRUTH
        first, colon, rest = said.partition(": ")
        card.dot(274, top + 70, 5, colour)
        card.aside(288, top + 70, first + colon.strip(), anchor="start")
        card.aside(288, top + 92, rest, anchor="start")
        bend = [(252, 160), (252, 52)] if i == 0 else [(258, top + 40)]
        card.arrow((202, 230), *bend, colour=c.STATE)
        _yard(card, 500, top, PATHS[i], colour)
    card.bow((262, 412), (170, 400), (150, 264), colour=c.WRONG, dashed=True)
    card.text(320, 526, "two of three are right: pass@1 = 2/3, pass@2 = 1")
    return card


def _yard(card, left, top, path, colour, cell=17):
    """Seven by seven squares with the way of a robot, its start and the barn."""
    card.grid(left, top, [[0.0] * 7] * 7, cell, c.TOKEN)
    at = [(left + cell * (x + 0.5), top + cell * (6 - y + 0.5)) for x, y in path]
    card.fill(left + 3 * cell, top + 4 * cell, cell, cell, c.HERE)
    card.arrow(*at, colour=colour, width=2.5)
    card.dot(*at[0], 4, c.INK)


# A text of three steps, sentence by sentence, and how many Mia has after each.
COUNTED = {
    "Mia had five figs.": "five",
    "She ate two.": "three",
    "Ben had six nuts.": None,
    "Tom gave her four more.": "seven",
    "She lost one.": "six",
}
PASSES = {  # what is said, the answer marked by a star
    "at once": ["six*"],
    "scratchpad": ["five", "three", "seven", "six*"],
    "filler": ["hm", "hm", "hm", "six*"],
}


def thinking():
    """Three ways to say how many there are, a pass of the model for each word.

    At the top is a text, a sentence a line: Mia had five figs; she ate two; Ben had six nuts; Tom
    gave her four more; she lost one. Beside each sentence stands how many figs Mia has then: five,
    three, seven, six. Beside the sentence about Ben stands nothing: it changes no count. Below it
    is the question, how many figs has she now.

    Under it are three rows, one for each way, and in each row the words that the model says, a box
    a word. The answer, six, is yellow. At once: the answer alone. Scratchpad: five, three, seven,
    and then the answer; a bow leads from each count to the next, since each needs the one before
    it and one more sentence. Filler: hm, hm, hm, and then the answer; as many words before it, and
    no bow.
    """
    card = Canvas(thinking, 424)
    for i, (sentence, count) in enumerate(COUNTED.items()):
        y = 32 + 30 * i
        card.text(130, y, sentence, anchor="start")
        if count:
            card.arrow((366, y), (424, y), colour=c.TRUTH)
            card.text(440, y, count, anchor="start")
    card.text(130, 186, "How many figs has she now?", anchor="start", weight="600")
    for row, (way, words) in enumerate(PASSES.items()):
        y = 256 + 66 * row
        card.text(112, y, way, anchor="end")
        for i, word in enumerate(words):
            x, answer = 130 + 98 * i, word.endswith("*")
            card.box(x, y - 18, 78, 36, c.HERE if answer else c.TOKEN, word.rstrip("*"),
                     0.6 if answer else 0.12)  # fmt: skip
            if way == "scratchpad" and not answer:
                card.bow((x + 48, y - 20), (x + 88, y - 40), (x + 128, y - 20), colour=c.STATE)
    return card


# What a model says and what a program answers, in turn; what begins with nothing is no call.
CALLED = {
    "one call": ["> count five - two + four", "= seven", "seven"],
    "a call a sentence": [
        "> read", "= Mia had five figs.",
        "> + five", "= She ate two.",
        "> - two", "= Ben had six nuts.",
        "> skip", "= Tom gave her four more.",
        "> + four", "= the end, seven",
        "seven",
    ],
}  # fmt: skip


def calling_tools():
    """What the model writes, and what a program answers, line by line.

    There are two columns: on the left what the model writes, on the right what a program answers.
    An arrow leads from each call to its result, and the model goes on in the next line. Both
    conversations are about one text: Mia had five figs; she ate two; Ben had six nuts; Tom gave her
    four more. The answer, seven, is yellow.

    One call: the model writes count five minus two plus four, the program answers seven, the model
    says seven.

    A call a sentence: the model writes read, and the program answers with the first sentence, Mia
    had five figs. The model writes plus five; the next sentence comes, she ate two. Minus two; Ben
    had six nuts. Skip; Tom gave her four more. Plus four; the end, seven. The model says seven.
    """
    card = Canvas(calling_tools, 436)
    card.aside(170, 22, "the model writes")
    card.aside(470, 22, "a program answers")
    y = 52
    for way, lines in CALLED.items():
        card.text(32, y, way, anchor="start", weight="600")
        y += 40
        for i, line in enumerate(lines):
            if i % 2:
                card.arrow((290, y), (334, y), colour=c.QUIET)
                card.box(340, y - 15, 260, 30, c.STATE, line, 0.12)
                y += 38
            else:
                last = i == len(lines) - 1
                card.box(32, y - 15, 252, 30, c.HERE if last else c.TOKEN, line,
                         0.6 if last else 0.12)  # fmt: skip
        y += 42
    return card


def serving():
    """Many programs ask, one model answers, and a queue lies between them.

    On the left are three programs, each with a question: boxes labelled a page, a script and an
    app. Their arrows meet at a box called the guard, which asks who it is and how much it sends. An
    arrow turns away from the guard to the words 400 and 403: what is wrong is refused there.

    Behind the guard lies the queue, a row of sixteen places, drawn as small squares. Six of them
    are taken and filled grey, the one that is being answered is yellow, the others are empty. An
    arrow turns away before the queue to the word 429: whoever finds all places taken is told when
    to come again. From the yellow square an arrow leads to the model, a box with one thread, which
    reads the prompt once and then writes a token at a time.

    Below, an arrow leads from the model back to the programs, with a row of tokens on it: the
    answer is streamed. Under everything are two formulas. The time that one is inside is the time
    in the queue and that in the model; and L = λW: how many are inside is how many come in a second
    times how many seconds each stays.
    """
    card = Canvas(serving, 400)
    for i, word in enumerate(("a page", "a script", "an app")):
        y = 40 + 54 * i
        card.box(20, y, 92, 38, c.TOKEN, word)
        card.arrow((114, y + 19), (156, 113))
    card.box(160, 84, 84, 58, c.QUIET, "guard", tint=0.0)
    card.arrow((202, 142), (202, 186))
    card.text(202, 202, "400, 403")
    card.arrow((246, 113), (282, 113))
    card.text(376, 66, "16 places")
    for i in range(16):
        x, y = 290 + 22 * (i % 8), 88 + 26 * (i // 8)
        colour, tint = (c.HERE, 1.0) if i == 7 else (c.TOKEN, 0.5 if 3 <= i < 7 else 0.0)
        card.box(x, y, 18, 20, colour, tint=tint, radius=2)
    for i in (14, 15):
        card.fill(291 + 22 * (i % 8), 115, 16, 18, c.TOKEN, 0.5)
    card.arrow((264, 116), (264, 162), (300, 186))
    card.text(330, 196, "429")
    card.arrow((468, 98), (510, 106))
    card.box(514, 76, 104, 74, c.WEIGHT, "", tint=0.28)
    card.text(566, 100, "model")
    card.aside(566, 126, "one thread", colour=c.INK)
    card.line((566, 152), (566, 250), (462, 250))
    middles = card.tokens(232, 250, ["The", "otter", "sat", "down"])
    card.arrow((middles[0] - 26, 250), (66, 250), (66, 196))
    card.aside(330, 284, "streamed, a token at a time")
    card.text(320, 330, "time inside = time in the queue + time in the model")
    card.maths(320, 368, "L = λ W")
    return card


# Four answers that were drawn for one question, and what the reward gives each.
ANSWERED = (("Crowhill", 1), ("nobody knows", 0), ("a cottage", 0), ("Crowhill", 1))


def answers_and_dialogue():
    """Three ways to learn from a question: shown an answer, two compared, or several rewarded.

    At the top left is what the model reads: a beginning, In Crowhill there lived Ben, and a
    question, What was his village called? An arrow leads to the model p. Below the model, grey and
    joined to it by a dashed line with the letters KL, is the reference q: the same model as it was
    before.

    From the model an arrow leads to four answers that it drew, a row each: Crowhill, nobody knows,
    a cottage, Crowhill. Behind each is its reward, 1, 0, 0 and 1, and behind that its advantage: by
    how much the reward beats the mean of the three others, +2/3, −2/3, −2/3 and +2/3. A blue arrow
    up says that the answer becomes more probable, a red arrow down that it becomes less so.

    Below are the three ways in three columns. Shown: one answer, Crowhill, which somebody wrote,
    with a blue arrow up. Preferred (DPO): two answers of the model's own, Crowhill with a blue
    arrow up over nobody knows with a red arrow down. Rewarded (policy gradient): all four that were
    drawn, each with an arrow of its own, and only a function that gives a number.
    """
    card = Canvas(answers_and_dialogue, 470)
    card.box(20, 20, 200, 92, c.TOKEN, tint=0.1)
    for i, line in enumerate(("In Crowhill there", "lived Ben. What was", "his village called?")):
        card.aside(34, 40 + 25 * i, line, anchor="start", colour=c.INK)
    card.arrow((120, 114), (120, 146))
    card.box(60, 150, 120, 48, c.WEIGHT, "model $p$", 0.28)
    card.line((120, 200), (120, 236), dashed=True)
    card.aside(134, 218, "KL", anchor="start")
    card.box(60, 238, 120, 40, c.TOKEN, "as it was, $q$", 0.12, size=16)
    card.aside(462, 30, "reward")
    card.aside(556, 30, "advantage")
    for i, (said, reward) in enumerate(ANSWERED):
        y = 66 + 56 * i
        card.arrow((182, 174), (216, 174), (244, y))
        card.text(258, y, said, anchor="start")
        card.box(446, y - 16, 32, 32, c.TRUTH if reward else c.TOKEN, str(reward), 0.2)
        card.text(546, y, "+2/3" if reward else "−2/3")
        _pushed(card, 600, y, up=bool(reward))
    card.line((20, 300), (620, 300))
    columns = {
        "shown": [("Crowhill", True)],
        "preferred": [("Crowhill", True), ("nobody knows", False)],
        "rewarded": [(said, bool(reward)) for said, reward in ANSWERED],
    }
    for column, (way, rows) in enumerate(columns.items()):
        x = 24 + 210 * column
        card.text(x, 326, way, anchor="start", weight="600")
        for i, (said, up) in enumerate(rows):
            card.text(x, 360 + 30 * i, said, anchor="start", size=16)
            _pushed(card, x + 140, 360 + 30 * i, up, size=9)
    return card


def _pushed(card, x, y, up, size=13):
    """An arrow for what becomes more probable, or less."""
    ends = (x, y + size), (x, y - size)
    card.arrow(*(ends if up else ends[::-1]), colour=c.STATE if up else c.WRONG, width=2.5)
