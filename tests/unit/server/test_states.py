"""The table of moves: what it allows, and that nothing else can happen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, update

from bough_server.service import states
from bough_server.store.database import Database
from bough_server.store.schema import jobs, models

JOB = {
    "id": "j",
    "model": "me/a",
    "revision": 1,
    "state": "CREATED",
    "commit": "0",
    "folder": "",
    "source": {},
    "priority": 0,
    "created_at": 0.0,
    "created_by": "k",
    "attempt": 3,
    "failures": 0,
    "lost": 0,
    "desired": "run",
    "unreachable": False,
    "partial": False,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    store = Database.open(Path(tmp_path_factory.mktemp("states")) / "bough.db")

    def fill(tx: Connection) -> None:
        tx.execute(insert(models), {"id": "me/a", "owner": "me", "created_at": 0.0})
        tx.execute(insert(jobs), JOB)

    store.write_sync(fill)
    yield store
    store.close()


@pytest.mark.parametrize("move", states.JOB_MOVES)
def test_a_move_is_made_from_the_states_of_the_table_and_from_no_other(store: Database, move: str) -> None:
    before, after = states.JOB_MOVES[move]

    def attempt(tx: Connection, state: str) -> str:
        tx.execute(update(jobs).values(state=state))
        was_made = states.move_job(tx, "j", move, status="moved")
        found: str = tx.execute(select(jobs.c.state)).scalar_one()
        assert was_made == (found == after and state in before)
        return found

    for state in states.JOB_STATES:
        found = store.write_sync(lambda tx, state=state: attempt(tx, state))  # type: ignore[misc]
        assert found == (after if state in before else state)


def test_a_move_of_an_older_attempt_changes_nothing(store: Database) -> None:
    store.write_sync(lambda tx: tx.execute(update(jobs).values(state="RUNNING")).rowcount)

    assert not store.write_sync(lambda tx: states.move_job(tx, "j", "exit", of_attempt=2))
    assert store.write_sync(lambda tx: states.move_job(tx, "j", "exit", of_attempt=3))


def test_terminal_is_terminal_unless_its_user_wants_it_otherwise() -> None:
    for move, (before, _) in states.JOB_MOVES.items():
        assert bool(set(before) & set(states.TERMINAL)) == (move in states.AFTER_THE_END)


def test_every_state_but_the_first_can_be_reached_and_every_other_left() -> None:
    reached = {after for _, after in states.JOB_MOVES.values()}
    by_itself = {move: states.JOB_MOVES[move] for move in states.JOB_MOVES if move not in states.AFTER_THE_END}
    left = {state for before, _ in by_itself.values() for state in before}

    assert reached == set(states.JOB_STATES) - {states.CREATED}
    assert left == set(states.JOB_STATES) - set(states.TERMINAL)
