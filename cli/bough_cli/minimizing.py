"""Behind `bough.minimize`: an optimization whose trials are calls of a function in this process.

The coordinator asks the optimizer and keeps everything, as for any optimization; an `InProcessAgent` runs the trials.
What is pinned as code is one commit with the source of the function, as far as Python knows it, and the definition.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import inspect
import math
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough._job import Job
from bough._values import Absent
from bough.definition import Definition
from bough.errors import BoughError, Forbidden, UsageError
from bough_cli import client as clients
from bough_cli import inline_space, source, wording
from bough_cli.client import Client
from bough_cli.inprocess import Attempt, InProcessAgent
from bough_cli.local import Local

Function = Callable[[Any], Any]
CHANNEL = "loss"
_ENDED = ("DONE", "STOPPED", "ARCHIVED")


class Point(dict[str, Any]):
    """The values of a trial by their full path; what is not active is not in it.

    A path inside a choice group may leave out what was chosen: ``point["optimizer.lr"]``.

    Attributes:
        job: The job, as in a script: channels, progress, `should_stop`.
    """

    def __init__(self, values: Mapping[str, Any], job: Job) -> None:
        super().__init__(values)
        self.job = job

    def __missing__(self, path: str) -> Any:
        try:
            return self.job._values.get(path)
        except Absent:
            raise KeyError(path) from None


@dataclass(frozen=True)
class Minimum:
    """What `bough.minimize` found.

    Attributes:
        best: Values of the best trial; None where every trial failed.
        loss: Its loss.
        trials: All of them, by number: dicts with number, values, loss (None: it failed), state and message.
        optimization: Id of the optimization that holds them.
        page: Where it can be seen.
    """

    best: dict[str, Any] | None
    loss: float | None
    trials: list[dict[str, Any]]
    optimization: str
    page: str

    def __str__(self) -> str:
        if self.best is None:
            return f"optimization {self.optimization}: all {len(self.trials)} trials failed"
        values = ", ".join(f"{path} = {wording.number(value)}" for path, value in self.best.items())
        return f"loss {wording.number(self.loss)} at {values} (optimization {self.optimization})"


def minimize(
    fn: Function, space: Mapping[str, Any], algorithm: str, max_trials: int, seed: int | None, initial_random: int,
    name: str | None, stop_after: int | None, coordinator: str | None, key: str | None, show: bool,
) -> Minimum:  # fmt: skip
    """Do what `bough.minimize` promises."""
    if not callable(fn):
        raise UsageError(f"{fn!r} cannot be called.", "Give the function first, then the space.")
    settings: dict[str, Any] = {
        "algorithm": algorithm, "max_trials": max_trials, "max_parallel": 1, "seed": seed,
        "kpi": {"direction": "minimize"}, "on_failure": {"stop_after": stop_after},
    }  # fmt: skip
    if algorithm in ("tpe", "optuna-tpe", "optuna-gp"):
        settings["initial_random"] = initial_random
    if seed is None:
        del settings["seed"]
    told = inline_space.sections(space)
    inline_space.definition(told, "a/b", settings)  # what is wrong is said before anything starts
    with connected(coordinator, key) as client, tempfile.TemporaryDirectory(prefix="bough-") as folder:
        _check_key(client)
        model = _model(client, fn, name)
        agent = InProcessAgent(client.url, client.address.key or "", Path(folder) / "attempts")
        try:
            settings["agents"] = [agent.connect(model.rpartition("/")[2][:40])]
            found = inline_space.definition(told, model, settings)
            made = _start(client, found, fn, Path(folder) / "code")
            _say(show, f"optimization {made} of {model}")
            _run(client, agent, fn, made, show)
        finally:
            agent.close()
        return _result(client, made, show)


@contextlib.contextmanager
def connected(url: str | None, key: str | None) -> Iterator[Client]:
    """Give a client of the coordinator that is named, logged in to or runs here; else of one that is started for this.

    Raises:
        UsageError: None runs, and none could be started, because the extra `server` is missing.
    """
    address = clients.find(url, key)
    local = None
    if address is None:
        if importlib.util.find_spec("hyperopt") is None:
            raise UsageError(
                "bough.minimize needs a coordinator, and none runs here or was logged in to.",
                "Install one: pip install 'bough[server]'; or name one: bough login URL.",
            )
        local = Local()
    try:
        if local is not None:
            local.start_coordinator()
            address = local.wait_for_coordinator()
        assert address is not None
        with Client(address) as client:
            yield client
    finally:
        if local is not None:
            local.end()


def _check_key(client: Client) -> None:
    """Refuse a key that may not do both: create an optimization, and run its trials as an agent."""
    me = client.get("/me")
    if me["scope"] != "admin":
        raise Forbidden(
            f"bough.minimize creates an optimization and runs its trials itself, and key {me['name']} has the scope "
            f"{me['scope']}, which may not do both.",
            "Use an admin key; or put the function into a script for bough optimize, whose trials the agents run.",
        )


def _model(client: Client, fn: Function, name: str | None) -> str:
    """Return owner/name: as given, else after the user and the function."""
    if name is not None and "/" in name:
        return name
    me = client.get("/me")
    owner = str(me.get("user") or "") or _clean(getpass.getuser()) or "me"
    return f"{owner}/{name or _clean(getattr(fn, '__name__', '')) or 'function'}"


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:60]


def _start(client: Client, found: Definition, fn: Function, folder: Path) -> str:
    """Push one commit with the function's source, and create the optimization."""
    from bough import _git

    folder.mkdir()
    (folder / "objective.py").write_text(_source(fn), encoding="utf-8")
    for args in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "What is minimized"]):
        _git.run(args, cwd=str(folder), env=_AUTHOR)
    commit = _git.run(["rev-parse", "HEAD"], cwd=str(folder)).decode().strip()
    origin = {"url": None, "branch": None, "dirty": False}
    whole = source.Source(found, commit, "", folder / ".git", origin)
    source.push(whole, client)
    body = {"definition": found.raw, "commit": commit, "folder": "", "source": origin, "fixed": {}}
    return str(client.create("/optimizations", body)["id"])


_AUTHOR = {  # the same function is the same commit
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bough"), ("EMAIL", "bough@localhost"), ("DATE", "2000-01-01T00:00:00Z"))
}


def _source(fn: Function) -> str:
    try:
        return inspect.getsource(fn)
    except (OSError, TypeError):
        return f"# Python does not know the source of {fn!r}.\n"


# -- the trials -----------------------------------------------------------------------------------------------
def _run(client: Client, agent: InProcessAgent, fn: Function, made: str, show: bool) -> None:
    """Run trials until the optimization is over. Ctrl-C stops it, and is passed on."""

    def is_over() -> bool:
        return client.get(f"/optimizations/{made}")["state"] in (*_ENDED, "PAUSED")

    best = math.inf
    attempt: Attempt | None = None
    try:
        while True:
            attempt = agent.claim(is_over)
            if attempt is None:
                if is_over():
                    return
                continue
            number, loss, error = attempt.claim.number, None, None
            with agent.running(attempt):
                try:
                    loss = _called(fn, attempt)
                except Exception as raised:
                    error = _told(raised)
            agent.end(attempt, error)
            attempt = None
            if error is not None:
                _say(show, f"trial {number} failed: {error.splitlines()[-1]}")
            elif loss is not None and loss < best:
                best = loss
                _say(show, f"trial {number}: loss {wording.number(loss)}, the best so far")
    except KeyboardInterrupt:
        if attempt is not None:
            agent.release(attempt, "the search was interrupted")
        client.post(f"/optimizations/{made}/stop", {"now": True})
        _say(show, f"stopped; its trials are kept: bough optimization show {made}")
        raise


def _called(fn: Function, attempt: Attempt) -> float | None:
    """Call the function and report what it returns as the KPI, unless it declared one of its own."""
    returned = fn(Point(attempt.claim.values, attempt.job))
    if isinstance(returned, Mapping):
        if returned.get("status", "ok") != "ok":
            raise _Failed(f"it returned the status {returned['status']}")
        returned = returned.get("loss")
    if returned is None:
        return None
    loss = float(returned)
    if attempt.job._kpi is None:
        attempt.job.create_channel(CHANNEL, kpi=True, main=True, max_optimization=False).send(1, loss)
    return loss if math.isfinite(loss) else None


class _Failed(Exception):
    """The function said that the trial failed."""


def _told(raised: Exception) -> str:
    if isinstance(raised, _Failed):
        return f"{raised}."
    return "".join(traceback.format_exception(raised)).rstrip()


def _say(show: bool, line: str) -> None:
    if show:
        print(f"bough: {line}", file=sys.stderr, flush=True)


def _result(client: Client, made: str, show: bool) -> Minimum:
    row = client.get(f"/optimizations/{made}")
    rows = client.pages(f"/optimizations/{made}/trials", 1 << 30, sort="number")
    trials = [{"number": one["number"], "values": one["values"], "loss": one["kpi"], "state": one["state"],
               "message": one["message"]} for one in rows if one["state"] in wording.ENDED]  # fmt: skip
    best = row.get("best") or {}
    if row["state"] == "PAUSED" and row.get("reason"):
        raise BoughError(f"optimization {made} cannot go on: {row['reason']}")
    found = Minimum(best.get("values"), best.get("kpi"), trials, made, client.page_link())
    _say(show, str(found))
    return found
