"""Many refs written at once by bough: git reads them, git's own writing beside them loses none, and no lock stays."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest
from tests.integration.archive.conftest import git

from bough_server.archive import commits, packed_refs, upkeep
from bough_server.archive.records import RecordData


@pytest.fixture
def commit(repository: Path) -> str:
    stream = b"commit refs/bough/code/x\nmark :1\ncommitter a <a@b> 1 +0000\ndata 1\nc\nget-mark :1\ndone\n"
    return git(repository, "fast-import", "--quiet", "--done", stdin=stream).strip()


def refs(repository: Path) -> dict[str, str]:
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {name: oid for name, _, oid in (line.partition(" ") for line in lines)}


@pytest.mark.parametrize("seed", range(5))
def test_git_reads_what_was_added_in_any_order_and_would_write_the_same_file(
    repository: Path, commit: str, seed: int
) -> None:
    rng = random.Random(seed)
    names = [f"refs/bough/jobs/{rng.choice('abAB9_-')}{n % 7}/{n:04d}-{rng.choice('xyz')}" for n in range(300)]
    rng.shuffle(names)
    for tag in ("refs/tags/a", "refs/zz"):  # what a tag points to has a line of its own
        made = git(
            repository, "mktag", stdin=f"object {commit}\ntype commit\ntag a\ntagger a <a@b> 1 +0000\n\n".encode()
        )
        git(repository, "update-ref", tag, made.strip())
    git(repository, "pack-refs", "--all")
    before = refs(repository)

    start = 0
    while start < len(names):
        n = rng.randint(1, 90)
        assert packed_refs.add(repository, dict.fromkeys(names[start : start + n], commit))
        start += n

    assert refs(repository) == before | dict.fromkeys(names, commit)
    ours = (repository / "packed-refs").read_bytes()
    git(repository, "update-ref", "refs/bough/one", commit)
    git(repository, "pack-refs", "--all")
    git(repository, "update-ref", "-d", "refs/bough/one")
    assert (repository / "packed-refs").read_bytes() == ours


def test_what_git_writes_and_deletes_meanwhile_is_not_lost(repository: Path, commit: str) -> None:
    git(repository, "config", "core.packedRefsTimeout", "20000")
    troubles: list[Exception] = []

    def gits() -> None:
        try:
            for n in range(15):
                git(repository, "update-ref", f"refs/bough/gits/{n}", commit)
                git(repository, "pack-refs", "--all")
                if n % 3 == 2:
                    git(repository, "update-ref", "-d", f"refs/bough/gits/{n - 1}")
        except Exception as error:
            troubles.append(error)

    thread = threading.Thread(target=gits)
    thread.start()
    n = 0
    while thread.is_alive() or n < 5:
        packed_refs.add(repository, {f"refs/bough/jobs/opt/{n:04d}-{i}": commit for i in range(20)})
        n += 1
        thread.join(0.01)  # a lock that is never free starves git, which asks less and less often

    assert troubles == []
    found = refs(repository)
    assert sum(name.startswith("refs/bough/jobs/") for name in found) == 20 * n
    assert [name for name in found if name.startswith("refs/bough/gits/")] == sorted(
        f"refs/bough/gits/{i}" for i in range(15) if i % 3 != 1
    )
    assert not (repository / "packed-refs.lock").exists()


def test_a_lock_that_another_process_holds_is_waited_for_and_named(
    repository: Path, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = repository / "packed-refs.lock"
    lock.touch()
    monkeypatch.setattr(packed_refs, "WAIT_S", 0.05)

    with pytest.raises(commits.GitFailed, match=r"unable to lock packed-refs\. If no git runs there, remove .*\.lock"):
        packed_refs.add(repository, {"refs/bough/jobs/opt/0001-a": commit})

    assert lock.exists()
    assert "refs/bough/jobs/opt/0001-a" not in refs(repository)


def test_the_lock_of_a_process_that_was_killed_is_broken_after_a_minute(repository: Path, commit: str) -> None:
    lock = repository / "packed-refs.lock"
    lock.touch()
    (repository / "packed-refs.new").write_text("half a li")
    os.utime(lock, (time.time() - 61, time.time() - 61))

    upkeep.pack(repository)

    assert refs(repository) == {"refs/bough/code/x": commit}
    lock.touch()
    os.utime(lock, (time.time() - 61, time.time() - 61))
    assert packed_refs.add(repository, {"refs/bough/jobs/opt/0001-a": commit})
    assert len(refs(repository)) == 2
    assert not lock.exists()


def test_a_file_that_cannot_be_written_is_said_and_nothing_is_lost(repository: Path, commit: str) -> None:
    git(repository, "pack-refs", "--all")
    before = refs(repository)
    (repository / "packed-refs.new").mkdir()

    with pytest.raises(
        commits.GitFailed, match=r"unable to write packed-refs: Is a directory\. Check the disk"
    ) as told:
        packed_refs.add(repository, {"refs/bough/jobs/opt/0001-a": commit})

    assert not commits.is_refusal(told.value)  # it is tried again
    assert refs(repository) == before
    assert not (repository / "packed-refs.lock").exists()


def test_a_file_of_an_older_git_is_left_to_git(repository: Path, commit: str) -> None:
    (repository / "packed-refs").write_text(f"# pack-refs with: peeled \n{commit} refs/heads/old\n")
    assert not packed_refs.add(repository, {"refs/bough/jobs/opt/0001-a": commit})

    some = [RecordData(f"refs/bough/jobs/opt/{n:04d}-j", None, 1.0, f"{n}\n", {"job.json": b"{}"}) for n in range(20)]
    commits.write(repository, some)

    assert {one.ref for one in some} | {"refs/heads/old"} <= set(refs(repository))
    assert git(repository, "fsck", "--strict") == ""
