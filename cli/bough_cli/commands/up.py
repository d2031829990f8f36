"""`bough up`: coordinator, agent and page on this machine, in the foreground."""

from __future__ import annotations

import os
import socket
import time

import click

from bough.errors import Conflict, NotFound, Unavailable
from bough_cli import client as clients
from bough_cli import home, options
from bough_cli.client import Address, Client
from bough_cli.commands import agent
from bough_cli.commands.coordinator import PORT
from bough_cli.local import Local, end_process, ending_with

WATCH_S = 0.5


@click.command("up")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Of the page; default: {PORT}, or a free one.")
@click.option("--slots", type=click.IntRange(1), help="How many jobs at a time; default: one for each CPU.")
@click.option("--name", metavar="NAME", help="The agent's name; default: this machine's.")
@options.limit
@click.option("--stop", is_flag=True, help="Stop what --keep or --detach left running here.")
def command(port: int | None, slots: int | None, name: str | None, limits: dict[str, int], stop: bool) -> int:
    """Coordinator, agent and page on this machine, until Ctrl-C."""
    running = clients.running_here()
    if stop:
        return _stop(running)
    if running is not None:
        with Client(running) as client:
            raise Conflict(f"a coordinator already runs here. Its page: {client.page_link()}", "")
    local = Local()
    with ending_with(local.end):
        local.start_coordinator(port if port is not None else _port(), limits)
        with Client(local.wait_for_coordinator()) as client:
            local.start_agent(client, slots or os.cpu_count() or 1, name)
            click.echo(f"page:   {client.page_link()}  (this link opens once; `bough login --link` makes another)")
            click.echo(f"agent:  {name or home.machine_name()}, {slots or os.cpu_count() or 1} jobs at a time")
            click.echo("Ctrl-C stops both; trials that run go on the next time.")
            return _wait(local)


def _wait(local: Local) -> int:
    try:
        while True:
            local.check()
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        click.echo("\nstopping; Ctrl-C again stops at once …", err=True)
        local.end()
        return 130


def _stop(coordinator: Address | None) -> int:
    """End the agents of this home, then its coordinator."""
    folders = home.running_agents()
    if coordinator is None and not folders:
        raise NotFound("neither coordinator nor agent runs here.", "There is nothing to stop.")
    for folder in folders:
        agent.end(folder)
        click.echo(f"agent {folder.name} has stopped")
    if coordinator is not None:
        _end_coordinator(coordinator)
        click.echo("the coordinator has stopped")
    return 0


def _end_coordinator(coordinator: Address) -> None:
    """The process is the one that just answered with the instance of its file, so its pid is not another's."""
    pid = int((home.read_json(home.coordinator_home() / "coordinator.json") or {})["pid"])
    if not end_process(pid):
        raise Unavailable(f"the coordinator (pid {pid}) does not end.", "Wait, or kill it.")


def _port() -> int:
    """The usual port, so that the page's address stays; a free one where another user has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT
