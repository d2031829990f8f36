"""What a trial says it has sent, written by itself into files that bough knows nothing of, against what bough tells.

The script notes each point with O_DSYNC *after* `send` has returned. So what is noted must be there, what is there
must have been noted, and the one point that a killed script had sent and not yet noted is the only thing in between.
`breaches` compares; `test_oracle.py` checks that it finds what is wrong.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bough_server.service import export

Row = Mapping[str, Any]
CHANNEL = "loss"
TRAIN = """\
import json, os, time
import bough
job = bough.start_job()
kpi = job.create_channel("loss", kpi=True, main=True, max_optimization=False)
book = os.open(os.path.join({folder!r}, "%s.%d.%d" % (job.job_id, job.attempt, os.getpid())),
               os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_DSYNC, 0o600)
note = lambda *what: os.write(book, (json.dumps(what) + "\\n").encode())
x = job.get_parameter("x")
note("started", x)
print("begun", flush=True)
for step in range(1, {steps} + 1):
    y = x ** 2 + 1 / step
    kpi.send(step, y)
    note("sent", step, y)
    time.sleep({pause_s})
note("ended")
"""


def value_of(x: float, step: int) -> float:
    """What the script sends; the same on every machine and in every attempt."""
    return x**2 + 1 / step


@dataclass
class Told:
    """What one process of an attempt says of itself."""

    job: str
    attempt: int
    x: float | None = None  # its hyperparameter; None where it was killed before it noted that
    points: list[tuple[float, float]] = field(default_factory=list)
    is_ended: bool = False


def read(folder: Path) -> list[Told]:
    """Return what all processes have noted; a line that a killed one did not finish is none."""
    return [_read(path) for path in sorted(folder.iterdir())]


def _read(path: Path) -> Told:
    job, attempt, _ = path.name.split(".")
    told = Told(job, int(attempt))
    for line in path.read_text().split("\n")[:-1]:
        kind, *what = json.loads(line)
        if kind == "started":
            told.x = what[0]
        elif kind == "sent":
            told.points.append((float(what[0]), float(what[1])))
        else:
            told.is_ended = True
    return told


@dataclass(frozen=True)
class Tables:
    """What bough tells: one row per trial, one per point of every attempt."""

    trials: Sequence[Row]
    points: Sequence[Row]

    @classmethod
    def of_csv(cls, trials: str, points: str) -> Tables:
        """Read what `bough export` printed."""
        return cls(*(list(csv.DictReader(io.StringIO(text))) for text in (trials, points)))

    @classmethod
    def of_store(cls, tx: Connection, optimization: str) -> Tables:
        """Read the same from a store that no coordinator has open."""
        _, trials = export.trial_rows(tx, optimization)
        _, points = export.point_rows(tx, optimization, all_attempts=True)
        return cls(list(trials), list(points))


@dataclass(frozen=True)
class Promise:
    """How it was to go: so many trials of so many points, each DONE."""

    trials: int
    steps: int


def breaches(promise: Promise, tables: Tables, told: Iterable[Told]) -> list[str]:
    """Return a sentence for everything that is not as the scripts say it was."""
    found = _numbers(promise, tables.trials)
    by_attempt: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for one in told:
        by_attempt[one.job, one.attempt].append(one)
    points = _points_of(tables.points, found)
    jobs = {str(row["job_id"]): row for row in tables.trials}
    for (job, attempt), many in by_attempt.items():
        if len(many) > 1:
            found.append(f"attempt {attempt} of job {job} was run by {len(many)} processes.")
        if job not in jobs or attempt > int(jobs[job]["attempts"]):
            found.append(f"a script ran as attempt {attempt} of job {job}, which nobody knows of.")
    for row in tables.trials:
        found += _of_trial(promise, row, points, by_attempt)
    numbers = {int(row["number"]): int(row["attempts"]) for row in tables.trials}
    found += [f"there are points of trial {n}, attempt {a}." for n, a in points if a > numbers.get(n, 0)]
    return found


def _numbers(promise: Promise, trials: Sequence[Row]) -> list[str]:
    numbers = [int(row["number"]) for row in trials]
    ids = {row["job_id"] for row in trials}
    if numbers == list(range(1, promise.trials + 1)) and len(ids) == promise.trials:
        return []
    return [f"{promise.trials} trials were to be made, and these are there: {numbers}."]


def _points_of(rows: Sequence[Row], found: list[str]) -> dict[tuple[int, int], list[tuple[float, float]]]:
    points: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if (row["channel"], row["trace"]) == (CHANNEL, CHANNEL):
            points[int(row["number"]), int(row["attempt"])].append((float(row["x"]), float(row["y"])))
        elif not str(row["channel"]).startswith("system/"):
            found.append(f"there is a channel {row['channel']} that no script has made.")
    return points


def _of_trial(
    promise: Promise,
    row: Row,
    points: Mapping[tuple[int, int], list[tuple[float, float]]],
    by_attempt: Mapping[tuple[str, int], Sequence[Told]],
) -> list[str]:
    number, newest, job = int(row["number"]), int(row["attempts"]), str(row["job_id"])
    found = []
    x = float(row["p.x"]) if row["p.x"] not in (None, "") else None
    for attempt in range(1, newest + 1):
        told = by_attempt.get((job, attempt), ())
        name = f"trial {number}, attempt {attempt}"
        noted = told[0].points if told else []
        found += _of_attempt(name, points.get((number, attempt), []), noted, x, is_winner=attempt == newest)
        found += [f"{name} ran with x = {one.x}, not {x}." for one in told if one.x not in (None, x)]
    if (row["state"], row["end_reason"]) != ("DONE", "finished"):
        return [*found, f"trial {number} is {row['state']} ({row['end_reason']}): {row['message']}."]
    won = by_attempt.get((job, newest), ())
    if not (won and won[0].is_ended and len(won[0].points) == promise.steps):
        found.append(f"trial {number} is DONE, but its script did not get to its end.")
    if x is None or float(row["kpi"] or "nan") != value_of(x, promise.steps):
        found.append(f"trial {number} has the KPI {row['kpi']}, which is not what it sent last.")
    if not row["started"] or not row["ended"] or not str(row["started"]) <= str(row["ended"]):
        found.append(f"trial {number} ran from {row['started']!r} to {row['ended']!r}.")
    return found


def _of_attempt(
    name: str, stored: list[tuple[float, float]], noted: list[tuple[float, float]], x: float | None, is_winner: bool
) -> list[str]:
    """Of an attempt that was given up, what its agent never got to send is not there; of the last one, all is."""
    if x is None:
        return [f"{name} has no values."]
    sendable = [(float(step), value_of(x, step)) for step in range(1, len(noted) + 2)]
    if noted != sendable[:-1]:
        return [f"{name} noted other points than it sends."]
    if stored != sendable[: len(stored)]:
        return [f"{name} sent {len(noted)} points, and these are there: {stored}."]
    if is_winner and len(stored) < len(noted):
        return [f"{name} sent {len(noted)} points, and only {len(stored)} are there."]
    return []


def run_again(told: Iterable[Told], trials: Sequence[Row]) -> int:
    """Return how many scripts got to their end and were run once more all the same: their supervisor was killed."""
    newest = {str(row["job_id"]): int(row["attempts"]) for row in trials}
    return sum(one.is_ended and one.attempt < newest.get(one.job, 0) for one in told)
