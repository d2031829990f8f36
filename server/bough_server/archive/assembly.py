"""From the rows of the store to a record: what of a job or an optimization goes into git, and under which name.

::

    .bough/job.json           what became of the job, where, when, from which source
    .bough/parameters.json    its values, flat, keyed by the full path
    .bough/space.json         the space that was searched                                (trials)
    .bough/environment.json   interpreter, machine, and what the script reported of its packages
    .bough/channels/<name>.csv    every point of the accepted attempt
    .bough/log.txt            the log; the middle is left out when it is long
    .bough/exit.json          how the supervisor saw it end
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, select

from bough import _git
from bough_server.archive import records
from bough_server.archive.records import RecordData, json_file
from bough_server.store import reads, schema

HEAD_BYTES = 256 * 1024  # of the log
TAIL_BYTES = 768 * 1024
_ENVIRONMENT = ("python", "platform", "packages", "hardware", "cuda", "gpu")  # infos that describe the environment


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_JOB = _words(
    "id optimization generation number model revision state end_reason message commit folder max_epochs max_time_s "
    "kpi kpi_last kpi_best kpi_best_x epochs epochs_total created_at queued_at started_at ended_at duration_s "
    "exit_code attempt ask_number history_seq again retries partial"
)
_ATTEMPT = _words("attempt state claimed_at started_at ended_at message")
_OPTIMIZATION = _words(
    "id model revision generation begun_at state reason created_at ended_at algorithm max_trials initial_random "
    "max_parallel max_epochs max_time_s total_time_s seed agents kpi_channel kpi_direction kpi_reduce kpi_channel_seen "
    "kpi_direction_seen retry stop_after pruning duplicates grace_s term_s commit folder commands working_dir priority "
    "searched warnings versions"
)
_TOLD = _words("seq generation job ask_number values loss")
_TRIAL = _words("id generation number state end_reason ask_number history_seq again reused_from values kpi record")


def job_record(tx: Connection, job: Mapping[str, Any]) -> RecordData:
    """Return the record of a job that has ended.

    Args:
        tx: A connection of the store.
        job: Its row.
    """
    attempts = reads.attempts(tx, job["id"])
    infos = reads.infos(tx, job["id"])
    files = {
        "job.json": json_file(_job(tx, job, attempts, infos)),
        "parameters.json": json_file(job["values"] or {}),
        "environment.json": json_file(_environment(tx, job, attempts, infos)),
        "log.txt": _log(tx, job["id"], job["attempt"]),
        "exit.json": json_file(attempts[-1]["exit"] if attempts else None),
        **dict(_channels(tx, job["id"], job["attempt"])),
    }
    if job["optimization"] is not None:
        files["space.json"] = json_file(_spaces(tx, job["optimization"])[-1])
    ref = records.job_ref(job["optimization"], job["number"], job["id"], job["attempt"] if job["retries"] else None)
    return RecordData(ref, job["commit"], job["ended_at"], _message(job), files)


def optimization_record(tx: Connection, optimization_id: str) -> RecordData:
    """Return the record of an optimization that has ended: settings, spaces, every ask and the order of ends."""
    row = reads.optimization(tx, optimization_id)
    trials = [_pick(job, _TRIAL) for job in reads.jobs_of(tx, row["id"])]
    history = select(schema.history).where(schema.history.c.optimization == row["id"]).order_by(schema.history.c.seq)
    ends = [dict(end) for end in tx.execute(history).mappings()]
    files = {
        "optimization.json": json_file({**_pick(row, _OPTIMIZATION), "source": _source(row["source"])}),
        "spaces.json": json_file(_spaces(tx, row["id"])),
        "edits.json": json_file(_edits(tx, row["id"])),
        "generations.json": json_file(_generations(tx, row["id"])),
        "trials.json": json_file(trials),
        "history.json": json_file([_pick(end, _TOLD) for end in ends]),
    }
    message = f"optimization {row['id']} of {row['model']}: {row['state']}\n"
    return RecordData(records.OPTIMIZATION_REFS + row["id"], None, row["ended_at"] or 0.0, message, files)


def ended_optimizations(tx: Connection) -> list[tuple[str, str, float]]:
    """Return (id, model, time of the end) of every optimization that has ended."""
    table = schema.optimizations.c
    found = select(table.id, table.model, table.ended_at).where(table.ended_at.is_not(None))
    return [(row.id, row.model, row.ended_at) for row in tx.execute(found)]


def _pick(row: Mapping[Any, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _job(
    tx: Connection, job: Mapping[str, Any], attempts: list[dict[str, Any]], infos: Mapping[str, Any]
) -> dict[str, Any]:
    agents = {attempt["agent"]: _agent(tx, attempt["agent"]) for attempt in attempts}
    return {
        **_pick(job, _JOB),
        "agent": agents.get(job["agent"], {}).get("name"),
        "source": _source(job["source"]),
        "attempts": [{**_pick(one, _ATTEMPT), "agent": agents[one["agent"]].get("name")} for one in attempts],
        "infos": dict(infos),
    }


def _source(source: Any) -> Any:
    """Return where the code came from, without a credential that its URL may hold."""
    if isinstance(source, dict) and isinstance(source.get("url"), str):
        return {**source, "url": _git.clean(source["url"])}
    return source


def _agent(tx: Connection, agent_id: str) -> dict[str, Any]:
    row = tx.execute(select(schema.agents).where(schema.agents.c.id == agent_id)).mappings().one_or_none()
    return dict(row) if row else {}


def _environment(
    tx: Connection, job: Mapping[str, Any], attempts: list[dict[str, Any]], infos: Mapping[str, Any]
) -> dict[str, Any]:
    agent = _agent(tx, job["agent"]) if job["agent"] else {}
    streams = schema.streams.c
    mine = (streams.job == job["id"]) & (streams.attempt == job["attempt"]) & streams.header.is_not(None)
    headers = tx.execute(select(streams.header).where(mine).order_by(streams.stream)).scalars().all()
    return {
        "interpreter": attempts[-1]["python"] if attempts else None,
        "agent": {name: agent.get(name) for name in ("name", "host", "version", "system")},
        "processes": [{name: header.get(name) for name in ("python", "sdk", "rank")} for header in headers],
        "reported": {name: infos[name] for name in _ENVIRONMENT if name in infos},
    }


def _spaces(tx: Connection, optimization_id: str) -> list[dict[str, Any]]:
    table = schema.space_versions
    found = select(table).where(table.c.optimization == optimization_id).order_by(table.c.version)
    return [_pick(dict(row), ("version", "space", "fixed")) for row in tx.execute(found).mappings()]


def _edits(tx: Connection, optimization_id: str) -> list[dict[str, Any]]:
    table = schema.edits
    found = select(table).where(table.c.optimization == optimization_id).order_by(table.c.number)
    return [_pick(row, (name for name in row if name != "optimization")) for row in tx.execute(found).mappings()]


def _generations(tx: Connection, optimization_id: str) -> list[dict[str, Any]]:
    table = schema.generations
    found = select(table).where(table.c.optimization == optimization_id).order_by(table.c.generation)
    rows = [dict(row) for row in tx.execute(found).mappings()]
    return [{**_pick(row, ("generation", "begun_at", "ended_at")), **_without_secrets(row["row"])} for row in rows]


def _without_secrets(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_pick(row, (name for name in row if name in _OPTIMIZATION)), "source": _source(row["source"])}


def _channels(tx: Connection, job_id: str, attempt: int) -> Iterator[tuple[str, bytes]]:
    cuts = reads.cuts(tx, job_id, attempt)
    for channel in reads.channels(tx, job_id, attempt):
        points = reads.points_of(tx, channel, cuts)
        traces = [column if isinstance(column, list) else column.tolist() for column in points.y]
        rows = zip(points.x.tolist(), points.t.tolist(), *traces, points.overrun.tolist(), strict=True)
        name = records.channel_file_name(channel["name"])
        yield f"channels/{name}", records.channel_csv(channel["traces"], rows)


def _log(tx: Connection, job_id: str, attempt: int) -> bytes:
    head, total = reads.log_bytes(tx, job_id, attempt, 0, HEAD_BYTES + TAIL_BYTES)
    if total <= HEAD_BYTES + TAIL_BYTES:
        return head
    tail, _ = reads.log_bytes(tx, job_id, attempt, total - TAIL_BYTES, TAIL_BYTES)
    left_out = total - HEAD_BYTES - TAIL_BYTES
    return head[:HEAD_BYTES] + b"\n... %d bytes were left out here ...\n" % left_out + tail


def _message(job: Mapping[str, Any]) -> str:
    what = f"job {job['id']}"
    if job["optimization"] is not None:
        what = f"trial {job['number']} of {job['optimization']}"
    lines = [f"{what}: {job['state']} ({job['end_reason']})", ""]
    if job["kpi"] is not None:
        lines.append(f"kpi {records.number_text(job['kpi'])}")
    lines += [f"{path} {_shown(value)}" for path, value in (job["values"] or {}).items()]
    if job["message"]:
        lines += ["", _git.clean(job["message"])]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return records.number_text(value) if isinstance(value, float) else str(value)
