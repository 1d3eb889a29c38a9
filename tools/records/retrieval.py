"""The recorded run of the page "The Transformers library": which of 10,000 stories is meant by a
summary, found by the words that both share (BM25) and by a sentence encoder."""

from itertools import islice

import bm25s
import numpy as np
from safetensors.numpy import load_file
from tqdm import tqdm

from storyland.tasks import summaries
from storyland.tasks.summaries import Example
from tinygpt import checkpoint
from tinygpt.pretrained import pretrained
from tools.records.job import Job

SEED, STORIES, QUERIES = 91, 10_000, 500
AT_ONCE = 500  # stories encoded between two looks at the clock
AT = (1, 10)  # recall among so many first
SOMEBODY = "somebody"
# Other words for those that summaries use most, chosen before anything was searched for with them.
OTHER = dict(
    pair.split("=")
    for pair in """
    found=discovered lost=mislaid stranger=newcomer made=crafted moved=shifted eaten=devoured
    noise=sound looked=searched helped=assisted help=aid sent=dispatched hid=concealed
    hidden=concealed gave=handed market=bazaar forgot=neglected race=contest went=walked shop=store
    wished=longed bought=purchased village=hamlet trouble=difficulty box=crate wrong=mistaken
    place=spot bread=loaf goodbye=farewell parted=separated pony=foal followed=pursued
    dug=excavated birthday=anniversary hungry=starving lantern=lamp told=informed bag=sack
    gone=missing ball=sphere donkey=mule led=guided saw=noticed needed=required scarf=shawl
    bell=chime cupboard=wardrobe game=match spoon=ladle ground=soil chest=trunk forest=woods
    hat=cap ran=raced barn=shed river=stream book=volume boat=barge string=cord umbrella=parasol
    dog=hound clock=timepiece pond=pool meadow=pasture school=academy basket=hamper harbour=port
    castle=fortress golden=gilded cave=grotto hill=mound blanket=coverlet church=chapel
    mirror=looking-glass bucket=pail glove=mitten pie=pastry thief=robber map=chart steps=paces
    home=house animals=creatures
    """.split()
)


def people(example: Example) -> set[str]:
    """The names of persons in a story."""
    words = zip(example.story.words, example.story.roles, strict=True)
    return {word for word, role in words if role == "person" and word[0].isupper()}


def asked(example: Example) -> dict[str, str]:
    """A summary as a query: whole, its people unnamed, most words replaced, its people alone."""
    names, whole = people(example), example.output
    words = summaries.split(whole)
    return {
        "whole": whole,
        "without names": summaries.join([SOMEBODY if word in names else word for word in words]),
        "in other words": summaries.join([OTHER.get(word, word) for word in words]),
        "names alone": " ".join(word for word in words if word in names),
    }


def meant(example: Example, stories: list[Example], nameless: bool) -> np.ndarray:
    """(N,) bool: the stories of which the facts hold that every summary of this one claims."""
    names = people(example)
    claims = {
        fact: value
        for fact, value in example.facts.items()
        if fact in example.key and not (nameless and value in names)
    }
    return np.array([claims.items() <= one.story.facts.items() for one in stories])


def ranks(scores: np.ndarray) -> np.ndarray:
    """(Q, N) scores -> the rank of each story for each query, 0 the first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(scores.shape[1])[None], axis=1)
    return found


def by_words(texts: list[str], queries: list[str]) -> np.ndarray:
    """(Q, N): BM25 with its usual constants, on all words."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    read = bm25s.tokenize(queries, stopwords=None, show_progress=False, return_ids=False)
    return np.stack([index.get_scores(one) for one in read])


def by_meaning(job: Job, texts: list[str], queries: list[str]) -> np.ndarray:
    """(Q, N): the cosine of what MiniLM makes of both. What is encoded is kept."""
    encoder, parts = pretrained("minilm"), []
    for start in tqdm(range(0, len(texts), AT_ONCE), desc="stories", unit_scale=AT_ONCE):
        path = job.out / f"{start}.safetensors"
        if not path.exists():
            job.check(f"{len(texts) - start} stories are not encoded")
            made = encoder.encode(texts[start : start + AT_ONCE])
            checkpoint.save(path, {"vectors": made}, {})
        parts.append(load_file(path)["vectors"])
    return encoder.encode(queries).numpy() @ np.concatenate(parts).T


def retrieval(job: Job) -> dict:
    """BM25 and a sentence encoder look for the story of a summary among 10,000."""
    count, num_queries = (60, 6) if job.rehearsal else (STORIES, QUERIES)
    stories = list(islice(summaries.examples(SEED), count))
    texts = [one.input for one in stories]
    # Only summaries that name somebody: of others nothing is left as "names alone".
    chosen = [one for one in stories[::5] if asked(one)["names alone"]][:num_queries]
    hits: dict[str, dict[str, list[int]]] = {}
    for kind in ("whole", "without names", "in other words", "names alone"):
        queries = [asked(one)[kind] for one in chosen]
        right = np.stack([meant(one, stories, kind == "without names") for one in chosen])
        found = {"BM25": ranks(by_words(texts, queries))}
        found["MiniLM"] = ranks(by_meaning(job, texts, queries))
        # Cormack, Clarke and Buettcher, SIGIR 2009: ranks are comparable where scores are not.
        found["both"] = ranks(sum(1 / (60 + found[name]) for name in ("BM25", "MiniLM")))
        for name, places in found.items():
            best = np.where(right, places, count).min(axis=1)
            hits.setdefault(kind, {})[name] = best.tolist()
    return {
        "stories": f"storyland.tasks.summaries, seed {SEED}, {count}",
        "best_rank": hits,
        "figures": {
            f"{name}, {kind}, among {k}": round(float(np.mean(np.array(best) < k)), 3)
            for kind, each in hits.items()
            for name, best in each.items()
            for k in AT
        },
    }
