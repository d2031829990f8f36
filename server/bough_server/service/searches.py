"""Reads a search from the store, with everything that its asks depended on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from bough_server.optimizers.base import Outcome
from bough_server.optimizers.replay import Search, Trial
from bough_server.store import reads
from bough_server.store.schema import history, jobs, space_versions


def search(tx: Connection, optimization_id: str) -> Search:
    """Return the search of an optimization; the beginning of its id will do.

    Raises:
        NotFound: There is none, or several begin like that.
    """
    row = reads.optimization(tx, optimization_id)
    told: dict[str, Any] = {}
    outcomes = []
    entries = select(history.c.job, history.c.ask_number, history.c["values"], history.c.loss)
    ended = entries.where(history.c.optimization == row["id"]).order_by(history.c.seq)
    for job_id, number, values, loss in tx.execute(ended):
        told[job_id] = values
        outcomes.append(Outcome(number, values, loss))
    asked = select(jobs.c.id, jobs.c.number, jobs.c.ask_number, jobs.c.history_seq, jobs.c["values"])
    mine = (jobs.c.optimization == row["id"]) & (jobs.c.ask_number >= 0)  # below 0: values that nobody asked for
    found = tx.execute(asked.where(mine).order_by(jobs.c.ask_number)).all()
    trials = [Trial(number, ask, seen, values, told.get(job_id)) for job_id, number, ask, seen, values in found]
    return Search(row["id"], row["versions"], spaces(tx, row["id"]), trials, outcomes)


@dataclass(frozen=True)
class Told:
    """What an optimizer knows now: the newest space, and the history in the order of ends."""

    id: str
    seed: int
    space_version: int
    space: Mapping[str, Any]
    history: list[Outcome]


def told(tx: Connection, optimization_id: str) -> Told:
    """Return what the optimizer of an optimization knows now; the beginning of its id will do.

    Raises:
        NotFound: There is none, or several begin like that.
    """
    row, space = newest_space(tx, optimization_id)
    entries = select(history.c.ask_number, history.c["values"], history.c.loss)
    ended = tx.execute(entries.where(history.c.optimization == row["id"]).order_by(history.c.seq))
    outcomes = [Outcome(number, values, loss) for number, values, loss in ended]
    return Told(row["id"], row["seed"], row["space_version"], space, outcomes)


def spaces(tx: Connection, optimization_id: str) -> dict[int, dict[str, Any]]:
    """Return the spaces of an optimization by version."""
    found = select(space_versions.c.version, space_versions.c.space)
    rows = tx.execute(found.where(space_versions.c.optimization == optimization_id).order_by(space_versions.c.version))
    return {row.version: row.space for row in rows}


def newest_space(tx: Connection, optimization_id: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the row of an optimization and its space as it is searched now."""
    row = reads.optimization(tx, optimization_id)
    return row, spaces(tx, row["id"])[row["space_version"]]
