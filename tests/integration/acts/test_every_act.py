"""Every act of an optimization's life, once from the command line and once by HTTP: both do the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from tests.integration.acts.conftest import Acts

import bough
from bough.errors import Forbidden

Beside = Callable[[Callable[[], Any]], list[Any]]
BOTH = pytest.mark.parametrize("way", ["command line", "HTTP"])


def do(acts: Acts, way: str, its_id: str, verb: str, *options: str, **body: Any) -> None:
    """Do ``bough optimization VERB ID …``, or `POST /optimizations/ID/VERB`."""
    if way == "HTTP":
        acts.call("POST", f"optimizations/{its_id}/{verb}", body)
    else:
        ran = acts.bough("optimization", verb, its_id, *options)
        assert ran.code == 0, ran.err


@BOTH
def test_create(acts: Acts, way: str) -> None:
    path = acts.repository()
    if way == "HTTP":
        definition = acts.call("POST", "definition", {"text": (path / "bough.yml").read_text()})["definition"]
        body = {"definition": definition, "commit": "3f9a12c0" * 5, "folder": "", "source": {}}
        its_id = acts.call("POST", "optimizations", body, 201)["id"]
    else:
        its_id = acts.bough("optimize", str(path), "--detach", "--json").json()["id"]

    shown = acts.one(its_id)
    assert (shown["state"], shown["max_trials"], shown["space"], shown["seed"]) == ("RUNNING", 3, ["x"], 1)
    acts.all_ended(3)
    assert acts.one(its_id)["state"] == "DONE"


@BOTH
def test_watch(acts: Acts, way: str, beside: Beside) -> None:
    its_id = acts.begun(trials=2)
    if way == "HTTP":
        headers = {"Authorization": f"Bearer {acts.api.admin}"}
        query = {"topic": f"optimization:{its_id}"}
        with requests.get(f"{acts.api.url}/api/v1/events", query, headers=headers, stream=True, timeout=20) as reply:
            lines = reply.iter_lines(decode_unicode=True)
            assert any(line == "event: hello" for line in lines)
            beside(lambda: acts.all_ended(2))
            states = (json.loads(line[6:]).get("state") for line in lines if line.startswith('data: {"id"'))
            assert "DONE" in states
        return
    beside(lambda: acts.all_ended(2))

    ran = acts.bough("optimization", "watch", its_id)

    assert (ran.code, "2 of 2 trials" in ran.out, "best: loss 0.5" in ran.out) == (0, True, True), ran.out + ran.err


@BOTH
def test_stop_and_let_running_trials_finish(acts: Acts, way: str) -> None:
    its_id = acts.begun()
    running = acts.claim()

    do(acts, way, its_id, "stop")

    assert acts.one(its_id)["state"] == "STOPPING"
    acts.agent.ship(running)
    assert running.stop_cause is None
    acts.end(running)
    assert (acts.one(its_id)["state"], acts.one(its_id)["counts"]) == ("STOPPED", {"DONE": 1})


@BOTH
def test_stop_now(acts: Acts, way: str) -> None:
    its_id = acts.begun()
    running = acts.claim()

    do(acts, way, its_id, "stop", "--now", now=True)

    acts.agent.ship(running)
    assert running.stop_cause == "user"
    acts.end(running)
    assert (acts.one(its_id)["state"], acts.one(its_id)["counts"]) == ("STOPPED", {"ABORTED": 1})


@BOTH
def test_resume(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=1)
    do(acts, way, its_id, "pause")
    assert acts.one(its_id)["state"] == "PAUSED"

    do(acts, way, its_id, "resume")

    assert acts.one(its_id)["state"] == "RUNNING"
    acts.all_ended(1)
    assert acts.one(its_id)["state"] == "DONE"


@BOTH
def test_extend_by_n(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=1)
    acts.all_ended(1)

    do(acts, way, its_id, "extend", "--by", "2", by=2)

    assert (acts.one(its_id)["state"], acts.one(its_id)["max_trials"]) == ("RUNNING", 3)
    acts.all_ended(2)
    assert acts.one(its_id)["state"] == "DONE"


@BOTH
def test_retry_what_failed(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=2)
    first = acts.claim()
    acts.end(first, None)
    acts.all_ended(1)

    do(acts, way, its_id, "retry", "--failed", failed=True)

    again = acts.claim()
    assert (again.claim.job_id, again.claim.attempt, again.claim.values) == (
        first.claim.job_id,
        2,
        first.claim.values,
    )
    acts.end(again)
    assert (acts.one(its_id)["state"], acts.one(its_id)["counts"]) == ("DONE", {"DONE": 2})


@BOTH
def test_restart(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=2)
    acts.all_ended(1)
    running = acts.claim()

    do(acts, way, its_id, "restart", "--same-commit", "--seed", "4", seed=4)

    shown = acts.one(its_id)
    assert (shown["generation"], shown["state"], shown["seed"]) == (2, "RUNNING", 4)
    assert any("was restarted and waits until 1 trial of before has stopped" in said for said in why(acts))
    acts.agent.ship(running)
    assert running.stop_cause == "user"
    acts.end(running)
    assert not any("was restarted" in said for said in why(acts))
    acts.all_ended(2)
    assert [trial["state"] for trial in acts.trials(its_id, generation=1)] == ["DONE", "ABORTED"]
    assert (acts.one(its_id)["state"], len(acts.trials(its_id))) == ("DONE", 2)


def why(acts: Acts) -> list[str]:
    found: list[str] = acts.call("GET", "why")["reasons"]
    return found


def test_an_enqueued_number_beyond_64_bits_is_refused_as_in_the_file(acts: Acts) -> None:
    its_id = acts.begun()

    ran = acts.bough("optimization", "enqueue", its_id, "-p", "n=9223372036854775808")

    said = "parameter n: 9223372036854775808 does not fit into 64 bits. Write a smaller number, or a decimal one."
    assert (ran.code, said in ran.err) == (1, True), ran.err


def test_minimize_with_a_key_that_may_not_run_trials_says_so(acts: Acts) -> None:
    with pytest.raises(Forbidden) as caught:
        bough.minimize(lambda v: 0.0, {"x": "uniform(0, 1)"}, key=acts.api.key("user", "ann"))

    assert str(caught.value) == (
        "bough.minimize creates an optimization and runs its trials itself, and key user ann has the scope user, "
        "which may not do both. Use an admin key; or put the function into a script for bough optimize, whose trials "
        "the agents run."
    )


@BOTH
def test_archive_and_bring_back(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=1)
    acts.all_ended(1)

    do(acts, way, its_id, "archive")

    assert its_id not in listed(acts)
    assert its_id in listed(acts, archived=True)
    do(acts, way, its_id, "unarchive")
    assert (its_id in listed(acts), acts.one(its_id)["state"]) == (True, "DONE")


def listed(acts: Acts, **query: Any) -> list[str]:
    return [row["id"] for row in acts.call("GET", "optimizations", limit=1000, **query)["rows"]]


@BOTH
def test_delete_needs_a_confirmation(acts: Acts, way: str) -> None:
    its_id = acts.begun(trials=1)
    acts.all_ended(1)
    if way == "HTTP":
        refused = acts.call("DELETE", f"optimizations/{its_id}", status=400)
        assert refused["detail"] == f"optimization {its_id} is deleted only by someone who repeats its id."
        assert acts.call("DELETE", f"optimizations/{its_id}", confirm=its_id)["deleted"] == its_id
    else:
        refused = acts.bough("optimization", "delete", its_id)
        assert (refused.code, "nobody is here to ask. Add --yes." in refused.err) == (2, True)
        assert acts.bough("optimization", "delete", its_id, "--yes").code == 0

    acts.call("GET", f"optimizations/{its_id}", status=404)
