"""The desk for jobs that ran without an agent: one message, sent as often as one likes."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection

from bough_server.desks.ground import Ground
from bough_server.service import recorded
from bough_server.service.changes import Changes
from bough_server.service.dispatch import Dispatcher
from bough_server.service.identity import Key
from bough_server.service.pruning import Pruner
from bough_server.service.sync import Message, slices


class Recorded:
    """What is brought of such a job; opened after the ground."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._dispatcher = Dispatcher(
            ground.fleet, ground.asks.prepared, ground.new_id, lambda: secrets.token_hex(16), ground.config.patience_s
        )

    async def report(self, key: Key, nonce: str, header: Any, payload: bytes | memoryview) -> dict[str, Any]:
        """Take what is new of a recorded job: `POST /recorded/{nonce}`."""
        ground = self._ground
        told = recorded.read_told(header)
        now, clock, changes = ground.clock.now(), ground.clock.monotonic(), Changes()

        def work(tx: Connection) -> tuple[dict[str, Any], Changes]:
            job = recorded.find_or_make(tx, key, nonce, told, now, ground.new_id, changes)
            message_of = recorded.as_header(job, told)
            parts = slices(message_of, payload)
            agent = recorded.agent_of(tx, job)
            message = Message(
                agent, message_of, parts, now, clock, self._dispatcher, ground.config.max_lost, Pruner()
            )
            outcome = message.handle(tx)
            if job["id"] in outcome.changes.ended:
                recorded.note_times(tx, job["id"], told, now)
            return recorded.standing(tx, job["id"]), outcome.changes

        reply, more = await ground.store.write(work)
        ground.fleet.renew([(reply["job"], 1)], clock)
        await ground.commit(changes)
        await ground.commit(more)
        return reply
