"""`bough coordinator`: the server in the foreground; and what keeps its store: migrate, check, backup, restore."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bough.errors import UsageError
from bough_cli import home, local, options
from bough_cli.commands import coordinator_rebuild

if TYPE_CHECKING:
    from bough_server.config import Config

PORT = 8400
DATABASE = "BOUGH_DATABASE"

_home = click.option(
    "--home", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Default: ~/.bough/coordinator."
)
_database = click.option(
    "--database", metavar="URL", help=f"postgresql://user@host/name; default: {DATABASE}, else a file in the home."
)


@click.group("coordinator", invoke_without_command=True)
@_home
@_database
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--share-port", is_flag=True, help="Other coordinators of the same database may listen there too.")
@click.option("--tls", is_flag=True, help="Speak TLS; without --tls-cert with a certificate of its own.")
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="The certificate, PEM.")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="Its key, PEM.")
@click.option("--tls-name", "names", metavar="NAME", multiple=True, help="Another name or address it is reached by.")
@click.option("--allow-plain-http", is_flag=True, help="Listen beyond this machine without TLS.")
@options.limit
@click.option("--end-with", type=int, hidden=True)
@click.pass_context
def command(
    context: click.Context,
    folder: Path | None,
    database: str | None,
    host: str,
    port: int,
    share_port: bool,
    tls: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    names: tuple[str, ...],
    allow_plain_http: bool,
    limits: dict[str, int],
    end_with: int | None,
) -> int:
    """The server: API, page, optimizers and archive."""
    if context.invoked_subcommand is not None:
        context.obj = {"folder": folder, "database": database}
        return 0
    app = _server("app")
    secured = {"tls": tls or tls_cert is not None, "tls_cert": tls_cert, "tls_key": tls_key, "tls_names": names}
    config = settings(folder, database, host=host, port=port, share_port=share_port, **secured, **limits)
    local.end_after(end_with, lambda: bool(home.running_agents()))
    return int(app.main(config, click.echo, allow_plain_http=allow_plain_http))


@command.command("migrate")
@_home
@_database
@click.pass_obj
def migrate(given: dict[str, Any], folder: Path | None, database: str | None) -> None:
    """Bring the store's tables up to date; starting the coordinator does so too."""
    database_ = _server("store.database")
    config = settings(folder or given["folder"], database or given["database"])
    store = database_.Database.open(config.store)
    store.close()
    click.echo("the store is up to date")


@command.command("check")
@_home
@_database
@click.pass_obj
def check(given: dict[str, Any], folder: Path | None, database: str | None) -> int:
    """Look whether everything holds that must hold of a store; the coordinator may run."""
    config = settings(folder or given["folder"], database or given["database"])
    found = _server("backup").violations(config)
    for sentence in found:
        click.echo(sentence)
    click.echo(f"{len(found)} things are wrong" if found else "the store is sound")
    return 1 if found else 0


@command.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@_home
@_database
@click.pass_obj
def backup(given: dict[str, Any], target: Path, folder: Path | None, database: str | None) -> None:
    """Copy everything into a new folder; the coordinator may run."""
    backup_, clock = _server("backup"), _server("service.clock")
    config = settings(folder or given["folder"], database or given["database"])
    made = backup_.back_up(config, target.expanduser().absolute(), clock.SystemClock())
    click.echo(f"the backup is in {made}; it holds keys: keep it private")


@command.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_home
@_database
@click.pass_obj
def restore(given: dict[str, Any], source: Path, folder: Path | None, database: str | None) -> None:
    """Make a new home, and its store, from a backup."""
    backup_, clock = _server("backup"), _server("service.clock")
    config = settings(folder or given["folder"], database or given["database"])
    backup_.restore(source, config, clock.SystemClock())
    click.echo(f"restored into {config.home}; start it: bough coordinator --home {config.home}")


def _server(module: str) -> Any:
    """Return a module of the server part.

    Raises:
        UsageError: It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"bough_server.{module}")
    except ImportError as error:
        raise UsageError(
            f"the coordinator needs packages that are not installed here ({error.name} is missing).",
            'Install them: pip install "bough[server]".',
        ) from None


def settings(folder: Path | None, database: str | None, **more: Any) -> Config:
    """Return the coordinator's settings.

    Raises:
        UsageError: The address of the database holds a password, which the command line shows to everyone here.
    """
    from urllib.parse import urlsplit

    if database is not None and "://" in database and urlsplit(database).password:
        raise UsageError(
            "the address of the database holds a password, and every user of this machine can read a command line.",
            f"Put the password into ~/.pgpass, or the whole address into {DATABASE}.",
        )
    folder = (folder or home.coordinator_home()).expanduser().absolute()
    url = database or os.environ.get(DATABASE) or None
    found: Config = _server("config").Config(home=folder, database_url=url, **more)
    return found


command.add_command(coordinator_rebuild.command)
