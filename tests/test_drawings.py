"""The schematics: stored as drawn, said in words, legible on a phone, in the book's colours."""

import json
import math
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
import torch

import storyland
from storyland.robot import ProgramError, Yard, run
from storyland.tasks.robots import shortest
from tinygpt import data, records, style, train
from tinygpt.corpora import corpus
from tinygpt.tokenizer import BPETokenizer
from tools import drawings, notebooks
from tools.drawings import applications, better, colours, language_models, training
from tools.drawings.canvas import WIDTH, text_width

SVG = "{http://www.w3.org/2000/svg}"
PHONE = 360  # px that a picture has on a phone 390 px wide
HUES = {value for name, value in vars(style).items() if name.isupper()}
ALLOWED = HUES | {colours.INK, colours.QUIET, colours.PAPER, "none"}

each_page = pytest.mark.parametrize("page", drawings.PAGES)


def stored(page):
    return ElementTree.parse(drawings.FOLDER / drawings.name(drawings.PAGES[page])).getroot()


def labels(root):
    """The words of each label and its box: left, top, right, bottom."""
    for text in root.iter(f"{SVG}text"):
        size = float(text.get("font-size"))
        width = text_width(text.text or "", size)
        for part in text:
            width += text_width(part.text or "", float(part.get("font-size", size)))
            width += text_width(part.tail or "", size)
        x, y = float(text.get("x")), float(text.get("y"))
        left = x - width * {"middle": 0.5, "end": 1.0}.get(text.get("text-anchor"), 0.0)
        yield "".join(text.itertext()), (left, y - 0.75 * size, left + width, y + 0.25 * size)


def test_every_stored_drawing_is_one_of_ours():
    names = {drawings.name(function) for function in drawings.PAGES.values()}
    assert {path.name for path in drawings.FOLDER.iterdir()} == names


@each_page
def test_a_drawing_is_stored_as_it_is_drawn(page):
    function = drawings.PAGES[page]
    path = drawings.FOLDER / drawings.name(function)
    assert path.read_text(encoding="utf-8") == function().svg(), "run python -m tools.drawings"


@each_page
def test_its_page_shows_it_and_says_it_in_the_same_words(page):
    path = drawings.ROOT / page
    shown = drawings.on_page(page)
    if path.suffix == ".md":
        assert shown in path.read_text(encoding="utf-8")
    else:
        assert shown in [cell.source for cell in notebooks.read(path).cells]


@each_page
def test_it_is_said_in_words_that_one_could_draw_from(page):
    root = stored(page)
    assert 4 <= len(root.findtext(f"{SVG}title").split()) <= 16
    words = root.findtext(f"{SVG}desc")
    assert len(re.findall(r"\.(?:\s|$)", words)) >= 4
    assert len(words.split()) >= 60


@each_page
def test_it_has_the_colours_of_the_book_and_no_others(page):
    found = {node.get(what) for node in stored(page).iter() for what in ("fill", "stroke")} - {None}
    assert found <= ALLOWED


@each_page
def test_its_letters_are_inside_and_large_enough_for_a_phone(page):
    root = stored(page)
    left, top, width, height = map(float, root.get("viewBox").split())
    assert (left, top, width) == (0, 0, WIDTH)
    for node in root.iter():
        if size := node.get("font-size"):
            assert float(size) * PHONE / WIDTH >= 9, node.text
    for words, (x0, y0, x1, y1) in labels(root):
        assert x0 >= 0 and x1 <= width and y0 >= 0 and y1 <= height, words


@each_page
def test_no_label_lies_on_another(page):
    for (one, a), (other, b) in combinations(labels(stored(page)), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{one!r} and {other!r}"


# The numbers that stand in the drawings and were not made up ------------------------------------


@pytest.fixture(scope="module")
def text():
    return corpus("storyland", size="1MB").train


def test_the_probabilities_of_a_sentence_are_the_oracles():
    walk = list(storyland.Oracle().walk(language_models.SENTENCE.split()))
    found = [distribution[word] for word, distribution in walk]
    assert found == pytest.approx(language_models.CHANCES, abs=1e-4)


def test_the_counts_are_those_of_the_training_text(text):
    for context, (total, row) in language_models.COUNTED.items():
        context = context.replace("␣", " ")
        assert len(re.findall(f"{context}(?=[\\s\\S])", text)) == total
        assert {char: text.count(context + char) for char in row} == row


@pytest.mark.parametrize(
    ("word", "merges"),
    [("stranger", language_models.STRANGER), ("Zorbik", language_models.ZORBIK)],
)
def test_the_merges_of_a_word_are_those_of_the_page(text, word, merges):
    learned = json.loads(BPETokenizer.train(text, vocab_size=857)._tokenizer.to_str())
    rank = {tuple(pair): i for i, pair in enumerate(learned["model"]["merges"], 1)}
    pieces, found = [("Ġ" + word)[i : i + 1] for i in range(len(word) + 1)], []
    while True:
        pairs = zip(pieces, pieces[1:], strict=False)
        open_ = [(rank[pair], i) for i, pair in enumerate(pairs) if pair in rank]
        if not open_:
            break
        first, i = min(open_)
        start = sum(map(len, pieces[:i]))
        pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
        found.append((start, start + len(pieces[i]), first))
    assert found == merges


def test_the_predictions_and_bits_are_those_of_the_recorded_models(text):
    tokenizer = BPETokenizer.train(text, vocab_size=1536)
    gpt, one_block = (records.load(name)[0] for name in ("gpt", "one-block"))
    ids = tokenizer.encode("\nOnce upon a time there was")
    for reads, came, chances in training.PREDICTED:
        ids += tokenizer.encode(" " + reads)
        with torch.no_grad():
            q = gpt(torch.tensor([ids]))[0, -1].softmax(0)
        for word, chance in chances:
            (token,) = tokenizer.encode(word if word == "." else " " + word)
            assert q[token].item() == pytest.approx(chance, abs=1e-3)
        assert came in dict(chances)
    stories = storyland.held_out()[:12]
    for model, drawn in ((one_block, better.ONE_BLOCK), (gpt, better.FOUR_BLOCKS)):
        nats = train.log_probs(model, data.texts(stories, tokenizer))
        bits = [
            -of.sum().item() / math.log(2) / len(story)
            for of, story in zip(nats, stories, strict=True)
        ]
        assert bits == pytest.approx(drawn, abs=1e-3)


def test_the_programs_of_the_robot_do_what_is_said_beside_them():
    yard, barn = Yard((0, 0), "north"), (3, 2)
    (fewest, way, fence), said = applications.PROGRAMS, list(applications.PROGRAMS.values())
    assert run(fewest, yard).square == run(way, yard).square == barn
    assert fewest in shortest((0, 0), "north", None, barn)
    assert run(way, yard).steps > run(fewest, yard).steps
    with pytest.raises(ProgramError) as error:
        run(fence, yard)
    assert str(error.value) == said[2]
    assert [path[-1] for path in applications.PATHS[:2]] == [barn, barn]
