"""What a supervisor notes of a job becomes system channels, and these change nothing else of the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.server.conftest import Stage
from tests.integration.server.driver import exit_of, happened, journal, run

from bough_server.service import export

Play = Callable[..., None]
CPU = ["c", "system/cpu", {"traces": ["system/cpu"], "type": "number", "kpi": True, "main": True}]
NOTED = journal(
    ["h", {"pid": 0, "system": True}], CPU, ["p", "system/cpu", 2.0, 99.0], ["g", 77, 99], ["e", "fail", "x"]
)


def test_they_are_flagged_and_no_kpi_no_epoch_no_column_of_the_trials(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        told = run(0.5)
        exit_ = exit_of(told)
        noted = exit_of(NOTED)["journals"]["1-aa"]
        exit_["journals"]["0-5e1f5e1f"] = noted
        parts: list[Any] = [(claim, "journal/1-aa", 0, told), (claim, "journal/0-5e1f5e1f", 0, NOTED)]
        await agent.sync(parts, [happened(claim, "running"), happened(claim, "exited", exit=exit_)])

        job = await stage.job(claim)
        assert (job["state"], job["kpi"], job["epochs"], job["last"]) == ("DONE", 0.5, 1.0, {"accuracy": 0.5})
        shown = {channel["name"]: channel for channel in job["channels"]}
        assert list(shown) == ["accuracy", "system/cpu"]
        assert [shown["system/cpu"][name] for name in ("system", "main", "kpi")] == [True, False, False]
        columns, _ = stage.coordinator.store.read_sync(lambda tx: export.trial_rows(tx, job["optimization"]))
        assert [name for name in columns if name.startswith("channel.")] == ["channel.accuracy"]
        points = stage.coordinator.store.read_sync(lambda tx: list(export.point_rows(tx, job["optimization"])[1]))
        assert [(row["channel"], row["y"]) for row in points] == [("accuracy", 0.5)]
        shown = await stage.coordinator.jobs.points(claim["job_id"], "system/cpu")
        assert [channel["y"] for channel in shown["channels"]] == [[[99.0]]]

    play(story)


def test_a_trial_without_a_channel_of_its_own_still_has_no_kpi(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        exit_ = {**exit_of(), "journals": {"0-5e1f5e1f": exit_of(NOTED)["journals"]["1-aa"]}}
        events = [happened(claim, "running"), happened(claim, "exited", exit=exit_)]
        parts: list[Any] = [(claim, "journal/0-5e1f5e1f", 0, NOTED)]
        await agent.sync(parts, events)

        job = await stage.job(claim)
        assert (job["state"], job["end_reason"]) == ("FAILED", "no_kpi")

    play(story)


def test_a_script_cannot_take_over_a_system_channel_nor_lose_its_own_to_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        own = journal(["h", {"pid": 1}], CPU, ["p", "system/cpu", 1, 0.25])
        exit_ = exit_of(own)
        exit_["journals"]["0-5e1f5e1f"] = exit_of(NOTED)["journals"]["1-aa"]
        parts: list[Any] = [(claim, "journal/1-aa", 0, own), (claim, "journal/0-5e1f5e1f", 0, NOTED)]
        await agent.sync(parts, [happened(claim, "running"), happened(claim, "exited", exit=exit_)])

        job = await stage.job(claim)
        assert (job["state"], job["kpi"]) == ("DONE", 0.25)
        (channel,) = job["channels"]
        assert (channel["system"], channel["points"]) == (False, 1)

    play(story)
