"""`bough push .bough/ID`: a run without an agent becomes a job of a coordinator, once."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bough_cli import options, tables, wording
from bough_cli.client import Client


@click.command("push")
@click.argument("folder", metavar=".bough/ID", type=click.Path(path_type=Path))
@click.option("--follow", is_flag=True, help="Go on until its script has ended.")
@click.option("--ended", is_flag=True, help="It has ended, where that cannot be seen from this machine.")
@options.as_json
@options.connected
def command(client: Client, folder: Path, follow: bool, ended: bool, as_json: bool) -> int:
    """Bring a run that was recorded without an agent to a coordinator."""
    from bough_cli.recorded import follow_recorded, push_recorded

    if follow:
        os.nice(10)  # the training comes first
        reply = follow_recorded(folder, client, lambda text: click.echo(text, err=True))
    else:
        reply = push_recorded(folder, client, ended)
    job = client.get(f"/jobs/{reply['job']}")
    if as_json:
        tables.show_json(job)
    else:
        kpi = "" if job["kpi_last"] is None else f", KPI {wording.number(job['kpi_last'])}"
        click.echo(f"job {job['id']} of {job['model']}: {job['state']}{kpi}")
    return 0
