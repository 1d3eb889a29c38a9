"""The form of every page: what neither Sphinx nor nbval would notice.

Each check takes a notebook (or a page's Markdown) and returns what is wrong
with it, a line each. Below, each is run on every page; at the end, each is
shown a bad example that it must catch.
"""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks

ROOT = notebooks.ROOT
NOTEBOOKS = notebooks.find([])
MARKDOWN = sorted((ROOT / "chapters").rglob("*.md"))
MAX_LINES = 15
MAX_WIDTH = 80
MAX_OUTPUT = 200_000  # bytes
MAX_POINTS = 480  # of a figure: on a phone its letters are then at least 8 pixels high
PICTURES = {"image/png", "image/jpeg", "image/svg+xml"}
TAGS_OF_HTML = {"small", "u", "br", "kbd", "sub", "sup", "details", "summary"}
# A path of somebody's machine, or a note to oneself.
FORBIDDEN = re.compile(
    r"/(?:home|root|tmp|work|Users|private|mnt)/|[A-Z]:\\|site-packages|file://|"
    r"\b(?:TODO|FIXME|XXX)\b"
)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def name(cell):
    return f"cell {cell.get('id', '?')!r}"


def tags(cell):
    return cell.metadata.get("tags", [])


def texts(notebook):
    """The Markdown of each cell, with a name for it."""
    return [(name(c), c.source) for c in notebook.cells if c.cell_type == "markdown"]


def outside_code(text):
    """The lines of `text` that are no code block, with inline code emptied."""
    lines, fence = [], None
    for line in text.splitlines():
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = None
        elif mark:
            fence = mark[1]
        else:
            lines.append(re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "``", line))
    return lines


# Checks of Markdown ------------------------------------------------------------


def heading_problems(text):
    """One H1 a page, and nothing before it."""
    lines = [line for line in outside_code(text) if line.strip()]
    tops = [line for line in lines if re.match(r"# |<h1", line)]
    underlined = [line for line in lines if re.fullmatch(r"=+\s*", line)]
    if len(tops) != 1 or underlined or lines[0] != tops[0]:
        return [f"a page begins with its only H1; this one has {len(tops) + len(underlined)}"]
    return []


def fence_problems(text):
    """Every ::: and ``` is closed."""
    found, opened = [], []
    for line in outside_code(text):
        colons = re.match(r"\s*(:{3,})(.*)", line)
        if not colons:
            continue
        if colons[2].strip():
            opened.append(colons[1])
        elif opened and opened[-1] == colons[1]:
            opened.pop()
        else:
            found.append(f"{colons[1]} closes nothing")
    found += [f"{mark} is never closed" for mark in opened]
    if len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) % 2:
        found.append("``` is never closed")
    return found


def note_problems(text):
    """Plain Jupyter shows a ::: fence well only with blank lines around its body."""
    lines = [line for line in outside_code(text) if not line.startswith(":class:")]
    lines = ["", *lines, ""]
    found = []
    for i, line in enumerate(lines):
        if re.match(r"\s*:{3,}\s*\{", line) and lines[i + 1].strip():
            found.append(f"no blank line after {line.strip()}")
        if re.fullmatch(r"\s*:{3,}\s*", line) and lines[i - 1].strip():
            found.append(f"no blank line before the ::: that follows {lines[i - 1].strip()!r}")
    return found


def tex(text):
    """`text` without its code, double backslashes and escaped dollars."""
    return "\n".join(outside_code(text)).replace(r"\\", "  ").replace(r"\$", "  ")


def paragraphs(text):
    """The parts of a text outside $$ in which each $ must find its partner."""
    rest = re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL)
    return re.split(r"\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s*)", rest)


def formulas(text):
    """The TeX between $$ and between $, outside code."""
    text = tex(text)
    found = re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
    for paragraph in paragraphs(text):
        found += re.findall(r"\$(.+?)\$", paragraph, re.DOTALL)
    return found


def tex_problems(text):
    """Every $ has its partner; braces, \\left and \\begin theirs inside; no backslash is lost."""
    plain = tex(text)
    found = ["$$ is never closed"] if plain.count("$$") % 2 else []
    found += [
        f"{c!r} in a text: \\beta or \\frac with one backslash?" for c in "\b\f\t" if c in plain
    ]
    for paragraph in paragraphs(plain):
        if paragraph.count("$") % 2:
            found.append(f"a $ without its partner in {paragraph.strip()[:50]!r}")
    for formula in formulas(text):
        braces = formula.replace(r"\{", "").replace(r"\}", "")
        pairs = (
            (braces.count("{"), braces.count("}")),
            (len(re.findall(r"\\left\b", formula)), len(re.findall(r"\\right\b", formula))),
            (formula.count(r"\begin"), formula.count(r"\end")),
        )
        if any(opened != closed for opened, closed in pairs):
            found.append(f"unbalanced TeX in {formula.strip()[:50]!r}")
    return found


def html_problems(text):
    """Only a few harmless tags, each closed."""
    text = "\n".join(outside_code(text))
    text = re.sub(r"\$\$.+?\$\$|\$[^$]+\$", "", text, flags=re.DOTALL)
    found = []
    for tag in sorted(set(re.findall(r"</?([a-zA-Z][a-zA-Z0-9]*)[\s/>]", text))):
        opened = len(re.findall(rf"<{tag}[\s>]", text))
        if tag not in TAGS_OF_HTML:
            found.append(f"raw HTML: <{tag}>")
        elif tag != "br" and opened != text.count(f"</{tag}>"):
            found.append(f"<{tag}> is not closed")
    return found


def image_problems(text):
    """A picture in the text has alt text."""
    return [f"no alt text: {image}" for image in re.findall(r"!\[\s*\]\(.*?\)", text)]


def word_problems(text):
    return [f"forbidden: {match[0]!r}" for match in FORBIDDEN.finditer(text)]


# Checks of notebooks -----------------------------------------------------------


def length_problems(notebook):
    """At most 15 lines of code a cell, but where it is tagged `long`."""
    return [
        f"{name(cell)} has {lines} lines; at most {MAX_LINES}"
        for cell in code_cells(notebook)
        if (lines := len(cell.source.splitlines())) > MAX_LINES and "long" not in tags(cell)
    ]


def width_problems(notebook):
    return [
        f"{name(cell)} has a line of {len(line)} characters; at most {MAX_WIDTH}: {line[:40]}"
        for cell in code_cells(notebook)
        for line in cell.source.splitlines()
        if len(line) > MAX_WIDTH
    ]


def asserts(source):
    """Whether `source` asserts anything, by the statement or by a function named assert..."""
    for node in ast.walk(ast.parse(TransformerManager().transform_cell(source))):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", getattr(function, "id", ""))
            if called.startswith("assert"):
                return True
    return False


def ignored_output_problems(notebook):
    """A cell whose output nbval does not compare must check it itself."""
    return [
        f"{name(cell)} is not compared and asserts nothing"
        for cell in code_cells(notebook)
        if {"nbval-ignore-output", "nbval-skip"} & set(tags(cell)) and not asserts(cell.source)
    ]


def semicolon_problems(notebook):
    """nbval cannot compare a cell that ends in `expression;`."""
    return [
        f"{name(cell)} ends in a semicolon"
        for cell in code_cells(notebook)
        if cell.source.rstrip().endswith(";")
    ]


def output_problems(notebook):
    """No huge output, no error, no warning, no script but in a cell tagged `stepper`."""
    found = []
    for cell in code_cells(notebook):
        size = len(nbformat.v4.writes(new_notebook(cells=[cell])).encode()) - len(cell.source)
        if size > MAX_OUTPUT:
            found.append(f"{name(cell)} has {size:,} bytes of output; at most {MAX_OUTPUT:,}")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                found.append(f"{name(cell)} failed: {output.ename}")
            if output.get("name") == "stderr" and "nbval-ignore-output" not in tags(cell):
                found.append(f"{name(cell)} wrote to stderr: {output.text[:60]!r}")
            html = "".join(output.get("data", {}).get("text/html", ""))
            if re.search(r"<script|\son\w+=", html) and "stepper" not in tags(cell):
                found.append(f"{name(cell)} shows a script and is not tagged `stepper`")
    return found


def shown(cell):
    """What a cell shows in words; the letters that a picture is stored in may spell anything."""
    for output in cell.outputs:
        yield str(output.get("text", ""))
        yield from (str(v) for k, v in output.get("data", {}).items() if k not in PICTURES)


def figure_problems(notebook):
    """Each figure is an SVG of a width that a phone shows, and says in words what it shows.

    Code that only draws is folded, and code that draws does nothing else.
    """
    found = []
    for cell in code_cells(notebook):
        pictures = [
            (kind, data)
            for output in cell.outputs
            for kind, data in output.get("data", {}).items()
            if kind in PICTURES
        ]
        if not pictures:
            continue
        said = cell.metadata.get("mystnb", {})
        if len(said.get("image", {}).get("alt", "").split()) < 4:
            found.append(f"{name(cell)} shows a figure; say what it shows in mystnb.image.alt")
        if len(said.get("figure", {}).get("caption", "").split()) < 4:
            found.append(f"{name(cell)} shows a figure; say what to see in mystnb.figure.caption")
        if "hide-input" not in tags(cell):
            found.append(f"{name(cell)} shows a figure; draw it in a cell tagged hide-input")
        for kind, data in pictures:
            if kind != "image/svg+xml":
                found.append(f"{name(cell)} shows a {kind}: call style.use() before it is drawn")
            elif (width := float(re.search(r'width="([\d.]+)pt"', data)[1])) > MAX_POINTS:
                found.append(f"{name(cell)} is {width:.0f} pt wide; at most {MAX_POINTS}")
        if any("text" in output for output in cell.outputs):
            found.append(f"{name(cell)} prints and draws; do that in two cells")
    return found


def colab_problems(notebook):
    """A notebook that is opened on Google Colab brings the course by itself."""
    if notebook.cells[0].source != notebooks.COLAB:
        return ["it does not begin with the cell for Colab; tools/notebooks.py adds it"]
    return []


def empty_problems(notebook):
    return [f"{name(cell)} is empty" for cell in notebook.cells if not cell.source.strip()]


# The table of contents -----------------------------------------------------------


def toc_problems(root):
    """Every page of chapters/ and labs/ is in _toc.yml, once, and what is in it exists."""
    toc = (root / "_toc.yml").read_text(encoding="utf-8")

    def files(node):
        if isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from files(child)

    listed = list(files(yaml.safe_load(toc)))
    pages = {
        path.relative_to(root).with_suffix("").as_posix()
        for folder in ("chapters", "labs")
        for path in (root / folder).rglob("*")
        if path.suffix in (".md", ".ipynb") and ".ipynb_checkpoints" not in path.parts
    }
    return (
        [f"{page} is not in _toc.yml" for page in sorted(pages - set(listed))]
        + [f"_toc.yml lists {page}, which does not exist" for page in sorted(set(listed) - pages)]
        + [f"_toc.yml lists {page} twice" for page in sorted(set(listed)) if listed.count(page) > 1]
    )


# On every page -------------------------------------------------------------------

TEXT_CHECKS = [
    fence_problems,
    tex_problems,
    html_problems,
    image_problems,
    word_problems,
]
NOTEBOOK_CHECKS = [
    width_problems,
    ignored_output_problems,
    semicolon_problems,
    output_problems,
    figure_problems,
    empty_problems,
]


def page_id(path):
    return notebooks.shown(path)


def nothing(problems):
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=page_id)
def test_a_notebook_is_stored_executed_and_in_normal_form(path):
    nothing(notebooks.problems(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=page_id)
def test_a_notebook_is_well_formed(path):
    notebook = notebooks.read(path)
    whole = "\n\n".join(text for _, text in texts(notebook))
    found = heading_problems(whole)
    for cell, text in texts(notebook):
        for check in [*TEXT_CHECKS, note_problems]:
            found += [f"{cell}: {problem}" for problem in check(text)]
    for cell in code_cells(notebook):
        for text in [cell.source, *shown(cell)]:
            found += [f"{name(cell)}: {problem}" for problem in word_problems(text)]
    for check in [*NOTEBOOK_CHECKS, colab_problems]:
        found += check(notebook)
    nothing(found)


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if "chapters" in path.parts], ids=page_id
)
def test_a_chapter_has_no_long_cell(path):
    nothing(length_problems(notebooks.read(path)))


@pytest.mark.parametrize("path", MARKDOWN, ids=page_id)
def test_a_markdown_page_is_well_formed(path):
    text = path.read_text(encoding="utf-8")
    found = [problem for check in [heading_problems, *TEXT_CHECKS] for problem in check(text)]
    nothing(found)


def test_every_page_is_in_the_table_of_contents():
    nothing(toc_problems(ROOT))


def ruff(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, capture_output=True, text=True, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


def test_ruff_finds_nothing_in_the_packages():
    code, said = ruff(".")
    assert code == 0, said


def test_ruff_finds_nothing_in_the_notebooks_at_80_characters():
    code, said = ruff("--line-length=80", *map(str, NOTEBOOKS))
    assert code == 0, said


# Each check on a bad example -------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (heading_problems, "# A\n\ntext\n\n# B", "# A\n\n## B\n\n```\n# no heading\n```"),
        (heading_problems, "text\n\n# A", "# A\n\ntext"),
        (heading_problems, "## A", "# A"),
        (heading_problems, "# A\n\nB\n===", "# A\n\nB"),
        (fence_problems, ":::{note}\n\nbody", ":::{note}\n\nbody\n\n:::"),
        (fence_problems, "::::{a}\n:::{b}\n::::", "::::{a}\n:::{b}\n:::\n::::"),
        (fence_problems, "body\n\n:::", "`:::`"),
        (fence_problems, "```python\nx = 1", "```python\nx = 1\n```"),
        (note_problems, ":::{note}\nbody\n\n:::", ":::{note}\n\nbody\n\n:::"),
        (note_problems, ":::{note}\n\nbody\n:::", ":::{note}\n\nbody\n\n:::"),
        (note_problems, ":::{a} A\n:open:\n\nb\n\n:::", ":::{a} A\n:class: tip\n\nb\n\n:::"),
        (tex_problems, "It costs $5.", r"It costs \$5, and $x$ is free."),
        (tex_problems, "- $x\n- y$", "- $x$\n- $y$"),
        (tex_problems, "$\beta$", r"$\beta$"),
        (tex_problems, "$\theta$", r"$\theta$"),
        (tex_problems, "$$\nx", "$$\nx\n$$"),
        (tex_problems, r"$\frac{1}{2$", r"$\frac{1}{2}$ and $\{1\}$"),
        (tex_problems, r"$$\left( x$$", r"$$\left( x \right)$$ and $a \leftarrow b$"),
        (html_problems, "<script>x</script>", "`<script>` is code"),
        (html_problems, "<details>\n<summary>a</summary>", "<small>a</small><br>"),
        (html_problems, '<div class="a">b</div>', "1 < 2 and $a<b$ and <https://python.org>"),
        (image_problems, "![](a.png)", "![A ladder](a.png)"),
        (word_problems, "in /home/someone/x.py", "in tinygpt/x.py"),
        (word_problems, "see C:\\Users\\x", "see https://example.org/home"),
    ],
)
def test_a_check_of_text_catches_a_bad_example_and_passes_a_good_one(check, bad, good):
    assert check(bad) != []
    assert check(good) == []


def cell(source, tags=(), **more):
    metadata = {"tags": list(tags)} | more.pop("metadata", {})
    return new_code_cell(source, metadata=metadata, **more)


PNG = new_output("display_data", data={"image/png": "iVBORw0KGgo="})
SVG = new_output("display_data", data={"image/svg+xml": '<svg width="400.5pt"></svg>'})
WIDE = new_output("display_data", data={"image/svg+xml": '<svg width="700pt"></svg>'})
TEXT = new_output("stream", name="stdout", text="1")
BARS = {"image": {"alt": "Bars that fall from left to right."}}
ALT = {"mystnb": BARS | {"figure": {"caption": "The bars fall to the right."}}}
SCRIPT = new_output("display_data", data={"text/html": "<script>1</script>"})
WARNING = new_output("stream", name="stderr", text="UserWarning")
ERROR = new_output("error", ename="ValueError", evalue="", traceback=[])
HUGE = new_output("stream", name="stdout", text="x" * (MAX_OUTPUT + 1))


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (length_problems, cell("x\n" * 16), cell("x\n" * 15)),
        (length_problems, cell("x\n" * 16), cell("x\n" * 16, ["long"])),
        (width_problems, cell("x" * 81), cell("x" * 80)),
        (
            ignored_output_problems,
            cell("time()  # assert", ["nbval-ignore-output"]),
            cell("assert time() > 0", ["nbval-ignore-output"]),
        ),
        (
            ignored_output_problems,
            cell("%time f()", ["nbval-skip"]),
            cell("torch.testing.assert_close(x, y)", ["nbval-ignore-output"]),
        ),
        (semicolon_problems, cell("plt.plot(x);\n"), cell("a = 1; b = 2")),
        (output_problems, cell("f()", outputs=[HUGE]), cell("f()")),
        (output_problems, cell("f()", outputs=[WARNING]), cell("f()")),
        (
            output_problems,
            cell("f()", outputs=[ERROR]),
            cell("f()", ["raises-exception"], outputs=[ERROR]),
        ),
        (
            output_problems,
            cell("f()", outputs=[SCRIPT]),
            cell("f()", ["stepper"], outputs=[SCRIPT]),
        ),
        *(
            (figure_problems, bad, cell("plt.show()", ["hide-input"], outputs=[SVG], metadata=ALT))
            for bad in (
                cell("plt.show()", ["hide-input"], outputs=[SVG]),
                cell("plt.show()", ["hide-input"], outputs=[SVG], metadata={"mystnb": BARS}),
                cell("plt.show()", ["hide-input"], outputs=[PNG], metadata=ALT),
                cell("plt.show()", ["hide-input"], outputs=[WIDE], metadata=ALT),
                cell("plt.show()", ["hide-input"], outputs=[TEXT, SVG], metadata=ALT),
                cell("plt.show()", outputs=[SVG], metadata=ALT),
            )
        ),
        (empty_problems, cell(" \n"), cell("x")),
        (colab_problems, cell("import tinygpt"), notebooks.colab_cell()),
    ],
)
def test_a_check_of_notebooks_catches_a_bad_example_and_passes_a_good_one(check, bad, good):
    assert check(new_notebook(cells=[bad])) != []
    assert check(new_notebook(cells=[good])) == []


def stored(path, *cells):
    """A notebook of a chapter, as tools/notebooks.py would store it."""
    notebook = notebooks.normalise(new_notebook(cells=list(cells)))
    for count, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
    metadata = {"tags": ["ran"], "ran": {"sha256": notebooks.digest(notebook)}}
    notebook.cells.append(new_markdown_cell("Last run", metadata=metadata, id="ran"))
    path.write_bytes(notebooks.serialise(notebook).encode())
    return notebook


SPOILS = {
    "were not all run": lambda nb: nb.cells[1].update(execution_count=3),
    "edited after it last ran": lambda nb: nb.cells[1].update(source="2 + 2"),
    "only cell tagged `ran`": lambda nb: nb.cells.pop(),
    "not normal": lambda nb: nb.metadata.update(language_info={"name": "python"}),
    "or layout": lambda nb: nb.cells[1].metadata.update(execution={"x": "y"}),
    "cell ids": lambda nb: nb.cells[1].update(id=nb.cells[0].id),
}


@pytest.mark.parametrize("problem", SPOILS)
def test_what_is_not_normal_is_named(tmp_path, problem):
    path = tmp_path / "page.ipynb"
    notebook = stored(path, new_markdown_cell("# A"), new_code_cell("1 + 1"))
    assert notebooks.problems(path) == []
    SPOILS[problem](notebook)
    path.write_bytes(notebooks.serialise(notebook).encode())
    assert problem in " ".join(notebooks.problems(path))


def test_a_page_missing_from_the_table_of_contents_is_named(tmp_path):
    (tmp_path / "chapters").mkdir()
    for page in ("index", "lost"):
        (tmp_path / "chapters" / f"{page}.md").write_text("# A\n", encoding="utf-8")
    toc = "root: chapters/index\nchapters:\n- file: chapters/gone\n- file: chapters/gone\n"
    (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
    assert toc_problems(tmp_path) == [
        "chapters/lost is not in _toc.yml",
        "_toc.yml lists chapters/gone, which does not exist",
        "_toc.yml lists chapters/gone twice",
    ]


def test_ruff_reads_notebooks(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("import os\nx = 1 \n" + "y = " + "1" * 90)])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    code, said = ruff("--line-length=80", "--select=E,F", str(tmp_path / "bad.ipynb"))
    assert code != 0
    assert "F401" in said
    assert "E501" in said
