"""Plausible wrong answers to lab 03, and the question whose tests must catch each."""

MISTAKES = [
    # q1: the weights of one head
    dict(
        name="not-scaled",
        what="Leaves out the division by √d_k.",
        question="q1",
        also=["q4"],
        says="not scaled",
        old="    scores = scores / q.shape[-1] ** 0.5\n",
        new="",
    ),
    dict(
        name="divided-by-d-k",
        what="Divides by d_k, and not by its square root.",
        question="q1",
        also=["q4"],
        says="not by its square root",
        old="q.shape[-1] ** 0.5",
        new="q.shape[-1]",
    ),
    dict(
        name="multiplied-by-root-d-k",
        what="Multiplies by √d_k.",
        question="q1",
        also=["q4"],
        says="multiplied by √d_k",
        old="scores / q.shape[-1] ** 0.5",
        new="scores * q.shape[-1] ** 0.5",
    ),
    dict(
        name="scaled-by-number-of-queries",
        what="Takes the positions' axis for d_k.",
        question="q1",
        also=["q4", "q6"],
        says="number of queries",
        old="q.shape[-1] ** 0.5",
        new="q.shape[-2] ** 0.5",
    ),
    dict(
        name="scaled-by-number-of-keys",
        what="Divides by the root of the number of keys.",
        question="q1",
        also=["q4", "q6"],
        says="number of keys",
        old="q.shape[-1] ** 0.5",
        new="k.shape[-2] ** 0.5",
    ),
    dict(
        name="scaled-by-leading-axis",
        what="Takes axis 1 for d_k, which with batch and heads is the heads.",
        question="q1",
        also=["q4", "q6"],
        says="LAST axis of q",
        old="q.shape[-1] ** 0.5",
        new="q.shape[1] ** 0.5",
    ),
    dict(
        name="softmax-over-queries",
        what="Takes the softmax over the wrong axis.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="over the queries",
        old="dim=-1",
        new="dim=-2",
    ),
    dict(
        name="softmax-over-axis-one",
        what="Counts the axis of the softmax from the front.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="counted from the end",
        old="dim=-1",
        new="dim=1",
    ),
    dict(
        name="all-axes-turned",
        what="Transposes by k.T, which turns all the axes round.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="size of tensor",
        old="k.float().transpose(-2, -1)",
        new="k.float().T",
    ),
    dict(
        name="mask-after-softmax",
        what="Sets forbidden weights to 0 after the softmax.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="after the softmax",
        old="    scores = scores.masked_fill(~keep, -torch.inf)\n",
        new="",
    ),
    dict(
        name="mask-upside-down",
        what="Forbids where keep is True.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="upside down",
        code="""
def attention_weights(q, k, keep):
    scores = q.float() @ k.float().transpose(-2, -1)
    scores = scores / q.shape[-1] ** 0.5
    scores = scores.masked_fill(keep, -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    weights = torch.where(~keep, weights, 0.0)
    return weights.to(q.dtype)
""",
    ),
    dict(
        name="mask-multiplied",
        what="Multiplies the scores by the mask, which leaves them at 0.",
        question="q1",
        also=["q4", "q5", "q6"],
        says="it must be -inf",
        code="""
def attention_weights(q, k, keep):
    scores = q.float() @ k.float().transpose(-2, -1)
    scores = scores / q.shape[-1] ** 0.5
    return torch.softmax(scores * keep, dim=-1).to(q.dtype)
""",
    ),
    dict(
        name="nan-in-an-empty-row",
        what="Does not mend the row of a query that may look nowhere.",
        question="q1",
        says="the softmax of nothing but -inf",
        old="    weights = torch.where(keep, weights, 0.0)  # rows of nan\n",
        new="",
    ),
    dict(
        name="even-weights-in-an-empty-row",
        what="Fills in -1e9, so that an empty row looks everywhere.",
        question="q1",
        says="a real score can undercut",
        code="""
def attention_weights(q, k, keep):
    scores = q.float() @ k.float().transpose(-2, -1)
    scores = scores / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~keep, -1e9)
    return torch.softmax(scores, dim=-1).to(q.dtype)
""",
    ),
    dict(
        name="not-negative-enough",
        what="Fills in -100, which a real score can undercut.",
        question="q1",
        says="a real score can undercut",
        old="-torch.inf",
        new="-100.0",
    ),
    dict(
        name="exp-overflow",
        what="Writes the softmax by hand, without subtracting the largest score.",
        question="q1",
        also=["q5", "q6"],
        says="exp of them overflows",
        old="    weights = torch.softmax(scores, dim=-1)\n",
        new="    weights = scores.exp()\n    weights = weights / weights.sum(-1, keepdim=True)\n",
    ),
    dict(
        name="float16-overflow",
        what="Multiplies in float16 and goes to float32 afterwards.",
        question="q1",
        says="before the product",
        old="q.float() @ k.float().transpose(-2, -1)",
        new="(q @ k.transpose(-2, -1)).float()",
    ),
    dict(
        name="float16-rounding",
        what="Scales q first, so that nothing overflows, but multiplies in float16.",
        question="q1",
        says="where large scores are rounded",
        old="    scores = q.float() @ k.float().transpose(-2, -1)  # (..., T, S)\n"
        "    scores = scores / q.shape[-1] ** 0.5\n",
        new="    scores = (q / q.shape[-1] ** 0.5) @ k.transpose(-2, -1)\n",
    ),
    dict(
        name="returns-float32",
        what="Forgets to return the dtype of q.",
        question="q1",
        says="turned back into the dtype of q",
        old="weights.to(q.dtype)",
        new="weights",
    ),
    dict(
        name="query-scaled-in-place",
        what="Writes q /= √d_k into the caller's tensor.",
        question="q1",
        also=["q4"],
        says="changed q in place",
        old="    scores = q.float() @ k.float().transpose(-2, -1)  # (..., T, S)\n"
        "    scores = scores / q.shape[-1] ** 0.5\n",
        new="    q /= q.shape[-1] ** 0.5\n    scores = q.float() @ k.float().transpose(-2, -1)\n",
    ),
    dict(
        name="scores-clamped",
        what="Keeps the scores within 50, against overflow.",
        question="q1",
        also=["q5", "q6"],
        says="scores are kept within bounds",
        old="    scores = scores / q.shape[-1] ** 0.5\n",
        new="""    scores = scores / q.shape[-1] ** 0.5
    scores = scores.clamp(-50, 50)
""",
    ),
    dict(
        name="scores-clamped-to-half",
        what="Keeps the scores within what float16 holds.",
        question="q1",
        says="near 100,000 that differ by 1",
        old="    scores = scores / q.shape[-1] ** 0.5\n",
        new="""    scores = scores / q.shape[-1] ** 0.5
    scores = scores.clamp(-65504, 65504)
""",
    ),
    dict(
        name="filled-with-a-billion",
        what="Fills in -1e9 and sets what is forbidden to 0 afterwards.",
        question="q1",
        says="a real score can undercut",
        old="-torch.inf",
        new="-1e9",
    ),
    dict(
        name="key-scaled-in-place",
        what="Writes k *= ... into the caller's tensor.",
        question="q1",
        says="changed k in place",
        old="""    scores = q.float() @ k.float().transpose(-2, -1)  # (..., T, S)
    scores = scores / q.shape[-1] ** 0.5
""",
        new="""    k *= q.shape[-1] ** -0.5
    scores = q.float() @ k.float().transpose(-2, -1)
""",
    ),
    dict(
        name="mask-inverted-in-place",
        what="Turns keep round in place.",
        question="q1",
        also=["q4"],
        says="changed keep in place",
        code="""
def attention_weights(q, k, keep):
    scores = q.float() @ k.float().transpose(-2, -1)
    scores = scores / q.shape[-1] ** 0.5
    hidden = keep.logical_not_()
    weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)
    return weights.masked_fill(hidden, 0.0).to(q.dtype)
""",
    ),
    dict(
        name="empty-row-shares-all",
        what="Gives a row that may look nowhere equal weights.",
        question="q1",
        says="nan is replaced by another weight",
        old="""    weights = torch.where(keep, weights, 0.0)  # rows of nan
""",
        new="    weights = weights.nan_to_num(1 / k.shape[-2])\n",
    ),
    dict(
        name="one-maximum-for-all",
        what="Subtracts the largest score of all rows before exp.",
        question="q1",
        also=["q5", "q6"],
        says="one largest score is subtracted for all rows",
        old="    weights = torch.softmax(scores, dim=-1)\n",
        new="""    scores = scores - scores.max()
    weights = scores.exp()
    weights = weights / weights.sum(-1, keepdim=True)
""",
    ),
    dict(
        name="only-float16-is-widened",
        what="Goes to float32 for float16, and computes bfloat16 as it is.",
        question="q1",
        says="the product is taken in 16 bits",
        old="""    scores = q.float() @ k.float().transpose(-2, -1)  # (..., T, S)
""",
        new="""    if q.dtype == torch.float16:
        scores = q.float() @ k.float().transpose(-2, -1)
    else:
        scores = q @ k.transpose(-2, -1)
""",
    ),
    dict(
        name="one-mask-for-all-heads",
        what="Takes the mask of the first head for all.",
        question="q1",
        says="one mask for each head",
        old="    scores = scores / q.shape[-1] ** 0.5\n",
        new="""    keep = keep.reshape(-1, *keep.shape[-2:])[0]
    scores = scores / q.shape[-1] ** 0.5
""",
    ),
    # q2: the window
    dict(
        name="window-one-too-wide",
        what="Lets the token see `window` tokens before itself.",
        question="q2",
        also=["q5", "q6"],
        says="the token itself is one of them",
        old="distance < window",
        new="distance <= window",
    ),
    dict(
        name="window-one-too-narrow",
        what="Cuts the far edge one token too early.",
        question="q2",
        also=["q5", "q6"],
        says="far edge",
        old="distance < window",
        new="distance < max(window - 1, 1)",
    ),
    dict(
        name="sees-the-next-token",
        what="The near edge of the mask is off by one, into the future.",
        question="q2",
        also=["q5", "q6"],
        says="looks at the future",
        old="distance >= 0",
        new="distance >= -1",
    ),
    dict(
        name="does-not-see-itself",
        what="The near edge of the mask is off by one, into the past.",
        question="q2",
        also=["q5", "q6"],
        says="every token sees itself",
        old="distance >= 0",
        new="distance > 0",
    ),
    dict(
        name="truth-values-joined-by-and",
        what="Joins two tables of truth values by `and`.",
        question="q2",
        also=["q5", "q6"],
        says="ambiguous",
        old="(distance >= 0) & (distance < window)",
        new="(distance >= 0) and (distance < window)",
    ),
    dict(
        name="no-far-edge",
        what="A plain causal mask, whatever the window.",
        question="q2",
        also=["q5", "q6"],
        says="or there is none",
        old="(distance >= 0) & (distance < window)",
        new="distance >= 0",
    ),
    dict(
        name="window-on-both-sides",
        what="Looks as far ahead as back.",
        question="q2",
        also=["q5", "q6"],
        says="looks at the future",
        old="(distance >= 0) & (distance < window)",
        new="distance.abs() < window",
    ),
    dict(
        name="queries-are-the-first",
        what="Starts the queries at position 0, also when there are more keys.",
        question="q2",
        also=["q6"],
        says="LAST of the 5 positions",
        old="torch.arange(num_keys - num_queries, num_keys)",
        new="torch.arange(num_queries)",
    ),
    dict(
        name="true-is-forbidden",
        what="Returns the mask upside down.",
        question="q2",
        also=["q5", "q6"],
        says="upside down",
        old="(distance >= 0) & (distance < window)",
        new="(distance < 0) | (distance >= window)",
    ),
    dict(
        name="rows-and-columns-swapped",
        what="Has a row for each key and a column for each query.",
        question="q2",
        also=["q5", "q6"],
        says="rows are queries, columns keys",
        old="queries[:, None] - keys[None, :]",
        new="queries[None, :] - keys[:, None]",
    ),
    dict(
        name="mask-of-numbers",
        what="Returns 0.0 and 1.0.",
        question="q2",
        also=["q5", "q6"],
        says="must be torch.bool",
        old="(distance >= 0) & (distance < window)",
        new="((distance >= 0) & (distance < window)).float()",
    ),
    dict(
        name="window-no-wider-than-the-queries",
        what="Cuts the window to the number of queries.",
        question="q2",
        also=["q6"],
        says="whatever the number of queries",
        old="distance < window",
        new="distance < min(window, num_queries)",
    ),
    # q3: heads
    dict(
        name="split-by-reshape-alone",
        what="Reshapes to (heads, T, d_k) without moving an axis.",
        question="q3",
        also=["q5", "q6"],
        says="a reshape alone",
        old="""    parts = x.unflatten(-1, (num_heads, -1))  # (..., T, num_heads, d_k)
    return parts.transpose(-3, -2)
""",
        new="    return x.reshape(*x.shape[:-2], num_heads, x.shape[-2], -1)\n",
    ),
    dict(
        name="split-interleaved",
        what="Gives head 0 every num_heads-th number.",
        question="q3",
        also=["q5", "q6"],
        says="interleaved",
        old="""    parts = x.unflatten(-1, (num_heads, -1))  # (..., T, num_heads, d_k)
    return parts.transpose(-3, -2)
""",
        new="    parts = x.unflatten(-1, (-1, num_heads))\n    return parts.movedim(-1, -3)\n",
    ),
    dict(
        name="split-width-for-number",
        what="Takes num_heads for the width of a head.",
        question="q3",
        also=["q5", "q6"],
        says="heads first",
        old="(num_heads, -1))  #",
        new="(-1, num_heads))  #",
    ),
    dict(
        name="split-without-batch",
        what="Counts the axes from the front, and fails with a batch.",
        question="q3",
        also=["q5"],
        says="Count them from the end",
        old="parts.transpose(-3, -2)",
        new="parts.transpose(0, 1)",
    ),
    dict(
        name="merge-without-swap",
        what="Flattens without swapping heads and positions back.",
        question="q3",
        also=["q5", "q6"],
        says="swap heads and positions back",
        old="x.transpose(-3, -2).flatten(-2)",
        new="x.reshape(*x.shape[:-3], x.shape[-2], -1)",
    ),
    dict(
        name="merge-interleaved",
        what="Glues the heads number by number.",
        question="q3",
        also=["q5", "q6"],
        says="interleaved in a row",
        old="x.transpose(-3, -2).flatten(-2)",
        new="x.movedim(-3, -1).flatten(-2)",
    ),
    dict(
        name="merge-by-view",
        what="Uses view on a transposed tensor, which raises.",
        question="q3",
        also=["q5", "q6"],
        says="view size is not compatible",
        old="x.transpose(-3, -2).flatten(-2)",
        new="x.transpose(-3, -2).view(*x.shape[:-3], x.shape[-2], -1)",
    ),
    dict(
        name="merge-from-the-front",
        what="Counts the axes of merge_heads from the front.",
        question="q3",
        also=["q5"],
        says="axes are counted from the front",
        old="x.transpose(-3, -2).flatten(-2)",
        new="x.transpose(0, 1).flatten(-2)",
    ),
    # q4: groups
    dict(
        name="heads-take-turns",
        what="Repeats the key-value heads in the wrong order: repeat.",
        question="q4",
        also=["q5", "q6"],
        says="repeat_interleave, not repeat",
        old="""    k = k.repeat_interleave(group, dim=-3)  # (..., H, S, d_k)
    v = v.repeat_interleave(group, dim=-3)
""",
        new="    k = torch.cat([k] * group, dim=-3)\n    v = torch.cat([v] * group, dim=-3)\n",
    ),
    dict(
        name="values-take-turns",
        what="Interleaves the keys and repeats the values.",
        question="q4",
        also=["q5", "q6"],
        says="read the values of head 0",
        old="v.repeat_interleave(group, dim=-3)",
        new="torch.cat([v] * group, dim=-3)",
    ),
    dict(
        name="keys-take-turns",
        what="Interleaves the values and repeats the keys.",
        question="q4",
        also=["q5", "q6"],
        says="for the keys as well",
        old="k.repeat_interleave(group, dim=-3)",
        new="torch.cat([k] * group, dim=-3)",
    ),
    dict(
        name="first-head-for-all",
        what="Lets all query heads use key-value head 0.",
        question="q4",
        also=["q5", "q6"],
        says="heads 2 and 3 the second",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    weights = attention_weights(q, k[..., :1, :, :], keep)
    weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ v[..., :1, :, :]
""",
    ),
    dict(
        name="group-is-the-number-of-heads",
        what="Repeats each head as often as there are key-value heads.",
        question="q4",
        also=["q5"],
        says="RuntimeError",
        old="group = q.shape[-3] // k.shape[-3]",
        new="group = k.shape[-3]",
    ),
    dict(
        name="repeats-the-first-axis",
        what="Repeats along axis 0, which is the batch when there is one.",
        question="q4",
        also=["q5"],
        says="RuntimeError",
        old="""    k = k.repeat_interleave(group, dim=-3)  # (..., H, S, d_k)
    v = v.repeat_interleave(group, dim=-3)
""",
        new="    k = k.repeat_interleave(group, dim=0)\n"
        "    v = v.repeat_interleave(group, dim=0)\n",
    ),
    dict(
        name="root-d-model",
        what="Divides by √d_model, the width of all heads, instead of √d_head.",
        question="q4",
        says="by √d_model",
        old="attention_weights(q, k, keep)",
        new="attention_weights(q / q.shape[-3] ** 0.5, k, keep)",
    ),
    dict(
        name="not-scaled-with-heads",
        what="Writes attention anew for several heads, and forgets the scale.",
        question="q4",
        says="divided by nothing",
        old="weights = attention_weights(q, k, keep)",
        new="scores = (q @ k.transpose(-2, -1)).masked_fill(~keep, -torch.inf)\n"
        "    weights = torch.softmax(scores, dim=-1)",
    ),
    dict(
        name="scaled-twice",
        what="Scales again what attention_weights scales.",
        question="q4",
        says="√d_k twice",
        old="attention_weights(q, k, keep)",
        new="attention_weights(q / q.shape[-1] ** 0.5, k, keep)",
    ),
    dict(
        name="dropout-without-rescaling",
        what="Sets weights to 0 and leaves the others as they are.",
        question="q4",
        also=["q5"],
        says="divided by 1 - dropout",
        old="torch.nn.functional.dropout(weights, dropout)",
        new="weights * (torch.rand(weights.shape) >= dropout)",
    ),
    dict(
        name="output-dropped",
        what="Applies dropout to what was read instead of to the weights.",
        question="q4",
        also=["q5"],
        says="or whole outputs",
        old="""    weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ v
""",
        new="""    kept = (torch.rand(weights.shape[:-1]) >= dropout)[..., None]
    return weights @ v * kept / max(1 - dropout, 1e-9)
""",
    ),
    dict(
        name="dropout-ignored",
        what="Never drops anything.",
        question="q4",
        also=["q5"],
        says="nothing was dropped",
        old="    weights = torch.nn.functional.dropout(weights, dropout)\n",
        new="",
    ),
    dict(
        name="dropout-is-the-share-kept",
        what="Takes dropout for the probability of staying.",
        question="q4",
        also=["q5"],
        says="probability of staying",
        old="torch.nn.functional.dropout(weights, dropout)",
        new="torch.nn.functional.dropout(weights, 1 - dropout if dropout else 0)",
    ),
    dict(
        name="softmax-after-dropout",
        what="Divides by the sum of the weights that stayed.",
        question="q4",
        also=["q5"],
        says="the softmax is not taken again",
        old="    return weights @ v",
        new="    weights = weights / weights.sum(-1, keepdim=True)\n    return weights @ v",
    ),
    dict(
        name="heads-dropped-by-keys",
        what="Drops whole keys: one draw for all queries.",
        question="q4",
        says="whole keys, for all queries",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    group = q.shape[-3] // k.shape[-3]
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    weights = attention_weights(q, k, keep)
    if dropout > 0:
        shape = list(weights.shape)
        shape[-2] = 1
        weights = weights * (torch.rand(shape) >= dropout) / (1 - dropout)
    return weights @ v
""",
    ),
    dict(
        name="queries-dropped",
        what="Drops whole queries.",
        question="q4",
        also=["q5"],
        says="whole queries",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    group = q.shape[-3] // k.shape[-3]
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    weights = attention_weights(q, k, keep)
    if dropout > 0:
        shape = list(weights.shape)
        shape[-1] = 1
        weights = weights * (torch.rand(shape) >= dropout) / (1 - dropout)
    return weights @ v
""",
    ),
    dict(
        name="heads-share-a-draw",
        what="Drops the same weights in each head.",
        question="q4",
        says="the same places in all heads",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    group = q.shape[-3] // k.shape[-3]
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    weights = attention_weights(q, k, keep)
    if dropout > 0:
        shape = list(weights.shape)
        shape[-3] = 1
        weights = weights * (torch.rand(shape) >= dropout) / (1 - dropout)
    return weights @ v
""",
    ),
    dict(
        name="batch-shares-a-draw",
        what="Drops the same weights in each text.",
        question="q4",
        also=["q5"],
        says="one draw serves all texts",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    group = q.shape[-3] // k.shape[-3]
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    weights = attention_weights(q, k, keep)
    if dropout > 0:
        shape = list(weights.shape)
        shape[:-2] = [1] * len(shape[:-2])
        weights = weights * (torch.rand(shape) >= dropout) / (1 - dropout)
    return weights @ v
""",
    ),
    dict(
        name="groups-share-a-draw",
        what="Draws for each key-value head, before they are repeated.",
        question="q4",
        says="the same places in a group of heads",
        code="""
def grouped_attention(q, k, v, keep, dropout=0.0):
    group = q.shape[-3] // k.shape[-3]
    few = k.shape[-3]
    k = k.repeat_interleave(group, dim=-3)
    v = v.repeat_interleave(group, dim=-3)
    weights = attention_weights(q, k, keep)
    if dropout > 0:
        kept = torch.rand(*q.shape[:-3], few, *weights.shape[-2:]) >= dropout
        kept = kept.repeat_interleave(group, dim=-3)
        weights = weights * kept / (1 - dropout)
    return weights @ v
""",
    ),
    dict(
        name="values-dropped",
        what="Drops numbers of the values.",
        question="q4",
        also=["q5"],
        says="of the values are dropped, not the weights",
        old="""    weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ v
""",
        new="""    return weights @ torch.nn.functional.dropout(v, dropout)
""",
    ),
    dict(
        name="each-number-read-dropped",
        what="Drops single numbers of what was read.",
        question="q4",
        also=["q5"],
        says="numbers of the output",
        old="""    weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ v
""",
        new="""    return torch.nn.functional.dropout(weights @ v, dropout)
""",
    ),
    dict(
        name="scores-dropped",
        what="Drops numbers of the queries, and so the scores.",
        question="q4",
        also=["q5"],
        says="not on the weights",
        old="""    weights = attention_weights(q, k, keep)  # (..., H, T, S)
    weights = torch.nn.functional.dropout(weights, dropout)
""",
        new="""    q = torch.nn.functional.dropout(q, dropout)
    weights = attention_weights(q, k, keep)
""",
    ),
    dict(
        name="half-whatever-dropout-is",
        what="Drops half of the weights at any dropout.",
        question="q4",
        also=["q5"],
        says="another number than dropout is used",
        old="dropout(weights, dropout)",
        new="dropout(weights, 0.5 if dropout else 0.0)",
    ),
    # q5: the layer
    dict(
        name="dropout-on-in-evaluation",
        what="Hands dropout on whether the model is training or not.",
        question="q5",
        says="Dropout is on in evaluation",
        old="dropout if training else 0.0",
        new="dropout",
    ),
    dict(
        name="dropout-the-wrong-way-round",
        what="Drops in evaluation and not in training.",
        question="q5",
        says="Dropout is on in evaluation",
        old="dropout if training else 0.0",
        new="0.0 if training else dropout",
    ),
    dict(
        name="dropout-not-handed-on",
        what="Ignores dropout in training.",
        question="q5",
        says="dropout is not handed on",
        old="grouped_attention(q, k, v, keep, p)",
        new="grouped_attention(q, k, v, keep)",
    ),
    dict(
        name="no-output-projection",
        what='Forgets the matrix "o".',
        question="q5",
        says="output projection is missing",
        old=' @ weights["o"]',
        new="",
    ),
    dict(
        name="output-matrix-transposed",
        what="Multiplies by the output matrix as nn.Linear keeps it.",
        question="q5",
        says='"o" transposed',
        old=' @ weights["o"]',
        new=' @ weights["o"].T',
    ),
    dict(
        name="no-rotation",
        what="Leaves out the positions.",
        question="q5",
        says="nothing was rotated",
        old="    q, k = rotate(q, positions), rotate(k, positions)\n",
        new="",
    ),
    dict(
        name="keys-not-rotated",
        what="Rotates the queries only.",
        question="q5",
        says="keys were not rotated",
        old="rotate(k, positions)",
        new="k",
    ),
    dict(
        name="values-rotated",
        what="Rotates the values as well.",
        question="q5",
        says="values were rotated",
        old="    keep = window_mask",
        new="    v = rotate(v, positions)\n    keep = window_mask",
    ),
    dict(
        name="rotated-before-the-split",
        what="Rotates the whole row, over the borders of the heads.",
        question="q5",
        says="split into heads first",
        old="""    q = split_heads(x @ weights["q"], num_heads)
    k = split_heads(x @ weights["k"], num_kv_heads)
    v = split_heads(x @ weights["v"], num_kv_heads)
    q, k = rotate(q, positions), rotate(k, positions)
""",
        new="""    q = split_heads(rotate(x @ weights["q"], positions), num_heads)
    k = split_heads(rotate(x @ weights["k"], positions), num_kv_heads)
    v = split_heads(x @ weights["v"], num_kv_heads)
""",
    ),
    dict(
        name="keys-and-values-swapped",
        what="Reads the keys and compares with the values.",
        question="q5",
        says="swapped",
        old="grouped_attention(q, k, v, keep, p)",
        new="grouped_attention(\n        q, rotate(v, positions),"
        ' split_heads(x @ weights["k"], num_kv_heads), keep, p\n    )',
    ),
    dict(
        name="window-forgotten",
        what="Masks the future but sees the whole past.",
        question="q5",
        says="the window is not handed on",
        old="window_mask(num_tokens, num_tokens, window)",
        new="window_mask(num_tokens, num_tokens, num_tokens)",
    ),
    dict(
        name="window-narrowed",
        what="Hands on one less, for the token itself, though window_mask counts it.",
        question="q5",
        says="the window is not handed on",
        old="window_mask(num_tokens, num_tokens, window)",
        new="window_mask(num_tokens, num_tokens, max(window - 1, 1))",
    ),
    dict(
        name="layer-without-batch",
        what="Takes the number of tokens from the first axis.",
        question="q5",
        says="RuntimeError",
        old="num_tokens = x.shape[-2]",
        new="num_tokens = len(x)",
    ),
    dict(
        name="values-split-by-query-heads",
        what="Splits the keys and values by the number of query heads.",
        question="q5",
        says="RuntimeError",
        old="""    k = split_heads(x @ weights["k"], num_kv_heads)
    v = split_heads(x @ weights["v"], num_kv_heads)
""",
        new="""    k = split_heads(x @ weights["k"], num_heads)
    v = split_heads(x @ weights["v"], num_heads)
""",
    ),
    dict(
        name="output-of-the-layer-dropped",
        what="Drops numbers of the layer's output.",
        question="q5",
        says="not the weights",
        old='    return merge_heads(grouped_attention(q, k, v, keep, p)) @ weights["o"]',
        new="""    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    return torch.nn.functional.dropout(out, p)""",
    ),
    dict(
        name="read-of-the-layer-dropped",
        what="Drops numbers of what the heads read, before the projection.",
        question="q5",
        says="not the weights",
        old='    return merge_heads(grouped_attention(q, k, v, keep, p)) @ weights["o"]',
        new="""    out = merge_heads(grouped_attention(q, k, v, keep))
    return torch.nn.functional.dropout(out, p) @ weights["o"]""",
    ),
    dict(
        name="input-of-the-layer-dropped",
        what="Drops numbers of x.",
        question="q5",
        says="something else is dropped, too",
        old="    num_tokens = x.shape[-2]\n",
        new="""    num_tokens = x.shape[-2]
    x = torch.nn.functional.dropout(x, dropout if training else 0.0)
""",
    ),
    dict(
        name="dropped-twice",
        what="Drops weights, and numbers of the output as well.",
        question="q5",
        says="not the weights",
        old='    return merge_heads(grouped_attention(q, k, v, keep, p)) @ weights["o"]',
        new="""    out = merge_heads(grouped_attention(q, k, v, keep, p)) @ weights["o"]
    return torch.nn.functional.dropout(out, p)""",
    ),
    dict(
        name="half-in-training",
        what="Drops half in training, whatever dropout is.",
        question="q5",
        says="another dropout is handed on",
        old="p = dropout if training",
        new="p = 0.5 if training and dropout",
    ),
    dict(
        name="query-matrix-transposed",
        what="Multiplies x by the transposed matrix of the queries.",
        question="q5",
        says='"q" transposed',
        old='x @ weights["q"]',
        new='x @ weights["q"].T',
    ),
    dict(
        name="queries-turned-back",
        what="Turns the queries backwards.",
        question="q5",
        says="rotate q and k by 0, 1, 2",
        old="rotate(q, positions), rotate",
        new="rotate(q, -positions), rotate",
    ),
    # q6: the cache
    dict(
        name="position-from-the-cache",
        what="Takes the number of entries in the cache for the position.",
        question="q6",
        says='"seen" but by the length',
        old="positions = torch.arange(seen, seen + num_new)",
        new='start = cache["k"].shape[-2] if cache else 0\n'
        "    positions = torch.arange(start, start + num_new)",
    ),
    dict(
        name="position-always-zero",
        what="Turns each new token as if it were the first.",
        question="q6",
        says="by its own position",
        old="torch.arange(seen, seen + num_new)",
        new="torch.arange(num_new)",
    ),
    dict(
        name="position-one-too-far-for-queries",
        what="Turns the queries by the position after their own.",
        question="q6",
        says="by its own position",
        code="""
def cached_step(x, cache, weights, num_heads, num_kv_heads, window):
    seen = cache.get("seen", 0) + x.shape[-2]
    positions = torch.arange(seen, seen + x.shape[-2])
    q = rotate(split_heads(x @ weights["q"], num_heads), positions)
    k = split_heads(x @ weights["k"], num_kv_heads)
    k = rotate(k, positions - x.shape[-2])
    v = split_heads(x @ weights["v"], num_kv_heads)
    if cache:
        k = torch.cat([cache["k"], k], dim=-2)
        v = torch.cat([cache["v"], v], dim=-2)
    keep = window_mask(x.shape[-2], k.shape[-2], window)
    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    return out, {"k": k[:, -window:], "v": v[:, -window:], "seen": seen}
""",
    ),
    dict(
        name="query-position-from-the-cache",
        what="Turns the query by the length of the cache, and the key rightly.",
        question="q6",
        says="for the query, the position",
        old='    q = rotate(split_heads(x @ weights["q"], num_heads), positions)\n',
        new="    at = cache[\"k\"].shape[-2] if cache else 0\n"
        "    at = torch.arange(at, at + num_new)\n"
        '    q = rotate(split_heads(x @ weights["q"], num_heads), at)\n',
    ),
    dict(
        name="seen-counts-steps",
        what="Adds 1 to seen for each step, however many tokens it had.",
        question="q6",
        says="grow by the size of the step",
        old='"seen": seen + num_new',
        new='"seen": seen + 1',
    ),
    dict(
        name="seen-counts-entries",
        what="Keeps in seen the number of entries.",
        question="q6",
        says="counts all tokens ever seen",
        old='"seen": seen + num_new',
        new='"seen": k[:, -window:].shape[-2]',
    ),
    dict(
        name="keys-cached-before-rotation",
        what="Puts the keys into the cache as they were before they were turned.",
        question="q6",
        says="not turned once",
        code="""
def cached_step(x, cache, weights, num_heads, num_kv_heads, window):
    seen = cache.get("seen", 0)
    positions = torch.arange(seen, seen + x.shape[-2])
    q = rotate(split_heads(x @ weights["q"], num_heads), positions)
    plain = split_heads(x @ weights["k"], num_kv_heads)
    k = rotate(plain, positions)
    v = split_heads(x @ weights["v"], num_kv_heads)
    if cache:
        k = torch.cat([cache["k"], k], dim=-2)
        plain = torch.cat([cache["k"], plain], dim=-2)
        v = torch.cat([cache["v"], v], dim=-2)
    keep = window_mask(x.shape[-2], k.shape[-2], window)
    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    return out, {
        "k": plain[:, -window:],
        "v": v[:, -window:],
        "seen": seen + x.shape[-2],
    }
""",
    ),
    dict(
        name="cached-keys-turned-again",
        what="Turns all keys at each step, those from the cache once more.",
        question="q6",
        says="not turned once",
        code="""
def cached_step(x, cache, weights, num_heads, num_kv_heads, window):
    seen = cache.get("seen", 0)
    positions = torch.arange(seen, seen + x.shape[-2])
    q = rotate(split_heads(x @ weights["q"], num_heads), positions)
    k = split_heads(x @ weights["k"], num_kv_heads)
    v = split_heads(x @ weights["v"], num_kv_heads)
    if cache:
        k = torch.cat([cache["k"], k], dim=-2)
        v = torch.cat([cache["v"], v], dim=-2)
    now = seen + x.shape[-2]
    k = rotate(k, torch.arange(now - k.shape[-2], now))
    keep = window_mask(x.shape[-2], k.shape[-2], window)
    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    return out, {"k": k[:, -window:], "v": v[:, -window:], "seen": now}
""",
    ),
    dict(
        name="new-before-old",
        what="Puts the new keys and values in front of the old ones.",
        question="q6",
        says="old entries do not stand in front",
        old="""        k = torch.cat([cache["k"], k], dim=-2)  # (num_kv_heads, S, d_k)
        v = torch.cat([cache["v"], v], dim=-2)
""",
        new="""        k = torch.cat([k, cache["k"]], dim=-2)
        v = torch.cat([v, cache["v"]], dim=-2)
""",
    ),
    dict(
        name="values-not-cached",
        what="Keeps the keys, and of the values the new ones only.",
        question="q6",
        says="RuntimeError",
        old='        v = torch.cat([cache["v"], v], dim=-2)\n',
        new="",
    ),
    dict(
        name="newest-dropped",
        what="Keeps the first entries when the cache is full.",
        question="q6",
        says="the OLDEST entry is not the one dropped",
        old="""        "k": k[:, -window:],
        "v": v[:, -window:],
""",
        new="""        "k": k[:, :window],
        "v": v[:, :window],
""",
    ),
    dict(
        name="nothing-dropped",
        what="Lets the cache grow without end; the mask keeps the outputs right.",
        question="q6",
        says="drop what no later token can see",
        old="""        "k": k[:, -window:],
        "v": v[:, -window:],
""",
        new="""        "k": k,
        "v": v,
""",
    ),
    dict(
        name="one-entry-too-few",
        what="Keeps window - 2 entries, so that the oldest of the window is missing.",
        question="q6",
        says="more is dropped than need be",
        old="""        "k": k[:, -window:],
        "v": v[:, -window:],
""",
        new="""        "k": k[:, max(k.shape[-2] - max(window - 2, 0), 0) :],
        "v": v[:, max(k.shape[-2] - max(window - 2, 0), 0) :],
""",
    ),
    dict(
        name="minus-zero-is-everything",
        what="Keeps window - 1 entries by a slice, which at window 1 is [-0:].",
        question="q6",
        says="outgrows the window",
        old="""        "k": k[:, -window:],
        "v": v[:, -window:],
""",
        new="""        "k": k[:, -(window - 1) :],
        "v": v[:, -(window - 1) :],
""",
    ),
    dict(
        name="dropped-before-attending",
        what="Cuts to the window before the first tokens of a prompt have looked.",
        question="q6",
        says="with all keys still there",
        old="    keep = window_mask(num_new, k.shape[-2], window)\n",
        new="    k, v = k[:, -window:], v[:, -window:]\n"
        "    keep = window_mask(k.shape[-2], k.shape[-2], window)\n"
        "    keep = torch.cat(\n"
        "        [keep[:1].expand(max(num_new - len(keep), 0), -1), keep[-num_new:]]\n"
        "    )\n",
    ),
    dict(
        name="no-mask-in-a-step",
        what="Lets every new token see all keys, as if a step were always one token.",
        question="q6",
        says="cached keys are not masked",
        old="window_mask(num_new, k.shape[-2], window)",
        new="torch.ones(num_new, k.shape[-2], dtype=torch.bool)",
    ),
    dict(
        name="mask-of-a-square",
        what="Makes the mask for the new tokens alone.",
        question="q6",
        says="cached keys are not masked",
        old="window_mask(num_new, k.shape[-2], window)",
        new="window_mask(num_new, num_new, window)",
    ),
    dict(
        name="cache-changed-in-place",
        what="Updates the dictionary that was given.",
        question="q6",
        says="the dictionary that was given is filled",
        old="    return out, new_cache",
        new="    cache.update(new_cache)\n    return out, cache",
    ),
    dict(
        name="repeated-heads-cached",
        what="Repeats the key-value heads first, and caches the copies.",
        question="q6",
        says="before any repetition",
        old="    if cache:\n",
        new="    k = k.repeat_interleave(num_heads // num_kv_heads, dim=0)\n"
        "    v = v.repeat_interleave(num_heads // num_kv_heads, dim=0)\n"
        "    if cache:\n",
    ),
    dict(
        name="cache-written-when-full",
        what="Moves the entries of a full cache up in place.",
        question="q6",
        says="by writing into its tensors",
        code="""
def cached_step(x, cache, weights, num_heads, num_kv_heads, window):
    num_new = x.shape[-2]
    seen = cache.get("seen", 0)
    positions = torch.arange(seen, seen + num_new)
    q = rotate(split_heads(x @ weights["q"], num_heads), positions)
    k = rotate(split_heads(x @ weights["k"], num_kv_heads), positions)
    v = split_heads(x @ weights["v"], num_kv_heads)
    if cache and cache["k"].shape[-2] == window and num_new == 1:
        mask = window_mask(1, window, window)
        for name, new in ("k", k), ("v", v):
            cache[name][:, :-1] = cache[name][:, 1:].clone()
            cache[name][:, -1:] = new
        k, v = cache["k"], cache["v"]
    elif cache:
        k = torch.cat([cache["k"], k], dim=-2)
        v = torch.cat([cache["v"], v], dim=-2)
    keep = window_mask(num_new, k.shape[-2], window)
    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    return out, {"k": k[:, -window:], "v": v[:, -window:], "seen": seen + num_new}
""",
    ),
    dict(
        name="position-in-a-global",
        what="Counts the position in a variable outside.",
        question="q6",
        says="something outlives the call",
        code="""
_count = [0]


def cached_step(x, cache, weights, num_heads, num_kv_heads, window):
    num_new = x.shape[-2]
    if not cache:
        _count[0] = 0
    positions = torch.arange(_count[0], _count[0] + num_new)
    _count[0] += num_new
    q = rotate(split_heads(x @ weights["q"], num_heads), positions)
    k = rotate(split_heads(x @ weights["k"], num_kv_heads), positions)
    v = split_heads(x @ weights["v"], num_kv_heads)
    if cache:
        k = torch.cat([cache["k"], k], dim=-2)
        v = torch.cat([cache["v"], v], dim=-2)
    keep = window_mask(num_new, k.shape[-2], window)
    out = merge_heads(grouped_attention(q, k, v, keep)) @ weights["o"]
    k, v = k[:, -window:], v[:, -window:]
    return out, {"k": k, "v": v, "seen": cache.get("seen", 0) + num_new}
""",
    ),
    dict(
        name="one-entry-dropped-a-step",
        what="Drops one entry a step, however many came.",
        question="q6",
        says="too little is dropped after a large step",
        old="""        "k": k[:, -window:],
        "v": v[:, -window:],
""",
        new="""        "k": k[:, 1:] if k.shape[-2] > window else k,
        "v": v[:, 1:] if v.shape[-2] > window else v,
""",
    ),
    dict(
        name="seen-stops-at-the-window",
        what="Caps seen at the window.",
        question="q6",
        says="Perhaps it counts entries",
        old='"seen": seen + num_new',
        new='"seen": min(seen + num_new, window)',
    ),
    # q7: cost and reach
    dict(
        name="values-not-counted",
        what="Counts the keys only.",
        question="q7",
        says="values are kept, too",
        old="return 2 * num_layers",
        new="return num_layers",
    ),
    dict(
        name="always-a-full-window",
        what="Counts a full window even when less was read.",
        question="q7",
        says="only 10 tokens were seen",
        old="min(num_tokens, window)",
        new="window",
    ),
    dict(
        name="window-not-counted",
        what="Counts every token ever read.",
        question="q7",
        says="more is counted than the cache keeps",
        old="min(num_tokens, window)",
        new="num_tokens",
    ),
    dict(
        name="bytes-forgotten",
        what="Counts numbers, and not bytes.",
        question="q7",
        says="numbers are counted, and not bytes",
        old=" * entries * bytes_each",
        new=" * entries",
    ),
    dict(
        name="always-two-bytes",
        what="Ignores bytes_each.",
        question="q7",
        says="bytes_each",
        old="entries * bytes_each",
        new="entries * 2",
    ),
    dict(
        name="reach-is-layers-times-window",
        what="Adds a whole window for each layer.",
        question="q7",
        says="each layer adds window - 1",
        old="1 + num_layers * (window - 1)",
        new="num_layers * window",
    ),
    dict(
        name="reach-without-itself",
        what="Counts the tokens before, and not the token itself.",
        question="q7",
        says="the token itself counts once",
        old="1 + num_layers * (window - 1)",
        new="num_layers * (window - 1)",
    ),
    dict(
        name="reach-is-a-power",
        what="Multiplies where a layer adds.",
        question="q7",
        says="each layer adds window - 1",
        old="1 + num_layers * (window - 1)",
        new="window**num_layers",
    ),
]
