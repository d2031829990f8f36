"""`bough login`: which coordinator this user's commands speak with."""

from __future__ import annotations

import json
import sys

import click

from bough.errors import UsageError
from bough_cli import client as clients
from bough_cli import home
from bough_cli.client import LOGIN, Address, Client


@click.command("login")
@click.argument("url", required=False)
@click.option("--key", metavar="KEY", help="Default: asked for.")
@click.option("--link", is_flag=True, help="Print a link that opens the page once.")
@click.option("--forget", is_flag=True, help="Use the coordinator of this machine again.")
def command(url: str | None, key: str | None, link: bool, forget: bool) -> None:
    """Remember a coordinator and its key."""
    if forget:
        (home.home() / LOGIN).unlink(missing_ok=True)
        click.echo("forgotten")
    elif link or url is None:
        with clients.connect(url, key) as client:
            click.echo(client.page_link())
    else:
        _login(clients.check_address(url), key)


def _login(url: str, key: str | None) -> None:
    """Keep address and key once the coordinator has accepted them."""
    if clients.health_of(url, timeout_s=clients.CONNECT_S) is None:
        raise Client(Address(url, None, "the command line")).silent()
    key = key or _ask_for_key()
    with Client(Address(url, key, "the command line")) as client:
        me = client.get("/me")
    home.write_private(home.folder() / LOGIN, json.dumps({"url": url, "key": key}) + "\n")
    click.echo(f"logged in to {url} with the key {me.get('name')} ({me.get('scope')})")


def _ask_for_key() -> str:
    """Ask without echo; from a pipe, such as ``login URL < key.txt``, take the first line."""
    if sys.stdin.isatty():
        return str(click.prompt("key", hide_input=True, err=True)).strip()
    key = sys.stdin.readline().strip()
    if not key:
        raise UsageError("there is no key on the standard input.", "Give it in one line there, or with --key KEY.")
    return key
