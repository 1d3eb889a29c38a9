"""Plausible wrong answers to lab 06, and the question whose tests must catch each."""

# A competitor that learns at once, for mistakes that any model could make.
PAIRS = """
def train(stories, vocab_size):
    weights = train_pairs(stories, vocab_size)
    {remember}
    return {model}


def predict(weights, prefixes):
    rows = predict_pairs({source}, prefixes)
    {change}
    return rows
"""


def pairs(remember="pass", model="weights", source="weights", change="pass"):
    return PAIRS.format(remember=remember, model=model, source=source, change=change)


MISTAKES = [
    # q1: the judge
    dict(
        name="sum-of-everything",
        what="Asks whether the whole sums to the number of rows.",
        question="q1",
        says="each row has to sum",
        old="((guess.sum(dim=1) - 1).abs() > 1e-4).any()",
        new="abs(guess.sum() / len(guess) - 1) > 0.06",
    ),
    dict(
        name="columns-sum",
        what="Sums over the rows instead of the words.",
        question="q1",
        says="which axis are the words",
        old="guess.sum(dim=1)",
        new="guess.sum(dim=0)",
    ),
    dict(
        name="too-much-only",
        what="Lets rows pass that sum to less than 1.",
        question="q1",
        says="less than 1, which is as wrong",
        old="(guess.sum(dim=1) - 1).abs()",
        new="(guess.sum(dim=1) - 1)",
    ),
    dict(
        name="no-rounding",
        what="Wants sums of exactly 1.",
        question="q1",
        says="is rounding, and allowed",
        old="((guess.sum(dim=1) - 1).abs() > 1e-4).any()",
        new="(guess.sum(dim=1) != 1).any()",
    ),
    dict(
        name="nan-slips-through",
        what="Forgets NaN, which no comparison finds.",
        question="q1",
        says="breaks the rule 'finite'",
        old="not guess.isfinite().all()",
        new="(guess.abs() > 1e30).any()",
    ),
    dict(
        name="negative-first",
        what="Asks for negative numbers before it asks whether all are finite.",
        question="q1",
        says="breaks 'finite' first",
        old='    if not guess.isfinite().all():\n        return "finite"\n'
        '    if (guess < 0).any():\n        return "negative"\n',
        new='    if (guess < 0).any():\n        return "negative"\n'
        '    if not guess.isfinite().all():\n        return "finite"\n',
    ),
    dict(
        name="negative-allowed",
        what="Does not look for probabilities below 0.",
        question="q1",
        says="breaks the rule 'negative'",
        old='    if (guess < 0).any():\n        return "negative"\n',
        new="",
    ),
    dict(
        name="nats",
        what="Takes the natural logarithm.",
        question="q1",
        says="these are nats",
        old=".log2()",
        new=".log()",
    ),
    dict(
        name="log-of-the-mean",
        what="Averages the probabilities before the logarithm.",
        question="q1",
        says="the mean comes last",
        old=".log2().mean()",
        new=".mean().log2()",
    ),
    dict(
        name="clamped-zero",
        what="Replaces a probability of 0 by a small one.",
        question="q1",
        says="only a large number",
        old="given.double()",
        new="given.double().clamp(min=1e-9)",
    ),
    dict(
        name="first-target-for-all",
        what="Takes the first target for every row.",
        question="q1",
        says="asked for its own target",
        old="given = guess[range(len(targets)), targets]",
        new="given = guess[:, targets[0]]",
    ),
    dict(
        name="every-pair",
        what="Takes every row's probability of every target.",
        question="q1",
        says="asked for its own target",
        old="given = guess[range(len(targets)), targets]",
        new="given = guess[:, targets]",
    ),
    dict(
        name="row-of-the-target",
        what="Exchanges rows and columns.",
        question="q1",
        says="cost 1 and 3 bits",
        old="given = guess[range(len(targets)), targets]",
        new="given = guess[targets, range(len(targets))]",
    ),
    dict(
        name="clamp-1e-7",
        what="Clamps probabilities below 1e-7, but not 0.",
        question="q1",
        says="cut off or rounded to 0",
        old="given.double()",
        new="given.double().clamp(min=1e-7).where(given > 0, given.double())",
    ),
    dict(
        name="zero-skipped",
        what="Leaves out targets of probability 0.",
        question="q1",
        says="perhaps it is left out",
        old="    return -given.double().log2().mean().item()\n",
        new="    given = given[given > 0]\n    return -given.double().log2().mean().item()\n",
    ),
    dict(
        name="negative-by-much",
        what="Lets slightly negative numbers pass.",
        question="q1",
        says="a little below 0",
        old="(guess < 0).any()",
        new="(guess < -1e-6).any()",
    ),
    dict(
        name="only-plus-inf",
        what="Lets minus infinity pass to 'negative'.",
        question="q1",
        says="minus infinity is not finite",
        old="not guess.isfinite().all()",
        new="(guess.isnan() | (guess == math.inf)).any()",
    ),
    dict(
        name="shape-unpacked",
        what="Expects two axes, and fails with one.",
        question="q1",
        says="out of range",
        old="list(guess.shape) != [num_rows, vocab_size]",
        new="guess.shape[0] != num_rows or guess.shape[1] != vocab_size",
    ),
    dict(
        name="shape-last",
        what="Asks for the shape after the numbers.",
        question="q1",
        says="of another shape that holds nan",
        old="    if list(guess.shape) != [num_rows, vocab_size]:\n"
        '        return "shape"\n'
        "    if not guess.isfinite().all():\n"
        '        return "finite"\n',
        new="    if not guess.isfinite().all():\n"
        '        return "finite"\n'
        "    if list(guess.shape) != [num_rows, vocab_size]:\n"
        '        return "shape"\n',
    ),
    dict(
        name="sum-before-negative",
        what="Asks for the sum before the sign.",
        question="q1",
        says="not asked in their order",
        old="    if (guess < 0).any():\n"
        '        return "negative"\n'
        "    if ((guess.sum(dim=1) - 1).abs() > 1e-4).any():\n"
        '        return "sum"\n',
        new="    if ((guess.sum(dim=1) - 1).abs() > 1e-4).any():\n"
        '        return "sum"\n'
        "    if (guess < 0).any():\n"
        '        return "negative"\n',
    ),
    dict(
        name="mean-of-the-errors",
        what="Averages the errors of the rows.",
        question="q1",
        says="is more than rounding",
        old="((guess.sum(dim=1) - 1).abs() > 1e-4).any()",
        new="(guess.sum(dim=1) - 1).abs().mean() > 1e-4",
    ),
    dict(
        name="rule-that-holds",
        what="Returns the first rule that holds.",
        question="q1",
        says="perhaps the rule is named that holds",
        code="""
def broken_rule(guess, num_rows, vocab_size):
    if list(guess.shape) == [num_rows, vocab_size]:
        return "shape"
    if guess.isfinite().all():
        return "finite"
    if (guess >= 0).all():
        return "negative"
    if ((guess.sum(dim=1) - 1).abs() <= 1e-4).all():
        return "sum"
    return ""


def bits_a_word(guess, targets):
    given = guess[range(len(targets)), targets]
    return -given.double().log2().mean().item()
""",
    ),
    # q2: pairs
    dict(
        name="followed-by-the-next-story",
        what="Counts pairs over the end of a story.",
        question="q2",
        says="which is no pair",
        old="""    for story in stories:
        ids = torch.tensor(story)
        words""",
        new="""    for ids in [torch.tensor(sum(stories, []))]:
        words""",
    ),
    dict(
        name="all-occurrences",
        what="Divides by how often the word occurs, not by how often it is followed.",
        question="q2",
        says="only where a is FOLLOWED",
        old="row / (count.sum() + 5)",
        new="row / (words[prefix[-1]] + 5)",
    ),
    dict(
        name="first-word",
        what="Looks at the first word of a prefix.",
        question="q2",
        says="that of its last word",
        old="prefix[-1]",
        new="prefix[0]",
    ),
    dict(
        name="whole-table",
        what="Keeps the table of all pairs.",
        question="q2",
        says="keep only the pairs that occurred",
        old='        "count": table[first, second],\n',
        new='        "count": table[first, second],\n        "table": table,\n',
    ),
    dict(
        name="bytes-for-words",
        what="Keeps the second words in eight bits, too few for 1,300.",
        question="q2",
        says="too large for its type",
        old='"second": second.short()',
        new='"second": second.to(torch.uint8)',
    ),
    dict(
        name="words-that-are-followed",
        what="Counts for P(b) only words that are followed by another.",
        question="q2",
        says="comes p(b)",
        old="torch.bincount(ids, minlength",
        new="torch.bincount(ids[:-1], minlength",
    ),
    dict(
        name="no-smoothing",
        what="Takes the share of each word for P(b), so that some are 0.",
        question="q2",
        says="perhaps + 1 or v is missing",
        old="(words + 1) / (words.sum() + len(words))",
        new="words / words.sum()",
    ),
    dict(
        name="counts-in-bytes",
        what="Keeps the counts in eight bits.",
        question="q2",
        says="a count is too large",
        old='        "count": table[first, second],\n',
        new='        "count": table[first, second].to(torch.uint8),\n',
    ),
    dict(
        name="counts-in-int16",
        what="Keeps the counts in 16 bits, up to 32,767.",
        question="q2",
        says="a count is too large",
        old='        "count": table[first, second],\n',
        new='        "count": table[first, second].short(),\n',
    ),
    dict(
        name="counts-in-half",
        what="Keeps the counts in float16.",
        question="q2",
        says="a count is too large",
        old='        "count": table[first, second],\n',
        new='        "count": table[first, second].half(),\n',
    ),
    dict(
        name="counts-in-bfloat16",
        what="Keeps the counts in bfloat16, with three digits.",
        question="q2",
        says="loses its last digits",
        old='        "count": table[first, second],\n',
        new='        "count": table[first, second].bfloat16(),\n',
    ),
    dict(
        name="words-in-int16",
        what="Keeps how often a word occurs in 16 bits.",
        question="q2",
        says="a count is too large",
        old='        "words": words,\n',
        new='        "words": words.short(),\n',
    ),
    dict(
        name="words-in-half",
        what="Keeps how often a word occurs in float16.",
        question="q2",
        says="a count is too large",
        old='        "words": words,\n',
        new='        "words": words.half(),\n',
    ),
    dict(
        name="distinct-prefixes",
        what="A row for each different prefix only.",
        question="q2",
        says="the shape is (50, 12)",
        old="    return torch.stack(rows)\n",
        new="    seen = {}\n"
        "    for prefix, row in zip(prefixes, rows):\n"
        "        seen[tuple(prefix)] = row\n"
        "    return torch.stack(list(seen.values()))\n",
    ),
    dict(
        name="same-word-skipped",
        what="Leaves out pairs of the same word.",
        question="q2",
        says="a word that follows itself",
        old="        table.index_put_(pairs",
        new="        pairs = [side[ids[:-1] != ids[1:]] for side in pairs]\n"
        "        table.index_put_(tuple(pairs)",
    ),
    dict(
        name="prefix-popped",
        what="Takes the last word off each prefix that was given.",
        question="q2",
        says="prefixes after predict_pairs",
        old='        hit = weights["first"] == prefix[-1]\n',
        new='        hit = weights["first"] == prefix.pop()\n',
    ),
    dict(
        name="double-returned",
        what="Returns float64.",
        question="q2",
        says="asked for in float32",
        old="    return torch.stack(rows)\n",
        new="    return torch.stack(rows).double()\n",
    ),
    dict(
        name="hidden-in-a-shape",
        what="Hides numbers in the names and the shapes of empty tensors.",
        question="q2",
        says="more than 800,000 bytes",
        old='        "words": words,\n',
        new='        "words": words,\n'
        '        **{f"{i:06d}": torch.zeros(0, i) for i in range(100_000)},\n',
    ),
    # q3: the rules
    dict(
        name="logits-returned",
        what="Forgets the softmax.",
        question="q3",
        says="are these logits",
        code=pairs(change="rows = rows.log()"),
    ),
    dict(
        name="half-precision",
        what="Returns float16, whose rows do not sum to 1 closely enough.",
        question="q3",
        says="and in float32?",
        code=pairs(change="rows = (rows * 1.001).half()"),
    ),
    dict(
        name="over-budget",
        what="Returns a table of all pairs beside the model.",
        question="q3",
        says="bytes and may have 800,000",
        code=pairs(model='weights | {"table": torch.zeros(vocab_size, vocab_size)}'),
    ),
    dict(
        name="its-own-word-learnt",
        what="Scores each output against the word that it has just read.",
        question="q3",
        says="learns its own word",
        code=pairs(
            change="rows = 0.01 * rows"
            " + 0.99 * torch.eye(rows.shape[1])[[prefix[-1] for prefix in prefixes]]"
        ),
    ),
    dict(
        name="kept-in-a-global",
        what="Leaves the model in a global, and hardly anything in the dictionary.",
        question="q3",
        says="left behind",
        code="kept = {}\n"
        + pairs(
            remember='kept["weights"] = weights',
            model='{"size": torch.tensor(vocab_size)}',
            source='kept.get("weights") or train_pairs([[0]], int(weights["size"]))',
        ),
    ),
    dict(
        name="the-stories-by-heart",
        what="Memorises: where a prefix goes on as a story did, all on that word.",
        question="q3",
        says="called impossible",
        code="""
def train(stories, vocab_size):
    kept = {"v": torch.tensor(vocab_size)}
    pairs = {}
    for story in stories:
        pairs |= dict(zip(story, story[1:]))
    kept["a"] = torch.tensor(list(pairs)).short()
    kept["b"] = torch.tensor(list(pairs.values())).short()
    return kept


def predict(weights, prefixes):
    size = int(weights["v"])
    known = dict(zip(weights["a"].tolist(), weights["b"].tolist()))
    rows = torch.full((len(prefixes), size), 1 / size)
    for row, prefix in zip(rows, prefixes):
        if prefix[-1] in known:
            row.zero_()
            row[known[prefix[-1]]] = 1
    return rows
""",
    ),
    dict(
        name="company-counts",
        what="The rows of a list influence each other, as with a norm over the batch.",
        question="q3",
        says="one more prefix in the list",
        code=pairs(
            change="rows = (rows.log() + 0.01 * len(rows) * torch.arange(rows.shape[1])"
            " / rows.shape[1]).softmax(1)"
        ),
    ),
    dict(
        name="stories-shuffled-in-place",
        what="Shuffles the list that it was given.",
        question="q3",
        says="changed the stories",
        code=pairs(remember="stories.reverse()"),
    ),
    dict(
        name="one-row-for-all",
        what="Predicts for the first prefix only.",
        question="q3",
        says="a row for each prefix",
        code=pairs(change="rows = rows[:1]"),
    ),
    dict(
        name="no-better-than-words",
        what="Knows how often each word occurs, and nothing of the prefix.",
        question="q3",
        says="7.41 bits over the floor",
        code=pairs(
            change="""p = weights["words"] + 1.0
    rows = (p / p.sum()).repeat(len(prefixes), 1)"""
        ),
    ),
    dict(
        name="learned-positions",
        what="Fails for a prefix longer than any story.",
        question="q3",
        says="RuntimeError",
        code=pairs(
            model='weights | {"places": torch.zeros(max(map(len, stories)))}',
            change="""longest = max(map(len, prefixes))
    rows = rows + (torch.zeros(longest) + weights["places"][:longest]).sum()""",
        ),
    ),
    dict(
        name="padding-in-the-row",
        what="A row sees the padding after its last word, as attention without a causal mask does.",
        question="q3",
        says="attention does that is not causal",
        code=pairs(
            change="""longest = max(map(len, prefixes))
    size = rows.shape[1]
    bag = torch.zeros_like(rows)
    for row, prefix in zip(bag, prefixes):
        for word in [*prefix, *[0] * (longest - len(prefix))]:
            row[word] += 1 / longest
    rows = 0.9 * rows + 0.1 * bag"""
        ),
    ),
    dict(
        name="last-column-for-all",
        what="Takes the row at the end of the longest prefix for all: at a pad.",
        question="q3",
        says="not taken at its own last word",
        code=pairs(
            change="""longest = max(map(len, prefixes))
    short = [i for i, p in enumerate(prefixes) if len(p) < longest]
    rows[short] = predict_pairs(weights, [[0]])"""
        ),
    ),
    dict(
        name="random-rows",
        what="Draws something at each call, as with dropout left on.",
        question="q3",
        says="dropout is still on",
        code=pairs(change="rows = (rows.log() + 0.1 * torch.randn(rows.shape)).softmax(1)"),
    ),
    dict(
        name="cut-to-40",
        what="Cuts a long prefix at its end, not at its beginning.",
        question="q3",
        says="a long prefix is cut at its end",
        code=pairs(change="rows = predict_pairs(weights, [p[:40] for p in prefixes])"),
    ),
    dict(
        name="prefix-eaten",
        what="Empties the list of prefixes that it was given.",
        question="q3",
        says="predict changed the prefixes",
        code=pairs(change="prefixes.clear()"),
    ),
    dict(
        name="integer-model",
        what="Returns a number beside the tensors.",
        question="q3",
        says="is no tensor",
        code=pairs(model='{"w": 3} | weights'),
    ),
    dict(
        name="many-of-one-length",
        what="Loses prefixes that come twice.",
        question="q3",
        says="a row for each prefix",
        code=pairs(
            change="""seen = {}
    for prefix, row in zip(prefixes, rows):
        seen.setdefault(tuple(prefix), row)
    rows = torch.stack(list(seen.values()))"""
        ),
    ),
    dict(
        name="sorted-by-length",
        what="Sorts the prefixes by length for its batches, and returns the rows in that order.",
        question="q3",
        says="order",
        code=pairs(
            change="""order = sorted(range(len(prefixes)), key=lambda i: len(prefixes[i]))
    rows = rows[order]"""
        ),
    ),
    dict(
        name="last-batch-lost",
        what="Drops the prefixes that fill no batch of 50.",
        question="q3",
        says="a row for each prefix",
        code=pairs(change="rows = rows[: len(rows) // 50 * 50] if len(rows) > 50 else rows"),
    ),
]

# Changes of the solution that no test can tell from it, by tools/mutants.py.
SURVIVORS = {
    "q1 | if ((guess.sum(dim=1) - 1).abs() > 1e-4).any(): | > to >=": (
        "no sum in float32 is off 1 by exactly 1e-4"
    ),
    "q2 | words = torch.zeros(vocab_size, dtype=torch.int32) | no dtype": (
        "float32 holds each whole number up to 16 million in as many bytes"
    ),
    "q2-pairs | _want = torch.full((300,), 1 / 80_300) | 1 to 0": (
        "it is about the two words that take turns: the others get 2e-9, under the tolerance"
    ),
    "q2-pairs | _want = torch.full((300,), 1 / 80_300) | 80_300 to 160600": (
        "as above: P(b) of words that are not the two, which the small examples of the cell test"
    ),
}
