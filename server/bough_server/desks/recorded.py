"""The desk for jobs that ran without an agent: one message, sent as often as one likes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from bough_server.desks.ground import Ground
from bough_server.desks.receiving import Receiving
from bough_server.service import recorded
from bough_server.service.changes import Changes
from bough_server.service.dispatch import Dispatcher
from bough_server.service.identity import Key
from bough_server.service.sync import Message, Outcome, slices


class Recorded:
    """What is brought of such a job; opened after the ground."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._receiving = Receiving(ground)
        self._dispatcher = Dispatcher(
            ground.fleet, ground.asks.prepared, ground.new_id, lambda: secrets.token_hex(16), ground.config.patience_s
        )

    async def report(self, key: Key, nonce: str, header: Any, payload: bytes | memoryview) -> dict[str, Any]:
        """Take what is new of a recorded job: `POST /recorded/{nonce}`."""
        ground = self._ground
        told = recorded.read_told(header)
        now, clock, changes = ground.clock.now(), ground.clock.monotonic(), Changes()

        def begin(tx: Connection) -> tuple[dict[str, Any], Mapping[str, Any]]:
            job = recorded.find_or_make(tx, key, nonce, told, now, ground.new_id, changes)
            return job, recorded.agent_of(tx, job)

        job, agent = await ground.store.write(begin)
        header_of_it = recorded.as_header(job, told)
        parts, most = slices(header_of_it, payload), ground.config.max_lost
        message = Message(agent, header_of_it, parts, now, clock, self._dispatcher, most, ground.pruner)
        message.arrived = await self._receiving.receive(agent["id"], message)

        def work(tx: Connection) -> tuple[dict[str, Any], Outcome]:
            outcome = message.handle(tx)
            if job["id"] in outcome.changes.ended:
                recorded.note_times(tx, job["id"], told, now)
            return recorded.standing(tx, job["id"], outcome.reply["acked"]), outcome

        reply, outcome = await ground.store.write(work)
        ground.fleet.renew([(reply["job"], 1)], clock)
        await ground.commit(changes)
        await ground.commit(outcome.changes)
        await self._receiving.forget(agent["id"], outcome)
        return reply
