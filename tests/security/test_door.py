"""The door as strangers find it: keys, scopes, hosts, origins, headers, rates, bodies. Real HTTP throughout."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from tests.integration.api.running import Running

from bough_server.api.security import Allow
from bough_server.app import ROUTED

# Who may use which route. A route that is not here fails the test below: decide, then add it.
EVERYONE = {"", "read", "agent", "user", "admin"}
WITH_KEY = EVERYONE - {""}
READERS = {"read", "user", "admin"}
CHANGERS = {"user", "admin"}
AGENTS = {"agent", "admin"}
ADMIN = {"admin"}
MATRIX = {
    ("GET", "/api/v1/health"): EVERYONE,
    ("GET", "/login"): EVERYONE,
    ("GET", "/api/v1/me"): WITH_KEY,
    ("GET", "/api/v1/why"): READERS,
    ("GET", "/api/v1/keys"): ADMIN,
    ("POST", "/api/v1/keys"): ADMIN,
    ("DELETE", "/api/v1/keys/{key_id}"): ADMIN,
    ("POST", "/api/v1/login-links"): READERS,
    ("POST", "/api/v1/optimizations"): CHANGERS,
    ("GET", "/api/v1/optimizations"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/trials"): READERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/stop"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/pause"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/resume"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/enqueue"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/extend"): CHANGERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/export"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/space"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/asks"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/verify"): READERS,
    ("POST", "/api/v1/space"): CHANGERS,
    ("GET", "/api/v1/table"): READERS,
    ("GET", "/api/v1/table/columns"): READERS,
    ("GET", "/api/v1/table/export"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/marks"): READERS,
    ("POST", "/api/v1/jobs/{job_id}/marks"): CHANGERS,
    ("GET", "/api/v1/views"): READERS,
    ("POST", "/api/v1/views"): CHANGERS,
    ("DELETE", "/api/v1/views/{view_id}"): CHANGERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/overview"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/curves"): READERS,
    ("GET", "/api/v1/models"): READERS,
    ("POST", "/api/v1/models"): CHANGERS,
    ("GET", "/api/v1/models/{owner}/{name}"): READERS,
    ("GET", "/api/v1/models/{owner}/{name}/revisions/{number}"): READERS,
    ("POST", "/api/v1/definition"): CHANGERS,
    ("POST", "/api/v1/jobs"): CHANGERS,
    ("GET", "/api/v1/jobs"): READERS,
    ("GET", "/api/v1/jobs/{job_id}"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/points"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/log"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/diff"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/files"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/files/{path:path}"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/documents"): READERS,
    ("GET", "/api/v1/jobs/{job_id}/actions"): READERS,
    ("POST", "/api/v1/jobs/{job_id}/actions/{name:path}"): CHANGERS,
    ("GET", "/api/v1/jobs/{job_id}/export"): READERS,
    ("POST", "/api/v1/jobs/{job_id}/stop"): CHANGERS,
    ("POST", "/api/v1/recorded/{nonce}"): CHANGERS,
    ("POST", "/api/v1/agents"): AGENTS,
    ("GET", "/api/v1/agents"): WITH_KEY,
    ("POST", "/api/v1/agents/{agent_id}/sync"): AGENTS,
    ("GET", "/api/v1/agents/{agent_id}/bell"): AGENTS,
    ("POST", "/api/v1/agents/{agent_id}/drain"): ADMIN,
    ("POST", "/api/v1/agents/{agent_id}/undrain"): ADMIN,
    ("GET", "/api/v1/optimizations/{optimization_id}/importance"): READERS,
    ("POST", "/api/v1/jobs/{job_id}/pause"): CHANGERS,
    ("POST", "/api/v1/jobs/{job_id}/continue"): CHANGERS,
    ("GET", "/api/v1/agents/{agent_id}/usage"): WITH_KEY,
    ("POST", "/api/v1/agents/{agent_id}/slots"): ADMIN,
    ("POST", "/api/v1/agents/{agent_id}/release"): ADMIN,
    ("POST", "/api/v1/incoming"): CHANGERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/definition"): READERS,
    ("GET", "/api/v1/optimizations/{optimization_id}/edits"): READERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/edit"): CHANGERS,
    ("PATCH", "/api/v1/optimizations/{optimization_id}"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/retry"): CHANGERS,
    ("POST", "/api/v1/jobs/{job_id}/retry"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/restart"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/archive"): CHANGERS,
    ("POST", "/api/v1/optimizations/{optimization_id}/unarchive"): CHANGERS,
    ("DELETE", "/api/v1/optimizations/{optimization_id}"): CHANGERS,
    ("GET", "/api/v1/events"): READERS,
}
ROUTERS = [module.router for module in ROUTED]
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.fixture(scope="module")
def keys(api: Running) -> dict[str, str]:
    return {
        "": "",
        "wrong": "bough_admin_00000000_" + "0" * 43 + "_00000000",
        "read": api.key("read"),
        "agent": api.key("agent"),
        "user": api.key("user", "me"),
    }


def method_of(route: APIRoute) -> str:
    return min(route.methods or {""})


CLOSED = [
    pytest.param(route, scope, id=f"{method_of(route)} {route.path} for {scope or 'nobody'}")
    for route in ROUTES
    for scope in ("", "wrong", "read", "agent", "user")
    if scope not in (allowed := MATRIX.get((method_of(route), route.path), set()))
    and not (scope == "wrong" and "" in allowed)
]


@pytest.mark.parametrize(("route", "scope"), CLOSED)
def test_each_route_is_closed_to_whoever_it_is_not_for(
    api: Running, keys: dict[str, str], route: APIRoute, scope: str
) -> None:
    path = re.sub(r"\{[\w:]+\}", "nothing", route.path)

    reply = api.call(method_of(route), path, key=keys[scope])

    # 401 or 403 before anything is looked up; wrong keys sent often are 429
    assert reply.status_code in ((401, 429) if scope in ("", "wrong") else (403,)), reply.text
    assert set(reply.json()) == {"error", "detail", "remedy"}


def test_every_route_has_an_entry_and_names_its_scopes() -> None:
    assert {(method_of(route), route.path) for route in ROUTES} == set(MATRIX)
    for route in ROUTES:
        scopes = {
            scope for part in route.dependant.dependencies if isinstance(part.call, Allow) for scope in part.call.scopes
        }
        assert (scopes or EVERYONE) == MATRIX[method_of(route), route.path], route.path


@pytest.mark.parametrize(
    "path",
    ["/", "/api/v1/health", "/api/v1/me", "/nothing", "/git/a/b.git/info/refs", "/login?code=x", "/app/%2e%2e/x"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PURGE"])
def test_every_answer_has_the_protecting_headers(api: Running, method: str, path: str) -> None:
    reply = api.call(method, path, key="", allow_redirects=False)

    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert "Cache-Control" in reply.headers
    assert "Server" not in reply.headers
    assert "Traceback" not in reply.text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.168.0.1", "", "127.0.0.1.nip.io:80"])
@pytest.mark.parametrize("path", ["/", "/api/v1/health", "/git/a/b.git/info/refs", "/wheel/"])
def test_a_name_that_is_not_ours_is_not_answered(api: Running, host: str, path: str) -> None:
    reply = api.call("GET", path, headers={"Host": host})

    assert reply.status_code in (400, 421)
    if reply.status_code == 421:
        assert reply.json()["detail"] == "this coordinator does not answer to the name in the request."


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:99", "127.0.0.1:1"])
def test_the_names_of_loopback_are_ours_whatever_the_port(api: Running, host: str) -> None:
    assert api.call("GET", "/api/v1/health", headers={"Host": host}).status_code == 200


def open_session(api: Running, key: str) -> str:
    link = api.call("POST", "/api/v1/login-links", key=key).json()["url"]
    reply = api.call("GET", link, key="", allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (303, "/")
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    return cookie.partition(";")[0]


def test_a_link_opens_a_session_once_and_it_ends_with_its_key(api: Running) -> None:
    made = api.call("POST", "/api/v1/keys", json={"name": "page", "scope": "user", "user": "me"}).json()
    link = api.call("POST", "/api/v1/login-links", key=made["key"]).json()["url"]
    cookie = api.call("GET", link, key="", allow_redirects=False).headers["Set-Cookie"].partition(";")[0]

    again = api.call("GET", link, key="", allow_redirects=False)

    assert again.status_code == 401
    assert "this link was used" in again.json()["detail"]
    assert api.call("GET", "/api/v1/me", key="", headers={"Cookie": cookie}).json()["user"] == "me"
    api.call("DELETE", f"/api/v1/keys/{made['id']}")
    assert api.call("GET", "/api/v1/me", key="", headers={"Cookie": cookie}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "OWN", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "OWN", "Sec-Fetch-Site": "same-origin"}, 201),
    ],
    ids=str,
)
def test_a_browser_changes_things_only_from_our_own_page(api: Running, headers: dict[str, str], status: int) -> None:
    cookie = open_session(api, api.admin)
    sent = {name: value.replace("OWN", api.url) for name, value in headers.items()}

    reply = api.call(
        "POST", "/api/v1/keys", key="", headers={"Cookie": cookie, **sent}, json={"name": "x", "scope": "read"}
    )

    assert reply.status_code == status, reply.text


def test_the_secret_of_a_key_is_in_the_answer_of_post_only(api: Running) -> None:
    made = api.call("POST", "/api/v1/keys", json={"name": "once", "scope": "read"}).json()

    listed = api.call("GET", "/api/v1/keys").text

    assert made["id"] in listed
    assert made["key"].split("_")[3] not in listed


def test_bodies_are_bounded_while_they_come_and_never_unpacked(api: Running) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(64):
            yield b"x" * 4096

    large = api.call("POST", "/api/v1/keys", data=endless(), headers={"Content-Type": "application/json"})
    packed = api.call("POST", "/api/v1/keys", data=b"x", headers={"Content-Encoding": "gzip"})
    form = api.call("POST", "/api/v1/keys", data="a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert (large.status_code, large.json()["detail"]) == (413, "the body is larger than 65536 bytes.")
    assert (packed.status_code, packed.json()["detail"]) == (415, "the body is compressed.")
    assert form.status_code == 415


@pytest.mark.parametrize(
    "body", [b"[" * 60_000, b'{"name": NaN}', b'{"name": 1, "name": 2}', b"\xff", b'{"n": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_a_trap_is_a_wrong_request_not_a_fault(api: Running, body: bytes) -> None:
    reply = api.call("POST", "/api/v1/keys", data=body, headers={"Content-Type": "application/json"})

    assert reply.status_code == 400
    assert set(reply.json()) == {"error", "detail", "remedy"}


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/api/v1/nothing", 404, "there is nothing at this address."),
        ("PUT", "/api/v1/jobs", 405, "PUT is not possible here."),
        ("GET", "/api/v1/jobs?limit=0", 422, "the request is not valid: limit: "),
        ("GET", "/api/v1/jobs?limit=x", 422, "the request is not valid: limit: "),
        (
            "GET",
            "/api/v1/optimizations/zzzz/trials?generation=99999999999999999999",
            422,
            "the request is not valid: generation: ",
        ),
        (
            "GET",
            "/api/v1/optimizations/zzzz/verify?generation=99999999999999999999",
            422,
            "the request is not valid: generation: ",
        ),
        (
            "GET",
            "/api/v1/optimizations/zzzz/export?generation=99999999999999999999",
            422,
            "the request is not valid: generation: ",
        ),
        ("GET", "/api/v1/jobs/zzzz/log?attempt=99999999999999999999", 422, "the request is not valid: attempt: "),
        ("GET", "/api/v1/models/me/r/revisions/99999999999999999999", 422, "the request is not valid: number: "),
        (
            "GET",
            "/api/v1/optimizations/zzzz/curves?trials=99999999999999999999",
            422,
            "the request is not valid: trials: ",
        ),
        ("GET", "/api/v1/events", 422, "the request is not valid: topic: "),
        ("GET", "/api/v1/events?topic=everything", 400, "there is no topic 'everything'."),
        ("GET", "/app/../../../etc/passwd", 404, "there is nothing at this address."),
        ("GET", "/app/%2e%2e/%2e%2e/app.py", 404, "there is nothing at this address."),
    ],
)
def test_what_the_framework_refuses_is_said_like_everything_else(
    api: Running, method: str, path: str, status: int, said: str
) -> None:
    reply = api.call(method, path)

    assert reply.status_code == status
    assert reply.json()["detail"].startswith(said)
    assert reply.json()["remedy"]


def test_wrong_keys_are_slowed_down_and_good_ones_are_not(api: Running) -> None:
    wrong = "bough_admin_00000000_" + "0" * 43 + "_00000000"

    replies = [api.call("GET", "/api/v1/me", key=wrong) for _ in range(12)]

    assert replies[-1].status_code == 429
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 60
    assert api.call("GET", "/api/v1/me").status_code == 200


def test_the_description_of_the_api_names_every_route(api: Running) -> None:
    paths = api.call("GET", "/api/v1/openapi.json", key="").json()["paths"]

    assert {path.replace(":path}", "}") for _, path in MATRIX if path != "/login"} == set(paths)
