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
        says="less than 1 is as wrong",
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
        says="take the mean last",
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
]
