"""Files that jobs hand in, documents, and calls of actions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "surface_1"
down_revision = "page_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "job_files",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        _of_attempt("job_files"),
        sa.PrimaryKeyConstraint("job", "attempt", "path", name=op.f("pk_job_files")),
    )
    op.create_index(op.f("ix_job_files_sha256"), "job_files", ["sha256"], unique=False)
    op.create_table(
        "contents",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_contents")),
    )
    op.create_table(
        "refused_contents",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _of_attempt("refused_contents"),
        sa.PrimaryKeyConstraint("job", "attempt", "sha256", name=op.f("pk_refused_contents")),
    )
    op.create_table(
        "documents",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        _of_attempt("documents"),
        sa.PrimaryKeyConstraint("job", "attempt", "kind", "name", name=op.f("pk_documents")),
    )
    op.create_table(
        "action_calls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.Float(), nullable=True),
        _of_attempt("action_calls"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_action_calls")),
    )
    op.create_index(op.f("ix_action_calls_job_attempt"), "action_calls", ["job", "attempt"], unique=False)


def _of_attempt(table: str) -> sa.ForeignKeyConstraint:
    columns, attempts = ["job", "attempt"], ["attempts.job", "attempts.attempt"]
    return sa.ForeignKeyConstraint(columns, attempts, name=op.f(f"fk_{table}_job_attempt"))
