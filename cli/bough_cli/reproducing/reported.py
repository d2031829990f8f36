"""What a run reported, read from its journals as docs/protocol.md describes them, and its KPI.

The rules are those of the coordinator: only finite values count, and only those from before the stop was decided.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bough import _layout

_MEAN = re.compile(r"mean\((\d+)\)")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_BLOCK = 128  # numpy's: longer sums are halved


@dataclass
class Channel:
    """A channel: its declaration, and its points (x, y of each trace) that count, in the order they were reported."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    points: list[tuple[float, list[Any]]] = field(default_factory=list)

    @property
    def traces(self) -> list[str]:
        """The names of its lines."""
        return list(self.spec.get("traces") or [self.name])


def read(folder: Path, exit: Mapping[str, Any]) -> dict[str, Channel]:
    """Return the channels of an attempt that has ended, by name.

    Args:
        folder: The attempt's.
        exit: Its exit.json: from the line ``cut`` of a journal on, points are from after the stop.
    """
    channels: dict[str, Channel] = {}
    points: list[tuple[float, str, float, list[Any]]] = []
    for path in sorted((folder / _layout.JOURNALS).glob("*.jsonl")):
        cut = ((exit.get("journals") or {}).get(path.stem) or {}).get("cut")
        for line in _lines(path):
            if line[0] == "c" and len(line) == 5 and isinstance(line[4], dict):
                channels.setdefault(line[3], Channel(line[3])).spec = line[4]
            elif line[0] == "p" and len(line) == 6 and (cut is None or line[1] < cut):
                x = number(line[4])
                y = line[5] if isinstance(line[5], list) else [line[5]]
                if x is not None and isinstance(line[2], int | float):
                    points.append((float(line[2]), line[3], x, y))
    for _, name, x, y in sorted(points, key=lambda point: point[0]):
        channels.setdefault(name, Channel(name)).points.append((x, y))
    return channels


def said(folder: Path) -> str | None:
    """Return how a script said that it ended: done, abort or fail, the worst of them; None where it did not."""
    lines = (line for path in (folder / _layout.JOURNALS).glob("*.jsonl") for line in _lines(path))
    words = {line[3] for line in lines if line[0] == "e"}
    return next((word for word in ("fail", "abort", "done") if word in words), None)


def _lines(path: Path) -> list[list[Any]]:
    found = []
    for text in path.read_bytes().split(b"\n"):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, list) and len(line) >= 4 and isinstance(line[3], str) and isinstance(line[1], int):
            found.append(line)
    return found


def number(value: Any) -> float | None:
    """Return a number as journals and records write them, None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    return _NOT_FINITE.get(value) if isinstance(value, str) else None


def kpi_channel(channels: Mapping[str, Channel], wanted: str | None) -> tuple[Channel, int] | None:
    """Return the channel that is the KPI, and which of its traces: the wanted one, else the one declared as KPI."""
    for channel in channels.values():
        trace = channel.spec.get("kpi_trace") or 0
        if wanted == channel.name or (wanted is None and channel.spec.get("kpi")):
            return channel, trace if isinstance(trace, int) and trace < len(channel.traces) else 0
        for index, name in enumerate(channel.traces):
            if wanted == f"{channel.name}/{name}":
                return channel, index
    return None


def direction(channel: Channel) -> str:
    """Return which way is better by what the script declared."""
    maximize = channel.spec.get("maximize")
    if maximize is None:
        return "minimize" if channel.spec.get("loss") else "maximize"
    return "maximize" if maximize else "minimize"


def curve(channel: Channel, trace: int) -> list[tuple[float, float]]:
    """Return (x, y) of a trace's points that are numbers, finite or not, in the order they were reported."""
    found = ((x, number(y[trace])) for x, y in channel.points if trace < len(y))
    return [(x, value) for x, value in found if value is not None]


def values(channel: Channel, trace: int) -> list[float]:
    """Return the finite values of a trace, in the order they were reported."""
    return [value for _, value in curve(channel, trace) if math.isfinite(value)]


def reduced(found: Sequence[float], reduce: str, way: str) -> float | None:
    """Return the KPI of finite values: the last, the best, or the mean of the last k; None without any."""
    if not found:
        return None
    mean = _MEAN.fullmatch(reduce)
    if mean:
        last = found[-int(mean[1]) :]
        return pairwise_sum(last) / len(last)
    if reduce == "best":
        return min(found) if way == "minimize" else max(found)
    return found[-1]


def pairwise_sum(found: Sequence[float]) -> float:
    """Return the sum to the last bit as numpy adds it: in eight columns, and halves above 128.

    (numpy, ``pairwise_sum`` in loops_utils.h.src; Higham 1993, "The accuracy of floating point summation".)
    """
    n = len(found)
    if n < 8:
        total = 0.0 if n == 0 else -0.0
        for value in found:
            total += value
        return total
    if n > _BLOCK:
        half = n // 2 - (n // 2) % 8
        return pairwise_sum(found[:half]) + pairwise_sum(found[half:])
    columns = list(found[:8])
    whole = n - n % 8
    for start in range(8, whole, 8):
        columns = [one + other for one, other in zip(columns, found[start : start + 8], strict=True)]
    a, b, c, d, e, f, g, h = columns
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for value in found[whole:]:
        total += value
    return total
