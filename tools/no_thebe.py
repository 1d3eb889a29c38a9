"""Sphinx extension: leave out thebe, which would load its code from a CDN.

Jupyter Book always adds sphinx_thebe and its scripts to every page, also where
the book does not use it, and declares its variables twice, which is an error.
"""


def drop(app, pagename, templatename, context, doctree):
    for files in ("script_files", "css_files"):
        context[files] = [
            file
            for file in context[files]
            if "thebe" not in str(file.filename).lower()
            and "thebe" not in file.attributes.get("body", "").lower()
        ]


def setup(app):
    app.connect("html-page-context", drop, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
