"""The pages of the desk: one house style, no script, nothing from elsewhere."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gradedesk.names import write_whole
from gradedesk.plain import plain

_ENV = Environment(
    loader=PackageLoader("gradedesk.results"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
STATUS_WORDS = {
    "graded": "graded",
    "partly": "partly graded",
    "unreadable": "unreadable",
    "missing": "missing",
    "tampered": "graded, alterations undone",
    "grader-error": "grader error",
}


def points(value: float) -> str:
    """Points with two decimals at most: 6, 4.5, 3.33."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def when(stamp: str) -> str:
    """An ISO time as one reads it, in UTC; anything else as it stands."""
    try:
        time = datetime.fromisoformat(stamp)
        time = time.astimezone(UTC) if time.tzinfo else time
    except (ValueError, OverflowError):
        return plain(stamp, 40)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


_ENV.filters["plain"] = plain
_ENV.filters["when"] = when
_ENV.filters["points"] = points


def render(template: str, **values: Any) -> str:
    """A page from templates/. Every value is escaped; only the house style is put in as it is.

    The policy names the one style block by its hash: no other style, no script, no request.
    """
    style = _ENV.loader.get_source(_ENV, "page.css")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _ENV.get_template(template).render(style=Markup(style), policy=policy, **values)


def write(path: Path, text: str) -> Path:
    """Write a text file whole, for its owner only; one that is as it should be is left alone."""
    data = text.encode("utf-8")
    if not path.is_file() or path.read_bytes() != data:
        write_whole(path, data)
    return path
