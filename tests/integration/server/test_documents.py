"""Documents and actions at the coordinator: the newest of a name; calls are told until they are answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server import driver
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, KPI, Agent, happened, journal

from bough.errors import Conflict, NotFound, UsageError
from bough_server.service import actions, documents

Play = Callable[..., None]
RATE = ["d", "action", "rate", {"label": "Rate", "description": "", "args": [], "pid": 1}]


async def with_action(stage: Stage) -> tuple[Agent, dict[str, Any], bytes]:
    """Return an agent, its running claim whose script registered the action rate, and the journal so far."""
    agent, claim = await stage.claim()
    told = journal(KPI, RATE)
    await agent.sync([(claim, "journal/1-aa", 0, told)], [happened(claim, "running")])
    return agent, claim, told


def test_the_newest_document_of_a_name_counts(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = journal(
            KPI,
            ["d", "step", "", {"step": 1}],
            ["d", "system", "gpu", "none"],
            ["d", "image", "1/a", {"x": 1, "file": "a.png"}],
            ["d", "step", "", {"step": 2, "speed": "inf"}],
        )

        await agent.sync([(claim, "journal/1-aa", 0, told)], [happened(claim, "running")])

        job = await stage.job(claim)
        assert job["steps"] == {"": {"step": 2, "speed": "inf"}}
        assert {kind: [row["value"] for row in rows] for kind, rows in job["documents"].items()} == {
            "step": [{"step": 2, "speed": "inf"}], "system": ["none"],
        }  # fmt: skip
        every = await stage.coordinator.jobs.documents(claim["job_id"])
        assert [(row["kind"], row["name"]) for row in every["rows"]] == [
            ("system", "gpu"), ("image", "1/a"), ("step", ""),
        ]  # fmt: skip
        assert (await stage.coordinator.jobs.documents(claim["job_id"], "image"))["total"] == 1

    play(story)


@pytest.mark.parametrize(
    "line",
    [
        ["d", "opinion", "a", 1],
        ["d", "step", 5, 1],
        ["d", "step", "x" * 301, 1],
        ["d", "step", "a"],
        ["d", None, "a", 1],
    ],
)
def test_a_document_that_makes_no_sense_is_a_bad_line(play: Play, line: list[Any]) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()

        await agent.deliver(claim, journal(KPI, line, ["p", "accuracy", 1, 0.5]))

        job = await stage.job(claim)
        assert (job["documents"], job["journal"]["bad_lines"], job["state"]) == ({}, 1, "DONE")

    play(story)


def test_there_is_an_end_to_the_documents_of_a_job_and_known_ones_still_change(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENTS", 3)

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        first = journal(*[["d", "system", name, 1] for name in "ab"])
        second = journal(*[["d", "system", name, 2] for name in "cdea"])

        await agent.sync([(claim, "journal/1-aa", 0, first), (claim, "journal/2-bb", 0, second)])

        rows = (await stage.coordinator.jobs.documents(claim["job_id"]))["rows"]
        assert len(rows) == 3
        assert next(row["value"] for row in rows if row["name"] == "a") == 2
        assert (await stage.job(claim))["journal"]["bad_lines"] == 2

    play(story)


def test_a_call_is_told_with_every_reply_until_its_answer_has_come(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim, told = await with_action(stage)
        bell = (await agent.sync())["bell"]
        call = await stage.coordinator.jobs.call(ADMIN, claim["job_id"], "rate", {"value": 5})
        assert (call["answer"], call["args"]) == (None, {"value": 5})

        first, second = await agent.sync(), await agent.sync()
        assert first["bell"] != bell
        wanted = [(claim["job_id"], 1, [{"id": call["id"], "name": "rate", "args": {"value": 5}}])]
        assert first["actions"] == second["actions"] == wanted

        answer = journal(["d", "result", call["id"], {"value": "nan"}])
        again = journal(["d", "result", call["id"], {"value": 2}])
        reply = await agent.sync([(claim, "journal/1-aa", len(told), answer), (claim, "journal/2-bb", 0, again)])

        assert reply["actions"] == []
        (shown,) = (await stage.coordinator.jobs.actions(claim["job_id"]))["calls"]
        assert shown["answer"] == {"value": "nan"}

    play(story)


def test_a_call_that_is_sent_twice_is_one_call(play: Play) -> None:
    async def story(stage: Stage) -> None:
        _, claim, _ = await with_action(stage)
        jobs = stage.coordinator.jobs

        first = await jobs.call(ADMIN, claim["job_id"], "rate", {}, "key")
        again = await jobs.call(ADMIN, claim["job_id"], "rate", {}, "key")

        assert first["id"] == again["id"]
        with pytest.raises(Conflict, match="key"):
            await jobs.call(ADMIN, claim["job_id"], "rate", {"other": 1}, "key")

    play(story)


def test_a_call_that_can_never_be_answered_says_so(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim, told = await with_action(stage)
        call = await stage.coordinator.jobs.call(ADMIN, claim["job_id"], "rate", {})

        await agent.sync(events=[happened(claim, "exited", exit=driver.exit_of(told))])

        (shown,) = (await stage.coordinator.jobs.actions(claim["job_id"]))["calls"]
        assert (shown["id"], shown["answer"]) == (call["id"], {"error": "the attempt ended before it answered."})
        with pytest.raises(Conflict, match=r"it can run no action\. Actions need a running job\."):
            await stage.coordinator.jobs.call(ADMIN, claim["job_id"], "rate", {})

    play(story)


def test_calls_that_cannot_be_are_refused_with_a_sentence(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "MAX_WAITING", 1)

    async def story(stage: Stage) -> None:
        _, claim, _ = await with_action(stage)
        jobs = stage.coordinator.jobs

        with pytest.raises(NotFound, match=r"has no action speed\. It has: rate\."):
            await jobs.call(ADMIN, claim["job_id"], "speed", {})
        with pytest.raises(UsageError, match=r"args is no mapping of arguments by name\."):
            await jobs.call(ADMIN, claim["job_id"], "rate", [1])
        await jobs.call(ADMIN, claim["job_id"], "rate", {})
        with pytest.raises(Conflict, match=r"1 calls of job .* wait for an answer\."):
            await jobs.call(ADMIN, claim["job_id"], "rate", {})

    play(story)
