"""A coordinator's home in which an optimization has ten thousand ended trials: what the other benchmarks start from.

Rows are written through the store as a real search would have left them, points, log-free attempts, history and
versions included; values are what random search draws for these asks, so that the search can be verified.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in ("sdk", "agent", "server", "cli", "benchmarks")]

import numpy as np  # noqa: E402
from sqlalchemy import Connection, bindparam, insert, update  # noqa: E402

from bough.definition import Definition, parse  # noqa: E402
from bough_server.coordinator import new_id  # noqa: E402
from bough_server.optimizers import random_search  # noqa: E402
from bough_server.optimizers.client import OptimizerProcess  # noqa: E402
from bough_server.optimizers.seeds import seed_of_ask  # noqa: E402
from bough_server.service import optimizations, provenance  # noqa: E402
from bough_server.service.changes import Changes  # noqa: E402
from bough_server.service.trials import add_trials  # noqa: E402
from bough_server.store import points, reads, schema  # noqa: E402
from bough_server.store.database import Database  # noqa: E402

SEED = 7
MORE = 100_000  # trials that may still come
KEY = "bench"


def definition(trials: int, agents: list[str]) -> Definition:
    """Return a mixed, conditional space of ten hyperparameters; tpe after so many random trials."""
    told = {
        "model": "bench/big",
        "command": "true",
        "hyperparameters": {
            "batch": 32,
            "steps": 0.175,
            "rate": 0.1,
            "decay": 0.1,
            "units": 32,
            "act": {"type": "choice_string", "choices": ["relu", "tanh", "gelu"]},
            "opt": {
                "type": "choice_group",
                "choices": {"sgd": {"lr": 0.1, "momentum": 0.5}, "adam": {"lr": 0.01, "warm": 1}},
            },
        },
        "optimization": {
            "algorithm": "tpe",
            "seed": SEED,
            "initial_random": trials,
            "max_trials": trials + MORE,
            "max_parallel": 4,
            "agents": agents,
            "kpi": {"channel": "loss", "direction": "minimize"},
            "on_failure": {"stop_after": None},
            "space": {
                "batch": "range(16, 128, 16)",
                "steps": "range(0, 0.5, 0.005)",
                "rate": "uniform(0, 1)",
                "decay": "loguniform(1e-4, 1)",
                "units": "qloguniform(8, 256, 1)",
                "act": "choice",
                "opt": "choice",
                "opt.sgd.lr": "loguniform(1e-4, 1)",
                "opt.sgd.momentum": "uniform(0, 1)",
                "opt.adam.lr": "loguniform(1e-5, 1e-2)",
                "opt.adam.warm": "randint(10)",
            },
        },
    }
    return parse(told)


def drawn(found: Definition, trials: int) -> Iterator[tuple[int, dict[str, Any], float | None]]:
    """Yield number of the ask, values and loss (None: it failed) of each trial."""
    optimizer, space = random_search.make(found.space, 0), found.space
    rng = np.random.default_rng(SEED)
    for number in range(trials):
        values = space.complete(optimizer.ask((), number, seed_of_ask(SEED, number)))
        yield number, values, None if number % 11 == 0 else float(rng.normal())


def fill(home: Path, trials: int, epochs: int, agents: list[str]) -> str:
    """Make the store in a coordinator's home; return the id of the optimization."""
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    found = definition(trials, agents)
    versions = asyncio.run(_versions())
    store = Database.open(home / "coordinator.db")
    try:
        made = store.write_sync(lambda tx: _create(tx, found, trials, versions))
        rows = {row["number"]: row for row in store.read_sync(lambda tx: reads.jobs_of(tx, made))}
        every = list(drawn(found, trials))
        for start in range(0, trials, 1000):
            part = every[start : start + 1000]
            store.write_sync(partial(_end, made=made, rows=rows, part=part, epochs=epochs))
    finally:
        store.close()
    return made


async def _versions() -> dict[str, str]:
    process = OptimizerProcess()
    await process.start()
    await process.stop()
    return process.versions


def _create(tx: Connection, found: Definition, trials: int, versions: Mapping[str, str]) -> str:
    now, changes = time.time(), Changes()
    tx.execute(insert(schema.agents), {
        "id": "bench", "name": "bench", "key": KEY, "epoch": "0", "slots": 4, "version": "", "boot_id": "", "host": "",
        "system": {}, "labels": [], "drain": False, "registered_at": now, "seen_at": now,
    })  # fmt: skip
    body = {"commit": "0" * 40, "folder": "", "source": {}}
    made = optimizations.create(tx, found, body, now, KEY, new_id, SEED)
    add_trials(tx, reads.optimization(tx, made), trials, now, new_id, changes)
    row = reads.optimization(tx, made)
    entries = provenance.noted([], provenance.entry(row, 0, versions))
    provenance.save(tx, row, entries)
    mine = schema.optimizations.c.id == made
    counted = {"asks": trials, "history_seq": trials, "kpi_channel_seen": "loss", "kpi_direction_seen": "minimize"}
    tx.execute(update(schema.optimizations).where(mine).values(**counted))
    return made


def _end(tx: Connection, made: str, rows: Mapping[int, Any], part: list[Any], epochs: int) -> None:
    """Store the ends of some trials: state, attempt, KPI channel with its points, history."""
    jobs, attempts, channels, histories = [], [], [], []
    for number, values, loss in part:
        row, now = rows[number + 1], time.time()
        is_failed = loss is None
        jobs.append({"its": row["id"], "state": "FAILED" if is_failed else "DONE", "values": values,
                     "end_reason": "error" if is_failed else "finished", "ask_number": number, "history_seq": number,
                     "kpi": loss, "kpi_last": loss, "kpi_best": loss, "attempt": 1, "agent": "bench", "ended_at": now,
                     "started_at": now, "duration_s": 2.0, "exit_code": 0, "epochs": float(epochs),
                     "record": f"refs/bough/jobs/{made}/{number + 1}-{row['id']}"})  # fmt: skip
        attempts.append({"job": row["id"], "attempt": 1, "agent": "bench", "marker": "0" * 32, "claim_key": "",
                         "state": "ended", "claimed_at": now, "ended_at": now, "progressed": True})  # fmt: skip
        histories.append({"optimization": made, "seq": number + 1, "generation": 1, "job": row["id"],
                          "ask_number": number, "values": values, "loss": loss, "ended_at": now})  # fmt: skip
        if not is_failed:
            channels.append({"job": row["id"], "attempt": 1, "name": "loss", "type": "number", "traces": ["loss"],
                             "main": True, "kpi": True, "kpi_trace": 0, "maximize": False, "loss": False,
                             "declared": True, "spec": {}, "points": epochs})  # fmt: skip
    change = update(schema.jobs).where(schema.jobs.c.id == bindparam("its"))
    change = change.values({name: bindparam(f"new_{name}") for name in jobs[0] if name != "its"})
    tx.execute(change, [{name if name == "its" else f"new_{name}": one[name] for name in one} for one in jobs])
    tx.execute(insert(schema.attempts), attempts)
    tx.execute(insert(schema.history), histories)
    first = (tx.exec_driver_sql("select coalesce(max(id), 0) from channels").scalar_one()) + 1
    tx.execute(insert(schema.channels), [{**one, "id": first + i} for i, one in enumerate(channels)])
    chunk = _chunk(epochs)
    common = {"writer": "1-00000000", "first_seq": 2, "last_seq": 2 + epochs, "n": epochs, "data": chunk}
    tx.execute(insert(schema.point_chunks), [{"channel": first + i, **common} for i in range(len(channels))])
    last = [{"channel": first + i, "trace": 0, "y": 0.5} for i in range(len(channels))]
    tx.execute(insert(schema.channel_last), last)


def _chunk(epochs: int) -> bytes:
    x = np.arange(epochs, dtype=float)
    return points.encode(points.Chunk(np.arange(2, 2 + epochs), x, 1.7e9 + x, [1 / (x + 1)]))
