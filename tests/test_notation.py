"""One symbol, one meaning: every letter of every formula stands in a table of chapters/notation.md.

"Symbols" holds those that keep their meaning through the book, "Letters of one page" the others. A
letter with an index is another symbol than the letter alone: $k_t$ is a key, $k$ is what its page
says. What an index may be is in INDEX; i and j are an index also by themselves.
"""

import re

import pytest
import yaml
from test_form import formulas

from tools import notebooks

ROOT = notebooks.ROOT
NOTATION = ROOT / "chapters" / "notation.md"
GREEK = """alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu
nu xi pi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma
Upsilon Phi Psi Omega ell log ln""".split()
ACCENTS = {r"\hat", r"\bar", r"\tilde"}
WORDS = re.compile(  # \mathrm of one letter is a symbol, of more a word
    r"\\(?:text\w*|operatorname|begin|end)\s*\{[^{}]*\}|\\mathrm\s*\{[^{}]{2,}\}|\[\d+ex\]"
)
TOKEN = re.compile(r"\\math[a-z]+\s*(?:\{[A-Za-z]\}|[A-Za-z])|\\[A-Za-z]+|\\.|\S")
INDEX = re.compile(r"(?:[ijklnrstuwyT0-9_{}+<>=,'/-]|\\[a-z]+)+")
WRITTEN = set("tsijnr")  # how the tables write an index, as in $h_t$


def is_symbol(token):
    return token.isalpha() or token.startswith(r"\math") or token[1:] in GREEK


def group(tokens, i):
    """The tokens of the group or the single token at `i`, and where the next begins."""
    if i >= len(tokens) or tokens[i] != "{":
        return tokens[i : i + 1], i + 1
    depth, end = 1, i + 1
    while depth:
        depth += {"{": 1, "}": -1}.get(tokens[end], 0)
        end += 1
    return tokens[i + 1 : end - 1], end


def symbols(formula):
    """[(letter with its accent and primes, its subscript or "")] of a formula, in order."""
    return walk(TOKEN.findall(WORDS.sub(" ", formula)))


def walk(tokens):
    """`symbols` of a list of tokens; what stands in a subscript is an index and no symbol."""
    found, i = [], 0
    while i < len(tokens):
        accent, name = "", tokens[i]
        if name in ACCENTS:
            inner, after = group(tokens, i + 1)
            if len(inner) == 1:
                accent, name, i = f"{name} ", inner[0], after - 1
        i += 1
        if not is_symbol(name):
            continue
        sub, powers = "", []
        while i < len(tokens) and tokens[i] in ("'", "_", "^"):
            mark = tokens[i]
            if mark == "'":
                name, i = name + "'", i + 1
                continue
            inner, i = group(tokens, i + 1)
            if mark == "_":
                sub = "".join(inner)
            else:
                powers = inner
        if (name, bool(powers)) != ("e", True):  # e with a power is Euler's
            found.append((accent + name, sub))
        found += walk(powers)
    return found


def known(symbol, table):
    """The symbol under which `table` has it, or None: $q_s$ is there as $q_t$."""
    name, sub = symbol
    if symbol in table:
        return symbol
    indexed = (name, "index")
    return indexed if INDEX.fullmatch(sub) and indexed in table else None


def defined(cell):
    """The symbols that a table's cell defines: the first one of each part between commas."""
    for formula in formulas(cell):
        for part in re.split(r",(?![^(]*\))", formula):
            name, sub = symbols(part)[0]
            yield name, "index" if sub in WRITTEN else sub


def rows(text, heading):
    """The cells of each row of the table under a heading, a list a row."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"\s\|\s?", line[1:])] for line in lines[2:]]


def link(cell):
    """The page that a cell's only link leads to, as _toc.yml writes it."""
    (target,) = re.findall(r"\]\((\S+)\.(?:ipynb|md)\)", cell)
    return target.removeprefix("../") if target.startswith("../") else f"chapters/{target}"


def lasting(text):
    """[(its symbols, meaning, page of first use)] of the table of symbols, a row each."""
    return [(list(defined(row[0])), row[1], link(row[1])) for row in rows(text, "Symbols")]


def local(text):
    """(page, symbol, meaning) of the letters of one page."""
    for page, letters, *_ in rows(text, "Letters of one page"):
        for entry in letters.split("<br>"):
            cell, _, meaning = entry.partition(": ")
            for symbol in defined(cell):
                yield link(page), symbol, meaning.strip()


def used(pages):
    """{page: its symbols} from {page: its Markdown}."""
    return {
        page: {symbol for formula in formulas(text) for symbol in symbols(formula)}
        for page, text in pages.items()
    }


def show(symbol):
    name, sub = symbol
    return f"${name}{f'_{{{sub}}}' if sub else ''}$"


def problems(notation, pages):
    """What is wrong with the tables of `notation` for {page: Markdown}, pages in reading order."""
    found, first, letters, seen = [], {}, {}, {}
    table = lasting(notation)
    for own, meaning, page in table:
        if new := [symbol for symbol in own if symbol not in first]:
            first.update(dict.fromkeys(new, page))
        elif "beside" not in meaning:
            found.append(f"{show(own[0])} has a second row, which does not say beside what")
    for page, symbol, meaning in local(notation):
        its = letters.setdefault(page, {})
        for wrong, what in (
            (symbol in first, "is a letter of the whole book"),
            (symbol in its, "has two meanings"),
            (not meaning, "has no meaning"),
        ):
            if wrong:
                found.append(f"{show(symbol)} of {page} {what}")
        its[symbol] = meaning
    for page, its in used(pages).items():
        here = first | letters.get(page, {})
        for symbol in sorted(its - {("i", ""), ("j", "")}):
            if found_as := known(symbol, here):
                seen.setdefault(found_as, []).append(page)
            else:
                found.append(f"{show(symbol)} of {page} is in neither table")
    for page, its in letters.items():
        found += [f"{page} has no {show(s)}" for s in its if page not in seen.get(s, [])]
    met = set()
    for own, _, page in table:
        found += [f"no page has {show(symbol)}" for symbol in own if symbol not in seen]
        new = [symbol for symbol in own if symbol not in met and symbol in seen]
        met.update(own)
        chapters = [p for p in pages if not p.endswith("/index")]  # an overview only announces
        uses = [use for symbol in new for use in seen[symbol] if use in chapters]
        begins = min(uses, key=chapters.index, default=page)
        if page != begins:
            found.append(f"{show(new[0])} is first used in {begins}, not in {page}")
        elif not any(page in seen.get(symbol, []) for symbol in own):
            found.append(f"{page} has no {show(own[0])}")
    return found


def markdown(page):
    """The Markdown of a page of _toc.yml, captions too; of a lab, with its solution."""
    path = ROOT / re.sub(r"^labs/", "solutions/", page)
    if path.with_suffix(".md").exists():
        return path.with_suffix(".md").read_text(encoding="utf-8")
    cells = notebooks.read(path.with_suffix(".ipynb")).cells
    captions = [c.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for c in cells]
    return "\n\n".join([c.source for c in cells if c.cell_type == "markdown"] + captions)


def all_pages():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = [yaml.safe_load(toc)["root"], *re.findall(r"file: (\S+)", toc)]
    return {page: markdown(page) for page in listed if page != "chapters/notation"}


def test_every_symbol_of_the_book_has_one_meaning():
    found = problems(NOTATION.read_text(encoding="utf-8"), all_pages())
    assert not found, "\n".join(found)


# On bad examples -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\hat m_t = \frac{m_{t-1}}{2}", [(r"\hat m", "t"), ("m", "t-1")]),
        (r"e^{z_k - m} \text{ if } e > 0", [("z", "k"), ("m", ""), ("e", "")]),
        (
            r"D_{KL}(p \Vert q) \le \log_2 V",
            [("D", "KL"), ("p", ""), ("q", ""), (r"\log", "2"), ("V", "")],
        ),
        (
            r"W_o^\top u' + \mathrm{E}\,x^2",
            [("W", "o"), ("u'", ""), (r"\mathrm{E}", ""), ("x", "")],
        ),
        (r"\begin{cases} a \\[2ex] \mathrm{softmax}(b) \end{cases}", [("a", ""), ("b", "")]),
    ],
)
def test_the_symbols_of_a_formula(formula, expected):
    assert symbols(formula) == expected


TABLES = """# Notation

## Symbols

| symbol | meaning |
|---|---|
| $h_t$ | state<br>[a](a.ipynb) |
| $d_k$ | width<br>[b](b.ipynb) |

## Letters of one page

| page | letters |
|---|---|
| [b](b.ipynb) | $k$: a number |
"""
PAGES = {"chapters/a": "$h_s$ and `$c$`", "chapters/b": r"$$h_{t-1} + d_k \cdot k$$"}


def test_good_tables_have_no_problem():
    assert problems(TABLES, PAGES) == []


@pytest.mark.parametrize(
    ("page", "text", "problem"),
    [
        ("a", "$h_s + h$", "$h$ of chapters/a is in neither table"),
        ("a", "$h_s + k$", "$k$ of chapters/a is in neither table"),
        ("a", "$h_s + d_a$", "$d_{a}$ of chapters/a is in neither table"),
        ("a", "$h_s + d_k$", "$d_{k}$ is first used in chapters/a, not in chapters/b"),
        ("b", "$d_k$", "chapters/b has no $k$"),
        ("b", "$k$", "no page has $d_{k}$"),
    ],
)
def test_a_bad_page_is_named(page, text, problem):
    assert problem in problems(TABLES, PAGES | {f"chapters/{page}": text})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("$k$: a", "$h_t$: a", "$h_{index}$ of chapters/b is a letter of the whole book"),
        ("$k$: a number", "$k$", "$k$ of chapters/b has no meaning"),
        ("$k$: a", "$k$: b<br>$k$: a", "$k$ of chapters/b has two meanings"),
        ("$d_k$ | w", "$h_t$ | w", "$h_{index}$ has a second row, which does not say beside what"),
    ],
)
def test_a_bad_table_is_named(old, new, problem):
    assert problem in problems(TABLES.replace(old, new), PAGES)
