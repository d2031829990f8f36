"""What the page costs, and how quick it is: Chromium, a real coordinator with twenty thousand trials, a real agent.

    python benchmarks/page.py [--trials 20000] [--points 1000000] [--seconds 15]

Printed is each figure with its limit and how much of the limit it is; the exit code says whether all were kept. Times
are the page's own clock (since its navigation began, or since a press), seen by an observer of its elements; a table
counts as there when its rows are, a chart when its canvas holds the curve. Each is the median of some rounds in a fresh
browser profile, so that nothing is cached. Needs playwright and a Chromium, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import psutil
import requests
from big_store import ROOT, fill
from load import Agent, Measured, coordinator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

WATCHED_S = 16  # the script reports once a second: so many points are watched as they come
ROUNDS = 3
PAGES = 10
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
COLUMNS = [
    *("number", "state", "end_reason", "kpi", "kpi_best", "epochs", "duration_s", "agent", "started", "tags", "note"),
    *("p.batch", "p.steps", "p.rate", "p.decay", "p.units", "p.act", "p.opt", "p.opt.sgd.lr", "p.opt.sgd.momentum"),
]
# Notes when the first rows, the first drawn chart and the first paint were there, on the page's own clock.
WATCH = """
window.seen = {};
new MutationObserver(() => {
  if (!seen.frame && document.querySelector("nav")) seen.frame = performance.now();
  if (!seen.rows && document.querySelector("tbody tr")) seen.rows = performance.now();
}).observe(document, { childList: true, subtree: true });
"""
PAINT = "performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint')?.startTime"
WEIGHT = "performance.getEntries().reduce((sum, one) => sum + (one.encodedBodySize || 0), 0)"
# From a press until the rows are others; what is drawn is what counts, so two frames are waited for.
SORTED = """async (name) => {
  const first = document.querySelector("tbody tr").textContent;
  const link = [...document.querySelectorAll("thead th a")].find((one) => one.textContent.trim().startsWith(name));
  const began = performance.now();
  link.click();
  while (document.querySelector("tbody tr").textContent === first) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
# When a picture of many points has been drawn: its canvas is there and holds a line.
DRAWN = """(() => {
  const canvas = document.querySelector('[aria-label^="Channel signal"] canvas');
  if (!canvas || !canvas.width) return false;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let inked = 0;
  for (let i = 3; i < data.length; i += 16) inked += data[i] > 0;
  return inked > 2000 && performance.now();
})()"""
FETCHED = """async (path) => {
  const began = performance.now();
  await (await fetch(path)).json();
  return performance.now() - began;
}"""
NEWS = """
window.arrived = {};
new MutationObserver(() => {
  for (const one of document.querySelectorAll('[aria-label^="Channel tick"]')) {
    const count = Number(/(\\d+) points/.exec(one.getAttribute("aria-label"))?.[1]);
    if (count && !arrived[count]) arrived[count] = Date.now() / 1000;
  }
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-label"] });
"""
SCRIPT = """\
import time
import bough
job = bough.start_job()
many = job.create_channel("signal", main=True)
for x in range({points}):
    many.send(x, (x * 2654435761 % 1000) / 1000 + (x == {points} // 3))
tick = job.create_channel("tick", kpi=True, main=True, max_optimization=True)
for x in range(100000):
    tick.send(x, x)
    job.progress(x, 100000)
    time.sleep(1)
"""
DEFINITION = """\
model: bench/live
command: {python} train.py
hyperparameters: {{x: 0.0}}
"""


@dataclass
class Figures:
    """What was measured, printed as it comes."""

    missed: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, limit: float | None, unit: str) -> None:
        if limit is None:
            print(f"{name:62} {value:9.3g} {unit}", flush=True)
            return
        verdict = "" if value <= limit else "   MISSED"
        print(f"{name:62} {value:9.3g} {unit:6} limit {limit:g}   {value / limit:5.2f} of it{verdict}", flush=True)
        if verdict:
            self.missed.append(name)


class Bench:
    """The browser, the coordinator and where it stands."""

    def __init__(self, browser: Browser, process: psutil.Process, url: str, key: str, figures: Figures) -> None:
        self.browser = browser
        self.process = process
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {key}"
        self.key = key
        self.figures = figures

    def post(self, path: str, **body: Any) -> Any:
        reply = self.session.post(f"{self.url}/api/v1/{path}", json=body, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def get(self, path: str, **query: Any) -> Any:
        reply = self.session.get(f"{self.url}/api/v1/{path}", params=query, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def profile(self) -> BrowserContext:
        """Return a fresh profile that is logged in, with nothing of the page in its cache."""
        context = self.browser.new_context(viewport={"width": 1400, "height": 900})
        context.request.get(self.url + self.post("login-links")["url"], max_redirects=0)
        context.add_init_script(WATCH)
        context.set_default_timeout(60_000)
        return context

    @contextmanager
    def opened(self, view: str) -> Iterator[Page]:
        """Open a view in a fresh profile."""
        context = self.profile()
        page = context.new_page()
        page.goto(f"{self.url}/#/{view}")
        yield page
        context.close()


def until(page: Page, expression: str) -> Any:
    """Return the first true value of an expression, looked at with every frame; the policy forbids playwright's way."""
    look = f"const found = {expression}; if (found) return found; await new Promise(requestAnimationFrame);"
    return page.evaluate(f"async () => {{ for (;;) {{ {look} }} }}")


def paints(bench: Bench, made: str) -> None:
    """First paint, the first table, and the weight of the heaviest view."""
    paint, frame, rows = [], [], []
    for _ in range(ROUNDS):
        with bench.opened("optimizations") as page:
            until(page, "seen.rows")
            until(page, PAINT)
            paint.append(page.evaluate(PAINT) / 1000)
            frame.append(page.evaluate("seen.frame") / 1000)
            rows.append(page.evaluate("seen.rows") / 1000)
    bench.figures.add("first paint", statistics.median(paint), 0.3, "s")
    bench.figures.add("the frame of the page", statistics.median(frame), None, "s")
    bench.figures.add("first table: the optimizations", statistics.median(rows), 0.6, "s")
    with bench.opened(f"optimizations/{made}") as page:
        page.locator("canvas").first.wait_for()
        until(page, "seen.rows")
        whole = page.evaluate("seen.rows") / 1000
        page.wait_for_load_state("networkidle")
        own = "performance.getEntries().filter((one) => !one.name.includes('/api/'))"
        weight = page.evaluate(WEIGHT.replace("performance.getEntries()", own)) / 1024
    bench.figures.add("weight of everything the page loads, charts included", weight, 500, "KiB")
    bench.figures.add("the view of an optimization of that size, with its charts", whole, None, "s")


def browsing(bench: Bench, made: str) -> None:
    """The job browser over all trials."""
    view = f"jobs?optimization={made}&columns={quote(json.dumps(COLUMNS))}"
    rows, sorts = [], []
    for _ in range(ROUNDS):
        with bench.opened(view) as page:
            until(page, "seen.rows")
            rows.append(page.evaluate("seen.rows") / 1000)
            page.wait_for_load_state("networkidle")
            for name in ("KPI", "rate", "opt.sgd.lr", "state"):
                sorts.append(page.evaluate(SORTED, name) / 1000)
    bench.figures.add("first rows of all trials, 20 columns", statistics.median(rows), 1.0, "s")
    bench.figures.add("sort by another column, the slowest of four", max(sorts), 0.5, "s")
    with bench.opened(view) as page:
        until(page, "seen.rows")
        began = time.perf_counter()
        with page.expect_download() as saved:
            page.get_by_role("link", name="CSV").click()
        lines = saved.value.path().read_bytes().count(b"\n")
        took = time.perf_counter() - began
    print(f"    the CSV has {lines:,} lines of {len(COLUMNS)} columns")
    bench.figures.add("CSV of exactly that", took, 5.0, "s")


@contextmanager
def running(home: Path, bench: Bench, points: int) -> Iterator[str]:
    """A real agent runs a script that sent so many points and goes on to send one a second; yields the job's id."""
    code = home / "code"
    code.mkdir()
    (code / "train.py").write_text(SCRIPT.format(points=points))
    (code / "bough.yml").write_text(DEFINITION.format(python=sys.executable))
    parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
    environ = {**os.environ, "BOUGH_HOME": str(home), "HOME": str(home), "PYTHONPATH": parts}
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
        subprocess.run(["git", *who, *command], cwd=code, check=True)
    key = bench.post("keys", name="agent", scope="agent")["key"]
    bough = [sys.executable, "-m", "bough_cli"]
    options = ["--coordinator", bench.url, "--secure-key", key, "--name", "real", "--home", str(home / "agent")]
    with (home / "agent.log").open("wb") as log:
        agent = subprocess.Popen([*bough, "agent", "server", *options], env=environ, stdout=log, stderr=log)
    try:
        told = subprocess.run(
            [*bough, "run", str(code), "--detach", "--json"], env=environ, check=True, capture_output=True, text=True
        )
        yield str(json.loads(told.stdout)["id"])
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(60)


def watching(bench: Bench, job: str, points: int) -> None:
    """A channel of a million points, and how soon a new point is seen."""
    deadline = time.monotonic() + 300

    def known() -> int:
        found = bench.get(f"jobs/{job}/points", most=10)["channels"]
        return next((int(one["points"]) for one in found if one["name"] == "signal"), 0)

    while known() < points:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {known():,} of {points:,} points came within five minutes")
        time.sleep(0.5)
    drawn, alone = [], []
    for _ in range(ROUNDS):
        with bench.opened(f"jobs/{job}") as page:
            drawn.append(until(page, DRAWN) / 1000)
            alone.append(page.evaluate(FETCHED, f"/api/v1/jobs/{job}/points?most=2000") / 1000)
    bench.figures.add(f"a channel of {points:,} points: reply of the coordinator", statistics.median(alone), None, "s")
    bench.figures.add("... drawn, from the start of an empty browser", statistics.median(drawn), None, "s")
    context = bench.profile()
    page = context.new_page()
    page.goto(f"{bench.url}/#/keys")
    page.evaluate("import('./vendor/echarts.js')")
    page.get_by_role("heading", level=1).wait_for()
    page.evaluate(f"() => {{ window.began = performance.now(); location.hash = '#/jobs/{job}'; }}")
    opened = (until(page, DRAWN) - page.evaluate("began")) / 1000
    bench.figures.add("... drawn, from the press that opens it", opened, 0.5, "s")
    page.evaluate(NEWS)
    before = len(page.evaluate("arrived"))
    time.sleep(WATCHED_S)
    arrived = {int(count): at for count, at in page.evaluate("arrived").items()}
    sent = bench.get(f"jobs/{job}/points", channel="tick")["channels"][0]["t"]
    late = [at - sent[count - 1] for count, at in sorted(arrived.items())[before + 1 :] if count <= len(sent)]
    context.close()
    print(f"    {len(late)} points were watched as they came")
    bench.figures.add("a reported point is seen in its chart after, median", statistics.median(late), 1.0, "s")
    bench.figures.add("... the slowest of them", max(late), 1.0, "s")


def latencies(bench: Bench, seconds: float, stop: threading.Event) -> list[float]:
    """Let an agent report a point of each of four trials every half second; return how long each message took."""
    measured = Measured()

    async def report() -> None:
        headers = {"Authorization": f"Bearer {bench.key}"}
        async with httpx.AsyncClient(base_url=bench.url, headers=headers, timeout=60, trust_env=False) as client:
            agent = Agent(client, "reporter", 4, measured)
            agent.epoch = "the same each time"
            await agent.register()
            while len(agent.jobs) < 4:
                await agent.claim(4 - len(agent.jobs))
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await agent.ship(4)
                await asyncio.sleep(0.5)
            for _ in range(4):
                job = agent.jobs.pop()
                seen = {"exit_code": 0, "duration_s": 1.0, "log": {"bytes": 0, "crc": 0}}
                journals = {"1-aa": {"bytes": job.offset, "crc": job.crc, "cut": None}}
                ended = {**job.which, "event": "exited", "exit": {**seen, "journals": journals}}
                await agent.sync(None, [], [ended])

    try:
        asyncio.run(report())
    finally:
        stop.set()
    return measured.ships


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def many_pages(bench: Bench, seconds: float) -> None:
    """Ten pages that watch what an agent reports: what they cost the coordinator, and whether they delay the agent."""
    definition = {
        "model": "bench/watched",
        "command": "true",
        "hyperparameters": {"lr": 0.1},
        "optimization": {
            "algorithm": "random",
            "max_trials": 1000,
            "max_parallel": 4,
            "agents": ["reporter"],
            "space": {"lr": "uniform(0, 1)"},
        },
    }
    body = {"definition": definition, "commit": "3f9a12c0" * 5, "folder": "", "source": {}, "fixed": {}}
    made = bench.post("optimizations", **body)["id"]

    def measured() -> tuple[float, list[float]]:
        ships: list[float] = []
        stop = threading.Event()
        reporting = threading.Thread(target=lambda: ships.extend(latencies(bench, seconds, stop)))
        before, began = cpu_of(bench.process), time.monotonic()
        reporting.start()
        while not stop.wait(0):
            if pages:
                pages[0].wait_for_timeout(100)  # lets playwright hear what its pages say
            else:
                time.sleep(0.1)
        reporting.join()
        return (cpu_of(bench.process) - before) / (time.monotonic() - began), ships

    pages: list[Page] = []
    alone, quiet = measured()
    contexts = [bench.profile() for _ in range(PAGES)]
    views = [f"optimizations/{made}", "optimizations", "agents", f"jobs?optimization={made}", "models/bench/watched"]
    for number, context in enumerate(contexts):
        page = context.new_page()
        page.goto(f"{bench.url}/#/{views[number % len(views)]}")
        page.get_by_role("heading", level=1).wait_for()
        pages.append(page)
    idle_before, idle_began = cpu_of(bench.process), time.monotonic()
    pages[0].wait_for_timeout(seconds * 1000 / 2)
    idle = (cpu_of(bench.process) - idle_before) / (time.monotonic() - idle_began)
    watched, busy = measured()
    for context in contexts:
        context.close()
    add = bench.figures.add
    add(f"{PAGES} open pages, nothing reported: coordinator", 100 * idle, 5.0, "% core")
    add("an agent reports 4 trials twice a second: coordinator", 100 * alone, None, "% core")
    add(f"{PAGES} open pages on top of that", 100 * max(0.0, watched - alone), 5.0, "% core")
    for name, times in (("without", quiet), ("with", busy)):
        middle, late = 1000 * statistics.median(times), 1000 * sorted(times)[int(len(times) * 0.95)]
        print(f"    an agent's report {name} them: p50 {middle:.1f} ms, p95 {late:.1f} ms, {len(times)} messages")
    add("... what they add to it (median)", max(0.0, statistics.median(busy) - statistics.median(quiet)), 0.05, "s")


def main() -> int:
    """Run it; the exit code says whether the limits were kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each look at ten pages")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bough-page-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        made = fill(home / "coordinator", options.trials, 30, ["bench"])
        load = f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(f"a store of {options.trials:,} trials; {load}")
        with coordinator(home, None) as (process, url, key), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            bench = Bench(browser, process, url, key, figures)
            paints(bench, made)
            browsing(bench, made)
            with running(home, bench, options.points) as job:
                watching(bench, job, options.points)
            many_pages(bench, options.seconds)
            browser.close()
    print("all limits kept" if not figures.missed else f"missed: {', '.join(figures.missed)}")
    return 1 if figures.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
