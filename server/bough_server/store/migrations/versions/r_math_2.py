"""The index by which trials are counted holds all of it again: also whether an ended one lacks its data."""

from __future__ import annotations

from alembic import op

revision = "math_2"
down_revision = "compat_1"
branch_labels = None
depends_on = None

_BEFORE = ["optimization", "generation", "state", "attempt", "reused_from"]


def upgrade() -> None:
    """Make the index anew."""
    op.drop_index(op.f("ix_jobs_" + "_".join(_BEFORE)), table_name="jobs")
    counted = [*_BEFORE, "partial"]
    op.create_index(op.f("ix_jobs_" + "_".join(counted)), "jobs", counted, unique=False)
