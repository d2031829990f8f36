"""The one message of an agent: whatever is repeated, late or missing, every byte counts once and no job ends early."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import AGENT, KPI, Agent, exit_of, happened, journal, run

from bough.errors import Conflict, Forbidden, NotFound, UsageError
from bough_server.service.identity import Key
from bough_server.store import reads

Play = Callable[..., None]


def test_a_message_sent_twice_changes_nothing_the_second_time(play: Play) -> None:
    """Its reply was lost after the commit."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = run(0.5, 0.7)
        header, payload = agent.message(
            [(claim, "journal/1-aa", 0, told), (claim, "log", 0, b"hello\n")],
            [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told, b"hello\n"))],
            wants=1,
        )

        first = await stage.coordinator.agents.sync(AGENT, agent.id, header, payload)
        again = await stage.coordinator.agents.sync(AGENT, agent.id, header, payload)

        assert len(first["granted"]) == 1
        assert again["granted"] == first["granted"]
        assert again["ended"] == first["ended"]
        shown = await stage.coordinator.jobs.points(claim["job_id"])
        assert shown["channels"][0]["y"] == [[0.5, 0.7]]
        assert await stage.coordinator.jobs.log(claim["job_id"]) == (b"hello\n", 6)

    play(story)


def test_a_claim_whose_reply_was_lost_is_granted_again_not_leaked(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize(max_parallel=4, initial_random=9)
        agent = await stage.agent(slots=2)

        first = await agent.sync(wants=2, claim_key="k1")
        again = await agent.sync(wants=2, claim_key="k1")

        assert len(first["granted"]) == 2
        assert again["granted"] == first["granted"]

    play(story)


def test_bytes_that_overlap_count_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = run(0.1, 0.2, 0.3)
        middle = told.index(b"\n", len(told) // 2) + 1

        await agent.sync([(claim, "journal/1-aa", 0, told[:middle])])
        reply = await agent.sync([(claim, "journal/1-aa", 0, told)])

        assert reply["acked"] == [(claim["job_id"], 1, "journal/1-aa", len(told))]
        shown = await stage.coordinator.jobs.points(claim["job_id"], "accuracy")
        assert shown["channels"][0]["y"] == [[0.1, 0.2, 0.3]]

    play(story)


@pytest.mark.parametrize("what", ["a gap", "a wrong checksum"])
def test_bytes_that_cannot_be_trusted_are_not_stored(play: Play, what: str) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        header, payload = agent.message([(claim, "journal/1-aa", 10 if what == "a gap" else 0, run(0.1))], [])
        header["parts"][0]["crc"] ^= 0 if what == "a gap" else 1

        reply = await stage.coordinator.agents.sync(AGENT, agent.id, header, payload)

        assert reply["acked"] == [(claim["job_id"], 1, "journal/1-aa", 0)]
        assert (await stage.coordinator.jobs.points(claim["job_id"]))["channels"] == []

    play(story)


def test_a_job_ends_only_when_all_its_bytes_are_in(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told, log = run(0.5, 0.9), b"a\nb\n"
        over = happened(claim, "exited", exit=exit_of(told, log))

        early = await agent.sync([(claim, "journal/1-aa", 0, told[:300])], [happened(claim, "running"), over])
        assert early["incomplete"] == [(claim["job_id"], 1)]
        assert (await stage.job(claim))["state"] == "DRAINING"
        assert (await stage.job(claim))["kpi"] is None

        acked = early["acked"][0][3]
        late = await agent.sync([(claim, "journal/1-aa", acked, told[acked:]), (claim, "log", 0, log)])
        assert late["ended"] == [(claim["job_id"], 1)]
        assert (await stage.job(claim))["state"] == "DONE"
        assert (await stage.job(claim))["kpi"] == 0.9

    play(story)


def test_a_journal_that_was_changed_fails_the_trial_by_name(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = run(0.5)
        exit_ = exit_of(told)
        exit_["journals"]["1-aa"]["crc"] ^= 1

        await agent.sync([(claim, "journal/1-aa", 0, told)], [happened(claim, "exited", exit=exit_)])

        assert (await stage.job(claim))["end_reason"] == "journal"
        assert (await stage.job(claim))["message"].startswith("trial 1 was lost: its journal was changed while it ran.")

    play(story)


def test_lines_that_cannot_be_read_are_counted_and_the_rest_is_kept(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        good = journal(KPI, ["p", "accuracy", 1, 0.25], ["p", "accuracy", 2, "soon"], ["p", "accuracy", 3, "nan"])
        told = b'["p",9,1.0,"accuracy",1\n' + good + b'{"no": "list"}\n\xff\xfe\n["q",1,2,3]\n' + b'["p",5,1.0,"accu'

        await agent.deliver(claim, told)

        shown = await stage.coordinator.jobs.points(claim["job_id"])
        assert shown["channels"][0]["y"] == [[0.25, "nan"]]
        row = stage.coordinator.store.read_sync(lambda tx: tx.exec_driver_sql("SELECT bad_lines FROM streams").all())
        assert row == [(6,)]
        assert (await stage.job(claim))["kpi"] == 0.25

    play(story)


def test_several_traces_texts_infos_and_status_arrive(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        loss = ["c", "loss", {"traces": ["training", "validation"], "type": "number", "loss": True}]
        words = ["c", "words", {"traces": ["words"], "type": "text"}]
        told = journal(
            loss,
            words,
            ["p", "loss", 1, [0.5, "inf"]],
            ["p", "words", 1, "grün"],
            ["i", "gpu", {"name": "none"}],
            ["s", "warming up"],
            ["g", 1, 7],
        )

        await agent.sync([(claim, "journal/1-aa", 0, told)])

        shown = await stage.job(claim)
        assert shown["last"] == {"loss/training": 0.5, "loss/validation": "inf", "words": "grün"}
        assert shown["infos"] == {"gpu": {"name": "none"}}
        assert (shown["status"], shown["epochs"], shown["epochs_total"]) == ("warming up", 1.0, 7.0)

    play(story)


def test_points_of_two_processes_are_merged_by_their_time(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        one = b'["p",0,1.0,"a",1,10]\n["p",1,3.0,"a",3,30]\n'
        other = b'["p",0,2.0,"a",2,20]\n'

        await agent.sync([(claim, "journal/2-bb", 0, other), (claim, "journal/1-aa", 0, one)])

        points = stage.coordinator.store.read_sync(lambda tx: reads.points(tx, claim["job_id"], 1, "a"))
        assert points.y[0].tolist() == [10, 20, 30]
        assert points.writer == ["1-aa", "2-bb", "1-aa"]

    play(story)


# -- who may speak ----------------------------------------------------------------------------------------------


def test_a_second_agent_of_the_same_name_is_refused_while_the_first_is_heard_of(play: Play) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.agent("gpu1")

        with pytest.raises(Conflict, match=r"an agent called gpu1 is already connected \(heard of 0 s ago\)"):
            await stage.agent("gpu1")

        stage.clock.pass_time(30.1)
        second = await stage.agent("gpu1")
        assert second.id == first.id
        with pytest.raises(Conflict, match="another process has connected as agent gpu1"):
            await first.sync()

    play(story)


def test_nobody_speaks_for_another_keys_agent(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent = await stage.agent()
        header, _ = agent.message([], [])

        with pytest.raises(Forbidden, match="agent anna registered with another key"):
            await stage.coordinator.agents.sync(Key("other", "other", "agent", ""), agent.id, header, b"")
        with pytest.raises(Forbidden, match="has the scope read, not agent"):
            await stage.coordinator.agents.sync(Key("agent", "r", "read", ""), agent.id, header, b"")
        with pytest.raises(NotFound, match="there is no agent nobody"):
            await stage.coordinator.agents.sync(AGENT, "nobody", header, b"")

    play(story)


def test_an_attempt_of_another_agent_is_fenced_and_nothing_of_it_is_stored(play: Play) -> None:
    async def story(stage: Stage) -> None:
        _, claim = await stage.claim()
        ben = await stage.agent("ben")

        reply = await ben.deliver(claim, run(0.5))

        assert reply["fenced"] == [(claim["job_id"], 1)]
        assert reply["acked"] == []
        assert (await stage.job(claim))["state"] == "PREPARING"

    play(story)


def test_a_message_that_cannot_be_read_is_refused_in_a_sentence(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        header, payload = agent.message([(claim, "log", 0, b"four")], [])

        with pytest.raises(UsageError, match="the parts announce 4 bytes, but 3 came"):
            await stage.coordinator.agents.sync(AGENT, agent.id, header, payload[:3])
        with pytest.raises(UsageError, match="the sync message cannot be read: Expected `int`"):
            await stage.coordinator.agents.sync(AGENT, agent.id, {**header, "free_slots": "many"}, payload)
        with pytest.raises(UsageError, match=r"exit.json cannot be read: .*journals"):
            await agent.sync(events=[happened(claim, "exited", exit={"journals": 7})])

    play(story)


def test_a_stream_whose_name_is_none_is_ignored(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()

        reply = await agent.sync([(claim, "journal/../../etc/passwd", 0, b"x\n"), (claim, "exit", 0, b"x")])

        assert reply["acked"] == []

    play(story)


def test_an_agent_that_drains_is_told_so_and_gets_nothing(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.optimize()
        agent = await stage.agent()
        assert (await stage.coordinator.agents.drain("anna", True))["drain"] is True

        reply = await agent.sync(wants=1)
        assert (reply["agent"], reply["granted"]) == ("drain", [])

        await stage.coordinator.agents.drain(agent.id, False)
        assert len(await agent.claim()) == 1

    play(story)


def test_the_registration_says_what_is_wrong_with_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(UsageError, match="agent anna has 0 slots"):
            await Agent(stage.coordinator, slots=0).connect()
        with pytest.raises(UsageError, match="is no name for an agent"):
            await Agent(stage.coordinator, name="a\nb").connect()
        with pytest.raises(UsageError, match="the registration cannot be read: Object missing required field `slots`"):
            await stage.coordinator.agents.register(AGENT, {"name": "x"})

    play(story)
