"""The built book, as a browser without a network would meet it.

Each check takes one page; below, each is run on every page of the book, and at
the end each is shown a bad page that it must catch.
"""

import gzip
import json
import re
from pathlib import Path
from statistics import median
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
ICONS = ROOT / "_static" / "icons.css"


class Page:
    """One HTML file of the book, parsed."""

    def __init__(self, path, root):
        self.path, self.root = path.resolve(), root.resolve()
        self.name = self.path.relative_to(self.root).as_posix()
        self.soup = BeautifulSoup(self.path.read_text(encoding="utf-8"), "html.parser")
        self.article = self.soup.select_one("article.bd-article") or self.soup
        self.ids = {tag["id"] for tag in self.soup.select("[id]")}

    def target(self, address):
        """The file and fragment that `address` on this page means; None for another site's."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            return None
        path = (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path
        return (path / "index.html" if path.is_dir() else path), unquote(parts.fragment)


# Checks ------------------------------------------------------------------------


def link_problems(page, pages):
    """Every link within the book leads to a file, and to a place in it."""
    found = []
    for link in page.soup.select("a[href]"):
        target = page.target(link["href"])
        if target is None:
            continue
        path, fragment = target
        if not path.is_file():
            found.append(f"{page.name}: {link['href']} leads nowhere")
        elif fragment and path.suffix == ".html":
            other = pages.get(path) or Page(path, page.root)
            if fragment not in other.ids:
                found.append(f"{page.name}: {link['href']}: no such place on that page")
    return found


def loaded(page):
    """Every address that a browser fetches to show the page."""
    for tag in page.soup.select("[src], [srcset], [data], link[href]"):
        if tag.name == "link" and tag.get("rel", [""])[0] in ("canonical", "next", "prev"):
            continue
        yield from filter(None, (tag.get(key) for key in ("src", "data", "href")))
        yield from (part.split()[0] for part in tag.get("srcset", "").split(",") if part.strip())
    styles = [tag.string or "" for tag in page.soup.select("style")]
    styles += [tag["style"] for tag in page.soup.select("[style]")]
    for style in styles:
        yield from re.findall(r"url\(['\"]?([^'\")]+)", style)


def loading_problems(page):
    """Nothing comes from another site, and all that is loaded is there."""
    found = []
    for address in loaded(page):
        if address.startswith("data:"):
            continue
        target = page.target(address)
        if target is None:
            found.append(f"{page.name} loads {address}")
        elif not target[0].is_file():
            found.append(f"{page.name} loads {address}, which is missing")
    for script in page.soup.select("script:not([src])"):
        for address in re.findall(r"['\"](?:https?:)?//[^'\"]+", script.string or ""):
            found.append(f"{page.name}: a script names {address[1:]}")
    return found


def style_problems(path):
    """A style sheet loads nothing from another site."""
    text = path.read_text(encoding="utf-8")
    addresses = re.findall(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)", text)
    return [f"{path.name} loads {address}" for address in addresses]


def mathjax_problems(page):
    """A page loads our own MathJax when it has mathematics, and only then."""
    targets = [page.target(script["src"]) for script in page.soup.select("script[src]")]
    loads = page.root / "mathjax" / "tex-mml-chtml.js" in [
        target[0] for target in targets if target
    ]
    if bool(page.soup.select(".math")) != loads:
        return [f"{page.name} has mathematics without our MathJax, or MathJax without mathematics"]
    return []


def icon_problems(page):
    """Each icon that the page names is drawn in our style sheet."""
    drawn = set(re.findall(r"\.(fa-[a-z-]+) \{ --icon", ICONS.read_text(encoding="utf-8")))
    named = {name for tag in page.soup.select("[class*=fa-]") for name in tag["class"]}
    named = {name for name in named if name.startswith("fa-")} - {"fa-solid", "fa-lg"}
    return [f"{page.name} shows the icon {name}, which is not drawn" for name in named - drawn]


def weight(page):
    """How many bytes a browser fetches to show the page, compressed where a server would."""
    paths = {target[0] for target in map(page.target, loaded(page)) if target} | {page.path}
    paths = {path for path in paths if path.is_file()}
    return sum(
        len(path.read_bytes() if path.suffix == ".png" else gzip.compress(path.read_bytes(), 6))
        for path in paths
    )


def waiting_problems(page):
    """No script keeps the page from showing, but for a few lines of options."""
    return [
        f"{page.name} waits for {script['src']}"
        for script in page.soup.select("script[src]")
        if not script.has_attr("defer") and "/documentation_options.js" not in script["src"]
    ]


def alt_problems(page):
    """Every picture of the text says what it shows."""
    return [
        f"{page.name}: {image.get('src', '')[:80]} has no alt text"
        for image in page.article.select("img")
        if not image.get("alt", "").strip() or image["alt"].startswith("../")
    ]


def heading_problems(page):
    count = len(page.article.select("h1"))
    return [] if count == 1 else [f"{page.name} has {count} headings of the first rank"]


def raw_problems(page):
    """No fence, role or formula shows as it was typed."""
    article = BeautifulSoup(str(page.article), "html.parser")
    for tag in article.select("pre, code, script, style, .math, .cell_output"):
        tag.decompose()
    text = article.get_text(" ")
    return [f"{page.name} shows {mark!r}" for mark in (":::", "```", "$", "{ref}") if mark in text]


def head_problems(page):
    """The head describes the page, for search engines and for a card that shows a link to it."""
    keys = ("description", "og:title", "og:description", "og:url", "og:image", "twitter:card")
    found = {
        tag.get("name") or tag.get("property"): tag.get("content") for tag in page.soup("meta")
    }
    return [f"{page.name} has no {key} in its head" for key in keys if not found.get(key)]


def language_problems(page):
    """What is in Chinese says so; a script and a drawing cannot."""
    return [
        f"{page.name} does not say that {text} is in Chinese"
        for text in page.article.find_all(string=re.compile("[\u3400-\u9fff]"))
        if not text.find_parent(lang="zh") and not text.find_parent(["script", "svg"])
    ]


def spoken_problems(page):
    """A fold is called what is written on it, and a heading of a table says something."""
    folds = page.article.select("summary[aria-label]")
    empty = [th for th in page.article.select("th") if not th.get_text(strip=True)]
    return [f"{page.name}: {str(tag)[:80]} says something else or nothing" for tag in folds + empty]


def formula_problems(page):
    r"""MathJax shows what stands in \text as it is."""
    formulas = [tag.get_text() for tag in page.article.select(".math")]
    found = [m for formula in formulas for m in re.findall(r"\\text\{[^}]*\\[^}]*\}", formula)]
    return [f"{page.name} shows a backslash in {formula}" for formula in found]


def fold_problems(page):
    """Folded code that shows nothing is not one fold more above the next one."""
    empty = "div.cell.tag_hide-input:has(> details.hide:last-child)"
    folds = page.article.select(f"{empty} + div.cell.tag_hide-input")
    return [f"{page.name}: two folds stand one above the other, {str(f)[:80]}" for f in folds]


def ran_problems(page):
    """A notebook's page ends by saying when, with what and on which hardware it ran."""
    lines = [tag.get_text() for tag in page.article.select("p > small")]
    pattern = (
        r"Last run on \d+ \w+ \d{4} in \d+ s of processor time, "
        r"with Python .+ PyTorch .+ NumPy .+ cores? of .+"
    )
    if not lines or not re.fullmatch(pattern, lines[-1]):
        return [f"{page.name} does not say when it ran"]
    return []


def launch_problems(page):
    """A notebook's page can be opened on Colab and on Binder."""
    links = [link["href"] for link in page.soup.select("a[href]")]
    return [
        f"{page.name} has no button for {host}"
        for host in ("colab.research.google.com", "mybinder.org")
        if not any(urlsplit(link).hostname == host for link in links)
    ]


# On the book -------------------------------------------------------------------


def listed(node):
    """The pages that _toc.yml names, without their suffix."""
    if isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from listed(child)


@pytest.fixture(scope="module")
def pages(html):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [Page(html / f"{name}.html", html) for name in listed(toc)]
    return {page.path: page for page in found}


@pytest.fixture(scope="module")
def notebook_pages(html, pages):
    def is_notebook(page):
        return (ROOT / page.path.relative_to(html.resolve())).with_suffix(".ipynb").is_file()

    return [page for page in pages.values() if is_notebook(page)]


def nothing(problems):
    assert not problems, "\n".join(problems)


def test_every_link_and_anchor_within_the_book_resolves(pages):
    nothing([problem for page in pages.values() for problem in link_problems(page, pages)])


@pytest.mark.parametrize(
    "check",
    [
        *(loading_problems, waiting_problems, mathjax_problems, icon_problems),
        *(head_problems, language_problems, spoken_problems, formula_problems),
        *(alt_problems, heading_problems, raw_problems, fold_problems),
    ],
)
def test_every_page_passes(check, pages):
    nothing([problem for page in pages.values() for problem in check(page)])


def test_half_of_the_pages_weigh_no_more_than_700_kilobytes(pages):
    weights = [weight(page) for page in pages.values()]
    assert median(weights) < 700_000
    assert max(weights) < 1_100_000


def test_chapters_are_numbered_through_the_book_and_nothing_else_is(pages):
    numbers = {}
    for page in pages.values():
        number = page.article.select_one("h1 > .section-number")
        numbers[page.name] = int(number.get_text().strip(" .")) if number else None
    chapters = [name for name in numbers if re.match(r"chapters/\d-.*/(?!index)", name)]
    assert [numbers.pop(name) for name in chapters] == list(range(1, len(chapters) + 1))
    assert set(numbers.values()) == {None}


def test_a_page_says_where_it_stands_in_its_part(pages):
    places = {}
    for page in pages.values():
        if place := page.article.select_one(".place"):
            part, at, of = re.fullmatch(
                r"(.+), page (\d+) of (\d+)", " ".join(place.get_text().split())
            ).groups()
            places.setdefault((part, int(of)), []).append(int(at))
    assert len(places) > 4
    for (_, of), found in places.items():
        assert found == list(range(1, of + 1))


def test_a_search_for_another_name_finds_the_section(html):
    text = (html / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    names = yaml.safe_load((ROOT / "_names.yml").read_text(encoding="utf-8"))
    assert "RoPE" in names["chapters/2-attention/heads-and-positions"]["rotary"]
    for page, sections in names.items():
        for section, others in sections.items():
            for name in others:
                found = [
                    [index["docnames"][e[0]], e[1]] for e in index["indexentries"][name.lower()]
                ]
                assert [page, section] in found


def test_what_the_search_needs_at_once_does_not_wait(html):
    page = Page(html / "search.html", html)
    assert not page.soup.select("script[defer][src*=doctools], script[defer][src*=searchtools]")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(("theme", "ground"), [("light", "#f3f4f5"), ("dark", "#29313d")])
def test_code_stands_out_from_its_ground(html, pages, theme, ground):
    sheets = [html / "_static" / name for name in ("pygments.css", "code.css")]
    text = "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    colours = {}  # of a class; a later rule wins
    pattern = rf'html\[data-theme="{theme}"\] \.highlight ([^{{]+)\{{ color: (#[0-9A-Fa-f]{{6}})'
    for names, colour in re.findall(pattern, text):
        colours |= dict.fromkeys(re.findall(r"\.(\w+)", names), colour)
    used = {
        name
        for page in pages.values()
        for tag in page.article.select("pre span[class]")
        for name in tag["class"]
    }
    assert {"c1", "s2", "k"} <= used & set(colours)
    for name in used & set(colours) - {"w"}:  # of spaces
        low, high = sorted([luminance(colours[name]), luminance(ground)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, f".{name} is {colours[name]} on {ground}"


def test_the_code_of_every_cell_is_on_its_page(html, notebook_pages):
    """However the cells are folded."""
    for page in notebook_pages:
        path = (ROOT / page.path.relative_to(html.resolve())).with_suffix(".ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [
            "".join(cell["source"]).strip()
            for cell in cells
            if cell["cell_type"] == "code" and "remove-cell" not in cell["metadata"].get("tags", [])
        ]
        shown = [pre.get_text().strip() for pre in page.article.select("div.cell_input pre")]
        assert shown == code, page.name


def test_every_chapter_says_when_it_ran(notebook_pages):
    chapters = [page for page in notebook_pages if page.name.startswith("chapters/")]
    assert chapters
    nothing([problem for page in chapters for problem in ran_problems(page)])


def test_every_notebook_has_its_launch_buttons(notebook_pages):
    nothing([problem for page in notebook_pages for problem in launch_problems(page)])


def test_no_style_sheet_loads_from_elsewhere(html):
    sheets = list(html.rglob("*.css"))
    assert sheets
    nothing([problem for sheet in sheets for problem in style_problems(sheet)])


def test_mathjax_is_whole(html):
    folder = html / "mathjax"
    assert len(list((folder / "output/chtml/fonts/woff-v2").glob("*.woff"))) == 23
    assert (folder / "input/tex/extensions/boldsymbol.js").is_file()
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_the_front_door_leads_to_the_first_page(html):
    assert "url=chapters/index.html" in (html / "index.html").read_text(encoding="utf-8")


# Each check on a bad page --------------------------------------------------------

RAN = (
    "Last run on 2 May 2026 in 9 s of processor time, with Python 3, PyTorch 2 and NumPy 2, "
    "on 2 cores of X, no GPU."
)
HEAD = "".join(
    f'<meta property="{key}" content="x">'
    for key in ("description", "og:title", "og:description", "og:url", "og:image", "twitter:card")
)
FOLD = '<details class="hide"><summary>Show</summary></details>'
COLAB = '<a href="https://colab.research.google.com/x"></a>'
BINDER = '<a href="https://mybinder.org/x"></a>'


@pytest.fixture
def page(tmp_path):
    (tmp_path / "mathjax").mkdir()
    (tmp_path / "mathjax" / "tex-mml-chtml.js").touch()
    (tmp_path / "b.html").write_text('<h2 id="there">b</h2>', encoding="utf-8")

    def make(body):
        (tmp_path / "a.html").write_text(body, encoding="utf-8")
        return Page(tmp_path / "a.html", tmp_path)

    return make


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (link_problems, '<a href="c.html">', '<a href="b.html">'),
        (link_problems, '<a href="b.html#here">', '<a href="b.html#there">'),
        (link_problems, '<a href="#x">', '<a href="#x" id="x"><a href="https://python.org">'),
        (loading_problems, '<script src="https://unpkg.com/x.js">', '<script src="b.html">'),
        (loading_problems, '<script src="//unpkg.com/x.js">', '<script src="b.html?v=1">'),
        (loading_problems, '<link rel="stylesheet" href="http://x.org/y">', "<p>"),
        (loading_problems, '<img src="missing.png">', '<img src="data:image/png;base64,">'),
        (loading_problems, '<img srcset="b.html 1x, https://x.org/y 2x">', "<img srcset='b.html'>"),
        (loading_problems, "<style>a{b:url(https://x.org/y)}</style>", "<style>a{b:c}</style>"),
        (loading_problems, "<script>load('https://x.org')</script>", "<script>f('x')</script>"),
        (
            loading_problems,
            '<iframe src="https://x.org"></iframe>',
            '<a href="https://x.org">x</a>',
        ),
        (
            mathjax_problems,
            '<span class="math">x</span><script src="https://x.org/tex-mml-chtml.js">',
            '<span class="math">x</span><script src="mathjax/tex-mml-chtml.js?v=1">',
        ),
        (mathjax_problems, '<script src="mathjax/tex-mml-chtml.js">', "<p>x</p>"),
        (icon_problems, '<i class="fas fa-yeti">', '<i class="fas fa-bars fa-lg">'),
        (waiting_problems, '<script src="b.html">', '<script defer src="b.html"></script>'),
        (language_problems, "<p>fox: 狐狸</p>", '<p>fox: <span lang="zh">狐狸</span></p>'),
        (spoken_problems, '<summary aria-label="Toggle">Show</summary>', "<summary>Show</summary>"),
        (spoken_problems, "<table><tr><th></th></tr>", "<table><tr><td></td><th>x</th></tr>"),
        (
            formula_problems,
            r'<span class="math">\text{a\_b}</span>',
            r'<span class="math">\text{a_b}\_</span>',
        ),
        (head_problems, "<p>x</p>", HEAD),
        (alt_problems, '<img src="x.png">', '<img src="x.png" alt="A ladder">'),
        (alt_problems, '<img src="x.png" alt="../_images/x.png">', '<img alt="A ladder">'),
        (heading_problems, "<h1>a</h1><h1>b</h1>", "<h1>a</h1><h2>b</h2>"),
        (heading_problems, "<h2>a</h2>", "<h1>a</h1>"),
        (raw_problems, "<p>::: {note}</p>", "<code>:::</code>"),
        (raw_problems, "<p>$x$</p>", '<span class="math">$x$</span>'),
        (
            fold_problems,
            f'<div class="cell tag_hide-input">{FOLD}</div>'
            f'<div class="cell tag_hide-input">{FOLD}<div class="cell_output">x</div></div>',
            f'<div class="cell tag_hide-input">{FOLD}<div class="cell_output">x</div></div>'
            f'<div class="cell tag_hide-input">{FOLD}</div><div class="cell">x</div>',
        ),
        (ran_problems, "<p>x</p>", f"<p><small>{RAN}</small></p>"),
        (ran_problems, "<p><small>Last run.</small></p>", f"<p><small>{RAN}</small></p>"),
        (launch_problems, COLAB, COLAB + BINDER),
    ],
)
def test_a_check_catches_a_bad_page_and_passes_a_good_one(page, check, bad, good):
    arguments = [{}] if check is link_problems else []
    assert check(page(bad), *arguments) != []
    assert check(page(good), *arguments) == []


def test_a_style_sheet_from_elsewhere_is_caught(tmp_path):
    sheet = tmp_path / "x.css"
    sheet.write_text("@import url('https://fonts.googleapis.com/x');", encoding="utf-8")
    assert style_problems(sheet) != []
    sheet.write_text("a { background: url(data:image/svg+xml;x); }", encoding="utf-8")
    assert style_problems(sheet) == []
