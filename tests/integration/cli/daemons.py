"""The command as processes: daemons that are started, asked and ended, on a machine of the test's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[3]
PARTS = os.pathsep.join(str(ROOT / part) for part in ("sdk", "agent", "server", "cli"))
MARK = "TEST_MACHINE"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 40.0) -> Any:
    """Return the first true answer of a condition."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.03)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


@dataclass
class Machine:
    """A home, and the command in it."""

    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every process of this machine, with its mark."""
        return {**os.environ, "BOUGH_HOME": str(self.home), "PYTHONPATH": PARTS, MARK: str(self.home), "COLUMNS": "160"}

    def bough(self, *arguments: str, code: int = 0, **environ: str) -> str:
        """Run a command to its end, which must be ``code``; return what it printed, errors last."""
        done = subprocess.run(
            [sys.executable, "-m", "bough_cli", *arguments],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        """Return the JSON that a command prints."""
        return json.loads(self.bough(*arguments, "--json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in the background; its output goes to ``<n>.out`` in the home."""
        self.home.mkdir(exist_ok=True)
        with open(self.home / f"{len(self.started)}.out", "w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bough_cli", *arguments],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """Return what a command in the background has printed so far."""
        return (self.home / f"{self.started.index(process)}.out").read_text()

    def coordinator(self) -> str:
        """Start a coordinator and return its address once it answers."""
        self.start("coordinator", "--port", "0")
        place = self.home / "coordinator" / "coordinator.json"
        return str(wait_for(lambda: place.exists() and json.loads(place.read_text()), "a coordinator")["url"])

    def processes(self) -> list[psutil.Process]:
        """Return every living process that carries the mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end(self) -> None:
        """End what was started, the last first, and whatever it left."""
        for process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        left = self.processes()
        for one in left:
            one.kill()
        assert not left, f"left behind: {left}"
