"""Plausible wrong answers to lab 10, and the question whose tests must catch each."""

# Another way through q1: the mean of each text, then of the texts.
BY_TEXT = """
def matching(attention, ids):
    scores = []
    for b, row in enumerate(ids.tolist()):
        paid = []
        for t in range(len(row)):
            places = [s + 1 for s in range(t) if row[s] == row[t]]
            if places:
                paid.append(attention[:, b, :, t, places].sum(dim=-1))
        if paid:
            scores.append(torch.stack(paid).mean(dim=0))
    return torch.stack(scores).mean(dim=0)
"""

# Another way through q2: what the head itself adds to the logits is replaced.
DIRECT = """
def losses(weights, ids, heads, reference, start):
    means = run(weights, reference)["heads"].mean(dim=1)
    seen = run(weights, ids)
    logits = seen["logits"]
    for layer, head in heads:
        gone = seen["heads"][layer, :, head] - means[layer, head]
        logits = logits - gone @ weights["unembed"]
    logits = logits[:, start:-1]
    each = F.cross_entropy(logits.mT, ids[:, start + 1 :], reduction="none")
    return each.mean(dim=1)
"""

# Another way through q3: `{margin}` is where mistakes go.
INTERVAL = """
def compared(base, target, controls):
    effect = (target - base).mean().item()
    count = len(base)
    margin = {margin}
    others = (controls - base).mean(dim=1)
    p = (1 + (others >= effect).sum().item()) / (1 + len(others))
    more = effect - margin > 0 and p <= 0.1
    return dict(
        effect=effect, low=effect - margin, high=effect + margin, p=p,
        verdict="more" if more else "cannot tell",
    )
"""

# Another way through q4, a text at a time; each divided by its own gap.
BY_PAIR = """
def restored(weights, clean, corrupted, answers, heads, places):
    shares = []
    for b in range(len(clean)):
        mine, theirs = clean[b : b + 1], corrupted[b : b + 1]
        kept = run(weights, mine)

        def change(layer, added):
            for at, head in heads:
                if at == layer:
                    added[:, head, places] = kept["heads"][layer, :, head, places]
            return added

        def gap(found):
            last = found["logits"][0, -1, answers[b]]
            return (last[0] - last[1]).item()

        low, high = gap(run(weights, theirs)), gap(kept)
        shares.append((gap(run(weights, theirs, change)) - low) / (high - low))
    return sum(shares) / len(shares)
"""

# Another way through q4: what later heads add is held where it was.
HELD = """
def restored(weights, clean, corrupted, answers, heads, places):
    whole, broken = run(weights, clean), run(weights, corrupted)

    def gap(found):
        pair = found["logits"][:, -1].gather(1, answers)
        return (pair[:, 0] - pair[:, 1]).mean().item()

    def change(layer, added):
        added = broken["heads"][layer].clone()
        for at, head in heads:
            if at == layer:
                added[:, head, places] = whole["heads"][layer, :, head, places]
        return added

    low, high = gap(broken), gap(whole)
    return (gap(run(weights, corrupted, change)) - low) / (high - low)
"""

# What q5 would be by pictures of attention.
BY_ATTENTION = """
def circuit(weights, ids, reference, start):
    layers, count = weights["query"].shape[:2]
    attention, length = run(weights, ids)["attention"], ids.shape[1]
    half = length // 2
    back = torch.arange(half, length)
    paid = attention[..., back, back - half + 1].mean(dim=(1, 3))
    one_back = attention[..., back, back - 1].mean(dim=(1, 3))
    best, first = int(paid[1].argmax()), int(one_back[0].argmax())
    heads = [[0, first], [1, best]]
    return {"necessary": heads, "sufficient": heads}
"""

# q5 with an ablation of its own, which sets heads to zero.
BY_ZERO = """
def circuit(weights, ids, reference, start):
    layers, count = weights["query"].shape[:2]
    every = [[layer, head] for layer in range(layers) for head in range(count)]

    def loss(ablated):
        def change(layer, added):
            for at, head in ablated:
                if at == layer:
                    added[:, head] = 0
            return added

        logits = run(weights, ids, change)["logits"][:, start:-1]
        return F.cross_entropy(logits.mT, ids[:, start + 1 :]).item()

    intact, nothing = loss([]), loss(every)
    gain = nothing - intact
    necessary = [head for head in every if loss([head]) - intact >= gain / 2]
    kept = every
    while kept:
        after = [loss([h for h in every if h not in kept or h == head]) for head in kept]
        if nothing - min(after) < gain * 2 / 3:
            break
        kept = [head for head in kept if head != kept[after.index(min(after))]]
    return {"necessary": necessary, "sufficient": kept}
"""

KEPT = '    return {"necessary": necessary, "sufficient": kept}'
MEANS = 'run(weights, reference)["heads"].mean(dim=1)'
FITTED = """    square = x[fit].T @ x[fit] + 1e-3 * torch.eye(x.shape[1]).double()
    solve = torch.linalg.solve(square, x[fit].T)  # ridge regression

    def accuracy(wanted):
        hot = F.one_hot(wanted)[fit].double()"""

MISTAKES = [
    # q1: where it looks
    dict(
        name="where-it-stood",
        what="Scores the attention to the earlier occurrence itself.",
        question="q1",
        says="it is the attention to where the token itself stood",
        old="after = F.pad(same, (1, 0))[..., :-1].tril()",
        new="after = same.tril(-1)",
    ),
    dict(
        name="all-positions",
        what="Divides by the number of all positions.",
        question="q1",
        says="all positions are counted",
        old="/ asked.sum()",
        new="/ asked.numel()",
    ),
    dict(
        name="what-is-to-come",
        what="Takes a later occurrence for an earlier one.",
        question="q1",
        says="that is still to come is taken for an earlier one",
        old="[..., :-1].tril()",
        new="[..., :-1]",
    ),
    dict(
        name="latest-only",
        what="Counts only what followed the latest occurrence.",
        question="q1",
        says="only the latest occurrence counts",
        old="    asked = after",
        new="    after = after & (after.flip(-1).cumsum(dim=-1).flip(-1) == 1)\n    asked = after",
    ),
    dict(
        name="first-only",
        what="Counts only what followed the first occurrence.",
        question="q1",
        says="only the first occurrence counts",
        old="    asked = after",
        new="    after = after & (after.cumsum(dim=-1) == 1)\n    asked = after",
    ),
    dict(
        name="not-itself",
        what="Leaves out the position itself.",
        question="q1",
        says="the place itself is left out",
        old="    paid =",
        new="    after = after.tril(-1)\n    paid =",
    ),
    dict(
        name="most-of-several",
        what="Takes the largest of several places.",
        question="q1",
        says="only the one with most attention counts",
        old=".sum(dim=4)  # (L",
        new=".amax(dim=4)  # (L",
    ),
    dict(
        name="a-sum",
        what="Adds up the positions.",
        question="q1",
        says="it is a sum over positions",
        old=" / asked.sum()",
        new="",
    ),
    dict(
        name="mean-of-means",
        what="Takes the mean of each text, then of the texts.",
        question="q1",
        says="every position should count the same",
        code=BY_TEXT,
    ),
    # q2: take it away
    dict(
        name="by-zero",
        what="Sets ablated heads to zero.",
        question="q2",
        says="the head is set to zero",
        also=["q5"],
        old="added[:, head] = means[layer, head]",
        new="added[:, head] = 0",
    ),
    dict(
        name="mean-of-its-own",
        what="Takes the mean over the texts that are judged.",
        question="q2",
        says="over the texts themselves",
        old="run(weights, reference)",
        new="run(weights, ids)",
    ),
    dict(
        name="mean-of-all-positions",
        what="Takes one mean for all positions.",
        question="q2",
        says="over all positions, too",
        old=MEANS,
        new=MEANS + ".mean(dim=2, keepdim=True)",
    ),
    dict(
        name="nothing-ablated",
        what="Returns what it was given.",
        question="q2",
        says="nothing is ablated",
        also=["q5"],
        old="added[:, head] = means[layer, head]",
        new="added = added",
    ),
    dict(
        name="direct-effect",
        what="Replaces what the head adds to the logits, and no later head sees it.",
        question="q2",
        says="later heads do not see it",
        also=["q5"],
        code=DIRECT,
    ),
    dict(
        name="in-every-layer",
        what="Ablates the head of this number in every layer.",
        question="q2",
        says="the head of this number is ablated in every layer",
        also=["q5"],
        old="            if place == layer:\n                added",
        new="            if place >= 0:\n                added",
    ),
    dict(
        name="first-head-only",
        what="Ablates the first of several heads.",
        question="q2",
        says="only the first head of several",
        also=["q5"],
        old="in heads:",
        new="in heads[:1]:",
    ),
    dict(
        name="summed-loss",
        what="Adds up the positions.",
        question="q2",
        says="it is a sum over positions",
        old="each.mean(dim=1)",
        new="each.sum(dim=1)",
    ),
    dict(
        name="from-itself",
        what="Scores each position by its own token.",
        question="q2",
        says="each token is predicted from itself",
        also=["q5"],
        old="""["logits"][:, start:-1]
    each = F.cross_entropy(logits.mT, ids[:, start + 1 :]""",
        new="""["logits"][:, start:]
    each = F.cross_entropy(logits.mT, ids[:, start:]""",
    ),
    dict(
        name="one-too-late",
        what="Begins at the position after `start`.",
        question="q2",
        says="it begins one position too late",
        old="""["logits"][:, start:-1]
    each = F.cross_entropy(logits.mT, ids[:, start + 1 :]""",
        new="""["logits"][:, start + 1 : -1]
    each = F.cross_entropy(logits.mT, ids[:, start + 2 :]""",
    ),
    dict(
        name="mean-of-texts",
        what="Returns one loss for all texts.",
        question="q2",
        says="perhaps their mean is returned",
        old="each.mean(dim=1)",
        new="each.mean()",
    ),
    # q3: more than a random head
    dict(
        name="wrong-way-round",
        what="Subtracts the ablated loss from the plain one.",
        question="q3",
        says="the difference is the wrong way round",
        old="(target - base).double()",
        new="(base - target).double()",
    ),
    dict(
        name="not-paired",
        what="Adds the variances of both sets of losses.",
        question="q3",
        says="the texts are not paired",
        code=INTERVAL.format(margin="1.96 * ((base.var() + target.var()) / count).sqrt().item()"),
    ),
    dict(
        name="spread-of-texts",
        what="Takes the standard deviation of the texts for that of their mean.",
        question="q3",
        says="it is the spread of the texts",
        code=INTERVAL.format(margin="1.96 * (target - base).std().item()"),
    ),
    dict(
        name="one-standard-error",
        what="Goes one standard error to each side.",
        question="q3",
        says="it is one standard error",
        old="1.96 * ",
        new="",
    ),
    dict(
        name="ninety-percent",
        what="Makes a 90 % interval.",
        question="q3",
        says="it is a 90 % interval",
        old="1.96",
        new="1.645",
    ),
    dict(
        name="itself-not-counted",
        what="Gives p = 0 where no control does as much.",
        question="q3",
        says="the ablation itself is not counted",
        old="p = (1 + (others >= effect).sum().item()) / (1 + len(others))",
        new="p = (others >= effect).sum().item() / len(others)",
    ),
    dict(
        name="those-that-do-less",
        what="Counts the controls that do less.",
        question="q3",
        says="those controls are counted that do less",
        old="others >= effect",
        new="others < effect",
    ),
    dict(
        name="equal-not-counted",
        what="Counts only controls that do more.",
        question="q3",
        says="p asks for as much or more",
        old="others >= effect",
        new="others > effect",
    ),
    dict(
        name="interval-alone",
        what="Decides by the interval and forgets the controls.",
        question="q3",
        says="perhaps it looks at the interval alone",
        old=" and p <= 0.1",
        new="",
    ),
    dict(
        name="controls-alone",
        what="Decides by the controls and forgets the interval.",
        question="q3",
        says="or at p alone",
        old="effect - margin > 0 and ",
        new="",
    ),
    # q4: put it back
    dict(
        name="other-way",
        what="Puts the corrupted run's outputs into the clean run.",
        question="q4",
        says="it goes the other way",
        old="""    whole = run(weights, clean)
""",
        new="""    clean, corrupted = corrupted, clean
    whole = run(weights, clean)
""",
    ),
    dict(
        name="each-by-its-own-gap",
        what="Divides each text by its own gap.",
        question="q4",
        says="each text is divided by its own gap",
        code=BY_PAIR,
    ),
    dict(
        name="not-divided",
        what="Forgets to divide by the whole gap.",
        question="q4",
        says="it is not divided by the whole gap",
        old=" / (high - low)",
        new="",
    ),
    dict(
        name="what-is-missing",
        what="Returns the share that is still missing.",
        question="q4",
        says="the share that is still missing",
        old="(patched - low)",
        new="(high - patched)",
    ),
    dict(
        name="every-place",
        what="Patches every place.",
        question="q4",
        says="every place is patched",
        old='added[:, head, places] = whole["heads"][layer, :, head, places]',
        new='added[:, head] = whole["heads"][layer, :, head]',
    ),
    dict(
        name="the-last-place",
        what="Patches the last place, where the answer is read.",
        question="q4",
        says="the last place is patched, whatever",
        old='added[:, head, places] = whole["heads"][layer, :, head, places]',
        new='added[:, head, -1] = whole["heads"][layer, :, head, -1]',
    ),
    dict(
        name="probabilities",
        what="Takes the difference of probabilities.",
        question="q4",
        says="the gap is one of probabilities",
        old='found["logits"][:, -1].gather',
        new='found["logits"][:, -1].softmax(dim=-1).gather',
    ),
    dict(
        name="later-heads-held",
        what="Holds all other heads where they were.",
        question="q4",
        says="later heads do not see the patch",
        code=HELD,
    ),
    dict(
        name="first-patch-only",
        what="Patches the first of several heads.",
        question="q4",
        says="perhaps only one of several is patched",
        old="in heads:",
        new="in heads[:1]:",
    ),
    # q5: the circuit
    dict(
        name="by-attention",
        what="Takes the heads whose attention looks best for the cause.",
        question="q5",
        says="it is chosen by what it attends to",
        code=BY_ATTENTION,
    ),
    dict(
        name="silenced",
        what="Searches with heads set to zero.",
        question="q5",
        says="heads are set to zero",
        code=BY_ZERO,
    ),
    dict(
        name="missed-alone",
        what="Calls those heads sufficient that are missed alone.",
        question="q5",
        says="so that neither is missed alone",
        old=KEPT,
        new='    return {"necessary": necessary, "sufficient": necessary}',
    ),
    dict(
        name="any-effect",
        what="Calls every head necessary whose loss is noticed.",
        question="q5",
        says="perhaps any effect is taken for it",
        old=">= gain / 2]",
        new=">= gain / 20]",
    ),
    dict(
        name="all-that-have-any",
        what="Keeps all heads that have an effect.",
        question="q5",
        says="perhaps all stay that have any effect",
        old="gain * 2 / 3",
        new="gain * 0.999",
    ),
    dict(
        name="second-layer-only",
        what="Looks at the second layer's heads only, since they attend to the right place.",
        question="q5",
        says="perhaps only heads are looked at that attend to the right place",
        old=KEPT,
        new="    necessary, kept = ([h for h in x if h[0]] for x in (necessary, kept))\n" + KEPT,
    ),
    dict(
        name="the-others",
        what="Gives the heads that were taken away.",
        question="q5",
        says="perhaps it is they that were ablated",
        old='"sufficient": kept}',
        new='"sufficient": sorted(ablated)}',
    ),
    # q6: what can be read
    dict(
        name="no-control",
        what="Has no control, and takes a guess among the labels for it.",
        question="q6",
        says="perhaps there is no control",
        old="control = sum(drawn) / draws",
        new="control = 1 / (int(labels.max()) + 1)",
    ),
    dict(
        name="drawn-by-row",
        what="Draws a label for each row.",
        question="q6",
        says="a label is drawn for each row",
        old="accuracy(known[lots][which])",
        new="accuracy(labels[torch.randperm(len(labels), generator=chance)])",
    ),
    dict(
        name="tested-where-fitted",
        what="Tests on the rows that were fitted.",
        question="q6",
        says="tested on rows that it was fitted on",
        old="""read = (x[~fit] @ (solve @ hot)).argmax(dim=1)
        return (read == wanted[~fit])""",
        new="""read = (x[fit] @ (solve @ hot)).argmax(dim=1)
        return (read == wanted[fit])""",
    ),
    dict(
        name="fitted-on-all",
        what="Fits on all rows.",
        question="q6",
        says="or fitted on all",
        old=FITTED,
        new=FITTED.replace("[fit]", ""),
    ),
    dict(
        name="no-intercept",
        what="Leaves the intercept out.",
        question="q6",
        says="the probe has no intercept",
        old="torch.column_stack([states.double(), ones])",
        new="states.double()",
    ),
    dict(
        name="drawn-evenly",
        what="Draws the control's labels evenly.",
        question="q6",
        says="perhaps its labels are drawn evenly",
        old="known[lots][which]",
        new="torch.randint(int(labels.max()) + 1, kinds.shape, generator=chance)[which]",
    ),
    dict(
        name="one-draw",
        what="Draws one table, whatever is asked for.",
        question="q6",
        says="perhaps only one table is drawn",
        old="control = sum(drawn) / draws",
        new="control = drawn[0]",
    ),
    dict(
        name="same-seed",
        what="Ignores the seed.",
        question="q6",
        says="perhaps the seed is not used",
        old="manual_seed(seed)",
        new="manual_seed(0)",
    ),
    dict(
        name="scored-by-the-labels",
        what="Scores the control by the real labels, with the probe of these.",
        question="q6",
        says="the control is scored by the labels",
        old="accuracy(known[lots][which])",
        new="accuracy(labels)",
    ),
    # q7: fewer bits
    dict(
        name="one-scale",
        what="Takes one scale for the whole matrix.",
        question="q7",
        says="the largest number of the whole matrix",
        old="(cut.abs().amax(dim=-1) / largest)",
        new="(cut.abs().amax().expand(cut.shape[:2]) / largest)",
    ),
    dict(
        name="scale-of-the-row",
        what="Takes one scale for a row.",
        question="q7",
        says="the largest number of the row",
        old="(cut.abs().amax(dim=-1) / largest)",
        new="(cut.abs().amax(dim=(1, 2))[:, None].expand(cut.shape[:2]) / largest)",
    ),
    dict(
        name="one-code-more",
        what="Takes 8 for the largest code of four bits.",
        question="q7",
        says="the largest code is 8",
        old="2 ** (bits - 1) - 1",
        new="2 ** (bits - 1)",
    ),
    dict(
        name="no-sign",
        what="Forgets that one bit is the sign.",
        question="q7",
        says="one bit is the sign",
        old="2 ** (bits - 1) - 1",
        new="2**bits - 1",
    ),
    dict(
        name="cut-off",
        what="Cuts codes off in place of rounding them.",
        question="q7",
        says="perhaps they are cut off in place of rounded",
        old=".round().to(torch.int8)",
        new=".to(torch.int8)",
    ),
    dict(
        name="scale-before-it-is-rounded",
        what="Makes the codes with a scale that is rounded afterwards.",
        question="q7",
        says="perhaps they are made with a scale before it is rounded",
        old="steps = scales.float()[..., None]",
        new="steps = cut.abs().amax(dim=-1, keepdim=True) / largest",
    ),
    dict(
        name="zero-by-zero",
        what="Divides a group of zeros by its scale.",
        question="q7",
        says="perhaps 0 is divided by 0",
        old="nan_to_num()",
        new="nan_to_num(1.0)",
    ),
    dict(
        name="scales-forgotten",
        what="Counts the codes alone.",
        question="q7",
        says="and its two scales take four",
        old=" + 2 * -(-columns // group)",
        new="",
    ),
    dict(
        name="bytes-rounded-down",
        what="Rounds the bytes of a row down.",
        question="q7",
        says="takes two bytes",
        old="-(-columns * bits // 8)",
        new="columns * bits // 8",
    ),
    # q8: a guarantee
    dict(
        name="a-whole-step",
        what="Lets a weight be wrong by a whole step.",
        question="q8",
        says="wrong by a whole step",
        old=" / 2",
        new="",
    ),
    dict(
        name="signs-cancel",
        what="Lets the numbers of x cancel.",
        question="q8",
        says="cancel by their signs",
        old="cut = F.pad(x.double().abs(), (0, -len(x) % group)).view(-1, group)\n"
        "    return scales.double() @ cut.sum(dim=1) / 2",
        new="cut = F.pad(x.double(), (0, -len(x) % group)).view(-1, group)\n"
        "    return (scales.double() @ cut.sum(dim=1) / 2).abs()",
    ),
    dict(
        name="largest-scale",
        what="Takes the largest scale of the row.",
        question="q8",
        says="the largest scale of a row serves",
        old="scales.double() @ cut.sum(dim=1) / 2",
        new="scales.double().amax(dim=1) * x.double().abs().sum() / 2",
    ),
    dict(
        name="on-average",
        what="Gives what independent errors would make.",
        question="q8",
        says="it is what errors make on average",
        old="scales.double() @ cut.sum(dim=1) / 2",
        new="(scales.double() ** 2 @ (cut**2).sum(dim=1)).sqrt() / 2",
    ),
    dict(
        name="lengths-of-vectors",
        what="Multiplies the length of x with that of the worst error.",
        question="q8",
        says="by lengths of vectors",
        old="return scales.double() @ cut.sum(dim=1) / 2",
        new="wide = scales.double().repeat_interleave(group, dim=1)[:, : len(x)]\n"
        "    return wide.norm(dim=1) * x.double().norm() / 2",
    ),
]

RIDGE = "q6 | square = x[fit].T @ x[fit] + 1e-3 * torch.eye(x.shape[1]).double() | "
CHOICE = "it only chooses the message: the two assertions after it refuse either side alone"

SURVIVORS = {  # what tools/mutants.py changes and no test can notice, and why
    "q1 | asked = after.any(dim=2)  # (B, T) | 2 to 1": (
        "they are counted: a token that stands n times has n - 1 occurrences after the first, and "
        "as many before the last"
    ),
    "q1 | paid = (attention * after[None, :, None]).sum(dim=4)  # (L, B, H, T) | 4 to 3": (
        "the sum goes over both axes in the end"
    ),
    "q5 | necessary = [head for head in every if alone[tuple(head)] >= gain / 2] | >= to >": (
        "no loss is exactly half of another"
    ),
    "q5 | while kept:  # take away what is missed least, as long as enough is left | "
    "kept to True": "with no head left nothing is kept, so the loop has ended before",
    "q5 | if nothing - min(after) < gain * 2 / 3: | < to <=": "no loss is exactly at two thirds",
    RIDGE + "+ to -": "a thousandth is small beside squares, and only keeps it solvable",
    RIDGE + "1e-3 to 0.002": "as above",
    **{
        f"{cell} | assert share >= 0.66 or len(enough) <= fewest, ( | turned round{which}": CHOICE
        for cell in ("q5-one", "q5-hidden-twins", "q5-hidden-fresh")
        for which in ("", " (2)")
    },
}
