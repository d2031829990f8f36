"""`bough push .bough/ID` as a person sees it; the command itself also brings records (`bough_cli.commands.pull`)."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bough_cli import tables, wording
from bough_cli.client import connect
from bough_cli.recorded.pushing import follow_recorded, push_recorded


def push(place: str, follow: bool, ended: bool, as_json: bool, coordinator: str | None, key: str | None) -> None:
    """Bring the run in a folder to a coordinator, and say what became of it."""
    with connect(coordinator, key) as client:
        if follow:
            os.nice(10)  # the training comes first
            reply = follow_recorded(Path(place), client, lambda text: click.echo(text, err=True))
        else:
            reply = push_recorded(Path(place), client, ended)
        job = client.get(f"/jobs/{reply['job']}")
    if as_json:
        tables.show_json(job)
        return
    kpi = "" if job["kpi_last"] is None else f", KPI {wording.number(job['kpi_last'])}"
    click.echo(f"job {job['id']} of {job['model']}: {job['state']}{kpi}")
