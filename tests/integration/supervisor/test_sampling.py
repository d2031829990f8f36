"""What an attempt uses is in a journal of its own, which is measured like any other and disturbs nothing."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.integration.supervisor.attempts import PYTHON, Attempt, await_event, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent import sampling
from bough_agent.sampling import Sampler
from bough_agent.spawner_client import Spawner

BUSY = """
import os, time
if os.fork() == 0:
    os.setsid()
ballast = bytearray(60 << 20)
with open(f"written.{os.getpid()}", "wb") as file:
    file.write(bytes(4 << 20)); file.flush(); os.fsync(file.fileno())
while True:
    pass
"""


def system_journal(attempt: Attempt) -> list[list[Any]]:
    (path,) = (attempt.folder / "journal").glob("0-*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_busy_tree_shows_in_its_channels_and_exit_json_measures_them(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare([PYTHON, "-c", BUSY])
    spawner.launch(attempt.path)
    until(lambda: list((attempt.folder / "journal").glob("0-*.jsonl")))

    attempt.want("kill", "user")
    await_event(spawner, "ended")

    assert len(attempt.exit()["journals"]) == 1  # and `exit` has compared sizes and checksums
    head, *lines = system_journal(attempt)
    assert (head[0], head[3]) == ("h", {"pid": 0, "system": True})
    assert [line[1] for line in (head, *lines)] == list(range(len(lines) + 1))
    last = {line[3]: line[5] for line in lines if line[0] == "p"}
    assert set(last) == {"system/cpu", "system/memory", "system/read", "system/written"}
    assert 20 < last["system/cpu"] <= 100 * (os.cpu_count() or 1) + 10
    assert 120 < last["system/memory"] < 400
    assert next(line[4] for line in lines if line[0] == "p") >= sampling.FIRST_S


def test_a_short_attempt_has_no_such_journal(spawner: Spawner, prepare: Prepare) -> None:
    attempt = prepare(["true"])
    spawner.launch(attempt.path)
    await_event(spawner, "ended")

    assert attempt.exit()["journals"] == {}


def test_a_sample_is_due_ever_less_often(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    sampler = Sampler(str(tmp_path))

    for second in range(24 * 3600):
        sampler.perhaps(float(second))

    (path,) = (tmp_path / "journal").iterdir()
    lines = map(json.loads, path.read_text().splitlines())
    x = [line[4] for line in lines if line[0] == "p" and line[3] == "system/cpu"]
    gaps = [later - earlier for earlier, later in pairwise(x)]
    assert gaps[:5] == [2.0] * 5
    assert gaps[-1] == 60.0
    assert gaps == sorted(gaps)
    assert 1400 < len(x) < 1800


def test_what_the_agent_says_of_the_gpus_is_taken_while_it_is_fresh(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "control").mkdir()
    said = {"at": time.time(), "percent": 75.5, "memory_bytes": 3 << 30}
    (tmp_path / "control" / "gpus.json").write_text(json.dumps(said))
    sampler = Sampler(str(tmp_path))
    sampler.perhaps(2.0)
    (tmp_path / "control" / "gpus.json").write_text(json.dumps({**said, "at": time.time() - 3600}))
    sampler.perhaps(10.0)

    (path,) = (tmp_path / "journal").iterdir()
    points = [line[3:] for line in map(json.loads, path.read_text().splitlines()) if line[0] == "p"]
    assert [point for point in points if "gpu" in point[0]] == [
        ["system/gpu", 2.0, 75.5],
        ["system/gpu_memory", 2.0, 3072.0],
    ]


@pytest.mark.parametrize("harm", ["removed", "closed", "a file"])
def test_a_trial_that_spoils_the_folder_of_its_journals_spoils_no_supervisor(tmp_path: Path, harm: str) -> None:
    if harm == "a file":
        (tmp_path / "journal").write_text("")
    elif harm == "closed":
        (tmp_path / "journal").symlink_to("/proc/1/fdinfo")
    sampler = Sampler(str(tmp_path))

    sampler.perhaps(2.0)
    sampler.perhaps(9.0)

    assert not (tmp_path / "journal").is_dir() or harm == "closed"
