"""Text from ids as they come, each piece as soon as nothing that follows can change it."""

from collections.abc import Sequence

UNKNOWN = "\ufffd"  # what bytes that are no character decode to


class Pieces:
    """The text of ids that are pushed one at a time.

        pieces = Pieces(tokenizer, ["The end"])
        text = "".join(pieces.push(token) for token in ids) + pieces.rest()

    is tokenizer.decode(ids), up to the first stop string. A token may end inside a character, and a
    piece inside a stop string: what is not yet whole is held back. `ended` says whether a stop
    string has come: the one that was complete first, and of several that end together the longest.
    The tokenizer is anything with `decode`.
    """

    def __init__(self, tokenizer, stop_strings: Sequence[str] = ()):
        self.ended = False
        self._tokenizer = tokenizer
        self._stops = tuple(stop_strings)
        self._ids: list[int] = []  # the last that ended with a whole character, and what came since
        self._before = 0  # how many of them ended so
        self._said = 0  # characters of their text that went on
        self._held = ""  # what may begin a stop string

    def push(self, token: int) -> str:
        """The text that is certain now and was not before; often none."""
        self._ids.append(token)
        text = self._tokenizer.decode(self._ids)
        certain = text.removesuffix(UNKNOWN)  # more bytes may make a character of the last one
        new, self._said = certain[self._said :], len(certain)
        if certain == text:
            # Some tokenizers decode a token by the one before it: those that came last stay.
            self._ids = self._ids[self._before :]
            self._before = len(self._ids)
            self._said = len(self._tokenizer.decode(self._ids))
        return self._released(new)

    def rest(self) -> str:
        """The text that was held back, when no more ids come."""
        if self.ended:
            return ""
        said = self._released(self._tokenizer.decode(self._ids)[self._said :])
        return said if self.ended else said + self._held

    def _released(self, new: str) -> str:
        if self.ended:
            return ""
        text = self._held + new
        found = [(text.index(stop), stop) for stop in self._stops if stop in text]
        if found:
            self.ended = True
            return text[: min((at + len(stop), at) for at, stop in found)[1]]
        end = len(text)
        for stop in self._stops:
            for at in range(max(0, len(text) - len(stop) + 1), end):
                if stop.startswith(text[at:]):
                    end = at
                    break
        self._held = text[end:]
        return text[:end]
