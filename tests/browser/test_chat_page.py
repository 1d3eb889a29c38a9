"""The page of `python -m tinygpt serve`, in a browser: by keyboard, and whatever a model writes."""

import pytest
from playwright.sync_api import expect
from served import Scripted, real
from visits import AXE, RULES, SECONDS

from tinygpt.serve import Server

HTML = "<b>not bold</b> <script>document.title = 'broken'</script> & so on. "


@pytest.fixture
def chat(browser):
    """A model that writes HTML, and its page."""
    model = Scripted(HTML)
    with Server(real(model), log=lambda line: None) as server:
        page = browser.new_page(viewport={"width": 390, "height": 700})
        page.set_default_timeout(1000 * SECONDS)
        expect.set_options(timeout=1000 * SECONDS)
        page.goto(server.url)
        expect(page).to_have_title("Chat with tiny")
        yield model, page
        model.release()
        page.close()


def ask(page, text):
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_what_a_model_writes_is_text_and_never_html(chat):
    _, page = chat
    ask(page, "<i>hello</i>")
    expect(page.locator("#counts")).to_contain_text("200 written")
    assert "<b>not bold</b> <script>" in page.locator("main").inner_text()
    assert "<i>hello</i>" in page.locator("main").inner_text()
    assert page.locator("main :is(b, i, script)").count() == 0
    expect(page).to_have_title("Chat with tiny")
    expect(page.get_by_text("Cut: this was the most")).to_be_visible()


@pytest.mark.parametrize("way", ["Escape", "Stop"])
def test_an_answer_is_stopped_and_another_can_be_asked_for(chat, way):
    model, page = chat
    model.hold(after=60)
    ask(page, "hello")
    expect(page.locator("main")).to_contain_text("not bold")
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="Stop").click()
    expect(page.locator("main")).to_contain_text("Stopped.")
    model.release()
    page.locator("textarea").focus()
    ask(page, "again")
    expect(page.locator("#counts")).to_contain_text("200 written")


def test_a_new_chat_begins_with_nothing_even_while_an_answer_comes(chat):
    model, page = chat
    model.hold(after=20)
    ask(page, "hello")
    expect(page.locator("main")).to_contain_text("Model")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("main")).to_have_text("")
    model.release()
    asked = []
    page.on("request", lambda request: asked.append(request.post_data_json))
    ask(page, "again")
    expect(page.locator("#counts")).to_contain_text("written")
    assert [one["messages"] for one in asked] == [[{"role": "user", "content": "again"}]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark_and_on_a_phone(chat, scheme):
    _, page = chat
    page.emulate_media(color_scheme=scheme)
    ask(page, "a" * 120)
    expect(page.locator("#counts")).to_contain_text("written")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.context.new_cdp_session(page).send("Page.setBypassCSP", {"enabled": True})
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(f"axe.run({{runOnly: {RULES}}})")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
