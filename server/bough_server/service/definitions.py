"""The one place that knows how a bough.yml, come as JSON, is read and becomes a numbered revision of its model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select

from bough import definition
from bough.errors import UsageError
from bough_server.service import quotas
from bough_server.store.dialects import upsert
from bough_server.store.schema import model_revisions, models


def parse(mapping: Any) -> definition.Definition:
    """Return the definition that ``mapping`` holds; raise `DefinitionError` with a sentence for whatever is wrong."""
    if not isinstance(mapping, dict):
        raise UsageError("the definition is no mapping.", "Send the contents of a bough.yml as JSON.")
    return definition.parse(mapping)


def commands_of(found: definition.Definition) -> list[dict[str, Any]]:
    """Return the commands as a claim carries them."""
    return [{"name": command.name, "argv": list(command.argv)} for command in found.commands]


def revise(tx: Connection, found: definition.Definition, now: float, key_id: str) -> int:
    """Return the number of the model's revision that is this definition, made now if it is new."""
    owner = found.model.partition("/")[0]
    upsert(tx, models, [{"id": found.model, "owner": owner, "created_at": now}])
    digest = digest_of(found.raw)
    mine = model_revisions.c.model == found.model
    known = select(model_revisions.c.number).where(mine, model_revisions.c.digest == digest)
    number = tx.execute(known.order_by(model_revisions.c.number.desc()).limit(1)).scalar_one_or_none()
    if number is not None:
        return int(number)
    quotas.of_revisions(tx, found.model)
    number = (tx.execute(select(func.max(model_revisions.c.number)).where(mine)).scalar_one() or 0) + 1
    row = {"model": found.model, "number": number, "digest": digest, "definition": found.raw}
    tx.execute(insert(model_revisions), {**row, "created_at": now, "created_by": key_id})
    return int(number)


def of_revision(tx: Connection, model: str, number: int) -> definition.Definition:
    """Return the definition that is that revision."""
    return parse(tx.execute(_REVISION, {"its_model": model, "its_number": number}).scalar_one())


def output_of(tx: Connection, model: str, number: int) -> list[str]:
    """Return which files a job of that revision hands in at its end, without reading the rest of the definition."""
    raw = tx.execute(_REVISION, {"its_model": model, "its_number": number}).scalar_one()
    written = raw.get("output") or []
    return [written] if isinstance(written, str) else list(written)


_REVISION = select(model_revisions.c.definition).where(
    model_revisions.c.model == bindparam("its_model"), model_revisions.c.number == bindparam("its_number")
)


def digest_of(value: Mapping[str, Any]) -> str:
    """Return a name for this JSON value: equal for equal ones, whatever the order of their keys."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
