"""What a job needs beside its code reaches it: data, GPUs, limits, an environment; and its alert when it has ended."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.agent.conftest import Agent, Repository
from tests.integration.agent.coordinator import Coordinator, Key

Start = Callable[..., Agent]
TELLS = """
import json, os, resource
told = {name: value for name, value in os.environ.items() if name.startswith(("BOUGH_DATA", "CUDA", "OMP", "VIRTUAL"))}
told["nice"], told["data_bytes"] = os.nice(0), resource.getrlimit(resource.RLIMIT_DATA)[0]
if "BOUGH_DATA" in os.environ:
    told["read"] = open(os.path.join(os.environ["BOUGH_DATA"], "words", "a.txt")).read()
print(json.dumps(told))
"""
SMI = """#!/bin/sh
echo "0, NVIDIA H200, 143771, 517, 37"
echo "1, NVIDIA H200, 143771, 0, 3"
"""


def run(coordinator: Coordinator, commit: str, command: list[str], **claim: Any) -> Key:
    key = coordinator.submit(commit=commit, commands=[{"name": "1", "argv": command}], **claim)
    is_over = lambda: key in coordinator.ended or "prepare_failed" in coordinator.happened(key)  # noqa: E731
    coordinator.wait(is_over, "the job", timeout_s=90)  # an environment takes its time to be made
    return key


def write_wheel(path: Path) -> None:
    """Write a package with one empty module, as pip installs it without asking anybody."""
    info = "digitlib-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("digitlib.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: digitlib\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def told(coordinator: Coordinator, key: Key) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(coordinator.stream(key, "log"))
    return found


def test_data_and_limits_reach_a_job_and_what_was_given_once_is_kept(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path
) -> None:
    (tmp_path / "lots").mkdir()
    (tmp_path / "lots" / "a.txt").write_text("alpha")
    commit = repository.commit({"tell.py": TELLS})
    first = agent(data=(f"words={tmp_path / 'lots'}",), labels=("gpu=a100",))
    coordinator.wait(lambda: coordinator.introductions, "the agent")
    assert first.end() == 0
    agent()
    needs = {"data": ["words"], "cpu": 1.5, "memory_bytes": 4 << 30}

    seen = told(coordinator, run(coordinator, commit, ["python", "tell.py"], needs=needs))

    offers = [body["offers"] for body in coordinator.introductions]
    assert [row["data"] for row in offers] == [["words"], ["words"]]
    assert coordinator.introductions[0]["labels"] == ["gpu=a100"]
    assert (seen["read"], seen["BOUGH_DATA_WORDS"]) == ("alpha", str(tmp_path / "lots"))
    assert seen["OMP_NUM_THREADS"] == "2"
    if offers[1]["confinement"].startswith("nice"):
        assert (seen["nice"], seen["data_bytes"]) == (os.nice(0) + 5, 4 << 30)
    free = coordinator.syncs[-1]["free"]
    assert set(free) == {"cpus", "memory_bytes", "gpus"}


def test_each_job_sees_only_the_gpus_that_are_its_own(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the machine has none, a table of `nvidia-smi` as recorded stands in for them."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    waits = "import os, sys, time\nprint(os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\ntime.sleep(60)"
    commit = repository.commit({"tell.py": waits})
    commands = [{"name": "1", "argv": ["python", "tell.py"]}]

    agent(slots=4, gpus="0,1")
    keys = [coordinator.submit(commit=commit, commands=commands, needs={"gpu": n}) for n in (1, 0.5, 0.5, 1)]
    coordinator.wait(lambda: all(coordinator.stream(key, "log") for key in keys[:3]), "three jobs")
    coordinator.wait(lambda: "released" in coordinator.happened(keys[3]), "the fourth")

    assert [coordinator.stream(key, "log") for key in keys[:3]] == [b"0\n", b"1\n", b"1\n"]
    (given_back,) = [e for e in coordinator.events if e["event"] == "released"]
    assert given_back["message"] == "the agent has not the resources for it just now"
    assert coordinator.syncs[-1]["free"]["gpus"] == [[0.0, 143771 << 20], [0.0, 143771 << 20]]
    seen = next(header["usage"] for header in coordinator.syncs if header["usage"])
    assert [gpu["percent"] for gpu in seen["gpus"]] == [37.0, 3.0]


def test_an_environment_is_made_once_comes_first_and_its_failure_is_told_with_what_was_said(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    nothing: dict[str, Any] = {"requirements": None, "commands": [], "files": [], "python": None}
    makes = "import sys, pathlib; pathlib.Path(sys.prefix, 'made').open('a').write('x')"
    shows = "import digitlib, sys, pathlib; print(pathlib.Path(sys.prefix, 'made').read_text(), digitlib.__file__)"
    write_wheel(repository.work / "digitlib-1.0-py3-none-any.whl")
    files = {"make.py": makes, "show.py": shows, "requirements.txt": "./digitlib-1.0-py3-none-any.whl\n"}
    commit = repository.commit(files)
    agent()
    setup = {**nothing, "requirements": "requirements.txt", "commands": [["python", "make.py"]]}

    keys = [run(coordinator, commit, ["python", "show.py"], needs={"setup": setup}) for _ in range(2)]
    logs = [coordinator.stream(key, "log").decode().split() for key in keys]
    assert logs[0] == logs[1]
    assert logs[0][0] == "x"
    assert "/environments/" in logs[0][1]

    broken = {**nothing, "commands": [[sys.executable, "-c", "print('no such wheel'); raise SystemExit(3)"]]}
    missing = {**nothing, "requirements": "nowhere.txt"}
    for wrong, sentence in (
        (broken, "ended with exit code 3. It said: no such wheel"),
        (missing, "no file nowhere.txt"),
    ):
        key = run(coordinator, commit, ["python", "show.py"], needs={"setup": wrong})
        event = next(e for e in coordinator.events if e["job"] == key[0] and e["event"] == "prepare_failed")
        assert event["reason"] == "error"
        assert sentence in event["message"]


def test_the_command_for_alerts_is_run_at_the_end_and_its_failure_only_said(
    coordinator: Coordinator, repository: Repository, agent: Start, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    script = f'echo "$BOUGH_JOB_ID $BOUGH_JOB_EXIT_CODE $BOUGH_JOB_OUTCOME" > {said}.new; mv {said}.new {said}'
    commit = repository.commit({"fail.py": "raise SystemExit(7)"})
    one = agent()

    key = run(coordinator, commit, ["python", "fail.py"], needs={"on_end": ["sh", "-c", script]})
    coordinator.wait(said.exists, "the alert")
    other = run(coordinator, commit, ["python", "fail.py"], needs={"on_end": ["false"]})
    coordinator.wait(lambda: "on_end: false ended with exit code 1." in one.said, "the failure")

    assert said.read_text().startswith(f"{key[0]} 7 exit code 7 after ")
    assert coordinator.exits[other]["exit_code"] == 7


def test_the_agent_itself_keeps_to_its_allow_list(
    coordinator: Coordinator, repository: Repository, agent: Start
) -> None:
    commit = repository.commit({"tell.py": TELLS})
    agent(allow=("you/*",))

    key = run(coordinator, commit, ["python", "tell.py"])

    event = next(e for e in coordinator.events if e["job"] == key[0] and e["event"] == "prepare_failed")
    assert (event["reason"], event["message"]) == (
        "infra",
        "this agent runs only what its allow-list names (you/*).",
    )
