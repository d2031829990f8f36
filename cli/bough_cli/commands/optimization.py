"""`bough optimization …`: the life of optimizations."""

from __future__ import annotations

import click

from bough_cli import following, options, spaces, tables, verifying, weighing, wording
from bough_cli.client import Client
from bough_cli.commands import editing, life
from bough_cli.commands.optimize import conclude
from bough_cli.wording import Row


@click.group("optimization")
def command() -> None:
    """List, show, watch, steer and verify optimizations."""


@command.command("ls")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many, newest first.")
@click.option("--state", metavar="STATE", help="Only those in this state, such as RUNNING; several by commas.")
@click.option("--model", metavar="OWNER/NAME", help="Only those of this model.")
@click.option("--archived", is_flag=True, help="Those that were archived too.")
@options.as_json
@options.connected
def ls(client: Client, limit: int, state: str | None, model: str | None, archived: bool, as_json: bool) -> None:
    """List optimizations, newest first."""
    rows = client.pages("/optimizations", limit, state=state, model=model, archived=archived)
    if as_json:
        tables.show_json(rows)
        return
    columns = ["ID", "MODEL", "STATE", "TRIALS#", "FAILED#", "BEST#", "ALGORITHM", "CREATED"]
    tables.show_table(columns, [_row(row) for row in rows], _NONE if not (state or model) else "No such optimization.")


_NONE = "No optimization yet. Start one: bough optimize DIR"


def _row(row: Row) -> list[str]:
    return [
        row["id"],
        row["model"],
        row["state"],
        f"{row.get('finished', 0)}/{row.get('max_trials')}",
        str((row.get("counts") or {}).get("FAILED", 0)),
        wording.number((row.get("best") or {}).get("kpi")),
        row.get("algorithm") or "-",
        wording.moment(row.get("created_at")),
    ]


@command.command("show")
@click.argument("optimization")
@click.option("--trials", default=10, show_default=True, type=click.IntRange(0), help="How many of the best trials.")
@click.option("--space", is_flag=True, help="Show its search space instead: tree, hyperopt's expression, 10 samples.")
@click.option("--seed", type=click.IntRange(0), help="Of the samples; default: the optimization's.")
@options.as_json
@options.connected
def show(client: Client, optimization: str, trials: int, space: bool, seed: int | None, as_json: bool) -> None:
    """Show one optimization and its best trials, or its search space."""
    if space:
        _show_space(client, optimization, seed, as_json)
        return
    row: Row = client.get(f"/optimizations/{optimization}")
    best = client.pages(f"/optimizations/{row['id']}/trials", trials, sort="kpi", descending=_descending(row))
    edits = client.get(f"/optimizations/{row['id']}/edits")["rows"]
    if as_json:
        tables.show_json({**row, "trials": best, "edits": edits})
        return
    tables.show_pairs(_pairs(row))
    for warning in row.get("warnings") or []:
        click.echo(f"warning: {warning}")
    for line in _edit_lines(edits):
        click.echo(line)
    if trials:
        click.echo()
        searched = wording.searched(row)
        columns = ["#", "JOB", "STATE", "REASON", f"{wording.kpi_name(row)}#", "TIME#", "VALUES"]
        cells = [trial_row(trial, searched) for trial in best]
        tables.show_table(columns, cells, "No trial yet.")


def _edit_lines(edits: list[Row]) -> list[str]:
    """Return what was done to it, oldest first: what changed, when, and what of the history it left out."""
    lines = ["", "what was changed"] if edits else []
    for one in edits:
        of = f"version {one['space_version']} of the space" if one["kept"] is not None else one["kind"]
        lines.append(f"  {wording.moment(one['at'])}  {of}, from ask {one['from_ask']} on")
        lines += [f"    {change}" for change in one["changes"]]
        if one["left_out"]:
            lines.append(f"    {one['left_out']} ended trials left the optimizer's history, {one['kept']} stayed")
    return lines


def _show_space(client: Client, optimization: str, seed: int | None, as_json: bool) -> None:
    found: Row = client.get(f"/optimizations/{optimization}/space", seed=seed)
    if as_json:
        tables.show_json(found)
    else:
        spaces.show(found, f"space of optimization {found['optimization']}, version {found['version']}")


@command.command("importance")
@click.argument("optimization")
@options.as_json
@options.connected
def importance(client: Client, optimization: str, as_json: bool) -> None:
    """Show how much each hyperparameter mattered: its share of the variance of the KPI."""
    found: Row = client.get(f"/optimizations/{optimization}/importance")
    if as_json:
        tables.show_json(found)
    else:
        weighing.show(found)


@command.command("verify")
@click.argument("optimization")
@click.option("--here", is_flag=True, help="Replay it on this machine instead of the coordinator's.")
@click.option("--generation", type=click.IntRange(1), help="An earlier one; default: that of now.")
@options.as_json
@options.connected
def verify(client: Client, optimization: str, here: bool, generation: int | None, as_json: bool) -> int:
    """Ask a stored search again, and name the first trial that comes out otherwise."""
    replay = verifying.here if here else verifying.on_coordinator
    with verifying.shown_progress(is_silent=as_json) as progress:
        verdict = replay(client, optimization, progress, generation)
    if as_json:
        tables.show_json(verdict)
    else:
        for line in verifying.sentences(verdict):
            click.echo(line)
    return 0 if verdict["equal"] else 1


def _descending(row: Row) -> bool:
    """The best first."""
    return (row.get("kpi") or {}).get("direction") == "maximize"


def _pairs(row: Row) -> list[tuple[str, str]]:
    kpi = row.get("kpi") or {}
    limits = [
        f"{row['max_trials']} trials",
        f"{row['max_epochs']} epochs each" if row.get("max_epochs") else "",
        f"{wording.duration(row['max_time_s'])} each" if row.get("max_time_s") else "",
        f"{row['max_parallel']} at a time" if row.get("max_parallel") else "",
        f"{wording.duration(row['total_time_s'])} in all" if row.get("total_time_s") else "",
        f"agents {', '.join(row['agents'])}" if row.get("agents") else "",
        f"priority {row['priority']}" if row.get("priority") else "",
    ]
    told = [kpi.get("channel") or "as the script declares", kpi.get("direction") or "", kpi.get("reduce") or ""]
    return [
        ("optimization", str(row["id"])),
        ("model", str(row["model"])),
        ("state", f"{row['state']}{': ' + str(row['reason']) if row.get('reason') else ''}"),
        ("algorithm", f"{row.get('algorithm')}, seed {row.get('seed')}{_more_of_search(row)}"),
        ("limits", ", ".join(limit for limit in limits if limit)),
        ("KPI", ", ".join(word for word in told if word)),
        ("trials", wording.state_line(row)),
        ("best", wording.best_line(row).removeprefix("best so far: ")),
        *([("generation", str(row["generation"]))] if (row.get("generation") or 1) > 1 else []),
        ("commit", f"{row.get('commit')}{' ' + row['folder'] if row.get('folder') else ''}"),
        ("created", wording.moment(row.get("created_at"))),
        ("ended", wording.moment(row.get("ended_at"))),
    ]


def _more_of_search(row: Row) -> str:
    """Return what of pruning and duplicates is not as usual."""
    pruning = f", pruning {row['pruning']['rule']}" if row.get("pruning") else ""
    duplicates = row.get("duplicates") or "allow"
    return pruning + (f", duplicates {duplicates}" if duplicates != "allow" else "")


def trial_row(trial: Row, searched: list[str] | None) -> list[str]:
    """Return the cells of a trial: number, job, state, reason, KPI, time, values."""
    return [
        str(trial.get("number") if trial.get("number") is not None else "-"),
        trial["id"],
        trial["state"] + (" (unreachable)" if trial.get("unreachable") else ""),
        trial.get("end_reason") or "-",
        wording.number(trial.get("kpi")),
        wording.duration(trial.get("duration_s")),
        wording.values(trial, searched),
    ]


@command.command("watch")
@click.argument("optimization")
@options.connected
def watch(client: Client, optimization: str) -> int:
    """Follow an optimization until it ends; Ctrl-C leaves it running."""
    row: Row = client.get(f"/optimizations/{optimization}")
    screen = following.screen_for(client.page_link())
    try:
        over = following.follow(client, str(row["id"]), screen, lambda: None)
    finally:
        screen.close()
    conclude(client, over, None)
    problem = following.ended_badly(over)
    if problem is not None:
        raise problem
    return 0


@command.command("stop")
@click.argument("optimization")
@click.option("--now", is_flag=True, help="Stop its running trials too.")
@options.as_json
@options.connected
def stop(client: Client, optimization: str, now: bool, as_json: bool) -> None:
    """End an optimization for good. Its running trials may end by themselves."""
    life.changed(client.post(f"/optimizations/{optimization}/stop", {"now": now}), as_json)


@command.command("pause")
@click.argument("optimization")
@click.option("--release", is_flag=True, help="Stop its running trials; they run again after a resume.")
@click.option("--freeze", is_flag=True, help="Pause its running trials too; they go on after a resume.")
@options.as_json
@options.connected
def pause(client: Client, optimization: str, release: bool, freeze: bool, as_json: bool) -> None:
    """Start no more trials until it is resumed; without an option those that run go on."""
    body = {"release": release, "freeze": freeze}
    life.changed(client.post(f"/optimizations/{optimization}/pause", body), as_json)


@command.command("resume")
@click.argument("optimization")
@options.as_json
@options.connected
def resume(client: Client, optimization: str, as_json: bool) -> None:
    """Go on with a paused optimization."""
    life.changed(client.post(f"/optimizations/{optimization}/resume"), as_json)


@command.command("extend")
@click.argument("optimization")
@click.option("--by", "more", metavar="N", type=click.IntRange(1), help="How many trials more.")
@click.option("--max-trials", type=click.IntRange(1), help="How many trials in all.")
@options.as_json
@options.connected
def extend(client: Client, optimization: str, more: int | None, max_trials: int | None, as_json: bool) -> None:
    """Give an optimization more trials; one that is done goes on."""
    if (more is None) == (max_trials is None):
        raise click.UsageError("Say how many: --by N more, or --max-trials N in all.")
    body = {"by": more} if more is not None else {"max_trials": max_trials}
    life.changed(client.post(f"/optimizations/{optimization}/extend", body), as_json)


@command.command("enqueue")
@click.argument("optimization")
@options.parameters
@options.as_json
@options.connected
def enqueue(client: Client, optimization: str, given: tuple[str, ...], as_json: bool) -> None:
    """Make a point its next trial; what is not given is as fixed, or as the defaults."""
    values = options.split_parameters(given)
    if not values:
        raise click.UsageError("Say which point: -p name=value, as often as needed.")
    job: Row = client.create(f"/optimizations/{optimization}/enqueue", {"values": values})
    if as_json:
        tables.show_json(job)
        return
    click.echo(f"trial {job['number']} (job {job['id']}) is {job['state']}: {wording.values(job, None)}")
    row: Row = client.get(f"/optimizations/{job['optimization']}")
    for warning in row.get("warnings") or []:
        if warning.startswith(f"trial {job['number']} "):
            click.echo(f"warning: {warning}")


for _later in (*life.COMMANDS, *editing.COMMANDS):
    command.add_command(_later)
