"""The table of jobs that people make: any columns, any order, any filter, in SQL.

A filter is a list of conditions ``[column, operator, value]``, all of which must hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, and_, false, func, not_, or_, select, type_coerce

from bough.errors import UsageError
from bough_server.service import columns
from bough_server.service.columns import Column, as_number, as_text
from bough_server.service.export import counted, iso
from bough_server.service.views import in_generation
from bough_server.store import reads, sight
from bough_server.store.schema import job_marks, jobs

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "contains", "lacks", "in", "empty", "given")
MAX_ROWS = 1000  # of one page
MAX_CONDITIONS = 50
_BLOCK = 500  # rows that are read at once for a file
_WHOLE = ("number", "epochs", "kpi_best_x")


@dataclass(frozen=True)
class Request:
    """What is to be shown.

    Args:
        optimization: Only trials of this one; its id or the beginning of it. Without a condition on ``generation``,
            only of its newest one.
        model: Only jobs of this model.
        manual: Only jobs started by hand (True), only trials (False), or both (None).
        columns: Names, in their order; empty for the usual ones.
        where: Conditions ``[column, operator, value]``.
        sort: Names of columns, the first one decides; with a leading "-" from high to low.
    """

    optimization: str | None = None
    model: str | None = None
    manual: bool | None = None
    columns: Sequence[str] = ()
    where: Sequence[Any] = field(default_factory=list)
    sort: Sequence[str] = ()


def page(tx: Connection, asked: Request, limit: int, offset: int) -> dict[str, Any]:
    """Return ``{"columns": [{"name", "kind"}], "rows": [{"id", "star", "cells": […]}], "total"}``.

    Raises:
        UsageError: A column, operator or value of the request is none.
    """
    where = _selected(tx, asked)
    shown = _shown(tx, asked)
    total = tx.execute(select(func.count()).select_from(jobs).where(*where)).scalar_one()
    rows = list(_read(tx, asked, where, shown, min(limit, MAX_ROWS), offset))
    starred = _starred(tx, [job_id for job_id, _ in rows])
    return {
        "columns": [{"name": column.name, "kind": column.kind} for column in shown],
        "rows": [{"id": job_id, "star": job_id in starred, "cells": cells} for job_id, cells in rows],
        "total": total,
    }


def available(tx: Connection, asked: Request) -> list[dict[str, Any]]:
    """Return every column that the jobs of this scope have something for; see `columns.known`."""
    return columns.known(tx, _scope(tx, asked))


def file(tx: Connection, asked: Request) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Return the names of the columns and all rows, as the file of exactly what is shown; times are ISO 8601."""
    where, shown = _selected(tx, asked), _shown(tx, asked)
    return [column.name for column in shown], iter(list(_for_file(tx, asked, where, shown)))


def _for_file(
    tx: Connection, asked: Request, where: list[ColumnElement[bool]], shown: list[Column]
) -> Iterator[dict[str, Any]]:
    for _, cells in _read(tx, asked, where, shown, None, 0):
        row = dict(zip((column.name for column in shown), cells, strict=True))
        row |= {column.name: iso(row[column.name]) for column in shown if column.kind == columns.TIME}
        yield row | {name: counted(row[name]) for name in _WHOLE if isinstance(row.get(name), float)}


def _read(
    tx: Connection,
    asked: Request,
    where: list[ColumnElement[bool]],
    shown: list[Column],
    limit: int | None,
    offset: int,
) -> Iterator[tuple[str, list[Any]]]:
    """Only what is ordered by is computed for all rows; the cells, for those on the page."""
    order = [_order(tx, name) for name in asked.sort] or [jobs.c.created_at.desc()]
    ids = select(jobs.c.id).where(*where).order_by(*order, jobs.c.number, jobs.c.id).limit(limit).offset(offset)
    wanted = list(tx.execute(ids).scalars())
    for start in range(0, len(wanted), _BLOCK):
        block = wanted[start : start + _BLOCK]
        found = _cells(tx, block, shown)
        yield from ((job_id, found[job_id]) for job_id in block)


def _starred(tx: Connection, ids: list[str]) -> set[str]:
    return set(tx.execute(select(job_marks.c.job).where(job_marks.c.job.in_(ids), job_marks.c.star)).scalars())


def _cells(tx: Connection, ids: list[str], shown: list[Column]) -> dict[str, list[Any]]:
    rows = {row["id"]: dict(row) for row in tx.execute(select(jobs).where(jobs.c.id.in_(ids))).mappings()}
    names = [column.name for column in shown]
    last = _last(tx, rows) if any(name.startswith("channel.") for name in names) else {}
    told = {job_id: reads.infos(tx, job_id) for job_id in ids} if any(n.startswith("info.") for n in names) else {}
    plain = [column for column in shown if column.name in columns.FIXED]
    fixed = select(jobs.c.id, *(column.value.label(column.name) for column in plain)).where(jobs.c.id.in_(ids))
    known = {row["id"]: dict(row) for row in tx.execute(fixed).mappings()}
    return {
        job_id: [
            _cell(name, known[job_id], row["values"] or {}, last.get(job_id, {}), told.get(job_id, {}))
            for name in names
        ]
        for job_id, row in rows.items()
    }


def _last(tx: Connection, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return reads.last_values(tx, [(job_id, row["attempt"]) for job_id, row in rows.items()])


def _cell(
    name: str,
    fixed: Mapping[str, Any],
    values: Mapping[str, Any],
    last: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Any:
    prefix, _, rest = name.partition(".")
    if rest and prefix in ("p", "channel", "info"):
        return {"p": values, "channel": last, "info": told}[prefix].get(rest)
    return fixed[name]


def _scope(tx: Connection, asked: Request) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [sight.visible(jobs.c.model)]
    if asked.optimization is not None:
        row = reads.optimization(tx, asked.optimization)
        is_any = any(isinstance(one, list) and one and one[0] == "generation" for one in asked.where)
        where.append(jobs.c.optimization == row["id"] if is_any else in_generation(row))
    if asked.model is not None:
        where.append(jobs.c.model == asked.model)
    if asked.manual is not None:
        where.append(jobs.c.optimization.is_(None) if asked.manual else jobs.c.optimization.is_not(None))
    return where


def _selected(tx: Connection, asked: Request) -> list[ColumnElement[bool]]:
    if len(asked.where) > MAX_CONDITIONS:
        raise UsageError(f"a filter has at most {MAX_CONDITIONS} conditions.", "Leave some out.")
    return _scope(tx, asked) + [_condition(tx, one) for one in asked.where]


def _shown(tx: Connection, asked: Request) -> list[Column]:
    if asked.columns:
        return [columns.column(tx, name) for name in asked.columns]
    usual = [one["name"] for one in available(tx, asked) if one["main"] or one["name"].startswith("p.")]
    return [columns.column(tx, name) for name in usual]


def _order(tx: Connection, name: str) -> ColumnElement[Any]:
    value = columns.column(tx, name.removeprefix("-")).value
    return (value.desc() if name.startswith("-") else value.asc()).nulls_last()


def _condition(tx: Connection, one: Any) -> ColumnElement[bool]:
    if not isinstance(one, list) or len(one) not in (2, 3) or not isinstance(one[0], str):
        raise UsageError(f"{str(one)[:100]} is no condition.", 'Send ["p.lr", ">", 0.1].')
    name, operator, value = one[0], one[1], one[2] if len(one) == 3 else None
    if operator not in OPERATORS:
        raise UsageError(f"{str(operator)[:20]} is no operator.", f"There are: {', '.join(OPERATORS)}.")
    if name == "tags":
        return _tagged(operator, value)
    return _compared(columns.column(tx, name), operator, value)


def _compared(column: Column, operator: str, value: Any) -> ColumnElement[bool]:
    if operator in ("empty", "given"):
        is_empty = column.value.is_(None)
        return is_empty if operator == "empty" else not_(is_empty)
    if operator in ("contains", "lacks"):
        found = as_text(column).contains(str(value).lower(), autoescape=True)
        return found if operator == "contains" else or_(not_(found), column.value.is_(None))
    if operator == "in":
        several = value if isinstance(value, list) else str(value).split(",")
        return or_(false(), *(_compared(column, "=", one) for one in several))
    if operator in ("=", "!=") and column.name == "star":
        wanted = _truth(value)
        is_set = func.coalesce(column.value, False).is_(wanted)
        return is_set if operator == "=" else not_(is_set)
    return _ordered(column, operator, value)


def _ordered(column: Column, operator: str, value: Any) -> ColumnElement[bool]:
    number = _number(value)
    if number is None and (operator not in ("=", "!=") or column.kind in (columns.NUMBER, columns.TIME)):
        raise UsageError(f"{column.name} {operator} {str(value)[:50]!r} compares no number.", "Write a number.")
    left, right = (as_text(column), str(value).lower()) if number is None else (as_number(column), number)
    if operator == "=":
        return left == right
    if operator == "!=":
        return or_(left != right, column.value.is_(None))
    compared = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return and_(column.value.is_not(None), compared[operator])


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _truth(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes")


def _tagged(operator: str, value: Any) -> ColumnElement[bool]:
    """A tag is a whole text in a JSON list: its quotes tell it from the beginning of another."""
    tags = type_coerce(job_marks.c.tags, Text)
    mine = select(job_marks.c.job).where(job_marks.c.job == jobs.c.id)
    if operator in ("empty", "given"):
        any_tag = mine.where(tags != "[]").exists()
        return any_tag if operator == "given" else not_(any_tag)
    several = value if isinstance(value, list) else [value]
    quoted = [msgspec.json.encode(str(one)).decode() for one in several]
    found = or_(false(), *(mine.where(tags.contains(one, autoescape=True)).exists() for one in quoted))
    return not_(found) if operator in ("!=", "lacks") else found
