"""Requests that are wrong in every way: refused in the usual form, with no fault of ours and no effect (C18, C19).

Two generators: schemathesis makes requests from the served description of the API, fitting and unfitting; hypothesis
changes bytes of real requests on the wire. ``BOUGH_MALFORMED`` says how many in all (CI: 1,000; `make chaos`: 10,000).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from tests.integration.api.running import Running

schemathesis = pytest.importorskip("schemathesis", reason="it comes with bough[dev]")

MANY = int(os.environ.get("BOUGH_MALFORMED", "1000"))
SEED = os.environ.get("BOUGH_SEED")  # with one, other requests than in CI
PATIENCE_S = 0.5
AT_ONCE = 10
COMMIT = "3f9a12c0" * 5
DEFINITION = {
    "model": "me/digits",
    "command": "python train.py",
    "hyperparameters": {"lr": 0.1},
    "optimization": {"algorithm": "random", "seed": 1, "space": {"lr": "uniform(0, 1)"}, "max_trials": 3},
}
SENT: dict[int, int] = {}  # status → how many


def examples(n: int) -> Any:
    """Settings for n requests."""
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(
        max_examples=max(1, n), deadline=None, derandomize=SEED is None, database=None, suppress_health_check=checks
    )


class Door:
    """A coordinator with something in it, a key of each scope, and its store to look into."""

    def __init__(self, api: Running) -> None:
        self.api = api
        self.session = requests.Session()
        self.session.trust_env = False
        self.keys = {"admin": api.admin, "user": api.key("user", "me"), "agent": api.key("agent"), "none": ""}
        body = {"definition": DEFINITION, "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}
        made = api.call("POST", "/api/v1/optimizations", key=self.keys["user"], json=body).json()
        job = api.call("POST", "/api/v1/jobs", key=self.keys["user"], json=body).json()
        hello = {"name": "anna", "slots": 1, "epoch": "e"}
        agent = api.call("POST", "/api/v1/agents", key=self.keys["agent"], json=hello).json()
        self.ids = {"optimization_id": made["id"], "job_id": job["id"], "agent_id": agent["agent_id"]}
        self.body = body
        self.last = ""  # the state after the request before
        self.store = sqlite3.connect(f"file:{api.home}/coordinator.db?mode=ro", uri=True)

    def look(self, status: int, what: str) -> None:
        """Look whether a request that was refused changed anything."""
        now = self.state()
        assert status < 400 or self.last in ("", now), f"{status}: it was refused, but changed something: {what}"
        self.last = now

    def state(self) -> str:
        """What a request may change, without what the coordinator changes by itself in the meantime."""
        tables = [name for (name,) in self.store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        seen: list[Any] = [self.store.execute(f"SELECT count(*) FROM {name}").fetchone() for name in sorted(tables)]
        for query in (
            "SELECT id, desired FROM jobs ORDER BY id",
            "SELECT id, max_trials, stopped_by FROM optimizations ORDER BY id",
            "SELECT id, revoked_at FROM keys ORDER BY id",
            "SELECT id, drain, slots FROM agents ORDER BY id",
        ):
            seen.append(self.store.execute(query).fetchall())
        return repr(seen)


@pytest.fixture(scope="module")
def door(api: Running) -> Iterator[Door]:
    found = Door(api)
    yield found
    found.session.close()
    found.store.close()


def check(status: int, kind: str, text: str, path: str) -> None:
    """Look at an answer: no fault of ours, no inside of ours, errors in the form that clients read."""
    SENT[status] = SENT.get(status, 0) + 1
    assert status < 500, f"{status} {path}: {text[:500]}"
    for inside in ("Traceback", "sqlalchemy", "sqlite3.", "site-packages", "bough_server/", "psycopg"):
        assert inside not in text, f"{path}: {text[:500]}"
    if status >= 400 and not path.startswith("/git/") and kind.startswith("application/json"):
        assert set(json.loads(text)) == {"error", "detail", "remedy"}, text[:500]


def operations(door: Door) -> list[Any]:
    described = door.api.call("GET", "/api/v1/openapi.json", key="").json()
    schema = schemathesis.openapi.from_dict(described)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_requests_made_from_the_description_are_answered_or_refused(door: Door, mode: str) -> None:
    found = operations(door)
    each = MANY // 10 // len(found) + 1

    for n, operation in enumerate(found):
        if operation.path.endswith(("/verify", "/sync", "/recorded/{nonce}")):  # starts a process; have no JSON body
            continue
        if MANY < 10_000 and n % 2 == (mode == "NEGATIVE"):  # making a generator takes longer than using it
            continue

        @examples(each)  # type: ignore[untyped-decorator]
        @given(
            case=operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode]),
            scope=st.sampled_from(["admin", "admin", "user", "agent", "none"]),
            is_known=st.booleans(),
        )
        def one(case: Any, scope: str, is_known: bool) -> None:
            send_case(door, case, scope, is_known)

        with contextlib.suppress(Unsatisfiable):  # nothing in it can be wrong
            one()


def send_case(door: Door, case: Any, scope: str, is_known: bool) -> None:
    """Send a request of schemathesis's; ``is_known``: about something that there is."""
    if is_known and case.path_parameters:
        known = {name: door.ids[name] for name in case.path_parameters if name in door.ids}
        case.path_parameters.update(known)
    sent = case.as_transport_kwargs(base_url=door.api.url)
    if case.operation.path.endswith("/bell"):
        sent["params"] = {**(sent.get("params") or {}), "wait": 0}
    sent["headers"] = {**dict(sent["headers"]), "Authorization": f"Bearer {door.keys[scope]}"}
    try:
        with door.session.request(**sent, timeout=30, stream=True, allow_redirects=False) as reply:
            is_stream = "event-stream" in reply.headers.get("content-type", "")
            text = "" if is_stream else reply.content.decode(errors="replace")
            check(reply.status_code, reply.headers.get("content-type", ""), text, case.operation.path)
            door.look(reply.status_code, case.operation.label)
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError, ValueError):
        return  # the client could not even send it


def originals(door: Door) -> list[bytes]:
    """Real requests, one of each kind, as they are on the wire."""
    message = json.dumps({"epoch": "e", "held": [], "free_slots": 0, "parts": [], "events": []}).encode() + b"\n"
    sync = f"/api/v1/agents/{door.ids['agent_id']}/sync"
    made: list[tuple[str, str, bytes, str]] = [
        ("GET", "/api/v1/optimizations?limit=3&offset=0", b"", "user"),
        ("GET", f"/api/v1/optimizations/{door.ids['optimization_id']}/trials?sort=p.lr&descending=true", b"", "user"),
        ("GET", f"/api/v1/jobs/{door.ids['job_id']}/log?offset=0&limit=10", b"", "user"),
        ("GET", '/api/v1/table?columns=["kpi"]&where=[["p.lr",">",0.1]]&sort=["-kpi"]', b"", "user"),
        ("GET", "/git/me/digits.git/info/refs?service=git-upload-pack", b"", "user"),
        ("GET", "/login?code=abc", b"", "none"),
        ("POST", "/api/v1/optimizations", json.dumps(door.body).encode(), "user"),
        ("POST", "/api/v1/jobs", json.dumps({**door.body, "values": {"lr": 0.5}}).encode(), "user"),
        ("POST", "/api/v1/keys", b'{"name": "x", "scope": "read", "user": "", "expires_s": 60}', "admin"),
        ("POST", "/api/v1/agents", b'{"name": "anna", "slots": 1, "epoch": "e", "system": {}}', "agent"),
        ("POST", sync, message, "agent"),
    ]
    return [wire(method, path, body, door.keys[scope], sync == path) for method, path, body, scope in made]


def wire(method: str, path: str, body: bytes, key: str, is_sync: bool = False) -> bytes:
    kind = "application/x-bough-sync" if is_sync else "application/json"
    path = path.replace('"', "%22").replace(">", "%3E").replace("[", "%5B").replace("]", "%5D")
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    if method == "POST":
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


PIECES = [b"\0", b"\r\n", b"\r\n\r\n", b"\xff\xfe", b"{", b"]", b'"', b"%00", b"%2e%2e/", b"../", b"NaN", b"1e999"]
PIECES += [b"-1", b"9" * 40]
PIECES += [
    b"\xed\xa0\x80",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 0\r\n",
    b"'--",
    b"null",
    b"[" * 100,
    b" ",
]
CHANGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "drop"]), st.integers(0, 10**6), st.sampled_from(PIECES)
)


CHANGES = st.lists(CHANGE, min_size=1, max_size=4)


def changed(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for how, where, piece in changes:
        at = where % (len(data) + 1)
        if how == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << where % 8)]) + data[at + 1 :]
        elif how == "cut":
            data = data[:at]
        elif how == "insert":
            data = data[:at] + piece + data[at:]
        elif how == "repeat":
            data = data[:at] + data[at : at + 40] * 3 + data[at:]
        else:
            data = data[:at] + data[at + 1 + where % 20 :]
    return data


def exchange(api: Running, data: bytes) -> tuple[int, str, str] | None:
    """Send bytes and return (status, type, body) of the first answer; None if the connection just ended, or if the
    coordinator waits for more (its deadlines are tested elsewhere)."""
    host, port = api.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        connection.settimeout(PATIENCE_S)
        while chunk := connection.recv(65536):
            answer += chunk
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    kinds = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("content-type:")]
    return int(lines[0].split(" ")[1]), (kinds or [""])[0], body.decode(errors="replace")


def test_requests_with_changed_bytes_are_refused_or_mean_something_else(door: Door) -> None:
    real = originals(door)
    for data in real:
        answer = exchange(door.api, data)
        assert answer is not None
        assert answer[0] < 500
    door.last = ""

    @examples(MANY * 8 // 10 // AT_ONCE)  # type: ignore[untyped-decorator]
    @given(st.lists(st.tuples(st.integers(0, len(real) - 1), CHANGES), min_size=AT_ONCE, max_size=AT_ONCE))
    def some(chosen: list[tuple[int, list[tuple[str, int, bytes]]]]) -> None:
        sent = [changed(real[which], changes) for which, changes in chosen]
        answers = list(threads.map(lambda data: exchange(door.api, data), sent))
        for data, answer in zip(sent, answers, strict=True):
            if answer is not None:
                status, kind, text = answer
                plain = kind if text.startswith("{") and text.endswith("}") else ""
                check(status, plain, text, data.split(b"\r\n")[0].decode("latin-1").partition(" ")[2])
        if None in answers:
            door.last = ""
        else:
            door.look(min(answer[0] for answer in answers if answer), repr(sent))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        some()


def test_so_many_were_sent(door: Door) -> None:
    print({status: SENT[status] for status in sorted(SENT)})
    assert sum(SENT.values()) >= MANY * 0.5  # some get no answer, since the coordinator waits for the rest
    assert door.api.call("GET", "/api/v1/me").status_code == 200


# -- bombs (C19) ----------------------------------------------------------------------------------------------

DEEP = b"[" * 100_000
BOMBS = {
    "gzip": ({"Content-Encoding": "gzip"}, zlib.compress(b"\0" * 30_000_000, 9)[:60_000]),
    "zstd": ({"Content-Encoding": "zstd"}, b"\x28\xb5\x2f\xfd" + b"\0" * 1000),
    "depth": ({}, b'{"name": ' + DEEP[:60_000]),
    "deep objects": ({}, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "digits": ({}, b'{"name": ' + b"9" * 5000 + b"}"),
    "exponent": ({}, b'{"name": 1e999999}'),
    "many keys": ({}, json.dumps({f"k{n}": n for n in range(5000)}).encode()),
    "a million keys": ({}, b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}"),
    "nan": ({}, b'{"name": NaN}'),
    "twice": ({}, b'{"name": "a", "name": "b"}'),
    "surrogate": ({}, b'{"name": "\\ud800"}'),
    "nul": ({}, b'{"name": "\\u0000"}'),
    "64 MiB": ({}, b'{"name": "' + b"x" * (64 << 20) + b'"}'),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly_and_costs_no_memory(api: Running, name: str) -> None:
    headers, body = BOMBS[name]
    head = wire("POST", "/api/v1/keys", b"", api.admin).replace(b"Content-Length: 0", b"Content-Length: %d" % len(body))
    more = "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode()
    data = head[:-2] + more + b"\r\n" + body
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    started = time.monotonic()
    answer = exchange(api, data)
    took = time.monotonic() - started

    if len(body) < 1 << 20:  # of a longer one the client may see the refusal only as a connection that was closed
        assert answer is not None
        assert answer[0] in (400, 413, 415), answer
        assert set(json.loads(answer[2])) == {"error", "detail", "remedy"}
    assert took < 3.0  # milliseconds on a machine with nothing else to do
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB; `data` was made before


def test_a_yaml_bomb_in_a_definition_is_refused(api: Running) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]

    started = time.monotonic()
    reply = api.call("POST", "/api/v1/definition", json={"text": "\n".join(lines)})

    assert reply.status_code < 500
    assert reply.status_code >= 400 or reply.json()["error"], reply.text[:300]
    assert time.monotonic() - started < 5
    assert len(reply.content) < 100_000


def test_a_message_of_an_agent_that_is_a_bomb_is_refused(door: Door) -> None:
    path = f"/api/v1/agents/{door.ids['agent_id']}/sync"
    kind = {"Content-Type": "application/x-bough-sync"}
    part = {"job": door.ids["job_id"], "attempt": 1, "stream": "log", "offset": 0, "crc": 0}
    bad: list[bytes] = [
        b"[" * 50_000 + b"\n",
        json.dumps({"epoch": "e", "parts": [{**part, "bytes": 2**62}]}).encode() + b"\n",
        json.dumps({"epoch": "e", "parts": [{**part, "bytes": -1}]}).encode() + b"\n",
        json.dumps({"epoch": "e", "held": [["x" * 30_000, 2**63 - 1]] * 3, "free_slots": 2**63 - 1}).encode() + b"\n",
        json.dumps({"epoch": "e", "held": [[str(uuid.uuid4()), n] for n in range(20_000)]}).encode() + b"\n",
        b"x" * (4 << 20) + b"\n",
    ]
    for data in bad:
        reply = door.api.call("POST", path, key=door.keys["agent"], data=data, headers=kind)
        assert reply.status_code < 500, reply.text[:300]
