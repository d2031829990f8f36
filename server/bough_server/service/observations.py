"""What a search shows about itself, said once as a warning: nothing to search, nothing to learn, nothing left to try.

None of it stops a search: the points stay those of hyperopt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from bough.definition import Space
from bough.definition.grid import grid_size
from bough.definition.values import as_text
from bough_server.service.given import warn
from bough_server.service.views import space_of
from bough_server.store import reads
from bough_server.store.schema import history

CONSTANT_AT = (20, 100, 500)  # ends after which the losses are compared
FINITE = {"choice", "pchoice", "on_off", "range", "randint", "uniformint"}  # expressions that have an end
SIZE_MOST = 100_000  # points of a space beyond which nobody counts
ONE_POINT = "the space has one point: every trial has the same values."


def size_of(space: Space) -> int | None:
    """Return how many points a finite space has; None: there is no end of them."""
    if any(expression.count is None for expression in space.searched.values()):
        return None
    return grid_size(space)


def at_start(tx: Connection, optimization_id: str) -> None:
    """Say what is odd about a space before anything runs."""
    row = reads.optimization(tx, optimization_id)
    if row["max_trials"] > 1 and size_of(Space.from_json(space_of(tx, row))) == 1:
        warn(tx, row["id"], ONE_POINT)


def after_end(tx: Connection, row: Mapping[str, Any]) -> None:
    """Look at the history of an optimization (its row as it is now) after one of its trials has ended."""
    if row["history_seq"] in CONSTANT_AT:
        _say_once(tx, row, _constant(tx, row))
    _say_once(tx, row, _exhausted(tx, row))


def _say_once(tx: Connection, row: Mapping[str, Any], sentence: str | None) -> None:
    if sentence is not None and not any(sentence.split(":")[0] in known for known in row["warnings"]):
        warn(tx, row["id"], sentence)


def _constant(tx: Connection, row: Mapping[str, Any]) -> str | None:
    mine = (history.c.optimization == row["id"]) & (history.c.generation == row["generation"])
    found = select(func.count(history.c.loss), func.min(history.c.loss), func.max(history.c.loss)).where(mine)
    count, least, most = tx.execute(found).one()
    if count < CONSTANT_AT[0] // 2 or least != most:
        return None
    kpi = -most if (row["kpi_direction"] or row["kpi_direction_seen"]) == "maximize" else most
    return f"the KPI is the same in every trial: {as_text(kpi)} in all {count}. Nothing can be learnt from that."


def _exhausted(tx: Connection, row: Mapping[str, Any]) -> str | None:
    """Counting reads the whole history, so it is done ten times at most before a space of that size is through."""
    if (
        row["algorithm"] == "grid"
        or row["duplicates"] == "resample"
        or any("all its points were tried" in known for known in row["warnings"])
    ):
        return None
    written = space_of(tx, row)
    if not all(set(expression) <= FINITE for _, expression in written["searched"]):
        return None
    size = size_of(Space.from_json(written))
    if size is None or not 1 < size <= min(SIZE_MOST, row["history_seq"]) or row["history_seq"] % max(1, size // 10):
        return None
    tried = select(func.count(history.c["values"].distinct())).where(
        history.c.optimization == row["id"], history.c.generation == row["generation"]
    )
    if tx.execute(tried).scalar_one() < size:
        return None
    return f"all its points were tried: the space has {size}. From here on {row['algorithm']} repeats them."
