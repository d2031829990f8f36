"""The worker process and its client, for real."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bough.definition import parse
from bough_server.optimizers.client import Ask, OptimizerFailed, OptimizerProcess, Outcome, environment
from bough_server.optimizers.extras import optional_versions
from bough_server.optimizers.worker import CACHED

SPACE = parse(
    {
        "model": "me/m",
        "command": "x",
        "hyperparameters": {"x": 0.5, "n": 3},
        "optimization": {"space": {"x": "uniform(0, 1)", "n": "range(1, 9, 2)"}},
    }
).space.to_json()


def ask(history: list[Outcome], **changes: Any) -> Ask:
    first = Ask("a", "tpe", SPACE, history, number=len(history), seed=1, initial_random=3)
    return dataclasses.replace(first, **changes)


def run(body: Callable[[OptimizerProcess], Awaitable[None]], python: str = sys.executable) -> None:
    async def main() -> None:
        process = OptimizerProcess(python)
        try:
            await body(process)
        finally:
            await process.stop()
        assert process.pid is None

    asyncio.run(main())


async def search(process: OptimizerProcess, trials: int, **changes: Any) -> list[Outcome]:
    history: list[Outcome] = []
    for number in range(trials):
        values = await process.ask(ask(history, **changes))
        history.append(Outcome(number, values, float(values["x"])))
    return history


def test_an_ask_gets_complete_values_and_the_versions_are_known() -> None:
    async def body(process: OptimizerProcess) -> None:
        await process.start()
        values = await process.ask(ask([]))

        assert set(values) == {"x", "n"}
        assert set(process.versions) == {"hyperopt", "numpy", "scipy", "python", *optional_versions()}

    run(body)


def test_a_worker_that_is_killed_is_started_again_and_the_ask_repeated() -> None:
    async def body(process: OptimizerProcess) -> None:
        history = await search(process, 8)
        before = await process.ask(ask(history))
        first = process.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)
        after = await process.ask(ask(history))

        assert after == before
        assert process.pid != first

    run(body)


def test_only_new_outcomes_are_sent_and_a_changed_history_is_sent_whole() -> None:
    """Several optimizations take turns, one more than the worker remembers, and one history changes."""

    async def body(process: OptimizerProcess) -> None:
        history = await search(process, 6)
        other = [Outcome(o.number, o.values, -float(o.values["x"])) for o in history]
        expected = {False: await process.ask(ask(history)), True: await process.ask(ask(other, optimization="b"))}

        assert await process.ask(ask(other)) == expected[True]
        assert await process.ask(ask(history)) == expected[False]
        for index in range(CACHED + 1):
            assert await process.ask(ask(other, optimization=f"turn {index}")) == expected[True]
        assert await process.ask(ask(history)) == expected[False]
        assert await process.ask(ask(history, number=6, seed=2)) != expected[False]

    run(body)


def test_what_goes_wrong_in_an_ask_is_one_line_and_the_next_ask_works() -> None:
    async def body(process: OptimizerProcess) -> None:
        broken = {**SPACE, "searched": [["x", "uniform(1, 0)"]]}

        with pytest.raises(OptimizerFailed, match=r"^parameter x: low 1 is above high 0\. Swap the two\.$"):
            await process.ask(ask([], space=broken))
        with pytest.raises(OptimizerFailed, match=r"^KeyError: 'tpa'$"):
            await process.ask(ask([], algorithm="tpa"))

        assert set(await process.ask(ask([]))) == {"x", "n"}

    run(body)


def test_an_ask_that_takes_too_long_fails_and_the_next_one_works() -> None:
    async def body(process: OptimizerProcess) -> None:
        await process.start()

        with pytest.raises(OptimizerFailed, match=r"^tpe did not answer within 1e-05 s\.$"):
            await process.ask(ask([]), timeout_s=0.00001)

        assert set(await process.ask(ask([]))) == {"x", "n"}

    run(body)


def test_an_ask_that_is_cancelled_does_not_confuse_the_next_one() -> None:
    async def body(process: OptimizerProcess) -> None:
        history = await search(process, 5)
        expected = await process.ask(ask(history))
        task = asyncio.create_task(process.ask(ask(history[:4])))
        await asyncio.sleep(0)  # let it begin
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await process.ask(ask(history)) == expected

    run(body)


def test_asks_at_the_same_time_are_answered_one_after_the_other() -> None:
    async def body(process: OptimizerProcess) -> None:
        one = await process.ask(ask([]))

        assert await asyncio.gather(*(process.ask(ask([])) for _ in range(5))) == [one] * 5

    run(body)


def test_a_python_that_cannot_run_the_worker_is_one_line(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)

    async def body(process: OptimizerProcess) -> None:
        with pytest.raises(OptimizerFailed, match=r"^the optimizer process ended before it was ready\.$"):
            await process.ask(ask([]))

    run(body, str(python))


def test_a_worker_that_dies_at_every_ask_is_given_up(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '{\"ready\": {}}'\nread line\nexit 3\n")
    python.chmod(0o755)

    async def body(process: OptimizerProcess) -> None:
        with pytest.raises(OptimizerFailed, match=r"^the optimizer process died twice at ask 0 of a\.$"):
            await process.ask(ask([]))

    run(body, str(python))


def worker(**options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bough_server.optimizers.worker"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(), **options)


def test_the_worker_ignores_ctrl_c_ends_with_its_stdin_and_writes_json_lines_only() -> None:
    process = worker()
    assert process.stdin is not None
    assert process.stdout is not None
    assert "ready" in json.loads(process.stdout.readline())

    process.send_signal(signal.SIGINT)
    request = {"id": 1, "optimization": "a", "algorithm": "random", "space": SPACE, "keep": 0, "new": [], "number": 0}
    output, _ = process.communicate(json.dumps({**request, "seed": 1, "initial_random": 0}) + "\n", timeout=60)

    assert [json.loads(line)["id"] for line in output.splitlines()] == [1]
    assert process.returncode == 0


def test_the_client_imports_neither_hyperopt_nor_numpy() -> None:
    code = "import sys, bough_server.optimizers.client; print([m for m in ('hyperopt', 'numpy') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_process_of_which_nothing_is_asked_ends_and_starts_again_when_it_is_needed() -> None:
    async def story() -> None:
        process = OptimizerProcess(idle_s=0.2)
        space = {"a": 1}
        try:
            await process.start()
            first = process.pid
            async with asyncio.timeout(30):
                while process.pid is not None:
                    await asyncio.sleep(0.01)
            with contextlib.suppress(OptimizerFailed):  # what it says to that does not matter here
                await process.describe(space, 1, 0)
            assert process.pid not in (None, first)
        finally:
            await process.stop()

    asyncio.run(story())
