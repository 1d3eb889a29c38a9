"""The recorded runs, a file for each subject: `python -m tools.records` makes them again."""
