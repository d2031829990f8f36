"""The coordinator as one object: everything the API can ask of it, with nothing of HTTP in it.

It owns the store, the optimizer's process, what is known of agents from moment to moment, and two tasks: one that
prepares asks, one that looks after silent jobs. Everything that must survive is in the store; a coordinator that is
killed and started again goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from bough.errors import Conflict, UsageError
from bough_server.broker import Broker
from bough_server.config import Config
from bough_server.optimizers.client import OptimizerFailed, OptimizerProcess
from bough_server.optimizers.extras import check_installed
from bough_server.optimizers.replay import Search, replay
from bough_server.service import (
    agents,
    definitions,
    export,
    given,
    idempotency,
    jobs,
    optimizations,
    reap,
    searches,
    views,
    why,
)
from bough_server.service.asks import Asks, Optimizer
from bough_server.service.changes import Changes
from bough_server.service.clock import Clock, SystemClock
from bough_server.service.dispatch import Dispatcher
from bough_server.service.fleet import Fleet, Presence
from bough_server.service.identity import Key, require_owner
from bough_server.service.news import News
from bough_server.service.pruning import Pruner
from bough_server.service.sync import Message, Outcome, read_header, save_heartbeat, slices
from bough_server.store import reads, schema
from bough_server.store.database import Database

Result = TypeVar("Result")
_log = logging.getLogger(__name__)
_ID_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is easily mistaken for another
_TICK_S = 1.0
_SAVE_HEARTBEAT_S = 10.0
_PAUSE_S = 1.0  # before a background task that failed goes on
_MAX_BELL_WAIT_S = 60.0
_MAX_LOG = 4 * 1024 * 1024


def new_id() -> str:
    """Return a new id of 8 letters and digits, the first one a letter."""
    return secrets.choice(_ID_LETTERS[:23]) + "".join(secrets.choice(_ID_LETTERS) for _ in range(7))


class Coordinator:
    """Start it, ask it, stop it; all on one event loop.

    Args:
        config: Where it lives and how patient it is.
        clock: Where times come from.
        optimizer: Answers asks; None starts a process of its own.
        make_id: Makes the ids of optimizations, jobs and agents.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        optimizer: Optimizer | None = None,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self.config = config
        self.broker = Broker()
        self.instance = uuid.uuid4().hex
        self.on_ended: Callable[[], None] | None = None
        self.store: Database
        self._clock = clock or SystemClock()
        self._new_id = make_id
        self._process = OptimizerProcess() if optimizer is None else None
        self._optimizer: Optimizer = self._process or optimizer  # type: ignore[assignment]
        self._fleet = Fleet(self._clock.monotonic(), config.lease_ttl_s)
        self._bells: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._verification = asyncio.Lock()
        self._pruner = Pruner()

    async def start(self) -> None:
        """Open the store and begin.

        Raises:
            BoughError: The store cannot be opened; in one sentence.
        """
        self.store = await asyncio.to_thread(Database.open, self.config.database)
        self._fleet.started_at = self._clock.monotonic()
        self._asks = Asks(self.store, self._optimizer, self._ask_is_ready, self._ask_failed)
        self._news = News(self.store, self.broker, self._fleet, self._clock)
        self._dispatcher = Dispatcher(
            self._fleet, self._asks.prepared, self._new_id, lambda: secrets.token_hex(16), self.config.patience_s
        )
        self._background(self._asks.run)
        self._background(self._reap_for_ever)
        self._background(self._news.run)
        if self._process is not None:
            self._background(partial(self._warm_up, self._process))
        for optimization_id in await self.store.read(_running):
            self._asks.wake(optimization_id)

    async def stop(self) -> None:
        """Finish what was begun, then let go of everything; harmless if it was never started."""
        self.broker.close()
        for event in self._bells.values():
            event.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.stop()
        if hasattr(self, "store"):
            await asyncio.to_thread(self.store.close)

    # -- agents -----------------------------------------------------------------------------------------------

    async def register_agent(self, key: Key, body: Any) -> dict[str, Any]:
        """Connect an agent: `POST /agents`."""
        agents.require_agent_scope(key)
        told = agents.read_registration(body)
        clock = self._clock.monotonic()
        known = await self.store.read(lambda tx: _agent_id(tx, key, told.name))
        presence = self._fleet.agents.get(known or "")
        if presence is not None and clock - presence.heard_at <= self.config.lease_ttl_s:
            agents.refuse_second(told, presence.epoch, clock - presence.heard_at)
        row = await self.store.write(lambda tx: agents.register(tx, key, told, self._clock.now(), self._new_id))
        self._meet(row)
        self._news.tell(Changes(agents={row["id"]}))
        config = self.config
        times = {
            "heartbeat_s": config.heartbeat_s,
            "lease_ttl_s": config.lease_ttl_s,
            "lost_after_s": config.lost_after_s,
        }
        return {"agent_id": row["id"], "instance": self.instance, **times}

    async def sync(self, key: Key, agent_id: str, header: Any, payload: bytes | memoryview) -> dict[str, Any]:
        """Handle an agent's message: `POST /agents/{id}/sync`."""
        told = read_header(header)
        parts = slices(told, payload)
        row = self._known(key, agent_id, told.epoch)
        if row is None:
            row = await self.store.read(lambda tx: agents.of_key(tx, key, agent_id, told.epoch))
        presence = self._meet(row)
        answers = self._asks.answers
        presence.wanted = 0  # it is here: nobody needs to ring it
        now, clock, most = self._clock.now(), self._clock.monotonic(), self.config.max_lost
        message = Message(row, told, parts, now, clock, self._dispatcher, most, self._pruner)
        outcome = await self.store.write(message.handle)
        self._fleet.renew(outcome.accepted, message.clock)
        await self._commit(outcome.changes)
        await self._wait_for_asks(message, outcome, answers)
        self._fleet.renew([(claim["job_id"], claim["attempt"]) for claim in outcome.granted.claims], message.clock)
        presence.wanted = max(0, told.free_slots - len(outcome.granted.claims)) if told.claim_key else 0
        await self._save_heartbeat(agent_id, presence, told.usage)
        self._ring_others(agent_id, outcome)
        return {**outcome.reply, "granted": outcome.granted.claims, "instance": self.instance, "bell": presence.bell}

    async def bell(self, key: Key, agent_id: str, after: int, wait_s: float) -> dict[str, Any]:
        """Wait until something is wanted of the agent: `GET /agents/{id}/bell`."""
        row = await self.store.read(lambda tx: agents.of_key(tx, key, agent_id))
        presence = self._meet(row, heard=False)
        if presence.bell == after:
            event = self._bells.setdefault(agent_id, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), max(0.0, min(wait_s, _MAX_BELL_WAIT_S)))
        return {"bell": presence.bell}

    async def agents(self) -> list[dict[str, Any]]:
        """List the agents: `GET /agents`."""
        online = self._fleet.online(self._clock.monotonic())
        return views.plain(await self.store.read(lambda tx: views.agents_view(tx, online)))  # type: ignore[no-any-return]

    async def drain_agent(self, agent_id: str, on: bool) -> dict[str, Any]:
        """Let the agent take nothing more, or again; its name will do."""
        row = await self.store.write(lambda tx: agents.set_drain(tx, agent_id, on))
        presence = self._fleet.agents.get(row["id"])
        if presence is not None:
            presence.is_draining, presence.row = on, row
        await self._commit(Changes(agents={row["id"]}, rung={row["id"]}))
        return next(found for found in await self.agents() if found["id"] == row["id"])

    # -- optimizations ----------------------------------------------------------------------------------------

    async def create_optimization(self, key: Key, body: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        """Start an optimization: `POST /optimizations`."""
        body = _mapping(body)
        found = definitions.parse(body.get("definition"))
        require_owner(key, found.model)
        if not found.has_optimization:
            raise UsageError(f"{found.model} has no section optimization.", "Say in bough.yml what to search.")
        check_installed(found.settings.algorithm)
        now, seed, changes = self._clock.now(), secrets.randbelow(2**31), Changes()

        def make(tx: Connection) -> str:
            known = optimizations.create(tx, found, body, now, key.id, self._new_id, seed)
            given.warm_start(tx, known, body.get("warm_start"), now)
            self._top_up(tx, known, now, changes)
            return known

        made = await self.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, body, now, make))
        await self._commit(changes)
        self._ring_wanting()
        return await self.optimization(made)

    async def optimizations(self, limit: int = 50, offset: int = 0) -> dict[str, Any]:
        """List optimizations, newest first: `GET /optimizations`."""
        return await self.store.read(lambda tx: views.plain(views.optimizations_page(tx, limit, offset)))

    async def optimization(self, optimization_id: str) -> dict[str, Any]:
        """Show one optimization; the beginning of its id will do."""
        return await self.store.read(
            lambda tx: views.plain(views.optimization_view(tx, reads.optimization(tx, optimization_id)))
        )

    async def trials(
        self,
        optimization_id: str,
        sort: str | None = None,
        descending: bool = False,
        state: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> dict[str, Any]:
        """List the trials of an optimization: `GET /optimizations/{id}/trials`."""

        def page(tx: Connection) -> dict[str, Any]:
            where = [schema.jobs.c.optimization == reads.optimization(tx, optimization_id)["id"]]
            where += [jobs.in_state(state)] if state else []
            rows, total = jobs.page(tx, where, sort or "number", descending, limit, offset)
            return {"rows": views.jobs_view(tx, rows), "total": total}

        return await self.store.read(page)

    async def stop_optimization(self, optimization_id: str, now: bool = False) -> dict[str, Any]:
        """Start nothing more of it; ``now`` also stops what runs."""
        at = self._clock.now()
        return await self._steer(lambda tx, changes: optimizations.stop(tx, optimization_id, at, changes, at_once=now))

    async def pause_optimization(self, optimization_id: str, release: bool = False) -> dict[str, Any]:
        """Start nothing of it for now; ``release`` also gives back what runs."""
        return await self._steer(lambda tx, changes: optimizations.pause(tx, optimization_id, changes, release=release))

    async def resume_optimization(self, optimization_id: str) -> dict[str, Any]:
        """Go on after a pause."""
        return await self._steer(lambda tx, changes: optimizations.resume(tx, optimization_id, changes))

    async def extend_optimization(self, optimization_id: str, max_trials: int) -> dict[str, Any]:
        """Give it more trials; one that has ended goes on."""
        return await self._steer(lambda tx, changes: optimizations.extend(tx, optimization_id, max_trials, changes))

    async def enqueue(
        self, key: Key, optimization_id: str, body: Any, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Make values set by hand its next trial: `POST /optimizations/{id}/enqueue`. Return that job."""
        body, changes, now = _mapping(body), Changes(), self._clock.now()

        def make(tx: Connection) -> str:
            known = given.enqueue(tx, optimization_id, body, now, self._new_id, changes)
            self._top_up(tx, optimization_id, now, changes)
            return known

        told = {"optimization": optimization_id, **body}
        made = await self.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, told, now, make))
        await self._commit(changes)
        self._ring_wanting()
        return await self.job(made)

    async def _steer(self, work: Callable[[Connection, Changes], str]) -> dict[str, Any]:
        changes = Changes()
        now = self._clock.now()

        def steer(tx: Connection) -> str:
            known = work(tx, changes)
            self._top_up(tx, known, now, changes)
            return known

        known = await self.store.write(steer)
        await self._commit(changes)
        self._ring_wanting()
        return await self.optimization(known)

    def _top_up(self, tx: Connection, optimization_id: str, now: float, changes: Changes) -> None:
        """Make rows for what may start, so that everyone sees what waits before an agent comes."""
        row = reads.optimization(tx, optimization_id)
        room = optimizations.places(row, self._fleet.slots(self._clock.monotonic()))
        optimizations.top_up(tx, row, room, now, self._new_id, changes)
        changes.optimizations.add(optimization_id)

    # -- the search -------------------------------------------------------------------------------------------

    async def space(self, optimization_id: str, seed: int | None = None, samples: int = 10) -> dict[str, Any]:
        """Show the space of an optimization, with samples: `GET /optimizations/{id}/space`."""
        row, space = await self.store.read(lambda tx: searches.newest_space(tx, optimization_id))
        shown = await self._optimizer.describe(space, row["seed"] if seed is None else seed, samples)
        return {"optimization": row["id"], "version": row["space_version"], **shown}

    async def space_of_definition(self, body: Any, seed: int | None = None, samples: int = 10) -> dict[str, Any]:
        """Show the space of a definition: `POST /space`."""
        body = _mapping(body)
        found = definitions.parse(body.get("definition"))
        if not found.has_optimization:
            raise UsageError(f"{found.model} has no section optimization.", "Say in bough.yml what to search.")
        found.fix(optimizations.mapping_of(body, "fixed"))
        default = found.settings.seed or 0
        return await self._optimizer.describe(found.space.to_json(), default if seed is None else seed, samples)

    async def stored_search(self, optimization_id: str) -> dict[str, Any]:
        """Return everything that a replay needs: `GET /optimizations/{id}/asks`."""
        return await self.store.read(lambda tx: searches.search(tx, optimization_id).to_json())

    async def verify(self, optimization_id: str) -> AsyncGenerator[dict[str, Any]]:
        """Return what `replay` says of an optimization, from a process of its own: asks of running ones go on.

        Raises:
            NotFound: There is no such optimization.
            Conflict: Another one is being verified; each costs a core.
        """
        found = await self.store.read(lambda tx: searches.search(tx, optimization_id))
        if self._verification.locked():
            raise Conflict("another optimization is being verified.", "Try again when that is over.")
        return self._replayed(found)

    async def _replayed(self, found: Search) -> AsyncGenerator[dict[str, Any]]:
        async with self._verification:
            process = OptimizerProcess()
            try:
                yield {"checked": 0, "total": len(found.trials)}
                async with contextlib.aclosing(replay(found, process)) as news:
                    async for one in news:
                        yield one
            finally:
                await process.stop()

    # -- jobs -------------------------------------------------------------------------------------------------

    async def create_job(self, key: Key, body: Any, idempotency_key: str | None = None) -> dict[str, Any]:
        """Queue a manual job: `POST /jobs`."""
        body = _mapping(body)
        found = definitions.parse(body.get("definition"))
        require_owner(key, found.model)
        now = self._clock.now()

        def make(tx: Connection) -> str:
            return jobs.create(tx, found, body, now, key.id, self._new_id)

        made = await self.store.write(lambda tx: idempotency.once(tx, key, idempotency_key, body, now, make))
        await self._commit(Changes(jobs={made}))
        self._ring_wanting()
        return await self.job(made)

    async def jobs(
        self,
        limit: int = 50,
        offset: int = 0,
        optimization: str | None = None,
        state: str | None = None,
        manual: bool | None = None,
    ) -> dict[str, Any]:
        """List jobs, newest first: `GET /jobs`."""

        def page(tx: Connection) -> dict[str, Any]:
            column = schema.jobs.c.optimization
            where = [] if optimization is None else [column == reads.optimization(tx, optimization)["id"]]
            where += [jobs.in_state(state)] if state else []
            where += [] if manual is None else [column.is_(None) if manual else column.is_not(None)]
            rows, total = jobs.page(tx, where, None, False, limit, offset)
            return {"rows": views.jobs_view(tx, rows), "total": total}

        return await self.store.read(page)

    async def job(self, job_id: str) -> dict[str, Any]:
        """Show one job with its channels, infos and attempts; the beginning of its id will do."""
        return await self.store.read(lambda tx: views.plain(views.whole_job(tx, reads.job(tx, job_id))))

    async def points(
        self, job_id: str, channel: str | None = None, attempt: int | None = None, after: int | None = None
    ) -> dict[str, Any]:
        """Return the points of one channel, or of all: `GET /jobs/{id}/points`."""
        return await self.store.read(
            lambda tx: views.all_points(tx, reads.job(tx, job_id), channel, attempt, after or 0)
        )

    async def log(
        self, job_id: str, offset: int = 0, limit: int = 65536, attempt: int | None = None
    ) -> tuple[bytes, int]:
        """Return a stretch of a job's log, and how many bytes the log has."""

        def stretch(tx: Connection) -> tuple[bytes, int]:
            row = reads.job(tx, job_id)
            return reads.log_bytes(tx, row["id"], attempt or row["attempt"], offset, max(0, min(limit, _MAX_LOG)))

        return await self.store.read(stretch)

    async def stop_job(self, job_id: str, now: bool = False) -> dict[str, Any]:
        """End a job politely, or by force."""
        changes, at = Changes(), self._clock.now()
        known = await self.store.write(lambda tx: jobs.stop(tx, job_id, at, changes, at_once=now))
        await self._commit(changes)
        return await self.job(known)

    # -- everything -------------------------------------------------------------------------------------------

    async def why(self) -> dict[str, Any]:
        """Say why nothing is running."""
        url = f"http://{self.config.host}:{self.config.port}"
        clock, now = self._clock.monotonic(), self._clock.now()
        return {"reasons": await self.store.read(lambda tx: why.reasons(tx, self._fleet, clock, now, url))}

    async def trial_export(
        self, optimization_id: str, all_attempts: bool = False
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of the table of all trials; the rows are read as they are taken."""
        columns, rows = await self.store.read(lambda tx: export.trial_table(tx, optimization_id, all_attempts))
        return columns, iter(rows)

    async def point_export(
        self, optimization_id: str, all_attempts: bool = False
    ) -> tuple[list[str], Iterator[dict[str, Any]]]:
        """Return the columns and rows of all points; the rows are read job by job as they are taken."""
        found = await self.store.read(lambda tx: export.runs_of(tx, optimization_id, all_attempts))
        return list(export.POINT_COLUMNS), export.point_rows_of(self.store.read_sync, found)

    # -- inside -----------------------------------------------------------------------------------------------

    def _meet(self, row: dict[str, Any], heard: bool = True) -> Presence:
        """Return what is known of that agent from moment to moment."""
        now = self._clock.monotonic()
        presence = self._fleet.agents.get(row["id"])
        if presence is None:
            bell = secrets.randbelow(2**30)  # so that a number from before a restart is not taken for this one's
            presence = Presence(row["name"], row["slots"], row["epoch"], now, bell=bell)
            self._fleet.agents[row["id"]] = presence
        presence.row = row
        presence.slots, presence.epoch, presence.is_draining = row["slots"], row["epoch"], row["drain"]
        presence.heard_at = now if heard else presence.heard_at
        return presence

    def _known(self, key: Key, agent_id: str, epoch: str) -> dict[str, Any] | None:
        """Return the agent's row if it is known without the store that ``key`` speaks for it."""
        presence = self._fleet.agents.get(agent_id)
        if presence is None or presence.row.get("key") != key.id or presence.epoch != epoch:
            return None
        agents.require_agent_scope(key)
        return presence.row

    async def _commit(self, changes: Changes) -> None:
        """Tell everyone what was just committed."""
        for optimization_id in changes.optimizations:
            self._asks.wake(optimization_id)
        for agent_id in changes.rung:
            self._ring(agent_id)
        for job_id in changes.ended:
            self._fleet.forget(job_id)
        if changes.ended and self.on_ended is not None:
            self.on_ended()
        self._news.tell(changes)

    async def _wait_for_asks(self, message: Message, outcome: Outcome, answers: int) -> None:
        """Give the optimizer a moment, so that an agent need not come twice for one trial."""
        deadline = self._clock.monotonic() + self.config.claim_wait_s
        while outcome.granted.unprepared and len(outcome.granted.claims) < message.header.free_slots:
            for optimization_id in outcome.granted.unprepared:
                self._asks.wake(optimization_id)
            left = deadline - self._clock.monotonic()
            if left <= 0 or not await self._asks.wait_for_answer(answers, left):
                return
            answers = self._asks.answers
            changes = Changes()
            outcome.granted = await self.store.write(partial(message.grant, changes=changes, so_far=outcome.granted))
            await self._commit(changes)

    async def _save_heartbeat(self, agent_id: str, presence: Presence, usage: dict[str, Any] | None) -> None:
        now = self._clock.monotonic()
        if now - presence.saved_at < _SAVE_HEARTBEAT_S:
            return
        presence.saved_at = now
        at = self._clock.now()
        await self.store.write(lambda tx: save_heartbeat(tx, agent_id, at, usage))
        self._news.tell(Changes(agents={agent_id}))

    def _ring(self, agent_id: str) -> None:
        presence = self._fleet.agents.get(agent_id)
        if presence is None:
            return
        presence.bell += 1
        event = self._bells.pop(agent_id, None)
        if event is not None:
            event.set()

    def _ring_wanting(self, except_for: str = "") -> None:
        for agent_id, presence in self._fleet.online(self._clock.monotonic()).items():
            if presence.wanted > 0 and agent_id != except_for:
                self._ring(agent_id)

    def _ring_others(self, agent_id: str, outcome: Outcome) -> None:
        if outcome.changes.optimizations or outcome.granted.is_deferred:
            self._ring_wanting(except_for=agent_id)
        if outcome.granted.is_deferred:
            asyncio.get_running_loop().call_later(self.config.patience_s * 1.1, self._ring, agent_id)

    def _ask_is_ready(self, optimization_id: str) -> None:
        self._ring_wanting()

    async def _ask_failed(self, optimization_id: str, reason: str) -> None:
        changes = Changes()
        text = f"the optimizer cannot go on: {reason} Then: bough optimization resume {optimization_id}."
        await self.store.write(lambda tx: optimizations.pause(tx, optimization_id, changes, release=False, reason=text))
        await self._commit(changes)

    async def _warm_up(self, process: OptimizerProcess) -> None:
        with contextlib.suppress(OptimizerFailed):  # whoever asks is told
            await process.start()

    async def _reap_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                await self.reap()
            except Exception:  # a full disk, say: told to whoever writes as well, and tried again
                _log.exception("looking after silent jobs failed; it is tried again")

    async def reap(self) -> None:
        """Flag, take back and end what has been silent for too long, as of now."""
        now, clock = self._clock.now(), self._clock.monotonic()
        fleet, config = self._fleet, self.config
        if not await self.store.read(lambda tx: reap.is_needed(tx, fleet, config, now, clock)):
            return
        changes = await self.store.write(lambda tx: reap.reap(tx, fleet, config, now, clock))
        await self._commit(changes)
        self._ring_wanting()

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(_go_on(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _go_on(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do ``work`` until it ends; whatever it fails with is logged, and it begins again after a pause."""
    while True:
        try:
            return await work()
        except Exception:
            _log.exception("a task of the coordinator failed; it goes on in %g s", _PAUSE_S)
            await asyncio.sleep(_PAUSE_S)


def _mapping(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise UsageError("the request is no mapping.", "Send a JSON object.")
    return body


def _agent_id(tx: Connection, key: Key, name: str) -> str | None:
    mine = (schema.agents.c.name == name) & (schema.agents.c.key == key.id)
    return tx.execute(select(schema.agents.c.id).where(mine)).scalar_one_or_none()


def _running(tx: Connection) -> list[str]:
    found = select(schema.optimizations.c.id).where(schema.optimizations.c.state == "RUNNING")
    return list(tx.execute(found).scalars())
