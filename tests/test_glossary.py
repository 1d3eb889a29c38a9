"""The glossary, and the links to it from each term's first use on a page."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.core import publish_doctree

from tools import glossary

ROOT = Path(__file__).resolve().parent.parent
TERMS = glossary.terms()


def links(text, seen=()):
    """The words of `text` that become links, each with its term."""
    pieces = glossary.linked(text, set(seen), "g.html")
    assert "".join(piece.astext() for piece in pieces) in ("", text)
    terms = {f"g.html#{glossary.anchor(term)}": term for term in TERMS}
    found = [piece for piece in pieces if isinstance(piece, nodes.reference)]
    return [(link.astext(), terms[link["refuri"]]) for link in found]


@pytest.mark.parametrize("term", TERMS)
def test_an_entry_has_chinese_a_sentence_and_a_page_that_uses_it(term):
    about = TERMS[term]
    assert set(about) <= {"zh", "is", "page", "as"}
    assert re.search("[\u4e00-\u9fff]", about["zh"]) or about["zh"] == term
    assert re.fullmatch(r"[A-Z0-9].*\.", about["is"])
    page = next(ROOT.glob(f"{about['page']}.*")).read_text(encoding="utf-8").lower()
    assert any(form.lower() in page for form in (term, *about.get("as", ()))), about["page"]


def test_no_form_means_two_terms():
    every = [form.lower() for term, of in TERMS.items() for form in (term, *of.get("as", ()))]
    assert len(every) == len(set(every))
    assert len({glossary.anchor(term) for term in TERMS}) == len(TERMS)


def test_the_first_use_is_linked_and_no_other():
    assert links("A token, tokens and a token.") == [("token", "token")]
    assert links("Tokens again.", seen=["token"]) == []


def test_the_longest_term_is_the_one_that_is_meant():
    said = "Multi-head attention, then attention."
    assert links(said) == [("Multi-head attention", "multi-head attention"), ("attention",) * 2]


def test_a_part_of_a_word_is_no_term():
    assert links("subtokens, pre-tokenise, a floor_plan, non-autoregressive") == []


def linked_in(source):
    doctree = publish_doctree(source, settings_overrides={"report_level": 5})
    return [str(text) for text in doctree.findall(nodes.Text) if glossary.runs(text)]


def test_running_text_alone_has_links():
    assert linked_in("A token.") == ["A token."]
    assert linked_in("- a token\n- a *token*") == ["a token", "a ", "token"]
    title = "Tokens\n======\n\nText.\n\nTokens too\n==========\n\nText."
    assert linked_in(title) == ["Text.", "Text."]
    assert linked_in("``token``") == []
    assert linked_in("`token <https://example.org>`_") == []
    assert linked_in("::\n\n  token") == []
    assert linked_in("=====  ===\ntoken  b\n=====  ===") == []


def test_a_card_is_one_link_already():
    card = nodes.container("", nodes.paragraph("", "A token."), classes=["sd-card-body"])
    assert not glossary.runs(next(card.findall(nodes.Text)))


# The built book ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(html):
    soups = {
        path.relative_to(html).as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in html.glob("**/*.html")
    }
    return {name: soup.article for name, soup in soups.items() if soup.article}


def test_each_term_is_linked_from_some_page(pages):
    every = [link for page in pages.values() for link in page.select("a.term")]
    said = {link["href"].split("#")[1]: link for link in every}
    for term, about in TERMS.items():
        assert said[glossary.anchor(term)]["title"].startswith(about["zh"]), term


def test_no_page_links_a_term_twice(pages):
    for name, page in pages.items():
        addresses = [link["href"] for link in page.select("a.term")]
        assert len(addresses) == len(set(addresses)), name


def test_the_glossary_itself_has_every_term_and_no_such_link(pages):
    page = pages[f"{glossary.PAGE}.html"]
    names = [term.get("id") for term in page.select("dl.glossary dt")]
    assert names == [glossary.anchor(term) for term in sorted(TERMS, key=str.lower)]
    assert not page.select("a.term")
