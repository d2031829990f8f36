"""Damage of every kind that must be found: in what bough tells, and in the store itself. Which rows it hits, the seed
decides."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import Any

from tests.chaos.oracle import CHANNEL, Tables

Rows = list[dict[str, Any]]
OfTables = Callable[[random.Random, Rows, Rows], None]


def damaged(tables: Tables, damage: OfTables, rng: random.Random) -> Tables:
    """Return a copy of the tables with that damage."""
    trials, points = [dict(row) for row in tables.trials], [dict(row) for row in tables.points]
    damage(rng, trials, points)
    return Tables(trials, points)


def _any_point(rng: random.Random, trials: Rows, points: Rows) -> int:
    """Return the place of a point of an accepted attempt, the last one of its trial left out."""
    newest = {row["number"]: row["attempts"] for row in trials}
    last = {row["number"]: n for n, row in enumerate(points)}
    return rng.choice(
        [
            n
            for n, row in enumerate(points)
            if row["channel"] == CHANNEL and row["attempt"] == newest[row["number"]] and n != last[row["number"]]
        ]
    )


def _lose_a_point(rng: random.Random, trials: Rows, points: Rows) -> None:
    del points[_any_point(rng, trials, points)]


def _tell_a_point_twice(rng: random.Random, trials: Rows, points: Rows) -> None:
    at = _any_point(rng, trials, points)
    points.insert(at, dict(points[at]))


def _swap_two_points(rng: random.Random, trials: Rows, points: Rows) -> None:
    at = _any_point(rng, trials, points)
    points[at]["y"], points[at + 1]["y"] = points[at + 1]["y"], points[at]["y"]


def _round_a_point(rng: random.Random, trials: Rows, points: Rows) -> None:
    at = _any_point(rng, trials, points)
    points[at]["y"] = float(points[at]["y"]) * (1 + 2**-52)


def _move_a_point_along(rng: random.Random, trials: Rows, points: Rows) -> None:
    points[_any_point(rng, trials, points)]["x"] = 1000


def _give_a_point_to_another_trial(rng: random.Random, trials: Rows, points: Rows) -> None:
    row = points[_any_point(rng, trials, points)]
    row["number"] = rng.choice([one["number"] for one in trials if one["number"] != row["number"]])


def _invent_an_attempt(rng: random.Random, trials: Rows, points: Rows) -> None:
    row = points[_any_point(rng, trials, points)]
    points.append({**row, "attempt": int(row["attempt"]) + 40})


def _invent_a_channel(rng: random.Random, trials: Rows, points: Rows) -> None:
    points[_any_point(rng, trials, points)]["channel"] = "gain"


def _lose_a_trial(rng: random.Random, trials: Rows, points: Rows) -> None:
    del trials[rng.randrange(len(trials))]


def _tell_a_trial_twice(rng: random.Random, trials: Rows, points: Rows) -> None:
    trials.append(dict(rng.choice(trials)))


def _fail_a_trial(rng: random.Random, trials: Rows, points: Rows) -> None:
    rng.choice(trials)["state"] = "FAILED"


def _keep_a_trial_running(rng: random.Random, trials: Rows, points: Rows) -> None:
    rng.choice(trials).update(state="RUNNING", end_reason="")


def _change_a_kpi(rng: random.Random, trials: Rows, points: Rows) -> None:
    row = rng.choice(trials)
    row["kpi"] = float(row["kpi"]) + 0.5


def _change_a_value(rng: random.Random, trials: Rows, points: Rows) -> None:
    row = rng.choice(trials)
    row["p.x"] = float(row["p.x"]) + 0.5


def _forget_a_start(rng: random.Random, trials: Rows, points: Rows) -> None:
    rng.choice(trials)["started"] = ""


def _forget_an_attempt(rng: random.Random, trials: Rows, points: Rows) -> None:
    row = rng.choice([one for one in trials if int(one["attempts"]) > 1])
    row["attempts"] = int(row["attempts"]) - 1


OF_TABLES: dict[str, OfTables] = {
    found.__name__.strip("_"): found
    for found in (
        *(_lose_a_point, _tell_a_point_twice, _swap_two_points, _round_a_point, _move_a_point_along),
        *(_give_a_point_to_another_trial, _invent_an_attempt, _invent_a_channel, _lose_a_trial, _tell_a_trial_twice),
        *(_fail_a_trial, _keep_a_trial_running, _change_a_kpi, _change_a_value, _forget_a_start, _forget_an_attempt),
    )
}

# Each is one statement; `:n` is any number. What it hits is of trials and of their newest attempts.
_NEWEST = "(SELECT j.id || '.' || j.attempt FROM jobs j)"
_CHANNELS = f"(SELECT id FROM channels WHERE NOT system AND job || '.' || attempt IN {_NEWEST})"
_A_CHUNK = f"SELECT rowid FROM point_chunks WHERE channel IN {_CHANNELS} ORDER BY rowid"
OF_STORES: dict[str, str] = {
    "lose a chunk of points": f"DELETE FROM point_chunks WHERE rowid = ({_A_CHUNK} LIMIT 1 OFFSET :n % 20)",
    "store a chunk of points twice": (
        "INSERT INTO point_chunks SELECT channel, writer, first_seq + 1000, last_seq + 1000, n, data FROM point_chunks "
        f"WHERE rowid = ({_A_CHUNK} LIMIT 1 OFFSET :n % 20)"
    ),
    "give a chunk of points to another channel": (
        f"UPDATE point_chunks SET channel = (SELECT max(id) FROM channels WHERE id IN {_CHANNELS}), "
        f"first_seq = first_seq + 1000, last_seq = last_seq + 1000 WHERE rowid = ({_A_CHUNK} LIMIT 1 OFFSET :n % 19)"
    ),
    "lose a journal": (
        "DELETE FROM streams WHERE rowid = (SELECT rowid FROM streams WHERE stream LIKE 'journal/%' "
        f"AND stream NOT LIKE 'journal/0-%' AND job || '.' || attempt IN {_NEWEST} LIMIT 1 OFFSET :n % 20)"
    ),
    "acknowledge more than came": "UPDATE streams SET acked = acked + 1 WHERE stream = 'log'",
    "acknowledge less than came": "UPDATE streams SET acked = acked - 1 WHERE stream LIKE 'journal/%'",
    "change what came": "UPDATE streams SET crc = crc + 1 WHERE stream LIKE 'journal/%'",
    "accept an earlier attempt": (
        "UPDATE attempts SET state = 'held' WHERE attempt < (SELECT attempt FROM jobs WHERE id = job)"
    ),
    "lose the accepted attempt": "UPDATE jobs SET state = 'RUNNING' WHERE number = 1 + :n % 20",
    "end without a reason": "UPDATE jobs SET end_reason = NULL WHERE number = 1 + :n % 20",
    "end without a time": "UPDATE jobs SET ended_at = NULL WHERE number = 1 + :n % 20",
    "never tell the optimizer": "DELETE FROM history WHERE seq = 1 + :n % 20",
    "tell the optimizer of another": "UPDATE history SET seq = seq + 100000 WHERE seq = 1 + :n % 20",
    "tell another loss": "UPDATE history SET loss = loss + 1 WHERE seq = 1 + :n % 20",
    "tell other values": 'UPDATE history SET "values" = \'{"x": 77.5}\' WHERE seq = 1 + :n % 20',
    "take an ask twice": "UPDATE jobs SET ask_number = ask_number + 1 WHERE number = 1 + :n % 19",
    "take an ask that there was not": "UPDATE jobs SET ask_number = 1000 + :n WHERE number = 1 + :n % 20",
    "start too many": "UPDATE optimizations SET max_trials = max_trials - 1",
    "give a number twice": "UPDATE jobs SET number = number + 1 WHERE number = 1 + :n % 19",
    "change values": 'UPDATE jobs SET "values" = \'{"x": 77.5}\' WHERE number = 1 + :n % 20',
    "change a kpi": "UPDATE jobs SET kpi = kpi + 1, kpi_last = kpi_last + 1 WHERE number = 1 + :n % 20",
    "abort what was done": "UPDATE jobs SET state = 'ABORTED' WHERE number = 1 + :n % 20",
}


def damage_store(path: str, statement: str, n: int) -> int:
    """Carry out the statement on a store; return how many rows it hit."""
    store = sqlite3.connect(path)
    try:
        with store:
            return store.execute(statement, {"n": n} if ":n" in statement else {}).rowcount
    finally:
        store.close()
