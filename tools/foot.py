"""Sphinx extension: each page ends in what became of its headlines when they were run again.

Read from records/replications.json, which `make replicate` writes.
"""

import json

from docutils import nodes

RECORD = "records/replications.json"
TABLE = "chapters/replicated"  # the page that has them all


def line(entry):
    """A headline in one line: the claim, what its seeds gave, and the verdict."""
    mean, low, high = (f"{entry[key]:.3g}" for key in ("mean", "low", "high"))
    effect = entry["effect"][0].upper() + entry["effect"][1:]
    found = f" {effect}: {mean} ({low} to {high}), {len(entry['results'])} seeds. "
    paragraph = nodes.paragraph("", entry["claim"] + found)
    paragraph += nodes.strong("", f"{entry['verdict'].capitalize()}.")
    return nodes.list_item("", paragraph)


def foot(app, doctree):
    """Add the lines to a page that has headlines in the record."""
    path = app.srcdir / RECORD
    if not path.exists():
        return
    app.env.note_dependency(str(path))
    page = app.env.docname.removeprefix("chapters/")
    entries = json.loads(path.read_text(encoding="utf-8"))["headlines"]
    mine = [entry for entry in entries if entry["page"] == page and "verdict" in entry]
    if mine:
        table = app.builder.get_relative_uri(app.env.docname, TABLE)
        link = nodes.reference("", "Run again", refuri=table, internal=True)
        opening = nodes.paragraph("", "", link, nodes.Text(" on seeds that the page never saw:"))
        box = nodes.container("", opening, classes=["replicated"])
        box += nodes.bullet_list("", *map(line, mine))
        next(doctree.findall(nodes.section)).append(box)


def setup(app):
    app.connect("doctree-read", foot)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
