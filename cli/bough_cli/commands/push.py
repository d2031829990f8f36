"""`bough push .bough/ID`: a run without an agent becomes a job of a coordinator, once."""

from __future__ import annotations

import click

from bough_cli import options


@click.command("push")
@click.argument("place", metavar=".bough/ID")
@click.option("--follow", is_flag=True, help="Of a run: go on until its script has ended.")
@click.option("--ended", is_flag=True, help="Of a run: it has ended, where that cannot be seen from this machine.")
@options.as_json
@options.address
def command(place: str, follow: bool, ended: bool, as_json: bool, coordinator: str | None, key: str | None) -> None:
    """Bring a run that was recorded without an agent to a coordinator."""
    from bough_cli.recorded import showing

    showing.push(place, follow, ended, as_json, coordinator, key)
