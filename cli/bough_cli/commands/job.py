"""`bough job …`: the life of jobs; a trial is a job of an optimization."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from bough_cli import options, tables, wording
from bough_cli.client import Client
from bough_cli.commands import job_records, life, reproduce
from bough_cli.commands.optimization import trial_row
from bough_cli.commands.run import POLL_S, copy_log, follow, verdict
from bough_cli.records import handed_in, sources
from bough_cli.records.sources import Sources
from bough_cli.wording import Row


@click.group("job")
def command() -> None:
    """List, show, watch and stop jobs; read, compare and reproduce their records."""


for verb in (*job_records.COMMANDS, reproduce.reproduce):
    command.add_command(verb)


command.add_command(life.retry_job)


@command.command("ls")
@click.option("--optimization", metavar="ID", help="Only trials of this optimization.")
@click.option("--model", metavar="OWNER/NAME", help="Only jobs of this model.")
@click.option("--state", metavar="STATE", help="Only jobs in this state, such as FAILED.")
@click.option("--manual", is_flag=True, default=None, help="Only jobs of no optimization.")
@click.option("--sort", metavar="COLUMN", help="By number, state, kpi, created, started, duration or p.NAME.")
@click.option("--descending", is_flag=True, help="The other way round.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@options.as_json
@sources.places
def ls(where: Sources, limit: int, as_json: bool, **filters: Any) -> None:
    """List jobs, newest first, of a coordinator or of this clone."""
    filters["state"] = filters["state"].upper() if filters["state"] else None
    rows = where.rows(limit, **filters)
    if as_json:
        tables.show_json(wording.harmless(rows))
        return
    columns = ["#", "JOB", "STATE", "REASON", "KPI#", "TIME#", "VALUES", "AGENT", "MESSAGE"]
    cells = [[*trial_row(row, None), row.get("agent") or "-", row.get("message") or ""] for row in rows]
    tables.show_table(columns, cells, "No such job yet. Start one: bough run DIR")


@command.command("show")
@click.argument("job")
@options.as_json
@sources.places
def show(where: Sources, job: str, as_json: bool) -> None:
    """Show one job: its values, what it reported and how it ended."""
    row: Row = wording.harmless(where.job(job))
    if as_json:
        tables.show_json(row)
        return
    tables.show_pairs(_pairs(row))
    click.echo("\nvalues")
    tables.show_pairs([(f"  {path}", wording.number(value)) for path, value in (row.get("values") or {}).items()])
    last = row.get("last") or {}
    if last:
        click.echo("\nlast reported")
        tables.show_pairs([(f"  {name}", wording.number(value)) for name, value in last.items()])
    infos = row.get("infos") or {}
    if infos:
        click.echo("\ninfos")
        tables.show_pairs([(f"  {name}", _info(value)) for name, value in infos.items()])


def _info(value: object) -> str:
    """Return an info, which may be any JSON value, as one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _journal(told: Row) -> str:
    """Return what of its reports was lost, "" where nothing was."""
    unreadable, lost = told.get("bad_lines") or 0, told.get("lost_lines") or 0
    said = [f"{unreadable} line{'s' if unreadable > 1 else ''} of its journals could not be read"] if unreadable else []
    said += [f"{lost} line{'s' if lost > 1 else ''} could not be written: its disk was full"] if lost else []
    return "; ".join(said)


def _files(told: Row) -> str:
    return f"{told['count']}, {told['bytes']} bytes" if told.get("count") else ""


def _epochs(row: Row) -> str:
    total = f" of {wording.number(row['epochs_total'])}" if row.get("epochs_total") is not None else ""
    return wording.number(row.get("epochs")) + total


def _pairs(row: Row) -> list[tuple[str, str]]:
    trial = f", trial {row['number']} of {row['optimization']}" if row.get("optimization") else ", a manual job"
    reason = f", {row['end_reason']}" if row.get("end_reason") else ""
    pairs = [
        ("job", f"{row['id']}{trial}"),
        ("model", str(row["model"])),
        ("state", f"{row['state']}{reason}{' (unreachable)' if row.get('unreachable') else ''}"),
        ("message", str(row.get("message") or "")),
        ("status", str(row.get("status") or "")),
        ("KPI", f"{wording.number(row.get('kpi'))} (best {wording.number(row.get('kpi_best'))})"),
        ("epochs", _epochs(row)),
        ("attempt", f"{row.get('attempt')} on {row.get('agent') or 'no agent'}"),
        ("started", wording.moment(row.get("started_at"))),
        ("took", wording.duration(row.get("duration_s"))),
        ("journal", _journal(row.get("journal") or {})),
        ("files", _files(row.get("files") or {})),
        ("exit code", wording.number(row.get("exit_code"))),
        ("commit", str(row.get("commit"))),
        ("record", str(row.get("record") or "not yet")),
    ]
    return [(name, value) for name, value in pairs if value]


@command.command("log")
@click.argument("job")
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on until the job has ended.")
@sources.places
def log(where: Sources, job: str, is_following: bool) -> None:
    """Print the log of a job."""
    with where.of_coordinator(job) as (client, row):
        if client is not None:
            _print_log(client, str(row["id"]), is_following)
            return
    job_records.write(handed_in.log(where.record(job)))


def _print_log(client: Client, job: str, is_following: bool) -> None:
    offset = copy_log(client, job, 0)
    while is_following:
        is_ended = client.get(f"/jobs/{job}")["state"] in wording.ENDED
        offset = copy_log(client, job, offset)
        if is_ended:
            return
        time.sleep(POLL_S)


@command.command("watch")
@click.argument("job")
@options.connected
def watch(client: Client, job: str) -> int:
    """Follow the log of a job and say how it ended. Ctrl-C leaves it running."""
    row = follow(client, job)
    for line in verdict(row):
        click.echo(line)
    return 0 if row["state"] == "DONE" else 1


@command.command("pause")
@click.argument("job")
@options.as_json
@options.connected
def pause(client: Client, job: str, as_json: bool) -> None:
    """Stop its processes where they are; its max_time stands still, its memory and its slot stay taken."""
    _steered(client.post(f"/jobs/{job}/pause"), as_json, "is being paused")


@command.command("continue")
@click.argument("job")
@options.as_json
@options.connected
def go_on(client: Client, job: str, as_json: bool) -> None:
    """Let a paused job go on."""
    _steered(client.post(f"/jobs/{job}/continue"), as_json, "goes on")


def _steered(row: Row, as_json: bool, how: str) -> None:
    if as_json:
        tables.show_json(row)
    else:
        click.echo(f"job {row['id']} {how}")


@command.command("stop")
@click.argument("job")
@click.option("--now", is_flag=True, help="Kill it; the default lets it clean up.")
@options.as_json
@options.connected
def stop(client: Client, job: str, now: bool, as_json: bool) -> None:
    """Stop a job; it becomes ABORTED and what it reported is kept."""
    row: Row = client.post(f"/jobs/{job}/stop", {"now": now})
    if as_json:
        tables.show_json(row)
    else:
        click.echo(f"job {row['id']} is {row['state']}")
