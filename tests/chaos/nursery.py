"""Daemons that start in a tenth of a second: forked from a process that has loaded all of bough already.

They are processes of their own in sessions of their own, as those that a shell starts; only the loading is spared. A
test that starts dozens of coordinators would otherwise do little else.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPT = str(Path(__file__).resolve())


class Forked:
    """What `subprocess.Popen` is for a process that somebody else started. Use `Nursery.start`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.has_ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if not self.has_ended.wait(timeout):
            raise subprocess.TimeoutExpired("a forked daemon", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)  # its parent waits for it and says so a moment later

    def kill(self) -> None:
        self.send_signal(9)

    def terminate(self) -> None:
        self.send_signal(15)


class Nursery:
    """The process that forks; close it after all that it has started.

    Args:
        environ: Its own: where Python finds bough.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._started: dict[int, Forked] = {}
        self._new: list[Forked] = []
        self._is_new = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, kind: str, argv: Sequence[str], log: Path, environ: Mapping[str, str]) -> Forked:
        """Start a "coordinator" (home, port, times) or a `bough` command, with exactly that environment."""
        request = {"kind": kind, "argv": list(argv), "log": str(log), "environ": dict(environ)}
        assert self._process.stdin is not None
        with self._is_new:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            assert self._is_new.wait_for(lambda: self._new, 60), "nothing was started"
            return self._new.pop()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "started" in told:
                with self._is_new:
                    self._started[told["started"]] = Forked(told["started"])
                    self._new.append(self._started[told["started"]])
                    self._is_new.notify()
            else:
                one = self._started.pop(told["ended"])
                one.returncode = told["status"]
                one.has_ended.set()

    def close(self) -> None:
        """End everything that is left of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for one in list(self._started.values()):
            one.kill()
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(20)
        self._process.stdout.close()


def _become(request: dict[str, Any]) -> None:
    """Go on as the daemon that is wanted. Runs in the child."""
    os.setsid()
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(request["environ"])
    argv: list[str] = request["argv"]
    if request["kind"] == "coordinator":
        from bough_server import app, config

        home, port, times = argv
        sys.exit(app.main(config.Config(Path(home), port=int(port), **json.loads(times)), _say))
    from bough_cli.main import main

    sys.argv = ["bough", *argv]
    sys.exit(main())


def _say(text: str) -> None:
    print(text, flush=True)


def _fork(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _become(request)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # it is the last word of a process of its own
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def serve() -> None:
    """Fork what is asked for on stdin, and tell of every end, until stdin is closed."""
    for name in ("bough_agent.daemon", "bough_cli.main", "bough_server.app"):
        importlib.import_module(name)  # what takes so long

    rest, alive = b"", 0
    while True:
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                print(json.dumps({"started": _fork(json.loads(line))}), flush=True)
                alive += 1
        while alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            alive -= 1
            print(json.dumps({"ended": pid, "status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()
