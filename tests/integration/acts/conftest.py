"""One coordinator behind real HTTP, the command line in this process, and trials that the tests end as they like."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import make_repository
from tests.integration.api.running import Running, running

from bough_cli.inprocess import Attempt, InProcessAgent
from bough_cli.main import main
from bough_server.config import Config

MODEL = """\
model: me/acts
command: python train.py
hyperparameters: {x: 0.5, n: 3}
optimization:
  algorithm: random
  max_trials: TRIALS
  max_parallel: 1
  seed: 1
  agents: [AGENT]
  on_failure: {stop_after: null}
  space: {x: "uniform(0, 1)"}
"""


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it printed; fail with all of it where it failed."""
        assert self.code == 0, self.out + self.err
        return json.loads(self.out)


class Acts:
    """What a user and an agent do with one coordinator."""

    def __init__(self, api: Running, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.api = api
        self.place = place
        self._capsys = capsys
        self._agents: list[InProcessAgent] = []
        self.agent: InProcessAgent

    def bough(self, *arguments: str) -> Ran:
        """Run a command, in this process."""
        self._capsys.readouterr()
        code = main([*arguments])
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **query: Any) -> Any:
        """Send a request."""
        reply = self.api.call(method, f"/api/v1/{path}", json=body, params=query)
        assert reply.status_code == status, reply.text
        return reply.json()

    def one(self, its_id: str) -> Any:
        return self.call("GET", f"optimizations/{its_id}")

    def trials(self, its_id: str, **query: Any) -> list[Any]:
        rows: list[Any] = self.call("GET", f"optimizations/{its_id}/trials", sort="number", **query)["rows"]
        return rows

    def repository(self, trials: int = 3) -> Path:
        """Make a repository whose trials are this test's."""
        self.agent = InProcessAgent(self.api.url, self.api.admin, self.place / f"attempts-{len(self._agents)}")
        self._agents.append(self.agent)
        name = self.agent.connect(self.place.name[:40])
        text = MODEL.replace("AGENT", f'"{name}"').replace("TRIALS", str(trials))
        return make_repository(self.place / f"repo-{len(self._agents)}", {"bough.yml": text, "train.py": "\n"})

    def begun(self, trials: int = 3) -> str:
        """Start an optimization and return its id."""
        return str(self.bough("optimize", str(self.repository(trials)), "--detach", "--json").json()["id"])

    def claim(self) -> Attempt:
        """Return the next trial, begun."""
        for _ in range(100):
            attempt = self.agent.claim()
            if attempt is not None:
                return attempt
        raise AssertionError("no trial was granted")

    def end(self, attempt: Attempt, kpi: float | None = 0.5) -> None:
        """End a trial; None: it fails."""
        if kpi is not None:
            attempt.job.create_channel("loss", kpi=True, max_optimization=False).send(1, kpi)
        self.agent.end(attempt, None if kpi is not None else "it failed", wants=False)

    def all_ended(self, n: int, kpi: float | None = 0.5) -> None:
        for _ in range(n):
            self.end(self.claim(), kpi)

    def close(self) -> None:
        for agent in self._agents:
            agent.close()


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A coordinator that answers."""
    with running(Config(tmp_path_factory.mktemp("acts") / "coordinator", port=0)) as found:
        yield found


@pytest.fixture
def acts(
    api: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Acts]:
    """The coordinator, the command line and an agent, for one test."""
    for name, value in (("BOUGH_COORDINATOR", api.url), ("BOUGH_SECURE_KEY", api.admin)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BOUGH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Acts(api, tmp_path, capsys)
    yield found
    found.close()


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], list[Any]]]:
    """A function that does something beside the test; what it returns is in the list by the end of the test."""
    threads: list[threading.Thread] = []

    def begin(work: Callable[[], Any]) -> list[Any]:
        found: list[Any] = []
        threads.append(threading.Thread(target=lambda: found.append(work())))
        threads[-1].start()
        return found

    yield begin
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
