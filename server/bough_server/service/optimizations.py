"""The life of an optimization: created, paused, resumed, extended, stopped, and its own end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from bough import definition
from bough.definition.grid import grid_size
from bough.errors import Conflict, UsageError
from bough_server.service import definitions, pausing, quotas, sources, states
from bough_server.service.changes import Changes
from bough_server.service.states import CREATED, DONE, PAUSED, QUEUED, RUNNING, STOPPING, WITH_AGENT
from bough_server.service.trials import NewId, drop_created, living_of, started
from bough_server.service.verdict import RELEASED
from bough_server.store import reads
from bough_server.store.schema import jobs, optimizations, space_versions

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
USER, TOTAL_TIME = "user", "total_time"
_TOO_MANY = 2**31  # what its column holds


def create(
    tx: Connection,
    found: definition.Definition,
    body: Mapping[str, Any],
    now: float,
    key_id: str,
    new_id: NewId,
    seed: int,
) -> str:
    """Make an optimization and return its id.

    Args:
        tx: A writing connection.
        found: Its definition.
        body: commit, folder, source and fixed as in the request.
        now: The time.
        key_id: Who asked for it.
        new_id: Makes an id.
        seed: To be used if the definition names none.

    Raises:
        UsageError: Something in ``body`` is missing or wrong.
    """
    quotas.of_optimizations(tx, found.model)
    fixed = mapping_of(body, "fixed")
    found.fix(fixed)  # may make a grid smaller: before the settings are read
    row = {
        "id": new_id(),
        "model": found.model,
        "revision": definitions.revise(tx, found, now, key_id),
        "state": RUNNING,
        "created_at": now,
        "begun_at": now,
        "created_by": key_id,
        **code_of(body, found),
        **columns_of(found.settings, seed),
        **columns_of_definition(found),
        **_NEW,
    }
    tx.execute(insert(optimizations), row)
    version = {"optimization": row["id"], "version": 1, "space": found.space.to_json(), "created_at": now}
    tx.execute(insert(space_versions), {**version, "fixed": fixed})
    warn_of(tx, row, found, row)
    return str(row["id"])


_NEW: Mapping[str, Any] = {
    "generation": 1,
    "space_version": 1,
    "warnings": [],
    "versions": [],
    "history_seq": 0,
    "asks": 0,
    "numbers": 0,
    "failures_in_row": 0,
}


def mapping_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a mapping of the request, empty where there is none; raise `UsageError` if it is something else."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{name} is {str(found)[:100]!r}, no mapping.", f'Send {{"{name}": {{…}}}}.')
    return found


def code_of(body: Mapping[str, Any], found: definition.Definition | None) -> dict[str, Any]:
    """Return the columns that say which code is run; the commit is "" where an agent has to find it (`sources`).

    ``found`` may name a source where the request does not; None for code that has run already.

    Raises:
        UsageError: The commit is no full hash, the source cannot be resolved, or the folder leaves the repository.
    """
    source, folder = mapping_of(body, "source"), body.get("folder") or ""
    if found is not None:
        source = sources.of_request(source, found)
        folder = folder or sources.declared_source(found).get("folder") or ""
    commit = body.get("commit")
    if commit is None or source.get(sources.FOLLOW):
        sources.check(source)
        commit = sources.UNRESOLVED
    elif not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise UsageError(f"{commit!r} is no commit.", "Send the full hash, 40 hexadecimal digits.")
    if not isinstance(folder, str) or folder.startswith("/") or ".." in folder.split("/") or "\0" in folder:
        raise UsageError(
            f"the folder {folder!r} is not inside the repository.", "Give it relative to the repository's root."
        )
    return {"commit": commit, "folder": folder.strip("/"), "source": source}


def columns_of_definition(found: definition.Definition) -> dict[str, Any]:
    """Return the columns that hold how a trial is run, and what is searched."""
    return {
        "commands": definitions.commands_of(found),
        "env": dict(found.env),
        "working_dir": found.working_dir,
        "priority": found.priority,
        "needs": found.needs or None,
        "searched": list(found.space.searched),
    }


def columns_of(settings: definition.Settings, seed: int) -> dict[str, Any]:
    """Return the columns that hold these settings; ``seed`` counts where they name none."""
    same = (
        "algorithm max_trials initial_random max_parallel max_epochs max_time_s total_time_s kpi_channel kpi_direction "
        "kpi_reduce retry stop_after pruning duplicates grace_s term_s"
    )
    columns = {name: getattr(settings, name) for name in same.split()}
    chosen = settings.seed if settings.seed is not None else seed
    agents = list(settings.agents) if settings.agents is not None else None
    return {**columns, "seed": chosen, "agents": agents}


def warn_of(tx: Connection, row: Mapping[str, Any], found: definition.Definition, changed: Iterable[str]) -> None:
    """Say what settings that were just made (columns, by name) will lead to, where that may not be meant."""
    warnings = []
    chosen = row["agents"] or []
    if {"max_parallel", "agents"} & set(changed) and row["max_parallel"] and row["max_parallel"] < len(chosen):
        warnings.append(f"max_parallel {row['max_parallel']} is below the {len(chosen)} chosen agents: some will idle.")
    size = points_of(found.space)
    is_asked = row["duplicates"] == "allow" and bool({"max_trials", "searched"} & set(changed))
    if is_asked and row["algorithm"] != "grid" and size is not None and 1 < size < row["max_trials"]:
        warnings.append(
            f"the space has {size} points, fewer than max_trials {row['max_trials']}: some will be tried again "
            "(duplicates: resample ends with the space)."
        )
    known = row["warnings"]
    new = [text for text in warnings if text not in known]
    if new:
        tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(warnings=[*known, *new]))


def points_of(space: definition.Space) -> int | None:
    """Return how many points a space has; None: without end."""
    if any(expression.count is None for expression in space.searched.values()):
        return None
    return grid_size(space)


# -- ends -----------------------------------------------------------------------------------------------------


def after_end(
    tx: Connection, optimization_id: str, now: float, changes: Changes, failure: str | None
) -> dict[str, Any]:
    """Draw the conclusions from the end of one of its trials; return its row as it was just after that.

    ``failure`` is that trial's message if it failed.
    """
    changes.optimizations.add(optimization_id)
    row = reads.optimization(tx, optimization_id)
    limit = row["stop_after"]
    if failure is not None and limit is not None and row["failures_in_row"] >= limit and row["state"] == RUNNING:
        reason = (
            f"{row['failures_in_row']} trials in a row failed. The last: {failure} "
            f"If the machines were at fault: bough optimization resume {optimization_id} goes on. If the code was: "
            f"bough optimization retry {optimization_id} --commit REF runs them again, and all that follow, with a new "
            f"commit; bough optimization restart {optimization_id} begins anew."
        )
        states.move_optimization(tx, optimization_id, "pause", reason=reason)
    _finish_if_over(tx, row, now, changes)
    return row


def finish_if_over(tx: Connection, optimization_id: str, now: float, changes: Changes) -> None:
    """End the optimization if nothing of it is alive and nothing more may start."""
    _finish_if_over(tx, reads.optimization(tx, optimization_id), now, changes)


def _finish_if_over(tx: Connection, row: Mapping[str, Any], now: float, changes: Changes) -> None:
    """As `finish_if_over`, of its row; that it was just paused makes no difference."""
    optimization_id = row["id"]
    if row["state"] not in (RUNNING, PAUSED, STOPPING):
        return
    living = living_of(tx, row)
    if living["alive"] > living["states"].get(CREATED, 0):
        return
    if row["state"] == STOPPING and row["stopped_by"] == USER:
        states.move_optimization(tx, optimization_id, "stopped", ended_at=now)
    elif row["state"] == STOPPING or started(tx, row) >= row["max_trials"]:
        states.move_optimization(tx, optimization_id, "finish", ended_at=now)
    else:
        return
    changes.optimizations.add(optimization_id)


def stop_if_out_of_time(tx: Connection, row: Mapping[str, Any], now: float, changes: Changes) -> None:
    """Start nothing more once total_time is over; trials that run may end."""
    if row["total_time_s"] is None or now - row["begun_at"] < row["total_time_s"]:
        return
    reason = f"its total_time of {row['total_time_s']:g} s is over."
    if states.move_optimization(tx, row["id"], "stop", reason=reason, stopped_by=TOTAL_TIME):
        pausing.thaw(tx, row["id"], changes)
        drop_created(tx, row["id"])
        _abort(tx, row["id"], (QUEUED,), now, changes, reason)
        finish_if_over(tx, row["id"], now, changes)


# -- what users want ------------------------------------------------------------------------------------------


def stop(tx: Connection, optimization_id: str, now: float, changes: Changes, *, at_once: bool) -> str:
    """Start nothing more; ``at_once`` also stops what runs. Returns the full id.

    Raises:
        Conflict: It has ended already.
    """
    row = reads.optimization(tx, optimization_id)
    moved = states.move_optimization(tx, row["id"], "stop", stopped_by=USER, reason=None)
    if not moved and row["state"] != STOPPING:
        raise _not_possible(row, "stopped")
    pausing.thaw(tx, row["id"], changes)
    drop_created(tx, row["id"])
    _abort(tx, row["id"], (QUEUED,), now, changes, None)
    if at_once:
        wish(tx, row["id"], "stop", USER, changes)
    finish_if_over(tx, row["id"], now, changes)
    return str(row["id"])


def pause(tx: Connection, optimization_id: str, changes: Changes, *, release: bool, reason: str | None = None) -> str:
    """Start nothing for now; ``release`` also stops what runs and queues it again, unburnt. Returns the full id.

    Raises:
        Conflict: It is not running.
    """
    row = reads.optimization(tx, optimization_id)
    if not states.move_optimization(tx, row["id"], "pause", reason=reason) and row["state"] != PAUSED:
        raise _not_possible(row, "paused")
    if release:
        wish(tx, row["id"], "stop", RELEASED, changes)
    changes.optimizations.add(row["id"])
    return str(row["id"])


def resume(tx: Connection, optimization_id: str, changes: Changes) -> str:
    """Go on after a pause. Returns the full id.

    Raises:
        Conflict: It is not paused.
    """
    row = reads.optimization(tx, optimization_id)
    if (
        not states.move_optimization(tx, row["id"], "resume", reason=None, failures_in_row=0)
        and row["state"] != RUNNING
    ):
        raise _not_possible(row, "resumed")
    pausing.thaw(tx, row["id"], changes)
    changes.optimizations.add(row["id"])
    return str(row["id"])


def extend(
    tx: Connection, optimization_id: str, max_trials: int, now: float, changes: Changes, *, is_more: bool = False
) -> str:
    """Raise max_trials, with ``is_more`` by so many; an optimization that has ended goes on. Returns the full id.

    Raises:
        UsageError: That is not more than now, or more than its grid has points.
        Conflict: It cannot go on.
    """
    row = reads.optimization(tx, optimization_id)
    max_trials = row["max_trials"] + max_trials if is_more else max_trials
    check_time(row, now)
    if row["algorithm"] == "grid":
        _check_grid(tx, row, max_trials)
    if max_trials <= row["max_trials"]:
        raise UsageError(
            f"optimization {row['id']} already has max_trials {row['max_trials']}.", "Give a higher number, or stop it."
        )
    if max_trials >= _TOO_MANY:
        raise UsageError(f"{max_trials} trials are too many.", f"Give a number below {_TOO_MANY}.")
    values = {"max_trials": max_trials, "ended_at": None, "reason": None, "failures_in_row": 0, "stopped_by": None}
    if not states.move_optimization(tx, row["id"], "extend", **values):
        raise _not_possible(row, "extended")
    pausing.thaw(tx, row["id"], changes)
    changes.optimizations.add(row["id"])
    return str(row["id"])


def check_time(row: Mapping[str, Any], now: float) -> None:
    """Raise `Conflict` if its total_time is over, so that nothing of it may start any more."""
    if row["total_time_s"] is not None and now - row["begun_at"] >= row["total_time_s"]:
        raise Conflict(
            f"the total_time of optimization {row['id']} is over.",
            f"Give it more: bough optimization set {row['id']} total_time=…",
        )


def _check_grid(tx: Connection, row: Mapping[str, Any], max_trials: int) -> None:
    mine = and_(space_versions.c.optimization == row["id"], space_versions.c.version == row["space_version"])
    size = points_of(definition.Space.from_json(tx.execute(select(space_versions.c.space).where(mine)).scalar_one()))
    if size is not None and max_trials > size:
        raise UsageError(f"the grid of optimization {row['id']} has {size} points.", "There are no more to try.")


def wish(tx: Connection, optimization_id: str, desired: str, cause: str, changes: Changes) -> None:
    """Want something of all trials that are with an agent; their agents are rung. What a user stopped stays so."""
    mine = (jobs.c.optimization == optimization_id) & jobs.c.state.in_(WITH_AGENT)
    mine &= jobs.c.desired_cause.is_distinct_from(USER)
    found = tx.execute(select(jobs.c.id, jobs.c.agent).where(mine)).all()
    tx.execute(update(jobs).where(mine).values(desired=desired, desired_cause=cause))
    changes.jobs.update(job_id for job_id, _ in found)
    changes.rung.update(agent for _, agent in found if agent)


def end_what_waits(tx: Connection, optimization_id: str, now: float, changes: Changes, reason: str) -> None:
    """End the trials that wait: rows without values go, the others are ABORTED with a sentence."""
    drop_created(tx, optimization_id)
    _abort(tx, optimization_id, (QUEUED,), now, changes, reason)


def end_for_good(tx: Connection, optimization_id: str, now: float, changes: Changes, reason: str) -> None:
    """As `end_what_waits`, but trials without values are ABORTED as well, so that each becomes a record."""
    _abort(tx, optimization_id, (CREATED, QUEUED), now, changes, reason)


def _abort(
    tx: Connection, optimization_id: str, waiting: tuple[str, ...], now: float, changes: Changes, reason: str | None
) -> None:
    mine = (jobs.c.optimization == optimization_id) & jobs.c.state.in_(waiting)
    for job_id, number, attempt in tx.execute(select(jobs.c.id, jobs.c.number, jobs.c.attempt).where(mine)).all():
        why = None if reason is None else not_again(f"trial {number}", reason, attempt > 0)
        states.move_job(tx, job_id, "abort", end_reason=USER, ended_at=now, message=why)
        changes.jobs.add(job_id)
        changes.ended.append(job_id)


def not_again(label: str, reason: str | None, has_run: bool = True) -> str:
    """Return why a trial that was to run, perhaps again, does not."""
    return f"{label} was not run{' again' if has_run else ''}: {reason or 'its optimization was stopped.'}"


def is_archived(row: Mapping[str, Any]) -> Conflict:
    """Return the error for what cannot be done to an archived optimization."""
    return Conflict(
        f"optimization {row['id']} is archived.", f"Bring it back: bough optimization unarchive {row['id']}."
    )


def _not_possible(row: Mapping[str, Any], verb: str) -> Conflict:
    more = f"Give it more trials: bough optimization extend {row['id']} --max-trials N."
    do = more if row["state"] == DONE else "Start a new one."
    return Conflict(f"optimization {row['id']} is {row['state']} and cannot be {verb}.", do)
