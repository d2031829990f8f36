"""`bough doctor`: what is wrong with this set-up, and why nothing is running."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import click

from bough.errors import BoughError
from bough.version import __version__
from bough_cli import client as clients
from bough_cli import home, options, tables
from bough_cli.client import Address, Client

SERVER_PACKAGES = ("fastapi", "uvicorn", "msgspec", "sqlalchemy", "alembic", "hyperopt", "numpy")
ENOUGH_BYTES = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``ok``, ``warning`` or ``problem``, and what was found."""

    what: str
    state: str
    said: str


@click.command("doctor")
@options.as_json
@options.address
def command(coordinator: str | None, key: str | None, as_json: bool) -> int:
    """What is wrong with this set-up, and why nothing is running."""
    findings = [*machine(), *_coordinator(coordinator, key)]
    if as_json:
        tables.show_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            click.echo(f"{finding.state:<8} {finding.what:<{width}}  {finding.said}")
    return 1 if any(finding.state == "problem" for finding in findings) else 0


def machine() -> Iterator[Finding]:
    """Look at this machine."""
    python = f"{platform.python_version()} at {sys.executable}"
    yield Finding("bough", "ok", f"{__version__}, Python {python}")
    yield _git()
    missing = [name for name in SERVER_PACKAGES if find_spec(name) is None]
    if missing:
        said = f'a coordinator cannot run here ({", ".join(missing)} missing). For one: pip install "bough[server]".'
        yield Finding("coordinator packages", "warning", said)
    else:
        yield Finding("coordinator packages", "ok", "installed")
    yield from _home()


def _git() -> Finding:
    from bough import _git

    try:
        version = _git.run(["--version"]).decode().split()[2]
    except BoughError as error:
        return Finding("git", "problem", str(error))
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 30):
        return Finding("git", "problem", f"{version} is too old. Install 2.30 or newer.")
    return Finding("git", "ok", version)


def _home() -> Iterator[Finding]:
    try:
        folder = home.folder()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"bough")
    except BoughError as error:
        yield Finding("home", "problem", str(error))
        return
    except OSError as error:
        said = f"{home.home()} cannot be written: {error.strerror}. Free some disk, or set BOUGH_HOME to another place."
        yield Finding("home", "problem", said)
        return
    free = shutil.disk_usage(folder).free
    said = f"{folder}, {free / (1 << 30):.1f} GiB free"
    if free < ENOUGH_BYTES:
        yield Finding("home", "problem", f"{said}. Free some, or set BOUGH_HOME to a larger disk.")
    elif os.stat(folder).st_mode & 0o077:
        yield Finding("home", "warning", f"{said}; others may look into it. Run: chmod 700 {folder}")
    else:
        yield Finding("home", "ok", said)


def _coordinator(url: str | None, key: str | None) -> Iterator[Finding]:
    try:
        address = clients.find(url, key)
    except BoughError as error:
        yield Finding("coordinator", "problem", str(error))
        return
    if address is None:
        yield Finding("coordinator", "warning", "none runs here and none is configured. Start one: bough up.")
        return
    health = clients.health_of(address.url, timeout_s=clients.CONNECT_S)
    if health is None:
        said = f"{address.url} (from {address.found}) does not answer. Start it with `bough up`, or check the address."
        yield Finding("coordinator", "problem", said)
        return
    yield _version(address, str(health.get("version")))
    with Client(address) as client:
        yield from _inside(client)


def _version(address: Address, version: str) -> Finding:
    said = f"{address.url} (from {address.found}), version {version}"
    if version == __version__:
        return Finding("coordinator", "ok", said)
    return Finding("coordinator", "warning", f"{said}, and this is {__version__}. Use the same on both.")


def _inside(client: Client) -> Iterator[Finding]:
    try:
        me = client.get("/me")
        yield Finding("key", "ok", f"{me.get('name')}, scope {me.get('scope')}")
        agents = client.agents()
        online = [str(agent["name"]) for agent in agents if agent["online"]]
        if online:
            yield Finding("agents", "ok", f"{len(online)} of {len(agents)} online: {', '.join(online)}")
        else:
            said = f"none is online. Start one: bough agent server --coordinator {client.url} --secure-key KEY"
            yield Finding("agents", "problem", said)
        for agent in agents:
            if agent.get("quarantine"):
                said = f"{agent['name']} is in quarantine: {agent['quarantine']}. Release it: bough agent release NAME"
                yield Finding("agents", "warning", said.replace("NAME", str(agent["name"])))
        for reason in client.get("/why").get("reasons", []):
            yield Finding("waiting", "warning", str(reason))
    except BoughError as error:
        yield Finding("key", "problem", str(error))
