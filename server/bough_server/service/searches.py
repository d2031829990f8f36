"""Reads a search from the store, with everything that its asks depended on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from bough.errors import NotFound
from bough_server.optimizers.base import Outcome
from bough_server.optimizers.replay import Entry, Search, Trial
from bough_server.service.told import newest
from bough_server.store import reads
from bough_server.store.schema import generations, history, jobs, space_versions


def search(tx: Connection, optimization_id: str, generation: int | None = None) -> Search:
    """Return the search of an optimization; the beginning of its id will do. None: its newest generation.

    Raises:
        NotFound: There is none, or several begin like that, or it has no such generation.
    """
    row = of_generation(tx, reads.optimization(tx, optimization_id), generation)
    told: dict[str, Any] = {}
    entries: list[Entry] = []
    first: dict[str, int] = {}
    ended = (history.c.optimization == row["id"]) & (history.c.generation == row["generation"])
    for entry in tx.execute(select(history).where(ended).order_by(history.c.seq)).mappings():
        told[entry["job"]] = entry["values"]
        place = first.setdefault(entry["job"], len(first))
        entries.append(Entry(entry["seq"], place, Outcome(entry["ask_number"], entry["values"], entry["loss"])))
    mine = (jobs.c.optimization == row["id"]) & (jobs.c.generation == row["generation"])
    asked = select(jobs).where(mine, jobs.c.ask_number >= 0)  # below 0: values that nobody asked for
    found = tx.execute(asked.order_by(jobs.c.ask_number)).mappings()
    trials = [
        Trial(job["number"], job["ask_number"], job["history_seq"], job["values"], told.get(job["id"]), job["again"])
        for job in found
    ]
    return Search(row["id"], row["versions"], spaces(tx, row["id"]), trials, entries)


def of_generation(tx: Connection, row: Mapping[str, Any], generation: int | None) -> Mapping[str, Any]:
    """Return the row of an optimization as it was when that generation of it ended; None: as it is.

    Raises:
        NotFound: It never had that generation.
    """
    if generation is None or generation == row["generation"]:
        return row
    mine = (generations.c.optimization == row["id"]) & (generations.c.generation == generation)
    found = tx.execute(select(generations.c.row).where(mine)).scalar_one_or_none()
    if found is None:
        raise NotFound(
            f"optimization {row['id']} has no generation {generation}.", f"It is in its generation {row['generation']}."
        )
    return {**row, **found}


@dataclass(frozen=True)
class Told:
    """What an optimizer knows now: the newest space, and the history in the order of ends.

    ``as_of`` is its generation, the version of its space and the length of its history; the same: nothing has changed.
    """

    id: str
    seed: int
    as_of: tuple[int, int, int]
    space: Mapping[str, Any]
    history: list[Outcome]


def told(tx: Connection, optimization_id: str) -> Told:
    """Return what the optimizer of an optimization knows now; the beginning of its id will do.

    Raises:
        NotFound: There is none, or several begin like that.
    """
    row, space = newest_space(tx, optimization_id)
    outcomes = [Outcome(entry["ask_number"], entry["values"], entry["loss"]) for entry in newest(tx, row)]
    as_of = (row["generation"], row["space_version"], row["history_seq"])
    return Told(row["id"], row["seed"], as_of, space, outcomes)


def spaces(tx: Connection, optimization_id: str) -> dict[int, dict[str, Any]]:
    """Return the spaces of an optimization by version."""
    found = select(space_versions.c.version, space_versions.c.space)
    rows = tx.execute(found.where(space_versions.c.optimization == optimization_id).order_by(space_versions.c.version))
    return {row.version: row.space for row in rows}


def newest_space(tx: Connection, optimization_id: str) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the row of an optimization and its space as it is searched now."""
    row = reads.optimization(tx, optimization_id)
    return row, spaces(tx, row["id"])[row["space_version"]]
