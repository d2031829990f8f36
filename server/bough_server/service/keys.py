"""Keys: made, shown once, checked, revoked.

A token is ``bough_<kind>_<id>_<secret>_<checksum>``: the id finds the row, the secret is 256 random bits, and the
checksum tells a mistyped token without asking the store. The store holds the SHA-256 of the token, which is enough for
a random secret of that size; nobody can read a token out of it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bough.errors import Conflict, Denied, NotFound, UsageError
from bough_server.service.identity import ADMIN, AGENT, READ, USER, Key
from bough_server.store import schema
from bough_server.store.database import Database
from bough_server.store.dialects import upsert

SCOPES = (ADMIN, USER, AGENT, READ)
ADMIN_FILE = "admin.key"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"bough_(?P<kind>[a-z]+)_(?P<id>[0-9a-z]{8})_(?P<secret>[0-9A-Za-z]{43})_(?P<crc>[0-9a-f]{8})")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CACHE_S = 4.0  # another coordinator may have revoked it: it fails within 5 s everywhere
_CACHED = 1000
_LONGEST_S = 100 * 365.25 * 24 * 3600
_USED_EVERY_S = 60.0  # how exactly the time of the last use is kept
_NO_DIGEST = hashlib.sha256(b"no such key").hexdigest()
_UNKNOWN = ("the key is not known, was revoked or has expired.", "Use another one: bough key create makes it.")


@dataclass(frozen=True, slots=True)
class _Known:
    key: Key
    digest: str
    until: float


class Keys:
    """The keys of one coordinator.

    Args:
        store: Holds them.
        now: Seconds since the epoch.
        random: Makes n random bytes.
    """

    def __init__(
        self, store: Database, now: Callable[[], float], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._store = store
        self._now = now
        self._random = random
        self._known: dict[str, _Known] = {}

    async def create(self, name: str, scope: str, user: str = "", expires_s: float | None = None) -> tuple[Key, str]:
        """Make a key; return it and its token, which is nowhere else.

        Args:
            name: What it is for, 1 to 100 characters.
            scope: admin, user, agent or read.
            user: The owner of the models that a user key may create and change, and of all that it sees. A read key
                may have one too, else it sees everything; "" for other scopes.
            expires_s: After so many seconds it is not accepted any more; None is never.

        Raises:
            UsageError: One of these is not acceptable.
        """
        _check(name, scope, user)
        if expires_s is not None and not 0 < expires_s <= _LONGEST_S:
            raise UsageError("a key is good for more than no time and at most 100 years.", "Give it 30d, or no end.")
        key = Key(self._text(8, _BASE62[:10] + _BASE62[36:]), name, scope, user)
        token = self._token(key)
        now = self._now()
        row = {
            "id": key.id,
            "name": name,
            "scope": scope,
            "user": user,
            "digest": _digest(token),
            "created_at": now,
            "expires_at": None if expires_s is None else now + expires_s,
        }
        await self._store.write(lambda tx: tx.execute(insert(schema.keys), row).rowcount)
        return key, token

    async def verify(self, token: str) -> Key:
        """Return the key of a token.

        Raises:
            Denied: It is not well-formed, unknown, expired or revoked.
        """
        found = _TOKEN.fullmatch(token)
        if found is None or not hmac.compare_digest(found["crc"], _checksum(token[:-9])):
            raise Denied("the key is not complete.", "Copy it again, the whole line.")
        known = await self._look_up(found["id"])
        digest = known.digest if known else _NO_DIGEST  # compared in any case: an unknown id takes as long
        if not hmac.compare_digest(digest, _digest(token)) or known is None:
            raise Denied(*_UNKNOWN)
        return known.key

    async def by_id(self, key_id: str) -> Key:
        """Return a key that is still good, for a session that was opened with it.

        Raises:
            Denied: It was revoked or has expired.
        """
        known = await self._look_up(key_id)
        if known is None:
            raise Denied(*_UNKNOWN)
        return known.key

    async def list(self) -> list[dict[str, Any]]:
        """Return all keys that were not revoked, oldest first, without anything secret."""
        query = select(schema.keys).where(schema.keys.c.revoked_at.is_(None)).order_by(schema.keys.c.created_at)
        rows = await self._store.read(lambda tx: tx.execute(query).all())
        shown = ("id", "name", "scope", "user", "created_at", "expires_at", "last_used_at")
        return [{name: getattr(row, name) for name in shown} for row in rows]

    async def revoke(self, key_id: str) -> None:
        """Make a key worthless from this moment on.

        Raises:
            NotFound: There is no such key.
            Conflict: It is the last admin key.
        """
        await self._store.write(lambda tx: _revoke(tx, key_id, self._now()))
        self._known.pop(key_id, None)

    async def is_first_use(self, code: str) -> bool:
        """Note that a code was used; return whether it was the first time."""
        name = f"code/{hashlib.sha256(code.encode()).hexdigest()}"
        row = {"key": name, "digest": "", "made": "", "created_at": self._now()}
        return await self._store.write(lambda tx: upsert(tx, schema.idempotency, [row])) == 1

    async def ensure_admin(self, home: Path) -> Path:
        """Return the file that holds the admin key of this home, made at the first start.

        Raises:
            Denied: Others than its owner can read the file.
        """
        path = home / ADMIN_FILE
        if await self._admin_file_is_good(path):
            return path
        _, token = await self.create("admin", ADMIN)
        write_secret(path, token + "\n")
        return path

    async def _admin_file_is_good(self, path: Path) -> bool:
        token = read_secret(path)
        if token is None:
            return False
        try:
            return (await self.verify(token.strip())).scope == ADMIN
        except Denied:
            return False

    async def _look_up(self, key_id: str) -> _Known | None:
        now = self._now()
        known = self._known.get(key_id)
        if known is not None and now < known.until:
            return known
        query = select(schema.keys).where(schema.keys.c.id == key_id)
        row = await self._store.read(lambda tx: tx.execute(query).one_or_none())
        self._known.pop(key_id, None)
        if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
            return None
        return await self._remember(row, now)

    async def _remember(self, row: Row[Any], now: float) -> _Known:
        until = now + _CACHE_S if row.expires_at is None else min(now + _CACHE_S, row.expires_at)
        known = _Known(Key(row.id, row.name, row.scope, row.user), row.digest, until)
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[row.id] = known
        if row.last_used_at is None or now - row.last_used_at >= _USED_EVERY_S:
            used = update(schema.keys).where(schema.keys.c.id == row.id).values(last_used_at=now)
            await self._store.write(lambda tx: tx.execute(used).rowcount)
        return known

    def _token(self, key: Key) -> str:
        body = f"bough_{key.scope}_{key.id}_{self._text(43, _BASE62)}"
        return f"{body}_{_checksum(body)}"

    def _text(self, length: int, alphabet: str) -> str:
        """Return random text; bytes that would favour some letters are thrown away."""
        fair = 256 - 256 % len(alphabet)
        text = ""
        while len(text) < length:
            text += "".join(alphabet[byte % len(alphabet)] for byte in self._random(length) if byte < fair)
        return text[:length]


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it appears whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def read_secret(path: Path) -> str | None:
    """Return what `write_secret` wrote, or None when there is no such file.

    Raises:
        Denied: Others than its owner can read the file.
    """
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Denied(f"others can read {path}.", f"Run: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None


def _check(name: object, scope: object, user: object) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise UsageError("the name of a key has 1 to 100 printable characters.", "Give it one, such as the machine's.")
    if scope not in SCOPES:
        raise UsageError(f"there is no scope {str(scope)[:40]!r}.", f"Use one of {', '.join(SCOPES)}.")
    if not isinstance(user, str) or (scope == USER and not _OWNER.fullmatch(user)):
        raise UsageError("a user key belongs to a user.", "Name it: letters, digits, '.', '_' and '-'.")
    if scope not in (USER, READ) and user:
        raise UsageError(f"a key of scope {scope} belongs to no user.", "Leave the user out, or make a user key.")
    if user and not _OWNER.fullmatch(user):
        raise UsageError(f"{user[:64]!r} is no name of a user.", "Use letters, digits, '.', '_' and '-'.")


def _revoke(tx: Connection, key_id: str, now: float) -> None:
    live = schema.keys.c.revoked_at.is_(None)
    row = tx.execute(select(schema.keys).where(schema.keys.c.id == key_id, live)).one_or_none()
    if row is None:
        raise NotFound(f"there is no key {key_id[:40]!r}.", "See the list: bough key ls.")
    admins = tx.execute(select(schema.keys.c.id).where(schema.keys.c.scope == ADMIN, live)).all()
    if row.scope == ADMIN and len(admins) == 1:
        raise Conflict("this is the last admin key.", "Make another one first.")
    tx.execute(update(schema.keys).where(schema.keys.c.id == key_id).values(revoked_at=now))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
