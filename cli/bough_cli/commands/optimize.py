"""`bough optimize`: starts an optimization, here where nothing runs yet, and follows it to its end."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bough import _signing
from bough.errors import BoughError, UsageError
from bough_cli import client as clients
from bough_cli import following, home, options, source, spaces, tables, wording
from bough_cli.client import Client
from bough_cli.fixing import typed
from bough_cli.local import Local, ending_with, unless_it_fails
from bough_cli.source import Source
from bough_cli.wording import Row

RECORDS_S = 10.0
SETTINGS = (
    *("algorithm", "max_trials", "initial_random", "max_parallel", "max_epochs", "max_time", "total_time", "seed"),
    *("pruning", "duplicates"),
)


@click.command("optimize")
@click.argument("place", metavar="[DIR|URL]", default=".")
@click.option("--ref", metavar="REF", help="A branch, tag or commit instead of HEAD.")
@click.option("--folder", metavar="DIR", help="The model's folder in the repository; also URL#folder.")
@click.option("--dirty", is_flag=True, help="Send the working tree with its uncommitted changes.")
@options.large
@options.parameters
@click.option("--algorithm", metavar="NAME", help="tpe, random, annealing, grid or one of optuna-tpe, -gp, -cmaes.")
@click.option("--max-trials", type=click.IntRange(1), help="How many trials to start.")
@click.option("--initial-random", type=click.IntRange(0), help="How many of them at random first (tpe).")
@click.option("--max-parallel", type=click.IntRange(1), help="How many at a time.")
@click.option("--max-epochs", type=click.IntRange(1), help="Epochs of a trial.")
@click.option("--max-time", metavar="TIME", help="Time of a trial: 90s, 10m, 1h30m.")
@click.option("--total-time", metavar="TIME", help="Time of the whole optimization.")
@click.option("--pruning", metavar="RULE", help="median or asha: stop trials that fall behind.")
@click.option("--duplicates", metavar="RULE", help="allow, resample or reuse: points that were tried before.")
@click.option("--seed", type=click.IntRange(0), help="The same seed gives the same points.")
@click.option("--warm-start", metavar="ID", help="An earlier optimization whose trials the optimizer is told first.")
@click.option("--slots", type=click.IntRange(1), help="How many at a time of an agent started here.")
@click.option("--dry-run", is_flag=True, help="Show the space that would be searched, and start nothing.")
@click.option("--detach", is_flag=True, help="Start it, and do not follow it.")
@click.option("--keep", is_flag=True, help="Keep the coordinator and agent that were started here.")
@options.as_json
@options.address
def command(place: str, given: tuple[str, ...], as_json: bool, **chosen: Any) -> int:
    """Start the optimization of a bough.yml and follow it."""
    fixed = options.split_parameters(given)
    found = prepare(place, chosen)
    values = typed(found.definition, fixed)
    address = clients.find(chosen["coordinator"], chosen["key"])
    if chosen["dry_run"]:
        spaces.show_planned(found.definition, values, address, as_json)
        return 0
    with ExitStack() as stack:
        local = None
        if address is None:
            local = Local(keep=chosen["keep"] or chosen["detach"])
            stack.enter_context(ending_with(local.end))
            local.start_coordinator()
            address = local.wait_for_coordinator()
        client = stack.enter_context(Client(address))
        if local is not None:
            local.start_agent(client, chosen["slots"] or _slots(found))
        with unless_it_fails(local):
            optimization = start(client, found, values, chosen["warm_start"])
        return _follow(client, optimization, local, found, detach=chosen["detach"], as_json=as_json)


def prepare(place: str, chosen: dict[str, Any]) -> Source:
    """Return what to optimize, with the settings of the command line."""
    found = find_source(place, chosen)
    if not found.definition.has_optimization:
        raise UsageError(
            "bough.yml has no section optimization, so nothing says what to search.",
            "Add one with a space (docs/bough-yml.md), or run one job: bough run.",
        )
    settings = {name: chosen[name] for name in SETTINGS if chosen[name] is not None}
    return found.with_definition(found.definition.with_overrides(settings))


def find_source(place: str, chosen: dict[str, Any]) -> Source:
    """Return what the arguments of a command name.

    Raises:
        BadParameter: There is no such directory.
    """
    if not source.is_url(place) and not Path(place).exists():
        raise click.BadParameter(f"there is no directory {place}.", param_hint="DIR")
    return source.find(place, chosen["ref"], chosen["dirty"], chosen["folder"], options.agreed(chosen["large"]))


def start(client: Client, found: Source, fixed: dict[str, Any], earlier: str | None = None) -> Row:
    """Push the commit and create the optimization, with some hyperparameters ``fixed`` instead of searched.

    ``earlier`` is the id of an optimization whose trials begin its history.
    """
    source.push(found, client)
    more = {} if earlier is None else {"warm_start": earlier}
    row: Row = client.create("/optimizations", {**body(found), "fixed": fixed, **more})
    return row


def body(found: Source) -> dict[str, Any]:
    """Return what tells the coordinator what to run."""
    return {
        "definition": found.definition.raw,
        "commit": found.commit or None,
        "folder": found.folder,
        "source": _signed(found),
    }


def _signed(found: Source) -> Row:
    """Return where the code comes from, and that this user means it: where there is a key to sign with."""
    path = home.home() / _signing.FILE
    if not found.commit or not path.is_file():
        return found.origin
    its = found.definition
    ran = [(command.name, command.argv) for command in its.commands]
    code = _signing.code_of(its.model, found.commit, found.folder, ran, its.env, its.working_dir, its.needs, its.output)
    return {**found.origin, "signature": _signing.sign(str(path), code)}


def _code(found: Source) -> str:
    """Return in a few words which code runs."""
    if found.commit:
        return f"commit {found.commit[:12]}"
    return f"{found.origin['branch'] or 'the code'} of {found.origin['url']}"


def _slots(found: Source) -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, found.definition.settings.max_parallel or cpus)


def _follow(client: Client, optimization: Row, local: Local | None, found: Source, detach: bool, as_json: bool) -> int:
    link = client.page_link()
    if detach:
        _say_started(optimization, found, link, as_json)
        return 0
    screen: following.Screen = following.Silent() if as_json else following.screen_for(link)
    screen.say(f"optimization {optimization['id']} of {optimization['model']}, {_code(found)}")
    try:
        try:
            over = following.follow(client, str(optimization["id"]), screen, local.check if local else _nothing)
        finally:
            screen.close()
    except KeyboardInterrupt:
        return _interrupted(client, optimization, local)
    if as_json:
        tables.show_json(over)
    else:
        conclude(client, over, local)
    problem = following.ended_badly(over)
    if problem is not None:
        raise problem
    return 0


def _nothing() -> None:
    """Nothing was started here that could have ended."""


def _say_started(optimization: Row, found: Source, link: str, as_json: bool) -> None:
    if as_json:
        tables.show_json({**optimization, "page": link})
        return
    click.echo(f"optimization {optimization['id']} of {optimization['model']}, {_code(found)}, has started")
    click.echo(f"page: {link}")
    click.echo(f"follow it: bough optimization watch {optimization['id']}")


def _interrupted(client: Client, optimization: Row, local: Local | None) -> int:
    """Ctrl-C: what runs elsewhere goes on; what runs here is stopped so that it can go on later."""
    name = optimization["id"]
    if local is None or local.keep:
        click.echo(f"It goes on. Follow it again: bough optimization watch {name}", err=True)
        return 130
    click.echo("stopping; Ctrl-C again stops at once …", err=True)
    try:
        client.post(f"/optimizations/{name}/pause", {"release": True})
        local.stop()
    except BoughError as error:
        click.echo(f"bough: {error}", err=True)
    finally:
        click.echo(f"Nothing is lost. Go on with: bough up, and beside it: bough optimization resume {name}", err=True)
    return 130


def conclude(client: Client, optimization: Row, local: Local | None) -> None:
    """Print the end: the best trial, where everything is, and how to look again."""
    best = optimization.get("best")
    started, ended = optimization.get("created_at"), optimization.get("ended_at")
    took = f" in {wording.duration(ended - started)}" if started and ended else ""
    click.echo(f"\n{wording.state_line(optimization)}{took}")
    if best:
        click.echo(f"best: {wording.kpi_name(optimization)} {wording.number(best['kpi'])} (trial {best['number']})")
        for path, value in (best.get("values") or {}).items():
            click.echo(f"  {path} = {wording.number(value)}")
    wait_for_records(client, str(optimization["id"]))
    click.echo(f"table:   {save_table(client, str(optimization['id']))}")
    click.echo(f"records: {records_command(client, optimization)}")
    click.echo("page:    bough up" if local is not None and not local.keep else f"page:    {client.page_link()}")


def wait_for_records(client: Client, optimization_id: str) -> None:
    """Give the archive a moment: the records of the last trials are written just after these ended."""
    deadline = time.monotonic() + RECORDS_S
    path = f"/optimizations/{optimization_id}/trials"
    while time.monotonic() < deadline:
        newest = client.get(path, sort="number", descending=True, limit=50)["rows"]
        ran = [trial for trial in newest if trial["state"] in wording.ENDED and trial.get("attempt")]
        if all(trial.get("record") for trial in ran):
            return
        time.sleep(following.POLL_S / 5)


def save_table(client: Client, optimization_id: str) -> Path:
    """Write the CSV of the trials into the home, and return where."""
    path = home.folder("exports") / f"{optimization_id}.csv"
    with open(path, "wb") as file:
        for piece in client.download(f"/optimizations/{optimization_id}/export", format="csv"):
            file.write(piece)
    return path


def records_command(client: Client, optimization: Row) -> str:
    """Return a git command that lists the records of the trials."""
    refs = f"refs/bough/jobs/{optimization['id']}"
    repository = home.coordinator_home() / "git" / f"{optimization['model']}.git"
    here = clients.running_here()
    if here is not None and here.url == client.url and repository.is_dir():
        return f"git -C {repository} for-each-ref --format='%(refname) %(subject)' {refs}"
    return f"git ls-remote {client.url}{optimization.get('repository', '')} '{refs}/*'"
