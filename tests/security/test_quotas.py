"""How much one user may have at a time (S42): one too many is refused in a sentence, and costs nobody else."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from tests.integration.api.running import Running

from bough_server.service import quotas

COMMIT = "3f9a12c0" * 5


def body(owner: str, model: str = "digits", default: float = 0.1) -> dict[str, Any]:
    definition = {
        "model": f"{owner}/{model}",
        "command": "python train.py",
        "hyperparameters": {"lr": default},
        "optimization": {"algorithm": "random", "space": {"lr": "uniform(0, 1)"}, "max_trials": 5, "max_parallel": 1},
    }
    return {"definition": definition, "commit": COMMIT, "folder": "", "source": {}}


def refused(reply: requests.Response, said: str) -> None:
    assert (reply.status_code, reply.json()["detail"]) == (409, said)
    assert reply.json()["remedy"]


def test_jobs_that_have_not_ended(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials count as well; another user, whose name only looks alike, is not concerned."""
    monkeypatch.setattr(quotas, "MOST_JOBS", 3)
    mine, other = api.key("user", "a_b"), api.key("user", "axb")
    search = api.call("POST", "/api/v1/optimizations", key=mine, json=body("a_b"))
    assert search.status_code == 201, search.text
    jobs = [api.call("POST", "/api/v1/jobs", key=mine, json=body("a_b")) for _ in range(3)]
    point = f"/api/v1/optimizations/{search.json()['id']}/enqueue"

    said = "a_b has 3 jobs that have not ended, as many as one user may."
    assert [reply.status_code for reply in jobs] == [201, 201, 409]
    refused(jobs[2], said)
    refused(api.call("POST", point, key=mine, json={"values": {"lr": 0.5}}), said)
    assert api.call("POST", "/api/v1/jobs", key=other, json=body("axb")).status_code == 201
    api.call("POST", f"/api/v1/jobs/{jobs[0].json()['id']}/stop", key=mine, json={})
    assert api.call("POST", "/api/v1/jobs", key=mine, json=body("a_b")).status_code == 201


def test_optimizations_that_have_not_ended(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_OPTIMIZATIONS", 2)
    mine, other = api.key("user", "carl"), api.key("user", "dora")

    made = [api.call("POST", "/api/v1/optimizations", key=mine, json=body("carl")) for _ in range(3)]

    assert [reply.status_code for reply in made] == [201, 201, 409]
    refused(made[2], "carl has 2 optimizations that have not ended, as many as one user may.")
    assert api.call("POST", "/api/v1/optimizations", key=other, json=body("dora")).status_code == 201
    api.call("POST", f"/api/v1/optimizations/{made[0].json()['id']}/stop", key=mine, json={})
    assert api.call("POST", "/api/v1/optimizations", key=mine, json=body("carl")).status_code == 201


def test_definitions_and_models(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_REVISIONS", 2)
    monkeypatch.setattr(quotas, "MOST_MODELS", 2)
    mine = api.key("user", "emil")

    def define(model: str, default: float) -> requests.Response:
        return api.call("POST", "/api/v1/models", key=mine, json=body("emil", model, default))

    assert [define("digits", value).status_code for value in (0.1, 0.2, 0.2)] == [201, 201, 201]
    refused(define("digits", 0.3), "model emil/digits has 2 definitions, as many as one may have.")
    assert define("words", 0.1).status_code == 201
    refused(define("third", 0.1), "emil has 2 models, as many as one user may.")
