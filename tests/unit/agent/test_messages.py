"""A claim names folders and commands on this machine: what is wrong with it is found before it is used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.agent.claims import claim, row

from bough.errors import Unavailable
from bough_agent.messages import read_claim, read_exit, read_reply, write_claim


def test_a_claim_survives_being_written_and_read() -> None:
    assert read_claim(json.loads(json.dumps(write_claim(claim())))) == claim()


def test_a_trial_and_a_manual_job_have_titles() -> None:
    assert claim().title == "trial 7 of p7tq2m4x (job k3f9a2bq)"
    assert claim(optimization=None, number=None).title == "job k3f9a2bq"


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("job_id", "../../etc", "job_id is no id"),
        ("attempt", 0, "attempt is below 1"),
        ("marker", "x", "marker is not 32 hexadecimal digits"),
        ("model", "../x", "model is not owner/name"),
        ("model", "me/..", "model is not owner/name"),
        ("model", "me", "model is not owner/name"),
        ("commit", "--upload-pack=x", "commit is no full id"),
        ("git", "https://elsewhere/x.git", "git is no path below /git/"),
        ("git", "/git/x y", "git is no path below /git/"),
        ("folder", "../x", "folder '../x' is not inside the repository"),
        ("folder", "/etc", "folder '/etc' is not inside the repository"),
        ("folder", ".git/x", "is not inside the repository"),
        ("working_dir", "a/../../b", "is not inside the repository"),
        ("commands", [], "there is no command"),
        ("commands", [{"name": "1", "argv": []}], "there is no command"),
    ],
)
def test_a_claim_that_leads_elsewhere_is_refused_with_its_fault(field: str, value: Any, fault: str) -> None:
    reply = read_reply({"instance": "i", "granted": [row(**{field: value})]})

    assert reply.granted == ()
    ((_, message),) = reply.refused
    assert message.startswith("the agent does not understand what it was granted: ")
    assert fault in message


def test_a_claim_without_a_field_is_refused() -> None:
    incomplete = row()
    del incomplete["values"]

    assert "KeyError" in read_reply({"instance": "i", "granted": [incomplete]}).refused[0][1]


def test_what_a_newer_coordinator_adds_is_ignored() -> None:
    reply = read_reply({"instance": "i", "granted": [row(colour="red")], "weather": "fine"})

    assert reply.granted == (claim(),)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instance": "i", "acked": [["a", 1]]},
        {"instance": "i", "held": 1, "fenced": 7},
        {"instance": "i", "granted": [{}]},
    ],
)
def test_a_reply_of_another_shape_is_tried_again_later(body: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match=r"reply to a sync is not understood .* same version of bough"):
        read_reply(body)


def test_a_reply_is_read_by_attempt() -> None:
    reply = read_reply(
        {
            "instance": "i",
            "acked": [["j", 1, "log", 12]],
            "ended": [["j", 1]],
            "fenced": [["k", 2]],
            "desired": [["j", 1, "stop", "user"]],
            "bell": 4,
            "agent": "drain",
        }
    )

    assert reply.acked == ((("j", 1), "log", 12),)
    assert [*reply.ended, *reply.fenced] == [("j", 1), ("k", 2)]
    assert reply.desired == {("j", 1): ("stop", "user")}
    assert (reply.bell, reply.drain) == (4, True)


EXIT = {"exit_code": 0, "signal": None, "cause": None, "error": None, "duration_s": 1.5, "log": {"bytes": 3, "crc": 7}}


def test_an_exit_passes_as_it_is() -> None:
    told = read_exit({**EXIT, "ladder": [["SIGINT", 1.0]], "journals": {"1-0": {"bytes": 1, "crc": 2, "cut": 3}}})

    assert told["ladder"] == [["SIGINT", 1.0]]
    assert told["journals"] == {"1-0": {"bytes": 1, "crc": 2, "cut": 3}}
    assert told["log"] == {"bytes": 3, "crc": 7, "cut": None}


@pytest.mark.parametrize(
    "forged",
    [
        {"exit_code": "0"},
        {"cause": 7},
        {"duration_s": "long"},
        {"log": {"bytes": "3", "crc": 7}},
        {"log": {"bytes": -3, "crc": 7}},
        {"log": {"bytes": True, "crc": 7}},
        {"journals": {"1-0": {"bytes": 1}}},
        {"journals": [1]},
        {"usage": 1 << 70},
        {"usage": [[[[[[[[[[]]]]]]]]]]},
    ],
)
def test_a_forged_exit_is_found_before_it_could_spoil_a_sync(forged: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        read_exit({**EXIT, **forged})


def test_what_only_python_reads_is_taken_out_of_an_exit() -> None:
    told = read_exit({**EXIT, "error": "half \ud800 a character", "usage": {"user_s": float("nan")}})

    assert told["error"] == "half ? a character"
    assert told["usage"] == {"user_s": None}
