"""Every record of a clone as a row: an SQLite file beside the refs, brought up to date by the ids of these.

It is a cache: thrown away when it is damaged or of another version, and kept in memory where the clone cannot be
written. Twenty thousand records are listed in a tenth of a second once they have been read; reading them takes one
process of git for each thousand.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bough.errors import NotFound, UsageError
from bough_cli.records import objects, refs
from bough_cli.wording import Row

FOLDER = "bough"  # of the git directory
FILE = "records.db"
VERSION = "4"
BATCH = 1000
Progress = Callable[[int, int], None]  # read so far, to read

STATES = ("DONE", "FAILED", "ABORTED")
_JOB = (  # of the protocol
    "id optimization number model state end_reason message generation retries reused_from "
    "kpi kpi_last kpi_best kpi_best_x epochs epochs_total created_at started_at ended_at duration_s exit_code "
    "attempt commit record unreachable partial status values attempts agent last steps"
)
_COLUMNS = {
    "number": "number",
    "state": "state",
    "kpi": "kpi",
    "created": "created",
    "started": "started",
    "duration": "duration",
}
# Of a job that ran once more, the last record counts.
_NEWEST = "NOT EXISTS (SELECT 1 FROM records AS l WHERE l.job = records.job AND l.again > records.again)"
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE records (
    ref TEXT PRIMARY KEY, oid TEXT, job TEXT, optimization TEXT, number INTEGER, model TEXT, state TEXT, kpi REAL,
    created REAL, started REAL, duration REAL, again INTEGER, row TEXT
);
CREATE INDEX by_job ON records (job);
CREATE INDEX by_age ON records (created DESC, job);
"""


@dataclass(frozen=True)
class Found:
    """A record that a clone holds: the name of its ref, its commit, and its row in the shape of the protocol's job."""

    ref: str
    oid: str
    row: Row


class Index:
    """The records of one clone.

    Args:
        git_dir: Of the clone.
        progress: Is told how many records were read of how many, when there are any to be read.
    """

    def __init__(self, git_dir: str, progress: Progress | None = None) -> None:
        self.git_dir = git_dir
        self._progress = progress or _quiet
        self._db = _opened(Path(git_dir) / FOLDER)
        try:
            self._refresh()
        except sqlite3.Error:  # damaged, full disk, locked for too long: the clone itself can still be read
            self._db = _in_memory()
            self._refresh()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM records").fetchone()[0])

    def rows(
        self,
        optimization: str | None = None,
        model: str | None = None,
        state: str | None = None,
        manual: bool | None = None,
        sort: str | None = None,
        descending: bool = False,
        limit: int = 50,
    ) -> list[Row]:
        """Return rows, newest first or sorted, in the shape of the protocol's job.

        Raises:
            NotFound: No record is of that optimization.
            UsageError: There is no such state, or no such column to sort by.
        """
        where, given = [_NEWEST], list[Any]()
        if optimization is not None:
            where, given = [*where, "optimization = ?"], [*given, self.optimization(optimization)]
        if model is not None:
            where, given = [*where, "model = ?"], [*given, model]
        if state is not None:
            wanted = checked_states(state)
            where, given = [*where, f"state IN ({','.join('?' * len(wanted))})"], [*given, *wanted]
        if manual is not None:
            where.append("optimization IS NULL" if manual else "optimization IS NOT NULL")
        chosen = f"SELECT row FROM records WHERE {' AND '.join(where)}"  # words of this function only  # nosec B608
        if sort is not None and sort.startswith("p."):
            rows = [json.loads(row) for (row,) in self._db.execute(f"{chosen} ORDER BY number, job", given)]
            return _by_value(rows, sort[2:], descending)[:limit]
        found = self._db.execute(f"{chosen} ORDER BY {_order(sort, descending)} LIMIT ?", [*given, limit])
        return [json.loads(row) for (row,) in found]

    def optimization(self, prefix: str) -> str:
        """Return the id of the optimization that begins so.

        Raises:
            NotFound: None does, or several do.
        """
        like = "SELECT DISTINCT optimization FROM records WHERE substr(optimization, 1, ?) = ? ORDER BY 1 LIMIT 2"
        found = [str(row[0]) for row in self._db.execute(like, (len(prefix), prefix))] if prefix else []
        if prefix in found or len(found) == 1:
            return prefix if prefix in found else found[0]
        raise _not_one("optimization", prefix, found)

    def find(self, name: str) -> Found:
        """Return the record that a name means: a job's id or the beginning of one, ``OPTIMIZATION/NUMBER``, or a ref.

        Raises:
            NotFound: None is called so, or several.
        """
        if name.startswith(refs.KEPT):
            return self._aside(name)
        if name.startswith("refs/"):
            where, given = "ref = ?", list[Any]([name])
        elif "/" in name:
            optimization, _, number = name.partition("/")
            digits = number.partition("-")[0]
            if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
                raise NotFound(f"{name!r} is no trial.", "Write OPTIMIZATION/NUMBER, such as p7tq2m4x/7.")
            where, given = "optimization = ? AND number = ?", [self.optimization(optimization), int(digits)]
        else:
            where, given = "substr(job, 1, ?) = ?", [len(name), name]
        found = self._db.execute(
            f"SELECT ref, oid, row, job FROM records WHERE {where} ORDER BY job = ? DESC, job, again DESC LIMIT 30",  # nosec B608
            [*given, name],
        ).fetchall()
        jobs = list(dict.fromkeys(str(row[3]) for row in found)) if name else []
        if not jobs or (len(jobs) > 1 and jobs[0] != name):
            raise _not_one("job", name, jobs)
        ref, oid, row, _ = found[0]
        return Found(str(ref), str(oid), json.loads(row))

    def _aside(self, name: str) -> Found:
        """Return a record that is kept aside; it is in no list, and known by its whole name only."""
        ref, oid = refs.read(name), dict(objects.refs(self.git_dir, name)).get(name)
        if ref is None or oid is None:
            raise NotFound(f"there is no record {name} here.", "See: git for-each-ref refs/bough/kept.")
        found = objects.contents(self.git_dir, [f"{oid}:.bough/{file}" for file in ("job.json", "parameters.json")])
        return Found(name, oid, view(ref, _mapping(next(found)), _mapping(next(found))))

    # -- bringing it up to date -----------------------------------------------------------------------------------

    def _refresh(self) -> None:
        there = objects.refs(self.git_dir, refs.JOBS, refs.INCOMING + "jobs/")
        digest = hashlib.sha256("\n".join(f"{name} {oid}" for name, oid in there).encode()).hexdigest()
        with self._db:
            known = self._db.execute("SELECT value FROM facts WHERE name = 'refs'").fetchone()
            if known is not None and known[0] == digest:
                return
            read = dict(self._db.execute("SELECT ref, oid FROM records"))
            gone = read.keys() - {name for name, _ in there}
            self._db.executemany("DELETE FROM records WHERE ref = ?", [(name,) for name in gone])
            fresh = [(name, oid) for name, oid in there if read.get(name) != oid]
            for start in range(0, len(fresh), BATCH):
                self._read(fresh[start : start + BATCH])
                self._progress(min(start + BATCH, len(fresh)), len(fresh))
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('refs', ?)", (digest,))

    def _read(self, there: Sequence[tuple[str, str]]) -> None:
        known = [(ref, oid) for name, oid in there if (ref := refs.read(name)) is not None]
        names = [f"{oid}:.bough/{file}" for _, oid in known for file in ("job.json", "parameters.json")]
        found = objects.contents(self.git_dir, names)
        for ref, oid in known:
            row = view(ref, _mapping(next(found)), _mapping(next(found)))
            columns = (row[name] for name in ("kpi", "created_at", "started_at", "duration_s"))
            kpi, created, started, duration = (value if isinstance(value, int | float) else None for value in columns)
            head = (ref.name, oid, ref.job, ref.optimization, ref.number, str(row["model"]), str(row["state"]), kpi)
            self._db.execute(
                f"INSERT OR REPLACE INTO records VALUES ({','.join('?' * 13)})",
                (*head, created, started, duration, ref.again, json.dumps(row)),
            )


def view(ref: refs.JobRef, job: Mapping[str, Any], values: Mapping[str, Any]) -> Row:
    """Return a record's job.json and parameters.json as the protocol's job; what is missing is None."""
    attempt = job.get("attempt")
    sure = {
        "id": ref.job,
        "optimization": ref.optimization,
        "number": ref.number,
        "values": dict(values),
        "attempt": attempt,
        "attempts": attempt,
        "record": ref.name,
        "unreachable": False,
        "partial": bool(job.get("partial")),
        "last": job.get("last") or {},
        "steps": {},  # of what runs
    }
    return {name: sure[name] if name in sure else job.get(name) for name in _JOB.split()}


def checked_states(text: str) -> list[str]:
    """Return the states of a list with commas.

    Raises:
        UsageError: A record is never in one of them.
    """
    wanted = [name.strip().upper() for name in text.split(",")]
    for name in wanted:
        if name not in STATES:
            raise UsageError(f"no record is in a state {name}.", f"There are: {', '.join(STATES)}.")
    return wanted


def _order(sort: str | None, descending: bool) -> str:
    if sort is None:
        return "created DESC, job"
    if sort not in _COLUMNS:
        raise UsageError(
            f"jobs cannot be sorted by {sort}.", f"Sort by one of: {', '.join(_COLUMNS)}, p.<hyperparameter>."
        )
    column = _COLUMNS[sort]
    return f"{column} IS NULL, {column} {'DESC' if descending else 'ASC'}, number, job"


def _by_value(rows: list[Row], path: str, descending: bool) -> list[Row]:
    """Sort by a hyperparameter: numbers before texts, and at the end, either way, those that have none."""
    have = [row for row in rows if path in row["values"]]
    have.sort(key=lambda row: _sortable(row["values"][path]), reverse=descending)
    return have + [row for row in rows if path not in row["values"]]


def _sortable(value: Any) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _not_one(noun: str, prefix: str, found: Sequence[str]) -> NotFound:
    if not found:
        return NotFound(
            f"there is no record of {noun} {prefix} here.", "List them: bough job ls; bring more: bough pull."
        )
    return NotFound(f"{noun} {prefix} is ambiguous: {found[0]} and {found[1]} begin like that.", "Give more of it.")


def _mapping(content: bytes | None) -> dict[str, Any]:
    """Return the object in a file of a record; one that somebody has damaged is an empty one."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _quiet(_done: int, _total: int) -> None:
    """Nobody watches."""


def _opened(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    for _ in range(2):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            db = sqlite3.connect(path, timeout=10)
            db.execute("PRAGMA synchronous = OFF")  # what a crash damages is read again
            if _is_usable(db):
                return db
            db.close()
            os.unlink(path)
        except sqlite3.DatabaseError:  # damaged, or in a place that cannot be written
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError:
            break
    return _in_memory()


def _is_usable(db: sqlite3.Connection) -> bool:
    """Tell whether the file is of this version; an empty one is made so."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE name = 'facts'").fetchone()
    if tables is None:
        with db:
            db.executescript(_TABLES)
            db.execute("INSERT INTO facts VALUES ('version', ?)", (VERSION,))
        return True
    version = db.execute("SELECT value FROM facts WHERE name = 'version'").fetchone()
    return version is not None and version[0] == VERSION


def _in_memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    _is_usable(db)
    return db
