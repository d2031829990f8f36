"""`bough optimization retry|restart|archive|unarchive|delete`, and `bough job retry`: what becomes of things later."""

from __future__ import annotations

import sys
from typing import Any

import click

from bough.errors import UsageError
from bough_cli import options, source, tables, wording
from bough_cli.client import Client
from bough_cli.source import Source
from bough_cli.wording import Row


def code(client: Client, model: str, place: str, ref: str | None, dirty: bool, folder: str | None = None) -> Source:
    """Return the code in a folder or at a URL, once its commit is in the coordinator's repository.

    Raises:
        UsageError: It is of another model.
    """
    found = source.find(place, ref, dirty, folder)
    if found.definition.model != model:
        raise UsageError(
            f"the bough.yml in {place} is of the model {found.definition.model}, not of {model}.",
            "Name the folder of that model.",
        )
    source.push(found, client)
    return found


@click.command("retry")
@click.argument("optimization")
@click.option("--failed", is_flag=True, help="Those that failed by their own fault.")
@click.option("--lost", is_flag=True, help="Those that were lost: agent silent, machine restarted, supervisor killed.")
@click.option(
    "--trial", "trials", metavar="N", type=click.IntRange(1), multiple=True, help="This one; may be repeated."
)
@click.option("--commit", "ref", metavar="REF", help="With this commit; trials started later run it too.")
@click.option("--dir", "place", metavar="DIR", default=".", help="Where REF is; default: this folder.")
@click.option("--dirty", is_flag=True, help="With the working tree as it is.")
@options.as_json
@options.connected
def retry(
    client: Client,
    optimization: str,
    failed: bool,
    lost: bool,
    trials: tuple[int, ...],
    ref: str | None,
    place: str,
    dirty: bool,
    as_json: bool,
) -> None:
    """Run trials that failed once more, with the same values; by default all of them."""
    row: Row = client.get(f"/optimizations/{optimization}")
    body: dict[str, Any] = {"failed": failed, "lost": lost, "trials": list(trials)}
    if ref is not None or dirty:
        found = code(client, row["model"], place, ref, dirty, None)
        body |= {"commit": found.commit, "source": found.origin}
    row = client.post(f"/optimizations/{row['id']}/retry", body)
    if as_json:
        tables.show_json(row)
        return
    numbers = ", ".join(map(str, row["retried"]))
    what = "trial" if len(row["retried"]) == 1 else "trials"
    click.echo(f"{what} {numbers} of optimization {row['id']} will run again, at commit {row['commit'][:12]}")


@click.command("restart")
@click.argument("optimization")
@click.argument("place", metavar="[DIR|URL]", default=".")
@click.option("--ref", metavar="REF", help="A branch, tag or commit instead of HEAD.")
@click.option("--folder", metavar="DIR", help="The model's folder in the repository; also URL#folder.")
@click.option("--dirty", is_flag=True, help="Send the working tree with its uncommitted changes.")
@click.option("--same-commit", is_flag=True, help="Run the commit that it runs now.")
@click.option("--definition", "anew", is_flag=True, help="Take space and settings from the commit's bough.yml too.")
@click.option("--seed", type=click.IntRange(0), help="Default: that of bough.yml, or a new one.")
@options.as_json
@options.connected
def restart(
    client: Client,
    optimization: str,
    place: str,
    ref: str | None,
    folder: str | None,
    dirty: bool,
    same_commit: bool,
    anew: bool,
    seed: int | None,
    as_json: bool,
) -> None:
    """Begin anew with another commit; its trials so far are kept as an earlier generation."""
    row: Row = client.get(f"/optimizations/{optimization}")
    body: dict[str, Any] = {} if seed is None else {"seed": seed}
    if same_commit and (ref or dirty or anew):
        raise click.UsageError("--same-commit excludes --ref, --dirty and --definition.")
    found = None
    if not same_commit:
        found = code(client, row["model"], place, ref, dirty, folder)
        body |= {"commit": found.commit, "folder": found.folder, "source": found.origin}
        body |= {"definition": found.definition.raw} if anew else {}
    row = client.create(f"/optimizations/{row['id']}/restart", body)
    if as_json:
        tables.show_json(row)
        return
    click.echo(
        f"optimization {row['id']} begins anew: generation {row['generation']}, commit {row['commit'][:12]}, "
        f"seed {row['seed']}"
    )
    click.echo(f"its trials of before: bough export {row['id']} --generation {row['generation'] - 1}")
    if found is not None and not anew:
        _say_what_is_not_taken(client, row, found)


def _say_what_is_not_taken(client: Client, row: Row, found: Source) -> None:
    now: Row = client.get(f"/optimizations/{row['id']}/definition")["definition"]
    others = [key for key, value in found.definition.raw.items() if key != "optimization" and now.get(key) != value]
    if others:
        click.echo(f"bough.yml says otherwise in {', '.join(others)}; to take all of it: --definition")


@click.command("archive")
@click.argument("optimization")
@options.as_json
@options.connected
def archive(client: Client, optimization: str, as_json: bool) -> None:
    """Hide an optimization from lists; trials that never started get their end."""
    changed(client.post(f"/optimizations/{optimization}/archive"), as_json)


@click.command("unarchive")
@click.argument("optimization")
@options.as_json
@options.connected
def unarchive(client: Client, optimization: str, as_json: bool) -> None:
    """Show an archived optimization again."""
    changed(client.post(f"/optimizations/{optimization}/unarchive"), as_json)


@click.command("delete")
@click.argument("optimization")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--records", is_flag=True, help="Delete its records in git too.")
@options.as_json
@options.connected
def delete(client: Client, optimization: str, yes: bool, records: bool, as_json: bool) -> None:
    """Delete an optimization with all its trials, points and logs. Its records in git stay without --records."""
    row: Row = client.get(f"/optimizations/{optimization}")
    if not yes:
        _confirm(row, records)
    said = client.reply("DELETE", f"/optimizations/{row['id']}", query={"confirm": row["id"], "records": records})
    if as_json:
        tables.show_json(said.json())
        return
    refs = said.json()["records_deleted"]
    kept = f"{refs} records in git went with it" if records else "its records in git are still there"
    click.echo(f"optimization {row['id']} is deleted; {kept}")


def _confirm(row: Row, records: bool) -> None:
    """Let whoever deletes type the id."""
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to ask. Add --yes.")
    more = " and its records in git" if records else ""
    trials = sum((row.get("counts") or {}).values())
    click.echo(f"optimization {row['id']} of {row['model']} with {trials} trials{more} will be gone.")
    if click.prompt(f"Type {row['id']} to delete it", default="", show_default=False) != row["id"]:
        raise click.UsageError("that is not its id; nothing is deleted.")


@click.command("retry")
@click.argument("job")
@click.option("--commit", "ref", metavar="REF", help="With this commit.")
@click.option("--dir", "place", metavar="DIR", default=".", help="Where REF is; default: this folder.")
@click.option("--dirty", is_flag=True, help="With the working tree as it is.")
@options.as_json
@options.connected
def retry_job(client: Client, job: str, ref: str | None, place: str, dirty: bool, as_json: bool) -> None:
    """Run a job that failed or was stopped once more, with the same values."""
    row: Row = client.get(f"/jobs/{job}")
    body: dict[str, Any] = {}
    if ref is not None or dirty:
        found = code(client, row["model"], place, ref, dirty, None)
        body = {"commit": found.commit, "source": found.origin}
    row = client.post(f"/jobs/{row['id']}/retry", body)
    if as_json:
        tables.show_json(row)
    else:
        click.echo(f"job {row['id']} is {row['state']} and will run again, at commit {row['commit'][:12]}")


def changed(row: Row, as_json: bool) -> None:
    """Print how an optimization stands after something was done to it."""
    if as_json:
        tables.show_json(row)
    else:
        reason = f": {row['reason']}" if row.get("reason") else ""
        click.echo(f"optimization {row['id']} is {row['state']}{reason} ({wording.state_line(row)})")


COMMANDS = (retry, restart, archive, unarchive, delete)
