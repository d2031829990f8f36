"""Environments: interpreter and packages of attempts, each kept once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "records_cli_1"
down_revision = "agent_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "environments",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_environments")),
    )
