"""Plausible wrong answers to lab 07, and the question whose tests must catch each."""

# Another way through q1, for mistakes that the solution's way has no place for.
CUT = """
def nucleus(logits, p, temperature=1.0):
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    chances = (logits / temperature).softmax(dim=-1)
    {body}
"""

# Another way through q5, a round at a time; `{...}` are the places of mistakes.
ROUNDS = """
def roll_back(cache, length):
    return [part[..., :length, :] for part in cache]


def speculative(
    model, draft, prompt, end, max_new, num_drafts, p=1.0, temperature=1.0, seed=0
):
    luck = torch.Generator().manual_seed(seed)
    text, new = [end, *prompt], []
    big, small, big_seen, small_seen = [], [], 0, 0
    passes = drafted = kept = 0
    while len(new) < max_new:
        guess, rows = [], []
        for _ in range(min(num_drafts, max_new - len(new) - 1)):
            ids = (text + guess)[small_seen:]
            logits, small = read(draft, ids, small)
            small_seen += len(ids)
            rows.append(nucleus(logits[-1], p, temperature))
            guess.append(draw(rows[-1], luck))
            if guess[-1] == end:
                break
        logits, big = read(model, (text + guess)[big_seen:], big)
        passes += 1
        target = nucleus(logits[-len(guess) - 1 :], p, temperature)
        rows = torch.stack(rows) if rows else target[:0]
        stops, spare = review(target, rows, guess)
        drafted += len(guess)
        {inside}
        good = draw(stops, luck)
        kept += good
        got = guess[:good]
        if not got or got[-1] != end:
            got.append(draw({last}, luck))
        length = len(text) + good
        text, new = text + got, new + got
        if end in got:
            break
        {after}
    return {{"ids": new, "passes": passes, "drafted": drafted, "kept": kept}}
"""
CLEAN = """big, big_seen = roll_back(big, length), length
        small_seen = min(small_seen, length)
        small = roll_back(small, small_seen)"""


def cut(body):
    return CUT.format(body=body.strip().replace("\n", "\n    "))


def rounds(inside="pass", last="spare[good]", after=CLEAN):
    return ROUNDS.format(inside=inside, last=last, after=after)


MISTAKES = [
    # q1: the nucleus
    dict(
        name="crossing-dropped",
        what="Keeps tokens while the sum with them is still below p, one at least.",
        question="q1",
        says="with which the sum reaches p is left out",
        also=["q5"],
        old="before = chances.cumsum(dim=-1) - chances\n",
        new="before = chances.cumsum(dim=-1)\n    before[..., 0] = 0.0\n",
    ),
    dict(
        name="one-too-many",
        what="Takes in one more token than the one that reaches p.",
        question="q1",
        says="one token more stays than should",
        also=["q5"],
        old="before = chances.cumsum(dim=-1) - chances\n",
        new="before = chances.cumsum(dim=-1).roll(2, -1)\n    before[..., :2] = 0.0\n",
    ),
    dict(
        name="not-renormalised",
        what="Leaves the chances that stay as they are.",
        question="q1",
        says="what stays is not divided by its sum",
        also=["q5"],
        old="    return wide.masked_fill(out, -torch.inf).softmax(dim=-1)\n",
        new="    return wide.softmax(dim=-1).masked_fill(out, 0.0)\n",
    ),
    dict(
        name="softmax-once-more",
        what="Renormalises by another softmax, over the chances.",
        question="q1",
        says="and by hand 0, 8/15, 4/15, 3/15",
        also=["q5"],
        old="    return wide.masked_fill(out, -torch.inf).softmax(dim=-1)\n",
        new="    kept = wide.softmax(dim=-1).masked_fill(out, -torch.inf)\n"
        "    return kept.softmax(dim=-1)\n",
    ),
    dict(
        name="not-mapped-back",
        what="Returns the chances in the order in which they were sorted.",
        question="q1",
        says="in the order in which they were sorted",
        also=["q5"],
        code=cut("""
ranked = chances.sort(dim=-1, descending=True).values
p = torch.as_tensor(p)[..., None]
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = ranked.masked_fill(out, 0.0)
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="mapped-there-instead-of-back",
        what="Gathers by the order where it should scatter.",
        question="q1",
        says="the way there once more",
        also=["q5"],
        code=cut("""
order = logits.argsort(dim=-1, descending=True, stable=True)
ranked = chances.gather(-1, order)
p = torch.as_tensor(p)[..., None]
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = ranked.masked_fill(out, 0.0).gather(-1, order)
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="temperature-after-the-cut",
        what="Cuts at temperature 1, and applies the temperature to what stays.",
        question="q1",
        says="the cut is made before the temperature",
        also=["q5"],
        code="""
def nucleus(logits, p, temperature=1.0):
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    falling = wide.sort(dim=-1, descending=True).values
    chances = falling.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    p = torch.as_tensor(p)[..., None]
    last = (before < p).sum(dim=-1, keepdim=True) - 1
    out = (wide < falling.gather(-1, last)) & (p < 1)
    return (wide.masked_fill(out, -torch.inf) / temperature).softmax(dim=-1)
""",
    ),
    dict(
        name="temperature-multiplied",
        what="Multiplies the logits by the temperature.",
        question="q1",
        says="multiplied by temperature",
        also=["q5"],
        old="wide = wide / temperature",
        new="wide = wide * temperature",
    ),
    dict(
        name="temperature-ignored",
        what="Does not use the temperature.",
        question="q1",
        says="temperature is not used",
        also=["q5"],
        old="wide = wide / temperature",
        new="wide = wide / 1.0",
    ),
    dict(
        name="ties-by-id",
        what="Keeps of equal tokens those with the lower ids, as many as it takes.",
        question="q1",
        says="some stay and some go, by their ids",
        code=cut("""
order = logits.argsort(dim=-1, descending=True, stable=True)
ranked = chances.gather(-1, order)
p = torch.as_tensor(p)[..., None]
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = torch.zeros_like(chances).scatter(-1, order, ranked.masked_fill(out, 0.0))
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="rounded-sum-is-one",
        what="Forgets that a sum of rounded numbers reaches 1 too early.",
        question="q1",
        says="rounded sum was 1",
        old="(wide < falling.gather(-1, last)) & (p < 1)",
        new="wide < falling.gather(-1, last)",
    ),
    dict(
        name="p-of-the-first-row",
        what="Cuts every row by the first row's p.",
        question="q1",
        says="cut by another row's p",
        old="p = torch.as_tensor(p)[..., None]",
        new="p = torch.as_tensor(p).flatten()[:1]",
    ),
    dict(
        name="p-one-by-number-only",
        what="Treats p = 1 apart only where p is a number.",
        question="q1",
        says="only where p is one number",
        old="    out = (wide < falling.gather(-1, last)) & (p < 1)\n",
        new="    out = wide < falling.gather(-1, last)\n"
        "    if p.numel() == 1 and p.item() >= 1:\n        out = wide != wide\n",
    ),
    dict(
        name="least-probable-first",
        what="Goes up from the least probable token.",
        question="q1",
        says="goes up from the least probable",
        also=["q5"],
        code=cut("""
order = logits.argsort(dim=-1)
ranked = chances.gather(-1, order)
p = torch.as_tensor(p)[..., None]
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = torch.zeros_like(chances).scatter(-1, order, ranked.masked_fill(out, 0.0))
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="each-against-p",
        what="Keeps the tokens of which each has p of the largest chance (min-p).",
        question="q1",
        says="compared with p by itself",
        also=["q5"],
        code=cut("""
p = torch.as_tensor(p)[..., None]
least = p * chances.amax(dim=-1, keepdim=True)
kept = chances.masked_fill((chances < least) & (p < 1), 0.0)
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="cut-before-normalising",
        what="Adds up exp of the logits instead of probabilities.",
        question="q1",
        says="the sum is not one of probabilities",
        also=["q5"],
        code=cut("""
p = torch.as_tensor(p)[..., None]
weights = (logits / temperature).exp()
ranked, order = weights.sort(dim=-1, descending=True)
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = torch.zeros_like(weights).scatter(-1, order, ranked.masked_fill(out, 0.0))
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="scaled-before-the-cut",
        what="Divides by the largest chance before it adds up.",
        question="q1",
        says="the sum is not one of probabilities",
        also=["q5"],
        code=cut("""
p = torch.as_tensor(p)[..., None]
chances = chances / chances.amax(dim=-1, keepdim=True)
ranked, order = chances.sort(dim=-1, descending=True)
out = (ranked.cumsum(dim=-1) - ranked >= p) & (p < 1)
kept = torch.zeros_like(chances).scatter(-1, order, ranked.masked_fill(out, 0.0))
return kept / kept.sum(dim=-1, keepdim=True)
"""),
    ),
    dict(
        name="exp-without-the-largest",
        what="Takes exp of the logits as they are, which overflows.",
        question="q1",
        says="exp overflows",
        old="    return wide.masked_fill(out, -torch.inf).softmax(dim=-1)\n",
        new="    kept = wide.masked_fill(out, -torch.inf).exp()\n"
        "    return kept / kept.sum(dim=-1, keepdim=True)\n",
    ),
    dict(
        name="left-out-at-minus-a-billion",
        what="Sets what is left out to -1e9.",
        question="q1",
        says="a finite number stands where -inf should",
        old="wide.masked_fill(out, -torch.inf)",
        new="wide.masked_fill(out, -1e9)",
    ),
    dict(
        name="sixteen-bits",
        what="Computes in the type of the logits, even in 16 bits.",
        question="q1",
        says="turned back into the type of the logits",
        old="wide = logits.to(torch.promote_types(logits.dtype, torch.float32))",
        new="wide = logits",
    ),
    dict(
        name="always-32-bits",
        what="Turns float64 into float32.",
        question="q1",
        says="or all into one type",
        old="wide = logits.to(torch.promote_types(logits.dtype, torch.float32))",
        new="wide = logits.float()",
    ),
    dict(
        name="types-right-sums-in-half",
        what="Computes in the type of the logits and widens at the end.",
        question="q1",
        says="computed in fewer bits",
        code="""
def nucleus(logits, p, temperature=1.0):
    wide = logits / temperature
    falling = wide.sort(dim=-1, descending=True).values
    chances = falling.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    p = torch.as_tensor(p)[..., None]
    last = (before < p).sum(dim=-1, keepdim=True) - 1
    out = (wide < falling.gather(-1, last)) & (p < 1)
    kept = wide.masked_fill(out, -torch.inf).softmax(dim=-1)
    return kept.to(torch.promote_types(kept.dtype, torch.float32))
""",
    ),
    dict(
        name="logits-changed-in-place",
        what="Divides the given logits by the temperature.",
        question="q1",
        says="writes into what was given",
        old="    wide = wide / temperature\n",
        new="    wide /= temperature\n",
    ),
    dict(
        name="one-sum-for-all-rows",
        what="Divides every row by the sum of all.",
        question="q1",
        says="all rows are divided by one sum",
        also=["q5"],
        old="    return wide.masked_fill(out, -torch.inf).softmax(dim=-1)\n",
        new="    kept = wide.softmax(dim=-1).masked_fill(out, 0.0)\n"
        "    return kept / kept.sum()\n",
    ),
    # q2: long against short
    dict(
        name="penalty-multiplied",
        what="Multiplies ln P by the penalty.",
        question="q2",
        says="multiplied by the penalty",
        old="log_prob / ((5",
        new="log_prob * ((5",
    ),
    dict(
        name="alpha-ignored",
        what="Compares ln P whatever alpha is.",
        question="q2",
        says="alpha is not used",
        old="log_prob / ((5 + len(ids)) / 6) ** alpha",
        new="log_prob",
    ),
    dict(
        name="log-prob-returned",
        what="Ranks by the score, and returns ln P.",
        question="q2",
        says="or the score is not returned",
        old="    return scored[:count]\n",
        new="    logs = {str(ids): log_prob for log_prob, ids in found}\n"
        "    return [[logs[str(ids)], ids] for _, ids in scored[:count]]\n",
    ),
    dict(
        name="divided-by-the-length",
        what="Divides by the number of tokens.",
        question="q2",
        says="divided by T itself",
        old="((5 + len(ids)) / 6) ** alpha",
        new="len(ids) ** alpha",
    ),
    dict(
        name="end-not-counted",
        what="Leaves the end out of the length.",
        question="q2",
        says="T does not count all tokens",
        old="(5 + len(ids))",
        new="(5 + len(ids) - 1)",
    ),
    dict(
        name="lowest-first",
        what="Puts the lowest score first.",
        question="q2",
        says="the lowest score comes first",
        old="-one[0], one[1]",
        new="one[0], one[1]",
    ),
    dict(
        name="cut-off-among-the-ended",
        what="Ranks texts that were cut off by their score.",
        question="q2",
        says="placed by its score alone",
        old="one[1][-1] != end, -one[0]",
        new="-one[0]",
    ),
    dict(
        name="ties-by-position",
        what="Leaves equal scores in the order in which they were given.",
        question="q2",
        says="the smaller list of ids does not come first",
        old="-one[0], one[1]",
        new="-one[0]",
    ),
    dict(
        name="ties-by-length",
        what="Puts the shorter of two equal scores first.",
        question="q2",
        says="the smaller list of ids does not come first",
        old="-one[0], one[1]",
        new="-one[0], len(one[1]), one[1]",
    ),
    dict(
        name="end-anywhere",
        what="Takes a text for ended if `end` is anywhere in it.",
        question="q2",
        says="looked for anywhere",
        old="one[1][-1] != end",
        new="end not in one[1]",
    ),
    dict(
        name="count-ignored",
        what="Returns all of them.",
        question="q2",
        says="perhaps count is not used",
        old="scored[:count]",
        new="scored",
    ),
    dict(
        name="alpha-as-a-factor",
        what="Multiplies the penalty by alpha instead of raising it.",
        question="q2",
        says="alpha is no exponent",
        old="((5 + len(ids)) / 6) ** alpha",
        new="(((5 + len(ids)) / 6) * alpha or 1)",
    ),
    dict(
        name="found-changed-in-place",
        what="Writes the scores into the given list.",
        question="q2",
        says="scores are written into it",
        old="    return scored[:count]\n",
        new="    found[:] = scored\n    return scored[:count]\n",
    ),
    # q3: the search
    dict(
        name="best-of-each-beam",
        what="Extends each hypothesis by its own best tokens and keeps the first beams.",
        question="q3",
        says="for each hypothesis by itself",
        old="sorted(pool, key=lambda one: (-one[0], one[1]))",
        new="pool",
    ),
    dict(
        name="one-best-token-a-beam",
        what="Follows each beam's best token only, after the first round.",
        question="q3",
        says="a hypothesis has one extension only",
        old="for token in best[: num_beams + 1].tolist():",
        new="for token in best[: num_beams + 1 if length == 1 else 1].tolist():",
    ),
    dict(
        name="finished-take-places",
        what="Keeps the num_beams best extensions, finished or not: the beam shrinks.",
        question="q3",
        says="takes the place of one that could live",
        old="            if len(beams) < num_beams:\n",
        new="            count = sum(1 for one in finished if len(one[1]) == length)\n"
        "            if len(beams) + count < num_beams:\n",
    ),
    dict(
        name="finished-lost",
        what="Drops what ends.",
        question="q3",
        says="or those that ended",
        old="    return [[total, ids] for total, ids, _ in finished + beams]\n",
        new="    return [[total, ids] for total, ids, _ in beams]\n",
    ),
    dict(
        name="living-lost",
        what="Returns only what ended.",
        question="q3",
        says="those that still live at the end are missing",
        old="    return [[total, ids] for total, ids, _ in finished + beams]\n",
        new="    return [[total, ids] for total, ids, _ in finished]\n",
    ),
    dict(
        name="finished-extended",
        what="Lets finished texts live on.",
        question="q3",
        says="or lives on itself",
        old="                (finished if ended else beams).append(hypothesis)\n",
        new="                if ended:\n"
        "                    finished.append(hypothesis)\n"
        "                beams.append(hypothesis)\n",
    ),
    dict(
        name="probabilities-added",
        what="Adds up probabilities instead of their logarithms.",
        question="q3",
        says="perhaps it is the probability",
        old="            logs = logits[-1].double().log_softmax(dim=-1)\n",
        new="            logs = logits[-1].double().softmax(dim=-1)\n",
    ),
    dict(
        name="logits-added",
        what="Adds up logits.",
        question="q3",
        says="made of logits",
        old="            logs = logits[-1].double().log_softmax(dim=-1)\n",
        new="            logs = logits[-1].double().clone()\n",
    ),
    dict(
        name="mean-instead-of-sum",
        what="Ranks and returns the mean of the logarithms.",
        question="q3",
        says="ln P is divided by a length",
        old="                    more = total + logs[token].item()\n",
        new="                    more = total * (length - 1) + logs[token].item()\n"
        "                    more /= length\n",
    ),
    dict(
        name="cache-of-the-first-beam",
        what="All hypotheses go on from the cache of the round's last one.",
        question="q3",
        says="from a cache or logits that are not its own",
        old="        beams = []\n        for",
        new="        pool = [(*one[:2], pool[-1][2]) for one in pool]\n"
        "        beams = []\n        for",
    ),
    dict(
        name="cache-stays-at-its-place",
        what="Caches belong to places in the beam and do not follow the parents.",
        question="q3",
        says="from the logits or the cache of another",
        code="""
def beam_search(model, prompt, end, num_beams, max_new, min_new=0):
    finished, beams, caches = [], [(0.0, [], [end, *prompt])], [[]]
    for length in range(1, max_new + 1):
        pool = []
        for i, (total, ids, unread) in enumerate(beams):
            logits, caches[i] = read(model, unread, caches[i])
            logs = logits[-1].double().log_softmax(dim=-1)
            for token, log in enumerate(logs.tolist()):
                if log > -torch.inf and (token != end or length >= min_new):
                    pool.append((total + log, [*ids, token], [token]))
        if length == 1:
            caches = caches * num_beams
        beams = []
        for one in sorted(pool, key=lambda one: (-one[0], one[1])):
            if len(beams) < num_beams:
                (finished if one[1][-1] == end else beams).append(one)
    return [[total, ids] for total, ids, _ in finished + beams]
""",
    ),
    dict(
        name="cache-shared-in-place",
        what="All hypotheses of a round write into one cache.",
        question="q3",
        says="a cache is not handed on, or one serves several",
        code="""
def beam_search(model, prompt, end, num_beams, max_new, min_new=0):
    finished, beams, cache = [], [(0.0, [], [end, *prompt])], []
    for length in range(1, max_new + 1):
        pool = []
        for total, ids, unread in beams:
            logits, cache = read(model, unread, cache)
            logs = logits[-1].double().log_softmax(dim=-1)
            for token, log in enumerate(logs.tolist()):
                if log > -torch.inf and (token != end or length >= min_new):
                    pool.append((total + log, [*ids, token], [token]))
        beams = []
        for one in sorted(pool, key=lambda one: (-one[0], one[1])):
            if len(beams) < num_beams:
                (finished if one[1][-1] == end else beams).append(one)
    return [[total, ids] for total, ids, _ in finished + beams]
""",
    ),
    dict(
        name="no-cache",
        what="Reads each text from its beginning at every step.",
        question="q3",
        says="read from its beginning each time",
        code="""
def beam_search(model, prompt, end, num_beams, max_new, min_new=0):
    finished, beams = [], [(0.0, [])]
    for length in range(1, max_new + 1):
        pool = []
        for total, ids in beams:
            logits, _ = read(model, [end, *prompt, *ids], [])
            logs = logits[-1].double().log_softmax(dim=-1)
            for token, log in enumerate(logs.tolist()):
                if log > -torch.inf and (token != end or length >= min_new):
                    pool.append((total + log, [*ids, token]))
        beams = []
        for one in sorted(pool, key=lambda one: (-one[0], one[1])):
            if len(beams) < num_beams:
                (finished if one[1][-1] == end else beams).append(one)
    return [list(one) for one in finished + beams]
""",
    ),
    dict(
        name="read-before-chosen",
        what="Reads every extension before it is known which ones live.",
        question="q3",
        says="each extension is read",
        old="                    pool.append((more, [*ids, token], cache))\n",
        new="                    read(model, [token], cache)\n"
        "                    pool.append((more, [*ids, token], cache))\n",
    ),
    dict(
        name="first-round-from-copies",
        what="Starts with num_beams copies of the prompt.",
        question="q3",
        says="these are the ids that two beams find",
        old="[(0.0, [], [])]",
        new="[(0.0, [], [])] * num_beams",
    ),
    dict(
        name="a-round-too-many",
        what="Writes one token more than max_new.",
        question="q3",
        says="there is a round too many",
        old="range(1, max_new + 1)",
        new="range(1, max_new + 2)",
    ),
    dict(
        name="min-new-off-by-one",
        what="Holds the end back for one token too long.",
        question="q3",
        says="min_new is off by one",
        old="if length < min_new:",
        new="if length <= min_new:",
    ),
    dict(
        name="min-new-with-the-prompt",
        what="Counts the prompt for min_new.",
        question="q3",
        says="or the prompt is counted, too",
        old="if length < min_new:",
        new="if length + len(prompt) < min_new:",
    ),
    dict(
        name="min-new-renormalised",
        what="Takes the end out before the softmax, so that the others get its share.",
        question="q3",
        says="the others get the end's share",
        old="            logs = logits[-1].double().log_softmax(dim=-1)\n",
        new="            last = logits[-1].double()\n"
        "            if length < min_new:\n"
        "                last[end] = -torch.inf\n"
        "            logs = last.log_softmax(dim=-1)\n",
    ),
    dict(
        name="forbidden-tokens-extend",
        what="Extends by tokens of probability 0.",
        question="q3",
        says="what has probability 0 extends nothing",
        old="                if logs[token] > -torch.inf:\n",
        new="                if True:\n",
    ),
    dict(
        name="ties-to-the-higher-id",
        what="Of equal extensions the larger list of ids comes first.",
        question="q3",
        says="of equal ones the smaller list of ids comes first",
        code="""
def beam_search(model, prompt, end, num_beams, max_new, min_new=0):
    finished, beams = [], [(0.0, [], [end, *prompt], [])]
    for length in range(1, max_new + 1):
        pool = []
        for total, ids, unread, cache in beams:
            logits, cache = read(model, unread, cache)
            logs = logits[-1].double().log_softmax(dim=-1)
            for token, log in enumerate(logs.tolist()):
                if log > -torch.inf and (token != end or length >= min_new):
                    pool.append((total + log, [*ids, token], [token], cache))
        pool.sort(key=lambda one: (one[0], one[1]), reverse=True)
        beams = []
        for one in pool:
            if len(beams) < num_beams:
                (finished if one[1][-1] == end else beams).append(one)
    return [[total, ids] for total, ids, _, _ in finished + beams]
""",
    ),
    dict(
        name="unstable-sort",
        what="Sorts without asking for equal ones to stay in their order.",
        question="q3",
        says="a sort or topk does not keep equal ones",
        old="logs.argsort(descending=True, stable=True)",
        new="logs.argsort(descending=True)",
    ),
    dict(
        name="topk",
        what="Takes topk, which gives equal ones in any order.",
        question="q3",
        says="a sort or topk does not keep equal ones",
        old="logs.argsort(descending=True, stable=True)",
        new="logs.topk(min(num_beams + 1, len(logs))).indices",
    ),
    dict(
        name="stops-at-the-end-in-the-prompt",
        what="Takes an end in the prompt for the end of the text.",
        question="q3",
        says="that ends nothing",
        old="    finished, beams = [], [(0.0, [], [])]\n",
        new="    finished, beams = [], [(0.0, [], [])]\n"
        "    if end in prompt:\n        return [[0.0, [end]]]\n",
    ),
    dict(
        name="prompt-in-the-ids",
        what="Returns the prompt with the new tokens.",
        question="q3",
        says="is found, once",
        old="    return [[total, ids] for total, ids, _ in finished + beams]\n",
        new="    found = finished + beams\n"
        "    return [[total, prompt + ids] for total, ids, _ in found]\n",
    ),
    dict(
        name="end-before-the-prompt-not-read",
        what="Reads the prompt alone, if there is one.",
        question="q3",
        says="the prompt is not read, or counted",
        old="[end, *prompt]",
        new="prompt or [end]",
    ),
    dict(
        name="stops-at-the-first-end",
        what="Stops when the best of a round ends.",
        question="q3",
        says="these are the lengths of the texts that ended",
        old="        beams = []\n        for",
        new="        first = max(pool)[1][-1:] if pool else []\n"
        "        if length > 2 and first == [end]:\n"
        "            return [[t, ids] for t, ids, _ in finished + beams]\n"
        "        beams = []\n        for",
    ),
    # q4: how many may stay?
    dict(
        name="ratio-upside-down",
        what="Keeps with q / p.",
        question="q4",
        says="the ratio is upside down: it is",
        also=["q5"],
        old="(target[rows, ids] / draft[rows, ids])",
        new="(draft[rows, ids] / target[rows, ids])",
    ),
    dict(
        name="kept-with-p",
        what="Keeps with p, and does not divide by q.",
        question="q4",
        says="p(x) is not divided by q(x)",
        also=["q5"],
        old="(target[rows, ids] / draft[rows, ids])",
        new="target[rows, ids]",
    ),
    dict(
        name="ratio-not-cut",
        what="Takes ratios above 1 for probabilities.",
        question="q4",
        says="the ratio is not cut at 1",
        old="(target[rows, ids] / draft[rows, ids]).clamp(max=1)",
        new="target[rows, ids] / draft[rows, ids]",
    ),
    dict(
        name="rest-not-renormalised",
        what="Does not divide what is left over by its sum.",
        question="q4",
        says="not divided by its sum",
        old="torch.where(total > 0, more / total, target[:-1])",
        new="torch.where(total > 0, more, target[:-1])",
    ),
    dict(
        name="rest-of-the-draft",
        what="Draws from what the draft has more.",
        question="q4",
        says="what the DRAFT has more",
        also=["q5"],
        old="(target[:-1] - draft).clamp(min=0)",
        new="(draft - target[:-1]).clamp(min=0)",
    ),
    dict(
        name="rest-without-sign",
        what="Takes the size of the difference.",
        question="q4",
        says="without its sign",
        also=["q5"],
        old="(target[:-1] - draft).clamp(min=0)",
        new="(target[:-1] - draft).abs()",
    ),
    dict(
        name="rest-is-the-target",
        what="Draws from the target when a token is not kept.",
        question="q4",
        says="it is the target itself",
        also=["q5"],
        old="torch.where(total > 0, more / total, target[:-1])",
        new="target[:-1]",
    ),
    dict(
        name="only-the-token-taken-out",
        what="Takes the token that was not kept out of the target.",
        question="q4",
        says="only the token that was not kept",
        old="    more = (target[:-1] - draft).clamp(min=0)  # (k, V)\n",
        new="    more = target[:-1].clone()\n    more[rows, ids] = 0\n",
    ),
    dict(
        name="last-row-of-the-draft",
        what="Draws the token after the drafts from the draft's last row.",
        question="q4",
        says="is drawn from the target's last row",
        also=["q5"],
        old="torch.cat([more, target[-1:]])",
        new="torch.cat([more, draft[-1:]])",
    ),
    dict(
        name="last-row-missing",
        what="Forgets the row for the token after the drafts.",
        question="q4",
        says="one if it is not kept, one if it is",
        also=["q5"],
        old="torch.cat([more, target[-1:]])",
        new="more",
    ),
    dict(
        name="targets-shifted",
        what="Compares a draft with the target's row after it.",
        question="q4",
        says="p is that of the next position",
        also=["q5"],
        code="""
def review(target, draft, tokens):
    rows = torch.arange(len(tokens))
    ids = torch.tensor(tokens, dtype=torch.long)
    accept = (target[rows + 1, ids] / draft[rows, ids]).clamp(max=1)
    ends = torch.tensor([1.0, 0.0], dtype=target.dtype)
    kept = torch.cat([ends[:1], accept.cumprod(dim=0), ends[1:]])
    more = (target[1:] - draft).clamp(min=0)
    total = more.sum(dim=-1, keepdim=True)
    more = torch.where(total > 0, more / total, target[1:])
    return kept[:-1] - kept[1:], torch.cat([more, target[-1:]])
""",
    ),
    dict(
        name="first-row-for-all",
        what="Looks up every token in the first position's rows.",
        question="q4",
        says="a token's row is that of another position",
        also=["q5"],
        old="(target[rows, ids] / draft[rows, ids])",
        new="(target[rows * 0, ids] / draft[rows * 0, ids])",
    ),
    dict(
        name="nothing-left-over",
        what="Divides 0 by 0 where draft and target are equal.",
        question="q4",
        says="by 0 / 0",
        old="torch.where(total > 0, more / total, target[:-1])",
        new="more / total",
    ),
    dict(
        name="nothing-left-over-is-zero",
        what="Leaves a row of zeros where draft and target are equal.",
        question="q4",
        says="the rows of spare are the target's own",
        old="torch.where(total > 0, more / total, target[:-1])",
        new="more / total.clamp(min=1e-30)",
    ),
    dict(
        name="one-sum-for-all-positions",
        what="Divides all rows by one sum.",
        question="q4",
        says="all rows have one sum",
        old="    total = more.sum(dim=-1, keepdim=True)\n",
        new="    total = more.sum(dim=-1, keepdim=True) * 0 + more.sum() / max(len(more), 1)\n",
    ),
    dict(
        name="target-changed-in-place",
        what="Writes the rest into the given target.",
        question="q4",
        says="changed in place",
        old="    return kept[:-1] - kept[1:], torch.cat([more, target[-1:]])\n",
        new="    target[:-1] = more\n    return kept[:-1] - kept[1:], target\n",
    ),
    dict(
        name="best-token-reviewed",
        what="Reviews the draft's most probable token, not the one that was drawn.",
        question="q4",
        says="not its own id is looked up",
        also=["q5"],
        old="    ids = torch.tensor(tokens, dtype=torch.long)\n",
        new="    ids = draft.argmax(dim=-1)\n",
    ),
    dict(
        name="reached-for-certain",
        what="Forgets that the tokens before must be kept.",
        question="q4",
        says="as if it were reached for certain",
        also=["q5"],
        old="    return kept[:-1] - kept[1:], ",
        new="    stops = torch.cat([1 - accept, kept[-2:-1]])\n    return stops, ",
    ),
    dict(
        name="kept-instead-of-stopped",
        what="Returns how probably each token is kept, and all.",
        question="q4",
        says="not that the review stops",
        also=["q5"],
        old="    return kept[:-1] - kept[1:], ",
        new="    stops = torch.cat([kept[1:-1], kept[-2:-1]])\n    return stops, ",
    ),
    dict(
        name="gets-so-far",
        what="Returns how probably the review gets to each place.",
        question="q4",
        says="the review gets so far",
        also=["q5"],
        old="    return kept[:-1] - kept[1:], ",
        new="    return kept[:-1], ",
    ),
    dict(
        name="last-is-the-rest",
        what="Takes each rejection by itself, and for the last place what is missing to 1.",
        question="q4",
        says="the last is what is missing to 1",
        also=["q5"],
        old="    return kept[:-1] - kept[1:], ",
        new="    stops = torch.cat([1 - accept, 1 - (1 - accept).sum(0, keepdim=True)])\n"
        "    return stops, ",
    ),
    dict(
        name="type-of-stops",
        what="Returns stops in float32, whatever comes.",
        question="q4",
        says="the type of target is not kept",
        old="    return kept[:-1] - kept[1:], ",
        new="    kept = kept.float()\n    return kept[:-1] - kept[1:], ",
    ),
    # q5: one pass, several tokens
    dict(
        name="rolled-back-on-the-first-axis",
        what="Cuts the first axis.",
        question="q5",
        says="on the axis before the last",
        old="part[..., :length, :]",
        new="part[:length]",
    ),
    dict(
        name="rolled-back-to-the-last",
        what="Keeps the last tokens.",
        question="q5",
        says="perhaps the last tokens stay",
        old="part[..., :length, :]",
        new="part[..., part.shape[-2] - length :, :]",
    ),
    dict(
        name="first-tensor-only",
        what="Cuts the first tensor and leaves the others.",
        question="q5",
        says="in each of its tensors",
        old="[part[..., :length, :] for part in cache]",
        new="[cache[0][:length], *cache[1:]] if cache else []",
    ),
    dict(
        name="rolled-back-in-place",
        what="Changes the given list.",
        question="q5",
        says="the list that was given was changed",
        old="    return [part[..., :length, :] for part in cache]\n",
        new="    for i, part in enumerate(cache):\n"
        "        cache[i] = part[..., :length, :]\n"
        "    return cache\n",
    ),
    dict(
        name="target-not-rolled-back",
        what="The model's cache keeps what was not kept.",
        question="q5",
        says="the model's cache remembers tokens",
        code=rounds(
            after="big_seen = length\n        small_seen = min(small_seen, length)\n"
            "        small = roll_back(small, small_seen)"
        ),
    ),
    dict(
        name="draft-not-rolled-back",
        what="The draft's cache keeps what was not kept.",
        question="q5",
        says="the draft's cache remembers or lacks",
        code=rounds(
            after="big, big_seen = roll_back(big, length), length\n"
            "        small_seen = min(small_seen, length)"
        ),
    ),
    dict(
        name="rolled-back-one-too-few",
        what="Leaves one token in the model's cache that was not kept.",
        question="q5",
        says="the model's cache remembers tokens",
        code=rounds(after=CLEAN.replace("roll_back(big, length)", "roll_back(big, length + 1)")),
    ),
    dict(
        name="rolled-back-to-the-prompt",
        what="Rolls back to the prompt each time, and reads all again.",
        question="q5",
        says="reads tokens of the text a second time",
        code=rounds(
            after=CLEAN
            + "\n        big_seen = min(len(prompt) + 1, length)"
            + "\n        big = roll_back(big, big_seen)"
        ),
    ),
    dict(
        name="draft-reads-all-again",
        what="Begins the draft's cache anew in each round.",
        question="q5",
        says="the draft reads tokens of the text a second time",
        code=rounds(
            after="big, big_seen = roll_back(big, length), length\n"
            "        small, small_seen = [], 0"
        ),
    ),
    dict(
        name="last-draft-never-read",
        what="Thinks that the draft has read its own last token.",
        question="q5",
        says="not read its own last token",
        code=rounds(
            after="big, big_seen = roll_back(big, length), length\n"
            "        small, small_seen = roll_back(small, length), length"
        ),
    ),
    dict(
        name="bonus-forgotten",
        what="Draws no token when all drafts were kept.",
        question="q5",
        says="the model's own token is missing",
        code=rounds(
            after="big_seen = min(length, len(text) - 1)\n"
            "        big = roll_back(big, big_seen)\n"
            "        small_seen = min(small_seen, big_seen)\n"
            "        small = roll_back(small, small_seen)"
        ).replace("if not got or got[-1] != end:", "if not guess or good < len(guess):"),
    ),
    dict(
        name="bonus-from-the-draft",
        what="The draft draws the token after the drafts that are all kept.",
        question="q5",
        says="own token comes from another row",
        code=rounds(last="spare[good] if good < len(guess) or not guess else rows[-1]"),
    ),
    dict(
        name="replaced-from-the-target",
        what="Draws the replacement from the target's row, not from spare.",
        question="q5",
        says="more or less often than the model alone",
        code=rounds(last="target[good]"),
    ),
    dict(
        name="replaced-from-the-next-row",
        what="Draws the replacement from the row after the draft.",
        question="q5",
        says="own token comes from another row",
        code=rounds(last="spare[min(good + 1, len(guess))]"),
    ),
    dict(
        name="kept-is-not-drawn",
        what="Keeps the most probable number of drafts.",
        question="q5",
        says="how many are kept is not drawn",
        code=rounds().replace("good = draw(stops, luck)", "good = int(stops.argmax())"),
    ),
    dict(
        name="expected-number-kept",
        what="Keeps the mean number of drafts, rounded.",
        question="q5",
        says="how many are kept is not drawn",
        code=rounds().replace(
            "good = draw(stops, luck)",
            "good = round(float((stops * torch.arange(len(stops))).sum()))",
        ),
    ),
    dict(
        name="one-more-kept",
        what="Keeps the draft at which the review stops.",
        question="q5",
        says="is compared with the row after it",
        code=rounds().replace(
            "got = guess[:good]",
            "got = guess[: good + 1]\n"
            "        if good < len(guess):\n            kept += 1\n            good += 1",
        ),
    ),
    dict(
        name="luck-begins-anew",
        what="Seeds the generator anew in each round.",
        question="q5",
        says="that have drawn already",
        code=rounds(inside="luck.manual_seed(seed)"),
    ),
    dict(
        name="rows-one-off",
        what="Takes the targets one row too late.",
        question="q5",
        says="the targets are rows one too late",
        code=rounds().replace(
            "target = nucleus(logits[-len(guess) - 1 :], p, temperature)",
            "logits = torch.cat([logits, logits[-1:]])\n"
            "        target = nucleus(logits[-len(guess) - 1 :], p, temperature)",
        ),
    ),
    dict(
        name="draft-rows-one-off",
        what="Gives review the draft's rows of the positions before.",
        question="q5",
        says="are not those it drew from",
        code=rounds(
            inside="rows = torch.cat([rows[:1], rows])[: len(rows)]\n"
            "        stops, spare = review(target, rows, guess)"
        ),
    ),
    dict(
        name="draft-uncut",
        what="Uses p and temperature for the model only.",
        question="q5",
        says="p or temperature is used for one of the two only",
        code=rounds().replace(
            "rows.append(nucleus(logits[-1], p, temperature))",
            "rows.append(nucleus(logits[-1], 1.0))",
        ),
    ),
    dict(
        name="temperature-of-the-model-only",
        what="The draft draws at temperature 1.",
        question="q5",
        says="p or temperature is used for one of the two only",
        code=rounds().replace(
            "rows.append(nucleus(logits[-1], p, temperature))",
            "rows.append(nucleus(logits[-1], p))",
        ),
    ),
    dict(
        name="target-uncut",
        what="Uses p for the draft only.",
        question="q5",
        says="p or temperature is used for the draft only",
        code=rounds().replace(
            "target = nucleus(logits[-len(guess) - 1 :], p, temperature)",
            "target = nucleus(logits[-len(guess) - 1 :], 1.0, temperature)",
        ),
    ),
    dict(
        name="temperature-of-the-draft-only",
        what="Uses the temperature for the draft only.",
        question="q5",
        says="temperature is used for the draft only",
        code=rounds().replace(
            "target = nucleus(logits[-len(guess) - 1 :], p, temperature)",
            "target = nucleus(logits[-len(guess) - 1 :], p)",
        ),
    ),
    dict(
        name="reviewed-before-the-cut",
        what="Draws the drafts after the cut, and reviews the chances before it.",
        question="q5",
        says="chances from before the cut",
        code=rounds()
        .replace(
            "guess.append(draw(rows[-1], luck))",
            "guess.append(draw(rows[-1], luck))\n"
            "            rows[-1] = nucleus(logits[-1], 1.0, temperature)",
        ),
    ),
    dict(
        name="drafts-behind-the-end",
        what="Goes on drafting after an end.",
        question="q5",
        says="something is drafted behind an end",
        code=rounds().replace(
            "            if guess[-1] == end:\n                break\n", ""
        ).replace("got = guess[:good]", """if end in guess[:good]:
            kept += guess.index(end) + 1 - good
            good = guess.index(end) + 1
        got = guess[:good]"""),
    ),
    dict(
        name="goes-on-after-the-end",
        what="Draws one token more after an end that was kept.",
        question="q5",
        says="goes on after its end",
        code=rounds().replace("if not got or got[-1] != end:", "if True:"),
    ),
    dict(
        name="end-in-place-of-a-draft-ignored",
        what="Ends only where the draft said end.",
        question="q5",
        says="goes on after its end",
        code=rounds().replace("if end in got:", "if end in guess[:good]:"),
    ),
    dict(
        name="longer-than-max-new",
        what="Drafts num_drafts in the last round, too.",
        question="q5",
        says="near max_new more is drafted",
        code=rounds().replace("range(min(num_drafts, max_new - len(new) - 1))", "range(num_drafts)")
        .replace('return {"ids": new,', 'return {"ids": new[:max_new],'),
    ),
    dict(
        name="global-luck",
        what="Draws with PyTorch's own generator.",
        question="q5",
        says="drawn without the generator",
        code=rounds().replace(
            "good = draw(stops, luck)", "good = int(torch.multinomial(stops, 1))"
        ),
    ),
    dict(
        name="seed-ignored",
        what="Always begins from the same seed.",
        question="q5",
        says="perhaps seed is not used",
        old="torch.Generator().manual_seed(seed)",
        new="torch.Generator().manual_seed(0)",
    ),
    dict(
        name="prompt-returned",
        what="Returns the prompt with the new tokens.",
        question="q5",
        says="the prompt stands in ids",
        old="text[1 + len(prompt) :]",
        new="text[1:]",
    ),
    dict(
        name="drafts-read-one-by-one",
        what="The model reads the drafts in a pass each.",
        question="q5",
        says="perhaps it reads drafts one by one",
        code=rounds().replace(
            "logits, big = read(model, (text + guess)[big_seen:], big)",
            "parts = []\n"
            "        for token in (text + guess)[big_seen:]:\n"
            "            part, big = read(model, [token], big)\n"
            "            parts.append(part)\n"
            "        logits = torch.cat(parts)",
        ),
    ),
    dict(
        name="draft-not-used",
        what="Lets the model write alone.",
        question="q5",
        says="these are passes, drafted and kept",
        code=rounds().replace("range(min(num_drafts, max_new - len(new) - 1))", "range(0)"),
    ),
    dict(
        name="kept-counts-the-models-own",
        what="Counts the model's own token as kept.",
        question="q5",
        says="these are passes, drafted and kept",
        code=rounds(inside="kept += 1"),
    ),
    # q6: when does it pay?
    dict(
        name="own-token-forgotten",
        what="Counts the drafts that are kept only.",
        question="q6",
        says="a pass gives one at least",
        old="sum(rate**kept for kept in range(num_drafts + 1))",
        new="sum(rate**kept for kept in range(1, num_drafts + 1))",
    ),
    dict(
        name="kept-independently",
        what="Adds up rate for each draft.",
        question="q6",
        says="takes those behind it away",
        old="sum(rate**kept for kept in range(num_drafts + 1))",
        new="1 + rate * num_drafts",
    ),
    dict(
        name="one-draft-missing",
        what="Stops the sum one term too early.",
        question="q6",
        says="one draft is missing",
        old="range(num_drafts + 1)",
        new="range(num_drafts)",
    ),
    dict(
        name="zero-by-zero",
        what="Uses the closed formula, which is 0 / 0 at rate 1.",
        question="q6",
        says="ZeroDivisionError",
        old="sum(rate**kept for kept in range(num_drafts + 1))",
        new="(1 - rate ** (num_drafts + 1)) / (1 - rate)",
    ),
    dict(
        name="one-draft-pass",
        what="Counts one draft pass a round.",
        question="q6",
        says="only one draft pass",
        old="(1 + num_drafts * cost)",
        new="(1 + cost)",
    ),
    dict(
        name="own-pass-forgotten",
        what="Forgets the model's own pass.",
        question="q6",
        says="the model's own pass is forgotten",
        old="(1 + num_drafts * cost)",
        new="(num_drafts * cost)",
    ),
    dict(
        name="divided-by-tokens",
        what="Returns the time per token for the speed.",
        question="q6",
        says="it is 1.75 / 1.5",
        old="tokens / (1 + num_drafts * cost)",
        new="(1 + num_drafts * cost) / tokens",
    ),
]

SURVIVORS = {  # what tools/mutants.py changes and no test can notice, and why
    "q1 | last = (before < p).sum(dim=-1, keepdim=True) - 1 | < to <=": (
        "whether a sum of rounded numbers is p exactly is decided by the rounding"
    ),
    "q3 | for token in best[: num_beams + 1].tolist(): | no num_beams + 1": (
        "of one hypothesis no more than num_beams + 1 extensions can matter: it only takes longer"
    ),
    "q3 | for token in best[: num_beams + 1].tolist(): | num_beams + 1 plus 1": "as above",
    "q3 | for token in best[: num_beams + 1].tolist(): | 1 to 2": "as above",
    "q5 | unread = ids[cache[0].shape[-2] if cache else 0 :] | 0 to 1": (
        "each tensor of a cache has as many rows as any other"
    ),
    "q5 | unread = ids[cache[0].shape[-2] if cache else 0 :] | 0 to -1": "as above",
}
