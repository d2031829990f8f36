"""`bough coordinator`: the server in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from bough.errors import UsageError
from bough_cli import home, local, options
from bough_cli.commands import coordinator_rebuild

PORT = 8400


@click.group("coordinator", invoke_without_command=True)
@click.option("--home", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Default: ~/.bough/coordinator.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--allow-plain-http", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option(
    "--limit", "limits", metavar="NAME=SIZE", multiple=True, callback=options.read_limits,
    help="How much a job may report: file_bytes, files_bytes, files, journal_bytes; as in --limit file_bytes=2GiB.",
)  # fmt: skip
@click.option("--end-with", type=int, hidden=True)
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path | None,
    host: str,
    port: int,
    allow_plain_http: bool,
    limits: dict[str, int],
    end_with: int | None,
) -> int:
    """The server: API, page, optimizers and archive."""
    if ctx.invoked_subcommand is not None:
        return 0
    try:
        from bough_server import app, config
    except ImportError as error:
        raise UsageError(
            f"the coordinator needs packages that are not installed here ({error.name} is missing).",
            'Install them: pip install "bough[server]".',
        ) from None
    folder = (folder or home.coordinator_home()).expanduser().absolute()
    local.end_after(end_with, lambda: bool(home.running_agents()))
    settings = config.Config(home=folder, host=host, port=port, **limits)
    return app.main(settings, click.echo, allow_plain_http=allow_plain_http)


command.add_command(coordinator_rebuild.command)
