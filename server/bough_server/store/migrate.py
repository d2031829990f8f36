"""Bringing a store's tables up to date when it is opened."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bough.errors import UsageError

_SCRIPTS = Path(__file__).parent / "migrations"


def configuration() -> Config:
    """Return Alembic's configuration for the migrations that are installed with this package."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def upgrade(connection: Connection) -> None:
    """Apply what is missing, in the transaction of ``connection``.

    Raises:
        UsageError: The store was made by a newer version.
    """
    config = configuration()
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise UsageError(f"the store is of a newer version (revision {current}).", "Install that version of bough.")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
