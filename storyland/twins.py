"""Two stories that differ in one fact: whether the person at work is a woman or a man.

A grammar in which everybody at work is a woman and one in which everybody is a man have the same
other choices. Written with the same seed they tell the same story, but for the words for that
person: what is right about one of them is right about the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storyland.grammar import Grammar
from storyland.page import read
from storyland.sampler import Story, stories
from storyland.words import join


@dataclass(frozen=True)
class Twins:
    """A story about a woman at work, and the same about a man."""

    job: str
    she: Story
    he: Story

    @property
    def places(self) -> list[int]:
        """The words that differ: the pronouns of the person at work, of either story."""
        both = zip(self.she.words, self.he.words, strict=True)
        return [i for i, (one, other) in enumerate(both) if one != other]

    def before(self, place: int, story: Story | None = None) -> str:
        """The text up to a word; up to the first of `places` it is that of both."""
        return join((story or self.she).words[:place])


def shares() -> dict[str, float]:
    """Of all people with a job in Storyland, the share that are women."""
    jobs = _at_work(None).lists["job"].items
    return {job.name: int(job.forms["women"]) / 100 for job in jobs}


def twins(seed: int) -> Iterator[Twins]:
    """Endless pairs of stories of somebody at work."""
    for she, he in zip(stories(seed, _at_work(100)), stories(seed, _at_work(0)), strict=True):
        yield Twins(she.facts["job"], she, he)


def each_job(seed: int, count: int) -> list[Twins]:
    """The first `count` pairs of every job, job by job."""
    found: dict[str, list[Twins]] = {job: [] for job in shares()}
    source = twins(seed)
    while any(len(of) < count for of in found.values()):
        one = next(source)
        if len(found[one.job]) < count:
            found[one.job].append(one)
    return [one for of in found.values() for one in of]


def _at_work(women: int | None) -> Grammar:
    """The grammar with no other plot, and so many women of a hundred; None: as it is."""
    page = Path(__file__).with_name("stories.txt").read_text(encoding="utf-8")
    grammar = read(page)
    plots = grammar.rules["plot"].options
    plots[:] = [option for option in plots if option.text == "<work>"]
    if women is not None:
        for job in grammar.lists["job"].items:
            job.forms.update(women=str(women), men=str(100 - women))
    return grammar
