"""Models: what they are by now, their numbered revisions, and how one is made or edited without a commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from bough import definition
from bough.definition import yaml_text
from bough.errors import DefinitionError, NotFound
from bough_server.service.definitions import parse
from bough_server.store import sight
from bough_server.store.schema import jobs, model_revisions, models, optimizations


def page(tx: Connection, limit: int, offset: int) -> dict[str, Any]:
    """Return one page of all models, by name, with how many optimizations and jobs each has."""
    mine = sight.visible(models.c.id)
    found = select(models).where(mine).order_by(models.c.id).limit(limit).offset(offset)
    rows = [_summary(tx, row["id"]) for row in tx.execute(found).mappings()]
    total = tx.execute(select(func.count()).select_from(models).where(mine)).scalar_one()
    return {"rows": rows, "total": total}


def one(tx: Connection, model: str) -> dict[str, Any]:
    """Return a model with its newest definition, as data and as text, its revisions and the commits it ran with.

    Raises:
        NotFound: There is no such model.
    """
    shown = _summary(tx, model)
    revisions = _revisions(tx, model)
    newest = revision(tx, model, shown["revision"]) if revisions else None
    return {**shown, "newest": newest, "revisions": revisions, "commits": _commits(tx, model)}


def revision(tx: Connection, model: str, number: int) -> dict[str, Any]:
    """Return ``{"number", "created_at", "created_by", "definition", "text"}`` of a revision; text is its bough.yml.

    Raises:
        NotFound: The model has no such revision.
    """
    mine = (model_revisions.c.model == model) & (model_revisions.c.number == number)
    row = tx.execute(select(model_revisions).where(mine)).mappings().first()
    if row is None:
        raise NotFound(f"model {model} has no revision {number}.", "See its page for those it has.")
    shown = {name: row[name] for name in ("number", "created_at", "created_by", "definition")}
    return {**shown, "text": definition.dumps(row["definition"])}


def checked(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a definition says that is being written, as data or as the text of a bough.yml.

    Returns:
        ``{"definition", "text", "error"}``. Where something is wrong, ``error`` is ``{"line", "at", "what",
        "remedy"}``, ``at`` being the keys down to it; ``definition`` is then what could be read, or None.
    """
    text, raw = body.get("text"), body.get("definition")
    try:
        if isinstance(text, str):
            raw = None
            raw, _ = yaml_text.read(text, "bough.yml")
            raw = definition.loads(text).raw
        else:
            text = definition.dumps(shortened(raw)) if isinstance(raw, dict) else None
            parse(raw)
    except DefinitionError as error:
        told = {"line": error.line, "at": list(error.at), "what": error.what, "remedy": error.do}
        return {"definition": raw if isinstance(raw, dict) else None, "text": text, "error": told}
    return {"definition": raw, "text": text, "error": None}


def shortened(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a definition whose decimals are written in short where that says the same.

    JavaScript has one kind of number: a page that means ``x: 0.0`` says ``{type: number, integer: false, default: 0}``.
    """
    return {**raw, "hyperparameters": _short(raw["hyperparameters"])} if "hyperparameters" in raw else raw


def _short(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node.get("type") != "number":
        return {name: _short(child) for name, child in node.items()}
    default = node.get("default")
    if node.get("integer") is not False or isinstance(default, bool) or not isinstance(default, int | float):
        return node
    return float(default) if len(node) == 3 else {**node, "default": float(default)}


def _summary(tx: Connection, model: str) -> dict[str, Any]:
    row = tx.execute(select(models).where(models.c.id == model)).mappings().first()
    if row is None:
        raise NotFound(f"there is no model {model}.", "See the list of models.")
    newest = select(func.max(model_revisions.c.number)).where(model_revisions.c.model == model)
    runs = select(func.count(), func.max(jobs.c.created_at)).where(jobs.c.model == model)
    count, last = tx.execute(runs).one()
    searches = select(func.count()).select_from(optimizations).where(optimizations.c.model == model)
    return {
        "id": model,
        "owner": row["owner"],
        "created_at": row["created_at"],
        "revision": tx.execute(newest).scalar_one(),
        "jobs": count,
        "optimizations": tx.execute(searches).scalar_one(),
        "last_job_at": last,
        "repository": f"/git/{model}.git",
    }


def _revisions(tx: Connection, model: str) -> list[dict[str, Any]]:
    shown = (model_revisions.c.number, model_revisions.c.created_at, model_revisions.c.created_by)
    found = select(*shown).where(model_revisions.c.model == model).order_by(model_revisions.c.number.desc())
    return [dict(row) for row in tx.execute(found).mappings()]


def _commits(tx: Connection, model: str) -> list[dict[str, Any]]:
    """Which commits its jobs ran with, the newest use first."""
    used = func.max(jobs.c.created_at).label("used_at")
    found = select(jobs.c.commit, jobs.c.folder, func.count().label("jobs"), used, func.max(jobs.c.id).label("job"))
    found = found.where(jobs.c.model == model).group_by(jobs.c.commit, jobs.c.folder).order_by(used.desc()).limit(50)
    rows = [dict(row) for row in tx.execute(found).mappings()]
    sources = dict(tx.execute(select(jobs.c.id, jobs.c.source).where(jobs.c.id.in_([r["job"] for r in rows]))).all())
    return [{**{k: v for k, v in row.items() if k != "job"}, "source": sources[row["job"]]} for row in rows]
