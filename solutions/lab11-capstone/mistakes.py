"""Lab 11 is graded by a person and has no tests that a mistake could slip past."""

MISTAKES = []
