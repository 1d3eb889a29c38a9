"""Plausible wrong answers to lab 02, and the question whose tests must catch each."""

MISTAKES = [
    # q1: pairs and runs
    dict(
        name="overlapping-pairs",
        what="Counts the pairs of 'aaaa' as three, overlaps included.",
        question="q1",
        also=["q2"],
        says="pairs that overlap",
        old="            continue\n",
        new="            pass\n",
    ),
    dict(
        name="run-counted-once",
        what="Counts a run of equal ids as one pair, however long it is.",
        question="q1",
        also=["q2"],
        says="whole run counts as one",
        old="            last = None\n            continue\n",
        new="            continue\n",
    ),
    dict(
        name="half-of-the-overlaps",
        what="Counts a doubled pair with its overlaps and takes half of all, however many runs.",
        question="q1",
        also=["q2"],
        says="half of all is taken",
        code="""
from collections import Counter
from itertools import pairwise


def count_pairs(ids):
    counts = Counter(pairwise(ids))
    return [[a, b, (n + 1) // 2 if a == b else n] for (a, b), n in counts.items()]


def merge(ids, pair, new_id):
    merged = []
    i = 0
    while i < len(ids):
        if ids[i : i + 2] == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged
""",
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
        says="the last pair is not counted",
        old="pairwise(ids)",
        new="pairwise(ids[:-1])",
    ),
    dict(
        name="merge-loses-the-last-id",
        what="Loops to the last pair and forgets an id that is left over.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="ids without a partner are lost",
        old="while i < len(ids):",
        new="while i < len(ids) - 1:",
    ),
    dict(
        name="merge-reads-past-the-end",
        what="Looks at the right neighbour of the last id, which has none.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="IndexError",
        old="ids[i : i + 2] == pair",
        new="ids[i] == pair[0] and ids[i + 1] == pair[1]",
    ),
    dict(
        name="merge-compares-a-tuple",
        what="Compares a tuple of two ids with the pair, a list: they are never equal.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="never equal to a list",
        old="ids[i : i + 2] == pair",
        new="tuple(ids[i : i + 2]) == pair",
    ),
    dict(
        name="merge-steps-by-one",
        what="After a hit, goes on at the second id of the pair.",
        question="q1",
        also=["q2", "q3", "q5"],
        says="only one id of the pair is replaced",
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
        says="it is changed in place",
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
    dict(
        name="keys-as-joined-text",
        what="""Counts under a key of joined digits, so that 1, 12 and 11, 2 are one pair.""",
        question="q1",
        says="share one key",
        code="""
def count_pairs(ids):
    counts, names, last = {}, {}, None
    for a, b in zip(ids, ids[1:]):
        key = f"{a}{b}"
        if key == last:
            last = None
            continue
        names.setdefault(key, (a, b))
        counts[key] = counts.get(key, 0) + 1
        last = key
    return [[*names[key], n] for key, n in counts.items()]


def merge(ids, pair, new_id):
    merged = []
    i = 0
    while i < len(ids):
        if list(ids[i : i + 2]) == list(pair):
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged
""",
    ),
    dict(
        name="merge-in-text",
        what="Merges in a text of numbers, and finds '1 2' in '11 2'.",
        question="q1",
        says="digits",
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
    text = " ".join(map(str, ids))
    text = text.replace(f"{pair[0]} {pair[1]}", str(new_id))
    return [int(i) for i in text.split()]
""",
    ),
    dict(
        name="compares-by-is",
        what="Compares ids by `is`, which holds for small ones only.",
        question="q1",
        also=["q3", "q5"],
        says="compared by `is`",
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
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] is pair[0] and ids[i + 1] is pair[1]:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged
""",
    ),
    dict(
        name="run-at-even-places",
        what="Counts a run's pairs at even places of the list, not of the run.",
        question="q1",
        also=["q2"],
        says="begin at any place",
        code="""
def count_pairs(ids):
    counts = {}
    for i, (a, b) in enumerate(zip(ids, ids[1:])):
        if a == b and i % 2:
            continue
        counts[a, b] = counts.get((a, b), 0) + 1
    return [[a, b, n] for (a, b), n in counts.items()]


def merge(ids, pair, new_id):
    merged = []
    i = 0
    while i < len(ids):
        if list(ids[i : i + 2]) == list(pair):
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged
""",
    ),
    # q2: the trainer
    dict(
        name="tie-by-smallest-id",
        what="Breaks ties by the smallest pair.",
        question="q2",
        says="the smallest or the last",
        old="max(counts, key=lambda row: row[2])",
        new="max(counts, key=lambda row: (row[2], -row[0], -row[1]))",
    ),
    dict(
        name="tie-by-last",
        what="Breaks ties by the pair that was seen last.",
        question="q2",
        says="the smallest or the last",
        old="max(counts, key=lambda row: row[2])",
        new="sorted(counts, key=lambda row: row[2])[-1]",
    ),
    dict(
        name="first-new-id-257",
        what="Gives the first merge the id 257.",
        question="q2",
        says="not make id 256",
        old="256 + len(merges))",
        new="257 + len(merges))",
    ),
    dict(
        name="each-new-id-256",
        what="Gives every merge the id of the first.",
        question="q2",
        says="does not make id 257",
        old="256 + len(merges)",
        new="256",
    ),
    dict(
        name="merges-what-occurs-once",
        what="Goes on when no pair occurs twice.",
        question="q2",
        says="one that occurs once is not",
        old="row[2] > 1",
        new="row[2] > 0",
    ),
    dict(
        name="trains-on-characters",
        what="Decodes the data and trains on code points.",
        question="q2",
        says="perhaps data is decoded",
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
    dict(
        name="splits-at-spaces",
        what="Splits the data into words first, as the chapter does.",
        question="q2",
        says="split into words: here a pair may hold a space",
        code="""
def train(data, num_merges):
    words = [list(word) for word in data.split(b" ")]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for word in words:
            for a, b, n in count_pairs(word):
                counts[a, b] = counts.get((a, b), 0) + n
        best = max(counts, key=counts.get, default=None)
        if best is None or counts[best] < 2:
            break
        words = [merge(word, list(best), 256 + len(merges)) for word in words]
        merges.append(list(best))
    return merges
""",
    ),
    dict(
        name="words-with-their-space",
        what="Splits into words that keep the space before them, as GPT-2 does.",
        question="q2",
        says="at either end",
        code="""
import re


def train(data, num_merges):
    words = [list(word) for word in re.findall(rb" ?[^ ]+| +", data)]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for word in words:
            for a, b, n in count_pairs(word):
                counts[a, b] = counts.get((a, b), 0) + n
        best = max(counts, key=counts.get, default=None)
        if best is None or counts[best] < 2:
            break
        words = [merge(word, list(best), 256 + len(merges)) for word in words]
        merges.append(list(best))
    return merges
""",
    ),
    dict(
        name="splits-into-lines",
        what="Trains line by line.",
        question="q2",
        says="split into lines",
        code="""
def train(data, num_merges):
    lines = [list(line) for line in data.splitlines()]
    merges = []
    while len(merges) < num_merges:
        counts = {}
        for line in lines:
            for a, b, n in count_pairs(line):
                counts[a, b] = counts.get((a, b), 0) + n
        best = max(counts, key=counts.get, default=None)
        if best is None or counts[best] < 2:
            break
        lines = [merge(line, list(best), 256 + len(merges)) for line in lines]
        merges.append(list(best))
    return merges
""",
    ),
    dict(
        name="strips-the-data",
        what="Strips the data before it trains.",
        question="q2",
        says="stripped",
        old="list(data)",
        new="list(data.strip())",
    ),
    dict(
        name="zero-is-nothing",
        what="Takes the byte 0 for nothing.",
        question="q2",
        says="byte 0",
        old="counts = [row for row in count_pairs(ids) if row[2] > 1]",
        new="""counts = [row for row in count_pairs(ids) if row[2] > 1 and row[0] and row[1]]""",
    ),
    # q3: encode
    dict(
        name="longest-match",
        what="Takes the longest token that fits, and ignores ranks.",
        question="q3",
        says="the longest token",
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
        says="the leftmost pair",
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
        also=["q5"],
        says="the last in the list",
        old="for rank, pair in enumerate(merges):",
        new="for rank, pair in reversed(list(enumerate(merges))):",
    ),
    dict(
        name="encode-eats-merges",
        what="Empties the list of merges while going through it.",
        question="q3",
        also=["q5"],
        says="they are changed in place",
        old="    for rank, pair in enumerate(merges):\n        ids",
        new="    rank = -1\n    while merges:\n        rank += 1\n"
        "        pair = merges.pop(0)\n        ids",
    ),
    dict(
        name="encode-drops-invalid-bytes",
        what="Cleans the bytes to valid UTF-8 first, and loses some.",
        question="q3",
        says="they are decoded",
        old="list(data)",
        new='list(data.decode("utf-8", errors="ignore").encode("utf-8"))',
    ),
    dict(
        name="no-difference",
        what="Ranks the left merge first: there both ways agree.",
        question="q3",
        says="the left one is ranked first",
        old="[[[98, 99], [97, 98]], b",
        new="[[[97, 98], [98, 99]], b",
    ),
    dict(
        name="id-by-merges-made",
        what="Numbers the merges that were used, not their places in the list.",
        question="q3",
        also=["q5"],
        says="still has its place in the list",
        code="""
def encode(data, merges):
    ids, made = list(data), 0
    for pair in merges:
        new = merge(ids, pair, 256 + made)
        if len(new) < len(ids):
            made += 1
        ids = new
    return ids


def where_they_differ():
    return [[[98, 99], [97, 98]], b"abc"]
""",
    ),
    dict(
        name="by-bytes-as-tiktoken",
        what="Looks tokens up by their bytes, not by the pair of ids.",
        question="q3",
        says="same bytes",
        code="""
def encode(data, merges):
    vocab = [bytes([b]) for b in range(256)]
    for a, b in merges:
        vocab.append(vocab[a] + vocab[b])
    ranks = {}
    for i, v in enumerate(vocab):
        ranks.setdefault(v, i)
    parts = [bytes([b]) for b in data]
    while True:
        pairs = enumerate(zip(parts, parts[1:]))
        found = [(ranks[a + b], i) for i, (a, b) in pairs if a + b in ranks]
        if not found:
            return [ranks[p] for p in parts]
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def where_they_differ():
    return [[[98, 99], [97, 98]], b"abc"]
""",
    ),
    dict(
        name="words-encoded-alone",
        what="Encodes word by word.",
        question="q3",
        says="words or lines first",
        code="""
def encode(data, merges):
    out = []
    for k, word in enumerate(data.split(b" ")):
        ids = ([32] if k else []) + []
        out += ids
        ids = list(word)
        for rank, pair in enumerate(merges):
            ids = merge(ids, pair, 256 + rank)
        out += ids
    return out


def where_they_differ():
    return [[[98, 99], [97, 98]], b"abc"]
""",
    ),
    # q4: decode and stream
    dict(
        name="byte-as-character",
        what="Makes bytes from 128 on with chr(b).encode(), two bytes each.",
        question="q4",
        also=["q5"],
        says="made by chr",
        old="[bytes([b]) for b in range(256)]",
        new="[chr(b).encode() for b in range(256)]",
    ),
    dict(
        name="token-built-backwards",
        what="Puts the bytes of the second id first.",
        question="q4",
        also=["q5"],
        says="come before those of the first",
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
        says="has to be bytes",
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
        says="not held back until the token",
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
    dict(
        name="holds-back-until-all-decodes",
        what="Holds everything back until all of it can be decoded.",
        question="q4",
        says="held back until the end",
        code="""
def vocabulary(merges):
    vocab = [bytes([b]) for b in range(256)]
    for a, b in merges:
        vocab.append(vocab[a] + vocab[b])
    return vocab


def decode(ids, merges):
    vocab = vocabulary(merges)
    return b"".join(vocab[i] for i in ids)


def stream(ids, merges):
    vocab, held, shown = vocabulary(merges), b"", []
    for i in ids:
        held += vocab[i]
        try:
            shown.append(held.decode("utf-8"))
            held = b""
        except UnicodeDecodeError:
            shown.append("")
    if held:
        shown[-1] += held.decode("utf-8", errors="replace")
    return shown
""",
    ),
    dict(
        name="line-ends-in-stream",
        what="Lets the decoder translate line ends.",
        question="q4",
        says="line ends of two kinds",
        old="""    shown = [decoder.decode(vocab[i]) for i in ids]
""",
        new="""    import io
    decoder = io.IncrementalNewlineDecoder(decoder, True)
    shown = [decoder.decode(vocab[i]) for i in ids]
""",
    ),
    dict(
        name="vocabulary-in-a-global",
        what="Keeps the vocabulary from one call to the next.",
        question="q4",
        also=["q5"],
        says="left something behind",
        code="""
import codecs

VOCAB = [bytes([b]) for b in range(256)]


def vocabulary(merges):
    for a, b in merges[len(VOCAB) - 256 :]:
        VOCAB.append(VOCAB[a] + VOCAB[b])
    return VOCAB[: 256 + len(merges)]


def decode(ids, merges):
    vocab = vocabulary(merges)
    return b"".join(vocab[i] for i in ids)


def stream(ids, merges):
    vocab = vocabulary(merges)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    shown = [decoder.decode(vocab[i]) for i in ids]
    if shown:
        shown[-1] += decoder.decode(b"", final=True)
    return shown
""",
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
        says="not decoded whole",
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
        says="half a character",
        old='data.decode("utf-8", errors="replace")',
        new='data.decode("utf-8", errors="surrogateescape")',
    ),
    dict(
        name="line-ends-in-documents",
        what="Replaces line ends in the documents.",
        question="q5",
        says="line ends replaced",
        old='document.encode("utf-8")',
        new='document.replace("\\r\\n", "\\n").encode("utf-8")',
    ),
    dict(
        name="normalised",
        what="Normalises accents in the documents.",
        question="q5",
        says="accents normalised",
        old='document.encode("utf-8")',
        new="""__import__("unicodedata").normalize("NFC", document).encode("utf-8")""",
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
        says="'aaa' holds 'aa' once",
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
        says="'ba' is gone after it",
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
    dict(
        name="fast-by-words",
        what="Counts each different word once, which is fast and splits the text.",
        question="q6",
        says="the data is split into words",
        code="""
from collections import Counter


def train_fast(data, num_merges):
    words = Counter(data.split(b" "))
    words = [[list(w), n] for w, n in words.items()]
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for w, n in words:
            for a, b, k in count_pairs(w):
                counts[a, b] += k * n
        if not counts:
            break
        best = max(counts, key=counts.get)
        if counts[best] < 2:
            break
        for row in words:
            row[0] = merge(row[0], list(best), 256 + len(merges))
        merges.append(list(best))
    return merges
""",
    ),
    dict(
        name="regex-not-escaped",
        what="""Splits by a regular expression in which '.' and '*' are not escaped.""",
        question="q6",
        says="subpattern",
        old="pieces = text.split(a + b)",
        new="""import re
        pieces = re.split(a + b, text)""",
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
        says="number of bytes or tokens",
        old="len(text)",
        new='len(text.encode("utf-8"))',
    ),
    dict(
        name="per-token",
        what="Takes the loss per token for a loss per character.",
        question="q7",
        says="taken for one per character",
        old=" * len(ids) / math.log(2) / len(text)",
        new=" / math.log(2)",
    ),
    dict(
        name="stripped-text",
        what="Does not count line ends at the borders of the text.",
        question="q7",
        says="line ends are not counted",
        old="len(text)",
        new="len(text.strip())",
    ),
]

SURVIVORS = {  # what tools/mutants.py changes and no test can notice, and why
    "q6 | highest = max(counts.values(), default=0) | 0 to 1": "Below 2, and so the end, as well.",
}
