"""Copying a whole store from one database into another, of whatever kind: how PostgreSQL is backed up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Integer, Table, func, insert, select

from bough.errors import Conflict
from bough_server.store.database import Database
from bough_server.store.schema import metadata

_BATCH = 500
Told = Callable[[int], None]  # is told how many rows were copied


def snapshot(store: Database, target: Path, told: Told = lambda rows: None) -> None:
    """Write one consistent state of the store into a new SQLite file, while the store is in use."""
    made = Database.open(target)
    try:
        store.read_sync(lambda source: made.write_sync(lambda tx: copy_rows(source, tx, told)))
    finally:
        made.close()
    Path(f"{target}.lock").unlink(missing_ok=True)


def snapshot_file(source: Path, target: Path) -> None:
    """Write one consistent state of a SQLite file into a new one; whoever writes meanwhile is not disturbed."""
    with sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True) as old, sqlite3.connect(target) as new:
        old.backup(new)
    new.close()
    old.close()


def copy_rows(source: Connection, target: Connection, told: Told = lambda rows: None) -> None:
    """Copy every row of every table; both have the newest tables.

    Raises:
        Conflict: The target holds something already.
    """
    refuse_unless_empty(target)
    for table in metadata.sorted_tables:
        rows = source.execute(select(table).execution_options(yield_per=_BATCH)).mappings()
        for batch in rows.partitions(_BATCH):
            target.execute(insert(table), [dict(row) for row in batch])
            told(len(batch))
    if target.dialect.name == "postgresql":
        for table in metadata.sorted_tables:
            _continue_numbers(target, table)


def refuse_unless_empty(tx: Connection) -> None:
    """Raise `Conflict` unless no table holds a row."""
    for table in metadata.sorted_tables:
        if tx.execute(select(table).limit(1)).first() is not None:
            raise Conflict("that store is not empty.", "Restore into a new home, or into a new database: createdb.")


def _continue_numbers(tx: Connection, table: Table) -> None:
    """Let a table that numbers its rows by itself go on behind those that were copied."""
    column: Any = table.autoincrement_column
    if column is None or not isinstance(column.type, Integer):
        return
    highest = func.coalesce(select(func.max(column)).scalar_subquery(), 0) + 1
    tx.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), highest, False)))
