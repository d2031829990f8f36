"""What must hold of any store, whatever happened to it; used by tests and by `bough coordinator check`.

I1  no optimization started more trials than max_trials         I5  every number of a trial is used once, from 1
I2  a job has at most one accepted attempt, the newest          I6  a job that ended has a reason, and when it ended
I3  chunks of one writer in one channel do not overlap          I7  each end is told to the optimizer exactly once
I4  what is acknowledged is there: the log has no gap           I8  a history is numbered without a gap
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, and_, func, select

from bough_server.service.ends import HELD
from bough_server.service.states import DONE, FAILED, TERMINAL, WITH_AGENT
from bough_server.store.schema import attempts, history, jobs, log_chunks, optimizations, point_chunks, streams


def violations(tx: Connection) -> list[str]:
    """Return a sentence for everything that must not be; an empty list for a store that is sound."""
    checks = (_too_many_trials, _numbers, _two_attempts, _overlaps, _gaps, _ends, _told, _history)
    return [sentence for check in checks for sentence in check(tx)]


def _too_many_trials(tx: Connection) -> Iterator[str]:
    started = (
        select(jobs.c.optimization, func.count().label("n")).where(jobs.c.attempt > 0).group_by(jobs.c.optimization)
    )
    counted = started.subquery()
    found = select(optimizations.c.id, optimizations.c.max_trials, counted.c.n).join(
        counted, counted.c.optimization == optimizations.c.id
    )
    for optimization_id, limit, n in tx.execute(found):
        if n > limit:
            yield f"I1: optimization {optimization_id} started {n} trials, but max_trials is {limit}."


def _numbers(tx: Connection) -> Iterator[str]:
    found = select(jobs.c.optimization, func.count(), func.count(jobs.c.number.distinct()), func.max(jobs.c.number))
    for optimization_id, n, different, highest in tx.execute(
        found.where(jobs.c.optimization.is_not(None)).group_by(jobs.c.optimization)
    ):
        if not n == different == highest:
            yield f"I5: optimization {optimization_id} has {n} trials with {different} numbers up to {highest}."


def _two_attempts(tx: Connection) -> Iterator[str]:
    older = select(attempts.c.job, attempts.c.attempt).join(jobs, jobs.c.id == attempts.c.job)
    for job_id, attempt in tx.execute(older.where(attempts.c.state == HELD, attempts.c.attempt != jobs.c.attempt)):
        yield f"I2: attempt {attempt} of job {job_id} is still accepted, but is not the newest."
    newest = and_(attempts.c.job == jobs.c.id, attempts.c.attempt == jobs.c.attempt)
    none = select(jobs.c.id, jobs.c.state).outerjoin(attempts, newest).where(jobs.c.state.in_(WITH_AGENT))
    for job_id, state in tx.execute(none.where(attempts.c.state.is_distinct_from(HELD))):
        yield f"I2: job {job_id} is {state}, but its newest attempt is not accepted."


def _overlaps(tx: Connection) -> Iterator[str]:
    key = (point_chunks.c.channel, point_chunks.c.writer, point_chunks.c.first_seq)
    before: tuple[int, str, int] | None = None
    for channel, writer, first, last in tx.execute(select(*key, point_chunks.c.last_seq).order_by(*key)):
        if before is not None and before[:2] == (channel, writer) and first <= before[2]:
            yield f"I3: channel {channel} has points of {writer} twice, from line {first} on."
        before = (channel, writer, last)


def _gaps(tx: Connection) -> Iterator[str]:
    same = and_(log_chunks.c.job == streams.c.job, log_chunks.c.attempt == streams.c.attempt)
    stored = func.coalesce(func.sum(log_chunks.c.n), 0)
    found = select(streams.c.job, streams.c.attempt, streams.c.acked, stored).outerjoin(log_chunks, same)
    grouped = found.where(streams.c.stream == "log").group_by(streams.c.job, streams.c.attempt, streams.c.acked)
    for job_id, attempt, acked, n in tx.execute(grouped):
        if acked != n:
            yield f"I4: {acked} bytes of the log of attempt {attempt} of job {job_id} are acknowledged, {n} are stored."


def _ends(tx: Connection) -> Iterator[str]:
    found = select(jobs.c.id, jobs.c.state).where(
        jobs.c.state.in_(TERMINAL), jobs.c.end_reason.is_(None) | jobs.c.ended_at.is_(None)
    )
    for job_id, state in tx.execute(found):
        yield f"I6: job {job_id} is {state} without a reason or a time."


def _told(tx: Connection) -> Iterator[str]:
    should = and_(jobs.c.state.in_((DONE, FAILED)), jobs.c.ask_number.is_not(None), jobs.c.optimization.is_not(None))
    own = and_(history.c.job == jobs.c.id, history.c.optimization == jobs.c.optimization)
    found = select(jobs.c.id, jobs.c.state).outerjoin(history, own)
    for job_id, state in tx.execute(found.where(should, history.c.job.is_(None))):
        yield f"I7: job {job_id} is {state}, but its optimizer was never told."
    for job_id, state in tx.execute(found.where(~jobs.c.state.in_((DONE, FAILED)), history.c.job.is_not(None))):
        yield f"I7: job {job_id} is {state}, but its optimizer was told that it ended."


def _history(tx: Connection) -> Iterator[str]:
    counted = select(history.c.optimization, func.count().label("n"), func.max(history.c.seq).label("highest"))
    table = counted.group_by(history.c.optimization).subquery()
    found = select(optimizations.c.id, optimizations.c.history_seq, table.c.n, table.c.highest)
    for optimization_id, seq, n, highest in tx.execute(
        found.outerjoin(table, table.c.optimization == optimizations.c.id)
    ):
        if not (n or 0) == (highest or 0) == seq:
            yield f"I8: the history of optimization {optimization_id} holds {n or 0} ends, but counts {seq}."
