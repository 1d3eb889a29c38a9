"""The instructor's desk: release labs, collect submissions, grade them, give feedback."""

import sys

# jsonschema, which nbformat imports, imports this one if it can, to check addresses that no
# notebook has; that takes two seconds, longer than the rest of any command. Not for us.
sys.modules.setdefault("rfc3987_syntax", None)
