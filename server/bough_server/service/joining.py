"""An optimization that went on elsewhere, held against what is known of it here.

Its history is append-only, so three things can be: all of what comes is here (nothing to do), what is here is where
that began (it is taken over), or both went on, each in its own way. Then nothing of either is given up: the
optimization here stays as it is, and what came is kept under a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from bough_server.archive.assembly import public
from bough_server.archive.chains import OptimizationRows
from bough_server.archive.chronicle import OTHERS
from bough_server.service import intake, states
from bough_server.store import schema
from bough_server.store.dialects import upsert

Row = Mapping[str, Any]
LIVE = (states.RUNNING, states.STOPPING)
ELSEWHERE = "It came from another coordinator while it was running there; resume it to go on here."

# What follows from trials and ends, or is of one coordinator only: everything else is a setting.
_FOLLOWS = frozenset(
    {"state", "reason", "revision", "created_by", "ended_at", "stopped_by", "failures_in_row", "history_seq", "asks"}
    | {"numbers", "kpi_channel_seen", "kpi_direction_seen", "warnings", "versions"}
)
_TOLD = ("seq", "generation", "job", "ask_number", "values", "loss")
_GIVEN = ("generation", "number", "ask_number", "values")


class Apart(Exception):
    """What came is whole, but cannot be joined with what is here; its text ends a sentence that begins with its ref."""


@dataclass(frozen=True)
class Here:
    """What is known of an optimization.

    Args:
        row: Of the table of optimizations.
        spaces: Versions of its space, by number.
        trials: Rows of its jobs, by id.
        history: Its ends, in order.
        others: Keys of the rows of the other tables that belong to it.
    """

    row: Row
    spaces: Mapping[int, Row]
    trials: Mapping[str, Row]
    history: Sequence[Row]
    others: Mapping[Table, frozenset[Any]] = field(default_factory=dict)

    @property
    def waiting(self) -> list[str]:
        """Ids of the trials that have not begun here."""
        never = (states.CREATED, states.QUEUED)
        return [its_id for its_id, row in self.trials.items() if row["state"] in never and row["attempt"] == 0]


def here(tx: Connection, optimization_id: str) -> Here:
    """Return what the store knows of an optimization, which is there."""
    spaces, history = schema.space_versions, schema.history
    (row,) = _rows(tx, schema.optimizations, schema.optimizations.c.id == optimization_id)
    ends = select(history).where(history.c.optimization == optimization_id).order_by(history.c.seq)
    return Here(
        {**row, "source": public(row["source"])},
        {one["version"]: one for one in _rows(tx, spaces, spaces.c.optimization == optimization_id)},
        {one["id"]: one for one in _rows(tx, schema.jobs, schema.jobs.c.optimization == optimization_id)},
        [dict(one) for one in tx.execute(ends).mappings()],
        {table: _keys(table, _rows(tx, table, table.c.optimization == optimization_id)) for table in OTHERS},
    )


def goes_on(known: Here, found: OptimizationRows, base: Row | None, is_newer: bool) -> bool:
    """Tell whether what came goes on from what is here; False: all of it is here.

    Args:
        known: What is here.
        found: What came.
        base: The row of the optimization where the two chains parted, None if that cannot be told.
        is_newer: Whether the chain that came stands on the one here.

    Raises:
        Apart: Both have what the other has not.
    """
    ours, theirs = _more_ends(known.history, found.history)
    mine, other = _more_trials(known.trials, found.trials)
    spaces = {one["version"]: one for one in found.spaces}
    if any(known.spaces[version] != spaces[version] for version in known.spaces.keys() & spaces.keys()):
        raise Apart("has another space than the one here.")
    there = {table: _keys(table, found.others.get(table, [])) for table in OTHERS}
    ours |= bool(mine or known.spaces.keys() - spaces.keys() or any(known.others[one] - there[one] for one in OTHERS))
    theirs |= bool(
        other or spaces.keys() - known.spaces.keys() or any(there[one] - known.others[one] for one in OTHERS)
    )
    if ours and theirs:
        only = f": trial {min(mine)} is only here, trial {min(other)} only there" if mine and other else ""
        raise Apart(f"went on here and elsewhere{only}.")
    if not theirs:
        return is_newer and not ours and not _busy(known)
    if _busy(known):
        raise Apart(f"goes on elsewhere, and here its trial {min(_busy(known))} is running.")
    changed = [name for name in found.row if name not in _FOLLOWS and known.row[name] != found.row[name]]
    if not is_newer and any(base is None or known.row[name] != base[name] for name in changed):
        raise Apart(f"went on elsewhere, and its {', '.join(changed[:3])} was changed here.")
    return True


def take_over(tx: Connection, known: Here, found: OptimizationRows) -> None:
    """Put what came in the place of what is here, as far as the optimization goes: all but its jobs and new ends.

    Trials that have not begun here go; they come again with their jobs and `intake.add_history`.
    """
    row, its_id = found.row, known.row["id"]
    paused(row)
    revision = intake.know_definition(
        tx, row["model"], row["revision"], found.definition, row["created_at"], row["created_by"]
    )
    values = {name: value for name, value in row.items() if name not in ("id", "created_by")} | {"revision": revision}
    tx.execute(update(schema.optimizations).where(schema.optimizations.c.id == its_id).values(**values))
    upsert(tx, schema.space_versions, found.spaces)
    for table, rows in found.others.items():
        tx.execute(delete(table).where(table.c.optimization == its_id))
        if rows:
            tx.execute(insert(table), rows)
    for table, column in ((schema.job_marks, schema.job_marks.c.job), (schema.jobs, schema.jobs.c.id)):
        tx.execute(delete(table).where(column.in_(known.waiting)))


def marks_of_waiting(tx: Connection, known: Here) -> list[dict[str, Any]]:
    """Return the marks of trials that have not begun, which `take_over` removes with them."""
    return _rows(tx, schema.job_marks, schema.job_marks.c.job.in_(known.waiting))


def paused(row: dict[str, Any]) -> None:
    """Let an optimization that runs elsewhere not run here as well: each would ask for the same trials."""
    if row["state"] in LIVE:
        row["state"], row["reason"] = states.PAUSED, ELSEWHERE


def _more_ends(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[bool, bool]:
    for mine, other in zip(ours, theirs, strict=False):
        if any(mine[name] != other[name] for name in _TOLD):
            raise Apart(f"went on here and elsewhere: its end number {mine['seq']} is another one here.")
    return len(ours) > len(theirs), len(theirs) > len(ours)


def _more_trials(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> tuple[list[int], list[int]]:
    """Return the numbers of trials whose values only the one, and only the other side knows."""
    mine = {its_id: row for its_id, row in ours.items() if row["values"] is not None}
    other = {its_id: row for its_id, row in theirs.items() if row["values"] is not None}
    for its_id in mine.keys() & other.keys():
        if any(mine[its_id][name] != other[its_id][name] for name in _GIVEN):
            raise Apart(f"has other values for its trial {mine[its_id]['number']} than those here.")
    return _numbers(mine, mine.keys() - other.keys()), _numbers(other, other.keys() - mine.keys())


def _numbers(rows: Mapping[str, Row], ids: Iterable[str]) -> list[int]:
    return sorted(int(rows[its_id]["number"]) for its_id in ids)


def _busy(known: Here) -> list[int]:
    """Return the numbers of trials that are with an agent here, or were."""
    begun = [row for row in known.trials.values() if row["state"] not in states.TERMINAL]
    return [int(row["number"]) for row in begun if row["attempt"] > 0]


def _keys(table: Table, rows: Iterable[Row]) -> frozenset[Any]:
    return frozenset(tuple(row[column.name] for column in table.primary_key) for row in rows)


def _rows(tx: Connection, table: Table, where: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(select(table).where(where)).mappings()]
