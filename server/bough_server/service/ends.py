"""The end of an attempt: from the exit that an agent reports, over the wait for its data, to the job's last state.

Everything that follows from an end happens in the same transaction: KPI, retry, history, the optimization's own end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from bough import _layout
from bough_server.service import contradiction, environments, files, observations, quarantine, states, told
from bough_server.service import kpi as kpis
from bough_server.service import optimizations as lifecycle
from bough_server.service.changes import Changes
from bough_server.service.kpi import Kpi
from bough_server.service.pausing import PAUSE
from bough_server.service.states import ABORTED, DONE, DRAINING, FAILED, QUEUED
from bough_server.service.verdict import Ending, Verdict, judge
from bough_server.store import reads
from bough_server.store.schema import attempts, jobs, optimizations, streams

HELD, LOST, RELEASED, ENDED = "held", "lost", "released", "ended"  # states of an attempt
_TAIL = 4096  # bytes of the log that a message may come from
_MOVE = {DONE: "finish", FAILED: "fail", ABORTED: "abort"}


def accept_exit(tx: Connection, job: Mapping[str, Any], exit_: Mapping[str, Any], now: float, changes: Changes) -> bool:
    """Note that the newest attempt of ``job`` is over; False if the job is past that."""
    started_at = _started_at(job, exit_, now)
    facts = {"unreachable": False, "started_at": started_at}
    if not states.move_job(tx, job["id"], "exit", of_attempt=job["attempt"], **facts):
        return False
    kept = environments.put_aside(tx, exit_)
    states.note_attempt(tx, job["id"], job["attempt"], exit=kept, exit_at=now, state=HELD, started_at=started_at)
    changes.of_job(job)
    return True


def _started_at(job: Mapping[str, Any], exit_: Mapping[str, Any], now: float) -> float:
    """Return when the attempt began: not later than its duration says; a short one is heard of only when it is over."""
    known = now if job["started_at"] is None else float(job["started_at"])
    return min(known, now - float(exit_.get("duration_s") or 0.0))


def settle(tx: Connection, job_id: str, now: float, changes: Changes, *, is_overdue: bool = False) -> bool:
    """End the job if its attempt is over and all its bytes are in, or if waiting for them ``is_overdue``.

    Returns:
        Whether it was DRAINING and is no longer.
    """
    job = reads.job(tx, job_id)
    if job["state"] != DRAINING:
        return False
    (attempt,) = reads.rows_of_attempt(tx, attempts, job_id, job["attempt"])
    held = attempt["exit"].get("files") or []
    exit_ = {name: value for name, value in attempt["exit"].items() if name != "files"}
    missing, is_changed = _compared(tx, job, exit_)
    coming, has_lost_files = files.missing(tx, job_id, job["attempt"], held)
    if (missing or coming) and not is_overdue:
        return False
    states.note_attempt(tx, job_id, job["attempt"], state=ENDED, ended_at=now, exit=exit_)
    optimization = _optimization_of(tx, job)
    exit_ = {**exit_, "cause": "journal"} if is_changed else exit_
    cuts = reads.cuts_of(exit_)
    kpi = kpis.of_attempt(tx, job_id, job["attempt"], optimization or kpis.settings_of(tx, job), cuts)
    verdict = judge(ending_of(tx, job, {**attempt, "exit": exit_}, kpi, optimization))
    if verdict.state == FAILED and quarantine.is_suspect(tx, job, attempt, verdict.reason):
        quarantine.note(tx, job, attempt, now, changes)
        give_back(tx, job, now, changes, f"{verdict.message} Another agent runs this commit, so it is tried there.")
        return True
    facts = _facts(exit_, kpi) | {"partial": bool(missing or coming or has_lost_files)}
    conclude(tx, job, verdict, now, changes, facts, kpi)
    if optimization is not None:
        if verdict.state == DONE:
            quarantine.look_at_others(tx, job, now, changes)
        if kpi.contradiction is not None and verdict.state == FAILED:
            contradiction.pause(tx, optimization["id"], verdict.message, changes)
        else:
            remember_kpi(tx, optimization, kpi)
        _warn_if_no_progress(tx, job, attempt, verdict, changes)
    return True


def conclude(
    tx: Connection,
    job: Mapping[str, Any],
    verdict: Verdict,
    now: float,
    changes: Changes,
    facts: Mapping[str, Any] | None = None,
    kpi: Kpi | None = None,
) -> None:
    """Move ``job`` to the verdict's state with all that follows: retry, history, what becomes of the optimization."""
    optimization = _optimization_of(tx, job)
    changes.of_job(job)
    if verdict.state == QUEUED:
        give_back(tx, job, now, changes, verdict.message)
        return
    if verdict.state == FAILED and _may_try_again(job, optimization):
        give_back(tx, job, now, changes, verdict.message, failures=job["failures"] + 1)
        return
    values = {**(facts or {}), "end_reason": verdict.reason, "message": verdict.message, "ended_at": now}
    values |= {"unreachable": False, "desired": "run", "desired_cause": None}
    if not states.move_job(tx, job["id"], _MOVE[verdict.state], of_attempt=job["attempt"], **values):
        return
    changes.ended.append(job["id"])
    if optimization is not None:
        _tell(tx, job, optimization, verdict, kpi, now)
        row = lifecycle.after_end(tx, optimization["id"], now, changes, _failure(job, optimization, verdict))
        observations.after_end(tx, row)


def _failure(job: Mapping[str, Any], optimization: Mapping[str, Any], verdict: Verdict) -> str | None:
    """Return the message of a failure that counts for what is running now."""
    counts = verdict.state == FAILED and job["generation"] == optimization["generation"]
    return (verdict.message or "it does not say why.") if counts else None


def give_back(
    tx: Connection, job: Mapping[str, Any], now: float, changes: Changes, message: str | None, **values: Any
) -> None:
    """Queue the job again with the same values, or end it as ABORTED if its user had asked for that meanwhile.

    In an optimization that starts nothing more nobody would ever claim it.
    """
    changes.of_job(job)
    if job["desired"] in ("stop", "kill") and job["desired_cause"] == _layout.USER:
        conclude(tx, job, Verdict(ABORTED, "user", message), now, changes)
        return
    optimization = _optimization_of(tx, job)
    if optimization is not None and not _goes_on(job, optimization):
        why = lifecycle.not_again(label(job), optimization["reason"])
        conclude(tx, job, Verdict(ABORTED, _layout.USER, why), now, changes)
        return
    values = {"message": message, "queued_at": now, "desired": "run", "desired_cause": None, "status": None, **values}
    values |= {"unreachable": False, "epochs": None, "epochs_total": None}
    states.move_job(tx, job["id"], "give_back", of_attempt=job["attempt"], **values)


def count_lost(
    tx: Connection,
    job: Mapping[str, Any],
    max_lost: int,
    now: float,
    changes: Changes,
    why: str,
    message: str | None = None,
) -> None:
    """Queue the job of a lost attempt again, with the same values and no try used up; the last time, end it.

    Args:
        why: How it was lost; the end of a sentence, with its full stop.
        message: What the job says while it waits; None: ``why``.
    """
    lost = job["lost"] + 1
    tx.execute(update(jobs).where(jobs.c.id == job["id"]).values(lost=lost))
    if lost < max_lost:
        give_back(tx, job, now, changes, message or why)
        return
    text = f"{label(job)} was lost {lost} times; the last time {why} See to the agents' machines."
    conclude(tx, job, Verdict(FAILED, "lost", text), now, changes)


def _optimization_of(tx: Connection, job: Mapping[str, Any]) -> dict[str, Any] | None:
    if job["optimization"] is None:
        return None
    return reads.optimization(tx, job["optimization"])


def _compared(tx: Connection, job: Mapping[str, Any], exit_: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return which streams lack bytes, and whether a journal is not what the supervisor saw at the end."""
    stored = {row["stream"]: row for row in reads.rows_of_attempt(tx, streams, job["id"], job["attempt"])}
    journals = {_layout.JOURNAL_STREAM + writer: entry for writer, entry in (exit_.get("journals") or {}).items()}
    expected = {**journals, _layout.LOG_STREAM: exit_.get("log") or {"bytes": 0}}
    missing, is_changed = [], False
    for name, entry in expected.items():
        row = stored.get(name)
        acked = row["acked"] if row is not None else 0
        if acked < entry["bytes"]:
            missing.append(name)
        elif name in journals and row is not None and (acked > entry["bytes"] or row["crc"] != entry["crc"]):
            is_changed = True
    return missing, is_changed


def label(job: Mapping[str, Any] | RowMapping) -> str:
    """Return what messages call ``job``."""
    return f"job {job['id']}" if job["number"] is None else f"trial {job['number']}"


def ending_of(
    tx: Connection, job: Mapping[str, Any], attempt: Mapping[str, Any], kpi: Kpi, optimization: Mapping[str, Any] | None
) -> Ending:
    """Return everything that decides how an attempt (its row) of ``job`` ended."""

    def log_tail() -> str:
        return reads.log_bytes(tx, job["id"], job["attempt"], -_TAIL, _TAIL)[0].decode(errors="replace")

    wanted = optimization["kpi_channel"] if optimization is not None else None
    is_trial = optimization is not None
    said, told = attempt["said"], attempt["said_message"]
    return Ending(label(job), is_trial, attempt["exit"], said, told, kpi, wanted, log_tail)


def _facts(exit_: Mapping[str, Any], kpi: Kpi) -> dict[str, Any]:
    return {
        "kpi": kpi.value,
        "kpi_last": kpi.last,
        "kpi_best": kpi.best,
        "kpi_best_x": kpi.best_x,
        "duration_s": exit_.get("duration_s"),
        "exit_code": exit_.get("exit_code"),
    }


def _goes_on(job: Mapping[str, Any], optimization: Mapping[str, Any]) -> bool:
    """Return whether trials of the job's generation may still be started."""
    is_of_now = bool(job["generation"] == optimization["generation"])
    return is_of_now and optimization["state"] in (states.RUNNING, states.PAUSED)


def _may_try_again(job: Mapping[str, Any], optimization: Mapping[str, Any] | None) -> bool:
    if optimization is None or not _goes_on(job, optimization):
        return False
    return bool(job["failures"] < optimization["retry"] and job["desired"] in ("run", PAUSE))


def _tell(
    tx: Connection,
    job: Mapping[str, Any],
    optimization: Mapping[str, Any],
    verdict: Verdict,
    kpi: Kpi | None,
    now: float,
) -> None:
    """Append the end to the history that the optimizer is rebuilt from; what a user aborted says nothing."""
    if verdict.state == ABORTED or job["ask_number"] is None:
        return
    is_success = verdict.state == DONE and kpi is not None and kpi.value is not None
    loss = kpis.loss(kpi.value, kpi.direction) if is_success and kpi is not None and kpi.value is not None else None
    entry = {"generation": job["generation"], "job": job["id"], "ask_number": job["ask_number"]}
    counts = {}
    if job["generation"] == optimization["generation"]:
        counts = {"failures_in_row": 0 if is_success else optimization["failures_in_row"] + 1}
    told.append(tx, optimization, [{**entry, "values": job["values"], "loss": loss, "ended_at": now}], **counts)


def remember_kpi(tx: Connection, optimization: Mapping[str, Any], kpi: Kpi) -> None:
    """Note which channel a script declared as its KPI, and which way is better."""
    if kpi.channel is None or optimization["kpi_channel_seen"] == kpi.channel:
        return
    seen = {"kpi_channel_seen": kpi.channel, "kpi_direction_seen": kpi.direction}
    tx.execute(update(optimizations).where(optimizations.c.id == optimization["id"]).values(**seen))


def _warn_if_no_progress(
    tx: Connection, job: Mapping[str, Any], attempt: Mapping[str, Any], verdict: Verdict, changes: Changes
) -> None:
    """The first trials that run to their end without a word about epochs: a limit that can never hold is said once."""
    if job["max_epochs"] is None or attempt["progressed"] or verdict.state not in (DONE, FAILED):
        return
    if verdict.state == FAILED and verdict.reason not in (kpis.NO_KPI, kpis.NAN_KPI):
        return
    text = (
        f"{label(job)} never called job.progress: max_epochs {job['max_epochs']:g} cannot be enforced. "
        "Call job.progress(epoch, total) after each epoch."
    )
    row = tx.execute(select(optimizations.c.warnings).where(optimizations.c.id == job["optimization"])).scalar_one()
    if any("never called job.progress" in warning for warning in row):
        return
    mine = optimizations.c.id == job["optimization"]
    tx.execute(update(optimizations).where(mine).values(warnings=[*row, text]))
    changes.optimizations.add(job["optimization"])


__all__ = [
    "ENDED",
    "HELD",
    "LOST",
    "RELEASED",
    "accept_exit",
    "conclude",
    "count_lost",
    "ending_of",
    "give_back",
    "label",
    "remember_kpi",
    "settle",
]
