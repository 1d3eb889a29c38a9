"""Errors that are one line to read."""


class PlainError(Exception):
    """A mistake in what was asked for, not in the code: what, where, what to do, in one line."""

    def _render_traceback_(self):
        # A notebook shows this line, and no traceback.
        return [str(self)]
