"""A job that asked for memory cannot have more of it, nor can what it starts."""

from __future__ import annotations

import os

from tests.integration.supervisor.attempts import PYTHON, run
from tests.integration.supervisor.conftest import Prepare

from bough_agent.spawner_client import Spawner

GREEDY = "import os\nprint(os.nice(0), flush=True)\nbytearray(512 << 20)\nprint('had it')"


def test_a_job_that_takes_more_memory_than_it_asked_for_fails(spawner: Spawner, prepare: Prepare) -> None:
    child = f'{PYTHON} -c "{GREEDY}"'
    attempt = prepare(["sh", "-c", child], confinement={"cgroup": None, "nice": 3, "data_bytes": 128 << 20})

    document = run(spawner, attempt)

    assert document["exit_code"] == 1
    assert attempt.log().startswith(f"{os.nice(0) + 3}\n")
    assert "MemoryError" in attempt.log()
    assert "had it" not in attempt.log()
