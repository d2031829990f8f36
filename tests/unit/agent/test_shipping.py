"""What is sent of journals and logs, and what happens to an attempt that tampers with them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough_agent.parts import Part
from bough_agent.shipping import Shipment, collect, read_json

KEY = ("k3f9a2bq", 1)
STREAM = "journal/4711-0a1b2c3d"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    return tmp_path


def journal(folder: Path) -> Path:
    return folder / "journal" / "4711-0a1b2c3d.jsonl"


def exit_of(folder: Path) -> dict[str, Any]:
    def row(path: Path) -> dict[str, Any]:
        data = path.read_bytes() if path.exists() else b""
        return {"bytes": len(data), "crc": zlib.crc32(data)}

    journals = {path.stem: {**row(path), "cut": None} for path in (folder / "journal").iterdir()}
    return {"exit_code": 0, "cause": None, "error": None, "log": row(folder / "log.txt"), "journals": journals}


def deliver(shipment: Shipment, parts: list[Part]) -> None:
    for part in parts:
        shipment.acknowledge(part.stream, part.end)


def test_only_whole_lines_of_a_journal_are_sent_while_it_grows(folder: Path) -> None:
    journal(folder).write_bytes(b"[1]\n[2")
    shipment = Shipment(folder, KEY)

    (part,) = shipment.take(1000)
    deliver(shipment, [part])

    assert (part.stream, part.offset, part.data, part.crc) == (STREAM, 0, b"[1]\n", zlib.crc32(b"[1]\n"))
    assert shipment.take(1000) == []
    assert not shipment.grown()
    with journal(folder).open("ab") as file:
        file.write(b"]\n")
    assert shipment.grown()
    assert [p.data for p in shipment.take(1000)] == [b"[2]\n"]


def test_a_journal_for_which_a_message_had_no_room_left_is_not_taken_for_one_without_news(folder: Path) -> None:
    journal(folder).write_bytes(b"[1]\n[2]\n")
    shipment = Shipment(folder, KEY)

    assert shipment.take(2) == []  # less than a line
    assert shipment.grown()
    assert [part.data for part in shipment.take(4)] == [b"[1]\n"]


def test_a_line_that_was_torn_at_the_end_is_sent_after_the_exit(folder: Path) -> None:
    journal(folder).write_bytes(b"[1]\n[2")
    shipment = Shipment(folder, KEY)
    deliver(shipment, shipment.take(1000))

    shipment.close(exit_of(folder))
    parts = shipment.take(1000)

    assert [part.data for part in parts] == [b"[2"]
    assert shipment.is_covered(parts)
    assert not shipment.is_covered([])


def test_what_was_not_acknowledged_is_sent_again(folder: Path) -> None:
    (folder / "log.txt").write_bytes(b"hello")
    shipment = Shipment(folder, KEY)

    assert shipment.take(1000) == shipment.take(1000)
    assert shipment.acknowledge("log", 3)
    assert [part.data for part in shipment.take(1000)] == [b"lo"]


def test_a_coordinator_that_has_less_than_was_thought_gets_it_again(folder: Path) -> None:
    (folder / "log.txt").write_bytes(b"hello")
    shipment = Shipment(folder, KEY)
    deliver(shipment, shipment.take(1000))

    shipment.acknowledge("log", 1)

    assert [part.data for part in shipment.take(1000)] == [b"ello"]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(1, 50))
def test_the_parts_put_together_are_the_file_however_small_the_budget(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], budget: int
) -> None:
    folder = tmp_path_factory.mktemp("attempt")
    (folder / "log.txt").write_bytes(b"".join(chunks))
    shipment = Shipment(folder, KEY)
    received = b""

    while parts := shipment.take(budget):
        assert sum(len(part.data) for part in parts) <= budget
        received += b"".join(part.data for part in parts)
        deliver(shipment, parts)

    assert received == b"".join(chunks)


def test_parts_are_dealt_to_all_attempts_in_turn(tmp_path: Path) -> None:
    shipments = []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.txt").write_bytes(b"x" * 100)
        shipments.append(Shipment(tmp_path / name, (name, 1)))

    assert [part.key for part in collect(shipments, 100, start=0)] == [("a", 1)]
    assert [part.key for part in collect(shipments, 100, start=1)] == [("b", 1)]
    assert [part.key for part in collect(shipments, 200, start=1)] == [("b", 1), ("a", 1)]


def cut(path: Path) -> None:
    os.truncate(path, 2)


def replaced(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_bytes(b"[1]\n[2]\n[3]\n")


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def hard_linked(path: Path) -> None:
    os.link(path, path.with_name("other"))


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def hidden(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("/etc")


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (cut, "was cut short"),
        (replaced, "was replaced"),
        (linked, "cannot be read"),
        (hard_linked, "is no ordinary file"),
        (piped, "is no ordinary file"),
        (Path.unlink, "was removed"),
        (hidden, "cannot be read"),
    ],
)
def test_a_journal_that_was_tampered_with_ends_the_attempt_as_such_and_keeps_what_was_sent(
    folder: Path, tamper: Callable[[Path], None], fault: str
) -> None:
    journal(folder).write_bytes(b"[1]\n[2]\n")
    shipment = Shipment(folder, KEY)
    deliver(shipment, shipment.take(4))
    ending = exit_of(folder)

    tamper(journal(folder))
    parts = shipment.take(1000)

    assert parts == []
    assert fault in str(shipment.fault)
    exit = shipment.close(ending)
    assert exit["cause"] == "journal"
    assert "What the job reported was changed while it ran" in exit["error"]
    assert exit["journals"]["4711-0a1b2c3d"] == {"bytes": 4, "crc": zlib.crc32(b"[1]\n"), "cut": None}
    assert shipment.is_covered([])


def test_a_journal_that_is_not_what_the_supervisor_saw_is_found_by_its_checksum(folder: Path) -> None:
    journal(folder).write_bytes(b"[1]\n")
    ending = exit_of(folder)
    journal(folder).write_bytes(b"[2]\n")

    exit = Shipment(folder, KEY).close(ending)

    assert "is not what its supervisor saw" in exit["error"]


def test_files_that_are_no_journals_are_not_sent(folder: Path) -> None:
    for name in ("x.jsonl", "4711-0a1b2c3d.txt", "..jsonl"):
        (folder / "journal" / name).write_text("[1]\n")

    assert Shipment(folder, KEY).take(1000) == []


def test_an_attempt_that_reported_nothing_is_covered(folder: Path) -> None:
    shipment = Shipment(folder, KEY)

    assert shipment.close(exit_of(folder))["cause"] is None
    assert shipment.is_covered([])


def test_a_document_behind_a_link_or_not_json_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text('{"a": 1}')
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "text").write_text("nonsense")

    assert read_json(tmp_path, "real") == {"a": 1}
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    assert [read_json(tmp_path, name) for name in ("link", "text", "gone", "folder", "pipe")] == [None] * 5
