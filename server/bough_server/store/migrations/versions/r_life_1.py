"""Generations, edits, retries, duplicates: the life of an optimization."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "life_1"
down_revision = "agent_2"
branch_labels = None
depends_on = None

_ONE = sa.text("1")
_NONE = sa.text("0")


def upgrade() -> None:
    """Make the tables and columns; what there is belongs to the first generation."""
    op.add_column("optimizations", sa.Column("generation", sa.Integer(), nullable=False, server_default=_ONE))
    op.add_column("optimizations", sa.Column("begun_at", sa.Float(), nullable=False, server_default=_NONE))
    op.add_column("optimizations", sa.Column("pruning", sa.Text(), nullable=True))
    op.add_column("optimizations", sa.Column("duplicates", sa.Text(), nullable=False, server_default="allow"))
    op.execute("UPDATE optimizations SET begun_at = created_at")
    _fill_pruning()
    op.add_column("jobs", sa.Column("generation", sa.Integer(), nullable=False, server_default=_ONE))
    op.add_column("jobs", sa.Column("again", sa.Integer(), nullable=False, server_default=_NONE))
    op.add_column("jobs", sa.Column("digest", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("reused_from", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("retries", sa.Integer(), nullable=False, server_default=_NONE))
    op.drop_index(op.f("ix_jobs_optimization_state_attempt"), table_name="jobs")
    counted = ["optimization", "generation", "state", "attempt", "reused_from"]
    op.create_index(op.f("ix_jobs_" + "_".join(counted)), "jobs", counted, unique=False)
    op.create_index(op.f("ix_jobs_optimization_digest"), "jobs", ["optimization", "digest"], unique=False)
    with op.batch_alter_table("history") as table:
        table.add_column(sa.Column("generation", sa.Integer(), nullable=False, server_default=_ONE))
        table.drop_constraint("uq_history_optimization_job", type_="unique")
        table.drop_constraint("fk_history_job", type_="foreignkey")
        table.create_index("ix_history_optimization_job", ["optimization", "job"], unique=False)
    _make_tables()


def _make_tables() -> None:
    op.create_table(
        "generations",
        sa.Column("optimization", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("begun_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("space_version", sa.Integer(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["optimization"], ["optimizations.id"], name=op.f("fk_generations_optimization")),
        sa.PrimaryKeyConstraint("optimization", "generation", name=op.f("pk_generations")),
    )
    op.create_table(
        "edits",
        sa.Column("optimization", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("from_ask", sa.Integer(), nullable=False),
        sa.Column("space_version", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=True),
        sa.Column("left_out", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["optimization"], ["optimizations.id"], name=op.f("fk_edits_optimization")),
        sa.PrimaryKeyConstraint("optimization", "number", name=op.f("pk_edits")),
    )


def _fill_pruning() -> None:
    """The rule of pruning moves from the definition into the optimization's row."""
    tx = op.get_bind()
    found = "SELECT o.id, r.definition FROM optimizations o JOIN model_revisions r ON r.model = o.model"
    for its_id, text in tx.execute(sa.text(found + " AND r.number = o.revision")).all():
        rule = pruning_of(json.loads(text))
        if rule is not None:
            change = sa.text("UPDATE optimizations SET pruning = :rule WHERE id = :its_id")
            tx.execute(change, {"rule": json.dumps(rule), "its_id": its_id})


_PRUNING = {"median": {"min_trials": 5, "min_epochs": 1}, "asha": {"reduction": 3, "min_epochs": 1}}  # as of then


def pruning_of(raw: dict[str, Any]) -> dict[str, Any] | None:
    """Return the rule that a definition of that time says, with all its numbers."""
    written = (raw.get("optimization") or {}).get("pruning")
    if written is None:
        return None
    name, numbers = (written, None) if isinstance(written, str) else next(iter(written.items()))
    return {"rule": name, **_PRUNING[name], **(numbers or {})}
