"""A job that asked for memory cannot have more of it, nor can what it starts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
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


RIGHTS = """
import re, resource, subprocess
print(re.search("NoNewPrivs:.(.)", open("/proc/self/status").read())[1], resource.getrlimit(resource.RLIMIT_CORE)[0])
print("child", subprocess.run(["grep", "NoNewPrivs", "/proc/self/status"], capture_output=True, text=True).stdout[-2])
"""


@pytest.mark.parametrize(("confinement", "held"), [({}, "1"), ({"may_gain": False}, "1"), ({"may_gain": True}, "0")])
def test_a_job_gains_no_rights_and_leaves_no_core(
    spawner: Spawner, prepare: Prepare, confinement: dict[str, bool], held: str
) -> None:
    """What sudo would do, the kernel refuses to the whole tree; unless the agent's owner allowed it."""
    attempt = prepare([PYTHON, "-c", RIGHTS], confinement=confinement)

    run(spawner, attempt)

    own = re.search("NoNewPrivs:.(.)", Path("/proc/self/status").read_text())
    expected = held if own is not None and own[1] == "0" else "1"
    assert attempt.log() == f"{expected} 0\nchild {expected}\n"
