"""The coordinator's side of the optimizer process.

Promises: one ask at a time; a process that dies is started again once and the ask repeated; only the part of a history
that the process lacks is sent; whatever goes wrong is an `OptimizerFailed` of one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import bough
import bough_server
from bough_server.optimizers.base import Ask, OptimizerFailed, Outcome, Value

__all__ = ["Ask", "OptimizerFailed", "OptimizerProcess", "Outcome"]

START_S = 120.0  # importing hyperopt takes 1-3 s, far more on a machine that swaps
STOP_S = 2.0
DESCRIBE_S = 60.0
IDLE_S = 300.0  # after which the process ends, and with it 100 MB; the next ask starts it again
WEIGH_S = 120.0
LINE_LIMIT = 64 * 1024 * 1024


Result = TypeVar("Result")


class _Died(Exception):
    """The process ended before it answered."""


class OptimizerProcess:
    """A worker process that answers asks. Start it before use or let the first ask do so; stop it at the end.

    Attributes:
        versions: What the points depend on, by name: hyperopt, numpy, scipy, python, and optuna, cmaes and torch where
            they are installed. Empty until started.
    """

    def __init__(self, python: str = sys.executable, idle_s: float = IDLE_S) -> None:
        self.versions: dict[str, str] = {}
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._idle_s = idle_s
        self._resting: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._id = 0
        self._known: dict[str, list[Outcome]] = {}  # what the running process has been sent, by optimization

    @property
    def pid(self) -> int | None:
        """Process id of the worker, or None when none runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            OptimizerFailed: It did not become ready, such as when hyperopt is not installed.
        """
        async with self._lock:
            await self._ensure_started()
        self._rest()

    async def stop(self) -> None:
        """End the process: by closing its stdin, by force after 2 s. Harmless when it does not run."""
        if self._resting is not None:
            self._resting.cancel()
        async with self._lock:
            await self._end(force=False)

    async def ask(self, ask: Ask, timeout_s: float = 300.0) -> dict[str, Value]:
        """Return the complete flat values to try next.

        Raises:
            OptimizerFailed: The optimizer says why it cannot, died twice, or took longer than `timeout_s`.
        """
        what = f"ask {ask.number} of {ask.optimization}"
        return await self._tried(lambda: self._answer(ask), timeout_s, ask.algorithm, what)

    async def describe(self, space: Mapping[str, Any], seed: int, samples: int) -> dict[str, Any]:
        """Return ``{"tree", "hyperopt", "seed", "samples"}`` of a space (`Space.to_json()`).

        That is: `outline` of it, the expression for hyperopt as Python text, and the values that random search would
        try first with ``seed``.

        Raises:
            OptimizerFailed: As `ask`.
        """
        return await self._tried(lambda: self._describe(space, seed, samples), DESCRIBE_S, "the space", "a space")

    async def importance(self, space: Mapping[str, Any], history: Sequence[Outcome], seed: int) -> dict[str, Any]:
        """Return what `bough_server.optimizers.importance` finds; it takes seconds, so use a process of its own.

        Raises:
            OptimizerFailed: As `ask`.
        """
        return await self._tried(lambda: self._weigh(space, history, seed), WEIGH_S, "importance", "importance")

    async def _tried(self, work: Callable[[], Awaitable[Result]], timeout_s: float, who: str, what: str) -> Result:
        """Return what the process answers; once it is started again for that."""
        try:
            return await self._tried_twice(work, timeout_s, who, what)
        finally:
            self._rest()

    async def _tried_twice(
        self, work: Callable[[], Awaitable[Result]], timeout_s: float, who: str, what: str
    ) -> Result:
        async with self._lock:
            for _ in range(2):
                await self._ensure_started()
                try:
                    return await asyncio.wait_for(work(), timeout_s)
                except TimeoutError:
                    await self._end(force=True)
                    raise OptimizerFailed(f"{who} did not answer within {timeout_s:g} s.") from None
                except (_Died, ConnectionError):
                    await self._end(force=True)
        raise OptimizerFailed(f"the optimizer process died twice at {what}.")

    async def _describe(self, space: Mapping[str, Any], seed: int, samples: int) -> dict[str, Any]:
        reply = await self._exchange({"describe": space, "seed": seed, "samples": samples})
        if "failed" in reply:
            raise OptimizerFailed(reply["failed"])
        description: dict[str, Any] = reply["description"]
        return description

    async def _weigh(self, space: Mapping[str, Any], history: Sequence[Outcome], seed: int) -> dict[str, Any]:
        told = [[outcome.number, outcome.values, outcome.loss] for outcome in history]
        reply = await self._exchange({"importance": space, "new": told, "seed": seed})
        if "failed" in reply:
            raise OptimizerFailed(reply["failed"])
        found: dict[str, Any] = reply["found"]
        return found

    # -- one ask --
    async def _answer(self, ask: Ask) -> dict[str, Value]:
        history = list(ask.history)
        known = self._known.pop(ask.optimization, [])
        keep = len(known) if history[: len(known)] == known else 0
        reply = await self._exchange(_request(ask, history, keep))
        if "resend" in reply:
            reply = await self._exchange(_request(ask, history, 0))
        if "failed" in reply:
            raise OptimizerFailed(reply["failed"])
        self._known[ask.optimization] = history
        values: dict[str, Value] = reply["values"]
        return values

    async def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._id += 1
        process.stdin.write(json.dumps({"id": self._id, **request}).encode() + b"\n")
        await process.stdin.drain()
        while True:
            reply = await self._line(process)
            if reply.get("id") == self._id:  # the answer to an ask that was cancelled may come first
                return reply

    async def _line(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            raise _Died
        reply: dict[str, Any] = json.loads(line)
        return reply

    # -- the process --
    def _rest(self) -> None:
        """Let the process end when nothing is asked of it for a while."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(self._idle_s, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self._lock.locked():
            self._ending = asyncio.ensure_future(self.stop())

    async def _ensure_started(self) -> None:
        if self._process is not None and self._process.returncode is None:
            return
        await self._end(force=True)
        self._process = await asyncio.create_subprocess_exec(
            self._python,
            "-P",  # a json.py in the folder where the coordinator was started must not be imported
            "-m",
            "bough_server.optimizers.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
            start_new_session=True,  # Ctrl-C is the coordinator's
            limit=LINE_LIMIT,
        )
        await self._wait_until_ready(self._process)

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        try:
            ready = await asyncio.wait_for(self._line(process), START_S)
        except TimeoutError:
            await self._end(force=True)
            raise OptimizerFailed(f"the optimizer process was not ready within {START_S:g} s.") from None
        except _Died:
            await self._end(force=True)
            raise OptimizerFailed("the optimizer process ended before it was ready.") from None
        if "failed" in ready:
            await self._end(force=False)
            raise OptimizerFailed(ready["failed"])
        self.versions = ready["ready"]

    async def _end(self, force: bool) -> None:
        process, self._process = self._process, None
        self._known.clear()
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        if not force:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


def _request(ask: Ask, history: list[Outcome], keep: int) -> dict[str, Any]:
    return {
        "optimization": ask.optimization,
        "algorithm": ask.algorithm,
        "space": ask.space,
        "keep": keep,
        "new": [[outcome.number, outcome.values, outcome.loss] for outcome in history[keep:]],
        "number": ask.number,
        "seed": ask.seed,
        "initial_random": ask.initial_random,
    }


def environment() -> dict[str, str]:
    """Return the worker's: this process's, with this very bough importable, and one thread: an ask uses one core."""
    roots = [str(Path(path).parent) for package in (bough, bough_server) for path in package.__path__]
    path = [*dict.fromkeys(roots), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(path), "PYTHONIOENCODING": "utf-8"}
