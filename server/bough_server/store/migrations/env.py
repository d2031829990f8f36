"""Alembic's entry: runs the revisions on the connection that `store.migrate` hands in."""

from __future__ import annotations

from alembic import context

from bough_server.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
