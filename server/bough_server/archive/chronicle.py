"""What happens to a model and to an optimization, as a chain of commits: refs/bough/models/…, …/optimizations/<id>.

::

    refs/bough/optimizations/<id>           refs/bough/models/<owner>/<name>
    .bough/optimization.json  settings      .bough/model.json
    .bough/spaces.json        all versions  .bough/revisions/0001.json …
    .bough/definition.json
    .bough/waiting.json       trials that have no values yet     .bough/marks.jsonl  stars, tags and notes of jobs
    .bough/again.json         ids of trials that run once more, whose records are of an earlier end
    .bough/tables/<name>.jsonl    rows of other tables that belong to it, such as edits
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
TERMINAL = ("DONE", "FAILED", "ABORTED")

# Of a trial, what changes after its values are fixed; how it ended is in its record.
_LATER = frozenset(
    """
    optimization model state end_reason message kpi kpi_last kpi_best kpi_best_x epochs epochs_total queued_at
    started_at ended_at duration_s exit_code attempt agent failures lost retries unreachable partial suspect
    status desired desired_cause record
    """.split()  # noqa: SIM905  (a list of thirty is not read)
)
_WITH_FORM = ("jobs", "history", "space_versions", "optimizations")
OTHERS = tuple(
    table for table in schema.metadata.sorted_tables if table.name not in _WITH_FORM and "optimization" in table.c
)
_ORDER = (schema.jobs.c.generation, schema.jobs.c.number)


@dataclass(frozen=True)
class State:
    """How much of an optimization a commit holds.

    Args:
        mark: Digest of everything in it.
        trials: So many trials had their values, all before them as well.
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
    spaces = _rows(tx, schema.space_versions, optimization_id, schema.space_versions.c.version)
    files = {
        "optimization.json": json_file({"format": FORMAT, **row, "source": public(row["source"])}),
        "spaces.json": json_file([_but_optimization(one) for one in spaces]),
        "waiting.json": json_file(_trials(tx, optimization_id, schema.jobs.c["values"].is_(None))),
    }
    again = schema.jobs.c.state.not_in(TERMINAL) & (schema.jobs.c.retries > 0)
    files["again.json"] = json_file([one["id"] for one in _trials(tx, optimization_id, again)])
    for table in OTHERS:
        if rows := _rows(tx, table, optimization_id, *table.primary_key):
            files[f"tables/{table.name}.jsonl"] = json_lines(_but_optimization(one) for one in map(_public, rows))
    counted = _valued(tx, optimization_id)
    mark = _digest([*files.values(), repr((counted, row["history_seq"])).encode()])
    if written is not None and written.mark == mark:
        return None
    since = written or State("")
    revision = schema.model_revisions.c
    its_own = (revision.model == row["model"]) & (revision.number == row["revision"])
    files["definition.json"] = json_file(tx.execute(select(revision.definition).where(its_own)).scalar_one_or_none())
    first = since.trials // SEGMENT * SEGMENT
    before = min(first, 1)  # the last one of the file before: whether what follows it is the next
    valued = _trials(tx, optimization_id, schema.jobs.c["values"].is_not(None), first - before)
    files |= _segments("trials", valued[before:], first)
    first = since.ends // SEGMENT * SEGMENT
    files |= _segments("history", _ends(tx, optimization_id, first), first)
    message = f"optimization {row['id']} of {row['model']}: {row['state']}\n\n"
    n = sum(n for _, n in counted)
    message += f"{n} trials have values, {row['history_seq']} ends are known\n\n{MARK}{mark}\n"
    record = RecordData(optimization_ref(row["id"]), None, _newest(tx, row, spaces), message, files, keeps=True)
    return record, State(mark, n - len(valued) + _solid(valued, since.trials - n + len(valued)), row["history_seq"])


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


def _valued(tx: Connection, optimization_id: str) -> list[tuple[int, int]]:
    """Return how many trials of each generation have values: counted, since there may be very many."""
    table = schema.jobs.c
    mine = (table.optimization == optimization_id) & table["values"].is_not(None)
    found = select(table.generation, func.count()).where(mine).group_by(table.generation).order_by(table.generation)
    return [(generation, n) for generation, n in tx.execute(found)]


def _solid(trials: list[dict[str, Any]], known: int) -> int:
    """Return how many of these, from the first on, no other will ever come in front of; of ``known`` that was found."""
    for i in range(max(0, known), len(trials)):
        number = trials[i]["number"]
        if number != 1 and (i == 0 or number != trials[i - 1]["number"] + 1):
            return i
    return len(trials)


def _trials(tx: Connection, optimization_id: str, which: Any, skip: int = 0) -> list[dict[str, Any]]:
    table = schema.jobs.c
    columns = [column for column in table if column.name not in _LATER]
    chosen = select(*columns).where(table.optimization == optimization_id, which).order_by(*_ORDER).offset(skip)
    return [{**row, "source": public(row["source"])} for row in tx.execute(chosen.limit(_ALL)).mappings()]


_ALL = 2**31  # SQLite knows no offset without a limit


def _ends(tx: Connection, optimization_id: str, after: int) -> list[dict[str, Any]]:
    table = schema.history
    mine = (table.c.optimization == optimization_id) & (table.c.seq > after)
    found = tx.execute(select(table).where(mine).order_by(table.c.seq)).mappings()
    return [_but_optimization(dict(row)) for row in found]


def _segments(folder: str, rows: list[dict[str, Any]], first: int) -> dict[str, bytes]:
    """Return files of a hundred rows each; ``first`` is the place of the first row, the beginning of a file."""
    starts = range(0, len(rows), SEGMENT)
    return {f"{folder}/{(first + i) // SEGMENT:04d}.jsonl": json_lines(rows[i : i + SEGMENT]) for i in starts}


def _public(row: Row) -> Row:
    """Return a row of which a column holds a row of an optimization, without a credential in its source."""
    kept = row.get("row")
    return (
        {**row, "row": {**kept, "source": public(kept["source"])}}
        if isinstance(kept, dict) and "source" in kept
        else row
    )


def _but_optimization(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "optimization"}


def _newest(tx: Connection, row: Row, spaces: list[dict[str, Any]]) -> float:
    """Return the time of the newest event that is known: the date of the commit, so that it is the same again."""
    ends = select(func.max(schema.history.c.ended_at)).where(schema.history.c.optimization == row["id"])
    claims = select(func.max(schema.attempts.c.claimed_at)).join(schema.jobs, schema.jobs.c.id == schema.attempts.c.job)
    claimed = tx.execute(claims.where(schema.jobs.c.optimization == row["id"])).scalar_one()
    known = [row["created_at"], row["ended_at"], tx.execute(ends).scalar_one(), claimed]
    edited = [one["at"] for one in _rows(tx, schema.edits, row["id"], schema.edits.c.number)]
    return max(float(at) for at in (*known, *edited, *(one["created_at"] for one in spaces)) if at is not None)


def _rows(tx: Connection, table: Table, optimization_id: str, *order: Any) -> list[dict[str, Any]]:
    found = select(table).where(table.c.optimization == optimization_id).order_by(*order)
    return [dict(row) for row in tx.execute(found).mappings()]


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
