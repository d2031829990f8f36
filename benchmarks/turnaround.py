"""How long 100 no-op trials take, two at a time, as a ratio to 100 bare Python processes, with the split by phase.

    python benchmarks/turnaround.py [--trials 100] [--rounds 3]

Bare and bough runs alternate in one invocation, since machines drift; the ratio of each pair and their median are
printed.
Two kinds of script: `pass` (a script without bough), and one that reports a KPI. The repository has 50 files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = "pass\n"
REPORTING = """\
import bough
job = bough.start_job()
job.create_channel("loss", kpi=True, max_optimization=False).send(1, job.get_parameter("x"))
"""
DEFINITION = """\
model: bench/noop
command: {python} script.py
hyperparameters: {{x: 0.5}}
optimization:
  algorithm: random
  max_trials: {trials}
  max_parallel: 2
  seed: 1
  on_failure: {{stop_after: 1000000}}
  space: {{x: "uniform(0, 1)"}}
"""


def make_repository(place: Path, script: str, trials: int, files: int) -> Path:
    """Make a git repository of ``files`` small files with the script and its bough.yml; return it."""
    place.mkdir(parents=True)
    for number in range(files - 2):
        folder = place / f"package{number % 25}"
        folder.mkdir(exist_ok=True)
        (folder / f"module{number}.py").write_text(f"value = {number}\n" * 20)
    (place / "script.py").write_text(script)
    (place / "bough.yml").write_text(DEFINITION.format(python=sys.executable, trials=trials))
    who = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=place, check=True)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    subprocess.run(["git", *who, "commit", "-qm", "bench"], cwd=place, check=True)
    return place


def bare_seconds(trials: int, folder: Path) -> float:
    """Return the wall time of ``trials`` bare `python bare.py`, two at a time, in seconds."""
    (folder / "bare.py").write_text("pass\n")
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        command = [sys.executable, str(folder / "bare.py")]
        for done in pool.map(lambda _: subprocess.run(command, check=True), range(trials)):
            assert done.returncode == 0
    return time.perf_counter() - started


class Daemons:
    """A coordinator and an agent, in a home of their own."""

    def __init__(self, home: Path, slots: int = 2) -> None:
        self.slots = slots
        parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
        self.home = home
        installed = not (ROOT / "sdk").exists() or os.environ.get("BENCH_INSTALLED")
        self.environ = {**os.environ, "BOUGH_HOME": str(home), **({} if installed else {"PYTHONPATH": parts})}
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Daemons:
        self.start("coordinator", "--port", "0")
        place = self.home / "coordinator" / "coordinator.json"
        while not place.exists():
            time.sleep(0.05)
        self.url = json.loads(place.read_text())["url"]
        key = self.bough("key", "create", "--scope", "agent", "bench", "--json")["secret"]
        self.start("agent", "server", "--coordinator", self.url, "--secure-key", key, "--slots", str(self.slots))
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)

    def start(self, *args: str) -> None:
        """Start a daemon."""
        log = (self.home / f"{args[0]}.log").open("wb")
        command = [sys.executable, "-m", "bough_cli", *args]
        self.processes.append(subprocess.Popen(command, env=self.environ, cwd=self.home, stdout=log, stderr=log))

    def bough(self, *args: str, cwd: Path | None = None) -> Any:
        """Run a command that prints JSON."""
        command = [sys.executable, "-m", "bough_cli", *args]
        done = subprocess.run(command, env=self.environ, cwd=cwd or self.home, check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    def optimize(self, repository: Path) -> dict[str, Any]:
        """Start the optimization of ``repository``, wait for its end, return it."""
        one = self.bough("optimize", str(repository), "--detach", "--json")
        while True:
            now = self.bough("optimization", "show", one["id"], "--json")
            if now["state"] not in ("RUNNING", "STOPPING"):
                return dict(now)
            time.sleep(0.5)

    def jobs(self, optimization: str) -> list[dict[str, Any]]:
        """Return its trials with their attempts."""
        rows = self.bough("job", "ls", "--optimization", optimization, "--limit", "1000", "--json")
        return [self.bough("job", "show", row["id"], "--json") for row in rows[:20]]


def phases(jobs: list[dict[str, Any]]) -> str:
    """Return the medians of what a trial's time went into, in milliseconds."""
    spans: dict[str, list[float]] = {}
    for job in jobs:
        attempt = job["history"][-1]
        inside = job["duration_s"] * 1000
        whole = (attempt["ended_at"] - attempt["claimed_at"]) * 1000
        spans.setdefault("supervised process", []).append(inside)
        spans.setdefault("claim to end without it (reply, tree, launch, exit, sync)", []).append(whole - inside)
    return ", ".join(f"{name} {statistics.median(values):.1f} ms" for name, values in spans.items())


def compare(kind: str, daemons: Daemons, repository: Path, place: Path, options: argparse.Namespace) -> None:
    """Run bare and bough alternately; print each ratio, their median and the phases of a trial."""
    ratios, jobs = [], []
    for round_number in range(options.rounds + 1):
        bare = bare_seconds(options.trials, place)
        one = daemons.optimize(repository)
        taken = one["ended_at"] - one["created_at"]
        if round_number:  # the first round warms caches on both sides
            ratios.append(taken / bare)
            jobs += daemons.jobs(one["id"])
        print(f"{kind}: bare {bare:.2f} s, bough {taken:.2f} s, ratio {taken / bare:.2f}  {one['counts']}")
    print(f"{kind}: median ratio {statistics.median(ratios):.2f} over {len(ratios)} rounds")
    print(f"{kind}: phases of a trial (medians): {phases(jobs)}")


def main() -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as folder, Daemons(Path(folder)) as daemons:
        place = Path(folder)
        for kind, script in (("without bough", WITHOUT), ("reporting", REPORTING)):
            repository = make_repository(place / kind.replace(" ", "-"), script, options.trials, options.files)
            compare(kind, daemons, repository, place, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
