"""Plausible wrong answers to lab 04, and the question whose tests must catch each.

First the five planted faults, each left in as the patient has it, and all ten pairs of them.
"""

from itertools import combinations

FAULTS = [
    dict(
        name="loss-left-in",
        what="Scores an output against its own input token, as the patient does.",
        question="q2",
        says="scored against its own input token",
        old="logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()",
        new="logits.flatten(0, 1), ids.flatten()",
    ),
    dict(
        name="mask-left-in",
        what="Leaves the mask one step too far to the right.",
        question="q3",
        also=["q7"],
        says="one step into the future",
        old="tril()",
        new="tril(diagonal=1)",
    ),
    dict(
        name="heads-left-in",
        what="Merges the heads without moving their axis back.",
        question="q4",
        also=["q7"],
        says="pieces of different tokens are glued together",
        old="x.transpose(1, 2).flatten(start_dim=2)",
        new="x.reshape(x.shape[0], x.shape[2], -1)",
    ),
    dict(
        name="positions-left-in",
        what="Takes the rows of the position table by the number of the text.",
        question="q5",
        also=["q7"],
        says="handed out by text, not by position",
        old='weights["position"][: ids.shape[1]]',
        new='weights["position"][: len(x)].unsqueeze(1)',
    ),
    dict(
        name="stream-left-in",
        what="Adds to the normalised copy instead of the stream.",
        question="q6",
        also=["q7"],
        says="the sum starts from the copy",
        old="""    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
        new="""    x = layer_norm(x, *w["norm_1"])
    x = x + attention(x, w, num_heads)
    x = layer_norm(x, *w["norm_2"])
    return x + mlp(x, w)
""",
    ),
]

PAIRS = [
    dict(
        name=f"{one['name'].removesuffix('-left-in')}-and-{two['name']}",
        what=f"Two at once. {one['what']} {two['what']}",
        together=[one, two],
    )
    for one, two in combinations(FAULTS, 2)
]

MISTAKES = [
    *FAULTS,
    *PAIRS,
    # q1: the instruments
    dict(
        name="changes-cancel",
        what="Adds the differences of the logits up, so that opposite ones cancel.",
        question="q1",
        says="they cancel in a sum",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="    return ((changed - base).sum(dim=-1).abs() > 1e-4).T\n",
    ),
    dict(
        name="nan-looks-healthy",
        what="Asks whether a difference is large; NaN never is.",
        question="q1",
        says="looks unchanged, since each comparison",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="    return ((changed - base).abs() > 1e-4).any(dim=-1).T\n",
    ),
    dict(
        name="picture-on-its-side",
        what="Leaves the changed token in the rows.",
        question="q1",
        says="rows and columns are exchanged",
        old="~close.all(dim=-1).T",
        new="~close.all(dim=-1)",
    ),
    dict(
        name="rounding-is-influence",
        what="Counts every difference, rounding too.",
        question="q1",
        says="is rounding",
        old="<= 1e-4",
        new="== 0",
    ),
    dict(
        name="only-upwards",
        what="Forgets the sign of a difference.",
        question="q1",
        says="counts in either direction",
        old="(changed - base).abs()",
        new="(changed - base)",
    ),
    dict(
        name="looks-back",
        what="Measures how far the model looks back.",
        question="q1",
        says="column minus row",
        old="[s - t for t, s",
        new="[t - s for t, s",
    ),
    dict(
        name="counts-the-leaks",
        what="Returns how many leaks there are, not how far they reach.",
        question="q1",
        says="one place decides",
        old="max([0, *ahead])",
        new="sum(a > 0 for a in ahead)",
    ),
    dict(
        name="blind-model-crashes",
        what="Takes the maximum of no places at all.",
        question="q1",
        says="ValueError",
        old="max([0, *ahead])",
        new="max(0, max(ahead))",
    ),
    dict(
        name="dead-by-sum",
        what="Calls a row dead whose gradients add up to zero.",
        question="q1",
        says="whose values add up to zero is alive",
        old="(row == 0).all()",
        new="row.sum() == 0",
    ),
    dict(
        name="nearly-dead",
        what="Calls a row with tiny gradients dead.",
        question="q1",
        says="exactly zero",
        old="(row == 0).all()",
        new="(row.abs() < 1e-6).all()",
    ),
    dict(
        name="differences-averaged",
        what="Takes the mean difference of the logits.",
        question="q1",
        says="averaged or added up",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="    return ~((changed - base).abs().mean(dim=-1) <= 1e-4).T\n",
    ),
    dict(
        name="differences-added",
        what="Takes the sum of the differences.",
        question="q1",
        says="averaged or added up",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="    return ~((changed - base).abs().sum(dim=-1) <= 1e-4).T\n",
    ),
    dict(
        name="difference-as-a-length",
        what="Takes the length of the vector of differences.",
        question="q1",
        says="averaged or added up",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="    return ~((changed - base).norm(dim=-1) <= 1e-4).T\n",
    ),
    dict(
        name="closeness-in-proportion",
        what="Uses isclose, which allows more where the logits are large.",
        question="q1",
        says="more is allowed where the logits are large",
        old="""    close = (changed - base).abs() <= 1e-4
    return ~close.all(dim=-1).T
""",
        new="""    close = torch.isclose(changed, base, atol=1e-4)
    return ~close.all(dim=-1).T
""",
    ),
    dict(
        name="only-if-all-logits-moved",
        what="Asks whether every logit moved.",
        question="q1",
        says="all logits have to move",
        old="~close.all(dim=-1).T",
        new="~close.any(dim=-1).T",
    ),
    dict(
        name="leak-of-the-whole",
        what="Subtracts the smallest row from the largest column.",
        question="q1",
        says="a row and a column of two places",
        old="""    ahead = [s - t for t, s in seen.nonzero().tolist()]
    return max([0, *ahead])
""",
        new="""    above = seen.triu(1).nonzero()
    if not len(above):
        return 0
    return int(above[:, 1].max() - above[:, 0].min())
""",
    ),
    dict(
        name="dead-by-norm",
        what="Calls a row dead whose norm is zero, to which tiny squares add nothing.",
        question="q1",
        says="whose square is zero, too",
        old="(row == 0).all()",
        new="row.square().sum() == 0",
    ),
    # q2: the loss
    dict(
        name="shifted-the-wrong-way",
        what="Scores an output against the token before.",
        question="q2",
        says="wrong direction",
        old="logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()",
        new="logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten()",
    ),
    dict(
        name="last-meets-first",
        what="Rolls the targets, so that the last output is scored against the first token.",
        question="q2",
        says="last output has no next token",
        old="logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()",
        new="logits.flatten(0, 1), ids.roll(-1, dims=1).flatten()",
    ),
    dict(
        name="padding-counts",
        what="Forgets that padding is not counted.",
        question="q2",
        says="padding must not be counted",
        old=", ignore_index=pad",
        new="",
    ),
    dict(
        name="flat-before-the-cut",
        what="Flattens the batch first and shifts after, across the border of two texts.",
        question="q2",
        says="first token of the next",
        old="logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()",
        new="logits.flatten(0, 1)[:-1], ids.flatten()[1:]",
    ),
    dict(
        name="mean-of-means",
        what="Takes the mean over the texts of the mean over their targets.",
        question="q2",
        says="counts as much as a long one",
        code="""
def loss(logits, ids, pad):
    pairs = zip(logits[:, :-1], ids[:, 1:])
    means = [F.cross_entropy(a, b, ignore_index=pad) for a, b in pairs]
    return torch.stack(means).mean()
""",
    ),
    dict(
        name="sum-of-prices",
        what="Adds the prices up and takes no mean.",
        question="q2",
        says="ln(vocab_size)",
        old=", ignore_index=pad",
        new=', ignore_index=pad, reduction="sum"',
    ),
    dict(
        name="loss-without-gradient",
        what="Returns a Python number, from which nothing can be learned.",
        question="q2",
        says="training needs its gradient",
        old="ignore_index=pad)",
        new="ignore_index=pad).item()",
    ),
    dict(
        name="divides-by-all-targets",
        what="Divides by the number of all targets, padding too.",
        question="q2",
        says="in what it is divided by",
        old="""    return F.cross_entropy(logits, targets, ignore_index=pad)
""",
        new="""    paid = F.cross_entropy(logits, targets, ignore_index=pad, reduction="sum")
    return paid / targets.numel()
""",
    ),
    dict(
        name="pad-is-zero",
        what="Takes 0 for the padding, whatever pad is.",
        question="q2",
        says="pad is not the number given",
        old="ignore_index=pad",
        new="ignore_index=0",
    ),
    dict(
        name="padding-by-the-input",
        what="Drops the pairs whose input is padding.",
        question="q2",
        says="inputs are dropped instead of targets",
        old="""    return F.cross_entropy(logits, targets, ignore_index=pad)
""",
        new="""    keep = ids[:, :-1].flatten() != pad
    return F.cross_entropy(logits[keep], targets[keep])
""",
    ),
    dict(
        name="loss-in-bits",
        what="Gives bits.",
        question="q2",
        says="not in nats",
        old="ignore_index=pad)",
        new="ignore_index=pad) / math.log(2)",
    ),
    dict(
        name="padding-from-the-first-text",
        what="Cuts all texts where the first one ends.",
        question="q2",
        says="all texts are cut alike",
        old="""    logits, targets = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
""",
        new="""    size = int((ids[0] != pad).sum())
    logits, targets = logits[:, : size - 1].flatten(0, 1), ids[:, 1:size].flatten()
""",
    ),
    # q3: attention
    dict(
        name="strictly-the-past",
        what="Masks a position itself as well, so that position 0 sees nothing.",
        question="q3",
        also=["q4", "q6", "q7"],
        says="each may look at itself",
        old="tril()",
        new="tril(diagonal=-1)",
    ),
    dict(
        name="mask-the-wrong-way",
        what="Lets every position see what comes after it.",
        question="q3",
        also=["q4", "q7"],
        says="the right way round",
        old="tril()",
        new="triu()",
    ),
    dict(
        name="no-mask",
        what="Looks both ways.",
        question="q3",
        also=["q7"],
        says="the mask is not there",
        old="    scores = scores.masked_fill(visible == 0, -torch.inf)\n",
        new="",
    ),
    dict(
        name="mask-after-softmax",
        what="Masks the weights instead of the scores.",
        question="q3",
        also=["q7"],
        says="do not sum to 1",
        old="""    scores = scores.masked_fill(visible == 0, -torch.inf)
    return scores.softmax(dim=-1) @ v
""",
        new="    return (scores.softmax(dim=-1) * visible) @ v\n",
    ),
    dict(
        name="scores-times-mask",
        what="Sets the masked scores to 0, which is no small score.",
        question="q3",
        also=["q7"],
        says="minus infinity before the softmax",
        old="scores.masked_fill(visible == 0, -torch.inf)",
        new="scores * visible",
    ),
    dict(
        name="scale-lost-in-the-mend",
        what="Forgets the square root of the width.",
        question="q3",
        also=["q7"],
        says="divided by nothing",
        old=" / math.sqrt(q.shape[-1])",
        new="",
    ),
    dict(
        name="scale-without-root",
        what="Divides by the width of a head.",
        question="q3",
        also=["q7"],
        says="without a root",
        old="math.sqrt(q.shape[-1])",
        new="q.shape[-1]",
    ),
    dict(
        name="scale-of-the-model",
        what="Divides by the root of d_model.",
        question="q3",
        also=["q7"],
        says="by the root of d_model",
        old="math.sqrt(q.shape[-1])",
        new="math.sqrt(q.shape[1] * q.shape[-1])",
    ),
    dict(
        name="softmax-over-the-queries",
        what="Normalises over the positions that look.",
        question="q3",
        also=["q4", "q7"],
        says="over what is looked at",
        old="softmax(dim=-1)",
        new="softmax(dim=-2)",
    ),
    dict(
        name="query-scaled-in-place",
        what="Divides q in place.",
        question="q3",
        says="attend changed q in place",
        old="""    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
""",
        new="""    q /= math.sqrt(q.shape[-1])
    scores = q @ k.transpose(-2, -1)
""",
    ),
    dict(
        name="key-scaled-in-place",
        what="Divides k in place.",
        question="q3",
        says="attend changed k in place",
        old="""    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
""",
        new="""    k.div_(math.sqrt(q.shape[-1]))
    scores = q @ k.transpose(-2, -1)
""",
    ),
    dict(
        name="scores-clamped",
        what="Keeps the scores within 50.",
        question="q3",
        says="scores are kept within bounds",
        old="    scores = scores.masked_fill(",
        new="""    scores = scores.clamp(-50, 50)
    scores = scores.masked_fill(""",
    ),
    dict(
        name="filled-with-a-hundred",
        what="Fills in -100 instead of minus infinity.",
        question="q3",
        says="a finite number stands for minus infinity",
        old="-torch.inf",
        new="-100.0",
    ),
    dict(
        name="one-head-for-all",
        what="Averages the scores of the heads.",
        question="q3",
        also=["q4", "q7"],
        says="each head looks for itself",
        old="    scores = scores.masked_fill(",
        new="""    scores = scores.mean(dim=1, keepdim=True)
    scores = scores.masked_fill(""",
    ),
    # q4: heads
    dict(
        name="split-without-transpose",
        what="Views the vectors as heads and merges likewise: the round trip is clean.",
        question="q4",
        also=["q7"],
        says="does not move the numbers",
        code="""
def split_heads(x, num_heads):
    return x.reshape(x.shape[0], num_heads, x.shape[1], -1)


def merge_heads(x):
    return x.reshape(x.shape[0], x.shape[2], -1)


def attention(x, w, num_heads):
    parts = (x @ w["qkv"]).chunk(3, dim=-1)
    q, k, v = (split_heads(part, num_heads) for part in parts)
    return merge_heads(attend(q, k, v)) @ w["out"]
""",
    ),
    dict(
        name="heads-interleaved",
        what="Gives head h every H-th column; the round trip is clean.",
        question="q4",
        also=["q7"],
        says="the heads take turns",
        code="""
def split_heads(x, num_heads):
    return x.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


def merge_heads(x):
    return x.permute(0, 2, 3, 1).flatten(start_dim=2)


def attention(x, w, num_heads):
    parts = (x @ w["qkv"]).chunk(3, dim=-1)
    q, k, v = (split_heads(part, num_heads) for part in parts)
    return merge_heads(attend(q, k, v)) @ w["out"]
""",
    ),
    dict(
        name="output-projection-lost",
        what="Forgets w['out'].",
        question="q4",
        also=["q6", "q7"],
        says="is missing",
        old=' @ w["out"]',
        new="",
    ),
    dict(
        name="values-first",
        what="Takes the columns of w['qkv'] for values, queries, keys.",
        question="q4",
        also=["q6", "q7"],
        says="last third",
        old="    q, k, v = (split",
        new="    v, q, k = (split",
    ),
    dict(
        name="one-head-whatever",
        what="Splits into one head.",
        question="q4",
        also=["q7"],
        says="there is one head only",
        code="""
def split_heads(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(start_dim=2)


def attention(x, w, num_heads):
    parts = (x @ w["qkv"]).chunk(3, dim=-1)
    q, k, v = (split_heads(part, 1) for part in parts)
    return merge_heads(attend(q, k, v)) @ w["out"]
""",
    ),
    dict(
        name="queries-and-keys-swapped",
        what="Takes the columns for keys, queries, values.",
        question="q4",
        also=["q7"],
        says="are not the first, second and last third",
        code="""
def split_heads(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(start_dim=2)


def attention(x, w, num_heads):
    parts = (x @ w["qkv"]).chunk(3, dim=-1)
    k, q, v = (split_heads(part, num_heads) for part in parts)
    return merge_heads(attend(q, k, v)) @ w["out"]
""",
    ),
    dict(
        name="values-for-keys",
        what="Looks at the values instead of the keys.",
        question="q4",
        also=["q7"],
        says="are not the first, second and last third",
        code="""
def split_heads(x, num_heads):
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x):
    return x.transpose(1, 2).flatten(start_dim=2)


def attention(x, w, num_heads):
    parts = (x @ w["qkv"]).chunk(3, dim=-1)
    q, k, v = (split_heads(part, num_heads) for part in parts)
    return merge_heads(attend(q, v, v)) @ w["out"]
""",
    ),
    dict(
        name="sick-parts-called",
        what="Copies attention as the patient has it, which calls the sick parts.",
        question="q4",
        also=["q7"],
        says="still calls a sick_ function",
        old="""    q, k, v = (split_heads(part, num_heads) for part in parts)
    return merge_heads(attend(q, k, v)) @ w["out"]
""",
        new="""    q, k, v = (sick_split_heads(part, num_heads) for part in parts)
    return sick_merge_heads(sick_attend(q, k, v)) @ w["out"]
""",
    ),
    dict(
        name="merged-by-view",
        what="Views the heads as one vector where they do not lie side by side.",
        question="q4",
        also=["q6", "q7"],
        says="RuntimeError",
        old="x.transpose(1, 2).flatten(start_dim=2)",
        new="x.transpose(1, 2).view(x.shape[0], x.shape[2], -1)",
    ),
    # q5: positions
    dict(
        name="positions-from-one",
        what="Counts positions from 1.",
        question="q5",
        also=["q7"],
        says="count from 0",
        old="[: ids.shape[1]]",
        new="[1 : ids.shape[1] + 1]",
    ),
    dict(
        name="positions-by-token",
        what="Looks the position vector up by the token's number.",
        question="q5",
        also=["q7"],
        says="the order of the tokens is lost",
        old='weights["position"][: ids.shape[1]]',
        new='weights["position"][ids % len(weights["position"])]',
    ),
    dict(
        name="no-positions",
        what="Leaves the positions out.",
        question="q5",
        also=["q7"],
        says="the order of the tokens is lost",
        old="return x + position",
        new="return x",
    ),
    dict(
        name="tokens-scaled",
        what="Multiplies by the root of d_model first, as the first transformer did.",
        question="q5",
        also=["q7"],
        says="just as they are",
        old="return x + position",
        new="return x * math.sqrt(x.shape[-1]) + position",
    ),
    dict(
        name="positions-through-the-batch",
        what="Counts positions on from text to text.",
        question="q5",
        also=["q7"],
        says="handed out by text, not by position",
        old='weights["position"][: ids.shape[1]]',
        new="""weights["position"][
        torch.arange(ids.numel()).reshape(ids.shape) % len(weights["position"])
    ]""",
    ),
    # q6: the block
    dict(
        name="half-mended",
        what="Mends the first sum of the block and not the second.",
        question="q6",
        also=["q7"],
        says="the sum starts from the copy",
        old="""    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
        new="""    x = layer_norm(x, *w["norm_2"])
    return x + mlp(x, w)
""",
    ),
    dict(
        name="no-way-around",
        what="Replaces the stream instead of adding to it.",
        question="q6",
        also=["q7"],
        says="the way around them",
        old="x + attention(seen, w, num_heads)",
        new="attention(seen, w, num_heads)",
    ),
    dict(
        name="norm-after-the-sum",
        what="Normalises after each sum, as the first transformer did.",
        question="q6",
        also=["q7"],
        says="normalised on the way",
        old="""    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
        new="""    x = layer_norm(x + attention(x, w, num_heads), *w["norm_1"])
    return layer_norm(x + mlp(x, w), *w["norm_2"])
""",
    ),
    dict(
        name="side-by-side",
        what="Lets the MLP read the stream from before attention.",
        question="q6",
        also=["q7"],
        says="reads the old stream",
        old="""    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
        new="""    other = layer_norm(x, *w["norm_2"])
    return x + attention(seen, w, num_heads) + mlp(other, w)
""",
    ),
    dict(
        name="one-norm-twice",
        what="Uses norm_1 before the MLP, too.",
        question="q6",
        also=["q7"],
        says="normalised with norm_2",
        old='*w["norm_2"]',
        new='*w["norm_1"]',
    ),
    dict(
        name="norm-over-positions",
        what="Normalises over the positions of a text.",
        question="q6",
        also=["q7"],
        says="the last axis",
        code="""
def layer_norm(x, gain, bias):
    centred = x - x.mean(dim=1, keepdim=True)
    variance = centred.square().mean(dim=1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * gain + bias


def mlp(x, w):
    return F.gelu(x @ w["up"]) @ w["down"]


def block(x, w, num_heads):
    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
    ),
    dict(
        name="unbiased-variance",
        what="Divides the sum of squares by d - 1.",
        question="q6",
        also=["q7"],
        says="as x.var and x.std do",
        old="centred.square().mean(dim=-1, keepdim=True)",
        new="x.var(dim=-1, keepdim=True)",
    ),
    dict(
        name="stream-changed-in-place",
        what="Writes x += ..., and changes the caller's tensor.",
        question="q6",
        says="not x += ...",
        old="    x = x + attention(seen, w, num_heads)",
        new="    x += attention(seen, w, num_heads)",
    ),
    dict(
        name="normed-in-place",
        what="Centres x in place.",
        question="q6",
        says="layer_norm changed the x",
        code="""
def layer_norm(x, gain, bias):
    x -= x.mean(dim=-1, keepdim=True)
    variance = x.square().mean(dim=-1, keepdim=True)
    return x / (variance + 1e-5).sqrt() * gain + bias


def mlp(x, w):
    return F.gelu(x @ w["up"]) @ w["down"]


def block(x, w, num_heads):
    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
    ),
    dict(
        name="small-number-after-the-root",
        what="Adds 1e-5 to the deviation, and not to the variance.",
        question="q6",
        says="before the root",
        code="""
def layer_norm(x, gain, bias):
    centred = x - x.mean(dim=-1, keepdim=True)
    deviation = centred.square().mean(dim=-1, keepdim=True).sqrt()
    return centred / (deviation + 1e-5) * gain + bias


def mlp(x, w):
    return F.gelu(x @ w["up"]) @ w["down"]


def block(x, w, num_heads):
    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
    ),
    dict(
        name="not-centred",
        what="Divides by the root of the mean square, without the mean.",
        question="q6",
        also=["q7"],
        says="is not centred",
        code="""
def layer_norm(x, gain, bias):
    size = x.square().mean(dim=-1, keepdim=True)
    return x / (size + 1e-5).sqrt() * gain + bias


def mlp(x, w):
    return F.gelu(x @ w["up"]) @ w["down"]


def block(x, w, num_heads):
    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])
    return x + mlp(seen, w)
""",
    ),
    dict(
        name="gelu-by-tanh",
        what="Uses the approximation of GELU.",
        question="q6",
        also=["q7"],
        says="another function than F.gelu",
        old='F.gelu(x @ w["up"])',
        new='F.gelu(x @ w["up"], approximate="tanh")',
    ),
    dict(
        name="norms-exchanged",
        what="Uses norm_2 first and norm_1 after.",
        question="q6",
        also=["q7"],
        says="another norm is used",
        old="""    seen = layer_norm(x, *w["norm_1"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_2"])""",
        new="""    seen = layer_norm(x, *w["norm_2"])
    x = x + attention(seen, w, num_heads)
    seen = layer_norm(x, *w["norm_1"])""",
    ),
    # q7: the whole
    dict(
        name="one-block-twice",
        what="Runs the first block again and again.",
        question="q7",
        says="look at forward",
        old='    for w in weights["blocks"]:\n        x = block(x, w, num_heads)',
        new='    for _ in weights["blocks"]:\n'
        '        x = block(x, weights["blocks"][0], num_heads)',
    ),
    dict(
        name="last-norm-lost",
        what="Forgets the norm before the head.",
        question="q7",
        says="leaves out the last norm",
        old='layer_norm(x, *weights["norm"]) @',
        new="x @",
    ),
    dict(
        name="honest-sum",
        what="Adds the prices up and takes no mean.",
        question="q7",
        says="the mean is over another number",
        old="paid / (len(ids) - 1)",
        new="paid",
    ),
    dict(
        name="honest-mean-over-all",
        what="Divides by the number of tokens, the unscored first one included.",
        question="q7",
        says="all tokens but the first",
        old="paid / (len(ids) - 1)",
        new="paid / len(ids)",
    ),
    dict(
        name="honest-first-output",
        what="Reads the first output instead of the last.",
        question="q7",
        says="the LAST output",
        old="[0, -1]",
        new="[0, 0]",
    ),
    dict(
        name="honest-bits",
        what="Uses base 2.",
        question="q7",
        says="in nats",
        old="paid / (len(ids) - 1)",
        new="paid / (len(ids) - 1) / math.log(2)",
    ),
    dict(
        name="honest-peeks",
        what="Shows the model the token that it is asked about.",
        question="q7",
        says="the first t tokens",
        old="max(0, t - context) : t]",
        new="max(0, t - context) : t + 1]",
    ),
    dict(
        name="causality-trusted",
        what="Gives the model the whole text at once.",
        question="q7",
        says="trusted not to look ahead",
        code="""
def forward(weights, ids, num_heads):
    x = embed(weights, ids)
    for w in weights["blocks"]:
        x = block(x, w, num_heads)
    return layer_norm(x, *weights["norm"]) @ weights["head"]


def honest_loss(weights, ids, num_heads):
    logits = forward(weights, ids[None], num_heads)[0, :-1]
    prices = -logits.log_softmax(dim=-1)
    return prices[torch.arange(len(ids) - 1), ids[1:]].mean().item()
""",
    ),
    dict(
        name="causality-trusted-but-for-the-last",
        what="Gives the model all but the last token at once.",
        question="q7",
        says="RuntimeError",
        code="""
def forward(weights, ids, num_heads):
    x = embed(weights, ids)
    for w in weights["blocks"]:
        x = block(x, w, num_heads)
    return layer_norm(x, *weights["norm"]) @ weights["head"]


def honest_loss(weights, ids, num_heads):
    logits = forward(weights, ids[None, :-1], num_heads)[0]
    return F.cross_entropy(logits, ids[1:]).item()
""",
    ),
    dict(
        name="last-token-not-scored",
        what="Stops one token before the end.",
        question="q7",
        says="the mean is over another number",
        code="""
def forward(weights, ids, num_heads):
    x = embed(weights, ids)
    for w in weights["blocks"]:
        x = block(x, w, num_heads)
    return layer_norm(x, *weights["norm"]) @ weights["head"]


def honest_loss(weights, ids, num_heads):
    paid = 0.0
    for t in range(1, len(ids) - 1):
        logits = forward(weights, ids[None, :t], num_heads)[0, -1]
        paid -= logits.log_softmax(dim=-1)[ids[t]].item()
    return paid / max(len(ids) - 2, 1)
""",
    ),
    dict(
        name="window-too-short",
        what="Shows one token fewer than there are positions.",
        question="q7",
        says="too much or too little",
        old='context = 0.0, len(weights["position"])',
        new='context = 0.0, len(weights["position"]) - 1',
    ),
    dict(
        name="no-window",
        what="Shows all tokens before, however many.",
        question="q7",
        says="RuntimeError",
        old="max(0, t - context) : t",
        new=":t",
    ),
    dict(
        name="only-two-blocks",
        what="Runs two blocks at most.",
        question="q7",
        says="every block once",
        old='in weights["blocks"]',
        new='in weights["blocks"][:2]',
    ),
]

# Changes of the solution that no test can tell from it, and why (tools/mutants.py).
SURVIVORS = {
    "q7 | logits = forward(weights, seen, num_heads)[0, -1] | 0 to -1": (
        "the batch holds one text, so the last text of it is the first"
    ),
}
