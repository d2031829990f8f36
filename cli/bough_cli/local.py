"""A coordinator and an agent on this machine, started for one command and stopped with it.

Both are processes of their own (``python -m bough_cli coordinator``, ``… agent server``), each in a session of its own:
Ctrl-C in the terminal reaches only the command, which then decides. Their output goes to files under ``logs/``.
Unless they are to be kept they end with the command, also when it is killed: they ask the kernel to tell them.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bough import _layout
from bough.errors import BoughError, Unavailable, UsageError
from bough_cli import client, home
from bough_cli.client import Address, Client

START_S = 60.0
STOP_S = 60.0  # an agent may have to wait for the grace of its trials
HURRY_S = 10.0  # after a second Ctrl-C
POLL_S = 0.02
KEY_FILE = "secure.key"
ROOM_BYTES = 1 << 16


@dataclass
class Daemon:
    """One process that was started here, and the file with its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ask it to end, wait, and kill it only when it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def died(self) -> Unavailable:
        """Return the error for its end before it was ready: the last thing it said."""
        lines = [line.strip() for line in (home.read_text(self.log) or "").splitlines() if line.strip()]
        said = lines[-1].removeprefix("bough: ") if lines else f"it ended with exit code {self.process.returncode}."
        return Unavailable(f"the {self.name} could not be started here: {said}", f"All it said is in {self.log}.")


@dataclass
class Local:
    """What was started here. `stop` ends it, the agent first."""

    keep: bool = False
    daemons: list[Daemon] = field(default_factory=list)

    def start_coordinator(self, port: int = 0, limits: Mapping[str, int] | None = None) -> None:
        """Start a coordinator; it is not ready before `wait_for_coordinator` returns.

        Args:
            port: Where it listens; 0 takes a free one.
            limits: How much a job may report, where that is not as ever (`_layout.LIMITS`).
        """
        folder = home.folder("coordinator")
        arguments = ["coordinator", "--home", str(folder), "--host", "127.0.0.1", "--port", str(port)]
        arguments += [part for name, value in (limits or {}).items() for part in ("--limit", f"{name}={value}")]
        self.daemons.append(start("coordinator", arguments, keep=self.keep))

    def wait_for_coordinator(self) -> Address:
        """Return the address of the coordinator once it answers.

        Raises:
            Unavailable: It ended, or did not answer in time.
        """
        daemon = self.daemons[0]
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            told = home.read_json(home.coordinator_home() / "coordinator.json")
            if told is not None and told.get("pid") == daemon.process.pid:
                address = client.running_here()
                if address is not None:
                    return address
            if daemon.process.poll() is not None:
                raise daemon.died()
            time.sleep(POLL_S)
        raise Unavailable(f"the coordinator did not answer within {START_S:g} s.", f"Look at {daemon.log}.")

    def start_agent(self, coordinator: Client, slots: int, name: str | None = None) -> None:
        """Start an agent that runs ``slots`` jobs at a time for the coordinator."""
        name = name or home.machine_name()
        folder = home.folder("agents", name)
        key = agent_key(coordinator, folder, name)
        arguments = ["agent", "server", "--coordinator", coordinator.url, "--secure-key-file", str(key)]
        arguments += ["--name", name, "--slots", str(slots), "--home", str(folder), "--on-term", "requeue"]
        self.daemons.append(start("agent", arguments, keep=self.keep))

    def check(self) -> None:
        """Raise what a daemon said when it has ended although nobody stopped it."""
        for daemon in self.daemons:
            if daemon.process.poll() is not None:
                raise daemon.died()

    def stop(self) -> None:
        """End the agent, then the coordinator; nothing when they are to be kept."""
        if self.keep:
            return
        while self.daemons:
            self.daemons[-1].stop()
            self.daemons.pop()

    def end(self) -> None:
        """Stop; a Ctrl-C meanwhile asks a second time, which the agent takes as "at once"."""
        try:
            self.stop()
        except KeyboardInterrupt:
            for daemon in reversed(self.daemons):
                daemon.stop(timeout_s=HURRY_S)


def start(name: str, arguments: list[str], keep: bool) -> Daemon:
    """Start ``bough <arguments>`` in the background, in a session and a folder of its own.

    ``-P`` keeps modules of the current folder (a ``random.py`` of the user's) out of its imports.
    """
    folder = home.folder("logs")
    _check_room(folder)
    log = folder / f"{name}.log"
    command = [sys.executable, "-P", "-m", "bough_cli", *arguments]
    if not keep:
        command += ["--end-with", str(os.getpid())]
    environment = {name: value for name, value in os.environ.items() if name not in (_layout.KEY, _layout.COORDINATOR)}
    with open(log, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Daemon(name, process, log)


def _check_room(folder: Path) -> None:
    """A daemon on a full disk could not even write why it ends."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * ROOM_BYTES)
            file.flush()
    except OSError as error:
        what = f"nothing can be written to {folder}: {error.strerror}."
        raise UsageError(what, "Free some disk, or set BOUGH_HOME to another place.") from None


def end_process(
    pid: int, started: float | None = None, number: signal.Signals = signal.SIGTERM, most_s: float = STOP_S
) -> bool:
    """Send a signal to a process and wait for its end; return whether it came. One that is not there has ended.

    ``started`` is when the process was made, where that is known: another one may have got its number since.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if started is not None and abs(process.create_time() - started) > 1.0:
            return True
        process.send_signal(number)
        deadline = time.monotonic() + most_s
        while process.status() != psutil.STATUS_ZOMBIE:  # a zombie waits only for its parent
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
    except psutil.NoSuchProcess:
        return True
    return True


def agent_key(coordinator: Client, folder: Path, name: str) -> Path:
    """Return the file with the key of an agent here: the one it had, or a new one where that is not known."""
    path = folder / KEY_FILE
    known = home.read_text(path)
    if known is not None and _is_good(Address(coordinator.url, known, str(path))):
        return path
    home.write_private(path, coordinator.create_key(name, "agent")["secret"] + "\n")
    return path


def _is_good(address: Address) -> bool:
    try:
        with Client(address) as agent:
            agent.get("/me")
    except BoughError:
        return False
    return True


@contextmanager
def ending_with(stop: Callable[[], None]) -> Iterator[None]:
    """Run ``stop`` at the end of the block, also when SIGTERM or SIGHUP ends it (then with exit code 128 + signal)."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        # From here on nothing may interrupt: what was started must end.
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        try:
            stop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def unless_it_fails(local: Local | None) -> Iterator[None]:
    """Keep what is to be kept only if the block succeeds: of a start that was refused no process shall stay."""
    try:
        yield
    except BaseException:
        if local is not None:
            local.keep = False
        raise


def end_after(pid: int | None, is_needed: Callable[[], bool]) -> None:
    """Have this process get SIGTERM when process ``pid`` has ended and nobody needs this one any more (Linux only).

    A coordinator waits so for its agent, which has trials to give back.
    """
    if pid is None or not hasattr(os, "pidfd_open"):
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        raise SystemExit(128 + signal.SIGTERM) from None

    def watch() -> None:
        select.select([handle], [], [])
        deadline = time.monotonic() + STOP_S
        while is_needed() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-after", daemon=True).start()


def end_with(pid: int | None) -> None:
    """Have this process get SIGTERM when the one that started it, ``pid``, ends in whatever way (Linux only)."""
    if pid is None or not sys.platform.startswith("linux"):
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != pid:  # it ended before we asked
        raise SystemExit(128 + signal.SIGTERM)
