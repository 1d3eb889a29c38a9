"""Part 4's headlines: what is done with a trained model, each as a function of a fresh seed."""

from functools import cache

import torch

import storyland
from replications import headline
from tinygpt import records
from tinygpt.corpora import corpus
from tinygpt.generate import generate
from tinygpt.speculate import speculative
from tinygpt.tokenizer import BPETokenizer

# 4-applications/generating -----------------------------------------------------------------------


@cache
def _tokenizer() -> BPETokenizer:
    return BPETokenizer.train(corpus("storyland", size="1MB").train, vocab_size=1536)


def _broken(seed: int, temperature: float) -> float:
    """Of a hundred stories that story-base tells, the share that the oracle finds broken."""
    (newline,), (model, _) = _tokenizer().encode("\n"), records.load("story-base")
    generator = torch.Generator().manual_seed(seed)
    first = torch.full((100, 1), newline)
    new = generate(model, first, 223, temperature=temperature, stop=newline, generator=generator)
    oracle, broken = storyland.Oracle(), 0
    for row in new.tolist():
        story = _tokenizer().decode(row[: row.index(newline) + 1] if newline in row else row)
        broken += not story.endswith("\n") or oracle.leaves_at(story) is not None
    return broken / 100


@headline(
    page="4-applications/generating",
    claim="Drawn as the model says, more than two in five stories of story-base break a rule of "
    "the grammar.",
    effect="share of broken stories at temperature 1",
    above=0.4,
)
def a_model_near_the_floor_tells_broken_stories(seed: int) -> float:
    """The recorded model, a hundred stories."""
    return _broken(seed, 1.0)


@headline(
    page="4-applications/generating",
    claim="Caution does not mend them: at temperature 0.3 more than one story in five is still "
    "broken.",
    effect="share of broken stories at temperature 0.3",
    above=0.2,
)
def caution_leaves_what_the_model_believes(seed: int) -> float:
    """The recorded model, a hundred stories."""
    return _broken(seed, 0.3)


@headline(
    page="4-applications/generating",
    claim="With a model of one block that drafts four tokens, story-base writes more than three "
    "tokens a pass.",
    effect="tokens for each pass of the large model",
    above=3.0,
)
def a_draft_saves_two_passes_of_three(seed: int) -> float:
    """The recorded models, twenty stories at temperature 1."""
    (newline,), (model, _) = _tokenizer().encode("\n"), records.load("story-base")
    draft, passes = records.load("one-block")[0], []
    model.register_forward_hook(lambda *_: passes.append(1))
    generator, tokens = torch.Generator().manual_seed(seed), 0
    for _ in range(20):
        first = torch.tensor([[newline]])
        told = speculative(draft, model, first, 220, 4, generator=generator, stop=newline)
        tokens += told.ids.shape[1]
    return tokens / len(passes)
