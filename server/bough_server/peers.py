"""Other coordinators on the same store: what one learns, all know. `Alone` where there can be none.

What a coordinator keeps in memory (who was heard of when, who wants work, who waits at a doorbell, who watches what) is
told to the others by PostgreSQL's NOTIFY, always after the commit that it speaks of. Nothing that must survive is told
like that: a lost word costs a heartbeat's time, and who missed some looks at everything anew. One of them, whoever
holds an advisory lock, looks after silent jobs and writes the archive.

A message is a JSON list that starts with the sender's id; each of its items is one of::

    ["beat"]  ["bye"]  ["hello"]                       I am here (every 5 s); not any more; I am new: tell me all
    ["met", agent, name, slots, epoch, wanted, closed, bell]       this agent was just heard of
    ["held", [[job, attempt], …]]                      these attempts were just reported as held
    ["ring", agent, bell]                              something is wanted of this agent
    ["changed", kind, id]                              kind: job, optimization, model, agent or ended
    ["points", job, channel, first seq]  ["log", job, offset]      this chunk was stored
    ["watch", [topic, …]]                              somebody here watches these, for the next seconds
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from bough.errors import Unavailable
from bough_server.service import agents
from bough_server.service.changes import Changes
from bough_server.service.fleet import Presence
from bough_server.store import postgres, reads

if TYPE_CHECKING:
    from bough_server.desks.ground import Ground

_log = logging.getLogger(__name__)
CHANNEL = "bough"
BEAT_S = 5.0
_SILENT_S = 3.5 * BEAT_S  # after which a coordinator is thought gone
_MET_S = 1.0  # how often the others hear of an agent of which nothing new is known
_RETRY_S = 1.0
_BYTES = 7000  # of a message; PostgreSQL takes 8000
_HELD, _TOPICS = 100, 50  # in one item

Item = list[Any]


class Peers(Protocol):
    """What a coordinator asks of the others, and tells them."""

    @property
    def leads(self) -> bool:
        """Whether this is the one that looks after silent jobs and writes the archive."""
        ...

    @property
    def has_any(self) -> bool:
        """Whether there are others."""
        ...

    async def start(self) -> None:
        """Begin; afterwards it is known who leads."""
        ...

    async def run(self) -> None:
        """Listen until cancelled."""
        ...

    async def stop(self) -> None:
        """Say good-bye."""
        ...

    def tell(self, changes: Changes) -> None:
        """Tell the others what was just committed."""
        ...

    def met(self, agent_id: str, presence: Presence, held: Iterable[tuple[str, int]] | None = None) -> None:
        """Tell the others that this agent was just heard of, and what it holds."""
        ...

    def ring(self, agent_id: str, bell: int) -> None:
        """Let the others ring this agent, too."""
        ...


class Alone:
    """The only coordinator of its store."""

    leads = True
    has_any = False

    async def start(self) -> None:
        """There is nobody to find."""

    async def run(self) -> None:
        """There is nobody to hear."""

    async def stop(self) -> None:
        """There is nobody to leave."""

    def tell(self, changes: Changes) -> None:
        """There is nobody to tell."""

    def met(self, agent_id: str, presence: Presence, held: Iterable[tuple[str, int]] | None = None) -> None:
        """There is nobody to tell."""

    def ring(self, agent_id: str, bell: int) -> None:
        """There is nobody to tell."""


class Notified:
    """The coordinators on one PostgreSQL database.

    Args:
        address: Of the database, as psycopg takes it.
        ground: What is kept up to date; its store is open.
    """

    def __init__(self, address: str, ground: Ground) -> None:
        self.id = secrets.token_hex(4)
        self.leads = False
        self._address = address
        self._ground = ground
        self._listening: Any = None
        self._sending: Any = None
        self._heard: dict[str, float] = {}  # coordinator → when
        self._watched: dict[str, float] = {}  # topic that somebody watches elsewhere → until when
        self._outgoing: list[Item] = []
        self._something = asyncio.Event()
        self._unread: dict[str, Presence] = {}  # agents of which others spoke, and whose rows are not read yet
        self._stale: set[str] = set()  # agents whose rows are to be read
        self._told: dict[str, tuple[float, tuple[Any, ...]]] = {}  # agent → when and what the others last heard of it

    @property
    def has_any(self) -> bool:
        """Whether another coordinator was heard of lately."""
        now = _now()
        return any(now - at <= _SILENT_S for at in self._heard.values())

    # -- telling ------------------------------------------------------------------------------------------------

    def tell(self, changes: Changes) -> None:
        """Tell the others what was just committed: all of them what changed, who watches also what arrived."""
        if not self.has_any:
            return
        kinds = (("job", changes.jobs), ("optimization", changes.optimizations), ("agent", changes.agents))
        for kind, ids in (*kinds, ("counted", changes.counted), ("model", changes.models), ("ended", changes.ended)):
            self._say(*(["changed", kind, its_id] for its_id in ids))
        now = _now()
        topics = {topic for topic, until in self._watched.items() if until > now}
        follows_search = any(topic.startswith("optimization:") for topic in topics)
        for job_id, name, chunk in changes.points:
            if follows_search or f"job:{job_id}" in topics:
                self._say(["points", job_id, name, int(chunk.seq[0])])
        for job_id, offset, _ in changes.logs:
            if f"job:{job_id}" in topics:
                self._say(["log", job_id, offset])

    def met(self, agent_id: str, presence: Presence, held: Iterable[tuple[str, int]] | None = None) -> None:
        """Tell the others of this agent: at once if something about it is new, else once a second."""
        if not self.has_any:
            return
        now = _now()
        known = (presence.name, presence.slots, presence.epoch, presence.wanted, presence.is_closed)
        at, told = self._told.get(agent_id, (0.0, ()))
        if told == known and now - at < _MET_S:
            return
        self._told[agent_id] = (now, known)
        mine = [list(one) for one in held or ()]
        self._say(*(["held", mine[start : start + _HELD]] for start in range(0, len(mine), _HELD)))
        self._say(["met", agent_id, *known, presence.bell, held is not None])

    def ring(self, agent_id: str, bell: int) -> None:
        """Let the others ring this agent, too."""
        if self.has_any:
            self._say(["ring", agent_id, bell])

    def _say(self, *items: Item) -> None:
        self._outgoing += items
        self._something.set()

    # -- the life of it -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, find out who leads, and ask the others for what they know.

        Raises:
            Unavailable: The database does not answer.
        """
        import psycopg

        try:
            await self._connect()
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            raise Unavailable(f"the database cannot be used now: {text}.", "Check that PostgreSQL runs.") from None

    async def run(self) -> None:
        """Listen and tell until cancelled; a connection that breaks is made anew."""
        import psycopg

        while True:
            try:
                if self._listening is None:
                    await self._connect()
                    self._look_at_everything()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen())
                    tasks.create_task(self._send())
                    tasks.create_task(self._beat())
            except* (psycopg.Error, OSError) as errors:
                _log.warning("other coordinators cannot be heard: %s", errors.exceptions[0])
            await self._disconnect()
            await asyncio.sleep(_RETRY_S)

    async def stop(self) -> None:
        """Say good-bye, and let somebody else lead."""
        with contextlib.suppress(Exception):
            await self._notify([["bye"]])
        await self._disconnect()

    async def _connect(self) -> None:
        import psycopg

        options = postgres.connect_arguments()
        self._listening = await psycopg.AsyncConnection.connect(self._address, autocommit=True, **options)
        self._sending = await psycopg.AsyncConnection.connect(self._address, autocommit=True, **options)
        await self._listening.execute(f"LISTEN {CHANNEL}")
        await self._notify([["hello"]])
        await self._try_to_lead()

    async def _disconnect(self) -> None:
        self.leads = False
        for connection in (self._listening, self._sending):
            if connection is not None:
                await connection.close()
        self._listening = self._sending = None

    async def _try_to_lead(self) -> None:
        lock = f"SELECT pg_try_advisory_lock({postgres.SPACE}, {postgres.LEADING})"
        if not self.leads:
            (self.leads,) = await (await self._sending.execute(lock)).fetchone()
            if self.leads and self._ground.on_archivable is not None:
                self._ground.on_archivable(Changes())  # the archive may have waited for somebody to lead

    async def _listen(self) -> None:
        async for notification in self._listening.notifies():
            try:
                await self._hear(json.loads(notification.payload))
            except (ValueError, TypeError, IndexError, KeyError):
                _log.exception("a word of another coordinator could not be understood")

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            items, self._outgoing = self._outgoing, []
            await self._notify(items)

    async def _beat(self) -> None:
        while True:
            self._say(["beat"])
            topics = sorted(self._ground.broker.topics)
            self._say(*(["watch", topics[start : start + _TOPICS]] for start in range(0, len(topics), _TOPICS)))
            await self._try_to_lead()
            await asyncio.sleep(BEAT_S)

    async def _notify(self, items: list[Item]) -> None:
        for payload in packed(self.id, items):
            await self._sending.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    def _look_at_everything(self) -> None:
        """Something may have been missed: let everyone who waits or watches look anew."""
        for agent_id in self._ground.fleet.agents:
            self._ground.ring_here(agent_id)
        self._ground.broker.reload()
        self._told.clear()

    # -- hearing ------------------------------------------------------------------------------------------------

    async def _hear(self, message: list[Any]) -> None:
        sender, *items = message
        if sender == self.id:
            return
        now = self._ground.clock.monotonic()
        is_new = _now() - self._heard.get(sender, float("-inf")) > _SILENT_S
        self._heard[sender] = _now()
        changes = Changes()
        arrived: list[Item] = []
        for kind, *what in items:
            if kind == "bye":
                self._heard.pop(sender, None)
                return
            if kind in ("points", "log"):
                arrived.append([kind, *what])
            elif kind == "changed":
                _note(changes, *what)
            else:
                self._apply(kind, what, now)
        if is_new or ["hello"] in items:
            self._introduce()
        await self._pass_on(changes, arrived)

    def _introduce(self) -> None:
        """Tell a coordinator that is new what is known here."""
        self._told.clear()
        now = self._ground.clock.monotonic()
        for agent_id, presence in self._ground.fleet.online(now).items():
            self.met(agent_id, presence)
        recent = [
            list(key) for key, at in self._ground.fleet.held.items() if now - at <= self._ground.config.lease_ttl_s
        ]
        self._say(["beat"], *(["held", recent[start : start + _HELD]] for start in range(0, len(recent), _HELD)))

    def _apply(self, kind: str, what: list[Any], now: float) -> None:
        fleet = self._ground.fleet
        if kind == "met":
            self._meet(now, *what)
        elif kind == "held":
            fleet.renew([(job_id, attempt) for job_id, attempt in what[0]], now)
        elif kind == "ring":
            self._ground.ring_here(what[0], what[1])
        elif kind == "watch":
            self._watched |= dict.fromkeys(what[0], _now() + _SILENT_S)

    def _meet(
        self,
        now: float,
        agent_id: str,
        name: str,
        slots: int,
        epoch: str,
        wanted: int,
        is_closed: bool,
        bell: int,
        has_listed: bool = False,
    ) -> None:
        known = self._ground.fleet.agents
        presence = known.get(agent_id) or self._unread.setdefault(
            agent_id, Presence(name, slots, epoch, now, bell=bell)
        )
        if not presence.row or (presence.epoch, presence.is_closed, presence.slots) != (epoch, is_closed, slots):
            self._stale.add(agent_id)
        presence.name, presence.slots, presence.epoch, presence.is_closed = name, slots, epoch, is_closed
        presence.wanted, presence.heard_at, presence.bell = wanted, now, max(presence.bell, bell)
        presence.listed_at = now if has_listed else presence.listed_at

    async def _read_agents(self, changed: Iterable[str] = ()) -> None:
        """Read the rows of agents that changed elsewhere; who is known only by word of others is known from then on."""
        known = self._ground.fleet.agents
        wanted = self._stale | {agent_id for agent_id in changed if agent_id in known}
        if not wanted:
            return
        for row in await self._ground.store.read(lambda tx: agents.rows(tx, wanted)):
            unread = self._unread.pop(row["id"], None)
            if unread is not None:
                known.setdefault(row["id"], unread)
            if row["id"] in known:
                known[row["id"]].row = row
        self._stale -= wanted

    async def _pass_on(self, changes: Changes, arrived: list[Item]) -> None:
        """Do here what a commit of our own would have done, as far as it was not done there."""
        ground = self._ground
        for optimization_id in changes.optimizations:
            ground.asks.wake(optimization_id)
        await self._read_agents(changes.agents)
        for job_id in changes.ended:
            ground.fleet.forget(job_id)
        if (
            self.leads
            and ground.on_archivable is not None
            and (changes.ended or changes.optimizations or changes.models)
        ):
            ground.on_archivable(changes)
        if not ground.broker.has_subscribers:
            return
        watched = [one for one in arrived if one[0] == "points" or ground.broker.is_watched(f"job:{one[1]}")]
        if watched:
            found = await ground.store.read(partial(reads.arrived, items=watched))
            changes.points, changes.logs = found
        ground.news.tell(changes)


def _now() -> float:
    """Return the event loop's time, by which the pauses between two beats are measured as well."""
    return asyncio.get_running_loop().time()


def packed(sender: str, items: Iterable[Item]) -> list[str]:
    """Return messages that hold the items in their order, each small enough for NOTIFY."""
    found: list[str] = []
    room = 0
    for item in items:
        text = json.dumps(item, separators=(",", ":"))
        if not found or len(text) + 1 > room:
            found.append(json.dumps(sender))
            room = _BYTES
        found[-1] += "," + text
        room -= len(text) + 1
    return [f"[{text}]" for text in found]


def _note(changes: Changes, kind: str, its_id: str) -> None:
    if kind == "ended":
        changes.ended.append(its_id)
    else:
        sets = {"job": changes.jobs, "optimization": changes.optimizations, "model": changes.models}
        {**sets, "counted": changes.counted, "agent": changes.agents}[kind].add(its_id)
