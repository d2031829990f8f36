"""`bough export`: the table of trials or points, as the coordinator writes it, byte for byte."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bough.errors import NotFound
from bough_cli import options
from bough_cli.client import Client


@click.command("export")
@click.argument("id_", metavar="ID")
@click.option("--csv", "kind", flag_value="csv", default="csv", help="CSV; the default.")
@click.option("--jsonl", "kind", flag_value="jsonl", help="One JSON object a line.")
@click.option("--points", is_flag=True, help="Every reported point instead of every trial.")
@click.option("--documents", "table", flag_value="documents", help="Every document: steps, insights, system facts, …")
@click.option("--files", "table", flag_value="files", help="Every file that was handed in.")
@click.option("--all-attempts", is_flag=True, help="Also attempts that were given up.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Default: stdout.")
@options.connected
def command(
    client: Client, id_: str, kind: str, points: bool, table: str | None, all_attempts: bool, output: Path | None
) -> None:
    """Every trial, or every point, as CSV or JSON lines."""
    path = f"/{_kind(client, id_)}/{id_}/export"
    pieces = client.download(path, format=kind, points=points, all_attempts=all_attempts, table=table)
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    if not output.parent.is_dir():
        raise NotFound(f"there is no folder {output.parent}.", "Make it, or name another file.")
    temporary = output.with_name(output.name + ".part")
    with open(temporary, "wb") as file:
        for piece in pieces:
            file.write(piece)
    temporary.replace(output)
    click.echo(f"{output}, {output.stat().st_size} bytes", err=True)


def _kind(client: Client, id_: str) -> str:
    """Whose id it is: an optimization's, else a job's."""
    try:
        client.get(f"/optimizations/{id_}")
    except NotFound:
        try:
            client.get(f"/jobs/{id_}")
        except NotFound:
            raise NotFound(
                f"there is no optimization and no job {id_}.", "See: bough optimization ls, bough job ls."
            ) from None
        return "jobs"
    return "optimizations"
