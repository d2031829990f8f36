"""An index that has the best trial first: it is shown with every change, to everyone who watches."""

from __future__ import annotations

from alembic import op

revision = "search_2"
down_revision = "search_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    columns = ["optimization", "generation", "state", "kpi"]
    op.create_index(op.f("ix_jobs_" + "_".join(columns)), "jobs", columns, unique=False)
