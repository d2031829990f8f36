"""Records through real git: what is in them, that they are whole, and that writing again is harmless."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.archive.conftest import git

from bough import _git
from bough.errors import UsageError
from bough_server.archive import commits
from bough_server.archive.records import RecordData, job_ref, stream
from bough_server.archive.repositories import Repositories

END = 1_700_000_000.5


@pytest.fixture
def code(repository: Path) -> str:
    """A commit of code that also holds a stale .bough folder."""
    _git.run(
        ["fast-import", "--quiet", "--done"],
        git_dir=str(repository),
        input=b"commit refs/bough/code/x\ncommitter a <a@b> 1 +0000\ndata 1\nc\n"
        b"M 100644 inline train.py\ndata 5\nprint\nM 100644 inline .bough/stale\ndata 1\ns\ndone\n",
    )
    return git(repository, "rev-parse", "refs/bough/code/x").strip()


def record(code: str | None, number: int = 1, **files: bytes) -> RecordData:
    content = files or {"job.json": b"{}\n"}
    return RecordData(job_ref("opt", number, f"job{number}"), code, END, f"trial {number}\n", content)


def test_a_record_is_the_code_and_what_became_of_the_job(repository: Path, code: str) -> None:
    commits.write(repository, [record(code, channels=b"x\n")])

    ref = job_ref("opt", 1, "job1")
    assert git(repository, "ls-tree", "-r", "--name-only", ref).split() == [".bough/channels", "train.py"]
    assert git(repository, "log", "-1", "--format=%P %ct %at %an %s", ref).strip() == (
        f"{code} 1700000000 1700000000 bough trial 1"
    )
    assert git(repository, "fsck", "--strict", "--full") == ""


def test_a_hundred_records_are_one_process_and_whole(repository: Path, code: str) -> None:
    commits.write(repository, [record(code, number) for number in range(1, 101)])

    assert len(git(repository, "for-each-ref", "refs/bough/jobs/").splitlines()) == 100
    assert git(repository, "fsck", "--strict", "--full") == ""


def test_a_record_that_is_there_already_is_left_as_it_is(repository: Path, code: str) -> None:
    commits.write(repository, [record(code, 1)])
    before = git(repository, "rev-parse", job_ref("opt", 1, "job1"))

    commits.write(repository, [record(code, 1, other=b"changed"), record(code, 2)])

    assert git(repository, "rev-parse", job_ref("opt", 1, "job1")) == before
    assert git(repository, "rev-parse", "--verify", job_ref("opt", 2, "job2"))


def test_the_same_record_is_the_same_commit_in_any_repository(tmp_path: Path, code: str, repository: Path) -> None:
    other = Repositories(tmp_path / "other").ensure("me/digits")

    commits.write(repository, [record(None)])
    commits.write(other, [record(None)])

    ref = job_ref("opt", 1, "job1")
    assert git(repository, "rev-parse", ref) == git(other, "rev-parse", ref)


def test_a_record_whose_code_is_missing_says_so(repository: Path) -> None:
    commits.write(repository, [record("1" * 40)])

    message = git(repository, "log", "-1", "--format=%P|%B", job_ref("opt", 1, "job1"))
    assert message.startswith("|trial 1")
    assert "The commit of the code was not in the coordinator's repository" in message


def test_a_batch_that_git_refuses_leaves_nothing(repository: Path, code: str) -> None:
    bad = RecordData("refs/bough/jobs/not a ref", code, END, "bad\n", {"job.json": b"{}"})

    with pytest.raises(commits.GitFailed, match="fast-import failed"):
        commits.write(repository, [record(code, 1), bad])

    assert git(repository, "for-each-ref", "refs/bough/jobs/") == ""
    assert list(repository.glob("fast_import_crash_*")) == []


def test_a_killed_import_leaves_no_ref_and_its_rubbish_is_swept_at_the_next_start(repository: Path, code: str) -> None:
    process = subprocess.Popen(
        _git.command(["fast-import", "--quiet", "--done"], git_dir=str(repository)),
        env=_git.environment(),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(stream([record(code, number) for number in range(200)])[:-20])
    process.stdin.flush()
    process.kill()
    process.stdin.close()
    process.wait()

    (repository / "objects" / "pack" / "pack-ab.keep").write_text("fast-import\n")
    (repository / "objects" / "pack" / "pack-cd.keep").write_text("receive-pack 7 on host\n")

    Repositories(repository.parent.parent)

    assert git(repository, "for-each-ref", "refs/bough/jobs/") == ""
    assert list(repository.glob("objects/pack/tmp_*")) == []
    assert [path.name for path in repository.glob("objects/pack/*.keep")] == ["pack-cd.keep"], "a push may be running"
    commits.write(repository, [record(code, 1)])
    assert git(repository, "fsck", "--strict", "--full") == ""


def test_a_chain_keeps_the_files_that_did_not_change(repository: Path) -> None:
    ref = "refs/bough/optimizations/opt"
    first = RecordData(ref, None, END, "first\n", {"history/0000.jsonl": b"1\n", "a.json": b"1"}, keeps=True)
    second = RecordData(ref, None, END + 60, "second\n", {"a.json": b"2"}, keeps=True)

    for one in (first, second):
        commits.write(repository, [one])

    assert git(repository, "log", "--format=%s", ref).split() == ["second", "first"]
    assert git(repository, "ls-tree", "-r", "--name-only", ref).split() == [
        ".bough/a.json",
        ".bough/history/0000.jsonl",
    ]
    assert git(repository, "cat-file", "blob", f"{ref}:.bough/a.json") == "2"


def test_the_record_of_a_job_that_ran_again_stands_on_the_code_and_keeps_the_earlier_one(
    repository: Path, code: str
) -> None:
    commits.write(repository, [record(code)])
    ref = job_ref("opt", 1, "job1")
    before = git(repository, "rev-parse", ref).strip()

    commits.write(repository, [replace(record(code, other=b"2"), ended_at=END + 60)])

    assert git(repository, "log", "-1", "--format=%P", ref).split() == [code, before]
    assert git(repository, "ls-tree", "-r", "--name-only", ref).split() == [".bough/other", "train.py"]


def test_a_repository_appears_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path / "git")

    path = repositories.ensure("me/digits")

    assert path == tmp_path / "git" / "me" / "digits.git"
    assert repositories.ensure("me/digits") == path
    assert git(path, "config", "uploadpack.allowAnySHA1InWant").strip() == "true"
    assert git(path, "config", "gc.auto").strip() == "0"
    assert list((tmp_path / "git").glob(".new-*")) == []
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("model", ["digits", "me/../you", "me/digits.git", "/digits", "a/b/c", "me/"])
def test_a_name_that_is_no_model_is_refused_in_a_sentence(tmp_path: Path, model: str) -> None:
    with pytest.raises(UsageError, match=r"is no name of a model\. Use owner/name"):
        Repositories(tmp_path / "git").ensure(model)
