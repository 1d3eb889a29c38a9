"""Every page of the built book, as a browser shows it at the width of a desk and of a phone.

One visit a page finds everything; below, each subject is one test, and at the end each check is
shown a bad page that it must catch.
"""

from functools import cache, partial
from statistics import median

import pytest
import visits

KB = 1000
MOST = 1000 * KB  # a page, with all it loads, compressed
USUAL = 700 * KB  # the page in the middle


def page_names(html):
    """Every page that a reader can open. A redirect is none, nor are the theme's templates."""
    for path in sorted(html.rglob("*.html")):
        name = path.relative_to(html).as_posix()
        if not name.startswith("_") and 'http-equiv="Refresh"' not in path.read_text("utf-8"):
            yield name


@pytest.fixture(scope="module")
def seen(browser, html):
    """seen(part) gives a visit to each page of a part of the book: to all, for the whole of it."""
    names = list(page_names(html))
    with visits.served(html) as base:
        once = cache(partial(visits.visit, browser, html, base))
        yield lambda part: [once(name) for name in names[part]]


# In parts, so that on a busy machine too no test takes all the time that one may.
PARTS = [slice(start, None, 4) for start in range(4)]
WHOLE = slice(None)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.start + 1} of 4")
@pytest.mark.parametrize("subject", visits.SUBJECTS)
def test_no_page_has_a_problem(seen, subject, part):
    found = [f"{page.name} {problem}" for page in seen(part) for problem in page.problems[subject]]
    assert not found, "\n".join(found)


def weight_problems(pages):
    found = [f"{page.name} loads {page.bytes // KB} kB" for page in pages if page.bytes > MOST]
    middle = int(median(page.bytes for page in pages))
    if middle > USUAL:
        found.append(f"half of the pages load {middle // KB} kB or more")
    return found


def test_no_page_is_heavy(seen):
    found = weight_problems(seen(WHOLE))
    assert not found, (
        f"compressed, a page may load {MOST // KB} kB, half of them {USUAL // KB} kB:\n"
        + "\n".join(found)
    )


# Each check on a bad page --------------------------------------------------------

GOOD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Good</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
</head><body><main><h1>Good</h1>{body}</main></body></html>"""


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """opened(body) visits a page that is good but for its body."""
    folder = tmp_path_factory.mktemp("site")
    with visits.served(folder) as base:

        def visit(body):
            name = f"{len(list(folder.iterdir()))}.html"
            (folder / name).write_text(GOOD.format(body=body), encoding="utf-8")
            return visits.visit(browser, folder, base, name)

        yield visit


# By subject: what of a body is bad, and what is said of it.
BAD = {
    "axe": {
        "<p><input></p>": "at 390 px: label (critical) at 1 places, first input",
        "<h3>skips a rank</h3>": "heading-order (moderate)",
    },
    "contrast": {
        '<p style="color: #aaa">pale</p>': "in the light theme: color-contrast (serious) at 2",
        '<pre>plain <span style="color: #aab">pale</span></pre>': "contrast of 2.",
        "<style>[data-theme=dark] { background: #888 }</style>": "in the dark theme: color",
        """<script>const dark = matchMedia("(prefers-color-scheme: dark)"); const turn = () =>
        { document.documentElement.dataset.theme = dark.matches ? "dark" : "light" };
        dark.onchange = turn; turn()</script>""": "in the dark theme: color",
    },
    "console": {
        "<script>console.warn('look out')</script>": "warning: look out",
        "<script>gone()</script>": "error: gone is not defined",
    },
    "requests": {
        '<img src="gone.png" alt="gone">': "gone.png: 404",
        '<img src="https://example.org/x.png" alt="x">': "example.org/x.png is off the site",
        "<script>fetch('https://example.org/data')</script>": "example.org/data is off the site",
    },
    "overflow": {
        '<p style="width: 600px">wide</p>': 'at 390 px: p "wide" is wider than the window: 608 >',
    },
    "cut": {
        '<div style="overflow: hidden; width: 3em">unbreakable</div>': 'cuts off "unbreakable"',
        '<div style="overflow: clip; height: 1em"><p>one</p><p>two</p></div>': 'cuts off "two"',
        '<p style="white-space: nowrap; overflow: hidden">' + "long " * 99: 'cuts off "long',
    },
    "focus": {
        "<style>a, button, summary { outline: none }</style>": "",
        '<a href="#x" id="x">there</a>': 'a#x "there" looks the same with the focus',
        "<details><summary>more</summary>text</details>": 'summary "more" looks the same',
        '<button style="opacity: 0">clear</button>': 'button "clear" takes the focus and cannot',
        '<a href="#" style="position: absolute; left: -99px">off</a>': 'a "off" takes the focus',
    },
}


@pytest.mark.parametrize("subject", visits.SUBJECTS)
def test_a_bad_page_is_caught(opened, subject):
    found = "\n".join(opened("".join(BAD[subject])).problems[subject])
    assert [said for said in BAD[subject].values() if said not in found] == []


FINE = """<p>text and <a href="#x" id="x">a link</a></p><pre>x = <span>1</span></pre>
<div style="overflow: auto; width: 9em" tabindex="0"><p style="width: 600px">scrolls</p></div>
<div style="position: absolute; overflow: hidden; width: 1px; height: 1px">for the ear</div>
<style>label:has(:focus-visible) { outline: 2px solid }</style>
<label><input type="checkbox" style="opacity: 0">labelled</label>"""


def test_a_good_page_passes_and_weighs_what_it_loads_compressed(opened):
    page = opened(FINE + f"<!--{'x' * 10 * KB}-->")
    assert {subject: found for subject, found in page.problems.items() if found} == {}
    assert 0 < page.bytes < KB


def test_a_page_that_keeps_its_theme_is_caught(opened):
    found = opened("<script>document.documentElement.dataset.theme = 'light'</script>")
    said = "shows the light theme to a reader who prefers the dark one"
    assert said in found.problems["contrast"]


def test_a_heavy_page_is_caught():
    light, heavy = visits.Visit("a", {}, USUAL), visits.Visit("b", {}, MOST + 1)
    assert weight_problems([light, light]) == []
    assert weight_problems([light, light, heavy]) == ["b loads 1000 kB"]
    assert "half of the pages load 850 kB or more" in weight_problems([light, heavy])


def test_pages_are_found_in_the_folder_of_the_book(tmp_path):
    (tmp_path / "_static").mkdir()
    for name in ("b.html", "_static/template.html"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    (tmp_path / "a.html").write_text('<meta http-equiv="Refresh" content="0; url=b.html">')
    assert list(page_names(tmp_path)) == ["b.html"]
