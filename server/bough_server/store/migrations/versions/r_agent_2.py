"""Suspect attempts are looked for at each end: by an index."""

from __future__ import annotations

from alembic import op

revision = "agent_2"
down_revision = "records_cli_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(op.f("ix_attempts_suspect"), "attempts", ["suspect"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index(op.f("ix_attempts_suspect"), "attempts")
