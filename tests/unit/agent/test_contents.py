"""Contents of files on their way: after the lines, by offset, and what is broken costs only itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from tests.unit.agent.test_shipping import KEY, deliver, exit_of, journal

from bough import _layout
from bough_agent.contents import Contents
from bough_agent.parts import PART_BYTES
from bough_agent.shipping import Shipment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    (tmp_path / "files").mkdir()
    return tmp_path


def keep(folder: Path, data: bytes) -> str:
    """Put a content where the SDK does; return its name."""
    name = f"{hashlib.sha256(data).hexdigest()}-{len(data)}"
    (folder / "files" / name).write_bytes(data)
    return name


def test_contents_are_sent_with_what_lines_leave_of_a_message(folder: Path) -> None:
    journal(folder).write_bytes(b"[1]\n")
    name = keep(folder, b"x" * 100)
    shipment = Shipment(folder, KEY)

    first = shipment.take(10)
    deliver(shipment, first)
    second = shipment.take(1000)

    assert [(part.stream, part.offset, part.data) for part in first[1:]] == [(f"files/{name}", 0, b"x" * 6)]
    assert [(part.stream, part.offset, len(part.data)) for part in second] == [(f"files/{name}", 6, 94)]
    deliver(shipment, second)
    assert not shipment.grown()


def test_a_large_content_is_sent_in_parts_and_covers_the_end_only_as_a_whole(folder: Path) -> None:
    name = keep(folder, b"y" * (PART_BYTES + 5))
    shipment = Shipment(folder, KEY)
    exit_ = shipment.close(exit_of(folder))

    first = shipment.take(3 * PART_BYTES)
    assert exit_["files"] == [name]
    assert not shipment.is_covered(first)
    deliver(shipment, first)
    second = shipment.take(3 * PART_BYTES)

    assert [part.offset for part in second] == [PART_BYTES]
    assert shipment.is_covered(second)


def test_what_the_coordinator_has_already_is_not_sent_on(folder: Path) -> None:
    name = keep(folder, b"z" * 1000)
    shipment = Shipment(folder, KEY)
    shipment.take(100)

    assert shipment.acknowledge(f"files/{name}", 1000)
    assert not shipment.grown()


def test_an_empty_content_is_delivered_too(folder: Path) -> None:
    name = keep(folder, b"")
    shipment = Shipment(folder, KEY)

    (part,) = shipment.take(100)
    deliver(shipment, [part])

    assert (part.stream, part.data) == (f"files/{name}", b"")
    assert not shipment.grown()


def test_what_is_no_whole_content_is_not_sent_and_the_attempt_is_no_worse_for_it(folder: Path) -> None:
    """A trial may put anything there."""
    digest = hashlib.sha256(b"abc").hexdigest()
    (folder / "files" / f"{digest}-4").write_bytes(b"abc")
    (folder / "files" / f"{digest}-10").symlink_to("/etc/passwd")
    os.mkfifo(folder / "files" / f"{digest}-0")
    (folder / "files" / ".new-1-2").write_bytes(b"abc")
    (folder / "files" / "notes.txt").write_bytes(b"abc")
    shipment = Shipment(folder, KEY)

    assert shipment.take(1000) == []
    assert shipment.close(exit_of(folder))["files"] == []
    assert shipment.fault is None


def test_a_content_that_is_removed_while_it_is_sent_is_given_up_alone(folder: Path) -> None:
    gone, stays = keep(folder, b"a" * 50), keep(folder, b"b" * 50)
    shipment = Shipment(folder, KEY)
    deliver(shipment, shipment.take(10))
    (folder / "files" / gone).unlink()

    parts = shipment.take(1000)
    deliver(shipment, parts)

    assert {part.stream for part in parts} <= {f"files/{stays}", f"files/{gone}"}
    assert shipment.close(exit_of(folder))["files"] == [stays]
    assert shipment.is_covered([])
    assert shipment.fault is None


def test_a_content_that_is_added_later_is_found(folder: Path) -> None:
    keep(folder, b"first")
    shipment = Shipment(folder, KEY)
    deliver(shipment, shipment.take(1000))
    assert not shipment.grown()

    name = keep(folder, b"second")

    assert shipment.grown()
    assert [part.stream for part in shipment.take(1000)] == [f"files/{name}"]


def test_there_is_an_end_to_how_many_contents_are_sent(folder: Path) -> None:
    for index in range(5):
        keep(folder, b"%d" % index)
    few = Contents(folder, KEY, {**_layout.LIMITS, "files": 3})
    small = Contents(folder, KEY, {**_layout.LIMITS, "files_bytes": 2})

    assert len(few.close()) == 3
    assert len(small.close()) == 2


def test_a_folder_of_files_that_is_a_link_is_not_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "files").rmdir()
    (folder / "files").symlink_to(elsewhere)
    (elsewhere / f"{hashlib.sha256(b'k').hexdigest()}-1").write_bytes(b"k")

    assert Shipment(folder, KEY).take(1000) == []
