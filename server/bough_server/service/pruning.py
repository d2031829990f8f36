"""Which running trials are not worth their next epochs: decided as the points of their KPI arrive.

Curves are compared by the index of the KPI's points: the n-th point is that of epoch n. A pruned trial is stopped like
one that reached a limit, with its KPI; everything here is decided from what is stored, so a restart changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, select, update

from bough import _layout
from bough_server.service import kpi as kpis
from bough_server.service.changes import Changes
from bough_server.service.states import DONE, WITH_AGENT
from bough_server.store import reads
from bough_server.store.schema import jobs

Curve = Sequence[float]  # losses by epoch; inf where the KPI was not finite
Rule = Mapping[str, Any]  # as in `bough.definition.Settings.pruning`
MOST_SEARCHES = 16  # whose curves are kept in memory


def is_worse_than_median(rule: Rule, mine: Curve, ended: Sequence[Curve], new: int) -> bool:
    """Return whether at one of the ``new`` epochs the best so far was worse than the median of the trials that ended.

    (Golovin et al. 2017, "Google Vizier", section 3.2.2, with values instead of their running means.)
    """
    for epoch in range(max(rule["min_epochs"], len(mine) - new + 1), len(mine) + 1):
        others = [curve[epoch - 1] for curve in ended if len(curve) >= epoch]
        if len(others) < rule["min_trials"]:
            return False  # later epochs were reached by fewer
        if min(mine[:epoch]) > median(others):
            return True
    return False


def is_halved(rule: Rule, mine: Curve, others: Sequence[Curve], new: int) -> bool:
    """Return whether ``mine`` passed a rung with its ``new`` points and is not among the best that came there so far.

    Rungs are min_epochs * reduction**k; 1/reduction of the trials go on, at least one.
    (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2; without resuming.)
    """
    rung = rule["min_epochs"]
    while rung <= len(mine):
        reached = sorted([curve[rung - 1] for curve in others if len(curve) >= rung] + [mine[rung - 1]])
        if rung > len(mine) - new and mine[rung - 1] > reached[max(1, len(reached) // rule["reduction"]) - 1]:
            return True
        rung *= rule["reduction"]
    return False


class Pruner:
    """Looks at trials whose points have just been stored; what it keeps is a cache."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule | None] = {}
        self._ended: dict[str, dict[str, Curve]] = {}

    def look(self, tx: Connection, job_id: str, optimization_id: str, changes: Changes) -> None:
        """Want the trial to be stopped if its optimization's rule says so."""
        rule = self._rule(tx, optimization_id)
        if rule is None:
            return
        settings = reads.optimization(tx, optimization_id)
        job = reads.job(tx, job_id)
        channel, mine = _curve(tx, job, settings)
        new = sum(len(chunk.seq) for its_id, name, chunk in changes.points if (its_id, name) == (job_id, channel))
        if new == 0 or not self._is_hopeless(tx, rule, job, mine, new, settings):
            return
        wanted = and_(jobs.c.id == job_id, jobs.c.attempt == job["attempt"], jobs.c.desired == "run")
        tx.execute(update(jobs).where(wanted).values(desired="stop", desired_cause=_layout.PRUNED))
        changes.of_job(job)

    def _is_hopeless(
        self, tx: Connection, rule: Rule, job: Mapping[str, Any], mine: Curve, new: int, settings: Mapping[str, Any]
    ) -> bool:
        if rule["rule"] == "median":
            return is_worse_than_median(rule, mine, self._curves(tx, job, settings, (DONE,)), new)
        return is_halved(rule, mine, self._curves(tx, job, settings, (DONE, *WITH_AGENT)), new)

    def forget(self, optimization_id: str) -> None:
        """Look anew: its rule, its KPI or its trials are others now."""
        self._rules.pop(optimization_id, None)
        self._ended.pop(optimization_id, None)

    def _rule(self, tx: Connection, optimization_id: str) -> Rule | None:
        if optimization_id not in self._rules:
            self._rules[optimization_id] = reads.optimization(tx, optimization_id)["pruning"]
        return self._rules[optimization_id]

    def _curves(
        self, tx: Connection, job: Mapping[str, Any], settings: Mapping[str, Any], states: tuple[str, ...]
    ) -> list[Curve]:
        """Return the curves of the other trials in these states; those of ended ones are read once."""
        known = self._ended.setdefault(settings["id"], {})
        while len(self._ended) > MOST_SEARCHES:
            del self._ended[next(iter(self._ended))]
        found = []
        columns = (jobs.c.id, jobs.c.state, jobs.c.attempt)
        same = and_(jobs.c.optimization == job["optimization"], jobs.c.generation == job["generation"])
        mine = and_(same, jobs.c.state.in_(states), jobs.c.id != job["id"], jobs.c.reused_from.is_(None))
        for other in tx.execute(select(*columns).where(mine)).mappings().all():
            curve = known.get(other["id"])
            if curve is None:
                _, curve = _curve(tx, dict(other), settings)
                if other["state"] == DONE:
                    known[other["id"]] = curve
            found.append(curve)
        return found


def _curve(tx: Connection, job: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str | None, Curve]:
    """Return the name of the KPI channel of the job's newest attempt, and its losses by epoch."""
    channel, trace = kpis.chosen(reads.channels(tx, job["id"], job["attempt"]), settings["kpi_channel"])
    if channel is None or channel["type"] != "number":
        return None, []
    points = reads.points_of(tx, channel, reads.cuts(tx, job["id"], job["attempt"]))
    y = points.y[trace][~points.overrun]
    direction = settings["kpi_direction"] or kpis.declared_direction(channel)
    losses = np.where(np.isfinite(y), y if direction == kpis.MINIMIZE else -y, math.inf)
    return channel["name"], losses.tolist()
