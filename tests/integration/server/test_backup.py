"""A backup is one consistent state, made while the coordinator works; what agents know beyond it is not doubled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import run, started

from bough.errors import Conflict, NotFound, UsageError
from bough_server import backup
from bough_server.config import Config
from bough_server.service import check
from bough_server.service.clock import SystemClock
from bough_server.store.database import Database
from bough_server.store.schema import metadata

KINDS = ("sqlite", "postgres")


@pytest.fixture
def place(new_database: Callable[[], str], tmp_path: Path) -> Callable[[str, str], Config]:
    """Name a home, with its store in a file or in a database of its own."""

    def make(name: str, kind: str) -> Config:
        return Config(tmp_path / name, port=0, database_url=None if kind == "sqlite" else new_database())

    return make


def rows_of(store: Database) -> dict[str, list[Any]]:
    def read(tx: Any) -> dict[str, list[Any]]:
        tables = [table for table in metadata.sorted_tables if table.name != "settings"]
        return {table.name: sorted(map(repr, tx.execute(select(table)))) for table in tables}

    return store.read_sync(read)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("into", KINDS)
def test_what_was_backed_up_is_what_is_restored(
    place: Callable[[str, str], Config], kind: str, into: str, tmp_path: Path
) -> None:
    old, new = place("old", kind), place("new", into)

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(max_parallel=2)
        await agent.deliver(claim, run(0.1, float("nan"), 0.3), b"hello \x1b[31m\0\n", wants=1)
        (old.home / "git" / "me").mkdir(parents=True)
        backup.back_up(old, tmp_path / "backup", SystemClock())
        await stage.coordinator.stop()
        stage.coordinator = await started(old.home, stage.clock, database_url=old.database_url)

    play_in(old, story)
    backup.restore(tmp_path / "backup", new, SystemClock())

    before, after = Database.open(old.store), Database.open(new.store)
    assert rows_of(after) == rows_of(before)
    assert after.read_sync(check.violations) == []
    assert len(rows_of(after)["point_chunks"]) == 1
    highest = after.read_sync(lambda tx: tx.execute(select(func.max(metadata.tables["channels"].c.id))).scalar_one())
    made = after.write_sync(lambda tx: tx.execute(_another_channel(tx)).scalar_one())
    assert made > highest
    before.close()
    after.close()
    modes = {oct(os.stat(path).st_mode & 0o077) for path in (tmp_path / "backup").rglob("*")}
    assert modes == {"0o0"}


def _another_channel(tx: Any) -> Any:
    channels = metadata.tables["channels"]
    row = dict(tx.execute(select(channels).limit(1)).mappings().one()) | {"name": "another"}
    del row["id"]
    return channels.insert().values(**row).returning(channels.c.id)


def play_in(config: Config, story: Callable[[Stage], Any]) -> None:
    """Run a story in that home."""
    import asyncio

    async def whole() -> None:
        stage = Stage(config.home)
        stage.coordinator = await started(config.home, stage.clock, database_url=config.database_url)
        try:
            await story(stage)
        finally:
            await stage.coordinator.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restore_agents_ship_again_what_the_backup_lacks_and_nothing_is_doubled(
    place: Callable[[str, str], Config], kind: str, tmp_path: Path
) -> None:
    """Trial 1 was running when the backup was made, and its agent was acknowledged more since; trial 2 was claimed
    after it: the restored coordinator does not know that, ends it there, and runs it again under a higher number."""
    old, new = place("old", kind), place("new", kind)
    told = run(0.1, 0.2, 0.3, 0.4)
    cut = told.index(b"\n", len(told) // 2) + 1

    async def before(stage: Stage) -> None:
        agent, first = await stage.claim(max_parallel=2, max_trials=2)
        await agent.sync([(first, "journal/1-aa", 0, told[:cut])], [{**_which(first), "event": "running"}])
        backup.back_up(old, tmp_path / "backup", SystemClock())
        await agent.sync([(first, "journal/1-aa", cut, told[cut:])])
        (second,) = await agent.claim()
        kept.append((agent, first, second, stage.coordinator.ground.instance))

    kept: list[Any] = []
    play_in(old, before)
    backup.restore(tmp_path / "backup", new, SystemClock())

    async def after(stage: Stage) -> None:
        agent, first, second, instance = kept[0]
        agent.coordinator = stage.coordinator
        assert stage.coordinator.ground.instance != instance
        reply = await agent.sync([(first, "journal/1-aa", len(told), b"")])
        assert (first["job_id"], 1, "journal/1-aa", cut) in reply["acked"]
        assert [tuple(one) for one in reply["fenced"]] == [(second["job_id"], second["attempt"])]
        (again,) = (await agent.sync(wants=1))["granted"]
        assert again["attempt"] > 1000 > second["attempt"]
        await agent.deliver(first, told)
        await agent.deliver(again, run(0.5))

        shown = await stage.coordinator.jobs.one(first["job_id"])
        assert (shown["state"], shown["channels"][0]["points"]) == ("DONE", 4)
        assert await stage.coordinator.store.read(check.violations) == []
        (one,) = (await stage.coordinator.optimizations.page())["rows"]
        assert (one["state"], one["counts"]) == ("DONE", {"DONE": 2})

    play_in(new, after)


def _which(claim: Any) -> dict[str, Any]:
    return {"job": claim["job_id"], "attempt": claim["attempt"]}


def test_nothing_is_overwritten_and_what_is_no_backup_is_refused(tmp_path: Path, postgres: str) -> None:
    home = Config(tmp_path / "home", port=0)
    (tmp_path / "folder").mkdir()

    with pytest.raises(NotFound, match=r"home holds no coordinator\. Name its folder"):
        backup.back_up(home, tmp_path / "backup", SystemClock())
    with pytest.raises(NotFound, match="holds no coordinator"):
        backup.violations(home)
    with pytest.raises(UsageError, match=r"folder is no backup, or one that was not finished\."):
        backup.restore(tmp_path / "folder", home, SystemClock())
    Database.open(home.database).close()
    backup.back_up(home, tmp_path / "backup", SystemClock())
    with pytest.raises(Conflict, match=r"backup is not empty\. Name a new folder"):
        backup.back_up(home, tmp_path / "backup", SystemClock())
    with pytest.raises(Conflict, match=r"home is not empty\. Restore into a new folder"):
        backup.restore(tmp_path / "backup", home, SystemClock())
    used = Config(tmp_path / "used", port=0, database_url=postgres)
    backup.restore(tmp_path / "backup", used, SystemClock())
    assert backup.violations(used) == []
    with pytest.raises(Conflict, match=r"that store is not empty\."):
        backup.restore(tmp_path / "backup", Config(tmp_path / "more", port=0, database_url=postgres), SystemClock())
