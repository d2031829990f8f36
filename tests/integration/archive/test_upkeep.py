"""Refs and packs are gathered when there are many, or when it has been quiet for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from bough import _git
from bough_server.archive import commits, upkeep
from bough_server.archive.records import RecordData
from bough_server.archive.repositories import Repositories
from bough_server.archive.upkeep import Upkeep


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Repositories(tmp_path / "git").ensure("me/digits")


def write(repository: Path, first: int, n: int) -> None:
    ids = range(first, first + n)
    refs = [f"refs/bough/jobs/opt/{i:04d}-job" for i in ids]
    commits.write(repository, [RecordData(ref, None, 1.0, ref, {"job.json": ref.encode() * 50}) for ref in refs])


def loose(repository: Path) -> int:
    return sum(path.is_file() for path in (repository / "refs" / "bough").rglob("*"))


def packs(repository: Path) -> int:
    return len(list((repository / "objects" / "pack").glob("*.pack")))


def test_many_batches_end_up_in_few_packs_and_one_file_of_refs(repository: Path) -> None:
    keeping = Upkeep(lambda: 0.0)
    for batch in range(upkeep.BATCHES):
        write(repository, 40 * batch, 40)
        assert packs(repository) == batch + 1
        keeping.note(repository, 40)

    keeping.work()

    assert (loose(repository), packs(repository)) == (0, 1)
    assert len(_git.run(["for-each-ref", "refs/bough"], git_dir=str(repository)).splitlines()) == 40 * upkeep.BATCHES
    assert _git.run(["fsck", "--strict", "--full"], git_dir=str(repository)) == b""


def test_a_few_records_are_packed_once_it_is_quiet(repository: Path) -> None:
    now = [0.0]
    keeping = Upkeep(lambda: now[0])
    write(repository, 0, 3)
    keeping.note(repository, 3)

    now[0] = upkeep.REST_S - 1
    keeping.work()
    assert loose(repository) == 3

    now[0] = upkeep.REST_S
    keeping.work()
    assert (loose(repository), packs(repository)) == (0, 1)


def test_a_ref_that_lost_power_in_the_middle_is_swept_at_the_next_start(repository: Path) -> None:
    write(repository, 0, 2)
    torn = repository / "refs/bough/jobs/opt/0001-job"
    torn.write_text("")

    Repositories(repository.parent.parent)

    assert len(_git.run(["for-each-ref", "refs/bough"], git_dir=str(repository)).splitlines()) == 1
    write(repository, 1, 1)
    assert len(_git.run(["for-each-ref", "refs/bough"], git_dir=str(repository)).splitlines()) == 2


def test_packing_that_fails_is_told_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeping = Upkeep(lambda: 0.0)
    keeping.note(tmp_path / "gone.git", upkeep.REFS)

    keeping.work()

    assert "is not packed: git pack-refs failed" in caplog.text
