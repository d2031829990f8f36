"""The worker process and its client, for real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bough.definition import parse
from bough_server.optimizers.client import Ask, OptimizerProcess, Outcome

SPACE = parse(
    {
        "model": "me/m",
        "command": "x",
        "hyperparameters": {"x": 0.5, "n": 3},
        "optimization": {"space": {"x": "uniform(0, 1)", "n": "range(1, 9, 2)"}},
    }
).space.to_json()


def ask(history: list[Outcome], number: int | None = None, **changes: Any) -> Ask:
    number = len(history) if number is None else number
    return Ask(
        **{
            **dict(
                optimization="a", algorithm="tpe", space=SPACE, history=history, number=number, seed=1, initial_random=3
            ),
            **changes,
        }
    )


def run(body: Callable[[OptimizerProcess], Awaitable[None]]) -> None:
    async def main() -> None:
        process = OptimizerProcess()
        try:
            await body(process)
        finally:
            await process.stop()

    asyncio.run(main())


def test_an_ask_gets_complete_values_and_the_versions_are_known() -> None:
    async def body(process: OptimizerProcess) -> None:
        await process.start()
        values = await process.ask(ask([]))

        assert set(values) == {"x", "n"}
        assert set(process.versions) == {"hyperopt", "numpy", "scipy", "python"}

    run(body)
