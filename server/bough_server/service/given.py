"""What no optimizer asked for but should know: points set by hand, and the trials of an earlier optimization.

Both enter the one append-only history. Neither draws a seed nor counts for the warm-up, which goes by the numbers of
asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from bough.definition import Space
from bough.definition.values import as_text
from bough.errors import Conflict, UsageError
from bough_server.service import definitions, quotas, states, told
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.states import DONE, PAUSED, RUNNING
from bough_server.service.trials import next_trial
from bough_server.service.views import space_of
from bough_server.store import reads
from bough_server.store.schema import optimizations

_FIRST = -1  # older than ask 0


def enqueue(
    tx: Connection,
    optimization_id: str,
    body: Mapping[str, Any],
    now: float,
    new_id: Callable[[], str],
    changes: Changes,
) -> str:
    """Make the values in ``body`` the next trial of an optimization, and return its id.

    Raises:
        UsageError: A value is wrong.
        Conflict: It starts no more trials.
    """
    row = reads.optimization(tx, optimization_id)
    space = Space.from_json(space_of(tx, row))
    given = lifecycle.mapping_of(body, "values")
    if not given:
        raise UsageError("there are no values.", 'Send {"values": {"name": value}}, or -p name=value.')
    values = space.point(given)
    if row["state"] not in (RUNNING, PAUSED):
        raise Conflict(f"optimization {row['id']} is {row['state']} and takes no points.", _more(row))
    quotas.of_jobs(tx, row["model"])
    row = _beside_the_grid(tx, row, space)
    job_id = next_trial(tx, row, now, new_id, changes)
    if job_id is None:
        raise Conflict(f"optimization {row['id']} has started all of its {row['max_trials']} trials.", _more(row))
    why = _outside(space, values)
    known = {"ask_number": None if why else _FIRST - row["asks"], "history_seq": row["history_seq"]}
    known["digest"] = definitions.digest_of(values)
    states.move_job(tx, job_id, "enqueue", values=values, queued_at=now, **known)
    changes.of_job(reads.job(tx, job_id))
    if why is not None:
        number = reads.job(tx, job_id)["number"]
        warn(tx, row["id"], f"trial {number} runs, but the optimizer is not told of it: {why}.")
    return job_id


def _beside_the_grid(tx: Connection, row: dict[str, Any], space: Space) -> dict[str, Any]:
    """Return the row; where a whole grid is tried, with one trial more: a point set by hand must not cost one of it."""
    size = lifecycle.points_of(space) if row["algorithm"] == "grid" else None
    if size is None or row["max_trials"] < size:
        return row
    most = row["max_trials"] + 1
    tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(max_trials=most))
    return {**row, "max_trials": most}


def _more(row: Mapping[str, Any]) -> str:
    if row["state"] in (RUNNING, PAUSED, DONE):
        return f"Give it more: bough optimization extend {row['id']} --max-trials N."
    return "Start a new one."


def _outside(space: Space, values: Mapping[str, Any]) -> str | None:
    """Return why the space could never draw these very values, or None where it could."""
    searched = {path: value for path, value in values.items() if path in space.searched}
    usual = space.complete(searched)
    for path, value in values.items():
        if usual.get(path) != value:
            return f"{path} is not searched, and always {as_text(usual[path]) if path in usual else 'left out'}"
    return space.misfit(values)


def warm_start(tx: Connection, optimization_id: str, earlier_id: Any, now: float) -> None:
    """Begin the history of a new optimization with what an earlier one found, as far as it fits; None: with nothing.

    Raises:
        UsageError: There is nothing that fits, or it is of another model or KPI.
        NotFound: There is no earlier one of that id.
    """
    if earlier_id is None:
        return
    if not isinstance(earlier_id, str) or not earlier_id:
        raise UsageError(f"warm_start is {str(earlier_id)[:100]!r}, no id.", "Send the id of an earlier optimization.")
    row, earlier = reads.optimization(tx, optimization_id), reads.optimization(tx, earlier_id)
    _check_alike(row, earlier)
    space = Space.from_json(space_of(tx, row))
    found = [(entry, space.misfit(entry["values"])) for entry in told.newest(tx, earlier)]
    fitting = [entry for entry, why in found if why is None]
    others = [why for _, why in found if why is not None]
    if not fitting:
        raise UsageError(
            f"optimization {earlier['id']} cannot be built on: {_nothing(others)}", "Leave warm_start out."
        )
    told.append(tx, row, ({**entry, "generation": row["generation"], "ask_number": _FIRST} for entry in fitting))
    if others:
        left_out = f"{len(others)} of {len(found)} trials of optimization {earlier['id']} are left out"
        warn(tx, row["id"], f"{left_out}, for they do not fit this space. The first: {others[0]}.")


def _nothing(others: list[str]) -> str:
    return f"none of its trials fits this space. The first: {others[0]}." if others else "it has no ended trial."


def _check_alike(row: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
    """Refuse what would compare losses of different things."""
    if earlier["model"] != row["model"]:
        raise UsageError(
            f"optimization {earlier['id']} is of the model {earlier['model']}, not of {row['model']}.",
            "Build on one of the same model.",
        )
    for name, what in (("kpi_channel", "KPI"), ("kpi_direction", "direction")):
        before = earlier[name] or earlier[name + "_seen"]
        if row[name] is not None and before is not None and row[name] != before:
            raise UsageError(
                f"the {what} of optimization {earlier['id']} is {before}, that of the new one is {row[name]}.",
                "Build on one with the same KPI and direction.",
            )


def warn(tx: Connection, optimization_id: str, text: str) -> None:
    """Add a sentence to what the optimization's users should know."""
    mine = optimizations.c.id == optimization_id
    known = tx.execute(select(optimizations.c.warnings).where(mine)).scalar_one()
    tx.execute(update(optimizations).where(mine).values(warnings=[*known, text]))
