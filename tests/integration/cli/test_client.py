"""How the command finds its coordinator and what it makes of the answers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.integration.cli.answering import Answer, Asked, answering

from bough.errors import Conflict, DefinitionError, Denied, NotFound, Unavailable, UsageError
from bough_cli import client as clients
from bough_cli.client import Address, Client


def client(url: str, key: str | None = "k") -> Client:
    return Client(Address(url, key, "a test"))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PAUSES_S", (0.0, 0.0))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "not_found", NotFound), (409, "conflict", Conflict), (400, "definition", DefinitionError)],
)
def test_a_refusal_becomes_the_error_it_was(status: int, code: str, kind: type[Exception]) -> None:
    told = {"error": code, "detail": "no such thing as 7.", "remedy": "Ask for 8."}
    with answering(lambda asked: (status, told)) as server, client(server.url) as one:
        with pytest.raises(kind, match=r"no such thing as 7\. Ask for 8\."):
            one.get("/jobs/7")
        assert [asked.path for asked in server.asked] == ["/api/v1/jobs/7"]


def test_the_key_is_sent_as_bearer_and_missing_ones_are_asked_for() -> None:
    denied = {"error": "denied", "detail": "no key.", "remedy": ""}
    with answering(lambda asked: (200, {}) if "Authorization" in asked.headers else (401, denied)) as server:
        with client(server.url) as one:
            one.get("/me")
        with client(server.url, None) as one, pytest.raises(Denied, match=r"wants a key\. Give one: bough login http"):
            one.get("/me")
    assert server.asked[0].headers["Authorization"] == "Bearer k"


def test_a_coordinator_that_does_not_answer_is_named() -> None:
    with answering(lambda asked: (200, {})) as gone:
        pass
    with (
        client(gone.url) as one,
        pytest.raises(
            Unavailable, match=r"the coordinator at http://127\.0\.0\.1:\d+ does not answer\. Start it with `bough up`"
        ),
    ):
        one.get("/me")


def test_something_else_that_answers_there_is_recognized() -> None:
    said = r"status 404, and not as a coordinator does\. Check the address\."
    with (
        answering(lambda asked: (404, b"<html>")) as server,
        client(server.url) as one,
        pytest.raises(NotFound, match=said),
    ):
        one.get("/me")


def test_reads_and_creates_are_tried_again_with_one_idempotency_key_and_changes_are_not() -> None:
    busy = {"error": "unavailable", "detail": "busy.", "remedy": "Try again."}

    def answer(asked: Asked) -> Answer:
        return (503, busy) if len(server.asked) % 2 else (200, {"id": 1})

    with answering(answer) as server, client(server.url) as one:
        assert one.get("/x") == {"id": 1}
        assert one.create("/jobs", {"a": 1}) == {"id": 1}
        keys = {asked.headers.get("Idempotency-Key") for asked in server.asked[2:]}
        with pytest.raises(Unavailable, match="busy"):
            one.post("/jobs/1/stop")
        assert len(server.asked) == 5
        assert len(keys) == 1
        assert None not in keys


def test_a_list_is_read_page_by_page_up_to_the_limit() -> None:
    def answer(asked: Asked) -> Answer:
        query = dict(part.split("=") for part in asked.path.split("?")[1].split("&"))
        start, count = int(query["offset"]), int(query["limit"])
        rows = [{"number": number} for number in range(start, min(start + count, 450))]
        return 200, {"rows": rows, "total": 450}

    with answering(answer) as server, client(server.url) as one:
        assert one.pages("/jobs", 1000) == [{"number": number} for number in range(450)]
        assert one.pages("/jobs", 3, manual=True, state=None)[-1] == {"number": 2}
        assert server.asked[-1].path == "/api/v1/jobs?limit=3&offset=0&manual=true"


def test_options_win_over_the_environment_over_the_login_over_what_runs_here(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(asked: Asked) -> Answer:
        return 200, {"ok": True, "instance": "one"}

    with answering(answer) as server:
        place = own_home / "coordinator"
        place.mkdir(parents=True)
        assert clients.find() is None
        told = {"url": server.url, "pid": os.getpid(), "instance": "one"}
        (place / "coordinator.json").write_text(json.dumps(told))
        (place / "admin.key").write_text("local\n")
        assert clients.find() == Address(server.url, "local", str(place))

        (own_home / "login.json").write_text(json.dumps({"url": "http://lab:8400", "key": "lab"}))
        assert clients.find() == Address("http://lab:8400", "lab", str(own_home / "login.json"))

        monkeypatch.setenv("BOUGH_COORDINATOR", server.url + "/")
        assert clients.find() == Address(server.url, "local", "BOUGH_COORDINATOR")
        monkeypatch.setenv("BOUGH_SECURE_KEY", "mine")
        assert clients.find() == Address(server.url, "mine", "BOUGH_COORDINATOR")

        assert clients.find("http://other", "theirs") == Address("http://other", "theirs", "--coordinator")


@pytest.mark.parametrize("told", ["{", "[]", '{"pid": 999999999, "url": "http://127.0.0.1:9", "instance": "one"}'])
def test_a_coordinator_that_was_killed_does_not_count(own_home: Path, told: str) -> None:
    (own_home / "coordinator").mkdir(parents=True)
    (own_home / "coordinator" / "coordinator.json").write_text(told)

    assert clients.running_here() is None
    with pytest.raises(Unavailable, match=r"no coordinator is running here and none is configured\. .*`bough up`"):
        clients.connect()


def test_another_process_on_the_port_of_a_killed_coordinator_does_not_count(own_home: Path) -> None:
    with answering(lambda asked: (200, {"ok": True, "instance": "another"})) as server:
        (own_home / "coordinator").mkdir(parents=True)
        told = {"url": server.url, "pid": os.getpid(), "instance": "one"}
        (own_home / "coordinator" / "coordinator.json").write_text(json.dumps(told))

        assert clients.running_here() is None


@pytest.mark.parametrize("url", ["lab:8400", "ftp://lab", "http://", "http://lab /", "file:///x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"is no address of a coordinator\. Write it like http://host:8400"):
        clients.find(url)


def test_a_key_inside_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no key"):
        clients.find("http://me:key@lab:8400")
