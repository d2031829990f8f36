"""Agents: registered under a name, known by an id, refused while another process of that name is alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from bough.errors import Conflict, Forbidden, NotFound, UsageError
from bough_server.service.identity import ADMIN, AGENT, Key
from bough_server.store.schema import agents

MOST_SLOTS = 1024
SECRET_LETTERS = 32  # of an epoch that proves who an agent is


class OfferedGpu(msgspec.Struct, frozen=True):
    """One GPU that an agent's jobs may use."""

    index: int
    memory_bytes: int
    name: str = ""


class Offers(msgspec.Struct, frozen=True):
    """What an agent has for jobs; None: it does not say, and nothing is counted."""

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: list[OfferedGpu] = []
    data: list[str] = []
    allow: list[str] = []
    confinement: str = ""


class Registration(msgspec.Struct, frozen=True):
    """What an agent says of itself when it connects."""

    name: str
    slots: int
    epoch: str
    version: str = ""
    boot_id: str = ""
    host: str = ""
    system: dict[str, Any] = {}
    labels: list[str] = []
    offers: Offers = Offers()


def read_registration(body: Any) -> Registration:
    """Return the checked body; raise `UsageError` naming what is wrong with it."""
    try:
        found = msgspec.convert(body, Registration)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the registration cannot be read: {error}.", "Install the agent of this coordinator's version."
        ) from None
    if len(found.labels) > 100 or not all(0 < len(label) <= 100 and label.isprintable() for label in found.labels):
        raise UsageError(f"a label of agent {found.name} is too long or empty.", "Mark it such as --label gpu=a100.")
    if not 1 <= found.slots <= MOST_SLOTS:
        raise UsageError(f"agent {found.name} has {found.slots} slots.", "Give it at least one: --slots 1.")
    if not 0 < len(found.name) <= 64 or not found.name.isprintable():
        raise UsageError(f"{found.name!r} is no name for an agent.", "Use up to 64 printable characters: --name gpu1.")
    return found


def checked_slots(slots: Any) -> int:
    """Return a number of slots; raise `UsageError` if it is none."""
    if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MOST_SLOTS:
        raise UsageError(f"{str(slots)[:100]!r} is no number of slots.", f"Give it 1 to {MOST_SLOTS}; or drain it.")
    return slots


def require_agent_scope(key: Key) -> None:
    """Raise `Forbidden` unless ``key`` may act as an agent."""
    if key.scope not in (AGENT, ADMIN):
        raise Forbidden(
            f"key {key.name} has the scope {key.scope}, not agent.", "Make one: bough key create --scope agent."
        )


def register(tx: Connection, key: Key, told: Registration, now: float, new_id: Callable[[], str]) -> dict[str, Any]:
    """Return the agent's row: the known one of that name and key, or a new one.

    An agent that comes back with another key is the same one, with all it holds, if it still has the secret of its
    folder, its epoch: keys are changed while trials run.
    """
    mine = (agents.c.name == told.name) & (agents.c.key == key.id)
    _change_key(tx, key, told)
    values = {**msgspec.to_builtins(told), "registered_at": now, "seen_at": now}
    before = tx.execute(select(agents.c.id, agents.c.slots).where(mine)).first()
    if before is None:
        known = new_id()
        tx.execute(insert(agents), {**values, "id": known, "key": key.id, "drain": False})
        return row(tx, known)
    if before.slots != told.slots:  # it was started with another number: the newest word counts
        values["slots_set"] = None
    tx.execute(update(agents).where(mine).values(**values))
    return row(tx, before.id)


def _change_key(tx: Connection, key: Key, told: Registration) -> None:
    mine = select(agents.c.id).where((agents.c.name == told.name) & (agents.c.key == key.id))
    if len(told.epoch) < SECRET_LETTERS or tx.execute(mine).first() is not None:
        return
    itself = (agents.c.name == told.name) & (agents.c.epoch == told.epoch) & (agents.c.slots > 0)
    tx.execute(update(agents).where(itself).values(key=key.id))


def refuse_second(told: Registration, other_epoch: str, silent_s: float) -> None:
    """Raise `Conflict` if the process heard of ``silent_s`` ago is another one."""
    if other_epoch != told.epoch:
        raise Conflict(
            f"an agent called {told.name} is already connected (heard of {silent_s:.0f} s ago).",
            "Give this one another --name, or wait half a minute if it has just been restarted.",
        )


def row(tx: Connection, agent_id: str) -> dict[str, Any]:
    """Return the agent's row; raise `NotFound`."""
    found = tx.execute(select(agents).where(agents.c.id == agent_id)).mappings().first()
    if found is None:
        raise NotFound(f"there is no agent {agent_id}.", "Agents register first; see bough agent status.")
    return dict(found)


def rows(tx: Connection, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of those of these agents that there are."""
    return [dict(found) for found in tx.execute(select(agents).where(agents.c.id.in_(ids))).mappings()]


def of_key(tx: Connection, key: Key, agent_id: str, epoch: str | None = None) -> dict[str, Any]:
    """Return the agent's row if ``key`` speaks for it, and ``epoch`` (if given) is its newest process.

    Raises:
        NotFound: There is no such agent.
        Forbidden: It registered with another key.
        Conflict: Another process has registered under its name since.
    """
    require_agent_scope(key)
    found = row(tx, agent_id)
    if found["key"] != key.id:
        raise Forbidden(f"agent {found['name']} registered with another key.", "Use the key that it was started with.")
    if epoch is not None and found["epoch"] != epoch:
        raise Conflict(f"another process has connected as agent {found['name']}.", "Give each agent its own --name.")
    return found


def find(tx: Connection, agent_id: str) -> dict[str, Any]:
    """Return the row of the agent with this id or name.

    Raises:
        NotFound: There is none.
        Conflict: Several have this name.
    """
    found = (
        tx.execute(select(agents.c.id).where((agents.c.id == agent_id) | (agents.c.name == agent_id))).scalars().all()
    )
    if not found:
        raise NotFound(f"there is no agent {agent_id}.", "List them: bough agent status.")
    if len(found) > 1:
        raise Conflict(f"{len(found)} agents are called {agent_id}.", "Give the id.")
    return row(tx, found[0])


def change(tx: Connection, agent_id: str, **values: Any) -> dict[str, Any]:
    """Set columns of the agent with this id or name; errors as `find`. Returns its row."""
    known = find(tx, agent_id)
    tx.execute(update(agents).where(agents.c.id == known["id"]).values(**values))
    return row(tx, known["id"])
