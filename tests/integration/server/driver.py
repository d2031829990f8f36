"""An agent's side of the protocol, spoken to a real coordinator; and a clock that moves when it is told to."""

from __future__ import annotations

import asyncio
import json
import uuid
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bough_server.config import Config
from bough_server.coordinator import Coordinator
from bough_server.optimizers.client import Ask
from bough_server.service.identity import Key

ADMIN = Key("admin", "admin", "admin", "")
AGENT = Key("agent", "agent", "agent", "")
COMMIT = "3f9a12c0" * 5


class MovedClock:
    """Both times, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return 1.7e9 + self.at

    def monotonic(self) -> float:
        return self.at

    def pass_time(self, seconds: float) -> None:
        self.at += seconds


class CountingOptimizer:
    """Answers at once with the number of the ask: lr is 0, 1, 2, …; remembers what it was asked."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.versions: dict[str, str] = {}

    async def ask(self, ask: Ask) -> dict[str, Any]:
        self.asks.append(Ask(ask.optimization, ask.algorithm, ask.space, tuple(ask.history), ask.number, ask.seed, 0))
        return {"lr": float(ask.number)}

    async def describe(self, space: Mapping[str, Any], seed: int, samples: int) -> dict[str, Any]:
        return {"tree": [], "hyperopt": "", "seed": seed, "samples": [{"lr": float(n)} for n in range(samples)]}


def definition(**settings: Any) -> dict[str, Any]:
    """Return a bough.yml as JSON; ``settings`` go into its section optimization."""
    return {
        "model": "me/digits",
        "command": "python train.py",
        "hyperparameters": {"lr": 0.1},
        "optimization": {"algorithm": "tpe", "seed": 1, "space": {"lr": "uniform(0, 1)"}, **settings},
    }


def request(**settings: Any) -> dict[str, Any]:
    """Return the body of `POST /optimizations`."""
    return {"definition": definition(**settings), "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}


async def started(home: Path, clock: MovedClock, optimizer: Any = None, **more: Any) -> Coordinator:
    """Return a coordinator that runs in ``home``; ``more`` are arguments of `Config`."""
    config = Config(home, port=0, **{"patience_s": 0.0, **more})
    found = Coordinator(config, clock, optimizer or CountingOptimizer())
    await found.start()
    return found


def journal(*lines: list[Any]) -> bytes:
    """Return lines as a journal holds them; kind and the rest are given, number and time are added."""
    return b"".join(json.dumps([line[0], n, 1.7e9 + n, *line[1:]]).encode() + b"\n" for n, line in enumerate(lines))


KPI = ["c", "accuracy", {"traces": ["accuracy"], "type": "number", "main": True, "kpi": True, "maximize": True}]


def run(*values: float) -> bytes:
    """Return the journal of a script that sends these values through its KPI channel, one an epoch."""
    lines: list[list[Any]] = [["h", {"pid": 1}], KPI]
    for i, value in enumerate(values, 1):
        lines += [["p", "accuracy", i, value], ["g", i, len(values)]]
    return journal(*lines)


class Agent:
    """Speaks for an agent. ``held`` is what it believes to hold."""

    def __init__(self, coordinator: Coordinator, name: str = "anna", slots: int = 1) -> None:
        self.coordinator = coordinator
        self.name = name
        self.slots = slots
        self.epoch = uuid.uuid4().hex
        self.id = ""
        self.held: dict[tuple[str, int], dict[str, Any]] = {}

    async def connect(self) -> Agent:
        body = {"name": self.name, "slots": self.slots, "epoch": self.epoch, "version": "0.1.0", "host": "here"}
        self.id = (await self.coordinator.agents.register(AGENT, body))["agent_id"]
        return self

    async def sync(
        self,
        parts: list[tuple[Mapping[str, Any], str, int, bytes]] | None = None,
        events: list[dict[str, Any]] | None = None,
        wants: int = 0,
        claim_key: str | None = None,
    ) -> dict[str, Any]:
        """Send one message; parts are (claim, stream, offset, bytes)."""
        header, payload = self.message(parts or [], events or [], wants, claim_key)
        reply = await self.coordinator.agents.sync(AGENT, self.id, header, payload)
        self.take(reply)
        return reply

    def message(
        self,
        parts: list[tuple[Mapping[str, Any], str, int, bytes]],
        events: list[dict[str, Any]],
        wants: int = 0,
        claim_key: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        described = [
            {**which(claim), "stream": stream, "offset": offset, "bytes": len(data), "crc": zlib.crc32(data)}
            for claim, stream, offset, data in parts
        ]
        key = claim_key or (uuid.uuid4().hex if wants else None)
        header = {"epoch": self.epoch, "free_slots": wants, "claim_key": key, "held": [list(one) for one in self.held]}
        return {**header, "parts": described, "events": events, "usage": None}, b"".join(part[3] for part in parts)

    def take(self, reply: dict[str, Any]) -> None:
        for claim in reply["granted"]:
            self.held[claim["job_id"], claim["attempt"]] = claim
        for gone in (*reply["ended"], *reply["fenced"]):
            self.held.pop(tuple(gone), None)

    async def claim(self, wants: int = 1) -> list[dict[str, Any]]:
        granted: list[dict[str, Any]] = (await self.sync(wants=wants))["granted"]
        return granted

    async def claim_one(self) -> dict[str, Any]:
        (claim,) = await self.claim()
        return claim

    async def deliver(
        self, claim: Mapping[str, Any], told: bytes = b"", log: bytes = b"", wants: int = 0, **exit_: Any
    ) -> dict[str, Any]:
        """Report a whole run in one message: started, what it told, its log, its exit."""
        parts = [(claim, "journal/1-aa", 0, told), (claim, "log", 0, log)]
        events = [happened(claim, "running"), happened(claim, "exited", exit=exit_of(told, log, **exit_))]
        return await self.sync([part for part in parts if part[3]], events, wants=wants)


def which(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {"job": claim["job_id"], "attempt": claim["attempt"]}


def happened(claim: Mapping[str, Any], event: str, **more: Any) -> dict[str, Any]:
    return {**which(claim), "event": event, **more}


def exit_of(told: bytes = b"", log: bytes = b"", **exit_: Any) -> dict[str, Any]:
    """Return exit.json of a run with that journal and log."""
    cut = exit_.pop("cut", None)
    journals = {"1-aa": {"bytes": len(told), "crc": zlib.crc32(told), "cut": cut}} if told else {}
    seen = {"exit_code": 0, "signal": None, "cause": None, "error": None, "duration_s": 1.5}
    return {**seen, "log": {"bytes": len(log), "crc": zlib.crc32(log)}, "journals": journals, **exit_}


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.005)
