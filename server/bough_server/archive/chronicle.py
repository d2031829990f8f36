"""What happens to a model and to an optimization, as a chain of commits: refs/bough/models/…, …/optimizations/<id>.

::

    refs/bough/optimizations/<id>           refs/bough/models/<owner>/<name>
    .bough/optimization.json  settings      .bough/model.json
    .bough/spaces.json        all versions  .bough/revisions/0001.json …
    .bough/definition.json
    .bough/waiting.json       trials that have no values yet     .bough/marks.jsonl  stars, tags and notes of jobs
    .bough/trials/0000.jsonl  a line per trial whose values are fixed: what its ask saw, and what it gave
    .bough/history/0000.jsonl a line per end, in the order that the optimizer was told

Trials and ends are kept a hundred to a file, so that a commit holds anew only what is new. A line is never changed
again. The last line of a commit's message is a mark of the whole state: whether something changed since is known
without reading it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, select

from bough_server.archive import records
from bough_server.archive.assembly import public
from bough_server.archive.records import FORMAT, RecordData, json_file, json_lines
from bough_server.store import schema

SEGMENT = 100
MARK = "Bough-Mark: "
Row = Mapping[str, Any]

# What a trial is from the moment its values are fixed; how it ended is in its record.
_TRIAL = (
    *("number", "id", "ask_number", "history_seq", "values", "revision", "commit", "folder", "source", "agents"),
    *("priority", "max_epochs", "max_time_s", "created_at", "created_by"),
)
_END = ("seq", "job", "ask_number", "values", "loss", "ended_at")


@dataclass(frozen=True)
class State:
    """How much of an optimization a commit holds.

    Args:
        mark: Digest of everything in it.
        trials: Each trial up to this number had its values.
        ends: So many ends.
    """

    mark: str
    trials: int = 0
    ends: int = 0


def optimization(tx: Connection, optimization_id: str, written: State | None) -> tuple[RecordData, State] | None:
    """Return the next commit of an optimization's chain, and the state that it brings; None if nothing changed.

    Args:
        tx: A connection of the store.
        optimization_id: Which.
        written: What its newest commit holds; None if that is not known: then all of it is written.
    """
    row = _one(tx, schema.optimizations, schema.optimizations.c.id == optimization_id)
    if row is None:
        return None
    spaces = _rows(tx, schema.space_versions, optimization_id, "version")
    files = {
        "optimization.json": json_file({"format": FORMAT, **row, "source": public(row["source"])}),
        "spaces.json": json_file([{k: v for k, v in one.items() if k != "optimization"} for one in spaces]),
        "waiting.json": json_file(_trials(tx, optimization_id, schema.jobs.c["values"].is_(None))),
    }
    valued = _valued(tx, optimization_id)
    mark = _digest([*files.values(), repr((valued, row["history_seq"])).encode()])
    if written is not None and written.mark == mark:
        return None
    since = written or State("")
    solid = next((i for i, number in enumerate(valued) if number != i + 1), len(valued))
    revision = schema.model_revisions.c
    its_own = (revision.model == row["model"]) & (revision.number == row["revision"])
    files["definition.json"] = json_file(tx.execute(select(revision.definition).where(its_own)).scalar_one_or_none())
    files |= _segments("trials", _valued_trials(tx, optimization_id, since.trials // SEGMENT * SEGMENT), "number")
    files |= _segments("history", _ends(tx, optimization_id, since.ends // SEGMENT * SEGMENT), "seq")
    message = f"optimization {row['id']} of {row['model']}: {row['state']}\n\n"
    message += f"{len(valued)} trials have values, {row['history_seq']} ends are known\n\n{MARK}{mark}\n"
    record = RecordData(optimization_ref(row["id"]), None, _newest(tx, row, spaces), message, files, keeps=True)
    return record, State(mark, solid, row["history_seq"])


def model(tx: Connection, model_id: str, written: State | None) -> tuple[RecordData, State] | None:
    """As `optimization`, of a model: its revisions, and what people marked its jobs with."""
    row = _one(tx, schema.models, schema.models.c.id == model_id)
    if row is None:
        return None
    table, marks = schema.model_revisions, _marks(tx, model_id)
    known = select(table.c.number, table.c.digest, table.c.created_at).where(table.c.model == model_id)
    revisions = tx.execute(known.order_by(table.c.number)).all()
    head, shown = json_file({"format": FORMAT, **row}), json_lines(marks)
    mark = _digest([head, shown, *(one.digest.encode() for one in revisions)])
    if written is not None and written.mark == mark:
        return None
    files = {"model.json": head, "marks.jsonl": shown}
    for one in tx.execute(_of(table, table.c.model, model_id, "number")).mappings():
        files[f"revisions/{one['number']:04d}.json"] = json_file({k: v for k, v in one.items() if k != "model"})
    times = [one.created_at for one in revisions] + [one["changed_at"] for one in marks]
    message = f"model {model_id}: {len(revisions)} revisions\n\n{MARK}{mark}\n"
    record = RecordData(model_ref(model_id), None, max([row["created_at"], *times]), message, files, keeps=True)
    return record, State(mark)


def _marks(tx: Connection, model_id: str) -> list[dict[str, Any]]:
    table = schema.job_marks
    found = select(table).join(schema.jobs, schema.jobs.c.id == table.c.job).where(schema.jobs.c.model == model_id)
    return [dict(row) for row in tx.execute(found.order_by(table.c.job)).mappings()]


def optimization_ref(optimization_id: str) -> str:
    """Return the ref of an optimization's chain."""
    return records.OPTIMIZATION_REFS + optimization_id


def model_ref(model_id: str) -> str:
    """Return the ref of a model's revisions."""
    return records.MODEL_REFS + model_id


def mark_of(message: str) -> str | None:
    """Return the mark in a commit's message; None if there is none."""
    last = message.rstrip("\n").rpartition("\n")[2]
    return last.removeprefix(MARK) if last.startswith(MARK) else None


def _valued(tx: Connection, optimization_id: str) -> list[int]:
    """Return the numbers of the trials that have values."""
    mine = (schema.jobs.c.optimization == optimization_id) & schema.jobs.c["values"].is_not(None)
    return list(tx.execute(select(schema.jobs.c.number).where(mine).order_by(schema.jobs.c.number)).scalars())


def _valued_trials(tx: Connection, optimization_id: str, after: int) -> list[dict[str, Any]]:
    return _trials(tx, optimization_id, schema.jobs.c["values"].is_not(None) & (schema.jobs.c.number > after))


def _trials(tx: Connection, optimization_id: str, which: Any) -> list[dict[str, Any]]:
    table = schema.jobs.c
    chosen = select(*(table[name] for name in _TRIAL)).where(table.optimization == optimization_id, which)
    rows = tx.execute(chosen.order_by(table.number)).mappings()
    return [{**row, "source": public(row["source"])} for row in rows]


def _ends(tx: Connection, optimization_id: str, after: int) -> list[dict[str, Any]]:
    table = schema.history.c
    mine = (table.optimization == optimization_id) & (table.seq > after)
    return [
        dict(row) for row in tx.execute(select(*(table[n] for n in _END)).where(mine).order_by(table.seq)).mappings()
    ]


def _segments(folder: str, rows: Iterable[Row], key: str) -> dict[str, bytes]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault((row[key] - 1) // SEGMENT, []).append(row)
    return {f"{folder}/{n:04d}.jsonl": json_lines(some) for n, some in found.items()}


def _newest(tx: Connection, row: Row, spaces: list[dict[str, Any]]) -> float:
    """Return the time of the newest event that is known: the date of the commit, so that it is the same again."""
    ends = select(func.max(schema.history.c.ended_at)).where(schema.history.c.optimization == row["id"])
    claims = select(func.max(schema.attempts.c.claimed_at)).join(schema.jobs, schema.jobs.c.id == schema.attempts.c.job)
    claimed = tx.execute(claims.where(schema.jobs.c.optimization == row["id"])).scalar_one()
    known = [row["created_at"], row["ended_at"], tx.execute(ends).scalar_one(), claimed]
    return max(float(at) for at in (*known, *(one["created_at"] for one in spaces)) if at is not None)


def _rows(tx: Connection, table: Table, optimization_id: str, order: str) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(_of(table, table.c.optimization, optimization_id, order)).mappings()]


def _of(table: Table, column: Any, value: str, order: str) -> Any:
    return select(table).where(column == value).order_by(table.c[order])


def _one(tx: Connection, table: Table, where: Any) -> dict[str, Any] | None:
    row = tx.execute(select(table).where(where)).mappings().one_or_none()
    return None if row is None else dict(row)


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]
