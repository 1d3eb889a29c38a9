"""What cells of a page define, for runs that must do what the page does."""

from collections.abc import Iterable

from tinygpt import checkpoint, records


def define(page: str, ids: Iterable[str], **names: object) -> dict:
    """The names after these cells of chapters/<page>.ipynb ran, in this order, beside `names`.

    KeyError where the page has no cell of an id.
    """
    stored = checkpoint.read_json(records.ROOT / "chapters" / f"{page}.ipynb")
    sources = {cell["id"]: "".join(cell["source"]) for cell in stored["cells"]}
    for one in ids:
        exec(sources[one], names)  # noqa: S102
    return names
