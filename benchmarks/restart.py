"""A coordinator that comes back with ten thousand trials: when it answers the first ask, and how large it is.

    python benchmarks/restart.py [--trials 10000] [--verify]

The clock runs from the start of the process until an agent holds the next trial, which tpe has drawn from the whole
history. Memory is what coordinator and optimizer process have resident then. The targets are 3 s and 350 MB. With
--verify the whole search is asked again and timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import requests
from big_store import ROOT, fill

from bough_cli.client import health_of
from bough_cli.inprocess import InProcessAgent

NAME = "bench"


class Coordinator:
    """A coordinator in a home, started here."""

    def __init__(self, home: Path) -> None:
        self.home = home
        parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
        environ = {**os.environ, "BOUGH_HOME": str(home), "PYTHONPATH": parts}
        log = (home / "coordinator.log").open("wb")
        place = home / "coordinator" / "coordinator.json"
        place.unlink(missing_ok=True)
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "bough_cli", "coordinator", "--port", "0"]
        self.process = subprocess.Popen(command, env=environ, cwd=home, stdout=log, stderr=log)
        while not place.exists() or health_of(json.loads(place.read_text())["url"]) is None:
            if self.process.poll() is not None or self.age_s() > 60:
                sys.exit((home / "coordinator.log").read_text())
            time.sleep(0.005)
        self.url = str(json.loads(place.read_text())["url"])
        self.answered_s = self.age_s()
        self.key = (home / "coordinator" / "admin.key").read_text().strip()

    def age_s(self) -> float:
        """Return the seconds since the start of the process."""
        return time.perf_counter() - self.started

    def resident(self) -> dict[str, float]:
        """Return the resident megabytes of the coordinator and of its children."""
        own = psutil.Process(self.process.pid)
        found = {"coordinator": own.memory_info().rss / 1e6}
        for child in own.children(recursive=True):
            kind = "worker" if "worker" in " ".join(child.cmdline()) else child.name()
            found[kind] = found.get(kind, 0.0) + child.memory_info().rss / 1e6
        return found

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def first_claim(coordinator: Coordinator) -> tuple[InProcessAgent, Any]:
    """Return an agent and the trial that it was granted first."""
    agent = InProcessAgent(coordinator.url, coordinator.key, coordinator.home / "attempts")
    agent.connect(NAME)
    while True:
        attempt = agent.claim()
        if attempt is not None:
            return agent, attempt


def verified(coordinator: Coordinator, optimization: str) -> tuple[float, dict[str, Any]]:
    """Return how long `verify` took, and its verdict."""
    started = time.perf_counter()
    path = f"{coordinator.url}/api/v1/optimizations/{optimization}/verify"
    reply = requests.get(path, headers={"Authorization": f"Bearer {coordinator.key}"}, timeout=600)
    last: dict[str, Any] = json.loads(reply.text.splitlines()[-1])
    return time.perf_counter() - started, last


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--verify", action="store_true")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
        home = Path(folder)
        started = time.perf_counter()
        optimization = fill(home / "coordinator", told.trials, told.epochs, [f"in-process:{NAME}"])
        size = (home / "coordinator" / "coordinator.db").stat().st_size / 1e6
        taken = time.perf_counter() - started
        print(f"{told.trials:,} trials of {told.epochs} points written in {taken:.1f} s: {size:.0f} MB")
        for run in ("first start", "restart", "restart"):
            coordinator = Coordinator(home)
            agent, attempt = first_claim(coordinator)
            taken, memory = coordinator.age_s(), coordinator.resident()
            parts = ", ".join(f"{name} {size:.0f}" for name, size in memory.items())
            print(f"{run}: answers after {coordinator.answered_s:.2f} s, first ask granted after {taken:.2f} s")
            print(f"    memory {sum(memory.values()):.0f} MB ({parts})", flush=True)
            attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, 0.5)
            agent.end(attempt, None, wants=False)
            agent.close()
            if run != "restart" or not told.verify:
                coordinator.stop()
                continue
            seconds, verdict = verified(coordinator, optimization)
            print(f"verify: {seconds:.1f} s, {verdict['checked']} of {verdict['total']}, equal: {verdict['equal']}")
            told.verify = False
            coordinator.stop()


if __name__ == "__main__":
    main()
