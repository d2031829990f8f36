"""The folders of attempts: made before the launch, found again after a restart, removed when all is delivered."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bough import _failpoints, _layout, _signing
from bough.errors import BoughError, UsageError
from bough_agent import commands, equipment, ladder, supervisor
from bough_agent.environments import Environments, SetupFailed
from bough_agent.gpus import Gpu
from bough_agent.home import Home, write_atomically
from bough_agent.interpreters import Interpreters
from bough_agent.limits import Confinement
from bough_agent.messages import Claim, Json, Key, read_claim, write_claim
from bough_agent.offers import Offers
from bough_agent.shipping import read_json
from bough_agent.sources import Sources, Unresolved
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
    offers: Offers
    confinement: Confinement
    environments: Environments
    sources: Sources
    interpreters: Interpreters = field(default_factory=Interpreters)
    signers: tuple[str, ...] = ()  # public keys of those whose signed jobs are run; none: all jobs are


class PreparationFailed(BoughError):
    """The attempt cannot be started.

    Attributes:
        reason: checkout, error or infra, as in the protocol.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Ready:
    """An attempt that can be supervised.

    Attributes:
        python: The path of the Python that it will use; None without one.
        commit: What was found where the claim named none; else None.
    """

    python: str | None
    commit: str | None = None


def prepare(kit: Kit, claim: Claim, slot: int, gpus: tuple[int, ...] = ()) -> Ready:
    """Make code and folder of an attempt ready to be supervised.

    ``gpus`` are the indexes of those that are its own.

    Raises:
        PreparationFailed: It cannot be done; the reason says whether another try could help.
    """
    try:
        return _prepare(kit, claim, slot, gpus)
    except (CheckoutFailed, Unresolved) as error:
        raise PreparationFailed("checkout", str(error)) from None
    except (FetchFailed, equipment.DataMissing) as error:
        raise PreparationFailed("infra", str(error)) from None
    except (UsageError, SetupFailed) as error:
        raise PreparationFailed("error", str(error)) from None
    except OSError as error:
        raise PreparationFailed("infra", f"the agent's folder cannot be written: {error}.") from None


def _prepare(kit: Kit, claim: Claim, slot: int, gpus: tuple[int, ...]) -> Ready:
    refusal = kit.offers.refusal(claim)
    if refusal is not None:
        raise PreparationFailed("infra", refusal)
    if kit.signers and not _is_signed(kit.signers, claim):
        raise PreparationFailed("error", UNSIGNED)
    found = None
    if claim.fetch is not None:
        found = kit.sources.resolve(claim.git, claim.fetch["url"], claim.fetch["ref"])
        claim = replace(claim, commit=found, fetch=None)
    argvs = commands.commands(claim)
    tree = kit.workspace.tree(slot, claim.model, claim.git, claim.commit)
    cwd = inside(tree, claim.folder, claim.working_dir)
    folder = kit.home.attempt(*claim.key)
    checkpoints = kit.home.checkpoints(claim.job_id)
    env = commands.environment(claim, folder, kit.sdk, kit.shims, checkpoints, kit.environ)
    shutil.rmtree(folder, ignore_errors=True)
    for name in (_layout.JOURNALS, _layout.CONTROL):
        (folder / name).mkdir(parents=True)
    env.update(equipment.variables(claim, gpus, kit.offers, equipment.link(claim, kit.offers, folder)))
    if claim.needs.get("setup"):
        equipment.activate(env, kit.environments.bin_of(claim.needs["setup"], cwd, env, time.time()))
    limits = kit.confinement.of_job(claim.key, claim.needs)
    for name, content in (
        (_CLAIM, {**write_claim(claim), "gpus": list(gpus)}),
        (_layout.JOB, commands.job(claim, checkpoints)),
        (_layout.PARAMETERS, dict(claim.values)),
        (_layout.SPEC, {**commands.spec(claim, argvs, cwd, env), "confinement": limits}),
    ):
        write_atomically(folder / name, json.dumps(content))
    python = commands.python_of(argvs, env["PATH"])
    environment = kit.interpreters.describe(python, env, str(kit.sdk))
    if environment is not None:
        write_atomically(folder / _layout.ENVIRONMENT, json.dumps(environment))
    return Ready(python, found)


UNSIGNED = (
    "this agent runs only what a key it knows has signed, and that is not signed so. Start it with `bough optimize` or "
    "`bough run` from a clone, by a user who has that key in ~/.bough/signing.key."
)


def _is_signed(keys: tuple[str, ...], claim: Claim) -> bool:
    code = _signing.code_of(
        claim.model, claim.commit, claim.folder, claim.commands, claim.env, claim.working_dir, claim.needs, claim.output
    )
    return bool(claim.commit) and _signing.is_signed(keys, code, claim.signature)


def mirror(folder: Path, desired: str, cause: str | None) -> None:
    """Tell the attempt's supervisor what is wanted now."""
    control, file = folder / _layout.CONTROL, folder / _layout.DESIRED
    if control.is_symlink() or not control.is_dir():  # a trial may have removed it: it is to be stopped all the same
        control.unlink(missing_ok=True)
        control.mkdir()
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    write_atomically(file, json.dumps({"desired": desired, "cause": cause}))


def desired_of(folder: Path) -> tuple[str, str | None]:
    """Return what the attempt's supervisor was last told, and why; what cannot be read says run."""
    row = read_json(folder, _layout.DESIRED) or {}
    desired, cause = row.get("desired"), row.get("cause")
    return str(desired or "run"), None if cause is None else str(cause)


def tell_of_gpus(folder: Path, seen: Sequence[Gpu], now: float) -> None:
    """Tell the attempt's supervisor how busy its GPUs are; where that cannot be written, it goes without."""
    if not seen:
        return
    busy = [gpu.percent for gpu in seen if gpu.percent is not None]
    used = sum(gpu.used_bytes for gpu in seen)
    row = {"at": now, "percent": sum(busy) / len(busy) if busy else 0.0, "memory_bytes": used}
    with contextlib.suppress(OSError):
        write_atomically(folder / _layout.GPUS, json.dumps(row))


def is_paused(folder: Path) -> bool:
    """Tell whether the attempt's supervisor has stopped its tree."""
    return os.path.lexists(folder / _layout.PAUSED)


def stop_cause(folder: Path) -> str | None:
    """Return why the supervisor is stopping the attempt; None when it is not."""
    stop = read_json(folder, _layout.STOP)
    return None if stop is None else str(stop.get("cause"))[:100].encode("utf-8", "replace").decode()


def read_exit(folder: Path) -> Json | None:
    """Return exit.json with the environment that it ran in; None as long as there is none that can be understood."""
    exit = read_json(folder, _layout.EXIT, limit=EXIT_BYTES)
    environment = None if exit is None else read_json(folder, _layout.ENVIRONMENT, limit=EXIT_BYTES)
    return exit if exit is None or environment is None else {**exit, "environment": environment}


def is_of_another_boot(folder: Path, boot_id: str) -> bool:
    """Tell whether the attempt was supervised before the machine was started again."""
    told = read_json(folder, _layout.SUPERVISOR) or {}
    return "boot_id" in told and told["boot_id"] != boot_id


def is_supervised(folder: Path) -> bool:
    """Tell whether the attempt's supervisor lives: by its lock, never by a pid."""
    return supervisor.is_supervised(str(folder))


def found(home: Home) -> Iterator[tuple[Claim, tuple[int, ...]]]:
    """Yield the claims of all attempts that an earlier run of this agent left, and the GPUs of each."""
    for folder in sorted((home.root / "attempts").iterdir()):
        row = read_json(folder, _CLAIM)
        gpus: tuple[int, ...] = ()
        try:
            claim = None if row is None else read_claim(row)
            gpus = tuple(int(index) for index in (row or {}).get("gpus") or ())
        except (KeyError, TypeError, ValueError, AttributeError):
            claim = None
        if claim is None or home.attempt(*claim.key) != folder:
            home.retire(folder)  # the agent died while it was made
        else:
            yield claim, gpus


def end_tree(marker: str) -> bool:
    """Kill whatever a dead supervisor left of its attempt; return whether nothing is left."""
    return not ladder.sweep(marker)


def forget(home: Home, key: Key, keep: bool) -> None:
    """Remove an attempt's folder, or put it aside; an empty checkpoint folder goes too."""
    folder = home.attempt(*key)
    _failpoints.reach("forget.before")
    if keep:
        with contextlib.suppress(OSError):
            home.retire(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # the job keeps something there, or never had the folder
        os.rmdir(home.root / "checkpoints" / key[0])
