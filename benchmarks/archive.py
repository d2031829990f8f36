"""What the archive costs: records written, their size, lists and differences of a clone, a rebuild, an agent's fetch.

    python benchmarks/archive.py [--trials 20000]

Each trial has one channel of 100 points and a log of 20 lines; the optimization is searched in three hyperparameters.
Written means: read from the store, written by git, noted in the store, refs and packs gathered on the way. Commands are
whole processes as a user starts them, each beside what git or Python alone needs for the same, taking turns: the ratio
says more than the time on a machine that others use.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import queue
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("sdk", "server")]

import numpy as np  # noqa: E402  (runs from a clone, installed or not)
from sqlalchemy import Connection, Table, insert  # noqa: E402

from bough import _git  # noqa: E402
from bough.definition import parse  # noqa: E402
from bough_server import app  # noqa: E402
from bough_server.archive import parsing, upkeep  # noqa: E402
from bough_server.archive.archivist import BATCH, Archivist  # noqa: E402
from bough_server.archive.repositories import Repositories  # noqa: E402
from bough_server.archive.upkeep import Upkeep  # noqa: E402
from bough_server.config import Config  # noqa: E402
from bough_server.service.definitions import revise  # noqa: E402
from bough_server.service.optimizations import create  # noqa: E402
from bough_server.service.rebuild import rebuild  # noqa: E402
from bough_server.store import points, schema  # noqa: E402
from bough_server.store.database import Database  # noqa: E402

MODEL, AT = "me/bench", 1_700_000_000.0
POINTS, LINES = 100, 20
DEFINITION = {
    "model": MODEL,
    "command": "python train.py",
    "hyperparameters": {
        "lr": 0.1,
        "batch": 32,
        "kind": {"type": "choice_string", "choices": ["a", "b"], "default": "a"},
    },
    "optimization": {
        "algorithm": "random",
        "max_trials": 1_000_000,
        "space": {"lr": "loguniform(1e-5, 1)", "batch": "range(16, 128, 16)", "kind": "choice"},
    },
}


def make_code(repositories: Repositories) -> str:
    """Make a commit of 50 files in the model's repository; return its id."""
    place = str(repositories.ensure(MODEL))
    files = "".join(f"M 100644 inline src/file{n}.py\ndata 6\nprint\n\n" for n in range(50))
    stream = f"commit refs/bough/code/x\ncommitter a <a@b> 1 +0000\ndata 1\nc\n{files}done\n".encode()
    _git.run(["fast-import", "--quiet", "--done"], git_dir=place, input=stream)
    sha = _git.run(["rev-parse", "refs/bough/code/x"], git_dir=place).decode().strip()
    _git.run(["update-ref", f"refs/bough/code/{sha}", sha], git_dir=place)
    return sha


def fill(tx: Connection, trials: int, commit: str) -> None:
    """Put an optimization with so many ended trials into the store."""
    found = parse(DEFINITION)
    revise(tx, found, AT, "k")
    body = {"commit": commit, "folder": "", "source": {"url": "https://host/me/bench.git", "branch": "main"}}
    made = create(tx, found, body, AT, "k", lambda: "bench123", 1)
    agent = {"id": "agent123", "name": "gpu1", "key": "k", "host": "box", "system": {"cpus": 8, "platform": "Linux"}}
    tx.execute(insert(schema.agents), parsing.row(schema.agents, {**agent, "labels": []}, "here"))
    rng = random.Random(1)
    rows: dict[Table, list[dict[str, Any]]] = {}
    for number in range(1, trials + 1):
        for table, row in trial(made, number, commit, rng):
            rows.setdefault(table, []).append(row)
    for table, some in rows.items():
        tx.execute(insert(table), some)
    counted = {"history_seq": trials, "asks": trials, "numbers": trials, "kpi_channel_seen": "accuracy"}
    tx.execute(schema.optimizations.update().values(**counted, kpi_direction_seen="maximize"))


def trial(optimization: str, number: int, commit: str, rng: random.Random) -> list[tuple[Table, dict[str, Any]]]:
    """Return the rows of one trial, in the order in which they may be inserted."""
    job, at = f"j{number:07d}", AT + 60 * number
    values = {"lr": 10 ** rng.uniform(-5, 0), "batch": rng.choice([16, 32, 48]), "kind": rng.choice("ab")}
    y = np.cumsum(np.array([rng.gauss(0.01, 0.01) for _ in range(POINTS)]))
    log = "".join(f"epoch {n} loss {rng.random():.6f}\n" for n in range(LINES)).encode()
    best = int(np.argmax(y))
    facts: dict[str, Any] = {
        "kpi": float(y[-1]),
        "kpi_last": float(y[-1]),
        "kpi_best": float(y[best]),
        "kpi_best_x": best + 1.0,
    }
    facts |= {"state": "DONE", "end_reason": "max_epochs", "created_at": at, "queued_at": at, "started_at": at + 1}
    facts |= {"ended_at": at + 50, "duration_s": 49.0, "exit_code": 0, "epochs": float(POINTS), "max_epochs": 100.0}
    made = {"id": job, "optimization": optimization, "number": number, "model": MODEL, "revision": 1, "commit": commit}
    asked = {"values": values, "ask_number": number - 1, "history_seq": number - 1, "agent": "agent123", "attempt": 1}
    own = {"job": job, "attempt": 1}
    writer = f"{number}-0a1b2c3d"
    journals = {writer: {"bytes": 9000, "crc": 1, "cut": None}}
    exit_ = {"exit_code": 0, "duration_s": 49.0, "log": {"bytes": len(log), "crc": 1}, "journals": journals}
    attempt = {**own, "agent": "agent123", "state": "ended", "claimed_at": at, "started_at": at, "ended_at": at + 50}
    channel = {**own, "id": number, "name": "accuracy", "type": "number", "traces": ["accuracy"], "main": True}
    channel |= {"kpi": True, "kpi_trace": 0, "maximize": True, "loss": False, "declared": True, "spec": {}}
    x = np.arange(1, POINTS + 1, dtype=np.float64)
    t = np.round(at + np.cumsum(np.array([rng.uniform(0.3, 0.7) for _ in range(POINTS)])), 6)  # as journals have it
    chunk = points.encode(points.Chunk(np.arange(2, 2 * POINTS + 2, 2), x, t, [y]))
    end = {"optimization": optimization, "seq": number, "job": job, "ask_number": number - 1, "values": values}
    return [
        (schema.jobs, parsing.row(schema.jobs, {**made, **asked, **facts, "desired": "run"}, "here")),
        (schema.attempts, parsing.row(schema.attempts, {**attempt, "python": "/usr/bin/python3", "exit": exit_}, "")),
        (schema.channels, {**channel, "points": POINTS}),
        (
            schema.point_chunks,
            {"channel": number, "writer": writer, "first_seq": 2, "last_seq": 200, "n": 100, "data": chunk},
        ),
        (schema.channel_last, {"channel": number, "trace": 0, "y": float(y[-1]), "text": None}),
        (schema.log_chunks, {**own, "offset": 0, "n": len(log), "data": zlib.compress(log, 1)}),
        (schema.history, {**end, "loss": -float(y[-1]), "ended_at": at + 50}),
    ]


def cpu() -> float:
    """Return how many seconds of CPU this process and the children it has waited for have used."""
    return sum(os.times()[:4])


def packed_bytes(repository: Path) -> int:
    """Return how large the repository's packs are."""
    return sum(pack.stat().st_size for pack in (repository / "objects" / "pack").glob("*.pack"))


def fetches(url: str, token: str, commit: str, folder: Path, rounds: int) -> list[float]:
    """Return how many milliseconds an agent's cache takes to fetch one commit, empty each time; and git's own start."""
    found = []
    for number in range(rounds):
        cache = folder / f"cache{number}.git"
        _git.run(["init", "--quiet", "--bare", str(cache)])
        started = time.perf_counter()
        _git.run(
            ["fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", f"{url}/git/{MODEL}.git", commit],
            git_dir=str(cache),
            token=token,
        )
        found.append((time.perf_counter() - started) * 1000)
    return found


def served(home: Path, commit: str, folder: Path, rounds: int) -> list[float]:
    """Serve the records over HTTP and fetch the code's commit beside them."""
    ready: queue.Queue[tuple[str, app.Server, asyncio.AbstractEventLoop]] = queue.Queue()
    config = Config(home, port=0)

    def run() -> None:
        asyncio.run(
            app.serve(config, lambda line: None, lambda url, s: ready.put((url, s, asyncio.get_running_loop())))
        )

    thread = threading.Thread(target=run)
    thread.start()
    url, server, loop = ready.get(timeout=60)
    try:
        return fetches(url, (home / "admin.key").read_text().strip(), commit, folder, rounds)
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join()


def timed(command: list[str], cwd: Path, environ: dict[str, str]) -> tuple[float, str]:
    """Run a command; return how many milliseconds it took, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=True)
    return (time.perf_counter() - started) * 1000, done.stdout


def commands(mirror: Path, folder: Path, trials: int) -> None:
    """Print what lists and differences take in a clone, from the first one on."""
    parts = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "BOUGH_HOME": str(folder / "user"), "PYTHONPATH": parts}
    bough, plain = [sys.executable, "-m", "bough_cli", "job"], [sys.executable, "-c", "import click"]
    first, _ = timed([*bough, "ls"], mirror, environ)
    print(f"first listing       {first:8.0f} ms: {trials} records are read")
    of_git = {
        "ls": ["git", "for-each-ref", "refs/bough/jobs"],
        "diff": ["git", "diff", "--stat", *(f"refs/bough/jobs/bench123/{n:04d}-j{n:07d}" for n in (7, trials))],
    }
    for name, asked, most in (
        ("listing", ["ls"], 500),
        ("listing of all", ["ls", "--limit", str(trials), "--sort", "kpi"], 0),
        ("job diff", ["diff", "bench123/7", f"bench123/{trials}"], 300),
    ):
        rounds = [
            (timed([*bough, *asked], mirror, environ)[0], *beside(of_git[asked[0]], plain, mirror, environ))
            for _ in range(7)
        ]
        took, alone, start = (statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(one / (other + third) for one, other, third in rounds)
        limit = f" (<= {most})" if most else ""
        print(f"{name:19} {took:8.0f} ms{limit}, {ratio:.1f} times git ({alone:.0f}) and an empty Python ({start:.0f})")


def beside(of_git: list[str], plain: list[str], mirror: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Return the milliseconds of git's own command, and of an interpreter that does nothing."""
    return timed(of_git, mirror, environ)[0], timed(plain, mirror, environ)[0]


def measure(folder: Path, trials: int) -> None:
    """Print one line per figure."""
    home = folder / "home"
    config = Config(home, port=0)
    store, repositories = Database.open(config.database), Repositories(config.repositories)
    commit = make_code(repositories)
    store.write_sync(lambda tx: fill(tx, trials, commit))
    repository = repositories.path(MODEL)
    archivist = Archivist(store, repositories, upkeep=Upkeep())
    batches: list[float] = []

    async def write() -> None:
        while True:
            started = time.perf_counter()
            if not await archivist.write_once():
                return
            batches.append(time.perf_counter() - started)

    started, used = time.perf_counter(), cpu()
    asyncio.run(write())
    took, used = time.perf_counter() - started, cpu() - used
    store.close()
    last = statistics.median(batches[-20:])
    print(f"records written     {trials / took:8.0f} /s over all, {BATCH / last:.0f} /s in the last batches (>= 500)")
    print(f"  of CPU            {used / trials * 1000:8.2f} ms a record")
    upkeep.pack(repository)
    print(f"size, packed        {packed_bytes(repository) / trials / 1024:8.2f} KB a record, chain included (<= 3)")
    mirror = folder / "mirror.git"
    subprocess.run(["git", "clone", "--quiet", "--mirror", str(repository), str(mirror)], check=True)
    commands(mirror, folder, trials)
    started, used = time.perf_counter(), cpu()
    found = rebuild(Config(folder / "anew", port=0), [str(mirror)], lambda what, done, total: None)
    took, used = time.perf_counter() - started, cpu() - used
    assert found.jobs == trials, found.problems[:3]
    assert not found.problems
    print(f"rebuild             {took:8.1f} s of {trials} trials of {POINTS} points, {used:.1f} s of CPU (<= 30 s)")
    times = served(home, commit, folder, 12)[2:]
    print(f"fetch of a commit   {statistics.median(times):8.0f} ms, at most {max(times):.0f} (<= 100)")


def main() -> None:
    """Measure in a temporary folder."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trials", type=int, default=20_000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-archive-") as folder:
        measure(Path(folder), chosen.trials)


if __name__ == "__main__":
    main()
