"""What SQL says differently in each database: INSERT … ON CONFLICT, and a value inside of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, Text, cast, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


def upsert(tx: Connection, table: Table, rows: Sequence[dict[str, Any]], replace: Sequence[str] = ()) -> int:
    """Insert ``rows``; where the primary key is taken, replace the named columns, or none.

    Returns:
        How many rows were inserted or changed.
    """
    if not rows:
        return 0
    return int(tx.execute(_upsert(tx.dialect.name, table, tuple(replace)), rows, execution_options=_COUNTED).rowcount)


_COUNTED = {"preserve_rowcount": True}


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
    return json_member(column, f'$."{quoted}"', name)


class json_member(GenericFunction[Any]):  # noqa: N801 - it is named as in SQL
    """The member of a JSON mapping in a text column, by path or by name; numbers are sorted as numbers."""

    inherit_cache = True


@compiles(json_member, "sqlite")
def _in_sqlite(element: Any, compiler: Any, **more: Any) -> str:
    column, path, _ = element.clauses
    return str(compiler.process(func.json_extract(column, path), **more))


@compiles(json_member, "postgresql")
def _in_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    column, _, name = element.clauses
    return str(compiler.process(cast(cast(column, Text), postgresql.JSONB).op("->")(cast(name, Text)), **more))
