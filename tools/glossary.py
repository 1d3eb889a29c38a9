"""Sphinx extension: the glossary, and a link to it from the first use of each term on a page.

Both are made of _glossary.yml. `{terms}` is the list itself, on the page PAGE. A link is on running
text only: no heading, table, caption or code has one, nor what is a link already.
"""

import re
from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parent.parent
TERMS = ROOT / "_glossary.yml"
PAGE = "chapters/glossary"
ELSEWHERE = "chapters/for-instructors/"  # where a patch or a control is another thing
RUNNING = (nodes.paragraph, nodes.list_item, nodes.emphasis, nodes.strong, nodes.block_quote)
BOXES = (nodes.section, nodes.document, nodes.bullet_list, nodes.enumerated_list, nodes.Admonition)


@cache
def terms():
    """Each term with what _glossary.yml says of it."""
    return yaml.safe_load(TERMS.read_text(encoding="utf-8"))


def anchor(term):
    return "term-" + re.sub(r"\W+", "-", term.lower()).strip("-")


@cache
def forms():
    """By each form in lower case, the term; and a pattern of them all, the longest first."""
    found = {f.lower(): term for term, of in terms().items() for f in (term, *of.get("as", ()))}
    longest = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
    return found, re.compile(rf"(?<![\w@-])({longest})s?(?![\w@-])", re.IGNORECASE)


def runs(text):
    """Whether all that this text stands in is running text."""
    node = text.parent
    while node is not None:
        if isinstance(node, nodes.container) and "sd-card" in str(node.get("classes")):
            return False  # the whole card is a link
        if not isinstance(node, RUNNING + BOXES + (nodes.container,)):
            return False
        node = node.parent
    return True


def linked(text, seen, address):
    """The text in pieces, with a link at the first use of each term that is not in `seen`."""
    found, pattern = forms()
    pieces, end = [], 0
    for match in pattern.finditer(text):
        term = found[match[1].lower()]
        if term in seen:
            continue
        seen.add(term)
        about = terms()[term]
        link = nodes.reference("", match[0], refuri=f"{address}#{anchor(term)}", internal=True)
        link["reftitle"] = f"{about['zh']}. {about['is']}"
        link["classes"].append("term")
        pieces += [nodes.Text(text[end : match.start()]), link]
        end = match.end()
    return [*pieces, nodes.Text(text[end:])] if pieces else []


class FirstUses(SphinxTransform):
    """Link the first use of each term on a page to the glossary."""

    default_priority = 850  # when what can be a link is one

    def apply(self):
        self.env.note_dependency(str(TERMS))
        if self.env.docname == PAGE or self.env.docname.startswith(ELSEWHERE):
            return
        address, seen = self.app.builder.get_relative_uri(self.env.docname, PAGE), set()
        for text in list(self.document.findall(nodes.Text)):
            pieces = linked(str(text), seen, address) if runs(text) else []
            if pieces:
                text.parent.replace(text, pieces)


class Terms(Directive):
    """The list: each term, its Chinese, what it is, and the page that builds it."""

    def run(self):
        made = nodes.definition_list(classes=["glossary"])
        for term in sorted(terms(), key=str.lower):
            about = terms()[term]
            name = nodes.term("", term, ids=[anchor(term)])
            if about["zh"] != term:
                name += [nodes.Text(" "), nodes.inline("", about["zh"], classes=["chinese"])]
            page = addnodes.pending_xref(
                "",
                nodes.inline("", about["page"]),
                refdomain="std",
                reftype="doc",
                reftarget="/" + about["page"],
                refexplicit=False,
                refwarn=True,
            )
            says = nodes.paragraph("", about["is"] + " ", page)
            made += nodes.definition_list_item("", name, nodes.definition("", says))
        return [made]


def setup(app):
    app.add_directive("terms", Terms)
    app.add_transform(FirstUses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
