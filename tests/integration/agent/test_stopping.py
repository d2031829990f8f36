"""The ways to end an agent: leave its jobs, wait for them, or stop them; and fewer slots while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.integration.agent.conftest import Agent, Repository
from tests.integration.agent.coordinator import Coordinator, Key

from bough_agent.daemon import DRAIN_SIGNAL, KILL_SIGNAL

Start = Callable[..., Agent]
WAITS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("waiting", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
"""


def waiting(coordinator: Coordinator, commit: str, go: Path, **claim: object) -> Key:
    key = coordinator.submit(commit=commit, commands=[{"name": "1", "argv": ["python", "w.py", str(go)]}], **claim)
    coordinator.wait(lambda: coordinator.stream(key, "log"), "the job")
    return key


def test_draining_waits_for_what_runs_and_takes_nothing_more(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path
) -> None:
    one, commit = agent(slots=2), repository.commit({"w.py": WAITS})
    key = waiting(coordinator, commit, tmp_path / "go")

    one.process.send_signal(DRAIN_SIGNAL)
    coordinator.wait(lambda: "stopping: 1 running jobs are waited for" in one.said, "the word")
    syncs = len(coordinator.syncs)
    other = coordinator.submit(commit=commit, commands=[{"name": "1", "argv": ["true"]}])
    coordinator.wait(lambda: len(coordinator.syncs) > syncs + 1, "two more heartbeats")
    assert one.process.poll() is None
    (tmp_path / "go").touch()

    assert one.process.wait(30) == 0
    assert coordinator.exits[key]["exit_code"] == 0
    assert key in coordinator.ended
    assert other not in coordinator.granted


def test_killing_climbs_the_ladder_and_gives_everything_back(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path
) -> None:
    one = agent()
    key = waiting(coordinator, repository.commit({"w.py": WAITS}), tmp_path / "go", grace_s=0.5, term_s=0.5)

    assert one.end(KILL_SIGNAL) == 0

    assert "released" in coordinator.happened(key)
    assert key not in coordinator.exits


def test_fewer_slots_wait_for_jobs_to_end(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path
) -> None:
    one, commit = agent(slots=2), repository.commit({"w.py": WAITS})
    keys = [waiting(coordinator, commit, tmp_path / f"go{n}") for n in range(2)]

    with coordinator.lock:
        coordinator.slots = 1
        coordinator.ring()
    coordinator.wait(lambda: "1 slots from now on, 2 before" in one.said, "the word")
    third = coordinator.submit(commit=commit, commands=[{"name": "1", "argv": ["true"]}])
    (tmp_path / "go0").touch()
    coordinator.wait(lambda: keys[0] in coordinator.ended, "the first")
    coordinator.wait(lambda: coordinator.syncs[-1]["held"] == [list(keys[1])], "a heartbeat with one job")
    assert third not in coordinator.granted
    (tmp_path / "go1").touch()

    coordinator.wait(lambda: third in coordinator.ended, "the third")
