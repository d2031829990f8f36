"""What a job says of itself beyond points, infos and files: the newest value of each name of a kind.

::

    kind               name                       value
    system             as the script chose        any JSON: what `set_system_info` says of the machine or the run
    step               "" or a progress's name    {label, step, steps, speed, speed_label, eta_s, started, stopped}
    image              <x>/<its id>               {x, id, label, pos, file}: an insight; file is the name of a file
    confusion_matrix   <x>/<layer>                {x, layer, rows: [[…]]} or {x, layer, file}
    embedding          <x>/<its id>               {x, id, dimensions, count, tensor, metadata, image, …}: files
    graph              ""                         any JSON, or {file}
    section            <seconds since the start>  {title, seconds}
    action             its name                   {label, description, args: [{name, type, default, required}]}
    result             id of a call               {value} or {error}

A result also answers its call. A value that is too large for a line of the journal is a file, and is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select, update

from bough_server.store.dialects import upsert
from bough_server.store.schema import action_calls, documents

KINDS = (
    *("system", "step", "image", "confusion_matrix", "embedding"),
    *("graph", "section", "action", "result"),
)
FEW = ("system", "step", "graph", "section", "action")  # of which a job has few: shown with it
MAX_NAME = 300
MAX_DOCUMENTS = 20_000  # of one attempt


def is_line(line: Sequence[Any]) -> bool:
    """Return whether a journal line of kind d means something."""
    if len(line) != 6 or type(line[2]) not in (int, float):
        return False
    return line[3] in KINDS and type(line[4]) is str and len(line[4]) <= MAX_NAME


def store_lines(tx: Connection, job: str, attempt: int, lines: Sequence[Sequence[Any]]) -> int:
    """Store what these lines say, the last of a name; return how many were too many."""
    if not lines:
        return 0
    rows = {(line[3], line[4]): line for line in lines}
    mine = (documents.c.job == job) & (documents.c.attempt == attempt)
    room = MAX_DOCUMENTS - int(tx.execute(select(func.count()).select_from(documents).where(mine)).scalar_one())
    taken = list(rows.items()) if len(rows) <= room else _known_first(tx, mine, rows, max(0, room))
    named = {"job": job, "attempt": attempt}
    upsert(
        tx,
        documents,
        [{**named, "kind": kind, "name": name, "value": line[5], "at": float(line[2])} for (kind, name), line in taken],
        replace=("value", "at"),
    )
    for (kind, name), line in taken:
        if kind == "result":
            _answer(tx, job, attempt, name, line)
    return len(rows) - len(taken)


def _known_first(tx: Connection, mine: Any, rows: dict[tuple[str, str], Any], room: int) -> list[Any]:
    known = {(row.kind, row.name) for row in tx.execute(select(documents.c.kind, documents.c.name).where(mine))}
    old = [item for item in rows.items() if item[0] in known]
    return old + [item for item in rows.items() if item[0] not in known][:room]


def _answer(tx: Connection, job: str, attempt: int, call: str, line: Sequence[Any]) -> None:
    """Answer a call, the first time only."""
    answer = line[5] if isinstance(line[5], dict) else {"value": line[5]}
    mine = (action_calls.c.id == call) & (action_calls.c.job == job) & (action_calls.c.attempt == attempt)
    unanswered = mine & action_calls.c.answered_at.is_(None)
    tx.execute(update(action_calls).where(unanswered).values(answer=answer, answered_at=float(line[2])))


def rows(tx: Connection, job: str, attempt: int, kind: str | None = None) -> list[dict[str, Any]]:
    """Return (kind, name, value, at) of an attempt's documents, all or those of one kind, by their time."""
    mine = (documents.c.job == job) & (documents.c.attempt == attempt)
    if kind is not None:
        mine &= documents.c.kind == kind
    found = select(documents.c.kind, documents.c.name, documents.c.value, documents.c.at).where(mine)
    return [dict(row) for row in tx.execute(found.order_by(documents.c.at, documents.c.name)).mappings()]


def by_kind(tx: Connection, job: str, attempt: int) -> dict[str, list[dict[str, Any]]]:
    """Return the documents of an attempt by their kind, those of `FEW` only; kinds without any are left out."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    mine = (documents.c.job == job) & (documents.c.attempt == attempt) & documents.c.kind.in_(FEW)
    columns = (documents.c.kind, documents.c.name, documents.c.value, documents.c.at)
    for row in tx.execute(select(*columns).where(mine).order_by(documents.c.at, documents.c.name)).mappings():
        found[row["kind"]].append({name: row[name] for name in ("name", "value", "at")})
    return dict(found)


def steps(tx: Connection, jobs: Sequence[tuple[str, int]]) -> dict[str, dict[str, Any]]:
    """Return for each (job, attempt) its steps by their name: of the epoch "", of the job "epoch", named progress."""
    if not jobs:
        return {}
    newest = dict(jobs)
    mine = documents.c.job.in_(list(newest)) & (documents.c.kind == "step")
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in tx.execute(
        select(documents.c.job, documents.c.attempt, documents.c.name, documents.c.value).where(mine)
    ):
        if newest[row.job] == row.attempt:
            found[row.job][row.name] = row.value
    return found
