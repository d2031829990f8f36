"""The agent's side of the spawner: start it, ask it for supervisors, hear what became of them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from typing import Literal, NamedTuple

from bough import _layout as layout
from bough.errors import Unavailable

CLOSE_S = 5.0


class SpawnerGone(Unavailable):
    """The spawner has ended, though nobody closed it: start another one. Running supervisors go on."""


class Event(NamedTuple):
    """What the spawner reports about one attempt.

    Attributes:
        kind: "started": its supervisor holds the attempt. "failed": it does not, and nothing was started. "ended": the
            supervisor is no more; `exit.json` says how the attempt ended, or is missing if the supervisor was killed.
        folder: The attempt's folder, as it was given to `launch`.
        pid: The supervisor's pid when it started, else None.
        error: One sentence when it failed, else None.
    """

    kind: Literal["started", "failed", "ended"]
    folder: str
    pid: int | None
    error: str | None


class Spawner:
    """A running spawner. Start it before any thread; to be used by one thread at a time, but for `launch`."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._pending = b""

    @classmethod
    def start(cls) -> Spawner:
        """Start a spawner with this interpreter and this very code, in a session of its own.

        It gets none of bough's own secrets: a trial may read the environment of its parents.
        """
        ours, theirs = socket.socketpair()
        env = {name: value for name, value in os.environ.items() if name not in layout.SECRETS}
        env["PYTHONPATH"] = os.pathsep.join(_roots())
        with theirs:
            process = subprocess.Popen(
                # -P and the neutral folder: a json.py in the user's folder must not become ours.
                [sys.executable, "-P", "-m", "bough_agent.spawner"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The pid of the spawner itself."""
        return self._process.pid

    def launch(self, folder: str) -> None:
        """Ask for a supervisor for the attempt in this folder (absolute; spec.json is in it). The answer is an event.

        Raises:
            SpawnerGone: The spawner has ended.
        """
        try:
            self._connection.sendall(json.dumps({"start": folder}).encode() + b"\n")
        except ConnectionError:
            raise self._gone() from None

    def fileno(self) -> int:
        """Return the descriptor to select on for reading; then call `read`."""
        return self._connection.fileno()

    def read(self, timeout_s: float | None = 0.0) -> list[Event]:
        """Return the events that have arrived, oldest first.

        Args:
            timeout_s: How long to wait for the first one, in seconds; 0: not at all, None: for ever.

        Returns:
            The events; none when the time is over.

        Raises:
            SpawnerGone: The spawner has ended.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not poll.poll(None if left is None else left * 1000):
                return []
            try:
                data = self._connection.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise self._gone()
            *lines, self._pending = (self._pending + data).split(b"\n")
            if lines:
                return [_event(line) for line in lines]

    def close(self) -> None:
        """End the spawner. Supervisors go on. Closing twice is harmless."""
        # While another thread waits in `read`, closing alone leaves the connection open: the spawner would not hear it.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:  # it is stuck in a fork or a write: nothing depends on it any more
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Spawner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gone(self) -> SpawnerGone:
        what = f"the spawner (pid {self.pid}) has ended."
        return SpawnerGone(what, "Running trials go on; restart the agent to start new ones.")


def _roots() -> list[str]:
    """Return the folders from which this process imports the SDK and the agent."""
    folders = [os.path.dirname(os.path.dirname(os.path.abspath(file))) for file in (layout.__file__, __file__)]
    return list(dict.fromkeys(folders))


def _event(line: bytes) -> Event:
    row = json.loads(line)
    if "started" in row:
        return Event("started", row["started"], row["pid"], None)
    if "failed" in row:
        return Event("failed", row["failed"], None, row["error"])
    return Event("ended", row["ended"], None, None)
