"""Backups: one folder that holds all of a coordinator, made while it runs, and a new home made from it.

::

    backup.json     version, when, where the store was
    store.db        the store as a SQLite file, whatever database it is kept in
    git/            the repositories: refs first, then objects, so that every ref has its objects
    contents/       files by their hash, where there are any
    admin.key …     keys and certificates

A coordinator that was restored knows less than its agents: what they shipped since the backup is shipped again,
because it acknowledges less; what they claimed since then is not known any more, is ended there, and runs again under
attempt numbers that were never given out (`bough_server.service.restored`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bough.errors import Conflict, NotFound, UsageError
from bough.version import __version__
from bough_server.config import Config
from bough_server.service import check, restored
from bough_server.service.clock import Clock
from bough_server.service.keys import write_secret
from bough_server.store import copying
from bough_server.store.database import Database, backend_of

ABOUT, STORE = "backup.json", "store.db"
SECRETS = ("admin.key", "session.key", "tls.key", "tls.pem")
FOLDERS = ("git", "contents")
_PASSING = ("*.lock", "tmp_*", ".new-*", "fast_import_crash_*")

Say = Callable[[str], None]


def back_up(config: Config, target: Path, clock: Clock, say: Say = lambda line: None) -> Path:
    """Copy everything of a coordinator into a new folder, whether it runs or not. Returns the folder.

    Raises:
        NotFound: There is no coordinator in that home.
        Conflict: The folder is there and is not empty.
        BoughError: The store cannot be read.
    """
    if config.database_url is None and not config.database.exists():
        raise NotFound(f"{config.home} holds no coordinator.", "Name its folder: --home.")
    if target.exists() and any(target.iterdir()):
        raise Conflict(f"{target} is not empty.", "Name a new folder.")
    before = os.umask(0o077)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _copy_store(config, target / STORE)
        say("the store is copied")
        for name in FOLDERS:
            if (config.home / name).is_dir():
                _copy_tree(config.home / name, target / name)
        for name in SECRETS:
            if (config.home / name).is_file():
                shutil.copyfile(config.home / name, target / name)
        about = {"version": __version__, "at": clock.now(), "store": str(backend_name(config))}
        write_secret(target / ABOUT, json.dumps(about) + "\n")  # last: a folder without it is no backup
    finally:
        os.umask(before)
    return target


def restore(source: Path, config: Config, clock: Clock) -> dict[str, Any]:
    """Make a coordinator's home, and its store, from a backup. Returns what is known of the backup.

    Raises:
        UsageError: The folder is no backup.
        Conflict: The home or the database holds something already.
    """
    about = read_about(source)
    if config.home.exists() and any(config.home.iterdir()):
        raise Conflict(f"{config.home} is not empty.", "Restore into a new folder: --home.")
    before = os.umask(0o077)
    try:
        config.home.mkdir(parents=True, exist_ok=True)
        _fill_store(source / STORE, config, clock.now())
        for name in FOLDERS:
            if (source / name).is_dir():
                _copy_tree(source / name, config.home / name)
        for name in SECRETS:
            if (source / name).is_file():
                write_secret(config.home / name, (source / name).read_text())
    finally:
        os.umask(before)
    return about


def read_about(source: Path) -> dict[str, Any]:
    """Return what a backup says of itself; raise `UsageError` if it is none."""
    try:
        about = json.loads((source / ABOUT).read_text())
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or not (source / STORE).is_file():
        raise UsageError(f"{source} is no backup, or one that was not finished.", "Name a folder that backup made.")
    return about


def violations(config: Config) -> list[str]:
    """Return a sentence for everything that must not be in the store of that home, whether its coordinator runs or not.

    Raises:
        NotFound: There is none.
    """
    if config.database_url is None and not config.database.exists():
        raise NotFound(f"{config.home} holds no coordinator.", "Name its folder: --home.")
    with tempfile.TemporaryDirectory(prefix="bough-check-") as folder:
        copy = Path(folder) / STORE
        if config.database_url is None:  # a file that is in use is looked at in a copy
            copying.snapshot_file(config.database, copy)
        store = Database.open(copy if config.database_url is None else config.store)
        try:
            return store.read_sync(check.violations)
        finally:
            store.close()


def backend_name(config: Config) -> str:
    """Return where the store is, without a password."""
    return "postgresql" if config.database_url else "sqlite"


def _copy_store(config: Config, target: Path) -> None:
    if config.database_url is None:
        copying.snapshot_file(config.database, target)
        return
    store = Database.open(config.store)
    try:
        copying.snapshot(store, target)
    finally:
        store.close()


def _fill_store(source: Path, config: Config, now: float) -> None:
    """Put a copy of the snapshot in place, up to date and marked as restored."""
    if config.database_url is None:
        shutil.copyfile(source, config.database)
        store = Database.open(config.database)
        try:
            store.write_sync(lambda tx: restored.mark(tx, now))
        finally:
            store.close()
        return
    backend_of(config.store)  # a wrong address is told before anything is copied
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=config.home) as folder:
        copy = Path(folder) / STORE
        shutil.copyfile(source, copy)
        old, new = Database.open(copy), Database.open(config.store)
        try:
            old.read_sync(lambda rows: new.write_sync(lambda tx: copying.copy_rows(rows, tx)))
            new.write_sync(lambda tx: restored.mark(tx, now))
        finally:
            old.close()
            new.close()


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a folder that may grow meanwhile; in a repository, refs before the objects that they name."""
    objects = []
    for folder, names, files in os.walk(source):
        here = Path(folder)
        if here.suffix == ".git" and "objects" in names:
            names.remove("objects")
            objects.append(here / "objects")
        _copy_files(here, target / here.relative_to(source), files)
    for folder_ in objects:
        for folder, _, files in os.walk(folder_):
            _copy_files(Path(folder), target / Path(folder).relative_to(source), files)


def _copy_files(source: Path, target: Path, files: list[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in files:
        if any(Path(name).match(pattern) for pattern in _PASSING) or (source / name).is_symlink():
            continue
        try:
            shutil.copy(source / name, target / name)
        except FileNotFoundError:  # a passing file, gone since it was listed
            continue
