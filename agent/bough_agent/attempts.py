"""The folders of attempts: made before the launch, found again after a restart, removed when all is delivered."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bough import _layout
from bough.errors import BoughError, UsageError
from bough_agent import commands, ladder, supervisor
from bough_agent.home import Home, write_atomically
from bough_agent.messages import Claim, Json, Key, read_claim, write_claim
from bough_agent.shipping import read_json
from bough_agent.workspace import CheckoutFailed, FetchFailed, Workspace, inside

_CLAIM = "claim.json"  # the agent's own: what was granted, for the agent that finds the folder again
EXIT_BYTES = 512 << 10  # of exit.json; a thousand journals take a fifth of that


@dataclass(frozen=True)
class Kit:
    """What every attempt of this agent is prepared with."""

    home: Home
    workspace: Workspace
    sdk: Path
    shims: Path
    environ: Mapping[str, str]


class PreparationFailed(BoughError):
    """The attempt cannot be started.

    Attributes:
        reason: checkout, error or infra, as in the protocol.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def prepare(kit: Kit, claim: Claim, slot: int) -> str | None:
    """Make code and folder of an attempt ready to be supervised; return the path of the Python it will use.

    Raises:
        PreparationFailed: It cannot be done; the reason says whether another try could help.
    """
    try:
        return _prepare(kit, claim, slot)
    except CheckoutFailed as error:
        raise PreparationFailed("checkout", str(error)) from None
    except FetchFailed as error:
        raise PreparationFailed("infra", str(error)) from None
    except UsageError as error:
        raise PreparationFailed("error", str(error)) from None
    except OSError as error:
        raise PreparationFailed("infra", f"the agent's folder cannot be written: {error}.") from None


def _prepare(kit: Kit, claim: Claim, slot: int) -> str | None:
    argvs = commands.commands(claim)
    tree = kit.workspace.tree(slot, claim.model, claim.git, claim.commit)
    cwd = inside(tree, claim.folder, claim.working_dir)
    folder = kit.home.attempt(*claim.key)
    checkpoints = kit.home.checkpoints(claim.job_id)
    env = commands.environment(claim, folder, kit.sdk, kit.shims, checkpoints, kit.environ)
    shutil.rmtree(folder, ignore_errors=True)
    for name in (_layout.JOURNALS, _layout.CONTROL):
        (folder / name).mkdir(parents=True)
    for name, content in (
        (_CLAIM, write_claim(claim)),
        (_layout.JOB, commands.job(claim, checkpoints)),
        (_layout.PARAMETERS, dict(claim.values)),
        (_layout.SPEC, commands.spec(claim, argvs, cwd, env)),
    ):
        write_atomically(folder / name, json.dumps(content))
    return commands.python_of(argvs, env["PATH"])


def mirror(folder: Path, desired: str, cause: str | None) -> None:
    """Tell the attempt's supervisor what is wanted now."""
    control, file = folder / _layout.CONTROL, folder / _layout.DESIRED
    if control.is_symlink() or not control.is_dir():  # a trial may have removed it: it is to be stopped all the same
        control.unlink(missing_ok=True)
        control.mkdir()
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    write_atomically(file, json.dumps({"desired": desired, "cause": cause}))


def stop_cause(folder: Path) -> str | None:
    """Return why the supervisor is stopping the attempt; None when it is not."""
    stop = read_json(folder, _layout.STOP)
    return None if stop is None else str(stop.get("cause"))[:100].encode("utf-8", "replace").decode()


def read_exit(folder: Path) -> Json | None:
    """Return exit.json, or None as long as there is none that can be understood."""
    return read_json(folder, _layout.EXIT, limit=EXIT_BYTES)


def is_supervised(folder: Path) -> bool:
    """Tell whether the attempt's supervisor lives: by its lock, never by a pid."""
    return supervisor.is_supervised(str(folder))


def found(home: Home) -> Iterator[Claim]:
    """Yield the claims of all attempts that an earlier run of this agent left."""
    for folder in sorted((home.root / "attempts").iterdir()):
        row = read_json(folder, _CLAIM)
        try:
            claim = None if row is None else read_claim(row)
        except (KeyError, TypeError, ValueError, AttributeError):
            claim = None
        if claim is None or home.attempt(*claim.key) != folder:
            home.retire(folder)  # the agent died while it was made
        else:
            yield claim


def end_tree(marker: str) -> bool:
    """Kill whatever a dead supervisor left of its attempt; return whether nothing is left."""
    return not ladder.sweep(marker)


def forget(home: Home, key: Key, keep: bool) -> None:
    """Remove an attempt's folder, or put it aside; an empty checkpoint folder goes too."""
    folder = home.attempt(*key)
    if keep:
        with contextlib.suppress(OSError):
            home.retire(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # the job keeps something there, or never had the folder
        os.rmdir(home.root / "checkpoints" / key[0])
