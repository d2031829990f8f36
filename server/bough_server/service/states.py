"""The states of jobs and optimizations, and every move between them. What decides a move lives in this file.

Each move is one UPDATE guarded by the states it may come from (and by the attempt, for what an agent reports), in the
transaction of what caused it. A move that does not apply changes nothing and says so.

==========  =============================================  ==========  ==========================================
move        from                                           to          because
==========  =============================================  ==========  ==========================================
enqueue     CREATED                                        QUEUED      it was given values before an agent came
claim       CREATED, QUEUED                                PREPARING   an agent took it; values are fixed
run         PREPARING                                      RUNNING     its process was started
pause       RUNNING                                        PAUSED      its process was suspended
go_on       PAUSED                                         RUNNING     … and continued
stop        PREPARING, RUNNING, PAUSED                     STOPPING    its process is being ended
exit        PREPARING, RUNNING, PAUSED, STOPPING, QUEUED*  DRAINING    its process tree is gone, data may be missing
come_back   QUEUED*                                        RUNNING     * lost, but its attempt is still the newest
give_back   PREPARING … DRAINING                           QUEUED      lost, released, or tried again; same values
finish      DRAINING                                       DONE        a valid result
fail        QUEUED … DRAINING                              FAILED      it has no result
abort       CREATED … DRAINING                             ABORTED     the user did not want it any more
reuse       CREATED                                        DONE        it takes the result of an equal trial
retry       FAILED, ABORTED                                QUEUED      its user lets it run again; same values
approve     FAILED                                         DONE        by other settings of the KPI it has a result
disapprove  DONE                                           FAILED      … or has none
==========  =============================================  ==========  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, update

from bough_server.store.schema import attempts, jobs, optimizations

CREATED = "CREATED"
QUEUED = "QUEUED"
PREPARING = "PREPARING"
RUNNING = "RUNNING"
PAUSED = "PAUSED"
STOPPING = "STOPPING"
DRAINING = "DRAINING"
DONE = "DONE"
FAILED = "FAILED"
ABORTED = "ABORTED"
STOPPED = "STOPPED"
ARCHIVED = "ARCHIVED"

JOB_STATES = (CREATED, QUEUED, PREPARING, RUNNING, PAUSED, STOPPING, DRAINING, DONE, FAILED, ABORTED)
TERMINAL = (DONE, FAILED, ABORTED)
WITH_AGENT = (PREPARING, RUNNING, PAUSED, STOPPING, DRAINING)  # an attempt of it is accepted
LIVE = (QUEUED, *WITH_AGENT)  # it takes one of max_parallel

_ON_AGENT = (PREPARING, RUNNING, PAUSED, STOPPING)
JOB_MOVES: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "enqueue": ((CREATED,), QUEUED),
        "claim": ((CREATED, QUEUED), PREPARING),
        "run": ((PREPARING,), RUNNING),
        "pause": ((RUNNING,), PAUSED),
        "go_on": ((PAUSED,), RUNNING),
        "stop": ((PREPARING, RUNNING, PAUSED), STOPPING),
        "exit": ((*_ON_AGENT, QUEUED), DRAINING),
        "come_back": ((QUEUED,), RUNNING),
        "give_back": ((*_ON_AGENT, DRAINING), QUEUED),
        "finish": ((DRAINING,), DONE),
        "fail": ((QUEUED, *_ON_AGENT, DRAINING), FAILED),
        "abort": ((CREATED, QUEUED, *_ON_AGENT, DRAINING), ABORTED),
        "reuse": ((CREATED,), DONE),
        "retry": ((FAILED, ABORTED), QUEUED),
        "approve": ((FAILED,), DONE),
        "disapprove": ((DONE,), FAILED),
    }
)
AFTER_THE_END = ("retry", "approve", "disapprove")  # the moves that leave a terminal state: its user wants it so

OPTIMIZATION_STATES = (RUNNING, PAUSED, STOPPING, STOPPED, DONE, ARCHIVED)
OPTIMIZATION_MOVES: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "pause": ((RUNNING,), PAUSED),
        "resume": ((PAUSED,), RUNNING),
        "extend": ((RUNNING, PAUSED, STOPPED, DONE), RUNNING),
        "stop": ((RUNNING, PAUSED), STOPPING),
        "stopped": ((STOPPING,), STOPPED),
        "finish": ((RUNNING, PAUSED, STOPPING), DONE),
        "archive": ((RUNNING, PAUSED, STOPPING, STOPPED, DONE), ARCHIVED),  # where no trial is with an agent
        "show_done": ((ARCHIVED,), DONE),
        "show_stopped": ((ARCHIVED,), STOPPED),
    }
)


def move_job(tx: Connection, job_id: str, move: str, of_attempt: int | None = None, **values: Any) -> bool:
    """Make ``move`` if the job is in a state that allows it, and set ``values`` with it.

    Args:
        tx: A writing connection.
        job_id: Whose.
        move: A key of `JOB_MOVES`.
        of_attempt: If given, the move is made only while this is the job's newest attempt.
        values: Further columns to set in the same UPDATE.

    Returns:
        Whether the move was made.
    """
    guard = {"its_id": job_id} if of_attempt is None else {"its_id": job_id, "its_attempt": of_attempt}
    return (
        tx.execute(_job_update(move, of_attempt is not None), {**guard, "state": JOB_MOVES[move][1], **values}).rowcount
        == 1
    )


@cache
def _job_update(move: str, is_of_attempt: bool) -> Update:
    """Return the guarded UPDATE of a move; made once, since making a statement costs more than running it."""
    guard = and_(jobs.c.id == bindparam("its_id"), jobs.c.state.in_(JOB_MOVES[move][0]))
    if is_of_attempt:
        guard = and_(guard, jobs.c.attempt == bindparam("its_attempt"))
    return update(jobs).where(guard)


def note_attempt(tx: Connection, job_id: str, attempt: int, **values: Any) -> None:
    """Set columns of an attempt."""
    tx.execute(_ATTEMPT, {"its_job": job_id, "its_attempt": attempt, **values})


_ATTEMPT = update(attempts).where(
    attempts.c.job == bindparam("its_job"), attempts.c.attempt == bindparam("its_attempt")
)


def move_optimization(tx: Connection, optimization_id: str, move: str, **values: Any) -> bool:
    """Make ``move`` if the optimization is in a state that allows it; see `move_job`."""
    before, after = OPTIMIZATION_MOVES[move]
    guard = and_(optimizations.c.id == optimization_id, optimizations.c.state.in_(before))
    return tx.execute(update(optimizations).where(guard).values(state=after, **values)).rowcount == 1
