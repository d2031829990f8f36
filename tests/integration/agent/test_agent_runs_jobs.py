"""A whole agent, as a process, against a real HTTP server, real git and real supervisors."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.agent.conftest import Agent, Repository
from tests.integration.agent.coordinator import Coordinator

Start = Callable[..., Agent]

REPORTS = """
import bough
job = bough.start_job()
channel = job.create_channel("accuracy", kpi=True, max_optimization=True)
for epoch in range(1, 4):
    channel.send(epoch, epoch * job.get_parameter("lr"))
    job.progress(epoch, 3)
print("the end of", job.get_parameter("lr"))
"""
WAITS = """
import pathlib, sys, time
print("waiting", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
"""
KEEPS = """
import os, sys
print(sorted(name for name in os.listdir(".")), open("data.txt").read())
open("left.txt", "w").write("x"); open("data.txt", "w").write("changed")
"""


def python(*argv: str) -> list[dict[str, Any]]:
    return [{"name": "1", "argv": ["python", *argv]}]


def test_a_trial_is_delivered_whole_and_its_folder_goes(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"examples/train.py": REPORTS})
    key = coordinator.submit(
        commit=commit, folder="examples", commands=python("train.py"), values={"lr": 0.5}, optimization="p1", number=7
    )

    one = agent()
    coordinator.wait(lambda: key in coordinator.ended, "the trial")

    exit = coordinator.exits[key]
    assert (exit["exit_code"], exit["cause"]) == (0, None)
    assert [line[4:] for line in coordinator.journal(key) if line[0] == "p"] == [[1, 0.5], [2, 1.0], [3, 1.5]]
    assert b"the end of 0.5" in coordinator.stream(key, "log")
    assert coordinator.happened(key)[:2] == ["preparing", "running"]
    assert one.end() == 0
    assert not list((one.home / "attempts").iterdir())
    assert "connected to" in one.said
    assert "trial 7 of p1" in one.said


def test_lost_replies_errors_and_a_proxy_s_page_lose_no_byte_and_run_nothing_twice(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"train.py": REPORTS})
    coordinator.mishaps = ["lose", "500", "lose", "html", "413", "lose", "404", "lose"]
    keys = [coordinator.submit(commit=commit, commands=python("train.py"), values={"lr": n}) for n in range(4)]

    one = agent(slots=2)
    coordinator.wait(lambda: len(coordinator.ended) == 4, "four trials", timeout_s=90)

    assert not coordinator.mishaps
    for n, key in enumerate(keys):
        assert [line[5] for line in coordinator.journal(key) if line[0] == "p"] == [n, 2 * n, 3 * n]
        assert coordinator.stream(key, "log").count(b"the end of") == 1
    assert coordinator.most_held <= 4
    assert one.end() == 0
    assert "connected again" in one.said


def test_each_trial_gets_exactly_the_commit_whatever_the_last_one_left(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"train.py": KEEPS, "data.txt": "as committed"})
    keys = [coordinator.submit(commit=commit, commands=python("train.py")) for _ in range(3)]

    agent(slots=1)
    coordinator.wait(lambda: len(coordinator.ended) == 3, "three trials")

    logs = {coordinator.stream(key, "log") for key in keys}
    assert logs == {b"['data.txt', 'train.py'] as committed\n"}
    assert coordinator.git_fetches <= 2  # one fetch of the one commit: the listing of refs and the pack


def test_a_commit_that_is_not_there_and_a_folder_that_is_not_in_it_are_one_sentence_each(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"train.py": REPORTS})
    gone = coordinator.submit(commit="f" * 40, commands=python("train.py"))
    lost = coordinator.submit(commit=commit, folder="nowhere", commands=python("train.py"))
    out = coordinator.submit(commit=commit, commands=python("{{missing}}"))

    agent(slots=3)
    failed = coordinator.wait(
        lambda: (
            {e["job"]: e for e in coordinator.events if e["event"] == "prepare_failed"}.keys()
            >= {gone[0], lost[0], out[0]}
        ),
        "three failures",
    )

    assert failed
    events = {e["job"]: e for e in coordinator.events if e["event"] == "prepare_failed"}
    assert events[gone[0]]["reason"] == events[lost[0]]["reason"] == "checkout"
    assert events[gone[0]]["message"] == (
        "commit fffffff is not in me/model on the coordinator. Push it, or start with --dirty to send the working tree."
    )
    assert "there is no folder nowhere in this commit" in events[lost[0]]["message"]
    assert (events[out[0]]["reason"], "missing" in events[out[0]]["message"]) == ("error", True)


def test_a_command_that_is_not_found_and_a_script_that_crashes_are_told_apart(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"train.py": "raise SystemExit(3)"})
    missing = coordinator.submit(commit=commit, commands=[{"name": "1", "argv": ["no-such-program"]}])
    crash = coordinator.submit(commit=commit, commands=python("train.py"))

    agent()
    coordinator.wait(lambda: len(coordinator.ended) == 2, "two trials")

    assert "no-such-program" in coordinator.exits[missing]["error"]
    assert coordinator.exits[crash]["exit_code"] == 3


def test_the_job_sees_its_own_variables_and_none_of_bough_s_secrets(
    coordinator: Coordinator, repository: Repository, agent: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOUGH_SECURE_KEY", "canary")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    commit = repository.commit({"train.py": "import os, json; print(json.dumps(dict(os.environ)))"})
    key = coordinator.submit(
        commit=commit, commands=python("train.py"), env={"EXTRA": "1"}, optimization="p1", number=3
    )

    agent()
    coordinator.wait(lambda: key in coordinator.ended, "the trial")

    env = json.loads(coordinator.stream(key, "log"))
    assert (env["EXTRA"], env["BOUGH_JOB_ID"], env["BOUGH_TRIAL"]) == ("1", key[0], "3")
    assert not {"BOUGH_SECURE_KEY", "BOUGH_COORDINATOR", "BOUGH_HOME", "PYTHONDONTWRITEBYTECODE"} & set(env)
    assert "canary" not in str(env)
    assert coordinator.key not in str(env)


def test_a_stop_from_the_coordinator_ends_the_trial_with_its_cause(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", "/nowhere/never"))
    agent()
    coordinator.wait(lambda: coordinator.stream(key, "log") == b"waiting\n", "the log, while the trial runs")

    with coordinator.lock:
        coordinator.desired[key] = ("stop", "user")
        coordinator.ring()
    coordinator.wait(lambda: key in coordinator.ended, "the end")

    assert coordinator.exits[key]["cause"] == "user"
    assert coordinator.happened(key)[:3] == ["preparing", "running", "stopping"] or "stopping" not in str(
        coordinator.events
    )


def test_a_fenced_attempt_is_ended_and_ships_nothing_more(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", "/nowhere/never"))
    one = agent()
    coordinator.wait(lambda: "running" in coordinator.happened(key), "the trial")

    with coordinator.lock:
        coordinator.fence.add(key)
        coordinator.ring()
    coordinator.wait(lambda: key in coordinator.fenced, "the fence")
    other = coordinator.submit(
        commit=repository.commit({"train.py": REPORTS}), commands=python("train.py"), values={"lr": 1}
    )
    coordinator.wait(lambda: other in coordinator.ended, "the slot to be free again")

    assert key not in coordinator.exits
    assert (one.home / "fenced" / f"{key[0]}.{key[1]}" / "exit.json").exists()
    assert one.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_that_comes_back_goes_on_with_what_still_runs(
    coordinator: Coordinator, repository: Repository, agent: Start, number: int
) -> None:
    marker = repository.work.parent / "go"
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", str(marker)))
    first = agent()
    coordinator.wait(lambda: coordinator.stream(key, "log"), "the trial to say something")

    first.end(number)
    second = agent()
    coordinator.wait(lambda: len(coordinator.introductions) == 2, "the second agent")
    marker.touch()
    coordinator.wait(lambda: key in coordinator.ended, "the trial")

    assert coordinator.exits[key]["exit_code"] == 0
    assert coordinator.stream(key, "log") == b"waiting\n"
    assert coordinator.introductions[0]["epoch"] == coordinator.introductions[1]["epoch"]
    assert "was left by this agent's last run" in second.said


def test_a_trial_that_ended_while_no_agent_was_there_is_delivered_by_the_next(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    marker = repository.work.parent / "go"
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", str(marker)))
    first = agent()
    coordinator.wait(lambda: coordinator.stream(key, "log"), "the trial to say something")
    first.end(signal.SIGKILL)
    marker.touch()
    exit = first.home / "attempts" / f"{key[0]}.{key[1]}" / "exit.json"
    coordinator.wait(exit.exists, "the supervisor to finish alone")

    agent()
    coordinator.wait(lambda: key in coordinator.ended, "the delivery")

    assert coordinator.exits[key]["exit_code"] == 0


def test_when_a_supervisor_is_killed_its_tree_is_ended_and_the_job_is_given_back(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", "/nowhere/never"))
    one = agent()
    coordinator.wait(lambda: "running" in coordinator.happened(key), "the trial")
    folder = one.home / "attempts" / f"{key[0]}.{key[1]}"
    pid = json.loads((folder / "supervisor.json").read_text())["pid"]

    os.kill(pid, signal.SIGKILL)
    coordinator.wait(lambda: "released" in coordinator.happened(key), "the release")

    from bough_agent import processes

    assert processes.members(coordinator.granted[key]["marker"]) == []
    assert "its supervisor died." in str(coordinator.events)


def test_on_term_requeue_stops_what_runs_and_gives_it_back(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", "/nowhere/never"))
    one = agent(on_term="requeue")
    coordinator.wait(lambda: "running" in coordinator.happened(key), "the trial")

    assert one.end() == 0

    assert coordinator.happened(key)[-1] == "released"
    assert key not in coordinator.exits


def test_a_journal_cut_by_the_script_fails_that_attempt_and_the_agent_goes_on(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    cheat = (
        "import bough, os, glob, time\njob = bough.start_job()\n"
        "c = job.create_channel('a', kpi=True)\nc.send(1, 1)\ntime.sleep(2)\n"
        "own = os.environ['BOUGH_ATTEMPT_DIR'] + '/journal/%d-*' % os.getpid()\n"  # another one is the supervisor's
        "os.truncate(glob.glob(own)[0], 5)\ntime.sleep(60)\n"
    )
    commit = repository.commit({"cheat.py": cheat, "train.py": REPORTS})
    key = coordinator.submit(commit=commit, commands=python("cheat.py"))
    other = coordinator.submit(commit=commit, commands=python("train.py"), values={"lr": 1})

    agent()
    coordinator.wait(lambda: {key, other} <= set(coordinator.ended), "both", timeout_s=60)

    assert coordinator.exits[key]["cause"] == "journal"
    assert "was cut short" in coordinator.exits[key]["error"]
    assert [line[5] for line in coordinator.journal(key) if line[0] == "p"] == [1]


def test_a_wrong_key_is_one_sentence_and_the_agent_ends(coordinator: Coordinator, agent: Start) -> None:
    one = agent(key="wrong")

    assert one.process.wait(30) == 1
    assert one.said == "this key is not known. Use another key.\n"


def test_a_key_that_is_revoked_stops_claims_and_keeps_the_trial(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    marker = repository.work.parent / "go"
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", str(marker)))
    one = agent()
    coordinator.wait(lambda: "running" in coordinator.happened(key), "the trial")

    coordinator.key = "another"
    coordinator.wait(lambda: "no new ones are taken" in one.said, "the complaint")
    marker.touch()
    coordinator.wait((one.home / "attempts" / f"{key[0]}.1" / "exit.json").exists, "the trial to end")
    coordinator.key = "a-test-key"
    coordinator.wait(lambda: key in coordinator.ended, "the delivery", timeout_s=60)


def test_a_second_agent_in_the_same_folder_is_refused(coordinator: Coordinator, agent: Start) -> None:
    one = agent()
    coordinator.wait(lambda: coordinator.introductions, "the first agent")

    two = agent()

    assert two.process.wait(30) == 1
    assert f"another agent is running in {one.home}" in two.said


def test_a_coordinator_that_is_not_there_is_waited_for(coordinator: Coordinator, agent: Start) -> None:
    coordinator.close()

    one = agent()
    coordinator.wait(lambda: "cannot be reached" in one.said, "the complaint")

    assert one.end() == 0
    assert one.said.count("cannot be reached") == 1


def test_an_agent_ends_after_its_jobs_or_when_there_are_none(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"train.py": "pass"})
    keys = [coordinator.submit(commit=commit, commands=python("train.py")) for _ in range(3)]

    assert agent(max_jobs=2, slots=3).process.wait(60) == 0
    assert len(coordinator.ended) == 2

    assert agent(exit_when_idle=True, idle_s=0.5).process.wait(60) == 0
    assert set(coordinator.ended) == set(keys)


def test_a_drained_agent_takes_nothing_new(coordinator: Coordinator, repository: Repository, agent: Start) -> None:
    coordinator.agent = "drain"
    agent()
    coordinator.wait(lambda: len(coordinator.syncs) >= 1, "a first sync")
    coordinator.submit(commit=repository.commit({"train.py": "pass"}), commands=python("train.py"))
    before = len(coordinator.syncs)
    coordinator.wait(lambda: len(coordinator.syncs) >= before + 2, "more syncs")

    assert [sync["free_slots"] for sync in coordinator.syncs[1:]] == [0] * (len(coordinator.syncs) - 1)
    assert coordinator.granted == {}


def test_the_key_and_the_folders_are_for_their_owner_alone(coordinator: Coordinator, agent: Start) -> None:
    one = agent()
    coordinator.wait(lambda: coordinator.introductions, "the agent")

    assert (one.home / "key").stat().st_mode & 0o777 == 0o600
    assert one.home.stat().st_mode & 0o777 == 0o700


def test_a_forged_exit_costs_that_attempt_only(coordinator: Coordinator, repository: Repository, agent: Start) -> None:
    forge = (
        "import os\nfile = open(os.environ['BOUGH_ATTEMPT_DIR'] + '/exit.json', 'w')\n"
        'file.write(\'{"exit_code": "nought", "usage": NaN}\')\nfile.close()\nos.kill(os.getppid(), 9)\n'
    )
    commit = repository.commit({"forge.py": forge, "train.py": REPORTS})
    key = coordinator.submit(commit=commit, commands=python("forge.py"))
    other = coordinator.submit(commit=commit, commands=python("train.py"), values={"lr": 1})

    agent()
    coordinator.wait(lambda: other in coordinator.ended, "the other trial", timeout_s=60)

    assert "its exit.json is not understood (exit_code is 'nought')" in str(coordinator.events)
    assert "released" in coordinator.happened(key)


def test_a_grant_whose_reply_was_lost_while_the_agent_stops_is_given_back(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    one = agent()
    coordinator.wait(lambda: coordinator.syncs, "the agent")
    with coordinator.lock:
        coordinator.mishaps = ["lose", "500"]
    key = coordinator.submit(commit=repository.commit({"train.py": "pass"}), commands=python("train.py"))
    coordinator.wait(lambda: key in coordinator.granted, "the grant")

    assert one.end() == 0

    assert coordinator.happened(key)[-1:] == ["released"] or key in coordinator.ended


def test_a_paused_job_stays_so_while_its_agent_is_away_and_goes_on_afterwards(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    counts = "import time\nfor n in range(100000):\n    print(n, flush=True); time.sleep(0.01)\n"
    commit = repository.commit({"train.py": counts})
    key = coordinator.submit(commit=commit, commands=python("train.py"))
    first = agent()
    coordinator.wait(lambda: coordinator.stream(key, "log"), "the first lines")

    with coordinator.lock:
        coordinator.desired[key] = ("pause", None)  # type: ignore[assignment]
        coordinator.ring()
    coordinator.wait(lambda: "paused" in coordinator.happened(key), "the pause")
    assert first.end() == 0
    second = agent()
    coordinator.wait(lambda: "going on with it" in second.said, "the adoption")
    before = coordinator.wait(lambda: coordinator.stream(key, "log"), "the log")
    with coordinator.lock:
        del coordinator.desired[key]
        coordinator.ring()
    coordinator.wait(lambda: "continued" in coordinator.happened(key), "the end of the pause")
    coordinator.wait(lambda: len(coordinator.stream(key, "log")) > len(before), "more lines")

    with coordinator.lock:
        coordinator.desired[key] = ("kill", "user")
        coordinator.ring()
    coordinator.wait(lambda: key in coordinator.ended, "the end")
    assert coordinator.exits[key]["paused_s"] > 0
    assert second.end() == 0


def test_an_attempt_from_before_a_reboot_is_recognized_and_given_back(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    """As after a power failure: no process of it is left, and its supervisor's note names another boot."""
    marker = repository.work.parent / "go"
    key = coordinator.submit(commit=repository.commit({"w.py": WAITS}), commands=python("w.py", str(marker)))
    first = agent()
    coordinator.wait(lambda: coordinator.stream(key, "log"), "the job")
    first.process.kill()
    first.process.wait()
    note = first.home / "attempts" / f"{key[0]}.1" / "supervisor.json"
    told = json.loads(note.read_text())
    os.kill(told["pid"], signal.SIGKILL)
    note.write_text(json.dumps({**told, "boot_id": "another"}))

    agent()

    coordinator.wait(lambda: "released" in coordinator.happened(key), "the word")
    (event,) = [e for e in coordinator.events if e["event"] == "released"]
    assert (event["reason"], event["message"]) == ("lost", "its machine was restarted.")
