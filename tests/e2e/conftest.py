"""What every end-to-end test needs: the `bough` command as a user runs it, a repository, daemons that are ended."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
PARTS = [str(ROOT / part) for part in ("sdk", "agent", "server", "cli")]


def wait_for(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "") -> Any:
    """Return the first true answer of ``condition``; fail after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


@dataclass
class Machine:
    """A user's machine: a home folder of its own, and the `bough` command."""

    home: Path
    environ: dict[str, str]
    daemons: list[subprocess.Popen[str]] = field(default_factory=list)
    background: list[int] = field(default_factory=list)  # pids of agents that a shell started with &

    def bough(self, *args: str, cwd: Path | None = None, timeout_s: float = 90.0, **environ: str) -> Ran:
        """Run `bough ARGS…` to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "bough_cli", *args],
            cwd=cwd or self.home,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str, cwd: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        """Start a daemon `bough ARGS…`; it is ended after the test. Its output goes to a file in the home."""
        with (self.home / f"daemon-{len(self.daemons)}.log").open("w") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "bough_cli", *args],
                cwd=cwd or self.home,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.daemons.append(daemon)
        return daemon

    def said(self, daemon: subprocess.Popen[str]) -> str:
        """Return what a daemon has written so far."""
        return (self.home / f"daemon-{self.daemons.index(daemon)}.log").read_text()

    def coordinator(self, *options: str) -> str:
        """Start a coordinator in this home; return its URL once it listens."""
        place = self.home / "coordinator" / "coordinator.json"
        self.start("coordinator", "--port", "0", *options)
        return str(wait_for(lambda: place.exists() and json.loads(place.read_text()), what="coordinator.json")["url"])

    def key(self, scope: str = "agent") -> str:
        """Create a key and return the secret."""
        return str(self.bough("key", "create", "--scope", scope, f"test-{scope}", "--json").json()["secret"])


@dataclass(frozen=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what it printed, as JSON; fail with all of its output if it failed."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return json.loads(self.out)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A fresh machine; whatever it started is gone afterwards, and the test fails if anything was left."""
    with a_machine(tmp_path) as one:
        yield one


@contextlib.contextmanager
def a_machine(place: Path) -> Iterator[Machine]:
    """Give a fresh machine in this folder; whatever it started is ended, and what was left is an error."""
    home = place / "home"
    home.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "GIT_", "PYTEST"))}
    # As in an activated environment: the examples find the libraries of the Python that runs the tests.
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    environ |= {"HOME": str(home), "BOUGH_HOME": str(home), "PYTHONPATH": os.pathsep.join(PARTS), "COLUMNS": "120"}
    environ |= {"GIT_CONFIG_GLOBAL": str(place / "gitconfig"), "TEST_MACHINE": str(home)}
    (place / "gitconfig").write_text("[user]\n\tname = T\n\temail = t@example.org\n[init]\n\tdefaultBranch = main\n")
    one = Machine(home, environ)
    try:
        yield one
    finally:
        end_in_the_background(one.background)
        end_daemons(one.daemons)
        left = {process: _command_of(process) for process in processes_of(home)}
        for process in left:
            process.kill()
    assert not left, f"left behind: {left}"


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end_daemons(daemons: list[subprocess.Popen[str]]) -> None:
    """End what `Machine.start` started, the newest first."""
    for daemon in reversed(daemons):
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def end_in_the_background(pids: list[int]) -> None:
    """End processes that are not this one's children, and wait until they are gone."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.terminate()
            process.wait(20)


def processes_of(home: Path) -> list[psutil.Process]:
    """Return the living processes that carry this machine's mark in their environment.

    Trials are among them: of the agent's environment they get all but what begins with BOUGH_.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEST_MACHINE") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """A function that makes a git repository with the given files and one commit."""
    return lambda files, name="repo": make_repository(tmp_path / name, files)


def make_repository(path: Path, files: dict[str, str]) -> Path:
    """Make a git repository with these files and one commit."""
    for file, text in files.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text(text)
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    commit(path)
    return path


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Path]:
    """A function that copies an example into a repository of its own."""

    def make(name: str) -> Path:
        path = tmp_path / f"example-{name}"
        shutil.copytree(ROOT / "examples" / name, path, ignore=shutil.ignore_patterns("__pycache__", ".bough"))
        git(path, "init", "-q", "-b", "main")
        git(path, "add", "-A")
        commit(path)
        return path

    return make


def git(path: Path, *args: str) -> str:
    """Run git in ``path``, as a user with a name; return what it printed."""
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *args], cwd=path, check=True, capture_output=True, text=True).stdout.strip()


def commit(path: Path, message: str = "first") -> str:
    """Commit everything and return the hash."""
    git(path, "add", "-A")
    git(path, "commit", "-qm", message)
    return git(path, "rev-parse", "HEAD")


class Lab:
    """A machine with a coordinator and two agents: ann with six slots, ben with one."""

    def __init__(self, machine: Machine, place: Path) -> None:
        self.machine = machine
        self.place = place
        self.url = machine.coordinator()
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {machine.key('read')}"
        for name, slots in (("ann", "6"), ("ben", "1")):
            options = ["--secure-key", machine.key(), "--slots", slots, "--name", name, "--home", str(place / name)]
            machine.start("agent", "server", "--coordinator", self.url, *options)

    def start(self, name: str, files: dict[str, str], *options: str) -> str:
        """Start the optimization of a new repository; return its id."""
        path = make_repository(self.place / name, files)
        return str(self.machine.bough("optimize", str(path), "--detach", "--json", *options).json()["id"])

    def get(self, path: str, **query: Any) -> Any:
        """Ask the coordinator at once: a command takes a third of a second to start."""
        reply = self.session.get(f"{self.url}/api/v1/{path}", params=query, timeout=30)
        reply.raise_for_status()
        return reply.json()

    def optimization(self, its_id: str) -> Any:
        """Return the optimization with its trials."""
        trials = self.get(f"optimizations/{its_id}/trials", sort="number", limit=100)["rows"]
        return {**self.get(f"optimizations/{its_id}"), "trials": trials}

    def ended(self, its_id: str) -> Any:
        """Return the optimization with its trials, once it has ended."""
        states = ("DONE", "STOPPED")
        wait_for(lambda: self.get(f"optimizations/{its_id}")["state"] in states, 90.0, f"the end of {its_id}")
        return self.optimization(its_id)

    def job(self, its_id: str) -> Any:
        return self.get(f"jobs/{its_id}")

    def table(self, its_id: str, *options: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.machine.bough("export", its_id, *options).out)))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One coordinator with its agents for all tests that need nothing of their own."""
    place = tmp_path_factory.mktemp("lab")
    with a_machine(place) as machine:
        found = Lab(machine, place)
        yield found
        found.session.close()
