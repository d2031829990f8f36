"""What SQL says differently in each database: INSERT … ON CONFLICT, and a value inside of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, case, func
from sqlalchemy.dialects import postgresql, sqlite


def upsert(tx: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: Sequence[str] = ()) -> int:
    """Insert ``rows``; where the primary key is taken, replace the named columns, or none.

    Returns:
        How many rows were inserted or changed.
    """
    if not rows:
        return 0
    return int(tx.execute(_upsert(tx.dialect.name, table, tuple(replace)), rows).rowcount)


@cache
def _upsert(dialect: str, table: Table, replace: tuple[str, ...]) -> Any:
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(table)
    key = [column.name for column in table.primary_key]
    if not replace:
        return statement.on_conflict_do_nothing(index_elements=key)
    values = {name: statement.excluded[name] for name in replace}
    return statement.on_conflict_do_update(index_elements=key, set_=values)


def json_value(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the value called ``name`` in a column that holds a flat JSON mapping; NULL where there is none."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return func.json_extract(column, f'$."{quoted}"')


def json_number(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the same if it is a number (or true or false, as 1 and 0), else NULL."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    kind = func.json_type(column, f'$."{quoted}"')
    return case((kind.in_(("integer", "real", "true", "false")), json_value(column, name)))


def json_whole(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column of one JSON value as SQL's own text or number."""
    return func.json_extract(column, "$")
