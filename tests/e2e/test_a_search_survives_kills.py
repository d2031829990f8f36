"""A search whose coordinator is killed again and again asks what an undisturbed one asks."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp
from tests.e2e.conftest import make_repository, wait_for

from bough_cli.client import health_of
from bough_cli.inprocess import InProcessAgent
from bough_server.service import check
from bough_server.store.database import Database

if TYPE_CHECKING:
    from tests.e2e.conftest import Machine

TRIALS, SEED, KILLS = 500, 3, 3
FILE = f"""\
model: me/search
command: "true"
hyperparameters:
  x: 0.5
  n: 3
  opt: {{type: choice_group, choices: {{sgd: {{lr: 0.1}}, adam: {{beta: 0.5}}}}}}
optimization:
  algorithm: annealing
  max_trials: {TRIALS}
  max_parallel: 1
  seed: {SEED}
  agents: ["in-process:test"]
  kpi: {{channel: loss, direction: minimize}}
  on_failure: {{stop_after: null}}
  space:
    x: uniform(-3, 3)
    n: range(1, 9, 2)
    opt: choice
    opt.sgd.lr: loguniform(0.0001, 1)
    opt.adam.beta: quniform(0, 1, 0.1)
"""
SPACE = {
    "x": hp.uniform("x", -3, 3),
    "n": hp.quniform("n", -0.5, 4.5, 1),
    "opt": hp.choice(
        "opt",
        [
            {"lr": hp.loguniform("opt.sgd.lr", np.log(0.0001), np.log(1))},
            {"beta": hp.quniform("opt.adam.beta", 0, 1, 0.1)},
        ],
    ),
}


def loss_of(x: float, n: int, lr: float | None, beta: float | None) -> float | None:
    """What a trial finds; None where it fails."""
    if round(1000 * x) % 7 == 3:
        return None
    return float(x * x + n / 10 + (abs(np.log10(lr) + 2) if lr is not None else abs((beta or 0.0) - 0.5)))


def by_fmin() -> list[dict[str, Any]]:
    points = []

    def objective(found: dict[str, Any]) -> dict[str, Any]:
        point = {"x": found["x"], "n": 1 + 2 * round(found["n"]), "lr": found["opt"].get("lr")}
        points.append({**point, "beta": found["opt"].get("beta")})
        loss = loss_of(**points[-1])
        return {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}

    hyperopt.fmin(
        objective, SPACE, hyperopt.anneal.suggest, TRIALS, rstate=np.random.default_rng(SEED),
        show_progressbar=False, verbose=False, return_argmin=False,
    )  # fmt: skip
    return points


class Killed:
    """A coordinator that is killed at any moment and started again on the same port."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        process = self._machine.start("coordinator", "--port", str(self.port))
        wait_for(lambda: health_of(self.url), 60.0, "the coordinator")
        return process

    def kill_soon(self, delay_s: float) -> None:
        """Kill it in the middle of whatever it does then; a new one is there when this thread has ended."""

        def kill() -> None:
            threading.Event().wait(delay_s)  # any moment is as good as another
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = self.start()

        thread = threading.Thread(target=kill)
        thread.start()
        self.thread = thread


@pytest.fixture
def agent_of(tmp_path: Path) -> Iterator[Callable[[str, str], InProcessAgent]]:
    made: list[InProcessAgent] = []

    def make(url: str, key: str) -> InProcessAgent:
        made.append(InProcessAgent(url, key, tmp_path / "attempts"))
        made[-1].connect("test")
        return made[-1]

    yield make
    for one in made:
        one.close()


def run_trials(agent: InProcessAgent, coordinator: Killed, rng: random.Random) -> list[dict[str, Any]]:
    """Run all trials; return the values of each, in their order."""
    kill_at = sorted(rng.sample(range(10, TRIALS - 10), KILLS))
    seen: list[dict[str, Any]] = []
    while len(seen) < TRIALS:
        attempt = agent.claim()
        if attempt is None:
            continue
        assert (attempt.claim.number, attempt.claim.attempt) == (len(seen) + 1, 1)
        values = attempt.claim.values
        lr, beta = values.get("opt.sgd.lr"), values.get("opt.adam.beta")
        seen.append({"x": values["x"], "n": values["n"], "lr": lr, "beta": beta})
        if len(seen) in kill_at:
            coordinator.kill_soon(rng.uniform(0, 0.05))
        loss = loss_of(**seen[-1])
        if loss is not None:
            attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, loss)
        agent.end(attempt, None if loss is not None else "it failed")
        if len(seen) in kill_at:
            coordinator.thread.join(60)
    return seen


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_five_hundred_trials_with_the_coordinator_killed_in_between_are_those_of_fmin(
    machine: Machine, tmp_path: Path, agent_of: Callable[[str, str], InProcessAgent]
) -> None:
    coordinator = Killed(machine)
    repository = make_repository(tmp_path / "repository", {"bough.yml": FILE})
    made = machine.bough("optimize", str(repository), "--detach", "--json").json()["id"]
    agent = agent_of(coordinator.url, machine.key("agent"))

    seen = run_trials(agent, coordinator, random.Random(1))

    assert seen == by_fmin()
    done = machine.bough("optimization", "show", made, "--json").json()
    assert (done["state"], done["finished"]) == ("DONE", TRIALS)
    assert done["counts"]["FAILED"] > 5
    coordinator.process.terminate()
    coordinator.process.wait(20)
    store = Database.open(machine.home / "coordinator" / "coordinator.db")
    assert store.read_sync(check.violations) == []
    store.close()
