"""Records that others push: what is whole becomes known, what is not is named, and nothing is written over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, MovedClock, started
from tests.integration.server.tampering import refs, tamper
from tests.integration.server.test_rebuild import DEFINITION, archived, code_of, exports, one, optimize, told

from bough import _git
from bough.errors import Forbidden, UsageError
from bough_server.archive.archivist import Archivist
from bough_server.coordinator import Coordinator
from bough_server.service import check
from bough_server.service.identity import Key
from bough_server.store import schema


def push(mirror: Path, to: Coordinator, *refs: str) -> None:
    """Bring what a clone holds to a coordinator's repository, as `bough push` does."""
    place = str(to.ground.repositories.ensure("me/digits"))
    wanted = [f"refs/bough/{ref}:refs/bough/incoming/{ref}" for ref in refs]
    _git.run(["push", "--quiet", place, *wanted], git_dir=str(mirror), allow_file=True)


async def taken(coordinator: Coordinator, key: Key = ADMIN) -> dict[str, Any]:
    return await coordinator.records.take(key, {"model": "me/digits"})


async def ran(stage: Stage, trials: int) -> str:
    """Run an optimization to its end, and a manual job; return the optimization's id."""
    commit = await code_of(stage)
    made = await optimize(stage, commit, max_trials=trials, max_parallel=1)
    agent = await stage.agent()
    for _ in range(trials):
        claim = await one(agent)
        await agent.deliver(claim, told(claim["values"]), b"log\n")
    body = {"definition": DEFINITION, "commit": commit, "folder": "", "source": {}, "values": {"x": 0.125}}
    await stage.coordinator.jobs.create(ADMIN, body)
    manual = await one(agent)
    await agent.deliver(manual, told(manual["values"]))
    return made


Story = Callable[[Stage, Coordinator, str, Path], Awaitable[None]]


@pytest.fixture
def between(tmp_path: Path) -> Callable[[Story], None]:
    """Run a story with a coordinator that has ended trials, a clone of them, and a second coordinator."""

    def between(story: Story) -> None:
        async def run() -> None:
            stage = Stage(tmp_path / "one")
            values = Values()
            stage.coordinator = await started(stage.home, stage.clock, values)
            second = await started(tmp_path / "two", MovedClock(), values)
            try:
                made = await ran(stage, 2)
                await archived(stage.coordinator, tmp_path / "mirror.git")
                await story(stage, second, made, tmp_path / "mirror.git")
            finally:
                await second.stop()
                await stage.coordinator.stop()

        asyncio.run(run())

    return between


class Values:
    """Answers at once."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    async def ask(self, ask: Any) -> dict[str, Any]:
        return {"x": 0.1 * ask.number, "n": 1, "kind": "a"}

    async def describe(self, space: Any, seed: int, samples: int) -> dict[str, Any]:
        return {}


def test_what_was_pushed_is_known_from_then_on_and_pushing_again_changes_nothing(
    between: Callable[[Story], None],
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        push(mirror, second, "jobs/*", "optimizations/*", "models/*")

        first = await taken(second)

        assert (len(first["accepted"]), first["refused"]) == (4, [])
        assert await exports(second, made) == await exports(stage.coordinator, made)
        assert (await second.jobs.page(manual=True))["total"] == 1
        assert await second.store.read(check.violations) == []
        repository = second.ground.repositories.path("me/digits")
        assert _git.run(["for-each-ref", "refs/bough/incoming"], git_dir=str(repository)) == b""
        assert len(_git.run(["for-each-ref", "refs/bough/code"], git_dir=str(repository)).splitlines()) == 1
        await Archivist(second.store, second.ground.repositories).flush()  # nothing is written anew
        tips = _git.run(["for-each-ref", "refs/bough/jobs", "refs/bough/optimizations"], git_dir=str(repository))
        there = _git.run(["for-each-ref", "refs/bough/jobs", "refs/bough/optimizations"], git_dir=str(mirror))
        assert tips == there

        push(mirror, second, "jobs/*", "optimizations/*", "models/*")
        again = await taken(second)
        assert (again["accepted"], again["refused"], len(again["known"])) == ([], [], 5)

    between(story)


def test_an_optimization_that_runs_elsewhere_is_paused_here(between: Callable[[Story], None], tmp_path: Path) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        running = await optimize(stage, await code_of(stage), max_trials=5)
        await archived(stage.coordinator, tmp_path / "later.git")
        push(tmp_path / "later.git", second, "jobs/*", "optimizations/*")

        assert (await taken(second))["refused"] == []

        shown = await second.optimizations.one(running)
        assert (shown["state"], shown["reason"][:35]) == ("PAUSED", "It came from another coordinator wh")

    between(story)


@pytest.mark.parametrize("how", ["newer", "alone", "empty", "other code", "better kpi", "same row", "nonce"])
def test_what_does_not_agree_is_refused_with_a_sentence_and_goes(between: Callable[[Story], None], how: str) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        (ref,) = [name for name in refs(mirror, f"refs/bough/jobs/{made}") if "/0001-" in name]
        if how == "alone":
            push(mirror, second, ref.removeprefix("refs/bough/"))
            said = f"is of optimization {made}, which is not here: push that as well."
        else:
            said = tamper(mirror, ref, how)
            push(mirror, second, "jobs/*", "optimizations/*")

        found = await taken(second)

        assert [one["ref"] for one in found["refused"]] == [ref]
        assert said in found["refused"][0]["detail"]
        repository = second.ground.repositories.path("me/digits")
        assert _git.run(["for-each-ref", "refs/bough/incoming", ref], git_dir=str(repository)) == b""
        if how != "alone":  # the others are there, and of this trial what its optimization knew
            shown = await second.optimizations.trials(made)
            assert [row["state"] for row in shown["rows"]] == ["DONE", "DONE"]
            assert await second.store.read(check.violations) == []

    between(story)


def test_the_desk_names_what_it_cannot_take(between: Callable[[Story], None]) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        with pytest.raises(UsageError, match=r"model is no text\. Send"):
            await second.records.take(ADMIN, {})
        with pytest.raises(Forbidden, match="may not create anything of me/digits"):
            await taken(second, Key("k", "k", "user", "you"))

    between(story)


def test_a_further_record_of_a_job_that_ran_once_more_replaces_the_first(
    between: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        other = await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
        agent = await stage.agent("cleo")
        claim = await one(agent)
        await agent.deliver(claim, told(claim["values"]), b"Traceback\n", exit_code=1)
        await archived(stage.coordinator, tmp_path / "first.git")
        push(tmp_path / "first.git", second, "jobs/*", "optimizations/*", "models/*")
        assert (await taken(second))["refused"] == []
        assert (await second.jobs.one(claim["job_id"]))["state"] == "FAILED"

        await stage.coordinator.life.retry(ADMIN, other, {"failed": True})
        again = await one(agent)
        await agent.deliver(again, told(again["values"]), b"well\n")
        await archived(stage.coordinator, tmp_path / "later.git")
        push(tmp_path / "later.git", second, f"jobs/{other}/*")
        found = await taken(second)

        assert (len(found["accepted"]), found["refused"]) == (1, [])
        shown = await second.jobs.one(claim["job_id"])
        assert (shown["state"], shown["attempt"]) == ("DONE", 2)
        assert await exports(second, other) == await exports(stage.coordinator, other)
        assert await second.jobs.log(claim["job_id"]) == await stage.coordinator.jobs.log(claim["job_id"])
        assert await second.store.read(check.violations) == []
        losses = [row["loss"] for row in await ends(second, other)]
        assert losses == [row["loss"] for row in await ends(stage.coordinator, other)]
        assert losses[0] is None
        assert losses[1] is not None
        push(tmp_path / "later.git", second, f"jobs/{other}/*")
        assert len((await taken(second))["known"]) == 1
        push(tmp_path / "first.git", second, f"jobs/{other}/*")  # the first is part of what is here
        assert len((await taken(second))["known"]) == 1
        assert (await second.jobs.one(claim["job_id"]))["state"] == "DONE"

    between(story)


async def ends(coordinator: Coordinator, optimization: str) -> list[dict[str, Any]]:
    mine = schema.history.c.optimization == optimization
    wanted = select(schema.history).where(mine).order_by(schema.history.c.seq)
    return await coordinator.store.read(lambda tx: [dict(row) for row in tx.execute(wanted).mappings()])


def test_a_further_record_of_a_job_that_runs_again_here_is_kept_aside(
    between: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story(stage: Stage, second: Coordinator, made: str, mirror: Path) -> None:
        other = await optimize(stage, await code_of(stage), max_trials=1, initial_random=1)
        agent = await stage.agent("cleo")
        claim = await one(agent)
        await agent.deliver(claim, told(claim["values"]), exit_code=1)
        await archived(stage.coordinator, tmp_path / "first.git")
        push(tmp_path / "first.git", second, "jobs/*", "optimizations/*")
        await taken(second)
        await second.life.retry(ADMIN, other, {"failed": True})
        await stage.coordinator.life.retry(ADMIN, other, {"failed": True})
        again = await one(agent)
        await agent.deliver(again, told(again["values"]))
        await archived(stage.coordinator, tmp_path / "later.git")
        push(tmp_path / "later.git", second, f"jobs/{other}/*")

        (kept,) = (await taken(second))["kept"]

        assert "is another record of this job than the one here." in kept["detail"]
        assert refs(second.ground.repositories.path("me/digits"), "refs/bough/kept") == [kept["as"]]
        assert (await second.jobs.one(claim["job_id"]))["state"] == "QUEUED"
        push(tmp_path / "later.git", second, "models/*")
        assert (await taken(second))["refused"] == []

    between(story)
