"""An optimization is edited while it lives: its space gets another version, its settings other values.

The definition is changed, read again as a whole and compared with the one before, so that whatever is wrong is said as
it is for a file. All of an edit is one transaction: trials without values take what it says, those that have values
keep them, and what is started afterwards gets the new limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from bough import definition
from bough.definition import Definition, difference, editing
from bough.definition.place import Place
from bough.errors import Conflict, UsageError
from bough_server.service import definitions, edits, rescore, told
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.states import ARCHIVED, CREATED, DONE, QUEUED, STOPPED
from bough_server.service.trials import drop_created, started
from bough_server.store import reads
from bough_server.store.schema import jobs, optimizations, space_versions

_OF_TRIALS = ("agents", "priority", "max_epochs", "max_time_s")  # copied into each trial when its row is made
_DECIDES_KPI = ("kpi_channel", "kpi_direction", "kpi_reduce")


@dataclass(frozen=True)
class Plan:
    """What an edit would do.

    Args:
        new: The definition after it, its values fixed.
        fixed: Values that are fixed after it.
        of_space: What changes in the space, in lines.
        of_settings: What changes in the settings, in lines.
        columns: Of the optimization's row that change.
        kept: How many ended trials stay in the optimizer's history; None: the space is the same.
        left_out: Why the others do not, a sentence each.
    """

    new: Definition
    fixed: Mapping[str, Any]
    of_space: list[str]
    of_settings: list[str]
    columns: Mapping[str, Any]
    kept: int | None = None
    left_out: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        first = self.left_out[0] if self.left_out else None
        left_out = None if self.kept is None else len(self.left_out)
        changes = [*self.of_space, *self.of_settings]
        return {"changes": changes, "kept": self.kept, "left_out": left_out, "first_left_out": first}


def current(tx: Connection, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the definition of an optimization (its row) as JSON data, as it is now, and the values that are fixed."""
    raw = dict(definitions.of_revision(tx, row["model"], row["revision"]).raw)
    section = {**raw["optimization"], "max_trials": row["max_trials"]}  # extending it leaves the revision as it is
    mine = and_(space_versions.c.optimization == row["id"], space_versions.c.version == row["space_version"])
    fixed: dict[str, Any] = tx.execute(select(space_versions.c.fixed).where(mine)).scalar_one()
    return {**raw, "optimization": section}, fixed


def plan(tx: Connection, optimization_id: str, edit: Mapping[str, Any], known_version: Any = None) -> Plan:
    """Return what an edit would do; nothing is changed.

    Args:
        tx: A connection.
        optimization_id: Whose; the beginning will do.
        edit: As `bough.definition.editing.changed` takes it.
        known_version: Of the space that its user had seen; None: whatever it is.

    Raises:
        UsageError: The edit is wrong, or cannot be.
        Conflict: The optimization has ended for good, or somebody else has edited it meanwhile.
    """
    row = reads.optimization(tx, optimization_id)
    if known_version is not None and known_version != row["space_version"]:
        raise Conflict(
            f"optimization {row['id']} was edited meanwhile: its space is version {row['space_version']}, "
            f"not {str(known_version)[:20]}.",
            "Look at it, then edit it again.",
        )
    if row["state"] == ARCHIVED:
        raise lifecycle.is_archived(row)
    raw, fixed = current(tx, row)
    new_raw, new_fixed = editing.changed(raw, fixed, edit)
    old, new = _fixed(raw, fixed), _fixed(new_raw, new_fixed)
    editing.check(old, new, Place(), row["id"])
    columns = {**lifecycle.columns_of(new.settings, row["seed"]), **lifecycle.columns_of_definition(new)}
    columns = {name: value for name, value in columns.items() if value != row[name]}
    if old.settings.max_trials == new.settings.max_trials:
        columns.pop("max_trials", None)  # a grid's may be beyond its points: those set by hand come on top
    _check_max_trials(tx, row, columns)
    new_fixed = {path: new.space.fixed[path] for path in new_fixed}  # in their declared types
    of_space, of_settings = difference.of_spaces(old.space, new.space), difference.of_settings(old, new)
    if old.space == new.space:
        return Plan(new, new_fixed, of_space, of_settings, columns)
    misfits = [new.space.misfit(entry["values"]) for entry in told.newest(tx, row)]
    left_out = [why for why in misfits if why is not None]
    return Plan(new, new_fixed, of_space, of_settings, columns, len(misfits) - len(left_out), left_out)


def _fixed(raw: Mapping[str, Any], fixed: Mapping[str, Any]) -> Definition:
    found = definition.parse(raw)
    found.fix(fixed)
    return found


def _check_max_trials(tx: Connection, row: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
    if "max_trials" not in columns:
        return
    wanted, begun = columns["max_trials"], started(tx, row)
    if wanted < begun:
        raise UsageError(
            f"optimization {row['id']} has started {begun} trials; max_trials {wanted} is below that.",
            f"To start no more of them: bough optimization stop {row['id']}.",
        )
    if wanted > row["max_trials"] and row["state"] in (DONE, STOPPED):
        raise Conflict(
            f"optimization {row['id']} has ended: it is {row['state']}.",
            f"Let it go on: bough optimization extend {row['id']} --max-trials {wanted}.",
        )


def apply(
    tx: Connection,
    optimization_id: str,
    edit: Mapping[str, Any],
    now: float,
    key_id: str,
    changes: Changes,
    known_version: Any = None,
) -> tuple[str, Plan]:
    """Edit an optimization; return its full id and what was done. Errors as `plan`."""
    row = reads.optimization(tx, optimization_id)
    found = plan(tx, row["id"], edit, known_version)
    if not (found.of_space or found.of_settings or found.kept is not None):
        return str(row["id"]), found
    values = {**found.columns, "revision": definitions.revise(tx, found.new, now, key_id)}
    if found.kept is not None:
        values["space_version"] = _new_version(tx, row, found, now)
    tx.execute(update(optimizations).where(optimizations.c.id == row["id"]).values(**values))
    _to_waiting_trials(tx, row, values)
    version = values.get("space_version")
    left_out = None if found.kept is None else len(found.left_out)
    lines = [*found.of_space, *found.of_settings]
    edits.note(tx, row, "edit", lines, now, key_id, space_version=version, kept=found.kept, left_out=left_out)
    _after(tx, row, found, now, changes)
    changes.optimizations.add(row["id"])
    return str(row["id"]), found


def _new_version(tx: Connection, row: Mapping[str, Any], found: Plan, now: float) -> int:
    version = int(row["space_version"]) + 1
    same = {"optimization": row["id"], "version": version, "created_at": now}
    tx.execute(insert(space_versions), {**same, "space": found.new.space.to_json(), "fixed": dict(found.fixed)})
    return version


def _to_waiting_trials(tx: Connection, row: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """What was copied into trials is copied anew into those that have not started."""
    copied = {name: values[name] for name in _OF_TRIALS if name in values}
    mine = jobs.c.optimization == row["id"]
    if copied:
        tx.execute(update(jobs).where(mine, jobs.c.state.in_((CREATED, QUEUED))).values(**copied))
    tx.execute(update(jobs).where(mine, jobs.c.state == CREATED).values(revision=values["revision"]))


def _after(tx: Connection, row: Mapping[str, Any], found: Plan, now: float, changes: Changes) -> None:
    """Draw the conclusions: trials too many, warnings, KPIs that are others now."""
    if found.columns.get("max_trials", row["max_trials"]) < row["max_trials"]:
        drop_created(tx, row["id"])
    edited = reads.optimization(tx, row["id"])
    if any(name in found.columns for name in _DECIDES_KPI):
        rescore.rescore(tx, row, edited, now, changes)
    lifecycle.warn_of(tx, edited, found.new, found.columns)
    lifecycle.finish_if_over(tx, row["id"], now, changes)


__all__ = ["Plan", "apply", "current", "plan"]
