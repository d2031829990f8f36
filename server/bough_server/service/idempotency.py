"""Asked twice, done once: what a request made is remembered under its Idempotency-Key, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from bough.errors import Conflict
from bough_server.service.definitions import digest_of
from bough_server.service.identity import Key
from bough_server.store.schema import idempotency

_KEPT_S = 7 * 24 * 3600.0


def once(
    tx: Connection,
    key: Key,
    idempotency_key: str | None,
    body: Mapping[str, Any],
    now: float,
    make: Callable[[Connection], str],
) -> str:
    """Return the id of what ``make`` makes, or of what it made when the same request came before.

    Raises:
        Conflict: The key came before with another request.
    """
    if idempotency_key is None:
        return make(tx)
    name, digest = f"{key.id}/{idempotency_key}", digest_of(body)
    known = tx.execute(select(idempotency).where(idempotency.c.key == name)).mappings().first()
    if known is not None and known["digest"] != digest:
        raise Conflict(f"Idempotency-Key {idempotency_key} came before with another request.", "Use a new one.")
    if known is not None:
        return str(known["made"])
    made = make(tx)
    tx.execute(insert(idempotency), {"key": name, "digest": digest, "made": made, "created_at": now})
    tx.execute(delete(idempotency).where(idempotency.c.created_at < now - _KEPT_S))
    return made
