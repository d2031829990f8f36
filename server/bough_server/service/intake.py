"""What records say, put into the store: by a rebuild everything, by a push what is new.

A record that does not agree with itself is refused with a sentence; the others go on. Where the record of a trial is
missing, the chain of its optimization still knows its values, and whether and how well it ended: that much is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, delete, func, insert, select

from bough_server.archive import files, logs
from bough_server.archive.chains import ModelRows, OptimizationRows
from bough_server.archive.gathering import OTHERS
from bough_server.archive.parsing import BadRecord, JobRows, add_log
from bough_server.archive.reading import Reader, Record
from bough_server.archive.records import job_ref
from bough_server.service import definitions, environments, told
from bough_server.service import kpi as kpis
from bough_server.service.again import ONCE_MORE, what_was_said
from bough_server.service.states import DONE, FAILED, QUEUED
from bough_server.store import points as codec
from bough_server.store import reads, schema
from bough_server.store.contents import ContentStore
from bough_server.store.dialects import upsert

Row = Mapping[str, Any]


def check_code(record: Record, found: JobRows, reader: Reader) -> None:
    """Raise `BadRecord` if the code in a record is not that of the commit which it says was run."""
    if not record.parents:
        return
    code = reader.code_of(record.parents[0])
    if code is None:
        raise BadRecord(f"grows from commit {record.parents[0]}, which is not here.")
    if code != record.code:
        raise BadRecord(f"holds other code than commit {found.job['commit']}, which it says was run.")


def check_kpi(found: JobRows) -> None:
    """Raise `BadRecord` if the KPI of a record is not what its points give."""
    job = found.job
    if job["kpi"] is None or job["attempt"] == 0:
        return
    mine = [channel for channel in found.channels if channel.row["attempt"] == job["attempt"]]
    mine.sort(key=lambda channel: not channel.row["main"])
    points = {channel.row["name"]: channel.points for channel in mine}
    rows = [channel.row for channel in mine]
    try:
        kpi = kpis.of_channels(rows, found.kpi_settings, lambda row: _points(row, points[row["name"]]))
    except (ValueError, TypeError, IndexError, AttributeError):
        raise BadRecord("has a KPI that cannot be told from its points.") from None
    if (kpi.value, kpi.last, kpi.best, kpi.best_x) != tuple(job[f"kpi{n}"] for n in ("", "_last", "_best", "_best_x")):
        raise BadRecord(f"says KPI {job['kpi']!r}, but its points give {kpi.value!r}.")


def _points(channel: Row, chunk: codec.Chunk | None) -> reads.Points:
    whole = codec.joined([] if chunk is None else [chunk], len(channel["traces"]))
    overrun = whole.seq >= np.int64(reads.OVERRUN_FROM)
    return reads.Points(whole.seq, whole.x, whole.t, list(whole.y), [reads.RECORDED] * len(whole.seq), overrun)


def keep_contents(contents: ContentStore, found: JobRows, record: Record, reader: Reader) -> int:
    """Put the contents of a job's files into the content store, those that the record holds; return how many lack.

    ``found.contents`` are then the rows of those that are there, and long logs are whole where they can be.
    """
    absent = 0
    for attempt, content in found.whole_logs.items():
        log = logs.of_store(content, contents)
        absent += log is None
        if log is not None:
            add_log(found, attempt, log)
    for row in found.others.get(schema.job_files, []):
        folder = "" if row["attempt"] == found.job["attempt"] else f"attempts/{row['attempt']}/"
        oid = record.ids.get(f"{folder}{files.FOLDER}{row['path']}")
        is_here = files.is_here(contents, row)
        if not is_here and oid is not None:
            is_here = files.keep(contents, row, reader.content(oid))
        if is_here:
            found.contents.append({"sha256": row["sha256"], "bytes": row["bytes"], "at": row["at"]})
        absent += not is_here
    return absent


def add_model(tx: Connection, found: ModelRows) -> None:
    """Add a model with those of its revisions whose numbers are not taken."""
    upsert(tx, schema.models, [found.model])
    upsert(tx, schema.model_revisions, found.revisions)


def add_marks(tx: Connection, found: ModelRows) -> None:
    """Add what people marked jobs with, where the jobs are there and not marked otherwise."""
    put_back_marks(tx, found.marks)


def put_back_marks(tx: Connection, marks: Sequence[dict[str, Any]]) -> None:
    """Add these marks where their jobs are there and not marked."""
    jobs = [mark["job"] for mark in marks]
    known = set(tx.execute(select(schema.jobs.c.id).where(schema.jobs.c.id.in_(jobs))).scalars())
    upsert(tx, schema.job_marks, [mark for mark in marks if mark["job"] in known])


def know_definition(tx: Connection, model: str, revision: int, raw: Row | None, at: float, by: str) -> int:
    """Return the number of the model's revision that is this definition, added if it is new.

    It is added under its own number where that is free. None is taken to be what is there under that number.
    """
    upsert(tx, schema.models, [{"id": model, "owner": model.partition("/")[0], "created_at": at}])
    if raw is None:
        return revision
    table = schema.model_revisions
    digest = definitions.digest_of(raw)
    same = select(table.c.number).where(table.c.model == model, table.c.digest == digest)
    known = list(tx.execute(same.order_by(table.c.number.desc())).scalars())
    if known:
        return revision if revision in known else int(known[0])
    mine = table.c.model == model
    is_taken = tx.execute(select(table.c.number).where(mine, table.c.number == revision)).first() is not None
    if is_taken:
        revision = int(tx.execute(select(func.max(table.c.number)).where(mine)).scalar_one()) + 1
    row = {"model": model, "number": revision, "digest": digest, "definition": dict(raw)}
    tx.execute(insert(table), {**row, "created_at": at, "created_by": by})
    return revision


def add_optimization(tx: Connection, found: OptimizationRows) -> None:
    """Add an optimization without its trials and history."""
    row = found.row
    revision = know_definition(
        tx, row["model"], row["revision"], found.definition, row["created_at"], row["created_by"]
    )
    tx.execute(insert(schema.optimizations), {**row, "revision": revision})
    tx.execute(insert(schema.space_versions), found.spaces)
    for table, rows in found.others.items():
        _insert(tx, table, rows)


def let_run_again(found: JobRows) -> None:
    """Queue a job whose record is of an end that its user did not leave it at."""
    job = found.job
    if found.attempts and (said := what_was_said(job)) is not None:
        found.attempts[-1]["message"] = said
    job |= {**ONCE_MORE, "state": QUEUED, "queued_at": job["ended_at"], "retries": job["retries"] + 1}


def add_jobs(tx: Connection, some: Sequence[JobRows]) -> None:
    """Add jobs with all that they reported; their models and optimizations are there.

    What is known of an agent already stays as it is.
    """
    _insert(tx, schema.jobs, _jobs(tx, some))
    _add_reports(tx, some)


def renew_job(tx: Connection, found: JobRows, tell: bool = True) -> None:
    """Put the further record of a job that ran once more in the place of what was known of it.

    With ``tell`` its optimization is told of the end: the last word about a trial counts.
    """
    job = found.job
    of_job = schema.channels.c.job == job["id"]
    channels = select(schema.channels.c.id).where(of_job).scalar_subquery()
    for table in (schema.point_chunks, schema.channel_last):
        tx.execute(delete(table).where(table.c.channel.in_(channels)))
    for table in reversed(schema.metadata.sorted_tables):
        if {"job", "attempt"} <= set(table.c.keys()):
            tx.execute(delete(table).where(table.c.job == job["id"]))
    upsert(tx, schema.jobs, _jobs(tx, [found]), replace=[name for name in job if name != "id"])
    _add_reports(tx, [found])
    if tell and job["optimization"] is not None and job["ask_number"] is not None and job["state"] in (DONE, FAILED):
        row = reads.optimization(tx, job["optimization"])
        loss = None
        if job["state"] == DONE and job["kpi"] is not None:
            loss = kpis.loss(job["kpi"], row["kpi_direction"] or row["kpi_direction_seen"])
        end = {name: job[name] for name in ("generation", "ask_number", "values", "ended_at")}
        told.append(tx, row, [{**end, "job": job["id"], "loss": loss}])


def _jobs(tx: Connection, some: Sequence[JobRows]) -> list[dict[str, Any]]:
    """Return the rows of jobs, with the numbers that the revisions of their models have here."""
    jobs = []
    revisions: dict[tuple[str, int, str], int] = {}
    for found in some:
        job, raw = found.job, found.definition
        key = (job["model"], job["revision"], "" if raw is None else definitions.digest_of(raw))
        if key not in revisions:
            revisions[key] = know_definition(tx, key[0], key[1], raw, job["created_at"], job["created_by"])
        jobs.append({**job, "revision": revisions[key]})
    return jobs


def _add_reports(tx: Connection, some: Sequence[JobRows]) -> None:
    _add_agents(tx, some)
    _insert(tx, schema.attempts, _attempts(tx, some))
    _add_channels(tx, some)
    _insert(tx, schema.log_chunks, (row for found in some for row in found.logs))
    _insert(tx, schema.streams, (row for found in some for row in found.streams))
    _insert(tx, schema.infos, (row for found in some for row in found.infos))
    upsert(tx, schema.contents, [row for found in some for row in found.contents])
    upsert(tx, schema.recorded, [row for found in some for row in found.recorded])
    for table in OTHERS:
        # Where the key does not name the job, another one may have it already.
        upsert(tx, table, [row for found in some for row in found.others.get(table, [])])


def _attempts(tx: Connection, some: Sequence[JobRows]) -> list[dict[str, Any]]:
    """Return the rows of all attempts, what they ran in being put aside: the same for most of them."""
    known: dict[str, dict[str, Any]] = {}
    rows = []
    for found in some:
        for attempt in found.attempts:
            environment, exit_ = found.environments.get(attempt["attempt"]), attempt["exit"]
            if environment and exit_ is not None:
                digest = definitions.digest_of(environment)
                known[digest] = environment
                exit_ = {**exit_, environments.NAME: digest}
            rows.append({**attempt, "exit": exit_})
    upsert(tx, schema.environments, [{"digest": digest, "content": content} for digest, content in known.items()])
    return rows


def _insert(tx: Connection, table: Table, rows: Iterable[Row]) -> None:
    found = list(rows)
    if found:
        tx.execute(insert(table), found)


def _add_agents(tx: Connection, some: Sequence[JobRows]) -> None:
    """Agents are known by what their machines were when the job ran; the key they came with is not in git."""
    found: dict[str, dict[str, Any]] = {}
    for one in some:
        times: dict[str, list[float]] = {}
        for attempt in one.attempts:
            times.setdefault(attempt["agent"], []).extend((attempt["claimed_at"], attempt["ended_at"] or 0.0))
        for agent in one.agents:
            known, at = found.get(agent["id"], {}), times.get(agent["id"], [0.0])
            first, last = known.get("registered_at", at[0]), known.get("seen_at", 0.0)
            found[agent["id"]] = {**agent, "registered_at": min(first, at[0]), "seen_at": max(last, *at)}
    upsert(tx, schema.agents, list(found.values()))


def _add_channels(tx: Connection, some: Sequence[JobRows]) -> None:
    next_id = (tx.execute(select(func.max(schema.channels.c.id))).scalar_one() or 0) + 1
    channels, chunks, last = [], [], []
    for channel in (channel for found in some for channel in found.channels):
        channels.append({**channel.row, "id": next_id})
        if channel.points is not None:
            n = len(channel.points.seq)
            chunk = {"channel": next_id, "writer": reads.RECORDED, "first_seq": 0, "n": n}
            chunks.append({**chunk, "last_seq": n - 1, "data": codec.encode(channel.points)})
        last += [{**row, "channel": next_id} for row in channel.last]
        next_id += 1
    _insert(tx, schema.channels, channels)
    _insert(tx, schema.point_chunks, chunks)
    _insert(tx, schema.channel_last, last)


def add_history(tx: Connection, found: OptimizationRows, refused: Mapping[str, str], after: int = 0) -> list[str]:
    """Add the trials that have no record, and the history; all recorded jobs are there.

    Args:
        tx: A writing connection.
        found: What the chain says.
        refused: Ids of jobs whose records are not used → why.
        after: How many of its ends are known already.

    Returns:
        A sentence for each trial that ended and is not fully known.
    """
    optimization_id, said = found.row["id"], []
    known = set(tx.execute(select(schema.jobs.c.id).where(schema.jobs.c.optimization == optimization_id)).scalars())
    ends = {end["job"]: end for end in found.history}
    for trial in found.trials.values():
        if trial["id"] in known:
            continue
        number = trial["number"]
        end = ends.get(trial["id"])
        if trial["id"] not in found.again and (end is not None or trial["id"] in refused):
            why = refused.get(trial["id"], "it has no record")
            only = f"trial {number} of optimization {optimization_id} is known by its values and KPI only: {why}."
            said += [] if trial["reused_from"] is not None else [only]
            ref = job_ref(optimization_id, number, trial["id"]) if trial["id"] in refused else None
            tx.execute(insert(schema.jobs), {**trial, **_ended(found, end, why), "record": ref})
        else:
            tx.execute(insert(schema.jobs), trial)
    _insert(tx, schema.history, found.history[after:])
    return said


def _ended(found: OptimizationRows, end: Row | None, why: str) -> dict[str, Any]:
    """Return the columns of a trial that ended, from what its optimizer was told."""
    loss = None if end is None else end["loss"]
    direction = found.row["kpi_direction"] or found.row["kpi_direction_seen"]
    kpi = None if loss is None else kpis.loss(loss, direction)  # its own inverse
    at = found.row["created_at"] if end is None else end["ended_at"]
    state, reason = (FAILED, "error") if loss is None else (DONE, "finished")
    facts = {"state": state, "end_reason": reason, "ended_at": at, "kpi": kpi, "kpi_last": kpi, "kpi_best": kpi}
    return {**facts, "message": f"Only its values and its KPI are known: {why}."}
