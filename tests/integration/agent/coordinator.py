"""A small coordinator that speaks docs/protocol.md to one agent, for tests: real HTTP, real git, everything in memory.

It keeps what it was sent exactly as the protocol says (offsets, checksums, exits only when all bytes are in), so that a
test can ask what arrived. `mishaps` are played in order, one per sync: "lose" does everything and drops the connection
instead of answering, "400", "500" and "html" do nothing and answer so, "slow" waits before it answers. A message with
anything of an attempt in `poison` is answered with the status that is named there.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "a-test-key"
Key = tuple[str, int]


class Coordinator:
    """Grants what is in `queue`, and remembers everything."""

    def __init__(self, repositories: Path) -> None:
        self.repositories = repositories
        self.key = KEY
        self.lock = threading.Condition()
        self.queue: list[dict[str, Any]] = []
        self.granted: dict[Key, dict[str, Any]] = {}
        self.grants: dict[str, list[dict[str, Any]]] = {}
        self.streams: dict[tuple[str, int, str], bytes] = {}
        self.events: list[dict[str, Any]] = []
        self.exits: dict[Key, dict[str, Any]] = {}
        self.ended: list[Key] = []
        self.fence: set[Key] = set()
        self.fenced: set[Key] = set()
        self.desired: dict[Key, tuple[str, str]] = {}
        self.agent = "run"
        self.slots: int | None = None
        self.mishaps: list[str] = []
        self.poison: dict[Key, str] = {}
        self.syncs: list[dict[str, Any]] = []
        self.introductions: list[dict[str, Any]] = []
        self.most_held = 0
        self.bell = 0
        self.git_fetches = 0
        owner = self

        class Handler(_Handler):
            coordinator = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def submit(self, **claim: Any) -> Key:
        """Queue an attempt; what is not given has a default."""
        row = {
            "job_id": uuid.uuid4().hex[:8],
            "attempt": 1,
            "marker": uuid.uuid4().hex,
            "model": "me/model",
            "optimization": None,
            "number": None,
            "git": "/git/me/model.git",
            "folder": ".",
            "values": {},
            "env": {},
            "working_dir": None,
            "max_epochs": None,
            "max_time_s": None,
            "grace_s": 5.0,
            "term_s": 2.0,
            "kpi": {"channel": None, "direction": None},
            **claim,
        }
        with self.lock:
            self.queue.append(row)
            self.ring()
        return row["job_id"], row["attempt"]

    def ring(self) -> None:
        self.bell += 1
        self.lock.notify_all()

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
        """Wait until a condition holds, and return it; fail with what was waited for."""
        deadline = time.monotonic() + timeout_s
        with self.lock:
            while not (value := condition()):
                if time.monotonic() > deadline:
                    raise AssertionError(f"waited {timeout_s} s for {what}; events: {self.events[-6:]}")
                self.lock.wait(0.1)
        return value

    def stream(self, key: Key, name: str) -> bytes:
        return self.streams.get((*key, name), b"")

    def journal(self, key: Key) -> list[list[Any]]:
        """Return all lines of all journals of an attempt."""
        data = [d for (j, a, s), d in sorted(self.streams.items()) if (j, a) == key and s.startswith("journal/")]
        return [json.loads(line) for journal in data for line in journal.splitlines()]

    def happened(self, key: Key) -> list[str]:
        return [e["event"] for e in self.events if (e["job"], e["attempt"]) == key]

    # -- the protocol ---------------------------------------------------------------------------------------
    def introduce(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.introductions.append(body)
        return {"agent_id": "a1", "instance": "i1", "heartbeat_s": 1, "lease_ttl_s": 30, "lost_after_s": 900}

    def sync(self, header: dict[str, Any], body: bytes) -> dict[str, Any]:
        with self.lock:
            self.syncs.append(header)
            self.most_held = max(self.most_held, len(header["held"]))
            position = 0
            for part in header["parts"]:
                self._store(part, body[position : position + part["bytes"]])
                position += part["bytes"]
            assert position == len(body)
            for event in header["events"]:
                self._take(event)
            granted = self._grant(header["claim_key"], header["free_slots"])
            held = [(job, attempt) for job, attempt in header["held"]]
            self.fenced |= self.fence & set(held)
            self.lock.notify_all()
            return {
                "instance": "i1",
                "acked": [[*name, len(data)] for name, data in self.streams.items() if name[:2] in held],
                "ended": [list(key) for key in held if key in self.ended],
                "incomplete": [list(key) for key in held if key in self.exits and key not in self.ended],
                "fenced": [list(key) for key in held if key in self.fence],
                "desired": [[*key, *self.desired[key]] for key in held if key in self.desired],
                "granted": granted,
                "bell": self.bell,
                "agent": self.agent,
                "slots": self.slots,
            }

    def poisoned(self, header: dict[str, Any]) -> str:
        """Return how a message is answered that carries what the coordinator does not take; "" for any other."""
        said = [*header["parts"], *(event for event in header["events"] if event["event"] != "released")]
        return next((self.poison[key] for row in said if (key := (row["job"], row["attempt"])) in self.poison), "")

    def _store(self, part: dict[str, Any], data: bytes) -> None:
        name = part["job"], part["attempt"], part["stream"]
        known = self.streams.setdefault(name, b"")
        if zlib.crc32(data) == part["crc"] and part["offset"] <= len(known) < part["offset"] + len(data):
            self.streams[name] = known + data[len(known) - part["offset"] :]

    def _take(self, event: dict[str, Any]) -> None:
        key = event["job"], event["attempt"]
        if event["event"] == "exited":
            self.exits[key] = event["exit"]
            sizes = {"log": event["exit"]["log"]}
            sizes.update({"journal/" + writer: row for writer, row in event["exit"]["journals"].items()})
            if key not in self.ended and all(len(self.stream(key, s)) == row["bytes"] for s, row in sizes.items()):
                self.ended.append(key)
        elif event not in self.events:
            self.events.append(event)

    def _grant(self, claim_key: str | None, free: int) -> list[dict[str, Any]]:
        if claim_key is None:
            return []
        if claim_key not in self.grants:
            rows, self.queue = self.queue[:free], self.queue[free:]
            self.grants[claim_key] = rows
            self.granted.update({(row["job_id"], row["attempt"]): row for row in rows})
        return self.grants[claim_key]

    def wait_at_bell(self, after: int, wait_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + wait_s
        with self.lock:
            while self.bell == after and time.monotonic() < deadline:
                self.lock.wait(deadline - time.monotonic())
            return {"bell": self.bell}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    coordinator: Coordinator

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/git/"):
            self._git(b"")
        elif self._is_allowed():
            query = dict(pair.split("=") for pair in self.path.partition("?")[2].split("&"))
            self._answer(200, self.coordinator.wait_at_bell(int(query["after"]), float(query["wait"])))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/git/"):
            self._git(body)
        elif not self._is_allowed():
            return
        elif self.path.endswith("/sync"):
            self._sync(body)
        else:
            self._answer(200, self.coordinator.introduce(json.loads(body)))

    def _sync(self, body: bytes) -> None:
        assert len(body) <= 4 << 20
        assert self.headers["Content-Type"] == "application/x-bough-sync"
        with self.coordinator.lock:
            mishap = self.coordinator.mishaps.pop(0) if self.coordinator.mishaps else ""
            mishap = mishap or self.coordinator.poisoned(json.loads(body.partition(b"\n")[0]))
        if mishap == "400":
            self._answer(400, {"error": "usage", "detail": "it cannot be read.", "remedy": ""})
        elif mishap == "500":
            self._answer(500, {"error": "error", "detail": "it broke.", "remedy": ""})
        elif mishap == "html":
            self._send(200, b"<html>sign in</html>", "text/html")
        elif mishap == "413":
            self._answer(413, {"error": "too_large", "detail": "too large.", "remedy": ""})
        elif mishap == "404":
            self._answer(404, {"error": "not_found", "detail": "no such agent.", "remedy": ""})
        else:
            header, _, data = body.partition(b"\n")
            reply = self.coordinator.sync(json.loads(header), data)
            if mishap == "lose":
                self.close_connection = True
                self.connection.close()
                return
            self._answer(200, reply)

    def _is_allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.coordinator.key}":
            return True
        self._answer(401, {"error": "denied", "detail": "this key is not known.", "remedy": "Use another key."})
        return False

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _git(self, body: bytes) -> None:
        """Let git's own http-backend answer."""
        if self.headers.get("Authorization") != f"Bearer {self.coordinator.key}":
            self._send(401, b"", "text/plain")
            return
        self.coordinator.git_fetches += self.command == "POST"
        path, _, query = self.path.removeprefix("/git").partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.coordinator.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        # It exits with 1 where it tells the client that there is no such commit.
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._send(int(fields.get("Status", "200").split()[0]), rest, fields["Content-Type"])
