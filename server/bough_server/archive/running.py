"""How a job was run, as its record says it: all that somebody needs to run it again, and what it reported at last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from bough import definition
from bough_server.store import reads, schema

Row = Mapping[str, Any]
_CHANNEL = ("name", "traces", "type", "main", "kpi", "kpi_trace", "maximize", "loss", "points")


def run_of(tx: Connection, job: Row) -> dict[str, Any]:
    """Return commands, environment variables, folders, limits and the rule of the KPI of a job.

    ``kpi`` holds what the settings say; None where the script's own declaration (`channels_of`) counts.
    """
    if job["optimization"] is not None:
        row = reads.optimization(tx, job["optimization"])
        same = {name: row[name] for name in ("commands", "env", "working_dir", "grace_s", "term_s")}
        kpi = {name: row[f"kpi_{name}"] for name in ("channel", "direction", "reduce")}
        return {**same, "kpi": kpi}
    table = schema.model_revisions.c
    its_own = (table.model == job["model"]) & (table.number == job["revision"])
    raw = tx.execute(select(table.definition).where(its_own)).scalar_one_or_none()
    return {} if raw is None else of_definition(definition.parse(raw))


def of_definition(found: definition.Definition) -> dict[str, Any]:
    """Return the same of a definition, as manual jobs are run by it."""
    settings = found.settings
    return {
        "commands": [{"name": command.name, "argv": list(command.argv)} for command in found.commands],
        "env": dict(found.env),
        "working_dir": found.working_dir,
        "grace_s": settings.grace_s,
        "term_s": settings.term_s,
        "kpi": {
            "channel": settings.kpi_channel,
            "direction": settings.kpi_direction,
            "reduce": settings.kpi_reduce,
        },
    }


def channels_of(tx: Connection, job: Row) -> list[dict[str, Any]]:
    """Return the channels of the accepted attempt as the script declared them, main ones first."""
    return [{name: row[name] for name in _CHANNEL} for row in reads.channels(tx, job["id"], job["attempt"])]


def last_of(tx: Connection, job: Row) -> dict[str, Any]:
    """Return the last value of each trace."""
    return reads.last_values(tx, [(job["id"], job["attempt"])]).get(job["id"], {})


def environment_of(tx: Connection, digest: str | None) -> dict[str, Any]:
    """Return interpreter, packages and chosen variables of an attempt, as its agent told them; empty if it did not."""
    table = schema.environments.c
    found = tx.execute(select(table.content).where(table.digest == (digest or ""))).scalar_one_or_none()
    return dict(found) if isinstance(found, dict) else {}
