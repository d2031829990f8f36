"""How trials end, and what follows: the state, the reason, the sentence, the KPI, and what the optimizer is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import (
    ADMIN,
    COMMIT,
    KPI,
    CountingOptimizer,
    definition,
    exit_of,
    happened,
    journal,
    run,
)

from bough_server.service import check

Play = Callable[..., None]


@pytest.mark.parametrize(
    ("told", "log", "exit_", "state", "reason", "message"),
    [
        (run(0.5), b"", {}, "DONE", "finished", None),
        (run(0.5), b"", {"cause": "max_epochs", "exit_code": 1}, "DONE", "max_epochs", None),
        (run(0.5), b"", {"cause": "max_time", "exit_code": None, "signal": "SIGKILL"}, "DONE", "max_time", None),
        (run(0.5), b"", {"cause": "user", "exit_code": 0}, "ABORTED", "user", None),
        (
            journal(["g", 1, 2]),
            b"epoch 1\nCUDA out of memory\n\n",
            {"exit_code": 1},
            "FAILED",
            "error",
            "trial 1 ended with exit code 1 and never sent a KPI: no channel was created with kpi=True. "
            "Last line of its log: CUDA out of memory.",
        ),
        (
            run(0.5),
            b"FileNotFoundError: [Errno 2] No such file or directory: 'data/train.csv'\n",
            {"exit_code": 1},
            "FAILED",
            "error",
            "trial 1 ended with exit code 1. Last line of its log: FileNotFoundError: [Errno 2] No such file or "
            "directory: 'data/train.csv'. The file data/train.csv is not in the checkout: git does not hold it. "
            "Commit it, or give its full path on the agent.",
        ),
        (b"", b"hi", {}, "FAILED", "no_kpi",
         "trial 1 ended and never sent a KPI: no channel was created with kpi=True. "
         "Last line of its log: hi."),
        (run(0.5), b"", {"cause": "max_time", "cut": 1}, "FAILED", "no_kpi",
         "trial 1 was stopped by max_time and its KPI channel accuracy has points only from after the stop, which "
         "do not count."),
        (journal(KPI), b"", {"cause": "max_time"}, "FAILED", "no_kpi",
         "trial 1 was stopped by max_time and never sent its KPI channel accuracy."),
        (journal(KPI, ["p", "accuracy", 1, "nan"]), b"", {}, "FAILED", "nan_kpi",
         "trial 1 sent no finite value through its KPI channel accuracy."),
        (run(0.5), b"", {"exit_code": None, "signal": 11}, "FAILED", "error", "trial 1 was ended by signal 11."),
        (b"", b"", {"exit_code": None, "error": "command not found: pyton"}, "FAILED", "error",
         "trial 1 could not run: command not found: pyton."),
        (journal(KPI, ["p", "accuracy", 1, 0.5], ["e", "fail", "diverged"]), b"", {}, "FAILED", "error",
         "trial 1 failed: diverged."),
        (journal(KPI, ["p", "accuracy", 1, 0.5], ["e", "abort", None]), b"", {}, "ABORTED", "user",
         "trial 1 was aborted by its script."),
        (journal(KPI, ["p", "accuracy", 1, 0.5], ["e", "done", "early"]), b"", {}, "DONE", "finished", "early"),
        (run(0.5), b"", {"cause": "supervisor_lost"}, "FAILED", "supervisor_lost",
         "trial 1 was lost: its supervisor was killed."),
    ],
)  # fmt: skip
def test_a_trial_ends_with_a_reason_and_a_sentence(
    play: Play, told: bytes, log: bytes, exit_: dict[str, Any], state: str, reason: str, message: str | None
) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()

        await agent.deliver(claim, told, log, **exit_)

        shown = await stage.job(claim)
        assert (shown["state"], shown["end_reason"], shown["message"]) == (state, reason, message)

    play(story)


def test_a_manual_job_needs_no_kpi(play: Play) -> None:
    async def story(stage: Stage) -> None:
        body = {"definition": definition(), "commit": COMMIT, "folder": "", "source": {}, "values": {"lr": 0.5}}
        job = await stage.coordinator.jobs.create(ADMIN, body)
        agent = await stage.agent()
        claim = await agent.claim_one()
        assert (claim["values"], claim["number"], claim["commands"][0]["argv"]) == (
            {"lr": 0.5},
            None,
            ["python", "train.py"],
        )

        await agent.deliver(claim)

        assert (await stage.coordinator.jobs.one(job["id"]))["state"] == "DONE"

    play(story)


def test_a_manual_job_has_the_kpi_that_its_definition_names(play: Play) -> None:
    """Else `bough run` would advise to make one that an optimization already has."""

    async def story(stage: Stage) -> None:
        kpi = {"channel": "both/b", "direction": "minimize", "reduce": "best"}
        found = definition()
        found["optimization"]["kpi"] = kpi
        body = {"definition": found, "commit": COMMIT, "folder": "", "source": {}, "values": {}}
        job = await stage.coordinator.jobs.create(ADMIN, body)
        agent = await stage.agent()
        both = ["c", "both", {"traces": ["a", "b"], "type": "number"}]

        told = journal(KPI, both, ["p", "accuracy", 1, 9.0], ["p", "both", 1, [1.0, 2.0]], ["p", "both", 2, [1.0, 3.0]])
        await agent.deliver(await agent.claim_one(), told)

        shown = await stage.coordinator.jobs.one(job["id"])
        assert (shown["kpi"], shown["kpi_last"], shown["kpi_best_x"]) == (2.0, 3.0, 1.0)
        marked = {channel["name"]: (channel["kpi"], channel["maximize"]) for channel in shown["channels"]}
        assert marked == {"accuracy": (False, True), "both": (True, False)}

    play(story)


def test_a_kpi_channel_that_holds_text_is_said_to(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(kpi={"channel": "notes"})

        told = journal(["c", "notes", {"traces": ["notes"], "type": "text"}], ["p", "notes", 1, "high"])
        await agent.deliver(claim, told)

        shown = await stage.job(claim)
        assert shown["message"] == "trial 1 ended and its KPI channel notes holds text, where numbers belong."

    play(story)


@pytest.mark.parametrize(("reduce", "kpi"), [("last", 0.3), ("best", 0.8), ("mean(2)", 0.55)])
def test_the_kpi_is_reduced_from_finite_values_before_the_stop(play: Play, reduce: str, kpi: float) -> None:
    """The script caught the interrupt and went on: what it sent after the stop is kept, but does not count."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(kpi={"reduce": reduce})
        values = [0.1, 0.8, 0.3, "nan", 0.99]
        told = journal(KPI, *(["p", "accuracy", x, y] for x, y in enumerate(values)))

        await agent.deliver(claim, told, cut=5, cause="max_epochs")

        shown = await stage.job(claim)
        assert shown["kpi"] == pytest.approx(kpi)
        assert (shown["kpi_last"], shown["kpi_best"], shown["kpi_best_x"]) == (0.3, 0.8, 1.0)
        points = await stage.coordinator.jobs.points(claim["job_id"], "accuracy")
        assert points["channels"][0]["y"] == [values]
        assert (points["channels"][0]["overrun"], points["channels"][0]["cut"]) == (4, 4)
        later = await stage.coordinator.jobs.points(claim["job_id"], "accuracy", after=3)
        assert (later["channels"][0]["overrun"], later["channels"][0]["cut"]) == (4, 1)

    play(story)


def test_a_loss_is_minimized_and_the_settings_name_channel_and_direction(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(kpi={"channel": "loss/validation", "direction": "minimize"})
        agent = await stage.agent()
        loss = ["c", "loss", {"traces": ["training", "validation"], "type": "number"}]

        for value in (3.0, 1.0, 2.0):
            await agent.deliver(await agent.claim_one(), journal(loss, ["p", "loss", 1, [0.0, value]]))

        shown = await stage.coordinator.optimizations.one(optimization)
        assert (shown["best"]["kpi"], shown["best"]["number"]) == (1.0, 2)

    play(story)


def test_the_optimizer_is_told_failures_without_a_loss_and_nothing_of_what_users_stopped(play: Play) -> None:
    optimizer = CountingOptimizer()

    async def story(stage: Stage) -> None:
        await stage.optimize(max_trials=4, initial_random=0)
        agent = await stage.agent()
        await agent.deliver(await agent.claim_one(), run(0.5))
        await agent.deliver(await agent.claim_one(), run(0.6), exit_code=1)
        await agent.deliver(await agent.claim_one(), run(0.7), cause="user")
        await agent.claim_one()

        assert [(o.number, o.loss) for o in optimizer.asks[-1].history] == [(0, -0.5), (1, None)]

    play(story, optimizer)


def test_a_failed_trial_is_tried_again_with_the_same_values_as_often_as_the_settings_say(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=1, on_failure={"retry": 1})
        agent = await stage.agent()
        first = await agent.claim_one()

        await agent.deliver(first, run(0.1), exit_code=1)
        second = await agent.claim_one()
        assert (second["job_id"], second["attempt"], second["values"]) == (first["job_id"], 2, first["values"])
        await agent.deliver(second, run(0.2), exit_code=1)

        assert await agent.claim() == []
        assert (await stage.job(first))["state"] == "FAILED"
        assert (await stage.coordinator.optimizations.one(optimization))["state"] == "DONE"
        points = await stage.coordinator.jobs.points(first["job_id"])
        assert points["channels"][0]["y"] == [[0.2]]

    play(story)


def test_a_script_that_contradicts_the_direction_is_stopped_and_pauses_the_optimization(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(kpi={"direction": "minimize"}, max_trials=9)
        told = run(0.1, 0.2)

        reply = await agent.sync([(claim, "journal/1-aa", 0, told)], [happened(claim, "running")])

        assert [tuple(one) for one in reply["desired"]] == [(claim["job_id"], 1, "stop", "contradiction")]
        ended = happened(claim, "exited", exit=exit_of(told, cause="contradiction"))
        await agent.sync([], [ended])
        job = await stage.job(claim)
        said = (
            "trial 1 declares that its KPI accuracy is to maximize, and its optimization says minimize. Correct one of "
            "them: max_optimization in the script, or kpi.direction."
        )
        assert (job["state"], job["end_reason"], job["message"]) == ("FAILED", "error", said)
        row = await stage.coordinator.optimizations.one(claim["optimization"])
        do = f"Resolve it, then: bough optimization retry {row['id']}."
        assert (row["state"], row["reason"]) == ("PAUSED", f"{said} {do}")

        await stage.coordinator.life.edit(ADMIN, row["id"], {"settings": {"kpi.direction": "maximize"}})
        await stage.coordinator.life.retry(ADMIN, row["id"], {})
        again = await agent.claim_one()
        await agent.deliver(again, run(0.1, 0.2))
        assert (await stage.job(again))["state"] == "DONE"
        assert stage.coordinator.store.read_sync(check.violations) == []

    play(story)


def test_too_many_failures_in_a_row_pause_the_optimization_with_a_sentence(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_trials=9, on_failure={"stop_after": 2})
        agent = await stage.agent()
        for kpi, exit_code in ((0.1, 1), (0.2, 0), (0.3, 1), (0.4, 1)):
            await agent.deliver(await agent.claim_one(), run(kpi), exit_code=exit_code)

        shown = await stage.coordinator.optimizations.one(optimization)
        assert shown["state"] == "PAUSED"
        assert shown["reason"] == (
            "2 trials in a row failed. The last: trial 4 ended with exit code 1. "
            f"If the machines were at fault: bough optimization resume {optimization} goes on. If the code was: "
            f"bough optimization retry {optimization} --commit REF runs them again, and all that follow, with a new "
            f"commit; bough optimization restart {optimization} begins anew."
        )
        assert await agent.claim() == []
        assert (await stage.coordinator.why())["reasons"] == [
            f"optimization {optimization} is paused: {shown['reason']}"
        ]

        await stage.coordinator.optimizations.resume(optimization)
        assert len(await agent.claim()) == 1

    play(story)


def test_an_epoch_limit_that_can_never_hold_is_warned_of_after_the_first_trial(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await stage.optimize(max_epochs=30, max_trials=5)
        agent = await stage.agent()
        for _ in range(2):
            await agent.deliver(await agent.claim_one(), journal(KPI, ["p", "accuracy", 1, 0.5]))

        assert (await stage.coordinator.optimizations.one(optimization))["warnings"] == [
            "trial 1 never called job.progress: max_epochs 30 cannot be enforced. "
            "Call job.progress(epoch, total) after each epoch."
        ]

    play(story)


@pytest.mark.parametrize(
    ("reason", "state", "end_reason"),
    [("checkout", "FAILED", "checkout"), ("error", "FAILED", "error"), ("infra", "QUEUED", None)],
)
def test_a_job_that_cannot_be_prepared_fails_or_is_given_back(
    play: Play, reason: str, state: str, end_reason: str | None
) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        text = "commit 3f9a12c is not in me/digits."

        reply = await agent.sync(events=[happened(claim, "prepare_failed", reason=reason, message=text)])

        assert reply["ended"] == [(claim["job_id"], 1)]
        shown = await stage.job(claim)
        assert (shown["state"], shown["end_reason"]) == (state, end_reason)
        assert text in shown["message"]

    play(story)


def test_a_released_job_is_queued_again_unburnt(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim(max_trials=1)

        await agent.sync(events=[happened(claim, "released", message="the agent is stopping")])

        assert (await stage.job(claim))["state"] == "QUEUED"
        again = await agent.claim_one()
        assert (again["job_id"], again["attempt"], again["values"]) == (claim["job_id"], 2, claim["values"])
        assert again["marker"] != claim["marker"]

    play(story)


def test_stopping_is_wanted_until_the_agent_has_done_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()
        await agent.sync(events=[happened(claim, "running")])
        await stage.coordinator.jobs.stop(claim["job_id"])

        wanted = [[claim["job_id"], 1, "stop", "user"]]
        assert (await agent.sync())["desired"] == wanted
        assert (await agent.sync(events=[happened(claim, "stopping", cause="user")]))["desired"] == wanted
        assert (await stage.job(claim))["state"] == "STOPPING"
        await stage.coordinator.jobs.stop(claim["job_id"], now=True)
        assert (await agent.sync())["desired"] == [[claim["job_id"], 1, "kill", "user"]]

        await agent.sync(events=[happened(claim, "exited", exit=exit_of(cause="user"))])
        assert (await stage.job(claim))["state"] == "ABORTED"

    play(story)


def test_a_short_trial_began_when_its_duration_says_and_not_when_it_was_heard_of(play: Play) -> None:
    """Its start and its end arrive in one message."""

    async def story(stage: Stage) -> None:
        agent, claim = await stage.claim()

        await agent.deliver(claim, run(0.5), duration_s=2.5)

        shown = await stage.job(claim)
        assert shown["ended_at"] - shown["started_at"] == 2.5

    play(story)
