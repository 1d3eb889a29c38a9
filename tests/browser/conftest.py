"""A browser for the tests that need one, and small pages to try them on."""

import pytest
import visits
from playwright.sync_api import sync_playwright

from tools.system import chromium


@pytest.fixture(scope="module")  # not longer: while it runs, no other test could start a loop
def browser():
    if not chromium():
        pytest.skip("needs Chromium: `make system` installs it on Debian")
    if not visits.AXE.is_file():
        pytest.skip("needs axe-core: `make system`, or `npm ci --prefix tests/browser`")
    with sync_playwright() as playwright:
        # No name resolves: what a page asks of another site gets no answer, here as anywhere.
        offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        launched = playwright.chromium.launch(
            executable_path=chromium(), args=[offline], timeout=visits.SECONDS * 1000
        )
        yield launched
        launched.close()
