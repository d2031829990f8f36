"""Every view of the page in a real browser, with a real coordinator: what it shows, and what it follows live."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from playwright.sync_api import expect
from tests.browser import Visit
from tests.integration.page.lab import DEFINITION, Lab, Search, log_of, told
from tests.integration.server.driver import COMMIT

HOSTILE = "<img src=x onerror=alert(1)>\"'</script>"


def test_from_the_list_one_comes_to_the_best_trial_and_its_log(visit: Visit, lab: Lab, search: Search) -> None:
    page = visit.open(lab.link())

    page.get_by_role("row", name=search.id).get_by_role("link", name="me/digits").click()
    expect(page.get_by_text("8 of 30")).to_be_visible()
    page.get_by_role("link", name=f"trial {search.best}", exact=True).first.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text(f"trial {search.best}")
    expect(page.get_by_label("Log", exact=True)).to_contain_text("epoch 399 of 12")
    expect(page.get_by_text(re.compile(rf"^refs/bough/jobs/{search.id}/0*{search.best}-"))).to_be_visible()
    assert page.url.endswith(f"#/jobs/{search.jobs[search.best]}")
    page.goto(f"{lab.url}/#/jobs/{search.jobs[search.best][:7]}")  # the beginning of an id will do
    expect(page).to_have_url(re.compile(f"#/jobs/{search.jobs[search.best]}$"))


def test_the_table_is_sorted_by_the_coordinator_and_the_address_remembers_it(
    visit: Visit, lab: Lab, search: Search
) -> None:
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/optimizations/{search.id}")

    page.get_by_role("columnheader", name="accuracy").get_by_role("link").click()

    expect(page.get_by_role("columnheader", name="accuracy")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody tr").first).to_have_class("is-best")
    assert "sort=kpi" in page.url
    assert any("sort=kpi&descending=true" in asked for asked in visit.requests)


def test_what_happens_is_seen_without_a_reload(visit: Visit, lab: Lab) -> None:
    search = lab.search(ended=2)
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/optimizations/{search.id}")
    expect(page.get_by_text("2 of 30")).to_be_visible()
    ((number, claim),) = search.agent.held.items()

    search.agent.end(claim, [["p", "accuracy", 6, 0.9917]], log_of(5), cause="max_epochs")

    expect(page.get_by_text("3 of 30")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(f"trial {number} "))).to_contain_text("0.9917")
    expect(page.locator(".headline .best")).to_have_text("0.9917")


def test_the_reasons_do_not_claim_that_nothing_runs_while_trials_run(visit: Visit, lab: Lab, search: Search) -> None:
    lab.post(f"/optimizations/{lab.optimize('me/waits')}/pause")
    page = visit.open(lab.link())

    for view in ("optimizations", "agents"):
        page.goto(f"{lab.url}/#/{view}")
        expect(page.get_by_text("Why nothing more is running")).to_be_visible()


def test_text_from_elsewhere_stays_text(visit: Visit, lab: Lab) -> None:
    """Each field that others fill in: values, choices, channels, infos, status, messages, branch, folder, host, log."""
    agent = lab.agent(host=HOSTILE)
    hyperparameters = {"way": {"type": "choice_string", "choices": [HOSTILE, "b"], "description": HOSTILE}}
    made = {**DEFINITION, "model": "me/hostile", "hyperparameters": hyperparameters}
    made["optimization"] = {"algorithm": "random", "max_trials": 2, "agents": [agent.name], "space": {"way": "choice"}}
    source = {"url": None, "branch": HOSTILE, "dirty": True}
    body = {"definition": made, "commit": COMMIT, "folder": HOSTILE, "source": source, "fixed": {}}
    its_id = lab.post("/optimizations", **body)["id"]
    first, second = agent.claim(2)
    spoken: list[list[Any]] = [
        ["c", HOSTILE, {"traces": [HOSTILE], "xaxis": {"title": HOSTILE}}],
        ["p", HOSTILE, 1, 2.0],
        ["p", HOSTILE, 2, 1],
    ]
    spoken += [["i", HOSTILE, HOSTILE], ["s", HOSTILE], ["d", "section", "0", {"title": HOSTILE, "seconds": 1}]]
    lines = [*told(0.5, 3, HOSTILE), *spoken]
    agent.end(first, lines, HOSTILE.encode(), exit_code=1, error=HOSTILE)
    agent.report(second, lines, HOSTILE.encode())
    lab.post(f"/jobs/{first['job_id']}/marks", tags=[HOSTILE[:40]], note=HOSTILE)
    lab.post("/views", name=HOSTILE[:40], address="#/jobs")
    page = visit.open(lab.link())

    views = ["optimizations", f"optimizations/{its_id}?sort={quote(HOSTILE)}", "models/me/hostile", f"edit/{its_id}"]
    views += [f"jobs/{claim['job_id']}" for claim in (first, second)] + ["jobs", "agents", f"new?from={its_id}"]
    views += [f'compare?jobs=["{first["job_id"]}","{second["job_id"]}"]', quote(HOSTILE)]
    for view in views:
        page.goto(f"{lab.url}/#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("status").first).to_have_text("live")
        assert page.locator("main img[src=x]").count() == 0

    assert [one for one in visit.complaints if "400" not in one] == []
    assert visit.violations() == []


def test_stopping_asks_first(visit: Visit, lab: Lab) -> None:
    search = lab.search(ended=1)
    page = visit.open(lab.link())
    page.goto(f"{lab.url}/#/optimizations/{search.id}")

    page.get_by_role("button", name="stop", exact=True).click()
    expect(page.get_by_role("alertdialog")).to_contain_text("nothing new starts, what runs may finish?")
    page.get_by_role("button", name="no", exact=True).click()
    page.get_by_role("button", name="stop", exact=True).click()
    assert lab.get(f"/optimizations/{search.id}")["state"] == "RUNNING"
    page.get_by_role("button", name="yes, stop").click()

    expect(page.locator(".heading .state-stopping")).to_be_visible()


def test_without_its_libraries_the_page_says_why_it_is_empty(visit: Visit, lab: Lab) -> None:
    visit.page.route("**/vendor/preact.js", lambda route: route.fulfill(status=404))

    visit.page.goto(lab.link())

    expect(visit.page.locator("#boot")).to_contain_text(
        "installed with BOUGH_SKIP_WEB=1. Install it again without that"
    )
