"""A class, a submission, a test: from what was handed in to its outcomes."""
