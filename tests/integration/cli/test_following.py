"""Following an optimization whose coordinator answers as the test says."""

from __future__ import annotations

import io
from typing import Any

import pytest
from tests.integration.cli.answering import Answer, Asked, answering

from bough.errors import Unavailable
from bough_cli import client as clients
from bough_cli import following
from bough_cli.client import Address, Client


class Notes(following.Silent):
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def trial(self, line: str, is_best: bool) -> None:
        self.lines.append(line)


class Story:
    """A coordinator with one optimization; each look at it shows the next chapter, the last one for ever."""

    def __init__(self, *chapters: dict[str, Any]) -> None:
        self.chapters = list(chapters)
        self.is_read = False

    def __call__(self, asked: Asked) -> Answer:
        if asked.path.startswith("/api/v1/why"):
            return 200, {"reasons": ["no agent is online. Start one."]}
        if "/trials" in asked.path:
            trials, offset = self.chapters[0]["trials"], int(asked.path.split("offset=")[1])
            return 200, {"rows": trials[offset:], "total": len(trials)}
        if self.is_read and len(self.chapters) > 1:
            self.chapters.pop(0)
        self.is_read = True
        return self.chapters[0].get("status", 200), self.chapters[0]["optimization"]


def trial(number: int, state: str, kpi: float | None = None, **more: Any) -> dict[str, Any]:
    values = {"lr": 0.1 * number, "fixed": 1}
    return {"id": f"t{number}", "number": number, "state": state, "kpi": kpi, "values": values, **more}


def chapter(state: str, *trials: dict[str, Any], **more: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in trials:
        counts[one["state"]] = counts.get(one["state"], 0) + 1
    done = [one for one in trials if one["state"] == "DONE"]
    optimization = {
        "id": "o1",
        "model": "me/small",
        "state": state,
        "reason": None,
        "max_trials": 4,
        "counts": counts,
        "finished": counts.get("DONE", 0) + counts.get("FAILED", 0),
        "best": max(done, key=lambda one: float(one["kpi"])) if done else None,
        "space": ["lr"],
        "kpi": {"channel": "accuracy", "direction": "maximize", "reduce": "last"},
        "warnings": [],
        **more,
    }
    return {"optimization": optimization, "trials": list(trials)}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PAUSES_S", ())
    monkeypatch.setattr(following, "POLL_S", 0.0)
    monkeypatch.setattr(following, "RETRY_S", 0.0)


def follow(*chapters: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    screen = Notes()
    with answering(Story(*chapters)) as server, Client(Address(server.url, "k", "")) as client:
        over = following.follow(client, "o1", screen, lambda: None)
    return over, screen.lines


def test_each_ended_trial_is_told_once_whatever_the_order_of_their_ends() -> None:
    first, aborted = trial(1, "DONE", 0.9, end_reason="max_epochs"), trial(3, "ABORTED", end_reason="user")

    over, lines = follow(
        chapter("RUNNING", trial(1, "RUNNING"), trial(2, "DONE", 0.5)),
        chapter("RUNNING", trial(1, "RUNNING"), trial(2, "DONE", 0.5), aborted),
        chapter("DONE", first, trial(2, "DONE", 0.5), aborted),
    )

    assert over["state"] == "DONE"
    assert lines == [
        "trial 2 DONE: accuracy 0.5 (best so far)  lr=0.2",
        "trial 3 ABORTED: user  lr=0.3",
        "trial 1 DONE, max_epochs: accuracy 0.9 (best so far)  lr=0.1",
    ]


def test_a_failed_trial_is_told_with_its_message() -> None:
    _, lines = follow(
        chapter("DONE", trial(1, "FAILED", end_reason="error", message="trial 1 ended with exit code 3."))
    )

    assert lines == ["trial 1 FAILED: trial 1 ended with exit code 3.  lr=0.1"]


def test_a_warning_is_told_once() -> None:
    _, lines = follow(
        chapter("RUNNING", trial(1, "RUNNING"), warnings=["beware."]),
        chapter("RUNNING", trial(1, "RUNNING"), warnings=["beware."]),
        chapter("STOPPED", trial(1, "DONE", 1.0), warnings=["beware."]),
    )

    assert lines == ["warning: beware.", "trial 1 DONE: accuracy 1 (best so far)  lr=0.1"]


def test_when_nothing_runs_for_a_while_the_reason_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "IDLE_S", 0.0)
    idle = [chapter("RUNNING") for _ in range(4)]

    _, lines = follow(*idle, chapter("DONE", trial(1, "DONE", 1.0)))

    assert lines[0] == "no agent is online. Start one."
    assert len(lines) == 2


def test_an_optimization_that_a_person_paused_says_how_it_goes_on() -> None:
    _, lines = follow(chapter("PAUSED"), chapter("PAUSED"), chapter("DONE", trial(1, "DONE", 1.0)))

    assert lines[0] == "It is paused. Go on: bough optimization resume o1"
    assert len(lines) == 2


def test_a_coordinator_that_goes_away_is_waited_for() -> None:
    away = {
        "optimization": {"error": "unavailable", "detail": "it restarts.", "remedy": ""},
        "trials": [],
        "status": 503,
    }

    over, lines = follow(chapter("RUNNING", trial(1, "RUNNING")), away, chapter("DONE", trial(1, "DONE", 1.0)))

    assert over["state"] == "DONE"
    assert lines[0] == "it restarts. Trying again."


def test_a_daemon_of_ours_that_ended_is_not_waited_for() -> None:
    def check() -> None:
        raise Unavailable("the coordinator could not be started here: disk full.")

    with Client(Address("http://127.0.0.1:9", "k", "")) as client, pytest.raises(Unavailable, match="disk full"):
        following.follow(client, "o1", Notes(), check)


def test_it_is_over_when_failures_paused_it_but_not_when_a_person_did() -> None:
    assert following.is_over(chapter("PAUSED", reason="5 trials failed in a row.")["optimization"])
    assert not following.is_over(chapter("PAUSED", trial(1, "RUNNING"), reason="5 failed.")["optimization"])
    assert not following.is_over(chapter("PAUSED")["optimization"])


def test_an_optimization_without_a_result_ended_badly() -> None:
    paused = following.ended_badly(
        chapter("PAUSED", trial(1, "FAILED"), reason="5 failed. Once mended: bough optimization resume o1.")[
            "optimization"
        ]
    )
    empty = following.ended_badly(chapter("DONE", trial(1, "FAILED"))["optimization"])

    assert str(paused) == "optimization o1 is paused: 5 failed. Once mended: bough optimization resume o1."
    assert (
        str(empty)
        == "optimization o1 ended, and none of its 1 trials succeeded. See why: bough job ls --optimization o1."
    )
    assert following.ended_badly(chapter("DONE", trial(1, "DONE", 1.0))["optimization"]) is None


def test_the_address_of_the_page_is_one_line_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    link = "http://127.0.0.1:34093/login?code=" + "x" * 43

    following.LiveScreen(link, 0.0).close()

    assert f"page: {link}\n" in capsys.readouterr().out


def test_the_panel_shows_where_it_stands_also_on_a_narrow_terminal() -> None:
    from rich.console import Console

    optimization = chapter("RUNNING", trial(1, "DONE", 0.5), trial(2, "FAILED"), trial(3, "RUNNING"))["optimization"]
    for width in (120, 40):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(following.panel(optimization, 75.0))
        text = " ".join(console.export_text().split())
        assert "2 of 4" in text
        assert "1 failed" in text
        assert "0.5" in text
        assert all(len(line) <= width for line in console.export_text().splitlines())
