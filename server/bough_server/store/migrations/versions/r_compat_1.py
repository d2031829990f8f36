"""Which jobs ran without an agent and were brought here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "compat_1"
down_revision = "surface_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "recorded",
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_recorded_job")),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_recorded")),
    )
