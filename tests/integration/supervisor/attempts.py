"""Attempts for tests: a folder with a spec, a supervisor from a real spawner, and what is found afterwards."""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bough_agent import processes
from bough_agent.spawner_client import Event, Spawner

TRIALS = Path(__file__).parent / "trials"
PYTHON = sys.executable
TRAIN = str(TRIALS / "train.py")
DEADLINE_S = 30.0


def until(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    """Wait for a condition, and fail where it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Attempt:
    """One attempt in a folder of its own."""

    term_s = 20.0

    def __init__(self, folder: Path, argvs: Sequence[Sequence[str]], **changes: Any) -> None:
        self.folder = folder
        self.path = str(folder)
        self.marker = os.urandom(16).hex()
        folder.mkdir(parents=True)
        env = {
            "PATH": "/usr/bin:/bin",
            "BOUGH_ATTEMPT_DIR": self.path,
            "PYTHON": PYTHON,
            "TRIALS": str(TRIALS),
            "PIDS": str(folder / "pids"),
        }
        spec = {
            "job_id": "k3f9a2bq",
            "attempt": 2,
            "marker": self.marker,
            "commands": [{"name": str(index + 1), "argv": list(argv)} for index, argv in enumerate(argvs)],
            "cwd": str(folder),
            "env": env,
            "max_time_s": None,
            "grace_s": 20.0,
            "term_s": self.term_s,
            "log_limit": None,
            **changes,
        }
        (folder / "spec.json").write_text(json.dumps(spec))

    def want(self, desired: str, cause: str | None = None) -> None:
        """Tell the supervisor what the coordinator wants."""
        (self.folder / "control").mkdir(exist_ok=True)
        beside = self.folder / "control" / "desired.tmp"
        beside.write_text(json.dumps({"desired": desired, "cause": cause}))
        beside.rename(self.folder / "control" / "desired.json")

    def await_log(self, text: str, times: int = 1) -> None:
        """Wait until the log holds the text so many times."""
        until(lambda: self.log().count(text) >= times)

    def log(self) -> str:
        file = self.folder / "log.txt"
        return file.read_text() if file.exists() else ""

    def exit(self) -> dict[str, Any]:
        """Return exit.json, after checking that what it says of the files is true."""
        document: dict[str, Any] = json.loads((self.folder / "exit.json").read_bytes())
        for name, sums in [("log.txt", document["log"]), *self._journals(document)]:
            data = (self.folder / name).read_bytes()
            assert (len(data), zlib.crc32(data)) == (sums["bytes"], sums["crc"])
        return document

    def _journals(self, document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        names = {path.stem for path in (self.folder / "journal").iterdir()}
        assert names == set(document["journals"])
        return [(f"journal/{writer}.jsonl", sums) for writer, sums in document["journals"].items()]

    def lines(self, writer: str) -> list[list[Any]]:
        """Return the lines of a journal."""
        text = (self.folder / "journal" / f"{writer}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def noted(self) -> list[int]:
        """Return the pids that the processes of the trial noted."""
        file = self.folder / "pids"
        return [int(word) for word in file.read_text().split()] if file.exists() else []

    def survivors(self) -> list[int]:
        """Return the pids of what is still alive of it, found by marker or noted by itself."""
        marked = [process.pid for process in processes.members(self.marker)]
        noted = [pid for pid in self.noted() if (row := processes.look(pid)) is not None and row.is_alive]
        return marked + noted

    def is_gone(self) -> bool:
        """Return whether nothing of it is alive."""
        return not self.survivors()


def await_event(spawner: Spawner, kind: str) -> Event:
    """Return the next event of this kind; any other one but "started" fails the test."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for event in spawner.read(1.0):
            if event.kind == kind:
                return event
            assert event.kind == "started", event
    raise AssertionError(f"no event {kind!r}")


def run(spawner: Spawner, attempt: Attempt) -> dict[str, Any]:
    """Supervise an attempt to its end and return exit.json."""
    spawner.launch(attempt.path)
    await_event(spawner, "ended")
    return attempt.exit()
