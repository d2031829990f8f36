"""Jobs as people look through them: any column, filter and order; what they mark; what charts are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.server.conftest import Stage, Story
from tests.integration.server.driver import ADMIN, journal, run

from bough.errors import NotFound, UsageError
from bough_server.service import table
from bough_server.service.identity import Key
from bough_server.service.table import Request

Play = Callable[[Story], None]


async def searched(stage: Stage) -> str:
    """Return an optimization with four trials: KPI 0.5, 0.9 and 0.1, and one that failed; lr is 0, 1, 2 and 3."""
    optimization = await stage.optimize(max_trials=4)
    agent = await stage.agent()
    for kpi in (0.5, 0.9, 0.1):
        told = run(kpi) + journal(
            ["c", "loss", {"traces": ["training", "validation"]}],
            ["p", "loss", 1, [kpi, 2 * kpi]],
            ["i", "host.name", f"box {kpi}"],
        )
        await agent.deliver(await agent.claim_one(), told)
    await agent.deliver(await agent.claim_one(), b"", exit_code=1)
    return optimization


async def numbers(stage: Stage, optimization: str, *where: list[Any], sort: str = "number") -> list[int]:
    asked = Request(optimization=optimization, columns=["number"], where=where, sort=[sort])
    return [row["cells"][0] for row in (await stage.coordinator.tables.page(asked, 100, 0))["rows"]]


def test_the_usual_columns_are_those_of_state_kpi_hyperparameters_and_main_channels(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await searched(stage)
        page = await stage.coordinator.tables.page(Request(optimization=optimization, sort=["-kpi"]), 2, 0)
        names = [column["name"] for column in page["columns"]]
        assert names == ["number", "state", "kpi", "duration_s", "agent", "p.lr", "channel.accuracy"]
        assert page["total"] == 4
        assert [row["cells"] for row in page["rows"]] == [
            [2, "DONE", 0.9, 1.5, "anna", 1.0, 0.9],
            [1, "DONE", 0.5, 1.5, "anna", 0.0, 0.5],
        ]
        told = {one["name"]: one["kind"] for one in (await stage.coordinator.tables.columns(Request()))["columns"]}
        assert {"info.host.name", "channel.loss/validation", "p.lr", "tags", "note"} <= set(told)

    play(story)


CONDITIONS: list[tuple[list[list[Any]], list[int]]] = [
    ([["kpi", ">", 0.3]], [1, 2]),
    ([["kpi", "<=", "0.5"], ["p.lr", ">=", 1]], [3]),
    ([["p.lr", "=", 3]], [4]),
    ([["p.lr", "!=", 3]], [1, 2, 3]),
    ([["p.lr", "in", [0, 2]]], [1, 3]),
    ([["state", "=", "failed"]], [4]),
    ([["state", "in", "FAILED,ABORTED"]], [4]),
    ([["kpi", "empty"]], [4]),
    ([["kpi", "given"]], [1, 2, 3]),
    ([["channel.loss/validation", ">", 1.5]], [2]),
    ([["channel.loss/training", "<", 0.2]], [3]),
    ([["info.host.name", "contains", "BOX 0.9"]], [2]),
    ([["info.host.name", "=", "box 0.1"]], [3]),
    ([["info.host.name", "lacks", "0.9"]], [1, 3, 4]),
    ([["agent", "=", "anna"]], [1, 2, 3, 4]),
    ([["agent", "contains", "%"]], []),
    ([["duration_s", "<", 1]], []),
]


@pytest.mark.parametrize(("where", "expected"), CONDITIONS, ids=[str(n) for n in range(len(CONDITIONS))])
def test_a_filter_keeps_what_all_its_conditions_hold_for(
    play: Play, where: list[list[Any]], expected: list[int]
) -> None:
    async def story(stage: Stage) -> None:
        assert await numbers(stage, await searched(stage), *where) == expected

    play(story)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-kpi", [2, 1, 3, 4]),
        ("p.lr", [1, 2, 3, 4]),
        ("-p.lr", [4, 3, 2, 1]),
        ("channel.loss/validation", [3, 1, 2, 4]),
        ("-info.host.name", [2, 1, 3, 4]),
    ],
)
def test_the_table_is_sorted_by_any_column_with_what_is_missing_last(
    play: Play, sort: str, expected: list[int]
) -> None:
    async def story(stage: Stage) -> None:
        assert await numbers(stage, await searched(stage), sort=sort) == expected

    play(story)


def test_the_file_holds_exactly_what_is_shown_and_all_pages_of_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        asked = Request(
            optimization=await searched(stage),
            columns=["number", "created", "p.lr"],
            where=[["kpi", "given"]],
            sort=["-kpi"],
        )
        columns, rows = await stage.coordinator.tables.file(asked)
        assert columns == ["number", "created", "p.lr"]
        assert [row["number"] for row in rows] == [2, 1, 3]
        _, rows = await stage.coordinator.tables.file(asked)
        assert next(rows)["created"] == "2023-11-14T22:30:00.000Z"

    play(story)


BAD: list[tuple[Request, str]] = [
    (Request(columns=["colour"]), "there is no column colour"),
    (Request(sort=["-colour"]), "there is no column colour"),
    (Request(where=[["kpi", "like", 1]]), "like is no operator"),
    (Request(where=[["kpi", ">", "much"]]), "kpi > 'much' compares no number"),
    (Request(where=["kpi"]), "kpi is no condition"),
    (Request(where=[["kpi", "empty"]] * 51), "at most 50 conditions"),
]


@pytest.mark.parametrize(("asked", "sentence"), BAD, ids=[str(n) for n in range(len(BAD))])
def test_a_table_that_cannot_be_made_is_refused_in_a_sentence(play: Play, asked: table.Request, sentence: str) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(UsageError, match=sentence):
            await stage.coordinator.tables.page(asked, 10, 0)

    play(story)


def test_stars_tags_and_notes_are_kept_filtered_by_and_taken_away(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await searched(stage)
        tables = stage.coordinator.tables
        page = await tables.page(Request(optimization=optimization, sort=["number"]), 10, 0)
        first, second = page["rows"][0]["id"], page["rows"][1]["id"]
        assert await tables.mark(ADMIN, first, {"tags": ["good", " best ", "good"]}) == {
            "star": False,
            "note": "",
            "tags": ["best", "good"],
        }
        await tables.mark(ADMIN, first, {"note": "look again"})
        await tables.mark(ADMIN, second, {"star": True, "tags": ["bes"]})
        assert (await tables.marks(first))["note"] == "look again"
        assert await numbers(stage, optimization, ["tags", "=", "best"]) == [1]
        assert await numbers(stage, optimization, ["tags", "in", ["bes", "good"]]) == [1, 2]
        assert await numbers(stage, optimization, ["tags", "lacks", "good"]) == [2, 3, 4]
        assert await numbers(stage, optimization, ["tags", "empty"]) == [3, 4]
        assert await numbers(stage, optimization, ["star", "=", True]) == [2]
        assert await numbers(stage, optimization, ["star", "=", "false"]) == [1, 3, 4]
        assert await numbers(stage, optimization, ["note", "contains", "look"]) == [1]
        for body, sentence in (
            ({"colour": 1}, "'colour' marks nothing"),
            ({"star": "yes"}, "star is neither"),
            ({"tags": "good"}, "tags are no list"),
            ({"tags": ["x" * 61]}, "up to 20 tags of up to 60"),
            ({"note": "x" * 10_001}, "no text of up to 10000"),
        ):
            with pytest.raises(UsageError, match=sentence):
                await tables.mark(ADMIN, first, body)

    play(story)


def test_views_are_kept_for_each_user_apart_by_name(play: Play) -> None:
    async def story(stage: Stage) -> None:
        tables = stage.coordinator.tables
        anna, ben = Key("a", "a", "user", "anna"), Key("b", "b", "user", "ben")
        made = await tables.keep_view(anna, {"name": "best", "address": "#/jobs?sort=-kpi"})
        again = await tables.keep_view(anna, {"name": "best", "address": "#/jobs?sort=kpi"})
        assert made["id"] == again["id"]
        assert [one["address"] for one in (await tables.views(anna))["rows"]] == ["#/jobs?sort=kpi"]
        assert (await tables.views(ben))["rows"] == []
        with pytest.raises(NotFound, match="no view"):
            await tables.drop_view(ben, made["id"])
        with pytest.raises(UsageError, match="begins with #/"):
            await tables.keep_view(anna, {"name": "x", "address": "javascript:alert(1)"})
        await tables.drop_view(anna, made["id"])
        assert (await tables.views(anna))["total"] == 0

    play(story)


def test_charts_get_all_trials_by_columns_and_thinned_curves(play: Play) -> None:
    async def story(stage: Stage) -> None:
        optimization = await searched(stage)
        shown = await stage.coordinator.tables.overview(optimization[:5])
        assert shown["number"] == [1, 2, 3, 4]
        assert shown["kpi"] == [0.5, 0.9, 0.1, None]
        assert shown["values"] == {"lr": [0.0, 1.0, 2.0, 3.0]}
        assert shown["agent"] == ["anna"] * 4
        curves = await stage.coordinator.tables.curves(optimization, None, [], 100)
        assert curves["channel"] == "accuracy"
        assert curves["channels"] == ["accuracy", "loss/training", "loss/validation"]
        assert [(one["number"], one["x"], one["y"]) for one in curves["curves"]] == [
            (1, [1.0], [0.5]),
            (2, [1.0], [0.9]),
            (3, [1.0], [0.1]),
        ]
        some = await stage.coordinator.tables.curves(optimization, "loss/validation", [3], 100)
        assert [one["y"] for one in some["curves"]] == [[0.2]]
        with pytest.raises(NotFound, match="has a channel colour"):
            await stage.coordinator.tables.curves(optimization, "colour", [], 100)
        with pytest.raises(UsageError, match="too many"):
            await stage.coordinator.tables.curves(optimization, None, list(range(501)), 100)

    play(story)
