"""Every view of the page in a real browser: what it shows, what it follows live, what it says in trouble."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser import Visit
from tests.unit.web.recorded import Recorded

HOSTILE = "<img src=x onerror=alert(1)>\"'</script>"


@pytest.mark.parametrize("view", ["optimizations", "optimizations/p7tq2m4x", "jobs/k07f9a2bq", "agents"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_view_is_drawn_without_a_complaint_a_violation_or_a_foreign_request(
    visit: Visit, recorded: Recorded, view: str, scheme: str
) -> None:
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    page = visit.open(f"{recorded.url}/#/{view}")

    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator(".chart:not(:has(canvas))")).to_have_count(0)
    assert visit.complaints == []
    assert visit.violations() == []
    assert visit.foreign(recorded.url) == []


def test_from_the_list_one_comes_to_the_best_trial_and_its_log(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(recorded.url)

    page.get_by_role("link", name="me/digits").click()
    expect(page.get_by_text("22 of 30")).to_be_visible()
    page.get_by_role("link", name="trial 10").first.click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("trial 10")
    expect(page.get_by_label("Log", exact=True)).to_contain_text("epoch 399 of 12")
    assert page.url.endswith("#/jobs/k10f9a2bq")


def test_the_table_is_sorted_by_the_coordinator_and_the_address_remembers_it(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(f"{recorded.url}/#/optimizations/p7tq2m4x")

    page.get_by_role("columnheader", name="accuracy").get_by_role("link").click()

    expect(page.get_by_role("columnheader", name="accuracy")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody tr").first).to_have_class("is-best")
    assert "sort=kpi" in page.url
    assert any("sort=kpi&descending=true" in asked for asked in recorded.asked)


def test_what_happens_is_seen_without_a_reload(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(f"{recorded.url}/#/optimizations/p7tq2m4x")
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_text("22 of 30")).to_be_visible()

    job = recorded.world.jobs[-1]
    job.update(state="DONE", end_reason="max_epochs", kpi=0.9917, ended_at=0.0, duration_s=8.0)
    recorded.tell("job", job)
    recorded.tell("optimization", recorded.world.optimization())

    expect(page.get_by_text("23 of 30")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("0.9917")


def test_a_stream_that_breaks_is_said_and_opened_again_with_fresh_data(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(f"{recorded.url}/#/optimizations/p7tq2m4x")
    expect(page.get_by_role("status")).to_have_text("live")

    recorded.world.jobs[-1].update(state="DONE", kpi=0.5)
    recorded.hang_up()

    expect(page.get_by_role("status")).to_contain_text("behind")
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_text("23 of 30")).to_be_visible()


def test_a_browser_without_a_session_is_told_how_to_get_one_and_stops_knocking(
    visit: Visit, recorded: Recorded
) -> None:
    recorded.world.logged_in = False

    page = visit.open(f"{recorded.url}/#/agents")

    expect(page.get_by_role("alert")).to_contain_text("or no longer. Open a fresh link: bough login --link")
    expect(page.get_by_role("status")).to_have_text("logged out")
    assert sum("/events" in asked for asked in recorded.asked) == 1


def test_an_unknown_job_is_named_with_the_remedy(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(f"{recorded.url}/#/jobs/zz")

    expect(page.get_by_role("alert")).to_contain_text(
        "There is no /jobs/zz. bough optimization ls lists what there is."
    )


def test_an_empty_coordinator_says_the_next_step(visit: Visit, recorded: Recorded) -> None:
    recorded.world.jobs, recorded.world.agents = [], []
    recorded.world.why = ["no agent has been heard of. Start one: bough up"]

    page = visit.open(recorded.url)

    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    expect(page.get_by_text("no agent has been heard of. Start one: bough up")).to_be_visible()
    page.get_by_role("link", name="How to start one").click()
    expect(page.get_by_text("No agent yet")).to_be_visible()
    expect(page.get_by_role("button", name="make a key and the command")).to_be_visible()


def test_the_reasons_do_not_claim_that_nothing_runs_while_trials_run(visit: Visit, recorded: Recorded) -> None:
    recorded.world.why = ["optimization zz is paused. Go on: bough optimization resume zz."]

    for view in ("optimizations", "agents"):
        page = visit.open(f"{recorded.url}/#/{view}")
        expect(page.get_by_text("Why nothing more is running")).to_be_visible()


def test_a_job_names_the_whole_ref_of_its_record(visit: Visit, recorded: Recorded) -> None:
    recorded.world.jobs[0]["record"] = "refs/bough/jobs/p7tq2m4x/0000-k00f9a2bq"

    page = visit.open(f"{recorded.url}/#/jobs/{recorded.world.jobs[0]['id']}")

    expect(page.get_by_text("refs/bough/jobs/p7tq2m4x/0000-k00f9a2bq", exact=True)).to_be_visible()


def test_text_from_elsewhere_stays_text(visit: Visit, recorded: Recorded) -> None:
    job = recorded.world.jobs[0]
    job.update(message=HOSTILE, status=HOSTILE, agent=HOSTILE, model=HOSTILE, values={HOSTILE: HOSTILE})
    recorded.world.why = [HOSTILE]
    recorded.world.agents[0].update(name=HOSTILE, host=HOSTILE)

    for view in ("optimizations", "optimizations/p7tq2m4x?sort=" + "%3Cimg%20src=x%3E", f"jobs/{job['id']}", "agents"):
        page = visit.open(f"{recorded.url}/#/{view}")
        expect(page.get_by_role("status")).to_have_text("live")
        assert page.locator("main img").count() == 0

    assert visit.complaints == []
    assert visit.violations() == []


def test_stopping_asks_first(visit: Visit, recorded: Recorded) -> None:
    page = visit.open(f"{recorded.url}/#/optimizations/p7tq2m4x")

    page.get_by_role("button", name="stop", exact=True).click()
    expect(page.get_by_role("alertdialog")).to_contain_text("nothing new starts, what runs may finish?")
    page.get_by_role("button", name="no", exact=True).click()
    page.get_by_role("button", name="stop", exact=True).click()
    assert not any(asked.startswith("POST") for asked in recorded.asked)
    page.get_by_role("button", name="yes, stop").click()

    expect(page.get_by_role("button", name="resume")).to_be_visible()
    assert [asked for asked in recorded.asked if asked.startswith("POST")] == [
        "POST /api/v1/optimizations/p7tq2m4x/stop"
    ]


def test_the_page_is_reached_by_keyboard_and_fits_a_narrow_window(visit: Visit, recorded: Recorded) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 700})
    page = visit.open(f"{recorded.url}/#/optimizations/p7tq2m4x")
    expect(page.get_by_text("22 of 30")).to_be_visible()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "content"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_its_libraries_the_page_says_why_it_is_empty(visit: Visit, recorded: Recorded) -> None:
    visit.page.route("**/vendor/preact.js", lambda route: route.fulfill(status=404))

    visit.page.goto(recorded.url)

    expect(visit.page.locator("#boot")).to_contain_text(
        "installed with BOUGH_SKIP_WEB=1. Install it again without that"
    )
