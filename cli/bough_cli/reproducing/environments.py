"""The environment of a record: compared with this machine's, and rebuilt from its list of packages."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bough.errors import UsageError
from bough_cli import home
from bough_cli.records.comparing import Sides, differing
from bough_cli.records.record import Record

BUILD_S = 3600.0
_OF_MACHINE = ("python", "implementation", "machine", "system")
PIP_LINES = 3
_SKIPPED = ("pip", "setuptools", "wheel", "bough")  # the tools that install, and what is injected into every job
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")


def recorded(record: Record) -> dict[str, Any]:
    """Return ``{"python", "implementation", "machine", "system", "packages", "variables"}`` as far as is recorded."""
    found = record.environment
    known: dict[str, Any] = {
        name: found[name] for name in ("implementation", "machine", "system", "variables") if name in found
    }
    python = found.get("python")
    if python is None:  # known from the script's own journal alone
        processes = found.get("processes")
        first = processes[0] if isinstance(processes, list) and processes else {}
        python = first.get("python") if isinstance(first, Mapping) else None
    packages = found.get("packages")
    more = {"packages": packages} if isinstance(packages, dict) else {}
    return {**({"python": python} if python else {}), **known, **more}


def compare(record: Record, here: Mapping[str, Any] | None) -> Sides:
    """Return what differs between the record and this machine, by name: (recorded, here).

    What the record does not say is not compared.
    """
    was = recorded(record)
    now = here or {}
    told = [name for name in _OF_MACHINE if name in was]
    sides = differing({name: was[name] for name in told}, {name: now.get(name) for name in told})
    for group in ("packages", "variables"):
        if group in was:
            found = differing(_without_tools(was[group]), _without_tools(now.get(group) or {}))
            sides |= {name if group == "packages" else f"${name}": pair for name, pair in found.items()}
    return sides


def is_package(name: str) -> bool:
    """Tell whether a name of what `compare` returns is that of a package."""
    return name not in _OF_MACHINE and not name.startswith("$")


def _without_tools(packages: Mapping[str, Any]) -> dict[str, Any]:
    return {name: version for name, version in packages.items() if name not in _SKIPPED}


def rebuild(record: Record, say: Any) -> Path:
    """Return the ``bin`` of a virtual environment with the recorded Python and packages, built now if need be.

    It lies in the home, named by what is in it, so that the next record of the same environment finds it there.

    Args:
        record: Whose environment.
        say: Gets one line when something is built.

    Raises:
        UsageError: The record names no packages, its Python is not on this machine, or pip cannot install them.
    """
    was = recorded(record)
    packages = was.get("packages")
    if packages is None:
        raise UsageError(
            f"the record of {record.title} does not say which packages it ran with.", "Leave --with-environment out."
        )
    python = _interpreter(str(was.get("python")))
    wanted = [f"{name}=={version}" for name, version in sorted(_without_tools(packages).items())]
    for requirement in wanted:
        name, _, version = requirement.partition("==")
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise UsageError(f"the record names a package {requirement!r}, which is none.", "Look at environment.json.")
    digest = hashlib.sha256(json.dumps([was.get("python"), wanted]).encode()).hexdigest()[:16]
    folder = home.folder("environments") / digest
    if (folder / "complete").exists():
        return folder / "bin"
    noun = "package" if len(wanted) == 1 else "packages"
    say(f"building an environment of Python {was.get('python')} and {len(wanted)} {noun} …")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [] if wanted else ["--without-pip"]
    _run([python, "-m", "venv", *pip, str(folder)], "the virtual environment cannot be made")
    if wanted:
        (folder / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        install += ["--no-deps", "-r", str(folder / "requirements.txt")]
        _run(install, "the recorded packages cannot be installed")
    (folder / "complete").touch()
    return folder / "bin"


def _interpreter(version: str) -> str:
    """Return an interpreter of the same minor version, this one's if it is."""
    short = ".".join(version.split(".")[:2])
    if short == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{short}") if re.fullmatch(r"\d+\.\d+", short) else None
    if found is None:
        raise UsageError(f"the record ran with Python {version}, and python{short} is not on PATH.", "Install it.")
    return found


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{what}: {error}.", "Run without --with-environment.") from None
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        told = " ".join([line for line in lines if line.startswith("ERROR")][:PIP_LINES] or lines[-PIP_LINES:])
        raise UsageError(f"{what}: {told[:500].rstrip('.')}.", "Run without --with-environment to use what is here.")
