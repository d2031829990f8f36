"""Numbers, times, values and trials as the terminal shows them: short, rounded to what the eye needs."""

from __future__ import annotations

import re
import time
from typing import Any

ENDED = ("DONE", "FAILED", "ABORTED")
Row = dict[str, Any]
# What steers a terminal: all controls but tab, line feed, backspace, return, and escapes that only colour.
_STEERING = re.compile(rb"\x1b(?!\[[0-9;]*m)|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xc2[\x80-\x9f]")


def harmless(value: Any) -> Any:
    """Return a JSON value whose texts cannot steer a terminal: what jobs and agents say ends up in one."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else " " for c in value)
    if isinstance(value, dict):
        return {harmless(name): harmless(item) for name, item in value.items()}
    return [harmless(item) for item in value] if isinstance(value, list) else value


def harmless_log(piece: bytes) -> bytes:
    """Return a piece of a log as a terminal may get it: with its colours and progress bars, but nothing else."""
    return _STEERING.sub(b"", piece)


def number(value: object) -> str:
    """Return a KPI or value in at most 6 significant digits; "-" for None; texts and booleans as they are."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def duration(seconds: float | None) -> str:
    """Return ``7.3 s``, ``4 min 10 s`` or ``2 h 5 min``; "-" for None."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(at: float | None) -> str:
    """Return a time of this machine's zone, ``2026-11-20 13:05``; "-" for None."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def values(row: Row, only: list[str] | None = None) -> str:
    """Return ``lr=0.01 optimizer=sgd`` of a trial: the searched ones where ``only`` names them, else all."""
    found = row.get("values") or {}
    return " ".join(f"{path}={number(value)}" for path, value in found.items() if only is None or path in only)


def searched(optimization: Row) -> list[str] | None:
    """Return the paths that an optimization searches, or None where the coordinator does not say."""
    space = optimization.get("space")
    return [str(path) for path in space] if isinstance(space, (list, dict)) and space else None


def kpi_name(optimization: Row) -> str:
    """Return what the KPI is called: its channel, or "KPI" as long as no script has declared one."""
    return str((optimization.get("kpi") or {}).get("channel") or "KPI")


def live(optimization: Row) -> int:
    """Return how many trials are between being granted and ended."""
    counts = optimization.get("counts") or {}
    return sum(counts.get(state, 0) for state in ("PREPARING", "RUNNING", "STOPPING", "DRAINING"))


def trial_line(trial: Row, optimization: Row, is_best: bool) -> str:
    """Return the line of an ended trial."""
    head = f"trial {trial['number']} {trial['state']}"
    if trial["state"] == "DONE":
        told = f"{kpi_name(optimization)} {number(trial.get('kpi'))}{' (best so far)' if is_best else ''}"
    else:
        told = str(trial.get("message") or trial.get("end_reason") or "")
    reason = trial.get("end_reason")
    why = f", {reason}" if reason in ("max_epochs", "max_time", "pruned") else ""
    return f"{head}{why}: {told}  {values(trial, searched(optimization))}".rstrip()


def best_line(optimization: Row) -> str:
    """Return the line of the best trial so far."""
    best = optimization.get("best")
    if not best:
        return "no trial has succeeded yet"
    kpi = f"{kpi_name(optimization)} {number(best.get('kpi'))}"
    return f"best so far: {kpi} (trial {best.get('number')})  {values(best, searched(optimization))}".rstrip()


def state_line(optimization: Row) -> str:
    """Return how many trials are where."""
    counts = optimization.get("counts") or {}
    parts = [f"{optimization.get('finished', 0)} of {optimization.get('max_trials')} trials"]
    parts += [f"{live(optimization)} running"] if live(optimization) else []
    parts += [f"{counts[state]} {state.lower()}" for state in ("FAILED", "ABORTED") if counts.get(state)]
    return ", ".join(parts)
