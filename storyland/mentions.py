"""Where a story says again what it has said before, and how far back that stands."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from storyland.sampler import Story
from storyland.words import join

DISTANCES = (5, 10, 20, 40, 80)  # words; a mention counts for the nearest, by ratio


@dataclass(frozen=True)
class Mention:
    """A word with a role (person, place, animal, thing) that the story has said before."""

    word: str
    role: str
    index: int  # of the word in `story.words`
    start: int  # of its first character in `story.text`
    distance: int  # words back to where it stood last

    @property
    def end(self) -> int:
        """One past its last character in `story.text`."""
        return self.start + len(self.word)


def mentions(story: Story) -> list[Mention]:
    """The repeated words of a story that have a role, in order."""
    found, last = [], {}
    for index, (word, role) in enumerate(zip(story.words, story.roles, strict=True)):
        if not role:
            continue
        if word in last:
            start = len(join(story.words[: index + 1])) - len(word)
            found.append(Mention(word, role, index, start, index - last[word]))
        last[word] = index
    return found


def bits_by_distance(
    stories: Sequence[Story],
    ends: Sequence[Sequence[int]],
    log_probs: Sequence[Sequence[float]],
) -> dict[int, float]:
    """What a model pays for repeated words, by how far back they stood last: bits a character.

    For each story the model's tokens: where each ends in the text (characters) and its log
    probability (nats). A mention costs what the tokens cost that share a character with it, divided
    by its own length; the mean is over all characters of the mentions about 5, 10, 20, 40 or 80
    words back. ValueError where the tokens do not end where the story does.
    """
    bits, chars = Counter(), Counter()
    for story, story_ends, nats in zip(stories, ends, log_probs, strict=True):
        if story_ends[-1] != len(story.text):
            raise ValueError(
                f"the tokens end at character {story_ends[-1]}, the story at {len(story.text)}"
            )
        tokens = list(zip([0, *story_ends], story_ends, nats, strict=False))
        for mention in mentions(story):
            bin = min(DISTANCES, key=lambda d: abs(log(mention.distance / d)))
            chars[bin] += len(mention.word)
            bits[bin] -= sum(
                log_p for start, end, log_p in tokens
                if start < mention.end and end > mention.start
            ) / log(2)
    return {bin: bits[bin] / chars[bin] for bin in DISTANCES if chars[bin]}
