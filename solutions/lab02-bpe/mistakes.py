"""Plausible wrong answers to lab 02, and the question whose tests must catch each."""

MISTAKES = [
    # q1: pairs and runs
    dict(
        name="overlapping-pairs",
        what="Counts the pairs of 'aaaa' as three, overlaps included.",
        question="q1",
        also=["q2"],
        says="overlap",
        old="            continue\n",
        new="            pass\n",
    ),
    dict(
        name="run-counted-once",
        what="Counts a run of equal ids as one pair, however long it is.",
        question="q1",
        also=["q2"],
        says="taken up again too late",
        old="            last = None\n            continue\n",
        new="            continue\n",
    ),
    dict(
        name="pairs-sorted",
        what="Returns the pairs by their ids, not by first occurrence.",
        question="q1",
        also=["q2"],
        says="order in which they first occur",
        old="return [[a, b, count] for (a, b), count in counts.items()]",
        new="return [[a, b, count] for (a, b), count in sorted(counts.items())]",
    ),
    dict(
        name="last-pair-not-counted",
        what="Stops counting one pair too early.",
        question="q1",
        also=["q2"],
        says="is the last pair counted",
        old="pairwise(ids)",
        new="pairwise(ids[:-1])",
    ),
    dict(
        name="merge-loses-the-last-id",
        what="Loops to the last pair and forgets an id that is left over.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="ids without a partner kept",
        old="while i < len(ids):",
        new="while i < len(ids) - 1:",
    ),
    dict(
        name="merge-steps-by-one",
        what="After a hit, goes on at the second id of the pair.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="very end",
        old="            i += 2",
        new="            i += 1",
    ),
    dict(
        name="merge-from-the-right",
        what="Merges runs from right to left.",
        question="q1",
        also=["q2", "q3"],
        says="from left to right",
        code="""
from itertools import pairwise


def count_pairs(ids):
    counts = {}
    last = None
    for pair in pairwise(ids):
        if pair == last:
            last = None
            continue
        counts[pair] = counts.get(pair, 0) + 1
        last = pair
    return [[a, b, count] for (a, b), count in counts.items()]


def merge(ids, pair, new_id):
    merged = []
    i = len(ids) - 1
    while i >= 0:
        if i > 0 and [ids[i - 1], ids[i]] == list(pair):
            merged.append(new_id)
            i -= 2
        else:
            merged.append(ids[i])
            i -= 1
    return merged[::-1]
""",
    ),
    dict(
        name="merge-in-place",
        what="Changes the list that it was given.",
        question="q1",
        says="changed its argument in place",
        code="""
from itertools import pairwise


def count_pairs(ids):
    counts = {}
    last = None
    for pair in pairwise(ids):
        if pair == last:
            last = None
            continue
        counts[pair] = counts.get(pair, 0) + 1
        last = pair
    return [[a, b, count] for (a, b), count in counts.items()]


def merge(ids, pair, new_id):
    i = 0
    while i < len(ids) - 1:
        if ids[i : i + 2] == list(pair):
            ids[i : i + 2] = [new_id]
        i += 1
    return ids
""",
    ),
    # q2: the trainer
    dict(
        name="tie-by-smallest-id",
        what="Breaks ties by the smallest pair.",
        question="q2",
        says="not the smallest",
        old="max(counts, key=lambda row: row[2])",
        new="max(counts, key=lambda row: (row[2], -row[0], -row[1]))",
    ),
    dict(
        name="tie-by-last",
        what="Breaks ties by the pair that was seen last.",
        question="q2",
        says="comes first in the sequence wins",
        old="max(counts, key=lambda row: row[2])",
        new="sorted(counts, key=lambda row: row[2])[-1]",
    ),
    dict(
        name="first-new-id-257",
        what="Gives the first merge the id 257.",
        question="q2",
        says="make id 256",
        old="256 + len(merges))",
        new="257 + len(merges))",
    ),
    dict(
        name="merges-what-occurs-once",
        what="Goes on when no pair occurs twice.",
        question="q2",
        says="when no pair occurs twice",
        old="row[2] > 1",
        new="row[2] > 0",
    ),
    dict(
        name="trains-on-characters",
        what="Decodes the data and trains on code points.",
        question="q2",
        says="do not decode",
        old="list(data)",
        new='[ord(c) for c in data.decode("utf-8", errors="replace")]',
    ),
    dict(
        name="counts-only-once",
        what="Takes the most frequent pairs of the first count, and never counts again.",
        question="q2",
        says="start from the merged ids",
        code="""
def train(data, num_merges):
    counts = [row for row in count_pairs(list(data)) if row[2] > 1]
    counts.sort(key=lambda row: -row[2])
    return [[a, b] for a, b, _ in counts[:num_merges]]
""",
    ),
    dict(
        name="crash-on-little-text",
        what="Takes the maximum of nothing when no pair is left.",
        question="q2",
        says="ValueError",
        old="        if not counts:\n            break\n",
        new="",
    ),
    # q3: encode
    dict(
        name="longest-match",
        what="Takes the longest token that fits, and ignores ranks.",
        question="q3",
        says="order of their rank",
        code="""
def encode(data, merges):
    vocab = [bytes([b]) for b in range(256)]
    for a, b in merges:
        vocab.append(vocab[a] + vocab[b])
    ids = []
    while data:
        fits = [i for i, token in enumerate(vocab) if data.startswith(token)]
        ids.append(max(fits, key=lambda i: len(vocab[i])))
        data = data[len(vocab[ids[-1]]) :]
    return ids


def where_they_differ():
    return [[[98, 99], [97, 98]], b"abc"]
""",
    ),
    dict(
        name="leftmost-pair-first",
        what="Merges the leftmost pair that can be merged, whatever its rank.",
        question="q3",
        says="not the leftmost pair",
        code="""
def encode(data, merges):
    ranks = {tuple(pair): 256 + rank for rank, pair in enumerate(merges)}
    ids = list(data)
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) in ranks:
            ids[i : i + 2] = [ranks[ids[i], ids[i + 1]]]
            i = 0
        else:
            i += 1
    return ids


def where_they_differ():
    return [[[98, 99], [97, 98]], b"abc"]
""",
    ),
    dict(
        name="ranks-backwards",
        what="Applies the merge learnt last first.",
        question="q3",
        says="order of their rank",
        old="for rank, pair in enumerate(merges):",
        new="for rank, pair in reversed(list(enumerate(merges))):",
    ),
    dict(
        name="encode-eats-merges",
        what="Empties the list of merges while going through it.",
        question="q3",
        also=["q5"],
        says="changed merges in place",
        old="    for rank, pair in enumerate(merges):\n        ids",
        new="    rank = -1\n    while merges:\n        rank += 1\n"
        "        pair = merges.pop(0)\n        ids",
    ),
    dict(
        name="encode-drops-invalid-bytes",
        what="Cleans the bytes to valid UTF-8 first, and loses some.",
        question="q3",
        says="do not decode",
        old="list(data)",
        new='list(data.decode("utf-8", errors="ignore").encode("utf-8"))',
    ),
    dict(
        name="no-difference",
        what="Ranks the left merge first: there both ways agree.",
        question="q3",
        says="same ids",
        old="[[[98, 99], [97, 98]], b",
        new="[[[97, 98], [98, 99]], b",
    ),
    # q4: decode and stream
    dict(
        name="byte-as-character",
        what="Makes bytes from 128 on with chr(b).encode(), two bytes each.",
        question="q4",
        also=["q5"],
        says="ids below 256 are single bytes",
        old="[bytes([b]) for b in range(256)]",
        new="[chr(b).encode() for b in range(256)]",
    ),
    dict(
        name="token-built-backwards",
        what="Puts the bytes of the second id first.",
        question="q4",
        also=["q5"],
        says="come before those of the second",
        old="vocab[a] + vocab[b]",
        new="vocab[b] + vocab[a]",
    ),
    dict(
        name="recursive-vocabulary",
        what="Expands each token by recursion, too deep for a chain of merges.",
        question="q4",
        says="recursion",
        old="""    vocab = vocabulary(merges)
    return b"".join(vocab[i] for i in ids)
""",
        new="""    def expand(i):
        if i < 256:
            return bytes([i])
        a, b = merges[i - 256]
        return expand(a) + expand(b)

    return b"".join(expand(i) for i in ids)
""",
    ),
    dict(
        name="decode-returns-text",
        what="Returns a string.",
        question="q4",
        also=["q5"],
        says="has to return bytes",
        old='return b"".join(vocab[i] for i in ids)',
        new='return b"".join(vocab[i] for i in ids).decode("utf-8", "replace")',
    ),
    dict(
        name="decode-ignores-errors",
        what="Goes through text with errors='ignore', and loses bytes.",
        question="q4",
        also=["q5"],
        says="were lost or changed",
        old='return b"".join(vocab[i] for i in ids)',
        new='return b"".join(vocab[i] for i in ids).decode(errors="ignore").encode()',
    ),
    dict(
        name="stream-token-by-token",
        what="Decodes each token as UTF-8 by itself.",
        question="q4",
        says="hold the bytes of an unfinished character back",
        old="[decoder.decode(vocab[i]) for i in ids]",
        new='[vocab[i].decode("utf-8", errors="replace") for i in ids]',
    ),
    dict(
        name="stream-forgets-the-end",
        what="Never shows the bytes that are held back at the end.",
        question="q4",
        says="held back at the end",
        old='shown[-1] += decoder.decode(b"", final=True)',
        new="pass",
    ),
    dict(
        name="stream-crashes-on-nothing",
        what="Adds to the last string when there is none.",
        question="q4",
        says="IndexError",
        old="    if shown:\n        shown[-1]",
        new="    shown[-1]",
    ),
    # q5: documents
    dict(
        name="end-token-from-text",
        what="Splits each document at '<|end|>' and makes that the special token.",
        question="q5",
        says="turned into one",
        old="        ids += encode(document.encode(\"utf-8\"), merges)\n        ids.append(end)\n",
        new="        for part in document.split(\"<|end|>\"):\n"
        "            ids += encode(part.encode(\"utf-8\"), merges)\n"
        "            ids.append(end)\n",
    ),
    dict(
        name="attack-cut-out",
        what="Removes '<|end|>' from the documents.",
        question="q5",
        says="keep it",
        old='document.encode("utf-8")',
        new='document.replace("<|end|>", "").encode("utf-8")',
    ),
    dict(
        name="joined-as-text",
        what="Writes the end token as text, and splits at it.",
        question="q5",
        says="end token",
        code='''
def encode_documents(documents, merges):
    text = "".join(document + "<|end|>" for document in documents)
    return encode(text.encode("utf-8"), merges)


def decode_documents(ids, merges):
    text = decode(ids, merges).decode("utf-8", errors="replace")
    return text.split("<|end|>")[:-1]
''',
    ),
    dict(
        name="end-token-is-the-last-merge",
        what="Gives the end token the id of the last merge.",
        question="q5",
        says="256 + len(merges)",
        old="    end = 256 + len(merges)\n    ids = []",
        new="    end = 255 + len(merges)\n    ids = []",
    ),
    dict(
        name="unfinished-document-kept",
        what="Returns what follows the last end token as a document.",
        question="q5",
        says="leave out",
        old="            current.append(i)\n    return documents",
        new="            current.append(i)\n"
        "    return documents + [decode(current, merges).decode()] * bool(current)",
    ),
    dict(
        name="documents-share-a-decoder",
        what="Decodes token by token, so characters that span two tokens break.",
        question="q5",
        says="each document whole",
        old="""            data = decode(current, merges)
            documents.append(data.decode("utf-8", errors="replace"))
""",
        new="""            parts = [decode([j], merges) for j in current]
            parts = [part.decode("utf-8", errors="replace") for part in parts]
            documents.append("".join(parts))
""",
    ),
    dict(
        name="surrogates-shown",
        what="Decodes with errors='surrogateescape', which no screen can show.",
        question="q5",
        says="U+FFFD",
        old='data.decode("utf-8", errors="replace")',
        new='data.decode("utf-8", errors="surrogateescape")',
    ),
    # q6: fast
    dict(
        name="counts-everything-again",
        what="The plain trainer under another name.",
        question="q6",
        says="200 is the limit",
        code="""
def train_fast(data, num_merges):
    return train(data, num_merges)
""",
    ),
    dict(
        name="first-count-overlaps",
        what="Counts overlapping pairs at the start.",
        question="q6",
        says="run of equal ids",
        old="        counts[c + c] = text.count(c + c)\n    merges = []",
        new="        pass\n    merges = []",
    ),
    dict(
        name="runs-not-counted-again",
        what="Leaves the count of 'aa' as it was when a merge shortens a run.",
        question="q6",
        says="run of equal ids",
        old="for c in (a, b, new):",
        new="for c in (new,):",
    ),
    dict(
        name="touching-occurrences-forgotten",
        what="Forgets the pair between two occurrences that touch, as in 'abab'.",
        question="q6",
        says="a count wrong",
        old='        counts[b + a] -= pieces[1:-1].count("")\n',
        new="",
    ),
    dict(
        name="tie-by-first-seen",
        what="Breaks ties by which pair was counted first, long ago.",
        question="q6",
        says="first occurrence now",
        old="min(tied, key=text.find)",
        new="tied[0]",
    ),
    # q7: bits per character
    dict(
        name="nats-for-bits",
        what="Does not turn nats into bits.",
        question="q7",
        says="one bit is ln 2 nats",
        old=" / math.log(2)",
        new="",
    ),
    dict(
        name="per-byte",
        what="Divides by the number of bytes.",
        question="q7",
        says="not of bytes",
        old="len(text)",
        new='len(text.encode("utf-8"))',
    ),
    dict(
        name="per-token",
        what="Takes the loss per token for a loss per character.",
        question="q7",
        says="not of bytes or tokens",
        old=" * len(ids) / math.log(2) / len(text)",
        new=" / math.log(2)",
    ),
]
