"""Runs a claim on this machine as an agent would: a clean tree of the commit, a supervisor, limits, a journal.

It needs neither coordinator nor agent, and leaves nothing but the folder it was given.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bough import _layout
from bough.errors import BoughError, Unavailable, UsageError
from bough_agent import attempts, commands, injection
from bough_agent.environments import Environments
from bough_agent.home import Home
from bough_agent.limits import Confinement
from bough_agent.messages import Claim
from bough_agent.offers import Offers
from bough_agent.sources import Sources
from bough_agent.spawner_client import Spawner
from bough_agent.workspace import Workspace
from bough_cli import wording

POLL_S = 0.1


@dataclass(frozen=True)
class Ran:
    """How a run ended.

    Attributes:
        exit: exit.json of its supervisor.
        folder: Its attempt's folder, with journals and log.
        environment: Interpreter and packages that it ran in; None without a Python.
    """

    exit: Mapping[str, Any]
    folder: Path
    environment: Mapping[str, Any] | None


def run(git_dir: str, claim: Claim, place: Path, path: str | None = None, show: bool = True) -> Ran:
    """Run a claim to its end; Ctrl-C stops it politely, a second one by force.

    Args:
        git_dir: The clone that holds the commit.
        claim: What to run.
        place: An empty folder for everything that the run needs.
        path: A folder for the beginning of PATH: that of an environment built for it.
        show: Whether its log is shown as it grows.

    Raises:
        UsageError: The tree or the commands cannot be made.
        Unavailable: Its supervisor has died.
        KeyboardInterrupt: The run was stopped by Ctrl-C.
    """
    home = Home(place)
    environ = dict(os.environ)
    if path is not None:
        environ["PATH"] = os.pathsep.join([path, environ.get("PATH") or os.defpath])
    url = Path(git_dir).resolve().as_uri()
    workspace = Workspace(place, url, None, random.Random(), allow_file=True)
    confinement = Confinement(None)  # it runs as its user runs it
    offered = Offers(float(os.cpu_count() or 1), 0, (), {}, (), confinement.description)
    environments = Environments(place / "environments")
    sdk, shims = injection.inject(place), commands.make_shims(place)
    sources = Sources(place / "sources", url, None)
    kit = attempts.Kit(home, workspace, sdk, shims, environ, offered, confinement, environments, sources)
    with contextlib.closing(home), Spawner.start() as spawner:
        _prepare(kit, replace(claim, git=""))  # the workspace asks the clone itself
        folder = home.attempt(*claim.key)
        spawner.launch(str(folder))
        exit = _followed(spawner, folder, show)
    return Ran(exit, folder, exit.get("environment"))


def _prepare(kit: attempts.Kit, claim: Claim) -> None:
    try:
        attempts.prepare(kit, claim, 0)
    except attempts.PreparationFailed as error:
        raise UsageError(f"it cannot be run here: {error}", "") from None


def _followed(spawner: Spawner, folder: Path, show: bool) -> Mapping[str, Any]:
    """Wait for the end, and return exit.json."""
    stopped = 0
    with _tail(folder / _layout.LOG, show) as copy:
        while True:
            try:
                events = spawner.read(POLL_S)
                copy()
            except KeyboardInterrupt:
                stopped += 1
                attempts.mirror(folder, "stop" if stopped == 1 else "kill", _layout.USER)
                continue
            for event in events:
                if event.kind == "failed":
                    raise UsageError(f"it cannot be run here: {event.error}", "")
            if any(event.kind == "ended" for event in events):
                break
        copy()
    exit = attempts.read_exit(folder)
    if exit is None:
        raise Unavailable("the supervisor of the run has died.", "Look at this machine's memory, then try again.")
    if stopped:
        raise KeyboardInterrupt
    return exit


@contextlib.contextmanager
def _tail(log: Path, show: bool) -> Iterator[Callable[[], None]]:
    """Give a function that shows what the log has got since it was called last."""
    at = 0

    def copy() -> None:
        nonlocal at
        if not show or not log.is_file():
            return
        with log.open("rb") as file:
            file.seek(at)
            piece = file.read()
        at += len(piece)
        sys.stderr.buffer.write(wording.harmless_log(piece) if sys.stderr.isatty() else piece)
        sys.stderr.buffer.flush()

    yield copy


def clear(place: Path) -> None:
    """Remove what a run left, closed folders included."""
    from bough_agent.workspace import remove

    with contextlib.suppress(OSError, BoughError):
        remove(place)
    shutil.rmtree(place, ignore_errors=True)
