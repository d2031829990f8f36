"""Whether a run came out as its record: the KPI, the curve behind it, how it ended; and what was different before."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from bough import _layout
from bough.errors import NotFound
from bough_cli import wording
from bough_cli.records.comparing import Sides
from bough_cli.records.record import Record
from bough_cli.reproducing import reported
from bough_cli.reproducing.environments import is_package
from bough_cli.reproducing.instructions import run_of
from bough_cli.reproducing.reported import Channel
from bough_cli.wording import Row

NO_KPI = "no_kpi"
NAN_KPI = "nan_kpi"
_SCRIPT = "script"  # of a program that was stopped because it printed that it failed
_NEEDS_KPI = ("finished", _layout.MAX_EPOCHS, _layout.MAX_TIME, _layout.PRUNED)  # ends that need a KPI


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        job: The record's id.
        is_equal: Whether the run counts as equal: the KPI within the tolerance, or the same end where there is none.
        channel: The KPI's name; None where neither has one.
        recorded: Its recorded KPI, None without one.
        here: What the run gave, None without one.
        ended: How it ended: (recorded, here).
        environment: What differs between the machines.
        first: (x, recorded y, y here) where the KPI's curve first differs; None where it does not.
        points: How many points of it: (recorded, here).
    """

    job: str
    is_equal: bool
    channel: str | None
    recorded: float | None
    here: float | None
    ended: tuple[str, str]
    environment: Sides
    first: tuple[float, float | None, float | None] | None
    points: tuple[int, int]

    def as_json(self) -> Row:
        """Return it for programs."""
        return {
            "job": self.job,
            "equal": self.is_equal,
            "kpi": {"channel": self.channel, "recorded": self.recorded, "here": self.here},
            "ended": {"recorded": self.ended[0], "here": self.ended[1]},
            "points": {"recorded": self.points[0], "here": self.points[1]},
            "first_difference": None if self.first is None else list(self.first),
            "environment": {name: list(pair) for name, pair in self.environment.items()},
        }


def judge(
    record: Record,
    channels: Mapping[str, Channel],
    exit: Mapping[str, Any],
    said: str | None,
    environment: Sides,
    tolerance: float,
) -> Verdict:
    """Return the verdict on a run.

    Args:
        record: What it is compared with.
        channels: What the run reported.
        exit: exit.json of the run.
        said: How its script said that it ended: done, abort or fail; None if it did not.
        environment: What differs between the machines.
        tolerance: How far the KPIs may be apart, relative to the larger; 0: not by one bit.
    """
    settings = run_of(record)["kpi"]
    found = reported.kpi_channel(channels, settings.get("channel"))
    here, name, curve = None, settings.get("channel"), list[tuple[float, float]]()
    if found is not None:
        channel, trace = found
        name = channel.name if len(channel.traces) == 1 else f"{channel.name}/{channel.traces[trace]}"
        way = settings.get("direction") or reported.direction(channel)
        here = reported.reduced(reported.values(channel, trace), settings.get("reduce") or "last", way)
        curve = reported.curve(channel, trace)
    was = reported.number(record.row.get("kpi"))
    before = recorded_curve(record, found)
    ended = (str(record.row.get("end_reason")), ending(exit, said))
    if here is None:
        ended = (ended[0], _without_kpi(ended, found))
    is_equal = is_close(was, here, tolerance)
    if was is None and here is None:
        is_equal = ended[0] == ended[1]
    return Verdict(
        record.row["id"], is_equal, name, was, here, ended, environment, first_difference(before, curve, tolerance),
        (len(before), len(curve)),
    )  # fmt: skip


def is_close(one: float | None, other: float | None, tolerance: float) -> bool:
    """Tell whether two KPIs count as equal."""
    if one is None or other is None:
        return one is other
    return (
        one == other
        or (math.isnan(one) and math.isnan(other))
        or abs(one - other) <= tolerance * max(abs(one), abs(other))
    )


def ending(exit: Mapping[str, Any], said: str | None = None) -> str:
    """Return how a run ended, in the words of the record's ``end_reason``: what its script said counts first."""
    cause = exit.get("cause")
    if cause and cause != _SCRIPT:
        return str(cause)
    if exit.get("error") or said == "fail":
        return "error"
    if said == "abort":
        return _layout.USER
    return "error" if exit.get("signal") or exit.get("exit_code") else "finished"


def _without_kpi(ended: tuple[str, str], found: tuple[Channel, int] | None) -> str:
    """Return how a run without a KPI ended, in the coordinator's words: a trial needs one, a manual job does not.

    Which of both it was, the record's own end says.
    """
    was, now = ended
    if was not in (NO_KPI, NAN_KPI) or now not in _NEEDS_KPI:
        return now
    return NAN_KPI if found is not None and reported.curve(*found) else NO_KPI


def recorded_curve(record: Record, found: tuple[Channel, int] | None) -> list[tuple[float, float]]:
    """Return (x, y) of the recorded KPI channel, without what came after the stop."""
    if found is None:
        return []
    channel, trace = found
    for entry in record.files():
        name = entry.path.removeprefix(".bough/channels/")
        if name != entry.path and unquote(name.removesuffix(".csv")) == channel.name:
            rows = csv.reader(io.StringIO(record.read(f"channels/{name}").decode("utf-8", "replace"), newline=""))
            return [pair for row in list(rows)[1:] if (pair := _point(row, trace)) is not None]
    return []


def _point(row: list[str], trace: int) -> tuple[float, float] | None:
    try:
        return None if row[-1] == "1" else (float(row[0]), float(row[2 + trace]))
    except (ValueError, IndexError):
        return None


def first_difference(
    one: list[tuple[float, float]], other: list[tuple[float, float]], tolerance: float
) -> tuple[float, float | None, float | None] | None:
    """Return (x, y of the one, y of the other) of the first point that differs, None where all are equal."""
    for (x, y), (other_x, other_y) in zip(one, other, strict=False):
        if x != other_x or not is_close(y, other_y, tolerance):
            return x, y, other_y
    if len(one) == len(other):
        return None
    x, y = (one if len(one) > len(other) else other)[min(len(one), len(other))]
    return (x, y, None) if len(one) > len(other) else (x, None, y)


def sentences(verdict: Verdict, environment_is_known: bool) -> list[str]:
    """Return the verdict for people."""
    lines = [f"environment: {'differs' if verdict.environment else 'the same'}"]
    if not environment_is_known:
        lines[0] += ", as far as the record says it: it holds no list of packages"
    packages = {name: pair for name, pair in verdict.environment.items() if is_package(name)}
    for name, (was, now) in verdict.environment.items():
        if name not in packages:
            lines.append(f"  {name}: recorded {wording.number(was)}, here {wording.number(now)}")
    lines += _of_packages(packages)
    if verdict.ended[0] != verdict.ended[1]:
        lines.append(f"end: recorded {verdict.ended[0]}, here {verdict.ended[1]}")
    if verdict.first is not None:
        x, was, now = verdict.first
        lines.append(f"curve: differs from x = {wording.number(x)} on: recorded {_exact(was)}, here {_exact(now)}")
    told = "equal" if verdict.is_equal else "differs"
    name = f" {verdict.channel}" if verdict.channel else ""
    lines.append(f"KPI{name}: recorded {_exact(verdict.recorded)}, here {_exact(verdict.here)}: {told}")
    return lines


_MOST = 5  # packages that are named of each kind; --json has all


def _of_packages(sides: Sides) -> list[str]:
    other = [f"{name} {was} (here {now})" for name, (was, now) in sides.items() if was is not None and now is not None]
    missing = [f"{name} {was}" for name, (was, now) in sides.items() if now is None]
    more = [f"{name} {now}" for name, (was, now) in sides.items() if was is None]
    kinds = (("of another version here", other), ("missing here", missing), ("only here", more))
    return [f"  packages {kind}: {len(some)}: {_some(some)}" for kind, some in kinds if some]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def conclusion(verdict: Verdict, title: str) -> str:
    """Return the verdict in one sentence.

    Args:
        verdict: What came out.
        title: What people call the job.
    """
    was, now = verdict.ended
    if verdict.recorded is None and verdict.here is None:
        if verdict.is_equal:
            return f"{title} is reproduced: without a KPI, and ended ({now}) as recorded."
        return f"{title} is not reproduced: it ended with {now}, recorded was {was}."
    name = f"its KPI {verdict.channel}" if verdict.channel else "its KPI"
    if verdict.is_equal:
        exactly = (
            "exactly as recorded" if verdict.recorded == verdict.here else f"recorded was {_exact(verdict.recorded)}"
        )
        return f"{title} is reproduced: {name} is {_exact(verdict.here)}, {exactly}."
    if verdict.here is None:
        return (
            f"{title} is not reproduced: it gave no KPI and ended with {now}, recorded was {_exact(verdict.recorded)}."
        )
    return f"{title} is not reproduced: {name} is {_exact(verdict.here)}, recorded was {_exact(verdict.recorded)}."


def _exact(value: float | None) -> str:
    return "none" if value is None else repr(value)


def missing(record: Record) -> NotFound:
    """Return the error for a record that holds nothing to compare with."""
    return NotFound(f"{record.title} never ran, so there is nothing to reproduce.", "Choose one that did.")
