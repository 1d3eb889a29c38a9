"""The instructor's desk: release labs, collect submissions, grade them, give feedback."""
