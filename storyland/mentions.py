"""Where a story says again what it has said before, and how far back that stands."""

from dataclasses import dataclass

from storyland.sampler import Story
from storyland.words import join


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
