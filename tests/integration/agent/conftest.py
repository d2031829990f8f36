"""A repository, a coordinator that serves it, and agents as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.agent.coordinator import KEY, Coordinator

from bough import _git

ROOT = Path(__file__).parents[3]
AGENT = """
import sys
from pathlib import Path
from bough.errors import BoughError
from bough_agent.daemon import AgentConfig, run
options = eval(sys.argv[4])
config = AgentConfig(coordinator_url=sys.argv[1], key=sys.argv[2] or None, name="a", home=Path(sys.argv[3]), **options)
try:
    sys.exit(run(config, lambda text: print(text, flush=True)))
except BoughError as error:
    sys.exit(str(error))
"""


class Repository:
    """A repository with a working tree, and the bare one that the coordinator serves."""

    def __init__(self, root: Path) -> None:
        self.work = root / "work"
        self.bare = root / "served" / "me" / "model.git"
        _git.run(["init", "-q", "-b", "main", str(self.work)])
        _git.run(["init", "-q", "--bare", str(self.bare)])

    def commit(self, files: dict[str, str]) -> str:
        """Write files, commit and push them; return the commit."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _git.run(["add", "-A"], cwd=str(self.work))
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        _git.run([*identity, "commit", "-qm", "x", "--allow-empty"], cwd=str(self.work))
        sha = _git.resolve(str(self.work / ".git"), "HEAD")
        target = f"{sha}:refs/bough/code/{sha}"
        _git.run(["push", "-q", "--", f"file://{self.bare}", target], cwd=str(self.work), allow_file=True)
        return sha


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def coordinator(repository: Repository) -> Iterator[Coordinator]:
    coordinator = Coordinator(repository.bare.parents[1])
    yield coordinator
    coordinator.close()


class Agent:
    """An agent process. Its console is in `said`."""

    def __init__(self, home: Path, coordinator: Coordinator, key: str = KEY, **options: object) -> None:
        self.home = home
        self._console = home.parent / f"console-{os.urandom(4).hex()}"
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT / "agent")])}
        argv = [sys.executable, "-c", AGENT, coordinator.url, key, str(home), repr({"slots": 1, **options})]
        with self._console.open("wb") as console:
            self.process = subprocess.Popen(argv, env=env, stdout=console, stderr=subprocess.STDOUT, cwd=home.parent)

    @property
    def said(self) -> str:
        return self._console.read_text()

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@pytest.fixture
def agent(tmp_path: Path, coordinator: Coordinator) -> Iterator[Callable[..., Agent]]:
    """Start agents; at the end of the test all are gone, their trials too."""
    started: list[Agent] = []

    def start(**options: object) -> Agent:
        home = options.pop("home", tmp_path / "home")
        assert isinstance(home, Path)
        started.append(Agent(home, coordinator, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
    _end_trials(coordinator)


def _end_trials(coordinator: Coordinator) -> None:
    from bough_agent import attempts

    for row in coordinator.granted.values():
        assert attempts.end_tree(row["marker"])
