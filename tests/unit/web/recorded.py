"""A coordinator's answers, recorded in the protocol's shapes: enough to draw every view of the page without one.

Serves the real files of the page under the real Content-Security-Policy.
To look at it: python -m tests.unit.web.recorded
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import queue
import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

WEB = Path(__file__).resolve().parents[3] / "server" / "bough_server" / "web"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STARTED = 1_795_000_000.0
LOG = b"".join(b"epoch %d of 12, accuracy 0.%d\n" % (n, 900 + n) for n in range(1, 400))

Json = dict[str, Any]


def policy() -> str:
    """The Content-Security-Policy of the coordinator, with the hash of the page's import map."""
    found = re.search(r'<script type="importmap">(.*?)</script>', (WEB / "index.html").read_text(), re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def curve(rng: random.Random, goal: float, epochs: int) -> list[float]:
    """Accuracies that rise towards a goal."""
    return [goal * (1 - math.exp(-epoch / 3)) + rng.gauss(0, 0.004) for epoch in range(1, epochs + 1)]


class World:
    """What the recorded coordinator knows: one optimization of `count` trials, and nothing that changes by itself."""

    def __init__(self, count: int = 24, running: int = 2) -> None:
        rng = random.Random(1)
        self.points: dict[str, list[float]] = {}
        self.jobs = [self._job(rng, number, number > count - running) for number in range(1, count + 1)]
        self.why: list[str] = []
        self.logged_in = True
        self.state = "RUNNING"
        agent = {
            "id": "a1",
            "name": "gpu1",
            "slots": 2,
            "online": True,
            "drain": False,
            "running": 2,
            "host": "gpu1.lab",
        }
        self.agents: list[Json] = [{**agent, "version": "0.1.0", "seen_at": STARTED + 90}] if count else []

    def _job(self, rng: random.Random, number: int, running: bool) -> Json:
        job_id = f"k{number:02d}f9a2bq"
        failed = number % 9 == 4
        values: Json = {"batch_size": 16 * rng.randint(1, 8), "activation": rng.choice(["relu", "tanh", "logistic"])}
        values["optimizer"] = rng.choice(["sgd", "adam"])
        values[f"optimizer.{values['optimizer']}.lr"] = 10 ** rng.uniform(-3, -0.5)
        ys = curve(rng, 0.85 + 0.13 * rng.random(), 3 if failed else 5 if running else 12)
        self.points[job_id] = ys
        state = "RUNNING" if running else "FAILED" if failed else "DONE"
        return {
            "id": job_id,
            "optimization": "p7tq2m4x",
            "number": number,
            "model": "me/digits",
            "state": state,
            "end_reason": None if running else "error" if failed else "max_epochs",
            "message": "exit code 1: <b>boom</b>" if failed else None,
            "values": values,
            "kpi": None if running or failed else ys[-1],
            "kpi_last": ys[-1],
            "kpi_best": max(ys),
            "kpi_best_x": 1 + ys.index(max(ys)),
            "epochs": len(ys),
            "epochs_total": 30,
            "created_at": STARTED + number,
            "started_at": STARTED + 4 * number,
            "ended_at": None if running else STARTED + 4 * number + 7.5,
            "duration_s": None if running else 7.5,
            "exit_code": None if running else int(failed),
            "attempt": 1,
            "attempts": 1,
            "agent": "gpu1",
            "commit": "3f9a12c0" * 5,
            "record": None,
            "unreachable": number == 23,
            "partial": False,
            "status": None,
            "last": {"accuracy": ys[-1]},
        }

    def optimization(self) -> Json:
        states = [job["state"] for job in self.jobs]
        ended = [job for job in self.jobs if job["kpi"] is not None]
        return {
            "id": "p7tq2m4x",
            "model": "me/digits",
            "state": self.state,
            "reason": None,
            "created_at": STARTED,
            "ended_at": None,
            "algorithm": "tpe",
            "revision": 1,
            "max_trials": 30,
            "initial_random": 8,
            "max_parallel": 2,
            "max_epochs": 12,
            "max_time_s": 120.0,
            "seed": 1,
            "agents": None,
            "commit": "3f9a12c0" * 5,
            "folder": "examples/digits",
            "source": {"url": None, "branch": "main", "dirty": False},
            "kpi": {"channel": "accuracy", "direction": "maximize", "reduce": "last"},
            "counts": {state: states.count(state) for state in set(states)},
            "finished": sum(state != "RUNNING" for state in states),
            "best": max(ended, key=lambda job: job["kpi"]) if ended else None,
            "space": ["activation", "batch_size", "optimizer", "optimizer.adam.lr", "optimizer.sgd.lr"],
            "repository": "/git/me/digits.git",
            "warnings": [],
        }

    def channels(self, job_id: str) -> list[Json]:
        ys = self.points[job_id]
        xs = list(range(1, len(ys) + 1))
        ts = [STARTED + x for x in xs]
        accuracy = {
            "name": "accuracy",
            "traces": ["accuracy"],
            "type": "number",
            "kpi": True,
            "main": True,
            "x": xs,
            "y": [ys],
            "t": ts,
            "overrun": None,
            "cut": None,
            "system": False,
        }
        loss = [1 - y for y in ys]
        both = {
            "name": "loss",
            "traces": ["training", "validation"],
            "type": "number",
            "kpi": False,
            "main": False,
            "x": xs,
            "t": ts,
        }
        note = {
            "name": "note",
            "traces": ["note"],
            "type": "text",
            "kpi": False,
            "main": False,
            "x": [1],
            "y": [["warm <i>start</i>"]],
            "t": ts[:1],
        }
        return [
            accuracy,
            {**both, "y": [loss, ["nan", *loss[1:]]], "overrun": 10, "cut": 10},
            {**note, "overrun": None, "cut": None},
        ]

    def answer(self, path: str, fields: dict[str, list[str]]) -> Any:
        """The reply to one GET below /api/v1, or None."""
        if path == "/optimizations":
            return {"rows": [self.optimization()] if self.jobs else [], "total": int(bool(self.jobs))}
        if path == "/optimizations/p7tq2m4x":
            return self.optimization()
        if path == "/optimizations/p7tq2m4x/trials":
            return self._trials(fields)
        if path == "/optimizations/p7tq2m4x/overview":
            return self._overview()
        if path == "/optimizations/p7tq2m4x/curves":
            return self._curves(fields)
        if path == "/optimizations/p7tq2m4x/importance":
            shares = {"optimizer.sgd.lr": 0.7, "batch_size": 0.2}
            parameters = [
                {"path": path, "importance": one, "spread": 0.05, "given": None} for path, one in shares.items()
            ]
            pairs = [{"paths": ["batch_size", "optimizer.sgd.lr"], "importance": 0.08, "spread": 0.02}]
            return {"trials": 22, "parameters": parameters, "interactions": pairs, "warnings": [], "reason": None}
        if path == "/optimizations/p7tq2m4x/edits":
            return {"rows": [], "total": 0}
        if path == "/jobs":
            held = [job for job in self.jobs if job["state"] == "RUNNING"]
            return {"rows": held, "total": len(held)}
        if path == "/agents/a1/usage":
            busy = {"name": "cpu", "unit": "%", "x": [STARTED, STARTED + 10], "y": [12.5, 80]}
            return {"agent": "a1", "name": "gpu1", "channels": [busy]}
        if path.startswith("/jobs/"):
            job_id, _, what = path[6:].partition("/")
            if what and job_id in self.points and what != "points":
                return {
                    "files": {"rows": [], "total": 0},
                    "documents": {"rows": [], "total": 0},
                    "actions": {"actions": [], "calls": []},
                    "marks": {"star": False, "tags": [], "note": ""},
                }.get(what)
            if what == "points" and job_id in self.points:
                return {"channels": self.channels(job_id)}
            return next((job for job in self.jobs if job["id"] == job_id), None)
        return {
            "/agents": {"rows": self.agents, "total": len(self.agents)},
            "/why": {"reasons": self.why},
            "/health": {"ok": True},
            "/me": {"scope": "user"},
        }.get(path)

    def _overview(self) -> Json:
        same = "id number state end_reason kpi epochs epochs_total duration_s unreachable agent"
        names = [*same.split(), "created_at", "started_at", "ended_at"]
        paths = {path: None for job in self.jobs for path in job["values"]}
        values = {path: [job["values"].get(path) for job in self.jobs] for path in paths}
        return {**{name: [job[name] for job in self.jobs] for name in names}, "values": values}

    def _curves(self, fields: dict[str, list[str]]) -> Json:
        wanted = {int(number) for number in fields.get("trials", [""])[0].split(",") if number}
        curves = [
            {"number": job["number"], "id": job["id"], "x": list(range(1, len(ys) + 1)), "y": ys}
            for job in self.jobs
            if job["number"] in wanted
            for ys in [self.points[job["id"]]]
        ]
        return {"channel": "accuracy", "channels": ["accuracy", "loss/training"], "curves": curves}

    def _trials(self, fields: dict[str, list[str]]) -> Json:
        def one(name: str, default: str) -> str:
            return fields.get(name, [default])[0]

        rows = [job for job in self.jobs if one("state", job["state"]) == job["state"]]
        sort = one("sort", "number")
        rows.sort(
            key=lambda job: (job.get(sort) is not None, job.get(sort) or 0),
            reverse=one("descending", "false") == "true",
        )
        offset = int(one("offset", "0"))
        return {"rows": rows[offset : offset + int(one("limit", "100"))], "total": len(rows)}


class Recorded:
    """The world behind HTTP on a port of its own; `tell` sends an event to every stream, `hang_up` ends them all."""

    def __init__(self, world: World, port: int = 0) -> None:
        self.world = world
        self.streams: list[queue.Queue[bytes | None]] = []
        self.asked: list[str] = []
        recorded = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                recorded.handle(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                recorded.handle(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Recorded:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tell(self, event: str, data: Json) -> None:
        for stream in list(self.streams):
            stream.put(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

    def hang_up(self) -> None:
        for stream in list(self.streams):
            stream.put(None)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.asked.append(request.command + " " + request.path)
        if parts.path.startswith("/api/v1"):
            self._api(request, parts.path.removeprefix("/api/v1"), parse_qs(parts.query))
        else:
            self._file(request, WEB / (parts.path.lstrip("/") or "index.html"))

    def _file(self, request: BaseHTTPRequestHandler, path: Path) -> None:
        found = path.is_file()
        self._send(
            request, 200 if found else 404, TYPES.get(path.suffix, "text/plain"), path.read_bytes() if found else b""
        )

    def _api(self, request: BaseHTTPRequestHandler, path: str, fields: dict[str, list[str]]) -> None:
        if not self.world.logged_in:
            self._send_json(request, 401, {"error": "denied", "detail": "No key.", "remedy": "bough login"})
        elif path == "/events":
            self._stream(request)
        elif path.endswith("/log"):
            offset, limit = int(fields["offset"][0]), int(fields["limit"][0])
            self._send(request, 200, "text/plain", LOG[offset : offset + limit], {"Bough-Log-Bytes": str(len(LOG))})
        elif request.command == "POST":
            self.world.state = "PAUSED"  # it holds still, whatever was asked of it
            self._send_json(request, 200, self.world.optimization())
        else:
            reply = self.world.answer(path, fields)
            missing = {
                "error": "not_found",
                "detail": f"There is no {path}.",
                "remedy": "bough optimization ls lists what there is.",
            }
            self._send_json(request, 404 if reply is None else 200, missing if reply is None else reply)

    def _stream(self, request: BaseHTTPRequestHandler) -> None:
        mine: queue.Queue[bytes | None] = queue.Queue()
        mine.put(b"event: hello\ndata: {}\n\n")
        self.streams.append(mine)
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        try:
            while (event := mine.get()) is not None:
                request.wfile.write(event)
                request.wfile.flush()
        except OSError:
            pass  # the browser left
        self.streams.remove(mine)

    def _send_json(self, request: BaseHTTPRequestHandler, status: int, reply: Any) -> None:
        self._send(request, status, "application/json", json.dumps(reply).encode())

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        kind: str,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", f"{kind}; charset=utf-8")
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Security-Policy", policy())
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


if __name__ == "__main__":
    with Recorded(World(), port=8499) as shown:
        print(shown.url)
        threading.Event().wait()
