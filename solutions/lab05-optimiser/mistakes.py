"""Plausible wrong answers to lab 05, and the question whose tests must catch each."""

MISTAKES = [
    # q1: loss and gradient at the logits
    dict(
        name="not-shifted",
        what="Scores each output against its own input token.",
        question="q1",
        says="meets the token at t",
        code="""
def loss_and_grad(logits, ids, pad):
    real = ids != pad
    count = int(real.sum())
    share = max(count, 1)
    picks = np.where(real, ids, 0)[..., None]
    z = logits - logits.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]
    dz = np.exp(log_p)
    here = np.take_along_axis(dz, picks, axis=-1)
    np.put_along_axis(dz, picks, here - 1, axis=-1)
    dz = np.where(real[..., None], dz, 0) / share
    loss = float(paid[real].sum() / share)
    return {"loss": loss, "count": max(count - len(ids), 0), "dlogits": dz}
""",
    ),
    dict(
        name="shifted-backwards",
        what="Scores the output at t against the token at t - 1.",
        question="q1",
        says="meets the token at t",
        code="""
def loss_and_grad(logits, ids, pad):
    z, targets = logits[:, 1:], ids[:, :-1]
    real = targets != pad
    count = int(real.sum())
    share = max(count, 1)
    picks = np.where(real, targets, 0)[..., None]
    z = z - z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]
    dz = np.exp(log_p)
    here = np.take_along_axis(dz, picks, axis=-1)
    np.put_along_axis(dz, picks, here - 1, axis=-1)
    dlogits = np.zeros_like(logits)
    dlogits[:, 1:] = np.where(real[..., None], dz, 0) / share
    loss = float(paid[real].sum() / share)
    return {"loss": loss, "count": count, "dlogits": dlogits}
""",
    ),
    dict(
        name="texts-run-on",
        what="Flattens before shifting, so a text's last output meets the next text's first token.",
        question="q1",
        says="not scored",
        code="""
def loss_and_grad(logits, ids, pad):
    z = logits.reshape(-1, logits.shape[-1])
    targets = np.roll(ids.reshape(-1), -1)
    real = targets != pad
    count = int(real.sum())
    share = max(count, 1)
    picks = np.where(real, targets, 0)[..., None]
    z = z - z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]
    dz = np.exp(log_p)
    here = np.take_along_axis(dz, picks, axis=-1)
    np.put_along_axis(dz, picks, here - 1, axis=-1)
    dz = np.where(real[..., None], dz, 0) / share
    loss = float(paid[real].sum() / share)
    shape = logits.shape
    return {"loss": loss, "count": count - 1, "dlogits": dz.reshape(shape)}
""",
    ),
    dict(
        name="padding-counted",
        what="Scores targets that are padding like any other.",
        question="q1",
        says="perhaps the padding is counted",
        old="    real = targets != pad  # (B, T - 1)\n",
        new="    real = targets == targets\n    targets = targets % logits.shape[-1]\n",
    ),
    dict(
        name="padding-in-the-number",
        what="Leaves padding out of the sum and divides by the number of all targets.",
        question="q1",
        says="that it is divided by",
        old="    share = max(count, 1)\n",
        new="    share = max(real.size, 1)\n",
    ),
    dict(
        name="padding-of-the-input",
        what="Leaves out outputs whose input token is padding, not those whose target is.",
        question="q1",
        says="of the token before the target",
        old="    real = targets != pad  # (B, T - 1)\n",
        new="    real = ids[:, :-1] != pad\n    targets = targets % logits.shape[-1]\n",
    ),
    dict(
        name="padding-still-pushes",
        what="Leaves padding out of the loss and forgets it in the gradient.",
        question="q1",
        says="the gradient forgets the padding",
        old="np.where(real[..., None], dz, 0) / share",
        new="dz / share",
    ),
    dict(
        name="mean-over-texts",
        what="Takes the mean of each text and then the mean of the texts.",
        question="q1",
        says="not over the texts",
        old='        "loss": float(paid[real].sum() / share),\n',
        new='        "loss": float(np.mean([\n'
        "            row[keep].sum() / max(keep.sum(), 1)\n"
        "            for row, keep in zip(paid, real)\n"
        "        ])),\n",
    ),
    dict(
        name="gradient-not-divided",
        what="Forgets that the loss is a mean.",
        question="q1",
        says="not divided by the count",
        old="np.where(real[..., None], dz, 0) / share",
        new="np.where(real[..., None], dz, 0)",
    ),
    dict(
        name="gradient-divided-by-texts",
        what="Divides the gradient by the number of texts.",
        question="q1",
        says="not divided by the count",
        old="np.where(real[..., None], dz, 0) / share",
        new="np.where(real[..., None], dz, 0) / len(ids)",
    ),
    dict(
        name="gradient-divided-by-all",
        what="Divides the gradient by the number of all targets, padding too.",
        question="q1",
        says="and not of the REAL ones",
        old="np.where(real[..., None], dz, 0) / share",
        new="np.where(real[..., None], dz, 0) / max(real.size, 1)",
    ),
    dict(
        name="target-not-subtracted",
        what="Returns the probabilities, without taking 1 from the target.",
        question="q1",
        says="the 1 of the target is not subtracted",
        old="    np.put_along_axis(dz, picks, here - 1, axis=-1)\n",
        new="",
    ),
    dict(
        name="sign-of-the-gradient",
        what="Truth minus probability.",
        question="q1",
        says="the sign is wrong",
        old="    dz = np.where(real[..., None], dz, 0) / share\n",
        new="    dz = -np.where(real[..., None], dz, 0) / share\n",
    ),
    dict(
        name="loss-in-bits",
        what="Gives the loss in bits.",
        question="q1",
        says="in bits, not nats",
        old="float(paid[real].sum() / share)",
        new="float(paid[real].sum() / share / np.log(2))",
    ),
    dict(
        name="max-not-subtracted",
        what="Does not subtract the largest logit, so that exp overflows.",
        question="q1",
        says="exp overflows",
        old="    z = z - z.max(axis=-1, keepdims=True)\n",
        new="",
    ),
    dict(
        name="max-of-everything",
        what="Subtracts the largest logit of the whole batch.",
        question="q1",
        says="each row has its own",
        old="    z = z - z.max(axis=-1, keepdims=True)\n",
        new="    z = z - z.max()\n",
    ),
    dict(
        name="log-of-a-rounded-probability",
        what="Takes the log of the softmax, with 1e-12 added against log 0.",
        question="q1",
        says="rounded to 0 before",
        old="    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]\n",
        new="    paid = -np.log(np.take_along_axis(np.exp(log_p), picks, axis=-1)"
        " + 1e-12)[..., 0]\n",
    ),
    dict(
        name="one-hot-times-log",
        what="Multiplies log-probabilities by zeros and ones: 0 * -inf is nan.",
        question="q1",
        says="0 * -inf is nan",
        old="    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]\n",
        new="    paid = -(np.eye(z.shape[-1])[picks[..., 0]] * log_p).sum(-1)\n",
    ),
    dict(
        name="logits-in-place",
        what="Subtracts the largest logit in the array that was given.",
        question="q1",
        says="logits were changed in place",
        old="    z = z - z.max(axis=-1, keepdims=True)\n",
        new="    z -= z.max(axis=-1, keepdims=True)\n",
    ),
    dict(
        name="nothing-real-is-nan",
        what="Divides 0 by 0 where there is nothing but padding.",
        question="q1",
        says="perhaps it is 0 / 0",
        old="    share = max(count, 1)\n",
        new="    share = np.float64(count)\n",
    ),
    dict(
        name="gradient-in-float64",
        what="Returns the gradient of float32 logits in float64.",
        question="q1",
        says="the type of dlogits is that of logits",
        old="    dlogits = np.zeros_like(logits)\n",
        new="    dlogits = np.zeros(logits.shape)\n",
    ),
    dict(
        name="ends-at-the-first-pad",
        what="Takes a text to be over at its first padding.",
        question="q1",
        says="or the first pad ends it",
        old="    real = targets != pad  # (B, T - 1)\n",
        new="    real = np.cumprod(targets != pad, axis=1).astype(bool)\n",
    ),
    dict(
        name="length-by-counting",
        what="Counts the real targets of a text and takes that many from its start.",
        question="q1",
        says="padding may stand anywhere",
        old="    real = targets != pad  # (B, T - 1)\n",
        new="    lengths = (targets != pad).sum(axis=1, keepdims=True)\n"
        "    real = np.arange(targets.shape[1]) < lengths\n"
        "    targets = targets % logits.shape[-1]\n",
    ),
    dict(
        name="padding-multiplied-away",
        what="Multiplies the gradient of padding by 0, also where it is nan.",
        question="q1",
        says="0 * nan is nan",
        old="    dz = np.where(real[..., None], dz, 0) / share\n",
        new="    dz = dz * real[..., None] / share\n",
    ),
    dict(
        name="loss-multiplied-away",
        what="Multiplies the loss at padding by 0, also where it is nan.",
        question="q1",
        says="0 * nan is nan",
        old="float(paid[real].sum() / share)",
        new="float((paid * real).sum() / share)",
    ),
    dict(
        name="flat-index-narrow",
        what="Works out flat positions in the narrow type of ids.",
        question="q1",
        says="of type uint8",
        old="    paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0]\n",
        new="    rows = np.arange(picks.size).astype(ids.dtype) * ids.dtype.type(z.shape[-1])\n"
        "    flat = rows + picks.ravel().astype(ids.dtype)\n"
        "    paid = -log_p.ravel()[flat].reshape(real.shape)\n",
    ),
    # q2: head and embedding
    dict(
        name="head-transposed",
        what="Returns the gradient of the weight's transpose.",
        question="q2",
        says="perhaps it is transposed",
        old="    return [dweight, dh]\n",
        new="    return [dweight.T, dh]\n",
    ),
    dict(
        name="head-averaged",
        what="Divides by the number of positions a second time.",
        question="q2",
        says="since dlogits is divided already",
        old="    dweight = flat.T @ h.reshape(-1, h.shape[-1])\n",
        new="    dweight = flat.T @ h.reshape(-1, h.shape[-1]) / len(flat)\n",
    ),
    dict(
        name="head-backward-as-forward",
        what="Multiplies by the transpose on the way back, too.",
        question="q2",
        says="on the way back it is not",
        old="    dh = dlogits @ weight\n",
        new="    dh = dlogits @ weight.T\n",
    ),
    dict(
        name="head-one-matrix-a-text",
        what="Keeps a gradient for each text instead of adding them up.",
        question="q2",
        says="add up to one matrix",
        old="    dweight = flat.T @ h.reshape(-1, h.shape[-1])\n",
        new="    dweight = np.squeeze(np.swapaxes(dlogits, 1, 2) @ h)\n",
    ),
    dict(
        name="head-batch-left",
        what="Multiplies text by text, and leaves the axis of the texts.",
        question="q2",
        says="flatten first",
        old="    dweight = flat.T @ h.reshape(-1, h.shape[-1])\n",
        new="    dweight = np.swapaxes(dlogits, 1, 2) @ h\n",
    ),
    dict(
        name="head-first-text-only",
        what="Looks at the first text of the batch.",
        question="q2",
        says="sum over all positions of all texts",
        old="    dweight = flat.T @ h.reshape(-1, h.shape[-1])\n",
        new="    dweight = dlogits[0].T @ h[0]\n",
    ),
    dict(
        name="rows-lost",
        what="Adds with +=, which counts a repeated row once.",
        question="q2",
        says="one of the two is lost",
        old="    np.add.at(dweight, ids, dx)\n",
        new="    dweight[ids] += dx\n",
    ),
    dict(
        name="rows-too-few",
        what="Makes the table only as large as the tokens that came.",
        question="q2",
        says="however few tokens come",
        old="    np.add.at(dweight, ids, dx)\n",
        new="    dweight = dweight[: ids.max() + 1]\n    np.add.at(dweight, ids, dx)\n",
    ),
    dict(
        name="rows-of-a-text",
        what="Adds up within a text, and lets a later text overwrite an earlier one.",
        question="q2",
        says="also if it is in another text",
        old="    np.add.at(dweight, ids, dx)\n",
        new="    for row, d in zip(ids, dx):\n"
        "        own = np.zeros_like(dweight)\n"
        "        np.add.at(own, row, d)\n"
        "        dweight[row] = own[row]\n",
    ),
    dict(
        name="flat-rows-narrow",
        what="Works out flat positions in the type of ids, which may be uint8.",
        question="q2",
        says="of type uint8",
        old="    np.add.at(dweight, ids, dx)\n",
        new="    d = dx.shape[-1]\n"
        "    flat = ids[..., None] * np.asarray(d, ids.dtype)\n"
        "    flat = flat + np.arange(d)\n"
        "    flat = np.bincount(flat.ravel(), dx.ravel(), vocab_size * d)\n"
        "    dweight += flat.reshape(vocab_size, d)\n",
    ),
    # q3: clipping
    dict(
        name="clip-each-array",
        what="Clips each array by its own norm.",
        question="q3",
        says="each array or number was clipped by itself",
        old="            clipped[name] = (g * np.float64(factor)).astype(g.dtype)\n",
        new="            own = np.sqrt(np.square(g, dtype=np.float64).sum())\n"
        "            factor = min(1, max_norm / max(own, 1e-300))\n"
        "            clipped[name] = (g * np.float64(factor)).astype(g.dtype)\n",
    ),
    dict(
        name="clip-each-value",
        what="Cuts off each number at max_norm.",
        question="q3",
        says="each array or number was clipped by itself",
        old="            clipped[name] = (g * np.float64(factor)).astype(g.dtype)\n",
        new="            clipped[name] = np.clip(g, -max_norm, max_norm)\n",
    ),
    dict(
        name="clip-makes-longer",
        what="Scales every gradient to max_norm, short ones too.",
        question="q3",
        says="was made longer",
        old="    if max_norm < norm < np.inf:\n",
        new="    if 0 < norm < np.inf:\n",
    ),
    dict(
        name="clip-divides-zero",
        what="Makes nan of a gradient of zeros.",
        question="q3",
        says="zeros stay zeros",
        old="    if max_norm < norm < np.inf:\n        factor = max_norm / norm\n",
        new="    if norm < np.inf:\n"
        "        factor = np.minimum(1, max_norm * (1 / np.float64(norm)))\n"
        "        factor = 0 * np.inf if norm == 0 else factor\n",
    ),
    dict(
        name="clip-sum-of-norms",
        what="Adds the norms of the arrays.",
        question="q3",
        says="sum of the norms",
        old="    norm = float(np.sqrt(sum(squares)))\n",
        new="    norm = float(sum(np.sqrt(squares)))\n",
    ),
    dict(
        name="clip-norm-of-the-last",
        what="Takes the norm of the last array for that of all.",
        question="q3",
        says="the norm of one array alone",
        old="np.sqrt(sum(squares))",
        new="np.sqrt(squares[-1])",
    ),
    dict(
        name="clip-without-root",
        what="Forgets the root.",
        question="q3",
        also=["q7"],
        says="the root is missing",
        old="    norm = float(np.sqrt(sum(squares)))\n",
        new="    norm = float(sum(squares))\n",
    ),
    dict(
        name="clip-says-norm-after",
        what="Returns the norm after clipping.",
        question="q3",
        also=["q7"],
        says="this is the norm after clipping",
        old="    return [clipped, norm]\n",
        new="    return [clipped, min(norm, max_norm)]\n",
    ),
    dict(
        name="clip-norm-first",
        what="Returns the norm before the gradients.",
        question="q3",
        also=["q7"],
        says="the second of [clipped, norm] is the norm",
        old="    return [clipped, norm]\n",
        new="    return [norm, clipped]\n",
    ),
    dict(
        name="clip-overflows",
        what="Squares in the type that the gradients have.",
        question="q3",
        says="a square overflows",
        old="np.square(g, dtype=np.float64).sum()",
        new="np.square(g).sum()",
    ),
    dict(
        name="clip-squares-in-float32",
        what="Squares in float32, which is enough for float16 only.",
        question="q3",
        says="square them in float64",
        old="np.square(g, dtype=np.float64).sum()",
        new="np.square(g, dtype=np.float32).sum()",
    ),
    dict(
        name="clip-changes-types",
        what="Returns all gradients in float64.",
        question="q3",
        says="keep the type",
        old="(g * np.float64(factor)).astype(g.dtype)",
        new="g * np.float64(factor)",
    ),
    dict(
        name="clip-in-place",
        what="Writes into the gradients that were given.",
        question="q3",
        says="gradients after the call: changed in place",
        old="            clipped[name] = (g * np.float64(factor)).astype(g.dtype)\n",
        new="            g[...] = g * np.float64(factor)\n            clipped[name] = g\n",
    ),
    dict(
        name="clip-spreads-inf",
        what="Divides by a norm that is infinite, which makes zeros and nan of all.",
        question="q3",
        says="perhaps that changed numbers that were sound",
        old="    if max_norm < norm < np.inf:\n",
        new="    if max_norm < norm:\n",
    ),
    dict(
        name="clip-spreads-nan",
        what="Divides by a norm that is nan.",
        question="q3",
        says="perhaps that changed numbers that were sound",
        old="    if max_norm < norm < np.inf:\n",
        new="    if not norm <= max_norm and norm != np.inf:\n",
    ),
    dict(
        name="clip-with-a-small-number",
        what="Adds 1e-6 to the norm, as PyTorch does.",
        question="q3",
        says="a small number is added",
        old="        factor = max_norm / norm\n",
        new="        factor = max_norm / (norm + 1e-6)\n",
    ),
    dict(
        name="norm-squared-compared",
        what="Compares the square of the norm with max_norm.",
        question="q3",
        says="the square of the norm is compared",
        old="    if max_norm < norm < np.inf:\n",
        new="    if max_norm < norm**2 < np.inf:\n",
    ),
    dict(
        name="norm-squared-divides",
        what="Divides by the square of the norm.",
        question="q3",
        also=["q7"],
        says="by the square of the norm",
        old="        factor = max_norm / norm\n",
        new="        factor = max_norm / norm**2\n",
    ),
    dict(
        name="python-factor",
        what="Multiplies in the type of the gradient, in which the factor is rounded.",
        question="q3",
        says="the factor was rounded",
        old="(g * np.float64(factor)).astype(g.dtype)",
        new="g * factor",
    ),
    dict(
        name="types-of-the-first",
        what="Gives all gradients the type of the first.",
        question="q3",
        says="each keeps its own",
        old="(g * np.float64(factor)).astype(g.dtype)",
        new="(g * np.float64(factor)).astype(list(grads.values())[0].dtype)",
    ),
    dict(
        name="first-axis-norm",
        what="Sums the squares along the last axis and takes the largest.",
        question="q3",
        says="runs over all their numbers",
        old="np.square(g, dtype=np.float64).sum()",
        new="np.square(g, dtype=np.float64).sum(axis=-1).max()",
    ),
    # q4: AdamW
    dict(
        name="no-bias-correction",
        what="Uses m and v as they are.",
        question="q4",
        says="the bias of m and of v is not corrected",
        old="        step = m_hat / (np.sqrt(v_hat) + eps)\n",
        new="        step = m / (np.sqrt(v) + eps)\n",
    ),
    dict(
        name="only-m-corrected",
        what="Corrects the bias of m only.",
        question="q4",
        says="the bias of m and of v is not corrected",
        old="        v_hat = v / (1 - betas[1] ** t)\n",
        new="        v_hat = v\n",
    ),
    dict(
        name="bias-off-by-one",
        what="Corrects with t + 1.",
        question="q4",
        says="with t = 1 in the first step",
        old="        m_hat = m / (1 - betas[0] ** t)\n        v_hat = v / (1 - betas[1] ** t)\n",
        new="        m_hat = m / (1 - betas[0] ** (t + 1))\n"
        "        v_hat = v / (1 - betas[1] ** (t + 1))\n",
    ),
    dict(
        name="bias-by-the-old-t",
        what="Corrects with t before it grows: 0 in the first step.",
        question="q4",
        also=["q7"],
        says="t grows before the correction",
        old="        m_hat = m / (1 - betas[0] ** t)\n        v_hat = v / (1 - betas[1] ** t)\n"
        "        step = m_hat / (np.sqrt(v_hat) + eps)\n",
        new="        with np.errstate(all='ignore'):\n"
        "            m_hat = m / (1 - np.float64(betas[0]) ** (t - 1))\n"
        "            v_hat = v / (1 - np.float64(betas[1]) ** (t - 1))\n"
        "            step = m_hat / (np.sqrt(v_hat) + eps)\n",
    ),
    dict(
        name="bias-by-the-first-step",
        what="Corrects each step as if it were the first.",
        question="q4",
        says="by this step's t",
        old="        m_hat = m / (1 - betas[0] ** t)\n        v_hat = v / (1 - betas[1] ** t)\n",
        new="        m_hat = m / (1 - betas[0])\n        v_hat = v / (1 - betas[1])\n",
    ),
    dict(
        name="corrected-m-kept",
        what="Stores the corrected moments, and so corrects twice.",
        question="q4",
        says="perhaps it is corrected for the bias",
        old='{"t": t, "m": m, "v": v}',
        new='{"t": t, "m": m_hat, "v": v_hat}',
    ),
    dict(
        name="betas-exchanged",
        what="Uses the first beta for v and the second for m.",
        question="q4",
        also=["q7"],
        says="the betas are exchanged",
        old="    new_params, new_state = dict(params), dict(state)\n",
        new="    new_params, new_state = dict(params), dict(state)\n    betas = betas[::-1]\n",
    ),
    dict(
        name="state-first",
        what="Returns the state before the parameters.",
        question="q4",
        also=["q7"],
        says="in another order: [params, state]",
        old="    return [new_params, new_state]\n",
        new="    return [new_state, new_params]\n",
    ),
    dict(
        name="moment-without-square",
        what="Averages the gradient in v, and not its square.",
        question="q4",
        says="v is",
        old="(1 - betas[1]) * g**2",
        new="(1 - betas[1]) * abs(g)",
    ),
    dict(
        name="uphill",
        what="Adds the step.",
        question="q4",
        says="goes uphill",
        old="        new_params[name] = p - lr * step\n",
        new="        new_params[name] = p + lr * step\n",
    ),
    dict(
        name="decay-of-vectors",
        what="Lets vectors decay as well.",
        question="q4",
        says="perhaps it decayed: a vector does not",
        old="        if p.ndim >= 2:\n",
        new="        if p.ndim >= 1:\n",
    ),
    dict(
        name="decay-of-two-axes-only",
        what="Leaves arrays with three axes without decay.",
        question="q4",
        says="an array with three axes",
        old="        if p.ndim >= 2:\n",
        new="        if p.ndim == 2:\n",
    ),
    dict(
        name="decay-coupled",
        what="Adds the decay to the gradient: L2, not decoupled.",
        question="q4",
        says="that is L2",
        old="        if p.ndim >= 2:\n            step = step + weight_decay * p\n",
        new="        if p.ndim >= 2:\n"
        "            g = g + weight_decay * p\n"
        '            m = betas[0] * old["m"] + (1 - betas[0]) * g\n'
        '            v = betas[1] * old["v"] + (1 - betas[1]) * g**2\n'
        "            m_hat = m / (1 - betas[0] ** t)\n"
        "            v_hat = v / (1 - betas[1] ** t)\n"
        "            step = m_hat / (np.sqrt(v_hat) + eps)\n",
    ),
    dict(
        name="decay-without-rate",
        what="Does not multiply the decay by the learning rate.",
        question="q4",
        says="not multiplied by the learning rate",
        old="            step = step + weight_decay * p\n",
        new="            p = p * (1 - weight_decay)\n",
    ),
    dict(
        name="decay-inside-the-fraction",
        what="Divides the decay by the root of v, with m.",
        question="q4",
        says="It stands outside the fraction",
        old="            step = step + weight_decay * p\n",
        new="            step = (m_hat + weight_decay * p) / (np.sqrt(v_hat) + eps)\n",
    ),
    dict(
        name="decay-after-the-step",
        what="Lets the weight decay after its step.",
        question="q4",
        says="took the weight after the step",
        old="            step = step + weight_decay * p\n",
        new="            step = step + weight_decay * (p - lr * step)\n",
    ),
    dict(
        name="no-decay",
        what="Forgets the decay.",
        question="q4",
        also=["q7"],
        says="as it would be without decay",
        old="            step = step + weight_decay * p\n",
        new="            step = step + 0\n",
    ),
    dict(
        name="epsilon-inside",
        what="Adds epsilon inside the root.",
        question="q4",
        says="epsilon is added to the root",
        old="(np.sqrt(v_hat) + eps)",
        new="np.sqrt(v_hat + eps)",
    ),
    dict(
        name="epsilon-squared-inside",
        what="Adds the square of epsilon inside the root.",
        question="q4",
        says="epsilon is added to the root",
        old="(np.sqrt(v_hat) + eps)",
        new="np.sqrt(v_hat + eps**2)",
    ),
    dict(
        name="epsilon-corrected-too",
        what="Adds epsilon before v is corrected, so that it is corrected as well.",
        question="q4",
        says="root of the corrected v",
        old="(np.sqrt(v_hat) + eps)",
        new="((np.sqrt(v) + eps) / np.sqrt(1 - betas[1] ** t))",
    ),
    dict(
        name="one-count-for-all",
        what="Counts the steps of all parameters together.",
        question="q4",
        says="the steps in which IT had a gradient",
        old='        t = old["t"] + 1\n',
        new='        t = 1 + max([s["t"] for s in state.values()], default=0)\n',
    ),
    dict(
        name="frozen-is-dropped",
        what="Returns only the parameters that had a gradient.",
        question="q4",
        also=["q7"],
        says="a parameter without a gradient in a step stays",
        old="    new_params, new_state = dict(params), dict(state)\n",
        new="    new_params, new_state = {}, {}\n",
    ),
    dict(
        name="frozen-state-is-dropped",
        what="Forgets the state of a parameter that has no gradient in this step.",
        question="q4",
        says="and so does its state",
        old="    new_params, new_state = dict(params), dict(state)\n",
        new="    new_params, new_state = dict(params), {}\n",
    ),
    dict(
        name="frozen-moves",
        what="Treats a missing gradient as zeros, so that m still moves the weight.",
        question="q4",
        says="each parameter counts its own steps",
        old="    for name, g in grads.items():\n        p = params[name]\n",
        new="    for name, p in params.items():\n        g = grads.get(name, 0 * p)\n",
    ),
    dict(
        name="frozen-decays",
        what="Lets all matrices decay, those without a gradient in this step too.",
        question="q4",
        says="no decay either",
        old="    for name, g in grads.items():\n        p = params[name]\n",
        new="    for name in params.keys() - grads.keys():\n"
        "        if params[name].ndim >= 2:\n"
        "            new_params[name] = params[name] * (1 - lr * weight_decay)\n"
        "    for name, g in grads.items():\n        p = params[name]\n",
    ),
    dict(
        name="params-in-place",
        what="Writes the step into the weights that were given.",
        question="q4",
        says="changed them in place",
        old="        new_params[name] = p - lr * step\n",
        new="        p -= lr * step\n",
    ),
    dict(
        name="moments-in-place",
        what="Updates m and v in the arrays of the old state.",
        question="q4",
        says="this is m in the old state",
        old='        new_state[name] = {"t": t, "m": m, "v": v}\n',
        new='        old["m"][...] = m\n'
        '        old["v"][...] = v\n'
        '        new_state[name] = {"t": t, "m": old["m"], "v": old["v"]}\n',
    ),
    dict(
        name="count-in-place",
        what="Counts t in the old state.",
        question="q4",
        says="this is t in the old state",
        old='        t = old["t"] + 1\n',
        new='        old["t"] += 1\n        t = old["t"]\n',
    ),
    dict(
        name="one-state-for-all",
        what="Starts every parameter from the same arrays, and updates them in place.",
        question="q4",
        says="the two share one state",
        code="""
def adamw_step(params, grads, state, lr, betas, eps, weight_decay):
    new_params, new_state, fresh = dict(params), dict(state), {}
    for name, g in grads.items():
        p = params[name]
        g = g.astype(p.dtype)
        start = fresh.setdefault(p.shape, {"m": 0 * p, "v": 0 * p})
        old = state.get(name, {"t": 0, **start})
        t, m, v = old["t"] + 1, old["m"], old["v"]
        if name in state:
            m, v = m.copy(), v.copy()
        m *= betas[0]
        m += (1 - betas[0]) * g
        v *= betas[1]
        v += (1 - betas[1]) * g**2
        m_hat = m / (1 - betas[0] ** t)
        v_hat = v / (1 - betas[1] ** t)
        step = m_hat / (np.sqrt(v_hat) + eps)
        if p.ndim >= 2:
            step = step + weight_decay * p
        new_params[name] = p - lr * step
        new_state[name] = {"t": t, "m": m, "v": v}
    return [new_params, new_state]
""",
    ),
    dict(
        name="square-in-float16",
        what="Squares a float16 gradient before it has the type of its parameter.",
        question="q4",
        says="perhaps a square does not fit",
        old="        g = g.astype(p.dtype)\n",
        new="",
    ),
    dict(
        name="cast-only-float16",
        what="Makes float32 of a float16 gradient and leaves other types as they are.",
        question="q4",
        says="have the type of the parameter",
        old="        g = g.astype(p.dtype)\n",
        new="        if g.dtype == np.float16:\n            g = g.astype(np.float32)\n",
    ),
    # q5: schedule
    dict(
        name="first-step-lost",
        what="Starts the warm-up at 0.",
        question="q5",
        says="first step has the rate 0",
        old="(step + 1) / warm_up",
        new="step / warm_up",
    ),
    dict(
        name="warm-up-one-late",
        what="Reaches the peak one step after the warm-up.",
        question="q5",
        says="perhaps the warm-up is off by one",
        old="(step + 1) / warm_up",
        new="(step + 1) / (warm_up + 1)",
    ),
    dict(
        name="last-step-lost",
        what="Has fallen to 0 in the last step that is run.",
        question="q5",
        also=["q7"],
        says="last step that is run has the rate 0",
        old="        factors.append((steps - step) / decay)\n",
        new="        factors.append((steps - 1 - step) / max(decay - 1, 1))\n",
    ),
    dict(
        name="decay-one-early",
        what="Falls already in the first step of the decay.",
        question="q5",
        also=["q7"],
        says="first of them still has the peak",
        old="(steps - step) / decay",
        new="(steps - step) / (decay + 1)",
    ),
    dict(
        name="warm-up-of-nothing",
        what="Divides by a warm-up of 0.",
        question="q5",
        says="division by zero",
        old="    if step < warm_up:\n        factors.append((step + 1) / warm_up)\n",
        new="    factors.append((step + 1) / warm_up)\n",
    ),
    dict(
        name="decay-of-nothing",
        what="Divides by a decay of 0.",
        question="q5",
        says="division by zero",
        old="    if step >= steps - decay:\n        factors.append((steps - step) / decay)\n",
        new="    factors.append((steps - step) / decay)\n",
    ),
    dict(
        name="warm-up-first",
        what="Looks at the decay only after the warm-up, so an overlap goes to the higher line.",
        question="q5",
        says="lower of the two lines",
        old="    if step >= steps - decay:\n",
        new="    if warm_up <= step and step >= steps - decay:\n",
    ),
    dict(
        name="lines-multiplied",
        what="Multiplies the two lines where they overlap.",
        question="q5",
        says="lower of the two lines",
        old="    return peak * min(factors)\n",
        new="    return peak * float(np.prod(factors))\n",
    ),
    dict(
        name="below-zero",
        what="Goes on below 0 after the end.",
        question="q5",
        says="not less",
        old="    if step >= steps:\n        return 0.0\n",
        new="",
    ),
    dict(
        name="peak-ignored",
        what="Returns the factor and forgets the peak.",
        question="q5",
        says="the rate is the peak",
        old="    return peak * min(factors)\n",
        new="    return min(factors)\n",
    ),
    dict(
        name="warm-up-squeezed",
        what="Shortens a warm-up that is longer than the run.",
        question="q5",
        says="the warm-up is longer than the run",
        old="    if step >= steps:\n        return 0.0\n",
        new="    if step >= steps:\n        return 0.0\n    warm_up = min(warm_up, steps)\n",
    ),
    dict(
        name="decay-squeezed",
        what="Shortens a decay that is longer than the run.",
        question="q5",
        says="the decay is longer than the run",
        old="    if step >= steps:\n        return 0.0\n",
        new="    if step >= steps:\n        return 0.0\n    decay = min(decay, steps)\n",
    ),
    dict(
        name="warm-up-past-the-end",
        what="Asks whether the run is over only after the warm-up.",
        question="q5",
        says="even if the warm-up would go on",
        code="""
def learning_rate(step, steps, warm_up, decay, peak):
    factors = [1.0]
    if step < warm_up:
        factors.append((step + 1) / warm_up)
    elif step >= steps:
        factors.append(0.0)
    if decay > 0:
        factors.append(max(0, (steps - step) / decay))
    return peak * min(factors)
""",
    ),
    dict(
        name="rounded",
        what="Rounds the rate to two decimals.",
        question="q5",
        says="is the peak in every step",
        old="    return peak * min(factors)\n",
        new="    return round(peak * min(factors), 2)\n",
    ),
    # q6: pieces
    dict(
        name="mean-of-means",
        what="Averages the pieces as if all had the same count.",
        question="q6",
        also=["q7"],
        says="mean of the two means",
        old='            share = piece["count"] / count\n',
        new="            share = 1 / len(pieces)\n",
    ),
    dict(
        name="gradients-mean-of-means",
        what="Weighs the loss by the count, and the gradients not.",
        question="q6",
        also=["q7"],
        says="weight them by the count, as the loss",
        old="grads[name] += share * g",
        new="grads[name] += g / len(pieces)",
    ),
    dict(
        name="gradients-summed",
        what="Adds the gradients up, as repeated calls of backward() do.",
        question="q6",
        also=["q7"],
        says="summed without weights",
        old="grads[name] += share * g",
        new="grads[name] += g",
    ),
    dict(
        name="first-piece-in-place",
        what="Adds everything into the gradients of the first piece.",
        question="q6",
        says="added into the gradients of one",
        old='    for piece in pieces:\n        if piece["count"] > 0:\n',
        new='    grads = pieces[0]["grads"]\n'
        "    for g in grads.values():\n"
        '        g *= pieces[0]["count"] / max(count, 1)\n'
        '    loss = pieces[0]["loss"] * pieces[0]["count"] / max(count, 1)\n'
        '    for piece in pieces[1:]:\n        if piece["count"] > 0:\n',
    ),
    dict(
        name="nothing-times-nan",
        what="Multiplies the nan of an empty piece by its weight of 0.",
        question="q6",
        also=["q7"],
        says="0 * nan is nan",
        old='        if piece["count"] > 0:\n',
        new="        if count > 0:\n",
    ),
    dict(
        name="all-empty-is-nan",
        what="Divides by a count of 0.",
        question="q6",
        says="division by zero",
        old='        if piece["count"] > 0:\n',
        new='        if piece["count"] > 0 or count == 0:\n',
        also=["q7"],
    ),
    dict(
        name="nan-swept-away",
        what="Takes a loss of nan for 0.",
        question="q6",
        also=["q7"],
        says="they are passed on",
        old='            loss += share * piece["loss"]\n',
        new='            loss += share * np.nan_to_num(piece["loss"])\n',
    ),
    dict(
        name="only-finite-pieces",
        what="Leaves out pieces whose loss is not finite.",
        question="q6",
        also=["q7"],
        says="they are passed on",
        old='        if piece["count"] > 0:\n',
        new="        if piece[\"count\"] > 0 and np.isfinite(piece['loss']):\n",
    ),
    dict(
        name="gradient-nan-to-num",
        what="Replaces nan and inf in the gradients.",
        question="q6",
        also=["q7"],
        says="they are passed on",
        old="                grads[name] += share * g\n",
        new="                grads[name] += share * np.nan_to_num(g)\n",
    ),
    # q7: a step and a way back
    dict(
        name="clip-each-piece",
        what="Clips the pieces and then accumulates.",
        question="q7",
        says="first accumulate, then clip",
        old="    whole = accumulate(pieces)\n"
        '    grads, norm = clip(whole["grads"], run["max_norm"])\n',
        new="    pieces = [\n"
        '        piece | {"grads": clip(piece["grads"], run["max_norm"])[0]}\n'
        "        for piece in pieces\n"
        "    ]\n"
        '    whole = accumulate(pieces)\n    grads, norm = clip(whole["grads"], run["max_norm"])\n',
    ),
    dict(
        name="clip-for-show",
        what="Reports the norm and hands on the gradient that was not clipped.",
        question="q7",
        says="with the clipped gradient",
        old="params, grads, adamw, rate,",
        new='params, whole["grads"], adamw, rate,',
    ),
    dict(
        name="rate-of-the-next-step",
        what="Looks up the rate of the step after this one.",
        question="q7",
        says="the step in the state that came in",
        old='        state["step"], run["steps"]',
        new='        state["step"] + 1, run["steps"]',
    ),
    dict(
        name="step-not-counted",
        what="Leaves the number of the step as it is.",
        question="q7",
        says="after step 4 comes step 5",
        old='{"step": state["step"] + 1, "adamw": adamw}',
        new='{"step": state["step"], "adamw": adamw}',
    ),
    dict(
        name="never-skips",
        what="Makes a step with whatever comes.",
        question="q7",
        says="a loss of inf: the whole batch is skipped",
        old='    skipped = not finite or whole["count"] == 0\n',
        new="    skipped = False\n",
    ),
    dict(
        name="skips-on-loss-only",
        what="Does not look at the norm.",
        question="q7",
        says="a gradient with nan: the whole batch is skipped",
        old='np.isfinite(whole["loss"]) and np.isfinite(norm)',
        new='np.isfinite(whole["loss"])',
    ),
    dict(
        name="skips-on-norm-only",
        what="Does not look at the loss.",
        question="q7",
        says="a loss of inf: the whole batch is skipped",
        old='np.isfinite(whole["loss"]) and np.isfinite(norm)',
        new="np.isfinite(norm)",
    ),
    dict(
        name="inf-is-no-nan",
        what="Skips nan and lets inf pass.",
        question="q7",
        says="a loss of inf: the whole batch is skipped",
        old='np.isfinite(whole["loss"]) and np.isfinite(norm)',
        new='not (np.isnan(whole["loss"]) or np.isnan(norm))',
    ),
    dict(
        name="steps-on-nothing",
        what="Makes a step, with decay, for a batch of nothing but padding.",
        question="q7",
        says="nothing that counts: the whole batch is skipped",
        old='    skipped = not finite or whole["count"] == 0\n',
        new="    skipped = not finite\n",
    ),
    dict(
        name="skip-stops-the-clock",
        what="Does not count the step of a batch that was skipped.",
        question="q7",
        says="but it is spent",
        old='{"step": state["step"] + 1, "adamw": adamw}',
        new='{"step": state["step"] + (not skipped), "adamw": adamw}',
    ),
    dict(
        name="count-not-saved",
        what="Saves m and v, and not t.",
        question="q7",
        says="missing: ['t:b', 't:w']",
        old='        for kind in ("t", "m", "v"):\n',
        new='        for kind in ("m", "v"):\n',
    ),
    dict(
        name="one-count-saved",
        what="Gives every parameter the t of the last one.",
        question="q7",
        says="own count has to be kept",
        old='    return [params, {"step": int(arrays["step"]), "adamw": adamw}]\n',
        new='    last = max([own["t"] for own in adamw.values()], default=0)\n'
        "    for own in adamw.values():\n"
        '        own["t"] = last\n'
        '    return [params, {"step": int(arrays["step"]), "adamw": adamw}]\n',
    ),
    dict(
        name="count-not-restored",
        what="Restores m and v, and not t.",
        question="q7",
        says="one of the three is not restored",
        old='        elif kind != "step":\n',
        new='        elif kind in ("m", "v"):\n',
    ),
    dict(
        name="step-starts-again",
        what="Starts the schedule from the beginning after a resume.",
        question="q7",
        says="number of the step that came back",
        old='{"step": int(arrays["step"]), "adamw": adamw}',
        new='{"step": 0, "adamw": adamw}',
    ),
    dict(
        name="numbers-not-arrays",
        what="Saves step and t as plain numbers.",
        question="q7",
        says="every value has to be an array",
        old='    arrays = {"step": np.array(state["step"])}\n',
        new='    arrays = {"step": state["step"]}\n',
    ),
    dict(
        name="cut-at-every-colon",
        what="Takes what stands between the first two colons for the name.",
        question="q7",
        says="not cut at its first colon only",
        old='        kind, _, name = key.partition(":")\n',
        new='        kind, name = (key + ":").split(":")[:2]\n',
    ),
    dict(
        name="cut-at-the-last-colon",
        what="Cuts at the last colon.",
        question="q7",
        says="not cut at its first colon only",
        code="""
def train_step(params, state, pieces, run):
    whole = accumulate(pieces)
    grads, norm = clip(whole["grads"], run["max_norm"])
    rate = learning_rate(
        state["step"], run["steps"], run["warm_up"], run["decay"], run["peak"]
    )
    finite = np.isfinite(whole["loss"]) and np.isfinite(norm)
    skipped = not finite or whole["count"] == 0
    adamw = state["adamw"]
    if not skipped:
        params, adamw = adamw_step(
            params, grads, adamw, rate,
            run["betas"], run["eps"], run["weight_decay"],
        )
    report = {"loss": whole["loss"], "norm": norm, "rate": rate}
    report["skipped"] = bool(skipped)
    return [params, {"step": state["step"] + 1, "adamw": adamw}, report]


def to_arrays(params, state):
    arrays = {"step": np.array(state["step"])}
    for name, p in params.items():
        arrays["param:" + name] = p
    for name, own in state["adamw"].items():
        for kind in ("t", "m", "v"):
            arrays[kind + ":" + name] = np.array(own[kind])
    return arrays


def from_arrays(arrays):
    params, adamw = {}, {}
    for key, array in arrays.items():
        kind, _, name = key.rpartition(":")
        if kind.startswith("param"):
            params[name] = array
        elif key != "step":
            value = int(array) if kind == "t" else array
            adamw.setdefault(name, {})[kind] = value
    return [params, {"step": int(arrays["step"]), "adamw": adamw}]
""",
    ),
    dict(
        name="everything-float32",
        what="Saves everything in float32.",
        question="q7",
        says="types have to be kept",
        old='        arrays["param:" + name] = p\n',
        new='        arrays["param:" + name] = p.astype(np.float32)\n',
    ),
    dict(
        name="count-stays-an-array",
        what="Does not make an int of t again.",
        question="q7",
        says="int again",
        old='int(array) if kind == "t" else array',
        new="array",
    ),
    dict(
        name="frozen-gets-a-state",
        what="Gives a state of zeros to a parameter that has none yet.",
        question="q7",
        says="too many: ['m:new'",
        old='    for name, own in state["adamw"].items():\n',
        new="    for name, p in params.items():\n"
        '        own = {"t": 0, "m": 0 * p, "v": 0 * p}\n'
        '        own = state["adamw"].get(name, own)\n',
    ),
    dict(
        name="reports-mean-of-means",
        what="Reports the mean of the pieces' losses.",
        question="q7",
        says="a mean of means",
        old='    report = {"loss": whole["loss"], "norm"',
        new='    mean = sum(p["loss"] for p in pieces) / len(pieces)\n'
        '    report = {"loss": mean, "norm"',
    ),
    dict(
        name="step-in-place",
        what="Counts in the state that was given.",
        question="q7",
        says="changed it in place",
        old='    return [params, {"step": state["step"] + 1, "adamw": adamw}, report]\n',
        new='    state["step"] += 1\n'
        '    state["adamw"] = adamw\n'
        "    return [params, state, report]\n",
    ),
    dict(
        name="adamw-in-place",
        what="Writes the new moments into the dictionary of the old state.",
        question="q7",
        says="changed it in place",
        old='    return [params, {"step": state["step"] + 1, "adamw": adamw}, report]\n',
        new='    state["adamw"].update(adamw)\n'
        '    return [params, {"step": state["step"] + 1, "adamw": adamw}, report]\n',
    ),
    dict(
        name="rate-0-when-skipped",
        what="Reports the rate 0 for a skipped step.",
        question="q7",
        says="the rate of this step",
        old='    report["skipped"] = bool(skipped)\n',
        new='    report["skipped"] = bool(skipped)\n'
        "    if skipped:\n"
        '        report["rate"] = 0.0\n',
    ),
    dict(
        name="no-rate-when-skipped",
        what="Reports no rate for a skipped step.",
        question="q7",
        says="the same entries as always",
        old='    report["skipped"] = bool(skipped)\n',
        new='    report["skipped"] = bool(skipped)\n'
        "    if skipped:\n"
        "        del report['rate']\n",
    ),
    dict(
        name="bad-piece-dropped",
        what="Leaves out the piece that is not finite and goes on with the others.",
        question="q7",
        says="its sound piece, too",
        old="    whole = accumulate(pieces)\n",
        new="    sound = [p for p in pieces if np.isfinite(p['loss'])]\n"
        "    whole = accumulate(sound or pieces)\n",
    ),
    dict(
        name="any-piece-nan",
        what="Skips a batch for the nan of an empty piece.",
        question="q7",
        says="a piece of no token says nothing",
        old='    skipped = not finite or whole["count"] == 0\n',
        new='    skipped = not finite or whole["count"] == 0\n'
        "    skipped |= any(not np.isfinite(p['loss']) for p in pieces)\n",
    ),
    dict(
        name="any-piece-empty",
        what="Skips a batch of which one piece is empty.",
        question="q7",
        says="a piece of no token says nothing",
        old='    skipped = not finite or whole["count"] == 0\n',
        new="    skipped = not finite or any(p['count'] == 0 for p in pieces)\n",
    ),
    dict(
        name="zero-gradient-skipped",
        what="Takes a gradient of zeros for nothing.",
        question="q7",
        says="is not skipped",
        old='    skipped = not finite or whole["count"] == 0\n',
        new="    skipped = not finite or not norm\n",
    ),
    dict(
        name="decay-forgotten",
        what="Hands on a weight decay of 0.",
        question="q7",
        says="was not handed on",
        old='run["eps"], run["weight_decay"],\n',
        new="run['eps'], 0.0,\n",
    ),
    dict(
        name="from-arrays-pops",
        what="Empties the dictionary that was given.",
        question="q7",
        says="changed its argument in place",
        old="    params, adamw = {}, {}\n    for key, array in arrays.items():\n",
        new="    params, adamw = {}, {}\n"
        "    for key in list(arrays):\n"
        "        array = arrays[key] if key == 'step' else arrays.pop(key)\n",
    ),
    dict(
        name="order-of-keys",
        what="Expects t before m and v.",
        question="q7",
        says="'map'",
        old="            adamw.setdefault(name, {})[kind] = value\n",
        new="            if kind == 't':\n"
        "                adamw[name] = {}\n"
        "            adamw[name][kind] = value\n",
    ),
    dict(
        name="step-first",
        what="Takes the first entry for the number of the step.",
        question="q7",
        says="only 0-dimensional",
        old='    return [params, {"step": int(arrays["step"]), "adamw": adamw}]\n',
        new="    return [params, {'step': int(next(iter(arrays.values()))), 'adamw': adamw}]\n",
    ),
    dict(
        name="lstrip-of-a-prefix",
        what="Takes off the prefix by lstrip, which takes off letters.",
        question="q7",
        says="perhaps strip took letters",
        old='        if kind == "param":\n            params[name] = array\n',
        new="        if kind == 'param':\n            params[key.lstrip('param:')] = array\n",
    ),
    dict(
        name="nameless",
        what="Takes a parameter without a name for none.",
        question="q7",
        says="stopped and resumed",
        old='        elif kind != "step":\n',
        new="        elif kind != 'step' and name:\n",
    ),
]

# Changes of the solution that no test can tell from it, by tools/mutants.py.
SURVIVORS = {
    "q1 | picks = np.where(real, targets, 0)[..., None]  # (B, T - 1, 1) | 0 to 1": (
        "any token may stand in place of a pad: what comes of it is thrown away"
    ),
    "q1 | paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0] | no axis": (
        "the last axis is what NumPy takes without one"
    ),
    "q1 | paid = -np.take_along_axis(log_p, picks, axis=-1)[..., 0] | 0 to -1": (
        "the axis has one entry, the first and the last"
    ),
    "q1 | here = np.take_along_axis(dz, picks, axis=-1) | no axis": (
        "the last axis is what NumPy takes without one"
    ),
    "q2 | dweight = np.zeros((vocab_size, dx.shape[-1]), dtype=dx.dtype) | no dtype": (
        "the question asks for no type, and float64 holds what float32 does"
    ),
    "q3 | clipped = {name: g.copy() for name, g in grads.items()} | no copy()": (
        "to give back the given array is allowed: nobody writes into it"
    ),
    "q3 | if max_norm < norm < np.inf: | < to <=": "at norm == max_norm the factor is 1",
    "q5 | if step >= steps - decay: | >= to >": "at steps - decay the line is at 1 still",
    'q6 | grads = {name: np.zeros_like(g) for name, g in pieces[0]["grads"].items()} | 0 to -1': (
        "all pieces have the same names and shapes"
    ),
}
