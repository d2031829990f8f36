"""`bough key …`: who may speak with the coordinator."""

from __future__ import annotations

import click

from bough import _signing
from bough_cli import home, options, tables, wording
from bough_cli.client import Client

SCOPES = ("user", "agent", "read", "admin")


@click.group("key")
def command() -> None:
    """Create, list and revoke keys."""


@command.command("create")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default="user", show_default=True, help="What it may do.")
@click.option("--user", metavar="USER", help="Whose models (owner/…) it may start and see; default: its name.")
@click.option("--expires", metavar="TIME", type=options.Duration(), help="After 30d, say, it is not accepted any more.")
@options.as_json
@options.connected
def create(client: Client, name: str, scope: str, user: str | None, expires: float | None, as_json: bool) -> None:
    """Create a key; it is shown this once."""
    row = client.create_key(name, scope, user or "", expires)
    if as_json:
        tables.show_json(row)
        return
    click.echo(row["secret"])
    click.echo("This key is shown once; the coordinator keeps only its digest.", err=True)
    if scope == "agent":
        click.echo(f"Use it: bough agent server --coordinator {client.url} --secure-key KEY", err=True)
    else:
        click.echo(f"Use it: bough login {client.url}", err=True)


@command.command("signing")
def signing() -> None:
    """Make the key that signs what you start, for agents with --signed-by; print where its public half lies."""
    path = home.folder() / _signing.FILE
    if not path.exists():
        _signing.make_key(str(path))
    click.echo(f"{path}.pub")
    click.echo("Bring this file to your agents, and start them with --signed-by FILE.", err=True)


@command.command("ls")
@options.as_json
@options.connected
def ls(client: Client, as_json: bool) -> None:
    """List keys; never their secrets."""
    rows = client.get("/keys")["rows"]
    if as_json:
        tables.show_json(rows)
        return
    cells = [
        [
            str(row["id"]),
            str(row["name"]),
            str(row["scope"]),
            str(row.get("user") or "-"),
            wording.moment(row.get("created_at")),
            wording.moment(row.get("last_used_at")),
            wording.moment(row.get("expires_at")),
        ]
        for row in rows
    ]
    tables.show_table(["ID", "NAME", "SCOPE", "USER", "CREATED", "LAST USED", "EXPIRES"], cells, "No key.")


@command.command("revoke")
@click.argument("key_id")
@options.connected
def revoke(client: Client, key_id: str) -> None:
    """Make a key invalid, at once."""
    client.delete(f"/keys/{key_id}")
    click.echo(f"key {key_id} is revoked")
