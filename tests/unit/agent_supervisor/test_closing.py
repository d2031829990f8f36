"""Sizes, checksums, and where the overrun begins."""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path

import pytest

from bough_agent import closing
from bough_agent.supervisor import unkillable


def journal(folder: Path, writer: str, text: str) -> Path:
    path = folder / "journal" / f"{writer}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def lines(numbers: range) -> str:
    return "".join(json.dumps(["p", number, 1.5, "accuracy", number, 0.5]) + "\n" for number in numbers)


def test_a_file_is_measured_in_bytes_and_crc(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 3_000_000)

    assert closing.measure(str(path)) == {"bytes": 3_000_000, "crc": zlib.crc32(b"x" * 3_000_000)}
    assert closing.measure(str(tmp_path / "none")) == {"bytes": 0, "crc": 0}


def test_an_attempt_without_journals_has_none(tmp_path: Path) -> None:
    assert closing.journal_sizes(str(tmp_path)) == {}
    assert closing.measure_journals(str(tmp_path), None) == {}


def test_only_journals_are_measured(tmp_path: Path) -> None:
    journal(tmp_path, "7-aa", "[]\n")
    (tmp_path / "journal" / "notes.txt").write_text("no journal")
    (tmp_path / "journal" / "9-cc.jsonl").symlink_to("/etc/passwd")

    assert closing.journal_sizes(str(tmp_path)) == {"7-aa": 3}


def test_without_a_stop_nothing_is_overrun(tmp_path: Path) -> None:
    journal(tmp_path, "7-aa", lines(range(3)))

    assert closing.measure_journals(str(tmp_path), None)["7-aa"]["cut"] is None


def test_the_overrun_begins_after_what_was_there_when_the_stop_was_decided(tmp_path: Path) -> None:
    journal(tmp_path, "7-aa", lines(range(5)))
    journal(tmp_path, "8-bb", lines(range(2)))

    found = closing.measure_journals(str(tmp_path), {"7-aa": len(lines(range(3)))})

    assert found["7-aa"]["cut"] == 3
    assert found["8-bb"]["cut"] == 0  # it began after the stop


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (lines(range(1)), 1),
        (lines(range(4)) + '["p", 4, 1.', 4),  # not yet complete
        (lines(range(4)) + '["p", 4, 1.\n' + lines(range(5, 6)), 6),  # torn, and gone on
        (lines(range(4)) + '["p", 4, 1.\n', 4),  # torn: the line with this number never counts
        (lines(range(2)) + "\n" + lines(range(9, 10)), 10),  # a full disk swallowed some
        ("rubbish\nmore rubbish\n", 2),
        ('{"p": 1}\n["p"]\n["p", "x"]\n', 3),
    ],
)
def test_lines_are_counted_by_the_number_that_the_writer_gave_them(tmp_path: Path, text: str, count: int) -> None:
    path = journal(tmp_path, "7-aa", text)

    assert closing.lines_written(str(path), len(text)) == count


def test_a_long_journal_is_counted_from_its_end(tmp_path: Path) -> None:
    text = lines(range(20_000))
    path = journal(tmp_path, "7-aa", text)

    assert len(text) > 2 * closing.TAIL
    assert closing.lines_written(str(path), len(text)) == 20_000
    assert closing.lines_written(str(path), len(lines(range(15_000)))) == 15_000


def test_a_document_replaces_the_old_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "exit.json"
    path.write_text("old")

    closing.write_json(str(path), {"exit_code": 0}, is_durable=True)

    assert json.loads(path.read_text()) == {"exit_code": 0}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["exit.json"]


def test_a_sync_comes_only_when_it_is_time_and_something_grew(tmp_path: Path) -> None:
    path = journal(tmp_path, "7-aa", lines(range(1)))
    sync = closing.Sync(str(tmp_path))
    now = time.monotonic()

    def synced(at: float) -> bool:
        before = sync._thread
        sync.perhaps(at)
        sync.join()
        return sync._thread is not before

    assert not synced(now)
    assert synced(now + 6)
    assert not synced(now + 12)  # nothing new
    path.write_text(lines(range(2)))
    assert not synced(now + 13)  # too soon
    assert synced(now + 18)


def test_a_journal_that_is_gone_needs_no_sync(tmp_path: Path) -> None:
    closing.sync_file(str(tmp_path / "none"))


def test_what_cannot_be_killed_is_named() -> None:
    assert unkillable([41], 60.0) == (
        "process 41 did not die within 60 s of SIGKILL (unkillable). "
        "Look for a hanging disk, network file system or device on this machine."
    )
    assert unkillable([41, 42], 60.0).startswith("processes 41, 42 did not die")
