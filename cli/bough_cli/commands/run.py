"""`bough run`: one job with chosen values; says at its end what a search could work with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import click

from bough_cli import client as clients
from bough_cli import fixing, options, source, tables, wording
from bough_cli.client import Client
from bough_cli.commands.optimize import body, find_source
from bough_cli.local import Local, ending_with, unless_it_fails
from bough_cli.source import Source
from bough_cli.wording import Row

POLL_S = 0.3
IDLE_S = 4.0


@click.command("run")
@click.argument("place", metavar="[DIR|URL]", default=".")
@click.option("--ref", metavar="REF", help="A branch, tag or commit instead of HEAD.")
@click.option("--folder", metavar="DIR", help="The model's folder in the repository; also URL#folder.")
@click.option("--dirty", is_flag=True, help="Send the working tree with its uncommitted changes.")
@options.large
@options.parameters
@click.option("--max-epochs", type=click.IntRange(1), help="Stop it after so many epochs.")
@click.option("--max-time", type=options.Duration(), metavar="TIME", help="Stop it after this time: 90s, 10m, 1h30m.")
@click.option("--on", "agent", metavar="AGENT", help="The agent to run it; default: any.")
@click.option("--detach", is_flag=True, help="Start it, and do not follow it.")
@options.as_json
@options.address
def command(place: str, given: tuple[str, ...], as_json: bool, **chosen: Any) -> int:
    """Run one job with chosen values and see what it reports."""
    fixed = options.split_parameters(given)
    found = find_source(place, chosen)
    values = fixing.chosen(found.definition, fixed)
    address = clients.find(chosen["coordinator"], chosen["key"])
    with ExitStack() as stack:
        local = None
        if address is None:
            local = Local(keep=chosen["detach"])
            stack.enter_context(ending_with(local.end))
            local.start_coordinator()
            address = local.wait_for_coordinator()
        client = stack.enter_context(Client(address))
        if local is not None:
            local.start_agent(client, slots=1, name=chosen["agent"])
            chosen["agent"] = None  # no other is here, and this one may not have registered yet
        with unless_it_fails(local):
            job = start(client, found, values, chosen)
        if chosen["detach"]:
            tables.show_json(job) if as_json else click.echo(f"job {job['id']}; follow it: bough job watch {job['id']}")
            return 0
        return _follow(client, job, local, as_json)


def start(client: Client, found: Source, values: dict[str, Any], chosen: dict[str, Any]) -> Row:
    """Push the commit and create the job."""
    source.push(found, client)
    limits = {"max_epochs": chosen["max_epochs"], "max_time_s": chosen["max_time"], "agent": chosen["agent"]}
    row: Row = client.create("/jobs", {**body(found), "values": values, **limits})
    return row


def _follow(client: Client, job: Row, local: Local | None, as_json: bool) -> int:
    if not as_json:
        click.echo(f"job {job['id']} of {job['model']}", err=True)
    try:
        over = follow(client, job["id"], local.check if local else None, show_log=not as_json)
    except KeyboardInterrupt:
        if local is None:
            click.echo(f"It goes on. Follow it again: bough job watch {job['id']}", err=True)
        else:
            client.post(f"/jobs/{job['id']}/stop", {"now": False})
            click.echo("stopped", err=True)
        return 130
    if as_json:
        tables.show_json(over)
    else:
        for line in verdict(over):
            click.echo(line)
    return 0 if over["state"] == "DONE" else 1


def follow(client: Client, job_id: str, check: Callable[[], None] | None = None, show_log: bool = True) -> Row:
    """Show the log of a job as it grows until the job has ended, and return the job."""
    offset, idle_since, told = 0, time.monotonic(), set[str]()
    while True:
        if check is not None:
            check()
        job: Row = client.get(f"/jobs/{job_id}")
        if show_log:
            offset = copy_log(client, job_id, offset)
        if job["state"] in wording.ENDED:
            return job
        if job["state"] not in ("CREATED", "QUEUED"):
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_S:
            idle_since = time.monotonic()
            for reason in set(client.get("/why").get("reasons", [])) - told:
                told.add(reason)
                click.echo(reason, err=True)
        time.sleep(POLL_S)


def copy_log(client: Client, job_id: str, offset: int) -> int:
    """Print a job's log from the offset to what there is now; return where it ends."""
    while True:
        piece, total = client.log(job_id, offset)
        sys.stdout.buffer.write(wording.harmless_log(piece) if sys.stdout.isatty() else piece)
        sys.stdout.buffer.flush()
        offset += len(piece)
        if not piece or offset >= total:
            return offset


def verdict(job: Row) -> list[str]:
    """Return what the job reported, and what an optimization would lack."""
    lines = [f"job {job['id']}: {job['state']}, {job.get('end_reason')}, {wording.duration(job.get('duration_s'))}"]
    if job.get("message"):
        lines.append(str(job["message"]))
    channels = [channel for channel in job.get("channels") or [] if not channel.get("system")]
    kpi = next((channel for channel in channels if channel.get("kpi")), None)
    if kpi is None:
        lines.append("KPI: none. An optimization needs one: job.create_channel(name, kpi=True).")
    else:
        direction = "maximize" if kpi["maximize"] else "minimize"
        last = wording.number(job.get("kpi_last"))
        lines.append(f"KPI: {kpi['name']}, {direction}, {_points(kpi)}, last {last}")
    others = [f"{channel['name']} ({_points(channel)})" for channel in channels if channel is not kpi]
    lines += [f"other channels: {', '.join(others)}"] if others else []
    lines.append(_progress(job))
    return lines


def _points(channel: Row) -> str:
    count = channel["points"]
    return f"{count} point{'' if count == 1 else 's'}"


def _progress(job: Row) -> str:
    epochs, total = job.get("epochs"), job.get("epochs_total")
    if epochs is None:
        return "progress: none. Limits on epochs need job.progress(epoch, total)."
    return f"progress: {wording.number(epochs)}{f' of {wording.number(total)}' if total else ''} epochs"
