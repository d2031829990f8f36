"""A coordinator on a fixed port and agents in fixed folders, which are killed and started again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests
from tests.chaos.nursery import Forked, Nursery
from tests.e2e.conftest import Machine, make_repository, processes_of, wait_for

from bough_agent import processes
from bough_server.service.check import violations
from bough_server.store.sqlite import reader_engine

ENDED = ("DONE", "FAILED", "ABORTED")
COORDINATOR = """\
import json, pathlib, sys
from bough_server import app, config
times = json.loads(sys.argv[3])
sys.exit(app.main(config.Config(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]), **times), print))
"""
IMPATIENT = {"heartbeat_s": 0.5, "lease_ttl_s": 2.0}  # a claim whose agent died before it noted it is given out again


Process = subprocess.Popen[str] | Forked


class Daemon:
    """One `bough …` that comes back.

    Args:
        start: Starts it.
    """

    def __init__(self, start: Callable[[], Process]) -> None:
        self._start = start
        self.process = start()
        self.back_at: float | None = None  # when it is started again; None while it runs

    def kill(self, back_at: float) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self.process.wait()
        self.back_at = back_at

    def bring_back(self, now: float) -> None:
        """Start it again if it is time."""
        if self.back_at is not None and now >= self.back_at:
            self.back_at = None
            self.process = self._start()


class Lab:
    """A coordinator and agents on one machine, each with a name and so many slots.

    Args:
        machine: Where.
        agents: How many.
        slots: Of each.
        times: Of the coordinator's `Config`, where they are not the usual ones.
        options: Of the agents' command, besides.
        nursery: Where its daemons are forked; None starts them as a user does.

    Attributes:
        for_coordinator: Its environment, from the next start on; `for_agents` likewise.
    """

    def __init__(
        self,
        machine: Machine,
        agents: int = 1,
        slots: int = 3,
        times: Mapping[str, float] | None = None,
        options: Sequence[str] = (),
        nursery: Nursery | None = None,
    ) -> None:
        self.machine = machine
        self._options = options
        self._nursery = nursery
        self.for_coordinator: dict[str, str] = {}
        self.for_agents: dict[str, str] = {}
        self.port = "0"
        self._times = times or {}
        self.coordinator = Daemon(self._start_coordinator)
        place = machine.home / "coordinator" / "coordinator.json"
        self.url = str(wait_for(lambda: place.exists() and json.loads(place.read_text()), what="it")["url"])
        self.port = self.url.rpartition(":")[2]
        self._session = requests.Session()
        self.admin_key = (machine.home / "coordinator" / "admin.key").read_text().strip()
        self._session.headers["Authorization"] = f"Bearer {self.admin_key}"
        self._key = str(self.post("keys", {"name": "agents", "scope": "agent"})["key"])
        self.slots = slots
        self.agents = [Daemon(self._starter(name)) for name in ["one", "two", "three", "four"][:agents]]

    def _start_coordinator(self) -> Process:
        home = self.machine.home
        argv = [str(home / "coordinator"), self.port, json.dumps(self._times)]
        environ = {**self.machine.environ, **self.for_coordinator}
        if self._nursery is not None:
            return self._nursery.start("coordinator", argv, home / "coordinator.log", environ)
        command = [sys.executable, "-c", COORDINATOR, *argv]
        with (home / "coordinator.log").open("a") as log:
            daemon = subprocess.Popen(
                command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.machine.daemons.append(daemon)
        return daemon

    def _starter(self, name: str) -> Callable[[], Process]:
        def start() -> Process:
            what = ("agent", "server", "--coordinator", self.agents_url, "--slots", str(self.slots), "--name", name)
            environ = {"BOUGH_SECURE_KEY": self._key, **self.for_agents}
            if self._nursery is not None:
                environ = {**self.machine.environ, **environ}
                return self._nursery.start("bough", [*what, *self._options], self.machine.home / f"{name}.log", environ)
            return self.machine.start(*what, *self._options, cwd=None, **environ)

        return start

    @property
    def agents_url(self) -> str:
        """Where agents find the coordinator."""
        return self.url

    @property
    def homes(self) -> list[Path]:
        """The folders of the agents."""
        return sorted((self.machine.home / "agents").glob("*"))

    @property
    def daemons(self) -> list[Daemon]:
        return [self.coordinator, *self.agents]

    def add_agent(self, name: str) -> None:
        """Start one more agent."""
        self.agents.append(Daemon(self._starter(name)))

    def close(self) -> None:
        """End everything, agents first: they have somebody to say goodbye to."""
        self._session.close()
        self.bring_back(float("inf"))
        for one in [*self.agents, self.coordinator]:
            one.process.terminate()
        for one in self.daemons:
            one.process.wait(20)
        # An optimizer process that was still loading when its coordinator was killed sees that when it has loaded.
        wait_for(lambda: not processes_of(self.machine.home), 15.0, "the end of everything")

    # -- killing --------------------------------------------------------------------------------------------
    def bring_back(self, now: float) -> None:
        """Start again what was killed and has been away for long enough."""
        for daemon in self.daemons:
            daemon.bring_back(now)

    def kill(self, kind: str, which: float, back_at: float) -> bool:
        """Kill one of a kind: which of them is a number from 0 to 1. False if there is none."""
        if kind in ("coordinator", "agent"):
            some = [self.coordinator] if kind == "coordinator" else self.agents
            found = [one for one in some if one.back_at is None]
            if found:
                found[int(which * len(found))].kill(back_at)
            return bool(found)
        pids = self.supervisors() if kind == "supervisor" else self.trials()
        if not pids:
            return False
        try:
            psutil.Process(pids[int(which * len(pids))]).kill()
        except psutil.Error:
            return False
        return True

    def supervisors(self) -> list[int]:
        """Return the pids of the supervisors that live."""
        found = []
        for home in self.homes:
            for file in sorted(home.glob("attempts/*/supervisor.json")):
                with contextlib.suppress(OSError, ValueError):
                    row = json.loads(file.read_text())
                    seen = processes.look(row["pid"])
                    if seen is not None and seen.is_alive and seen.start_ticks == row["start_ticks"]:
                        found.append(seen.pid)
        return found

    def trials(self) -> list[int]:
        """Return the pids of the scripts that run."""
        return [pid for supervisor in self.supervisors() for pid in processes.below(supervisor)]

    def left(self) -> list[psutil.Process]:
        """Return what is there besides the daemons and what they started for themselves: trials and supervisors."""
        return [process for process in processes_of(self.machine.home) if _is_of_a_trial(process)] + [
            psutil.Process(pid) for pid in self.supervisors()
        ]

    # -- asking ---------------------------------------------------------------------------------------------
    def optimize(self, files: dict[str, str], name: str = "repo") -> str:
        """Start the optimization of a new repository; return its id."""
        path = make_repository(self.machine.home.parent / name, files)
        ran = self.machine.bough("optimize", str(path), "--detach", "--json", BOUGH_COORDINATOR=self.url)
        return str(ran.json()["id"])

    def get(self, path: str, **query: Any) -> Any:
        """Return what the coordinator says; None while it is away."""
        try:
            reply = self._session.get(f"{self.url}/api/v1/{path}", params=query, timeout=10)
        except requests.RequestException:
            return None
        return reply.json() if reply.ok else None

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        reply = self._session.post(f"{self.url}/api/v1/{path}", json=body or {}, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def jobs(self, optimization: str) -> list[dict[str, Any]]:
        """Return the trials; none while the coordinator is away."""
        found = self.get(f"optimizations/{optimization}/trials", limit=1000) or {"rows": []}
        return list(found["rows"])

    def ended(self, optimization: str) -> int:
        """Return how many trials have ended; 0 while the coordinator is away."""
        counts = (self.get(f"optimizations/{optimization}") or {"counts": {}})["counts"]
        return sum(n for state, n in counts.items() if state in ENDED)

    def await_end(self, optimization: str, trials: int, timeout_s: float) -> None:
        wait_for(lambda: self.ended(optimization) == trials, timeout_s, f"{trials} ended trials")

    def export(self, optimization: str, *options: str) -> str:
        ran = self.machine.bough("export", optimization, *options)
        assert ran.code == 0, ran.out + ran.err
        return ran.out

    def unsound(self) -> list[str]:
        """Return what `bough coordinator check` would say of the store."""
        with reading(self.machine.home / "coordinator" / "coordinator.db") as tx:
            return violations(tx)


@contextlib.contextmanager
def reading(database: Path) -> Iterator[Any]:
    """Give a connection that reads a store, whoever writes to it."""
    engine = reader_engine(database, 1)
    try:
        with engine.connect() as tx:
            yield tx
    finally:
        engine.dispose()


def definition(trials: int, parallel: int, script: str = "train.py", **more: Any) -> str:
    """Return a bough.yml that searches x."""
    settings = {"algorithm": "random", "max_trials": trials, "max_parallel": parallel, "seed": 3, **more}
    settings["space"] = {"x": "uniform(-5, 5)"}
    whole = {"model": "me/oracle", "command": f"{sys.executable} -u {script}", "hyperparameters": {"x": 0.0}}
    return json.dumps({**whole, "optimization": settings})


def _is_of_a_trial(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-1:] == ["train.py"]
    except psutil.Error:
        return False
