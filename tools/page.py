"""Sphinx extension: what surrounds the text of a page.

The scripts and styles that it uses and no others, its place in its part, a description for search
engines and social cards, the names by which its sections are also found, one fold for folded cells
that follow one another, and marks for those who hear it: what is in Chinese says so.
"""

import re
import textwrap
from html import escape

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

NAMES = "_names.yml"
CARD = "_static/card.png"
# A file or inline script whose name or text holds the first is for pages whose HTML matches the
# second. Jupyter Book adds thebe, which loads its code from a CDN, also where it is not used.
USES = {
    "thebe": None,
    "mathjax": r'class="[^"]*(?<![-\w])math(?![-\w])',
    "sphinx-design": r'class="[^"]*\bsd-',
    "design-tabs": r"\bsd-tab-set\b",
    "toggle": r'class="[^"]*(?<![-\w])(dropdown|toggle)(?![-\w])',
    "mystnb": r'class="[^"]*\bcell\b',
    "copybutton": r'class="[^"]*\bhighlight\b',
    "clipboard": r'class="[^"]*\bhighlight\b',
}
MENDED = {
    # A label would hide what is written on the fold.
    r'<summary aria-label="[^"]*">': "<summary>",
    "(Show|Hide) code cell source": r"\1 the code",
    "(Show|Hide) code cell content": r"\1 this cell",
    # The corner of a table is no heading.
    r"<th\b[^>]*>\s*(<p>\s*</p>)?\s*</th>": "<td></td>",
    # MathJax shows \text as it is written, backslash and all.
    r"\\text\{(\w+)\\_(\w+)\}": r"\\text{\1_\2}",
}
# Text in which Chinese is marked: not what a script or a drawing holds.
TEXT = re.compile(r"(<(?:script|style|svg)\b.*?</(?:script|style|svg)>)|>[^<]+", re.DOTALL)
HAN = re.compile(r"[\u3400-\u9fff][\u3000-\u303f\u3400-\u9fff\uff00-\uffef]*")


def assets(app, pagename, templatename, context, doctree):
    """Keep what the page uses; scripts wait until the page is read, so that it shows first."""
    body = context.get("body", "")

    def used(file):
        said = f"{file.filename} {file.attributes.get('body', '')}".lower()
        return all(
            pattern is not None and re.search(pattern, body)
            for part, pattern in USES.items()
            if part in said
        )

    for files in ("script_files", "css_files"):
        context[files] = [file for file in context[files] if used(file)]
    if templatename != "search.html":  # whose own scripts need these at once
        context["script_files"] = [later(file) for file in context["script_files"]]


def later(script):
    """The script as one that waits until the page is read; not an inline one, nor the options."""
    if not script.filename or "documentation_options" in str(script.filename):
        return script
    attributes = script.attributes | {"defer": "defer"}
    return type(script)(script.filename, priority=script.priority, **attributes)


def place(app, pagename, templatename, context, doctree):
    """Which page of which part this is; a list without a caption belongs to the part above it."""
    parts, part = {}, ""
    for toc in app.config.external_site_map.root.subtrees:
        part = toc.caption or part
        parts.setdefault(part, []).extend(map(str, toc.items))
    for part, pages in parts.items():
        if pagename in pages and len(pages) > 1:
            page = pages.index(pagename) + 1
            context["place"] = {"part": part, "start": pages[0], "page": page, "of": len(pages)}


def summary(doctree):
    """The first paragraph of a page, in at most 200 characters."""
    text = next(doctree.findall(nodes.paragraph)).astext()
    return textwrap.shorten(text, 200, placeholder=" …")


def describe(app, pagename, templatename, context, doctree):
    """Tell search engines what the page is about, and whoever shows a link to it as a card."""
    if doctree is None:  # the index and the search
        return
    text, site = escape(summary(doctree)), app.config.html_baseurl
    tags = {
        'name="description"': text,
        'property="og:type"': "article",
        'property="og:site_name"': escape(app.config.html_title),
        'property="og:title"': escape(doctree.next_node(nodes.title).astext()),
        'property="og:description"': text,
        'property="og:url"': context["pageurl"],
        'property="og:image"': site + CARD,
        'name="twitter:card"': "summary_large_image",
    }
    context["metatags"] += "".join(
        f'\n    <meta {name} content="{content}" />' for name, content in tags.items()
    )


def mend(app, pagename, templatename, context, doctree):
    """Put right what the page's HTML says wrongly to those who hear it."""

    def mark(match):
        return match[0] if match[1] else HAN.sub(r'<span lang="zh">\g<0></span>', match[0])

    body = context.get("body", "")
    for pattern, better in MENDED.items():
        body = re.sub(pattern, better, body)
    context["body"] = TEXT.sub(mark, body)


class Names(SphinxTransform):
    """Put the other names of a page's sections into the index, which the search reads."""

    default_priority = 800  # before Sphinx collects the index

    def apply(self):
        path = self.app.srcdir / NAMES
        self.env.note_dependency(str(path))
        sections = {id: node for node in self.document.findall(nodes.section) for id in node["ids"]}
        names = yaml.safe_load(path.read_text(encoding="utf-8")).get(self.env.docname, {})
        for section, others in names.items():
            if section not in sections:
                said = f"{NAMES} names a section that is not there: {section}"
                logging.getLogger(__name__).warning(said, location=self.env.docname)
                continue
            entries = [("single", name, section, "main", None) for name in others]
            sections[section].insert(1, addnodes.index(entries=entries))


class Folds(SphinxPostTransform):
    """Put folded code that shows nothing into the fold of the cell that follows it."""

    default_priority = 198  # just before MyST-NB makes the folds
    formats = ("html",)

    def run(self, **_):
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("hide_mode") != "input" or len(cell) != 1:
                continue
            place = cell.parent.index(cell) + 1
            after = cell.parent[place] if place < len(cell.parent) else None
            if isinstance(after, nodes.container) and after.get("hide_mode") == "input":
                code = cell[0]
                cell.parent.remove(cell)
                after[0][:0] = code.children


def remember(app):
    """Sphinx's search forgets the index of a page that an incremental build does not read again."""
    for page, entries in app.env.get_domain("index").entries.items():
        found = [(name, section, main) for _, name, section, main, _ in entries]
        app.builder.indexer._index_entries.setdefault(page, found)
    return []


def setup(app):
    for handler in (place, describe, mend, assets):
        app.connect("html-page-context", handler, priority=900)
    app.add_transform(Names)
    app.add_post_transform(Folds)
    app.connect("html-collect-pages", remember)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
