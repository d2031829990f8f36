"""Indexes that make what each claim and each end asks about the trials cheap, however many are over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "search_1"
down_revision = "math_2"
branch_labels = None
depends_on = None

_COUNTED = ["attempt", "reused_from", "partial"]
_BEFORE = (["optimization", "number"], ["optimization", "generation", "state", *_COUNTED])
_AFTER = (["optimization", "generation", "number"], ["optimization", "state", "generation", *_COUNTED])


def upgrade() -> None:
    """Make the indexes anew."""
    for columns in _BEFORE:
        op.drop_index(op.f("ix_jobs_" + "_".join(columns)), table_name="jobs")
    for columns in _AFTER:
        op.create_index(op.f("ix_jobs_" + "_".join(columns)), "jobs", columns, unique=False)
    unrecorded = sa.text("record IS NULL")
    op.create_index(
        op.f("ix_jobs_state_ended_at"),
        "jobs",
        ["state", "ended_at"],
        unique=False,
        sqlite_where=unrecorded,
        postgresql_where=unrecorded,
    )
