"""What people mark jobs with: a star, tags, a note; and the views they keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from bough.errors import NotFound, UsageError
from bough_server.service.changes import Changes
from bough_server.store import reads
from bough_server.store.dialects import upsert
from bough_server.store.schema import job_marks, saved_views

MAX_TAGS, MAX_TAG, MAX_NOTE = 20, 60, 10_000
MAX_VIEWS, MAX_NAME, MAX_ADDRESS = 200, 100, 8000
_NONE: Mapping[str, Any] = {"star": False, "tags": [], "note": ""}


def of(tx: Connection, job_id: str) -> dict[str, Any]:
    """Return ``{"star", "tags", "note"}`` of that job."""
    found = select(job_marks.c.star, job_marks.c.tags, job_marks.c.note).where(job_marks.c.job == job_id)
    row = tx.execute(found).mappings().first()
    return dict(_NONE if row is None else row)


def mark(tx: Connection, job_id: str, body: Mapping[str, Any], now: float, key_id: str, changes: Changes) -> str:
    """Change those of star, tags and note that ``body`` names, and return the job's full id.

    Raises:
        NotFound: There is no such job.
        UsageError: A value is of the wrong kind or too long.
    """
    job = reads.job(tx, job_id)
    row = {**of(tx, job["id"]), **_read(body), "job": job["id"], "changed_at": now, "changed_by": key_id}
    upsert(tx, job_marks, [row], replace=("star", "tags", "note", "changed_at", "changed_by"))
    changes.of_job(job)
    changes.models.add(job["model"])
    return str(job["id"])


def _read(body: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(body) - set(_NONE)
    if unknown:
        raise UsageError(f"{sorted(unknown)[0]!r} marks nothing.", "Send star, tags or note.")
    told = dict(body)
    if "star" in told and not isinstance(told["star"], bool):
        raise UsageError("star is neither true nor false.", 'Send {"star": true}.')
    if "note" in told and (not isinstance(told["note"], str) or len(told["note"]) > MAX_NOTE):
        raise UsageError(f"the note is no text of up to {MAX_NOTE} characters.", "Shorten it.")
    if "tags" in told:
        told["tags"] = _tags(told["tags"])
    return told


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError("tags are no list of texts.", 'Send {"tags": ["good"]}.')
    tags = sorted({one.strip() for one in value if one.strip()})
    if len(tags) > MAX_TAGS or any(len(one) > MAX_TAG for one in tags):
        raise UsageError(f"a job has up to {MAX_TAGS} tags of up to {MAX_TAG} characters.", "Leave some out.")
    return tags


def views_of(tx: Connection, user: str) -> list[dict[str, Any]]:
    """Return the views that this user keeps, by name: ``{"id", "name", "address", "created_at"}``."""
    shown = (saved_views.c.id, saved_views.c.name, saved_views.c.address, saved_views.c.created_at)
    found = select(*shown).where(saved_views.c.user == user).order_by(saved_views.c.name)
    return [dict(row) for row in tx.execute(found).mappings()]


def keep_view(tx: Connection, user: str, body: Mapping[str, Any], now: float, new_id: Callable[[], str]) -> str:
    """Keep a view under a name, in place of the one of that name; return its id.

    Raises:
        UsageError: The name or address is missing or too long, or there are too many.
    """
    name, address = _text(body, "name", MAX_NAME), _text(body, "address", MAX_ADDRESS)
    if not address.startswith("#/"):
        raise UsageError("the address of a view begins with #/.", "Send what stands behind the page's address.")
    mine = (saved_views.c.user == user) & (saved_views.c.name == name)
    known = tx.execute(select(saved_views.c.id).where(mine)).scalar_one_or_none()
    if known is not None:
        tx.execute(update(saved_views).where(mine).values(address=address))
        return str(known)
    if len(views_of(tx, user)) >= MAX_VIEWS:
        raise UsageError(f"{MAX_VIEWS} views are kept already.", "Delete some.")
    row = {"id": new_id(), "user": user, "name": name, "address": address, "created_at": now}
    tx.execute(insert(saved_views), row)
    return str(row["id"])


def drop_view(tx: Connection, user: str, view_id: str) -> None:
    """Delete one of this user's views.

    Raises:
        NotFound: This user has no such view.
    """
    mine = (saved_views.c.user == user) & (saved_views.c.id == view_id)
    if not tx.execute(delete(saved_views).where(mine)).rowcount:
        raise NotFound(f"there is no view {view_id}.", "It may have been deleted already.")


def _text(body: Mapping[str, Any], name: str, most: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise UsageError(f"{name} is no text of 1 to {most} characters.", f"Send {name}.")
    return value.strip()
