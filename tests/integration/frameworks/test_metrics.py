"""What all integrations share, without a framework."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bough.integrations.reporting import MAX_CHANNELS, Metrics, is_loss, scalar


def test_a_metric_becomes_a_channel_when_it_first_appears_and_what_is_missing_stays_missing(reports: Any) -> None:
    metrics = Metrics(reports.job, kpi="acc")

    metrics.send(1, {"acc": 0.5, "loss": math.nan, "name": "text", "gone": None})
    metrics.send(2, {"val_loss": 2.0})
    metrics.progress(2, 3)

    assert reports.points("acc") == [(1, 0.5)]
    assert reports.points("loss") == [(1, "nan")]
    assert reports.points("val_loss") == [(2, 2.0)]
    assert set(reports.channels()) == {"acc", "loss", "val_loss"}
    assert (reports.channels()["acc"]["kpi"], reports.channels()["acc"]["maximize"]) == (True, True)
    assert reports.channels()["val_loss"]["maximize"] is False


def test_the_kpi_is_the_last_of_an_epochs_points(reports: Any) -> None:
    Metrics(reports.job, kpi="a").send(1, {"a": 1, "b": 2, "c": 3})

    assert [line[3] for line in reports.lines("p")] == ["b", "c", "a"]


def test_what_is_no_number_is_said_and_the_rest_is_sent(reports: Any, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics(reports.job)

    for x in range(3):
        metrics.send(x, {"odd": object(), "fine": x})

    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("bough: channel odd takes numbers, got ")
    assert said[0].endswith("That report is left out.")
    assert len(reports.points("fine")) == 3


def test_a_channel_that_the_script_made_otherwise_is_left_to_it(
    reports: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    reports.job.create_channel("loss", traces=["a", "b"])

    metrics = Metrics(reports.job)
    metrics.send(1, {"loss": 1.0})
    metrics.send(2, {"loss": 1.0})

    assert capsys.readouterr().err == (
        "bough: the metric loss is not reported: the script has a channel of that name with several traces, or of "
        "text.\n"
    )


def test_thousands_of_names_do_not_become_thousands_of_channels(
    reports: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Metrics(reports.job).send(1, {f"m{i}": i for i in range(MAX_CHANNELS + 10)})

    assert len(reports.channels()) == MAX_CHANNELS
    assert f"the metric more is not reported: there are {MAX_CHANNELS} metrics already." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "less_is_better"),
    [("val_loss", True), ("valid/rmse", True), ("accuracy", False), ("glossary", False), ("eval-logloss", True)],
)
def test_the_direction_is_guessed_from_whole_words(name: str, less_is_better: bool) -> None:
    assert is_loss(name) is less_is_better


def test_a_number_in_an_array_is_that_number() -> None:
    import numpy as np

    assert scalar(np.float32(0.5)) == 0.5
    assert scalar(np.array([2.0])) == 2.0
    assert scalar("text") == "text"
