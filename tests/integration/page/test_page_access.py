"""axe-core finds nothing in any view that would keep somebody out: names, roles, contrast, order of headings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.browser import Visit
from tests.unit.web.recorded import Recorded

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
VIEWS = ["optimizations", "optimizations/p7tq2m4x", "jobs/k07f9a2bq", "jobs/zz", "agents", "new", "nowhere"]


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe-core, as the package of its Python wrapper carries it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python is not installed: it comes with the extra dev")
    return (Path(spec.origin).parent / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_keeps_nobody_out(visit: Visit, recorded: Recorded, axe: str, view: str, scheme: str) -> None:
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page = visit.open(f"{recorded.url}/#/{view}")
    expect(page.get_by_role("status").first).to_have_text("live")
    expect(page.get_by_role("heading", level=1)).to_be_visible()

    page.evaluate(axe)
    told: dict[str, Any] = page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")

    assert [(one["id"], one["nodes"][0]["html"]) for one in told["violations"]] == []
