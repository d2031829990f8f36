"""Who is asking: what a verified key says about its bearer."""

from __future__ import annotations

from dataclasses import dataclass

from bough.errors import Forbidden

ADMIN = "admin"
USER = "user"
AGENT = "agent"
READ = "read"


@dataclass(frozen=True)
class Key:
    """A key that has been verified.

    Args:
        id: The key's public id.
        name: What its owner called it.
        scope: admin, user, agent or read.
        user: The owner of the models it may create; "" for keys that create none.
    """

    id: str
    name: str
    scope: str
    user: str


def require_owner(key: Key, model: str) -> None:
    """Raise `Forbidden` unless ``key`` may create something of ``model`` (owner/name)."""
    owner = model.partition("/")[0]
    if key.scope == ADMIN or (key.scope == USER and key.user == owner):
        return
    if key.scope == USER:
        raise Forbidden(
            f"key {key.name} belongs to {key.user} and may not create anything of {model}.",
            f"Name the model {key.user}/{model.partition('/')[2]}, or use an admin key.",
        )
    raise Forbidden(
        f"key {key.name} has the scope {key.scope} and may not create anything.", "Use a user or admin key."
    )
