"""What a job is started with: its commands with values in place, and its environment.

The environment is the agent's own, without bough's secrets and without what would slow Python down, plus what the job's
definition adds, plus ``BOUGH_*``. A Python that the job names is found first where the machine has it; this agent's own
interpreter stands in at the end of PATH, so that ``python train.py`` works on machines that only have ``python3``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from bough import _layout
from bough.errors import BoughError
from bough_agent.home import write_atomically
from bough_agent.messages import Claim, Json

LOG_LIMIT_BYTES = 1 << 30
_DROPPED = (*_layout.SECRETS, "PYTHONDONTWRITEBYTECODE", "PYTHONSTARTUP")


def commands(claim: Claim) -> list[Json]:
    """Return the claim's commands with ``{{path}}`` replaced by values.

    Raises:
        DefinitionError: A template names no active hyperparameter.
    """
    from bough.definition import replace_templates

    return [{"name": name, "argv": replace_templates(list(argv), claim.values)} for name, argv in claim.commands]


def environment(
    claim: Claim, folder: Path, sdk: Path, shims: Path, checkpoints: Path, base: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of a job.

    Args:
        claim: What the job is.
        folder: Folder of the attempt.
        sdk: Folder that holds the SDK alone.
        shims: Folder with a stand-in for a missing ``python``.
        checkpoints: Folder that is kept across attempts.
        base: The agent's environment.
    """
    env = {name: value for name, value in base.items() if not (name in _DROPPED or name.startswith("BOUGH_"))}
    env.update(PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8")
    env.update(claim.env)
    own_bin = os.path.dirname(sys.executable)
    env["PATH"] = _joined(env.get("PATH") or os.defpath, own_bin, str(shims))
    env["PYTHONPATH"] = _joined(env.get("PYTHONPATH", ""), str(sdk))
    env.update(
        {
            _layout.ATTEMPT_DIR: str(folder),
            _layout.JOB_ID: claim.job_id,
            _layout.ATTEMPT: str(claim.attempt),
            _layout.MARKER: claim.marker,
            _layout.MODEL: claim.model,
            _layout.COMMIT: claim.commit,
            _layout.CHECKPOINT_DIR: str(checkpoints),
            _layout.PARAMETERS_FILE: str(folder / _layout.PARAMETERS),
            _layout.REPORTS_FILE: str(folder / _layout.REPORTS),
        }
    )
    if claim.optimization is not None:
        env[_layout.OPTIMIZATION] = claim.optimization
    if claim.number is not None:
        env[_layout.TRIAL] = str(claim.number)
    return env


def spec(claim: Claim, argvs: list[Json], cwd: Path, env: Mapping[str, str]) -> Json:
    """Return spec.json: what the supervisor needs."""
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "marker": claim.marker,
        "commands": argvs,
        "cwd": str(cwd),
        "env": dict(env),
        "max_time_s": claim.max_time_s,
        "grace_s": claim.grace_s,
        "term_s": claim.term_s,
        "log_limit": LOG_LIMIT_BYTES,
        "output": list(claim.output),
        "limits": dict(claim.limits),
        "max_epochs": claim.max_epochs,
        "kpi": dict(claim.kpi),
    }


def job(claim: Claim, checkpoints: Path) -> Json:
    """Return job.json: what the script may know."""
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "model": claim.model,
        "optimization": claim.optimization,
        "number": claim.number,
        "commit": claim.commit,
        "values": dict(claim.values),
        "max_epochs": claim.max_epochs,
        "checkpoint_dir": str(checkpoints),
        "kpi": dict(claim.kpi),
        "limits": dict(claim.limits),
    }


def python_of(argvs: list[Json], path: str) -> str | None:
    """Return the interpreter that the commands will find: the first they name, else ``python``; None without one."""
    for command in argvs:
        program = str(command["argv"][0])
        if os.path.basename(program).startswith("python"):
            return shutil.which(program, path=path)
    return shutil.which("python", path=path)


def make_shims(home: Path) -> Path:
    """Return a folder with ``python`` and ``python3`` that start this agent's interpreter."""
    folder = home / "shims"
    folder.mkdir(exist_ok=True)
    text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
    for name in ("python", "python3"):
        shim = folder / name
        if not shim.exists() or shim.read_text() != text:
            write_atomically(shim, text)
        shim.chmod(0o700)
    return folder


def sentence(error: Exception) -> str:
    """Return an error as one sentence for people."""
    return str(error) if isinstance(error, BoughError) else f"{type(error).__name__}: {error}"


def _joined(*folders: str) -> str:
    return os.pathsep.join(folder for folder in folders if folder)
