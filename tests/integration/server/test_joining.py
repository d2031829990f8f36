"""Two coordinators that know one optimization: what went on at one is taken over, of both nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, Agent, MovedClock, started
from tests.integration.server.tampering import refs
from tests.integration.server.test_incoming import Values, push, taken
from tests.integration.server.test_rebuild import archived, code_of, exports, one, optimize, told

from bough import _git
from bough_server.archive import parsing
from bough_server.archive.archivist import Archivist
from bough_server.coordinator import Coordinator
from bough_server.service import check, incoming

Story = Callable[[Stage, Coordinator, str], Awaitable[None]]
ALL = ("jobs/*", "optimizations/*", "models/*")


@pytest.fixture
def apart(tmp_path: Path) -> Callable[[Story], None]:
    """Run a story with a coordinator where an optimization has run two trials, and a second one that has them."""

    def apart(story: Story) -> None:
        async def run() -> None:
            stage = Stage(tmp_path / "one")
            stage.coordinator = await started(stage.home, stage.clock, Values())
            second = await started(tmp_path / "two", MovedClock(), Values())
            try:
                made = await optimize(stage, await code_of(stage), max_trials=9, max_parallel=1)
                await runs(await stage.agent(), 2)
                await brought(stage.coordinator, second, tmp_path / "first.git")
                assert (await second.optimizations.one(made))["state"] == "PAUSED"
                await written(second)  # that it is paused is a commit of its own
                await story(stage, second, made)
                for coordinator in (stage.coordinator, second):
                    assert await coordinator.store.read(check.violations) == []
                    place = coordinator.ground.repositories.path("me/digits")
                    assert refs(place, "refs/bough/incoming") == []
            finally:
                await second.stop()
                await stage.coordinator.stop()

        asyncio.run(run())

    return apart


async def runs(agent: Agent, trials: int) -> None:
    for _ in range(trials):
        claim = await one(agent)
        await agent.deliver(claim, told(claim["values"]), b"log\n")


async def written(coordinator: Coordinator) -> Path:
    await Archivist(coordinator.store, coordinator.ground.repositories).flush()
    return coordinator.ground.repositories.path("me/digits")


async def brought(one: Coordinator, other: Coordinator, mirror: Path) -> dict[str, Any]:
    """Clone what one coordinator hosts, and push it to another; return the verdicts."""
    await archived(one, mirror)
    push(mirror, other, *ALL)
    return await taken(other)


def chain(repository: Path, made: str) -> str:
    return _git.run(["rev-parse", f"refs/bough/optimizations/{made}"], git_dir=str(repository)).decode().strip()


def test_what_went_on_elsewhere_is_taken_over_and_both_chains_are_in_the_one_here(
    apart: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        await stage.coordinator.optimizations.extend(made, 12)  # a setting, changed there only
        await runs(await stage.agent("ben"), 3)

        said = await brought(stage.coordinator, second, tmp_path / "later.git")

        assert (said["refused"], said["kept"], len(said["accepted"])) == ([], [], 4)
        shown = await second.optimizations.one(made)
        assert (shown["state"], shown["max_trials"], shown["counts"]["DONE"]) == ("PAUSED", 12, 5)
        mine, theirs = await exports(second, made), await exports(stage.coordinator, made)
        assert [text for text in mine if text not in theirs] == []
        place = await written(second)
        theirs_tip, tip = chain(tmp_path / "later.git", made), chain(place, made)
        _git.run(["merge-base", "--is-ancestor", theirs_tip, tip], git_dir=str(place))
        assert _git.run(["fsck", "--strict"], git_dir=str(place)) == b""
        push(tmp_path / "later.git", second, *ALL)
        again = await taken(second)
        assert (again["accepted"], again["kept"], again["refused"]) == ([], [], [])

        # And back: here it goes on, and there that is taken over.
        await second.optimizations.resume(made)
        await runs(await Agent(second, "carl").connect(), 2)
        back = await brought(second, stage.coordinator, tmp_path / "back.git")
        assert (back["refused"], back["kept"], len(back["accepted"])) == ([], [], 3)
        assert (await stage.coordinator.optimizations.one(made))["counts"]["DONE"] == 7
        assert await exports(second, made) == await exports(stage.coordinator, made)

    apart(story)


def test_an_older_state_that_comes_again_changes_nothing_and_its_chain_is_joined(
    apart: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        await second.optimizations.resume(made)
        await runs(await Agent(second, "carl").connect(), 2)
        before = await exports(second, made)
        await stage.coordinator.optimizations.pause(made)

        said = await brought(stage.coordinator, second, tmp_path / "older.git")

        assert (said["accepted"], said["kept"], said["refused"]) == ([], [], [])
        assert f"refs/bough/optimizations/{made}" in said["known"]
        assert await exports(second, made) == before
        place = await written(second)
        _git.run(
            ["merge-base", "--is-ancestor", chain(tmp_path / "older.git", made), chain(place, made)], git_dir=str(place)
        )

    apart(story)


def test_what_went_on_at_both_is_kept_under_a_name_of_its_own_and_said(
    apart: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        await second.optimizations.resume(made)
        await runs(await Agent(second, "carl").connect(), 1)
        await runs(await stage.agent("ben"), 1)
        await written(second)
        before = await exports(second, made)

        said = await brought(stage.coordinator, second, tmp_path / "other.git")

        assert (said["accepted"], said["refused"]) == ([], [])
        kept = {one["ref"]: one for one in said["kept"]}
        mine = f"refs/bough/optimizations/{made}"
        assert "went on here and elsewhere" in kept[mine]["detail"]
        oid = chain(tmp_path / "other.git", made)
        assert kept[mine]["as"] == f"refs/bough/kept/{oid[:12]}/optimizations/{made}"
        place = await written(second)
        assert set(refs(place, "refs/bough/kept")) == {one["as"] for one in said["kept"]}
        assert len(said["kept"]) == 2, "its chain, and trial 3, whose id both have"
        assert await exports(second, made) == before
        # A clone has the trials of both, and brings what was kept aside to wherever it is pushed.
        await asyncio.to_thread(
            _git.run, ["clone", "-q", "--mirror", str(place), str(tmp_path / "all.git")], allow_file=True
        )
        assert len(refs(tmp_path / "all.git", f"refs/bough/jobs/{made}")) == 3
        push(tmp_path / "all.git", stage.coordinator, "kept/*")
        back = await taken(stage.coordinator)
        assert sorted(back["known"]) == sorted(kept), "here they are not aside"
        assert (back["kept"], back["refused"]) == ([], [])

    apart(story)


def test_a_trial_that_runs_here_is_not_taken_away(apart: Callable[[Story], None], tmp_path: Path) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        await second.optimizations.enqueue(ADMIN, made, {"values": {"x": 0.5, "n": 2, "kind": "b"}})
        await brought(second, stage.coordinator, tmp_path / "waits.git")
        agent = await Agent(second, "carl").connect()
        await second.optimizations.resume(made)
        claim = await one(agent)
        await stage.coordinator.optimizations.resume(made)
        await runs(await stage.agent("ben"), 1)

        said = await brought(stage.coordinator, second, tmp_path / "other.git")

        details = [row["detail"] for row in said["kept"]]
        assert any("goes on elsewhere, and here its trial 3 is running." in detail for detail in details)
        await agent.deliver(claim, told(claim["values"]))
        assert (await second.optimizations.one(made))["counts"]["DONE"] == 3

    apart(story)


def test_a_fault_with_one_record_is_said_and_neither_it_nor_others_stay_in_the_way(
    apart: Callable[[Story], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        await runs(await stage.agent("ben"), 2)
        sound = parsing.job_rows
        broken: list[str] = []

        def faulty(record: Any) -> Any:
            if not broken or broken == [record.ref]:
                broken[:] = [record.ref]
                raise ZeroDivisionError
            return sound(record)

        monkeypatch.setattr(incoming, "job_rows", faulty)

        said = await brought(stage.coordinator, second, tmp_path / "later.git")

        (refused,) = said["refused"]
        assert refused["detail"].endswith("cannot be checked; the coordinator's log says why.")
        assert len(said["accepted"]) >= 2, "its chain, and the other trial"

    apart(story)


def test_a_kpi_that_is_reckoned_otherwise_elsewhere_is_taken_over_with_its_records(
    apart: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str) -> None:
        before = await exports(second, made)
        await stage.coordinator.life.edit(ADMIN, made, {"settings": {"kpi.reduce": "mean(2)"}})
        assert await exports(stage.coordinator, made) != before

        said = await brought(stage.coordinator, second, tmp_path / "rescored.git")

        assert (said["refused"], said["kept"], len(said["accepted"])) == ([], [], 3)
        assert await exports(second, made) == await exports(stage.coordinator, made)
        assert (await second.optimizations.one(made))["kpi"]["reduce"] == "mean(2)"
        push(tmp_path / "rescored.git", second, *ALL)
        again = await taken(second)
        assert (again["accepted"], again["kept"], again["refused"]) == ([], [], [])

    apart(story)
