"""The definition says one direction of the KPI, the script another: nobody can know which is meant, so nothing counts.

The trial is stopped as soon as its script says so, and fails; its optimization is paused, since the others would too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from bough_server.service import kpi as kpis
from bough_server.service import states
from bough_server.service.changes import Changes
from bough_server.store.schema import jobs, optimizations

CAUSE = "contradiction"


def stop_if_declared(tx: Connection, job_id: str, channel: Mapping[str, Any]) -> None:
    """Want a trial to be stopped whose script has just declared this channel (a row) against its optimization."""
    if channel["maximize"] is None:
        return
    row = tx.execute(_KPI, {"its_id": job_id}).first()
    if row is None or row.kpi_direction is None or row.kpi_direction == kpis.declared_direction(channel):
        return
    chosen, _ = kpis.chosen([channel], row.kpi_channel)
    if chosen is not None:
        running = (jobs.c.id == job_id) & (jobs.c.desired == "run")
        tx.execute(update(jobs).where(running).values(desired="stop", desired_cause=CAUSE))


_KPI = (
    select(optimizations.c.kpi_channel, optimizations.c.kpi_direction)
    .join(jobs, jobs.c.optimization == optimizations.c.id)
    .where(jobs.c.id == bindparam("its_id"))
)


def pause(tx: Connection, optimization_id: str, message: str | None, changes: Changes) -> None:
    """Start nothing more until the contradiction is resolved."""
    do = f"Resolve it, then: bough optimization retry {optimization_id}."
    states.move_optimization(tx, optimization_id, "pause", reason=f"{message} {do}")
    changes.optimizations.add(optimization_id)
