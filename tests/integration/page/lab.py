"""A real coordinator for the tests of the page, and an agent that speaks the protocol over HTTP.

What the page shows is what the coordinator made of messages as an agent sends them; there is no script behind them, so
that a test says itself what is reported, and when.
"""

from __future__ import annotations

import json
import math
import uuid
import zlib
from dataclasses import dataclass, field
from typing import Any

from tests.integration.api.running import Running
from tests.integration.server.driver import COMMIT, exit_of, happened, journal, which

Json = dict[str, Any]

DEFINITION: Json = {
    "model": "me/digits",
    "command": "python train.py",
    "hyperparameters": {
        "batch_size": 32,
        "activation": {"type": "choice_string", "choices": ["relu", "tanh"]},
        "optimizer": {"type": "choice_group", "choices": {"sgd": {"lr": 0.01}, "adam": {"lr": 0.001}}},
    },
    "optimization": {
        "algorithm": "random",
        "seed": 1,
        "max_trials": 30,
        "max_parallel": 30,
        "max_epochs": 12,
        "on_failure": {"stop_after": 100},
        "kpi": {"channel": "accuracy", "direction": "maximize"},
        "space": {
            "batch_size": "range(16, 128, 16)",
            "activation": "choice",
            "optimizer": "choice",
            "optimizer.sgd.lr": "loguniform(1e-4, 1)",
            "optimizer.adam.lr": "loguniform(1e-5, 1e-2)",
        },
    },
}
KPI = ["c", "accuracy", {"traces": ["accuracy"], "type": "number", "main": True, "kpi": True, "maximize": True}]
LOSS = ["c", "loss", {"traces": ["training", "validation"], "type": "number"}]
NOTE = ["c", "note", {"traces": ["note"], "type": "text"}]


def told(goal: float, epochs: int, note: str = "warm <i>start</i>") -> list[list[Any]]:
    """Return the lines of a script that comes closer to ``goal``, epoch by epoch."""
    lines: list[list[Any]] = [["h", {"pid": 1}], KPI, LOSS, NOTE, ["p", "note", 0, note]]
    for epoch in range(1, epochs + 1):
        value = goal * (1 - math.exp(-epoch / 3))
        lines += [
            ["p", "accuracy", epoch, value],
            ["p", "loss", epoch, [1 - value, "nan" if epoch == 1 else 1 - value]],
        ]
        lines.append(["g", epoch, 30])
    return lines


def log_of(lines: int) -> bytes:
    """Return a log of so many lines."""
    return b"".join(b"epoch %d of 12\n" % n for n in range(1, lines + 1))


@dataclass
class Speaker:
    """An agent: ``held`` are the claims that it runs, by the numbers of their trials."""

    running: Running
    name: str
    slots: int
    agent_id: str = ""
    epoch: str = field(default_factory=lambda: uuid.uuid4().hex)
    held: dict[int, Json] = field(default_factory=dict)
    said: dict[int, list[list[Any]]] = field(default_factory=dict)  # every line so far, by number

    def connect(self, host: str = "gpu1.lab") -> Speaker:
        body = {"name": self.name, "slots": self.slots, "epoch": self.epoch, "version": "0.1.0", "host": host}
        self.agent_id = self._sent("/api/v1/agents", json=body)["agent_id"]
        return self

    def sync(self, parts: list[tuple[Json, str, int, bytes]], events: list[Json], wants: int = 0) -> Json:
        """Send one message; parts are (claim, stream, offset, bytes)."""
        described = [
            {**which(claim), "stream": stream, "offset": offset, "bytes": len(data), "crc": zlib.crc32(data)}
            for claim, stream, offset, data in parts
        ]
        header = {"epoch": self.epoch, "free_slots": wants, "claim_key": uuid.uuid4().hex if wants else None}
        header |= {"held": [[claim["job_id"], claim["attempt"]] for claim in self.held.values()], "usage": None}
        body = json.dumps({**header, "parts": described, "events": events}).encode() + b"\n"
        body += b"".join(data for *_, data in parts)
        kind = {"Content-Type": "application/x-bough-sync"}
        return self._sent(f"/api/v1/agents/{self.agent_id}/sync", data=body, headers=kind)

    def claim(self, count: int) -> list[Json]:
        """Take so many trials, and say that they run."""
        taken: list[Json] = []
        while len(taken) < count:
            granted = self.sync([], [], wants=count - len(taken))["granted"]
            self.held |= {claim["number"]: claim for claim in granted}
            taken += granted
        self.sync([], [happened(claim, "running") for claim in taken])
        return taken

    def report(self, claim: Json, lines: list[list[Any]], log: bytes = b"") -> None:
        """Ship more lines of a running trial, and the first piece of its log."""
        self.sync(self._parts(claim, lines, log), [])

    def end(self, claim: Json, lines: list[list[Any]], log: bytes = b"", **exit_: Any) -> None:
        """Ship the last lines of a trial, and its end; ``log`` is all of its log."""
        parts = self._parts(claim, lines, log)
        exit_ = exit_of(journal(*self.said[claim["number"]]), log, **exit_)
        self.sync(parts, [happened(claim, "exited", exit=exit_)])
        del self.held[claim["number"]]

    def _parts(self, claim: Json, lines: list[list[Any]], log: bytes) -> list[tuple[Json, str, int, bytes]]:
        said = self.said.setdefault(claim["number"], [])
        offset = len(journal(*said))
        said += lines
        parts = [(claim, "journal/1-aa", offset, journal(*said)[offset:]), (claim, "log", 0, log)]
        return [part for part in parts if part[3]]

    def _sent(self, path: str, **request: Any) -> Json:
        reply = self.running.call("POST", path, **request)
        assert reply.ok, reply.text
        answer: Json = reply.json()
        return answer


@dataclass
class Search:
    """An optimization that a test may do with as it likes."""

    id: str
    agent: Speaker
    jobs: dict[int, str]  # ids by number
    best: int = 0

    def address(self, view: str) -> str:
        """Return the address of a view: of this search, of its best job, of the form that edits it, or any other."""
        mine = {
            "{search}": f"optimizations/{self.id}",
            "{job}": f"jobs/{self.jobs[self.best]}",
            "edit": f"edit/{self.id}",
        }
        mine["{compare}"] = "compare?jobs=" + json.dumps([self.jobs[1], self.jobs[2]], separators=(",", ":"))
        return mine.get(view, view)


class Lab:
    """One coordinator, and the searches that tests make in it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.url = running.url
        self._names = iter(f"gpu{n}" for n in range(1, 1000))

    def link(self, scope: str = "", user: str = "") -> str:
        """Return an address that logs a browser in: as admin, or with a new key."""
        key = self.running.key(scope, user) if scope else None
        return self.url + str(self.running.call("POST", "/api/v1/login-links", key=key).json()["url"])

    def get(self, path: str) -> Any:
        return self.running.call("GET", "/api/v1" + path).json()

    def post(self, path: str, **body: Any) -> Any:
        reply = self.running.call("POST", "/api/v1" + path, json=body)
        assert reply.ok, reply.text
        return reply.json()

    def optimize(self, model: str = "me/digits", **settings: Any) -> str:
        """Start an optimization; return its id. Unless ``agents`` says who, nobody takes its trials."""
        settings = {"agents": ["nobody"], **settings}
        made = {**DEFINITION, "model": model, "optimization": {**DEFINITION["optimization"], **settings}}
        body = {"definition": made, "commit": COMMIT, "folder": "examples/digits", "source": {"branch": "main"}}
        return str(self.post("/optimizations", **body, fixed={})["id"])

    def agent(self, slots: int = 30, host: str = "gpu1.lab") -> Speaker:
        return Speaker(self.running, next(self._names), slots).connect(host)

    def search(self, ended: int = 8, running: int = 1, model: str = "me/digits", note: str = "warm") -> Search:
        """Make an optimization of which some trials have ended, the third by a failure, and some run."""
        agent = self.agent()
        made = Search(self.optimize(model, agents=[agent.name]), agent, {})
        claims = agent.claim(ended + running)
        made.jobs = {claim["number"]: claim["job_id"] for claim in claims}
        for claim in claims[:ended]:
            number = claim["number"]
            lines = told(0.8 + 0.01 * number, 12, note)
            if number == 3:
                agent.end(claim, lines[:11], log_of(3), exit_code=1)
            else:
                agent.end(claim, lines, log_of(400), cause="max_epochs")
                made.best = number
        for claim in claims[ended:]:
            agent.report(claim, told(0.7, 5, note), log_of(5))
        return made
