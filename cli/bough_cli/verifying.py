"""Replays a stored search, on its coordinator or on this machine, and says what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

from bough.errors import Unavailable, from_reply
from bough_cli import wording
from bough_cli.client import Client
from bough_cli.wording import Row

Progress = Callable[[int, int], None]  # (checked, total)


def on_coordinator(client: Client, optimization: str, progress: Progress, generation: int | None = None) -> Row:
    """Return the verdict of the coordinator.

    Raises:
        BoughError: It could not go through with it.
    """
    query = {"generation": generation}
    with client.reply("GET", f"/optimizations/{optimization}/verify", query=query, stream=True) as reply:
        for line in reply.iter_lines():
            said = wording.harmless(json.loads(line))
            if "error" in said:
                raise from_reply(500, said["error"], said["detail"], said.get("remedy") or "")
            if "equal" in said:
                verdict: Row = said
                return verdict
            progress(said["checked"], said["total"])
    raise Unavailable("the coordinator ended before the search was verified.", "Try again.")


def here(client: Client, optimization: str, progress: Progress, generation: int | None = None) -> Row:
    """Return the verdict of this machine: with its hyperopt, numpy and processor.

    Raises:
        OptimizerFailed: hyperopt is not installed here.
    """
    from bough_server.optimizers.client import OptimizerProcess
    from bough_server.optimizers.replay import Search, replay

    asks = client.reply("GET", f"/optimizations/{optimization}/asks", query={"generation": generation})
    search = Search.from_json(asks.json())

    async def verdict() -> Row:
        process = OptimizerProcess()
        try:
            await process.start()
            said: Row = {}
            async with contextlib.aclosing(replay(search, process)) as news:
                async for said in news:
                    if "equal" not in said:
                        progress(said["checked"], said["total"])
            return said
        finally:
            await process.stop()

    found: Row = wording.harmless(asyncio.run(verdict()))
    return found


@contextlib.contextmanager
def shown_progress(is_silent: bool) -> Any:
    """Give a function that shows the progress: a bar where stdout is a terminal, else nothing."""
    if is_silent or not sys.stdout.isatty():
        yield lambda checked, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("trials"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda checked, total: bar.update(task, completed=checked, total=total)


def sentences(verdict: Row) -> list[str]:
    """Return the verdict as lines."""
    name, total, first = verdict["optimization"], verdict["total"], verdict["first"]
    if first is None:
        if not total:
            return [f"optimization {name} has no trial with values yet: there is nothing to verify."]
        with_ = ", ".join(f"{what} {version}" for what, version in verdict["replayed"].items())
        equal = f"optimization {name}: the values of all {total} asks came out again, to the last bit ({with_})."
        return [equal, *([str(verdict["explanation"])] if verdict["explanation"] else [])]
    return [
        f"optimization {name}: trial {first['trial']} differs: {first['what'].rstrip('.')}.",
        *_parameter(first),
        f"{verdict['checked']} of {total} asks were compared before it and are equal.",
        str(verdict["explanation"]),
    ]


def _parameter(first: Row) -> list[str]:
    if first["parameter"] is None:
        return []
    stored, replayed = (_exact(first[name]) for name in ("stored", "replayed"))
    return [f"  {first['parameter']}: stored {stored}, replayed {replayed}"]


def _exact(value: Any) -> str:
    return "no value" if value is None else json.dumps(value, ensure_ascii=False)
