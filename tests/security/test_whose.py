"""What belongs to whom: every route, asked by a user for what is another user's (checklist S29).

The cases come from the route table: a route that is added is in them, with everything in its address that names
something. A name that must not be seen is planted in all that the other user has.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi.routing import APIRoute
from tests.integration.api.running import Running
from tests.integration.server.driver import run
from tests.security.test_door import MATRIX, ROUTES, method_of

CANARY = "canary9secret"
COMMIT = "3f9a12c0" * 5
STREAMS = {"/api/v1/events"}


def definition(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "command": f"python {CANARY}.py" if model.startswith("other/") else "python train.py",
        "hyperparameters": {"lr": 0.1},
        "optimization": {"algorithm": "random", "seed": 1, "space": {"lr": "uniform(0, 1)"}, "max_trials": 5},
    }


@pytest.fixture(scope="module")
def theirs(api: Running) -> dict[str, str]:
    """Everything of another user: an optimization with a trial that ran, a manual job; ids by parameter of a route."""
    other = api.key("user", "other")
    body = {"definition": definition(f"other/{CANARY}"), "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}
    made = api.call("POST", "/api/v1/optimizations", key=other, json=body).json()
    manual = api.call("POST", "/api/v1/jobs", key=other, json=body).json()
    agent = api.key("agent")
    hello = {"name": "anna", "slots": 2, "epoch": "e"}
    agent_id = api.call("POST", "/api/v1/agents", key=agent, json=hello).json()["agent_id"]

    def sync(header: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        whole = json.dumps({"epoch": "e", **header}).encode() + b"\n" + data
        kind = {"Content-Type": "application/x-bough-sync"}
        reply = api.call("POST", f"/api/v1/agents/{agent_id}/sync", key=agent, data=whole, headers=kind)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    claims: list[dict[str, Any]] = []
    while not claims or all(claim["optimization"] is None for claim in claims):
        claims += sync({"free_slots": 2, "claim_key": f"k{len(claims)}", "held": [[c["job_id"], 1] for c in claims]})[
            "granted"
        ]
    claim = next(claim for claim in claims if claim["optimization"] is not None)
    which = {"job": claim["job_id"], "attempt": 1}
    told = run(0.5)
    parts = [
        {**which, "stream": "journal/1-aa", "offset": 0, "bytes": len(told), "crc": zlib.crc32(told)},
        {**which, "stream": "log", "offset": 0, "bytes": len(CANARY), "crc": zlib.crc32(CANARY.encode())},
    ]
    sync({"parts": parts, "events": [{**which, "event": "running"}]}, told + CANARY.encode())
    return {
        "optimization_id": made["id"],
        "job_id": claim["job_id"],
        "manual": manual["id"],
        "owner": "other",
        "name": CANARY,
        "number": "1",
        "agent_id": agent_id,
    }


@pytest.fixture(scope="module")
def mine(api: Running) -> str:
    """A user's key; the user has a model, too."""
    key = api.key("user", "me")
    body = {"definition": definition("me/digits"), "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}
    assert api.call("POST", "/api/v1/optimizations", key=key, json=body).status_code == 201
    return key


def address_of(route: APIRoute, theirs: dict[str, str]) -> str:
    path = re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: theirs.get(found[1], "nothing"), route.path)
    return path + (f"?to={theirs['job_id']}" if path.endswith("/diff") else "")


NAMING = [
    pytest.param(route, id=f"{method_of(route)} {route.path}")
    for route in ROUTES
    if set(re.findall(r"\{(\w+)", route.path)) & {"optimization_id", "job_id", "owner"}
    and "user" in MATRIX[method_of(route), route.path]
]
LISTING = [
    pytest.param(route, id=f"{method_of(route)} {route.path}")
    for route in ROUTES
    if method_of(route) == "GET"
    and not re.search(r"\{(optimization_id|job_id|owner)", route.path)
    and "user" in MATRIX[method_of(route), route.path]
    and route.path not in STREAMS
]


@pytest.mark.parametrize("route", NAMING)
def test_what_is_named_but_another_users_is_not_there(
    api: Running, theirs: dict[str, str], mine: str, route: APIRoute
) -> None:
    bodies: dict[str, Any] = {"json": {"max_trials": 9}} if method_of(route) == "POST" else {}

    reply = api.call(method_of(route), address_of(route, theirs), key=mine, **bodies)

    assert reply.status_code in (403, 404), reply.text
    assert CANARY not in reply.text.replace(address_of(route, theirs), "")
    if method_of(route) == "GET":
        assert api.call("GET", address_of(route, theirs), key=api.admin).status_code < 500


@pytest.mark.parametrize("route", LISTING)
def test_no_list_shows_anything_of_another_user(
    api: Running, theirs: dict[str, str], mine: str, route: APIRoute
) -> None:
    reply = api.call("GET", address_of(route, theirs), key=mine)

    assert reply.status_code in (200, 303, 401, 404, 422), reply.text
    for secret in (CANARY, theirs["optimization_id"], theirs["job_id"], theirs["manual"]):
        assert secret not in reply.text


def test_the_tests_above_would_see_it(api: Running, theirs: dict[str, str], mine: str) -> None:
    """The same lists, seen by an admin, do hold the planted name."""
    seen = [api.call("GET", address_of(param.values[0], theirs)).text for param in LISTING]  # type: ignore[arg-type]

    secrets = (CANARY, theirs["optimization_id"], theirs["job_id"], theirs["manual"])
    assert sum(any(secret in text for secret in secrets) for text in seen) >= 4
    assert len(NAMING) > 20


@pytest.mark.parametrize("query", ["optimization={optimization_id}", "model=other/canary9secret"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/table", "/api/v1/table/columns", "/api/v1/table/export"])
def test_a_filter_does_not_show_what_is_another_users(
    api: Running, theirs: dict[str, str], mine: str, path: str, query: str
) -> None:
    reply = api.call("GET", f"{path}?{query.format(**theirs)}", key=mine)

    assert reply.status_code in (200, 404), reply.text
    assert theirs["job_id"] not in reply.text


def test_a_warm_start_from_another_users_search_is_refused(api: Running, theirs: dict[str, str], mine: str) -> None:
    body = {"definition": definition("me/digits"), "commit": COMMIT, "folder": "", "source": {}, "fixed": {}}

    reply = api.call("POST", "/api/v1/optimizations", key=mine, json={**body, "warm_start": theirs["optimization_id"]})

    what = f"there is no optimization {theirs['optimization_id']}."
    assert (reply.status_code, reply.json()["detail"]) == (404, what)


@pytest.mark.parametrize("topic", ["optimization:{optimization_id}", "job:{job_id}"])
def test_a_user_cannot_watch_what_is_another_users(api: Running, theirs: dict[str, str], mine: str, topic: str) -> None:
    reply = api.call("GET", f"/api/v1/events?topic={topic.format(**theirs)}", key=mine)

    assert reply.status_code == 404, reply.text


def test_the_stream_of_all_optimizations_is_that_of_ones_own(api: Running, theirs: dict[str, str], mine: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {mine}"}
        where = f"{api.url}/api/v1/events?topic=optimizations"
        with session.get(where, headers=headers, stream=True, timeout=20) as got:
            lines = got.iter_lines()
            assert next(line for line in lines if line.startswith(b"event")) == b"event: hello"
            body = {"commit": COMMIT, "folder": "", "source": {}, "fixed": {}}
            for model, key in ((f"other/{CANARY}", api.admin), ("me/digits", mine)):
                api.call("POST", "/api/v1/optimizations", key=key, json={**body, "definition": definition(model)})
            seen = []
            for line in lines:
                seen.append(line)
                if b"me/digits" in line:
                    break
    assert CANARY.encode() not in b"".join(seen)


def test_a_read_key_may_be_bound_to_a_user(api: Running, theirs: dict[str, str], mine: str) -> None:
    bound, free = api.key("read", "me"), api.key("read")

    path = f"/api/v1/optimizations/{theirs['optimization_id']}"

    assert api.call("GET", path, key=bound).status_code == 404
    assert api.call("GET", path, key=free).status_code == 200


@pytest.mark.parametrize(("owner", "status"), [("other", 403), ("me", 200)])
def test_repositories_of_others_are_closed(api: Running, mine: str, owner: str, status: int, tmp_path: Path) -> None:
    path = f"/git/{owner}/{CANARY}.git/info/refs?service=git-upload-pack"

    for key in (mine, api.key("read", "me")):
        assert api.call("GET", path, key=key).status_code == status
    bearer = f"http.extraHeader=Authorization: Bearer {mine}"
    command = ["git", "-c", bearer, "ls-remote", f"{api.url}/git/{owner}/{CANARY}.git"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (done.returncode == 0) == (status == 200)


def test_an_agent_speaks_only_for_itself(api: Running, theirs: dict[str, str]) -> None:
    other = api.key("agent")
    kind = {"Content-Type": "application/x-bough-sync"}
    message = json.dumps({"epoch": "e", "held": [[theirs["job_id"], 1]]}).encode() + b"\n"

    reply = api.call("POST", f"/api/v1/agents/{theirs['agent_id']}/sync", key=other, data=message, headers=kind)
    bell = api.call("GET", f"/api/v1/agents/{theirs['agent_id']}/bell?wait=0", key=other)

    assert (reply.status_code, bell.status_code) == (403, 403)


def test_an_agent_that_comes_back_with_another_key_is_known_by_the_secret_of_its_folder(api: Running) -> None:
    def register(key: str, epoch: str) -> str:
        body = {"name": "turncoat", "slots": 1, "epoch": epoch}
        return str(api.call("POST", "/api/v1/agents", key=key, json=body).json()["agent_id"])

    secret = "5" * 32
    first, second, third, fourth = [api.key("agent") for _ in range(4)]
    known = register(first, secret)

    assert register(second, secret) == known
    assert register(third, "6" * 32) != known
    assert register(fourth, "") != known
    message = json.dumps({"epoch": secret}).encode() + b"\n"
    kind = {"Content-Type": "application/x-bough-sync"}
    codes = [
        api.call("POST", f"/api/v1/agents/{known}/sync", key=key, data=message, headers=kind).status_code
        for key in (first, second, third)
    ]
    assert codes == [403, 200, 403]


def test_a_key_that_expired_or_was_revoked_opens_nothing(api: Running) -> None:
    body = {"name": "brief", "scope": "admin"}
    brief = api.call("POST", "/api/v1/keys", json={**body, "expires_s": 0.2}).json()
    revoked = api.call("POST", "/api/v1/keys", json=body).json()
    assert api.call("GET", "/api/v1/me", key=revoked["key"]).status_code == 200
    api.call("DELETE", f"/api/v1/keys/{revoked['id']}")

    deadline = time.monotonic() + 10
    while api.call("GET", "/api/v1/me", key=brief["key"]).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for key in (brief["key"], revoked["key"]):
        reply = api.call("GET", "/api/v1/optimizations", key=key)
        assert (reply.status_code, reply.json()["detail"]) == (401, "the key is not known, was revoked or has expired.")


@pytest.mark.parametrize("expires_s", [0, -1, 1e12, "1", True, [1]])
def test_a_time_that_a_key_cannot_be_good_for_is_refused(api: Running, expires_s: Any) -> None:
    reply = api.call("POST", "/api/v1/keys", json={"name": "x", "scope": "read", "expires_s": expires_s})

    assert reply.status_code == 400
    assert re.search("is no number|more than no time", reply.json()["detail"])
