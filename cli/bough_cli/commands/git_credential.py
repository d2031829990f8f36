"""`bough git-credential`: git asks it for the coordinator's key, so that the key is in no URL and on no command line.

The protocol is that of git-credential(1): git writes what it knows of the other side to stdin and reads name and
password. Only the coordinator that `bough` itself would speak with is answered for; of any other nothing is said, and
git goes on to ask elsewhere.
"""

from __future__ import annotations

import sys

import click

from bough_cli import client as clients

_NAME = "bough"  # any will do: the key alone counts


@click.command("git-credential")
@click.argument("operation", type=click.Choice(["get", "store", "erase"]))
def command(operation: str) -> None:
    """Answer git for the coordinator's key: a credential helper.

    Use it so: git clone -c credential.helper='!bough git-credential' COORDINATOR/git/OWNER/NAME.git
    """
    asked = dict(line.split("=", 1) for line in sys.stdin.read().splitlines() if "=" in line)
    if operation != "get":  # the key is kept by `bough login`, not by git
        return
    address = clients.find()
    if address is None or not address.key or _origin(asked) != _origin_of(address.url):
        return
    click.echo(f"username={_NAME}\npassword={address.key}")


def _origin(asked: dict[str, str]) -> tuple[str, str]:
    return asked.get("protocol", ""), asked.get("host", "").lower()


def _origin_of(url: str) -> tuple[str, str]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
