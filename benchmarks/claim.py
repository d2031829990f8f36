"""How long an agent waits for its next trial when ten thousand are over: four at a time, each of two seconds or more.

    python benchmarks/claim.py [--trials 10000] [--claims 200] [--parallel 4] [--least 2.0]

Real HTTP, a coordinator of its own, an agent per trial that runs. A claim is timed from the moment at which the agent
asks, the end of its trial being delivered, until it holds the next one; every value is tpe's, drawn from the whole
history. The target is a 99th percentile of 50 ms on a machine that does nothing else: beside the claims a thread is
woken and 4 kB are synced to the disk ten times a second, and what that takes says how far it is so.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
from big_store import fill
from restart import Coordinator

from bough_cli.inprocess import InProcessAgent


class Runner(threading.Thread):
    """One agent: it claims, runs a trial that only waits, and ends it.

    Attributes:
        waited_ms: How long each claim took.
        ended_ms: How long the end of each trial took to deliver.
    """

    def __init__(self, coordinator: Coordinator, number: int, claims: int, least_s: float) -> None:
        super().__init__(name=f"agent {number}")
        self.waited_ms: list[float] = []
        self.ended_ms: list[float] = []
        self._rng = random.Random(number)
        self._claims, self._least_s = claims, least_s
        self._agent = InProcessAgent(coordinator.url, coordinator.key, coordinator.home / f"attempts-{number}")
        self._agent.connect(f"bench-{number}")

    def run(self) -> None:
        """Run its share of the trials."""
        for _ in range(self._claims):
            asked = time.perf_counter()
            while (attempt := self._agent.claim()) is None:
                pass
            self.waited_ms.append((time.perf_counter() - asked) * 1000)
            with self._agent.running(attempt):
                time.sleep(self._least_s + self._rng.random() / 2)
                attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, self._rng.gauss(0, 1))
            ended = time.perf_counter()
            self._agent.end(attempt, None, wants=False)
            self.ended_ms.append((time.perf_counter() - ended) * 1000)
        self._agent.close()


class Noise(threading.Thread):
    """What the machine itself makes everybody wait for, while the trials run.

    Attributes:
        woken_ms: How much later than asked for a thread was woken.
        synced_ms: How long a small write to the disk took.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(name="noise", daemon=True)
        self.woken_ms: list[float] = []
        self.synced_ms: list[float] = []
        self.is_over = threading.Event()
        self._folder = folder

    def run(self) -> None:
        """Look until it is over."""
        with (self._folder / "noise").open("wb", buffering=0) as file:
            while not self.is_over.is_set():
                began = time.perf_counter()
                time.sleep(0.1)
                self.woken_ms.append((time.perf_counter() - began - 0.1) * 1000)
                began = time.perf_counter()
                file.write(b"x" * 4096)
                os.fsync(file.fileno())
                self.synced_ms.append((time.perf_counter() - began) * 1000)


def shown(name: str, found: list[float]) -> str:
    """Return the median, the 99th percentile and the largest as text."""
    ordered = sorted(found)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    median = statistics.median(found)
    return f"{name}: median {median:.1f} ms, p99 {p99:.1f} ms, most {ordered[-1]:.1f} ms ({len(found)})"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--claims", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--least", type=float, default=2.0, help="seconds that a trial takes at least")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder:
        home = Path(folder)
        fill(home / "coordinator", told.trials, 10, [f"in-process:bench-{i}" for i in range(told.parallel)])
        coordinator = Coordinator(home)
        share = told.claims // told.parallel + 1
        runners = [Runner(coordinator, i, share, told.least) for i in range(told.parallel)]
        noise = Noise(home)
        noise.start()
        own = psutil.Process(coordinator.process.pid)
        before = own.cpu_times()
        for i, runner in enumerate(runners):
            runner.start()
            time.sleep(told.least / told.parallel if i == 0 else 0.3)
        for runner in runners:
            runner.join()
        noise.is_over.set()
        noise.join()
        # The first claim of each agent waits for the optimizer to start and read the history: restart.py measures that.
        print(shown("claim", [one for runner in runners for one in runner.waited_ms[1:]]))
        print(shown("end", [one for runner in runners for one in runner.ended_ms]))
        print(shown("the machine alone: to be woken", noise.woken_ms))
        print(shown("the machine alone: to sync a file", noise.synced_ms))
        after, count = own.cpu_times(), sum(len(runner.ended_ms) for runner in runners)
        spent = after.user + after.system - before.user - before.system
        print(f"the coordinator spent {1000 * spent / count:.1f} ms of CPU a trial: claim, heartbeats, end and record")
        coordinator.stop()


if __name__ == "__main__":
    main()
