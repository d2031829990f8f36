"""What must hold of any store, whatever happened to it; used by tests and by `bough coordinator check`.

I1  no optimization started more trials than max_trials         I5  every number of a trial is used once, from 1
I2  a job has at most one accepted attempt, the newest          I6  a job that ended has a reason, and when it ended
I3  chunks of one writer in one channel do not overlap          I7  each end is told to the optimizer exactly once
I4  what is acknowledged is there: the log has no gap           I8  a history is numbered without a gap
I9  every ask was taken once in its generation, before the next one, and with a version of the space that there is
I10 what waits or runs is of the newest generation, or is being stopped; generations are kept without a gap

I11 to I13, about what jobs reported, are in `bough_server.service.check_reports`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, and_, func, select

from bough_server.service import check_reports
from bough_server.service.ends import HELD
from bough_server.service.states import CREATED, DONE, FAILED, QUEUED, TERMINAL, WITH_AGENT
from bough_server.service.trials import is_started
from bough_server.store.schema import (
    attempts,
    generations,
    history,
    jobs,
    log_chunks,
    optimizations,
    point_chunks,
    space_versions,
    streams,
)


def violations(tx: Connection) -> list[str]:
    """Return a sentence for everything that must not be; an empty list for a store that is sound."""
    checks = (_too_many_trials, _numbers, _two_attempts, _overlaps, _gaps, _ends, _told, _history, _asks, _generations)
    return [sentence for check in (*checks, check_reports.violations) for sentence in check(tx)]


def _too_many_trials(tx: Connection) -> Iterator[str]:
    mine = and_(jobs.c.optimization == optimizations.c.id, jobs.c.generation == optimizations.c.generation)
    counted = select(optimizations.c.id, optimizations.c.max_trials, func.count()).join(jobs, mine)
    found = counted.where(is_started).group_by(optimizations.c.id, optimizations.c.max_trials)
    for optimization_id, limit, n in tx.execute(found):
        if n > limit:
            yield f"I1: optimization {optimization_id} started {n} trials, but max_trials is {limit}."


def _numbers(tx: Connection) -> Iterator[str]:
    found = select(jobs.c.optimization, func.count(), func.count(jobs.c.number.distinct()), func.max(jobs.c.number))
    each = found.where(jobs.c.optimization.is_not(None)).group_by(jobs.c.optimization, jobs.c.generation)
    for optimization_id, n, different, highest in tx.execute(each):
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
    never = found.where(~jobs.c.state.in_((DONE, FAILED)), history.c.job.is_not(None), jobs.c.retries == 0)
    for job_id, state in tx.execute(never):
        yield f"I7: job {job_id} is {state}, but its optimizer was told that it ended."
    other = found.where(history.c.job.is_not(None), history.c.generation != jobs.c.generation)
    for job_id, _ in tx.execute(other):
        yield f"I7: the end of job {job_id} was told to another generation than its own."


def _history(tx: Connection) -> Iterator[str]:
    counted = select(history.c.optimization, func.count().label("n"), func.max(history.c.seq).label("highest"))
    table = counted.group_by(history.c.optimization).subquery()
    found = select(optimizations.c.id, optimizations.c.history_seq, table.c.n, table.c.highest)
    for optimization_id, seq, n, highest in tx.execute(
        found.outerjoin(table, table.c.optimization == optimizations.c.id)
    ):
        if not (n or 0) == (highest or 0) == seq:
            yield f"I8: the history of optimization {optimization_id} holds {n or 0} ends, but counts {seq}."


def _asks(tx: Connection) -> Iterator[str]:
    n = func.count().label("n")
    found = select(jobs.c.optimization, jobs.c.generation, jobs.c.ask_number, n).where(jobs.c.ask_number >= 0)
    twice = found.group_by(jobs.c.optimization, jobs.c.generation, jobs.c.ask_number).having(n > 1)
    for optimization_id, generation, ask, _ in tx.execute(twice):
        yield f"I9: ask {ask} of generation {generation} of optimization {optimization_id} was taken twice."
    mine = and_(jobs.c.optimization == optimizations.c.id, jobs.c.generation == optimizations.c.generation)
    late = select(jobs.c.id).join(optimizations, mine).where(jobs.c.ask_number >= optimizations.c.asks)
    for job_id in tx.execute(late).scalars():
        yield f"I9: job {job_id} has the values of an ask that was not taken."
    newest = select(optimizations.c.id, optimizations.c.space_version, func.max(space_versions.c.version))
    versions = newest.join(space_versions, space_versions.c.optimization == optimizations.c.id)
    for optimization_id, version, highest in tx.execute(versions.group_by(optimizations.c.id)):
        if version != highest:
            yield f"I9: optimization {optimization_id} searches version {version} of its space, not {highest}."


def _generations(tx: Connection) -> Iterator[str]:
    older = and_(jobs.c.optimization == optimizations.c.id, jobs.c.generation < optimizations.c.generation)
    found = select(jobs.c.id, jobs.c.state, jobs.c.desired).join(optimizations, older)
    for job_id, state, desired in tx.execute(found.where(~jobs.c.state.in_(TERMINAL))):
        if state in (CREATED, QUEUED) or desired == "run":
            yield f"I10: job {job_id} of an earlier generation is {state}, and nobody ends it."
    counted = select(optimizations.c.id, optimizations.c.generation, func.count(generations.c.generation))
    kept = counted.outerjoin(generations, generations.c.optimization == optimizations.c.id)
    for optimization_id, generation, n in tx.execute(kept.group_by(optimizations.c.id, optimizations.c.generation)):
        if n != generation - 1:
            yield f"I10: optimization {optimization_id} is in generation {generation}, but {n} earlier ones are kept."
