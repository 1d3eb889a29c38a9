"""Claims checked and Questions: no claim without evidence, no question left out, no link astray."""

import re
from functools import cache

import pytest
import yaml
from mdit_py_plugins.anchors.index import slugify

from tools import notebooks

CHAPTERS = notebooks.ROOT / "chapters"
SAID = yaml.safe_load((CHAPTERS / "claims.yml").read_text(encoding="utf-8"))
CLAIMS = [claim for group in SAID["groups"].values() for claim in group]
PAGE = notebooks.read(CHAPTERS / "claims-checked.ipynb")
QUESTIONS = notebooks.read(CHAPTERS / "questions.ipynb")
DOCUMENTS = {"000", "001", "002", "003", "004"}
ELSEWHERE = "(Cannot be run here.)"

# What a reader of each document found doubtful before any of it was checked.
DOUBTED = {
    "000": {
        *("all-words", "temperature", "has-gpt3", "tb45", "near-truth", "human-level"),
        *("coherent", "speech"),
    },
    "001": {
        *("usually-both", "both-layers", "after-fine-tuning", "qkv-similarity", "evaluate"),
        *("papers-with-code", "creative", "custom"),
    },
    "002": {
        *("bert-gpt-bert", "word-by-word", "layer-positions", "nn-transformer", "word-vectors"),
        *("d-k-vector", "bert-classifies", "gpt2-news", "more-data", "hyperparameters"),
        *("regularise", "deep-learning", "is-attention", "secret-key"),
    },
    "003": {
        *("forward-is-training", "bert-next-word", "influence", "days-weeks", "own-computer"),
        *("output-head", "score", "speech", "preprocessing"),
    },
    "004": {"off-by-one", "generate-is-training", "five", "large-small", "sources"},
}
# How many questions each document answers at its end.
ASKED = {"000": 3, "001": 4, "002": 3, "003": 4, "004": 4}


@cache
def headings(file):
    """The anchors of a page, by the rule that the book has for links."""
    if file.suffix == ".ipynb":
        cells = notebooks.read(file).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = file.read_text(encoding="utf-8")
    return {slugify(title) for title in re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)}


def link_problems(text):
    """What is wrong with the links of a page in chapters/ to other pages, a line each."""
    found = []
    for file, section in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", text):
        if not (CHAPTERS / file).is_file():
            found.append(f"there is no {file}")
        elif section and section not in headings(CHAPTERS / file):
            found.append(f"{file} has no {section}")
    return found


def shown(notebook):
    """What a page shows as Markdown: its cells', and what its code puts out."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell.source
        else:
            yield from (one.get("data", {}).get("text/markdown", "") for one in cell.outputs)


def each(claims):
    return pytest.mark.parametrize("claim", claims, ids=lambda claim: claim["id"])


def test_a_claim_has_an_id_of_its_own():
    ids = [claim["id"] for claim in CLAIMS]
    assert len(ids) == len(set(ids))


@each(CLAIMS)
def test_a_claim_has_documents_a_verdict_and_evidence(claim):
    assert set(claim["in"].split()) <= DOCUMENTS
    assert claim["verdict"] in {"true", "imprecise", "outdated", "false"}
    evidence = claim.get("seen", []) + claim.get("cites", [])
    assert evidence or claim["because"].strip().endswith(ELSEWHERE)
    assert set(claim.get("cites", [])) <= set(SAID["papers"])


def test_no_paper_is_listed_in_vain():
    cited = {key for claim in CLAIMS for key in claim.get("cites", [])}
    assert cited == set(SAID["papers"])


@pytest.mark.parametrize("document", sorted(DOUBTED))
def test_every_doubtful_claim_of_a_document_has_a_row(document):
    assert DOUBTED[document] <= {claim["id"] for claim in CLAIMS if document in claim["in"]}


def test_the_page_shows_every_row():
    whole = "\n".join(shown(PAGE))
    assert [claim["id"] for claim in CLAIMS if claim["says"].strip() not in whole] == []


@pytest.mark.parametrize("notebook", [PAGE, QUESTIONS], ids=["claims-checked", "questions"])
def test_every_link_leads_to_a_section(notebook):
    found = [problem for text in shown(notebook) for problem in link_problems(text)]
    assert found == []


def test_what_is_run_here_has_a_cell_of_code_under_its_heading():
    sections, current = {}, None
    for cell in PAGE.cells:
        if cell.cell_type == "markdown":
            for title in re.findall(r"^#{1,3} (.+)$", cell.source, re.MULTILINE):
                current = slugify(title)
        elif cell.outputs:
            sections.setdefault(current, []).append(cell.source)
    here = {place[1:] for claim in CLAIMS for place in claim.get("seen", []) if place[0] == "#"}
    assert here <= set(sections)


def answers():
    """Each question of the page with its answer."""
    text = "\n\n".join(cell.source for cell in QUESTIONS.cells if cell.cell_type == "markdown")
    parts = [part.partition("\n") for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]]
    ends = r"^## |^<small>"
    return [(name, re.split(ends, told, flags=re.MULTILINE)[0]) for name, _, told in parts]


@pytest.mark.parametrize(("question", "answer"), answers(), ids=lambda text: text[:40])
def test_an_answer_is_short_and_says_where_it_was_measured(question, answer):
    assert "](" in answer
    words = re.sub(r"\]\([^)]*\)", "]", answer).split()
    assert len(words) <= 120


def test_every_question_of_the_documents_is_answered():
    told = [re.match(r"\s*\*Asked in ([^*]*)\.\*", answer) for _, answer in answers()]
    asked = [document for one in told if one for document in re.findall(r"\d{3}", one[1])]
    assert {document: asked.count(document) for document in DOCUMENTS} == ASKED
    assert sum(one is None for one in told) <= 8


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("[x](2-attention/lost.ipynb)", "there is no 2-attention/lost.ipynb"),
        ("[x](storyland.ipynb#lost)", "storyland.ipynb has no lost"),
        ("[x](storyland.ipynb#the-oracle)", None),
        ("[x](https://arxiv.org/abs/1706.03762)", None),
    ],
)
def test_a_link_astray_is_named(bad, said):
    assert link_problems(bad) == ([said] if said else [])
