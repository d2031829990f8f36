"""Code that is not pinned: the first agent finds the commit, or each job takes the newest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent, definition, exit_of, happened, run

from bough.errors import UsageError

Play = Callable[..., None]
URL = "https://example.org/me/digits.git"
OTHER = "ab" * 20


async def optimize(stage: Stage, source: dict[str, Any] | None = None, **settings: Any) -> str:
    """Start an optimization whose code is at a URL."""
    found = definition(**{"max_trials": 4, "max_parallel": 3, "initial_random": 4, **settings})
    body = {"definition": found, "source": {"url": URL, "branch": "main"} if source is None else source}
    return str((await stage.coordinator.optimizations.create(ADMIN, body))["id"])


async def end(agent: Agent, claim: dict[str, Any], commit: str | None) -> None:
    told = run(0.5)
    events = [happened(claim, "running", commit=commit), happened(claim, "exited", exit=exit_of(told))]
    await agent.sync([(claim, "journal/1-aa", 0, told)], events)


def test_one_agent_finds_the_commit_and_the_others_wait_for_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        known = await optimize(stage)
        anna, ben = await stage.agent("anna", 2), await stage.agent("ben", 2)
        assert (await stage.coordinator.optimizations.one(known))["commit"] is None

        claim = await anna.claim_one()
        assert (claim["commit"], claim["fetch"]) == (None, {"url": URL, "ref": "main"})
        assert await anna.claim(1) == []
        assert await ben.claim(2) == []
        await anna.sync(events=[happened(claim, "running", commit=COMMIT)])

        assert (await stage.coordinator.optimizations.one(known))["commit"] == COMMIT
        assert (await stage.job(claim))["commit"] == COMMIT
        others = await ben.claim(2)
        assert [(other["commit"], other["fetch"]) for other in others] == [(COMMIT, None)] * 2

    play(story)


def test_a_branch_that_moves_on_changes_nothing_once_it_was_found(play: Play) -> None:
    async def story(stage: Stage) -> None:
        known = await optimize(stage, max_parallel=1)
        agent = await stage.agent()
        await end(agent, await agent.claim_one(), COMMIT)
        await stage.restart()

        agent = await stage.agent("carl")
        claim = await agent.claim_one()
        await end(agent, claim, OTHER)

        assert claim["commit"] == COMMIT
        assert (await stage.job(claim))["commit"] == COMMIT
        assert (await stage.coordinator.optimizations.one(known))["commit"] == COMMIT

    play(story)


def test_where_the_code_cannot_be_had_nothing_is_used_up_and_the_reason_is_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        known = await optimize(stage)
        agent = await stage.agent()
        claim = await agent.claim_one()
        why = "there is no branch or tag main in https://example.org/me/digits.git."
        await agent.sync(events=[happened(claim, "prepare_failed", reason="checkout", message=why)])

        paused = await stage.coordinator.optimizations.one(known)
        assert paused["state"] == "PAUSED"
        assert f"its code cannot be had: {why} Then: bough optimization resume {known}." in paused["reason"]
        assert (await stage.job(claim))["state"] == "QUEUED"
        await stage.coordinator.optimizations.resume(known)
        again = await agent.claim_one()
        assert (again["job_id"], again["attempt"], again["values"]) == (claim["job_id"], 2, claim["values"])
        await end(agent, again, COMMIT)
        assert (await stage.job(claim))["state"] == "DONE"

    play(story)


def test_an_agent_that_dies_while_it_finds_the_commit_leaves_it_to_the_next(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await optimize(stage)
        claim = await (await stage.agent("anna")).claim_one()
        ben = await stage.agent("ben", 2)
        assert await ben.claim(2) == []
        await stage.pass_time(1000.0)

        (again,) = await (await stage.agent("carl", 2)).claim(2)

        assert (again["job_id"], again["fetch"]) == (claim["job_id"], claim["fetch"])

    play(story)


def test_with_follow_branch_each_job_takes_the_newest_commit_and_keeps_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        known = await optimize(stage, follow_branch=True)
        agent = await stage.agent(slots=3)
        one, two = await agent.claim(2)
        assert one["fetch"] == two["fetch"] == {"url": URL, "ref": "main"}

        await end(agent, one, COMMIT)
        await agent.sync(events=[happened(two, "running", commit=OTHER)])
        await agent.sync(events=[happened(two, "released", message="the agent is stopping")])

        assert (await stage.job(one))["commit"] == COMMIT
        assert (await stage.job(two))["commit"] == OTHER
        again = await agent.claim_one()
        assert (again["job_id"], again["commit"], again["fetch"]) == (two["job_id"], OTHER, None)
        assert (await agent.claim_one())["fetch"] is not None
        assert (await stage.coordinator.optimizations.one(known))["commit"] is None

    play(story)


def test_follow_branch_is_not_pinned_by_the_commit_of_the_request(play: Play) -> None:
    async def story(stage: Stage) -> None:
        found = definition(max_trials=1, follow_branch=True)
        body = {"definition": found, "commit": COMMIT, "source": {"url": URL, "branch": "main"}}
        await stage.coordinator.optimizations.create(ADMIN, body)

        assert (await (await stage.agent()).claim_one())["fetch"] == {"url": URL, "ref": "main"}

    play(story)


def test_the_definition_itself_may_say_where_the_code_is(play: Play) -> None:
    async def story(stage: Stage) -> None:
        found = {**definition(max_trials=1), "git": {"url": URL, "branch": "v2", "folder": "models/one"}}
        await stage.coordinator.optimizations.create(ADMIN, {"definition": found})

        claim = await (await stage.agent()).claim_one()

        assert (claim["fetch"], claim["folder"]) == ({"url": URL, "ref": "v2"}, "models/one")

    play(story)


def test_a_manual_job_of_a_url_fails_with_the_reason(play: Play) -> None:
    async def story(stage: Stage) -> None:
        body = {"definition": definition(), "source": {"url": URL}, "values": {}}
        job = await stage.coordinator.jobs.create(ADMIN, body)
        agent = await stage.agent()
        claim = await agent.claim_one()
        assert (claim["job_id"], claim["fetch"]) == (job["id"], {"url": URL, "ref": None})

        await agent.sync(events=[happened(claim, "prepare_failed", reason="checkout", message="the host is unknown.")])

        found = await stage.job(claim)
        assert (found["state"], found["end_reason"], found["commit"]) == ("FAILED", "checkout", None)
        assert "the host is unknown" in found["message"]

    play(story)


@pytest.mark.parametrize("commit", ["", "main", "AB" * 20, "ab" * 19], ids=["empty", "name", "capitals", "short"])
def test_what_is_no_commit_is_not_taken_for_one(play: Play, commit: str) -> None:
    async def story(stage: Stage) -> None:
        known = await optimize(stage)
        agent = await stage.agent()
        claim = await agent.claim_one()
        await agent.sync(events=[happened(claim, "running", commit=commit)])

        assert (await stage.coordinator.optimizations.one(known))["commit"] is None

    play(story)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, r"there is neither a commit nor a source with a URL\. Send the full hash"),
        ({"url": 7}, r"neither a commit nor a source"),
        ({"url": "ext::sh -c touch%20x"}, r"git URL ext::sh"),
        (
            {"url": "https://me:secret@example.org/x.git"},
            r"git URL https://\*\*\*@example.org/x.git holds a credential",
        ),
        ({"url": "--upload-pack=x"}, r"git URL --upload-pack=x is not one that git may follow"),
        ({"url": URL, "branch": "--upload-pack=x"}, r"'--upload-pack=x' is no name of a branch or tag"),
        ({"url": URL, "branch": "a..b"}, r"'a\.\.b' is no name"),
        ({"url": URL, "branch": ["main"]}, r"is no name of a branch or tag"),
    ],
    ids=["none", "number", "ext", "password", "option", "ref", "range", "list"],
)
def test_a_source_that_no_agent_could_follow_is_refused_at_once(play: Play, source: Any, said: str) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(UsageError, match=said):
            await optimize(stage, source)

    play(story)
