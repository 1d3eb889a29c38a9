"""`tinygpt.export_page` in a browser: it computes what the model does, and asks nobody."""

import pytest
import torch
from playwright.sync_api import expect
from visits import AXE, RULES, SECONDS

from tinygpt import train
from tinygpt.config import RECIPE
from tinygpt.export_page import export_page
from tinygpt.model import GPT, GPTConfig
from tinygpt.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer("\nabcdefghij 🦊</")
CARD = "It knows <b>nothing</b>.\n</script><script>document.title = 'broken'</script> @ABOUT@"
TEXT = "\nabc def 🦊 </ghij"


@pytest.fixture(scope="module", params=[False, True], ids=["head of its own", "tied"])
def model(request):
    """With random weights, so large that each piece tells."""
    torch.manual_seed(4)
    sizes = dict(vocab_size=TOKENIZER.vocab_size, context=40, num_layers=2, num_heads=3, d_model=24)
    made = GPT(GPTConfig(**sizes, **RECIPE | {"zero_init": False, "tied": request.param}))
    with torch.no_grad():
        for matrix in made.parameters():
            matrix.mul_(8 if matrix.ndim > 1 else torch.rand_like(matrix) + 0.5)
    return made.eval()


@pytest.fixture
def page(browser, model, tmp_path):
    file = tmp_path / "model.html"
    file.write_text(export_page(model, TOKENIZER, "A <model>", CARD), encoding="utf-8")
    context = browser.new_context(viewport={"width": 390, "height": 800}, offline=True)
    opened = context.new_page()
    opened.set_default_timeout(1000 * SECONDS)
    expect.set_options(timeout=1000 * SECONDS)
    opened.asked, opened.said = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    context.close()


def test_its_logits_are_those_of_the_model(page, model):
    ids = TOKENIZER.encode(TEXT)
    found = page.evaluate(
        "(ids) => { const p = begin(); return ids.map((i) => [...read(p, i)]) }", ids
    )
    with torch.no_grad():
        logits = model(torch.tensor([ids]))[0]
    assert logits.std() > 0.5
    torch.testing.assert_close(torch.tensor(found), logits, rtol=1e-4, atol=1e-4)


def test_at_temperature_zero_it_writes_what_the_model_writes(page, model):
    page.get_by_label("Begin with").fill("abc 🦊")
    page.get_by_label("Temperature").fill("0")
    page.keyboard.press("Enter")
    left = model.config.context - len("\nabc 🦊")
    told = train.sample(model, TOKENIZER, "abc 🦊", tokens=left, temperature=0.0, stop=True)
    expect(page.locator("#said")).to_have_text(told.split("\n")[0])


def test_at_temperature_one_it_draws_with_the_models_probabilities(page, model):
    logits = page.evaluate("[...read(begin(), 0)]")
    drawn = page.evaluate("(x) => Array.from({ length: 4000 }, () => choose(x, 1))", logits)
    counts = torch.bincount(torch.tensor(drawn), minlength=len(logits)) / 4000
    assert (counts - torch.tensor(logits).softmax(0)).abs().max() < 0.05  # six standard errors


def test_what_it_never_saw_it_says_and_goes_on(page):
    page.get_by_label("Begin with").fill("abx")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The model never saw “x”.")
    page.get_by_label("Begin with").fill("ab")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("ab")
    expect(page.get_by_role("alert")).to_have_text("")


def test_it_asks_nothing_of_anybody_and_its_card_is_text(page):
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
    assert page.said == []
    expect(page).to_have_title("A <model>")
    assert page.locator("#card").inner_text() == CARD
    refused = "fetch('https://example.org').then(() => 'asked', (error) => error.name)"
    assert page.evaluate(refused) == "TypeError"


def test_it_can_be_read_on_a_phone_and_without_eyes(page):
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.context.new_cdp_session(page).send("Page.setBypassCSP", {"enabled": True})
    page.reload()
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(f"axe.run({{runOnly: {RULES}}})")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
