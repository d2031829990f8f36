"""Trials that never started become records too: when their optimization is archived, and before it is deleted."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, started
from tests.integration.server.test_incoming import Values
from tests.integration.server.test_rebuild import anew, archived, code_of, exports, one, optimize, told

from bough import _git
from bough.errors import BoughError, UsageError
from bough_server.archive.archivist import Archivist
from bough_server.service import check


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = Stage(tmp_path / "home")
    found.optimizer = Values()
    return found


def refs(repository: Path, made: str) -> list[str]:
    command = ["for-each-ref", "--format=%(refname)", f"refs/bough/jobs/{made}/"]
    return _git.run(command, git_dir=str(repository)).decode().split()


def records(repository: Path, made: str) -> dict[int, str]:
    """Return number → message of each record of an optimization."""
    told = _git.run(
        ["for-each-ref", "--format=%(refname:lstrip=4)%00%(contents)%00%00", f"refs/bough/jobs/{made}/"],
        git_dir=str(repository),
    ).decode()
    entries = [entry.lstrip("\n").split("\0") for entry in told.split("\0\0") if entry.strip()]
    return {int(name.partition("-")[0]): message for name, message in entries}


async def half_done(stage: Stage) -> str:
    """Play one trial to its end; let one wait with values, and more without."""
    made = await optimize(stage, await code_of(stage), max_trials=6, max_parallel=4)
    agent = await stage.agent("anna", slots=1)
    claim = await one(agent)
    await stage.coordinator.optimizations.enqueue(ADMIN, made, {"values": {"x": 0.25, "n": 2, "kind": "b"}})
    await agent.deliver(claim, told(claim["values"]))
    return made


def test_archiving_makes_a_record_of_every_trial_that_waited_and_a_rebuild_shows_the_same(
    stage: Stage, tmp_path: Path
) -> None:
    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        made = await half_done(stage)
        counts = (await first.optimizations.one(made))["counts"]
        assert counts["CREATED"] >= 2
        waiting = counts["CREATED"] + counts["QUEUED"]

        shown = await first.life.archive(made)

        assert shown["counts"] == {"DONE": 1, "ABORTED": waiting}
        await archived(first, tmp_path / "mirror.git")
        found = records(tmp_path / "mirror.git", made)
        assert sorted(found) == list(range(1, waiting + 2))
        assert found[waiting + 1].startswith(f"trial {waiting + 1} of {made}: ABORTED (user)")
        assert f"trial {waiting + 1} was not run: its optimization was archived." in found[waiting + 1]
        ref = next(name for name in refs(tmp_path / "mirror.git", made) if f"/{waiting + 1:04d}-" in name)
        content = _git.run(["cat-file", "blob", f"{ref}:.bough/parameters.json"], git_dir=str(tmp_path / "mirror.git"))
        assert json.loads(content) == {}, "it never had values"
        before = await exports(first, made)
        assert await first.store.read(check.violations) == []
        await first.stop()
        shutil.rmtree(stage.home)

        rebuilt = await asyncio.to_thread(anew, tmp_path / "mirror.git", stage.home)

        assert (rebuilt.jobs, rebuilt.problems) == (waiting + 1, [])
        second = await started(stage.home, stage.clock, Values())
        try:
            assert await exports(second, made) == before
            assert (await second.optimizations.one(made))["counts"] == {"DONE": 1, "ABORTED": waiting}
            assert await second.store.read(check.violations) == []
            assert (await second.life.unarchive(made))["state"] == "STOPPED"
            extended = await second.optimizations.extend(made, 8)
            assert extended["state"] == "RUNNING"
        finally:
            await second.stop()

    asyncio.run(story())


def test_what_is_deleted_before_its_records_were_written_is_in_git_all_the_same(stage: Stage) -> None:
    async def story() -> None:
        stage.coordinator = first = await started(stage.home, stage.clock, stage.optimizer)
        made = await half_done(stage)
        repositories = first.ground.repositories
        archivist = Archivist(first.store, repositories)
        full = [True]

        async def write() -> None:
            if full[0]:
                raise BoughError("git fast-import failed: No space left on device.", "Free some disk space.")
            await archivist.flush()

        first.ground.write_records = write
        try:
            with pytest.raises(UsageError, match="is deleted only by someone who repeats its id"):
                await first.life.remove(made, "no", False)
            with pytest.raises(BoughError, match="No space left"):
                await first.life.remove(made, made, False)
            assert (await first.optimizations.one(made))["state"] == "ARCHIVED", "nothing is deleted without a record"

            full[0] = False
            await first.life.remove(made, made, False)

            found = records(repositories.path("me/digits"), made)
            assert len(found) >= 4
            assert sum(": ABORTED (user)" in message for message in found.values()) == len(found) - 1
            assert "its optimization was deleted." in found[max(found)]
        finally:
            await first.stop()

    asyncio.run(story())
