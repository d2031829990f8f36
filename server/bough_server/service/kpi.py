"""What a job achieved: which channel is its KPI, which way is better, and the one number of it.

Only finite values count, and only those from before the stop was decided. No value is ever made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from bough.errors import UsageError
from bough_server.service import definitions
from bough_server.store import reads

MAXIMIZE = "maximize"
MINIMIZE = "minimize"
NO_KPI = "no_kpi"
NAN_KPI = "nan_kpi"
_MEAN = re.compile(r"mean\((\d+)\)")


@dataclass(frozen=True)
class Kpi:
    """What the KPI channel of one attempt says.

    Args:
        channel: Its name, with the trace if it has several; None if the attempt has no KPI channel.
        direction: maximize or minimize; None without a channel.
        value: Reduced; None if no finite value counts.
        last: The last finite value that counts, or None.
        best: The best one, or None.
        best_x: Its x; the first one of equals.
        problem: no_kpi or nan_kpi if there is no value, else None.
        instead: What the channel has in place of a value, where it has something; as the end of a sentence.
        contradiction: Which other direction its script declared than its optimization has, if it did.
    """

    channel: str | None = None
    direction: str | None = None
    value: float | None = None
    last: float | None = None
    best: float | None = None
    best_x: float | None = None
    problem: str | None = NO_KPI
    instead: str | None = None
    contradiction: str | None = None


def loss(kpi: float, direction: str | None) -> float:
    """Return what an optimizer minimizes."""
    return kpi if direction == MINIMIZE else -kpi


def settings_of(tx: Connection, job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said about the KPI of ``job``: by its optimization, or for a manual one by its definition."""
    if job["optimization"] is not None:
        return reads.optimization(tx, job["optimization"])
    found = definitions.of_revision(tx, job["model"], job["revision"]).settings
    return {"kpi_channel": found.kpi_channel, "kpi_direction": found.kpi_direction, "kpi_reduce": found.kpi_reduce}


def of_attempt(
    tx: Connection, job_id: str, attempt: int, settings: Mapping[str, Any], cuts: Mapping[str, int] | None = None
) -> Kpi:
    """Return the KPI of that attempt.

    Args:
        tx: A connection.
        job_id: Whose.
        attempt: Which; its exit, with the cut of its journals, is already stored.
        settings: As `settings_of` returns them.
        cuts: Of its journals, where they are known already.
    """
    cuts = reads.cuts(tx, job_id, attempt) if cuts is None else cuts
    return of_channels(
        reads.channels(tx, job_id, attempt), settings, lambda channel: reads.points_of(tx, channel, cuts)
    )


def of_channels(
    channels: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    points_of: Callable[[Mapping[str, Any]], reads.Points],
) -> Kpi:
    """As `of_attempt`, of an attempt's channels, main ones first, with what reads the points of one."""
    channel, trace = chosen(channels, settings.get("kpi_channel"))
    if channel is None:
        return Kpi()
    name = reads.trace_name(channel["name"], channel["traces"], trace)
    direction = settings.get("kpi_direction") or declared_direction(channel)
    if settings.get("kpi_direction") and channel["maximize"] is not None:
        declared = declared_direction(channel)
        if declared != direction:
            return Kpi(name, direction, contradiction=declared)
    if channel["type"] != "number":
        return Kpi(name, direction, instead="holds text, where numbers belong")
    points = points_of(channel)
    counted = ~points.overrun
    if len(counted) and not counted.any():
        return Kpi(name, direction, instead="has points only from after the stop, which do not count")
    return _reduced(
        Kpi(name, direction), points.x[counted], points.y[trace][counted], settings.get("kpi_reduce") or "last"
    )


def chosen(channels: Sequence[Mapping[str, Any]], wanted: str | None) -> tuple[Mapping[str, Any] | None, int]:
    """Return the channel that is the KPI and which of its traces: the wanted one, else the one declared as KPI.

    ``wanted`` is a channel's name or ``channel/trace``.
    """
    for channel in channels:
        if channel["system"]:
            continue
        if wanted is None and channel["kpi"]:
            return channel, channel["kpi_trace"]
        if wanted == channel["name"]:
            return channel, channel["kpi_trace"]
        for i, trace in enumerate(channel["traces"]):
            if wanted == f"{channel['name']}/{trace}":
                return channel, i
    return None, 0


def declared_direction(channel: Mapping[str, Any]) -> str:
    """Return which way is better by what the script said; AETROS's default, maximize, if it said nothing."""
    if channel["maximize"] is None:
        return MINIMIZE if channel["loss"] else MAXIMIZE
    return MAXIMIZE if channel["maximize"] else MINIMIZE


def check_reduce(reduce: str) -> str:
    """Return ``reduce`` if it is one of last, best, mean(k); raise `UsageError` otherwise."""
    if reduce in ("last", "best") or (_MEAN.fullmatch(reduce) and int(reduce[5:-1]) > 0):
        return reduce
    raise UsageError(f"kpi reduce {reduce} is not known.", "It is last, best or mean(5).")


def _reduced(kpi: Kpi, x: Any, y: Any, reduce: str) -> Kpi:
    finite = np.isfinite(y)
    if not finite.any():
        return Kpi(kpi.channel, kpi.direction, problem=NAN_KPI if len(y) else NO_KPI)
    x, y = x[finite], y[finite]
    i = int(np.argmin(y) if kpi.direction == MINIMIZE else np.argmax(y))
    last, best = float(y[-1]), float(y[i])
    mean = _MEAN.fullmatch(reduce)
    value = float(np.mean(y[-int(mean[1]) :])) if mean else best if reduce == "best" else last
    best_x = float(x[i]) if np.isfinite(x[i]) else None
    return Kpi(kpi.channel, kpi.direction, value, last, best, best_x, problem=None)
