"""A paused attempt stands still as a whole, its clock too, and goes on or ends as it is told."""

from __future__ import annotations

import time

from tests.integration.supervisor.attempts import Attempt, await_event, until
from tests.integration.supervisor.conftest import Prepare

from bough_agent import processes
from bough_agent.spawner_client import Spawner

COUNT = 'n=0; while [ $n -lt 4000 ]; do n=$((n+1)); echo $n >> "$1"; sleep 0.01; done'


def counting(attempt_name: str) -> list[str]:
    """Two processes that count into files of their own: the leader, and one in a session of its own."""
    script = f"setsid sh -c '{COUNT}' sh apart.txt & echo $! >> $PIDS; {COUNT}"
    return ["sh", "-c", script, "sh", attempt_name]


def sizes(attempt: Attempt) -> tuple[int, int]:
    return tuple((attempt.folder / name).stat().st_size for name in ("here.txt", "apart.txt"))  # type: ignore[return-value]


def is_still(attempt: Attempt) -> bool:
    before = sizes(attempt)
    time.sleep(0.2)
    return sizes(attempt) == before


def paused(spawner: Spawner, attempt: Attempt) -> Attempt:
    """Start it and pause it once both of its processes count."""
    spawner.launch(attempt.path)
    until(lambda: all((attempt.folder / name).exists() for name in ("here.txt", "apart.txt")))
    attempt.want("pause")
    until((attempt.folder / "control" / "paused").exists)
    return attempt


def test_the_whole_tree_stands_still_and_goes_on_where_it_was(spawner: Spawner, prepare: Prepare) -> None:
    attempt = paused(spawner, prepare(counting("here.txt")))

    assert is_still(attempt)
    assert all(processes.is_stopped(process.pid) for process in processes.members(attempt.marker)[1:])
    before = sizes(attempt)
    attempt.want("run")
    until(lambda: all(now > then for now, then in zip(sizes(attempt), before, strict=True)))
    assert not (attempt.folder / "control" / "paused").exists()

    attempt.want("kill", "user")
    await_event(spawner, "ended")
    document = attempt.exit()
    assert document["cause"] == "user"
    assert document["paused_s"] > 0.2


def test_the_clock_of_max_time_stands_still_too(spawner: Spawner, prepare: Prepare) -> None:
    attempt = paused(spawner, prepare(counting("here.txt"), max_time_s=1.0, term_s=1.0, grace_s=1.0))

    until(lambda: processes.members(attempt.marker) == [] or _seconds_since(attempt) > 1.5)
    assert not (attempt.folder / "control" / "stop").exists()
    attempt.want("run")
    await_event(spawner, "ended")

    document = attempt.exit()
    assert document["cause"] == "max_time"
    assert document["paused_s"] > 1.2
    assert 1.0 <= document["duration_s"] < document["ended_at"] - document["started_at"] - 1.0


def test_a_stop_of_a_paused_attempt_lets_it_go_on_first_so_that_it_can_clean_up(
    spawner: Spawner, prepare: Prepare
) -> None:
    script = f"setsid sh -c '{COUNT}' sh apart.txt & trap 'echo cleaned; kill $!; exit 3' INT; {COUNT}"
    attempt = paused(spawner, prepare(["sh", "-c", script, "sh", "here.txt"]))

    attempt.want("stop", "user")
    await_event(spawner, "ended")

    document = attempt.exit()
    assert (document["exit_code"], document["cause"]) == (3, "user")
    assert attempt.log() == "cleaned\n"
    assert [name for name, _ in document["ladder"]] == ["SIGINT"]


def test_what_had_stopped_itself_is_not_woken_by_the_end_of_a_pause(spawner: Spawner, prepare: Prepare) -> None:
    script = f"sh -c 'echo $$ > sleeper; kill -STOP $$; echo woken' & setsid sh -c '{COUNT}' sh apart.txt & {COUNT}"
    attempt = prepare(["sh", "-c", script, "sh", "here.txt"])
    sleeper = attempt.folder / "sleeper"
    spawner.launch(attempt.path)
    until(lambda: sleeper.exists() and sleeper.read_text() and processes.is_stopped(int(sleeper.read_text())))

    attempt.want("pause")
    until((attempt.folder / "control" / "paused").exists)
    attempt.want("run")
    until(lambda: not (attempt.folder / "control" / "paused").exists())

    assert processes.is_stopped(int(sleeper.read_text()))
    assert attempt.log() == ""
    attempt.want("kill", "user")
    await_event(spawner, "ended")


def _seconds_since(attempt: Attempt) -> float:
    return time.time() - (attempt.folder / "control" / "paused").stat().st_mtime
