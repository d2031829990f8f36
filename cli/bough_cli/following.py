"""Follows an optimization until it ends: asks twice a second, and tells a screen what is new.

On a terminal the screen is a progress bar with the best trial so far; elsewhere one line for each trial that ended.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import click

from bough.errors import BoughError, Unavailable
from bough_cli import wording
from bough_cli.client import Client
from bough_cli.wording import Row

if TYPE_CHECKING:
    from rich.console import RenderableType

POLL_S = 0.5
IDLE_S = 4.0  # so long nothing may run before we ask why
RETRY_S = 2.0
OVER = ("DONE", "STOPPED", "ARCHIVED")


class Screen(Protocol):
    """Where the news go."""

    def update(self, optimization: Row) -> None:
        """Show where it stands."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def trial(self, line: str, is_best: bool) -> None:
        """Show that a trial ended."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silent:
    """Shows nothing: for ``--json``, whose output is one object at the end."""

    def update(self, optimization: Row) -> None:
        """Show nothing."""

    def say(self, line: str) -> None:
        """Show nothing."""

    def trial(self, line: str, is_best: bool) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class PlainScreen:
    """Lines for a file, a pipe or a log: nothing is ever taken back."""

    def update(self, optimization: Row) -> None:
        """Say nothing: each trial has its line."""

    def say(self, line: str) -> None:
        """Print the line."""
        click.echo(line)

    def trial(self, line: str, is_best: bool) -> None:
        """Print the line."""
        click.echo(line)

    def close(self) -> None:
        """Do nothing."""


class LiveScreen:
    """The page's address, and below it the progress bar and the best so far, redrawn in place."""

    def __init__(self, link: str, started_at: float) -> None:
        from rich.console import Console
        from rich.live import Live

        self.started_at = started_at
        console = Console(highlight=False, markup=False, emoji=False)
        console.print(f"page: {link}", soft_wrap=True)  # wrapped by us, it could be neither clicked nor copied
        self.live = Live(console=console, refresh_per_second=4)
        self.live.start()

    def update(self, optimization: Row) -> None:
        """Redraw."""
        self.live.update(panel(optimization, time.time() - self.started_at))

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.live.console.print(line)

    def trial(self, line: str, is_best: bool) -> None:
        """Print only what needs the eye: a new best, a failure."""
        if is_best or " DONE" not in line.split(":")[0]:
            self.say(line)

    def close(self) -> None:
        """Stop redrawing."""
        self.live.stop()


def screen_for(link: str) -> Screen:
    """Return the screen that fits where our output goes."""
    if sys.stdout.isatty():
        return LiveScreen(link, time.time())
    click.echo(f"page: {link}")
    return PlainScreen()


def panel(optimization: Row, elapsed_s: float) -> RenderableType:
    """Return what the live screen shows of an optimization."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid(padding=(0, 2))
    total, finished = optimization.get("max_trials") or 1, optimization.get("finished", 0)
    bar.add_row(
        Text(str(optimization["id"])),
        ProgressBar(total=total, completed=finished, width=30),
        Text(f"{wording.state_line(optimization)}, {wording.duration(elapsed_s)}"),
    )
    lines = [Text(wording.best_line(optimization))]
    if optimization.get("state") != "RUNNING":
        lines.insert(0, Text(str(optimization.get("state")).lower()))
    return Group(bar, *lines)


class Follower:
    """What has been told already of one optimization."""

    def __init__(self, client: Client, optimization_id: str, screen: Screen) -> None:
        self.client = client
        self.id = optimization_id
        self.screen = screen
        self.told_trials: set[str] = set()
        self.told_lines: set[str] = set()
        self.ended_prefix = 0  # trials, in the order of their numbers, up to which all have ended
        self.ended = 0
        self.idle_since: float | None = None

    def look(self, now: float) -> Row:
        """Ask once, show what is new, and return the optimization; ``now`` is of the monotonic clock."""
        optimization: Row = self.client.get(f"/optimizations/{self.id}")
        counts = optimization.get("counts") or {}
        ended = sum(counts.get(state, 0) for state in wording.ENDED)
        if ended != self.ended:
            self._tell_trials(optimization)
            self.ended = ended
        for warning in optimization.get("warnings") or []:
            self.say_once(f"warning: {warning}")
        self._tell_why_idle(optimization, now)
        self.screen.update(optimization)
        return optimization

    def say_once(self, line: str) -> None:
        """Show a line unless it was shown before."""
        if line not in self.told_lines:
            self.told_lines.add(line)
            self.screen.say(line)

    def _tell_trials(self, optimization: Row) -> None:
        rows = self._unfinished_and_later()
        best = (optimization.get("best") or {}).get("id")
        for row in rows:
            if row["state"] in wording.ENDED and row["id"] not in self.told_trials:
                self.told_trials.add(row["id"])
                self.screen.trial(wording.trial_line(row, optimization, row["id"] == best), row["id"] == best)
        self.ended_prefix += next((i for i, row in enumerate(rows) if row["state"] not in wording.ENDED), len(rows))

    def _unfinished_and_later(self) -> list[Row]:
        rows: list[Row] = []
        while True:
            page = self.client.get(
                f"/optimizations/{self.id}/trials", sort="number", limit=200, offset=self.ended_prefix + len(rows)
            )
            rows += page["rows"]
            if not page["rows"] or self.ended_prefix + len(rows) >= page["total"]:
                return rows

    def _tell_why_idle(self, optimization: Row, now: float) -> None:
        """Nothing runs for some seconds: the coordinator knows why."""
        if optimization.get("state") == "PAUSED" and not optimization.get("reason"):
            self.say_once(f"It is paused. Go on: bough optimization resume {self.id}")
        if wording.live(optimization) or optimization.get("state") != "RUNNING":
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        elif now - self.idle_since >= IDLE_S:
            for reason in self.client.get("/why").get("reasons", []):
                self.say_once(str(reason))
            self.idle_since = now


def is_over(optimization: Row) -> bool:
    """Tell whether nothing more will come of it by itself: it ended, or failures paused it."""
    state = optimization.get("state")
    return state in OVER or (state == "PAUSED" and bool(optimization.get("reason")) and not wording.live(optimization))


def follow(client: Client, optimization_id: str, screen: Screen, check: Callable[[], None]) -> Row:
    """Show an optimization until it is over, and return it as it is then.

    A coordinator that goes away is waited for, unless ``check`` raises (it looks at daemons that were started here).
    """
    follower = Follower(client, optimization_id, screen)
    while True:
        check()
        try:
            optimization = follower.look(time.monotonic())
        except Unavailable as error:
            check()
            follower.say_once(f"{error.what} Trying again.")
            time.sleep(RETRY_S)
            continue
        if is_over(optimization):
            return optimization
        time.sleep(POLL_S)


def ended_badly(optimization: Row) -> BoughError | None:
    """Return the error for an optimization that ended without what was asked for, or None."""
    name = f"optimization {optimization['id']}"
    if optimization.get("state") == "PAUSED":
        reason, remedy = str(optimization.get("reason")), f"bough optimization resume {optimization['id']}"
        do = "" if remedy in reason else f"Go on with: {remedy}."
        return BoughError(f"{name} is paused: {reason.rstrip('.')}.", do)
    if not optimization.get("best"):
        done = optimization.get("finished", 0)
        return BoughError(
            f"{name} ended, and none of its {done} trials succeeded.",
            f"See why: bough job ls --optimization {optimization['id']}.",
        )
    return None
