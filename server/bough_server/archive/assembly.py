"""From what the store knows of an ended job to its record: what goes into git, and under which name.

::

    .bough/job.json           what became of the job, where, when, from which source; its attempts, channels and infos
    .bough/parameters.json    its values, flat, keyed by the full path
    .bough/definition.json    the bough.yml that it was run by
    .bough/space.json         the version of the space that its values were drawn from            (trials)
    .bough/environment.json   interpreter, packages, machines, and what the script reported of them
    .bough/channels/<name>.csv    every point of the accepted attempt
    .bough/log.txt            its log; of a long one the middle is left out, and log.txt.gz is all of it
    .bough/exit.json          how the supervisor saw it end
    .bough/files/…            what the job handed in; a large content as a pointer
    .bough/tables/<name>.jsonl    rows of other tables that belong to it, such as documents
    .bough/attempts/<n>/      channels, log, tables and report.json of an earlier attempt

Everything that an export or the page shows is in here: `bough_server.archive.parsing` reads it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough import _git, definition
from bough_server.archive import logs, records
from bough_server.archive.files import FOLDER, handed_in
from bough_server.archive.gathering import Attempt, Ended
from bough_server.archive.records import FORMAT, RecordData, finite, json_lines, stored_json_file
from bough_server.store import reads
from bough_server.store.contents import ContentStore

Row = Mapping[str, Any]
_ENVIRONMENT = ("python", "platform", "packages", "hardware", "cuda", "gpu")  # infos that describe the environment

# Columns that a record does not hold: what is elsewhere in it, what only means something while a job is not over, and
# what protects a running attempt.
NOT_OF_JOB = frozenset({"values", "agent", "source", "record", "desired", "desired_cause", "unreachable"})
NOT_OF_ATTEMPT = frozenset({"job", "agent", "marker", "claim_key", "exit"})
_OF_WHICH = frozenset({"job", "attempt"})
ENVIRONMENT = "environment"  # in an exit: the digest of what the attempt ran in
RECORDED = "recorded"  # in job.json: by what a script that recorded itself without an agent is known
OF_ENVIRONMENT = frozenset({"interpreter", "agent", "agents", "processes", "reported"})  # what is not told by the agent
NOT_OF_CHANNEL = frozenset({"id", "job", "attempt", "spec"})
_OF_AGENT = ("name", "host", "version", "slots", "labels", "system")
OF_JOURNAL = ("stream", "acked", "crc", "bad_lines", "lost_lines")
_LADDER = ("grace_s", "term_s")
_OF_KPI = ("kpi_channel", "kpi_direction", "kpi_reduce")


def job_record(ended: Ended, contents: ContentStore | None = None) -> RecordData:
    """Return the record of a job that has ended.

    Args:
        ended: All that is known of it.
        contents: Where the contents of its files are; None takes pointers for all of them.
    """
    job = ended.job
    accepted = next((one for one in ended.attempts if one.row["attempt"] == job["attempt"]), None)
    files = {
        "job.json": stored_json_file(_job(ended, accepted)),
        "parameters.json": stored_json_file(job["values"] or {}),
        "environment.json": stored_json_file(_environment(ended, accepted)),
    }
    if ended.definition is not None:
        files["definition.json"] = stored_json_file(ended.definition)
    if ended.space is not None:
        files["space.json"] = stored_json_file(_pick(ended.space, ("version", "space", "fixed")))
    if accepted is not None:
        files["exit.json"] = stored_json_file(_exit(accepted))
        files |= _reported(ended, accepted, "", contents)
    for earlier in ended.attempts:
        if earlier is not accepted:
            folder = f"attempts/{earlier.row['attempt']}/"
            report = {"channels": _channels(earlier), "last": finite(earlier.last), "infos": earlier.infos}
            report[ENVIRONMENT] = _told_by_agent(ended, earlier)
            files |= {f"{folder}report.json": stored_json_file(report), **_reported(ended, earlier, folder, contents)}
    ref = records.job_ref(job["optimization"], job["number"], job["id"])
    return RecordData(ref, job["commit"] or None, job["ended_at"], _message(job), files)


def _pick(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _but(row: Row, without: frozenset[str]) -> dict[str, Any]:
    return {name: finite(value) for name, value in row.items() if name not in without}


def _job(ended: Ended, accepted: Attempt | None) -> dict[str, Any]:
    job = ended.job
    by_hand = {} if ended.recorded is None else {RECORDED: _pick(ended.recorded, ("nonce", "created_at"))}
    return {
        "format": FORMAT,
        **_but(job, NOT_OF_JOB),
        **by_hand,
        "agent": ended.agents.get(job["agent"], {}).get("name"),
        "source": public(job["source"]),
        "run": _run(ended),
        "channels": [] if accepted is None else _channels(accepted),
        "last": {} if accepted is None else finite(accepted.last),
        "infos": {} if accepted is None else accepted.infos,
        "attempts": [_attempt(ended, one, one is accepted) for one in ended.attempts],
    }


def _attempt(ended: Ended, attempt: Attempt, is_accepted: bool) -> dict[str, Any]:
    agent = attempt.row["agent"]
    found = {**_but(attempt.row, NOT_OF_ATTEMPT), "agent": ended.agents[agent]["name"], "agent_id": agent}
    found["journals"] = [_pick(one, OF_JOURNAL) for one in attempt.journals]
    return found if is_accepted else {**found, "exit": _exit(attempt)}


def _exit(attempt: Attempt) -> dict[str, Any] | None:
    """Return exit.json of an attempt; what it ran in is in environment.json."""
    exit_ = attempt.row["exit"]
    return None if exit_ is None else {name: value for name, value in exit_.items() if name != ENVIRONMENT}


def public(source: Any) -> Any:
    """Return where the code came from, without a credential that its URL may hold."""
    if isinstance(source, dict) and isinstance(source.get("url"), str):
        return {**source, "url": _git.clean(source["url"])}
    return source


def _run(ended: Ended) -> dict[str, Any]:
    """Return what somebody needs to run the job again, and the rule of its KPI as the settings have it."""
    row: Row | None = ended.optimization
    if row is None and ended.definition is not None:
        found = definition.parse(ended.definition)
        row = {name: getattr(found.settings, name) for name in (*_LADDER, *_OF_KPI)}
        row |= {"env": dict(found.env), "working_dir": found.working_dir}
        row["commands"] = [{"name": one.name, "argv": list(one.argv)} for one in found.commands]
    if row is None:
        return {}
    kpi = {name.removeprefix("kpi_"): row[name] for name in _OF_KPI}
    return {**_pick(row, ("commands", "env", "working_dir", *_LADDER)), "kpi": kpi}


def _environment(ended: Ended, accepted: Attempt | None) -> dict[str, Any]:
    agents = {id: _pick(row, _OF_AGENT) for id in _agents_of(ended) if (row := ended.agents.get(id))}
    infos = {} if accepted is None else accepted.infos
    headers = [] if accepted is None else [one["header"] or {} for one in accepted.journals]
    mine = agents.get(ended.job["agent"] or "", {})
    return {
        **_told_by_agent(ended, accepted),
        "interpreter": None if accepted is None else accepted.row["python"],
        "agent": {name: mine.get(name) for name in ("name", "host", "version", "system")},
        "agents": agents,
        "processes": [{name: header.get(name) for name in ("python", "sdk", "rank")} for header in headers],
        "reported": {name: infos[name] for name in _ENVIRONMENT if name in infos},
    }


def _told_by_agent(ended: Ended, attempt: Attempt | None) -> Row:
    """Return interpreter, packages and chosen variables as the agent asked the job's interpreter for them."""
    digest = None if attempt is None or attempt.row["exit"] is None else attempt.row["exit"].get(ENVIRONMENT)
    return {} if digest is None else ended.environments.get(digest, {})


def _agents_of(ended: Ended) -> list[str]:
    return list(dict.fromkeys(one.row["agent"] for one in ended.attempts))


def _channels(attempt: Attempt) -> list[dict[str, Any]]:
    """Return the channels as they were declared; of the declaration itself what is in no column."""
    found = []
    for channel in attempt.channels:
        spec = {k: v for k, v in channel["spec"].items() if k not in channel and v is not None}
        found.append({**_but(channel, NOT_OF_CHANNEL), **({"spec": spec} if spec else {})})
    return found


def _reported(ended: Ended, attempt: Attempt, folder: str, contents: ContentStore | None) -> dict[str, bytes]:
    files = dict(_curves(attempt, folder))
    if attempt.log_bytes or not folder:
        found = _log(ended, attempt, contents)
        files |= {f"{folder}{name}": content for name, content in found.items()}
    files |= {f"{folder}{FOLDER}{path}": content for path, content in handed_in(attempt, contents)}
    for table, rows in attempt.others.items():
        files[f"{folder}tables/{table}.jsonl"] = json_lines(_but(row, _OF_WHICH) for row in rows)
    return files


def _curves(attempt: Attempt, folder: str) -> Iterator[tuple[str, bytes]]:
    cuts = reads.cuts_of(attempt.row["exit"])
    for channel in attempt.channels:
        points = reads.points_in(attempt.points.get(channel["id"], []), channel, cuts)
        traces = [column if isinstance(column, list) else column.tolist() for column in points.y]
        columns = [points.x.tolist(), points.t.tolist(), *traces, points.overrun.tolist()]
        name = records.channel_file_name(channel["name"])
        yield f"{folder}channels/{name}", records.channel_csv(channel["traces"], columns)


def _log(ended: Ended, attempt: Attempt, contents: ContentStore | None) -> dict[str, bytes]:
    if attempt.log is not None:
        return {logs.TEXT: attempt.log}
    number = attempt.row["attempt"]
    return logs.in_record(lambda start, limit: ended.log(number, start, limit), attempt.log_bytes, contents)


def _message(job: Row) -> str:
    what = f"job {job['id']}"
    if job["optimization"] is not None:
        what = f"trial {job['number']} of {job['optimization']}"
    lines = [f"{what}: {job['state']} ({job['end_reason']})", ""]
    if job["attempt"] > 1:
        lines += [f"attempt {job['attempt']}"]
    if job["kpi"] is not None:
        lines.append(f"kpi {records.number_text(job['kpi'])}")
    lines += [f"{path} {_shown(value)}" for path, value in (job["values"] or {}).items()]
    if job["message"]:
        lines += ["", _git.clean(job["message"])]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return records.number_text(value) if isinstance(value, float) else str(value)
