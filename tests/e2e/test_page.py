"""The page as a user sees it: the real coordinator, a real agent, a real optimization, a real browser."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.browser import Visit
from tests.browser import browser as browser
from tests.browser import visit as visit
from tests.e2e.conftest import ROOT, Machine

DEFINITION = f"""\
model: me/parabola
command: {sys.executable} train.py
hyperparameters: {{x: 0.0, size: 3}}
optimization:
  algorithm: random
  max_trials: 8
  max_parallel: 2
  max_epochs: 12
  seed: 3
  space: {{x: "uniform(-5, 5)", size: "randint(1, 9)"}}
"""

TRAIN = """\
import time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, main=True, max_optimization=False)
for step in range(1, 100):
    time.sleep(0.05)
    kpi.send(step, job.get_parameter("x") ** 2 + 1 / step)
    print("step", step, "<b>of", job.get_parameter("x"), "</b>", flush=True)
    job.progress(step, 99)
"""


@pytest.mark.skipif(
    not (ROOT / "server/bough_server/web/vendor/preact.js").is_file(),
    reason="the page's libraries are not here: they come with `make test`, or with any build without BOUGH_SKIP_WEB",
)
def test_an_optimization_is_followed_live_from_the_first_trial_to_the_log_of_the_best(
    machine: Machine, repository: Callable[..., Path], visit: Visit, tmp_path: Path
) -> None:
    url = machine.coordinator()
    machine.start(
        *("agent", "server", "--coordinator", url, "--secure-key", machine.key("agent")),
        *("--slots", "2", "--name", "gpu1", "--home", str(tmp_path / "agent")),
    )
    page = visit.open(machine.bough("login", "--link").out.strip())
    expect(page.get_by_role("status")).to_have_text("live")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    following = machine.start("optimize", str(repository({"bough.yml": DEFINITION, "train.py": TRAIN})))

    # It appears by itself, and is followed to its end without a reload.
    page.get_by_role("link", name="me/parabola").click()
    expect(page.get_by_role("img", name=re.compile("over epochs"))).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(8, timeout=60_000)
    expect(page.get_by_text("8 of 8")).to_be_visible(timeout=60_000)
    expect(page.locator(".heading .state-done").first).to_be_visible()
    assert following.wait(30) == 0
    best = min(machine.bough("optimization", "ls", "--json").json(), key=lambda one: one["id"])["best"]
    expect(page.locator(".headline .best")).to_have_text(re.compile(re.escape(f"{best['kpi']:.3f}"[:4])))
    expect(page.locator("tr.is-best")).to_contain_text("epoch limit")

    page.get_by_role("link", name=f"trial {best['number']}").first.click()
    expect(page.get_by_label("Channel loss: 12 points")).to_be_visible()
    expect(page.get_by_label("Log", exact=True)).to_contain_text("step 12 <b>of")
    expect(page.get_by_text("12 of 99")).to_be_visible()

    page.get_by_role("navigation", name="Views").get_by_role("link", name="Agents").click()
    expect(page.get_by_label("agent gpu1", exact=True)).to_contain_text("online")

    assert visit.complaints == []
    assert visit.violations() == []
    assert visit.foreign(url) == []
