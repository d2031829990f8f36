"""The epoch limit with both real sides: the SDK asks, the supervisor stops the whole job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.supervisor.attempts import PYTHON, TRIALS, Attempt, run
from tests.integration.supervisor.conftest import Prepare

import bough
from bough_agent.spawner_client import Spawner

SCRIPT = str(TRIALS / "reporting.py")
SDK = str(Path(bough.__file__).parents[1])
EPOCHS = 3


def reporting(prepare: Prepare, *argv: str) -> Attempt:
    """Prepare an attempt whose processes can import the SDK and know their limit."""
    attempt = prepare(list(argv))
    spec = json.loads((attempt.folder / "spec.json").read_text())
    spec["env"] |= {"PYTHONPATH": SDK, "BOUGH_JOB_ID": "k3f9a2bq", "BOUGH_ATTEMPT": "2"}
    (attempt.folder / "spec.json").write_text(json.dumps(spec))
    job = {"job_id": "k3f9a2bq", "attempt": 2, "model": "me/digits", "optimization": None, "number": None}
    job |= {
        "commit": "0" * 40,
        "values": {},
        "max_epochs": EPOCHS,
        "checkpoint_dir": str(attempt.folder / "checkpoints"),
    }
    job |= {"kpi": {"channel": None, "direction": None}}
    (attempt.folder / "job.json").write_text(json.dumps(job))
    return attempt


def counted(attempt: Attempt, document: dict[str, Any]) -> list[list[int]]:
    """Return for each journal the epochs whose KPI counts."""
    journals = document["journals"].items()
    return [[line[4] for line in attempt.lines(writer)[: sums["cut"]] if line[0] == "p"] for writer, sums in journals]


@pytest.mark.parametrize("shape", ["plain", "handler"])
def test_every_epoch_up_to_the_limit_counts_and_none_after_it(spawner: Spawner, prepare: Prepare, shape: str) -> None:
    attempt = reporting(prepare, PYTHON, SCRIPT, shape)

    document = run(spawner, attempt)

    assert (document["cause"], document["error"]) == ("max_epochs", None)
    assert [name for name, _ in document["ladder"]] == ["SIGINT"]
    assert counted(attempt, document) == [list(range(1, EPOCHS + 1))]
    assert attempt.log().count("asked to stop") == (1 if shape == "handler" else 0)


def test_a_background_job_of_a_shell_hears_the_interrupt_since_the_sdk_restored_it(
    spawner: Spawner, prepare: Prepare
) -> None:
    attempt = reporting(prepare, "sh", "-c", f"{PYTHON} {SCRIPT} plain & wait")

    document = run(spawner, attempt)

    assert document["cause"] == "max_epochs"
    assert [name for name, _ in document["ladder"]] == ["SIGINT"]
    assert counted(attempt, document) == [list(range(1, EPOCHS + 1))]


def test_ranks_and_their_launcher_clean_up_together(spawner: Spawner, prepare: Prepare) -> None:
    attempt = reporting(prepare, PYTHON, SCRIPT, "launcher")

    document = run(spawner, attempt)

    assert document["cause"] == "max_epochs"
    assert [name for name, _ in document["ladder"]] == ["SIGINT"]
    assert attempt.log().count("rank cleaned up") == 2
    assert "launcher cleaned up" in attempt.log()
    assert "a rank failed" not in attempt.log()
    assert max(map(len, counted(attempt, document))) == EPOCHS
