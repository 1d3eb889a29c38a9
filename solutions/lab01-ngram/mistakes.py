"""Plausible wrong answers to lab 01, and the question whose tests must catch each."""

MISTAKES = [
    dict(
        name="contexts-too-long",
        what="Off by one: order n counts contexts of up to n words.",
        question="q1",
        says="other contexts than the empty one",
        old="min(order - 1, i) + 1",
        new="min(order, i) + 1",
    ),
    dict(
        name="last-word-lost",
        what="Loops to len(words) - 1, so the last word is never counted.",
        question="q1",
        also=["q7"],
        says="the last word is lost",
        old="in enumerate(words):",
        new="in enumerate(words[:-1]):",
    ),
    dict(
        name="counts-overwritten",
        what="Stores 1 where it should add 1.",
        question="q1",
        also=["q7"],
        says="overwritten",
        old="followers[word] = followers.get(word, 0) + 1",
        new="followers[word] = 1",
    ),
    dict(
        name="negative-slice",
        what="Takes every context length at every position, also before the text begins.",
        question="q1",
        says="a slice from below 0",
        old="range(min(order - 1, i) + 1)",
        new="range(order)",
    ),
    dict(
        name="starts-at-one",
        what="Takes contexts of one word and more, never the empty one.",
        question="q1",
        also=["q7"],
        says="do not start at 0",
        old="range(min(order - 1, i) + 1)",
        new="range(1, min(order - 1, i) + 1)",
    ),
    dict(
        name="no-empty-context",
        what="An empty text gives no context at all.",
        question="q1",
        says="empty text",
        old='counts = {"": {}}',
        new="counts = {}",
    ),
    dict(
        name="words-used-up",
        what="Pops the words off the list it was given.",
        question="q1",
        also=["q7"],
        says="in place",
        old="    return counts",
        new="    words.clear()\n    return counts",
    ),
    dict(
        name="line-break-stripped",
        what="Strips the context, so that a line break becomes the empty one.",
        question="q1",
        also=["q7"],
        says="line breaks",
        old='" ".join(words[i - k : i])',
        new='" ".join(words[i - k : i]).strip()',
    ),
    dict(
        name="contexts-end-at-a-line-break",
        what="Lets no context reach over a line break.",
        question="q1",
        also=["q7"],
        says="no context reaches over them",
        old="""            context = " ".join(words[i - k : i])
""",
        new="""            if "\\n" in words[i - k : i]:
                continue
            context = " ".join(words[i - k : i])
""",
    ),
    dict(
        name="lower-case",
        what="Makes capital letters small before counting.",
        question="q1",
        says="capital letter",
        old="    for i, word in enumerate(words):",
        new="""    words = [w.lower() for w in words]
    for i, word in enumerate(words):""",
    ),
    dict(
        name="empty-followers-at-the-end",
        what="Adds the last words as contexts that nothing follows.",
        question="q1",
        says="the last words begin a context",
        old="    return counts",
        new="""    for k in range(order):
        if k <= len(words):
            counts.setdefault(" ".join(words[len(words) - k :]), {})
    return counts""",
    ),
    dict(
        name="tokens-for-types",
        what="Takes the discount once for each occurrence and not for each different word.",
        question="q2",
        also=["q3", "q7"],
        says="DIFFERENT",
        old="discount * len(followers) / sum(followers.values())",
        new="discount * sum(followers.values()) / sum(followers.values())",
    ),
    dict(
        name="total-of-the-word",
        what="Divides by how often the word occurs, the end of the text included.",
        question="q2",
        also=["q3"],
        says="AFTER the context",
        old="    return discount * len(followers) / sum(followers.values())",
        new="""    total = sum(followers.values())
    if len(context) == 1:
        total = counts[""].get(context[0], total)
    return discount * len(followers) / total""",
    ),
    dict(
        name="nothing-held-back-when-unseen",
        what="Holds nothing back after a context that was never seen.",
        question="q2",
        also=["q3"],
        says="never seen",
        old="return 1.0",
        new="return 0.0",
    ),
    dict(
        name="key-error-when-unseen",
        what="Looks an unseen context up with counts[...].",
        question="q2",
        also=["q3"],
        says="KeyError",
        old='counts.get(" ".join(context), {})',
        new='counts[" ".join(context)]',
    ),
    dict(
        name="list-as-key",
        what="Looks the context up as a list, not as a string.",
        question="q2",
        also=["q3", "q4", "q6", "q7"],
        says="unhashable",
        old='counts.get(" ".join(context), {})',
        new="counts.get(context, {})",
    ),
    dict(
        name="discount-zero-first",
        what="Holds nothing back at discount 0, seen or not.",
        question="q2",
        says="asked first",
        old="    if not followers:",
        new="""    if discount == 0:
        return 0.0
    if not followers:""",
    ),
    dict(
        name="line-break-context-stripped",
        what="Strips the context before it is looked up.",
        question="q2",
        also=["q3"],
        says="after a line break",
        old='" ".join(context)',
        new='" ".join(context).strip()',
    ),
    dict(
        name="context-used-up",
        what="Empties the context it was given.",
        question="q2",
        also=["q3"],
        says="changed in place",
        old='    followers = counts.get(" ".join(context), {})',
        new="""    key = " ".join(context)
    context.clear()
    followers = counts.get(key, {})""",
    ),
    dict(
        name="counts-grow",
        what="Adds a context by looking it up with setdefault.",
        question="q2",
        also=["q3"],
        says="looking up adds a context",
        old='counts.get(" ".join(context), {})',
        new='counts.setdefault(" ".join(context), {})',
    ),
    dict(
        name="no-weight",
        what="Multiplies by the held-back mass without dividing by what the unseen words have.",
        question="q3",
        says="back-off weight",
        old="weight = held / sum(unseen.values()) if held > 0 else 0.0",
        new="weight = held",
    ),
    dict(
        name="interpolates",
        what="Adds the shorter context's opinion to words that were seen, too.",
        question="q3",
        also=["q4", "q7"],
        says="interpolation",
        old="    return {**probs, **{word: weight * p for word, p in unseen.items()}}",
        new="    return {word: probs.get(word, 0) + held * p for word, p in lower.items()}",
    ),
    dict(
        name="shared-with-all",
        what="Divides by the sum over all words, the seen ones included.",
        question="q3",
        says="NOT seen after it",
        old="held / sum(unseen.values())",
        new="held / sum(lower.values())",
    ),
    dict(
        name="straight-to-the-unigrams",
        what="Backs off from any context straight to the empty one.",
        question="q3",
        says="one word at a time",
        old="context[1:]",
        new="[]",
    ),
    dict(
        name="drops-the-newest-word",
        what="Shortens the context at its end.",
        question="q3",
        says="than the OLDEST",
        old="context[1:]",
        new="context[:-1]",
    ),
    dict(
        name="unknown-word-impossible",
        what="Gives the unknown word probability 0 where no context is left.",
        question="q3",
        also=["q6", "q7"],
        says="unknown word",
        old='"<unk>": held}',
        new='"<unk>": 0.0}',
    ),
    dict(
        name="seen-words-only",
        what="Answers with the words seen after the context and leaves out the rest.",
        question="q3",
        also=["q4", "q7"],
        says="every word",
        old="    return {**probs, **{word: weight * p for word, p in unseen.items()}}",
        new="    return probs or lower",
    ),
    dict(
        name="context-popped",
        what="Shortens the caller's own list.",
        question="q3",
        says="in place",
        old="    lower = next_word(counts, context[1:], discount)",
        new="    context.pop(0)\n    lower = next_word(counts, context, discount)",
    ),
    dict(
        name="counts-turned-into-probabilities",
        what="Writes the probabilities into the dictionary of counts.",
        question="q3",
        also=["q4", "q6", "q7"],
        says="in place",
        old="    if not context:\n",
        new="    followers.update(probs)\n    if not context:\n",
    ),
    dict(
        name="zero-over-zero",
        what="Divides 0 by 0 when nothing is held back.",
        question="q3",
        says="ZeroDivisionError",
        old="held / sum(unseen.values()) if held > 0 else 0.0",
        new="held / sum(unseen.values())",
    ),
    dict(
        name="seen-words-not-discounted",
        what="Forgets to take the discount from words that were seen.",
        question="q3",
        also=["q4", "q7"],
        says="not discounted here",
        old="(c - discount)",
        new="c",
    ),
    dict(
        name="line-break-is-no-word",
        what="Takes the line break out of the vocabulary.",
        question="q3",
        also=["q4", "q6", "q7"],
        says="knows line breaks",
        old="""    if not context:
""",
        new="""    probs.pop("\\n", None)
    if not context:
""",
    ),
    dict(
        name="product-underflows",
        what="Multiplies the probabilities and takes one logarithm at the end.",
        question="q4",
        says="underflows",
        code='''
def log_prob(counts, words, history, order, discount):
    past = list(history)
    product = 1.0
    for word in words:
        context = past[-(order - 1) :] if order > 1 else []
        probs = next_word(counts, context, discount)
        product *= probs.get(word, probs["<unk>"])
        past.append(word)
    return math.log(product) if product > 0 else -math.inf
''',
    ),
    dict(
        name="whole-list-at-order-one",
        what="past[-0:] is the whole list: order 1 sees everything.",
        question="q4",
        says="past[-0:] is the whole list",
        old="past[-(order - 1) :] if order > 1 else []",
        new="past[-(order - 1) :]",
    ),
    dict(
        name="log-of-zero",
        what="Calls math.log(0).",
        question="q4",
        also=["q7"],
        says="ValueError",
        old="        if p == 0:\n            return -math.inf\n",
        new="",
    ),
    dict(
        name="unknown-word-is-a-key-error",
        what="Looks every word up as if the model knew it.",
        question="q4",
        also=["q7"],
        says="KeyError",
        old='probs.get(word, probs["<unk>"])',
        new="probs[word]",
    ),
    dict(
        name="zero-passed-over",
        what="Leaves words of probability 0 out of the sum.",
        question="q4",
        also=["q7"],
        says="passed over",
        old="            return -math.inf",
        new="            continue",
    ),
    dict(
        name="history-ignored",
        what="Begins every text without a context.",
        question="q4",
        says="from the history",  # the words of a public test
        old="past = list(history)",
        new="past = []",
    ),
    dict(
        name="history-appended-to",
        what="Appends the text to the caller's history.",
        question="q4",
        says="in place",
        old="past = list(history)",
        new="past = history",
    ),
    dict(
        name="bits-for-nats",
        what="Uses the logarithm to base 2.",
        question="q4",
        says="bits",
        old="math.log(p)",
        new="math.log2(p)",
    ),
    dict(
        name="empty-history-is-a-line-break",
        what="Takes an empty history for the beginning of a story.",
        question="q4",
        also=["q7"],
        says="an empty history",
        old="past = list(history)",
        new='past = list(history) or ["\\n"]',
    ),
    dict(
        name="line-break-starts-afresh",
        what="Forgets what was before a line break.",
        question="q4",
        says="starts afresh",
        old="        past.append(word)",
        new="""        past.append(word)
        if word == "\\n":
            past = ["\\n"]""",
    ),
    dict(
        name="line-breaks-not-scored",
        what="Passes over line breaks.",
        question="q4",
        says="line break inside the text",
        old="""    for word in words:
""",
        new="""    for word in words:
        if word == "\\n":
            past.append(word)
            continue
""",
    ),
    dict(
        name="text-used-up",
        what="Pops the words off the list it was given.",
        question="q4",
        also=["q7"],
        says="changed in place",
        old="""    for word in words:
""",
        new="""    while words:
        word = words.pop(0)
""",
    ),
    dict(
        name="zero-of-a-known-word-unknown",
        what="Takes a known word of probability 0 for an unknown one.",
        question="q4",
        also=["q7"],
        says="replaced",
        old='p = probs.get(word, probs["<unk>"])',
        new='p = probs.get(word) or probs["<unk>"]',
    ),
    dict(
        name="perplexity-sign",
        what="Forgets the minus sign.",
        question="q5",
        says="sign",
        old="math.exp(-nats / num_words)",
        new="math.exp(nats / num_words)",
    ),
    dict(
        name="perplexity-base-two",
        what="Mixes 2 ** x with nats.",
        question="q5",
        says="undoes the natural logarithm",
        old="math.exp(-nats / num_words)",
        new="2 ** (-nats / num_words)",
    ),
    dict(
        name="perplexity-of-nothing",
        what="Divides by zero words.",
        question="q5",
        says="ZeroDivisionError",
        old="    if num_words == 0:\n        return 1.0\n",
        new="",
    ),
    dict(
        name="nats-per-character",
        what="Leaves the natural logarithm in bits per character.",
        question="q5",
        says="base 2",
        old="math.log2(ppl)",
        new="math.log(ppl)",
    ),
    dict(
        name="chars-over-words",
        what="Turns words over characters upside down.",
        question="q5",
        says="other way round",
        old="* num_words / num_chars",
        new="* num_chars / num_words",
    ),
    dict(
        name="through-the-probability",
        what="Computes the probability first, which underflows in a long text.",
        question="q5",
        says="ZeroDivisionError",
        old="return math.exp(-nats / num_words)",
        new="""return (1 / math.exp(nats)) ** (1 / num_words) if nats > -math.inf else math.inf""",
    ),
    dict(
        name="unsorted-words",
        what="Goes through the words in the order of the dictionary.",
        question="q6",
        says="SORTED",
        old="for word in sorted(probs):",
        new="for word in probs:",
    ),
    dict(
        name="not-strict",
        what="Takes the word at which the sum reaches u, a word of probability 0 included.",
        question="q6",
        says="GREATER",
        old="if u < cumulative:",
        new="if u <= cumulative:",
    ),
    dict(
        name="falls-off-the-end",
        what="Gives the very last word when rounding leaves u above the sum.",
        question="q6",
        says="rounding",
        old="return max(word for word in probs if probs[word] > 0)",
        new="return max(probs)",
    ),
    dict(
        name="never-stops",
        what="Goes on after the end of the story.",
        question="q6",
        says="line break",
        old='        if word == "\\n":\n            break\n',
        new="",
    ),
    dict(
        name="history-in-the-story",
        what="Returns the history together with the story.",
        question="q6",
        says="left out of the answer",
        old="    return words\n",
        new="    return past\n",
    ),
    dict(
        name="no-history-for-the-story",
        what="Begins every story without a context.",
        question="q6",
        says="history",
        old="    past = list(history)\n",
        new="    past = []\n",
    ),
    dict(
        name="case-does-not-count",
        what="Sorts without regard to capital letters.",
        question="q6",
        says="Python's sorted",
        old="for word in sorted(probs):",
        new="for word in sorted(probs, key=str.lower):",
    ),
    dict(
        name="two-words-of-context-at-most",
        what="Looks at the last word only, whatever the order.",
        question="q6",
        says="an order-3 model",
        old="past[-(order - 1) :] if order > 1 else []",
        new="past[-1:] if order > 1 else []",
    ),
    dict(
        name="empty-history-from-a-line-break",
        what="Begins a story where no history is given.",
        question="q6",
        says="beginning of a story",
        old="""    past = list(history)
    words""",
        new="""    past = list(history) or ["\\n"]
    words""",
    ),
    dict(
        name="uniforms-used-up",
        what="Pops the numbers off the list it was given.",
        question="q6",
        says="list of numbers is changed",
        old="""    for u in uniforms:
""",
        new="""    while uniforms:
        u = uniforms.pop(0)
""",
    ),
    dict(
        name="chosen-on-training-text",
        what="Scores the text that was counted.",
        question="q7",
        says="training text",
        old="log_prob(counts, valid,",
        new="log_prob(counts, train,",
    ),
    dict(
        name="lowest-wins",
        what="Takes the minimum of the log-probability.",
        question="q7",
        says="new words wants much",
        old="return max(",
        new="return min(",
    ),
    dict(
        name="first-in-a-tie",
        what="Takes the first of equals.",
        question="q7",
        says="tie",
        old="sorted(candidates)",
        new="candidates",
    ),
    dict(
        name="candidates-sorted-in-place",
        what="Sorts the caller's list.",
        question="q7",
        says="in place",
        old="    counts = count_ngrams(train, order)\n",
        new="    counts = count_ngrams(train, order)\n    candidates.sort()\n",
    ),
    dict(
        name="none-when-all-are-impossible",
        what="Begins at -inf and takes only what is better: None if nothing is.",
        question="q7",
        says="all candidates score -inf",
        code="""
def best_discount(train, valid, order, candidates):
    counts = count_ngrams(train, order)
    best, score = None, -math.inf
    for d in sorted(candidates):
        nats = log_prob(counts, valid, [], order, d)
        if nats > score:
            best, score = d, nats
    return best
""",
    ),
    dict(
        name="history-is-the-training-text",
        what="Scores the text as if it followed the training text.",
        question="q7",
        says="the history is not empty",
        old="valid, [], order, d",
        new="valid, train, order, d",
    ),
    dict(
        name="order-two-always",
        what="Counts at order 2, whatever is asked for.",
        question="q7",
        says="an order-3 model",
        old="count_ngrams(train, order)",
        new="count_ngrams(train, 2)",
    ),
    dict(
        name="order-one-scored",
        what="Scores at order 1, whatever is asked for.",
        question="q7",
        says="another order is used",
        old="valid, [], order, d",
        new="valid, [], 1, d",
    ),
]
