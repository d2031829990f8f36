"""What must hold of what jobs reported, in any store; the second half of `bough_server.service.check`.

I11 what a channel counts as its points is stored               I12 an end needs every byte of every journal
I13 what the optimizer was told last of a trial is its KPI, and the values it ran with
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, and_, func, select

from bough import _layout
from bough_server.service.ends import ENDED
from bough_server.service.states import DONE
from bough_server.store.schema import attempts, channels, history, jobs, optimizations, point_chunks, streams

JOURNAL = "journal"  # end_reason of a job whose journals are not what its supervisor saw


def violations(tx: Connection) -> Iterator[str]:
    """Yield a sentence for everything that must not be."""
    yield from _counts(tx)
    yield from _journals(tx)
    yield from _losses(tx)


def _counts(tx: Connection) -> Iterator[str]:
    stored = func.coalesce(func.sum(point_chunks.c.n), 0)
    found = select(channels.c.job, channels.c.attempt, channels.c.name, channels.c.points, stored)
    joined = found.outerjoin(point_chunks, point_chunks.c.channel == channels.c.id).group_by(channels.c.id)
    for job_id, attempt, name, counted, n in tx.execute(joined.having(stored != channels.c.points)):
        yield f"I11: channel {name} of attempt {attempt} of job {job_id} counts {counted} points, {n} are stored."


def _journals(tx: Connection) -> Iterator[str]:
    """Of attempts of which any stream is here: those that were read back from git have none."""
    newest = and_(attempts.c.job == jobs.c.id, attempts.c.attempt == jobs.c.attempt, attempts.c.state == ENDED)
    ended = select(jobs.c.id, jobs.c.attempt, attempts.c.exit).join(attempts, newest)
    whole = ended.where(~jobs.c.partial, jobs.c.end_reason.is_distinct_from(JOURNAL), attempts.c.exit.is_not(None))
    known: dict[tuple[str, int], dict[str, tuple[int, int]]] = defaultdict(dict)
    rows = select(streams.c.job, streams.c.attempt, streams.c.stream, streams.c.acked, streams.c.crc)
    for job_id, attempt, stream, acked, crc in tx.execute(rows):
        known[job_id, attempt][stream] = acked, crc
    for job_id, attempt, exit_ in tx.execute(whole):
        mine = known.get((job_id, attempt))
        if mine is not None:
            yield from _of_attempt(f"attempt {attempt} of job {job_id}", exit_ or {}, mine)


def _of_attempt(name: str, exit_: dict[str, Any], mine: dict[str, tuple[int, int]]) -> Iterator[str]:
    for writer, entry in (exit_.get("journals") or {}).items():
        stored = mine.get(_layout.JOURNAL_STREAM + writer, (0, 0))
        if stored != (entry["bytes"], entry["crc"]):
            yield f"I12: {name} ended, but its journal {writer} is not stored as it was."


def _losses(tx: Connection) -> Iterator[str]:
    key = (history.c.optimization, history.c.generation, history.c.job)
    last = select(*key, func.max(history.c.seq).label("seq")).group_by(*key).subquery()
    row = and_(history.c.optimization == last.c.optimization, history.c.seq == last.c.seq)
    own = and_(jobs.c.id == last.c.job, jobs.c.optimization == last.c.optimization, jobs.c.state == DONE)
    found = select(jobs.c.id, jobs.c.kpi, jobs.c["values"], history.c.loss, history.c["values"])
    joined = found.select_from(last).join(history, row).join(jobs, own)
    joined = joined.join(optimizations, optimizations.c.id == last.c.optimization)
    edited = optimizations.c.space_version > 1  # then they were mapped to the new space
    for job_id, kpi, values, loss, told, is_edited in tx.execute(joined.add_columns(edited)):
        if kpi is not None and (loss is None or abs(loss) != abs(kpi)):
            yield f"I13: job {job_id} has the KPI {kpi}, but its optimizer was told of a loss of {loss}."
        if not is_edited and told is not None and told != values:
            yield f"I13: job {job_id} ran with {values}, but its optimizer was told of {told}."
