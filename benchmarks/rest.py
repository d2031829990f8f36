"""What an agent, its spawner, a supervisor and a coordinator take while nothing happens: memory, and share of a core.

    python benchmarks/rest.py [--seconds 30]      takes eight minutes: the worker goes after five

A real coordinator, a real agent, one job that sleeps; then a search with TPE, after which the coordinator's optimizer
worker has gone. The targets: agent at most 45 MB and 0.5 % of a core, supervisor 8 MB that are its own, coordinator
120 MB; the exit code says whether they are met. Three numbers for memory, because a supervisor is a fork: RSS
counts what it shares with others in full, PSS counts each shared page in part, and USS is what is its own alone: what
one more of them costs the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
DEFINITION = "model: bench/sleep\ncommand: sleep 600\n"
SEARCH = """
model: bench/search
command: sh search.sh
hyperparameters: {x: 0.5}
optimization: {algorithm: tpe, initial_random: 5, max_trials: 15, max_parallel: 2, space: {x: "uniform(0, 1)"}}
"""
REPORT = "echo '{bough: create-channel, name: y, kpi: true}'\necho '{bough: channel, name: y, x: 1, y: 1}'\n"
IDLE_S = 300.0  # the same in bough_server.optimizers.client
MIB = float(1 << 20)
MOST = {"agent": (45.0, 0.5), "supervisor": (8.0, 0.5), "coordinator": (120.0, 100.0)}  # MB, % of a core


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a user with this home and nothing else of bough's."""
    parts = [str(ROOT / part) for part in ("sdk", "agent", "server", "cli")]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("BOUGH_", "GIT_"))}
    return {**env, "HOME": str(home), "BOUGH_HOME": str(home), "PYTHONPATH": os.pathsep.join(parts)}


def bough(env: dict[str, str], *args: str, cwd: Path) -> Any:
    """Run a command of bough and return the JSON that it prints."""
    argv = [sys.executable, "-m", "bough_cli", *args, "--json"]
    return json.loads(subprocess.run(argv, env=env, cwd=cwd, check=True, capture_output=True, text=True).stdout)


@contextlib.contextmanager
def daemon(env: dict[str, str], *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon as long as the block lasts."""
    process = subprocess.Popen([sys.executable, "-m", "bough_cli", *args], env=env, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(condition: Callable[[], Any], most_s: float = 60.0) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + most_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise SystemExit("waited too long")
        time.sleep(0.1)
    return answer


def measure(found: dict[str, psutil.Process], seconds: float) -> bool:
    """Print memory and CPU of some processes over a time; return whether they take what they may."""
    is_well = True
    before = {name: sum(process.cpu_times()[:2]) for name, process in found.items()}
    time.sleep(seconds)
    print(f"{'':12} {'RSS':>8} {'PSS':>8} {'USS':>8} MiB   CPU (over {seconds:g} s)")
    for name, process in found.items():
        memory = process.memory_full_info()
        sizes = " ".join(f"{size / MIB:8.1f}" for size in (memory.rss, memory.pss, memory.uss))
        share = 100 * (sum(process.cpu_times()[:2]) - before[name]) / seconds
        most_mb, most_share = MOST.get(name, (float("inf"), float("inf")))
        taken_mb = (memory.uss if name == "supervisor" else memory.rss) / 1e6  # it shares the rest with its spawner
        fits = taken_mb <= most_mb and share <= most_share
        is_well = is_well and fits
        print(f"{name:12} {sizes}       {share:.2f} % of a core" + ("" if fits else "   more than it may"))
    return is_well


def supervisor_of(agent_home: Path) -> int | None:
    """Return the pid of the supervisor of the only attempt, once there is one."""
    for file in agent_home.glob("attempts/*/supervisor.json"):
        return int(json.loads(file.read_text())["pid"])
    return None


def main() -> int:
    """Start everything, wait until it rests, measure; return 1 if something takes more than it may."""
    is_well = True
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        home.mkdir(mode=0o700)
        env, agent_home = environment(home), home / "agents" / "bench"
        repository = Path(place) / "repository"
        repository.mkdir()
        (repository / "bough.yml").write_text(DEFINITION)
        who = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
        (repository / "search").mkdir()
        (repository / "search" / "bough.yml").write_text(SEARCH)
        (repository / "search" / "search.sh").write_text(REPORT)
        for args in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "bench"]):
            subprocess.run(["git", *args], cwd=repository, check=True)
        with daemon(env, "coordinator", "--port", "0") as coordinator:
            url = wait_for(lambda: _url(home))
            key = bough(env, "key", "create", "bench", "--scope", "agent", cwd=home)["secret"]
            with_key = {**env, "BOUGH_SECURE_KEY": key}
            with daemon(with_key, "agent", "server", "--coordinator", url, "--name", "bench") as one:
                wait_for(lambda: bough(env, "agent", "status", cwd=home))
                agent = psutil.Process(one.pid)
                time.sleep(5)
                is_well &= measure({"agent": agent, "spawner": agent.children()[0]}, seconds)
                job = bough(env, "run", "--detach", cwd=repository)["id"]
                pid = wait_for(lambda: supervisor_of(agent_home))
                time.sleep(5)
                is_well &= measure({"supervisor": psutil.Process(pid), "agent": agent}, seconds)
                bough(env, "job", "stop", job, "--now", cwd=home)
                wait_for(lambda: not list(agent_home.glob("attempts/*")))
                bough(env, "optimize", "--detach", cwd=repository / "search")
                server = psutil.Process(coordinator.pid)
                wait_for(server.children)
                wait_for(lambda: len(bough(env, "job", "ls", "--state", "DONE", cwd=home)) == 15, 120.0)
                print("waiting until the optimizer's worker has gone")
                wait_for(lambda: not server.children(), IDLE_S + 60.0)
                is_well &= measure({"coordinator": server}, seconds)
    return 0 if is_well else 1


def _url(home: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return str(json.loads((home / "coordinator" / "coordinator.json").read_text())["url"])
    return None


if __name__ == "__main__":
    sys.exit(main())
