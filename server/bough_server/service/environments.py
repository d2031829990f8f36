"""What an attempt ran in, as its agent tells it with the exit: kept once, however many attempts ran in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from bough_server.service.definitions import digest_of
from bough_server.store.dialects import upsert
from bough_server.store.schema import environments

NAME = "environment"  # in exit.json as the agent sends it


def put_aside(tx: Connection, exit_: Mapping[str, Any]) -> dict[str, Any]:
    """Return an exit with the digest of its environment in the place of that, which is stored."""
    found = exit_.get(NAME)
    kept = {name: value for name, value in exit_.items() if name != NAME}
    if not isinstance(found, dict):
        return kept
    digest = digest_of(found)
    upsert(tx, environments, [{"digest": digest, "content": found}])
    return {**kept, NAME: digest}


def of_exit(tx: Connection, exit_: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the environment that an exit, as `put_aside` left it, names; None where it names none that is known."""
    found = select(environments.c.content).where(environments.c.digest == exit_.get(NAME))
    content: dict[str, Any] | None = tx.execute(found).scalar_one_or_none()
    return content
