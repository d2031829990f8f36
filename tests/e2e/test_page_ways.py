"""The ways people take through the page, against a real coordinator with a real agent: watch, steer, edit, add, delete.

Screenshots of every stop are kept in build/page, for whoever wants to see what the tests saw.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser import Visit
from tests.browser import browser as browser
from tests.browser import visit as visit
from tests.e2e.conftest import ROOT, Machine, wait_for

SHOTS = ROOT / "build" / "page"
HOSTILE = "<img src=x onerror=alert(1)>\"'</script>"
PATIENCE_MS = 60_000

DEFINITION = f"""\
model: me/ways
command: {sys.executable} train.py
hyperparameters: {{x: 0.0, size: 3}}
optimization:
  algorithm: random
  max_trials: 3
  max_parallel: 1
  seed: 3
  space: {{x: "uniform(-5, 5)", size: "randint(1, 9)"}}
"""

TRAIN = f"""\
import os, struct, sys, time, zlib
import bough

HOSTILE = {HOSTILE!r}

def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\\0" + b"\\x20\\x80\\x40" * 2) * 2)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

goes_on = []
job = bough.start_job()
share = {{"title": "share", "range": [0, 1], "tickformat": ".0%"}}
kpi = job.create_channel("accuracy", kpi=True, main=True, max_optimization=True, yaxis=share)
words = job.create_channel(HOSTILE[:40], type="text")
job.set_info("info " + HOSTILE, HOSTILE)
job.set_status(HOSTILE)
job.register_action(lambda name="you": "hello " + name, name="greet", label="Greet", description=HOSTILE)
job.register_action(lambda: goes_on.append(1), name="finish", label="Finish")
for name, content in (("picture.png", png()), ("page.html", HOSTILE.encode()), ("model.bin", b"x" * 3000)):
    with open(name, "wb") as file:
        file.write(content)
    job.commit_file(name, title=HOSTILE)
job.add_insight_image_path(1, "picture.png", label=HOSTILE)
job.add_insight_confusion_matrix(1, [[30, 5], [2, 40]])
for line in range(3000):
    print("line", line, HOSTILE)
print("the needle is here", flush=True)
for epoch in range(1, 2000):
    kpi.send(epoch, 1 - 1 / (epoch + 1))
    words.send(epoch, HOSTILE)
    job.progress(epoch, 2000)
    if goes_on:
        break
    time.sleep(0.05)
"""


def shot(page: Page, name: str) -> None:
    """Keep what the page looks like now."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.fixture
def running(machine: Machine, repository: Callable[..., Path], visit: Visit, tmp_path: Path) -> tuple[str, Page]:
    """A coordinator, an agent with one slot, an optimization whose first trial runs; the browser is logged in."""
    if not (ROOT / "server/bough_server/web/vendor/preact.js").is_file():
        pytest.skip(
            "the page's libraries are not here: they come with `make test`, or any build without BOUGH_SKIP_WEB"
        )
    url = machine.coordinator()
    machine.start(
        *("agent", "server", "--coordinator", url, "--secure-key", machine.key("agent")),
        *("--slots", "1", "--name", "gpu1", "--label", "gpu=a100", "--home", str(tmp_path / "agent")),
        *("--on-term", "requeue"),
    )
    visit.page.context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    machine.start("optimize", str(repository({"bough.yml": DEFINITION, "train.py": TRAIN})))
    page = visit.open(machine.bough("login", "--link").out.strip())
    page.get_by_role("link", name="me/ways").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("me/ways")
    return url, page


def test_a_job_is_watched_and_talked_with(running: tuple[str, Page], visit: Visit) -> None:
    url, page = running
    page.get_by_role("row", name=re.compile("trial 1 ")).get_by_role("link").first.click()

    # What it reports, as it comes; text stays text.
    expect(page.get_by_role("img", name=re.compile(r"Channel accuracy: \d+ points"))).to_be_visible()
    expect(page.get_by_text("epochs/s")).to_be_visible()
    expect(page.locator(".words dd").first).to_have_text(HOSTILE)
    expect(page.get_by_role("img", name=HOSTILE, exact=True)).to_be_visible()
    assert page.locator(".images img").evaluate("one => one.decode().then(() => one.naturalWidth)") == 2
    expect(page.get_by_role("table", name="what it is, by what it was taken for")).to_contain_text("40")
    with page.expect_download() as saved:
        page.get_by_role("link", name="page.html").click()
    assert saved.value.path().read_text() == HOSTILE

    # The log is searched from its begin, and read where a line was found.
    page.get_by_role("searchbox").fill("LINE 17 <img")
    page.get_by_role("button", name="search").click()
    expect(page.get_by_text("1 line", exact=True)).to_be_visible()
    page.get_by_role("button", name="show line 18").click()
    expect(page.get_by_label("Log", exact=True)).to_have_text(re.compile(r"^line 17 <img"))
    page.get_by_role("button", name="back to its end").click()
    expect(page.get_by_label("Log", exact=True)).to_contain_text("the needle is here")

    # Marks, actions, a pause; then it ends by what was asked of it.
    page.get_by_label("add a tag").fill("good")
    page.get_by_label("add a tag").press("Enter")
    expect(page.get_by_role("button", name="remove tag good")).to_be_visible()
    page.locator("form.action").filter(has_text="Greet").get_by_label("name").fill("world")
    page.get_by_role("button", name="Greet").click()
    expect(page.get_by_role("cell", name='"hello world"')).to_be_visible()
    page.get_by_role("button", name="pause").click()
    expect(page.locator(".heading .state-paused")).to_be_visible()
    page.get_by_role("button", name="continue").click()
    expect(page.locator(".heading .state-running")).to_be_visible()
    shot(page, "job-running")
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".heading .state-done")).to_be_visible()
    expect(page.get_by_text("refs/bough/jobs/")).to_be_visible()
    shot(page, "job-ended")

    assert page.locator("main img[src=x]").count() == 0
    assert visit.complaints == []
    assert visit.violations() == []
    assert visit.foreign(url) == []


def test_an_optimization_is_edited_stopped_begun_anew_and_deleted(
    running: tuple[str, Page], visit: Visit, machine: Machine
) -> None:
    url, page = running
    its_id = page.url.rpartition("/")[2]

    def shown() -> dict[str, object]:
        rows = machine.bough("optimization", "ls", "--json").json()
        return next((one for one in rows if one["id"] == its_id), {})

    page.get_by_role("link", name="edit", exact=True).click()
    expect(page.get_by_text("Nothing is changed yet.")).to_be_visible()
    expect(page.get_by_role("button", name="apply from the next trial on")).to_be_disabled()
    page.get_by_label("trials", exact=True).fill("2")
    page.get_by_label("trials", exact=True).press("Tab")
    expect(page.get_by_text("max_trials: 3 → 2")).to_be_visible()
    shot(page, "edit")
    page.get_by_role("button", name="apply from the next trial on").click()
    expect(page.get_by_text("1 change while it lived")).to_be_visible()
    assert shown()["max_trials"] == 2
    page.get_by_text("code and settings it runs").click()
    expect(page.get_by_label("The bough.yml that it runs")).to_contain_text("max_trials: 2")

    page.get_by_role("link", name="edit", exact=True).click()
    page.get_by_role("button", name="restart", exact=True).click()
    page.get_by_role("button", name="yes, restart").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("generation 2")
    page.get_by_text("generation 1", exact=True).click()
    expect(page.get_by_role("link", name="CSV of all")).to_be_visible()

    page.get_by_role("button", name="stop now").click()
    page.get_by_role("button", name="yes, stop now").click()
    expect(page.locator(".heading .state-stopped")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_text("export", exact=True).click()
        page.get_by_role("link", name="CSV: every trial").click()
    assert "p.x" in saved.value.path().read_text().splitlines()[0]
    page.get_by_text("more", exact=True).click()
    page.get_by_role("button", name="delete …").click()
    expect(page.get_by_role("button", name="delete", exact=True)).to_be_disabled()
    page.get_by_label(re.compile("type its id")).fill(its_id)
    shot(page, "delete")
    page.get_by_role("button", name="delete", exact=True).click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    assert shown() == {}

    assert visit.complaints == []
    page.goto(f"{url}/#/optimizations/{its_id}")
    expect(page.get_by_role("heading", name="There is no such optimization")).to_be_visible()
    assert visit.violations() == []
    assert visit.foreign(url) == []


def test_an_agent_is_added_given_slots_and_drained(
    running: tuple[str, Page], visit: Visit, machine: Machine, tmp_path: Path
) -> None:
    url, page = running
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Agents").click()
    mine = page.get_by_label("agent gpu1", exact=True)
    expect(mine.get_by_role("link", name="me/ways trial 1")).to_be_visible()
    expect(mine).to_contain_text("gpu=a100")
    expect(mine.get_by_role("img", name=re.compile("cpu .* %, the last day"))).to_be_visible()

    mine.get_by_label("slots of gpu1").fill("4")
    mine.get_by_role("button", name="set").click()
    expect(mine).to_contain_text("1 of 4")
    mine.get_by_role("button", name="drain").click()
    mine.get_by_role("button", name="yes, drain").click()
    expect(mine.locator(".state-draining")).to_be_visible()
    mine.get_by_role("button", name="undrain").click()
    expect(mine.locator(".state-online")).to_be_visible()

    page.get_by_role("button", name="add an agent").click()
    page.get_by_label("name of the machine").fill("gpu2")
    page.get_by_role("button", name="make a key and the command").click()
    command = page.locator(".secret").inner_text().split()
    assert command[:5] == ["bough", "agent", "server", "--coordinator", url]
    machine.start(*command[1:], "--home", str(tmp_path / "gpu2"))
    expect(page.get_by_label("agent gpu2", exact=True).locator(".state-online")).to_be_visible()
    shot(page, "agents")
    wait_for(lambda: len(machine.bough("agent", "status", "--json").json()) == 2, what="two agents")

    assert visit.complaints == []
    assert visit.violations() == []
    assert visit.foreign(url) == []
