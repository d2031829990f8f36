"""An optimization is edited while it runs: the asks that follow are those of `fmin` over the new space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.optimizers.by_fmin import algorithms, values_of_fmin
from tests.integration.server.conftest import Stage
from tests.integration.server.driver import ADMIN, COMMIT, Agent, CountingOptimizer, exit_of, happened, journal, run

from bough.definition import Space
from bough.errors import Conflict, UsageError
from bough_server.optimizers.base import Outcome
from bough_server.optimizers.client import OptimizerProcess
from bough_server.optimizers.replay import Search, replay
from bough_server.service import check
from bough_server.store import schema

Play = Callable[..., None]
SEED, RANDOM, BEFORE, AFTER = 7, 5, 14, 10
TREE: dict[str, Any] = {
    "rate": 0.1,
    "steps": 5,
    "act": {"type": "choice_string", "choices": ["relu", "tanh"], "default": "relu"},
    "opt": {"type": "choice_group", "default": "sgd", "choices": {"sgd": {"lr": 0.01}, "adam": {"lr": 0.001}}},
}
LINES = {
    "rate": "uniform(0, 1)",
    "steps": "range(1, 9, 2)",
    "act": "choice",
    "opt": "choice(sgd, adam)",
    "opt.sgd.lr": "loguniform(1e-4, 1)",
    "opt.adam.lr": "loguniform(1e-5, 0.1)",
}
# One after the other, on the same optimization; with the lines that say what was changed.
EDITS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"space": {"rate": "uniform(-1, 0.8)", "steps": "range(1, 21, 2)"}},
        ["rate: uniform(0, 1) → uniform(-1, 0.8)", "steps: range(1, 9, 2) → range(1, 21, 2)"],
    ),
    (
        {
            "add": {"opt.lion": {"beta": 0.9}, "decay": 0.0, "act": ["gelu"]},
            "space": {"opt.lion.beta": "uniform(0, 1)"},
        },
        [
            "act: choice(relu, tanh) of relu, tanh → choice(relu, tanh, gelu) of relu, tanh, gelu",
            "opt: choice(sgd, adam) of sgd, adam → choice(sgd, adam, lion) of sgd, adam, lion",
            "opt.lion.beta: not there → uniform(0, 1)",
            "decay: not there → stays 0.0",
        ],
    ),
    (
        {"fixed": {"rate": 0.25}, "space": {"decay": "uniform(0, 0.5)", "steps": None}},
        [
            "rate: uniform(-1, 0.8) → fixed at 0.25",
            "steps: range(1, 21, 2) → stays 5",
            "decay: stays 0.0 → uniform(0, 0.5)",
        ],
    ),
    (
        {"fixed": {"rate": None, "act": "tanh"}},
        [
            "rate: fixed at 0.25 → uniform(-1, 0.8)",
            "act: choice(relu, tanh, gelu) of relu, tanh, gelu → fixed at tanh of relu, tanh, gelu",
        ],
    ),
]


def body(**settings: Any) -> dict[str, Any]:
    section = {"seed": SEED, "initial_random": RANDOM, "max_parallel": 1, "max_trials": 99, "space": LINES, **settings}
    section |= {"kpi": {"channel": "loss", "direction": "minimize"}, "on_failure": {"stop_after": None}}
    found = {"model": "me/digits", "command": "x", "hyperparameters": TREE, "optimization": section}
    return {"definition": found, "commit": COMMIT, "folder": "", "source": {}}


def loss(values: Any) -> float | None:
    if values["steps"] == 7:
        return None
    lr = values.get("opt.sgd.lr") or values.get("opt.adam.lr") or 0.3
    return float((values["rate"] - 0.3) ** 2 + lr + values.get("decay", 0.1) + (values["act"] == "relu"))


async def end(agent: Agent, claim: dict[str, Any]) -> Outcome:
    found = loss(claim["values"])
    text = journal(["p", "loss", 1, "nan" if found is None else found])
    events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(text))]
    await agent.sync([(claim, "journal/1-aa", 0, text)], events)
    return Outcome(claim["number"] - 1, claim["values"], found)


def space_of(stage: Stage, its_id: str) -> Space:
    mine = schema.space_versions.c.optimization == its_id
    newest = select(schema.space_versions.c.space).where(mine).order_by(schema.space_versions.c.version.desc()).limit(1)
    return Space.from_json(stage.coordinator.store.read_sync(lambda tx: tx.execute(newest).scalar_one()))


def assert_sound(stage: Stage) -> None:
    assert stage.coordinator.store.read_sync(check.violations) == []


@pytest.mark.parametrize("algorithm", ["tpe", "annealing"])
def test_the_asks_after_each_edit_are_those_of_fmin_and_all_of_it_is_replayed(play: Play, algorithm: str) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        its_id = (await stage.coordinator.optimizations.create(ADMIN, body(algorithm=algorithm)))["id"]
        agent = await stage.agent()
        history = [await end(agent, await agent.claim_one()) for _ in range(BEFORE)]
        for number, (edit, lines) in enumerate(EDITS):
            said = (await stage.coordinator.life.edit(ADMIN, its_id, edit))["edit"]
            assert said["changes"] == lines
            space = space_of(stage, its_id)
            misfits = [why for one in history if (why := space.misfit(one.values)) is not None]
            assert (said["kept"], said["left_out"]) == (len(history) - len(misfits), len(misfits))
            assert said["first_left_out"] == (misfits[0] if misfits else None)
            if number == 1:  # a coordinator that is started anew goes on as it would have
                await process.stop()
                await stage.restart()
                agent.coordinator = stage.coordinator

            after = [await end(agent, await agent.claim_one()) for _ in range(AFTER)]

            expected = values_of_fmin(space, algorithms(0)[algorithm], loss, SEED, AFTER, history)
            assert [one.values for one in after] == expected
            history += after
        rows = (await stage.coordinator.life.edits(its_id))["rows"]
        assert [row["from_ask"] for row in rows] == [BEFORE + AFTER * n for n in range(len(EDITS))]
        assert [row["space_version"] for row in rows] == [2, 3, 4, 5]
        found = Search.from_json(await stage.coordinator.searches.stored(its_id))
        said = [one async for one in replay(found, process)][-1]
        assert (said["equal"], said["checked"]) == (True, len(history)), said
        assert_sound(stage)
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def test_trials_without_values_take_the_new_space_and_those_with_values_keep_theirs(play: Play) -> None:
    optimizer = CountingOptimizer()

    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, max_parallel=3)
        agent = await stage.agent(slots=3)
        claim = await agent.claim_one()
        point = await stage.coordinator.optimizations.enqueue(ADMIN, its_id, {"values": {"lr": 0.9}})

        await stage.coordinator.life.edit(ADMIN, its_id, {"space": {"lr": "uniform(0, 0.5)"}})

        two, three = await agent.claim(2)
        assert (two["job_id"], two["values"]) == (point["id"], {"lr": 0.9})
        asked = [ask for ask in optimizer.asks if ask.number == 1]
        assert [ask.space["searched"][0][1]["uniform"]["high"] for ask in asked] == [1, 0.5], "the first is thrown away"
        for one in (claim, two, three):
            await agent.deliver(one, run(0.5))
        made = (await stage.coordinator.searches.stored(its_id))["made_with"]
        assert [(one["from_ask"], one["space_version"]) for one in made] == [(0, 1), (1, 2)]
        assert_sound(stage)

    play(story, optimizer)


def test_every_setting_can_be_changed_and_what_is_started_later_follows(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, max_parallel=1, max_epochs=30)
        agent = await stage.agent(slots=4)
        first = await agent.claim_one()
        new = {
            "max_trials": 5, "max_parallel": 2, "max_epochs": 10, "max_time": "10m", "total_time": "2h", "priority": 3,
            "agents": ["anna", "ben", "carl"], "initial_random": 2, "algorithm": "annealing", "pruning": "asha",
            "on_failure": {"retry": 1}, "kpi.direction": "minimize", "duplicates": "reuse", "grace": "5s", "term": "1s",
        }  # fmt: skip

        shown = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": new})

        assert {name: shown[name] for name in ("max_trials", "max_parallel", "max_epochs", "max_time_s")} == {
            "max_trials": 5,
            "max_parallel": 2,
            "max_epochs": 10,
            "max_time_s": 600,
        }
        assert (shown["total_time_s"], shown["priority"], shown["agents"]) == (7200, 3, ["anna", "ben", "carl"])
        assert (shown["algorithm"], shown["duplicates"]) == ("annealing", "reuse")
        assert shown["pruning"] == {"rule": "asha", "reduction": 3, "min_epochs": 1}
        assert shown["on_failure"] == {"retry": 1, "stop_after": 5}
        assert shown["warnings"] == ["max_parallel 2 is below the 3 chosen agents: some will idle."]
        assert shown["edit"]["kept"] is None
        assert shown["edit"]["changes"] == [
            "algorithm: tpe → annealing",
            "max_trials: 9 → 5",
            "initial_random: 20 → 2",
            "max_parallel: 1 → 2",
            "max_epochs: 30 → 10",
            "max_time: none → 600 s",
            "total_time: none → 7200 s",
            "agents: all → anna, ben, carl",
            "kpi.direction: as declared → minimize",
            "on_failure.retry: 0 → 1",
            "pruning: none → asha(reduction=3, min_epochs=1)",
            "duplicates: allow → reuse",
            "grace: 30 s → 5 s",
            "term: 10 s → 1 s",
            "priority: 0 → 3",
        ]
        second = await agent.claim_one()
        limits = [(one["max_epochs"], one["max_time_s"], one["grace_s"]) for one in (first, second)]
        assert limits == [(30, None, 30), (10, 600, 5)]
        again = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"max_epochs": None, "agents": None}})
        assert (again["max_epochs"], again["agents"]) == (None, None)
        assert (await stage.coordinator.life.edit(ADMIN, its_id, {}))["edit"]["changes"] == []
        assert_sound(stage)

    play(story)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"space": {"lrr": "uniform(0, 1)"}}, r"^unknown hyperparameter lrr in space\. Did you mean lr\?$"),
    ({"space": {"lr": "uniform(1, 0)"}}, r"^parameter lr: low 1 is above high 0\. Swap the two\.$"),
    ({"fixed": {"lr": 0.5}}, r"^every parameter of the space is fixed: nothing is left to search\."),
    ({"fixed": {"x": 0.5}}, r"^unknown hyperparameter x\."),
    ({"fixed": {"lrr": None}}, r"^unknown hyperparameter lrr\. Did you mean lr\?$"),
    ({"space": {"lrr": None}}, r"^unknown hyperparameter lrr\. Did you mean lr\?$"),
    ({"add": {"lr": [1]}}, r"^hyperparameter lr has no list of choices to add to\. A group to choose is added as"),
    ({"add": {"lr": 1}}, r"^there is a hyperparameter lr already\. Give the new one another name\.$"),
    ({"add": {"opt.lion": {}}}, r"^there is no group opt to add opt\.lion to\. Add the group first\.$"),
    ({"settings": {"seed": 3}}, r"^the seed cannot be changed: it is what makes the search come out again\."),
    ({"settings": {"max_trial": 3}}, r"^there is no setting max_trial\. Did you mean max_trials\?$"),
    ({"settings": {"kpi.way": 3}}, r"^there is no setting kpi\.way\."),
    ({"settings": {"space": {}}}, r"^there is no setting space\."),
    ({"settings": {"max_time": 10}}, r"^max_time: 10 has no unit\. Write 10m for minutes or 10s for seconds\.$"),
    ({"settings": {"max_trials": 1}}, r"has started 2 trials; max_trials 1 is below that\. To start no more of"),
    ({"settings": {"algorithm": "grid"}}, r"and the algorithm is grid\."),
    ({"spaces": {}}, r"^unknown key spaces in the edit\. Did you mean space\?$"),
    ({"space": 3}, r"^space is 3, not a mapping\."),
    ({"definition": {"model": "me/digits", "command": "y"}}, r"^the definition has no section optimization\."),
    ({"space_version": 4}, r"was edited meanwhile: its space is version 1, not 4\. Look at it, then edit it again"),
]


def test_what_cannot_be_is_refused_in_one_sentence_and_nothing_has_changed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, max_parallel=2)
        agent = await stage.agent(slots=2)
        await agent.claim(2)
        before = await stage.coordinator.optimizations.one(its_id)

        for edit, said in REFUSED:
            with pytest.raises((UsageError, Conflict), match=said):
                await stage.coordinator.life.edit(ADMIN, its_id, edit)

        assert await stage.coordinator.optimizations.one(its_id) == before
        assert (await stage.coordinator.life.edits(its_id))["rows"] == []

    play(story)


def test_the_types_and_the_code_of_a_model_stay_as_they_are(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = (await stage.coordinator.optimizations.create(ADMIN, body()))["id"]
        life = stage.coordinator.life

        async def refused(said: str, **changes: Any) -> None:
            with pytest.raises(UsageError, match=said):
                await life.edit(ADMIN, its_id, {"definition": {**body()["definition"], **changes}})

        tree = {**TREE, "steps": 5.5}
        await refused(
            r"^hyperparameter steps was a whole number and cannot become a number\. Add a", hyperparameters=tree
        )
        tree = {**TREE, "rate": "text"}
        lines = {path: line for path, line in LINES.items() if path != "rate"}
        section = {**body()["definition"]["optimization"], "space": lines}
        said = r"^hyperparameter rate was a number and cannot become a string\."
        await refused(said, hyperparameters=tree, optimization=section)
        restart = rf"For that begin anew: bough optimization restart {its_id}\.$"
        await refused(rf"^an edit cannot change command while trials run\. {restart}", command="other")
        await refused(rf"^an edit cannot change model while trials run\. {restart}", model="me/other")
        await refused(r"^the seed cannot be changed", optimization={**section, "seed": 8, "space": LINES})

        without = {name: value for name, value in section.items() if name != "seed"}
        shown = await life.edit(ADMIN, its_id, {"definition": {**body()["definition"], "optimization": without}})
        assert (shown["seed"], shown["space_version"]) == (SEED, 2)

    play(story)


def test_a_grid_is_not_edited(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(algorithm="grid", space={"lr": "range(0, 1, 0.25)"}, max_trials=9)
        life = stage.coordinator.life

        with pytest.raises(
            UsageError, match=r"^grid counts the points of the space it began with\. For that begin anew"
        ):
            await life.edit(ADMIN, its_id, {"space": {"lr": "range(0, 2, 0.25)"}})
        with pytest.raises(UsageError, match=r"^grid counts its points from the first trial on\. For that begin anew"):
            await life.edit(ADMIN, its_id, {"settings": {"algorithm": "random"}})
        assert (await life.edit(ADMIN, its_id, {"settings": {"max_parallel": 4}}))["max_parallel"] == 4

    play(story)


def test_another_reduction_scores_ended_trials_anew_and_earlier_asks_are_still_replayed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        process: OptimizerProcess = stage.optimizer
        its_id = await stage.optimize(max_trials=12, initial_random=2)
        agent = await stage.agent()
        first = await agent.claim_one()
        await agent.deliver(first, run(0.9, 0.1))
        await agent.deliver(await agent.claim_one(), run(0.5, 0.3))
        await agent.deliver(await agent.claim_one(), b"", exit_code=1)
        for _ in range(3):
            await agent.deliver(await agent.claim_one(), run(0.4, 0.2))
        earlier = await stage.coordinator.optimizations.create(ADMIN, {**body(), "definition": _same()})
        assert earlier["best"] is None
        await stage.coordinator.optimizations.stop(earlier["id"])

        shown = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"kpi.reduce": "best"}})

        assert (shown["kpi"]["reduce"], shown["best"]["id"], shown["best"]["kpi"]) == ("best", first["job_id"], 0.9)
        for _ in range(4):
            await agent.deliver(await agent.claim_one(), run(0.6, 0.4))
        shown = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"kpi.reduce": "mean(2)"}})
        assert shown["best"]["kpi"] == 0.5
        rows = (await stage.coordinator.optimizations.trials(its_id))["rows"]
        assert [row["kpi"] for row in rows[:4]] == [0.5, 0.4, None, pytest.approx(0.3)]
        await agent.deliver(await agent.claim_one(), run(0.6, 0.4))
        found = Search.from_json(await stage.coordinator.searches.stored(its_id))
        said = [one async for one in replay(found, process)][-1]
        assert (said["equal"], said["checked"]) == (True, 11), said
        assert len(found.history) > 11
        assert_sound(stage)
        await process.stop()

    play(story, OptimizerProcess(), claim_wait_s=20.0)


def _same() -> dict[str, Any]:
    found: dict[str, Any] = body()["definition"]
    return found


def test_a_kpi_that_was_misnamed_is_corrected_without_running_anything_again(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize(max_trials=9, kpi={"channel": "acuracy"}, on_failure={"stop_after": 2})
        agent = await stage.agent()
        for kpi in (0.5, 0.7):
            await agent.deliver(await agent.claim_one(), run(kpi))
        paused = await stage.coordinator.optimizations.one(its_id)
        assert (paused["state"], paused["counts"]["FAILED"]) == ("PAUSED", 2)

        shown = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"kpi": {"channel": "accuracy"}}})

        assert (shown["counts"]["DONE"], shown["best"]["kpi"]) == (2, 0.7)
        assert (shown["best"]["end_reason"], shown["best"]["message"]) == ("finished", None)
        again = await stage.coordinator.life.edit(ADMIN, its_id, {"settings": {"kpi": {"channel": "none"}}})
        assert (again["counts"]["FAILED"], again["best"]) == (2, None)
        order = select(schema.history.c.ask_number, schema.history.c.loss).order_by(schema.history.c.seq)
        told = stage.coordinator.store.read_sync(lambda tx: [tuple(row) for row in tx.execute(order).all()])
        assert told == [(0, None), (1, None), (0, -0.5), (1, -0.7), (0, None), (1, None)]
        assert_sound(stage)

    play(story)


def test_what_would_change_is_said_without_changing_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        its_id = await stage.optimize()
        before = await stage.coordinator.life.definition(its_id)

        said = await stage.coordinator.life.edit(ADMIN, its_id, {"space": {"lr": "uniform(0, 2)"}, "dry_run": True})

        assert said["edit"]["changes"] == ["lr: uniform(0, 1) → uniform(0, 2)"]
        assert await stage.coordinator.life.definition(its_id) == before
        assert before["definition"]["optimization"]["space"] == {"lr": "uniform(0, 1)"}

    play(story)
