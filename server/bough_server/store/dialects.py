"""What SQL says differently in each database: INSERT … ON CONFLICT, and a value inside of JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    Table,
    Text,
    case,
    cast,
    func,
    literal_column,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import UserDefinedType


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


# -- values inside of JSON ------------------------------------------------------------------------------------
# Each is a function of our own, written out by each database in its own way when the statement is compiled.


class JsonScalar(UserDefinedType[Any]):
    """One value that came out of JSON: in SQLite SQL's own text or number, in PostgreSQL a jsonb."""

    cache_ok = True


def json_value(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the value called ``name`` in a column that holds a flat JSON mapping; NULL where there is none."""
    return json_member(column, _path(name), name)


def json_number(column: Column[Any], name: str) -> ColumnElement[Any]:
    """Return the same if it is a number (or true or false, as 1 and 0), else NULL."""
    return json_numeric(column, _path(name), name)


def json_whole(column: Column[Any]) -> ColumnElement[Any]:
    """Return a column of one JSON value, to be sorted by or given to `text_of`."""
    return json_document(column)


def text_of(value: ColumnElement[Any]) -> ColumnElement[str]:
    """Return any value as text: a JSON string without its quotes."""
    return json_text(value) if isinstance(value.type, JsonScalar) else cast(value, Text)


def _path(name: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{quoted}"'


class json_member(GenericFunction[Any]):
    """(column, path, name) → the value."""

    type = JsonScalar()
    inherit_cache = True


class json_numeric(GenericFunction[Any]):
    """(column, path, name) → the value as a number, or NULL."""

    type = Float()
    inherit_cache = True


class json_document(GenericFunction[Any]):
    """(column) → its whole value."""

    type = JsonScalar()
    inherit_cache = True


class json_text(GenericFunction[Any]):
    """(value) → text."""

    type = Text()
    inherit_cache = True


def _written_as(function: Any, dialect: str) -> Callable[[Callable[..., Any]], None]:
    """Have ``function`` compiled to what the decorated one makes of its arguments."""

    def register(rewrite: Callable[..., Any]) -> None:
        @compiles(function, dialect)
        def compile_(element: Any, compiler: Any, **more: Any) -> str:
            return str(compiler.process(rewrite(*element.clauses), **more))

    return register


@_written_as(json_member, "sqlite")
def _(column: Any, path: Any, name: Any) -> Any:
    return func.json_extract(column, path)


@_written_as(json_member, "postgresql")
def _(column: Any, path: Any, name: Any) -> Any:
    return _as_jsonb(column).op("->")(cast(name, Text))


@_written_as(json_numeric, "sqlite")
def _(column: Any, path: Any, name: Any) -> Any:
    kind = func.json_type(column, path)
    return case((kind.in_(("integer", "real", "true", "false")), func.json_extract(column, path)))


@_written_as(json_numeric, "postgresql")
def _(column: Any, path: Any, name: Any) -> Any:
    value = _as_jsonb(column).op("->")(cast(name, Text))
    kind, text = func.jsonb_typeof(value), _as_jsonb(column).op("->>")(cast(name, Text))
    is_true = case((text == literal_column("'true'"), literal_column("1.0")), else_=literal_column("0.0"))
    number = (kind == literal_column("'number'"), cast(text, Float))
    return case(number, (kind == literal_column("'boolean'"), is_true))


@_written_as(json_document, "sqlite")
def _(column: Any) -> Any:
    return func.json_extract(column, literal_column("'$'"))


@_written_as(json_document, "postgresql")
def _(column: Any) -> Any:
    return _as_jsonb(column)


@_written_as(json_text, "sqlite")
def _(value: Any) -> Any:
    return cast(value, Text)


@_written_as(json_text, "postgresql")
def _(value: Any) -> Any:
    return value.op("#>>")(literal_column("'{}'"))


def _as_jsonb(column: Any) -> Any:
    return cast(type_coerce(column, Text), postgresql.JSONB)
