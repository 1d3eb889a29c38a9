"""Plausible wrong answers to lab 08, and the question whose tests must catch each."""

# Another way through q2: what each matrix gets is added up first; `...` is where mistakes go.
FACTORS_FIRST = """
def merge(weights, patches, shares):
    sums = {}
    for patch, share in zip(patches, shares):
        for part in patch["parts"]:
            name, up, down = part["name"] + ".weight", part["up"], part["down"]
            rank = up.shape[1]
            scale = patch["alpha"] / (rank**0.5 if patch["stable"] else rank)
            below = len(weights[name]) - part["start"] - len(up)
            up = share * scale * F.pad(up, (0, 0, part["start"], below))
            if name in sums and sums[name][0].shape == up.shape:
                sums[name] = [sums[name][0] + up, sums[name][1] + down]
            else:
                sums[name] = [up, down]
    return weights | {name: weights[name] + up @ down for name, (up, down) in sums.items()}
"""

# Another way through q3, a text at a time.
BY_TEXT = """
def patched(x, name, weights, patches, which):
    y = F.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))
    for i, number in enumerate(which.tolist()):
        {body}
        for part in patch["parts"]:
            if part["name"] == name:
                start, up = part["start"], part["up"]
                root = 0.5 if patch["stable"] else 1
                scale = patch["alpha"] / up.shape[1] ** root
                y[i, :, start : start + len(up)] += scale * (x[i] @ part["down"].T @ up.T)
    return y
"""

# What q5's `bleu` would be of each sentence by itself.
MEAN = """
import math
import re
from collections import Counter


def tokens(text):
    alone = r"\\u4e00-\\u9fff\\u3001-\\u303f\\uff00-\\uffef"
    return re.findall(rf"[{alone}]|[^{alone}\\s]+", text)


def clipped(hypothesis, references):
    matches, totals = [], []
    for n in range(1, 5):
        grams = [
            Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
            for text in [hypothesis, *references]
        ]
        most = Counter()
        for theirs in grams[1:]:
            most |= theirs
        matches.append((grams[0] & most).total())
        totals.append(grams[0].total())
    return [matches, totals]


def bleu(hypotheses, references):
    scores = []
    for text, texts in zip(hypotheses, references):
        mine, theirs = tokens(text), [tokens(other) for other in texts]
        matches, totals = clipped(mine, theirs)
        if 0 in matches:
            scores.append(0.0)
            continue
        closest = min(map(len, theirs), key=lambda n: (abs(n - len(mine)), n))
        logs = [math.log(m / t) for m, t in zip(matches, totals)]
        scores.append(100 * math.exp(min(0, 1 - closest / len(mine)) + sum(logs) / 4))
    return sum(scores) / len(scores)
"""

DOWN = "torch.randn(rank, width, generator=chance) / width**0.5"
SCALE_2 = 'scale = patch["alpha"] / (rank**0.5 if patch["stable"] else rank)'
ADDED = "matrix + F.pad(change, (0, 0, start, below))"
CLOSEST = "closest += min(lengths, key=lambda n: (abs(n - len(mine)), n))"

MISTAKES = [
    # q1: a fresh patch
    dict(
        name="both-zero",
        what="Begins with both factors at 0, from which no gradient leads away.",
        question="q1",
        says="both begin as 0",
        also=["q6"],
        old=DOWN,
        new="torch.zeros(rank, width)",
    ),
    dict(
        name="both-random",
        what="Draws up as well as down.",
        question="q1",
        says="both are random",
        old="torch.zeros(count, rank)",
        new="torch.randn(count, rank, generator=chance) / 1000",
    ),
    dict(
        name="cut-into-thirds",
        what="Takes queries, keys and values for equally many.",
        question="q1",
        says="the rows are cut into thirds",
        old='"k": (width, keys),\n            "v": (width + keys, keys),',
        new='"k": (rows // 3, rows // 3),\n            "v": (2 * rows // 3, rows // 3),',
    ),
    dict(
        name="values-where-keys-are",
        what="Lets the values begin behind the queries.",
        question="q1",
        says="the values begin where the keys do",
        old='"v": (width + keys, keys)',
        new='"v": (width, keys)',
    ),
    dict(
        name="divided-by-the-width",
        what="Divides down by d instead of its root.",
        question="q1",
        says="divided by d, and not by its root",
        old="/ width**0.5",
        new="/ width",
    ),
    dict(
        name="seeded-for-each-part",
        what="Begins the generator anew for each part.",
        question="q1",
        says="seeded anew",
        old="start, count = places[which]",
        new="start, count = places[which]\n                chance.manual_seed(seed)",
    ),
    dict(
        name="seed-ignored",
        what="Draws from the same seed always.",
        question="q1",
        says="the seed is not used",
        old="manual_seed(seed)",
        new="manual_seed(0)",
    ),
    dict(
        name="of-the-weights-type",
        what="Makes factors of the type of the weights, 16 bits.",
        question="q1",
        says="made like them",
        old="up = torch.zeros(count, rank)",
        new='up = torch.zeros(count, rank, dtype=weights[name + ".weight"].dtype)',
    ),
    dict(
        name="rank-zero-kept",
        what="Gives a part of rank 0.",
        question="q1",
        says="one for each rank that is not 0",
        old="if rank:",
        new="if rank >= 0:",
    ),
    # q2: put on, take off
    dict(
        name="not-scaled",
        what="Adds the product as it is.",
        question="q2",
        says="the product is not scaled",
        also=["q4", "q6"],
        old=SCALE_2,
        new="scale = 1.0",
    ),
    dict(
        name="alpha-not-divided",
        what="Multiplies by alpha.",
        question="q2",
        says="multiplied by alpha and not divided",
        also=["q4", "q6"],
        old=SCALE_2,
        new='scale = patch["alpha"]',
    ),
    dict(
        name="stable-ignored",
        what="Always divides by the rank.",
        question="q2",
        says="it is the other scale",
        also=["q4", "q6"],
        old=SCALE_2,
        new='scale = patch["alpha"] / rank',
    ),
    dict(
        name="divided-by-rows",
        what="Takes the number of rows for the rank.",
        question="q2",
        says="a number of rows or columns",
        also=["q4", "q6"],
        old="rank = up.shape[1]",
        new="rank = up.shape[0]",
    ),
    dict(
        name="merged-twice",
        what="Writes into the given weights, so that a second call puts the patch on twice.",
        question="q2",
        says="writes into what was given",
        also=["q4", "q6"],
        old=ADDED,
        new="matrix.add_(F.pad(change, (0, 0, start, below)))",
    ),
    dict(
        name="taken-away",
        what="Subtracts the product.",
        question="q2",
        says="the product is taken away",
        also=["q4", "q6"],
        old=ADDED,
        new="matrix - F.pad(change, (0, 0, start, below))",
    ),
    dict(
        name="shares-ignored",
        what="Puts every patch on in full.",
        question="q2",
        says="shares are not used",
        old="change = share * scale",
        new="change = scale",
    ),
    dict(
        name="last-patch-wins",
        what="Begins from W again at each part.",
        question="q2",
        says="takes the place of those before it",
        also=["q4"],
        old="wide.get(name, weights[name])",
        new="weights[name]",
    ),
    dict(
        name="factors-added-first",
        what="Adds up the factors of two patches before it multiplies.",
        question="q2",
        says="factors are added up before they are multiplied",
        also=["q4"],
        code=FACTORS_FIRST,
    ),
    dict(
        name="rounded-each-time",
        what="Adds in 16 bits.",
        question="q2",
        says="rounded after each patch",
        old=ADDED,
        new="(matrix + F.pad(change, (0, 0, start, below))).to(matrix.dtype)",
    ),
    dict(
        name="start-ignored",
        what="Adds to the first rows.",
        question="q2",
        says="`start` is not",
        also=["q4"],
        old="(0, 0, start, below)",
        new="(0, 0, 0, start + below)",
    ),
    # q3: a patch for each text
    dict(
        name="bias-forgotten",
        what="Leaves the bias out.",
        question="q3",
        says="the bias is missing",
        old=', weights.get(name + ".bias")',
        new="",
    ),
    dict(
        name="bias-taken-for-granted",
        what="Asks for a bias that some matrices do not have.",
        question="q3",
        says="KeyError",
        old='weights.get(name + ".bias")',
        new='weights[name + ".bias"]',
    ),
    dict(
        name="none-is-the-last",
        what="Reads -1 as the last patch.",
        question="q3",
        says="-1 counts from the end",
        code=BY_TEXT.format(body='patch = patches[number] if patches else {"parts": []}'),
    ),
    dict(
        name="everybody-wears-all",
        what="Adds every patch to every text.",
        question="q3",
        says="all texts wear all patches",
        old="mine = which == i",
        new="mine = which == which",
    ),
    dict(
        name="who-wears-one-wears-all",
        what="Adds every patch to each text that wears any.",
        question="q3",
        says="who wears one patch wears all",
        old="mine = which == i",
        new="mine = which >= 0",
    ),
    dict(
        name="counted-from-one",
        what="Counts patches from 1.",
        question="q3",
        says="counted from 1",
        old="enumerate(patches)",
        new="enumerate(patches, 1)",
    ),
    dict(
        name="unmerged-not-scaled",
        what="Adds the product as it is.",
        question="q3",
        says="the product is not scaled",
        old="added = scale * (",
        new="added = (",
    ),
    dict(
        name="parts-of-others",
        what="Adds parts of other matrices.",
        question="q3",
        says="a part of another matrix",
        old='if part["name"] == name:',
        new="if True:",
    ),
    dict(
        name="first-part-only",
        what="Adds a patch's first part alone.",
        question="q3",
        says="only the first part",
        old="change[mine, :, start : start + len(up)] += added",
        new="change[mine, :, start : start + len(up)] += added\n                break",
    ),
    # q4: learn a trade
    dict(
        name="weight-decay",
        what="Uses AdamW, which shrinks what it trains.",
        question="q4",
        says="there is weight decay",
        old="torch.optim.Adam(factors)",
        new="torch.optim.AdamW(factors)",
    ),
    dict(
        name="bias-trained",
        what="Trains the model's biases along.",
        question="q4",
        says="perhaps a bias",
        old="    optimiser = torch.optim.Adam(factors)\n",
        new="    biases = [w for name, w in weights.items() if name.endswith('bias')]\n"
        "    optimiser = torch.optim.Adam(factors + [w.requires_grad_() for w in biases])\n",
    ),
    dict(
        name="up-alone",
        what="Trains up and leaves down as it was drawn.",
        question="q4",
        says="up alone is trained",
        old="factors = [part[key] for part in parts for key in FACTORS]",
        new='factors = [part["up"] for part in parts]',
    ),
    dict(
        name="rate-constant",
        what="Keeps the rate where it is.",
        question="q4",
        says="the rate does not fall",
        old="rate * (1 - step / len(batches))",
        new="rate",
    ),
    dict(
        name="steps-from-one",
        what="Counts the steps from 1, so that the last has rate 0.",
        question="q4",
        says="counted from 0",
        old="enumerate(batches)",
        new="enumerate(batches, 1)",
    ),
    dict(
        name="gradients-kept",
        what="Adds each step's gradients to the last one's.",
        question="q4",
        says="gradients of an earlier step stay",
        also=["q6"],
        old="        optimiser.zero_grad()\n",
        new="",
    ),
    dict(
        name="given-patch-trained",
        what="Trains the tensors that were given.",
        question="q4",
        says="given patch after the call",
        old="part[key].clone().requires_grad_()",
        new="part[key].requires_grad_()",
    ),
    dict(
        name="first-batch-only",
        what="Trains on the first batch in each step.",
        question="q4",
        says="the same rows are used",
        old="[learning], [1.0]), rows)",
        new="[learning], [1.0]), batches[0])",
    ),
    dict(
        name="still-learning",
        what="Returns factors that ask for gradients.",
        question="q4",
        says="still asks for a gradient",
        old="part[key].detach()",
        new="part[key].clone().detach().requires_grad_()",
    ),
    # q5: BLEU
    dict(
        name="words-in-letters",
        what="Takes every character for a token.",
        question="q5",
        says="three words, two spaces",
        old='    return re.findall(rf"[{alone}]|[^{alone}\\s]+", text)\n',
        new='    return re.findall(r"\\S", text)\n',
    ),
    dict(
        name="not-clipped",
        what="Counts a word as often as it is said.",
        question="q5",
        says="nothing is clipped",
        old="(mine & most).total()",
        new="sum(count for gram, count in mine.items() if gram in most)",
    ),
    dict(
        name="references-added-up",
        what="Clips by the sum over the references.",
        question="q5",
        says="counts of all references are added up",
        old="most |= Counter",
        new="most += Counter",
    ),
    dict(
        name="different-words-only",
        what="Counts each n-gram once.",
        question="q5",
        says="each different word counts once",
        old="(mine & most).total()",
        new="len(mine & most)",
    ),
    dict(
        name="no-brevity",
        what="Leaves the brevity penalty out.",
        question="q5",
        says="brevity is left out",
        old="min(0, 1 - closest / length)",
        new="0",
    ),
    dict(
        name="long-is-paid",
        what="Lets a long hypothesis earn more than its precision.",
        question="q5",
        says="who says more than the reference",
        old="min(0, 1 - closest / length)",
        new="1 - closest / length",
    ),
    dict(
        name="brevity-upside-down",
        what="Divides the lengths the wrong way round.",
        question="q5",
        says="its two lengths are exchanged",
        old="1 - closest / length",
        new="1 - length / closest",
    ),
    dict(
        name="mean-of-sentences",
        what="Averages the scores of the sentences.",
        question="q5",
        says="each sentence is scored, and the mean taken",
        code=MEAN,
    ),
    dict(
        name="arithmetic-mean",
        what="Averages the four precisions.",
        question="q5",
        says="added up and not multiplied",
        old="100 * math.exp(min(0, 1 - closest / length) + sum(logs) / 4)",
        new="25 * math.exp(min(0, 1 - closest / length)) * sum(map(math.exp, logs))",
    ),
    dict(
        name="longest-reference",
        what="Takes the longest reference for the brevity penalty.",
        question="q5",
        says="the longest reference counts",
        old=CLOSEST,
        new="closest += max(lengths)",
    ),
    dict(
        name="shortest-reference",
        what="Takes the shortest reference for the brevity penalty.",
        question="q5",
        says="the shortest, the longest",
        old=CLOSEST,
        new="closest += min(lengths)",
    ),
    dict(
        name="longer-at-a-tie",
        what="Takes the longer of two equally close.",
        question="q5",
        says="the wrong one of two equally close",
        old="(abs(n - len(mine)), n))",
        new="(abs(n - len(mine)), -n))",
    ),
    dict(
        name="logarithm-of-zero",
        what="Takes the logarithm of a precision of 0.",
        question="q5",
        says="ValueError",
        old="    if 0 in matches:\n        return 0.0\n",
        new="",
    ),
    # q6: the translator
    dict(
        name="over-budget",
        what="Rounds the rank up.",
        question="q6",
        says="and the budget is",
        old="budget // cost}",
        new="budget // cost + 1}",
    ),
    dict(
        name="never-trained",
        what="Returns the fresh patch.",
        question="q6",
        says="perhaps it does not learn",
        old="return tune(weights, fresh(weights, plan, 8.0, True, 0), batches, 0.02)",
        new="return fresh(weights, plan, 8.0, True, 0)",
    ),
    dict(
        name="attention-only",
        what="Patches attention alone, which cannot choose other words.",
        question="q6",
        says="the matrices that choose the words",
        old='if tensor.dim() == 2 and name != "embedding.weight"',
        new='if name.endswith(("qkv.weight", "out.weight"))',
    ),
]

SURVIVORS = {  # what tools/mutants.py changes and no test can notice, and why
    'q4 | optimiser.param_groups[0]["lr"] = rate * (1 - step / len(batches)) | 0 to -1': (
        "there is one group of parameters"
    ),
    "q5 | matches, totals, length, closest = [0] * 4, [0] * 4, 0, 0 | 4 to 5 (2)": (
        "`zip` ends where `matches` does"
    ),
    "q5 | starts = range(len(reference) - n + 1) | - to +": (
        "slices beyond the end are shorter than n, and no n-gram of the hypothesis is"
    ),
    "q5 | starts = range(len(reference) - n + 1) | 1 to 2": ("as above"),
    'q5-bleu | _wanted = [["两只猫咬了一条蛇", "一条蛇被两只猫咬了"], '
    '["一只狐狸看见了一匹马"]]'
    " | \"一条蛇被两只猫咬了\" to '一条蛇被两只猫咬了?'": (
        "of two references this one is the farther in length, and nothing in it matches more"
    ),
    'q5-hidden-length | ([_a, _a], [[2, 8], [12]], 20 / 16, "summed over two"), | 2 to 3': (
        "the other reference is as long as the hypothesis"
    ),
    'q5-hidden-length | ([_a], [[10, 10]], 10 / 8, "two of one length"), | 10 to 11': (
        "the other is as near as before"
    ),
    'q5-hidden-length | ([_a], [[10, 10]], 10 / 8, "two of one length"), | 10 to 11 (2)': (
        "the other is as near as before"
    ),
    'q5-hidden-length | ([_a], [[11, 9]], 9 / 8, "9 is closer than 11"), | 11 to 12': (
        "the farther reference may be farther still"
    ),
    'q5-hidden-length | ([_a], [[12, 4]], 1.0, "4 and 12 are as close: 4"), | 12 to 13': (
        "below the hypothesis any length gives the same brevity, and above it the shorter is taken"
    ),
    'q5-hidden-length | ([_a], [[12, 4]], 1.0, "4 and 12 are as close: 4"), | 4 to 5': (
        "below the hypothesis any length gives the same brevity, and above it the shorter is taken"
    ),
    'q5-hidden-length | ([_a], [[4, 12]], 1.0, "4 and 12 are as close: 4"), | 12 to 13': (
        "below the hypothesis any length gives the same brevity, and above it the shorter is taken"
    ),
    'q5-hidden-length | ([_a], [[4, 12]], 1.0, "4 and 12 are as close: 4"), | 4 to 5': (
        "below the hypothesis any length gives the same brevity, and above it the shorter is taken"
    ),
    'q5-hidden-length | ([_a], [[9, 11]], 9 / 8, "9 is closer than 11"), | 11 to 12': (
        "the farther reference may be farther still"
    ),
}
