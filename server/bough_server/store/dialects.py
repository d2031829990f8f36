"""What SQL says differently in each database: INSERT … ON CONFLICT, and a value inside of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func
from sqlalchemy.dialects import postgresql, sqlite


def upsert(tx: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: Sequence[str] = ()) -> int:
    """Insert ``rows``; where the primary key is taken, replace the named columns, or none.

    Returns:
        How many rows were inserted or changed.
    """
    if not rows:
        return 0
    insert: Any = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    key = [column.name for column in table.primary_key]
    if replace:
        values = {name: statement.excluded[name] for name in replace}
        statement = statement.on_conflict_do_update(index_elements=key, set_=values)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    return int(tx.execute(statement, rows).rowcount)


def json_value(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the value called ``name`` in a column that holds a flat JSON mapping; NULL where there is none."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return func.json_extract(column, f'$."{quoted}"')
