"""The desk for agents: registration, their one message, the doorbell, draining."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from bough import _failpoints
from bough_server.desks.ground import Ground
from bough_server.desks.receiving import Receiving
from bough_server.service import agents, usage, views
from bough_server.service.changes import Changes
from bough_server.service.dispatch import Dispatcher
from bough_server.service.eligible import Free, slots_of
from bough_server.service.fleet import Presence
from bough_server.service.identity import Key
from bough_server.service.sync import DecidesMore, Message, Outcome, read_header, slices
from bough_server.store import schema

_SAVE_HEARTBEAT_S = 10.0
_MAX_BELL_WAIT_S = 60.0


class Agents:
    """What agents ask of a coordinator, and what is asked about them; opened after the ground."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.receiving = Receiving(ground)
        self._dispatcher = Dispatcher(
            ground.fleet,
            ground.asks.prepared,
            ground.new_id,
            lambda: secrets.token_hex(16),
            ground.config.patience_s,
            ground.first_attempt,
        )

    async def register(self, key: Key, body: Any) -> dict[str, Any]:
        """Connect an agent: `POST /agents`."""
        ground = self._ground
        agents.require_agent_scope(key)
        told = agents.read_registration(body)
        clock = ground.clock.monotonic()
        known = await ground.store.read(lambda tx: _agent_id(tx, key, told.name))
        presence = ground.fleet.agents.get(known or "")
        if presence is not None and clock - presence.heard_at <= ground.config.lease_ttl_s:
            agents.refuse_second(told, presence.epoch, clock - presence.heard_at)
        row = await ground.store.write(lambda tx: agents.register(tx, key, told, ground.clock.now(), ground.new_id))
        ground.peers.met(row["id"], self._meet(row))
        ground.tell(Changes(agents={row["id"]}))
        config = ground.config
        times = {
            "heartbeat_s": config.heartbeat_s,
            "lease_ttl_s": config.lease_ttl_s,
            "lost_after_s": config.lost_after_s,
        }
        return {"agent_id": row["id"], "instance": ground.instance, **times}

    async def sync(self, key: Key, agent_id: str, header: Any, payload: bytes | memoryview) -> dict[str, Any]:
        """Handle an agent's message: `POST /agents/{id}/sync`."""
        ground = self._ground
        told = read_header(header)
        parts = slices(told, payload)
        row = self._known(key, agent_id, told.epoch)
        if row is None:
            row = await ground.store.read(lambda tx: agents.of_key(tx, key, agent_id, told.epoch))
        presence = self._meet(row)
        answers = ground.asks.answers
        presence.wanted = 0  # it is here: nobody needs to ring it
        now, clock, most = ground.clock.now(), ground.clock.monotonic(), ground.config.max_lost
        message = Message(row, told, parts, now, clock, self._dispatcher, most, ground.pruner)
        message.is_shared = not told.events
        presence.usage = told.usage or presence.usage
        is_noted = presence.heard_at - presence.saved_at >= _SAVE_HEARTBEAT_S
        message.seen = (presence.usage,) if is_noted else None
        message.arrived = await self.receiving.receive(agent_id, message)
        outcome = await self._handled(message)
        _failpoints.reach(*message.places("after_commit", outcome.granted))
        ground.fleet.renew(outcome.accepted, message.clock)
        await self._refresh(outcome.changes.agents)
        if is_noted:
            presence.saved_at = message.clock
            outcome.changes.agents.add(agent_id)
        await ground.commit(outcome.changes)
        ground.asks.took(outcome.granted.taken)
        await self.receiving.forget(agent_id, outcome)
        presence.free = Free.read(told.free) if told.free is not None else None
        await self._wait_for_asks(message, outcome, answers)
        if outcome.granted.claims:
            _failpoints.reach("claim.after_commit")
        ground.fleet.renew([(claim["job_id"], claim["attempt"]) for claim in outcome.granted.claims], message.clock)
        presence.listed_at = message.clock
        presence.wanted = max(0, told.free_slots - len(outcome.granted.claims)) if told.claim_key else 0
        claimed = [(claim["job_id"], claim["attempt"]) for claim in outcome.granted.claims]
        ground.peers.met(agent_id, presence, [*outcome.accepted, *claimed])
        self._ring_others(agent_id, outcome)
        limits = ground.config.limits
        for claim in outcome.granted.claims:
            claim["limits"] = limits
        return {**outcome.reply, "granted": outcome.granted.claims, "instance": ground.instance, "bell": presence.bell}

    async def _handled(self, message: Message) -> Outcome:
        if message.is_shared:
            with contextlib.suppress(DecidesMore):
                return await self._ground.store.write(message.handle, is_shared=True)
        return await self._ground.store.write(replace(message, is_shared=False).handle)

    async def bell(self, key: Key, agent_id: str, after: int, wait_s: float) -> dict[str, Any]:
        """Wait until something is wanted of the agent: `GET /agents/{id}/bell`."""
        ground = self._ground
        row = await ground.store.read(lambda tx: agents.of_key(tx, key, agent_id))
        presence = self._meet(row, heard=False)
        if ground.peers.has_any:
            presence.bell = max(presence.bell, after)  # it was rung elsewhere, and came before the word of it
        if presence.bell == after:
            event = ground.bells.setdefault(agent_id, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), max(0.0, min(wait_s, _MAX_BELL_WAIT_S)))
        return {"bell": presence.bell}

    async def page(self) -> list[dict[str, Any]]:
        """List the agents: `GET /agents`."""
        ground = self._ground
        online = ground.fleet.online(ground.clock.monotonic())
        return views.plain(await ground.store.read(lambda tx: views.agents_view(tx, online)))  # type: ignore[no-any-return]

    async def drain(self, agent_id: str, on: bool) -> dict[str, Any]:
        """Let the agent take nothing more, or again; its name will do."""
        return await self._change(agent_id, drain=on)

    async def release(self, agent_id: str) -> dict[str, Any]:
        """Trust an agent again that is in quarantine; its name will do."""
        return await self._change(agent_id, quarantine=None, trusted_at=self._ground.clock.now())

    async def set_slots(self, agent_id: str, slots: Any) -> dict[str, Any]:
        """Change how many jobs it runs at a time; running ones are left to end. Its name will do.

        Raises:
            UsageError: That is no number of slots.
        """
        return await self._change(agent_id, slots_set=agents.checked_slots(slots))

    async def usage(self, agent_id: str) -> dict[str, Any]:
        """Return how busy its machine was, the last day: `GET /agents/{id}/usage`."""
        return await self._ground.store.read(lambda tx: usage.history(tx, agent_id))

    async def _change(self, agent_id: str, **values: Any) -> dict[str, Any]:
        ground = self._ground
        row = await ground.store.write(lambda tx: agents.change(tx, agent_id, **values))
        if row["id"] in ground.fleet.agents:
            self._meet(row, heard=False)
        await ground.commit(Changes(agents={row["id"]}, rung={row["id"]}))
        return next(found for found in await self.page() if found["id"] == row["id"])

    def _meet(self, row: dict[str, Any], heard: bool = True) -> Presence:
        """Return what is known of that agent from moment to moment."""
        ground = self._ground
        now = ground.clock.monotonic()
        presence = ground.fleet.agents.get(row["id"])
        if presence is None:
            bell = int(ground.clock.now() * 1000)  # above every number from before a restart: that is not this one's
            presence = Presence(row["name"], slots_of(row), row["epoch"], now, bell=bell)
            ground.fleet.agents[row["id"]] = presence
        presence.row = row
        presence.slots, presence.epoch = slots_of(row), row["epoch"]
        presence.is_closed = row["drain"] or row["quarantine"] is not None
        presence.heard_at = now if heard else presence.heard_at
        return presence

    async def _refresh(self, agent_ids: set[str]) -> None:
        """Look again at the rows of agents that a message has changed: into quarantine, say."""
        for agent_id in agent_ids:
            if agent_id in self._ground.fleet.agents:
                self._meet(await self._ground.store.read(partial(agents.row, agent_id=agent_id)), heard=False)

    def _known(self, key: Key, agent_id: str, epoch: str) -> dict[str, Any] | None:
        """Return the agent's row if it is known without the store that ``key`` speaks for it."""
        ground = self._ground
        presence = ground.fleet.agents.get(agent_id)
        if presence is None or presence.row.get("key") != key.id or presence.epoch != epoch:
            return None
        agents.require_agent_scope(key)
        return presence.row

    async def _wait_for_asks(self, message: Message, outcome: Outcome, answers: int) -> None:
        """Give the optimizer a moment, so that an agent need not come twice for one trial."""
        ground = self._ground
        deadline = ground.clock.monotonic() + ground.config.claim_wait_s
        while outcome.granted.unprepared and len(outcome.granted.claims) < message.header.free_slots:
            for optimization_id in outcome.granted.unprepared:
                ground.asks.wake(optimization_id)
            left = deadline - ground.clock.monotonic()
            if left <= 0 or not await ground.asks.wait_for_answer(answers, left):
                return
            async with ground.asks.turn:
                answers = ground.asks.answers
                if any(map(ground.asks.is_there, outcome.granted.unprepared)):
                    changes = Changes()
                    more = partial(message.grant, changes=changes, so_far=outcome.granted)
                    outcome.granted = await ground.store.write(more, is_shared=True)
                    await ground.commit(changes)
                    ground.asks.took(outcome.granted.taken)

    def _ring_others(self, agent_id: str, outcome: Outcome) -> None:
        ground = self._ground
        if outcome.changes.optimizations or outcome.granted.is_deferred:
            ground.ring_wanting(except_for=agent_id)
        if outcome.granted.is_deferred:
            asyncio.get_running_loop().call_later(ground.config.patience_s * 1.1, ground.ring, agent_id)


def _agent_id(tx: Connection, key: Key, name: str) -> str | None:
    mine = (schema.agents.c.name == name) & (schema.agents.c.key == key.id)
    return tx.execute(select(schema.agents.c.id).where(mine)).scalar_one_or_none()
