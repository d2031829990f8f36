"""A real browser for the tests of the page, and a page of it that remembers every complaint and every request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
# Before anything of the page runs: note what the policy blocked, also where the console would not say so.
WATCH = (
    "window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective));"
)


@dataclass
class Visit:
    """One page of a browser, and what became of it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, url: str) -> Page:
        """Go there, and return the page once its frame is drawn."""
        self.page.goto(url)
        self.page.get_by_role("navigation", name="Views").wait_for()
        return self.page

    def violations(self) -> list[str]:
        """What the Content-Security-Policy blocked since the page was loaded."""
        found: list[str] = self.page.evaluate("violations")
        return found

    def foreign(self, url: str) -> list[str]:
        """Requests to anyone but `url`."""
        return [asked for asked in self.requests if not asked.startswith((url, "data:", "blob:"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests of a module: as long as it is there, an event loop runs in this thread."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page, with cookies and storage of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    context.add_init_script(WATCH)
    one = Visit(context.new_page())
    one.page.on("console", lambda said: one.complaints.append(said.text) if said.type in ("error", "warning") else None)
    one.page.on("pageerror", lambda error: one.complaints.append(error.stack or str(error)))
    one.page.on("dialog", lambda dialog: one.complaints.append("dialog: " + dialog.message))
    one.page.on("request", lambda request: one.requests.append(request.url))
    yield one
    context.close()
