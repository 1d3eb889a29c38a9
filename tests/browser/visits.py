"""A visit to a page with a real browser: what there was to complain about, by subject."""

import gzip
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
CHECKS = (HERE / "checks.js").read_text(encoding="utf-8")

# WCAG 2.2, levels A and AA, and what axe-core holds to be good practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The windows of a desk and of a phone, in CSS pixels.
WIDTHS = (1280, 390)
HEIGHT = 844
# The theme turns in an event that comes before a frame is drawn.
DRAWN = """new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    .then(() => null)"""
# The theme looks anew at what scrolls 300 ms after a change.
SETTLED = "new Promise((resolve) => setTimeout(resolve, 500))"
# A sidebar's links half under its head, or text under the button that goes back to the top, which
# comes with a scroll upwards, are not too small for a finger.
TOP = """[window, ...document.querySelectorAll('.bd-sidebar-primary')]
    .forEach((it) => it.scrollTo({ top: 0, behavior: 'instant' }))"""
SUBJECTS = ("axe", "contrast", "console", "requests", "overflow", "cut", "focus")
SECONDS = 300  # after which a step of a visit hangs; a busy machine may need a tenth


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for many requests

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """The address under which a folder's files are served, on this machine alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@cache
def compressed(path):
    """Bytes that a file takes on the wire: as it is, or as gzip makes it, whichever is less."""
    data = path.read_bytes()
    return min(len(data), len(gzip.compress(data)))


@dataclass
class Visit:
    """What was found on one page: problems by subject, and the bytes that it loads."""

    name: str
    problems: dict[str, list[str]]
    bytes: int


def axe(page, options, context="document"):
    """What axe-core finds, a line a rule."""
    page.evaluate(TOP)
    page.evaluate(DRAWN)
    asked = json.dumps({"resultTypes": ["violations"], "preload": False, **options})
    found = page.evaluate(f"axe.run({context}, {asked}).then((result) => result.violations)")
    return [
        f"{rule['id']} ({rule['impact']}) at {len(rule['nodes'])} places, first "
        f"{' '.join(map(str, rule['nodes'][0]['target']))}: "
        f"{' '.join(rule['nodes'][0]['failureSummary'].split())}"
        for rule in found
    ]


def contrast_problems(page):
    """Text that is hard to read on its ground, in each theme."""

    found = []

    def turn(theme):
        page.emulate_media(color_scheme=theme)
        page.evaluate(DRAWN)
        # A page without themes has none to follow with.
        if (now := page.evaluate("document.documentElement.dataset.theme")) not in (None, theme):
            found.append(f"shows the {now} theme to a reader who prefers the {theme} one")

    def look(theme):
        lines = axe(page, {"runOnly": ["color-contrast"]}, f"{{include: checks.{theme}}}")
        found.extend(f"in the {theme} theme: {line}" for line in lines)

    # In the order that turns the least: to turn a whole page takes a browser as long as to read it.
    turn("light")
    page.evaluate("checks.light = checks.looks()")
    turn("dark")
    page.evaluate("checks.dark = checks.looks()")
    page.evaluate("checks.plainCode([...checks.light, ...checks.dark])")
    look("dark")
    turn("light")
    look("light")
    page.evaluate("checks.plainCode([])")
    return found


def visit(browser, root, base, name):
    """Load a page of the folder `root`, served at `base`, as a first-time reader does."""
    context = browser.new_context(
        viewport={"width": WIDTHS[0], "height": HEIGHT}, reduced_motion="reduce"
    )
    context.set_default_timeout(SECONDS * 1000)
    page = context.new_page()
    found = {subject: [] for subject in SUBJECTS}
    asked = set()

    def sent(request):
        if request.url.startswith(base):
            asked.add(unquote(urlsplit(request.url).path).lstrip("/"))
        elif not request.url.startswith(("data:", "blob:")):
            found["requests"].append(f"{request.url} is off the site; keep a copy in the book")

    def answered(response):
        if response.status >= 400:
            found["requests"].append(f"{response.url}: {response.status}; put the file there")

    def said(message):
        if message.type in ("warning", "error"):
            found["console"].append(f"{message.type}: {message.text}")

    page.on("request", sent)
    page.on("response", answered)
    page.on("console", said)
    page.on("pageerror", lambda error: found["console"].append(f"error: {error}"))
    page.goto(base + name)
    page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(CHECKS)
    page.evaluate(SETTLED)
    found["contrast"] = contrast_problems(page)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate(SETTLED)
        rules = {"runOnly": RULES, "rules": {"color-contrast": {"enabled": False}}}
        found["axe"] += [f"at {width} px: {line}" for line in axe(page, rules)]
        page.keyboard.press("Tab")
        for subject in ("overflow", "cut", "focus"):
            for where, problem in page.evaluate(f"checks.{subject}()"):
                found[subject].append(f"at {width} px: {where} {problem}")
    context.close()
    files = [root / path for path in asked if (root / path).is_file()]
    return Visit(name, found, sum(map(compressed, files)))
