"""Environments that jobs ask for with ``setup:``, made once and kept: a virtual environment for each different one.

What makes two the same is the text of the requirements file and of the files that it names, the commands, and the
Python. The first job that needs one builds it while it is PREPARING, the others wait for the same lock; what did not
become whole is built anew. Those that nobody used for `KEPT_S`, and the oldest beyond `MOST_BYTES`, go.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bough.errors import BoughError

KEPT_S = 30 * 86400.0
MOST_BYTES = 50 << 30
BUILD_S = 3600.0  # how long a command of a build may take
TAIL = 1500  # characters of what a failed build printed
_COMPLETE = "bough-complete.json"


class SetupFailed(BoughError):
    """The environment cannot be made."""

    code = "setup"


class Environments:
    """The environments in one agent's home.

    Args:
        folder: Where they lie.
        python: The interpreter where ``setup`` names none.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self._folder = folder
        self._python = python

    def bin_of(self, setup: Mapping[str, Any], cwd: Path, env: Mapping[str, str], now: float) -> Path:
        """Return the folder of programs of the environment, which is built if there is none yet.

        Args:
            setup: As `bough.definition.needs` returns it.
            cwd: The model's folder, in which the files lie and the commands run.
            env: The environment of the job.
            now: Wall-clock time.

        Raises:
            SetupFailed: A file is missing, or a command failed; with the end of what it printed.
        """
        python = self._interpreter(setup.get("python"), env)
        place = self._folder / _key(setup, cwd, python)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with _held(place.with_suffix(".lock")):
            if not (place / _COMPLETE).exists():
                shutil.rmtree(place, ignore_errors=True)
                _build(place, setup, cwd, env, python)
                (place / _COMPLETE).write_text(json.dumps(dict(setup)))
            os.utime(place / _COMPLETE, (now, now))
        return place / "bin"

    def sweep(self, now: float) -> None:
        """Remove what nobody used for long, and the longest unused of what takes too much disk."""
        try:
            places = [place for place in self._folder.iterdir() if place.is_dir()]
        except OSError:
            return
        used = sorted(((_used_at(place), place) for place in places), reverse=True)
        total = 0
        for at, place in used:
            total += _size(place)
            if now - at > KEPT_S or total > MOST_BYTES:
                with contextlib.suppress(OSError), _held(place.with_suffix(".lock"), wait=False):
                    shutil.rmtree(place, ignore_errors=True)

    def _interpreter(self, name: str | None, env: Mapping[str, str]) -> str:
        if name is None:
            return self._python
        found = shutil.which(name, path=env.get("PATH"))
        if found is None:
            raise SetupFailed(f"setup: there is no {name} on this machine.", "Install it there, or name another one.")
        return os.path.realpath(found)


def _key(setup: Mapping[str, Any], cwd: Path, python: str) -> str:
    said = hashlib.sha256()
    facts = [setup.get("commands"), python, platform.machine(), sys.version if python == sys.executable else ""]
    said.update(json.dumps(facts).encode())
    files = [name for name in (setup.get("requirements"), *(setup.get("files") or ())) if name]
    for name in files:
        path = (cwd / name).resolve()
        if not path.is_relative_to(cwd.resolve()) or not path.is_file():
            raise SetupFailed(f"setup: there is no file {name} in this commit.", "Check its spelling, or commit it.")
        said.update(json.dumps([name, hashlib.sha256(path.read_bytes()).hexdigest()]).encode())
    return said.hexdigest()[:32]


def _build(place: Path, setup: Mapping[str, Any], cwd: Path, env: Mapping[str, str], python: str) -> None:
    _run([python, "-m", "venv", str(place)], cwd, dict(env))
    inside = {**env, "VIRTUAL_ENV": str(place), "PATH": os.pathsep.join([str(place / "bin"), env.get("PATH", "")])}
    inside.pop("PYTHONPATH", None)  # the SDK that the job is given must not be taken for an installed one
    if setup.get("requirements"):
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "-q"]
        _run([*install, "-r", setup["requirements"]], cwd, inside)
    for command in setup.get("commands") or ():
        _run(list(command), cwd, inside)


def _run(argv: list[str], cwd: Path, env: Mapping[str, str]) -> None:
    program = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"setup: {' '.join(argv)[:200]} took longer than {BUILD_S / 60:g} minutes."
        raise SetupFailed(what, "Split it, or make it shorter.") from None
    except OSError as error:
        raise SetupFailed(f"setup: {argv[0]} could not be started ({error.strerror}).", "Correct `setup`.") from None
    if done.returncode:
        tail = done.stdout.decode(errors="replace").strip()[-TAIL:]
        raise SetupFailed(f"setup: {' '.join(argv)[:200]} ended with exit code {done.returncode}. It said: {tail}")


@contextlib.contextmanager
def _held(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold an environment, against other slots and other processes; OSError where that would mean to wait."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _used_at(place: Path) -> float:
    try:
        return (place / _COMPLETE).stat().st_mtime
    except OSError:
        return 0.0


def _size(place: Path) -> int:
    total = 0
    for folder, _, files in os.walk(place):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total
