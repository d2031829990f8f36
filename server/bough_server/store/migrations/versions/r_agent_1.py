"""What jobs need and agents have; what they use; slots edited live; quarantine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "agent_1"
down_revision = "math_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("channels", sa.Column("system", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table in ("optimizations", "jobs"):
        op.add_column(table, sa.Column("needs", sa.Text(), nullable=True))
    op.add_column("agents", sa.Column("offers", sa.Text(), nullable=True))
    op.add_column("agents", sa.Column("slots_set", sa.Integer(), nullable=True))
    op.add_column("agents", sa.Column("quarantine", sa.Text(), nullable=True))
    op.add_column("agents", sa.Column("trusted_at", sa.Float(), nullable=True))
    op.add_column("attempts", sa.Column("suspect", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "agent_usage",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("step_s", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["agent"], ["agents.id"], name=op.f("fk_agent_usage_agent")),
        sa.PrimaryKeyConstraint("agent", "step_s", "at", name=op.f("pk_agent_usage")),
    )


def downgrade() -> None:
    """Take them away."""
    op.drop_table("agent_usage")
    op.drop_column("attempts", "suspect")
    for name in ("trusted_at", "quarantine", "slots_set", "offers"):
        op.drop_column("agents", name)
    for table in ("jobs", "optimizations"):
        op.drop_column(table, "needs")
    op.drop_column("channels", "system")
