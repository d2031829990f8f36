"""Keys in a real store."""

from __future__ import annotations

import asyncio
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bough.errors import Conflict, Denied, NotFound, UsageError
from bough_server.service.keys import Keys
from bough_server.store.database import Database


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "coordinator.db")
    yield database
    database.close()


def test_a_key_is_good_until_it_is_revoked_and_then_at_once_no_more(store: Database) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        key, token = await keys.create("laptop", "user", "me")
        assert await keys.verify(token) == key
        await keys.revoke(key.id)
        with pytest.raises(Denied, match=r"the key is not known, was revoked or has expired\. Use another one"):
            await keys.verify(token)
        with pytest.raises(Denied):
            await keys.by_id(key.id)

    asyncio.run(story())


def test_a_key_expires_at_its_time(store: Database) -> None:
    async def story() -> None:
        now = Time()
        keys = Keys(store, now)
        _, token = await keys.create("ci", "read", expires_s=60.0)
        now.at += 59.9
        assert (await keys.verify(token)).scope == "read"
        now.at += 0.1
        with pytest.raises(Denied, match="has expired"):
            await keys.verify(token)

    asyncio.run(story())


def test_the_store_holds_nothing_that_can_be_used_as_a_key(store: Database, tmp_path: Path) -> None:
    async def story() -> str:
        return (await Keys(store, Time()).create("laptop", "admin"))[1]

    token = asyncio.run(story())
    store.close()

    secret = token.split("_")[3].encode()
    assert len(secret) == 43
    assert all(secret not in path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


@pytest.mark.parametrize("change", [slice(0, -1), slice(1, None), slice(0, 30)], ids=["end", "start", "half"])
def test_a_key_that_was_not_copied_whole_is_told_so(store: Database, change: slice) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        _, token = await keys.create("laptop", "admin")
        with pytest.raises(Denied, match=r"the key is not complete\. Copy it again"):
            await keys.verify(token[change])

    asyncio.run(story())


def test_the_secret_of_one_key_does_not_open_another(store: Database) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        one, token = await keys.create("one", "admin")
        other, _ = await keys.create("other", "admin")
        body = token[:-9].replace(one.id, other.id)
        with pytest.raises(Denied, match="is not known"):
            await keys.verify(f"{body}_{zlib.crc32(body.encode()):08x}")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "scope", "user", "said"),
    [
        ("", "admin", "", "the name of a key has 1 to 100 printable characters"),
        ("a\nb", "admin", "", "the name of a key has 1 to 100 printable characters"),
        ("a", "root", "", "there is no scope 'root'. Use one of admin, user, agent, read."),
        ("a", "user", "", "a user key belongs to a user."),
        ("a", "user", "../x", "a user key belongs to a user."),
        ("a", "agent", "me", "a key of scope agent belongs to no user."),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(store: Database, name: str, scope: str, user: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        asyncio.run(Keys(store, Time()).create(name, scope, user))


def test_the_last_admin_key_cannot_be_revoked(store: Database) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        first, _ = await keys.create("first", "admin")
        with pytest.raises(Conflict, match=r"this is the last admin key\. Make another one first\."):
            await keys.revoke(first.id)
        await keys.create("second", "admin")
        await keys.revoke(first.id)
        with pytest.raises(NotFound, match="there is no key"):
            await keys.revoke(first.id)
        assert [row["name"] for row in await keys.list()] == ["second"]

    asyncio.run(story())


def test_the_first_admin_key_is_in_a_file_for_its_owner_only_and_stays_the_same(
    store: Database, tmp_path: Path
) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        path = await keys.ensure_admin(tmp_path)
        first = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await keys.verify(first.strip())).scope == "admin"
        await keys.ensure_admin(tmp_path)
        assert path.read_text() == first
        path.chmod(0o644)
        with pytest.raises(Denied, match=r"others can read .*admin\.key\. Run: chmod 600"):
            await keys.ensure_admin(tmp_path)

    asyncio.run(story())


def test_an_admin_file_of_another_store_is_replaced(store: Database, tmp_path: Path) -> None:
    async def story() -> None:
        keys = Keys(store, Time())
        path = await keys.ensure_admin(tmp_path)
        path.write_text("bough_admin_stale\n")
        await keys.ensure_admin(tmp_path)
        assert (await keys.verify(path.read_text().strip())).scope == "admin"

    asyncio.run(story())
