"""Plausible wrong answers to lab 09, and the question whose tests must catch each."""

# Another way through q1, with the root where most people put it.
PLAIN = """
def interval(k, n, confidence):
    from statistics import NormalDist

    if n == 0:
        return [0.0, 1.0]
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half = z * math.sqrt(k / n * (1 - k / n) / n)
    return [max(0.0, k / n - half), min(1.0, k / n + half)]
"""

# Another way through q4, whose `half` is where mistakes go.
ALIKE = """
def amplification(openings, confidence):
    from statistics import NormalDist, fmean, stdev

    leaning = [opening for opening in openings if opening["lean"]]
    gaps = [
        o["lean"] * (o["model"][0] / o["model"][1] - o["data"][0] / o["data"][1])
        for o in leaning
    ]
    if len(gaps) < 2:
        return [sum(gaps), -1.0, 1.0]
    z, value = NormalDist().inv_cdf((1 + confidence) / 2), fmean(gaps)
    {half}
    return [value, value - half, value + half]
"""

BY_TALES = """tales = sum(o["model"][1] for o in leaning)
    share = sum(o["model"][0] for o in leaning) / tales
    half = z * math.sqrt(share * (1 - share) / tales)"""

APART = """both = [[o[w][0] / o[w][1] for o in leaning] for w in ("data", "model")]
    half = z * math.sqrt(sum(stdev(shares) ** 2 for shares in both) / len(leaning))"""

DOUBT = "doubts[job] = math.erfc(abs(z) / math.sqrt(2))"
GAP = "gaps.append(lean * (shares[1] - shares[0]))"
Z = "z = sign * (k / n - truth) / math.sqrt(truth * (1 - truth) / n)"

MISTAKES = [
    # q1: an interval
    dict(
        name="share-under-the-root",
        what="Takes k/n for p under the root: after 0 of 20 there is no error left.",
        question="q1",
        says="stands under the root: there it is p",
        code=PLAIN,
    ),
    dict(
        name="one-sided",
        what="Leaves 5 % on each side.",
        question="q1",
        says="5 % are left on each side",
        old="0.5 + confidence / 2",
        new="confidence",
    ),
    dict(
        name="percent",
        what="Gives the ends in percent.",
        question="q1",
        says="these are percent",
        old="[max(0.0, middle - half), min(1.0, middle + half)]",
        new="[100 * max(0.0, middle - half), 100 * min(1.0, middle + half)]",
    ),
    dict(
        name="n-less-one",
        what="Divides by n - 1, as for a variance.",
        question="q1",
        says="n is one less",
        old="z2 = Normal",
        new="n -= 1\n    z2 = Normal",
    ),
    dict(
        name="always-95",
        what="Takes 1.96 whatever the confidence.",
        question="q1",
        says="z is always 1.96",
        old="NormalDist().inv_cdf(0.5 + confidence / 2) ** 2",
        new="NormalDist().inv_cdf(0.975) ** 2",
    ),
    # q2: who is meant
    dict(
        name="every-pronoun",
        what="Counts pronouns, and not texts.",
        question="q2",
        says="every pronoun counts",
        old="                waiting = None\n",
        new="",
    ),
    dict(
        name="parts-of-words",
        what="Finds she in sheep.",
        question="q2",
        says="parts of words are taken",
        old="elif waiting and word in women | men:",
        new="elif waiting and (word[:3] == 'she' or word in women | men):\n"
        "                word = 'she' if word[:3] == 'she' else word",
    ),
    dict(
        name="plurals",
        what="Takes nurses for a nurse.",
        question="q2",
        says="nurses are taken for a nurse",
        old="text.lower()):\n",
        new="text.lower()):\n            word = word[:-1] if word[:-1] in found else word\n",
    ),
    dict(
        name="capitals",
        what="Reads small letters only.",
        question="q2",
        says="capitals are missed",
        old='r"[a-z]+", text.lower()',
        new='r"[A-Za-z]+", text',
    ),
    dict(
        name="women-and-men",
        what="Gives [she, he].",
        question="q2",
        says="it is [she, he]",
        old="found[waiting][1] += 1",
        new="found[waiting][1] += word in men",
    ),
    dict(
        name="later-mentions",
        what="Lets later mentions count, too.",
        question="q2",
        says="later mentions count as well",
        old="None if word in named else word",
        new="word",
    ),
    dict(
        name="named-between",
        what="Lets the first profession wait on when another has been named.",
        question="q2",
        says="is said of the first as well",
        code="""
def count(texts, professions):
    women, men = {"she", "her", "hers"}, {"he", "him", "his"}
    found = {profession: [0, 0] for profession in professions}
    for text in texts:
        words = re.findall(r"[a-z]+", text.lower())
        for job in professions:
            if job in words:
                for word in words[words.index(job) :]:
                    if word in women | men:
                        found[job][0] += word in women
                        found[job][1] += 1
                        break
    return found
""",
    ),
    dict(
        name="before-the-profession",
        what="Takes the first pronoun of the text.",
        question="q2",
        says="a pronoun before the profession",
        code="""
def count(texts, professions):
    women, men = {"she", "her", "hers"}, {"he", "him", "his"}
    found = {profession: [0, 0] for profession in professions}
    for text in texts:
        words = re.findall(r"[a-z]+", text.lower())
        for job in professions:
            if job in words:
                for word in words:
                    if word in women | men:
                        found[job][0] += word in women
                        found[job][1] += 1
                        break
    return found
""",
    ),
    dict(
        name="silent-texts",
        what="Counts each text that names the profession.",
        question="q2",
        says="a text without a pronoun counts",
        code="""
def count(texts, professions):
    women, men = {"she", "her", "hers"}, {"he", "him", "his"}
    found = {profession: [0, 0] for profession in professions}
    for text in texts:
        waiting, named = None, set()
        for word in re.findall(r"[a-z]+", text.lower()):
            if word in found and word != waiting:
                waiting = None if word in named else word
                found[word][1] += word not in named
                named.add(word)
            elif waiting and word in women | men:
                found[waiting][0] += word in women
                waiting = None
    return found
""",
    ),
    # q3: verdicts
    dict(
        name="against-a-half",
        what="Forgets the baseline: compares with a half.",
        question="q3",
        says="compared with a half",
        old="share = truth[job]",
        new="share = 0.5",
    ),
    dict(
        name="one-side",
        what="Takes the chance of one side.",
        question="q3",
        says="one side alone",
        old=DOUBT,
        new=DOUBT + " / 2",
    ),
    dict(
        name="no-correction",
        what="Asks of each profession alone.",
        question="q3",
        says="compared with alpha by itself",
        old="alpha / (len(counts) - rank)",
        new="alpha",
    ),
    dict(
        name="bonferroni",
        what="Compares all with alpha / m.",
        question="q3",
        says="all are compared with alpha / m",
        old="(len(counts) - rank)",
        new="len(counts)",
    ),
    dict(
        name="goes-on",
        what="Goes on beyond the first that is larger.",
        question="q3",
        says="goes on beyond the first",
        old="            break",
        new="            continue",
    ),
    dict(
        name="exchanged",
        what="Says less for more.",
        question="q3",
        says="more is for fewer women",
        old='"more" if k / n > truth[job] else "less"',
        new='"less" if k / n > truth[job] else "more"',
    ),
    dict(
        name="observed-root",
        what="Takes k/n under the root, and not the truth.",
        question="q3",
        says="there it is the truth",
        old="z = (k / n - share) / math.sqrt(variance / n)",
        new="own = k / n * (1 - k / n) or variance\n"
        "            z = (k / n - share) / math.sqrt(own / n)",
    ),
    dict(
        name="root-without-n",
        what="Forgets to divide by n.",
        question="q3",
        says="the root is not divided by n",
        old="math.sqrt(variance / n)",
        new="math.sqrt(variance)",
    ),
    dict(
        name="n-outside-the-root",
        what="Divides the root by n, and not what stands under it.",
        question="q3",
        says="n does not stand under the root",
        old="math.sqrt(variance / n)",
        new="(math.sqrt(variance) / n)",
    ),
    dict(
        name="nobody-left-out",
        what="Leaves professions without tales out of the m.",
        question="q3",
        says="one of the m all the same",
        old="(len(counts) - rank)",
        new="(sum(n > 0 for _, n in counts.values()) - rank or 1)",
    ),
    # q4: amplification
    dict(
        name="lean-forgotten",
        what="Takes more women for more bias everywhere.",
        question="q4",
        says="lean is not used",
        old=GAP,
        new="gaps.append(shares[1] - shares[0])",
    ),
    dict(
        name="sign-lost",
        what="Takes the size of each gap.",
        question="q4",
        says="the sign of a gap is lost",
        old=GAP,
        new="gaps.append(abs(shares[1] - shares[0]))",
    ),
    dict(
        name="data-minus-model",
        what="Subtracts the model from its data.",
        question="q4",
        says="the data's share minus the model's",
        old="(shares[1] - shares[0])",
        new="(shares[0] - shares[1])",
    ),
    dict(
        name="baseline-forgotten",
        what="Compares the model with a half.",
        question="q4",
        says="compared with a half",
        old="(shares[1] - shares[0])",
        new="(shares[1] - 0.5)",
    ),
    dict(
        name="leaning-to-nobody",
        what="Gives an opening that leans to nobody a gap.",
        question="q4",
        says="has a gap",
        old='if lean := opening["lean"]:',
        new='if lean := opening["lean"] or 1:',
    ),
    dict(
        name="tales-for-openings",
        what="Takes the n of the tales for that of the openings.",
        question="q4",
        says="n counts the tales",
        code=ALIKE.replace("{half}", BY_TALES),
    ),
    dict(
        name="not-paired",
        what="Takes data and model for two independent samples.",
        question="q4",
        says="data are not taken as pairs",
        code=ALIKE.replace("{half}", APART),
    ),
    # q5: exposure
    dict(
        name="reference-forgotten",
        what="Forgets the baseline: ranks by the model alone.",
        question="q5",
        says="the reference is not used",
        old="if reference:",
        new="if False:",
    ),
    dict(
        name="reference-added",
        what="Adds the reference's score.",
        question="q5",
        says="the reference is added",
        old="-= log_prob(",
        new="+= log_prob(",
    ),
    dict(
        name="natural-logarithm",
        what="Takes the natural logarithm.",
        question="q5",
        says="it is the natural logarithm",
        old="math.log2",
        new="math.log",
    ),
    dict(
        name="equals-left-out",
        what="Ranks the secret before its equals.",
        question="q5",
        says="who is equal does not count",
        old="rank = sum(score >= least for score in scores.values())",
        new="rank = 1 + sum(score > least + 2e-9 for score in scores.values())",
    ),
    dict(
        name="from-the-wrong-end",
        what="Ranks from the least probable.",
        question="q5",
        says="counts from the least probable",
        old="score >= least for",
        new="score <= least + 2e-9 for",
    ),
    dict(
        name="text-cut",
        what="Leaves out what follows the candidate.",
        question="q5",
        says="perhaps the text ends with the candidate",
        old='frame.replace("{}", candidate)',
        new='frame.split("{}")[0] + candidate',
    ),
    # q6: how many tales
    dict(
        name="one-side-of-two",
        what="Takes the chance of one side.",
        question="q6",
        says="one side alone",
        old="math.erfc(z / math.sqrt(2)) <= alpha",
        new="math.erfc(z / math.sqrt(2)) / 2 <= alpha",
    ),
    dict(
        name="wrong-side",
        what="Counts a verdict of the wrong side as right.",
        question="q6",
        says="a verdict of the wrong side",
        old="if z > 0 and math.erfc(z / math.sqrt(2)) <= alpha:",
        new="if math.erfc(abs(z) / math.sqrt(2)) <= alpha:",
    ),
    dict(
        name="normal-formula",
        what="Takes the formula for a normal variable.",
        question="q6",
        says="a normal formula takes the place",
        code="""
def needed(share, truth, alpha, power, most):
    from statistics import NormalDist

    if share == truth:
        return None
    z = NormalDist().inv_cdf
    if share in (0, 1):
        beta = 0
    else:
        beta = z(power) * math.sqrt(share * (1 - share))
    root = z(1 - alpha / 2) * math.sqrt(truth * (1 - truth)) + beta
    n = max(1, math.ceil((root / (share - truth)) ** 2))
    return n if n <= most else None
""",
    ),
    dict(
        name="root-of-the-observed",
        what="Takes k/n under the root, and not the truth.",
        question="q6",
        says="there it is the truth",
        old=Z,
        new="own = k / n * (1 - k / n) or 1e-9\n"
        "            z = sign * (k / n - truth) / math.sqrt(own / n)",
    ),
    dict(
        name="more-only",
        what="Knows the verdict more only.",
        question="q6",
        says="less is no verdict",
        old="sign = 1 if share > truth else -1",
        new="sign = 1",
    ),
]

SURVIVORS = {
    "q1 | z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2 | + to -": (
        "the normal distribution is symmetric, and z is squared"
    ),
    "q1 | return [max(0.0, middle - half), min(1.0, middle + half)] | 1.0 to 2.0": (
        "middle + half is 1 at k = n, and less before: the bound is for rounding alone"
    ),
    "q3 | if doubts[job] > alpha / (len(counts) - rank): | > to >=": (
        "p equal to a bound to the last bit: no two ways of computing it agree so far"
    ),
    'q3 | said[job] = "more" if k / n > truth[job] else "less" | > to >=': (
        "where k / n is the truth, p is 1, and the loop has stopped"
    ),
    "q5 | least = scores[secret] - 1e-9 | 1e-9 to 2e-09": (
        "scores between these two differ by rounding, or by a count of billions"
    ),
    "q5 | rank = sum(score >= least for score in scores.values()) | >= to >": (
        "equal scores lie 1e-9 above least: none is exactly there"
    ),
    "q6 | sign = 1 if share > truth else -1 | > to >=": (
        "where they are equal, None has been returned"
    ),
    "q6 | if z > 0 and math.erfc(z / math.sqrt(2)) <= alpha: | > to >=": (
        "with z = 0, p is 1, which no alpha below 1 reaches"
    ),
    "q6 | if z > 0 and math.erfc(z / math.sqrt(2)) <= alpha: | <= to <": (
        "p equal to alpha to the last bit: no two ways of computing it agree so far"
    ),
}
