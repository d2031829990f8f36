"""An index to count an optimization's trials by state without reading their rows."""

from __future__ import annotations

from alembic import op

revision = "math_1"
down_revision = "page_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        op.f("ix_jobs_optimization_state_attempt"), "jobs", ["optimization", "state", "attempt"], unique=False
    )
