"""The ways that people take, gone by keyboard alone: what Tab does not reach, or Enter or Space do not press, fails."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect
from tests.browser import Visit
from tests.integration.page.lab import Lab

MOST_STEPS = 160


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus, and see that the focus is visible."""
    expect(wanted).to_be_visible()
    for _ in range(MOST_STEPS):
        if wanted.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(wanted).to_be_focused()
    assert wanted.evaluate("one => getComputedStyle(one).outlineStyle") != "none"


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    reach(page, wanted)
    page.keyboard.press(key)


def test_a_search_is_defined_started_watched_stopped_exported_and_compared(visit: Visit, lab: Lab) -> None:
    search = lab.search(ended=2, model="me/keys")
    page = visit.open(lab.link())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    # Watch: from the list to a trial; its log can be scrolled.
    press(page, page.get_by_role("row", name=search.id).get_by_role("link").first)
    expect(page.get_by_role("heading", level=1)).to_contain_text("me/keys")
    press(page, page.get_by_role("link", name="trial 1", exact=True).last)
    reach(page, page.get_by_label("Log", exact=True))
    page.go_back()

    # Define and start: the form that this one was made of, with another bound.
    press(page, page.get_by_role("link", name="new from this one"))
    bound = page.get_by_label("high of batch_size")
    reach(page, bound)
    page.keyboard.press("Control+a")
    page.keyboard.type("64")
    page.keyboard.press("Tab")
    expect(page.get_by_label("The bough.yml")).to_have_value(re.compile(r"range\(16, 64, 16\)"))
    expect(page.get_by_text("The coordinator understands it.")).to_be_visible()
    press(page, page.get_by_role("button", name="start the optimization"))
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("New")
    expect(page.get_by_text("batch_size").first).to_be_visible()

    # Stop: asked first, and refused by Escape; the focus comes back.
    stop = page.get_by_role("button", name="stop", exact=True)
    press(page, stop)
    expect(page.get_by_role("button", name="yes, stop", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".heading .state-stopped, .heading .state-stopping").first).to_be_visible()

    # Export, and a dialog that Escape closes.
    press(page, page.get_by_text("export", exact=True))
    reach(page, page.get_by_role("link", name="CSV: every trial"))
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    assert saved.value.path().read_bytes().startswith(b"number,")
    press(page, page.get_by_role("button", name="extend"))
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)

    # Compare, from the job browser.
    page.goto(f"{lab.url}/#/jobs?optimization={search.id}")
    for number in (1, 2):
        press(page, page.get_by_role("checkbox", name=f"choose trial {number}", exact=True), "Space")
    press(page, page.get_by_role("link", name="compare 2"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 jobs")
    assert visit.complaints == []


def test_an_agent_is_added_and_a_key_is_revoked(visit: Visit, lab: Lab) -> None:
    lab.agent()
    page = visit.open(lab.link())
    press(page, page.get_by_role("navigation").get_by_role("link", name="Agents"))

    press(page, page.get_by_role("button", name="add an agent"))
    reach(page, page.get_by_label("name of the machine"))
    page.keyboard.type("by-keys")
    page.keyboard.press("Enter")
    expect(page.locator(".secret")).to_contain_text("--name by-keys")
    reach(page, page.get_by_role("button", name="copy"))

    press(page, page.get_by_role("navigation").get_by_role("link", name="Keys"))
    press(page, page.get_by_role("row", name="by-keys").get_by_role("button", name="revoke"))
    expect(page.get_by_role("button", name="yes, revoke")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row", name="by-keys")).to_have_count(0)
    assert visit.complaints == []
