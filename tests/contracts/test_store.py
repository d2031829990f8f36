"""What every store promises, whatever database is behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text, update

from bough.errors import BoughError, Conflict, Unavailable, UsageError
from bough_server.store import migrate, schema
from bough_server.store.database import Database


class StoreContract:
    """A backend's test class inherits this and provides the fixture ``store``."""

    def test_what_was_written_is_read(self, store: Database) -> None:
        store.write_sync(lambda tx: add(tx, "me/a"))

        assert store.read_sync(count) == 1

    def test_a_function_that_raises_leaves_nothing_behind(self, store: Database) -> None:
        def work(tx: Connection) -> None:
            add(tx, "me/a")
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            store.write_sync(work)

        assert store.read_sync(count) == 0

    def test_a_neighbour_that_raises_takes_nothing_along(self, store: Database) -> None:
        """Functions that wait at the same time share a transaction; each has a savepoint of its own."""
        goes_on = threading.Event()
        store._submit(lambda tx: goes_on.wait(10))
        futures = [store._submit(lambda tx, i=i: add(tx, f"me/{i % 7}")) for i in range(14)]  # type: ignore[misc]
        goes_on.set()

        failed = [future.exception(10) is not None for future in futures]

        assert failed == [False] * 7 + [True] * 7
        assert store.read_sync(count) == 7

    def test_a_reader_cannot_write(self, store: Database) -> None:
        with pytest.raises(BoughError, match="cannot be written"):
            store.read_sync(lambda tx: add(tx, "me/a"))

        assert store.read_sync(count) == 0

    def test_a_reader_sees_one_state_while_others_write(self, store: Database) -> None:
        def work(tx: Connection) -> tuple[int, int]:
            before = count(tx)
            store.write_sync(lambda other: add(other, "me/a"))
            return before, count(tx)

        assert store.read_sync(work) == (0, 0)
        assert store.read_sync(count) == 1

    def test_a_reader_that_raised_in_the_middle_is_not_stuck_in_the_past(self, store: Database) -> None:
        """A cursor that a traceback keeps alive would hold its connection at that moment for ever."""
        store.write_sync(lambda tx: [add(tx, f"me/{n}") for n in range(3)])
        kept: list[object] = []

        def breaks_off(tx: Connection) -> None:
            cursor = tx.execute(select(schema.models))
            kept.append(cursor)
            cursor.fetchone()
            raise ValueError("in the middle")

        for _ in range(8):  # every pooled reader
            with pytest.raises(ValueError, match="in the middle"):
                store.read_sync(breaks_off)
        store.write_sync(lambda tx: add(tx, "me/late"))

        assert {store.read_sync(count) for _ in range(8)} == {4}

    def test_a_job_of_no_model_is_refused(self, store: Database) -> None:
        with pytest.raises(Exception, match=r"(?i)foreign key"):
            store.write_sync(lambda tx: tx.execute(insert(schema.space_versions), SPACE).rowcount)

    def test_a_closed_store_says_that_it_is_closed(self, store: Database) -> None:
        store.close()

        with pytest.raises(Unavailable, match="the coordinator is stopping"):
            store.write_sync(count)

    def test_the_tables_are_those_that_the_migrations_make(self, store: Database) -> None:
        def differences(tx: Connection) -> object:
            return compare_metadata(MigrationContext.configure(tx, opts={"compare_type": False}), schema.metadata)

        assert store.read_sync(differences) == []


SPACE = {"optimization": "none", "version": 1, "space": {}, "fixed": {}, "created_at": 1.0}


def add(tx: Connection, model: str) -> int:
    return tx.execute(insert(schema.models), {"id": model, "owner": "me", "created_at": 1.0}).rowcount


def count(tx: Connection) -> int:
    return int(tx.execute(select(func.count()).select_from(schema.models)).scalar_one())


class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, postgres: str) -> Iterator[Database]:
        store = Database.open(postgres)
        yield store
        store.close()

    def test_two_coordinators_write_one_after_the_other(self, store: Database, postgres: str) -> None:
        """Each counts and then adds: if they did it at the same time, two would have counted the same."""
        other = Database.open(postgres)

        def add_next(tx: Connection) -> None:
            add(tx, f"me/{count(tx)}")

        futures = [which._submit(add_next) for _ in range(40) for which in (store, other)]

        assert [future.exception(20) for future in futures] == [None] * 80
        assert store.read_sync(count) == 80
        other.close()

    def test_shared_work_does_not_wait_for_shared_work(self, store: Database, postgres: str) -> None:
        other = Database.open(postgres)
        is_in, may_end = threading.Event(), threading.Event()

        def stay(tx: Connection) -> bool:
            is_in.set()
            return may_end.wait(20)

        waiting = store._submit(stay, is_shared=True)
        assert is_in.wait(10)

        other._submit(lambda tx: add(tx, "me/a"), is_shared=True).result(10)
        alone = other._submit(lambda tx: add(tx, "me/b"))
        assert not alone.done()
        may_end.set()

        assert waiting.result(10)
        alone.result(10)
        assert store.read_sync(count) == 2
        other.close()

    def test_work_that_got_in_the_way_of_another_is_done_again(self, store: Database, postgres: str) -> None:
        """Two transactions that wait for each other: PostgreSQL ends one of them, and it is done again."""
        store.write_sync(lambda tx: [add(tx, "me/a"), add(tx, "me/b")])
        other = Database.open(postgres)
        both = threading.Barrier(2)
        seen: list[str] = []

        def work(first: str, second: str) -> Callable[[Connection], None]:
            def cross(tx: Connection) -> None:
                seen.append(first)
                tx.execute(update(schema.models).where(schema.models.c.id == first).values(owner=second))
                if seen.count(first) == 1:
                    both.wait(10)
                tx.execute(update(schema.models).where(schema.models.c.id == second).values(owner=second))

            return cross

        futures = [store._submit(work("me/a", "me/b"), True), other._submit(work("me/b", "me/a"), True)]

        assert [future.exception(30) for future in futures] == [None, None]
        assert len(seen) >= 3
        other.close()

    def test_a_server_that_drops_the_connection_costs_one_error(self, store: Database) -> None:
        pid = store.write_sync(lambda tx: tx.execute(text("SELECT pg_backend_pid()")).scalar_one())
        store.read_sync(lambda tx: tx.execute(text(f"SELECT pg_terminate_backend({pid})")).scalar_one())

        with pytest.raises(Unavailable, match="cannot be used now"):
            store.write_sync(lambda tx: add(tx, "me/a"))

        store.write_sync(lambda tx: add(tx, "me/b"))
        assert store.read_sync(count) == 1

    def test_text_with_a_nul_is_stored_without_it(self, store: Database) -> None:
        store.write_sync(lambda tx: add(tx, "me/a\0b"))

        assert store.read_sync(lambda tx: tx.execute(select(schema.models.c.id)).scalar_one()) == "me/a\ufffdb"

    def test_a_number_that_is_too_large_is_the_senders_fault(self, store: Database) -> None:
        row = {"model": "me/a", "number": 2**40, "digest": "", "definition": {}, "created_at": 1.0, "created_by": ""}
        store.write_sync(lambda tx: add(tx, "me/a"))

        with pytest.raises(UsageError, match="a number is too large for the store"):
            store.write_sync(lambda tx: tx.execute(insert(schema.model_revisions), row).rowcount)

    @pytest.mark.parametrize(
        ("change", "error", "said"),
        [
            (("/bough_", "/nothing_"), UsageError, "nothing_.* does not exist. Make it: createdb nothing_"),
            (("host=/", "host=/nowhere/"), Unavailable, "cannot be used now: .*Check that PostgreSQL runs"),
            (("/bough_", "host:port/bough_"), UsageError, "that is no address of a database"),
        ],
    )
    def test_an_address_that_leads_nowhere_is_one_sentence(
        self, postgres: str, change: tuple[str, str], error: type[BoughError], said: str
    ) -> None:
        with pytest.raises(error, match=said) as found:
            Database.open(postgres.replace(*change, 1))

        assert "\n" not in str(found.value)


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Database]:
        store = Database.open(tmp_path / "home" / "bough.db")
        yield store
        store.close()

    def test_what_was_acknowledged_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        first = Database.open(tmp_path / "bough.db")
        first.write_sync(lambda tx: add(tx, "me/a"))
        first.close()

        again = Database.open(tmp_path / "bough.db")

        assert again.read_sync(count) == 1
        again.close()

    def test_a_commit_reaches_the_disk(self, store: Database) -> None:
        """synchronous 2 is FULL."""
        assert store.write_sync(lambda tx: tx.execute(text("PRAGMA synchronous")).scalar_one()) == 2
        assert store.read_sync(lambda tx: tx.execute(text("PRAGMA journal_mode")).scalar_one()) == "wal"

    def test_a_second_coordinator_is_refused_by_the_pid_of_the_first(self, store: Database) -> None:
        import os

        with pytest.raises(Conflict, match=rf"is in use by another coordinator \(pid {os.getpid()}\)"):
            Database.open(store.path)

    def test_nobody_else_may_read_its_files(self, store: Database) -> None:
        store.write_sync(lambda tx: add(tx, "me/a"))

        files = [path for path in store.path.parent.iterdir() if path.name.startswith("bough.db")]
        assert {path.stat().st_mode & 0o077 for path in files} == {0}

    def test_a_full_disk_is_one_sentence_and_loses_nothing(self, store: Database) -> None:
        store.write_sync(lambda tx: add(tx, "me/a"))
        store.write_sync(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count=1").rowcount)

        with pytest.raises(Unavailable, match=r"the disk that holds .* is full: .* nothing already stored is lost"):
            store.write_sync(lambda tx: [add(tx, f"me/{i}" * 100) for i in range(1000)])

        assert store.read_sync(count) == 1
        store.write_sync(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count=1000000").rowcount)
        store.write_sync(lambda tx: add(tx, "me/b"))
        assert store.read_sync(count) == 2

    def test_another_kind_of_database_is_refused_by_name(self) -> None:
        with pytest.raises(UsageError, match="the store cannot be kept in mysql"):
            Database.open("mysql://host/bough")

    def test_a_file_that_is_no_database_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "bough.db").write_bytes(b"this is a letter to my aunt, nothing else. " * 100)

        with pytest.raises(BoughError, match=r"is damaged: .* Restore it from a backup"):
            Database.open(tmp_path / "bough.db")

    def test_a_store_of_a_newer_version_is_refused(self, store: Database) -> None:
        store.write_sync(lambda tx: tx.execute(text("UPDATE alembic_version SET version_num = '9999'")).rowcount)
        path = store.path
        store.close()

        with pytest.raises(UsageError, match=r"the store is of a newer version \(revision 9999\)"):
            Database.open(path)

    def test_opening_an_up_to_date_store_changes_nothing(self, store: Database) -> None:
        before = store.read_sync(lambda tx: tx.execute(text("PRAGMA schema_version")).scalar_one())

        store.write_sync(migrate.upgrade)

        assert store.read_sync(lambda tx: tx.execute(text("PRAGMA schema_version")).scalar_one()) == before
