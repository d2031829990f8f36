"""Taking in the contents of files: written to disk beside the event loop, before the message's transaction."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from bough import _layout
from bough.errors import Unavailable
from bough_server.desks.ground import Ground
from bough_server.service import files
from bough_server.service.ends import HELD
from bough_server.service.ingest import Part
from bough_server.service.sync import Message, Outcome, is_content
from bough_server.store import schema
from bough_server.store.contents import ContentStore, Received

UNUSED_S = 24 * 3600.0  # a content that no job names is kept for so long
CLEAN_S = 3600.0
Arrived = dict[tuple[str, int, str], Received]


class Receiving:
    """Writes what agents send of contents, for attempts that they hold."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._store = ContentStore(ground.config.contents)
        self._is_swept = False
        self._begun = 1  # rises with each content that comes; 0: nothing is begun, so that most ends need no look

    async def receive(self, agent_id: str, message: Message) -> Arrived:
        """Return how far each content has come whose bytes are in this message.

        Raises:
            Unavailable: The coordinator's disk does not take them.
        """
        told = zip(message.header.parts, message.parts, strict=True)
        parts = [(part, data) for part, data in told if is_content(part.stream)]
        if not parts:
            return {}
        ids = {part.job for part, _ in parts}
        held = await self._ground.store.read(lambda tx: _held(tx, agent_id, ids))
        parts = [(part, data) for part, data in parts if (part.job, part.attempt) in held]
        self._begun += 1
        try:
            return await asyncio.to_thread(self._write, agent_id, parts)
        except OSError as error:
            what = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"cannot be written ({error.strerror})"
            raise Unavailable(
                f"the coordinator's disk for files {what}.", f"Free some space at {self._store.folder}."
            ) from None

    async def forget(self, agent_id: str, outcome: Outcome) -> None:
        """Remove what was begun for jobs that have ended; the first time, for all that nobody holds any more."""
        if not self._begun or (not outcome.changes.ended and self._is_swept):
            return
        self._is_swept = True
        seen = self._begun
        begun = await asyncio.to_thread(self._store.owners)
        if not begun and self._begun == seen:
            self._begun = 0
        if begun:
            held = await self._ground.store.read(_all_held)
            await asyncio.to_thread(self._store.forget, [owner for owner in begun if owner not in held])

    async def clean(self) -> int:
        """Remove the contents of files whose jobs were deleted; return how many."""
        before = self._ground.clock.now() - UNUSED_S
        unused = await self._ground.store.write(lambda tx: files.drop_unused(tx, before))
        return await asyncio.to_thread(self._store.remove, unused, UNUSED_S)

    async def clean_for_ever(self) -> None:
        """Clean now and then, until cancelled."""
        while True:
            await asyncio.sleep(CLEAN_S)
            await self.clean()

    def _write(self, agent_id: str, parts: Sequence[tuple[Part, memoryview]]) -> Arrived:
        most = self._ground.config.file_bytes
        arrived: Arrived = {}
        for part, data in parts:
            name = part.stream.removeprefix(_layout.FILE_STREAM)
            owner = _owner(agent_id, part.job, part.attempt)
            arrived[part.job, part.attempt, part.stream] = self._store.receive(owner, name, part.offset, data, most)
        return arrived


def _owner(agent_id: str, job: str, attempt: int) -> str:
    return f"{agent_id}.{job}.{attempt}"


def _held(tx: Connection, agent_id: str, ids: set[str]) -> set[tuple[str, int]]:
    table = schema.attempts.c
    mine = (table.agent == agent_id) & (table.state == HELD) & table.job.in_(ids)
    return {(row.job, row.attempt) for row in tx.execute(select(table.job, table.attempt).where(mine))}


def _all_held(tx: Connection) -> set[str]:
    table = schema.attempts.c
    found: Any = tx.execute(select(table.agent, table.job, table.attempt).where(table.state == HELD))
    return {_owner(row.agent, row.job, row.attempt) for row in found}
