"""`bough agent …`: the daemon of a machine, and how it is."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from bough import _layout
from bough.errors import Conflict, NotFound, Unavailable, UsageError
from bough_cli import client as clients
from bough_cli import home, local, options, tables, wording
from bough_cli.client import Client

KILL_S = 60.0  # the ladder may take 40
PID_FILE = "agent.pid.json"  # who runs in this folder: {"pid", "started"}


@click.group("agent")
def command() -> None:
    """The daemon that runs jobs on a machine."""


@command.command("server")
@click.option("--coordinator", metavar="URL", help="Default: BOUGH_COORDINATOR, or the one used before with this name.")
@click.option("--secure-key", metavar="KEY", help="Its key; needed once, then kept in the agent's folder.")
@click.option("--secure-key-file", metavar="FILE", type=click.Path(path_type=Path), help="A file with the key.")
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1), help="How many jobs at a time.")
@click.option("--name", metavar="NAME", help="Default: this machine's name.")
@click.option("--home", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Default: ~/.bough/agents/NAME.")
@click.option(
    "--on-term",
    type=click.Choice(["detach", "requeue"]),
    default="detach",
    show_default=True,
    help="On SIGTERM: leave trials running for the next start, or stop them and give them back.",
)
@click.option(
    "--exit-when-idle",
    type=options.Duration(),
    is_flag=False,
    flag_value="10s",
    metavar="[TIME]",
    help="End when no job came for so long; 10s where nothing is said.",
)
@click.option("--max-jobs", type=click.IntRange(1), help="End after so many jobs.")
@click.option("--gpus", default="all", show_default=True, metavar="WHICH", help="all, none, how many, or which: 0,1.")
@click.option("--cpus", type=click.FloatRange(0, min_open=True), help="CPUs for jobs that ask for some; default: all.")
@click.option("--memory", type=options.Memory(), metavar="SIZE", help="Memory, as 64GB; default: all.")
@click.option("--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Marks it, for agents: label:NAME.")
@click.option("--data", multiple=True, metavar="NAME=PATH", help="Where a data set lies here; kept. NAME= forgets it.")
@click.option(
    "--allow", multiple=True, metavar="GLOB", help="Run only these models (me/*) or sources (https://host/*)."
)
@click.option(
    "--allow-file-repo",
    "allow_file_repos",
    metavar="DIR",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Fetch models from file:// URLs below this folder; may be repeated.",
)
@click.option(
    "--signed-by", metavar="FILE", type=click.Path(path_type=Path), help="Run only what these public keys signed."
)
@click.option("--allow-sudo", is_flag=True, help="Let jobs use sudo and other programs that give them more rights.")
@click.option("--end-with", type=int, hidden=True)
def server(coordinator: str | None, secure_key: str | None, secure_key_file: Path | None, **chosen: Any) -> int:
    """Run jobs for a coordinator, until SIGTERM or Ctrl-C."""
    local.end_with(chosen["end_with"])
    name = chosen["name"] or home.machine_name()
    folder = _folder(name, chosen["folder"])
    if secure_key is not None:
        _vanish(folder, secure_key)
    key = _key(folder, secure_key_file)
    url = _address(folder, coordinator)
    from bough_agent.daemon import AgentConfig, run

    idle_s = chosen["exit_when_idle"]
    config = AgentConfig(
        coordinator_url=url,
        key=key,
        name=name,
        slots=chosen["slots"],
        home=folder,
        on_term=chosen["on_term"],
        max_jobs=chosen["max_jobs"],
        exit_when_idle=idle_s is not None,
        idle_s=idle_s or 0.0,
        labels=chosen["labels"],
        gpus=chosen["gpus"],
        cpus=chosen["cpus"],
        memory_bytes=chosen["memory"],
        data=chosen["data"],
        allow=chosen["allow"],
        allow_file_repos=chosen["allow_file_repos"],
        allow_sudo=chosen["allow_sudo"],
        signed_by=chosen["signed_by"],
    )
    _write_pid(folder)
    return run(config, say)


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    click.echo(line)


def _folder(name: str, given: Path | None) -> Path:
    from bough_agent.home import agent_home

    folder = given.expanduser().absolute() if given is not None else agent_home(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be made: {error.strerror}.", "Choose another --home.") from None
    return folder


def _vanish(folder: Path, key: str) -> None:
    """Keep the key in the agent's folder and start again without it, so that no list of processes shows it."""
    home.write_private(folder / "key", key.strip() + "\n")
    rest = without_option(sys.argv[1:], "--secure-key")
    environment = {name: value for name, value in os.environ.items() if name != _layout.KEY}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", "bough_cli", *rest], environment)


def without_option(arguments: list[str], option: str) -> list[str]:
    """Return a command line without an option and its value, in both forms."""
    rest: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not argument.startswith(option + "="):
            rest.append(argument)
    return rest


def _key(folder: Path, file: Path | None) -> str:
    """The key: of the file, the environment (from where it is taken away), or the agent's folder."""
    given = os.environ.pop(_layout.KEY, "").strip()
    if file is not None:
        given = home.read_text(file) or ""
        if not given:
            raise UsageError(f"there is no key in {file}.", "Name a file that holds one.")
    if given:
        home.write_private(folder / "key", given + "\n")
        return given
    kept = home.read_text(folder / "key")
    if kept is None:
        raise UsageError("this agent has no key yet.", "Give it one with --secure-key KEY; bough key create makes it.")
    return kept


def _address(folder: Path, given: str | None) -> str:
    """The coordinator's address, remembered for the next start."""
    given = given or os.environ.pop(_layout.COORDINATOR, None)
    file = folder / "coordinator"
    url = given or home.read_text(file)
    if url is None:
        raise UsageError("this agent does not know its coordinator.", "Name it with --coordinator URL.")
    url = clients.check_address(url)
    home.write_private(file, url + "\n")
    return url


def _write_pid(folder: Path) -> None:
    if home.is_held(folder):
        return  # the daemon itself refuses with a sentence; the other's file stays
    import psutil

    told = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    home.write_private(folder / PID_FILE, json.dumps(told) + "\n")


@command.command("status")
@options.as_json
@options.connected
def status(client: Client, as_json: bool) -> None:
    """List the agents of the coordinator and what they do."""
    rows = client.agents()
    if as_json:
        tables.show_json(rows)
        return
    now = time.time()
    cells = [
        [
            row["name"],
            _state(row),
            f"{row['running']}/{row['slots']}",
            *_busy(row),
            ",".join(row.get("labels") or []) or "-",
            _ago(row["seen_at"], now),
            row.get("host") or "-",
            row.get("version") or "-",
            row["id"],
        ]
        for row in rows
    ]
    empty = f"No agent yet. Start one: bough agent server --coordinator {client.url} --secure-key KEY"
    columns = ["NAME", "STATE", "JOBS#", "CPU#", "MEMORY#", "GPUS", "LIMITS BY", "LABELS", "HEARD OF", "HOST"]
    tables.show_table([*columns, "VERSION", "ID"], cells, empty)
    for row in rows:
        if row.get("quarantine"):
            why = f"{row['name']} is in quarantine: {row['quarantine']}"
            click.echo(f"{why}. Release it: bough agent release {row['name']}")


def _busy(row: dict[str, Any]) -> list[str]:
    """How busy its machine is, its GPUs, and by what CPU and memory of jobs are limited."""
    usage, offers = row.get("usage") or {}, row.get("offers") or {}
    gpus = [f"{gpu.get('index')}: {wording.number(gpu.get('percent'))} %" for gpu in usage.get("gpus") or []]
    percents = [f"{usage[name]:.0f} %" if usage.get(name) is not None else "-" for name in _PERCENTS]
    return [*percents, ", ".join(gpus) or "-", str(offers.get("confinement") or "-").split(" (")[0]]


_PERCENTS = ("cpu_percent", "memory_percent")


def _state(row: dict[str, Any]) -> str:
    if not row["online"]:
        return "offline"
    if row.get("quarantine"):
        return "quarantine"
    return "draining" if row.get("drain") else "online"


def _ago(seen_at: float | None, now: float) -> str:
    return "-" if seen_at is None else f"{wording.duration(max(now - seen_at, 0.0))} ago"


@command.command("drain")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let it take jobs again.")
@options.connected
def drain(client: Client, name: str, undo: bool) -> None:
    """Let an agent finish what it runs and take no more."""
    agent = _called(name, client.agents())
    client.post(f"/agents/{agent['id']}/{'undrain' if undo else 'drain'}")
    click.echo(f"agent {name} takes jobs again" if undo else f"agent {name} takes no more jobs")


@command.command("set")
@click.argument("name")
@click.option("--slots", required=True, type=click.IntRange(1, 1024), help="How many jobs at a time from now on.")
@options.connected
def set_(client: Client, name: str, slots: int) -> None:
    """Change an agent while it runs; with fewer slots, jobs that run are left to end."""
    agent = _called(name, client.agents())
    client.post(f"/agents/{agent['id']}/slots", {"slots": slots})
    click.echo(f"agent {agent['name']} runs {slots} jobs at a time")


@command.command("release")
@click.argument("name")
@options.connected
def release(client: Client, name: str) -> None:
    """Trust an agent again that is in quarantine."""
    agent = _called(name, client.agents())
    client.post(f"/agents/{agent['id']}/release")
    click.echo(f"agent {agent['name']} takes jobs again")


def _called(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the agent of this name, or whose id begins so. Of two with one name it is the one that is online."""
    found = [row for row in rows if row["name"] == name] or [row for row in rows if row["id"].startswith(name)]
    if len(found) > 1:
        found = [row for row in found if row["online"]] or found
    if len(found) > 1:
        ids = ", ".join(row["id"] for row in found)
        raise Conflict(f"{len(found)} agents are meant by {name}.", f"Name one by its id: {ids}.")
    if not found:
        names = ", ".join(row["name"] for row in rows) or "none"
        raise NotFound(f"there is no agent {name}.", f"Agents: {names}.")
    return found[0]


@command.command("stop")
@click.argument("name", required=False)
@click.option("--home", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Default: ~/.bough/agents/NAME.")
@click.option("--drain", "is_draining", is_flag=True, help="Wait until its running jobs have ended; it takes no more.")
@click.option("--kill", "is_killing", is_flag=True, help="Stop its running jobs too; they run again later.")
def stop(name: str | None, folder: Path | None, is_draining: bool, is_killing: bool) -> None:
    """Stop the agents of this machine, or the one named. Running jobs go on, and the next start takes them over."""
    if is_draining and is_killing:
        raise click.UsageError("--drain and --kill are both wanted. Wait for the jobs, or stop them.")
    folders = [_folder(name or home.machine_name(), folder)] if name or folder else home.running_agents()
    if not folders or not any(home.is_held(each) for each in folders):
        raise NotFound(f"no agent{' ' + name if name else ''} runs here.", "See: bough agent status.")
    for each in folders:
        end(each, "drain" if is_draining else "kill" if is_killing else "term")
        click.echo(f"agent {each.name} has stopped")


def end(folder: Path, how: str = "term") -> None:
    """Ask the agent of a folder to end, and wait until it has: "term", "drain" or "kill" as the options of stop.

    Raises:
        NotFound: Nobody knows its process.
        Unavailable: It did not end.
    """
    told = home.read_json(folder / PID_FILE) or {}
    if not home.is_held(folder) or "pid" not in told:
        raise NotFound(f"the process of the agent in {folder} is not known.", "End it yourself with SIGTERM.")
    from bough_agent.daemon import DRAIN_SIGNAL, KILL_SIGNAL

    number = {"drain": DRAIN_SIGNAL, "kill": KILL_SIGNAL}.get(how, signal.SIGTERM)
    most_s = {"drain": float("inf"), "kill": KILL_S}.get(how, local.STOP_S)
    if not local.end_process(int(told["pid"]), float(told["started"]), number, most_s):
        what = f"the agent in {folder} still ends its trials (pid {told['pid']})."
        raise Unavailable(what, "Wait, or kill it.")
