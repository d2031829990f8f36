"""Files that jobs hand in, at the coordinator: every content once, whole, and no job ends without them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server import driver
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import happened, journal

from bough.errors import NotFound
from bough_server.config import Config

Play = Callable[..., None]


def content(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}-{len(data)}"


def named(path: str, data: bytes) -> list[Any]:
    return ["f", path, {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "title": None}]


def over(claim: dict[str, Any], told: bytes, held: list[str]) -> dict[str, Any]:
    return happened(claim, "exited", exit=driver.exit_of(told) | {"files": held})


def part(claim: dict[str, Any], data: bytes, offset: int = 0, name: str | None = None) -> tuple[Any, str, int, bytes]:
    return claim, "files/" + (name or content(data)), offset, data


def test_a_job_ends_only_when_the_contents_that_its_agent_holds_are_in(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        data = b"w" * 1000
        told = journal(driver.KPI, ["p", "accuracy", 1, 0.5], named("out/model.bin", data))

        early = await agent.sync([(claim, "journal/1-aa", 0, told)], [over(claim, told, [content(data)])])
        assert early["incomplete"] == [(claim["job_id"], 1)]
        assert (await stage.coordinator.jobs.files(claim["job_id"]))["rows"][0]["state"] == "coming"
        with pytest.raises(NotFound, match=r"out/model.bin is not here: it is still on its way"):
            await stage.coordinator.jobs.file(claim["job_id"], "out/model.bin")

        half = await agent.sync([(claim, "files/" + content(data), 0, data[:400])])
        assert half["acked"] == [(claim["job_id"], 1, "files/" + content(data), 400)]
        late = await agent.sync([(claim, "files/" + content(data), 400, data[400:])])

        assert late["ended"] == [(claim["job_id"], 1)]
        job = await stage.job(claim)
        assert (job["state"], job["partial"], job["files"]) == ("DONE", False, {"count": 1, "bytes": 1000})
        assert "files" not in job["history"][0]["exit"]
        assert (await stage.coordinator.jobs.file(claim["job_id"], "out/model.bin")).read_bytes() == data

    play(story)


def test_what_came_is_not_asked_for_again_after_a_restart(play: Play) -> None:
    """What was acknowledged is on the disk, and sending again from the start is harmless."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        data = bytes(range(256)) * 8
        await agent.sync([(claim, "files/" + content(data), 0, data[:1000])])

        await stage.restart()
        agent.coordinator = stage.coordinator
        again = await agent.sync([(claim, "files/" + content(data), 0, data[:1000])])
        ahead = await agent.sync([(claim, "files/" + content(data), 1500, data[1500:])])
        rest = await agent.sync([(claim, "files/" + content(data), 500, data[500:])])

        assert [reply["acked"][0][3] for reply in (again, ahead, rest)] == [1000, 1000, 2048]

    play(story)


def test_a_content_that_is_there_already_is_not_sent_twice(play: Play) -> None:
    async def story(stage: Stage) -> None:
        data = b"the same weights" * 100
        agent, claim = await stage.claim()
        await agent.sync([part(claim, data)])
        told = journal(driver.KPI, ["p", "accuracy", 1, 0.5], named("a", data))
        await agent.sync([(claim, "journal/1-aa", 0, told)], [over(claim, told, [content(data)])])

        second = await agent.claim_one()
        reply = await agent.sync([(second, "files/" + content(data), 0, data[:16])])

        assert reply["acked"] == [(second["job_id"], 1, "files/" + content(data), len(data))]

    play(story)


def test_a_content_that_is_not_what_its_name_says_is_refused_and_the_job_ends_without_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        name = content(b"good")
        told = journal(driver.KPI, ["p", "accuracy", 1, 0.5], named("model", b"good"))

        reply = await agent.sync([(claim, "files/" + name, 0, b"evil"), (claim, "journal/1-aa", 0, told)])
        assert reply["acked"][0] == (claim["job_id"], 1, "files/" + name, 4)
        await agent.sync(events=[over(claim, told, [name])])

        job = await stage.job(claim)
        assert (job["state"], job["partial"]) == ("DONE", True)
        (row,) = (await stage.coordinator.jobs.files(claim["job_id"]))["rows"]
        assert (row["state"], row["reason"]) == ("refused", "the file is not what its checksum says.")
        with pytest.raises(NotFound, match=r"model is not here: the file is not what its checksum says"):
            await stage.coordinator.jobs.file(claim["job_id"], "model")

    play(story)


def test_a_content_that_nobody_holds_any_more_makes_the_job_partial_at_once(play: Play) -> None:
    """Its trial removed it before it could be sent."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = journal(driver.KPI, ["p", "accuracy", 1, 0.5], named("gone", b"?"))

        await agent.sync([(claim, "journal/1-aa", 0, told)], [over(claim, told, [])])

        assert (await stage.job(claim))["partial"] is True
        assert (await stage.coordinator.jobs.files(claim["job_id"]))["rows"][0]["state"] == "lost"

    play(story)


def test_a_file_beyond_the_limit_is_refused_by_name(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        data = b"x" * 200
        told = journal(driver.KPI, ["p", "accuracy", 1, 0.5], named("big", data))

        await agent.sync([part(claim, data), (claim, "journal/1-aa", 0, told)], [over(claim, told, [content(data)])])

        (row,) = (await stage.coordinator.jobs.files(claim["job_id"]))["rows"]
        assert row["reason"] == "the file has 200 bytes, a file may have 100."
        assert claim["limits"]["file_bytes"] == 100

    play(story, file_bytes=100)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", ".git/hooks/x", "a\nb", "", "x" * 501])
def test_a_name_that_could_lead_elsewhere_is_a_bad_line(play: Play, path: str) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()

        await agent.deliver(claim, journal(driver.KPI, named(path, b"x"), ["p", "accuracy", 1, 0.5]))

        job = await stage.job(claim)
        assert job["files"]["count"] == 0
        assert job["journal"] == {"writers": 1, "bad_lines": 1, "lost_lines": 0}
        assert job["state"] == "DONE"

    play(story)


def test_what_an_agent_began_to_send_of_another_agents_attempt_is_not_taken(play: Play) -> None:
    async def story(stage: Stage) -> None:
        _, claim = await stage.claim()
        other = await stage.agent("ben")

        reply = await other.sync([part(claim, b"mine")])

        assert reply["acked"] == []
        assert not (stage.home / "contents").exists()

    play(story)


def test_what_was_begun_and_not_finished_is_removed_with_its_job(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync([(claim, "files/" + content(b"whole"), 0, b"wh")])
        assert list((stage.home / "contents" / "incoming").iterdir())

        await agent.deliver(claim, driver.run(0.5))

        assert list((stage.home / "contents" / "incoming").iterdir()) == []

    play(story)


def test_a_full_disk_at_the_coordinator_is_said_and_loses_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is refused as a whole, and comes again."""
    from bough.errors import Unavailable
    from bough_server.store.contents import ContentStore

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        (stage.home / "contents").write_text("no folder: nothing can be written below it")

        with pytest.raises(Unavailable, match=r"the coordinator's disk for files cannot be written"):
            await agent.sync([part(claim, b"data")])

        (stage.home / "contents").unlink()
        assert (await agent.sync([part(claim, b"data")]))["acked"][0][3] == 4
        assert ContentStore(Config(stage.home).contents).path(content(b"data")[:64]).read_bytes() == b"data"

    play(story)
