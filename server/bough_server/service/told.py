"""What an optimizer is told: of each trial the last word, in the order in which trials were first heard of.

The history is only appended to, so that what an ask saw stays one integer. A trial that was tried again, or whose KPI
is reckoned otherwise since, has a later entry, which stands in the place of its earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from bough_server.optimizers.base import Outcome
from bough_server.store.schema import history, optimizations

_ITS = update(optimizations).where(optimizations.c.id == bindparam("its_id"))
_NEW = (
    select(history)
    .where(history.c.optimization == bindparam("its_id"), history.c.generation == bindparam("its_generation"))
    .where(history.c.seq > bindparam("known"))
    .order_by(history.c.seq)
)


class Told:
    """A growing prefix of one generation's history."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.seq = 0  # of the last entry that is in here
        self._by_job: dict[str, Outcome] = {}

    def read(self, tx: Connection, optimization_id: str) -> None:
        """Take in what was appended since."""
        which = {"its_id": optimization_id, "its_generation": self.generation, "known": self.seq}
        for entry in tx.execute(_NEW, which).mappings():
            self.seq = entry["seq"]
            self._by_job[entry["job"]] = Outcome(entry["ask_number"], entry["values"], entry["loss"])

    def outcomes(self) -> list[Outcome]:
        """Return what an optimizer is told of it."""
        return list(self._by_job.values())


def newest(tx: Connection, optimization: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the entries that count, of the generation of an optimization (its row): the last one of each trial."""
    mine = (history.c.optimization == optimization["id"]) & (history.c.generation == optimization["generation"])
    rows = tx.execute(select(history).where(mine).order_by(history.c.seq)).mappings()
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found[row["job"]] = dict(row)
    return list(found.values())


def append(tx: Connection, optimization: Mapping[str, Any], entries: Iterable[Mapping[str, Any]], **more: Any) -> int:
    """Append entries, each ``{generation, job, ask_number, values, loss, ended_at}``; return the new length.

    ``more`` are columns of the optimization that are set with it.
    """
    seq = int(optimization["history_seq"])
    rows = [{**entry, "optimization": optimization["id"], "seq": n} for n, entry in enumerate(entries, seq + 1)]
    if rows:
        tx.execute(insert(history), rows)
        tx.execute(_ITS, {"its_id": optimization["id"], "history_seq": seq + len(rows), **more})
    return seq + len(rows)
