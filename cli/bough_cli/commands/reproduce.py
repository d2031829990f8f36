"""`bough job reproduce`: runs a record again here, from the clone alone, and compares."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import click

from bough_cli import options, tables, wording
from bough_cli.records import sources
from bough_cli.records.sources import Sources


@click.command("reproduce")
@click.argument("job")
@click.option(
    "--tolerance", default=0.0, type=click.FloatRange(0), help="How far the KPIs may be apart, relative; default: 0."
)
@click.option("--with-environment", is_flag=True, help="Rebuild the recorded Python packages first, in the home.")
@click.option("--keep", metavar="DIR", help="Keep the run in this new folder: its tree, log and journals.")
@click.option("--quiet", is_flag=True, help="Do not show the log of the run.")
@options.as_json
@sources.places
def reproduce(
    where: Sources, job: str, tolerance: float, with_environment: bool, keep: str | None, quiet: bool, as_json: bool
) -> int:
    """Run a job again from its record, and say whether the same comes out. Exit code 0: equal, 1: it differs."""
    from bough_cli.reproducing import environments, instructions, reported, rerun, verdict

    record = where.record(job)
    if not record.row.get("attempt"):
        raise verdict.missing(record)
    claim = instructions.claim_of(record, secrets.token_hex(16), str(record.row["id"]))
    path = environments.rebuild(record, _say) if with_environment else None
    place = _place(keep)
    try:
        if not as_json:
            _say(
                f"running {record.title} again: commit {claim.commit[:12]}, {wording.values({'values': claim.values})}"
            )
        ran = rerun.run(record.git_dir, claim, place, None if path is None else str(path), show=not (quiet or as_json))
        differences = environments.compare(record, ran.environment)
        channels, said = reported.read(ran.folder, ran.exit), reported.said(ran.folder)
        found = verdict.judge(record, channels, ran.exit, said, differences, tolerance)
    finally:
        if keep is None:
            rerun.clear(place)
    if as_json:
        tables.show_json(wording.harmless(found.as_json()))
    else:
        for line in verdict.sentences(found, "packages" in environments.recorded(record)):
            click.echo(wording.harmless(line))
        if keep is not None:
            click.echo(f"kept: {place}")
        click.echo(wording.harmless(verdict.conclusion(found, record.title)))
    return 0 if found.is_equal else 1


def _place(keep: str | None) -> Path:
    """Return an empty folder for the run."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="bough-reproduce-"))
    place = Path(keep).absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise click.BadParameter(f"{keep} is not empty.", param_hint="--keep")
    return place


def _say(text: str) -> None:
    click.echo(text, err=True)
