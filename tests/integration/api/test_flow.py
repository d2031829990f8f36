"""A whole optimization through real HTTP, the test being the agent: started, claimed, reported, exported, archived."""

from __future__ import annotations

import csv
import io
import json
import queue
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.integration.api.running import Running

from bough import _git

DEFINITION = {
    "model": "me/digits",
    "command": "python train.py",
    "hyperparameters": {"lr": 0.5, "name": "=plain"},
    "optimization": {
        "algorithm": "random",
        "kpi": {"channel": "accuracy", "direction": "maximize"},
        "max_trials": 2,
        "seed": 1,
        "space": {"lr": "uniform(0, 1)"},
    },
}


@pytest.fixture(scope="module")
def commit(api: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A commit of code, pushed as the command line does."""
    work = tmp_path_factory.mktemp("work")
    _git.run(["init", "--quiet", str(work)])
    (work / "train.py").write_text("print(1)\n")
    _git.run(["add", "."], cwd=str(work))
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    _git.run(["commit", "--quiet", "-m", "c"], cwd=str(work), env=who)
    sha = _git.run(["rev-parse", "HEAD"], cwd=str(work)).decode().strip()
    refspec = f"{sha}:refs/bough/code/{sha}"
    _git.run(["push", f"{api.url}/git/me/digits.git", refspec], cwd=str(work), token=api.admin)
    return sha


class Agent:
    """Speaks as an agent does, one message at a time."""

    def __init__(self, api: Running, name: str) -> None:
        self.api = api
        self.key = api.key("agent")
        self.system = {"cpus": 1, "memory_bytes": 1, "python": "3.11", "platform": "Linux"}
        body = {"name": name, "slots": 1, "version": "0.1.0", "epoch": name, "boot_id": "b", "host": "h"}
        reply = api.call("POST", "/api/v1/agents", self.key, json={**body, "system": self.system, "labels": []})
        assert reply.status_code == 200, reply.text
        self.id = reply.json()["agent_id"]
        self.name = name
        self.claims = 0

    def sync(self, free: int = 0, parts: dict[tuple[str, int, str], bytes] | None = None, **fields: Any) -> Any:
        content = parts or {}
        header = {
            "epoch": self.name,
            "free_slots": free,
            "claim_key": f"{self.name}-{self.claims}" if free else None,
            "held": [],
            "events": [],
            "usage": None,
            **fields,
            "parts": [
                {
                    "job": job,
                    "attempt": attempt,
                    "stream": stream,
                    "offset": 0,
                    "bytes": len(part),
                    "crc": zlib.crc32(part),
                }
                for (job, attempt, stream), part in content.items()
            ],
        }
        message = json.dumps(header).encode() + b"\n" + b"".join(content.values())
        reply = self.api.call(
            "POST",
            f"/api/v1/agents/{self.id}/sync",
            self.key,
            data=message,
            headers={"Content-Type": "application/x-bough-sync"},
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    def claim(self) -> dict[str, Any]:
        self.claims += 1
        until = time.monotonic() + 60
        while True:
            granted = self.sync(free=1)["granted"]
            if granted:
                return dict(granted[0])
            assert time.monotonic() < until, "nothing was granted"
            time.sleep(0.02)

    def run(self, claim: dict[str, Any], lines: list[list[Any]], log: bytes) -> None:
        """Report a whole attempt: its journal, its log, its end."""
        job, attempt = claim["job_id"], claim["attempt"]
        journal = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        at = {"job": job, "attempt": attempt}
        held = [[job, attempt]]
        self.sync(held=held, events=[{**at, "event": "preparing"}])
        self.sync(held=held, events=[{**at, "event": "running", "at": 1.0, "python": "/usr/bin/python3"}])
        exit_ = {
            "job_id": job,
            "attempt": attempt,
            "exit_code": 0,
            "signal": None,
            "command": "1",
            "cause": None,
            "error": None,
            "started_at": 1.0,
            "ended_at": 2.0,
            "duration_s": 1.0,
            "stopped_at": None,
            "ladder": [],
            "log": {"bytes": len(log), "crc": zlib.crc32(log)},
            "journals": {"1-0a1b2c3d": {"bytes": len(journal), "crc": zlib.crc32(journal), "cut": None}},
            "usage": {"user_s": 1.0, "system_s": 0.0, "max_rss_bytes": 1},
        }
        parts = {(job, attempt, "journal/1-0a1b2c3d"): journal, (job, attempt, "log"): log}
        reply = self.sync(held=held, parts=parts, events=[{**at, "event": "exited", "exit": exit_}])
        assert reply["ended"] == [[job, attempt]]


def journal(accuracy: Sequence[object]) -> list[list[Any]]:
    spec = {"traces": ["accuracy"], "type": "number", "main": True, "kpi": True, "kpi_trace": 0, "maximize": True}
    head: list[list[Any]] = [
        ["h", 0, 1.0, {"writer": "1-0a1b2c3d", "pid": 1, "python": "3.11", "sdk": "0.1.0", "argv": [], "rank": None}],
        ["c", 1, 1.0, "accuracy", spec],
    ]
    points: list[list[Any]] = [["p", 2 + i, 2.0 + i, "accuracy", i + 1, y] for i, y in enumerate(accuracy)]
    return [*head, *points, ["i", 2 + len(points), 9.0, "packages", {"numpy": "2.0"}]]


@contextmanager
def listening(api: Running, *topics: str) -> Iterator[Callable[[str], Any]]:
    """Listen to events; yields a function that waits for one of a kind and returns its data."""
    heard: queue.Queue[tuple[str, Any]] = queue.Queue()
    query = "&".join(f"topic={topic}" for topic in topics)
    headers = {"Authorization": f"Bearer {api.admin}"}
    response = requests.get(f"{api.url}/api/v1/events?{query}", headers=headers, stream=True, timeout=60)

    def listen() -> None:
        kind = ""
        try:
            for line in response.iter_lines(chunk_size=1):
                if line.startswith(b"event: "):
                    kind = line[7:].decode()
                elif line.startswith(b"data: "):
                    heard.put((kind, json.loads(line[6:])))
        except (requests.RequestException, AttributeError, ValueError):
            return  # closed by the test

    def wait_for(kind: str) -> Any:
        until = time.monotonic() + 30
        while True:
            found, data = heard.get(timeout=max(0.01, until - time.monotonic()))
            if found == kind:
                return data

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert response.headers["Content-Type"].startswith("text/event-stream")
    wait_for("hello")
    try:
        yield wait_for
    finally:
        response.close()
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def finished(api: Running, commit: str) -> dict[str, Any]:
    """An optimization of two trials that has ended; its first trial also reported NaN."""
    user = api.key("user", "me")
    body = {
        "definition": DEFINITION,
        "commit": commit,
        "folder": "",
        "source": {"url": "", "branch": "", "dirty": False},
    }
    with listening(api, "optimizations", "agents") as wait_for:
        made = api.call("POST", "/api/v1/optimizations", user, json=body, headers={"Idempotency-Key": "k1"})
        again = api.call("POST", "/api/v1/optimizations", user, json=body, headers={"Idempotency-Key": "k1"})
        assert (made.status_code, made.json()["id"]) == (201, again.json()["id"]), made.text
        agent = Agent(api, "gpu1")
        for accuracy in (["nan", 0.1 + 0.2], [0.5, 0.75]):
            agent.run(agent.claim(), journal(accuracy), b"hello\n")
        assert wait_for("optimization")["id"] == made.json()["id"]
        assert wait_for("agent")["name"] == "gpu1"
    return dict(api.call("GET", f"/api/v1/optimizations/{made.json()['id'][:6]}").json())


def test_an_optimization_ends_with_its_best_trial(finished: dict[str, Any]) -> None:
    assert finished["state"] == "DONE"
    assert finished["counts"]["DONE"] == 2
    assert finished["best"]["kpi"] == 0.75


def test_the_table_of_trials_is_typed_exact_and_safe_to_open(api: Running, finished: dict[str, Any]) -> None:
    reply = api.call("GET", f"/api/v1/optimizations/{finished['id']}/export")

    assert reply.headers["Content-Type"].startswith("text/csv")
    assert reply.headers["Content-Disposition"] == f'attachment; filename="{finished["id"]}-trials.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.content.decode(), newline=""), strict=True))
    assert [row["number"] for row in rows] == ["1", "2"]
    assert [float(row["kpi"]) for row in rows] == [0.1 + 0.2, 0.75]
    assert {row["p.name"] for row in rows} == {"'=plain"}
    assert list(rows[0])[:4] == ["number", "job_id", "state", "end_reason"]


def test_every_point_is_in_the_export_not_finite_ones_too(api: Running, finished: dict[str, Any]) -> None:
    path = f"/api/v1/optimizations/{finished['id']}/export?points=true"

    rows = list(csv.DictReader(io.StringIO(api.call("GET", path).content.decode(), newline=""), strict=True))
    lines = [json.loads(line) for line in api.call("GET", path + "&format=jsonl").text.splitlines()]

    assert [row["y"] for row in rows] == ["nan", "0.30000000000000004", "0.5", "0.75"]
    assert [line["y"] for line in lines] == ["nan", 0.1 + 0.2, 0.5, 0.75]
    assert [row["number"] for row in rows] == ["1", "1", "2", "2"]


def test_one_trial_is_shown_with_its_points_log_and_file(api: Running, finished: dict[str, Any]) -> None:
    first = api.call("GET", f"/api/v1/optimizations/{finished['id']}/trials?sort=number&limit=1").json()["rows"][0]
    job = f"/api/v1/jobs/{first['id']}"

    assert api.call("GET", job).json()["infos"] == {"packages": {"numpy": "2.0"}}
    channel = api.call("GET", f"{job}/points?channel=accuracy").json()["channels"][0]
    assert (channel["x"], channel["y"]) == ([1, 2], [["nan", 0.1 + 0.2]])
    log = api.call("GET", f"{job}/log?offset=1&limit=3")
    assert (log.content, log.headers["Bough-Log-Bytes"]) == (b"ell", "6")
    row = next(csv.DictReader(io.StringIO(api.call("GET", f"{job}/export").text, newline="")))
    assert (row["job_id"], float(row["kpi"]), row["state"]) == (first["id"], 0.1 + 0.2, "DONE")
    points = api.call("GET", f"{job}/export?points=true").text.splitlines()
    assert [line.split(",")[4] for line in points] == ["y", "nan", "0.30000000000000004"]


def test_the_trials_become_commits_that_plain_git_shows(
    api: Running, finished: dict[str, Any], commit: str, tmp_path: Path
) -> None:
    until = time.monotonic() + 30
    while None in (records := [row["record"] for row in trials(api, finished["id"])]):
        assert time.monotonic() < until, "no record was written"
        time.sleep(0.05)
    whole = f"refs/bough/optimizations/{finished['id']}"  # written a moment after the last trial's record
    while not _git.run(["ls-remote", f"{api.url}/git/me/digits.git", whole], token=api.admin):
        assert time.monotonic() < until, "no record of the optimization was written"
        time.sleep(0.05)
    clone = tmp_path / "clone"
    _git.run(["init", "--quiet", "--bare", str(clone)])
    refspec = "refs/bough/*:refs/bough/*"

    _git.run(["fetch", "--quiet", f"{api.url}/git/me/digits.git", refspec], git_dir=str(clone), token=api.admin)

    assert [record.split("/")[-1][:5] for record in records] == ["0001-", "0002-"]
    for record in records:
        assert _git.run(["rev-parse", f"{record}^"], git_dir=str(clone)).decode().strip() == commit
    channel = _git.run(["cat-file", "blob", f"{records[0]}:.bough/channels/accuracy.csv"], git_dir=str(clone))
    assert channel == b"x,time,accuracy,overrun\n1,2,nan,0\n2,3,0.30000000000000004,0\n"
    assert _git.run(["cat-file", "-t", whole], git_dir=str(clone)) == b"commit\n"
    assert _git.run(["fsck", "--strict", "--full"], git_dir=str(clone)) == b""


def trials(api: Running, optimization_id: str) -> list[dict[str, Any]]:
    return list(api.call("GET", f"/api/v1/optimizations/{optimization_id}/trials").json()["rows"])


def test_what_is_another_users_is_not_there_for_a_user(api: Running, finished: dict[str, Any]) -> None:
    other = api.key("user", "you")
    base = f"/api/v1/optimizations/{finished['id']}"
    job = trials(api, finished["id"])[0]["id"]

    assert api.call("GET", base, other).status_code == 404
    assert api.call("GET", base, api.key("read")).status_code == 200
    for path, body in [("stop", {}), ("pause", {}), ("resume", {}), ("extend", {"max_trials": 9}), ("enqueue", {})]:
        assert api.call("POST", f"{base}/{path}", other, json=body).status_code == 404, path
    assert api.call("POST", f"/api/v1/jobs/{job}/stop", other, json={}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("stop", {"now": 1}, "now is neither true nor false."),
        ("pause", {"release": "yes"}, "release is neither true nor false."),
        ("enqueue", {}, "there are no values."),
        ("enqueue", {"values": 3}, "values is '3', no mapping."),
        ("extend", {}, "max_trials is missing, or no whole number."),
        ("extend", {"max_trials": True}, "max_trials is missing, or no whole number."),
    ],
)
def test_a_wrong_body_is_named(
    api: Running, finished: dict[str, Any], path: str, body: dict[str, Any], said: str
) -> None:
    reply = api.call("POST", f"/api/v1/optimizations/{finished['id']}/{path}", json=body)

    assert (reply.status_code, reply.json()["detail"]) == (400, said)


def test_a_manual_job_is_queued_and_stopped(api: Running, commit: str) -> None:
    definition = {name: part for name, part in DEFINITION.items() if name != "optimization"}
    body = {"definition": definition, "commit": commit, "folder": "", "source": {}, "values": {"lr": 0.25}}

    made = api.call("POST", "/api/v1/jobs", json=body)

    assert made.status_code == 201, made.text
    assert made.json()["values"]["lr"] == 0.25
    listed = api.call("GET", "/api/v1/jobs?manual=true").json()
    assert [row["id"] for row in listed["rows"]] == [made.json()["id"]]
    stopped = api.call("POST", f"/api/v1/jobs/{made.json()['id']}/stop", json={})
    assert stopped.json()["state"] == "ABORTED"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/optimizations/nothing",
        "/api/v1/jobs/nothing",
        "/api/v1/jobs/nothing/log",
        "/api/v1/jobs/nothing/export",
    ],
)
def test_what_is_not_there_is_said(api: Running, path: str) -> None:
    reply = api.call("GET", path)

    assert reply.status_code == 404
    assert reply.json()["detail"].startswith("there is no ")


@pytest.mark.parametrize(
    ("message", "status", "said"),
    [
        (b"{}", 400, "the sync message has no header line."),
        (b"[]\n", 400, "the body is not a JSON object."),
        (b"{\n", 400, "the body is not JSON"),
        (b"x" * (4 * 1024 * 1024 + 1), 413, "the body is larger than 4194304 bytes."),
    ],
    ids=["no line", "no object", "no json", "too large"],
)
def test_a_sync_message_that_is_none_is_refused(api: Running, message: bytes, status: int, said: str) -> None:
    agent = Agent(api, f"bad{status}{len(message)}")

    reply = api.call(
        "POST",
        f"/api/v1/agents/{agent.id}/sync",
        agent.key,
        data=message,
        headers={"Content-Type": "application/x-bough-sync"},
    )

    assert reply.status_code == status
    assert said in reply.json()["detail"]


def test_a_sync_message_says_that_it_is_one(api: Running) -> None:
    agent = Agent(api, "untyped")

    reply = api.call("POST", f"/api/v1/agents/{agent.id}/sync", agent.key, json={})

    assert reply.status_code == 415
    assert reply.json()["detail"] == "a sync message is application/x-bough-sync, not application/json."


def test_an_agent_is_listed_and_drained_by_an_admin(api: Running) -> None:
    agent = Agent(api, "drained")

    assert api.call("POST", f"/api/v1/agents/{agent.id}/drain", agent.key).status_code == 403
    assert api.call("POST", f"/api/v1/agents/{agent.id}/drain").status_code == 200
    assert agent.sync()["agent"] == "drain"
    api.call("POST", f"/api/v1/agents/{agent.id}/undrain")
    assert agent.sync()["agent"] == "run"
    assert "drained" in [row["name"] for row in api.call("GET", "/api/v1/agents").json()["rows"]]


def test_why_nothing_runs_is_said_in_sentences(api: Running) -> None:
    reasons = api.call("GET", "/api/v1/why").json()["reasons"]

    assert all(reason.endswith(".") or "bough " in reason for reason in reasons)
