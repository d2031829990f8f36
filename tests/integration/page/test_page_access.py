"""Every view in light and dark: axe-core finds nothing that would keep somebody out (names, roles, contrast, order of
headings), it fits a narrow window, the console says nothing, the policy blocks nothing, and nobody else is asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.browser import Visit
from tests.e2e.conftest import wait_for
from tests.integration.page.lab import Lab, Search

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
VIEWS = ["models", "models/me/digits", "optimizations", "{search}", "jobs", "{job}", "agents", "keys", "new", "edit"]
VIEWS += ["{compare}", "jobs/zz", "nowhere"]


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core, as the package of its Python wrapper carries it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python is not installed: it comes with the extra dev")
    return (Path(spec.origin).parent / "axe.min.js").read_text()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_keeps_nobody_out_complains_of_nothing_and_asks_nobody_else(
    visit: Visit, lab: Lab, search: Search, axe: str, view: str
) -> None:
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/{search.address(view)}")
    expect(page.get_by_role("status").first).to_have_text("live")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".chart:not(:has(canvas))")).to_have_count(0)

    page.evaluate(axe)
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light")
        told: dict[str, Any] = page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")
        assert [(one["id"], one["nodes"][0]["html"]) for one in told["violations"]] == []
    page.set_viewport_size({"width": 360, "height": 700})
    wait_for(lambda: page.evaluate("document.documentElement.scrollWidth <= innerWidth"), 5.0, "a narrow page")
    assert [said for said in visit.complaints if "404" not in said or "zz" not in view] == []
    assert visit.violations() == []
    assert visit.foreign(lab.url) == []
