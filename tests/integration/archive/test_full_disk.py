"""The disk of the repositories is full, at each point of writing a batch: nothing is lost, nothing is in the way."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.integration.archive.test_archivist import end_job, git, recorded, seed

from bough import _git
from bough_server.archive import commits
from bough_server.archive.archivist import Archivist
from bough_server.archive.repositories import Repositories
from bough_server.store.database import Database

JOBS = 20  # more than a few: their refs are written together
STEP = 4096
SIZE = 2 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def leave(disk: Path, room: int) -> None:
    """Fill the disk but for so many bytes."""
    filler = disk / ".filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - room))


def test_a_batch_that_finds_no_room_is_written_later_wherever_it_stopped(disk: Path, tmp_path: Path) -> None:
    store = Database.open(tmp_path / "coordinator.db")
    store.write_sync(seed)
    repositories = Repositories(disk / "git")
    repository = repositories.ensure("me/digits")
    head = b"commit refs/bough/code/x\nmark :1\ncommitter a <a@b> 1 +0000\ndata 1\nc\nget-mark :1\ndone\n"
    code = _git.run(["fast-import", "--quiet", "--done"], git_dir=str(repository), input=head).decode().strip()
    for n in range(1, JOBS + 1):
        store.write_sync(partial(end_job, job_id=f"job{n}", commit=code, number=n))
    archivist = Archivist(store, repositories)
    refused: list[commits.GitFailed] = []

    room = 0
    while True:
        leave(disk, room)
        try:
            asyncio.run(archivist.flush())
            break
        except commits.GitFailed as error:
            refused.append(error)
        assert set(recorded(store).values()) == {None}
        room += STEP

    assert room > 4 * STEP, "it stopped at several places"
    assert [error.stderr for error in refused if commits.is_refusal(error)] == []
    assert not any("is damaged" in str(error) for error in refused)
    assert all(name is not None for name in recorded(store).values())
    refs = git(repositories, "for-each-ref", "--format=%(refname)", "refs/bough/jobs").split()
    assert len(refs) == JOBS
    (disk / ".filler").unlink()
    assert git(repositories, "fsck", "--strict", "--full") == ""
    left = [*repository.glob("objects/pack/tmp_*"), *repository.glob("fast_import_crash_*"), *repository.glob("*.lock")]
    assert left == []
    store.close()
