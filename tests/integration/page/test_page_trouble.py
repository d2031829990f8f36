"""What the page says in trouble: nothing there yet, nobody answers, no session, no such thing. Each with a way on."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect
from tests.browser import Visit
from tests.integration.api.running import running
from tests.integration.page.lab import Lab, Search

from bough_server.config import Config


def test_an_empty_coordinator_says_the_next_step_and_one_that_comes_back_is_found_again(
    visit: Visit, tmp_path: Path, lab: Lab
) -> None:
    with running(Config(tmp_path / "home", port=0)) as first:
        page = visit.open(Lab(first).link())
        expect(page.get_by_text("Nothing here yet")).to_be_visible()
        page.get_by_role("link", name="How to start one").click()
        expect(page.get_by_text("No agent yet")).to_be_visible()
        expect(page.get_by_role("button", name="make a key and the command")).to_be_visible()
        page.get_by_role("navigation").get_by_role("link", name="Optimizations").click()
        expect(page.get_by_role("status")).to_have_text("live")
        assert visit.complaints == []
    expect(page.get_by_role("status")).to_contain_text("behind")
    expect(page.get_by_role("alert")).to_contain_text("The coordinator does not answer.")

    with running(Config(tmp_path / "home", port=int(first.url.rpartition(":")[2]))) as second:
        expect(page.get_by_role("status")).to_have_text("live", timeout=20_000)
        expect(page.get_by_role("alert")).to_have_count(0)
        Lab(second).optimize("me/afterwards")
        expect(page.get_by_role("link", name="me/afterwards")).to_be_visible()
        page.close()  # its stream would keep the coordinator from ending at once


def test_a_browser_without_a_session_is_told_how_to_get_one_and_stops_knocking(visit: Visit, lab: Lab) -> None:
    page = visit.open(f"{lab.url}/#/agents")

    expect(page.get_by_role("heading", level=1)).to_have_text("Logged out")
    expect(page.get_by_text("bough login --link", exact=True)).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text("logged out")
    assert sum("/events" in asked for asked in visit.requests) == 1


def test_who_was_logged_out_comes_back_to_where_one_was_with_what_was_typed(
    visit: Visit, lab: Lab, search: Search
) -> None:
    secret = lab.running.key("user", "me")
    reply = lab.running.call("POST", "/api/v1/login-links", key=secret)
    page = visit.open(lab.url + reply.json()["url"])
    page.goto(f"{lab.url}/#/new?from={search.id}")
    expect(page.get_by_label("The bough.yml")).to_have_value(re.compile("gpu1"))
    page.get_by_label("command", exact=True).fill("python other.py")
    page.get_by_label("command", exact=True).press("Tab")
    expect(page.get_by_label("The bough.yml")).to_have_value(re.compile("other.py"))
    used = secret.split("_")[2]
    mine = next(key["id"] for key in lab.get("/keys")["rows"] if key["id"] in secret or key["id"] == used)
    assert lab.running.call("DELETE", f"/api/v1/keys/{mine}").ok

    page.get_by_label("command", exact=True).fill("python third.py")
    page.get_by_label("command", exact=True).press("Tab")
    expect(page.get_by_role("heading", level=1, name="Logged out")).to_be_visible()

    # A link that was used says so; a fresh one goes on, with what was typed still there.
    page.get_by_label("or paste it here").fill(lab.url + reply.json()["url"])
    page.get_by_role("button", name="log in").click()
    expect(page.get_by_role("alert").last).to_contain_text("this link was used or is older than 10 minutes.")
    page.get_by_label("or paste it here").fill(lab.link())
    page.get_by_role("button", name="log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New optimization")
    expect(page.get_by_label("command", exact=True)).to_have_value("python third.py")


def test_a_login_in_another_tab_lets_this_one_go_on_and_a_link_in_this_one_leads_back(visit: Visit, lab: Lab) -> None:
    page = visit.open(f"{lab.url}/#/agents")
    expect(page.get_by_role("heading", level=1)).to_have_text("Logged out")
    other = page.context.new_page()
    other.goto(lab.link())
    expect(page.get_by_role("heading", level=1)).to_have_text("Agents")
    expect(page.get_by_role("status").first).to_have_text("live")

    page.context.clear_cookies()
    page.goto(f"{lab.url}/#/keys")
    expect(page.get_by_role("heading", level=1, name="Logged out")).to_be_visible()
    page.goto(lab.link())
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    link = lab.link()
    page.goto(link)
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is used up")


def test_what_there_is_not_is_named_with_the_way_on(visit: Visit, lab: Lab, search: Search) -> None:
    page = visit.open(lab.link())

    for view, what in (("jobs/zz", "job"), ("optimizations/zz", "optimization"), ("models/me/zz", "model")):
        page.goto(f"{lab.url}/#/{view}")
        expect(page.get_by_role("heading", name=f"There is no such {what}")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("zz")
        expect(page.locator("main").get_by_role("link", name="the models")).to_be_visible()
    page.goto(f"{lab.url}/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
