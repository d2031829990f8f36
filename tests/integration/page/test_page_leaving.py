"""A view that is left, or whose subject is deleted, asks for nothing any more and draws nothing any more."""

from __future__ import annotations

import re

from playwright.sync_api import Page, Route, expect
from tests.browser import Visit
from tests.integration.page.lab import Lab, Search, log_of

# What is to happen after the next drawing (or 35 ms later, says preact) happens late, as on a machine that is busy.
LATE = """() => {
  const [soon, later] = [requestAnimationFrame, setTimeout];
  window.requestAnimationFrame = (run) => later(() => soon(run), 10000);
  window.setTimeout = (run, ms) => later(run, ms === 35 ? 10000 : ms);
  return new Promise((run) => later(run, 100)); // what was to happen before that has happened
}"""


def stopped(lab: Lab, search: Search) -> None:
    """End what runs, so that the optimization can be deleted."""
    lab.post(f"/optimizations/{search.id}/stop", now=True)
    for claim in list(search.agent.held.values()):
        search.agent.end(claim, [], log_of(5), cause="user")


def leave(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()


def test_a_view_that_is_left_before_its_charts_could_be_drawn_draws_nothing(
    visit: Visit, lab: Lab, search: Search
) -> None:
    held: list[Route] = []
    visit.page.route("**/vendor/echarts.js", lambda route: held.append(route))  # noqa: PLW0108 - playwright cannot mark a built-in
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/jobs/{search.jobs[1]}")
    expect(page.get_by_role("img", name=re.compile("Channel accuracy"))).to_be_visible()
    page.evaluate(LATE)

    page.evaluate("location.hash = '#/keys'")
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    for route in held:
        route.continue_()
    page.evaluate("import('./vendor/echarts.js').then(() => new Promise((run) => setTimeout(run, 50)))")

    assert len(held) == 1
    assert visit.complaints == []


def test_an_optimization_that_is_deleted_elsewhere_is_said_to_be_gone_and_not_asked_for_again(
    visit: Visit, lab: Lab
) -> None:
    search = lab.search(ended=4)
    stopped(lab, search)
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/optimizations/{search.id}")
    expect(page.locator("tbody tr").first).to_be_visible()

    lab.post(f"/optimizations/{search.id}/extend", by=1)  # something changes, so that it is looked at again
    assert lab.running.call("DELETE", f"/api/v1/optimizations/{search.id}?confirm={search.id}").ok

    expect(page.get_by_role("heading", name="There is no such optimization")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("It was just deleted.")
    asked = len(visit.requests)
    lab.optimize("me/other")
    leave(page, "Optimizations")
    expect(page.get_by_role("link", name="me/other").first).to_be_visible()
    assert [one for one in visit.requests[asked:] if search.id in one] == []
    assert visit.complaints == []


def test_a_job_and_the_lists_hear_that_it_was_deleted(visit: Visit, lab: Lab) -> None:
    search = lab.search(ended=2, running=0, model="me/briefly")
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/jobs/{search.jobs[1]}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("trial 1")
    expect(page.get_by_text("refs/bough/jobs/")).to_be_visible()  # until then it looks for its record every two seconds
    other = page.context.new_page()
    other.goto(f"{lab.url}/#/optimizations")
    expect(other.get_by_role("link", name="me/briefly")).to_be_visible()
    lab.post(f"/optimizations/{search.id}/stop", now=True)

    assert lab.running.call("DELETE", f"/api/v1/optimizations/{search.id}?confirm={search.id}").ok

    expect(page.get_by_role("heading", name="There is no such job")).to_be_visible()
    expect(other.get_by_role("link", name="me/briefly")).to_have_count(0)
    assert visit.complaints == []
