"""How much one user may have at a time, so that nobody can fill the store for the others (security.md, S42).

Far above what work needs. What a job may report has limits of its own (`bough_server.service.ingest`, ``--limit``).
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select

from bough.errors import Conflict
from bough_server.service import states
from bough_server.store.schema import jobs, model_revisions, models, optimizations

MOST_JOBS = 100_000  # that have not ended, trials and others
MOST_OPTIMIZATIONS = 1_000  # that have not ended
MOST_MODELS = 10_000
MOST_REVISIONS = 10_000  # of a model


def of_jobs(tx: Connection, model: str) -> None:
    """Raise `Conflict` if the owner of the model has as many jobs that have not ended as one may."""
    open_ = tuple(state for state in states.JOB_STATES if state not in states.TERMINAL)
    if _is_full(tx, MOST_JOBS, jobs.c.id, _mine(jobs.c.model, model), jobs.c.state.in_(open_)):
        raise Conflict(
            f"{_owner(model)} has {MOST_JOBS} jobs that have not ended, as many as one user may.",
            "Wait until some have, or stop them.",
        )


def of_optimizations(tx: Connection, model: str) -> None:
    """Raise `Conflict` if the owner of the model has as many optimizations that have not ended as one may."""
    running = optimizations.c.state.in_((states.RUNNING, states.PAUSED, states.STOPPING))
    if _is_full(tx, MOST_OPTIMIZATIONS, optimizations.c.id, _mine(optimizations.c.model, model), running):
        raise Conflict(
            f"{_owner(model)} has {MOST_OPTIMIZATIONS} optimizations that have not ended, as many as one user may.",
            "Wait until some have, or stop them: bough optimization stop ID.",
        )


def of_revisions(tx: Connection, model: str) -> None:
    """Raise `Conflict` if there are as many definitions of the model, or models of its owner, as there may be."""
    if _is_full(tx, MOST_REVISIONS, model_revisions.c.number, model_revisions.c.model == model):
        raise Conflict(
            f"model {model} has {MOST_REVISIONS} definitions, as many as one may have.", "Go on under another name."
        )
    if _is_full(tx, MOST_MODELS, models.c.id, models.c.owner == _owner(model), models.c.id != model):
        raise Conflict(f"{_owner(model)} has {MOST_MODELS} models, as many as one user may.", "Use one that is there.")


def _owner(model: str) -> str:
    return model.partition("/")[0]


def _mine(column: ColumnElement[str], model: str) -> ColumnElement[bool]:
    return column.startswith(_owner(model) + "/", autoescape=True)


def _is_full(tx: Connection, most: int, column: ColumnElement[object], *where: ColumnElement[bool]) -> bool:
    return tx.execute(select(column).where(*where).offset(most - 1).limit(1)).first() is not None
