"""What a store that was restored from a backup remembers of that: numbers of attempts that it may not give out again.

Agents may hold attempts that were claimed after the backup was made. Nobody knows their numbers any more, so those
given out from then on begin far above.
"""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, delete, func, insert, select, update

from bough_server.store.schema import attempts, settings

_NAME = "restored"  # in settings: {"times", "first_attempt", "at"}
_INSTANCE = "instance"
_GAP = 1000  # no job was claimed so often between a backup and its restoration


def mark(tx: Connection, now: float) -> None:
    """Note that the store was restored at ``now``."""
    known = tx.execute(select(settings.c.value).where(settings.c.name == _NAME)).scalar_one_or_none()
    highest = tx.execute(select(func.coalesce(func.max(attempts.c.attempt), 0))).scalar_one()
    value = {"times": (known or {}).get("times", 0) + 1, "first_attempt": highest + _GAP, "at": now}
    if known is None:
        tx.execute(insert(settings), {"name": _NAME, "value": value})
    else:
        tx.execute(update(settings).where(settings.c.name == _NAME).values(value=value))
    tx.execute(delete(settings).where(settings.c.name == _INSTANCE))


def instance(tx: Connection) -> str:
    """Return the name of this store's coordinators, made at the first start and after each restoration."""
    found = tx.execute(select(settings.c.value).where(settings.c.name == _INSTANCE)).scalar_one_or_none()
    if found is None:
        found = uuid.uuid4().hex
        tx.execute(insert(settings), {"name": _INSTANCE, "value": found})
    return str(found)


def first_attempt(tx: Connection) -> int:
    """Return the lowest number that a new attempt may have: 1, more in a store that was restored."""
    found = tx.execute(select(settings.c.value).where(settings.c.name == _NAME)).scalar_one_or_none()
    return int(found["first_attempt"]) if found else 1
