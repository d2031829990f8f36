"""The entry point: finds the command that was asked for, and turns every failure into one sentence and an exit code.

Exit codes: 0 it worked, 1 it failed, 2 it was called wrongly, 130 Ctrl-C. A traceback is never shown: what nobody
foresaw is written to a file, and the sentence names that file.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from bough.errors import BoughError
from bough.version import __version__

# name: (module, line of `bough --help`). The line is here too, so that help imports no command.
COMMANDS: dict[str, tuple[str, str]] = {
    "optimize": ("optimize", "Start the optimization of a bough.yml and follow it."),
    "run": ("run", "Run one job with chosen values and see what it reports."),
    "up": ("up", "Coordinator, agent and page on this machine, until Ctrl-C."),
    "init": ("init", "Write a first bough.yml."),
    "optimization": ("optimization", "List, show, watch, steer and verify optimizations."),
    "job": ("job", "List, show, watch and stop jobs; read, compare and reproduce their records."),
    "pull": ("pull", "Bring records into this clone, from a coordinator or a git remote."),
    "push": ("push", "Bring the records of this clone to a coordinator or a git remote."),
    "export": ("export", "Every trial, or every point, as CSV or JSON lines."),
    "doctor": ("doctor", "What is wrong with this set-up, and why nothing is running."),
    "coordinator": ("coordinator", "The server: API, page, optimizers and archive."),
    "agent": ("agent", "The daemon that runs jobs on a machine."),
    "login": ("login", "Remember a coordinator and its key."),
    "key": ("key", "Create, list and revoke keys."),
    "git-credential": ("git_credential", "Answer git for the coordinator's key: a credential helper."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command runs, and not for the list of commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"bough_cli.commands.{COMMANDS[cmd_name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bough", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Hyperparameter optimization of any program in a git repository."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ``arguments`` default to those of the process."""
    try:
        result = cli.main(args=None if arguments is None else list(arguments), prog_name="bough", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_went_away()
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        return _explain_usage(error)
    except BoughError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_os_error(error))
    except Exception:  # the one place where everything unforeseen ends
        return _fail(_unforeseen())
    return result if isinstance(result, int) else 0


def _fail(sentence: str) -> int:
    click.echo(f"bough: {sentence}", err=True)
    return 1


def _explain_usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "bough"
    message = " ".join(error.format_message().split()).rstrip(".")
    hint = f" See: {path} --help" if isinstance(error, click.UsageError) else ""
    click.echo(f"bough: {message}.{hint}", err=True)
    return error.exit_code


def _reader_went_away() -> int:
    """Whoever read our output has closed it (``| head``): no fault, but Python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}. Look at that place, then try again; `bough doctor` checks disk and home."


def _unforeseen() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="bough-crash-", suffix=".txt", delete=False) as file:
        file.write(f"bough {__version__}, Python {sys.version}\n{traceback.format_exc()}")
    kind, reason = sys.exc_info()[:2]
    name = kind.__name__ if kind else "error"
    return f"something unforeseen happened ({name}: {reason}). Report it with the traceback in {file.name}."
