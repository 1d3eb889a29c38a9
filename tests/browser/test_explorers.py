"""The pages' explorers do by touch and by keyboard what they do by mouse.

Each way is tried on the book; at the end, on an explorer that listens to one thing less, it must
fail.
"""

import re

import pytest
import visits
from bs4 import BeautifulSoup
from playwright.sync_api import expect

# Attention: the story's words are one stop for Tab, and say what they look at -------


def attention(page):
    explorer = page.locator("#attention-explorer")
    button = explorer.get_by_role("button")
    story = explorer.get_by_role("group", name="The story").get_by_role("button")
    return explorer.locator("[aria-live]"), button, story


def attention_by_mouse(page):
    said, button, story = attention(page)
    button.get_by_text("Layer 2", exact=True).click()
    button.get_by_text("Head 3", exact=True).click()
    expect(said).to_contain_text("Layer 2, head 3: ")
    story.nth(7).click()
    expect(said).to_contain_text("token 7, looks at ")
    story.nth(5).hover()
    expect(said).to_contain_text("token 5, looks at ")
    said.hover()
    expect(said).to_contain_text("token 7, looks at ")


def attention_by_touch(page):
    said, button, story = attention(page)
    button.get_by_text("Layer 2", exact=True).tap()
    button.get_by_text("Head 3", exact=True).tap()
    expect(said).to_contain_text("Layer 2, head 3: ")
    story.nth(7).tap()
    expect(said).to_contain_text("token 7, looks at ")


def attention_by_keyboard(page):
    said, button, story = attention(page)
    button.get_by_text("Layer 2", exact=True).focus()
    page.keyboard.press("Enter")
    expect(said).to_contain_text("Layer 2, ")
    while not story.locator(":scope:focus").count():
        page.keyboard.press("Tab")
    for key, token in {"Home": 0, "ArrowRight": 1, "End": story.count() - 1}.items():
        page.keyboard.press(key)
        expect(said).to_contain_text(f"token {token}, looks at ")
        expect(story.nth(token)).to_be_focused()
    page.keyboard.press("Tab")
    expect(button.get_by_text("Head 1", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(said).to_contain_text("Layer 2, head 2: ")


# Byte-pair encoding: a merge forward, a merge back, to the end, by itself -------------


def stepper(page):
    explorer = page.locator("#bpe-stepper")
    count = explorer.get_by_text(re.compile(r"^merge \d+ of \d+"))
    return count, explorer.get_by_role("button"), explorer.get_by_role("slider")


def stepper_by_mouse(page):
    count, button, slider = stepper(page)
    button.get_by_text("Next").click()
    button.get_by_text("Next").click()
    expect(count).to_contain_text("merge 2 of")
    button.get_by_text("Back").click()
    expect(count).to_contain_text("merge 1 of")
    box = slider.bounding_box()
    slider.click(position={"x": box["width"] - 2, "y": box["height"] / 2})
    expect(count).to_have_text(re.compile(r"merge (\d+) of \1\b"))
    button.get_by_text("Play").click()  # from the start again
    expect(count).to_have_text(re.compile("merge [1-9]"))
    button.get_by_text("Pause").click()
    expect(button.get_by_text("Play")).to_be_visible()


def stepper_by_touch(page):
    count, button, slider = stepper(page)
    button.get_by_text("Next").tap()
    expect(count).to_contain_text("merge 1 of")
    box = slider.bounding_box()
    slider.tap(position={"x": box["width"] - 2, "y": box["height"] / 2})
    expect(count).to_have_text(re.compile(r"merge (\d+) of \1\b"))


def stepper_by_keyboard(page):
    count, button, slider = stepper(page)
    button.get_by_text("Next").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(count).to_contain_text("merge 2 of")
    while not slider.locator(":scope:focus").count():
        page.keyboard.press("Tab")
    for key, said in {"ArrowRight": "merge 3 of", "Home": "merge 0 of"}.items():
        page.keyboard.press(key)
        expect(count).to_contain_text(said)
    page.keyboard.press("End")
    expect(count).to_have_text(re.compile(r"merge (\d+) of \1\b"))
    button.get_by_text("Start again").press("Enter")
    expect(count).to_contain_text("merge 0 of")
    expect(button.get_by_text("Next")).to_be_focused()


# Decoding: places to choose, sliders that reshape the bars, draws ------------------------


def decoding(page):
    explorer = page.locator("#decoding-explorer")
    said = explorer.locator("[aria-live]")
    return said, explorer.get_by_role("button"), explorer.get_by_role("slider")


def decoding_by_mouse(page):
    said, button, slider = decoding(page)
    expect(said).to_contain_text(re.compile(r"Place 1: (\d+) of \1 tokens are kept"))
    button.get_by_text("Place 3", exact=True).click()
    expect(said).to_contain_text("Place 3: ")
    box = slider.nth(2).bounding_box()  # top-p
    slider.nth(2).click(position={"x": 2, "y": box["height"] / 2})
    expect(said).to_contain_text(re.compile(r"Place 3: \d of "))
    button.get_by_text("Draw a hundred").click()
    expect(said).to_contain_text("Drawn: 100, the last ")
    button.get_by_text("As at first").click()
    expect(said).to_contain_text(re.compile(r"Place 3: (\d+) of \1 tokens .* Nothing drawn yet"))


def decoding_by_touch(page):
    said, button, slider = decoding(page)
    button.get_by_text("Place 2", exact=True).tap()
    expect(said).to_contain_text("Place 2: ")
    box = slider.first.bounding_box()  # temperature
    slider.first.tap(position={"x": 1, "y": box["height"] / 2})
    expect(said).to_contain_text(re.compile(r"Place 2: "))
    slider.nth(2).tap(position={"x": 2, "y": box["height"] / 2})
    expect(said).to_contain_text(re.compile(r"Place 2: \d of "))
    button.get_by_text("Draw one").tap()
    button.get_by_text("Draw one").tap()
    expect(said).to_contain_text("Drawn: 2, the last ")


def decoding_by_keyboard(page):
    said, button, slider = decoding(page)
    button.get_by_text("Place 2", exact=True).focus()
    page.keyboard.press("Enter")
    expect(said).to_contain_text("Place 2: ")
    while not slider.first.locator(":scope:focus").count():
        page.keyboard.press("Tab")
    page.keyboard.press("Home")  # temperature 0: one token
    expect(said).to_contain_text("Place 2: 1 of ")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(slider.nth(3)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(said).to_contain_text("Drawn: 1, the last ")


EXPLORERS = {
    "attention-explorer": (attention_by_mouse, attention_by_touch, attention_by_keyboard),
    "bpe-stepper": (stepper_by_mouse, stepper_by_touch, stepper_by_keyboard),
    "decoding-explorer": (decoding_by_mouse, decoding_by_touch, decoding_by_keyboard),
}
WAYS = [(name, way) for name, ways in EXPLORERS.items() for way in ways]


def take(browser, address, way, seconds=30):
    """Open a page, on a phone where the way is touch, and go the way."""
    phone = way.__name__.endswith("touch")
    width = visits.WIDTHS[phone]
    context = browser.new_context(
        has_touch=phone, viewport={"width": width, "height": visits.HEIGHT}
    )
    try:
        context.set_default_timeout(visits.SECONDS * 1000)
        page = context.new_page()
        page.goto(address)
        expect.set_options(timeout=seconds * 1000)
        way(page)
    finally:
        context.close()


@pytest.fixture(scope="module")
def pages(html):
    """The page of each explorer."""
    texts = {path: path.read_text(encoding="utf-8") for path in (html / "chapters").rglob("*.html")}
    return {
        name: path for path, text in texts.items() for name in EXPLORERS if f'id="{name}"' in text
    }


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_an_explorer_of_the_book_works(browser, html, pages, name, way):
    with visits.served(html) as base:
        take(browser, base + pages[name].relative_to(html).as_posix(), way)


@pytest.mark.parametrize(
    ("name", "way", "event"),
    [
        ("attention-explorer", attention_by_mouse, "pointerenter"),
        ("attention-explorer", attention_by_touch, "click"),
        ("attention-explorer", attention_by_keyboard, "keydown"),
        ("bpe-stepper", stepper_by_mouse, "click"),
        ("bpe-stepper", stepper_by_touch, "input"),
        ("bpe-stepper", stepper_by_keyboard, "input"),
        ("decoding-explorer", decoding_by_mouse, "click"),
        ("decoding-explorer", decoding_by_touch, "input"),
        ("decoding-explorer", decoding_by_keyboard, "input"),
    ],
)
def test_an_explorer_deaf_to_an_event_is_caught(browser, pages, tmp_path, name, way, event):
    soup = BeautifulSoup(pages[name].read_text(encoding="utf-8"), "html.parser")
    alone = str(soup.find(id=name).parent)
    listens = f'addEventListener("{event}"'
    assert listens in alone
    (tmp_path / "a.html").write_text(alone, encoding="utf-8")
    (tmp_path / "deaf.html").write_text(alone.replace(listens, 'addEventListener("x"'), "utf-8")
    with visits.served(tmp_path) as base:
        take(browser, base + "a.html", way)
        with pytest.raises(AssertionError):
            take(browser, base + "deaf.html", way, seconds=0.3)
